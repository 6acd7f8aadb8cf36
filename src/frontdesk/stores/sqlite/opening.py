"""The database file: how it is created and recognised, how connections to it are made, how its schema is brought up."""

from __future__ import annotations

import os
import stat
import time
from array import array
from collections.abc import Callable
from typing import Final, Literal

import apsw

from frontdesk.clock import Timer
from frontdesk.errors import ConfigurationError, StoreBusyError, StoreCorruptError, StoreError
from frontdesk.stores.migrations import migrations
from frontdesk.stores.sqlite.faults import missing, store_error, translated

APPLICATION_ID: Final = 0x46444553
"""In the file's header: this is a database of Frontdesk's (the letters FDES)."""

SYNCHRONOUS: Final = "FULL"
"""Every COMMIT is on the medium before it is acknowledged. The power-loss tests show what NORMAL and OFF lose."""

_WAL_KEPT_BYTES: Final = 16 * 1024 * 1024

_FIRST_NAPS: Final = 10

Role = Literal["reader", "writer", "checkpointer"]


class Patience:
    """A busy handler: sleeps 0.2 ms, then 1 ms, until `seconds` have passed.

    Not `busy_timeout`: its sleeps grow to 100 ms, and a process that polls so rarely starves beside one that commits
    without pause. `waited` says whether somebody else held the lock since it was last reset.
    """

    def __init__(self, seconds: float, timer: Timer) -> None:
        self._seconds = seconds
        self._timer = timer
        self._since = 0.0
        self.waited = False

    def __call__(self, calls: int) -> bool:
        if calls == 0:
            self.waited = True
            self._since = self._timer()
        elif self._timer() - self._since >= self._seconds:
            return False
        time.sleep(0.0002 if calls < _FIRST_NAPS else 0.001)
        return True


class DatabaseFile:
    """One path, and the file that was found there when the store was opened."""

    def __init__(self, path: str, *, vfs: str = "") -> None:
        self.path = path
        self._vfs = vfs or None
        self._identity: tuple[int, int] | None = None
        self._beside: dict[str, tuple[int, int]] = {}

    def create(self) -> None:
        """Create the file, readable by its owner alone, unless there is one."""
        try:
            made = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            return
        except OSError as fault:
            raise StoreError("the database file cannot be created", detail=str(fault)) from fault
        try:
            os.fchmod(made, 0o600)  # a umask may have taken bits away; SQLite gives -wal and -shm the same mode
            os.fsync(made)
        finally:
            os.close(made)
        _sync_directory(os.path.dirname(self.path))

    def connect(self, role: Role, patience: Patience | None) -> apsw.Connection:
        """A connection with every safety that this store relies on. `patience` None: it never waits for a lock."""
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_NOFOLLOW
        try:
            connection = apsw.Connection(self.path, flags=flags, vfs=self._vfs)
        except apsw.Error as fault:
            if self._identity is not None and not os.path.exists(self.path):
                raise missing(str(fault)) from fault
            raise store_error(fault) from fault
        try:
            with translated(connection):
                if connection.readonly("main"):  # SQLite falls back to that by itself
                    raise StoreError("the database file cannot be written")
                _configure(connection, role, patience)
            self.verify(connection)
        except BaseException:
            connection.close(force=True)
            raise
        return connection

    def verify(self, connection: apsw.Connection) -> None:
        """The path still names the file that the store was opened with, and so does `connection`."""
        if self._identity is not None and _identity(self.path) != self._identity:
            raise missing()
        if MovedProbe(connection).moved():
            raise missing()

    def verify_beside(self) -> None:
        """The write-ahead log and its index are the ones that were there at first.

        A process that starts after somebody deleted them would make new ones, and the two would not see each other.
        """
        for suffix, known in self._beside.items():
            if _identity(self.path + suffix) != known:
                raise missing(f"{suffix} is another file")

    def remember(self) -> None:
        """From now on, another file under this path is an error. Call with a connection open that has read."""
        self._identity = _identity(self.path)
        for suffix in ("-wal", "-shm"):
            found = _identity(self.path + suffix)
            if found is not None:
                self._beside[suffix] = found


