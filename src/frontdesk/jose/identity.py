"""What keys for signatures and keys for encryption have in common, and nothing that uses them."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator
from typing import ClassVar, Final, Generic, NoReturn, Self, TypeVar

from frontdesk.errors import TokenError
from frontdesk.jose import b64
from frontdesk.jose.strictjson import serialise

KID_MAX: Final = 256
KEYS_MAX: Final = 100


class NamedKey(ABC):
    """One key, its one algorithm (RFC 8725 §3.1) and its key id. It never changes.

    `alg` is the JOSE name that it is used under, `kid` its key id (never empty: a key that was given none derives
    one), `operations` the subset of `every_operation` that it may be used for.
    """

    kty: ClassVar[str]
    use: ClassVar[str]
    algorithms: ClassVar[frozenset[str]]
    """The names this class may be built with."""
    every_operation: ClassVar[frozenset[str]]
    """The `key_ops` (RFC 7517 §4.3) that make sense for the class."""

    __slots__ = ("alg", "kid", "operations")
    alg: str
    kid: str
    operations: frozenset[str]

    def _build(self, alg: str, kid: str | None, operations: Collection[str] | None) -> None:
        if alg not in self.algorithms:
            raise TokenError("algorithm_not_allowed", f"A key of type {self.kty} does not offer this algorithm.")
        self._set("alg", alg)
        self._set("kid", self._derive_kid() if kid is None else _checked_kid(kid))
        every = self.every_operation
        self._set("operations", every if operations is None else every.intersection(operations))

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
        """Whether the key holds a secret: what signing or opening takes."""

    @abstractmethod
    def public(self) -> Self:
        """The same key without its private part, same `kid`. A symmetric key has none: ValueError."""

    @abstractmethod
    def to_jwk(self, *, private: bool = False) -> dict[str, str]:
        """The JWK members, `alg`, `use` and `kid` included; the private ones only on demand."""

    def accepts(self, alg: str) -> bool:
        """Whether a token whose header says `alg` may be taken with this key."""
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
        return {**members, "alg": self.alg, "use": self.use, "kid": self.kid}


K = TypeVar("K", bound=NamedKey)


class NamedKeys(Generic[K]):
    """Several keys of one kind, found by key id. Immutable.

    Refused with TokenError(`key_invalid`): symmetric and asymmetric keys in one set (RFC 8725 §3.1), one key id
    twice, more than 100 keys. An empty set knows no key.
    """

    __slots__ = ("_by_kid",)

    def __init__(self, keys: Iterable[K], kind: type[K]) -> None:
        by_kid: dict[str, K] = {}
        for key in keys:
            if not isinstance(key, kind):
                raise TypeError(f"a {type(self).__name__} is built from objects of {kind.__name__}")
            if key.kid in by_kid:
                raise TokenError("key_invalid", "A key set holds one key id twice.")
            by_kid[key.kid] = key
        if len(by_kid) > KEYS_MAX:
            raise TokenError("key_invalid", f"A key set holds more than {KEYS_MAX} keys.")
        refuse_mixture(key.kty for key in by_kid.values())
        self._by_kid: Final = by_kid

    def find(self, kid: str | None, alg: str) -> K | None:
        """The key of this id; for a token without key id the only one that takes `alg`, else None."""
        if kid is not None:
            return self._by_kid.get(kid)
        candidates = [key for key in self if key.accepts(alg)]
        return candidates[0] if len(candidates) == 1 else None

    def to_jwks(self) -> dict[str, list[dict[str, str]]]:
        """The public parts as a JWK Set, ready to be published. Symmetric keys: ValueError."""
        return {"keys": [key.to_jwk() for key in self]}

    def __iter__(self) -> Iterator[K]:
        return iter(self._by_kid.values())

    def __len__(self) -> int:
        return len(self._by_kid)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self)!r})"


def refuse_mixture(types: Iterable[str]) -> None:
    """TokenError(`key_invalid`) when the key types are symmetric and asymmetric ones (RFC 8725 §3.1)."""
    if len({kty == "oct" for kty in types}) > 1:
        raise TokenError("key_invalid", "A key set mixes symmetric and asymmetric keys.")


def no_private_part() -> TokenError:
    return TokenError("key_invalid", "The key holds no private part.")


def no_public_part() -> ValueError:
    return ValueError("a symmetric key has no public part")


def _checked_kid(kid: str) -> str:
    if not isinstance(kid, str):
        raise TypeError("a key id is a string")
    if not 0 < len(kid) <= KID_MAX or not kid.isprintable():
        raise TokenError("key_invalid", f"A key id has 1 to {KID_MAX} printable characters.")
    return kid
