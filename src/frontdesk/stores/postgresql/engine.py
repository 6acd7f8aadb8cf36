"""What stands while a store is open: connections, a group of writes and a listener for each event loop that uses it."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator
from contextlib import suppress
from datetime import timedelta

from frontdesk.errors import StoreError
from frontdesk.stores.postgresql import log
from frontdesk.stores.postgresql.grouping import Grouping
from frontdesk.stores.postgresql.listening import Listener
from frontdesk.stores.postgresql.running import Runner
from frontdesk.stores.postgresql.settings import Settings
from frontdesk.stores.protocol import Poll


class Engine:
    """Everything that belongs to the running event loop, in which it is made."""

    def __init__(self, settings: Settings) -> None:
        self.loop = asyncio.get_running_loop()
        self.runner = Runner(settings)
        self.grouping = Grouping(self.runner)
        self._listener = Listener(settings)
        self._guard: AsyncGenerator[None, None] | None = None
        self._closed = False

    async def start(self) -> None:
        """See to it that nothing is left open when the loop ends without `close`."""
        self._guard = self._until_the_loop_ends()
        await anext(self._guard)

    async def poll(self, cursor: int, limit: int, wait: timedelta) -> Poll:
        if wait <= timedelta(0):
            return await self._page(cursor, limit)
        until = self.loop.time() + wait.total_seconds()
        with self._listener.heard() as ear:
            await self._listener.begin()  # before the look: what is appended right after it must wake us
            page = first = await self._page(cursor, limit)
            # An entry, another history and a head that went back are what the caller waits for.
            while not page.entries and page.history == first.history and page.head >= cursor:
                heard = False
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(until):
                        heard = await ear.wait()
                if self._closed:
                    raise StoreError("the store was closed")
                ear.clear()
                await self._listener.begin()
                page = await self._page(cursor, limit)
                if not heard:
                    if page.entries:
                        self._listener.end()  # it heard nothing of them: it is deaf
                    break
        return page

    async def close(self) -> None:
        """Finish what was begun and release everything. To be called in its own loop."""
        self._closed = True
        self._listener.close()
        await self.runner.close()
        if self._guard is not None:
            await self._guard.aclose()

    def terminate(self) -> None:
        """Release everything at once, also when the loop is closed."""
        self._closed = True
        self._listener.close()
        self.runner.terminate()

    async def _page(self, cursor: int, limit: int) -> Poll:
        return await self.runner.read(lambda connection: log.poll(connection, cursor, limit))

    async def _until_the_loop_ends(self) -> AsyncGenerator[None, None]:
        """`asyncio.run`, and whoever ends a loop as it does, closes asynchronous generators that are still open."""
        try:
            yield
        finally:
            self.terminate()
            await asyncio.sleep(0)  # the transports take their last steps in the next turn


class Engines:
    """One engine for each event loop of this process. Usable from several threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        # With the process: what a fork has copied is left alone, its connections are the parent's.
        self._engines: dict[tuple[int, asyncio.AbstractEventLoop], Engine] = {}

    async def here(self) -> Engine:
        """The engine of the running loop."""
        key = os.getpid(), asyncio.get_running_loop()
        engine = self._engines.get(key)
        if engine is None:
            engine = Engine(self._settings)
            with self._lock:
                for other in [each for each in self._engines if each[1].is_closed()]:
                    self._drop(other)
                self._engines[key] = engine
            await engine.start()
        return engine

    async def close(self) -> None:
        """Close the engine of the running loop, end those of all others."""
        with self._lock:
            mine = self._engines.pop((os.getpid(), asyncio.get_running_loop()), None)
            for key in list(self._engines):
                self._drop(key)
        if mine is not None:
            await mine.close()

    def _drop(self, key: tuple[int, asyncio.AbstractEventLoop]) -> None:
        pid, loop = key
        engine = self._engines.pop(key)
        if pid != os.getpid():
            _inherited.append(engine)
        elif loop.is_closed():
            engine.terminate()
        else:
            with suppress(RuntimeError):  # it was closed at this moment
                loop.call_soon_threadsafe(engine.terminate)


_inherited: list[Engine] = []
"""Engines that a fork copied into this process, kept for ever: to end them here would speak on the parent's sockets."""
