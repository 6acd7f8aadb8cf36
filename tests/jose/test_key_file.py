"""Keys from a file: what it is decides the kind of key, the token only where the file leaves a choice."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from frontdesk.errors import TokenError
from frontdesk.jose import jwe, jws
from frontdesk.jose.encryption_keys import DirectKey, EncryptionKey, RsaEncryptionKey, WrapKey, X25519Key
from frontdesk.jose.jwk import EcKey, Key, OctKey, OkpKey, RsaKey
from frontdesk.jose.key_file import encryption_keys, signature_keys
from tests.jose import minting

SECRET = "8k2vJq0w7ZxT4mNc9RbYh3LsDfGp6AeU"


def pem(key: object) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined,no-any-return]


def refused(content: bytes, alg: str) -> str:
    with pytest.raises(TokenError) as caught:
        signature_keys(content, alg=alg, kid=None)
    return caught.value.code


@pytest.mark.parametrize("alg", minting.ALGORITHMS)
@pytest.mark.parametrize("named", [True, False])
def test_a_jwk_verifies_what_it_signed_with_or_without_alg_and_kid(alg: str, named: bool) -> None:
    members = minting.key(alg).to_jwk(private=True)
    if not named:
        del members["alg"], members["kid"]
    key = signature_keys(json.dumps(members).encode(), alg=alg, kid=alg)
    assert jws.verify(minting.token(alg), key).header.alg == alg


def test_a_set_verifies_with_the_key_that_the_token_names() -> None:
    jwks = {"keys": [minting.verifying(alg).to_jwk() for alg in minting.ASYMMETRIC]}
    for alg in minting.ASYMMETRIC:
        keys = signature_keys(json.dumps(jwks).encode(), alg=alg, kid=alg)
        assert jws.verify(minting.token(alg), keys).key.alg == alg


@pytest.mark.parametrize(
    ("native", "alg", "kind"),
    [
        (ec.generate_private_key(ec.SECP256R1()), "ES256", EcKey),
        (ed25519.Ed25519PrivateKey.generate(), "EdDSA", OkpKey),
        (rsa.generate_private_key(65537, 2048), "PS256", RsaKey),
    ],
)
def test_a_pem_is_the_key_that_the_token_names(native: object, alg: str, kind: type[Key]) -> None:
    key = signature_keys(pem(native.public_key()), alg=alg, kid="any")  # type: ignore[attr-defined]
    assert isinstance(key, kind)
    assert (key.alg, key.kid) == (alg, "any")


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_a_public_key_never_becomes_a_secret(alg: str) -> None:
    native = rsa.generate_private_key(65537, 2048).public_key()
    assert refused(pem(native), alg) == "algorithm_not_allowed"
    assert refused(native.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo), alg) == "key_invalid"
    key = signature_keys(json.dumps(minting.verifying("RS256").to_jwk()).encode(), alg=alg, kid=None)
    assert isinstance(key, RsaKey)
    assert not key.accepts(alg)


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_the_line_end_behind_a_secret_is_the_editors(end: str) -> None:
    token = jws.sign(b"{}", OctKey(SECRET.encode(), kid="k"))
    assert jws.verify(token, signature_keys((SECRET + end).encode(), alg="HS256", kid="k")).payload == b"{}"


def test_a_secret_of_bytes_is_taken_whole() -> None:
    secret = bytes(range(200, 231)) + b"\n"
    token = jws.sign(b"{}", OctKey(secret, kid="k"))
    assert jws.verify(token, signature_keys(secret, alg="HS256", kid="k")).payload == b"{}"


@pytest.mark.parametrize(
    ("content", "alg", "code"),
    [
        (b"your-256-bit-secret", "HS256", "key_invalid"),
        (SECRET.encode(), "ES256", "algorithm_not_allowed"),
        (SECRET.encode(), "RS512", "algorithm_not_allowed"),
        (b"{", "ES256", "key_invalid"),
        (b'{"kty":"EC"}', "ES256", "key_invalid"),
        (b"", "HS256", "key_invalid"),
    ],
)
def test_what_is_no_key_for_the_token_is_refused(content: bytes, alg: str, code: str) -> None:
    assert refused(content, alg) == code


@pytest.mark.parametrize(
    ("key", "enc"),
    [
        (DirectKey(bytes(range(32)), enc="A256GCM", kid="k"), "A256GCM"),
        (DirectKey(bytes(range(64)), enc="A256CBC-HS512", kid="k"), "A256CBC-HS512"),
        (WrapKey(bytes(range(32)), kid="k"), "A128GCM"),
        (X25519Key(x25519.X25519PrivateKey.generate(), alg="ECDH-ES", kid="k"), "A256GCM"),
        (RsaEncryptionKey(rsa.generate_private_key(65537, 2048), alg="RSA-OAEP-256", kid="k"), "A256GCM"),
    ],
)
@pytest.mark.parametrize("form", ["jwk", "bare jwk", "set"])
def test_a_jwk_or_a_set_opens_what_was_encrypted_to_it(key: EncryptionKey, enc: str, form: str) -> None:
    token = jwe.encrypt(b"{}", key, enc=enc, random=bytes(jwe.random_size(key, enc)))
    members = key.to_jwk(private=True)
    if form == "bare jwk":
        del members["alg"], members["kid"]
    document = {"keys": [members]} if form == "set" else members
    found = encryption_keys(json.dumps(document).encode(), alg=key.alg, enc=enc, kid="k")
    assert jwe.decrypt(token, found, enc=enc).plaintext == b"{}"


def test_a_secret_or_a_pem_opens_what_was_encrypted_to_it() -> None:
    native = x25519.X25519PrivateKey.generate()
    private = native.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for key, content in (
        (DirectKey(SECRET.encode(), kid="k"), SECRET.encode()),
        (WrapKey(SECRET.encode(), kid="k"), f"{SECRET}\n".encode()),
        (X25519Key(native, alg="ECDH-ES+A256KW", kid="k"), private),
    ):
        token = jwe.encrypt(b"{}", key, random=bytes(range(jwe.random_size(key))))
        found = encryption_keys(content, alg=key.alg, enc="A256GCM", kid="k")
        assert jwe.decrypt(token, found).plaintext == b"{}"


def test_a_bare_secret_opens_nothing_that_takes_a_key_pair() -> None:
    with pytest.raises(TokenError) as caught:
        encryption_keys(SECRET.encode(), alg="RSA1_5", enc="A256GCM", kid=None)
    assert caught.value.code == "algorithm_not_allowed"
