"""Keys for encryption: what is taken, what is refused, and that nothing is lost on the way to JSON and back."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x25519
from hypothesis import given
from hypothesis import strategies as st

from frontdesk.jose import b64, encryption_jwk, jwe, jwk
from frontdesk.jose.content import CONTENTS
from frontdesk.jose.encryption_jwk import (
    DirectKey,
    EcAgreementKey,
    EncryptionKeySet,
    RsaEncryptionKey,
    WrapKey,
    X25519Key,
)
from tests.jose import minting
from tests.jose.minting import attempted
from tests.jose.sealing import DIRECT, KINDS, PUBLIC_KINDS, SECRET_KINDS, encs, key, random, seal


def _document(kind: str, /, *, private: bool = True, **changed: Any) -> dict[str, Any]:
    members = {**key(kind).to_jwk(private=private), **changed}
    return {member: value for member, value in members.items() if value is not None}


def _refusal(document: Any, **arguments: Any) -> str:
    return attempted(lambda: encryption_jwk.from_jwk(document, **arguments))[1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", [dict, json.dumps, lambda members: json.dumps(members).encode()])
def test_a_private_key_survives_json(kind: str, form: Callable[[dict[str, Any]], Any]) -> None:
    again = encryption_jwk.from_jwk(form(_document(kind)))
    assert type(again) is type(key(kind))
    assert again.is_private
    assert (again.alg, again.kid, again.kty) == (key(kind).alg, kind, key(kind).kty)
    assert again.to_jwk(private=True) == key(kind).to_jwk(private=True)
    assert again.to_jwk(private=True)["use"] == "enc"
    assert jwe.decrypt(seal(b"x", kind), again, enc=tuple(CONTENTS)).plaintext == b"x"


@pytest.mark.parametrize("kind", PUBLIC_KINDS)
def test_a_public_key_holds_nothing_private(kind: str) -> None:
    public = key(kind).public()
    assert not public.is_private
    assert not {"d", "p", "q", "dp", "dq", "qi", "k"} & set(public.to_jwk())
    assert key(kind).to_jwk() == public.to_jwk()
    assert encryption_jwk.from_jwk(public.to_jwk()).to_jwk() == public.to_jwk()
    assert attempted(lambda: public.to_jwk(private=True)) == (None, "key_invalid")


@pytest.mark.parametrize("kind", SECRET_KINDS)
def test_a_symmetric_key_has_no_public_form_and_a_key_id_that_says_nothing(kind: str) -> None:
    for misuse in (key(kind).public, key(kind).to_jwk, EncryptionKeySet([key(kind)]).to_jwks):
        with pytest.raises(ValueError, match="no public part"):
            misuse()
    unnamed = encryption_jwk.from_jwk(_document(kind, kid=None))
    assert unnamed.kid not in {unnamed.thumbprint(), kind}
    assert unnamed.kid == encryption_jwk.from_jwk(_document(kind, kid=None)).kid


@pytest.mark.parametrize("kind", PUBLIC_KINDS)
def test_a_key_without_key_id_gets_its_thumbprint_which_does_not_depend_on_its_use(kind: str) -> None:
    unnamed = encryption_jwk.from_jwk(_document(kind, private=False, kid=None))
    assert unnamed.kid == key(kind).thumbprint()
    if kind == "ECDH-ES P-256":
        members = {**_document(kind, private=False), "alg": "ES256", "use": "sig"}
        assert jwk.from_jwk(members).thumbprint() == unnamed.kid
    assert encryption_jwk.from_jwk(_document(kind, kid=None), kid="mine").kid == "mine"


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_never_changes_and_never_shows_its_secret(kind: str) -> None:
    subject = key(kind)
    for name in ("alg", "kid", "enc", "operations", "_private", "anything"):
        with pytest.raises(AttributeError):
            setattr(subject, name, "x")
    private = subject.to_jwk(private=True)
    assert not any(private[name] in repr(subject) for name in ("k", "d", "p", "q") if name in private)


CONTRADICTIONS: dict[str, dict[str, Any]] = {
    "use for signatures": {"use": "sig"},
    "use of another type": {"use": ["enc"]},
    "operations for signatures": {"key_ops": ["sign", "verify"]},
    "operations mixed": {"key_ops": ["encrypt", "decrypt", "wrapKey", "unwrapKey", "deriveKey", "sign"]},
    "operations twice": {"key_ops": ["decrypt", "decrypt"]},
    "no operation": {"key_ops": []},
    "operations a string": {"key_ops": "decrypt"},
    "operations of numbers": {"key_ops": [1]},
    "algorithm a number": {"alg": 1},
    "key id a number": {"kid": 1},
    "key id empty": {"kid": ""},
    "no type": {"kty": None},
    "type a list": {"kty": ["EC"]},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", CONTRADICTIONS.values(), ids=CONTRADICTIONS.keys())
def test_a_jwk_that_contradicts_itself_is_refused(kind: str, change: dict[str, Any]) -> None:
    assert _refusal(_document(kind, **change)) == "key_invalid"


@pytest.mark.parametrize("kind", KINDS)
def test_a_jwk_for_another_algorithm_is_refused(kind: str) -> None:
    for other in (
        "none",
        "HS256",
        "ES256",
        "RSA1_5",
        "RSA-OAEP",
        "A128KW",
        "PBES2-HS256+A128KW",
        "A256GCMKW",
        "A192GCM",
    ):
        assert _refusal(_document(kind, alg=other)) == "algorithm_not_allowed"
        assert _refusal(_document(kind), alg=other) == "key_invalid"
    # RSA alone has one algorithm here and needs no name for it.
    assert _refusal(_document(kind, alg=None)) == ("accepted" if kind == "RSA-OAEP-256" else "key_invalid")


@pytest.mark.parametrize("alg", minting.ALGORITHMS)
def test_a_signature_key_is_no_encryption_key(alg: str) -> None:
    document = minting.key(alg).to_jwk(private=True)
    assert _refusal(document) != "accepted"
    assert _refusal({**document, "use": "enc"}) == "algorithm_not_allowed"


def test_a_direct_key_names_its_content_encryption() -> None:
    for kind in DIRECT:
        (enc,) = encs(kind)
        assert _document(kind)["alg"] == enc
        assert _refusal(_document(kind, alg="dir")) == "key_invalid"
        assert _refusal(_document(kind, alg="dir"), alg="dir") == "key_invalid"
        named = encryption_jwk.from_jwk(_document(kind, alg="dir"), alg=enc)
        assert isinstance(named, DirectKey)
        assert named.enc == enc
        size = CONTENTS[enc].key_size
        for wrong in (size - 1, size + 1, size * 2, size // 2, 0):
            assert attempted(lambda: DirectKey(random(wrong), enc=enc))[1] == "key_invalid"  # noqa: B023
    assert attempted(lambda: DirectKey(random(32), enc="A512GCM"))[1] == "algorithm_not_allowed"
    for wrong in (0, 16, 31, 33, 64):
        assert attempted(lambda: WrapKey(random(wrong)))[1] == "key_invalid"  # noqa: B023


EC, OKP, OAEP = "ECDH-ES P-256", "ECDH-ES X25519", "RSA-OAEP-256"
BROKEN: dict[str, tuple[str, dict[str, Any]]] = {
    "a point off the curve": (EC, {"y": b64.encode(b"\x01" * 32).decode()}),
    "the point (0, 0)": (EC, {"x": "A" * 43, "y": "A" * 43}),
    "a short coordinate": (EC, {"x": b64.encode(b"\x01" * 31).decode()}),
    "the coordinates of another curve": (EC, {"crv": "P-521"}),
    "a private part of zero": (EC, {"d": "A" * 43}),
    "a private part of another key": (EC, {"d": b64.encode(b"\x01" * 32).decode()}),
    "no coordinate": (EC, {"y": None}),
    "an X25519 key of another pair": (OKP, {"d": b64.encode(b"\x01" * 32).decode()}),
    "a short X25519 key": (OKP, {"x": b64.encode(b"\x01" * 31).decode(), "d": None}),
    "an X25519 key of small order": (OKP, {"x": "A" * 43, "d": None}),
    "an even RSA exponent": (OAEP, {"e": b64.encode(b"\x01\x00\x00").decode()}),
    "an RSA exponent of 1": (OAEP, {"e": "AQ"}),
    "only some of the primes": (OAEP, {"p": None}),
    "more than two primes": (OAEP, {"oth": []}),
    "a secret with padding": ("A256KW", {"k": "A" * 43 + "="}),
    "a short secret": ("A256KW", {"k": "A" * 42}),
    "no secret": ("A256KW", {"k": None}),
    "no secret for dir": ("dir A256GCM", {"k": None}),
}


@pytest.mark.parametrize(("kind", "change"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_key_is_refused(kind: str, change: dict[str, Any]) -> None:
    assert _refusal(_document(kind, **change)) == "key_invalid"


def test_other_curves_types_and_weak_keys_are_refused() -> None:
    assert _refusal(_document(EC, crv="secp256k1")) == "algorithm_not_allowed"
    assert _refusal(_document(OKP, crv="Ed25519")) == "algorithm_not_allowed"
    assert _refusal(_document(OKP, crv="X448")) == "algorithm_not_allowed"
    assert _refusal({"kty": "AKP", "alg": "ECDH-ES"}) == "algorithm_not_allowed"
    secp256k1 = ec.generate_private_key(ec.SECP256K1())
    assert attempted(lambda: EcAgreementKey(secp256k1, alg="ECDH-ES"))[1] == "algorithm_not_allowed"
    assert attempted(lambda: EcAgreementKey.generate(alg="ECDH-ES", crv="P-192"))[1] == "algorithm_not_allowed"
    small = rsa.generate_private_key(65537, 1024)
    for candidate in (small, small.public_key()):
        assert attempted(lambda: RsaEncryptionKey(candidate))[1] == "key_invalid"  # noqa: B023
    with pytest.raises(ValueError, match="2048"):
        RsaEncryptionKey.generate(bits=2047)


def test_a_public_key_is_no_secret() -> None:
    point = b'{"kty":"EC","crv":"P-256","x":"'
    assert attempted(lambda: WrapKey(point + b" "))[1] == "key_invalid"
    assert attempted(lambda: DirectKey(b"-----BEGIN PUBLIC KEY-----MFkwEw"))[1] == "key_invalid"


def test_a_wrong_python_type_is_a_type_error() -> None:
    misuses: list[Callable[[], object]] = [
        lambda: DirectKey("a text of thirty-two characters!!"),  # type: ignore[arg-type]
        lambda: WrapKey(None),  # type: ignore[arg-type]
        lambda: EcAgreementKey(x25519.X25519PrivateKey.generate(), alg="ECDH-ES"),  # type: ignore[arg-type]
        lambda: X25519Key(ec.generate_private_key(ec.SECP256R1()), alg="ECDH-ES"),  # type: ignore[arg-type]
        lambda: RsaEncryptionKey(None),  # type: ignore[arg-type]
        lambda: WrapKey(random(32), kid=1),  # type: ignore[arg-type]
        lambda: encryption_jwk.from_jwk(None),  # type: ignore[arg-type]
        lambda: EncryptionKeySet([None]),  # type: ignore[list-item]
    ]
    for misuse in misuses:
        with pytest.raises(TypeError):
            misuse()


def test_a_set_finds_keys_by_id_and_an_unnamed_token_only_without_a_choice() -> None:
    agreement, rsa_key = key(OKP), key(OAEP)
    keys = EncryptionKeySet([agreement, rsa_key])
    assert keys.find(OKP, "ECDH-ES") is agreement
    assert keys.find("nobody", "ECDH-ES") is None
    assert keys.find(None, "RSA-OAEP-256") is rsa_key
    assert EncryptionKeySet([agreement, key(EC)]).find(None, "ECDH-ES") is None


@pytest.mark.parametrize("kinds", [["A256KW", EC], [OAEP, "dir A256GCM", EC], [EC, EC]])
def test_a_set_of_two_kinds_or_with_one_id_twice_is_refused(kinds: list[str]) -> None:
    document = {"keys": [key(kind).to_jwk(private=True) for kind in kinds]}
    assert attempted(lambda: EncryptionKeySet(key(kind) for kind in kinds)) == (None, "key_invalid")
    assert attempted(lambda: EncryptionKeySet.from_jwks(document)) == (None, "key_invalid")


def test_a_mixture_is_refused_even_when_one_kind_would_have_been_left_out() -> None:
    secret = {"kty": "oct", "k": "AAAA", "alg": "HS256"}
    document = {"keys": [key(EC).to_jwk(), secret]}
    assert attempted(lambda: EncryptionKeySet.from_jwks(document)) == (None, "key_invalid")


def test_a_published_set_serves_signatures_and_encryption_each_with_its_own_keys() -> None:
    signing = jwk.KeySet([minting.key("ES256"), minting.key("RS256")]).to_jwks()["keys"]
    encrypting = EncryptionKeySet([key(EC), key(OAEP)]).to_jwks()["keys"]
    document = json.dumps({"keys": [*signing, {"kty": "AKP"}, 3, *encrypting]})
    assert [found.kid for found in EncryptionKeySet.from_jwks(document)] == [EC, OAEP]
    assert [found.kid for found in jwk.KeySet.from_jwks(document)] == ["ES256", "RS256"]
    unnamed = {"keys": [_document(OKP, private=False, alg=None)]}
    assert len(EncryptionKeySet.from_jwks(unnamed)) == 0
    assert [found.alg for found in EncryptionKeySet.from_jwks(unnamed, alg="ECDH-ES")] == ["ECDH-ES"]


_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(
    kind=st.sampled_from(KINDS),
    member=st.sampled_from(["kty", "alg", "use", "key_ops", "kid", "crv", "x", "y", "d", "n", "e", "k", "p", "qi"]),
    value=_JSON | st.text("AQgw019-_=", max_size=45),
)
def test_a_jwk_with_anything_in_one_member_is_a_key_or_a_token_error(kind: str, member: str, value: Any) -> None:
    document = copy.deepcopy(_document(kind))
    document[member] = value
    assert _refusal(document) in {"accepted", "key_invalid", "algorithm_not_allowed"}
