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
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

from frontdesk.clock import BOOT_TIMER, WALL_TIMER, Clock, Timer, UnhurriedClock
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
_MOST_BEGINNINGS: Final = 6
_TOLD_AT_ONCE: Final = 1000
"""How often the log may begin anew while it is read once: behind an address that leads to two stores it always does."""

_logger = logging.getLogger("frontdesk")


class Source(Protocol):
    """A revocation log: a store, or a desk that is asked over HTTP. Faults raise StoreError or OverloadedError."""

    async def poll(self, cursor: int, *, limit: int = PAGE, wait: timedelta = NO_TIME) -> Poll: ...


_Matter = tuple[str, str, str]
"""What an entry is about: its realm, kind and target."""
AppendAgain = Callable[[Sequence[Entry], datetime], Awaitable[object]]
Wait = Callable[[float], Awaitable[None]]


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
        self._mending = False
        self._unhurried = UnhurriedClock(clock, boot)
        self._flights: Flights[None] = Flights()
        self._task: asyncio.Task[None] | None = None
        self._task_loop: asyncio.AbstractEventLoop | None = None
        self._process = 0
        self._listeners: list[Callable[[Sequence[Entry]], None]] = []
        self._on_restart: list[Callable[[], None]] = []
        self._failing = False

    # --- asked on every request -------------------------------------------------------------------------------

    @property
    def cursor(self) -> int:
        """How far the log was read. What is read from the store after this knows all entries up to it."""
        return self._cursor

    @property
    def beginnings(self) -> int:
        """Changes when the log begins anew: a `cursor` from before means nothing then."""
        return self._beginnings

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
        if not self._done():
            return  # here, or in another loop of this process
        await self.catch_up()
        self.follow()

    def follow(self) -> None:
        """Follow in this event loop until `stop`, without waiting for the first answer. Idempotent.

        For who goes on when the source cannot be asked: it is tried again.
        """
        if self._done():
            self._task_loop, self._process = asyncio.get_running_loop(), os.getpid()
            self._task = self._task_loop.create_task(self._run(), name="frontdesk-follow")

    def _done(self) -> bool:
        """Whether nobody follows: not begun, ended, in a loop that has stopped, or in the process we forked from."""
        task, loop = self._task, self._task_loop
        if task is None or loop is None or self._process != os.getpid():
            return True
        return task.done() or not loop.is_running()

    async def stop(self) -> None:
        """Follow no longer: from now on the lag grows. Idempotent."""
        task, loop = self._task, self._task_loop
        self._task = self._task_loop = None
        if task is None or loop is None or task.done():
            return
        if loop is asyncio.get_running_loop():
            task.cancel()  # once: a source may be busy with closing its connection
            await asyncio.wait([task])
        elif not loop.is_closed():
            loop.call_soon_threadsafe(task.cancel)

    async def catch_up(self) -> None:
        """Take in every entry that was acknowledged before this call. Callers share polls. Raises StoreError."""
        await self._flights.ask("log", self._read_to_the_end)

    async def _run(self) -> None:
        pause = _FIRST_PAUSE
        # `stop` takes the task out of its place: until Python 3.12 `asyncio.wait_for` in a source may lose a
        # cancellation, and then a poll comes back as if nothing had been.
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
        if self._mending:
            await self._pause(_FIRST_PAUSE)  # another poll saw that the log began anew, and is at it
            return False
        page = await self._source.poll(asked, limit=PAGE, wait=wait)
        if page.store_time is not None and isinstance(self._clock, StoreClock):
            self._clock.learn(page.store_time, began=began.boot, ended=self._boot())
        if beginning != self._beginnings:
            return False  # asked before the log began anew; its answer may be of the one that was
        if history is not None and (page.history != history or page.head < asked):
            await self._begin_again(page.history)
            return False
        self._history = page.history
        self._take(page)
        if page.complete and (self._started is None or began.boot >= self._started.boot):
            self._started = began
        return page.complete

    def _take(self, page: Poll) -> None:
        self._apply(page.entries)
        self._cursor = max(self._cursor, page.cursor)
        self.index.forget(self._unhurried.now())

    def _apply(self, entries: Sequence[Entry]) -> None:
        self.index.apply(entries)
        for listener in self._listeners:
            listener(entries)

    async def _begin_again(self, history: str) -> None:
        """The log has another history. Not fresh until all of it was read, and what it lacks of ours stands in it."""
        _logger.warning("the revocation log has another history; it is read again from its beginning")
        self._mending = True
        self._forget_numbers()
        try:
            self.index.restart()
            cursor, said = await self._read_anew(history)
            await self._tell_what_is_lacking(said)
        finally:
            self._mending = False
        self._history, self._cursor = history, cursor
        self._forget_numbers()

    def _forget_numbers(self) -> None:
        """Nothing counts that was read under the numbers of another history: polls on their way, rows, freshness."""
        self._started = None
        self._beginnings += 1
        for listener in self._on_restart:
            listener()

    async def _read_anew(self, history: str) -> tuple[int, dict[_Matter, int]]:
        """The whole log: how far it goes, and the highest epoch that it says of each matter."""
        cursor = 0
        said: dict[_Matter, int] = {}
        while True:
            page = await self._source.poll(cursor, limit=PAGE)
            if page.history != history:
                raise StoreError("the revocation log begins anew each time it is read")
            self._apply(page.entries)
            for entry in page.entries:
                said[_matter(entry)] = max(said.get(_matter(entry), 0), entry.epoch)
            cursor = page.cursor
            if page.complete:
                return cursor, said

    async def _tell_what_is_lacking(self, said: Mapping[_Matter, int]) -> None:
        """A little at a time: as a rule nothing is lacking, and every node would tell the same."""
        if self._append_again is None:
            return
        now = self._clock.now()
        lacking = [entry for entry in self.index.live(now) if said.get(_matter(entry), -1) < entry.epoch]
        for first in range(0, len(lacking), _TOLD_AT_ONCE):
            await self._append_again(lacking[first : first + _TOLD_AT_ONCE], now)


def _matter(entry: Entry) -> _Matter:
    return entry.realm, entry.kind, entry.target
