"""`check`: strangers may ask as often as they like, and it leaves nothing on the disk; what it says is so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest

from frontdesk.errors import StoreBusyError, StoreError, StoreFullError
from frontdesk.stores.sqlite import SQLiteStore
from frontdesk.testing.suite.harness import REALM, T0, a_session, create
from tests.stores.faulty_vfs import FaultyVFS, Gate, faulty_vfs, nothing, raising

LATER = T0 + timedelta(hours=1)


class Timer:
    """Stands still until told to move."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def vfs() -> Iterator[FaultyVFS]:
    with faulty_vfs("checking") as vfs:
        yield vfs


@asynccontextmanager
async def opened(path: Path, **arguments: Any) -> AsyncIterator[tuple[SQLiteStore, Timer]]:
    timer = Timer()
    store = SQLiteStore(path / "desk.db", timer=timer, **arguments)
    await store.open()
    try:
        await create(store, a_session(1))
        yield store, timer
    finally:
        await store.close()


def _happened(vfs: FaultyVFS, what: str) -> int:
    return sum(event.what == what and event.file.startswith("desk.db") for event in vfs.events)


def test_a_check_syncs_nothing_and_commits_nothing(tmp_path: Path, vfs: FaultyVFS) -> None:
    async def scenario() -> None:
        async with opened(tmp_path, vfs=vfs.name) as (store, timer):
            size = (tmp_path / "desk.db-wal").stat().st_size
            version = await store._ask(lambda connection: connection.pragma("data_version"))
            before, written = _happened(vfs, "sync"), _happened(vfs, "write")
            for _ in range(20):
                timer.seconds += 2
                await store.check()
            assert _happened(vfs, "sync") == before
            assert _happened(vfs, "write") > written  # it was tried
            assert await store._ask(lambda connection: connection.pragma("data_version")) == version
            rows = await store._ask(lambda connection: connection.execute("SELECT name FROM meta").fetchall())
            assert rows == [("history",)]
            # Each is written over the one before: the log grows by one of them at most.
            assert (tmp_path / "desk.db-wal").stat().st_size - size <= 2 * 4120

    asyncio.run(scenario())


def test_an_answer_is_kept_for_a_second_and_no_longer(tmp_path: Path, vfs: FaultyVFS) -> None:
    async def scenario() -> None:
        async with opened(tmp_path, vfs=vfs.name) as (store, timer):
            await store.check()
            written = _happened(vfs, "write")
            for _ in range(50):
                timer.seconds += 0.0199
                await store.check()
            assert _happened(vfs, "write") == written
            timer.seconds += 0.02
            await store.check()
            assert _happened(vfs, "write") > written

    asyncio.run(scenario())


def test_those_who_ask_at_once_share_one_try(tmp_path: Path, vfs: FaultyVFS) -> None:
    async def scenario() -> None:
        async with opened(tmp_path, vfs=vfs.name) as (store, timer):
            await store.check()
            one = _happened(vfs, "write")
            timer.seconds += 2
            await store.check()
            one = _happened(vfs, "write") - one
            timer.seconds += 2
            gate = Gate("write", "desk.db-wal")
            vfs.hook = gate
            first = asyncio.create_task(store.check())
            assert await asyncio.to_thread(gate.reached.wait, 60)
            before = _happened(vfs, "write")
            others = [asyncio.create_task(store.check()) for _ in range(100)]
            for _ in range(100_000):
                if len(store._opened().writer._jobs) == 100:
                    break
                await asyncio.sleep(0)
            waiting = len(store._opened().writer._jobs)
            gate.open()
            await asyncio.gather(first, *others)
            assert waiting == 100
            assert _happened(vfs, "write") - before == 2 * one

    asyncio.run(scenario())


@pytest.mark.parametrize(("fault", "error"), [(apsw.FullError, StoreFullError), (apsw.IOError, StoreError)])
def test_a_disk_that_takes_no_write_fails_the_check_until_it_does(
    tmp_path: Path, vfs: FaultyVFS, fault: type[apsw.Error], error: type[StoreError]
) -> None:
    async def scenario() -> None:
        async with opened(tmp_path, vfs=vfs.name) as (store, _):
            vfs.hook = raising("write", "desk.db-wal", fault)
            for _ in range(3):
                with pytest.raises(error):
                    await store.check()
            vfs.hook = nothing
            await store.check()

    asyncio.run(scenario())


def test_a_write_that_fails_ends_what_was_known(tmp_path: Path, vfs: FaultyVFS) -> None:
    async def scenario() -> None:
        async with opened(tmp_path, vfs=vfs.name) as (store, _):
            await store.check()
            vfs.hook = raising("write", "desk.db-wal", apsw.FullError)
            with pytest.raises(StoreFullError):
                await store.end_session(REALM, a_session(1).id, reason="revoked", now=T0)
            with pytest.raises(StoreFullError):
                await store.check()

    asyncio.run(scenario())


def test_a_lock_that_another_process_holds_fails_the_check(tmp_path: Path) -> None:
    async def scenario() -> None:
        store = SQLiteStore(tmp_path / "desk.db", patience=timedelta(milliseconds=20))
        await store.open()
        other = apsw.Connection(str(tmp_path / "desk.db"))
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusyError):
            await store.check()
        other.execute("ROLLBACK")
        other.close()
        await store.check()
        await store.close()
        with pytest.raises(StoreError):  # what was known of an open store is not known of a closed one
            await store.check()

    asyncio.run(scenario())


def test_a_check_among_writes_takes_none_of_them_back(tmp_path: Path, vfs: FaultyVFS) -> None:
    async def scenario() -> None:
        async with opened(tmp_path, vfs=vfs.name) as (store, _):
            gate = Gate("sync", "desk.db-wal")
            vfs.hook = gate
            calls: list[Any] = [store.put_once(REALM, "state", b"first", b"v", expires_at=LATER)]
            tasks = [asyncio.ensure_future(calls[0])]
            assert await asyncio.to_thread(gate.reached.wait, 60)
            for number in range(5):
                tasks.append(asyncio.ensure_future(store.check()))
                tasks.append(
                    asyncio.ensure_future(store.put_once(REALM, "state", b"%d" % number, b"v", expires_at=LATER))
                )
            await asyncio.sleep(0)
            gate.open()
            assert await asyncio.gather(*tasks) == [True, *[None, True] * 5]
        async with opened_again(tmp_path) as again:
            for number in range(5):
                assert await again.consume(REALM, "state", b"%d" % number, T0) == b"v"

    asyncio.run(scenario())


@asynccontextmanager
async def opened_again(path: Path) -> AsyncIterator[SQLiteStore]:
    store = SQLiteStore(path / "desk.db")
    await store.open()
    yield store
    await store.close()
