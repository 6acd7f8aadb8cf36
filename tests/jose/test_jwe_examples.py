"""The worked examples of RFC 7516, 7518, 7520 and 8037 for encryption, and Wycheproof's X25519 cases."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from frontdesk.errors import TokenError
from frontdesk.jose import b64, encryption_jwk, jwe
from frontdesk.jose.content import CONTENTS
from frontdesk.jose.encryption_keys import EcAgreementKey, EncryptionKey, X25519Key, _derived
from tests.jose.minting import attempted

# --- RFC 7516: its appendices use RSA-OAEP with SHA-1, RSA1_5 and A128KW; their contents are in our algorithms.

_A1_KEY = bytes.fromhex("b1a1f480548fe1733fb403ff6b9ad4f68a076e5b702e22692f82cb2e7aea40fc")
_A3_KEY = bytes.fromhex("04d31fc5549dfcfe0b649dfa3faa6ace6b7cd42d6f6b09dbc8b100f08f9c2ccf")
_RFC7516_CONTENTS = {
    "A.1": (
        "A256GCM",
        _A1_KEY,
        "48V1_ALb6US04U3b",
        b"The true sign of intelligence is not knowledge but imagination.",
        b"eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ",
        "5eym8TW_c8SuK0ltJ3rpYIzOeDQz7TALvtu6UG9oMo4vpzs9tX_EFShS8iB7j6jiSdiwkIr3ajwQzaBtQD_A",
        "XFBoMYUZodetZdvTiFvSkQ",
    ),
    "A.3 and B": (
        "A128CBC-HS256",
        _A3_KEY,
        "AxY8DCtDaGlsbGljb3RoZQ",
        b"Live long and prosper.",
        b"eyJhbGciOiJBMTI4S1ciLCJlbmMiOiJBMTI4Q0JDLUhTMjU2In0",
        "KDlTtXchhZTGufMYmOYGS4HffxPSUrfmqCHXaI9wOGY",
        "U0m_YmjN04DJvceFICbCVQ",
    ),
}


@pytest.mark.parametrize("example", _RFC7516_CONTENTS.values(), ids=_RFC7516_CONTENTS.keys())
def test_rfc_7516_contents_are_encrypted_to_the_same_bytes(
    example: tuple[str, bytes, str, bytes, bytes, str, str],
) -> None:
    enc, key, iv, plaintext, head, ciphertext, tag = example
    cipher = CONTENTS[enc].cipher(key)
    parts = cipher.seal(b64.decode(iv.encode()), plaintext, head)
    assert tuple(b64.encode(part).decode() for part in parts) == (ciphertext, tag)
    assert cipher.open(b64.decode(iv.encode()), *parts, head) == plaintext


@pytest.mark.parametrize("alg", ["RSA-OAEP", "RSA1_5", "A128KW"])
def test_rfc_7516_algorithms_of_the_appendices_are_refused(alg: str) -> None:
    head = b64.encode(json.dumps({"alg": alg, "enc": "A128CBC-HS256"}).encode()).decode()
    token = (
        f"{head}.6KB707dM9YTIgHtLvtgWQ8mKwboJW3of9locizkDTHzBC2IlrT1oOQ.AxY8DCtDaGlsbGljb3RoZQ.KDlTtXch.U0m_YmjN04DJ"
    )
    secret = encryption_jwk.WrapKey(_A1_KEY)
    assert attempted(lambda: jwe.decrypt(token, secret, enc="A128CBC-HS256")) == (None, "algorithm_not_allowed")
    members = {"kty": "oct", "alg": alg, "k": "GawgguFyGrWKav7AX4VKUg"}
    assert attempted(lambda: encryption_jwk.from_jwk(members)) == (None, "algorithm_not_allowed")


# --- RFC 7518

_KERCKHOFFS = (
    b"A cipher system must not be required to be secret, and it must be able to fall into the hands of the enemy "
    b"without inconvenience"
)
_RFC7518_B = {
    "B.1": (
        "A128CBC-HS256",
        (
            "c80edfa32ddf39d5ef00c0b468834279a2e46a1b8049f792f76bfe54b903a9c9a94ac9b47ad2655c5f10f9aef71427e2fc6f9b3f399a"
            "221489f16362c703233609d45ac69864e3321cf82935ac4096c86e133314c54019e8ca7980dfa4b9cf1b384c486f3a54c51078158ee5"
            "d79de59fbd34d848b3d69550a67646344427ade54b8851ffb598f7f80074b9473c82e2db"
        ),
        "652c3fa36b0a7c5b3219fab3a30bc1c4",
    ),
    "B.3": (
        "A256CBC-HS512",
        (
            "4affaaadb78c31c5da4b1b590d10ffbd3dd8d5d302423526912da037ecbcc7bd822c301dd67c373bccb584ad3e9279c2e6d12a1374b7"
            "7f077553df829410446b36ebd97066296ae6427ea75c2e0846a11a09ccf5370dc80bfecbad28c73f09b3a3b75e662a2594410ae496b2"
            "e2e6609e31e6e02cc837f053d21f37ff4f51950bbe2638d09dd7a4930930806d0703b1f6"
        ),
        "4dd3b4c088a7f45c216839645b2012bf2e6269a8c56a816dbc1b267761955bc5",
    ),
}


@pytest.mark.parametrize(("enc", "ciphertext", "tag"), _RFC7518_B.values(), ids=_RFC7518_B.keys())
def test_rfc_7518_appendix_b_is_reproduced(enc: str, ciphertext: str, tag: str) -> None:
    content = CONTENTS[enc]
    cipher = content.cipher(bytes(range(content.key_size)))
    iv = bytes.fromhex("1af38c2dc2b96ffdd86694092341bc04")
    aad = b"The second principle of Auguste Kerckhoffs"
    assert tuple(part.hex() for part in cipher.seal(iv, _KERCKHOFFS, aad)) == (ciphertext, tag)
    assert cipher.open(iv, bytes.fromhex(ciphertext), bytes.fromhex(tag), aad) == _KERCKHOFFS


_ALICE = {
    "kty": "EC",
    "crv": "P-256",
    "x": "gI0GAILBdu7T53akrFmMyGcsF3n5dO7MmwNBHKW5SV0",
    "y": "SLW_xSffzlPWrHEVI30DHM_4egVwt3NQqeUD7nMFpps",
    "d": "0_NxaRPUMQoAJt50Gz8YiTr8gRTwyEaCumd-MToTmIo",
}
_BOB = {
    "kty": "EC",
    "crv": "P-256",
    "x": "weNJy2HscCSM6AEDTDg04biOvhFhyyWvOHQfeF_PxMQ",
    "y": "e8lnCO-AlStT-NJVX-crhB7QRYhiix03illJOVAOyck",
    "d": "VEmDZpDXXK8p8N0Cndsxs924q6nS1RXFASRl6BfUqdw",
}


def _seed(document: dict[str, str], size: int) -> bytes:
    """The random bytes from which the ephemeral key of an example is made."""
    d = b64.decode(document["d"].encode())
    if document["kty"] == "OKP":
        return d
    return (int.from_bytes(d, "big") - 1).to_bytes(size, "big")


def test_rfc_7518_appendix_c_both_sides_derive_the_key() -> None:
    bob = encryption_jwk.from_jwk(_BOB, alg="ECDH-ES")
    assert isinstance(bob, EcAgreementKey)
    members, shared = bob._agree_afresh(_seed(_ALICE, bob.seed_size))
    assert members == {name: value for name, value in _ALICE.items() if name != "d"}
    assert shared == bob._agree(members)
    derived = _derived(shared, "A128GCM", 16, (b"Alice", b"Bob"))
    assert b64.encode(derived) == b"VqqN6vgjbSBcIijNcacQGg"
    random = bytes(12) + _seed(_ALICE, bob.seed_size)
    token = jwe.encrypt(b"x", bob, random=random, enc="A128GCM", apu=b"Alice", apv=b"Bob")
    _, _, iv, ciphertext, tag = (b64.decode(part) for part in token.encode().split(b"."))
    head = token.encode().split(b".", maxsplit=1)[0]
    assert CONTENTS["A128GCM"].cipher(derived).open(iv, ciphertext, tag, head) == b"x"
    assert jwe.decrypt(token, bob, enc="A128GCM").plaintext == b"x"


def test_rfc_8037_a6_the_shared_secret(vectors: Path) -> None:
    example = json.loads((vectors / "rfc7520-cookbook/curve25519/ecdh-es.json").read_text())
    bob = encryption_jwk.from_jwk(example["input"]["key"], alg="ECDH-ES")
    assert isinstance(bob, X25519Key)
    alice = {name: value for name, value in example["encrypting_key"]["epk"].items() if name != "d"}
    assert bob._shared(alice).hex() == "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"


# --- RFC 7520: every file of the cookbook's encryption is decided


def _cookbook(vectors: Path) -> dict[str, dict[str, Any]]:
    directory = vectors / "rfc7520-cookbook"
    files = [*(directory / "jwe").glob("*.json"), directory / "curve25519/ecdh-es.json"]
    return {path.name.partition(".")[0]: json.loads(path.read_text()) for path in files}


def _key(example: dict[str, Any]) -> EncryptionKey:
    alg = example["input"]["alg"]
    document = example["input"].get("key") or {"kty": "oct", "k": "cGFzc3dvcmQ"}  # PBES2 has a password instead
    return encryption_jwk.from_jwk(document, alg=None if "alg" in document else alg)


def _outcome(example: dict[str, Any]) -> str:
    compact = example["output"].get("compact")
    if compact is None:
        return "no compact form"
    header = attempted(lambda: jwe.decrypt(compact, encryption_jwk.WrapKey(_A1_KEY), enc=tuple(CONTENTS)))[1]
    try:
        key = _key(example)
    except TokenError as error:
        return f"{error.code}, token {header}"
    outcome = attempted(lambda: jwe.decrypt(compact, key, enc=tuple(CONTENTS)))
    if outcome[0] is not None:
        assert outcome[0].plaintext.decode() == example["input"]["plaintext"]
        assert outcome[0].header.members == example["encrypting_content"]["protected"]
    return outcome[1]


def test_rfc_7520_tokens_in_our_algorithms_are_decrypted_and_others_refused(vectors: Path) -> None:
    not_offered = "algorithm_not_allowed, token algorithm_not_allowed"
    assert {name: _outcome(example) for name, example in _cookbook(vectors).items()} == {
        "5_1": not_offered,  # RSA1_5
        "5_2": not_offered,  # RSA-OAEP with SHA-1
        "5_3": not_offered,  # PBES2
        "5_4": not_offered,  # ECDH-ES+A128KW
        "5_5": "accepted",
        "5_6": "accepted",
        "5_7": not_offered,  # A256GCMKW
        "5_8": not_offered,  # A128KW
        "5_9": "algorithm_not_allowed, token header_invalid",  # A128KW, and `zip`
        "5_10": "no compact form",
        "5_11": "no compact form",
        "5_12": "no compact form",
        "5_13": "no compact form",
        "ecdh-es": "accepted",
    }


@pytest.mark.parametrize("name", ["5_5", "5_6"])
def test_rfc_7520_tokens_are_reproduced_from_their_random_bytes(vectors: Path, name: str) -> None:
    example = _cookbook(vectors)[name]
    key, enc = _key(example), example["input"]["enc"]
    random = b64.decode(example["generated"]["iv"].encode())
    if "epk" in example.get("encrypting_key", {}):
        random += _seed(example["encrypting_key"]["epk"], jwe.random_size(key, enc) - len(random))
    made = jwe.encrypt(example["input"]["plaintext"].encode(), key, random=random, enc=enc)
    assert made == example["output"]["compact"]


def test_rfc_7520_the_compressed_token_is_refused_for_its_compression(vectors: Path) -> None:
    example = _cookbook(vectors)["5_9"]
    header = {**example["encrypting_content"]["protected"], "alg": "A256KW", "kid": "k"}
    parts = example["output"]["compact"].split(".")
    parts[0] = b64.encode(json.dumps(header).encode()).decode()
    key = encryption_jwk.WrapKey(_A1_KEY, kid="k")
    assert attempted(lambda: jwe.decrypt(".".join(parts), key, enc="A128GCM")) == (None, "header_invalid")


def test_rfc_7520_the_nested_token_is_refused_for_its_algorithm(vectors: Path) -> None:
    path = vectors / "rfc7520-cookbook/6.nesting_signatures_and_encryption.json"
    example = json.loads(path.read_text())["encrypt"]
    assert attempted(lambda: encryption_jwk.from_jwk(example["input"]["key"]))[1] == "algorithm_not_allowed"
    members = {name: value for name, value in example["input"]["key"].items() if name != "alg"}
    key = encryption_jwk.from_jwk(members)  # as if it were for RSA-OAEP-256
    token = example["output"]["compact"]
    assert attempted(lambda: jwe.decrypt(token, key, enc="A128GCM"))[1] == "algorithm_not_allowed"


def test_rfc_7520_keys_are_taken_or_refused_for_what_they_are(vectors: Path) -> None:
    directory = vectors / "rfc7520-cookbook/jwk"
    documents = {path.name[:3]: json.loads(path.read_text()) for path in sorted(directory.glob("*.json"))}
    secret = encryption_jwk.from_jwk(documents["3_6"])
    assert secret.to_jwk(private=True) == documents["3_6"]
    for name in ("3_1", "3_2", "3_3", "3_4", "3_5"):  # `use` says that these sign
        assert attempted(lambda: encryption_jwk.from_jwk(documents[name], alg="ECDH-ES"))[1] != "accepted"  # noqa: B023
    point = {**documents["3_2"], "use": "enc"}
    agreement = encryption_jwk.from_jwk(point, alg="ECDH-ES")
    assert agreement.to_jwk(private=True) == {**point, "alg": "ECDH-ES"}


# --- Wycheproof: X25519 between keys in JSON

# Public keys whose every shared secret is zero. RFC 7748 leaves it open; RFC 8037 §3.2.1 has the check.
_ZERO = "ZeroSharedSecret"


def _agreed(case: dict[str, Any]) -> str:
    mine = encryption_jwk.from_jwk(case["private"], alg="ECDH-ES")
    assert isinstance(mine, X25519Key)
    try:
        encryption_jwk.from_jwk(case["public"], alg="ECDH-ES")
        shared = mine._shared(case["public"])
    except TokenError:
        return "refused"
    return shared.hex()


def test_wycheproof_every_x25519_case_is_decided_as_it_should_be(vectors: Path) -> None:
    document = json.loads((vectors / "wycheproof/x25519_jwk_test.json").read_text())
    decided: Counter[str] = Counter()
    wrong: list[tuple[int, str]] = []
    for group in document["testGroups"]:
        for case in group["tests"]:
            refused = case["result"] == "invalid" or _ZERO in case["flags"]
            outcome = _agreed(case)
            decided[outcome if outcome == "refused" else "agreed"] += 1
            if outcome != ("refused" if refused else case["shared"]):
                wrong.append((case["tcId"], case["comment"]))
    assert wrong == []
    assert sum(decided.values()) == document["numberOfTests"] == 531
    assert decided == {"agreed": 487, "refused": 44}
