"""`last_seen_at`, recorded beside the requests: in batches, each session at most once a minute.

Losing a recording harms nothing: the next request of the session makes another.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

from frontdesk.errors import OverloadedError, StoreError
from frontdesk.stores.protocol import Store

PAUSE_SECONDS: Final = 1.0
MOST: Final = 10_000
_BATCH: Final = 500

_logger = logging.getLogger("frontdesk")


class Touches:
    """Collects uses of sessions and writes them a second later, in one round trip for many.

    every: how close to a recorded use another one is not worth a write (`SessionPolicy.touch_every`). Beyond 10,000
    that wait, further ones are dropped: the next request of the session makes another.
    """

    def __init__(
        self,
        store: Store,
        realm: str,
        *,
        every: timedelta,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        most: int = MOST,
    ) -> None:
        self._store = store
        self._realm = realm
        self._every = every
        self._pause = pause
        self._most = most
        self._seen: dict[str, datetime] = {}
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def note(self, session_id: str, seen_at: datetime) -> None:
        """The session was used. Call it in a running event loop."""
        if len(self._seen) >= self._most and session_id not in self._seen:
            return
        self._seen[session_id] = seen_at
        loop = asyncio.get_running_loop()
        if self._task is None or self._task.done() or self._loop is not loop:
            self._loop = loop
            self._task = loop.create_task(self._write_later(), name="frontdesk-touch")

    async def write(self, session_id: str) -> bool:
        """Write the use of one session now, if one waits; whether it did. Raises StoreError."""
        seen_at = self._seen.pop(session_id, None)
        if seen_at is None:
            return False
        await self._store.touch_sessions(self._realm, {session_id: seen_at}, every=self._every)
        return True

    async def settle(self) -> None:
        """Write what waits. Never raises for a store that cannot be asked."""
        task, loop = self._task, self._loop
        self._task = self._loop = None
        if task is not None and not task.done() and loop is asyncio.get_running_loop():
            task.cancel()
            await asyncio.wait([task])
        await self._write()

    async def _write_later(self) -> None:
        while self._seen:
            await self._pause(PAUSE_SECONDS)
            await self._write()

    async def _write(self) -> None:
        while self._seen:
            some = [self._seen.popitem() for _ in range(min(len(self._seen), _BATCH))]
            try:
                await self._store.touch_sessions(self._realm, dict(some), every=self._every)
            except (StoreError, OverloadedError) as error:
                _logger.warning("the last use of %d sessions could not be recorded: %s", len(some), error)
                return
