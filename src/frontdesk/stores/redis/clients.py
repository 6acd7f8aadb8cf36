"""One client for each event loop, made when a loop first asks."""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import suppress
from typing import Final
from weakref import WeakSet

from frontdesk.errors import StoreError
from frontdesk.stores.redis.client import CLOSED, Client
from frontdesk.stores.redis.settings import Settings


class Clients:
    """The clients of one store, while it is open."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._clients: dict[asyncio.AbstractEventLoop, Client] = {}
        self._open = True
        _all.add(self)

    def here(self) -> Client:
        """The running loop's client. StoreError once they are closed."""
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is not None:
            return client
        with self._lock:
            if not self._open:
                raise StoreError(CLOSED)
            for other in [other for other in self._clients if other.is_closed()]:
                _abandon(self._clients.pop(other))
            client = self._clients[loop] = Client(self._settings)
        return client

    async def close(self) -> None:
        """Close every client, each in its own loop. One whose loop does not run any more is let go."""
        with self._lock:
            self._open = False
            clients, self._clients = self._clients, {}
        for loop, client in clients.items():
            if loop is asyncio.get_running_loop():
                await client.close()
            elif loop.is_running():
                await _close_elsewhere(client, loop, self._settings.limits.seconds)
            else:
                _abandon(client)

    def disown(self) -> None:
        """In the child of a fork: use none of the parent's connections, and close none of them."""
        self._lock = threading.Lock()
        _kept.extend(self._clients.values())
        self._clients = {}


_all: Final[WeakSet[Clients]] = WeakSet()
_kept: Final[list[Client]] = []
"""Clients that a fork copied into this process, or whose loop left them as they were. Kept for ever: collecting them
would meddle with the parent's connections, or complain that nobody has closed them."""


async def _close_elsewhere(client: Client, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
    """Close a client in its own loop, which may come to its end meanwhile: then it closes the client itself."""
    here, closed = asyncio.get_running_loop(), asyncio.Event()

    def tell(_: object) -> None:
        with suppress(RuntimeError):  # nobody waits here any more
            here.call_soon_threadsafe(closed.set)

    with suppress(RuntimeError, TimeoutError):
        loop.call_soon_threadsafe(lambda: loop.create_task(client.close()).add_done_callback(tell))
        async with asyncio.timeout(seconds):
            await closed.wait()


def _abandon(client: Client) -> None:
    if not client.abandon():
        _kept.append(client)


def _disown_all() -> None:
    for clients in list(_all):
        clients.disown()


os.register_at_fork(after_in_child=_disown_all)
