"""Keys for encryption: immutable, checked when built, each with exactly one algorithm (RFC 8725 §3.1).

==================  =========================  ==================================================  ============
class               `alg` (RFC 7518 §4)        built from                                          public part
==================  =========================  ==================================================  ============
`DirectKey`         dir, with one `enc`        a secret of the exact size of this `enc`            none
`WrapKey`           A256KW                     32 secret bytes                                     none
`EcAgreementKey`    ECDH-ES, ECDH-ES+A256KW    a key of `cryptography` on P-256, P-384, P-521      `public()`
`X25519Key`         ECDH-ES, ECDH-ES+A256KW    an X25519 key of `cryptography`                     `public()`
`RsaEncryptionKey`  RSA-OAEP-256               an RSA key of `cryptography`                        `public()`
==================  =========================  ==================================================  ============

Who can encrypt? For the first two classes only those who hold the secret. For the others everybody who knows the
public key: what such a key opens says nothing about who wrote it (`is_symmetric`).

Refusals are those of `frontdesk.jose.keys`. A key for signatures is another class, so that neither can take the
place of the other.
"""

from __future__ import annotations

import hmac
from abc import abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, NoReturn, Self

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, x25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from frontdesk.errors import TokenError
from frontdesk.jose import b64, weakness
from frontdesk.jose import members as jwk_members
from frontdesk.jose.content import CONTENTS, Cipher, Content
from frontdesk.jose.headers import Header
from frontdesk.jose.identity import NamedKey, no_private_part, no_public_part

WRAP_SIZE: Final = 32
_AGREEMENTS: Final = frozenset({"ECDH-ES", "ECDH-ES+A256KW"})
_OAEP: Final = padding.OAEP(padding.MGF1(SHA256()), SHA256(), None)


@dataclass(frozen=True, slots=True)
class Sealing:
    """What a sender needs: the content cipher, the JWE Encrypted Key, and what the header must tell."""

    cipher: Cipher
    encrypted_key: bytes = b""
    members: Mapping[str, Any] = field(default_factory=dict)


class EncryptionKey(NamedKey):
    """A key for encryption.

    `opened_headers` is a memo of header bytes that came with an authentic content under this key before; only
    `frontdesk.jose.jwe` reads and writes it.
    """

    use = "enc"
    is_symmetric: ClassVar[bool]
    """Whether only holders of the secret can encrypt, so that what was opened is authentic."""
    sealing_operations: ClassVar[frozenset[str]]
    opening_operations: ClassVar[frozenset[str]]

    __slots__ = ("opened_headers",)
    opened_headers: dict[bytes, tuple[EncryptionKey, Header]]

    def _build(self, alg: str, kid: str | None, operations: Collection[str] | None) -> None:
        super()._build(alg, kid, operations)
        self._set("opened_headers", {})

    def takes(self, enc: str) -> bool:
        """Whether the key goes with this content encryption."""
        return enc in CONTENTS

    @abstractmethod
    def random_size(self, content: Content, /) -> int:
        """How many random bytes `sealing` takes."""

    @abstractmethod
    def sealing(self, content: Content, random: bytes, parties: tuple[bytes, bytes], /) -> Sealing:
        """A content key for one message, made from `random`. `parties` are `apu` and `apv`, mostly empty."""

    @abstractmethod
    def opening(self, header: Header, encrypted_key: bytes, content: Content, /) -> Cipher | None:
        """The content cipher of a received message; None when `encrypted_key` holds no key for it.

        TokenError: `header_invalid` for a bad ephemeral key, `key_invalid` when this key has no private part.
        """


