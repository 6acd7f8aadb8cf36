"""Reads on the event loop: at once, never waiting, and never from an old picture."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest

from frontdesk.core.sessions import Session
from frontdesk.errors import StoreError
from frontdesk.stores.protocol import ASK
from frontdesk.stores.sqlite import SQLiteStore
from frontdesk.stores.sqlite.reading import SLOW_SECONDS
from frontdesk.testing.suite.harness import REALM, T0, TICK, a_session, create, sid
from tests.stores.faulty_vfs import FaultyVFS, Gate, faulty_vfs, nothing, raising


class Stopwatch:
    """A timer that moves by `step` each time it is looked at."""

    def __init__(self) -> None:
        self.now = 0.0
        self.step = 0.0

    def __call__(self) -> float:
        self.now += self.step
        return self.now


@asynccontextmanager
async def opened(path: Path, **arguments: Any) -> AsyncIterator[SQLiteStore]:
    store = SQLiteStore(path, **arguments)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
def vfs() -> Iterator[FaultyVFS]:
    with faulty_vfs("reading") as vfs:
        yield vfs


def test_after_a_slow_read_the_next_ones_go_to_a_thread_until_one_is_fast(tmp_path: Path) -> None:
    async def scenario() -> None:
        watch = Stopwatch()
        async with opened(tmp_path / "desk.db", timer=watch) as store:
            await create(store, a_session(1))
            watch.step = SLOW_SECONDS * 0.99
            assert [store.peek_session(REALM, sid(1)) for _ in range(5)] == [a_session(1)] * 5
            watch.step = SLOW_SECONDS * 1.01
            assert store.peek_session(REALM, sid(1)) == a_session(1)
            assert [store.peek_session(REALM, sid(1)) for _ in range(5)] == [ASK] * 5
            assert await store.read_session(REALM, sid(1)) == a_session(1)
            assert store.peek_session(REALM, sid(1)) is ASK
            watch.step = 0.0
            assert await store.read_session(REALM, sid(1)) == a_session(1)
            assert store.peek_session(REALM, sid(1)) == a_session(1)

    asyncio.run(scenario())


def test_while_every_read_is_slow_one_in_seventeen_is_tried_on_the_loop(tmp_path: Path) -> None:
    async def scenario() -> None:
        watch = Stopwatch()
        async with opened(tmp_path / "desk.db", timer=watch) as store:
            await create(store, a_session(1))
            watch.step = SLOW_SECONDS * 2
            inline = 0
            for _ in range(170):
                found = store.peek_session(REALM, sid(1))
                if found is ASK:
                    found = await store._opened().reading.session(REALM, sid(1))
                else:
                    inline += 1
                assert found == a_session(1)
            assert inline == 10

    asyncio.run(scenario())


def test_a_busy_read_moves_to_a_thread_and_the_next_fast_one_brings_reading_back(
    tmp_path: Path, vfs: FaultyVFS
) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "desk.db", vfs=vfs.name, timer=Stopwatch()) as store:
            await create(store, a_session(1))
            vfs.hook = raising("read", "desk.db-wal", apsw.BusyError)
            assert store.peek_session(REALM, sid(1)) is ASK
            vfs.hook = nothing
            assert store.peek_session(REALM, sid(1)) is ASK
            assert await store.read_session(REALM, sid(1)) == a_session(1)
            assert store.peek_session(REALM, sid(1)) == a_session(1)

    asyncio.run(scenario())


def test_a_read_that_fails_is_an_error_and_not_an_absent_session(tmp_path: Path, vfs: FaultyVFS) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "desk.db", vfs=vfs.name) as store:
            await create(store, a_session(1))
            vfs.hook = raising("read", "desk.db-wal", apsw.IOError)
            with pytest.raises(StoreError):
                store.peek_session(REALM, sid(1))
            with pytest.raises(StoreError):
                await store.list_sessions(REALM, "alice", T0)
            vfs.hook = nothing
            assert store.peek_session(REALM, sid(1)) == a_session(1)

    asyncio.run(scenario())


def test_no_read_leaves_a_cursor_open_that_would_pin_its_snapshot(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "desk.db") as store:
            other = apsw.Connection(str(tmp_path / "desk.db"))
            other.pragma("user_version")  # before its first read a connection does not know that there is a log
            for number in range(5):
                await create(store, a_session(number))
                assert store.peek_session(REALM, sid(number)) == a_session(number)
                assert store.peek_session(REALM, "nobody") is None
                await store.list_sessions(REALM, "alice", T0)
                await store.epochs(REALM, "alice")
                await store.poll(0)
                # Truncating needs every reader out of the log; an open cursor would make it raise BusyError.
                assert other.wal_checkpoint("main", apsw.SQLITE_CHECKPOINT_TRUNCATE) == (0, 0)
            other.close()

    asyncio.run(scenario())


def test_equal_rows_share_a_record_but_never_the_claims_in_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "desk.db") as store:
            await create(store, a_session(1, claims={"plan": {"seats": 3}}), a_session(2))
            for _ in range(4):
                found = store.peek_session(REALM, sid(1))
                assert isinstance(found, Session)
                assert found.claims == {"plan": {"seats": 3}}
                found.claims["plan"]["seats"] = 4000
                found.claims.clear()  # type: ignore[attr-defined]
            assert store.peek_session(REALM, sid(2)) is store.peek_session(REALM, sid(2))
            later = a_session(2).created_at + TICK
            assert await store.touch_session(REALM, sid(2), later)
            touched = store.peek_session(REALM, sid(2))
            assert isinstance(touched, Session)
            assert touched.last_seen_at == later

    asyncio.run(scenario())


def test_more_sessions_than_are_remembered_are_all_read_rightly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("frontdesk.stores.sqlite.reading._MOST_REMEMBERED", 3)

    async def scenario() -> None:
        async with opened(tmp_path / "desk.db") as store:
            await create(store, *(a_session(number) for number in range(10)))
            for number in (*range(10), *range(10)):
                assert store.peek_session(REALM, sid(number)) == a_session(number)

    asyncio.run(scenario())


def test_many_threads_and_loops_read_one_store(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "desk.db") as store:
            await create(store, a_session(1))
            answers: list[object] = []

            def read() -> None:
                answers.append(store.peek_session(REALM, sid(1)))
                answers.append(asyncio.run(store.read_session(REALM, sid(1))))

            threads = [threading.Thread(target=read) for _ in range(20)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert answers == [a_session(1)] * 40

    asyncio.run(scenario())


def test_beyond_the_largest_number_of_connections_a_thread_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("frontdesk.stores.sqlite.reading._MOST_READERS", 1)

    async def scenario() -> None:
        async with opened(tmp_path / "desk.db") as store:
            await create(store, a_session(1))
            assert await asyncio.to_thread(store.peek_session, REALM, sid(1)) is ASK
            assert store.peek_session(REALM, sid(1)) == a_session(1)

    asyncio.run(scenario())


# --- the event loop is never blocked ------------------------------------------------------------------------------


async def _reads_on_the_loop(store: SQLiteStore, turns: int) -> int:
    """How many of so many reads, one per turn of the loop, were answered on the spot."""
    answered = 0
    for _ in range(turns):
        answered += store.peek_session(REALM, sid(1)) == a_session(1)
        await asyncio.sleep(0)
    return answered


def test_a_writer_that_waits_for_the_disk_keeps_no_read_waiting(tmp_path: Path, vfs: FaultyVFS) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "desk.db", vfs=vfs.name, timer=Stopwatch()) as store:
            await create(store, a_session(1))
            gate = Gate("sync", "desk.db-wal")
            vfs.hook = gate
            write = asyncio.create_task(store.end_session(REALM, sid(1), reason="revoked", now=T0))
            assert await asyncio.to_thread(gate.reached.wait, 60)
            assert await _reads_on_the_loop(store, 500) == 500
            assert not write.done()
            gate.open()
            await write
            assert await _reads_on_the_loop(store, 1) == 0

    asyncio.run(scenario())


def test_another_process_that_holds_the_write_lock_keeps_no_read_waiting(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "desk.db", timer=Stopwatch()) as store:
            await create(store, a_session(1))
            other = apsw.Connection(str(tmp_path / "desk.db"))
            other.execute("BEGIN IMMEDIATE; UPDATE meta SET value = value")
            write = asyncio.create_task(store.end_session(REALM, sid(1), reason="revoked", now=T0))
            assert await _reads_on_the_loop(store, 500) == 500
            assert not write.done()
            other.execute("ROLLBACK")
            await write
            other.close()

    asyncio.run(scenario())


def test_a_checkpoint_keeps_no_read_and_no_write_waiting(tmp_path: Path, vfs: FaultyVFS) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "desk.db", vfs=vfs.name, timer=Stopwatch(), checkpoint_pages=4) as store:
            gate = Gate("sync", "desk.db")
            vfs.hook = gate
            await create(store, a_session(1))
            assert await asyncio.to_thread(gate.reached.wait, 60)
            assert await _reads_on_the_loop(store, 500) == 500
            await create(store, a_session(2))
            assert store.peek_session(REALM, sid(2)) == a_session(2)
            gate.open()

    asyncio.run(scenario())
