"""A Redis server that is killed, paused or replaced while it is used: every fault is heard of in time, and passes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from frontdesk.core.rotation import Outcome
from frontdesk.errors import StoreError
from frontdesk.stores.redis import RedisStore, sessions
from frontdesk.testing.suite.harness import POLICY, REALM, T0, a_session, create, expect, log, log_of, sid, stored
from tests.servers.redis import KEPT, RedisServer, Sentinel, replica_of
from tests.servers.spawning import wait_until
from tests.stores.redis_layout import opened, require_whole

pytestmark = pytest.mark.faults

BRIEF = timedelta(milliseconds=300)
LATER = T0 + timedelta(hours=1)
BACK = 15.0
"""Seconds within which everything works again after a fault."""


async def eventually(call: Callable[[], Awaitable[object]]) -> object:
    """The outcome of `call` as soon as it has one that is no fault."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + BACK
    while True:
        try:
            return await call()
        except StoreError:
            assert loop.time() < deadline, "it did not come back"
            await asyncio.sleep(0.02)


async def heard(call: Callable[[], Awaitable[object]], within: float) -> str:
    """The sentence of the fault that `call` meets, in time."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    with pytest.raises(StoreError) as fault:
        await call()
    assert loop.time() - started < within
    return str(fault.value)


# --- paused -------------------------------------------------------------------------------------------------------


def test_a_paused_server_hangs_nobody(tmp_path: Path) -> None:
    async def scenario(server: RedisServer) -> None:
        async with opened(server.url, timeout=BRIEF) as store:
            await create(store, a_session(1))
            waiting = asyncio.create_task(store.poll(0, wait=timedelta(seconds=1)))
            with server.paused():
                calls: list[Callable[[], Awaitable[object]]] = [
                    lambda: store.read_session(REALM, sid(1)),
                    lambda: store.end_session(REALM, sid(1), reason="revoked", now=T0),
                    lambda: store.end_realm(REALM, reason="revoked", now=T0),
                    lambda: store.append_again([], T0),
                    lambda: store.poll(0, wait=timedelta(seconds=0.2)),
                    store.check,
                    lambda: RedisStore(server.url, timeout=BRIEF).open(),  # connecting works, the kernel does that
                ]
                faults = await asyncio.gather(*(heard(call, 5) for call in calls if call is not calls[3]))
                expect(set(faults), {"the Redis server did not answer in time"})
                with pytest.raises(StoreError):
                    await waiting
                crowd = [store.read_session(REALM, sid(1)) for _ in range(100)]
                outcomes = await asyncio.wait_for(asyncio.gather(*crowd, return_exceptions=True), 10)
                expect({type(each) for each in outcomes}, {StoreError})
            await eventually(store.check)
            await store.poll(0, wait=timedelta(seconds=0.01))

    with RedisServer(tmp_path) as server:
        asyncio.run(scenario(server))


def test_closing_beside_a_paused_server_ends(tmp_path: Path) -> None:
    async def scenario(server: RedisServer) -> None:
        store = RedisStore(server.url, timeout=BRIEF)
        await store.open()
        with server.paused():
            task = asyncio.create_task(store.check())
            await asyncio.sleep(0)
            await asyncio.wait_for(store.close(), 5)
            with pytest.raises(StoreError):
                await task

    with RedisServer(tmp_path) as server:
        asyncio.run(scenario(server))


# --- killed -------------------------------------------------------------------------------------------------------


def test_what_a_killed_server_had_acknowledged_and_synced_is_there_when_it_returns(tmp_path: Path) -> None:
    async def write(store: RedisStore, name: str, heard_of: list[int]) -> None:
        for number in range(100_000):
            try:
                assert await store.put_once(REALM, name, number.to_bytes(4, "big"), b"v", expires_at=LATER)
            except StoreError:
                return
            heard_of.append(number)

    async def scenario(server: RedisServer) -> None:
        async with opened(server.url) as store:
            for round_number in range(5):
                names = [f"{round_number}-{writer}" for writer in range(8)]
                acknowledged: list[list[int]] = [[] for _ in names]
                tasks = [
                    asyncio.create_task(write(store, name, mine))
                    for name, mine in zip(names, acknowledged, strict=True)
                ]
                await asyncio.to_thread(_wait_for_many, acknowledged, 50 + 70 * round_number)
                server.kill()
                await asyncio.gather(*tasks)
                assert "reached" in await heard(store.check, 5)
                await asyncio.to_thread(server.start)
                await eventually(store.check)
                require_whole(server)
                for name, mine in zip(names, acknowledged, strict=True):
                    for number in mine:
                        value = await store.consume(REALM, name, number.to_bytes(4, "big"), T0)
                        assert value == b"v", f"{name}, {number} is lost"

    with RedisServer(tmp_path, options=KEPT) as server:
        asyncio.run(scenario(server))


def _wait_for_many(acknowledged: list[list[int]], enough: int) -> None:
    wait_until(lambda: sum(map(len, acknowledged)) >= enough, "writes go through")


def test_a_server_that_kept_nothing_returns_with_another_history_and_is_told_what_was_known(tmp_path: Path) -> None:
    async def scenario(server: RedisServer) -> None:
        async with opened(server.url) as store:
            await create(store, a_session(1))
            await store.end_session(REALM, sid(1), reason="revoked", now=T0)
            await store.end_realm(REALM, reason="revoked", now=T0)
            before = await store.poll(0)
            await asyncio.to_thread(server.restart, crash=True)
            after = await store.poll(0)
            assert after.history != before.history
            expect((after.entries, after.head), ((), 0))
            expect(await store.append_again(before.entries, T0), 2)
            expect(await log_of(store), [(REALM, "session", sid(1)), (REALM, "all", "")])
            expect((await store.epochs(REALM, "alice")).realm, 1)

    with RedisServer(tmp_path) as server:
        asyncio.run(scenario(server))


def test_a_server_that_loads_its_data_is_a_fault_that_passes(tmp_path: Path) -> None:
    async def scenario(server: RedisServer) -> None:
        async with opened(server.url) as store:
            for number in range(300):
                await store.put_once(REALM, "state", number.to_bytes(4, "big"), b"v", expires_at=LATER)
            server.call("CONFIG", "SET", "key-load-delay", "3000")  # microseconds for each key
            server.call("CONFIG", "REWRITE")
            server.call("SAVE")
            server.kill()
            starting = asyncio.create_task(asyncio.to_thread(server.start))
            sentences = set()
            while not starting.done():
                try:
                    await store.read_session(REALM, sid(1))
                except StoreError as fault:
                    sentences.add(str(fault))
                await asyncio.sleep(0.005)
            await starting
            assert "the Redis server is still loading its data" in sentences
            expect(await eventually(lambda: store.consume(REALM, "state", (7).to_bytes(4, "big"), T0)), b"v")

    with RedisServer(tmp_path, options={"loading-process-events-interval-bytes": "1024"}) as server:
        asyncio.run(scenario(server))


# --- replaced -----------------------------------------------------------------------------------------------------


class Watched:
    """A primary, its replica and a Sentinel that watches both."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        for name in ("one", "two", "sentinel"):
            (directory / name).mkdir()
        self.primary = stack.enter_context(RedisServer(directory / "one", options=KEPT))
        self.replica = stack.enter_context(RedisServer(directory / "two", options={**KEPT, **replica_of(self.primary)}))
        self.primary.wait_for_replicas(1)
        self.sentinel = stack.enter_context(Sentinel(directory / "sentinel", self.primary))
        self.sentinel.wait_for_replicas(1)

    @property
    def url(self) -> str:
        return self.sentinel.url

    def wait_for_the_other(self) -> None:
        wait_until(lambda: self.sentinel.primary_port() == self.replica.port, "the replica takes over")


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with ExitStack() as stack:
        yield Watched(tmp_path, stack)


