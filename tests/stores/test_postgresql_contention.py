"""Many operations on the same rows from two stores: nobody waits in a circle, and nothing comes out half done."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta

import asyncpg
import pytest

from frontdesk.core.keyring import Move
from frontdesk.core.throttle import ThrottlePolicy
from frontdesk.stores.postgresql import PostgreSQLStore, locks
from frontdesk.testing.suite.harness import (
    POLICY,
    REALM,
    T0,
    TICK,
    a_key,
    a_session,
    an_account,
    an_entry,
    attempt,
    create,
    log,
    sid,
)
from tests.servers.postgresql import PostgreSQL, database_of
from tests.stores.on_postgresql import holding, opened, rows, store_on, url_of, waiting_for_locks

LATER = T0 + timedelta(hours=1)
SUBJECTS = ("alice", "bob", "carol")
THROTTLE = ThrottlePolicy()
Call = Callable[[PostgreSQLStore, random.Random], Awaitable[object]]


async def sign_in(store: PostgreSQLStore, chance: random.Random) -> object:
    subject = chance.choice(SUBJECTS)
    session = a_session(chance.randrange(1000, 10**9), subject=subject, epochs=await store.epochs(REALM, subject))
    replaces = [sid(chance.randrange(40)) for _ in range(chance.randrange(3))]
    return await store.create_session(session, replaces=replaces, max_sessions=chance.randrange(1, 20), now=LATER)


MIXED: tuple[Call, ...] = (
    sign_in,
    sign_in,
    lambda s, c: s.end_session(REALM, sid(c.randrange(40)), reason="revoked", now=LATER),
    lambda s, c: s.end_session(REALM, sid(c.randrange(40)), reason="revoked", now=LATER),
    lambda s, c: s.rotate(REALM, sid(c.randrange(40)), c.randrange(3), LATER, POLICY),
    lambda s, c: s.touch_session(REALM, sid(c.randrange(40)), LATER + c.randrange(1000) * TICK),
    lambda s, c: s.touch_sessions(REALM, {sid(n): LATER for n in c.sample(range(40), 15)}, every=TICK),
    lambda s, c: s.end_subject(REALM, c.choice(SUBJECTS), reason="revoked", now=LATER, keep=sid(c.randrange(40))),
    lambda s, c: s.end_subject(REALM, c.choice(SUBJECTS), reason="revoked", now=LATER),
    lambda s, c: s.update_subject(REALM, c.choice(SUBJECTS), roles=("x",), scope=None, claims=None, now=LATER),
    lambda s, _: s.end_realm(REALM, reason="revoked", now=LATER),
    lambda s, c: s.append_again(
        [an_entry("session", sid(n), at=LATER) for n in c.sample(range(40), 5)]
        + [an_entry("subject", c.choice(SUBJECTS), at=LATER, epoch=c.randrange(9)), an_entry("key", "key-1", at=LATER)],
        LATER,
    ),
    lambda s, c: s.purge(LATER + timedelta(days=c.randrange(2, 12)), limit=20),
    lambda s, _: s.rotate_keys(REALM, moves=(Move("key-1", "current", "compromised"),), now=LATER),
    lambda s, c: s.add_key(a_key(c.randrange(100), state="old")),
    lambda s, c: s.admit_attempt(REALM, attempt(c.randrange(3), c.randrange(3)), LATER, THROTTLE),
    lambda s, c: s.attempt_succeeded(REALM, attempt(c.randrange(3), c.randrange(3)), LATER),
    lambda s, c: s.remove_account(REALM, c.choice(SUBJECTS), now=LATER),
    lambda s, c: s.create_account(an_account(c.randrange(9), id=c.choice(SUBJECTS))),
    lambda s, _: s.poll(0),
    lambda s, _: s.check(),
)


async def deadlocks(server: PostgreSQL, url: str) -> int:
    sql = f"SELECT deadlocks FROM pg_stat_database WHERE datname = '{database_of(url)}'"
    ((found,),) = await server.execute(sql)
    return int(found)


async def mixture(store: PostgreSQLStore, other: PostgreSQLStore, seed: int) -> None:
    chance = random.Random(seed)
    await create(
        store,
        *[
            a_session(number, subject=SUBJECTS[number % 3], epochs=await store.epochs(REALM, SUBJECTS[number % 3]))
            for number in range(40)
        ],
    )
    calls = [chance.choice(MIXED)((store, other)[number % 2], chance) for number in range(50)]
    await asyncio.gather(*calls)
    entries = await log(store)
    assert [entry.number for entry in entries] == sorted({entry.number for entry in entries})
    await rows(store, "DELETE FROM frontdesk.sessions")


@pytest.mark.parametrize("isolation", ["read committed", "serializable"])
def test_mixed_operations_on_the_same_rows_from_two_stores_meet_no_deadlock(
    postgresql: PostgreSQL, isolation: str
) -> None:
    async def scenario() -> None:
        url = await postgresql.new_database()
        await postgresql.execute(f"ALTER DATABASE {database_of(url)} SET default_transaction_isolation = '{isolation}'")
        async with opened(url) as store, opened(url) as other:
            await store.add_key(a_key(1))
            for seed in range(12):
                await mixture(store, other, seed)
        assert await deadlocks(postgresql, url) == 0
        await postgresql.drop_database(url)

    asyncio.run(scenario())


def test_locks_are_taken_in_one_order_and_known_by_numbers_that_stay() -> None:
    taken = locks.statements(
        [locks.of_keys("r"), locks.of_subject("r", "s"), locks.within_realm("r"), locks.of_subject("r", "s")]
    )
    assert taken == (
        "SELECT pg_advisory_xact_lock_shared(1178861569, -1559824692);"
        "SELECT pg_advisory_xact_lock(1178861570, 2082032791);"
        "SELECT pg_advisory_xact_lock(1178861571, -1559824692);"
    )
    assert locks.of_subject("a", "bc") != locks.of_subject("ab", "c")


def test_a_sign_in_waits_for_the_end_of_its_subject_and_is_refused_after_it(postgresql: PostgreSQL) -> None:
    async def scenario() -> None:
        async with store_on(postgresql) as store:
            async with holding(store, "SELECT FROM frontdesk.log_head FOR UPDATE") as let_go:
                ending = asyncio.create_task(store.end_subject(REALM, "alice", reason="revoked", now=T0))
                await waiting_for_locks(store, 1)
                entering = asyncio.create_task(store.create_session(a_session(1), max_sessions=9, now=T0))
                await waiting_for_locks(store, 2)
                assert await store.read_session(REALM, sid(1)) is None
                await let_go()
                await ending
            assert str(await entering) == "NotCreated.EPOCH_MOVED"

    asyncio.run(scenario())


def test_a_deadlock_with_a_stranger_costs_nobody_the_outcome(postgresql: PostgreSQL) -> None:
    # Somebody at a console takes the head of the log first, and then a row.
    async def scenario() -> None:
        async with store_on(postgresql) as store:
            await create(store, a_session(1))
            stranger = await asyncpg.connect(url_of(store))
            await stranger.execute("BEGIN; SELECT FROM frontdesk.log_head FOR UPDATE")
            ending = asyncio.create_task(store.end_subject(REALM, "alice", reason="revoked", now=T0))
            await waiting_for_locks(store, 1)
            with suppress(asyncpg.DeadlockDetectedError):
                await stranger.execute("SELECT FROM frontdesk.sessions FOR UPDATE")
            await stranger.close()
            assert len(await ending) == 1
        assert await deadlocks(postgresql, url_of(store)) > 0

    asyncio.run(scenario())
