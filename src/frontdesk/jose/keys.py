"""Keys: immutable, checked when built, each with exactly one algorithm (RFC 8725 §3.1).

=========  ==============================  =====================================  =============================
class      `alg`                           built from                             public part
=========  ==============================  =====================================  =============================
`OctKey`   HS256                           at least 32 secret bytes               none
`EcKey`    ES256                           a key of `cryptography` on P-256       `public()`
`OkpKey`   EdDSA, also written `Ed25519`   an Ed25519 key of `cryptography`       `public()`
`RsaKey`   RS256 or PS256                  an RSA key of `cryptography`           `public()`
=========  ==============================  =====================================  =============================

RFC 9864 replaces the name `EdDSA` by `Ed25519`. For a key on this curve both name the same algorithm, so an
`OkpKey` takes tokens under either name and signs under its own `alg`.

Broken and weak keys raise TokenError(`key_invalid`), an algorithm that the class does not offer raises
TokenError(`algorithm_not_allowed`), a wrong Python type raises TypeError.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Collection
from hmac import compare_digest
from typing import ClassVar, Final, NoReturn, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from frontdesk.errors import TokenError
from frontdesk.jose import b64, weakness
from frontdesk.jose.headers import Header
from frontdesk.jose.strictjson import serialise

KID_MAX: Final = 256
OPERATIONS: Final = frozenset({"sign", "verify"})

_SHA256: Final = SHA256()
_ECDSA: Final = ec.ECDSA(_SHA256)
_RSA_PADDING: Final[dict[str, padding.PKCS1v15 | padding.PSS]] = {
    "RS256": padding.PKCS1v15(),
    "PS256": padding.PSS(padding.MGF1(SHA256()), SHA256.digest_size),  # RFC 7518 §3.5 fixes the salt length
}


class Key(ABC):
    """One key, its one algorithm and its key id.

    `alg` is the JOSE name it signs under, `kid` its key id (never empty: a key that was given none derives one),
    `operations` the subset of {"sign", "verify"} that it may be used for. `known_headers` is a memo of header
    bytes that were found good under this key before; only `frontdesk.jose.jws` reads and writes it.
    """

    kty: ClassVar[str]
    algorithms: ClassVar[frozenset[str]]
    """The names this class may be built with."""

    __slots__ = ("alg", "kid", "known_headers", "operations")
    alg: str
    kid: str
    operations: frozenset[str]
    known_headers: dict[bytes, tuple[Key, Header]]

    def _build(self, alg: str, kid: str | None, operations: Collection[str]) -> None:
        if alg not in self.algorithms:
            raise TokenError("algorithm_not_allowed", f"A key of type {self.kty} does not offer this algorithm.")
        self._set("alg", alg)
        self._set("kid", self._derive_kid() if kid is None else _checked_kid(kid))
        self._set("operations", OPERATIONS.intersection(operations))
        self._set("known_headers", {})

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a key never changes")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a key never changes")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.alg} kid={self.kid!r}{' private' if self.is_private else ''}>"

    @property
    @abstractmethod
    def is_private(self) -> bool:
        """Whether the key holds what signing takes."""

    @abstractmethod
    def public(self) -> Key:
        """The same key without its private part, same `kid`. A symmetric key has none: ValueError."""

    @abstractmethod
    def sign(self, data: bytes) -> bytes:
        """The JWS signature over `data` (RFC 7518 §3). A public key: TokenError(`key_invalid`)."""

    @abstractmethod
    def verifies(self, data: bytes, signature: bytes) -> bool:
        """Whether `signature`, still in base64url, is this key's over `data`. Does not look at `operations`."""

    @abstractmethod
    def to_jwk(self, *, private: bool = False) -> dict[str, str]:
        """The JWK members, `alg`, `use` and `kid` included; the private ones only on demand."""

    def accepts(self, alg: str) -> bool:
        """Whether a token whose header says `alg` may be checked with this key."""
        return alg == self.alg

    def thumbprint(self) -> str:
        """RFC 7638 with SHA-256, in base64url. That of a symmetric key is not for publication (§7)."""
        members = self._thumbprint_members()
        return b64.encode(hashlib.sha256(serialise(dict(sorted(members.items())))).digest()).decode()

    @abstractmethod
    def _thumbprint_members(self) -> dict[str, str]: ...

    def _derive_kid(self) -> str:
        return self.thumbprint()

    def _described(self, members: dict[str, str]) -> dict[str, str]:
        return {**members, "alg": self.alg, "use": "sig", "kid": self.kid}


