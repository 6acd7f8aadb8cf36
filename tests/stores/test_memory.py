"""The reference store keeps the contract, alone and behind `SlowStore`, from one thread and from many."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from frontdesk.core.revocation import Entry
from frontdesk.core.rotation import Decision, Outcome
from frontdesk.errors import StoreError, StoreFullError
from frontdesk.stores.memory import MemoryStore
from frontdesk.stores.protocol import ASK, Store
from frontdesk.testing import SlowStore, StoreSuite
from frontdesk.testing.suite.harness import POLICY, REALM, T0, a_session, an_account, create, crowd, plain, sid


class FullableStore(MemoryStore):
    """A memory store whose memory can be full: it fails where a write would become visible."""

    full = False

    def _commit(self, changes: Iterable[Any], entries: Iterable[Entry] = ()) -> None:
        if self.full:
            raise StoreFullError("no space is left")
        super()._commit(changes, entries)


class MemorySuite(StoreSuite):
    """What the suite asks of the author of the memory store."""

    store_class: type[FullableStore] = FullableStore

    @asynccontextmanager
    async def open_store(self) -> AsyncIterator[Store]:
        store = self.store_class()
        await store.open()
        yield store
        await store.close()

    async def raw_dump(self, store: Store) -> bytes:
        inner = store.inner if isinstance(store, SlowStore) else store
        return repr(plain(vars(inner))).encode()

    @asynccontextmanager
    async def failing(self, store: Store) -> AsyncIterator[None]:
        inner = store.inner if isinstance(store, SlowStore) else store
        assert isinstance(inner, FullableStore)
        inner.full = True
        yield
        inner.full = False


class TestMemoryStore(MemorySuite):
    """The reference."""


class TestSlowStore(MemorySuite):
    """A slow store is a store."""

    @pytest.fixture(autouse=True, params=[0, 1])
    def _seed(self, request: pytest.FixtureRequest) -> None:
        self.seed: int = request.param

    @asynccontextmanager
    async def open_store(self) -> AsyncIterator[Store]:
        async with super().open_store() as store:
            yield SlowStore(store, seed=self.seed)


def test_threads_that_share_a_memory_store_rotate_once() -> None:
    store = MemoryStore()
    decisions: list[Decision] = []
    start = threading.Barrier(8)

    async def refresh() -> None:
        for number in range(1, 41):
            decision = await store.rotate(REALM, sid(number), 0, T0 + timedelta(hours=1), POLICY)
            assert decision is not None
            decisions.append(decision)

    def client() -> None:
        start.wait()
        asyncio.run(refresh())

    async def prepare() -> None:
        await store.open()
        await create(store, *(a_session(number) for number in range(1, 41)))

    asyncio.run(prepare())
    threads = [threading.Thread(target=client) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counted = Counter(decision.outcome for decision in decisions)
    assert counted == {Outcome.ROTATED: 40, Outcome.RENEWED: 7 * 40}


def test_the_memory_store_answers_a_peek_at_once() -> None:
    async def scenario() -> None:
        store = MemoryStore()
        await store.open()
        await create(store, a_session(1))
        with store._lock:  # another thread is writing
            assert store.peek_session(REALM, sid(1)) == a_session(1)
            assert store.peek_session(REALM, sid(2)) is None

    asyncio.run(scenario())


def test_a_memory_store_is_closed_until_it_is_opened() -> None:
    store = MemoryStore()
    with pytest.raises(StoreError):
        store.peek_session(REALM, sid(1))
    with pytest.raises(StoreError):
        asyncio.run(store.check())


def test_claims_that_are_no_json_are_misuse() -> None:
    async def scenario() -> None:
        store = MemoryStore()
        await store.open()
        with pytest.raises(TypeError):
            await create(store, a_session(1, claims={"a": object()}))
        assert await store.read_session(REALM, sid(1)) is None

    asyncio.run(scenario())


def test_the_representation_of_a_memory_store_shows_numbers_only() -> None:
    async def scenario() -> None:
        store = MemoryStore()
        await store.open()
        await create(store, a_session(1))
        await store.create_account(an_account(1))
        assert repr(store) == "MemoryStore(1 sessions, 1 accounts)"

    asyncio.run(scenario())


def _order_of_five(seed: int) -> list[int]:
    """The order in which five calls at once come back."""
    done: list[int] = []

    async def scenario() -> None:
        inner = MemoryStore()
        await inner.open()
        store = SlowStore(inner, seed=seed, most=9)

        async def call(number: int) -> None:
            await store.check()
            done.append(number)

        await crowd(call, 5)

    asyncio.run(scenario())
    return done


def test_a_seed_names_an_interleaving_and_another_seed_another_one() -> None:
    assert _order_of_five(1) == _order_of_five(1)
    assert len({tuple(_order_of_five(seed)) for seed in range(10)}) > 3


def test_a_slow_store_gives_way_before_and_after_each_call() -> None:
    async def scenario() -> list[str]:
        seen: list[str] = []

        class Noting(MemoryStore):
            async def check(self) -> None:
                seen.append("call")

        async def call() -> None:
            await SlowStore(Noting(), most=1).check()
            seen.append("answer")

        task = asyncio.create_task(call())
        for _ in range(4):
            seen.append("turn")
            await asyncio.sleep(0)
        await task
        return seen

    assert asyncio.run(scenario()) == ["turn", "turn", "call", "turn", "answer", "turn"]


def test_a_slow_store_always_asks_to_be_awaited_and_must_be_slow() -> None:
    async def scenario() -> None:
        inner = MemoryStore()
        await inner.open()
        await create(inner, a_session(1))
        assert SlowStore(inner).peek_session(REALM, sid(1)) is ASK

    asyncio.run(scenario())
    with pytest.raises(ValueError, match="at least 1"):
        SlowStore(MemoryStore(), most=0)


def test_a_loop_that_was_closed_under_a_poll_that_waits_disturbs_no_writer() -> None:
    async def scenario() -> None:
        store = MemoryStore()
        await store.open()
        closed = asyncio.new_event_loop()
        closed.close()
        store._bell._waiting.add((closed, asyncio.Event()))
        await store.end_subject(REALM, "alice", reason="revoked", now=T0)
        assert [entry.target for entry in (await store.poll(0)).entries] == ["alice"]

    asyncio.run(scenario())


def test_a_poll_is_woken_from_another_thread() -> None:
    store = MemoryStore()
    asyncio.run(store.open())
    begun = threading.Event()
    seen: list[str] = []

    async def follow() -> None:
        asyncio.get_running_loop().call_later(0.02, begun.set)
        page = await store.poll(0, wait=timedelta(seconds=30))
        seen.extend(entry.target for entry in page.entries)

    thread = threading.Thread(target=lambda: asyncio.run(follow()))
    thread.start()
    assert begun.wait(10)
    asyncio.run(store.end_subject(REALM, "alice", reason="revoked", now=T0))
    thread.join(10)
    assert seen == ["alice"]
