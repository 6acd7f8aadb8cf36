"""The log of a database: who waits is woken over a connection that listens, and whether it is there decides nothing."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import msgspec

from frontdesk.stores.postgresql import PostgreSQLStore
from frontdesk.stores.postgresql.log import POLL
from frontdesk.stores.protocol import Poll
from frontdesk.testing.suite.harness import REALM, T0, a_session, an_entry, create, head_of, log, sid
from tests.servers.postgresql import ROLE, PostgreSQL, database_of
from tests.stores.on_postgresql import HEAD, holding, opened, store_on, until, url_of, waiting_for_locks

LONG = timedelta(seconds=60)
SHORT = timedelta(seconds=0.3)


async def listeners(server: PostgreSQL, url: str) -> list[int]:
    found = await server.execute(
        f"SELECT pid FROM pg_stat_activity WHERE datname = '{database_of(url)}' AND query LIKE 'LISTEN%'"
    )
    return [row[0] for row in found]


async def listening(server: PostgreSQL, store: PostgreSQLStore) -> int:
    """The server's process that serves the listener, when there is one."""

    async def there() -> bool:
        return len(await listeners(server, url_of(store))) == 1

    await until(there, "a store listens")
    return (await listeners(server, url_of(store)))[0]


def following(store: PostgreSQLStore, cursor: int, wait: timedelta = LONG) -> asyncio.Task[Poll]:
    return asyncio.create_task(store.poll(cursor, wait=wait))


async def revoke(store: PostgreSQLStore, subject: str = "alice") -> None:
    await store.end_subject(REALM, subject, reason="revoked", now=T0)


def test_a_long_log_does_not_look_so_dear_that_each_poll_is_compiled_first(postgresql: PostgreSQL) -> None:
    async def scenario() -> None:
        async with store_on(postgresql) as store:
            await store.append_again([an_entry("session", sid(number)) for number in range(20_000)], T0)
            told = POLL.replace("$1", "20000").replace("$2", "5000")
            plan = await postgresql.execute(f"EXPLAIN (FORMAT JSON) {told}", database_of(url_of(store)))
            cost = msgspec.json.decode(plan[0][0])[0]["Plan"]["Total Cost"]
            assert cost < 50_000  # jit_above_cost is 100,000

    asyncio.run(scenario())


def test_a_lost_listener_is_replaced_while_polls_wait(postgresql: PostgreSQL) -> None:
    async def scenario() -> None:
        async with store_on(postgresql) as store, opened(url_of(store)) as other:
            waiting = following(store, await head_of(store))
            pid = await listening(postgresql, store)
            await postgresql.execute(f"SELECT pg_terminate_backend({pid}, 10000)")

            async def replaced() -> bool:
                return await listening(postgresql, store) != pid

            await until(replaced, "another connection listens")
            began = time.monotonic()
            await revoke(other)
            assert (await waiting).entries == await log(store)
            assert time.monotonic() - began < LONG.total_seconds() / 2

    asyncio.run(scenario())


def test_polls_are_answered_in_their_time_where_nobody_may_listen(postgresql: PostgreSQL) -> None:
    async def scenario() -> None:
        async with (
            store_on(postgresql, max_connections=1) as store,
            opened(url_of(store), max_connections=1) as other,
        ):
            # No further connection: the two of the pools are all that the role may have.
            await store.check()
            await other.check()
            await postgresql.execute(f"ALTER ROLE {ROLE} CONNECTION LIMIT 2")
            try:
                head = await head_of(store)
                assert (await following(store, head, SHORT)).entries == ()
                waiting = following(store, head, SHORT)
                await revoke(other)
                page = await waiting
                assert page.entries == await log(store)
                assert await listeners(postgresql, url_of(store)) == []
            finally:
                await postgresql.execute(f"ALTER ROLE {ROLE} CONNECTION LIMIT -1")
            waiting = following(store, page.cursor)
            await listening(postgresql, store)
            await revoke(other)
            assert len((await waiting).entries) == 1

    asyncio.run(scenario())


def test_a_listener_that_hears_nothing_is_replaced(postgresql: PostgreSQL) -> None:
    async def scenario() -> None:
        async with store_on(postgresql) as store, opened(url_of(store)) as other:
            await following(store, await head_of(store), SHORT)
            pid = await listening(postgresql, store)
            listener = (await store._opened())._listener
            assert listener._connection is not None
            await listener._connection.execute("UNLISTEN *; SELECT 'LISTEN in vain'")
            waiting = following(store, await head_of(store), SHORT)
            await revoke(other)
            assert len((await waiting).entries) == 1  # it was found when the wait was over
            waiting = following(store, await head_of(store))
            assert await listening(postgresql, store) != pid
            await revoke(other)
            assert len((await waiting).entries) == 1

    asyncio.run(scenario())


def test_numbers_are_in_the_order_of_commits_and_a_transaction_taken_back_leaves_no_gap(postgresql: PostgreSQL) -> None:
    async def scenario() -> None:
        async with store_on(postgresql) as store, opened(url_of(store)) as other:
            await create(store, a_session(1), a_session(2))
            # An entry that is not committed yet: nobody who reads sees a later one before it.
            number = "UPDATE frontdesk.log_head SET number = number + 1"
            entry = (
                "INSERT INTO frontdesk.revocations SELECT number, 'r', 'session', 's', 0, 0, 0 FROM frontdesk.log_head"
            )
            async with holding(store, f"{number}; {entry}") as take_back:
                ending = asyncio.create_task(other.end_session(REALM, sid(1), reason="revoked", now=T0))
                await waiting_for_locks(store, 1)
                page = await store.poll(0)
                assert (page.entries, page.head) == ((), 0)
                await take_back()
                await ending
            page = await store.poll(0)
            assert [(each.number, each.target) for each in page.entries] == [(1, sid(1))]
            assert page.head == 1

    asyncio.run(scenario())


def test_a_renewed_history_wakes_who_waits(postgresql: PostgreSQL) -> None:
    async def scenario() -> None:
        async with store_on(postgresql) as store, opened(url_of(store)) as other:
            waiting = following(store, await head_of(store))
            await listening(postgresql, store)
            name = await other.renew_history()
            assert (await waiting).history == name

    asyncio.run(scenario())


def test_who_waits_holds_no_connection_of_the_pool(postgresql: PostgreSQL) -> None:
    async def scenario() -> None:
        async with store_on(postgresql, max_connections=1) as store:
            polls = [following(store, await head_of(store)) for _ in range(20)]
            await listening(postgresql, store)
            await create(store, a_session(1))
            async with holding(store, HEAD):
                pass
            await revoke(store)
            assert {len((await poll).entries) for poll in polls} == {1}

    asyncio.run(scenario())


def test_the_stores_clock_is_the_servers(postgresql: PostgreSQL) -> None:
    async def scenario() -> None:
        async with store_on(postgresql) as store:
            ((before,),) = await postgresql.execute("SELECT clock_timestamp()")
            told = (await store.poll(0)).store_time
            ((after,),) = await postgresql.execute("SELECT clock_timestamp()")
            assert told is not None
            assert before <= told <= after

    asyncio.run(scenario())
