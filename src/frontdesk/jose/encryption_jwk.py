"""Encryption keys from and to JSON: the twin of `frontdesk.jose.jwk`.

`use`, `key_ops` and `alg` that contradict an encryption key are refused (RFC 8725 §3.1). The `key_ops` are those
of RFC 7517 §4.3: `encrypt` and `decrypt` for `dir`, `wrapKey` and `unwrapKey` for A256KW and RSA-OAEP-256,
`deriveKey` and `deriveBits` for ECDH-ES.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from frontdesk.errors import TokenError
from frontdesk.jose import members as jwk_members
from frontdesk.jose.content import CONTENTS
from frontdesk.jose.encryption_keys import (
    DirectKey,
    EcAgreementKey,
    EncryptionKey,
    RsaEncryptionKey,
    WrapKey,
    X25519Key,
)
from frontdesk.jose.headers import Header
from frontdesk.jose.identity import KEYS_MAX, NamedKeys, refuse_mixture
from frontdesk.jose.members import Members

__all__ = [
    "DirectKey",
    "EcAgreementKey",
    "EncryptionKey",
    "EncryptionKeySet",
    "RsaEncryptionKey",
    "WrapKey",
    "X25519Key",
    "from_jwk",
]


def from_jwk(document: Members | str | bytes, *, alg: str | None = None, kid: str | None = None) -> EncryptionKey:
    """The key that a JWK describes: private when it holds `d`.

    `alg` and `kid` fill in what the JWK leaves out; an `alg` that differs from the JWK's is refused. The `alg` of
    a key for `dir` is the name of its content encryption, for example `A256GCM`; a JWK that says only `dir` needs
    it as argument. An RSA key without `alg` is for RSA-OAEP-256. TokenError: `key_invalid`, or
    `algorithm_not_allowed` for key types, curves and algorithms that are not offered.
    """
    members = jwk_members.document(document, jwk_members.JWK_MAX)
    reader = _READERS.get(jwk_members.text(members, "kty"))
    if reader is None:
        raise TokenError("algorithm_not_allowed", "Keys of this type are not offered.")
    return reader(members, alg, jwk_members.key_id(members, kid))


class EncryptionKeySet(NamedKeys[EncryptionKey]):
    """Several encryption keys of one kind, found by key id. Immutable; refuses what `jwk.KeySet` refuses.

    `opened_headers` is the memo of `frontdesk.jose.jwe`.
    """

    __slots__ = ("opened_headers",)

    def __init__(self, keys: Iterable[EncryptionKey]) -> None:
        super().__init__(keys, EncryptionKey)  # type: ignore[type-abstract]  # for isinstance alone
        self.opened_headers: Final[dict[bytes, tuple[EncryptionKey, Header]]] = {}

    @classmethod
    def from_jwks(cls, document: Members | str | bytes, *, alg: str | None = None) -> EncryptionKeySet:
        """The usable keys of a JWK Set; the others are left out, as `jwk.KeySet.from_jwks` does.

        `alg` serves keys that name none.
        """
        entries = jwk_members.entries(document, KEYS_MAX)
        refuse_mixture(str(entry.get("kty")) for entry in entries if isinstance(entry, Mapping))
        return cls(key for entry in entries if (key := _usable(entry, alg)) is not None)


def _usable(entry: object, alg: str | None) -> EncryptionKey | None:
    if not isinstance(entry, Mapping):
        return None
    try:
        return from_jwk(entry, alg=None if "alg" in entry else alg)
    except TokenError:
        return None  # Fail closed: the key is simply not there.


def _read_oct(members: Members, alg: str | None, kid: str | None) -> EncryptionKey:
    if members.get("alg") == "dir" and alg in CONTENTS:
        members = {**members, "alg": alg}
    name = jwk_members.algorithm(members, alg, None)
    if name in CONTENTS:
        operations = jwk_members.operations(members, "enc", DirectKey.every_operation)
        return DirectKey(jwk_members.octets(members, "k"), enc=name, kid=kid, operations=operations)
    if name == "dir":
        raise TokenError("key_invalid", "The key does not say for which content encryption it is.")
    if name not in WrapKey.algorithms:
        raise TokenError("algorithm_not_allowed", "A symmetric key for encryption does not offer this algorithm.")
    operations = jwk_members.operations(members, "enc", WrapKey.every_operation)
    return WrapKey(jwk_members.octets(members, "k"), alg=name, kid=kid, operations=operations)


def _read_ec(members: Members, alg: str | None, kid: str | None) -> EncryptionKey:
    operations = jwk_members.operations(members, "enc", EcAgreementKey.every_operation)
    name = jwk_members.algorithm(members, alg, None)
    return EcAgreementKey(jwk_members.ec_key(members), alg=name, kid=kid, operations=operations)


def _read_okp(members: Members, alg: str | None, kid: str | None) -> EncryptionKey:
    operations = jwk_members.operations(members, "enc", X25519Key.every_operation)
    name = jwk_members.algorithm(members, alg, None)
    if jwk_members.text(members, "crv") != "X25519":
        raise TokenError("algorithm_not_allowed", "ECDH-ES takes a key on the curve X25519.")
    return X25519Key(jwk_members.x25519_key(members), alg=name, kid=kid, operations=operations)


def _read_rsa(members: Members, alg: str | None, kid: str | None) -> EncryptionKey:
    operations = jwk_members.operations(members, "enc", RsaEncryptionKey.every_operation)
    name = jwk_members.algorithm(members, alg, "RSA-OAEP-256")
    return RsaEncryptionKey(jwk_members.rsa_key(members), alg=name, kid=kid, operations=operations)


_READERS: Final[dict[str, Callable[[Members, str | None, str | None], EncryptionKey]]] = {
    "oct": _read_oct,
    "EC": _read_ec,
    "OKP": _read_okp,
    "RSA": _read_rsa,
}
