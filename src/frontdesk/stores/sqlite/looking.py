"""A look at a database file that changes nothing: no file is created, no log copied, no step of a migration taken."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final
from urllib.parse import quote

import apsw

from frontdesk.core.condition import StoreCondition
from frontdesk.errors import StoreError, StoreMissingError
from frontdesk.stores.migrations import migrations
from frontdesk.stores.sqlite import services, stored_keys
from frontdesk.stores.sqlite.faults import translated
from frontdesk.stores.sqlite.opening import recognise

_HEADER: Final = 100
_WAL: Final = b"\x02\x02"
"""What the header's file format versions are in write-ahead mode."""


async def look(path: str, realm: str) -> StoreCondition:
    """The condition of the database at `path`. StoreError when it cannot be read so, ConfigurationError when it is not
    ours or of a newer version."""
    return await asyncio.to_thread(_look, Path(path), realm)


def _look(path: Path, realm: str) -> StoreCondition:
    steps = migrations("sqlite")
    header = _header(path)
    facts = {"version": apsw.sqlite_lib_version(), "journal_mode": "wal" if header[18:20] == _WAL else "delete"}
    with translated():
        connection = apsw.Connection(_uri(path), flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
        try:
            # The last one to leave copies the log into the database; that is not ours to do.
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            connection.execute("BEGIN")
            schema = recognise(connection, len(steps))
            current = schema == len(steps)
            return StoreCondition(
                engine="sqlite",
                name=str(path),
                schema=schema,
                newest=len(steps),
                facts=facts,
                keys=stored_keys.of_realm(connection, realm) if current else (),
                services=services.of_realm(connection, realm) if current else (),
            )
        finally:
            connection.close(force=True)


def _header(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_HEADER)
    except FileNotFoundError:
        raise StoreMissingError(f"there is no database {path} yet") from None
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from None


def _uri(path: Path) -> str:
    """How the file is to be opened. With log and index as they are, the index is read and not written; without
    either nobody has it open, and it is read as it lies there. One without the other is a crash that the next start
    mends: SQLite would make the index anew to read it."""
    name = f"file:{quote(str(path.absolute()))}"
    log, index = (path.with_name(path.name + suffix).exists() for suffix in ("-wal", "-shm"))
    if log != index:
        raise StoreError(f"{path} was not closed in good order; start the server, then look again")
    return f"{name}?mode=ro&readonly_shm=1" if log else f"{name}?mode=ro&immutable=1"
