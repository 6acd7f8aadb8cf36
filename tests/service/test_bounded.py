"""Requests over a remote store: what a node answers by itself, when it asks, and when it says neither yes nor no."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from frontdesk.clock import AdjustableClock
from frontdesk.core.sessions import CredentialKind, SessionPolicy
from frontdesk.errors import Refusal, StoreError
from frontdesk.service.authenticate import Authenticated
from frontdesk.service.desk import Desk
from frontdesk.service.settings import DeskSettings
from frontdesk.service.sign_in import Grant, Signed, SignInOptions
from frontdesk.stores.memory import MemoryStore
from frontdesk.stores.protocol import ASK, Ask
from frontdesk.testing import SlowStore
from tests.service.desks import TestDesk

KINDS: tuple[CredentialKind, ...] = ("session", "jwt", "jwe")


class CountingStore(SlowStore):
    """A remote store that can go away, and that knows how often it was asked what."""

    def __init__(self, inner: MemoryStore) -> None:
        super().__init__(inner)
        self.asked: list[str] = []
        self.away = False
        self.silent = False
        """Whether the log is not to be had, while everything else is."""

    async def _slowly(self, call: Callable[[], Awaitable[Any]]) -> Any:
        if self.away:
            raise StoreError("away")
        return await super()._slowly(call)

    async def read_session(self, realm: str, session_id: str) -> Any:
        self.asked.append("session")
        return await super().read_session(realm, session_id)

    async def keys_version(self, realm: str) -> int:
        self.asked.append("keys")
        return await super().keys_version(realm)

    async def poll(self, *args: Any, **options: Any) -> Any:
        page = await super().poll(*args, **options)
        if self.silent or self.away:
            raise StoreError("no log")
        return page


class Node:
    """A desk on a machine whose clocks are moved by hand."""

    def __init__(self, inner: MemoryStore, clock: AdjustableClock, **settings: Any) -> None:
        self.boot = 100.0
        self.store = CountingStore(inner)
        self.desk = TestDesk(self.store, DeskSettings(**settings), clock=clock)
        follower = self.desk.follower
        assert follower is not None
        self.follower = follower
        follower._boot = follower._wall = follower._unhurried._boot = lambda: self.boot

    async def check(self, token: str) -> Authenticated | Refusal:
        return await self.desk.authenticate(token.encode(), "bearer")

    def now(self, token: str) -> Authenticated | Refusal | Ask:
        return self.desk.authenticate_now(token.encode(), "bearer")


@asynccontextmanager
async def nodes(count: int = 2, **settings: Any) -> AsyncIterator[list[Node]]:
    inner, clock = MemoryStore(), AdjustableClock()
    made = [Node(inner, clock, **settings) for _ in range(count)]
    for node in made:
        await node.desk.open()
    try:
        yield made
    finally:
        for node in made:
            node.store.away = node.store.silent = False
            await inner.open()
            await node.desk.close()


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def play() -> None:
        async with asyncio.timeout(20):
            await scenario()

    asyncio.run(play())


async def sign_in(desk: Desk, credential: CredentialKind, subject: str = "alice", **grant: Any) -> tuple[str, str]:
    """A bearer credential and the id of its session."""
    options = SignInOptions(credential=credential, transport="bearer")
    signed = await desk.sign_in(Grant(subject=subject, **grant), options=options)
    assert isinstance(signed, Signed)
    token = signed.session_token or (signed.access_token.text if signed.access_token else "")
    return token, signed.session.id


def yes(outcome: object) -> Authenticated:
    assert isinstance(outcome, Authenticated), outcome
    return outcome


async def heard(node: Node) -> None:
    """Until the node has read the log that it is told of in the background."""
    await node.follower.catch_up()


@pytest.mark.parametrize("credential", KINDS)
def test_after_a_first_look_no_request_asks_the_store(credential: CredentialKind) -> None:
    async def scenario() -> None:
        async with nodes() as (one, other):
            token, _ = await sign_in(one.desk, credential)
            yes(await other.check(token))
            other.store.asked.clear()
            for _ in range(50):
                assert yes(other.now(token)).principal.subject == "alice"
            assert other.store.asked == []

    run(scenario)


@pytest.mark.parametrize("credential", ["jwt", "jwe"])
def test_an_access_token_needs_no_look_at_all(credential: CredentialKind) -> None:
    async def scenario() -> None:
        async with nodes(1) as (node,):
            token, _ = await sign_in(node.desk, credential, roles={"teller"}, scope={"money"}, claims={"team": "blue"})
            node.store.asked.clear()
            principal = yes(node.now(token)).principal
            assert node.store.asked == []
            assert sorted(principal.roles) == ["teller"]
            assert sorted(principal.scope) == ["money"]
            assert dict(principal.claims) == {"team": "blue"}
            strictly = yes(await node.desk.authenticate(token.encode(), "bearer", strict=True))
            assert strictly.session is not None
            assert strictly.principal == principal

    run(scenario)


@pytest.mark.parametrize("credential", KINDS)
@pytest.mark.parametrize("ended", ["session", "subject", "all"])
def test_what_one_node_ended_the_other_refuses_once_it_has_heard(credential: CredentialKind, ended: str) -> None:
    async def scenario() -> None:
        async with nodes() as (one, other):
            token, session_id = await sign_in(one.desk, credential)
            bystander, _ = await sign_in(one.desk, credential, "bob")
            for each in (token, bystander):
                yes(await one.check(each))
                yes(await other.check(each))
            if ended == "session":
                assert await one.desk.end(session_id, reason="signed_out")
            elif ended == "subject":
                await one.desk.end_all("alice")
            else:
                await one.desk.end_everyone()
            assert one.now(token) is ASK, "the node that ended it knows at once"
            assert await one.check(token) == Refusal("session_ended")
            await heard(other)
            assert other.now(token) is ASK
            assert await other.check(token) == Refusal("session_ended")
            if ended != "all":
                yes(other.now(bystander))

    run(scenario)


@pytest.mark.parametrize("credential", ["jwt", "jwe"])
def test_a_key_that_was_given_up_is_refused_by_every_node_that_has_heard(credential: CredentialKind) -> None:
    async def scenario() -> None:
        async with nodes() as (one, other):
            token, _ = await sign_in(one.desk, credential)
            yes(other.now(token))
            for key in one.desk.keys.stored:
                await one.desk.give_up_key(key.id)
            await heard(other)
            assert other.now(token) is ASK
            refused = await other.check(token)
            assert isinstance(refused, Refusal)
            assert refused.code == "credential_invalid"

    run(scenario)


@pytest.mark.parametrize("credential", KINDS)
def test_changed_rights_count_on_every_node_that_has_heard(credential: CredentialKind) -> None:
    async def scenario() -> None:
        async with nodes() as (one, other):
            token, _ = await sign_in(one.desk, credential, roles={"admin"})
            assert yes(await other.check(token)).principal.roles == {"admin"}
            await one.desk.update("alice", roles={"teller"})
            assert yes(await one.check(token)).principal.roles == {"teller"}
            await heard(other)
            assert yes(await other.check(token)).principal.roles == {"teller"}
            other.store.asked.clear()
            assert yes(other.now(token)).principal.roles == {"teller"}, "the row is remembered like any other"
            assert other.store.asked == []
            await one.desk.update("alice", roles=())
            await heard(other)
            assert yes(await other.check(token)).principal.roles == frozenset()

    run(scenario)


@pytest.mark.parametrize("credential", KINDS)
def test_beyond_the_bound_the_store_is_asked_on_each_request_and_a_revocation_counts(
    credential: CredentialKind,
) -> None:
    async def scenario() -> None:
        async with nodes() as (one, other):
            token, session_id = await sign_in(one.desk, credential)
            yes(await other.check(token))
            other.store.silent = True
            await one.desk.end(session_id, reason="revoked")
            other.boot += 5.0
            yes(other.now(token))  # within the bound: what the promise allows
            other.boot += 0.001
            assert other.now(token) is ASK
            other.store.silent = True
            assert await _refused_or_away(other, token) == "session_ended"

    run(scenario)


async def _refused_or_away(node: Node, token: str) -> str:
    outcome = await node.check(token)
    assert isinstance(outcome, Refusal)
    return outcome.code


@pytest.mark.parametrize("credential", KINDS)
def test_a_store_that_cannot_be_asked_is_a_fault_beyond_the_bound_and_harms_nobody_within(
    credential: CredentialKind,
) -> None:
    async def scenario() -> None:
        async with nodes(1) as (node,):
            token, _ = await sign_in(node.desk, credential)
            yes(await node.check(token))
            node.store.away = True
            node.boot += 5.0
            yes(await node.check(token))
            node.boot += 0.001
            with pytest.raises(StoreError):
                await node.check(token)
            node.store.away = False
            yes(await node.check(token))

    run(scenario)


def test_a_node_that_was_asleep_believes_nothing_until_it_has_read_the_log() -> None:
    async def scenario() -> None:
        async with nodes() as (one, other):
            token, session_id = await sign_in(one.desk, "jwt")
            yes(other.now(token))
            other.store.away = True  # as if stopped: its background task hears nothing
            await one.desk.end(session_id, reason="revoked")
            other.boot += 3600
            assert other.now(token) is ASK

    run(scenario)


def test_trusting_stale_state_is_asked_for_by_name() -> None:
    async def scenario() -> None:
        async with nodes(1, insecure_trust_stale=True) as (node,):
            token, _ = await sign_in(node.desk, "session")
            yes(await node.check(token))
            node.store.away = True
            node.boot += 1e6
            yes(node.now(token))

    run(scenario)


@pytest.mark.parametrize("credential", KINDS)
def test_strict_asks_on_each_request(credential: CredentialKind) -> None:
    async def scenario() -> None:
        async with nodes(freshness="strict") as (one, other):
            token, session_id = await sign_in(one.desk, credential)
            for _ in range(3):
                assert other.now(token) is ASK
                other.store.asked.clear()
                yes(await other.check(token))
                assert other.store.asked.count("session") == 1
            await one.desk.end(session_id, reason="signed_out")
            assert await other.check(token) == Refusal("session_ended")

    run(scenario)


def test_a_crowd_with_one_session_asks_once() -> None:
    async def scenario() -> None:
        async with nodes() as (one, other):
            token, _ = await sign_in(one.desk, "session")
            other.store.asked.clear()
            outcomes = await asyncio.gather(*(other.check(token) for _ in range(100)))
            assert all(isinstance(each, Authenticated) for each in outcomes)
            assert other.store.asked == ["session"]

    run(scenario)


def test_garbage_costs_the_store_nothing() -> None:
    async def scenario() -> None:
        async with nodes(1) as (node,):
            node.store.asked.clear()
            for token in ("fds_x", "fdr_y", "a.b.c", "", "fds_" + "A" * 88, "x" * 5000):
                outcome = node.now(token)
                assert isinstance(outcome, Refusal) or token.startswith("fds_A"), token
            assert node.store.asked == []

    run(scenario)


def test_a_row_that_arrives_after_its_revocation_is_not_believed() -> None:
    async def scenario() -> None:
        async with nodes() as (one, other):
            token, session_id = await sign_in(one.desk, "session")
            sent, arrive = asyncio.Event(), asyncio.Event()
            read = other.store.read_session

            async def late(realm: str, wanted: str) -> Any:
                row = await read(realm, wanted)
                sent.set()
                await arrive.wait()
                return row

            other.store.read_session = late  # type: ignore[assignment,method-assign]
            asking = asyncio.create_task(other.check(token))
            await sent.wait()
            await one.desk.end(session_id, reason="revoked")
            await heard(other)
            arrive.set()
            assert await asking == Refusal("session_ended")
            other.store.read_session = read  # type: ignore[method-assign]
            assert other.now(token) is ASK
            assert await other.check(token) == Refusal("session_ended")

    run(scenario)


def test_what_a_node_knows_counts_against_a_store_that_has_lost_it() -> None:
    async def scenario() -> None:
        async with nodes(1) as (node,):
            token, session_id = await sign_in(node.desk, "session")
            row = await node.store.inner.read_session("default", session_id)
            await node.desk.end(session_id, reason="revoked")
            inner = node.store.inner
            assert isinstance(inner, MemoryStore)
            assert row is not None
            inner._commit(inner._session_changes((row,)))  # the end is lost, and its entry as well
            inner._log.clear()
            assert await node.check(token) == Refusal("session_ended")
            await inner.renew_history()
            await heard(node)
            lost = await inner.read_session("default", session_id)
            assert lost is not None
            assert lost.ended_at is not None, "the store was told again"

    run(scenario)


def test_a_remembered_row_is_forgotten_before_the_index_forgets_what_ended_it() -> None:
    async def scenario() -> None:
        async with nodes() as (one, other):
            token, session_id = await sign_in(one.desk, "session")
            yes(await other.check(token))
            await one.desk.end(session_id, reason="revoked")
            await heard(other)
            other.desk.time.advance(timedelta(hours=3))
            for _ in range(3):
                other.boot += 3600
                await heard(other)
            assert len(other.follower.index) == 0
            assert await other.check(token) == Refusal("session_ended")

    run(scenario)


def test_claims_that_could_be_changed_are_handed_out_as_copies() -> None:
    async def scenario() -> None:
        async with nodes(1) as (node,):
            for credential in KINDS:
                token, _ = await sign_in(node.desk, credential, claims={"may": {"read": ["a"]}})
                first = yes(await node.check(token)).principal
                first.claims["may"]["read"].append("everything")
                assert yes(await node.check(token)).principal.claims["may"] == {"read": ["a"]}
                with pytest.raises(TypeError):
                    first.claims["may"] = {}  # type: ignore[index]

    run(scenario)


@pytest.mark.parametrize("credential", KINDS)
def test_the_last_use_is_recorded_at_most_once_a_minute_and_in_one_call(credential: CredentialKind) -> None:
    async def scenario() -> None:
        async with nodes(1) as (node,):
            token, session_id = await sign_in(node.desk, credential)
            begun = node.desk.time.now()
            yes(await node.check(token))
            for seconds in (30, 29, 1, 59):
                node.desk.time.advance(timedelta(seconds=seconds))
                yes(await node.check(token))
            await node.desk._authenticator.settle()
            row = await node.store.inner.read_session("default", session_id)
            assert row is not None
            assert row.last_seen_at == begun + timedelta(seconds=60)

    run(scenario)


def test_a_session_used_a_moment_ago_is_not_idle_though_that_is_not_written_yet() -> None:
    async def scenario() -> None:
        policy = SessionPolicy(idle=timedelta(hours=1), touch_every=timedelta(0))
        async with nodes(1, sessions=policy) as (node,):
            token, _ = await sign_in(node.desk, "session")
            for _ in range(4):
                node.desk.time.advance(timedelta(minutes=50))
                yes(await node.check(token))
            node.desk.time.advance(timedelta(minutes=60))
            assert await node.check(token) == Refusal("session_idle")

    run(scenario)


@pytest.mark.parametrize("idle", [10, 29, 30])
def test_an_access_token_does_not_outlive_a_session_that_is_idle_first(idle: int) -> None:
    async def scenario() -> None:
        policy = SessionPolicy(idle=timedelta(minutes=idle), access_token=timedelta(minutes=15))
        async with nodes(1, sessions=policy) as (node,):
            token, _ = await sign_in(node.desk, "jwt")
            assert (node.now(token) is ASK) == (idle < 30)
            node.desk.time.advance(timedelta(minutes=14))
            outcome = await node.check(token)
            assert outcome == Refusal("session_idle") if idle == 10 else isinstance(outcome, Authenticated)

    run(scenario)


@pytest.mark.parametrize("credential", KINDS)
def test_the_other_envelope_is_refused_from_memory_and_from_the_store(credential: CredentialKind) -> None:
    async def scenario() -> None:
        async with nodes(1) as (node,):
            token, _ = await sign_in(node.desk, credential)
            for _ in range(2):
                outcome = await node.desk.authenticate(token.encode(), "cookie")
                assert isinstance(outcome, Refusal)
                assert outcome.code == "transport_mismatch"
                yes(await node.check(token))

    run(scenario)


def test_counts_tell_what_was_answered_here_and_what_was_asked() -> None:
    async def scenario() -> None:
        async with nodes(1) as (node,):
            token, _ = await sign_in(node.desk, "session")
            counts = node.desk.counts
            yes(await node.check(token))
            assert (counts.local, counts.asked, counts.stale) == (0, 1, 0)
            yes(node.now(token))
            assert (counts.local, counts.asked, counts.stale) == (1, 1, 0)
            node.store.silent = True
            node.boot += 6
            yes(await node.check(token))
            assert (counts.local, counts.asked, counts.stale) == (1, 2, 1)

    run(scenario)