class _SecretKey(EncryptionKey):
    kty = "oct"
    is_symmetric = True
    __slots__ = ("_secret",)
    _secret: bytes

    def _take(self, secret: bytes, size: int) -> None:
        if not isinstance(secret, bytes):
            raise TypeError(f"the secret of a {type(self).__name__} is bytes")
        if len(secret) != size:
            raise TokenError("key_invalid", f"This secret must have {size} bytes.")
        weakness.refuse_public_looking_secret(secret)
        self._set("_secret", secret)

    @property
    def is_private(self) -> bool:
        return True

    def public(self) -> NoReturn:
        raise no_public_part()

    def to_jwk(self, *, private: bool = False) -> dict[str, str]:
        if not private:
            raise no_public_part()
        return self._described(self._thumbprint_members())

    def _thumbprint_members(self) -> dict[str, str]:
        return {"kty": "oct", "k": b64.encode(self._secret).decode()}

    def _derive_kid(self) -> str:
        # A thumbprint would publish the plain hash of the secret.
        return b64.encode(hmac.digest(self._secret, b"frontdesk.jose key id", "sha256")[:16]).decode()


class DirectKey(_SecretKey):
    """A secret that encrypts the content itself (`dir`, RFC 7518 §4.5), with one `enc`.

    With AES-GCM one such key may encrypt 2^32 messages (NIST SP 800-38D §8.3): rotate it well before. In JSON
    its `alg` is the name of its `enc`, as in RFC 7520 §5.6.
    """

    algorithms = frozenset({"dir"})
    sealing_operations = frozenset({"encrypt"})
    opening_operations = frozenset({"decrypt"})
    every_operation = sealing_operations | opening_operations
    __slots__ = ("_cipher", "enc")
    _cipher: Cipher
    enc: str

    def __init__(
        self,
        secret: bytes,
        *,
        enc: str = "A256GCM",
        kid: str | None = None,
        operations: Collection[str] | None = None,
    ) -> None:
        content = CONTENTS.get(enc)
        if content is None:
            raise TokenError("algorithm_not_allowed", "This content encryption is not offered.")
        self._take(secret, content.key_size)
        self._set("enc", enc)
        self._set("_cipher", content.cipher(secret))
        self._build("dir", kid, operations)

    def takes(self, enc: str) -> bool:
        return enc == self.enc

    def random_size(self, _content: Content, /) -> int:
        return 0

    def sealing(self, _content: Content, _random: bytes, parties: tuple[bytes, bytes], /) -> Sealing:
        _refuse_parties(parties)
        return Sealing(self._cipher)

    def opening(self, _header: Header, encrypted_key: bytes, _content: Content, /) -> Cipher | None:
        return None if encrypted_key else self._cipher

    def _described(self, members: dict[str, str]) -> dict[str, str]:
        return {**super()._described(members), "alg": self.enc}


class WrapKey(_SecretKey):
    """A secret of 32 bytes that encrypts a content key of each message (A256KW, RFC 7518 §4.4)."""

    algorithms = frozenset({"A256KW"})
    sealing_operations = frozenset({"wrapKey"})
    opening_operations = frozenset({"unwrapKey"})
    every_operation = sealing_operations | opening_operations
    __slots__ = ()

    def __init__(
        self,
        secret: bytes,
        *,
        alg: str = "A256KW",
        kid: str | None = None,
        operations: Collection[str] | None = None,
    ) -> None:
        self._take(secret, WRAP_SIZE)
        self._build(alg, kid, operations)

    def random_size(self, content: Content, /) -> int:
        return content.key_size

    def sealing(self, content: Content, random: bytes, parties: tuple[bytes, bytes], /) -> Sealing:
        _refuse_parties(parties)
        return Sealing(content.cipher(random), aes_key_wrap(self._secret, random))

    def opening(self, _header: Header, encrypted_key: bytes, content: Content, /) -> Cipher | None:
        return _unwrapped(self._secret, encrypted_key, content)


