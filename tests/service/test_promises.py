"""Promises about nodes, stores that lose something, keys and last uses, each once found broken."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pytest

from frontdesk.clock import AdjustableClock
from frontdesk.core.revocation import Entry, RevocationIndex
from frontdesk.core.sessions import CredentialKind, SessionPolicy
from frontdesk.errors import Refusal, StoreError
from frontdesk.service.refresh import Refreshed
from frontdesk.service.sign_in import Grant, Signed, SignInOptions
from frontdesk.service.touches import Touches
from frontdesk.stores.memory import MemoryStore
from frontdesk.stores.protocol import NO_TIME
from tests.service.desks import TestDesk
from tests.service.test_bounded import Node, nodes, run, sign_in, yes
from tests.verifier.test_follow import Log, Timers, entry, make

T0 = AdjustableClock().now()


def copy_of(node: Node) -> dict[str, Any]:
    """What the store holds at this moment."""
    mine = {name: value for name, value in vars(store_of(node)).items() if name not in {"_lock", "_bell", "_open"}}
    return copy.deepcopy(mine)


def store_of(node: Node) -> MemoryStore:
    inner = node.store.inner
    assert isinstance(inner, MemoryStore)
    return inner


def put_back(node: Node, copied: Mapping[str, Any]) -> None:
    """The store is as it was; its history has another name, as after a fail-over."""
    vars(store_of(node)).update(copied)
    store_of(node)._meta["history"] = "another"


def meanwhile(node: Node, operation: str, event: Callable[[], Awaitable[None]]) -> None:
    """The next time that the store is asked for this, `event` happens before it answers."""
    ask = getattr(node.store, operation)

    async def slowly(*arguments: Any, **named: Any) -> Any:
        setattr(node.store, operation, ask)
        outcome = await ask(*arguments, **named)
        await event()
        return outcome

    setattr(node.store, operation, slowly)


# --- following ------------------------------------------------------------------------------------------------


def test_a_poll_that_lands_while_the_log_is_told_again_makes_nobody_fresh() -> None:
    """One poll finds that the head went back, and appends again; meanwhile another, behind the old cursor, lands.

    Until the log was read from its beginning nothing local is to be believed.
    """

    async def scenario() -> None:
        log, timers = Log(), Timers()
        log.entries = [entry(number) for number in range(1, 6)]
        held, told = asyncio.Event(), asyncio.Event()

        async def append_again(entries: Sequence[Entry], now: datetime) -> int:
            count = await log.append_again(entries, now)
            held.set()
            await told.wait()
            return count

        follower = make(log, timers, append_again=append_again)
        await follower.catch_up()
        # A copy is put back, and somebody revokes under a number that this node has read already.
        log.entries = [entry(1), entry(2, "stranger")]
        first = asyncio.create_task(follower.catch_up())
        await held.wait()
        assert not follower.is_fresh()
        await follower._advance(NO_TIME)  # what follows in the background
        meanwhile = follower.is_fresh()
        log.failing = True  # now the source is away
        told.set()
        with suppress(StoreError):
            await first
        assert (meanwhile, follower.is_fresh()) == (False, False)

    run(scenario)


def test_rights_that_were_read_before_the_log_began_anew_are_not_kept_beyond_it() -> None:
    """A row on its way while the log begins anew carries a cursor of the old numbers, which are higher."""

    async def scenario() -> None:
        async with nodes(2) as (one, other):
            token, _ = await sign_in(one.desk, "session", roles={"admin"})
            for _ in range(5):
                _, session_id = await sign_in(one.desk, "session", subject="bob")
                await one.desk.end(session_id, reason="revoked")
            await other.follower.catch_up()
            await other.follower.stop()
            read, release = asyncio.Event(), asyncio.Event()
            ask = other.store.read_session

            async def slowly(realm: str, session_id: str) -> Any:
                row = await ask(realm, session_id)
                read.set()
                await release.wait()
                return row

            other.store.read_session = slowly  # type: ignore[method-assign]
            late = asyncio.create_task(other.check(token))
            await read.wait()
            store_of(one)._meta["history"] = "another"
            store_of(one)._log.clear()
            store_of(one)._last_number = 0
            other.follower._append_again = None  # it has nothing to tell: it started a moment ago
            await other.follower.catch_up()
            now = one.desk.clock.now()
            await one.store.update_subject("default", "alice", roles=(), scope=None, claims=None, now=now)
            await other.follower.catch_up()
            release.set()
            await late
            other.store.read_session = ask  # type: ignore[method-assign]
            assert yes(await other.check(token)).principal.roles == frozenset()

    run(scenario)


def test_one_subject_that_is_signed_out_again_and_again_takes_the_room_of_one() -> None:
    index = RevocationIndex("r")
    for number in range(1, 5_001):
        said = entry(number, "alice", "subject", epoch=number)
        index.apply([said])
    assert len(index) == 1
    assert sum(len(due) for due in index._due.values()) < 100


# --- what the store lost, and this node knows -----------------------------------------------------------------


def test_what_a_node_knows_to_have_ended_is_not_refreshed_by_it() -> None:
    """docs/revocation.md: "What its own index holds stays refused throughout."."""

    async def scenario() -> None:
        async with nodes(1) as (node,):
            signed = await node.desk.sign_in(
                Grant(subject="alice"), options=SignInOptions(credential="jwt", transport="bearer")
            )
            assert isinstance(signed, Signed)
            assert signed.refresh_token is not None
            await node.follower.stop()  # between two polls
            before = copy_of(node)
            await node.desk.end(signed.session.id, reason="revoked")
            put_back(node, before)
            assert isinstance(await node.desk.refresh(signed.refresh_token.encode(), "body"), Refusal)

    run(scenario)


def test_whoever_signs_in_after_a_revocation_that_was_lost_stays_signed_in() -> None:
    """Refused, or told to try again, would do as well; a session that is granted and ended at once does not."""

    async def scenario() -> None:
        async with nodes(1) as (node,):
            await sign_in(node.desk, "session")
            await node.follower.stop()
            before = copy_of(node)
            await node.desk.end_all("alice")
            put_back(node, before)
            options = SignInOptions(credential="session", transport="bearer")
            try:
                signed = await node.desk.sign_in(Grant(subject="alice"), options=options)
            except StoreError:
                return
            if isinstance(signed, Refusal):
                return
            assert signed.session_token is not None
            await node.follower.catch_up()
            yes(await node.check(signed.session_token))

    run(scenario)


def test_no_node_signs_with_a_key_that_the_store_has_lost() -> None:
    """Told again of the key that was given up, the store reaches a version of its keys for the second time."""

    async def scenario() -> None:
        async with nodes(2) as (one, other):
            await sign_in(one.desk, "jwt")
            for node in (one, other):
                await node.follower.stop()
            before = copy_of(one)
            await one.desk.give_up_key(one.desk.keys.signing.kid)
            put_back(one, before)
            for node in (one, other):
                await node.follower.catch_up()
            try:
                token, _ = await sign_in(one.desk, "jwt")
            except StoreError:
                return  # 503: to be tried again
            yes(await other.check(token))

    run(scenario)


def test_a_node_takes_over_keys_although_their_version_went_back() -> None:
    async def scenario() -> None:
        async with nodes(2) as (one, other):
            await sign_in(one.desk, "jwt")
            for node in (one, other):
                await node.follower.stop()
            before = copy_of(one)
            for _ in range(4):
                done = await one.desk.rotate_keys(at_once=True)
                assert done.makes
                for coming in [key for key in one.desk.keys.stored if key.state == "next"]:
                    await one.desk.give_up_key(coming.id)
            put_back(one, before)
            for node in (one, other):
                await node.follower.catch_up()
            await other.desk.give_up_key(other.desk.keys.signing.kid)
            token, _ = await sign_in(other.desk, "jwt")
            yes(await one.check(token))

    run(scenario)


def test_a_given_up_key_is_refused_although_a_copy_of_the_store_was_put_back_before() -> None:
    """Two processes over a store that is asked about each request. docs/revocation.md lets servers run on meanwhile."""

    async def scenario() -> None:
        inner, clock = MemoryStore(), AdjustableClock()
        one, other = TestDesk(inner, clock=clock), TestDesk(inner, clock=clock)
        for desk in (one, other):
            await desk.open()
        token, _ = await sign_in(one, "jwt")
        stolen = one.keys.signing.kid
        copied = {name: copy.deepcopy(getattr(inner, name)) for name in ("_keys", "_keys_versions")}
        for _ in range(4):
            await one.rotate_keys(at_once=True)
            for coming in [key for key in one.keys.stored if key.state == "next"]:
                await one.give_up_key(coming.id)
        vars(inner).update(copied)
        assert (await other.give_up_key(stolen)).moves
        assert isinstance(await one.authenticate(token.encode(), "bearer"), Refusal)
        for desk in (one, other):
            await desk.close()

    run(scenario)


def test_access_tokens_are_issued_at_once_although_a_given_up_key_came_back() -> None:
    """The key that took over was lost with the rest; the one that came back is given up again. One must sign."""

    async def scenario() -> None:
        async with nodes(2) as (one, other):
            await sign_in(other.desk, "jwt")
            for node in (one, other):
                await node.follower.stop()
            before = copy_of(one)
            await one.desk.give_up_key(one.desk.keys.signing.kid)
            put_back(one, before)
            for node in (one, other):
                await node.follower.catch_up()
            await sign_in(other.desk, "jwt")

    run(scenario)


@pytest.mark.parametrize("credential", ["jwt", "jwe"])
def test_a_session_whose_sign_in_was_lost_is_over_once_a_node_has_said_so(credential: CredentialKind) -> None:
    """A node that must ask the store finds no row; one that may believe the access token would go on granting."""

    async def scenario() -> None:
        async with nodes(2) as (one, other):
            await sign_in(one.desk, credential)
            before = copy_of(one)
            token, _ = await sign_in(one.desk, credential)
            put_back(one, before)
            await one.follower.catch_up()
            await other.follower.stop()
            await other.follower.catch_up()
            yes(one.now(token))
            assert await other.desk.authenticate(token.encode(), "bearer", strict=True) == Refusal("session_ended")
            for node in (one, other):
                await node.follower.catch_up()
                assert await node.check(token) == Refusal("session_ended")

    run(scenario)


@pytest.mark.parametrize("credential", ["jwt", "jwe"])
def test_who_signs_out_of_a_session_whose_sign_in_was_lost_is_signed_out(credential: CredentialKind) -> None:
    async def scenario() -> None:
        async with nodes(2) as (one, other):
            await sign_in(one.desk, credential)
            before = copy_of(one)
            token, _ = await sign_in(one.desk, credential)
            put_back(one, before)
            for node in (one, other):
                await node.follower.catch_up()
            yes(other.now(token))
            assert await one.desk.sign_out(token.encode(), "bearer") == Refusal("session_ended")
            assert await one.check(token) == Refusal("session_ended")
            await other.follower.catch_up()
            assert await other.check(token) == Refusal("session_ended")

    run(scenario)


@pytest.mark.parametrize("credential", ["jwt", "jwe"])
def test_a_key_that_is_given_up_while_the_store_decides_spoils_no_sign_in_and_no_refresh(
    credential: CredentialKind,
) -> None:
    """The log may tell it between the look at the keys and the making of the token, which is then made by another."""

    async def scenario() -> None:
        async with nodes(2) as (one, other):

            async def give_up() -> None:
                for key in one.desk.keys.stored:
                    await one.desk.give_up_key(key.id)
                await other.follower.catch_up()

            meanwhile(other, "create_session", give_up)
            options = SignInOptions(credential=credential, transport="bearer")
            signed = await other.desk.sign_in(Grant(subject="alice"), options=options)
            assert isinstance(signed, Signed)
            assert signed.access_token is not None
            assert signed.refresh_token is not None
            yes(await one.check(signed.access_token.text))
            meanwhile(other, "rotate", give_up)
            refreshed = await other.desk.refresh(signed.refresh_token.encode(), "body")
            assert isinstance(refreshed, Refreshed)
            yes(await one.check(refreshed.access_token.text))
            await give_up()
            assert await other.desk.update("alice", roles={"admin"}) == 1

    run(scenario)


@pytest.mark.parametrize("credential", ["jwt", "jwe"])
def test_a_node_that_has_no_key_says_that_nothing_can_be_decided(credential: CredentialKind) -> None:
    """The store shows a key as good that this node knows to be given up: until it is told again, nobody can sign."""

    async def scenario() -> None:
        async with nodes(1) as (node,):
            await sign_in(node.desk, credential)
            await node.follower.stop()
            before = copy_of(node)
            for key in node.desk.keys.stored:
                await node.desk.give_up_key(key.id)
            put_back(node, before)
            node.desk.keys.doubt()
            with pytest.raises(StoreError):
                await sign_in(node.desk, credential)

    run(scenario)


def test_giving_up_a_key_ends_although_the_store_has_other_keys_of_the_same_version() -> None:
    async def scenario() -> None:
        async with nodes(2) as (one, other):
            await sign_in(one.desk, "jwt")
            for node in (one, other):
                await node.follower.stop()
            before, lost = copy_of(one), one.desk.keys.signing.kid
            await one.desk.give_up_key(lost)
            mine = one.desk.keys.signing.kid
            put_back(one, before)
            await other.desk.give_up_key(lost)
            async with asyncio.timeout(5):
                assert not await one.desk.keys.give_up(mine, T0)
            assert one.desk.keys.signing.kid == other.desk.keys.signing.kid

    run(scenario)


# --- the last use of sessions ---------------------------------------------------------------------------------


def test_a_use_that_is_being_written_counts_as_written() -> None:
    """`write` is asked before a session is refused as idle; a batch that is on its way holds uses, too."""

    async def scenario() -> None:
        asked, release = asyncio.Event(), asyncio.Event()

        class Slow(MemoryStore):
            async def touch_sessions(self, realm: str, seen: Mapping[str, datetime], *, every: timedelta) -> int:
                asked.set()
                await release.wait()
                return await super().touch_sessions(realm, seen, every=every)

        store = Slow()
        await store.open()
        touches = Touches(store, "r", every=timedelta(minutes=1), pause=lambda _: asyncio.sleep(0))
        touches.note("s", T0)
        await asked.wait()
        writing = asyncio.create_task(touches.write("s"))
        for _ in range(5):
            await asyncio.sleep(0)
        release.set()
        assert await writing
        await touches.settle()

    run(scenario)


def test_a_session_in_use_outlives_one_write_that_failed() -> None:
    """Two uses within `touch_every` of each other are one recording; when it fails, the later use is lost as well."""

    async def scenario() -> None:
        minute = timedelta(minutes=1)
        policy = SessionPolicy(idle=2 * minute, touch_every=minute, access_token=minute)
        async with nodes(1, sessions=policy) as (node,):
            clock = node.desk.time
            touches = node.desk._authenticator._touches  # type: ignore[attr-defined]
            token, _ = await sign_in(node.desk, "session")
            yes(await node.check(token))
            clock.advance(timedelta(seconds=61))
            yes(node.now(token))
            node.store.away = True
            await touches.settle()
            node.store.away = False
            clock.advance(timedelta(seconds=58))
            yes(node.now(token))
            await touches.settle()
            clock.advance(timedelta(seconds=2))
            yes(await node.check(token))  # used two seconds ago, and a minute ago

    run(scenario)