class MovedProbe:
    """Asks the operating system whether a connection's file is still the one that its path names. One `stat`."""

    def __init__(self, connection: apsw.Connection) -> None:
        self.answer = array("i", [0])
        self.address = self.answer.buffer_info()[0]
        self._control = connection.file_control

    def moved(self) -> bool:
        return self._control("main", apsw.SQLITE_FCNTL_HAS_MOVED, self.address) and self.answer[0] != 0


def prepare(file: DatabaseFile, connection: apsw.Connection, token_bytes: Callable[[int], bytes]) -> tuple[str, ...]:
    """Bring the schema up to this version, in one immediate transaction; refuse what is not ours or is newer.

    Returns the names of the steps taken.
    """
    steps = migrations("sqlite")
    taken: list[str] = []
    with translated(connection):
        version = recognise(connection, len(steps))
        _use_wal(connection)
        if version < len(steps):
            connection.execute("BEGIN IMMEDIATE")
            try:
                for step in steps[recognise(connection, len(steps)) :]:
                    connection.execute(step.sql)
                    connection.pragma("user_version", step.number)
                    taken.append(step.name)
                connection.pragma("application_id", APPLICATION_ID)
                connection.execute(
                    "INSERT INTO meta (name, value) VALUES ('history', ?) ON CONFLICT DO NOTHING",
                    (token_bytes(16).hex(),),
                )
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        connection.execute("SELECT value FROM meta").fetchall()
    file.remember()
    return tuple(taken)


def _configure(connection: apsw.Connection, role: Role, patience: Patience | None) -> None:
    connection.set_busy_handler(patience)
    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
    connection.config(apsw.SQLITE_DBCONFIG_DQS_DML, 0)
    connection.config(apsw.SQLITE_DBCONFIG_DQS_DDL, 0)
    connection.wal_autocheckpoint(0)
    connection.pragma("cell_size_check", True)
    connection.pragma("mmap_size", 0)  # a mapped file that is cut short kills the process instead of failing a read
    connection.pragma("temp_store", "MEMORY")
    connection.pragma("synchronous", SYNCHRONOUS)
    connection.pragma("journal_size_limit", _WAL_KEPT_BYTES)
    if role == "reader":
        connection.pragma("query_only", True)
        # A reader belongs to a thread, perhaps that of an event loop: closing it must not checkpoint.
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)


def recognise(connection: apsw.Connection, newest: int) -> int:
    """The schema version of the file, 0 for an empty one. ConfigurationError for one that is not ours or is newer.

    All of it is read in one transaction: another process may be making the file at this moment.
    """
    begun = not connection.in_transaction
    if begun:
        connection.execute("BEGIN")
    try:
        return _recognised(connection, newest)
    finally:
        if begun and connection.in_transaction:
            connection.execute("ROLLBACK")


def _recognised(connection: apsw.Connection, newest: int) -> int:
    owner, version = connection.pragma("application_id"), connection.pragma("user_version")
    if owner == APPLICATION_ID:
        if not isinstance(version, int) or version < 1:
            raise StoreCorruptError("the database's schema version makes no sense", detail=f"user_version {version}")
        if version > newest:
            raise ConfigurationError(
                f"the database is of version {version}, made by a newer Frontdesk; this one knows up to {newest}: "
                "install the newer one, or use another file"
            )
        return version
    if owner != 0 or version != 0 or connection.execute("SELECT count(*) FROM sqlite_schema").get != 0:
        raise ConfigurationError("the file is a database of another program; give the desk a file of its own")
    return 0


def _use_wal(connection: apsw.Connection) -> None:
    """Switch to write-ahead logging. Two processes may start at once; the switch does not ask the busy handler."""
    for _ in range(1000):
        try:
            mode = connection.pragma("journal_mode", "WAL")
        except apsw.BusyError:
            time.sleep(0.001)
            continue
        if mode != "wal":
            raise StoreError("the file system of the database cannot hold a write-ahead log", detail=f"mode {mode}")
        return
    raise StoreBusyError("another process holds the database for too long")


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISREG(found.st_mode) else None


def _sync_directory(path: str) -> None:
    directory = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