class _AgreementKey(EncryptionKey):
    """What ECDH-ES (RFC 7518 §4.6) does on every curve."""

    algorithms = _AGREEMENTS
    is_symmetric = False
    sealing_operations = opening_operations = every_operation = frozenset({"deriveKey", "deriveBits"})
    __slots__ = ()

    @property
    @abstractmethod
    def seed_size(self) -> int:
        """The random bytes that make an ephemeral key."""

    @abstractmethod
    def _agree_afresh(self, seed: bytes) -> tuple[dict[str, str], bytes]:
        """The public members of an ephemeral key made from `seed`, and the secret it shares with this key."""

    @abstractmethod
    def _agree(self, ephemeral: Mapping[str, object]) -> bytes:
        """The secret that this private key shares with the ephemeral key of a message. TokenError(`key_invalid`)."""

    def random_size(self, content: Content, /) -> int:
        return self.seed_size + (0 if self.alg == "ECDH-ES" else content.key_size)

    def sealing(self, content: Content, random: bytes, parties: tuple[bytes, bytes], /) -> Sealing:
        ephemeral, shared = self._agree_afresh(random[: self.seed_size])
        members: dict[str, Any] = {"epk": ephemeral}
        members |= {
            name: b64.encode(party).decode() for name, party in zip(("apu", "apv"), parties, strict=True) if party
        }
        if self.alg == "ECDH-ES":
            return Sealing(content.cipher(_derived(shared, content.name, content.key_size, parties)), b"", members)
        content_key = random[self.seed_size :]
        wrapping = _derived(shared, self.alg, WRAP_SIZE, parties)
        return Sealing(content.cipher(content_key), aes_key_wrap(wrapping, content_key), members)

    def opening(self, header: Header, encrypted_key: bytes, content: Content, /) -> Cipher | None:
        if not self.is_private:
            raise no_private_part()
        parties = (_party(header, "apu"), _party(header, "apv"))
        shared = self._shared(header.members.get("epk"))
        if self.alg == "ECDH-ES":
            cipher = content.cipher(_derived(shared, content.name, content.key_size, parties))
            return None if encrypted_key else cipher
        return _unwrapped(_derived(shared, self.alg, WRAP_SIZE, parties), encrypted_key, content)

    def _shared(self, ephemeral: object) -> bytes:
        if not isinstance(ephemeral, Mapping) or "d" in ephemeral:
            raise TokenError("header_invalid", "The header holds no ephemeral public key.")
        mine = self._thumbprint_members()
        if ephemeral.get("kty") != mine["kty"] or ephemeral.get("crv") != mine["crv"]:
            raise TokenError("header_invalid", "The ephemeral key is not on the curve of this key.")
        try:
            return self._agree(ephemeral)
        except TokenError:
            raise TokenError("header_invalid", "The ephemeral key is no sound point of its curve.") from None


class EcAgreementKey(_AgreementKey):
    """A key on P-256, P-384 or P-521 for ECDH-ES or ECDH-ES+A256KW, one of them: `alg` has no default."""

    kty = "EC"
    __slots__ = ("_private", "_public")
    _private: ec.EllipticCurvePrivateKey | None
    _public: ec.EllipticCurvePublicKey

    def __init__(
        self,
        key: ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey,
        *,
        alg: str,
        kid: str | None = None,
        operations: Collection[str] | None = None,
    ) -> None:
        if isinstance(key, ec.EllipticCurvePrivateKey):
            self._set("_private", key)
            self._set("_public", key.public_key())
        elif isinstance(key, ec.EllipticCurvePublicKey):
            self._set("_private", None)
            self._set("_public", key)
        else:
            raise TypeError("an EcAgreementKey is built from an elliptic curve key of cryptography")
        if jwk_members.curve_name(key.curve) is None:
            raise TokenError("algorithm_not_allowed", "Keys on this curve are not offered.")
        self._build(alg, kid, operations)

    @classmethod
    def generate(cls, *, alg: str, crv: str = "P-256", kid: str | None = None) -> Self:
        """A new private key from the randomness of `cryptography`."""
        curve = jwk_members.CURVES.get(crv)
        if curve is None:
            raise TokenError("algorithm_not_allowed", "Keys on this curve are not offered.")
        return cls(ec.generate_private_key(curve), alg=alg, kid=kid)

    @property
    def is_private(self) -> bool:
        return self._private is not None

    def public(self) -> Self:
        return type(self)(self._public, alg=self.alg, kid=self.kid, operations=self.operations)

    @property
    def seed_size(self) -> int:
        # Eight bytes more than the order has: then reducing leaves no bias to speak of (FIPS 186-5 A.2.1).
        return jwk_members.size_of(self._public.curve) + 8

    def _agree_afresh(self, seed: bytes) -> tuple[dict[str, str], bytes]:
        curve = self._public.curve
        private = ec.derive_private_key(int.from_bytes(seed, "big") % (_ORDERS[curve.name] - 1) + 1, curve)
        return jwk_members.public_ec_members(private.public_key()), private.exchange(ec.ECDH(), self._public)

    def _agree(self, ephemeral: Mapping[str, object]) -> bytes:
        public = jwk_members.ec_key(ephemeral)
        assert self._private is not None
        assert isinstance(public, ec.EllipticCurvePublicKey)
        return self._private.exchange(ec.ECDH(), public)

    def to_jwk(self, *, private: bool = False) -> dict[str, str]:
        members = self._thumbprint_members()
        if private:
            if self._private is None:
                raise no_private_part()
            members |= jwk_members.private_ec_members(self._private)
        return self._described(members)

    def _thumbprint_members(self) -> dict[str, str]:
        return jwk_members.public_ec_members(self._public)


