"""Decisions about single sessions share transactions, and nobody pays for another's row."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from frontdesk.core.rotation import Outcome
from frontdesk.errors import OverloadedError, StoreCorruptError, StoreError
from frontdesk.stores.postgresql import PostgreSQLStore
from frontdesk.stores.protocol import Ended
from frontdesk.testing.suite.harness import POLICY, REALM, T0, TICK, a_session, create, log_of, sid, stored
from tests.servers.postgresql import PostgreSQL
from tests.stores.on_postgresql import HEAD, holding, rows, store_on, until, waiting_for_locks

LATER = T0 + timedelta(hours=1)


def end(store: PostgreSQLStore, number: int, realm: str = REALM) -> asyncio.Task[Ended | None]:
    return asyncio.create_task(store.end_session(realm, sid(number), reason="revoked", now=T0))


async def transactions(store: PostgreSQLStore, table: str) -> int:
    """How many transactions wrote the rows of a table as they stand."""
    ((found,),) = await rows(store, f"SELECT count(DISTINCT xmin::text) FROM frontdesk.{table}")
    return int(found)


def test_what_gathers_during_a_transaction_is_written_by_one(postgresql: PostgreSQL) -> None:
    async def scenario() -> None:
        async with store_on(postgresql) as store:
            await create(store, *(a_session(number) for number in range(200)), max_sessions=200)
            async with holding(store, HEAD) as let_go:
                first = end(store, 0)
                await waiting_for_locks(store, 1)
                others: list[Any] = [end(store, number) for number in range(1, 100)]
                others += [
                    asyncio.create_task(store.rotate(REALM, sid(number), 0, LATER, POLICY))
                    for number in range(100, 150)
                ]
                others += [
                    asyncio.create_task(store.touch_session(REALM, sid(number), LATER)) for number in range(150, 199)
                ]
                others.append(asyncio.create_task(store.touch_sessions(REALM, {sid(199): LATER}, every=TICK)))
                await until_queued(store, 200 - 1)
                await let_go()
                assert await first is not None
                outcomes = await asyncio.gather(*others)
            assert {type(outcome) for outcome in outcomes[:99]} == {Ended}
            assert {outcome.outcome for outcome in outcomes[99:149]} == {Outcome.ROTATED}
            assert outcomes[149:] == [True] * 49 + [1]
            assert await transactions(store, "revocations") == 2
            assert await transactions(store, "sessions") == 2
            assert [target for _, _, target in await log_of(store)] == [sid(number) for number in range(100)]

    asyncio.run(scenario())


async def until_queued(store: PostgreSQLStore, number: int) -> None:
    grouping = (await store._opened()).grouping

    async def queued() -> bool:
        return len(grouping._waiting.get(REALM, ())) == number

    await until(queued, f"{number} wait for the next transaction")


def test_decisions_about_one_session_in_one_transaction_follow_each_other(postgresql: PostgreSQL) -> None:
    async def scenario() -> None:
        async with store_on(postgresql) as store:
            await create(store, a_session(1), a_session(2, claims={"plan": ["basic"]}))
            async with holding(store, HEAD) as let_go:
                blocked = end(store, 1)
                await waiting_for_locks(store, 1)
                touch = asyncio.create_task(store.touch_session(REALM, sid(2), LATER))
                await until_queued(store, 1)
                rotations = [asyncio.create_task(store.rotate(REALM, sid(2), 0, LATER, POLICY)) for _ in range(2)]
                await until_queued(store, 3)
                ends = [end(store, 2), end(store, 2)]
                late = asyncio.create_task(store.touch_session(REALM, sid(2), LATER + TICK))
                await until_queued(store, 6)
                await let_go()
                await blocked
                assert await touch
                decisions = [await rotation for rotation in rotations]
                assert {each.outcome for each in decisions if each} == {Outcome.ROTATED, Outcome.RENEWED}
                ended, again = [await task for task in ends]
                assert ended is not None
                assert again is not None
                assert (ended.now, again.now, ended.session) == (True, False, again.session)
                assert (ended.session.generation, ended.session.last_seen_at) == (1, LATER)
                assert not await late
            ended.session.claims["plan"].append("forged")
            assert again.session.claims == {"plan": ["basic"]}
            assert await stored(store, a_session(2)) == again.session
            assert await log_of(store) == [(REALM, "session", sid(1)), (REALM, "session", sid(2))]

    asyncio.run(scenario())


def test_a_row_that_somebody_holds_keeps_nobody_else_waiting(postgresql: PostgreSQL) -> None:
    async def scenario() -> None:
        async with store_on(postgresql) as store:
            await create(store, *(a_session(number) for number in range(10)))
            held = f"SELECT FROM frontdesk.sessions WHERE id = '{sid(3)}' FOR UPDATE"
            async with holding(store, held) as let_go:
                tasks = [end(store, number) for number in (*range(10), 3)]
                done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                while len(waiting) > 2:
                    more, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                    done |= more
                assert waiting == {tasks[3], tasks[10]}
                assert await end(store, 99) is None
                await let_go()
                first, again = await tasks[3], await tasks[10]
                assert first is not None
                assert again is not None
                assert (first.now, again.now) == (True, False)

    asyncio.run(scenario())


def test_a_row_that_is_held_for_too_long_is_an_error_for_those_who_want_it(postgresql: PostgreSQL) -> None:
    async def scenario() -> None:
        async with store_on(postgresql, timeout=timedelta(seconds=0.3)) as store:
            await create(store, a_session(1), a_session(2))
            async with holding(store, f"SELECT FROM frontdesk.sessions WHERE id = '{sid(1)}' FOR UPDATE"):
                outcomes = await asyncio.gather(end(store, 1), end(store, 2), return_exceptions=True)
                assert isinstance(outcomes[0], StoreError)
                assert isinstance(outcomes[1], Ended)
            ended = await end(store, 1)
            assert ended is not None
            assert ended.now

    asyncio.run(scenario())


def test_a_decision_that_cannot_be_made_takes_no_other_along(postgresql: PostgreSQL) -> None:
    async def scenario() -> None:
        async with store_on(postgresql) as store:
            await create(store, *(a_session(number) for number in range(3)))
            await rows(store, f"UPDATE frontdesk.sessions SET roles = 'no JSON' WHERE id = '{sid(1)}'")
            seen = {sid(number): LATER for number in range(3)}
            outcomes = await asyncio.gather(*(end(store, number) for number in range(3)), return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [Ended, StoreCorruptError, Ended]
            with pytest.raises(StoreCorruptError):
                await store.touch_sessions(REALM, seen, every=TICK)

    asyncio.run(scenario())


def test_realms_are_written_apart(postgresql: PostgreSQL) -> None:
    async def scenario() -> None:
        async with store_on(postgresql) as store:
            await create(store, a_session(1), a_session(2), a_session(1, realm="other"))
            async with holding(store, "LOCK TABLE frontdesk.revocations IN SHARE MODE") as let_go:
                here = end(store, 1)
                await waiting_for_locks(store, 1)
                there = asyncio.create_task(store.touch_session("other", sid(1), LATER))
                assert await there
                await let_go()
                assert await here is not None

    asyncio.run(scenario())


def test_a_cancelled_decision_that_has_not_begun_is_withdrawn(postgresql: PostgreSQL) -> None:
    async def scenario() -> None:
        async with store_on(postgresql) as store:
            await create(store, a_session(1), a_session(2), a_session(3))
            async with holding(store, HEAD) as let_go:
                begun = end(store, 1)
                await waiting_for_locks(store, 1)
                withdrawn, kept = end(store, 2), end(store, 3)
                await until_queued(store, 2)
                begun.cancel()
                withdrawn.cancel()
                await asyncio.wait([withdrawn])
                assert not begun.done()  # what has begun comes to its end first
                await let_go()
                await asyncio.wait([begun, kept])
            assert begun.cancelled()
            assert withdrawn.cancelled()
            assert await log_of(store) == [(REALM, "session", sid(1)), (REALM, "session", sid(3))]
            assert (await stored(store, a_session(2))).ended_at is None

    asyncio.run(scenario())


def test_too_many_who_wait_are_refused(postgresql: PostgreSQL) -> None:
    async def scenario() -> None:
        async with store_on(postgresql, max_connections=1, max_waiting=2) as store:
            await create(store, *(a_session(number) for number in range(4)))
            async with holding(store, HEAD) as let_go:
                accepted = [end(store, number) for number in range(3)]
                await waiting_for_locks(store, 1)
                for call in (store.end_session(REALM, sid(3), reason="revoked", now=T0), store.keys_version(REALM)):
                    with pytest.raises(OverloadedError):
                        await call
                await let_go()
                await asyncio.gather(*accepted)
            assert await end(store, 3) is not None

    asyncio.run(scenario())
