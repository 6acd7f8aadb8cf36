"""The worked examples of RFC 7515, 7517, 7519, 7520, 7638 and 8037."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from frontdesk.errors import TokenError
from frontdesk.jose import b64, jwk, jws, jwt

# RFC 7515 A.1.1: the payload of A.1 to A.3, which RFC 7519 §3.1 uses too.
_PAYLOAD = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
_CLAIMS = {"iss": "joe", "exp": 1300819380, "http://example.com/is_root": True}

_RFC7515: dict[str, tuple[dict[str, str], str, str]] = {
    "A.1": (
        {
            "kty": "oct",
            "alg": "HS256",
            "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
        },
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9",
        "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    ),
    "A.2": (
        {
            "kty": "RSA",
            "alg": "RS256",
            "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4Ql"
            "L-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e"
            "-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_"
            "h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
            "e": "AQAB",
        },
        "eyJhbGciOiJSUzI1NiJ9",
        (
            "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9"
            "uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB"
            "_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rq"
            "Vt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
        ),
    ),
    "A.3": (
        {
            "kty": "EC",
            "crv": "P-256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
            "d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI",
        },
        "eyJhbGciOiJFUzI1NiJ9",
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    ),
}


@pytest.mark.parametrize(("document", "header", "signature"), _RFC7515.values(), ids=_RFC7515.keys())
def test_rfc_7515_signatures_are_verified(document: dict[str, str], header: str, signature: str) -> None:
    key = jwk.from_jwk(document)
    found = jws.verify(f"{header}.{_PAYLOAD}.{signature}", key)
    assert json.loads(found.payload) == _CLAIMS
    assert found.header.alg == key.alg


def test_rfc_7515_a1_the_mac_is_reproduced() -> None:
    document, header, signature = _RFC7515["A.1"]
    key = jwk.from_jwk(document)
    assert b64.encode(key.sign(f"{header}.{_PAYLOAD}".encode())).decode() == signature


def test_rfc_7519_the_example_lacks_an_audience_and_is_no_token_for_us() -> None:
    document, header, signature = _RFC7515["A.1"]
    with pytest.raises(TokenError) as caught:
        jwt.verify(
            f"{header}.{_PAYLOAD}.{signature}",
            jwk.from_jwk(document),
            issuer="joe",
            audience="anybody",
            typ="JWT",
            now=datetime(2011, 3, 22, tzinfo=UTC),
        )
    assert caught.value.code == "claim_missing"


def test_rfc_7519_the_unsecured_example_of_section_6_is_refused() -> None:
    key = jwk.from_jwk(_RFC7515["A.1"][0])
    with pytest.raises(TokenError) as caught:
        jws.verify(f"eyJhbGciOiJub25lIn0.{_PAYLOAD}.", key)
    assert caught.value.code == "algorithm_not_allowed"


# RFC 7517 A.1, whose RSA key is that of RFC 7638 §3.1
_RSA_N = (
    "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3o"
    "knjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZH"
    "zu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEg"
    "U8awapJzKnqDKgw"
)
_RFC7517_A1 = {
    "keys": [
        {
            "kty": "EC",
            "crv": "P-256",
            "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
            "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
            "use": "enc",
            "kid": "1",
        },
        {"kty": "RSA", "n": _RSA_N, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"},
    ]
}


def test_rfc_7517_a1_the_signature_key_is_taken_and_the_encryption_key_left_out() -> None:
    keys = jwk.KeySet.from_jwks(_RFC7517_A1)
    assert [(key.kid, key.alg) for key in keys] == [("2011-04-29", "RS256")]
    signing: dict[str, Any] = {**_RFC7517_A1["keys"][0], "use": "sig"}
    assert jwk.from_jwk(signing).kid == "1"


def test_rfc_7517_a3_symmetric_keys() -> None:
    wrap = {"kty": "oct", "alg": "A128KW", "k": "GawgguFyGrWKav7AX4VKUg"}
    mac = {**_RFC7515["A.1"][0], "kid": "HMAC key used in JWS spec Appendix A.1 example"}
    keys = jwk.KeySet.from_jwks({"keys": [wrap, mac]})
    assert [key.kid for key in keys] == ["HMAC key used in JWS spec Appendix A.1 example"]


def test_rfc_7638_the_thumbprint_of_an_rsa_key() -> None:
    (key,) = jwk.KeySet.from_jwks(_RFC7517_A1)
    assert key.thumbprint() == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


# RFC 8037 A.1 to A.5
_ED25519 = {
    "kty": "OKP",
    "crv": "Ed25519",
    "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
}


def test_rfc_8037_the_thumbprint_and_the_signature_of_an_ed25519_key() -> None:
    key = jwk.from_jwk(_ED25519)
    assert key.thumbprint() == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    signing_input = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
    signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    assert b64.encode(key.sign(signing_input)).decode() == signature
    found = jws.verify(f"{signing_input.decode()}.{signature}", key.public())
    assert found.payload == b"Example of Ed25519 signing"


# --- RFC 7520: every file of the cookbook's signatures is decided


def _cookbook(vectors: Path) -> dict[str, dict[str, Any]]:
    directory = vectors / "rfc7520-cookbook"
    files = [*sorted((directory / "jws").glob("*.json")), directory / "curve25519/jws.json"]
    files += sorted((directory / "rfc7797").glob("*.json"))
    return {path.name: json.loads(path.read_text()) for path in files}


def test_rfc_7520_signatures_in_our_algorithms_are_verified_and_others_refused(vectors: Path) -> None:
    outcomes: dict[str, str] = {}
    for name, example in _cookbook(vectors).items():
        compact = example["output"].get("compact")
        if compact is None:
            outcomes[name] = "no compact form"
            continue
        try:
            key = jwk.from_jwk(example["input"]["key"], alg=example["input"]["alg"])
            found = jws.verify(compact, key if key.kty == "oct" else key.public())
        except TokenError as error:
            outcomes[name] = error.code
        else:
            outcomes[name] = "verified"
            assert found.payload.decode() == example["input"]["payload"]
            assert found.header.members == example["signing"]["protected"]
    assert outcomes == {
        "4_1.rsa_v15_signature.json": "verified",
        "4_2.rsa-pss_signature.json": "algorithm_not_allowed",  # PS384
        "4_3.ecdsa_signature.json": "algorithm_not_allowed",  # ES512
        "4_4.hmac-sha2_integrity_protection.json": "verified",
        "4_5.signature_with_detached_content.json": "signature_invalid",  # the payload is not in the token
        "4_6.protecting_specific_header_fields.json": "no compact form",
        "4_7.protecting_content_only.json": "no compact form",
        "4_8.multiple_signatures.json": "no compact form",
        "jws.json": "verified",
        "4.2.hmac-sha2_b64_false.json": "no compact form",
        "hmac-sha2_b64_false.json": "header_invalid",  # RFC 7797
    }


def test_rfc_7520_deterministic_signatures_are_reproduced(vectors: Path) -> None:
    reproduced = 0
    for example in _cookbook(vectors).values():
        signing = example.get("signing", {})
        if example["input"].get("alg") not in ("HS256", "EdDSA", "RS256") or "sig-input" not in signing:
            continue
        if "b64" in signing.get("protected", {}):
            continue  # In these two files of RFC 7797 the signing input is not the one that was signed.
        key = jwk.from_jwk(example["input"]["key"], alg=example["input"]["alg"])
        assert b64.encode(key.sign(signing["sig-input"].encode())).decode() == signing["sig"]
        reproduced += 1
    assert reproduced == 6


def test_rfc_7520_keys_are_taken_or_refused_for_what_they_are(vectors: Path) -> None:
    directory = vectors / "rfc7520-cookbook/jwk"
    documents = {path.name[:3]: json.loads(path.read_text()) for path in sorted(directory.glob("*.json"))}
    for name, alg in (("3_3", "RS256"), ("3_4", "PS256"), ("3_5", "HS256")):
        key = jwk.from_jwk(documents[name], alg=alg)
        members = key.to_jwk(private=key.is_private)
        assert {**documents[name], "alg": alg} == members
    for name in ("3_1", "3_2"):  # P-521
        with pytest.raises(TokenError):
            jwk.from_jwk(documents[name])
    with pytest.raises(TokenError):
        jwk.from_jwk(documents["3_6"])  # for encryption
