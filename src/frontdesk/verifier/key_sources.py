"""Where the keys of access tokens come from: given once, or fetched from the issuer and kept."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Sequence
from typing import Protocol

from frontdesk.core.secrets import check_secret
from frontdesk.errors import ConfigurationError, StoreError, TokenError
from frontdesk.jose.jwk import KeySet
from frontdesk.jose.jws import Keys
from frontdesk.jose.keys import Key, OctKey

GivenKey = str | bytes | Key
"""A secret for HS256, or a key object of `frontdesk.jose`."""


class KeySource(Protocol):
    """The keys of one issuer."""

    def current(self) -> Sequence[Keys] | None:
        """The keys to try one after the other; None where they must be fetched first."""
        ...

    async def for_token(self, token: bytes) -> Sequence[Keys]:
        """The keys to try, fetched where that may help this token. Raises StoreError when there are none."""
        ...

    @property
    def is_fixed(self) -> bool:
        """Whether asking again never brings another key."""
        ...

    def expire(self) -> None:
        """The issuer's keys are known to have changed: ask again."""
        ...


class GivenKeys:
    """Keys that were handed over. A secret has no key id, so it takes tokens whatever key id they name.

    ConfigurationError for weak secrets and keys, and for secrets beside keys that are not secret (RFC 8725 §3.1).
    """

    is_fixed = True

    def __init__(self, keys: Iterable[GivenKey]) -> None:
        if isinstance(keys, str | bytes | Key):
            raise TypeError("keys is a list of secrets or keys, not one of them")
        secrets: list[OctKey] = []
        named: list[Key] = []
        for key in keys:
            if isinstance(key, str | bytes):
                secrets.append(_secret(key))
            elif isinstance(key, Key):
                # What is not needed is not kept: the private part.
                named.append(key.public() if key.is_private and key.kty != "oct" else key)
            else:
                raise TypeError("keys holds secrets (str, bytes) and keys of frontdesk.jose")
        if not secrets and not named:
            raise ConfigurationError("keys= is empty: no token could be verified")
        if secrets and any(key.kty != "oct" for key in named):
            raise ConfigurationError("keys= mixes secrets with public keys; take one kind")
        self._keys: tuple[Keys, ...] = tuple(_whatever_kid(secret) for secret in secrets)
        if named:
            self._keys += (_set_of(named),)

    def current(self) -> Sequence[Keys]:
        return self._keys

    async def for_token(self, token: bytes) -> Sequence[Keys]:  # noqa: ARG002 - nothing is fetched
        return self._keys

    def expire(self) -> None:
        """Nothing: there is nobody to ask."""


def _secret(secret: str | bytes) -> OctKey:
    try:
        return OctKey(check_secret(secret), alg="HS256")
    except TokenError as error:
        raise ConfigurationError(f"keys= holds a secret that is none: {error.message}") from None


def _set_of(keys: Sequence[Key]) -> KeySet:
    try:
        return KeySet(keys)
    except TokenError as error:
        raise ConfigurationError(f"keys= cannot be used: {error.message}") from None


def _whatever_kid(key: Key) -> Keys:
    return lambda _kid: key


class FetchedKeys:
    """The keys of an issuer's JWK Set (`remote_keys`). own: of one's own desk, which may be asked more often."""

    is_fixed = False

    def __init__(
        self, url: str, *, private_network: bool, own: bool = False, tls: ssl.SSLContext | None = None
    ) -> None:
        try:
            from frontdesk.verifier import remote_keys  # noqa: PLC0415 - lazy: offline, nobody needs httpx
        except ImportError as error:
            raise without_httpx() from error
        self._fault = remote_keys.RemoteKeysError
        pause = remote_keys.SHORT_PAUSE_SECONDS if own else remote_keys.PAUSE_SECONDS
        self._remote = remote_keys.RemoteKeys(url, private_network=private_network, pause=pause, tls=tls)

    def current(self) -> Sequence[Keys] | None:
        keys = self._remote.current()
        return None if keys is None else (keys,)

    async def for_token(self, token: bytes) -> Sequence[Keys]:
        try:
            return (await self._remote.for_token(token),)
        except self._fault as error:
            raise StoreError(error.message, detail=error.detail) from error

    def expire(self) -> None:
        self._remote.expire()


def without_httpx() -> ConfigurationError:
    """What to do where httpx is not installed."""
    return ConfigurationError("asking another server needs httpx: install frontdesk[http]")