class X25519Key(_AgreementKey):
    """An X25519 key (RFC 7748, RFC 8037 §3.2) for ECDH-ES or ECDH-ES+A256KW, one of them: `alg` has no default."""

    kty = "OKP"
    __slots__ = ("_private", "_public")
    _private: x25519.X25519PrivateKey | None
    _public: x25519.X25519PublicKey

    def __init__(
        self,
        key: x25519.X25519PrivateKey | x25519.X25519PublicKey,
        *,
        alg: str,
        kid: str | None = None,
        operations: Collection[str] | None = None,
    ) -> None:
        if isinstance(key, x25519.X25519PrivateKey):
            self._set("_private", key)
            self._set("_public", key.public_key())
        elif isinstance(key, x25519.X25519PublicKey):
            weakness.refuse_bad_x25519_point(key.public_bytes_raw())
            self._set("_private", None)
            self._set("_public", key)
        else:
            raise TypeError("an X25519Key is built from an X25519 key of cryptography")
        self._build(alg, kid, operations)

    @classmethod
    def generate(cls, *, alg: str, kid: str | None = None) -> Self:
        """A new private key from the randomness of `cryptography`."""
        return cls(x25519.X25519PrivateKey.generate(), alg=alg, kid=kid)

    @property
    def is_private(self) -> bool:
        return self._private is not None

    def public(self) -> Self:
        return type(self)(self._public, alg=self.alg, kid=self.kid, operations=self.operations)

    @property
    def seed_size(self) -> int:
        return 32

    def _agree_afresh(self, seed: bytes) -> tuple[dict[str, str], bytes]:
        private = x25519.X25519PrivateKey.from_private_bytes(seed)
        return _public_x25519_members(private.public_key()), private.exchange(self._public)

    def _agree(self, ephemeral: Mapping[str, object]) -> bytes:
        public = jwk_members.x25519_key(ephemeral)
        assert self._private is not None
        assert isinstance(public, x25519.X25519PublicKey)
        weakness.refuse_bad_x25519_point(public.public_bytes_raw())
        return self._private.exchange(public)

    def to_jwk(self, *, private: bool = False) -> dict[str, str]:
        members = self._thumbprint_members()
        if private:
            if self._private is None:
                raise no_private_part()
            members["d"] = b64.encode(self._private.private_bytes_raw()).decode()
        return self._described(members)

    def _thumbprint_members(self) -> dict[str, str]:
        return _public_x25519_members(self._public)


