"""Writes: grouped, acknowledged after COMMIT, each for itself, bounded, and harmless when something fails."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest

from frontdesk.core.rotation import Decision, Outcome
from frontdesk.errors import OverloadedError, StoreBusyError, StoreCorruptError, StoreError, StoreFullError
from frontdesk.stores.protocol import ASK
from frontdesk.stores.sqlite import SQLiteStore
from frontdesk.testing.suite.harness import POLICY, REALM, T0, a_session, create, ids, log_of, sid
from tests.stores.faulty_vfs import FaultyVFS, Gate, faulty_vfs, nothing, raising

LATER = T0 + timedelta(hours=1)


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
    with faulty_vfs("writing") as vfs:
        yield vfs


def _syncs(vfs: FaultyVFS) -> int:
    return sum(event.what == "sync" and event.file == "desk.db-wal" for event in vfs.events)


async def _held(vfs: FaultyVFS, store: SQLiteStore) -> tuple[Gate, asyncio.Task[object]]:
    """The writing thread stands before the sync of a commit, until the gate is opened."""
    gate = Gate("sync", "desk.db-wal")
    vfs.hook = gate
    first: asyncio.Task[object] = asyncio.ensure_future(store.put_once(REALM, "held", b"k", b"v", expires_at=LATER))
    assert await asyncio.to_thread(gate.reached.wait, 60)
    return gate, first


def test_what_gathers_during_a_commit_is_committed_at_once(tmp_path: Path, vfs: FaultyVFS) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "desk.db", vfs=vfs.name) as store:
            await create(store, *(a_session(number) for number in range(50)))
            gate, first = await _held(vfs, store)
            rotations = [
                asyncio.create_task(store.rotate(REALM, sid(number), 0, LATER, POLICY)) for number in range(50)
            ]
            await asyncio.sleep(0)
            vfs.hook = nothing
            before = _syncs(vfs)
            gate.open()
            await first
            decisions = await asyncio.gather(*rotations)
            assert [type(each) for each in decisions] == [Decision] * 50
            assert _syncs(vfs) - before == 2  # the held one, and one for all fifty

    asyncio.run(scenario())


def test_nothing_is_acknowledged_before_the_log_was_synced(tmp_path: Path, vfs: FaultyVFS) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "desk.db", vfs=vfs.name) as store:
            gate, first = await _held(vfs, store)
            for _ in range(200):
                await asyncio.sleep(0)
                assert not first.done()
            gate.open()
            await first

    asyncio.run(scenario())


def test_an_operation_that_fails_takes_no_other_of_its_batch_along(tmp_path: Path, vfs: FaultyVFS) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "desk.db", vfs=vfs.name) as store:
            await create(store, a_session(1), a_session(2))
            gate, first = await _held(vfs, store)

            def ends_and_fails(connection: apsw.Connection) -> None:
                connection.execute("UPDATE sessions SET ended_at = 1, end_reason = 'revoked'")
                raise ValueError("on purpose")

            def breaks_a_rule(connection: apsw.Connection) -> None:
                connection.execute("INSERT INTO meta (name, value) VALUES ('half', 'x'), ('half', 'x')")

            calls = [
                store.rotate(REALM, sid(1), 0, LATER, POLICY),
                store._write(ends_and_fails),
                store._write(breaks_a_rule),
                store.rotate(REALM, sid(2), 0, LATER, POLICY),
            ]
            tasks = [asyncio.ensure_future(call) for call in calls]
            await asyncio.sleep(0)
            vfs.hook = nothing
            gate.open()
            await first
            one, two, three, four = await asyncio.gather(*tasks, return_exceptions=True)
            assert isinstance(one, Decision)
            assert isinstance(four, Decision)
            assert isinstance(two, ValueError)
            assert isinstance(three, StoreError)
            assert ids(await store.list_sessions(REALM, "alice", LATER)) == [sid(2), sid(1)]
            halves = "SELECT count(*) FROM meta WHERE name = 'half'"
            assert await store._ask(lambda connection: connection.execute(halves).get) == 0

    asyncio.run(scenario())


def test_beyond_the_bound_a_write_is_refused_and_the_accepted_ones_are_done(tmp_path: Path, vfs: FaultyVFS) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "desk.db", vfs=vfs.name, max_waiting=10) as store:
            gate, first = await _held(vfs, store)
            tasks = [
                asyncio.create_task(store.put_once(REALM, "state", b"%d" % number, b"v", expires_at=LATER))
                for number in range(15)
            ]
            await asyncio.sleep(0)
            gate.open()
            await first
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert outcomes[:10] == [True] * 10
            assert [type(each) for each in outcomes[10:]] == [OverloadedError] * 5
            assert await store.consume(REALM, "state", b"14", T0) is None

    asyncio.run(scenario())


def test_beyond_the_bound_a_read_is_refused(tmp_path: Path, vfs: FaultyVFS) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "desk.db", vfs=vfs.name, max_waiting=3) as store:
            await create(store, a_session(1))
            gate = Gate("read", "desk.db-wal")
            vfs.hook = gate
            tasks = [asyncio.create_task(store.list_sessions(REALM, "alice", T0)) for _ in range(5)]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            gate.open()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert outcomes[:3] == [(a_session(1),)] * 3
            assert [type(each) for each in outcomes[3:]] == [OverloadedError] * 2
            assert await store.list_sessions(REALM, "alice", T0) == (a_session(1),)

    asyncio.run(scenario())


def test_a_lock_held_for_longer_than_the_patience_is_busy_and_loses_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "desk.db", patience=timedelta(milliseconds=20)) as store:
            await create(store, a_session(1))
            other = apsw.Connection(str(tmp_path / "desk.db"))
            other.execute("BEGIN IMMEDIATE")
            for _ in range(2):
                with pytest.raises(StoreBusyError):
                    await store.end_session(REALM, sid(1), reason="revoked", now=T0)
                assert store.peek_session(REALM, sid(1)) == a_session(1)
            other.execute("ROLLBACK")
            other.close()
            assert await log_of(store) == []
            ended = await store.end_session(REALM, sid(1), reason="revoked", now=T0)
            assert ended is not None
            assert ended.now

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("what", "fault", "error"),
    [
        ("write", apsw.FullError, StoreFullError),
        ("write", apsw.IOError, StoreError),
        ("sync", apsw.IOError, StoreError),
        ("read", apsw.CorruptError, StoreCorruptError),
        ("write", apsw.NoMemError, StoreError),
    ],
)
def test_when_the_disk_fails_the_whole_batch_is_undone_and_the_store_goes_on(
    tmp_path: Path, vfs: FaultyVFS, what: Any, fault: type[apsw.Error], error: type[StoreError]
) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "desk.db", vfs=vfs.name) as store:
            await create(store, *(a_session(number, subject=str(number)) for number in range(100)))
            before = [store.peek_session(REALM, sid(number)) for number in range(100)]
            # Somebody else writes, so that the writer has to look at the files again.
            await _by_another(tmp_path / "desk.db", lambda other: create(other, a_session(200)))
            vfs.hook = raising(what, "desk.db-wal", fault)
            calls = [store.end_session(REALM, sid(number), reason="revoked", now=T0) for number in range(100)]
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            vfs.hook = nothing
            assert {type(each) for each in outcomes} == {error}
            assert len({id(each) for each in outcomes}) == 100
            assert [await store.read_session(REALM, sid(number)) for number in range(100)] == before
            assert await log_of(store) == []
            decision = await store.rotate(REALM, sid(7), 0, LATER, POLICY)
            assert decision is not None
            assert decision.outcome is Outcome.ROTATED

    asyncio.run(scenario())


async def _by_another(path: Path, act: Any) -> None:
    async with opened(path) as other:
        await act(other)


def test_a_full_database_refuses_what_needs_room_and_goes_on_when_there_is_some(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "desk.db") as store:
            await create(store, a_session(1))
            pages: list[int] = []

            def freeze(connection: apsw.Connection) -> None:
                pages.append(connection.pragma("page_count"))
                connection.pragma("max_page_count", pages[0])

            await store._write(freeze)
            refused = 0
            for number in range(2, 200):
                try:
                    await create(store, a_session(number, subject=str(number), device="d" * 3000))
                except StoreFullError:
                    refused += 1
                    assert await store.read_session(REALM, sid(number)) is None
            assert refused > 150
            assert store.peek_session(REALM, sid(1)) == a_session(1)
            await store._write(lambda connection: connection.pragma("max_page_count", 10_000))
            await create(store, a_session(500, device="d" * 3000))

    asyncio.run(scenario())


def test_an_operation_cancelled_before_its_turn_is_never_done(tmp_path: Path, vfs: FaultyVFS) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "desk.db", vfs=vfs.name) as store:
            await create(store, a_session(1))
            gate, first = await _held(vfs, store)
            waiting = asyncio.create_task(store.end_session(REALM, sid(1), reason="revoked", now=T0))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            assert waiting.cancelled()
            gate.open()
            await first
            await store.check()
            assert store.peek_session(REALM, sid(1)) == a_session(1)

    asyncio.run(scenario())


def test_an_operation_cancelled_during_its_commit_is_done_when_the_cancellation_arrives(
    tmp_path: Path, vfs: FaultyVFS
) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "desk.db", vfs=vfs.name) as store:
            await create(store, a_session(1))
            gate = Gate("sync", "desk.db-wal")
            vfs.hook = gate
            ending = asyncio.create_task(store.end_session(REALM, sid(1), reason="revoked", now=T0))
            assert await asyncio.to_thread(gate.reached.wait, 60)
            for _ in range(3):
                ending.cancel()
                await asyncio.sleep(0)
            assert not ending.done()
            gate.open()
            await asyncio.gather(ending, return_exceptions=True)
            assert ending.cancelled()
            assert await log_of(store) == [(REALM, "session", sid(1))]

    asyncio.run(scenario())


def test_closing_finishes_what_was_accepted(tmp_path: Path, vfs: FaultyVFS) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "desk.db", vfs=vfs.name) as store:
            gate, first = await _held(vfs, store)
            tasks = [
                asyncio.create_task(store.put_once(REALM, "state", b"%d" % number, b"v", expires_at=LATER))
                for number in range(300)
            ]
            await asyncio.sleep(0)
            closing = asyncio.create_task(store.close())
            await asyncio.sleep(0)
            with pytest.raises(StoreError):
                await store.check()
            gate.open()
            await asyncio.gather(first, closing)
            assert await asyncio.gather(*tasks) == [True] * 300
        async with opened(tmp_path / "desk.db") as store:
            taken = [await store.put_once(REALM, "state", b"%d" % n, b"v", expires_at=LATER) for n in range(300)]
            assert taken == [False] * 300

    asyncio.run(scenario())


def test_an_event_loop_that_was_closed_keeps_nobody_else_waiting(tmp_path: Path, vfs: FaultyVFS) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "desk.db", vfs=vfs.name) as store:
            gate, first = await _held(vfs, store)

            def other_loop() -> None:
                loop = asyncio.new_event_loop()

                async def begin() -> None:
                    store._opened().writer._accept(lambda _: None)

                loop.run_until_complete(begin())
                loop.close()

            await asyncio.to_thread(other_loop)
            vfs.hook = nothing
            gate.open()
            await first
            await store.check()

    asyncio.run(scenario())


def test_several_event_loops_write_through_one_store(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "desk.db") as store:
            await create(store, a_session(1))
            outcomes: list[Decision | None] = []

            async def rotate() -> None:
                calls = [store.rotate(REALM, sid(1), 0, LATER, POLICY) for _ in range(10)]
                outcomes.extend(await asyncio.gather(*calls))

            threads = [threading.Thread(target=lambda: asyncio.run(rotate())) for _ in range(5)]
            for thread in threads:
                thread.start()
            for thread in threads:
                await asyncio.to_thread(thread.join)
            kinds = [each.outcome for each in outcomes if each is not None]
            assert sorted(kind.value for kind in kinds) == ["renewed"] * 49 + ["rotated"]

    asyncio.run(scenario())


# --- the write-ahead log stays bounded ----------------------------------------------------------------------------


def test_the_log_stays_bounded_under_constant_reads_and_writes(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "desk.db", checkpoint_pages=50) as store:
            await create(store, a_session(1))
            reads = 0

            async def read() -> None:
                nonlocal reads
                while True:
                    found = store.peek_session(REALM, sid(1))
                    reads += found is not None and found is not ASK
                    await asyncio.sleep(0)

            reading = asyncio.create_task(read())
            largest = 0
            for number in range(500):
                keys = [b"%d-%d" % (number, one) for one in range(4)]
                await asyncio.gather(
                    *(store.put_once(REALM, "state", key, b"v" * 3000, expires_at=LATER) for key in keys)
                )
                largest = max(largest, _size(tmp_path / "desk.db-wal"))
            reading.cancel()
            assert reads >= 500
            # What was written is more than 4000 pages. A restart is due at 200; the rest is written meanwhile.
            assert largest < 1000 * 4120, largest

    asyncio.run(scenario())


def _size(path: Path) -> int:
    return path.stat().st_size


def test_a_reader_that_stays_prevents_no_commit_and_the_log_begins_anew_after_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "desk.db", checkpoint_pages=10) as store:
            backup = apsw.Connection(str(tmp_path / "desk.db"))
            backup.execute("BEGIN; SELECT count(*) FROM once").fetchall()
            for number in range(300):
                await store.put_once(REALM, "state", b"%d" % number, b"v" * 3000, expires_at=LATER)
            grown = _size(tmp_path / "desk.db-wal")
            assert backup.execute("SELECT count(*) FROM once").get == 0
            backup.execute("COMMIT")
            backup.close()
            for number in range(300, 1000):
                await store.put_once(REALM, "state", b"%d" % number, b"v" * 3000, expires_at=LATER)
            assert _size(tmp_path / "desk.db-wal") < grown * 2

    asyncio.run(scenario())


def test_a_checkpoint_that_fails_is_logged_and_made_up_for_later(
    tmp_path: Path, vfs: FaultyVFS, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "desk.db", vfs=vfs.name, checkpoint_pages=4) as store:
            failed, copied = threading.Event(), threading.Event()

            def fail(what: str, file: str) -> None:
                if (what, file) == ("sync", "desk.db"):
                    failed.set()
                    raise apsw.IOError("a fault of the test")

            def notice(what: str, file: str) -> None:
                if (what, file) == ("sync", "desk.db"):
                    copied.set()

            vfs.hook = fail
            await create(store, a_session(1))
            assert await asyncio.to_thread(failed.wait, 60)
            assert store.peek_session(REALM, sid(1)) == a_session(1)
            vfs.hook = notice
            await create(store, a_session(2))
            assert await asyncio.to_thread(copied.wait, 60)

    asyncio.run(scenario())
    assert "checkpoint failed" in caplog.text
