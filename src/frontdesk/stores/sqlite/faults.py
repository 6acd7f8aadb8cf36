"""What SQLite reports, as the errors of the store contract."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import apsw

from frontdesk.errors import StoreBusyError, StoreCorruptError, StoreError, StoreFullError, StoreMissingError

# What the operating system says when there is no room; SQLite itself reports FULL for the first only.
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

_UNSOUND: Final = frozenset({apsw.SQLITE_IOERR_CORRUPTFS, apsw.SQLITE_IOERR_DATA, apsw.SQLITE_IOERR_SHORT_READ})


def store_error(fault: apsw.Error, connection: apsw.Connection | None = None) -> StoreError:
    """The error to raise for `fault`. `connection`: where it happened, for the operating system's error number."""
    detail = f"{type(fault).__name__} {getattr(fault, 'extendedresult', '')}: {fault}"
    extended = getattr(fault, "extendedresult", 0)
    if isinstance(fault, (apsw.BusyError, apsw.LockedError, apsw.ProtocolError)):
        return StoreBusyError("another process holds the database for too long", detail=detail)
    if isinstance(fault, apsw.FullError) or (isinstance(fault, apsw.IOError) and _out_of_room(connection)):
        return StoreFullError("no space is left for the database", detail=detail)
    if isinstance(fault, (apsw.CorruptError, apsw.NotADBError)) or extended in _UNSOUND:
        return StoreCorruptError("the database file is damaged or is no database", detail=detail)
    if extended == apsw.SQLITE_READONLY_DBMOVED:
        return missing(detail)
    if isinstance(fault, apsw.ReadOnlyError):
        return StoreError("the database file or its directory cannot be written", detail=detail)
    if isinstance(fault, apsw.CantOpenError):
        return StoreError("the database file cannot be opened", detail=detail)
    return StoreError("the database failed", detail=detail)


def missing(detail: str = "") -> StoreMissingError:
    """The file that is open is not the file that its path names any more."""
    return StoreMissingError("the database file was deleted or replaced; restart the desk", detail=detail)


@contextmanager
def translated(connection: apsw.Connection | None = None) -> Iterator[None]:
    """Raise what SQLite reports inside as the store's errors."""
    try:
        yield
    except apsw.Error as fault:
        raise store_error(fault, connection) from fault


def _out_of_room(connection: apsw.Connection | None) -> bool:
    if connection is None:
        return False
    try:
        return connection.system_errno in _NO_ROOM
    except apsw.Error:
        return False