class RsaEncryptionKey(EncryptionKey):
    """An RSA key for RSA-OAEP-256 (RFC 7518 §4.3). The seed of OAEP is `cryptography`'s own randomness."""

    kty = "RSA"
    algorithms = frozenset({"RSA-OAEP-256"})
    is_symmetric = False
    sealing_operations = frozenset({"wrapKey"})
    opening_operations = frozenset({"unwrapKey"})
    every_operation = sealing_operations | opening_operations
    __slots__ = ("_private", "_public")
    _private: rsa.RSAPrivateKey | None
    _public: rsa.RSAPublicKey

    def __init__(
        self,
        key: rsa.RSAPrivateKey | rsa.RSAPublicKey,
        *,
        alg: str = "RSA-OAEP-256",
        kid: str | None = None,
        operations: Collection[str] | None = None,
    ) -> None:
        if isinstance(key, rsa.RSAPrivateKey):
            self._set("_private", key)
            self._set("_public", key.public_key())
        elif isinstance(key, rsa.RSAPublicKey):
            self._set("_private", None)
            self._set("_public", key)
        else:
            raise TypeError("an RsaEncryptionKey is built from an RSA key of cryptography")
        numbers = self._public.public_numbers()
        weakness.refuse_weak_rsa(numbers.n, numbers.e)
        self._build(alg, kid, operations)

    @classmethod
    def generate(cls, *, bits: int = 3072, kid: str | None = None) -> Self:
        """A new private key from the randomness of `cryptography`; takes a noticeable part of a second."""
        if not weakness.RSA_BITS_MIN <= bits <= weakness.RSA_BITS_MAX:
            raise ValueError(f"an RSA key has {weakness.RSA_BITS_MIN} to {weakness.RSA_BITS_MAX} bits")
        return cls(rsa.generate_private_key(65537, bits), kid=kid)

    @property
    def is_private(self) -> bool:
        return self._private is not None

    def public(self) -> Self:
        return type(self)(self._public, alg=self.alg, kid=self.kid, operations=self.operations)

    def random_size(self, content: Content, /) -> int:
        return content.key_size

    def sealing(self, content: Content, random: bytes, parties: tuple[bytes, bytes], /) -> Sealing:
        _refuse_parties(parties)
        return Sealing(content.cipher(random), self._public.encrypt(random, _OAEP))

    def opening(self, _header: Header, encrypted_key: bytes, content: Content, /) -> Cipher | None:
        if self._private is None:
            raise no_private_part()
        try:
            content_key = self._private.decrypt(encrypted_key, _OAEP)
        except ValueError:
            return None
        return content.cipher(content_key) if len(content_key) == content.key_size else None

    def to_jwk(self, *, private: bool = False) -> dict[str, str]:
        members = self._thumbprint_members()
        if private:
            if self._private is None:
                raise no_private_part()
            members |= jwk_members.private_rsa_members(self._private)
        return self._described(members)

    def _thumbprint_members(self) -> dict[str, str]:
        return jwk_members.public_rsa_members(self._public)


ENCRYPTION_ALGORITHMS: Final = DirectKey.algorithms | WrapKey.algorithms | _AGREEMENTS | RsaEncryptionKey.algorithms
"""Every JOSE name that some key here opens. RSA1_5, RSA-OAEP with SHA-1, PBES2 and the 128-bit wraps are not."""

# SEC 2 version 2.0, 2.4.2, 2.5.1 and 2.6.1
_ORDERS: Final = {
    "secp256r1": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "secp384r1": int(
        "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973", 16
    ),
    "secp521r1": int("1" + "F" * 65 + "A51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409", 16),
}


def _derived(shared: bytes, algorithm: str, size: int, parties: tuple[bytes, bytes]) -> bytes:
    """Concat KDF as RFC 7518 §4.6.2 uses it."""
    fields = (algorithm.encode(), *parties)
    info = b"".join(len(value).to_bytes(4, "big") + value for value in fields) + (8 * size).to_bytes(4, "big")
    return ConcatKDFHash(SHA256(), size, info).derive(shared)


def _unwrapped(wrapping: bytes, encrypted_key: bytes, content: Content) -> Cipher | None:
    try:
        content_key = aes_key_unwrap(wrapping, encrypted_key)
    except (InvalidUnwrap, ValueError):
        return None
    return content.cipher(content_key) if len(content_key) == content.key_size else None


def _party(header: Header, name: str) -> bytes:
    """`apu` or `apv`, which `frontdesk.jose.jwe` found to be base64url."""
    return b64.decode(header.members.get(name, "").encode("ascii"), code="header_invalid")


def _refuse_parties(parties: tuple[bytes, bytes]) -> None:
    if any(parties):
        raise ValueError("apu and apv go with ECDH-ES alone")


def _public_x25519_members(key: x25519.X25519PublicKey) -> dict[str, str]:
    return {"kty": "OKP", "crv": "X25519", "x": b64.encode(key.public_bytes_raw()).decode()}
