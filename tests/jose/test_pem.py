"""Keys from PEM: PKCS#8 and SubjectPublicKeyInfo, one key, no passphrase, and nothing else."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x448, x25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from frontdesk.jose import jwe, jws, pem
from tests.jose.minting import NOW, attempted
from tests.jose.sealing import random

NATIVE: dict[str, Any] = {
    "P-256": ec.generate_private_key(ec.SECP256R1()),
    "P-384": ec.generate_private_key(ec.SECP384R1()),
    "P-521": ec.generate_private_key(ec.SECP521R1()),
    "RSA": rsa.generate_private_key(65537, 2048),
    "Ed25519": ed25519.Ed25519PrivateKey.generate(),
    "X25519": x25519.X25519PrivateKey.generate(),
}
SIGNING = {"P-256": (None, "ES256"), "P-384": (None, "ES384"), "RSA": ("PS256", "PS256"), "Ed25519": (None, "EdDSA")}
ENCRYPTING = dict.fromkeys(("P-256", "P-384", "P-521", "X25519"), "ECDH-ES+A256KW") | {"RSA": "RSA-OAEP-256"}


def _private(native: Any, form: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    document: bytes = native.private_bytes(Encoding.PEM, form, NoEncryption())
    return document


def _public(native: Any) -> bytes:
    document: bytes = native.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return document


def _refusals(document: Any) -> set[str]:
    found = set()
    for alg in (None, "RS256", "ECDH-ES"):
        found.add(attempted(partial(pem.signature_key, document, alg=alg))[1])
        found.add(attempted(partial(pem.encryption_key, document, alg=alg))[1])
    return found


@pytest.mark.parametrize("name", SIGNING)
def test_a_pair_from_pem_signs_and_verifies(name: str) -> None:
    asked, alg = SIGNING[name]
    private = pem.signature_key(_private(NATIVE[name]), alg=asked)
    public = pem.signature_key(_public(NATIVE[name]).decode(), alg=asked)
    assert (private.alg, private.is_private, public.is_private) == (alg, True, False)
    assert private.kid == public.kid == public.thumbprint()
    assert jws.verify(jws.sign(b"x", private), public).payload == b"x"
    assert pem.signature_key(_public(NATIVE[name]), alg=asked, kid="mine").kid == "mine"


@pytest.mark.parametrize("name", ENCRYPTING)
def test_a_pair_from_pem_encrypts_and_decrypts(name: str) -> None:
    private = pem.encryption_key(_private(NATIVE[name]), alg=ENCRYPTING[name])
    public = pem.encryption_key(_public(NATIVE[name]).decode(), alg=ENCRYPTING[name])
    assert private.kid == public.kid == public.thumbprint()
    token = jwe.encrypt(b"x", public, random=random(jwe.random_size(public)))
    assert jwe.decrypt(token, private).plaintext == b"x"


def test_what_the_pem_does_not_say_must_be_given_and_what_it_says_holds() -> None:
    assert attempted(lambda: pem.signature_key(_public(NATIVE["RSA"])))[1] == "key_invalid"
    assert attempted(lambda: pem.encryption_key(_public(NATIVE["P-256"])))[1] == "key_invalid"
    assert attempted(lambda: pem.encryption_key(_public(NATIVE["X25519"])))[1] == "key_invalid"
    assert pem.encryption_key(_public(NATIVE["RSA"])).alg == "RSA-OAEP-256"
    wrong = [("P-256", "ES384"), ("P-384", "RS256"), ("Ed25519", "ES256"), ("RSA", "HS256"), ("RSA", "RSA-OAEP-256")]
    for name, alg in wrong:
        assert attempted(lambda: pem.signature_key(_public(NATIVE[name]), alg=alg))[1] == "algorithm_not_allowed"  # noqa: B023
    for name in ("P-521", "X25519"):
        assert attempted(lambda: pem.signature_key(_public(NATIVE[name])))[1] == "algorithm_not_allowed"  # noqa: B023
    assert attempted(lambda: pem.encryption_key(_public(NATIVE["Ed25519"])))[1] == "algorithm_not_allowed"
    assert attempted(lambda: pem.encryption_key(_public(NATIVE["RSA"]), alg="RSA1_5"))[1] == "algorithm_not_allowed"


def _certificate() -> bytes:
    nobody = x509.Name([])
    builder = x509.CertificateBuilder(nobody, nobody, NATIVE["P-256"].public_key(), 1, NOW, NOW)
    return builder.sign(NATIVE["P-256"], SHA256()).public_bytes(Encoding.PEM)


_PUBLIC = _public(NATIVE["P-256"])
FORMS: dict[str, Any] = {
    "nothing": b"",
    "no PEM": b"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE",
    "PKCS#1": _private(NATIVE["RSA"], PrivateFormat.TraditionalOpenSSL),
    "SEC 1": _private(NATIVE["P-256"], PrivateFormat.TraditionalOpenSSL),
    "OpenSSH": _private(NATIVE["Ed25519"], PrivateFormat.OpenSSH),
    "an OpenSSH public key": NATIVE["Ed25519"].public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
    "a certificate": _certificate(),
    "a passphrase": NATIVE["P-256"].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")),
    "two keys": _PUBLIC + _public(NATIVE["P-384"]),
    "a pair": _private(NATIVE["P-256"]) + _PUBLIC,
    "text before": b"hello\n" + _PUBLIC,
    "text behind": _PUBLIC + b"hello",
    "another name at the end": _PUBLIC.replace(b"END PUBLIC", b"END PRIVATE"),
    "another name at both ends": _PUBLIC.replace(b"PUBLIC", b"PRIVATE"),
    "a truncated body": b"\n".join([_PUBLIC.splitlines()[0], _PUBLIC.splitlines()[1][:20], _PUBLIC.splitlines()[-1]]),
    "DER": NATIVE["P-256"].public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    "too large": b" " * pem.PEM_MAX + _PUBLIC,
    "a lone surrogate": "\ud800" + _PUBLIC.decode(),
}  # fmt: skip


@pytest.mark.parametrize("document", FORMS.values(), ids=FORMS.keys())
def test_every_other_form_is_refused(document: Any) -> None:
    assert _refusals(document) == {"key_invalid"}


def test_space_around_the_block_and_other_line_ends_are_taken() -> None:
    for document in (b"\n\n" + _PUBLIC + b"\n ", _PUBLIC.replace(b"\n", b"\r\n"), _PUBLIC.rstrip()):
        assert pem.signature_key(document).alg == "ES256"


@pytest.mark.parametrize(
    "native",
    [
        ec.generate_private_key(ec.SECP256K1()),
        ed448.Ed448PrivateKey.generate(),
        x448.X448PrivateKey.generate(),
        dsa.generate_private_key(2048),
    ],
)
def test_other_types_of_keys_are_refused(native: Any) -> None:
    for document in (_private(native), _public(native)):
        assert _refusals(document) <= {"algorithm_not_allowed", "key_invalid"}
        assert attempted(lambda: pem.signature_key(document))[1] == "algorithm_not_allowed"  # noqa: B023


def test_weak_keys_are_refused() -> None:
    weak = rsa.generate_private_key(65537, 1024)
    for document in (_private(weak), _public(weak)):
        assert attempted(lambda: pem.signature_key(document, alg="RS256"))[1] == "key_invalid"  # noqa: B023
        assert attempted(lambda: pem.encryption_key(document))[1] == "key_invalid"  # noqa: B023
    small_order = x25519.X25519PublicKey.from_public_bytes(bytes(32))
    document = small_order.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert attempted(lambda: pem.encryption_key(document, alg="ECDH-ES"))[1] == "key_invalid"


def test_a_wrong_python_type_is_a_type_error() -> None:
    for read in (pem.signature_key, pem.encryption_key):
        with pytest.raises(TypeError):
            read(None)  # type: ignore[arg-type]


@given(position=st.integers(0, len(_PUBLIC) - 1), byte=st.integers(0, 255))
def test_a_changed_byte_makes_another_key_or_a_token_error(position: int, byte: int) -> None:
    changed = _PUBLIC[:position] + bytes([byte]) + _PUBLIC[position + 1 :]
    outcome = attempted(lambda: pem.signature_key(changed))[1]
    assert outcome in {"accepted", "key_invalid", "algorithm_not_allowed"}


@given(st.binary(max_size=100) | st.text(max_size=100))
def test_anything_is_refused_with_a_code(document: bytes | str) -> None:
    assert _refusals(document) == {"key_invalid"}
