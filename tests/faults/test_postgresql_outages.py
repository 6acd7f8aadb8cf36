"""A server that stands still, is killed, restarted or replaced: calls end in time and what was acknowledged is kept."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from frontdesk.core.throttle import ThrottlePolicy
from frontdesk.errors import StoreError
from frontdesk.stores.postgresql import PostgreSQLStore
from frontdesk.stores.protocol import Ended
from frontdesk.testing.suite.harness import (
    POLICY,
    REALM,
    T0,
    a_session,
    an_account,
    attempt,
    create,
    head_of,
    log,
    sid,
    stored,
)
from tests.requirements import ROOT, find_postgresql
from tests.servers.postgresql import PostgreSQL
from tests.servers.spawning import PATIENCE
from tests.stores.on_postgresql import opened, until

pytestmark = pytest.mark.faults

LATER = T0 + timedelta(hours=1)
SHORT = timedelta(seconds=0.5)
Call = Callable[[PostgreSQLStore], Awaitable[object]]

CALLS: dict[str, Call] = {
    "read_session": lambda s: s.read_session(REALM, sid(1)),
    "epochs": lambda s: s.epochs(REALM, "alice"),
    "create_session": lambda s: s.create_session(a_session(99), max_sessions=9, now=T0),
    "rotate": lambda s: s.rotate(REALM, sid(1), 0, LATER, POLICY),
    "touch_session": lambda s: s.touch_session(REALM, sid(1), LATER),
    "end_session": lambda s: s.end_session(REALM, sid(1), reason="revoked", now=LATER),
    "end_subject": lambda s: s.end_subject(REALM, "alice", reason="revoked", now=LATER),
    "admit_attempt": lambda s: s.admit_attempt(REALM, attempt(1), LATER, ThrottlePolicy()),
    "create_account": lambda s: s.create_account(an_account(1)),
    "list_keys": lambda s: s.list_keys(REALM),
    "poll": lambda s: s.poll(0),
    "poll that waits": lambda s: s.poll(1000, wait=timedelta(seconds=60)),
    "check": lambda s: s.check(),
}


@pytest.fixture
def server() -> Iterator[PostgreSQL]:
    with PostgreSQL(find_postgresql(), durable=True) as server:
        yield server


async def works_again(store: PostgreSQLStore) -> None:
    async def works() -> bool:
        try:
            await store.check()
        except StoreError:
            return False
        return True

    await until(works, "the store works again by itself")


def test_a_server_that_stands_still_ends_every_call_in_time_and_is_used_again_when_it_goes_on(
    server: PostgreSQL,
) -> None:
    async def scenario() -> None:
        url = await server.new_database()
        async with opened(url, timeout=SHORT, max_connections=4) as store:
            await create(store, a_session(1), a_session(2))
            waiting = asyncio.create_task(store.poll(await head_of(store), wait=timedelta(seconds=0.2)))
            await asyncio.gather(*(store.keys_version(REALM) for _ in range(8)))
            await waiting
            server.pause()
            try:
                for name, call in CALLS.items():
                    began = time.monotonic()
                    with pytest.raises(StoreError):
                        await call(store)
                    assert time.monotonic() - began < 6 * SHORT.total_seconds(), name
                began = time.monotonic()
                crowd = [call(store) for call in CALLS.values() for _ in range(10)]
                outcomes = await asyncio.gather(*crowd, return_exceptions=True)
                assert [outcome for outcome in outcomes if not isinstance(outcome, StoreError)] == []
                assert time.monotonic() - began < 10 * SHORT.total_seconds()
                with pytest.raises(StoreError):
                    await PostgreSQLStore(url, timeout=SHORT).open()
            finally:
                server.resume()
            await works_again(store)
            # What nobody was told about was done or not done, and each of it whole.
            entries = await log(store)
            assert [entry.number for entry in entries] == list(range(1, len(entries) + 1))
            for entry in entries:
                if entry.kind == "session":
                    assert (await stored(store, a_session(1))).ended_at == LATER
                else:
                    assert (await store.epochs(REALM, entry.target)).subject >= entry.epoch

    asyncio.run(scenario())


def test_closing_a_store_whose_server_stands_still_ends_in_time(server: PostgreSQL) -> None:
    async def scenario() -> None:
        store = PostgreSQLStore(await server.new_database(), timeout=SHORT)
        await store.open()
        reading = asyncio.create_task(store.keys_version(REALM))
        await reading
        server.pause()
        try:
            began = time.monotonic()
            lost = asyncio.create_task(store.end_subject(REALM, "alice", reason="revoked", now=T0))
            await asyncio.sleep(0)
            await store.close()
            assert time.monotonic() - began < 6 * SHORT.total_seconds()
            with pytest.raises(StoreError):
                await lost
        finally:
            server.resume()

    asyncio.run(scenario())


def test_what_was_acknowledged_is_there_after_the_server_was_killed(server: PostgreSQL) -> None:
    async def scenario() -> None:
        url = await server.new_database()
        async with opened(url, timeout=timedelta(seconds=5)) as store, opened(url) as other:
            await create(store, *(a_session(n) for n in range(400)), max_sessions=400)
            history = (await store.poll(0)).history
            acknowledged: list[str] = []

            async def end(number: int) -> None:
                where = (store, other)[number % 2]
                ended = await where.end_session(REALM, sid(number), reason="revoked", now=LATER)
                assert isinstance(ended, Ended)
                acknowledged.append(sid(number))

            ending = [asyncio.create_task(end(number)) for number in range(20)]

            async def some() -> bool:
                while sum(not task.done() for task in ending) < 20 and len(ending) < 400:
                    ending.append(asyncio.create_task(end(len(ending))))
                return len(acknowledged) >= 60

            await until(some, "60 endings were acknowledged")
            await asyncio.to_thread(server.kill)
            outcomes = await asyncio.gather(*ending, return_exceptions=True)
            assert [each for each in outcomes if each is not None and not isinstance(each, StoreError)] == []
            await asyncio.to_thread(server.start)
            await works_again(store)
            page = await store.poll(0)
            told = [entry.target for entry in page.entries]
            assert set(acknowledged) <= set(told)
            assert len(told) == len(set(told)) == page.head
            for number in range(400):
                row = await stored(store, a_session(number))
                assert (row.ended_at is not None) == (row.id in told)
            assert page.history == history  # nothing was lost, so nobody need read the log again

    asyncio.run(scenario())


def test_a_follower_goes_on_after_a_restart(server: PostgreSQL) -> None:
    async def scenario() -> None:
        async with opened(await server.new_database()) as store:
            waiting = asyncio.create_task(store.poll(0, wait=timedelta(seconds=PATIENCE)))
            await asyncio.wait([waiting], timeout=0.05)
            await asyncio.to_thread(server.restart)
            with pytest.raises(StoreError):
                await waiting
            await works_again(store)
            waiting = asyncio.create_task(store.poll(0, wait=timedelta(seconds=PATIENCE)))
            await asyncio.wait([waiting], timeout=0.05)
            await store.end_subject(REALM, "alice", reason="revoked", now=T0)
            assert len((await waiting).entries) == 1

    asyncio.run(scenario())


def _both(primary: PostgreSQL, standby: PostgreSQL, url: str) -> str:
    """A URL that names two servers, the standby first."""
    places = f"host={standby.directory},{primary.directory}&port={standby.port},{primary.port}"
    return f"{url.partition('?')[0]}?{places}"


def test_a_standby_is_refused_and_after_a_fail_over_the_history_has_another_name(server: PostgreSQL) -> None:
    async def scenario() -> None:
        url = await server.new_database()
        with PostgreSQL(find_postgresql(), durable=True, copy_of=server) as standby:
            alone = _both(standby, standby, url)
            with pytest.raises(StoreError, match="is a standby"):
                await PostgreSQLStore(alone).open()
            async with opened(_both(server, standby, url), timeout=timedelta(seconds=5)) as store:
                await store.end_subject(REALM, "alice", reason="revoked", now=T0)
                before = await store.poll(0)
                await until(lambda: _caught_up(standby, url), "the standby has the entry")
                await asyncio.to_thread(server.stop, signal.SIGQUIT)
                with pytest.raises(StoreError):
                    await store.check()
                await asyncio.to_thread(standby.promote)
                await works_again(store)
                after = await store.poll(0)
                assert after.entries == before.entries
                assert before.history.rpartition("-")[2] == "00000001"
                assert after.history.rpartition("-")[2] == "00000002"
                assert after.history.rpartition("-")[0] == before.history.rpartition("-")[0]

    asyncio.run(scenario())


async def _caught_up(standby: PostgreSQL, url: str) -> bool:
    database = url.partition("?")[0].rpartition("/")[2]
    ((number,),) = await standby.execute("SELECT number FROM frontdesk.log_head", database)
    return bool(number == 1)


def test_a_write_that_no_synchronous_standby_has_is_not_acknowledged(server: PostgreSQL) -> None:
    async def scenario() -> None:
        url = await server.new_database()
        with PostgreSQL(find_postgresql(), durable=True, copy_of=server) as standby:
            await server.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            await server.execute("SELECT pg_reload_conf()")
            async with opened(url, timeout=timedelta(seconds=5)) as store:
                await create(store, a_session(1))
            async with opened(url, timeout=SHORT) as store:
                await store.check()
                await asyncio.to_thread(standby.pause)
                try:
                    with pytest.raises(StoreError, match="in time"):
                        await store.end_session(REALM, sid(1), reason="revoked", now=T0)
                finally:
                    await asyncio.to_thread(standby.resume)
            async with opened(url, timeout=timedelta(seconds=5)) as store:
                # Nobody was told, but it was done: on the primary it had been committed.
                ended = await store.end_session(REALM, sid(1), reason="revoked", now=LATER)
                assert ended is not None
                assert not ended.now

    asyncio.run(scenario())


def test_a_server_goes_with_the_process_that_started_it(tmp_path: Path) -> None:
    find_postgresql()
    script = (
        "import sys; from tests.requirements import find_postgresql; from tests.servers.postgresql import PostgreSQL\n"
        "with PostgreSQL(find_postgresql()) as server:\n"
        "    if 'paused' in sys.argv: server.pause()\n"
        "    print(server.directory, server._process.pid, flush=True)\n"
        "    sys.stdin.read()"
    )
    for argument in ("running", "paused"):
        owner = subprocess.Popen(
            [sys.executable, "-c", script, argument],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert owner.stdout is not None
        directory, pid = owner.stdout.readline().split()
        assert Path(f"/proc/{pid}").exists()
        os.kill(owner.pid, signal.SIGKILL)
        owner.communicate()
        deadline = time.monotonic() + PATIENCE
        while Path(directory).exists() or Path(f"/proc/{pid}").exists():
            assert time.monotonic() < deadline, f"the server of a process that was killed while {argument} is left"
            time.sleep(0.01)
