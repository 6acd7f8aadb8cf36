"""Housekeeping beside the requests, about once a minute.

What no decision needs any more is removed, in batches; the keys of access tokens are rotated when that is due.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from frontdesk.clock import Clock
from frontdesk.errors import OverloadedError, StoreError
from frontdesk.stores.protocol import Store

EVERY: Final = timedelta(minutes=1)
BATCH: Final = 500
_MOST_BATCHES: Final = 200
_RANDOM: Final = secrets.SystemRandom()

Wait = Callable[[float], Awaitable[None]]

_logger = logging.getLogger("frontdesk")


async def purge(store: Store, clock: Clock, *, batch: int = BATCH) -> int:
    """Remove what no decision needs any more, a batch at a time so that requests come in between.

    Returns how many records went: at most 200 batches of them, the rest is for the next call. Raises StoreError.
    """
    removed = 0
    for _ in range(_MOST_BATCHES):
        gone = await store.purge(clock.now(), limit=batch)
        removed += gone
        if gone < batch:
            break
        await asyncio.sleep(0)
    return removed


class Maintenance:
    """Purges the store of one process until it is cancelled.

    rotate: does what is due for the keys. wait: sleeps for so many seconds. chance: a number from 0 to 1; each pause is
    between three quarters and five quarters of `every`, so that several processes do not meet at the writer's lock.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        rotate: Callable[[], Awaitable[object]] | None = None,
        every: timedelta = EVERY,
        batch: int = BATCH,
        wait: Wait = asyncio.sleep,
        chance: Callable[[], float] = _RANDOM.random,
    ) -> None:
        self._store = store
        self._clock = clock
        self._rotate = rotate
        self._every = every
        self._batch = batch
        self._wait = wait
        self._chance = chance
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, in the running event loop."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self.run())

    async def stop(self) -> None:
        """End. The batch under way is done or not done, never half done. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def run(self) -> None:
        """Pause, sweep, and again. A store that cannot be asked is asked again after the next pause."""
        while True:
            await self._wait(self._every.total_seconds() * (0.75 + self._chance() / 2))
            await self._attempt(self.sweep)
            if self._rotate is not None:
                await self._attempt(self._rotate)

    async def _attempt(self, chore: Callable[[], Awaitable[object]]) -> None:
        try:
            await chore()
        except (StoreError, OverloadedError) as error:
            _logger.warning("housekeeping has to wait: %s %s", error.message, error.detail)
        except Exception:
            _logger.exception("housekeeping failed; it will be tried again")

    async def sweep(self) -> int:
        """Remove what is due (`purge`); returns how many records."""
        removed = await purge(self._store, self._clock, batch=self._batch)
        if removed:
            _logger.info("housekeeping", extra={"frontdesk": {"removed": removed}})
        return removed
