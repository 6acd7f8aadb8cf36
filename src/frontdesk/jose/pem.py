"""Keys from PEM: PKCS#8 for private keys, SubjectPublicKeyInfo for public ones (RFC 7468 §10, §13).

One key a document, without a passphrase. Whoever reads it says what for. Certificates, parameters, PKCS#1, SEC 1
and OpenSSH files are refused: `openssl pkey` turns them into one of the two forms.
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from frontdesk.errors import TokenError
from frontdesk.jose.encryption_keys import EcAgreementKey, EncryptionKey, RsaEncryptionKey, X25519Key
from frontdesk.jose.keys import EcKey, Key, OkpKey, RsaKey
from frontdesk.jose.members import EcNative, Ed25519Native, RsaNative, X25519Native

PEM_MAX: Final = 32 * 1024

# One block. The body is checked by the parser, which skips text around blocks: hence the anchors.
_BLOCK: Final = re.compile(rb"\s*-----BEGIN ((?:PRIVATE|PUBLIC) KEY)-----[A-Za-z0-9+/=\s]+-----END \1-----\s*")

_Native: TypeAlias = EcNative | RsaNative | Ed25519Native | X25519Native


def signature_key(pem: str | bytes, *, alg: str | None = None, kid: str | None = None) -> Key:
    """The signature key in `pem`: P-256, P-384, Ed25519 or RSA.

    `alg` is needed for RSA (RS256 or PS256) and leaves the others no choice. Without `kid` the key id is the
    thumbprint. TokenError: `key_invalid`, or `algorithm_not_allowed` for types, curves and algorithms that are
    not offered.
    """
    native = _load(pem)
    if isinstance(native, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey):
        return EcKey(native, alg=alg, kid=kid)
    if isinstance(native, ed25519.Ed25519PrivateKey | ed25519.Ed25519PublicKey):
        return OkpKey(native, alg=alg or "EdDSA", kid=kid)
    if isinstance(native, rsa.RSAPrivateKey | rsa.RSAPublicKey):
        return RsaKey(native, alg=_named(alg), kid=kid)
    raise TokenError("algorithm_not_allowed", "This key signs nothing.")


def encryption_key(pem: str | bytes, *, alg: str | None = None, kid: str | None = None) -> EncryptionKey:
    """The encryption key in `pem`: P-256, P-384, P-521, X25519 or RSA.

    `alg` is needed for all but RSA, which is for RSA-OAEP-256. Otherwise as `signature_key`.
    """
    native = _load(pem)
    if isinstance(native, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey):
        return EcAgreementKey(native, alg=_named(alg), kid=kid)
    if isinstance(native, x25519.X25519PrivateKey | x25519.X25519PublicKey):
        return X25519Key(native, alg=_named(alg), kid=kid)
    if isinstance(native, rsa.RSAPrivateKey | rsa.RSAPublicKey):
        return RsaEncryptionKey(native, alg=alg or "RSA-OAEP-256", kid=kid)
    raise TokenError("algorithm_not_allowed", "This key encrypts nothing.")


def _named(alg: str | None) -> str:
    if alg is None:
        raise TokenError("key_invalid", "A PEM names no algorithm, and none was given.")
    return alg


def _load(pem: str | bytes) -> _Native:
    if not isinstance(pem, str | bytes):
        raise TypeError("a PEM is str or bytes")
    data = pem.encode("utf-8", "replace") if isinstance(pem, str) else pem
    if len(data) > PEM_MAX:
        raise TokenError("key_invalid", f"The PEM is larger than {PEM_MAX // 1024} KiB.")
    block = _BLOCK.fullmatch(data)
    if block is None:
        raise TokenError("key_invalid", "This is not one PEM block of type PRIVATE KEY or PUBLIC KEY.")
    try:
        native = load_pem_private_key(data, None) if block[1] == b"PRIVATE KEY" else load_pem_public_key(data)
    except Exception:  # noqa: BLE001 - its exceptions differ by version; all say that this is no key
        raise TokenError("key_invalid", "The PEM holds no key that can be read.") from None
    if not isinstance(native, _NATIVES):
        raise TokenError("algorithm_not_allowed", "Keys of this type are not offered.")
    return native


_NATIVES: Final = (
    ec.EllipticCurvePrivateKey,
    ec.EllipticCurvePublicKey,
    rsa.RSAPrivateKey,
    rsa.RSAPublicKey,
    ed25519.Ed25519PrivateKey,
    ed25519.Ed25519PublicKey,
    x25519.X25519PrivateKey,
    x25519.X25519PublicKey,
)
