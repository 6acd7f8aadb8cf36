"""Reading: at once on the calling thread where that cannot wait, else on a few threads of the store's own.

Each thread has one connection. The ones of event loops never wait for a lock; the ones of the pool do, patiently.
"""

from __future__ import annotations

import asyncio
import threading
from array import array
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar
from weakref import WeakSet

import apsw
import msgspec

from frontdesk.clock import Timer
from frontdesk.core.sessions import Session
from frontdesk.errors import OverloadedError, StoreBusyError, StoreError
from frontdesk.stores.protocol import ASK, Ask
from frontdesk.stores.rows import CLAIMS, claims_from_json, session_of
from frontdesk.stores.sqlite.faults import missing, store_error
from frontdesk.stores.sqlite.opening import DatabaseFile, MovedProbe, Patience
from frontdesk.stores.sqlite.rows import Row
from frontdesk.stores.sqlite.sessions import SELECT_SESSION
from frontdesk.stores.sqlite.stored_keys import SELECT_VERSION, version_of

T = TypeVar("T")

SLOW_SECONDS: Final = 0.010
"""A read that took longer keeps the following ones off the event loop. Twice the interpreter's switch interval: a
thread that merely had to wait for the interpreter is not taken for a slow disk."""

_DEFERRED_READS: Final = 16
_POOL_THREADS: Final = 4
_MOST_READERS: Final = 32
_MOST_REMEMBERED: Final = 4096
_LARGEST_REMEMBERED: Final = 2048


