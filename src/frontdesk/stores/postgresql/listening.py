"""Waiting for entries: one connection per event loop that listens, beside those of the pool.

What it hears only shortens the wait: the log is read after it in any case, and a poll whose ear is deaf or gone is
answered when its time is over. So nothing here has to be certain, and nothing runs in the background: who is about to
wait sees to it that somebody listens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from frontdesk.stores.postgresql.connecting import Connection
from frontdesk.stores.postgresql.faults import FAULTS
from frontdesk.stores.postgresql.log import CHANNEL
from frontdesk.stores.postgresql.pool import end
from frontdesk.stores.postgresql.settings import Settings


class Listener:
    """To be used in one event loop only."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connection: Connection | None = None
        self._beginning: asyncio.Lock = asyncio.Lock()
        self._ears: set[asyncio.Event] = set()
        self._closed = False

    async def begin(self) -> None:
        """Listen from now on. A server that lets nobody listen is no fault: then polls are answered late."""
        async with self._beginning:
            if self._closed or (self._connection is not None and not self._connection.is_closed()):
                return
            self.end()
            try:
                async with asyncio.timeout(self._settings.seconds):
                    connection = await self._settings.connect()
                    try:
                        connection.add_termination_listener(self._ring)
                        await connection.add_listener(CHANNEL, self._ring)
                    except BaseException:
                        end(connection)
                        raise
            except FAULTS:
                return
            self._keep(connection)

    @contextmanager
    def heard(self) -> Iterator[asyncio.Event]:
        """An event that is set when something was appended, or when nobody listens any more."""
        ear = asyncio.Event()
        self._ears.add(ear)
        try:
            yield ear
        finally:
            self._ears.discard(ear)

    def end(self) -> None:
        """Drop the connection. The next wait begins anew."""
        connection, self._connection = self._connection, None
        if connection is not None:
            end(connection)

    def close(self) -> None:
        """Listen never again, and wake everybody."""
        self._closed = True
        self.end()
        self._ring()

    def _keep(self, connection: Connection) -> None:
        self._connection = connection
        if self._closed:  # meanwhile
            self.end()

    def _ring(self, *_heard: object) -> None:
        for ear in self._ears:
            ear.set()
