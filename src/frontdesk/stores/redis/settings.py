"""The constructor arguments of `RedisStore` and the options of its URL, checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from frontdesk.clock import Timer
from frontdesk.errors import ConfigurationError
from frontdesk.stores.redis.address import Address, parse
from frontdesk.stores.redis.names import Names

_TIMEOUT: Final = timedelta(seconds=2)
_LONGEST_TIMEOUT: Final = timedelta(minutes=5)
_CONNECTIONS: Final = 10
_WAITING: Final = 1024
_PREFIX: Final = "frontdesk"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much is used at once, and for how long. `seconds`: of one operation. `wait_replicas`: how many replicas must
    have a write before it is acknowledged."""

    seconds: float
    max_connections: int
    max_waiting: int
    wait_replicas: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a store is made of."""

    address: Address
    names: Names
    limits: Limits
    token_bytes: Callable[[int], bytes]
    timer: Timer


def settings_of(
    url: str,
    *,
    timeout: timedelta | None,
    max_connections: int | None,
    max_waiting: int | None,
    wait_replicas: int | None,
    prefix: str | None,
    token_bytes: Callable[[int], bytes],
    timer: Timer,
) -> Settings:
    """An argument that is None is taken from the URL, and from the defaults where that says nothing.

    ValueError for an argument that cannot be, ConfigurationError for a URL.
    """
    address = parse(url)
    stated = address.options
    try:
        limits = Limits(
            seconds=_seconds(timeout, stated.get("timeout")),
            max_connections=_count(max_connections, stated.get("max_connections"), _CONNECTIONS, least=1),
            max_waiting=_count(max_waiting, stated.get("max_waiting"), _WAITING, least=1),
            wait_replicas=_count(wait_replicas, stated.get("wait_replicas"), 0, least=0),
        )
        names = Names(stated.get("prefix", _PREFIX) if prefix is None else prefix)
    except ValueError as error:
        if any(given is not None for given in (timeout, max_connections, max_waiting, wait_replicas, prefix)):
            raise
        raise ConfigurationError(f"an option in the URL of the Redis server cannot be: {error}") from None
    return Settings(address=address, names=names, limits=limits, token_bytes=token_bytes, timer=timer)


def _seconds(given: timedelta | None, stated: str | None) -> float:
    if given is None:
        given = _TIMEOUT if stated is None else timedelta(seconds=float(stated))
    if not timedelta(0) < given <= _LONGEST_TIMEOUT:
        raise ValueError("timeout must be above zero and at most five minutes")
    return given.total_seconds()


def _count(given: int | None, stated: str | None, default: int, *, least: int) -> int:
    count = given if given is not None else default if stated is None else int(stated)
    if count < least:
        raise ValueError(
            f"max_connections and max_waiting are at least 1, wait_replicas at least 0; {count} is too small"
        )
    return count
