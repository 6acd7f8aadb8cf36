"""The members of a JWK (RFC 7518 §6, RFC 8037 §2), read strictly into keys of `cryptography` and written back.

Every refusal is TokenError(`key_invalid`), but for curves that are not offered: `algorithm_not_allowed`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, TypeVar

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519

from frontdesk.errors import TokenError
from frontdesk.jose import b64, strictjson, weakness

JWK_MAX: Final = 32 * 1024
JWKS_MAX: Final = 512 * 1024

CURVES: Final[Mapping[str, ec.EllipticCurve]] = {
    "P-256": ec.SECP256R1(),
    "P-384": ec.SECP384R1(),
    "P-521": ec.SECP521R1(),
}
"""JOSE name → curve."""
_NAMES: Final = {curve.name: name for name, curve in CURVES.items()}

Members: TypeAlias = Mapping[str, object]
EcNative: TypeAlias = ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey
RsaNative: TypeAlias = rsa.RSAPrivateKey | rsa.RSAPublicKey
Ed25519Native: TypeAlias = ed25519.Ed25519PrivateKey | ed25519.Ed25519PublicKey
X25519Native: TypeAlias = x25519.X25519PrivateKey | x25519.X25519PublicKey

_T = TypeVar("_T")


def document(source: Members | str | bytes, limit: int) -> Members:
    """The members of a JWK or JWK Set, from JSON of at most `limit` bytes or from what was parsed already."""
    if isinstance(source, str):
        try:
            source = source.encode()
        except UnicodeError:
            raise TokenError("key_invalid", "The JSON is not valid UTF-8.") from None
    if isinstance(source, bytes):
        if len(source) > limit:
            raise TokenError("key_invalid", f"The JSON is larger than {limit // 1024} KiB.")
        return strictjson.parse(source, code="key_invalid")
    if isinstance(source, Mapping):
        return source
    raise TypeError("a JWK is a mapping, or JSON as str or bytes")


def entries(source: Members | str | bytes, most: int) -> list[Any]:
    """The list of a JWK Set."""
    found = document(source, JWKS_MAX).get("keys")
    if not isinstance(found, list) or len(found) > most:
        raise TokenError("key_invalid", f"A key set has a list of at most {most} keys.")
    return found


def operations(members: Members, use: str, offered: frozenset[str]) -> frozenset[str]:
    """What the JWK may be used for; refused unless `use` and `key_ops` agree with the use that is made of it."""
    if members.get("use", use) != use:
        raise TokenError("key_invalid", "The key is for something else: `use` says so.")
    if "key_ops" not in members:
        return offered
    named = members["key_ops"]
    if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
        raise TokenError("key_invalid", "`key_ops` is a list of strings.")
    if len(set(named)) != len(named) or not named or not offered.issuperset(named):
        raise TokenError("key_invalid", "The key is for something else: `key_ops` says so.")
    return frozenset(named)


def algorithm(members: Members, wanted: str | None, only: str | None) -> str:
    """The `alg` of the JWK, else the wanted one, else the `only` one that its type leaves."""
    named = text(members, "alg") if "alg" in members else None
    if named is None:
        if wanted is None and only is None:
            raise TokenError("key_invalid", "The key names no algorithm, and none was given.")
        return wanted or only or ""
    if wanted is not None and wanted != named:
        raise TokenError("key_invalid", "The key is meant for another algorithm.")
    return named


def key_id(members: Members, kid: str | None) -> str | None:
    return text(members, "kid") if "kid" in members else kid


def ec_key(members: Members) -> EcNative:
    """A point of P-256, P-384 or P-521 and, when `d` is there, its private key. Points off the curve are refused."""
    curve = CURVES.get(text(members, "crv"))
    if curve is None:
        raise TokenError("algorithm_not_allowed", "Keys on this curve are not offered.")
    size = size_of(curve)
    x, y = (int.from_bytes(octets(members, name, size=size), "big") for name in ("x", "y"))
    public = ec.EllipticCurvePublicNumbers(x, y, curve)
    if "d" not in members:
        return _built(public.public_key)
    d = int.from_bytes(octets(members, "d", size=size), "big")
    return _built(ec.EllipticCurvePrivateNumbers(d, public).private_key)


def ed25519_key(members: Members) -> Ed25519Native:
    x = octets(members, "x", size=32)
    if "d" not in members:
        return _built(lambda: ed25519.Ed25519PublicKey.from_public_bytes(x))
    d = octets(members, "d", size=32)
    private = _built(lambda: ed25519.Ed25519PrivateKey.from_private_bytes(d))
    if private.public_key().public_bytes_raw() != x:
        raise TokenError("key_invalid", "The private and the public part do not belong together.")
    return private


def x25519_key(members: Members) -> X25519Native:
    """An X25519 key (RFC 7748 §5: the top bit is masked, values beyond the prime are reduced)."""
    x = octets(members, "x", size=32)
    if "d" not in members:
        return _built(lambda: x25519.X25519PublicKey.from_public_bytes(x))
    d = octets(members, "d", size=32)
    private = _built(lambda: x25519.X25519PrivateKey.from_private_bytes(d))
    if private.public_key().public_bytes_raw() != x:
        raise TokenError("key_invalid", "The private and the public part do not belong together.")
    return private


def rsa_key(members: Members) -> RsaNative:
    n, e = number(members, "n"), number(members, "e")
    weakness.refuse_weak_rsa(n, e)  # before any arithmetic on numbers of any size
    public = rsa.RSAPublicNumbers(e, n)
    if "d" not in members:
        return _built(public.public_key)
    if "oth" in members:
        raise TokenError("key_invalid", "RSA keys with more than two primes are not offered.")
    d, p, q, dp, dq, qi = (number(members, name, most=n) for name in ("d", "p", "q", "dp", "dq", "qi"))
    return _built(rsa.RSAPrivateNumbers(p, q, d, dp, dq, qi, public).private_key)


def _built(build: Callable[[], _T]) -> _T:
    """What `cryptography` makes of the numbers; it checks points, primes and that the parts belong together."""
    try:
        return build()
    except Exception:  # noqa: BLE001 - its exceptions differ by version; all say that this is no key
        raise TokenError("key_invalid", "The numbers of the key do not form a key.") from None


def text(members: Members, name: str) -> str:
    value: Any = members.get(name)
    if not isinstance(value, str):
        raise TokenError("key_invalid", f"The key lacks `{name}`, or it is no string.")
    return value


def octets(members: Members, name: str, *, size: int | None = None) -> bytes:
    try:
        encoded = text(members, name).encode("ascii")
    except UnicodeError:
        raise TokenError("key_invalid", f"`{name}` is not base64url.") from None
    data = b64.decode(encoded, code="key_invalid")
    if size is not None and len(data) != size:
        raise TokenError("key_invalid", f"`{name}` must have {size} bytes.")
    return data


def number(members: Members, name: str, *, most: int | None = None) -> int:
    """Base64urlUInt: a leading zero byte is refused (RFC 7518 §2)."""
    data = octets(members, name)
    value = int.from_bytes(data, "big")
    if not data or data[0] == 0 or (most is not None and value > most):
        raise TokenError("key_invalid", f"`{name}` is not a number in its shortest form, or too large.")
    return value


def size_of(curve: ec.EllipticCurve) -> int:
    """The bytes of a coordinate."""
    return (curve.key_size + 7) // 8


def curve_name(curve: ec.EllipticCurve) -> str | None:
    """The JOSE name of the curve; None for one that is not offered."""
    return _NAMES.get(curve.name)


def public_ec_members(key: ec.EllipticCurvePublicKey) -> dict[str, str]:
    numbers, size = key.public_numbers(), size_of(key.curve)
    return {"kty": "EC", "crv": _NAMES[key.curve.name], "x": fixed(numbers.x, size), "y": fixed(numbers.y, size)}


def private_ec_members(key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    return {"d": fixed(key.private_numbers().private_value, size_of(key.curve))}


def public_rsa_members(key: rsa.RSAPublicKey) -> dict[str, str]:
    numbers = key.public_numbers()
    return {"kty": "RSA", "n": shortest(numbers.n), "e": shortest(numbers.e)}


def private_rsa_members(key: rsa.RSAPrivateKey) -> dict[str, str]:
    numbers = key.private_numbers()
    parts = {"d": numbers.d, "p": numbers.p, "q": numbers.q}
    parts |= {"dp": numbers.dmp1, "dq": numbers.dmq1, "qi": numbers.iqmp}
    return {name: shortest(value) for name, value in parts.items()}


def fixed(value: int, size: int) -> str:
    """A coordinate: always `size` bytes (RFC 7518 §6.2.1.2)."""
    return b64.encode(value.to_bytes(size, "big")).decode()


def shortest(value: int) -> str:
    """Base64urlUInt: no leading zero byte (RFC 7518 §2)."""
    return b64.encode(value.to_bytes((value.bit_length() + 7) // 8, "big")).decode()