def test_a_primary_that_dies_is_replaced_and_nothing_acknowledged_is_lost(watched: Watched) -> None:
    async def scenario() -> None:
        async with opened(watched.url, wait_replicas=1) as store, opened(watched.url) as reader:
            sessions_before = [a_session(number) for number in range(1, 30)]
            await create(store, *sessions_before)
            await store.end_session(REALM, sid(1), reason="revoked", now=T0)
            before = await reader.poll(0)
            waiting = asyncio.create_task(reader.poll(before.head, wait=timedelta(seconds=60)))
            await asyncio.to_thread(wait_until, lambda: watched.primary.call("PUBSUB", "CHANNELS"), "it listens")
            watched.primary.kill()
            await heard(store.check, 5)
            with pytest.raises(StoreError):
                await waiting
            # Until somebody follows the new primary, no write is acknowledged, and each read is answered.
            await asyncio.to_thread(watched.wait_for_the_other)
            await eventually(lambda: reader.read_session(REALM, sid(1)))
            expect((await stored(reader, a_session(1))).end_reason, "revoked")
            expect(
                sorted(each.id for each in await reader.list_sessions(REALM, "alice", T0)),
                sorted(each.id for each in sessions_before[1:]),
            )
            after = await reader.poll(0)
            assert after.history != before.history
            expect(after.entries, before.entries)
            assert "too few replicas" in await heard(lambda: store.purge(T0), 5)
            await asyncio.to_thread(watched.primary.start)
            await eventually(lambda: store.purge(T0))
            await eventually(lambda: store.end_session(REALM, sid(2), reason="revoked", now=T0))
            expect((await stored(reader, a_session(2))).end_reason, "revoked")
        await asyncio.to_thread(require_whole, watched.replica)

    asyncio.run(scenario())


