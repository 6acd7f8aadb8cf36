"""Signature keys from and to JSON: JWK and JWK Set (RFC 7517, 7518 §6, 8037 §2).

A JWK that names no `alg` takes it from the argument, or from its curve where that leaves no choice. `use`,
`key_ops` and `alg` that contradict a signature key are refused (RFC 8725 §3.1); `x5c`, `x5u` and unknown members
are never used. `frontdesk.jose.encryption_jwk` is the twin for encryption: whoever reads a key says what for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from frontdesk.errors import TokenError
from frontdesk.jose import members as jwk_members
from frontdesk.jose.headers import Header
from frontdesk.jose.identity import KEYS_MAX, NamedKeys, refuse_mixture
from frontdesk.jose.keys import OPERATIONS, EcKey, Key, OctKey, OkpKey, RsaKey
from frontdesk.jose.members import Members

__all__ = ["EcKey", "Key", "KeySet", "OctKey", "OkpKey", "RsaKey", "from_jwk"]


def from_jwk(document: Members | str | bytes, *, alg: str | None = None, kid: str | None = None) -> Key:
    """The key that a JWK describes: private when it holds `d`.

    `alg` and `kid` fill in what the JWK leaves out; an `alg` that differs from the JWK's is refused. A JWK
    without key id gets its thumbprint (a symmetric one a MAC). TokenError: `key_invalid`, or
    `algorithm_not_allowed` for key types, curves and algorithms that are not offered.
    """
    members = jwk_members.document(document, jwk_members.JWK_MAX)
    reader = _READERS.get(jwk_members.text(members, "kty"))
    if reader is None:
        raise TokenError("algorithm_not_allowed", "Keys of this type are not offered.")
    operations = jwk_members.operations(members, "sig", OPERATIONS)
    return reader(members, alg, jwk_members.key_id(members, kid), operations)


class KeySet(NamedKeys[Key]):
    """Several signature keys of one kind, found by key id. Immutable.

    Refused with TokenError(`key_invalid`): symmetric and asymmetric keys in one set (RFC 8725 §3.1), one key id
    twice, more than 100 keys. An empty set knows no key. `known_headers` is the memo of `frontdesk.jose.jws`.
    """

    __slots__ = ("known_headers",)

    def __init__(self, keys: Iterable[Key]) -> None:
        super().__init__(keys, Key)  # type: ignore[type-abstract]  # for isinstance alone
        self.known_headers: Final[dict[bytes, tuple[Key, Header]]] = {}

    @classmethod
    def from_jwks(cls, document: Members | str | bytes, *, alg: str | None = None) -> KeySet:
        """The usable keys of a JWK Set.

        Keys that cannot be used here are left out (RFC 7517 §5), weak ones too: a token that names one meets
        `key_unknown`. A mixture of kinds is refused before anything is left out. `alg` serves RSA keys that
        name none.
        """
        entries = jwk_members.entries(document, KEYS_MAX)
        refuse_mixture(str(entry.get("kty")) for entry in entries if isinstance(entry, Mapping))
        return cls(key for entry in entries if (key := _usable(entry, alg)) is not None)


def _usable(entry: object, alg: str | None) -> Key | None:
    if not isinstance(entry, Mapping):
        return None
    try:
        return from_jwk(entry, alg=alg if entry.get("kty") == "RSA" and "alg" not in entry else None)
    except TokenError:
        return None  # Fail closed: the key is simply not there.


def _read_oct(members: Members, alg: str | None, kid: str | None, operations: frozenset[str]) -> Key:
    name = jwk_members.algorithm(members, alg, None)
    return OctKey(jwk_members.octets(members, "k"), alg=name, kid=kid, operations=operations)


def _read_ec(members: Members, alg: str | None, kid: str | None, operations: frozenset[str]) -> Key:
    crv = jwk_members.text(members, "crv")
    only = {"P-256": "ES256", "P-384": "ES384"}.get(crv)
    name = jwk_members.algorithm(members, alg, only)
    if name != only:
        raise TokenError("algorithm_not_allowed", "ES256 takes a key on the curve P-256, ES384 one on P-384.")
    return EcKey(jwk_members.ec_key(members), alg=name, kid=kid, operations=operations)


def _read_okp(members: Members, alg: str | None, kid: str | None, operations: frozenset[str]) -> Key:
    name = jwk_members.algorithm(members, alg, "EdDSA")
    if jwk_members.text(members, "crv") != "Ed25519":
        raise TokenError("algorithm_not_allowed", "EdDSA takes a key on the curve Ed25519.")
    return OkpKey(jwk_members.ed25519_key(members), alg=name, kid=kid, operations=operations)


def _read_rsa(members: Members, alg: str | None, kid: str | None, operations: frozenset[str]) -> Key:
    name = jwk_members.algorithm(members, alg, None)
    return RsaKey(jwk_members.rsa_key(members), alg=name, kid=kid, operations=operations)


_READERS: Final[dict[str, Callable[[Members, str | None, str | None, frozenset[str]], Key]]] = {
    "oct": _read_oct,
    "EC": _read_ec,
    "OKP": _read_okp,
    "RSA": _read_rsa,
}
