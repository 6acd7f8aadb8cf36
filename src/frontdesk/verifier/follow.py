"""Following the revocation log: the index of a node kept current, and whether it is current enough to be believed.

One primitive serves every source: `poll(cursor, wait)`. A poll that comes back complete proves that the index holds
all that was in the log when the poll *began*; from then on the lag grows, on whichever clock shows more, until the
next one. Nothing here is a timer that says "fresh": who decides asks `is_fresh` at that moment (`core.freshness`).

When the source says that its history is another one, or its head went back, it may have lost entries. Then the node
is not fresh until it has appended again what it knows (where it may) and read the log from the beginning; what its
index holds stays there in any case.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

from frontdesk.clock import BOOT_TIMER, EPOCH, WALL_TIMER, Clock, Timer
from frontdesk.core.freshness import PollStart, believe, lag
from frontdesk.core.revocation import Entry, RevocationIndex
from frontdesk.errors import FrontdeskError, OverloadedError, StoreError
from frontdesk.stores.protocol import NO_TIME, Poll
from frontdesk.verifier.flights import Flights
from frontdesk.verifier.store_clock import StoreClock

MAX_STALENESS: Final = timedelta(seconds=5)
LONGEST_WAIT: Final = timedelta(seconds=1)
PAGE: Final = 5000
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0
_MOST_BEGINNINGS: Final = 3
"""How often the log may begin anew while it is read once: behind an address that leads to two stores it always does."""

_logger = logging.getLogger("frontdesk")


class Source(Protocol):
    """A revocation log: a store, or a desk that is asked over HTTP. Faults raise StoreError or OverloadedError."""

    async def poll(self, cursor: int, *, limit: int = PAGE, wait: timedelta = NO_TIME) -> Poll: ...


AppendAgain = Callable[[Sequence[Entry], datetime], Awaitable[object]]
Wait = Callable[[float], Awaitable[None]]
Hear = Callable[[], Awaitable[None]]
"""What a node does after it ended something and before it says so: take in its own entry. Never raises for a fault."""


class Follower:
    """Keeps one index current in the event loop that called `start`.

    append_again: how to tell the source what it lost; None for a source that takes nothing from us. max_staleness:
    how far behind local state may be. trust_stale: believe it however old it is once it was complete; for those who
    would rather let a revoked session in than turn anybody away (`insecure_trust_stale`).
    """

    def __init__(
        self,
        source: Source,
        realm: str,
        clock: Clock,
        *,
        append_again: AppendAgain | None = None,
        max_staleness: timedelta = MAX_STALENESS,
        trust_stale: bool = False,
        boot: Timer = BOOT_TIMER,
        wall: Timer = WALL_TIMER,
        pause: Wait = asyncio.sleep,
    ) -> None:
        if max_staleness <= NO_TIME:
            raise ValueError("max_staleness must be above zero")
        self.index = RevocationIndex(realm)
        self._source = source
        self._clock = clock
        self._append_again = append_again
        self._bound = max_staleness.total_seconds()
        self._trust_stale = trust_stale
        self._boot = boot
        self._wall = wall
        self._pause = pause
        self._wait = min(LONGEST_WAIT, max_staleness / 4)
        self._cursor = 0
        self._history: str | None = None
        self._beginnings = 0
        self._started: PollStart | None = None
        self._slowest: timedelta | None = None
        self._flights: Flights[None] = Flights()
        self._task: asyncio.Task[None] | None = None
        self._task_loop: asyncio.AbstractEventLoop | None = None
        self._listeners: list[Callable[[Sequence[Entry]], None]] = []
        self._on_restart: list[Callable[[], None]] = []
        self._failing = False

    # --- asked on every request -------------------------------------------------------------------------------

    @property
    def cursor(self) -> int:
        """How far the log was read. What is read from the store after this knows all entries up to it."""
        return self._cursor

    def lag(self) -> float | None:
        """How many seconds local state may be behind; None before the first complete poll."""
        return lag(self._started, self._boot(), self._wall())

    def is_fresh(self) -> bool:
        """Whether local state may be believed at this moment."""
        behind = lag(self._started, self._boot(), self._wall())
        if self._trust_stale and behind is not None:
            return True  # Fail open: asked for by name, `insecure_trust_stale`.
        return believe(behind, self._bound) == "believe"

    @property
    def is_ready(self) -> bool:
        """Whether a complete picture of the log was ever there, of its present history."""
        return self._started is not None

    # --- following --------------------------------------------------------------------------------------------

    def when_applied(self, listener: Callable[[Sequence[Entry]], None]) -> None:
        """Call `listener` with entries right after the index took them in."""
        self._listeners.append(listener)

    def when_restarted(self, listener: Callable[[], None]) -> None:
        """Call `listener` when the log has another history: what was read under the old one is out of date."""
        self._on_restart.append(listener)

    async def start(self) -> None:
        """Read the log once, then follow it in this event loop until `stop`. Idempotent; raises what the source does.

        Also mends a follower whose event loop is gone.
        """
        if self._task is not None and self._task_loop is asyncio.get_running_loop() and not self._task.done():
            return
        if self._task_loop is not None and not self._task_loop.is_closed() and not self._done():
            return  # another loop of this process follows
        await self.catch_up()
        self.follow()

    def follow(self) -> None:
        """Follow in this event loop until `stop`, without waiting for the first answer. Idempotent.

        For who goes on when the source cannot be asked: it is tried again.
        """
        if self._done():
            self._task_loop = asyncio.get_running_loop()
            self._task = self._task_loop.create_task(self._run(), name="frontdesk-follow")

    def _done(self) -> bool:
        closed = self._task_loop is None or self._task_loop.is_closed()
        return closed or self._task is None or self._task.done()

    async def stop(self) -> None:
        """Follow no longer: from now on the lag grows. Idempotent."""
        task, loop = self._task, self._task_loop
        self._task = self._task_loop = None
        if task is None or loop is None or task.done():
            return
        if loop is asyncio.get_running_loop():
            while not task.done():  # a poll that comes back at this very moment may swallow one cancellation
                task.cancel()
                await asyncio.wait([task], timeout=_FIRST_PAUSE)
        elif not loop.is_closed():
            loop.call_soon_threadsafe(task.cancel)

    async def catch_up(self) -> None:
        """Take in every entry that was acknowledged before this call. Callers share polls. Raises StoreError."""
        await self._flights.ask("log", self._read_to_the_end)

    async def _run(self) -> None:
        pause = _FIRST_PAUSE
        # `stop` takes it out of its place: until Python 3.12 `asyncio.wait_for` below a source may lose a cancellation.
        while self._task is asyncio.current_task():
            known = self._beginnings
            try:
                await self._advance(self._wait)
                self._report(None)
                if self._beginnings == known:
                    pause = _FIRST_PAUSE
                    continue
                await self._pause(pause)  # the log that begins anew each time is not asked without pause
                pause = min(pause * 2, _LONGEST_PAUSE, self._bound / 4)
            except (StoreError, OverloadedError) as error:
                self._report(error)
                await self._pause(pause)
                pause = min(pause * 2, _LONGEST_PAUSE, self._bound / 4)
            except Exception:
                _logger.exception("the revocation log cannot be followed; it will be tried again")
                await self._pause(_LONGEST_PAUSE)

    def _report(self, fault: FrontdeskError | None) -> None:
        if fault is not None and not self._failing:
            _logger.warning("the revocation log cannot be read: %s %s", fault.message, fault.detail)
        elif fault is None and self._failing:
            _logger.info("the revocation log can be read again")
        self._failing = fault is not None

    async def _read_to_the_end(self) -> None:
        known = self._beginnings
        while not await self._advance(NO_TIME):
            if self._beginnings - known >= _MOST_BEGINNINGS:
                raise StoreError("the revocation log begins anew each time it is read")

    async def _advance(self, wait: timedelta) -> bool:
        """One poll, taken in. True when nothing was left behind it."""
        asked, began = self._cursor, PollStart(self._boot(), self._wall())
        history, beginning = self._history, self._beginnings
        page = await self._source.poll(asked, limit=PAGE, wait=wait)
        if page.store_time is not None and isinstance(self._clock, StoreClock):
            self._clock.learn(page.store_time, began=began.boot, ended=self._boot())
        if beginning != self._beginnings:
            return False  # asked before the log began anew; its answer may be of the one that was
        if history is not None and (page.history != history or page.head < asked):
            await self._begin_again(page)
            return False
        self._history = page.history
        self._take(page)
        if page.complete and (self._started is None or began.boot >= self._started.boot):
            self._started = began
        return page.complete

    def _take(self, page: Poll) -> None:
        self.index.apply(page.entries)
        for listener in self._listeners:
            listener(page.entries)
        self._cursor = max(self._cursor, page.cursor)
        self.index.forget(self._forgettable())

    def _forgettable(self) -> datetime:
        """The moment by the slowest that our clock ever was: one that jumped ahead must not empty the index."""
        now, boot = self._clock.now(), timedelta(seconds=self._boot())
        # As offsets from the boot-time clock, so that only jumps count.
        offset = now - EPOCH - boot
        self._slowest = offset if self._slowest is None else min(self._slowest, offset)
        return EPOCH + boot + self._slowest

    async def _begin_again(self, page: Poll) -> None:
        """The log has another history. Not fresh until what we know is in it, and all of it was read."""
        _logger.warning("the revocation log has another history; it is read again from its beginning")
        self._started = None
        beginning = self._beginnings
        if self._append_again is not None:
            await self._append_again(tuple(self.index.live(self._clock.now())), self._clock.now())
        if beginning != self._beginnings:
            return  # another poll saw the same, and was faster
        self._history = page.history
        self._beginnings += 1
        self._cursor = 0
        self.index.restart()
        for listener in self._on_restart:
            listener()
