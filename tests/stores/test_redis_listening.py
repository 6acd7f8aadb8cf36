"""Who waits for the log is woken by whoever appends, and never believes what woke him."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest

from frontdesk.errors import StoreError
from frontdesk.stores.protocol import Poll
from frontdesk.stores.redis import RedisStore
from frontdesk.testing.suite.harness import REALM, T0, expect, log
from tests.servers.redis import KEPT, RedisServer
from tests.servers.spawning import wait_until
from tests.stores.redis_layout import opened

LONG = timedelta(seconds=60)
LOG = "{frontdesk}:log"


@pytest.fixture
def server(redis_server: RedisServer) -> RedisServer:
    redis_server.call("FLUSHALL")
    return redis_server


def listeners(server: RedisServer) -> int:
    return int(server.call("PUBSUB", "NUMSUB", LOG)[1])


async def listens(server: RedisServer) -> None:
    await asyncio.to_thread(wait_until, lambda: listeners(server), "the store listens")


async def append(store: RedisStore) -> None:
    await store.end_subject(REALM, "alice", reason="revoked", now=T0)


@asynccontextmanager
async def waiting(store: RedisStore) -> AsyncIterator[asyncio.Task[Poll]]:
    task = asyncio.create_task(store.poll((await store.poll(0)).head, wait=LONG))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait((task,))


def test_all_who_wait_in_one_loop_share_one_connection(server: RedisServer) -> None:
    async def scenario() -> None:
        async with opened(server.url) as store, opened(server.url) as other:
            polls = [asyncio.create_task(store.poll(0, wait=LONG)) for _ in range(20)]
            await listens(server)
            expect(listeners(server), 1)
            await append(other)
            pages = await asyncio.gather(*polls)
            expect({len(page.entries) for page in pages}, {1})

    asyncio.run(scenario())


def test_a_lost_subscription_is_made_again_and_nothing_is_missed(server: RedisServer) -> None:
    async def scenario() -> None:
        async with opened(server.url) as store, opened(server.url) as other:
            for _ in range(3):
                async with waiting(store) as task:
                    await listens(server)
                    expect(server.call("CLIENT", "KILL", "TYPE", "pubsub"), 1)
                    await append(other)  # while nobody listens, as a rule
                    page = await task
                expect(page.entries, (await log(store))[-1:])

    asyncio.run(scenario())


def test_what_a_message_says_is_not_believed(server: RedisServer) -> None:
    async def scenario() -> None:
        async with opened(server.url) as store, waiting(store) as task:
            await listens(server)
            for message in ("", "7", "*1\r\n$4\r\nPING\r\n", "\x00" * 100_000):
                expect(server.call("PUBLISH", LOG, message), 1)
            await store.check()
            for _ in range(10):
                await store.poll(0)
            assert not task.done()
            await append(store)
            expect((await task).entries, await log(store))

    asyncio.run(scenario())


def test_who_may_not_listen_polls_when_the_time_is_up(server: RedisServer) -> None:
    server.call("ACL", "SETUSER", "deaf", "on", ">pw", "~*", "&*", "+@all", "-subscribe")
    url = f"redis://deaf:pw@127.0.0.1:{server.port}"

    async def scenario() -> None:
        async with opened(url, timeout=timedelta(seconds=0.1)) as store, opened(server.url) as other:
            task = asyncio.create_task(store.poll(0, wait=timedelta(seconds=0.3)))
            await append(other)
            expect((await task).entries, await log(other))

    try:
        asyncio.run(scenario())
    finally:
        server.call("ACL", "DELUSER", "deaf")


def test_a_restart_is_told_to_who_waits_and_what_was_kept_is_there(tmp_path: Path) -> None:
    async def scenario(server: RedisServer) -> None:
        async with opened(server.url) as store:
            await append(store)
            before = await store.poll(0)
            for _ in range(3):
                async with waiting(store) as task:
                    await listens(server)
                    await asyncio.to_thread(server.restart)
                    with suppress(StoreError):  # while it was away
                        expect((await task).entries, ())
                after = await store.poll(0)
                assert after.history != before.history
                expect((after.entries, after.head), (before.entries, before.head))
                before = after
                async with waiting(store) as task:
                    await listens(server)  # again, by itself
                    await append(store)
                    expect((await task).entries, (await log(store))[-1:])
                before = await store.poll(0)

    with RedisServer(tmp_path, options=KEPT) as server:
        asyncio.run(scenario(server))