class OctKey(Key):
    """A symmetric secret for HS256: at least 32 bytes that nobody else has (RFC 7518 §3.2).

    The secret comes from the caller (`secrets.token_bytes(32)`): no human password, and nothing that looks like
    a public key or a key file. Without `kid` the key id is a MAC under the secret; a thumbprint would publish
    its plain hash.
    """

    kty = "oct"
    algorithms = frozenset({"HS256"})
    __slots__ = ("_mac", "_secret")
    _mac: HMAC
    _secret: bytes

    def __init__(
        self,
        secret: bytes,
        *,
        alg: str = "HS256",
        kid: str | None = None,
        operations: Collection[str] = OPERATIONS,
    ) -> None:
        if not isinstance(secret, bytes):
            raise TypeError("the secret of an OctKey is bytes")
        if len(secret) < SHA256.digest_size:
            raise TokenError("key_invalid", "A secret for HS256 has at least 32 bytes.")
        weakness.refuse_public_looking_secret(secret)
        self._set("_secret", secret)
        self._set("_mac", HMAC(secret, _SHA256))
        self._build(alg, kid, operations)

    @property
    def is_private(self) -> bool:
        return True

    def public(self) -> NoReturn:
        raise ValueError("a symmetric key has no public part")

    def sign(self, data: bytes) -> bytes:
        mac = self._mac.copy()
        mac.update(data)
        return mac.finalize()

    def verifies(self, data: bytes, signature: bytes) -> bool:
        # Comparing encodings instead of bytes also refuses every encoding that is not canonical.
        mac = self._mac.copy()
        mac.update(data)
        return compare_digest(b64.encode(mac.finalize()), signature)

    def to_jwk(self, *, private: bool = False) -> dict[str, str]:
        if not private:
            raise ValueError("a symmetric key has no public part")
        return self._described(self._thumbprint_members())

    def _thumbprint_members(self) -> dict[str, str]:
        return {"kty": "oct", "k": b64.encode(self._secret).decode()}

    def _derive_kid(self) -> str:
        return b64.encode(self.sign(b"frontdesk.jose key id")[:16]).decode()


