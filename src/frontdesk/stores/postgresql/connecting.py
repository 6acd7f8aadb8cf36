"""The URL of a store, and how a connection is made from it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg
from asyncpg.connect_utils import SessionAttribute

from frontdesk.errors import ConfigurationError

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection

SCHEMES: Final = ("postgresql", "postgres")
OPTIONS: Final = frozenset({"timeout", "max_connections", "max_waiting", "statement_cache_size"})
"""What the query of a URL may say about the store itself; the rest is for the driver and the server."""

_HOST: Final = r"(?:[^:@/\[\]]*|\[[0-9A-Fa-f:.]+\])(?::\d*)?"
_HOSTS: Final = re.compile(rf"{_HOST}(?:,{_HOST})*")


@dataclass(frozen=True, slots=True)
class Address:
    """Where the database is. `dsn` may hold a password, so it is in no `repr`; `name` says what may be shown."""

    dsn: str = field(repr=False)
    name: str
    options: Mapping[str, str] = field(default_factory=dict)

    async def connect(self, seconds: float, *, statements: int) -> Connection:
        """A connection to the primary, which keeps so many prepared statements.

        Raises what the driver does; cancelled or too slow, it leaves none behind.
        """
        return await asyncpg.connect(
            self.dsn,
            timeout=seconds,
            statement_cache_size=statements,
            # A primary stays one for as long as its connections live, so this is asked once for each of them.
            target_session_attrs=SessionAttribute.primary,
        )


def address_of(url: str) -> Address:
    """The address that a URL names. ConfigurationError, without the URL, when it cannot be read."""
    try:
        parts = urlsplit(url)
        query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise ConfigurationError(_UNREADABLE) from None
    host = parts.netloc.rpartition("@")[2]
    # A password that is not escaped cuts the URL into other parts, and then no part of it may be shown.
    cut = _HOSTS.fullmatch(host) is None or "@" in parts.path or parts.fragment
    if url.partition("://")[0] not in SCHEMES or cut:
        raise ConfigurationError(_UNREADABLE)
    kept = [(name, value) for name, value in query if name not in OPTIONS]
    if "application_name" not in dict(kept):
        kept.append(("application_name", "frontdesk"))
    name = f"{host or dict(kept).get('host', '')}{parts.path}"
    return Address(
        urlunsplit(parts._replace(query=urlencode(kept))), name, {key: value for key, value in query if key in OPTIONS}
    )


_UNREADABLE: Final = (
    "the URL of the PostgreSQL store cannot be read; write postgresql://user:password@host:5432/database,"
    " with special characters of the password as %40"
)
