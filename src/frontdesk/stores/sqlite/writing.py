"""Writing: one thread per store, which commits what has gathered while it was committing.

Each operation has a savepoint of its own, so that a failing one takes nobody along. Nobody hears of an outcome before
COMMIT has returned, and with it the write to the medium.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import copy
from typing import Any, Final, Generic, TypeVar

import apsw

from frontdesk.clock import Timer
from frontdesk.errors import OverloadedError, StoreError
from frontdesk.stores.sqlite.faults import store_error
from frontdesk.stores.sqlite.opening import DatabaseFile, Patience
from frontdesk.stores.sqlite.records import write_probe

T = TypeVar("T")
Operation = Callable[[apsw.Connection], T]

_MAX_BATCH: Final = 256
_YIELD_SECONDS: Final = 0.0012
"""Longer than the longest sleep of another process's `Patience`, so that it finds the lock free once."""
_YIELDS: Final = 8
_PROBE_EVERY: Final = 16
_PROVED_FOR: Final = 1.0
"""Seconds for which a probe that went through answers those after it."""

# After these the transaction is gone or cannot be trusted, whatever savepoint it happened in.
_FATAL: Final = (apsw.FullError, apsw.IOError, apsw.CorruptError, apsw.NotADBError, apsw.NoMemError, apsw.BusyError)


class _Job(Generic[T]):
    """One accepted operation, and where its outcome is awaited."""

    __slots__ = ("delivered", "error", "future", "loop", "operation", "probes", "result")

    def __init__(self, operation: Operation[T], loop: asyncio.AbstractEventLoop, *, probes: bool) -> None:
        self.operation = operation
        self.probes = probes
        self.loop = loop
        self.future: asyncio.Future[T] = loop.create_future()
        self.result: T | None = None
        self.error: BaseException | None = None
        self.delivered = False

    def deliver(self) -> None:
        """Hand the outcome over, in the event loop."""
        self.delivered = True
        if self.future.done():
            return  # its task was cancelled
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)  # type: ignore[arg-type]

    async def settled(self) -> None:
        """Return when the outcome was delivered, however often this is cancelled meanwhile."""
        while not self.delivered:
            self.future = self.loop.create_future()
            with suppress(Exception, asyncio.CancelledError):
                await self.future


