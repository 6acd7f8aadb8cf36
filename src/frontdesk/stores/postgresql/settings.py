"""The constructor arguments of `PostgreSQLStore` and the options of its URL, checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from frontdesk.errors import ConfigurationError
from frontdesk.stores.postgresql.connecting import Address, Connection, address_of

_TIMEOUT: Final = timedelta(seconds=2)
_LONGEST_TIMEOUT: Final = timedelta(minutes=5)
_CONNECTIONS: Final = 10
_WAITING: Final = 1000
_STATEMENTS: Final = 100

# So that no message repeats what cannot be read.
_DECIMAL: Final = re.compile(r"\d{1,9}(\.\d{1,9})?")
_WHOLE: Final = re.compile(r"\d{1,9}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a store is made of. `seconds`: the limit of one attempt. `statements`: how many prepared ones a connection
    keeps; 0 where a pool in transaction mode stands between it and the server."""

    address: Address
    seconds: float
    max_connections: int
    max_waiting: int
    statements: int

    async def connect(self) -> Connection:
        """A connection to the primary. Raises what the driver does."""
        return await self.address.connect(self.seconds, statements=self.statements)


def settings_of(
    url: str, *, timeout: timedelta | None, max_connections: int | None, max_waiting: int | None
) -> Settings:
    """An argument that is None is taken from the URL, and from the defaults where that says nothing.

    ValueError for an argument that cannot be, ConfigurationError for a URL.
    """
    address = address_of(url)
    stated = address.options
    try:
        return Settings(
            address=address,
            seconds=_seconds(timeout, stated.get("timeout")),
            max_connections=_count("max_connections", max_connections, stated, _CONNECTIONS, least=1),
            max_waiting=_count("max_waiting", max_waiting, stated, _WAITING, least=1),
            statements=_count("statement_cache_size", None, stated, _STATEMENTS, least=0),
        )
    except ValueError as error:
        if any(given is not None for given in (timeout, max_connections, max_waiting)):
            raise
        raise ConfigurationError(f"an option in the URL of the PostgreSQL store cannot be: {error}") from None


def _seconds(given: timedelta | None, stated: str | None) -> float:
    seconds = _TIMEOUT.total_seconds()
    if given is not None:
        seconds = given.total_seconds()
    elif stated is not None:
        seconds = float(stated) if _DECIMAL.fullmatch(stated) else 0.0
    if not 0 < seconds <= _LONGEST_TIMEOUT.total_seconds():
        raise ValueError("timeout must be above zero and at most five minutes")
    return seconds


def _count(name: str, given: int | None, stated: Mapping[str, str], default: int, *, least: int) -> int:
    count = default
    if given is not None:
        count = given
    elif name in stated:
        count = int(stated[name]) if _WHOLE.fullmatch(stated[name]) else -1
    if count < least:
        raise ValueError(f"{name} must be a whole number and at least {least}")
    return count