class EcKey(Key):
    """An ECDSA key on P-256 for ES256 (RFC 7518 §3.4)."""

    kty = "EC"
    algorithms = frozenset({"ES256"})
    __slots__ = ("_private", "_public")
    _private: ec.EllipticCurvePrivateKey | None
    _public: ec.EllipticCurvePublicKey

    def __init__(
        self,
        key: ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey,
        *,
        alg: str = "ES256",
        kid: str | None = None,
        operations: Collection[str] = OPERATIONS,
    ) -> None:
        if isinstance(key, ec.EllipticCurvePrivateKey):
            self._set("_private", key)
            self._set("_public", key.public_key())
        elif isinstance(key, ec.EllipticCurvePublicKey):
            self._set("_private", None)
            self._set("_public", key)
        else:
            raise TypeError("an EcKey is built from an elliptic curve key of cryptography")
        if not isinstance(key.curve, ec.SECP256R1):
            raise TokenError("algorithm_not_allowed", "ES256 takes a key on the curve P-256.")
        self._build(alg, kid, operations)

    @classmethod
    def generate(cls, *, kid: str | None = None) -> Self:
        """A new private key from the randomness of `cryptography`."""
        return cls(ec.generate_private_key(ec.SECP256R1()), kid=kid)

    @property
    def is_private(self) -> bool:
        return self._private is not None

    def public(self) -> EcKey:
        return EcKey(self._public, alg=self.alg, kid=self.kid, operations=self.operations)

    def sign(self, data: bytes) -> bytes:
        if self._private is None:
            raise _no_private_part()
        r, s = decode_dss_signature(self._private.sign(data, _ECDSA))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def verifies(self, data: bytes, signature: bytes) -> bool:
        raw = b64.decode(signature)
        if len(raw) != 64:
            return False
        r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
        try:
            self._public.verify(encode_dss_signature(r, s), data, _ECDSA)
        except InvalidSignature:
            return False
        return True

    def to_jwk(self, *, private: bool = False) -> dict[str, str]:
        members = self._thumbprint_members()
        if private:
            if self._private is None:
                raise _no_private_part()
            members["d"] = _fixed(self._private.private_numbers().private_value, 32)
        return self._described(members)

    def _thumbprint_members(self) -> dict[str, str]:
        numbers = self._public.public_numbers()
        return {"kty": "EC", "crv": "P-256", "x": _fixed(numbers.x, 32), "y": _fixed(numbers.y, 32)}


class OkpKey(Key):
    """An Ed25519 key (RFC 8037, RFC 8032); `alg` is `EdDSA` or its successor `Ed25519` (RFC 9864)."""

    kty = "OKP"
    algorithms = frozenset({"EdDSA", "Ed25519"})
    __slots__ = ("_private", "_public")
    _private: ed25519.Ed25519PrivateKey | None
    _public: ed25519.Ed25519PublicKey

    def __init__(
        self,
        key: ed25519.Ed25519PrivateKey | ed25519.Ed25519PublicKey,
        *,
        alg: str = "EdDSA",
        kid: str | None = None,
        operations: Collection[str] = OPERATIONS,
    ) -> None:
        if isinstance(key, ed25519.Ed25519PrivateKey):
            self._set("_private", key)
            self._set("_public", key.public_key())
        elif isinstance(key, ed25519.Ed25519PublicKey):
            weakness.refuse_bad_ed25519_point(key.public_bytes_raw())
            self._set("_private", None)
            self._set("_public", key)
        else:
            raise TypeError("an OkpKey is built from an Ed25519 key of cryptography")
        self._build(alg, kid, operations)

    @classmethod
    def generate(cls, *, kid: str | None = None) -> Self:
        """A new private key from the randomness of `cryptography`."""
        return cls(ed25519.Ed25519PrivateKey.generate(), kid=kid)

    @property
    def is_private(self) -> bool:
        return self._private is not None

    def accepts(self, alg: str) -> bool:
        return alg in self.algorithms

    def public(self) -> OkpKey:
        return OkpKey(self._public, alg=self.alg, kid=self.kid, operations=self.operations)

    def sign(self, data: bytes) -> bytes:
        if self._private is None:
            raise _no_private_part()
        return self._private.sign(data)

    def verifies(self, data: bytes, signature: bytes) -> bool:
        try:
            self._public.verify(b64.decode(signature), data)
        except InvalidSignature:
            return False
        return True

    def to_jwk(self, *, private: bool = False) -> dict[str, str]:
        members = self._thumbprint_members()
        if private:
            if self._private is None:
                raise _no_private_part()
            members["d"] = b64.encode(self._private.private_bytes_raw()).decode()
        return self._described(members)

    def _thumbprint_members(self) -> dict[str, str]:
        return {"kty": "OKP", "crv": "Ed25519", "x": b64.encode(self._public.public_bytes_raw()).decode()}


