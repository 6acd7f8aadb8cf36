"""Compact JWS: what the header may say, sizes, forms, and the attacks of the past."""

from __future__ import annotations

import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from frontdesk.errors import TokenError
from frontdesk.jose import b64, codes, jwk, jws
from frontdesk.jose.headers import media_type
from tests.jose.minting import ALGORITHMS, SECRET, SYMMETRIC, attempted, craft, header_of, key, verifying


def _refusal(token: Any, keys: Any) -> str:
    code = attempted(lambda: jws.verify(token, keys))[1]
    assert code == "accepted" or code in codes.TOKEN_CODES
    return code


@pytest.mark.parametrize("alg", ALGORITHMS)
@pytest.mark.parametrize("payload", [b"", b"\x00", b"any bytes \xff", b"x" * 10_000])
def test_what_was_signed_is_verified(alg: str, payload: bytes) -> None:
    token = jws.sign(payload, key(alg), typ="at+jwt")
    for form in (token, token.encode()):
        ways: list[Any] = [verifying(alg), jwk.KeySet([verifying(alg)]), {alg: verifying(alg)}.get]
        for keys in ways:
            found = jws.verify(form, keys)
            assert found.payload == payload
            assert found.key.kid == found.header.kid == alg
            assert found.header.members == {"alg": alg, "kid": alg, "typ": "at+jwt"}


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_the_signature_of_another_key_is_refused(alg: str) -> None:
    others: dict[str, jwk.Key] = {
        **{name: jwk.OctKey(SECRET[::-1] * 2, alg=name, kid=alg) for name in SYMMETRIC},
        **{name: jwk.EcKey.generate(alg=name, kid=alg) for name in ("ES256", "ES384")},
        "EdDSA": jwk.OkpKey.generate(kid=alg),
    }
    other = others.get(alg) or jwk.RsaKey.generate(alg=alg, bits=2048, kid=alg)
    assert _refusal(jws.sign(b"x", other), verifying(alg)) == "signature_invalid"


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_signature_of_another_length_is_refused(alg: str) -> None:
    head, payload, signature = jws.sign(b"x", key(alg)).split(".")
    raw = b64.decode(signature.encode())
    for changed in (b"", raw[:-1], raw + b"\0", b"\0" + raw, raw + raw, raw[1:], raw[: len(raw) // 2]):
        token = f"{head}.{payload}.{b64.encode(changed).decode()}"
        assert _refusal(token, verifying(alg)) == "signature_invalid"


def test_both_names_of_ed25519_are_one_algorithm() -> None:
    signer = key("EdDSA")
    renamed = jwk.from_jwk({**signer.to_jwk(private=True), "alg": "Ed25519"})
    assert json.loads(b64.decode(jws.sign(b"x", renamed).split(".")[0].encode()))["alg"] == "Ed25519"
    for one, other in ((signer, renamed), (renamed, signer)):
        assert jws.verify(jws.sign(b"x", one), other.public()).payload == b"x"
    assert _refusal(craft({"alg": "Ed448"}, b"x", signer), signer.public()) == "algorithm_not_allowed"


# --- the header table

_TEXTS = ("kid", "typ", "cty", "jku", "x5u", "x5t", "x5t#S256")
_REFUSED = ("crit", "b64", "zip", "enc")
_VALUES = {
    "null": "null",
    "true": "true",
    "empty": '""',
    "digit": '"1"',
    "1e309": "1e309",
    "NaN": "NaN",
    "minus one": "-1",
    "10^400": "1" + "0" * 400,
    "list": "[]",
    "object": "{}",
}


def _expected(name: str, value: str) -> str:
    if value in ("1e309", "NaN", _VALUES["10^400"]):
        return "token_malformed"
    if name in _REFUSED:
        return "header_invalid"
    if name in ("jku", "x5u"):  # none of the values is the address of keys
        return "header_invalid"
    right_type = {"jwk": value == "{}", "x5c": value == "[]"}.get(name, value in ('""', '"1"'))
    if not right_type:
        return "header_invalid"
    return {"alg": "algorithm_not_allowed", "kid": "key_unknown"}.get(name, "accepted")


@pytest.mark.parametrize("name", ["alg", *_TEXTS, *_REFUSED, "jwk", "x5c"])
@pytest.mark.parametrize("value", _VALUES.values(), ids=_VALUES.keys())
@pytest.mark.parametrize("separator", [":", " : "])
def test_each_header_parameter_with_each_odd_value(name: str, value: str, separator: str) -> None:
    members = {"alg": '"HS256"', "kid": '"HS256"', name: value}
    header = ",".join(f'"{member}"{separator}{text}' for member, text in members.items())
    token = craft(f"{{{header}}}".encode(), b"x", key("HS256"))
    assert _refusal(token, key("HS256")) == _expected(name, value)


@pytest.mark.parametrize("name", ["alg", *_TEXTS, *_REFUSED, "jwk", "x5c", "other"])
def test_a_header_parameter_that_comes_twice_is_refused(name: str) -> None:
    header = f'{{"alg":"HS256","{name}":"HS256","{name}":"HS256"}}'
    assert _refusal(craft(header.encode(), b"x", key("HS256")), key("HS256")) == "token_malformed"


def test_a_missing_algorithm_is_refused_and_a_missing_key_id_is_not() -> None:
    assert _refusal(craft({"kid": "HS256"}, b"x", key("HS256")), key("HS256")) == "header_invalid"
    assert _refusal(craft({"alg": "HS256"}, b"x", key("HS256")), key("HS256")) == "accepted"
    assert _refusal(craft({"alg": "HS256", "new": {"a": [1]}}, b"x", key("HS256")), key("HS256")) == "accepted"


@pytest.mark.parametrize(
    "critical", [["exp"], [], "exp", ["b64"], ["alg"], ["exp", "exp"], ["absent"], None, {"exp": 1}, [1]]
)
def test_a_critical_extension_is_refused_in_every_form(critical: object) -> None:
    token = craft(header_of(key("HS256"), crit=critical, exp=1), b"x", key("HS256"))
    assert _refusal(token, key("HS256")) == "header_invalid"


@pytest.mark.parametrize("value", [True, False])
def test_an_unencoded_payload_is_refused(value: bool) -> None:
    token = craft(header_of(key("HS256"), b64=value), b"x", key("HS256"))
    assert _refusal(token, key("HS256")) == "header_invalid"


# --- attacks with a name


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "", "HS256 ", "hs256", "HS512", "RSA1_5", "dir"])
@pytest.mark.parametrize("signed", [True, False])
def test_no_algorithm_and_unknown_algorithms_are_refused(alg: str, signed: bool) -> None:
    token = craft(header_of(key("HS256"), alg=alg), b"x", key("HS256"))
    if not signed:
        token = token[: token.rindex(b".") + 1]
    for keys in (key("HS256"), jwk.KeySet([key("HS256")]), lambda _: key("HS256")):
        assert _refusal(token, keys) == "algorithm_not_allowed"


