"""Keys for signatures: immutable, checked when built, each with exactly one algorithm (RFC 8725 §3.1).

=========  ==============================  ==============================================  ============
class      `alg`                           built from                                      public part
=========  ==============================  ==============================================  ============
`OctKey`   HS256, HS384, HS512             at least 32, 48, 64 secret bytes                none
`EcKey`    ES256, ES384                    a key of `cryptography` on P-256, P-384         `public()`
`OkpKey`   EdDSA, also written `Ed25519`   an Ed25519 key of `cryptography`                `public()`
`RsaKey`   RS256 or PS256                  an RSA key of `cryptography`                    `public()`
=========  ==============================  ==============================================  ============

RFC 9864 replaces the name `EdDSA` by `Ed25519`. For a key on this curve both name the same algorithm, so an
`OkpKey` takes tokens under either name and signs under its own `alg`.

Broken and weak keys raise TokenError(`key_invalid`), an algorithm that the class does not offer raises
TokenError(`algorithm_not_allowed`), a wrong Python type raises TypeError.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection
from hmac import compare_digest
from typing import Final, NoReturn, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.hmac import HMAC

from frontdesk.errors import TokenError
from frontdesk.jose import b64, weakness
from frontdesk.jose import members as jwk_members
from frontdesk.jose.headers import Header
from frontdesk.jose.identity import NamedKey, no_private_part, no_public_part

OPERATIONS: Final = frozenset({"sign", "verify"})

_SHA256: Final = SHA256()
_HMAC_HASH: Final[dict[str, HashAlgorithm]] = {"HS256": _SHA256, "HS384": SHA384(), "HS512": SHA512()}
_EC_ALGORITHM: Final = {"P-256": "ES256", "P-384": "ES384"}
_ECDSA: Final = {"ES256": ec.ECDSA(_SHA256), "ES384": ec.ECDSA(SHA384())}
_RSA_PADDING: Final[dict[str, padding.PKCS1v15 | padding.PSS]] = {
    "RS256": padding.PKCS1v15(),
    "PS256": padding.PSS(padding.MGF1(SHA256()), SHA256.digest_size),  # RFC 7518 §3.5 fixes the salt length
}


class Key(NamedKey):
    """A key for signatures.

    `known_headers` is a memo of header bytes that were found good under this key before; only
    `frontdesk.jose.jws` reads and writes it.
    """

    use = "sig"
    every_operation = OPERATIONS
    __slots__ = ("known_headers",)
    known_headers: dict[bytes, tuple[Key, Header]]

    def _build(self, alg: str, kid: str | None, operations: Collection[str] | None) -> None:
        super()._build(alg, kid, operations)
        self._set("known_headers", {})

    @abstractmethod
    def sign(self, data: bytes) -> bytes:
        """The JWS signature over `data` (RFC 7518 §3). A public key: TokenError(`key_invalid`)."""

    @abstractmethod
    def verifies(self, data: bytes, signature: bytes) -> bool:
        """Whether `signature`, still in base64url, is this key's over `data`. Does not look at `operations`."""


class OctKey(Key):
    """A symmetric secret: at least as many bytes as the hash has, that nobody else knows (RFC 7518 §3.2).

    The secret comes from the caller (`secrets.token_bytes(32)`): no human password, and nothing that looks like
    a public key or a key file. Without `kid` the key id is a MAC under the secret; a thumbprint would publish
    its plain hash.
    """

    kty = "oct"
    algorithms = frozenset(_HMAC_HASH)
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
        algorithm = _HMAC_HASH.get(alg)
        if algorithm is None:
            raise TokenError("algorithm_not_allowed", "A symmetric key for signatures does not offer this algorithm.")
        if len(secret) < algorithm.digest_size:
            raise TokenError("key_invalid", f"A secret for {alg} has at least {algorithm.digest_size} bytes.")
        weakness.refuse_public_looking_secret(secret)
        self._set("_secret", secret)
        self._set("_mac", HMAC(secret, algorithm))
        self._build(alg, kid, operations)

    @property
    def is_private(self) -> bool:
        return True

    def public(self) -> NoReturn:
        raise no_public_part()

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
            raise no_public_part()
        return self._described(self._thumbprint_members())

    def _thumbprint_members(self) -> dict[str, str]:
        return {"kty": "oct", "k": b64.encode(self._secret).decode()}

    def _derive_kid(self) -> str:
        return b64.encode(self.sign(b"frontdesk.jose key id")[:16]).decode()


class EcKey(Key):
    """An ECDSA key: ES256 on P-256, ES384 on P-384 (RFC 7518 §3.4). The curve leaves `alg` no choice."""

    kty = "EC"
    algorithms = frozenset(_ECDSA)
    __slots__ = ("_hashing", "_private", "_public", "_size")
    _hashing: ec.ECDSA
    _private: ec.EllipticCurvePrivateKey | None
    _public: ec.EllipticCurvePublicKey
    _size: int

    def __init__(
        self,
        key: ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey,
        *,
        alg: str | None = None,
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
        only = _EC_ALGORITHM.get(jwk_members.curve_name(key.curve) or "")
        if only is None or alg not in (None, only):
            raise TokenError("algorithm_not_allowed", "ES256 takes a key on the curve P-256, ES384 one on P-384.")
        self._build(only, kid, operations)
        self._set("_hashing", _ECDSA[only])
        self._set("_size", jwk_members.size_of(key.curve))

    @classmethod
    def generate(cls, *, alg: str = "ES256", kid: str | None = None) -> Self:
        """A new private key from the randomness of `cryptography`."""
        for curve, name in _EC_ALGORITHM.items():
            if name == alg:
                return cls(ec.generate_private_key(jwk_members.CURVES[curve]), kid=kid)
        raise TokenError("algorithm_not_allowed", "A key of type EC does not offer this algorithm.")

    @property
    def is_private(self) -> bool:
        return self._private is not None

    def public(self) -> EcKey:
        return EcKey(self._public, alg=self.alg, kid=self.kid, operations=self.operations)

    def sign(self, data: bytes) -> bytes:
        if self._private is None:
            raise no_private_part()
        r, s = decode_dss_signature(self._private.sign(data, self._hashing))
        return r.to_bytes(self._size, "big") + s.to_bytes(self._size, "big")

    def verifies(self, data: bytes, signature: bytes) -> bool:
        raw = b64.decode(signature)
        size = self._size
        if len(raw) != 2 * size:
            return False
        r, s = int.from_bytes(raw[:size], "big"), int.from_bytes(raw[size:], "big")
        try:
            self._public.verify(encode_dss_signature(r, s), data, self._hashing)
        except InvalidSignature:
            return False
        return True

    def to_jwk(self, *, private: bool = False) -> dict[str, str]:
        members = self._thumbprint_members()
        if private:
            if self._private is None:
                raise no_private_part()
            members |= jwk_members.private_ec_members(self._private)
        return self._described(members)

    def _thumbprint_members(self) -> dict[str, str]:
        return jwk_members.public_ec_members(self._public)


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
            raise no_private_part()
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
                raise no_private_part()
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
            raise no_private_part()
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
                raise no_private_part()
            members |= jwk_members.private_rsa_members(self._private)
        return self._described(members)

    def _thumbprint_members(self) -> dict[str, str]:
        return jwk_members.public_rsa_members(self._public)


ALGORITHMS: Final = OctKey.algorithms | EcKey.algorithms | OkpKey.algorithms | RsaKey.algorithms
"""Every JOSE name that some key here verifies. `none` is not among them."""
