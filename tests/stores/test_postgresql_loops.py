"""One store in several event loops: each has connections of its own, and a loop that ends leaves nothing open."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import warnings
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from frontdesk.errors import StoreError
from frontdesk.stores.postgresql import PostgreSQLStore
from frontdesk.testing.suite.harness import REALM, T0, a_session, crowd, head_of, ids, sid
from tests.servers.postgresql import PostgreSQL, database_of
from tests.stores.on_postgresql import UNHURRIED, until


@pytest.fixture
def url(postgresql: PostgreSQL) -> str:
    return asyncio.run(postgresql.new_database())


async def nobody_is_connected(server: PostgreSQL, url: str) -> None:
    async def gone() -> bool:
        sql = f"SELECT FROM pg_stat_activity WHERE datname = '{database_of(url)}'"
        return await server.execute(sql) == []

    await until(gone, "every connection is closed")


async def work(store: PostgreSQLStore, first: int) -> None:
    """Some of everything: a pool, a group and a listener come to be."""
    for number in range(first, first + 10):
        await store.create_session(a_session(number), max_sessions=100, now=T0)
    await crowd(lambda number: store.end_session(REALM, sid(first + number), reason="revoked", now=T0), 5)
    waiting = asyncio.create_task(store.poll(await head_of(store), wait=UNHURRIED))
    await asyncio.wait([waiting], timeout=0.02)
    await store.end_subject(REALM, f"subject-{first}", reason="revoked", now=T0)
    assert (await waiting).entries


def test_loops_in_several_threads_work_on_one_store_at_once(postgresql: PostgreSQL, url: str) -> None:
    store = PostgreSQLStore(url, timeout=UNHURRIED, max_connections=3)
    asyncio.run(store.open())
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda first: asyncio.run(work(store, first)), range(0, 40, 10)))

    async def finish() -> None:
        left = ids(await store.list_sessions(REALM, "alice", T0))
        assert len(left) == 20
        assert len((await store.poll(0)).entries) == 24
        await store.close()

    asyncio.run(finish())
    asyncio.run(nobody_is_connected(postgresql, url))


def test_a_loop_that_ends_without_closing_the_store_leaves_no_connection_and_no_warning(
    postgresql: PostgreSQL, url: str
) -> None:
    store = PostgreSQLStore(url, timeout=UNHURRIED)
    for first in (0, 10):

        async def scenario(first: int = first) -> None:
            await store.open()
            await work(store, first)

        asyncio.run(scenario())
        asyncio.run(nobody_is_connected(postgresql, url))
    asyncio.run(store.close())
    gc.collect()


def test_a_loop_that_was_closed_by_hand_is_noticed_by_the_next(postgresql: PostgreSQL, url: str) -> None:
    store = PostgreSQLStore(url, timeout=UNHURRIED)

    def in_a_loop_of_its_own(call: Callable[[], Awaitable[None]]) -> None:
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(call())
        finally:
            loop.close()  # and nothing that `asyncio.run` does before

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        in_a_loop_of_its_own(store.open)
        in_a_loop_of_its_own(lambda: work(store, 0))
        in_a_loop_of_its_own(lambda: work(store, 10))
        asyncio.run(store.close())
        asyncio.run(nobody_is_connected(postgresql, url))
        gc.collect()


def test_closing_ends_what_other_loops_still_do(postgresql: PostgreSQL, url: str) -> None:
    store = PostgreSQLStore(url, timeout=UNHURRIED)
    waits = threading.Event()

    async def wait_for_ever() -> str:
        await store.open()
        waiting = asyncio.create_task(store.poll(await head_of(store), wait=UNHURRIED))
        await asyncio.wait([waiting], timeout=0.02)
        waits.set()
        with pytest.raises(StoreError):
            await waiting
        return "ended"

    with ThreadPoolExecutor(1) as threads:
        elsewhere = threads.submit(lambda: asyncio.run(wait_for_ever()))
        assert waits.wait(60)
        asyncio.run(store.close())
        assert elsewhere.result(60) == "ended"
    asyncio.run(nobody_is_connected(postgresql, url))


def test_the_child_of_a_fork_makes_connections_of_its_own(postgresql: PostgreSQL, url: str) -> None:
    store = PostgreSQLStore(url, timeout=UNHURRIED)

    async def scenario() -> None:
        await store.open()
        await work(store, 0)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                thread = threading.Thread(target=lambda: asyncio.run(in_the_child()))
                thread.start()
                thread.join()
                status = 0 if done == ["all"] else 2
            finally:
                os._exit(status)
        _, status = await asyncio.to_thread(os.waitpid, child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        await work(store, 20)
        await store.close()

    done: list[str] = []

    async def in_the_child() -> None:
        await work(store, 10)
        await store.close()
        done.append("all")

    asyncio.run(scenario())
