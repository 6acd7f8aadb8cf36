"""Running operations: each within a time limit, on a connection that is sound, whole or not at all.

A read is one statement and so one snapshot. A write is a transaction; it is tried again when the server took it back
because of others. Either runs in a task of its own: who is cancelled waits for the end of what has begun, so that it
is then done or not done and not about to happen, and so that no stranger who hangs up costs us a connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine
from contextlib import suppress
from typing import Any, Final, TypeVar

from frontdesk.errors import OverloadedError, StoreError
from frontdesk.stores.postgresql.connecting import Connection
from frontdesk.stores.postgresql.faults import (
    FAULTS,
    UnreachableError,
    loses_connection,
    store_error,
    worth_another_try,
)
from frontdesk.stores.postgresql.locks import Lock, statements
from frontdesk.stores.postgresql.pool import Pool
from frontdesk.stores.postgresql.settings import Settings

T = TypeVar("T")
Work = Callable[[Connection], Awaitable[T]]

LONG: Final = 30
"""How many times longer an operation may take that may touch every row: the end of a realm, a migration."""

_NO_CONNECTION: Final = "no connection could be had in time: the server does not answer, or all connections are busy"
_TRIES: Final = 5
_PROVED_FOR: Final = 1.0
"""Seconds for which a probe that went through answers those after it."""

_PROBE: Final = "UPDATE frontdesk.meta SET value = value WHERE name = 'history'"

# The limits on the server clean up after a client that is gone or stands still. That on a statement is longer than the
# client's own: a COMMIT that waits for a standby and is given up by the *server* is acknowledged all the same, and
# nobody must be there to hear it.
# Compiling a statement that looks dear takes longer than running any of ours.
# synchronous_commit=off would let a crash take back what was acknowledged, without any sign in the log that it did.
_BEGIN: Final = (
    "BEGIN ISOLATION LEVEL READ COMMITTED;"
    "SET LOCAL statement_timeout = {milliseconds};"
    "SET LOCAL idle_in_transaction_session_timeout = {idle};"
    "SET LOCAL jit = off;"
    "SELECT set_config('synchronous_commit', 'local', true) WHERE current_setting('synchronous_commit') = 'off';"
)


class _StaleError(Exception):
    """A connection of the pool turned out to be dead before anything was done on it."""


class _Call:
    """One accepted operation. `begun`: it has a connection, and cancelling it would leave the outcome open."""

    __slots__ = ("begun",)

    def __init__(self) -> None:
        self.begun = False


class Runner:
    """Everything that one event loop asks of the server."""

    def __init__(self, settings: Settings) -> None:
        self._seconds = settings.seconds
        self._most = settings.max_connections + settings.max_waiting
        self._accepted = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        self._probing: asyncio.Task[None] | None = None
        self._proved_at: float | None = None
        self._pool = Pool(settings.connect, settings.max_connections)

    async def read(self, question: Work[T]) -> T:
        """The answer to one statement."""
        return await self._perform(lambda call: self._trying(call, question, None, self._seconds))

    async def write(self, work: Work[T], locks: Collection[Lock] = (), *, long: bool = False) -> T:
        """What `work` returns, after COMMIT. It may be called several times, each time in a new transaction."""
        seconds = self._seconds * (LONG if long else 1)
        begin = self._begin(seconds) + statements(locks)
        return await self._perform(lambda call: self._trying(call, work, begin, seconds))

    async def transact(self, work: Work[T]) -> T:
        """`write` for a task that was made by `start` and counted by `accept`."""
        return await self._trying(_Call(), work, self._begin(self._seconds), self._seconds)

    async def probe(self) -> None:
        """Return if a write would go through now, or was found to a second ago. Leaves nothing behind.

        Strangers cause it: those who ask while one is under way share it.
        """
        now = asyncio.get_running_loop().time()
        if self._proved_at is not None and now - self._proved_at < _PROVED_FOR:
            return
        if self._probing is None:
            self._probing = self.start(self._probe())
        await asyncio.shield(self._probing)

    def accept(self) -> None:
        """Count one caller, until `settled`. OverloadedError when too many wait."""
        if self._accepted >= self._most:
            raise OverloadedError("too much is waiting for the store")
        self._accepted += 1

    def settled(self) -> None:
        """The opposite of `accept`."""
        self._accepted -= 1

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task that is kept until it is over."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    async def close(self) -> None:
        """Let what was begun come to its end, then close every connection."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        await self._pool.close(self._seconds)

    def terminate(self) -> None:
        """Close every connection at once."""
        self._pool.terminate()

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # heard, also when nobody awaits it any more

    async def _probe(self) -> None:
        script = f"{self._begin(self._seconds)}{_PROBE};ROLLBACK"
        try:
            await self._trying(_Call(), lambda connection: connection.execute(script), None, self._seconds)
            self._proved_at = asyncio.get_running_loop().time()
        finally:
            self._probing = None

    async def _perform(self, attempts: Callable[[_Call], Coroutine[Any, Any, T]]) -> T:
        self.accept()
        call = _Call()
        task = self.start(attempts(call))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if not call.begun:
                task.cancel()
            await _over(task)
            raise
        finally:
            self.settled()

    async def _trying(self, call: _Call, work: Work[T], begin: str | None, seconds: float) -> T:
        for left in reversed(range(_TRIES)):
            try:
                async with asyncio.timeout(seconds):
                    return await self._attempt(call, work, begin)
            except _StaleError:
                self._pool.drop_idle()
            except FAULTS as fault:
                self._proved_at = None
                if isinstance(fault, TimeoutError) and not call.begun:
                    raise UnreachableError(_NO_CONNECTION) from None
                if left == 0 or not worth_another_try(fault):
                    raise store_error(fault) from None
        raise UnreachableError("the connections to the server are lost again and again")

    def _begin(self, seconds: float) -> str:
        return _BEGIN.format(milliseconds=int(seconds * 2000), idle=int(self._seconds * 1000))

    async def _attempt(self, call: _Call, work: Work[T], begin: str | None) -> T:
        connection, used = await self._pool.acquire()
        call.begun = True
        sound = False
        try:
            result = await _carry_out(connection, work, begin, used=used)
            sound = True
        except Exception as error:
            sound = await _recovered(connection, error)
            raise
        finally:
            self._pool.release(connection, sound=sound)
        return result


async def _over(task: asyncio.Task[Any]) -> None:
    """Return when `task` is over, however often this is cancelled meanwhile."""
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([task])


async def _carry_out(connection: Connection, work: Work[T], begin: str | None, *, used: bool) -> T:
    """One attempt on one connection: a statement by itself, or a transaction."""
    try:
        if begin is None:
            return await work(connection)
        await connection.execute(begin)
    except FAULTS as fault:
        # Nothing was done: a read does nothing, and nothing was asked of this transaction yet.
        if used and loses_connection(fault):
            raise _StaleError from None
        raise
    result = await work(connection)
    if await connection.execute("COMMIT") != "COMMIT":
        raise StoreError("the server took the transaction back")
    return result


async def _recovered(connection: Connection, error: Exception) -> bool:
    """Leave the transaction in which `error` was raised; whether the connection can be used again."""
    lost = isinstance(error, _StaleError) or (isinstance(error, FAULTS) and loses_connection(error))
    if lost or connection.is_closed():
        return False
    if connection.is_in_transaction():
        try:
            await connection.execute("ROLLBACK")
        except FAULTS:
            return False
    return True
