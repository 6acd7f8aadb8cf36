"""`last_seen_at`, recorded beside the requests: in batches, each session at most once a minute.

A recording that fails is tried again. One that is lost with its process costs a session at most that one use: it is
idle by so much earlier, a minute at most (`SessionPolicy.touch_every`).
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
_AFTER_FAULT_SECONDS: Final = 5.0

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
        self._sending: dict[str, datetime] = {}
        self._sent: asyncio.Future[None] | None = None
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

    def waiting(self, session_id: str) -> datetime | None:
        """The use of this session that is not written yet, if there is one."""
        return self._seen.get(session_id) or self._sending.get(session_id)

    async def write(self, session_id: str) -> bool:
        """See that a use of this session that waits is written now; whether there was one. Raises StoreError."""
        known = session_id in self._sending
        if known and self._sent is not None and self._loop is asyncio.get_running_loop():
            await asyncio.shield(self._sent)
        seen_at = self._seen.pop(session_id, None)
        if seen_at is None:
            return known
        await self._store.touch_sessions(self._realm, {session_id: seen_at}, every=self._every)
        return True

    async def settle(self) -> None:
        """Write what waits. Never raises for a store that cannot be asked."""
        task, loop = self._task, self._loop
        self._task = None
        if task is not None and not task.done() and loop is asyncio.get_running_loop():
            task.cancel()
            await asyncio.wait([task])
        await self._write()

    async def _write_later(self) -> None:
        while self._seen:
            await self._pause(PAUSE_SECONDS)
            if not await self._write():
                await self._pause(_AFTER_FAULT_SECONDS)

    async def _write(self) -> bool:
        """Write all that waits; False when the store could not be asked, and the rest waits on."""
        while self._seen:
            self._sending = dict(self._seen.popitem() for _ in range(min(len(self._seen), _BATCH)))
            self._sent = asyncio.get_running_loop().create_future()
            try:
                await self._store.touch_sessions(self._realm, self._sending, every=self._every)
            except (StoreError, OverloadedError) as error:
                _logger.warning("the last use of sessions could not be recorded yet: %s", error)
                self._put_back()
                return False
            except asyncio.CancelledError:
                self._put_back()
                raise
            finally:
                self._sending = {}
                self._sent.set_result(None)
        return True

    def _put_back(self) -> None:
        for session_id, seen_at in self._sending.items():
            if len(self._seen) < self._most:
                self._seen.setdefault(session_id, seen_at)