class Writer:
    """The writing thread.

    `turn` is held for each transaction; the checkpointer takes it to keep this process's writer out for a moment.
    `after_commit` is told, on this thread, how many pages the write-ahead log holds.
    """

    def __init__(
        self,
        file: DatabaseFile,
        *,
        timer: Timer,
        patience: float,
        max_waiting: int,
        turn: threading.Lock,
        after_commit: Callable[[int], int],
    ) -> None:
        self._file = file
        self._patience = Patience(patience, timer)
        self._max_waiting = max_waiting
        self._turn = turn
        self._after_commit = after_commit
        self._connection: apsw.Connection | None = None
        self._jobs: deque[_Job[Any]] = deque()
        self._changed = threading.Condition()
        self._refusal = ""
        self._stopping = False
        self._yields = 0
        self._since_probe = 0
        self._timer = timer
        self._proved_at: float | None = None
        self._thread = threading.Thread(target=self._run, name="frontdesk-sqlite-write", daemon=True)

    def connect(self) -> apsw.Connection:
        """The writing connection. Called before `start`, afterwards by the writing thread alone."""
        if self._connection is None:
            self._connection = self._file.connect("writer", self._patience)
            self._connection.set_wal_hook(lambda _connection, _schema, pages: self._after_commit(pages))
        return self._connection

    def start(self) -> None:
        self._thread.start()

    async def probe(self) -> None:
        """Return if a write would go through now, or was found to a second ago. Leaves nothing behind.

        Anybody may cause this (a health endpoint asks nobody who he is), so it costs no sync, and those who ask
        while one is under way share the next.
        """
        proved_at = self._proved_at
        if self._refusal or proved_at is None or not 0 <= self._timer() - proved_at < _PROVED_FOR:
            await self.perform(write_probe, probes=True)

    async def perform(self, operation: Operation[T], *, probes: bool = False) -> T:
        """The outcome of an operation, after COMMIT; of one that only `probes`, after ROLLBACK.

        Cancelled before its turn, the operation is withdrawn; later, the cancellation arrives when it is settled. So
        whoever cancelled and waited for the task finds it done or not done, and not about to happen.
        """
        job = self._accept(operation, probes=probes)
        try:
            return await job.future
        except asyncio.CancelledError:
            if not self._withdraw(job):
                await job.settled()
            raise

    def _accept(self, operation: Operation[T], *, probes: bool = False) -> _Job[T]:
        if self._refusal:
            raise StoreError(self._refusal)
        job = _Job(operation, asyncio.get_running_loop(), probes=probes)
        with self._changed:
            if self._stopping:
                raise StoreError("the store is closed")
            if len(self._jobs) >= self._max_waiting:
                raise OverloadedError("too many writes are waiting for the store")
            self._jobs.append(job)
            self._changed.notify()
        return job

    def _withdraw(self, job: _Job[Any]) -> bool:
        with self._changed:
            try:
                self._jobs.remove(job)
            except ValueError:
                return False
            return True

    def refuse(self, sentence: str) -> None:
        """Accept nothing from now on. After a fork, when the thread is not here and its lock may be held for ever."""
        self._refusal = sentence

    def close(self) -> None:
        """Finish what was accepted, then close the connection. Blocks."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()
        if self._connection is not None:
            self._connection.close(force=True)
            self._connection = None

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._jobs and not self._stopping:
                    self._changed.wait()
                batch = [self._jobs.popleft() for _ in range(min(len(self._jobs), _MAX_BATCH))]
                more = bool(self._jobs)
            if not batch:
                return
            for alike in ([job for job in batch if not job.probes], [job for job in batch if job.probes]):
                if alike:
                    self._commit(alike)
            self._give_way(busy=more or bool(self._jobs))

    def _commit(self, batch: Sequence[_Job[Any]]) -> None:
        try:
            connection = self.connect()
            with self._turn:
                try:
                    self._transact(connection, batch)
                finally:
                    self._leave_transaction(connection)
        except apsw.Error as fault:
            self._failed(batch, store_error(fault, self._connection))
        except Exception as error:  # noqa: BLE001 - whoever waits must hear of it, and the thread must go on
            self._failed(batch, error)
        _settle(batch)

    def _failed(self, batch: Sequence[_Job[Any]], error: Exception) -> None:
        self._proved_at = None
        _fail(batch, error)

    def _transact(self, connection: apsw.Connection, batch: Sequence[_Job[Any]]) -> None:
        connection.execute("BEGIN IMMEDIATE")
        self._file.verify(connection)
        self._file.verify_beside()
        if batch[0].probes:
            batch[0].operation(connection)  # it speaks for all of them
            connection.execute("ROLLBACK")
            self._proved_at = self._timer()
            return
        for job in batch:
            _attempt(connection, job)
        connection.execute("COMMIT")

    def _leave_transaction(self, connection: apsw.Connection) -> None:
        """After a failure: roll back; a connection that cannot even do that is replaced."""
        if not connection.in_transaction:
            return
        try:
            connection.execute("ROLLBACK")
        except apsw.Error:
            connection.close(force=True)
            self._connection = None

    def _give_way(self, *, busy: bool) -> None:
        """Leave the lock alone for a moment if another process may be waiting for it.

        SQLite cannot tell whether somebody waits. Having had to wait oneself shows that another process writes; and
        now and then a moment is left to one that never got a turn.
        """
        if self._patience.waited:
            self._patience.waited = False
            self._yields = _YIELDS
        self._since_probe += 1
        if not busy:
            self._since_probe = 0
        elif self._yields > 0 or self._since_probe >= _PROBE_EVERY:
            self._yields = max(self._yields - 1, 0)
            self._since_probe = 0
            time.sleep(_YIELD_SECONDS)


def _attempt(connection: apsw.Connection, job: _Job[Any]) -> None:
    """Run one operation in its savepoint. Raises only what ends the whole transaction."""
    connection.execute("SAVEPOINT operation")
    try:
        job.result = job.operation(connection)
    except _FATAL:
        raise
    except Exception as error:
        if not connection.in_transaction:
            raise
        connection.execute("ROLLBACK TO operation")
        job.error = store_error(error, connection) if isinstance(error, apsw.Error) else error
    connection.execute("RELEASE operation")


def _fail(batch: Sequence[_Job[Any]], error: Exception) -> None:
    """Nothing of the batch was committed: everybody gets the error, those included whose operation went well."""
    for job in batch:
        job.result = None
        job.error = copy(error)  # each is raised in a task of its own, with a traceback of its own


def _settle(batch: Sequence[_Job[Any]]) -> None:
    """Tell each event loop, once, what became of its operations."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Job[Any]]] = {}
    for job in batch:
        by_loop.setdefault(job.loop, []).append(job)
    for loop, jobs in by_loop.items():
        try:
            loop.call_soon_threadsafe(_deliver, jobs)
        except RuntimeError:
            continue  # this loop was closed: nobody waits there any more


def _deliver(jobs: Sequence[_Job[Any]]) -> None:
    for job in jobs:
        job.deliver()