def test_a_primary_that_hangs_is_replaced(watched: Watched) -> None:
    async def scenario() -> None:
        async with opened(watched.url, timeout=timedelta(seconds=1)) as store:
            await create(store, a_session(1))
            watched.primary.wait_for_replicas(1)
            with watched.primary.paused():
                await heard(lambda: store.end_session(REALM, sid(1), reason="revoked", now=T0), 5)
                await asyncio.to_thread(watched.wait_for_the_other)
                expect(await eventually(lambda: store.read_session(REALM, sid(1))), a_session(1))
                await eventually(lambda: store.end_session(REALM, sid(1), reason="revoked", now=T0))

    asyncio.run(scenario())


def test_a_hand_over_that_is_ordered_leaves_no_decision_for_the_new_primary_that_was_made_on_the_old(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = sessions.find

    async def scenario() -> None:
        async with opened(watched.url, timeout=timedelta(seconds=60)) as store:
            await create(store, a_session(1))
            watched.primary.wait_for_replicas(1)
            first = (await store.poll(0)).history

            async def read_then_hand_over(line: object, *arguments: object) -> object:
                found = await find(line, *arguments)  # type: ignore[arg-type]
                monkeypatch.setattr(sessions, "find", find)
                watched.sentinel.call("SENTINEL", "FAILOVER", "desk")
                await asyncio.to_thread(watched.wait_for_the_other)
                wait_until(lambda: watched.primary.call("INFO", "replication")["role"] == "slave", "it is demoted")
                return found

            monkeypatch.setattr(sessions, "find", read_then_hand_over)
            await heard(lambda: store.rotate(REALM, sid(1), 0, LATER, POLICY), 30)
            row = await eventually(lambda: store.read_session(REALM, sid(1)))
            expect(row, a_session(1))
            decision = await store.rotate(REALM, sid(1), 0, LATER, POLICY)
            assert decision is not None
            expect(decision.outcome, Outcome.ROTATED)
            assert (await store.poll(0)).history != first
            expect(await log(store), ())

    asyncio.run(scenario())
