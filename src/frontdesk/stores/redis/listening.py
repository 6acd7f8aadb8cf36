"""A standing connection that hears when the log grows. It wakes and nothing more: what it hears is never believed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from redis import exceptions
from redis.asyncio.connection import AbstractConnection

from frontdesk.errors import FrontdeskError
from frontdesk.stores.protocol import Poll
from frontdesk.stores.redis.connecting import Connector

_SILENCE: Final = 10.0
"""Seconds without a message after which the server is asked whether it is still there."""

_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0


class Listening:
    """The subscription of one event loop. It begins with the first who waits, and is made again whenever it is lost."""

    def __init__(self, connector: Connector, channel: str, seconds: float) -> None:
        self._connector = connector
        self._channel = channel
        self._seconds = seconds
        self._wanted = asyncio.Event()
        self._subscribed = asyncio.Event()
        self._waiting: set[asyncio.Event] = set()
        self.connections: list[AbstractConnection] = []
        """The one that is subscribed, if there is one."""
        self._ended = False

    async def until_news(self, read: Callable[[], Awaitable[Poll]], cursor: int, seconds: float) -> Poll:
        """What `read` answers when there are entries, when the log has gone back or is another one, after `seconds`, or
        when nobody is to wait any longer."""
        deadline = asyncio.get_running_loop().time() + seconds
        woken = asyncio.Event()
        self._waiting.add(woken)
        self._wanted.set()
        try:
            await self._become_subscribed(min(seconds, self._seconds))
            page = first = await read()
            while not _is_news(page, first, cursor) and await _set_before(woken, deadline) and not self._ended:
                woken.clear()
                page = await read()
        finally:
            self._waiting.discard(woken)
        # Nothing woke us; where the subscription was lost, nothing could.
        return page if _is_news(page, first, cursor) or self._ended else await read()

    async def _become_subscribed(self, seconds: float) -> None:
        """Return as soon as nothing is missed any more, or after `seconds`: then only time wakes who waits."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._subscribed.wait()

    def end(self) -> None:
        """Nobody is to wait any longer."""
        self._ended = True
        self._wake()

    async def renew(self) -> None:
        """Subscribe again, over a new connection."""
        for connection in self.connections:
            await connection.disconnect(nowait=True)

    async def run(self) -> None:
        """Listen until cancelled."""
        await self._wanted.wait()
        pause = _FIRST_PAUSE
        while True:
            with suppress(exceptions.RedisError, OSError, FrontdeskError):
                await self._listen()
            pause = _FIRST_PAUSE if self._subscribed.is_set() else min(2 * pause, _LONGEST_PAUSE)
            self._subscribed.clear()
            await asyncio.sleep(pause)

    async def _listen(self) -> None:
        async with asyncio.timeout(self._seconds):
            connection = await self._connector.connect()
        try:
            async with asyncio.timeout(self._seconds):
                await connection.send_command("SUBSCRIBE", self._channel)
                await connection.read_response()
            self.connections.append(connection)
            self._subscribed.set()
            self._wake()  # what was appended while nobody listened is not announced again
            while True:
                await self._hear(connection)
                self._wake()
        finally:
            self.connections.clear()
            self._wake()  # who reads now hears what has happened to the server
            await connection.disconnect(nowait=True)

    async def _hear(self, connection: AbstractConnection) -> None:
        """Return when a message has come. A server that is silent is asked, and must answer in time."""
        while await connection.read_response(timeout=_SILENCE) is None:
            await connection.send_command("PING")
            if await connection.read_response(timeout=self._seconds) is not None:
                return
            raise exceptions.ConnectionError("the server does not answer")

    def _wake(self) -> None:
        for woken in self._waiting:
            woken.set()


def _is_news(page: Poll, first: Poll, cursor: int) -> bool:
    return bool(page.entries) or page.head < cursor or page.history != first.history


async def _set_before(event: asyncio.Event, deadline: float) -> bool:
    try:
        async with asyncio.timeout_at(deadline):
            return await event.wait()
    except TimeoutError:
        return False
