"""Following the log: what a node knows, how far behind it may be, and what it does when the log began anew."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from frontdesk.clock import AdjustableClock
from frontdesk.core.revocation import Entry, EntryKind, entry_expiry
from frontdesk.core.sessions import Epochs
from frontdesk.errors import StoreError
from frontdesk.stores.protocol import NO_TIME, Poll
from frontdesk.verifier.follow import Follower
from frontdesk.verifier.store_clock import StoreClock

T0 = AdjustableClock().now()
GOOD = Epochs()


class Timers:
    """Both clocks of a machine, moved by hand."""

    def __init__(self) -> None:
        self.boot = 100.0
        self.wall = 5000.0

    def advance(self, seconds: float) -> None:
        self.boot += seconds
        self.wall += seconds


def entry(number: int, target: str = "", kind: EntryKind = "session", *, epoch: int = 0, realm: str = "r") -> Entry:
    return Entry(
        number=number,
        realm=realm,
        kind=kind,
        target=target or ("" if kind == "all" else f"s{number}"),
        epoch=epoch,
        at=T0,
        expires_at=entry_expiry(T0, kind),
    )


class Log:
    """A source that says what it is told to."""

    def __init__(self, timers: Timers | None = None) -> None:
        self.entries: list[Entry] = []
        self.history = "one"
        self.head: int | None = None
        self.failing = False
        self.polls: list[int] = []
        self.again: list[Entry] = []
        self.timers = timers
        self.takes = 0.0
        self.store_time: datetime | None = None
        self.gate: asyncio.Event | None = None

    async def poll(self, cursor: int, *, limit: int = 1000, wait: timedelta = NO_TIME) -> Poll:
        self.polls.append(cursor)
        found = [each for each in self.entries if each.number > cursor][:limit]
        head = self.head if self.head is not None else max((each.number for each in self.entries), default=0)
        page = Poll(tuple(found), found[-1].number if found else max(head, 0), self.history, head, self.store_time)
        if self.gate is not None:
            await self.gate.wait()
        await asyncio.sleep(0)
        if self.failing:
            raise StoreError("away")
        if self.timers is not None:
            self.timers.advance(self.takes)
        return page

    async def append_again(self, entries: Sequence[Entry], now: datetime) -> int:
        if self.failing:
            raise StoreError("away")
        self.again += entries
        first = max((each.number for each in self.entries), default=0)
        for number, each in enumerate(entries, start=first + 1):
            self.entries.append(msgspec.structs.replace(each, number=number))
        return len(entries)


def make(log: Log, timers: Timers, **options: Any) -> Follower:
    settings: dict[str, Any] = {
        "append_again": log.append_again,
        "max_staleness": timedelta(seconds=5),
        "boot": lambda: timers.boot,
        "wall": lambda: timers.wall,
    }
    return Follower(log, "r", AdjustableClock(), **(settings | options))


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to that")


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def play() -> None:
        async with asyncio.timeout(10):
            await scenario()

    asyncio.run(play())


def test_nothing_is_believed_before_the_first_complete_poll() -> None:
    async def scenario() -> None:
        log, timers = Log(), Timers()
        follower = make(log, timers)
        assert (follower.lag(), follower.is_fresh(), follower.is_ready) == (None, False, False)
        log.failing = True
        with pytest.raises(StoreError):
            await follower.catch_up()
        assert not follower.is_fresh()
        log.failing = False
        await follower.catch_up()
        assert (follower.lag(), follower.is_fresh(), follower.is_ready) == (0.0, True, True)

    run(scenario)


def test_the_lag_counts_from_the_start_of_the_poll_on_whichever_clock_shows_more() -> None:
    async def scenario() -> None:
        timers = Timers()
        log = Log(timers)
        log.takes = 2.0
        follower = make(log, timers)
        await follower.catch_up()
        assert follower.lag() == 2.0
        timers.boot += 3.0
        assert follower.lag() == 5.0
        assert follower.is_fresh()
        timers.boot += 0.001
        assert not follower.is_fresh()
        log.takes = 0.0
        await follower.catch_up()
        assert follower.is_fresh()
        timers.wall += 3600  # an hour's jump: believed only after the log was read again
        assert not follower.is_fresh()
        await follower.catch_up()
        assert follower.is_fresh()
        timers.wall -= 7200
        assert follower.lag() == 0.0

    run(scenario)


def test_what_is_polled_stands_in_the_index_and_pages_are_read_to_the_end() -> None:
    async def scenario() -> None:
        log, timers = Log(), Timers()
        log.entries = [entry(number) for number in range(1, 12_001)]
        follower = make(log, timers)
        await follower.catch_up()
        assert log.polls == [0, 5000, 10_000]
        assert follower.cursor == 12_000
        assert all(follower.index.revoked(f"s{number}", "x", GOOD) for number in (1, 5001, 12_000))
        assert not follower.index.revoked("s12001", "x", GOOD)

    run(scenario)


def test_an_incomplete_page_makes_nothing_fresh() -> None:
    async def scenario() -> None:
        log, timers = Log(), Timers()
        log.entries = [entry(number) for number in range(1, 6001)]
        follower = make(log, timers)
        await follower._advance(NO_TIME)
        assert not follower.is_ready
        await follower._advance(NO_TIME)
        assert follower.is_ready

    run(scenario)


@pytest.mark.parametrize("lost", ["history", "head"])
def test_a_log_that_began_anew_is_told_again_what_it_lost_before_anything_is_believed(lost: str) -> None:
    async def scenario() -> None:
        log, timers = Log(), Timers()
        log.entries = [
            entry(1, "kept"),
            entry(2, "lost"),
            entry(3, "bob", "subject", epoch=2),
            entry(4, "", "all", epoch=1),
            entry(5, "carol", "changed"),
        ]
        follower = make(log, timers)
        restarts: list[str] = []
        follower.when_restarted(lambda: restarts.append(log.history))
        await follower.catch_up()
        log.entries = [entry(1, "kept")]
        log.history = "two" if lost == "history" else "one"
        log.failing = True
        with pytest.raises(StoreError):
            await follower.catch_up()
        log.failing = False
        assert await follower._advance(NO_TIME) is False
        assert not follower.is_ready, "it was told, and must be read from the beginning first"
        assert {(each.kind, each.target) for each in log.again} == {
            ("session", "lost"),
            ("subject", "bob"),
            ("all", ""),
        }
        assert set(restarts) == {log.history}
        await follower.catch_up()
        assert follower.is_fresh()
        assert follower.cursor == max(each.number for each in log.entries)
        assert follower.index.revoked("lost", "x", Epochs(1, 0))
        assert follower.index.changed_at("carol") == 0

    run(scenario)


def test_a_store_that_cannot_be_told_again_leaves_the_node_stale_until_it_can() -> None:
    async def scenario() -> None:
        log, timers = Log(), Timers()
        log.entries = [entry(1)]

        async def refuse(entries: Sequence[Entry], now: datetime) -> int:
            raise StoreError("read only")

        follower = make(log, timers, append_again=refuse)
        await follower.catch_up()
        log.history, log.entries = "two", []
        for _ in range(2):
            with pytest.raises(StoreError):
                await follower.catch_up()
            assert not follower.is_fresh()
        assert follower.index.revoked("s1", "x", GOOD)

    run(scenario)


def test_a_source_that_takes_nothing_from_us_is_read_again_and_what_was_known_stays() -> None:
    async def scenario() -> None:
        log, timers = Log(), Timers()
        log.entries = [entry(1), entry(2)]
        follower = make(log, timers, append_again=None)
        await follower.catch_up()
        log.entries, log.history = [entry(1, "other")], "two"
        await follower.catch_up()
        assert follower.is_fresh()
        assert all(follower.index.revoked(target, "x", GOOD) for target in ("s1", "s2", "other"))

    run(scenario)


def test_an_old_answer_that_arrives_after_the_log_began_anew_changes_nothing() -> None:
    async def scenario() -> None:
        log, timers = Log(), Timers()
        log.entries = [entry(1)]
        follower = make(log, timers)
        await follower.catch_up()
        held = log.gate = asyncio.Event()
        late = asyncio.create_task(follower._advance(NO_TIME))  # its answer, of history one, is on its way
        await asyncio.sleep(0)
        log.gate = None
        log.history, log.entries = "two", [entry(1, "new")]
        timers.advance(1)
        await follower.catch_up()
        cursor, again = follower.cursor, len(log.again)
        held.set()
        assert await late is False
        assert (follower.cursor, len(log.again)) == (cursor, again)
        assert follower.is_fresh()

    run(scenario)


def test_two_polls_that_see_a_new_history_at_once_begin_again_once() -> None:
    async def scenario() -> None:
        log, timers = Log(), Timers()
        log.entries = [entry(1)]
        follower = make(log, timers)
        await follower.catch_up()
        log.history = "two"
        await asyncio.gather(*(follower._advance(NO_TIME) for _ in range(5)))
        assert follower.beginnings == 2, "it changes when the reading begins and when it is done"
        await follower.catch_up()
        assert follower.is_fresh()

    run(scenario)


def test_listeners_hear_of_entries_after_the_index_knows_them() -> None:
    async def scenario() -> None:
        log, timers = Log(), Timers()
        follower = make(log, timers)
        heard: list[tuple[str, bool]] = []
        follower.when_applied(
            lambda entries: heard.extend(
                (each.target, follower.index.revoked(each.target, "x", GOOD)) for each in entries
            )
        )
        log.entries = [entry(1), entry(2)]
        await follower.catch_up()
        assert heard == [("s1", True), ("s2", True)]

    run(scenario)


def test_a_clock_that_jumps_ahead_does_not_empty_the_index() -> None:
    async def scenario() -> None:
        log, timers, clock = Log(), Timers(), AdjustableClock()
        follower = Follower(log, "r", clock, boot=lambda: timers.boot, wall=lambda: timers.wall)
        log.entries = [entry(1)]
        await follower.catch_up()
        clock.advance(timedelta(hours=5))
        await follower.catch_up()
        clock.advance(timedelta(hours=-5))
        await follower.catch_up()
        assert follower.index.revoked("s1", "x", GOOD)
        timers.advance(3600 + 120 + 1)  # as long as an entry must be kept
        clock.advance(timedelta(seconds=3600 + 120 + 1))
        await follower.catch_up()
        assert len(follower.index) == 0

    run(scenario)


def test_trusting_stale_state_believes_it_however_old_but_not_before_there_is_any() -> None:
    async def scenario() -> None:
        log, timers = Log(), Timers()
        follower = make(log, timers, trust_stale=True)
        assert not follower.is_fresh()
        await follower.catch_up()
        timers.advance(1e6)
        assert follower.is_fresh()

    run(scenario)


def test_it_follows_in_the_background_and_goes_on_after_faults(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        log, timers = Log(), Timers()
        pauses: list[float] = []

        async def pause(seconds: float) -> None:
            pauses.append(seconds)
            await asyncio.sleep(0)
            log.failing = len(pauses) < 4

        follower = make(log, timers, pause=pause)
        await follower.start()
        await follower.start()
        log.entries.append(entry(1))
        await until(lambda: follower.index.revoked("s1", "x", GOOD))
        log.failing = True
        log.entries.append(entry(2))
        await until(lambda: follower.index.revoked("s2", "x", GOOD))
        assert pauses == [0.05, 0.1, 0.2, 0.4]
        await follower.stop()
        await follower.stop()

    with caplog.at_level(logging.INFO, logger="frontdesk"):
        run(scenario)
    said = [record.getMessage() for record in caplog.records]
    assert [text for text in said if "cannot be read" in text] == ["the revocation log cannot be read: away "]
    assert said.count("the revocation log can be read again") == 1


def test_a_follower_whose_event_loop_is_gone_starts_again_in_the_next() -> None:
    log, timers = Log(), Timers()
    follower = make(log, timers)

    async def follow(number: int) -> None:
        log.entries.append(entry(number))
        await follower.start()
        await until(lambda: follower.index.revoked(f"s{number}", "x", GOOD))
        follower._task.cancel()  # type: ignore[union-attr]
        await asyncio.sleep(0)

    for number in range(1, 4):
        asyncio.run(follow(number))


def test_the_clock_learns_the_stores_time() -> None:
    async def scenario() -> None:
        log, timers = Log(), Timers()
        clock = StoreClock(AdjustableClock(), lambda: timers.boot)
        follower = Follower(log, "r", clock, boot=lambda: timers.boot, wall=lambda: timers.wall)
        log.store_time = T0 + timedelta(days=1)
        await follower.catch_up()
        assert abs(clock.now() - log.store_time) < timedelta(milliseconds=1)

    run(scenario)


def test_a_bound_of_nothing_is_misuse() -> None:
    with pytest.raises(ValueError, match="above zero"):
        Follower(Log(), "r", AdjustableClock(), max_staleness=NO_TIME)


def test_it_stops_although_the_source_loses_a_cancellation() -> None:
    class Deaf(Log):
        async def poll(self, cursor: int, *, limit: int = 1000, wait: timedelta = NO_TIME) -> Poll:
            page = await super().poll(cursor, limit=limit, wait=wait)
            if wait:
                with suppress(asyncio.CancelledError):
                    await asyncio.sleep(3600)
            return page

    async def scenario() -> None:
        log = Deaf()
        follower = make(log, Timers())
        await follower.start()
        await until(lambda: len(log.polls) > 1)
        await follower.stop()
        assert len(asyncio.all_tasks()) == 1

    run(scenario)


def test_it_follows_before_the_source_can_be_asked(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        log, timers = Log(), Timers()
        log.failing = True

        async def pause(seconds: float) -> None:
            log.failing = False

        follower = make(log, timers, pause=pause)
        follower.follow()
        follower.follow()
        assert not follower.is_ready
        await until(lambda: follower.is_ready)
        await follower.stop()

    run(scenario)


def test_an_answer_to_a_question_from_before_the_log_began_anew_skips_nothing() -> None:
    async def scenario() -> None:
        log, timers = Log(), Timers()
        log.entries = [entry(number) for number in range(1, 5)]
        follower = make(log, timers)
        await follower.catch_up()
        log.entries = [entry(1, "new")]  # the head went back
        first = log.gate = asyncio.Event()
        went_back = asyncio.create_task(follower._advance(NO_TIME))
        await asyncio.sleep(0)
        timers.advance(1)
        log.entries = [entry(number, f"n{number}") for number in range(1, 7)]  # and is further than it was
        log.gate = second = asyncio.Event()
        grown = asyncio.create_task(follower._advance(NO_TIME))  # asks behind the fourth
        await asyncio.sleep(0)
        log.gate = None
        first.set()
        await went_back
        second.set()
        await grown
        assert not follower.is_fresh()
        await follower.catch_up()
        assert all(follower.index.revoked(f"n{number}", "x", GOOD) for number in range(1, 7))

    run(scenario)


def test_an_address_that_leads_to_two_stores_in_turn_is_a_fault_and_asked_with_pauses() -> None:
    class Two(Log):
        async def poll(self, cursor: int, *, limit: int = 1000, wait: timedelta = NO_TIME) -> Poll:
            self.history = "two" if self.history == "one" else "one"
            return await super().poll(cursor, limit=limit, wait=wait)

    async def scenario() -> None:
        log, pauses = Two(), list[float]()

        async def pause(seconds: float) -> None:
            pauses.append(seconds)
            await asyncio.sleep(0)

        log.entries = [entry(1)]
        follower = make(log, Timers(), append_again=None, pause=pause)
        await follower.catch_up()
        with pytest.raises(StoreError, match="begins anew each time"):
            await follower.catch_up()
        assert not follower.is_fresh()
        follower.follow()
        await until(lambda: len(pauses) > 5)
        await follower.stop()
        assert pauses[:6] == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0]

    run(scenario)
