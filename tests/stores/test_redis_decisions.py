"""Decisions that are made here and written there: what moves in between is seen; and the scripts themselves."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from itertools import product
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdesk.clock import to_micros
from frontdesk.core.keyring import Move
from frontdesk.core.rotation import Outcome, decide
from frontdesk.core.sessions import Session, evaluate
from frontdesk.core.throttle import ThrottlePolicy
from frontdesk.stores.redis import RedisStore, records, sessions, stored_keys
from frontdesk.stores.redis.client import Line
from frontdesk.stores.redis.names import Names
from frontdesk.stores.redis.scripts import _part, load
from frontdesk.testing.suite.harness import (
    POLICY,
    REALM,
    T0,
    TICK,
    a_key,
    a_session,
    an_account,
    attempt,
    create,
    crowd,
    expect,
    log,
    log_of,
    sid,
    stored,
)
from tests.requirements import ROOT
from tests.servers.redis import RedisServer
from tests.stores.redis_layout import opened, require_whole

LATER = T0 + timedelta(hours=1)
THROTTLE = ThrottlePolicy()
SCRIPTS = sorted((ROOT / "src" / "frontdesk" / "stores" / "redis" / "scripts").glob("*.lua"))


@pytest.fixture
def server(redis_server: RedisServer) -> RedisServer:
    redis_server.call("FLUSHALL")
    return redis_server


class Meddling:
    """Does something between a read and the write that was decided on it, at most so many times."""

    def __init__(
        self, read: Callable[..., Awaitable[Any]], meddle: Callable[[], Awaitable[object]], times: int
    ) -> None:
        self._read = read
        self._meddle = meddle
        self.times = times

    async def __call__(self, line: Line, *arguments: Any) -> Any:
        found = await self._read(line, *arguments)
        if self.times > 0:
            self.times -= 1
            await self._meddle()
        return found


# --- what moves in between ----------------------------------------------------------------------------------------


def test_a_rotation_is_decided_on_the_row_as_it_is_when_it_is_written(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with opened(server.url) as store, opened(server.url) as other:
            await create(store, a_session(1))

            async def meddle() -> None:
                await other.update_subject(REALM, "alice", roles=("new",), scope=("read",), claims={"n": 1}, now=T0)
                await other.touch_session(REALM, sid(1), LATER + TICK)

            monkeypatch.setattr(sessions, "find", Meddling(sessions.find, meddle, 1))
            decision = await store.rotate(REALM, sid(1), 0, LATER, POLICY)
            row = await stored(other, a_session(1))
            assert decision is not None
            expect((decision.outcome, decision.session), (Outcome.ROTATED, row))
            expect((row.generation, row.roles, row.scope, dict(row.claims)), (1, ("new",), ("read",), {"n": 1}))
            expect(row.last_seen_at, LATER + TICK)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("meddle", "outcome"),
    [
        (lambda other: other.rotate(REALM, sid(1), 3, LATER, POLICY), Outcome.RENEWED),
        (lambda other: other.end_session(REALM, sid(1), reason="signed_out", now=LATER), Outcome.ENDED),
        (lambda other: other.end_realm(REALM, reason="revoked", now=LATER), Outcome.ENDED),
        (lambda other: other.rotate(REALM, sid(1), 5, LATER - timedelta(minutes=5), POLICY), Outcome.REUSED),
    ],
)
def test_a_rotation_whose_row_has_moved_is_decided_again(
    server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
    meddle: Callable[[RedisStore], Awaitable[object]],
    outcome: Outcome,
) -> None:
    async def scenario() -> None:
        async with opened(server.url) as store, opened(server.url) as other:
            await create(store, a_session(1, generation=3, parent=2, minted_at=T0))
            monkeypatch.setattr(sessions, "find", Meddling(sessions.find, lambda: meddle(other), 1))
            decision = await store.rotate(REALM, sid(1), 3, LATER, POLICY)
            assert decision is not None
            expect((decision.outcome, decision.session), (outcome, await stored(other, a_session(1))))
            expect(decision, decide(decision.before, 3, LATER, POLICY))

    asyncio.run(scenario())
    require_whole(server)


def test_an_attempt_is_admitted_on_the_tallies_as_they_are_when_it_is_counted(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with opened(server.url) as store, opened(server.url) as other:

            async def meddle() -> None:
                for number in range(THROTTLE.free_failures):
                    expect(await other.admit_attempt(REALM, attempt(1, number), T0, THROTTLE), None)

            monkeypatch.setattr(records, "_tallies", Meddling(records._tallies, meddle, 1))
            assert await store.admit_attempt(REALM, attempt(1, 99), T0, THROTTLE) is not None
            expect(await store.admit_attempt(REALM, attempt(2, 99), T0, THROTTLE), None)

    asyncio.run(scenario())
    require_whole(server)


def test_keys_that_moved_in_between_are_decided_on_again(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with opened(server.url) as store, opened(server.url) as other:
            moves = (Move("key-2", "next", "current"), Move("key-1", "current", "old"))
            await store.add_key(a_key(1))
            await store.add_key(a_key(2, state="next"))

            async def meddle() -> None:
                expect(await other.rotate_keys(REALM, moves=moves, now=LATER), True)

            monkeypatch.setattr(stored_keys, "_held", Meddling(stored_keys._held, meddle, 1))
            expect(await store.rotate_keys(REALM, moves=moves, now=LATER), False)
            expect(await store.keys_version(REALM), 3)

    asyncio.run(scenario())
    require_whole(server)


# --- many at once -------------------------------------------------------------------------------------------------


def test_fifty_mixed_operations_at_once_from_two_stores_leave_every_key_in_order(server: RedisServer) -> None:
    calls: list[Callable[[RedisStore, int], Awaitable[object]]] = [
        lambda s, n: s.create_session(a_session(1000 + n), replaces=[sid(n)], max_sessions=4, now=T0),
        lambda s, n: s.rotate(REALM, sid(n % 9), n % 3, LATER, POLICY),
        lambda s, n: s.touch_sessions(REALM, {sid(i + n): LATER for i in range(9)}, every=TICK),
        lambda s, n: s.end_session(REALM, sid(n % 9), reason="signed_out", now=T0),
        lambda s, n: s.end_subject(REALM, f"subject-{n % 3}", reason="revoked", now=T0, keep=sid(n % 9)),
        lambda s, n: s.end_subject(REALM, f"subject-{n % 3}", reason="revoked", now=T0),
        lambda s, n: s.update_subject(REALM, "alice", roles=(str(n),), scope=None, claims=None, now=T0),
        lambda s, n: s.end_realm(REALM, reason="revoked", now=T0 + n * TICK),
        lambda s, n: s.create_account(an_account(n % 5)),
        lambda s, n: s.remove_account(REALM, f"subject-{n % 5}", now=T0),
        lambda s, n: s.admit_attempt(REALM, attempt(n % 5, n % 7), T0, THROTTLE),
        lambda s, n: s.attempt_succeeded(REALM, attempt(n % 5, n % 7), T0),
        lambda s, n: s.put_once(REALM, "state", bytes((n % 9,)), b"v", expires_at=LATER),
        lambda s, n: s.consume(REALM, "state", bytes((n % 9,)), T0),
        lambda s, n: s.add_key(a_key(n % 5), only_if_none_current=n % 2 == 0),
        lambda s, n: s.rotate_keys(REALM, moves=(Move(f"key-{n % 5}", "current", "compromised"),), now=T0),
        lambda s, n: s.purge(LATER + timedelta(days=n), limit=3),
    ]

    async def scenario() -> None:
        chance = random.Random(7)
        async with opened(server.url) as store, opened(server.url, max_connections=2) as other:
            for turn in range(6):
                epochs = await store.epochs(REALM, "alice")
                await create(store, *(a_session(100 * turn + 20 + n, epochs=epochs) for n in range(4)))
                chosen = [chance.choice(calls) for _ in range(50)]
                await crowd(lambda number, chosen=chosen: chosen[number]((store, other)[number % 2], number))  # type: ignore[misc]
                require_whole(server)
            entries = await log(store)
            head = (await store.poll(0)).head
            known = list(entries)
            await store.append_again(known, T0)
            expect((await store.poll(0)).head, head)  # it knew them all
            while await store.purge(T0 + timedelta(days=3000)):
                require_whole(server)
            await store.append_again(known, T0)
            require_whole(server)

    asyncio.run(scenario())


def test_the_end_of_a_realm_of_thousands_is_one_step(server: RedisServer) -> None:
    async def scenario() -> None:
        async with opened(server.url) as store, opened(server.url) as other:
            many = [a_session(number, subject=f"subject-{number % 200}") for number in range(1000)]
            for first in range(0, len(many), 100):
                await asyncio.gather(*(create(store, each) for each in many[first : first + 100]))
            ending = asyncio.create_task(other.end_realm(REALM, reason="revoked", now=LATER))
            standing = set()
            while not ending.done():
                found = await asyncio.gather(*(store.list_sessions(REALM, f"subject-{n}", T0) for n in (0, 100, 199)))
                standing.add(tuple(map(len, found)))
            expect(await ending, 1000)
            assert standing <= set(product((0, 5), repeat=3))
            expect(await store.list_sessions(REALM, "subject-7", T0), ())
        require_whole(server)

    asyncio.run(scenario())


# --- the scripts --------------------------------------------------------------------------------------------------


def test_a_script_says_of_a_session_what_the_core_says(server: RedisServer) -> None:
    text = _part("standing") + "return stands(KEYS[1], tonumber(ARGV[1])) and 1 or 0"
    limits = [T0 + timedelta(days=1), T0 + timedelta(days=2), T0 + timedelta(days=800)]
    moments = [limit + tick * TICK for limit in (T0, *limits) for tick in (-1, 0, 1)]
    made: list[Session] = []
    for number, (expires_at, seen, idle) in enumerate(product(limits, (T0, T0 + TICK), (limits[0] - T0, 2 * TICK))):
        made.append(a_session(number, expires_at=expires_at, last_seen_at=seen, idle_timeout=idle, subject=str(number)))

    async def scenario() -> None:
        async with opened(server.url) as store:
            await create(store, *made)
            await store.end_session(REALM, sid(0), reason="revoked", now=T0)
            with server.client() as client:
                for session in made:
                    row = await stored(store, session)
                    key = store._names.session(REALM, session.id)
                    for moment in moments:
                        said = client.eval(text, 1, key, to_micros(moment))
                        expect((said == 1, session, moment), (evaluate(row, moment) is None, session, moment))
                expect(client.eval(text, 1, store._names.session(REALM, "nobody"), 0), 0)

    asyncio.run(scenario())


def test_a_server_that_has_forgotten_the_scripts_is_told_them_again(server: RedisServer) -> None:
    async def scenario() -> None:
        async with opened(server.url) as store:
            await create(store, a_session(1))
            server.call("SCRIPT", "FLUSH")
            expect(await store.list_sessions(REALM, "alice", T0), (a_session(1),))
            server.call("SCRIPT", "FLUSH")
            assert await store.end_session(REALM, sid(1), reason="revoked", now=T0) is not None
            expect(await log_of(store), [(REALM, "session", sid(1))])

    asyncio.run(scenario())


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_every_script_says_what_it_may_do_and_what_it_takes(path: Any) -> None:
    source = path.read_text()
    if source.startswith("-- Part: "):
        assert load("end_session").text.count(source) == (path.stem in {"entry", "ending"})
        return
    script = load(path.stem)
    assert script.text.startswith("#!lua")
    writes = re.search(r"'(?:HSET|HDEL|HINCRBY|ZADD|ZREM|SADD|SREM|SET|DEL)'", script.text) is not None
    assert script.writes or not writes
    assert re.search(r"^-- .*(?:KEYS|ARGV|Changes nothing)", source, re.MULTILINE)


def test_only_what_ends_or_removes_runs_in_a_full_server() -> None:
    runs = {path.stem for path in SCRIPTS if path.read_text().startswith("#!lua flags=allow-oom")}
    assert runs == {
        *("append_again", "clear_attempts", "consume", "end_others", "end_realm", "end_session", "end_subject"),
        *("purge", "remove_account", "remove_service"),
    }


@given(
    st.tuples(st.text(":%a", max_size=4), st.text(":%a", max_size=4), st.binary(max_size=2)),
    st.tuples(st.text(":%a", max_size=4), st.text(":%a", max_size=4), st.binary(max_size=2)),
)
def test_names_of_different_records_differ(one: tuple[str, str, bytes], other: tuple[str, str, bytes]) -> None:
    names = Names("frontdesk")

    def every(realm: str, text: str, raw: bytes) -> list[str]:
        single = [names.once(realm, text, raw), names.attempt(realm, raw)]
        return [*single, names.session(realm, text), names.subject(realm, text), names.account(realm, text)]

    same = [one == other, (one[0], one[2]) == (other[0], other[2]), *[one[:2] == other[:2]] * 3]
    assert [a == b for a, b in zip(every(*one), every(*other), strict=True)] == same
    assert len(set(every(*one))) == 5


def test_ids_that_look_like_keys_are_ids(server: RedisServer) -> None:
    texts = ["", ":", "a:b", "%3A", "{x}", "a\x00b", "session:1", "\U0001f6ce", "a\nb", "*"]

    async def scenario() -> None:
        async with opened(server.url) as store:
            for number, (realm, subject) in enumerate(product(texts, texts)):
                await create(store, a_session(number, realm=realm, subject=subject))
                await store.end_subject(realm, subject, reason="revoked", now=T0)
            require_whole(server)
            for realm, subject in product(texts, texts):
                expect(await store.list_sessions(realm, subject, T0), ())
                expect((await store.epochs(realm, subject)).subject, 1)
            entries = await log(store)
            expect(len(entries), len(texts) ** 2)
            expect(await store.append_again(entries, T0), 0)
            expect(await store.purge(T0 + timedelta(days=3000)), 2 * len(entries))
            expect(await store.append_again(entries, T0), len(entries))
            expect(
                [msgspec.structs.replace(each, number=0) for each in await log(store)],
                [msgspec.structs.replace(each, number=0) for each in entries],
            )

    asyncio.run(scenario())
