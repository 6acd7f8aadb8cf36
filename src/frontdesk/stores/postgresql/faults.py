"""What the driver, the server and the operating system report, as the errors of the store contract.

An error of PostgreSQL quotes values of rows, and one of the driver may quote the URL: neither text goes any further.
What is kept is the name of the class and the SQLSTATE. For the same reason errors are raised `from None`.
"""

from __future__ import annotations

import errno
from typing import Final

import asyncpg

from frontdesk.errors import (
    ConfigurationError,
    FrontdeskError,
    StoreBusyError,
    StoreCorruptError,
    StoreError,
    StoreFullError,
)

FAULTS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""Everything that talking to a server may raise. A time-out is an OSError, too."""

_TOO_SLOW: Final = "the server did not answer in time"

# By SQLSTATE or, where two characters are given, by its class: https://www.postgresql.org/docs/15/errcodes-appendix.html
_SENTENCES: Final[dict[str, tuple[type[StoreError], str]]] = {
    "08": (StoreError, "the connection to the server was lost"),
    "25006": (StoreError, "the server takes no writes"),
    "28": (StoreError, "the server does not let the desk in: wrong role or password, or pg_hba.conf forbids it"),
    "3D000": (StoreError, "there is no such database on the server"),
    "40": (StoreBusyError, "other transactions were in the way again and again"),
    "42501": (StoreError, "the role of the desk may not do this in the database"),
    "53100": (StoreFullError, "no space is left for the database"),
    "53300": (StoreError, "the server has no connection left"),
    "55P03": (StoreBusyError, "another transaction held a lock for too long"),
    "57014": (StoreBusyError, "the server gave the statement up after too long"),
    "57": (StoreError, "the server is shutting down, starting up or ended the connection"),
    "58030": (StoreError, "the server could not read or write its files"),
    "XX001": (StoreCorruptError, "the database is damaged"),
    "XX002": (StoreCorruptError, "the database is damaged"),
}


class UnreachableError(StoreError):
    """The server did not answer at all: what waits for the same connection need not find that out for itself."""


def store_error(fault: BaseException) -> FrontdeskError | ValueError:
    """The error to raise, `from None`, for one of FAULTS."""
    if isinstance(fault, TimeoutError):
        return UnreachableError(_TOO_SLOW, detail=type(fault).__name__)
    if isinstance(fault, asyncpg.exceptions.ClientConfigurationError):
        return ConfigurationError("the URL of the PostgreSQL store cannot be used", detail=type(fault).__name__)
    if isinstance(fault, (asyncpg.DataError, asyncpg.CharacterNotInRepertoireError, UnicodeError)):
        return ValueError("PostgreSQL takes no text with NUL or half a surrogate pair, and no number beyond 64 bits")
    if isinstance(fault, asyncpg.exceptions.TargetServerAttributeNotMatched):
        return StoreError("the server is a standby; the desk needs the primary", detail=type(fault).__name__)
    if isinstance(fault, OSError):
        number = errno.errorcode.get(fault.errno or 0, "")
        return UnreachableError("the server cannot be reached", detail=f"{type(fault).__name__} {number}".rstrip())
    state = sqlstate(fault)
    kind, sentence = _SENTENCES.get(state) or _SENTENCES.get(state[:2]) or (StoreError, "the database failed")
    return kind(sentence, detail=f"{type(fault).__name__} {state}".rstrip())


def sqlstate(fault: BaseException) -> str:
    """The five characters that the server sent; empty for what did not come from a server."""
    return str(getattr(fault, "sqlstate", None) or "")


def loses_connection(fault: BaseException) -> bool:
    """Whether the connection on which it happened is gone, or in a state that nobody knows."""
    if isinstance(fault, asyncpg.PostgresError):
        return sqlstate(fault).startswith(("08", "57P", "25P03", "XX"))
    return not isinstance(fault, (asyncpg.DataError, ValueError))


def worth_another_try(fault: BaseException) -> bool:
    """Whether the server took the transaction back because of others: a deadlock, a plan that a migration outdated."""
    return sqlstate(fault)[:2] == "40" or isinstance(fault, asyncpg.exceptions.InvalidCachedStatementError)
