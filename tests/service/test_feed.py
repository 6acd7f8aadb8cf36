"""The feed: many readers of the revocation log, who wait together and are woken by the next entry."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from frontdesk.clock import AdjustableClock
from frontdesk.errors import OverloadedError, StoreError
from frontdesk.service.feed import LONGEST_WAIT, Feed
from frontdesk.stores.memory import MemoryStore
from frontdesk.stores.protocol import NO_TIME, Poll, Store
from tests.service.desks import STORES, make_store, until

NOW = AdjustableClock().now()
LONG = timedelta(seconds=20)


class CountingStore(MemoryStore):
    """Counts the polls that wait, and those that wait now."""

    def __init__(self) -> None:
        super().__init__()
        self.began = 0
        self.under_way = 0

    async def poll(self, cursor: int, *, limit: int = 1000, wait: timedelta = NO_TIME) -> Poll:
        self.began += wait > NO_TIME
        self.under_way += wait > NO_TIME
        try:
            return await super().poll(cursor, limit=limit, wait=wait)
        finally:
            self.under_way -= wait > NO_TIME


async def revoke(store: Store, subject: str = "alice") -> None:
    await store.end_subject("default", subject, reason="revoked", now=NOW)


def waiting(feed: Feed, cursor: int = 0, *, wait: timedelta = LONG) -> asyncio.Task[Poll]:
    return asyncio.get_running_loop().create_task(feed.read(cursor, limit=1000, wait=wait))


async def all_wait(feed: Feed, readers: int) -> None:
    await until(lambda: feed._waiting == readers)


def play(store: Store, scenario: Callable[[Any], Awaitable[None]]) -> None:
    async def run() -> None:
        await store.open()
        await scenario(store)
        await until(lambda: len(asyncio.all_tasks()) == 1)  # no watch outlives its readers
        await store.close()

    asyncio.run(run())


@pytest.mark.parametrize("kind", STORES)
def test_a_reader_who_waits_gets_the_next_entry(kind: str, tmp_path: Path) -> None:
    async def scenario(store: Store) -> None:
        feed = Feed(store)
        reader = waiting(feed)
        await all_wait(feed, 1)
        await revoke(store)
        page = await reader
        assert [(entry.number, entry.target) for entry in page.entries] == [(1, "alice")]
        assert (page.cursor, page.head) == (1, 1)
        assert feed._waiting == 0

    play(make_store(kind, tmp_path), scenario)


@pytest.mark.parametrize("kind", STORES)
def test_what_is_there_is_told_at_once_in_pages(kind: str, tmp_path: Path) -> None:
    async def scenario(store: Store) -> None:
        feed = Feed(store, most_waiting=0)
        for number in range(5):
            await revoke(store, f"subject {number}")
        first = await feed.read(0, limit=3, wait=LONG)
        rest = await feed.read(first.cursor, limit=3, wait=LONG)
        assert [entry.number for entry in (*first.entries, *rest.entries)] == [1, 2, 3, 4, 5]
        assert (first.complete, rest.complete) == (False, True)

    play(make_store(kind, tmp_path), scenario)


def test_a_reader_who_does_not_wait_is_told_that_there_is_nothing() -> None:
    async def scenario(store: Store) -> None:
        page = await Feed(store, most_waiting=0).read(0, limit=10)
        assert (page.entries, page.cursor, page.head) == ((), 0, 0)

    play(MemoryStore(), scenario)


def test_a_wait_that_is_over_is_an_answer_without_entries() -> None:
    async def scenario(store: Store) -> None:
        page = await Feed(store).read(0, limit=10, wait=timedelta(milliseconds=1))
        assert (page.entries, page.cursor, page.head) == ((), 0, 0)

    play(MemoryStore(), scenario)


def test_a_reader_from_before_the_log_went_back_is_told_at_once() -> None:
    async def scenario(store: Store) -> None:
        await revoke(store)
        page = await Feed(store, most_waiting=0).read(7, limit=10, wait=LONG)
        assert (page.entries, page.head) == ((), 1)

    play(MemoryStore(), scenario)


def test_readers_who_have_come_equally_far_share_one_poll_of_the_store() -> None:
    async def scenario(store: CountingStore) -> None:
        feed = Feed(store)
        await revoke(store)
        readers = [waiting(feed, 1) for _ in range(50)]
        await all_wait(feed, 50)
        assert (store.began, store.under_way) == (1, 1)
        await revoke(store)
        pages = await asyncio.gather(*readers)
        assert {tuple(entry.number for entry in page.entries) for page in pages} == {(2,)}
        assert store.under_way == 0

    play(CountingStore(), scenario)


def test_the_poll_ends_with_the_last_reader_and_not_with_the_first() -> None:
    async def scenario(store: CountingStore) -> None:
        feed = Feed(store)
        first, last = waiting(feed), waiting(feed)
        await all_wait(feed, 2)
        first.cancel()
        await all_wait(feed, 1)
        assert store.under_way == 1
        last.cancel()
        await until(lambda: store.under_way == 0)
        assert feed._watches == {}

    play(CountingStore(), scenario)


def test_a_reader_who_comes_when_the_others_were_woken_waits_anew() -> None:
    async def scenario(store: CountingStore) -> None:
        feed = Feed(store)
        for number in range(3):
            reader = waiting(feed, number)
            await all_wait(feed, 1)
            await revoke(store)
            assert [entry.number for entry in (await reader).entries] == [number + 1]
        assert store.began == 3

    play(CountingStore(), scenario)


def test_more_readers_than_may_wait_are_overloaded_and_a_place_that_is_free_is_taken() -> None:
    async def scenario(store: Store) -> None:
        feed = Feed(store, most_waiting=2)
        readers = [waiting(feed), waiting(feed)]
        await all_wait(feed, 2)
        with pytest.raises(OverloadedError):
            await feed.read(0, limit=10, wait=LONG)
        assert (await feed.read(0, limit=10)).head == 0  # nobody is kept from looking
        readers.pop().cancel()
        await all_wait(feed, 1)
        readers.append(waiting(feed))
        await all_wait(feed, 2)
        await revoke(store)
        assert [page.head for page in await asyncio.gather(*readers)] == [1, 1]

    play(MemoryStore(), scenario)


def test_the_end_answers_all_who_wait_and_lets_nobody_wait_until_it_begins_again() -> None:
    async def scenario(store: CountingStore) -> None:
        feed = Feed(store)
        readers = [waiting(feed) for _ in range(3)]
        await all_wait(feed, 3)
        feed.end()
        await store.close()
        pages = await asyncio.gather(*readers)
        assert [(page.entries, page.cursor) for page in pages] == [((), 0)] * 3
        await store.open()
        began = store.began
        assert (await feed.read(0, limit=10, wait=LONG)).entries == ()
        assert store.began == began
        feed.begin()
        reader = waiting(feed)
        await all_wait(feed, 1)
        await revoke(store)
        assert len((await reader).entries) == 1

    play(CountingStore(), scenario)


def test_a_fault_of_the_store_while_they_wait_is_a_fault_for_each_reader() -> None:
    class Breaking(MemoryStore):
        async def poll(self, cursor: int, *, limit: int = 1000, wait: timedelta = NO_TIME) -> Poll:
            if wait > NO_TIME:
                await asyncio.sleep(0)
                self._open = False
            return await super().poll(cursor, limit=limit)

    async def scenario(store: Store) -> None:
        feed = Feed(store)
        told = await asyncio.gather(waiting(feed), waiting(feed), return_exceptions=True)
        assert [type(each) for each in told] == [StoreError] * 2
        assert (feed._waiting, feed._watches) == (0, {})

    play(Breaking(), scenario)


def test_nobody_waits_longer_than_the_longest_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    patience: list[float] = []
    wait = asyncio.wait

    async def at_once(tasks: Any, **options: float) -> Any:
        patience.append(options["timeout"])
        return await wait(tasks, timeout=0)

    async def scenario(store: Store) -> None:
        monkeypatch.setattr(asyncio, "wait", at_once)
        await Feed(store).read(0, limit=10, wait=timedelta(hours=1))
        monkeypatch.undo()
        assert patience == [LONGEST_WAIT.total_seconds()]

    play(MemoryStore(), scenario)
