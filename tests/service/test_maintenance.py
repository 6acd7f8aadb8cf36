"""Housekeeping, with pauses and chance passed in: nothing here waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import pytest

from frontdesk.clock import AdjustableClock
from frontdesk.errors import StoreBusyError
from frontdesk.service.maintenance import Maintenance
from frontdesk.stores.memory import MemoryStore


class Pauses:
    """In place of sleeping: each pause is written down and ends when the test says so."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self._gate = asyncio.Semaphore(0)
        self._news = asyncio.Condition()

    async def __call__(self, seconds: float) -> None:
        async with self._news:
            self.asked.append(seconds)
            self._news.notify_all()
        await self._gate.acquire()

    async def until(self, count: int) -> None:
        """Until housekeeping has paused `count` times."""
        async with self._news:
            await asyncio.wait_for(self._news.wait_for(lambda: len(self.asked) >= count), 30)

    def end_one(self) -> None:
        self._gate.release()


class FullStore(MemoryStore):
    """A store with so many records to remove, which fails when it is told to."""

    def __init__(self, due: int = 0) -> None:
        super().__init__()
        self.due = due
        self.batches: list[int] = []
        self.moments: list[datetime] = []
        self.fault: Exception | None = None

    async def purge(self, now: datetime, *, limit: int = 500) -> int:
        if self.fault is not None:
            raise self.fault
        removed = min(limit, self.due)
        self.due -= removed
        self.batches.append(removed)
        self.moments.append(now)
        return removed


def play(store: FullStore, scenario: Callable[[Maintenance, Pauses, AdjustableClock], Awaitable[None]]) -> None:
    async def run() -> None:
        pauses, clock = Pauses(), AdjustableClock()
        maintenance = Maintenance(store, clock, batch=10, wait=pauses, chance=lambda: 0.5)
        try:
            await scenario(maintenance, pauses, clock)
        finally:
            await maintenance.stop()

    asyncio.run(run())


def test_a_sweep_removes_batch_by_batch_until_one_is_not_full() -> None:
    store = FullStore(due=25)

    async def scenario(maintenance: Maintenance, pauses: Pauses, clock: AdjustableClock) -> None:
        assert await maintenance.sweep() == 25
        assert store.batches == [10, 10, 5]
        assert await maintenance.sweep() == 0

    play(store, scenario)


def test_a_sweep_ends_even_when_there_is_always_more() -> None:
    store = FullStore(due=10**9)

    async def scenario(maintenance: Maintenance, pauses: Pauses, clock: AdjustableClock) -> None:
        assert await maintenance.sweep() == 2000

    play(store, scenario)


def test_requests_come_in_between_batches() -> None:
    store = FullStore(due=50)

    async def scenario(maintenance: Maintenance, pauses: Pauses, clock: AdjustableClock) -> None:
        seen: list[int] = []

        async def request() -> None:
            for _ in range(3):
                seen.append(len(store.batches))
                await asyncio.sleep(0)

        await asyncio.gather(maintenance.sweep(), request())
        assert seen == [1, 2, 3]

    play(store, scenario)


def test_it_pauses_first_and_then_asks_the_clock_each_time() -> None:
    store = FullStore()

    async def scenario(maintenance: Maintenance, pauses: Pauses, clock: AdjustableClock) -> None:
        maintenance.start()
        await pauses.until(1)
        assert store.batches == []
        clock.advance(timedelta(hours=1))
        pauses.end_one()
        await pauses.until(2)
        assert store.moments == [clock.now()]
        assert pauses.asked == [60.0, 60.0]

    play(store, scenario)


@pytest.mark.parametrize(("chance", "pause"), [(0.0, 45.0), (0.5, 60.0), (1.0, 75.0)])
def test_pauses_differ_between_processes(chance: float, pause: float) -> None:
    async def run() -> None:
        pauses = Pauses()
        maintenance = Maintenance(FullStore(), AdjustableClock(), wait=pauses, chance=lambda: chance)
        maintenance.start()
        await pauses.until(1)
        await maintenance.stop()
        assert pauses.asked == [pause]

    asyncio.run(run())


@pytest.mark.parametrize("fault", [StoreBusyError("busy"), RuntimeError("unforeseen")])
def test_a_fault_is_logged_and_tried_again(fault: Exception, caplog: pytest.LogCaptureFixture) -> None:
    store = FullStore(due=1)

    async def scenario(maintenance: Maintenance, pauses: Pauses, clock: AdjustableClock) -> None:
        store.fault = fault
        maintenance.start()
        await pauses.until(1)
        pauses.end_one()
        await pauses.until(2)
        assert len(caplog.records) == 1
        store.fault = None
        pauses.end_one()
        await pauses.until(3)
        assert store.batches == [1]

    play(store, scenario)


def test_stopping_ends_it_in_a_pause_and_may_be_repeated() -> None:
    store = FullStore(due=5)

    async def scenario(maintenance: Maintenance, pauses: Pauses, clock: AdjustableClock) -> None:
        await maintenance.stop()
        maintenance.start()
        maintenance.start()
        await pauses.until(1)
        await maintenance.stop()
        await maintenance.stop()
        assert store.batches == []
        assert len(asyncio.all_tasks()) == 1

    play(store, scenario)


def test_what_is_due_in_a_real_store_is_gone_after_a_sweep() -> None:
    async def run() -> None:
        store, clock = MemoryStore(), AdjustableClock()
        await store.open()
        for number in range(7):
            key = number.to_bytes(32)
            await store.put_once("default", "test", key, b"x", expires_at=clock.now() + timedelta(minutes=1))
        maintenance = Maintenance(store, clock, batch=3)
        assert await maintenance.sweep() == 0
        clock.advance(timedelta(days=30))
        assert await maintenance.sweep() == 7
        await store.close()

    asyncio.run(run())


def test_the_keys_are_looked_after_even_when_nothing_can_be_removed(caplog: pytest.LogCaptureFixture) -> None:
    rotations: list[int] = []

    async def rotate() -> None:
        rotations.append(1)
        if len(rotations) == 1:
            raise StoreBusyError("the store is busy")

    async def scenario() -> None:
        store, pauses = FullStore(), Pauses()
        store.fault = StoreBusyError("the store is busy")
        maintenance = Maintenance(store, AdjustableClock(), rotate=rotate, wait=pauses)
        maintenance.start()
        for count in (1, 2):
            await pauses.until(count)
            pauses.end_one()
        await pauses.until(3)
        await maintenance.stop()

    asyncio.run(scenario())
    assert len(rotations) == 2
    assert [record.message.startswith("housekeeping has to wait") for record in caplog.records] == [True] * 3
