"""A server that has reached its maxmemory: what would grow is refused whole, what ends or removes something is not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta

import pytest

from frontdesk.core.rotation import Outcome
from frontdesk.core.throttle import ThrottlePolicy
from frontdesk.errors import StoreFullError
from frontdesk.stores.protocol import Created
from frontdesk.stores.redis import RedisStore
from frontdesk.testing.suite.harness import (
    POLICY,
    REALM,
    T0,
    a_key,
    a_session,
    an_account,
    attempt,
    create,
    expect,
    log_of,
    sid,
    stored,
)
from tests.servers.redis import RedisServer
from tests.stores.redis_layout import contents, opened, require_whole

LATER = T0 + timedelta(hours=1)
THROTTLE = ThrottlePolicy()

GROWING: dict[str, Callable[[RedisStore], Awaitable[object]]] = {
    "check": lambda s: s.check(),
    "create_session": lambda s: s.create_session(a_session(9), replaces=[sid(1)], max_sessions=1, now=LATER),
    "touch_session": lambda s: s.touch_session(REALM, sid(1), LATER),
    "rotate": lambda s: s.rotate(REALM, sid(1), 3, LATER, POLICY),
    "update_subject": lambda s: s.update_subject(REALM, "alice", roles=("x",), scope=None, claims=None, now=LATER),
    "create_account": lambda s: s.create_account(an_account(2)),
    "replace_password": lambda s: s.replace_password(REALM, "alice", old="sealed-1", new="new"),
    "admit_attempt": lambda s: s.admit_attempt(REALM, attempt(2), LATER, THROTTLE),
    "put_once": lambda s: s.put_once(REALM, "state", b"new", b"v", expires_at=LATER),
    "add_key": lambda s: s.add_key(a_key(2)),
    "renew_history": lambda s: s.renew_history(),
}


@pytest.fixture
def server(redis_server: RedisServer) -> Iterator[RedisServer]:
    redis_server.call("FLUSHALL")
    yield redis_server
    require_whole(redis_server)


async def prepare(store: RedisStore) -> None:
    await create(store, a_session(1, generation=3, parent=2, minted_at=T0), a_session(2), a_session(3, subject="bob"))
    await store.create_account(an_account(1, id="alice"))
    await store.admit_attempt(REALM, attempt(1), T0, THROTTLE)
    await store.put_once(REALM, "state", b"k", b"v", expires_at=LATER)
    await store.add_key(a_key(1))


def test_what_would_grow_is_refused_and_changes_nothing(server: RedisServer) -> None:
    async def scenario() -> None:
        async with opened(server.url) as store:
            await prepare(store)
            before = contents(server)
            with server.configured(maxmemory="1mb", maxmemory_policy="noeviction"), server.configured(maxmemory="1"):
                for name, call in GROWING.items():
                    with pytest.raises(StoreFullError, match="maxmemory") as refused:
                        await call(store)
                    assert "OOM" in refused.value.detail, name
                expect(contents(server), before)
                expect(await stored(store, a_session(2)), a_session(2))  # what reads goes on
                expect(await log_of(store), [])
            outcome = await store.create_session(a_session(9), replaces=[sid(1)], max_sessions=9, now=LATER)
            assert isinstance(outcome, Created)

    asyncio.run(scenario())


def test_what_ends_or_removes_goes_on(server: RedisServer) -> None:
    async def scenario() -> None:
        async with opened(server.url) as store:
            await prepare(store)
            with server.configured(maxmemory="1"):
                assert await store.end_session(REALM, sid(1), reason="signed_out", now=LATER) is not None
                decision = await store.rotate(REALM, sid(1), 3, LATER, POLICY)
                assert decision is not None
                expect(decision.outcome, Outcome.ENDED)
                expect(len(await store.end_subject(REALM, "bob", reason="revoked", now=LATER)), 1)
                expect(await store.consume(REALM, "state", b"k", T0), b"v")
                expect(await store.clear_attempts(REALM, attempt(1).account), True)
                expect(await store.remove_account(REALM, "alice", now=LATER), True)
                expect(await store.end_realm(REALM, reason="revoked", now=LATER), 0)
                expect([kind for _, kind, _ in await log_of(store)], ["session", "subject", "subject", "all"])
                expect(await store.purge(T0 + timedelta(days=3000)), 3 + 2 + 1 + 4)

    asyncio.run(scenario())


def test_filling_it_to_the_brim_leaves_whole_sessions_only(server: RedisServer) -> None:
    async def scenario() -> None:
        async with opened(server.url) as store:
            await prepare(store)
            used = int(server.call("INFO", "memory")["used_memory"])
            refused = 0
            with server.configured(maxmemory=str(used + 2_000_000)):
                for number in range(100, 1100):
                    session = a_session(number, subject=f"subject-{number % 7}", claims={"large": "x" * 10_000})
                    try:
                        await store.create_session(session, max_sessions=20, now=T0)
                    except StoreFullError:
                        refused += 1
                        assert await store.read_session(REALM, session.id) is None
            assert 0 < refused < 1000

    asyncio.run(scenario())