@pytest.mark.parametrize("alg", ["ES256", "EdDSA", "RS256", "PS256"])
def test_a_mac_under_a_public_key_is_refused(alg: str) -> None:
    public = verifying(alg)
    header = b64.encode(json.dumps({"alg": "HS256", "kid": alg}).encode())
    material: Any = public
    native = material._public
    forms = [native.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)]
    forms.append(native.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    forms.append(json.dumps(public.to_jwk()).encode())
    for form in forms:
        mac = hmac.digest(form, header + b".eA", "sha256")
        token = header + b".eA." + b64.encode(mac)
        for keys in (public, jwk.KeySet([public]), lambda _: public):
            assert _refusal(token, keys) == "algorithm_not_allowed"


@pytest.mark.parametrize(("own", "other"), [("RS256", "PS256"), ("PS256", "RS256"), ("ES256", "EdDSA")])
def test_a_key_verifies_under_its_own_algorithm_only(own: str, other: str) -> None:
    assert _refusal(craft({"alg": other}, b"x", key(own)), verifying(own)) == "algorithm_not_allowed"
    if own[1:] == other[1:]:
        twin = jwk.from_jwk({**key(own).to_jwk(private=True), "alg": other})
        assert _refusal(jws.sign(b"x", twin), verifying(own)) == "algorithm_not_allowed"


_KIDS: list[Any] = [
    "../../dev/null",
    "' OR 1=1--",
    "a|b",
    "a\0b",
    "__proto__",
    "http://127.0.0.1/",
    "k" * 2000,
    "HS256 ",
    "hs256",
]


@pytest.mark.parametrize("kid", _KIDS)
def test_a_key_id_only_ever_looks_something_up(kid: str) -> None:
    asked: list[str | None] = []

    def resolve(wanted: str | None) -> jwk.Key | None:
        asked.append(wanted)
        return {"HS256": key("HS256")}.get(wanted or "")

    token = craft({"alg": "HS256", "kid": kid}, b"x", key("HS256"))
    for keys in (key("HS256"), jwk.KeySet([key("HS256")]), resolve):
        assert _refusal(token, keys) == "key_unknown"
    assert asked == [kid]


def test_keys_that_a_token_brings_along_are_never_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr("socket.socket", refuse)
    monkeypatch.setattr("socket.create_connection", refuse)
    attacker = jwk.EcKey.generate(kid="ES256")
    for brought in (
        {"jwk": attacker.to_jwk()},
        {"jku": "https://attacker.example/jwks.json"},
        {"x5u": "https://attacker.example/cert.pem"},
        {"x5c": ["MIIB"], "x5t": "AAAA"},
    ):
        token = craft(header_of(attacker, **brought), b"x", attacker)
        assert _refusal(token, verifying("ES256")) == "signature_invalid"
        assert _refusal(craft(header_of(key("ES256"), **brought), b"x", key("ES256")), verifying("ES256")) == (
            "accepted"
        )


def test_encrypted_tokens_and_json_serialisations_are_refused() -> None:
    good = jws.sign(b"x", key("HS256"))
    head, payload, signature = good.split(".")
    flattened = {"protected": head, "payload": payload, "signature": signature}
    general = {"payload": payload, "signatures": [{"protected": head, "signature": signature}]}
    for token in (
        f"{head}.AA.AA.AA.AA",
        json.dumps(flattened),
        json.dumps(general),
        json.dumps({**flattened, "x": good}),
        f'{{"a":".{payload}."}}',
        good + ".",
        "." + good,
        f"{head}..{payload}.{signature}",
        f"{head}.{payload}",
        head,
        "",
        "..",
        ".",
        f".{payload}.{signature}",
        good.replace(".", ".."),
        good.replace(".", ":"),
    ):
        assert _refusal(token, key("HS256")) == "token_malformed"
    assert _refusal(craft({"alg": "HS256", "enc": "A256GCM"}, b"x", key("HS256")), key("HS256")) == "header_invalid"


def test_large_input_is_refused_before_it_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("it was looked at")

    monkeypatch.setattr("frontdesk.jose.b64.decode", refuse)
    monkeypatch.setattr("frontdesk.jose.strictjson.decode", refuse)
    for token in (b"." * 10_000_000, b"A" * 16_385, "A" * 16_385, b"A" * 4097 + b".AA.AA"):
        assert _refusal(token, key("HS256")) == "token_oversize"


def test_the_limits_are_the_last_sizes_that_pass() -> None:
    head = len(jws.sign(b"", key("HS256")).split(".")[0])
    room = jws.TOKEN_MAX - head - 43 - 2
    fits = room * 3 // 4
    token = jws.sign(b"x" * fits, key("HS256"))
    assert len(token) in (jws.TOKEN_MAX, jws.TOKEN_MAX - 1)
    assert _refusal(token, key("HS256")) == "accepted"
    with pytest.raises(TokenError) as caught:
        jws.sign(b"x" * (fits + 2), key("HS256"))
    assert caught.value.code == "token_oversize"
    for padding, code in ((3072 - 22, "accepted"), (3072 - 21, "token_oversize")):
        header = json.dumps({"alg": "HS256", "x": "y" * padding}, separators=(",", ":")).encode()
        assert _refusal(craft(header, b"x", key("HS256")), key("HS256")) == code


def test_a_stranger_cannot_fill_the_memo_of_headers() -> None:
    mine = jwk.OctKey(SECRET, kid="HS256")
    stranger = jwk.OctKey(SECRET[::-1], kid="HS256")
    for number in range(50):
        assert _refusal(craft(header_of(stranger, n=number), b"x", stranger), mine) == "signature_invalid"
    assert not mine.known_headers
    for number in range(50):
        assert _refusal(craft(header_of(mine, n=number), b"x", mine), mine) == "accepted"
    assert 0 < len(mine.known_headers) <= 16


@pytest.mark.parametrize("token", [None, 1, bytearray(b"a.b.c"), memoryview(b"a.b.c"), ["a"]])
def test_a_token_of_another_python_type_is_misuse(token: Any) -> None:
    with pytest.raises(TypeError):
        jws.verify(token, key("HS256"))


@pytest.mark.parametrize("keys", [None, "secret", SECRET, [], {}, lambda _: "secret", lambda _: SECRET])
def test_keys_of_another_python_type_are_misuse(keys: Any) -> None:
    with pytest.raises(TypeError):
        jws.verify(jws.sign(b"x", key("HS256")), keys)


@pytest.mark.parametrize("token", ["", "garbage", "A" * 20_000, "a.b.c"])
def test_missing_keys_are_misuse_whatever_the_token_is(token: str) -> None:
    with pytest.raises(TypeError):
        jws.verify(token, None)  # type: ignore[arg-type]


def test_signing_something_else_than_bytes_or_with_something_else_than_a_key_is_misuse() -> None:
    for payload, signer in (("x", key("HS256")), (b"x", None), (b"x", SECRET)):
        with pytest.raises(TypeError):
            jws.sign(payload, signer)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("JWT", "jwt"),
        ("application/at+jwt", "at+jwt"),
        ("APPLICATION/AT+JWT", "at+jwt"),
        ("application/a/b", "application/a/b"),
        ("text/plain", "text/plain"),
        ("", ""),
        ("\u212ab+jwt", "\u212ab+jwt"),
    ],
)
def test_media_types_are_compared_without_case_and_prefix(written: str, meant: str) -> None:
    assert media_type(written) == meant
