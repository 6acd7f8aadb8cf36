"""The connections of one event loop, at most so many.

Not the driver's own pool: that one asks the server to reset each connection that comes back, spends a task on it, and
lets any number of callers wait. Ours need no reset, since nothing here outlives a transaction; a connection whose
state is in doubt is never handed out again; and what waits is counted (`running`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from frontdesk.errors import StoreError
from frontdesk.stores.postgresql.connecting import Connection

_KEPT_IDLE: Final = 300.0
"""Seconds after which an unused connection is closed: firewalls forget those that rest, and tell nobody."""

_CLOSED: Final = "the store is closed"


class Pool:
    """To be used in one event loop only. `connect` makes a connection or raises."""

    def __init__(self, connect: Callable[[], Awaitable[Connection]], size: int) -> None:
        self._connect = connect
        self._room = size  # for connections that nobody has asked for yet
        self._idle: list[tuple[Connection, float]] = []  # the latest used last; empty while somebody waits
        self._lent: set[Connection] = set()
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._closed = False

    async def acquire(self) -> tuple[Connection, bool]:
        """A connection, and whether it was used before. In the order of the calls; the caller limits the time."""
        if self._closed:
            raise StoreError(_CLOSED)
        connection = self._unused()
        if connection is None and self._room > 0:
            self._room -= 1
            return await self._new(), False
        if connection is None:
            connection = await self._turn()
            if connection is None:
                return await self._new(), False
        self._lent.add(connection)
        return connection, True

    def release(self, connection: Connection, *, sound: bool) -> None:
        """Give a connection back. `sound`: its transaction is over and nothing is under way on it."""
        self._lent.discard(connection)
        if sound and not self._closed and not connection.is_closed():
            self._pass_on(connection)
            if self._idle and _now() - self._idle[0][1] >= _KEPT_IDLE:
                self._end_idle(0)
        else:
            end(connection)
            self._pass_on(None)

    def drop_idle(self) -> None:
        """Close what is not in use: the server has ended one of them, and so the others, too."""
        while self._idle:
            self._end_idle(-1)

    async def close(self, seconds: float) -> None:
        """Take leave of the server where it answers within `seconds`; close everything."""
        self._closed = True
        with suppress(Exception):
            async with asyncio.timeout(seconds):
                await asyncio.gather(*(connection.close() for connection, _ in self._idle), return_exceptions=True)
        self.terminate()

    def terminate(self) -> None:
        """Close everything at once, connections in use included."""
        self._closed = True
        for connection in (*self._lent, *(connection for connection, _ in self._idle)):
            end(connection)
        self._lent.clear()
        self._idle.clear()
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(StoreError(_CLOSED))

    def _unused(self) -> Connection | None:
        while self._idle:
            connection, since = self._idle[-1]
            if not connection.is_closed() and _now() - since < _KEPT_IDLE:
                del self._idle[-1]
                return connection
            self._end_idle(-1)
        return None

    async def _new(self) -> Connection:
        """A connection in a place that is taken already."""
        try:
            connection = await self._connect()
        except BaseException:
            self._pass_on(None)
            raise
        self._lent.add(connection)
        if self._closed:
            self.release(connection, sound=False)
            raise StoreError(_CLOSED)
        return connection

    async def _turn(self) -> Connection | None:
        """Wait for a connection, or for the place of one (None)."""
        turn: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._pass_on(turn.result())
            raise

    def _pass_on(self, connection: Connection | None) -> None:
        """A connection, or its place, to who waits longest; else it is kept."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                if connection is not None:
                    self._lent.add(connection)
                turn.set_result(connection)
                return
        if connection is None:
            self._room += 1
        else:
            self._lent.discard(connection)
            self._idle.append((connection, _now()))

    def _end_idle(self, place: int) -> None:
        connection, _ = self._idle.pop(place)
        end(connection)
        self._room += 1


def end(connection: Connection) -> None:
    """Close a connection without waiting for the server, also when its event loop was closed before it."""
    transport = connection._transport  # type: ignore[attr-defined]  # noqa: SLF001 - nothing public leads to the socket
    with suppress(RuntimeError):
        connection.terminate()
        return
    # In a closed loop nothing can be scheduled any more, so the transport's last step is taken here.
    last_step = getattr(transport, "_call_connection_lost", None)
    if last_step is not None:
        last_step(None)


def _now() -> float:
    return asyncio.get_running_loop().time()
