"""Connections: how many, for how long, for which event loop, and what becomes of whoever is cancelled."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import pytest

from frontdesk.errors import OverloadedError, StoreError
from frontdesk.stores.redis import RedisStore
from frontdesk.testing.suite.harness import REALM, T0, a_session, create, crowd, log_of, sid, stored
from tests.requirements import ROOT
from tests.servers.redis import RedisServer
from tests.servers.spawning import wait_until
from tests.stores.redis_layout import opened, require_whole

BRIEF = timedelta(milliseconds=200)
LONG = timedelta(seconds=60)


@pytest.fixture
def server(redis_server: RedisServer) -> RedisServer:
    redis_server.call("FLUSHALL")
    return redis_server


def connections(server: RedisServer) -> int:
    """How many connections stores have."""
    with server.client() as client:
        return len([each for each in client.client_list() if each["name"] == "frontdesk"])


def held_back(server: RedisServer) -> int:
    """How many operations have reached the server and wait there."""
    return int(server.call("INFO", "clients")["blocked_clients"])


async def becomes(condition: Callable[[], object], what: str) -> None:
    await asyncio.to_thread(wait_until, condition, what)


async def end(store: RedisStore, number: int = 1) -> object:
    return await store.end_session(REALM, sid(number), reason="revoked", now=T0)


# --- how many -----------------------------------------------------------------------------------------------------


def test_many_operations_share_few_connections(server: RedisServer) -> None:
    async def scenario() -> None:
        async with opened(server.url, max_connections=3) as store:
            await create(store, a_session(1))
            rows = await crowd(lambda _: store.read_session(REALM, sid(1)), 100)
            assert rows == [a_session(1)] * 100
            assert connections(server) <= 3
        assert connections(server) == 0

    asyncio.run(scenario())


def test_beyond_a_bounded_queue_is_overload_at_once(server: RedisServer) -> None:
    async def scenario() -> None:
        async with opened(server.url, max_connections=2, max_waiting=3, timeout=LONG) as store:
            await create(store, *(a_session(number) for number in range(5)))
            with server.held():
                tasks = [asyncio.create_task(end(store, number)) for number in range(5)]
                await becomes(lambda: held_back(server) == 2, "two operations reach the server")
                for _ in range(10):
                    with pytest.raises(OverloadedError):
                        await end(store, 1)
            assert None not in await asyncio.gather(*tasks)
            await store.check()

    asyncio.run(scenario())


def test_connections_that_the_server_closed_cost_nobody_a_fault(server: RedisServer) -> None:
    async def scenario() -> None:
        async with opened(server.url) as store:
            await create(store, a_session(1))
            for _ in range(3):
                await crowd(lambda _: store.read_session(REALM, sid(1)), 30)
                server.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                assert await store.read_session(REALM, sid(1)) == a_session(1)

    asyncio.run(scenario())


# --- for how long -------------------------------------------------------------------------------------------------


def test_a_server_that_does_not_answer_is_a_fault_in_time_and_none_afterwards(server: RedisServer) -> None:
    async def scenario() -> None:
        async with opened(server.url, timeout=BRIEF) as store:
            await create(store, a_session(1))
            await store.check()
            with server.held():
                started = asyncio.get_running_loop().time()
                outcomes = await asyncio.gather(
                    *(end(store) for _ in range(30)), store.read_session(REALM, sid(1)), return_exceptions=True
                )
                took = asyncio.get_running_loop().time() - started
                assert {(type(each), str(each)) for each in outcomes} == {
                    (StoreError, "the Redis server did not answer in time")
                }
                assert took < 5, "the time limit holds for those who wait for a connection, too"
                with pytest.raises(StoreError):
                    await store.check()  # that it went well a moment ago is forgotten
            await store.check()
            assert await stored(store, a_session(1)) == a_session(1)

    asyncio.run(scenario())


# --- cancelled ----------------------------------------------------------------------------------------------------


def test_who_cancels_what_has_been_sent_hears_of_it_when_it_is_done(server: RedisServer) -> None:
    async def scenario() -> None:
        async with opened(server.url, timeout=LONG) as store:
            await create(store, a_session(1))
            await end(store, 2)  # the script is known
            before = connections(server)
            with server.held():
                task = asyncio.create_task(end(store))
                await becomes(lambda: held_back(server) == 1, "the operation reaches the server")
                for _ in range(3):
                    task.cancel()
                    await asyncio.sleep(0)
                assert not task.done()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await stored(store, a_session(1))).end_reason == "revoked"
            assert await log_of(store) == [(REALM, "session", sid(1))]
            assert connections(server) == before, "the connection is good for others"

    asyncio.run(scenario())


def test_who_cancels_what_waits_for_a_connection_has_withdrawn_it(server: RedisServer) -> None:
    async def scenario() -> None:
        async with opened(server.url, timeout=LONG, max_connections=1) as store:
            await create(store, a_session(1), a_session(2))
            with server.held():
                first = asyncio.create_task(end(store, 1))
                await becomes(lambda: held_back(server) == 1, "the operation reaches the server")
                second = asyncio.create_task(end(store, 2))
                await asyncio.sleep(0)
                second.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await second
            assert await first is not None
            assert await stored(store, a_session(2)) == a_session(2)

    asyncio.run(scenario())


def test_who_is_cancelled_while_the_server_hangs_is_let_go_in_time(server: RedisServer) -> None:
    async def scenario() -> None:
        async with opened(server.url, timeout=BRIEF) as store:
            with server.held():
                task = asyncio.create_task(end(store))
                await becomes(lambda: held_back(server) == 1, "the operation reaches the server")
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            await store.check()

    asyncio.run(scenario())


def test_cancelling_at_any_turn_leaves_every_key_in_order(server: RedisServer) -> None:
    async def scenario() -> None:
        async with opened(server.url) as store:
            for number in range(60):
                creation = store.create_session(a_session(number), max_sessions=3, now=T0)
                task = asyncio.create_task(creation)
                for _ in range(number % 20):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait((task,))
            await store.check()

    asyncio.run(scenario())
    require_whole(server)


# --- event loops --------------------------------------------------------------------------------------------------


def test_a_store_serves_one_event_loop_after_the_other(server: RedisServer) -> None:
    store = RedisStore(server.url)
    asyncio.run(store.open())
    asyncio.run(create(store, a_session(1)))
    for _ in range(3):
        assert asyncio.run(store.read_session(REALM, sid(1))) == a_session(1)
        assert connections(server) == 0, "what a loop had open ends with it"
    asyncio.run(store.close())
    gc.collect()


def test_a_store_serves_several_event_loops_at_once(server: RedisServer) -> None:
    store = RedisStore(server.url)
    asyncio.run(store.open())
    found: list[object] = []

    def serve(number: int) -> None:
        async def scenario() -> None:
            await create(store, a_session(number))
            await crowd(lambda _: store.read_session(REALM, sid(number)), 20)
            found.append(await store.read_session(REALM, sid(number)))

        asyncio.run(scenario())

    threads = [threading.Thread(target=serve, args=(number,)) for number in range(1, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asyncio.run(store.close())
    assert sorted(map(repr, found)) == [repr(a_session(number)) for number in range(1, 6)]
    gc.collect()


def test_an_event_loop_that_cancels_nothing_at_its_end_is_survived(server: RedisServer) -> None:
    store = RedisStore(server.url)
    asyncio.run(store.open())
    for _ in range(3):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(store.poll(0, wait=timedelta(milliseconds=1)))
        loop.close()
        del loop
        gc.collect()
    assert asyncio.run(store.read_session(REALM, sid(1))) is None
    wait_until(lambda: connections(server) == 0, "what was left open is hung up")
    asyncio.run(store.close())


def test_closing_in_one_loop_closes_in_the_others_and_wakes_who_waits_there(server: RedisServer) -> None:
    store = RedisStore(server.url)
    asyncio.run(store.open())
    ready = threading.Event()
    ended: list[bool] = []

    def serve() -> None:
        async def scenario() -> None:
            waiting = asyncio.create_task(store.poll(0, wait=LONG))
            await becomes(lambda: server.call("PUBSUB", "CHANNELS"), "the poll listens")
            ready.set()
            with suppress(StoreError):  # it may have been about to look again
                assert (await waiting).entries == ()
            ended.append(True)

        asyncio.run(scenario())

    thread = threading.Thread(target=serve)
    thread.start()
    assert ready.wait(60)
    asyncio.run(store.close())
    thread.join(60)
    assert ended == [True]
    assert connections(server) == 0


def test_a_store_goes_on_in_the_child_of_a_fork_and_leaves_the_parents_connections_alone(server: RedisServer) -> None:
    program = (
        "import asyncio, os, sys\n"
        "from frontdesk.stores.redis import RedisStore\n"
        "from frontdesk.testing.suite.harness import *\n"
        "async def parent(store):\n"
        "    await store.open()\n"
        "    await create(store, a_session(1))\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        return True\n"
        "    status = os.waitpid(child, 0)[1]\n"
        "    print(status, await store.read_session(REALM, sid(1)) == a_session(1))\n"
        "    await store.close()\n"
        "    return False\n"
        "async def child(store):\n"
        "    await create(store, a_session(2))\n"
        "    await store.close()\n"
        "store = RedisStore(sys.argv[1])\n"
        "runner = asyncio.Runner()\n"
        "if runner.run(parent(store)):\n"
        "    asyncio.set_event_loop(None)\n"
        "    asyncio._set_running_loop(None)\n"
        "    asyncio.run(child(store))\n"
        "    os._exit(0)\n"
        "runner.close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, server.url],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert (done.stderr, done.stdout) == ("", "0 True\n")
