"""The revocation log as it is handed on to readers that have no store: page by page, with waiting for what comes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from frontdesk.errors import OverloadedError
from frontdesk.stores.protocol import NO_TIME, Poll, Store

LARGEST_PAGE: Final = 5000
LONGEST_WAIT: Final = timedelta(seconds=30)
MOST_WAITING: Final = 256
"""Readers that may wait in one process. Those that find entries at once are not among them."""

_Place = tuple[asyncio.AbstractEventLoop, int]


@dataclass(eq=False, slots=True)
class _Watch:
    """One poll of the store that waits, for all readers of one event loop that have come equally far."""

    task: asyncio.Task[Poll]
    readers: int = 0


class Feed:
    """Reads the log of one store for many readers. They share the waiting, so that a store with a connection for each
    wait needs few; what wakes a reader decides nothing, it looks for itself."""

    def __init__(self, store: Store, *, most_waiting: int = MOST_WAITING) -> None:
        self._store = store
        self._most_waiting = most_waiting
        self._waiting = 0
        self._watches: dict[_Place, _Watch] = {}
        self._ended = False

    async def read(self, cursor: int, *, limit: int, wait: timedelta = NO_TIME) -> Poll:
        """What `Store.poll` says, of all realms. `wait`, at most `LONGEST_WAIT`, is a limit: it may end earlier.

        A reader whose cursor the log does not reach any more is told so at once. OverloadedError when too many wait.
        """
        page = await self._store.poll(cursor, limit=limit)
        if wait <= NO_TIME or self._ended or page.entries or page.head < cursor:
            return page
        # At the end of a process the store may be closed already; what was read before the wait is still an answer.
        return await self._store.poll(cursor, limit=limit) if await self._news(page.cursor, wait) else page

    def begin(self) -> None:
        """Let readers wait again."""
        self._ended = False

    def end(self) -> None:
        """Answer all who wait now, and let nobody wait until `begin`. From any thread."""
        self._ended = True
        for (loop, _), watch in tuple(self._watches.items()):
            loop.call_soon_threadsafe(watch.task.cancel)

    async def _news(self, cursor: int, wait: timedelta) -> bool:
        """Return when an entry above `cursor` may be there or `wait` is over; False at the end of it all."""
        if self._waiting >= self._most_waiting:
            raise OverloadedError("Too many wait for the revocation log.")
        watch = self._watch(cursor)
        self._waiting += 1
        watch.readers += 1
        try:
            await asyncio.wait([watch.task], timeout=min(wait, LONGEST_WAIT).total_seconds())
        finally:
            self._waiting -= 1
            watch.readers -= 1
            if not watch.readers:
                watch.task.cancel()
                self._forget((asyncio.get_running_loop(), cursor), watch)
        return not self._ended

    def _watch(self, cursor: int) -> _Watch:
        loop = asyncio.get_running_loop()
        place = (loop, cursor)
        known = self._watches.get(place)
        if known is not None:
            return known
        watch = _Watch(loop.create_task(self._store.poll(cursor, limit=1, wait=LONGEST_WAIT)))
        watch.task.add_done_callback(lambda _: self._forget(place, watch))
        self._watches[place] = watch
        return watch

    def _forget(self, place: _Place, watch: _Watch) -> None:
        """A watch that is over wakes nobody who comes later."""
        if watch.task.done() and not watch.task.cancelled():
            watch.task.exception()  # looked at: every reader that it woke asks the store and meets the fault itself
        if self._watches.get(place) is watch:
            del self._watches[place]
