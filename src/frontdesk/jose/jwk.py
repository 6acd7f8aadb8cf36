"""Keys from and to JSON: JWK and JWK Set (RFC 7517, 7518 §6, 8037 §2).

A JWK that names no `alg` takes it from the argument, or from its curve where that leaves no choice. `use`,
`key_ops` and `alg` that contradict a signature key are refused (RFC 8725 §3.1); `x5c`, `x5u` and unknown members
are never used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TypeVar

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from frontdesk.errors import TokenError
from frontdesk.jose import b64, strictjson, weakness
from frontdesk.jose.headers import Header
from frontdesk.jose.keys import OPERATIONS, EcKey, Key, OctKey, OkpKey, RsaKey

__all__ = ["EcKey", "Key", "KeySet", "OctKey", "OkpKey", "RsaKey", "from_jwk"]

JWK_MAX: Final = 32 * 1024
JWKS_MAX: Final = 512 * 1024
KEYS_MAX: Final = 100

_T = TypeVar("_T")
_Members = Mapping[str, object]


def from_jwk(document: _Members | str | bytes, *, alg: str | None = None, kid: str | None = None) -> Key:
    """The key that a JWK describes: private when it holds `d`.

    `alg` and `kid` fill in what the JWK leaves out; an `alg` that differs from the JWK's is refused. A JWK
    without key id gets its thumbprint (a symmetric one a MAC). TokenError: `key_invalid`, or
    `algorithm_not_allowed` for key types, curves and algorithms that are not offered.
    """
    members = _members(document, JWK_MAX)
    kty = _text(members, "kty")
    reader = _READERS.get(kty)
    if reader is None:
        raise TokenError("algorithm_not_allowed", "Keys of this type are not offered.")
    operations = _operations(members)
    key_alg = _algorithm(members, kty, alg)
    key_kid = _text(members, "kid") if "kid" in members else kid
    return reader(members, key_alg, key_kid, operations)


class KeySet:
    """Several keys of one kind, found by key id. Immutable.

    Refused with TokenError(`key_invalid`): symmetric and asymmetric keys in one set (RFC 8725 §3.1), one key id
    twice, more than 100 keys. An empty set knows no key. `known_headers` is the memo of `frontdesk.jose.jws`.
    """

    __slots__ = ("_by_kid", "known_headers")

    def __init__(self, keys: Iterable[Key]) -> None:
        by_kid: dict[str, Key] = {}
        for key in keys:
            if not isinstance(key, Key):
                raise TypeError("a KeySet is built from keys")
            if key.kid in by_kid:
                raise TokenError("key_invalid", "A key set holds one key id twice.")
            by_kid[key.kid] = key
        if len(by_kid) > KEYS_MAX:
            raise TokenError("key_invalid", f"A key set holds more than {KEYS_MAX} keys.")
        _refuse_mixture(key.kty for key in by_kid.values())
        self._by_kid: Final = by_kid
        self.known_headers: Final[dict[bytes, tuple[Key, Header]]] = {}

    @classmethod
    def from_jwks(cls, document: _Members | str | bytes, *, alg: str | None = None) -> KeySet:
        """The usable keys of a JWK Set.

        Keys that cannot be used here are left out (RFC 7517 §5), weak ones too: a token that names one meets
        `key_unknown`. A mixture of kinds is refused before anything is left out. `alg` serves RSA keys that
        name none.
        """
        entries = _members(document, JWKS_MAX).get("keys")
        if not isinstance(entries, list) or len(entries) > KEYS_MAX:
            raise TokenError("key_invalid", f"A key set has a list of at most {KEYS_MAX} keys.")
        _refuse_mixture(str(entry.get("kty")) for entry in entries if isinstance(entry, Mapping))
        return cls(key for entry in entries if (key := _usable(entry, alg)) is not None)

    def find(self, kid: str | None, alg: str) -> Key | None:
        """The key of this id; for a token without key id the only one that takes `alg`, else None."""
        if kid is not None:
            return self._by_kid.get(kid)
        candidates = [key for key in self if key.accepts(alg)]
        return candidates[0] if len(candidates) == 1 else None

    def to_jwks(self) -> dict[str, list[dict[str, str]]]:
        """The public parts as a JWK Set, ready to be published. Symmetric keys: ValueError."""
        return {"keys": [key.to_jwk() for key in self]}

    def __iter__(self) -> Iterator[Key]:
        return iter(self._by_kid.values())

    def __len__(self) -> int:
        return len(self._by_kid)

    def __repr__(self) -> str:
        return f"KeySet({list(self)!r})"


def _usable(entry: object, alg: str | None) -> Key | None:
    if not isinstance(entry, Mapping):
        return None
    try:
        return from_jwk(entry, alg=alg if entry.get("kty") == "RSA" and "alg" not in entry else None)
    except TokenError:
        return None  # Fail closed: the key is simply not there.


def _refuse_mixture(types: Iterable[str]) -> None:
    if len({kty == "oct" for kty in types}) > 1:
        raise TokenError("key_invalid", "A key set mixes symmetric and asymmetric keys.")


def _members(document: _Members | str | bytes, limit: int) -> _Members:
    if isinstance(document, str):
        try:
            document = document.encode()
        except UnicodeError:
            raise TokenError("key_invalid", "The JSON is not valid UTF-8.") from None
    if isinstance(document, bytes):
        if len(document) > limit:
            raise TokenError("key_invalid", f"The JSON is larger than {limit // 1024} KiB.")
        return strictjson.parse(document, code="key_invalid")
    if isinstance(document, Mapping):
        return document
    raise TypeError("a JWK is a mapping, or JSON as str or bytes")


def _operations(members: _Members) -> frozenset[str]:
    if members.get("use", "sig") != "sig":
        raise TokenError("key_invalid", "The key is not for signatures: `use` says so.")
    if "key_ops" not in members:
        return OPERATIONS
    named = members["key_ops"]
    if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
        raise TokenError("key_invalid", "`key_ops` is a list of strings.")
    if len(set(named)) != len(named) or not named or not OPERATIONS.issuperset(named):
        raise TokenError("key_invalid", "The key is not for signatures: `key_ops` says so.")
    return frozenset(named)


def _algorithm(members: _Members, kty: str, wanted: str | None) -> str:
    named = _text(members, "alg") if "alg" in members else None
    if named is None:
        only = {"EC": "ES256", "OKP": "EdDSA"}.get(kty)
        if wanted is None and only is None:
            raise TokenError("key_invalid", "The key names no algorithm, and none was given.")
        return wanted or only or ""
    if wanted is not None and wanted != named:
        raise TokenError("key_invalid", "The key is meant for another algorithm.")
    return named


def _read_oct(members: _Members, alg: str, kid: str | None, operations: frozenset[str]) -> Key:
    return OctKey(_bytes(members, "k"), alg=alg, kid=kid, operations=operations)


def _read_ec(members: _Members, alg: str, kid: str | None, operations: frozenset[str]) -> Key:
    if _text(members, "crv") != "P-256":
        raise TokenError("algorithm_not_allowed", "ES256 takes a key on the curve P-256.")
    x, y = (int.from_bytes(_bytes(members, name, size=32), "big") for name in ("x", "y"))
    public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1())
    if "d" not in members:
        return EcKey(_built(public.public_key), alg=alg, kid=kid, operations=operations)
    d = int.from_bytes(_bytes(members, "d", size=32), "big")
    private = ec.EllipticCurvePrivateNumbers(d, public)
    return EcKey(_built(private.private_key), alg=alg, kid=kid, operations=operations)


def _read_okp(members: _Members, alg: str, kid: str | None, operations: frozenset[str]) -> Key:
    if _text(members, "crv") != "Ed25519":
        raise TokenError("algorithm_not_allowed", "EdDSA takes a key on the curve Ed25519.")
    x = _bytes(members, "x", size=32)
    if "d" not in members:
        public = _built(lambda: ed25519.Ed25519PublicKey.from_public_bytes(x))
        return OkpKey(public, alg=alg, kid=kid, operations=operations)
    d = _bytes(members, "d", size=32)
    private = _built(lambda: ed25519.Ed25519PrivateKey.from_private_bytes(d))
    if private.public_key().public_bytes_raw() != x:
        raise TokenError("key_invalid", "The private and the public part do not belong together.")
    return OkpKey(private, alg=alg, kid=kid, operations=operations)


def _read_rsa(members: _Members, alg: str, kid: str | None, operations: frozenset[str]) -> Key:
    n, e = _number(members, "n"), _number(members, "e")
    weakness.refuse_weak_rsa(n, e)  # before any arithmetic on numbers of any size
    public = rsa.RSAPublicNumbers(e, n)
    if "d" not in members:
        return RsaKey(_built(public.public_key), alg=alg, kid=kid, operations=operations)
    if "oth" in members:
        raise TokenError("key_invalid", "RSA keys with more than two primes are not offered.")
    d, p, q, dp, dq, qi = (_number(members, name, most=n) for name in ("d", "p", "q", "dp", "dq", "qi"))
    private = rsa.RSAPrivateNumbers(p, q, d, dp, dq, qi, public)
    return RsaKey(_built(private.private_key), alg=alg, kid=kid, operations=operations)


_READERS: Final[dict[str, Callable[[_Members, str, str | None, frozenset[str]], Key]]] = {
    "oct": _read_oct,
    "EC": _read_ec,
    "OKP": _read_okp,
    "RSA": _read_rsa,
}


def _built(build: Callable[[], _T]) -> _T:
    """What `cryptography` makes of the numbers; it checks points, primes and that the parts belong together."""
    try:
        return build()
    except Exception:  # noqa: BLE001 - its exceptions differ by version; all say that this is no key
        raise TokenError("key_invalid", "The numbers of the key do not form a key.") from None


def _text(members: _Members, name: str) -> str:
    value: Any = members.get(name)
    if not isinstance(value, str):
        raise TokenError("key_invalid", f"The key lacks `{name}`, or it is no string.")
    return value


def _bytes(members: _Members, name: str, *, size: int | None = None) -> bytes:
    try:
        encoded = _text(members, name).encode("ascii")
    except UnicodeError:
        raise TokenError("key_invalid", f"`{name}` is not base64url.") from None
    data = b64.decode(encoded, code="key_invalid")
    if size is not None and len(data) != size:
        raise TokenError("key_invalid", f"`{name}` must have {size} bytes.")
    return data


def _number(members: _Members, name: str, *, most: int | None = None) -> int:
    """Base64urlUInt: a leading zero byte is refused (RFC 7518 §2)."""
    data = _bytes(members, name)
    number = int.from_bytes(data, "big")
    if not data or data[0] == 0 or (most is not None and number > most):
        raise TokenError("key_invalid", f"`{name}` is not a number in its shortest form, or too large.")
    return number