class RsaKey(Key):
    """An RSA key for RS256 or PS256 (RFC 7518 §3.3, §3.5), one of them: `alg` has no default."""

    kty = "RSA"
    algorithms = frozenset({"RS256", "PS256"})
    __slots__ = ("_padding", "_private", "_public", "_size")
    _padding: padding.PKCS1v15 | padding.PSS
    _private: rsa.RSAPrivateKey | None
    _public: rsa.RSAPublicKey
    _size: int

    def __init__(
        self,
        key: rsa.RSAPrivateKey | rsa.RSAPublicKey,
        *,
        alg: str,
        kid: str | None = None,
        operations: Collection[str] = OPERATIONS,
    ) -> None:
        if isinstance(key, rsa.RSAPrivateKey):
            self._set("_private", key)
            self._set("_public", key.public_key())
        elif isinstance(key, rsa.RSAPublicKey):
            self._set("_private", None)
            self._set("_public", key)
        else:
            raise TypeError("an RsaKey is built from an RSA key of cryptography")
        numbers = self._public.public_numbers()
        weakness.refuse_weak_rsa(numbers.n, numbers.e)
        self._build(alg, kid, operations)
        self._set("_padding", _RSA_PADDING[alg])
        self._set("_size", (key.key_size + 7) // 8)

    @classmethod
    def generate(cls, *, alg: str, bits: int = 3072, kid: str | None = None) -> Self:
        """A new private key from the randomness of `cryptography`; takes a noticeable part of a second."""
        if not weakness.RSA_BITS_MIN <= bits <= weakness.RSA_BITS_MAX:
            raise ValueError(f"an RSA key has {weakness.RSA_BITS_MIN} to {weakness.RSA_BITS_MAX} bits")
        return cls(rsa.generate_private_key(65537, bits), alg=alg, kid=kid)

    @property
    def is_private(self) -> bool:
        return self._private is not None

    def public(self) -> RsaKey:
        return RsaKey(self._public, alg=self.alg, kid=self.kid, operations=self.operations)

    def sign(self, data: bytes) -> bytes:
        if self._private is None:
            raise _no_private_part()
        return self._private.sign(data, self._padding, _SHA256)

    def verifies(self, data: bytes, signature: bytes) -> bool:
        raw = b64.decode(signature)
        if len(raw) != self._size:
            return False
        try:
            self._public.verify(raw, data, self._padding, _SHA256)
        except InvalidSignature:
            return False
        return True

    def to_jwk(self, *, private: bool = False) -> dict[str, str]:
        members = self._thumbprint_members()
        if private:
            if self._private is None:
                raise _no_private_part()
            numbers = self._private.private_numbers()
            parts = {"d": numbers.d, "p": numbers.p, "q": numbers.q}
            parts |= {"dp": numbers.dmp1, "dq": numbers.dmq1, "qi": numbers.iqmp}
            members |= {name: _shortest(number) for name, number in parts.items()}
        return self._described(members)

    def _thumbprint_members(self) -> dict[str, str]:
        numbers = self._public.public_numbers()
        return {"kty": "RSA", "n": _shortest(numbers.n), "e": _shortest(numbers.e)}


ALGORITHMS: Final = OctKey.algorithms | EcKey.algorithms | OkpKey.algorithms | RsaKey.algorithms
"""Every JOSE name that some key here verifies. `none` is not among them."""


def _checked_kid(kid: str) -> str:
    if not isinstance(kid, str):
        raise TypeError("a key id is a string")
    if not 0 < len(kid) <= KID_MAX or not kid.isprintable():
        raise TokenError("key_invalid", f"A key id has 1 to {KID_MAX} printable characters.")
    return kid


def _no_private_part() -> TokenError:
    return TokenError("key_invalid", "The key holds no private part.")


def _fixed(number: int, size: int) -> str:
    """A coordinate: always `size` bytes (RFC 7518 §6.2.1.2)."""
    return b64.encode(number.to_bytes(size, "big")).decode()


def _shortest(number: int) -> str:
    """Base64urlUInt: no leading zero byte (RFC 7518 §2)."""
    return b64.encode(number.to_bytes((number.bit_length() + 7) // 8, "big")).decode()