class _Reader:
    """One connection and its cursor. The lock keeps `close` of another thread out of a read, and nothing else."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._lock = threading.Lock()
        self._connection: apsw.Connection | None = connection
        self._execute = connection.cursor().execute
        self._control = connection.file_control
        probe = MovedProbe(connection)
        self._answer, self._address = probe.answer, probe.address
        self._remembered: dict[tuple[str, str], tuple[Row, Session]] = {}
        self._data_version = array("I", [0])
        self._data_address = self._data_version.buffer_info()[0]
        self._versions: dict[str, int] = {}
        self._versions_of = -1

    def session(self, realm: str, session_id: str) -> Session | None:
        key = (realm, session_id)
        with self._lock:
            rows = self._execute(SELECT_SESSION, key).fetchall()
            # Asked after the read, so that no answer comes from a file that was gone before the call began.
            self._control("main", apsw.SQLITE_FCNTL_HAS_MOVED, self._address)
        if self._answer[0]:
            raise missing()
        if not rows:
            return None
        # The row is read each time; only making a record of an equal row is spared.
        row: Row = rows[0]
        remembered = self._remembered.get(key)
        if remembered is None or remembered[0] != row:
            return self._remember(key, row)
        if row[CLAIMS] == "{}":
            return remembered[1]
        # A mapping of claims can be changed by whoever receives it, so everybody gets their own.
        return msgspec.structs.replace(remembered[1], claims=claims_from_json(row[CLAIMS]))

    def keys_version(self, realm: str, *, anew: bool) -> int:
        """The version of the realm's keys, as new as the last read on this connection, or read anew.

        For the former it is read only when that read met a database that had changed (SQLITE_FCNTL_DATA_VERSION):
        asking for this costs a tenth of a read.
        """
        with self._lock:
            if self._connection is None:
                raise _closed()
            self._control("main", apsw.SQLITE_FCNTL_DATA_VERSION, self._data_address)
            if self._data_version[0] != self._versions_of:
                self._versions = {}
                self._versions_of = self._data_version[0]
            version = None if anew else self._versions.get(realm)
            if version is None:
                version = self._versions[realm] = version_of(self._execute(SELECT_VERSION, (realm,)).fetchall())
            return version

    def _remember(self, key: tuple[str, str], row: Row) -> Session:
        session = session_of(row)
        if len(self._remembered) >= _MOST_REMEMBERED:
            self._remembered.clear()
        if len(row[CLAIMS]) <= _LARGEST_REMEMBERED:
            self._remembered[key] = (row, session)
        return session

    def ask(self, question: Callable[[apsw.Connection], T]) -> T:
        with self._lock:
            if self._connection is None:
                raise _closed()
            try:
                answer = question(self._connection)
                self._control("main", apsw.SQLITE_FCNTL_HAS_MOVED, self._address)
            except apsw.Error as fault:
                raise store_error(fault, self._connection) from fault
        if self._answer[0]:
            raise missing()
        return answer

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close(force=True)
                self._connection = None


class Reading:
    """Every read of a store. Usable from several threads and event loops."""

    def __init__(self, file: DatabaseFile, *, timer: Timer, patience: float, max_waiting: int) -> None:
        self._file = file
        self._timer = timer
        self._patience = patience
        self._max_waiting = max_waiting
        self._mine = threading.local()
        self._lock = threading.Lock()
        self._readers: WeakSet[_Reader] = WeakSet()
        self._pool = ThreadPoolExecutor(_POOL_THREADS, "frontdesk-sqlite-read")
        self._counting = threading.Lock()
        self._waiting = 0
        self._deferred = 0
        self._refusal: str | None = None

    def warm(self) -> None:
        """Connect on the calling thread, so that its first read finds everything ready."""
        self._reader(patient=False)

    def peek(self, realm: str, session_id: str) -> Session | Ask | None:
        """The session, or ASK when somebody holds a lock or reads were slow of late."""
        if self._deferred or self._refusal is not None:
            self.refuse_if_closed()
            return ASK
        try:
            reader: _Reader = self._mine.reader
        except AttributeError:
            return self._first_peek(realm, session_id)
        began = self._timer()
        try:
            found = reader.session(realm, session_id)
        except (apsw.BusyError, apsw.LockedError):
            self._deferred = _DEFERRED_READS
            return ASK
        except apsw.Error as fault:
            raise self._fault(fault) from fault
        if self._timer() - began > SLOW_SECONDS:
            self._deferred = _DEFERRED_READS
        return found

    def peek_keys_version(self, realm: str, *, anew: bool = False) -> int | Ask:
        """What `_Reader.keys_version` says, or ASK; the read that it is as new as is this thread's last `peek`."""
        reader: _Reader | None = getattr(self._mine, "reader", None)
        if reader is None or self._deferred or self._refusal is not None:
            self.refuse_if_closed()
            return ASK
        try:
            return reader.keys_version(realm, anew=anew)
        except (apsw.BusyError, apsw.LockedError):
            return ASK
        except apsw.Error as fault:
            raise self._fault(fault) from fault

    async def session(self, realm: str, session_id: str) -> Session | None:
        """The session, read on a thread; takes inline reading up again once a read is fast."""
        return await self._submit(lambda: self._measured(realm, session_id))

    async def ask(self, question: Callable[[apsw.Connection], T]) -> T:
        """The answer to a question of one statement, which is one snapshot."""
        return await self._submit(lambda: self._reader(patient=True).ask(question))

    def refuse_if_closed(self) -> None:
        if self._refusal is not None:
            raise StoreError(self._refusal)

    def refuse(self, sentence: str) -> None:
        """Answer nothing from now on. After a fork, or before closing."""
        self._refusal = sentence

    def close(self) -> None:
        """Finish the reads that were begun and close every connection. Blocks."""
        self._refusal = self._refusal or _CLOSED
        self._pool.shutdown(wait=True)
        with self._lock:
            readers = list(self._readers)
        for reader in readers:
            reader.close()

    def _first_peek(self, realm: str, session_id: str) -> Session | Ask | None:
        try:
            self.warm()
        except (OverloadedError, StoreBusyError):
            return ASK
        return self.peek(realm, session_id)

    def _measured(self, realm: str, session_id: str) -> Session | None:
        reader = self._reader(patient=True)
        began = self._timer()
        try:
            found = reader.session(realm, session_id)
        except apsw.Error as fault:
            raise self._fault(fault) from fault
        # Counted down in any case: a process whose threads starve each other measures every read as slow, and must
        # still find the way back. Then one read in seventeen is a probe on the event loop.
        fast = self._timer() - began <= SLOW_SECONDS
        self._deferred = 0 if fast else max(self._deferred - 1, 0)
        return found

    def _reader(self, *, patient: bool) -> _Reader:
        """The calling thread's connection; made at its first read, dropped with the thread."""
        self.refuse_if_closed()
        reader: _Reader | None = getattr(self._mine, "reader", None)
        if reader is None:
            with self._lock:
                if len(self._readers) >= _MOST_READERS:
                    raise OverloadedError("too many threads read the store")
                patience = Patience(self._patience, self._timer) if patient else None
                reader = _Reader(self._file.connect("reader", patience))
                self._readers.add(reader)
            self._mine.reader = reader
        return reader

    async def _submit(self, work: Callable[[], T]) -> T:
        self.refuse_if_closed()
        with self._counting:
            if self._waiting >= self._max_waiting:
                raise OverloadedError("too many reads are waiting for the store")
            self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            with self._counting:
                self._waiting -= 1

    def _fault(self, fault: apsw.Error) -> StoreError:
        if self._refusal is not None:
            return StoreError(self._refusal)
        return store_error(fault)


_CLOSED: Final = "the store is closed"


def _closed() -> StoreError:
    return StoreError(_CLOSED)
