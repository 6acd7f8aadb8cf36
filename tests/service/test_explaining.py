"""What a witness sees over a remote store: the same decision as the next check, what that rests on, and no trace."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from frontdesk.core.explanation import Fact
from frontdesk.core.sessions import CredentialKind, SessionPolicy
from frontdesk.errors import Refusal, StoreError
from frontdesk.service.authenticate import Authenticated
from frontdesk.service.bounded import BoundedAuthenticator
from frontdesk.stores.memory import MemoryStore
from tests.service.test_bounded import KINDS, Node, heard, nodes, run, sign_in

Situation = Callable[[Node, Node, str, str], Awaitable[None]]


async def _first(one: Node, other: Node, token: str, session_id: str) -> None:
    pass


async def _again(one: Node, other: Node, token: str, session_id: str) -> None:
    await other.check(token)


async def _ended(one: Node, other: Node, token: str, session_id: str) -> None:
    await other.check(token)
    await one.desk.end(session_id, reason="revoked")
    await heard(other)


async def _ended_unheard(one: Node, other: Node, token: str, session_id: str) -> None:
    await other.check(token)
    other.store.silent = True
    await one.desk.end(session_id, reason="revoked")


async def _ended_and_stale(one: Node, other: Node, token: str, session_id: str) -> None:
    await _ended_unheard(one, other, token, session_id)
    other.boot += 6.0


async def _stale(one: Node, other: Node, token: str, session_id: str) -> None:
    await other.check(token)
    other.store.silent = True
    other.boot += 6.0


async def _away_and_stale(one: Node, other: Node, token: str, session_id: str) -> None:
    await other.check(token)
    other.store.away = True
    other.boot += 6.0


async def _away_and_fresh(one: Node, other: Node, token: str, session_id: str) -> None:
    await other.check(token)
    other.store.away = True


async def _changed(one: Node, other: Node, token: str, session_id: str) -> None:
    await other.check(token)
    await one.desk.update("alice", roles={"teller"})
    await heard(other)


async def _everybody(one: Node, other: Node, token: str, session_id: str) -> None:
    await one.desk.end_everyone()
    await heard(other)


async def _key_given_up(one: Node, other: Node, token: str, session_id: str) -> None:
    await other.check(token)
    for key in one.desk.keys.stored:
        await one.desk.give_up_key(key.id)
    await heard(other)


async def _new_key(one: Node, other: Node, token: str, session_id: str) -> None:
    for key in one.desk.keys.stored:
        await one.desk.give_up_key(key.id)


async def _idle(one: Node, other: Node, token: str, session_id: str) -> None:
    other.desk.time.advance(timedelta(days=8))


async def _row_lost(one: Node, other: Node, token: str, session_id: str) -> None:
    await one.desk.end(session_id, reason="revoked")
    await heard(other)
    inner = other.store.inner
    assert isinstance(inner, MemoryStore)
    inner._sessions.clear()


SITUATIONS: tuple[Situation, ...] = (
    _first, _again, _ended, _ended_unheard, _ended_and_stale, _stale, _away_and_stale, _away_and_fresh, _changed,
    _everybody, _key_given_up, _new_key, _idle, _row_lost,
)  # fmt: skip


async def _code(outcome: Awaitable[Authenticated | Refusal]) -> str:
    try:
        said = await outcome
    except StoreError:
        return "store_unavailable"
    return said.code if isinstance(said, Refusal) else "allowed"


async def _looked(node: Node, token: str) -> Authenticated | Refusal:
    return (await node.desk.witness.look(token.encode(), "bearer")).outcome


def traces(node: Node) -> Any:
    """What a use would leave behind on the node and in the store."""
    authenticator = node.desk._authenticator
    assert isinstance(authenticator, BoundedAuthenticator)
    inner = node.store.inner
    assert isinstance(inner, MemoryStore)
    counts = authenticator.counts
    return (
        sorted(authenticator._memory._held),
        dict(authenticator._touches._seen),
        dict(inner._sessions),
        len(inner._log),
        (counts.local, counts.asked, counts.stale),
        len(node.desk.events),
    )


@pytest.mark.parametrize("credential", KINDS)
@pytest.mark.parametrize("freshness", ["bounded", "strict"])
@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda each: each.__name__.strip("_"))
def test_a_look_comes_to_what_the_next_check_comes_to_and_leaves_no_trace(
    credential: CredentialKind, freshness: Any, situation: Situation
) -> None:
    async def scenario() -> None:
        async with nodes(freshness=freshness) as (one, other):
            token, session_id = await sign_in(one.desk, credential)
            await situation(one, other, token, session_id)
            before = traces(other)
            told = await _code(_looked(other, token))
            assert traces(other) == before
            assert told == await _code(other.check(token))

    run(scenario)


async def _facts(node: Node, token: str) -> dict[str, Fact]:
    return {each.code: each for each in (await node.desk.witness.look(token.encode(), "bearer")).facts}


@pytest.mark.parametrize(("credential", "source"), [("session", "memory"), ("jwt", "claims"), ("jwe", "claims")])
def test_the_facts_say_what_answered(credential: CredentialKind, source: str) -> None:
    async def scenario() -> None:
        async with nodes() as (one, other):
            token, _ = await sign_in(one.desk, credential)
            first = await _facts(other, token)
            assert first["answered_from"].values["source"] == ("store" if credential == "session" else "claims")
            await other.check(token)
            again = await _facts(other, token)
            assert again["answered_from"].values["source"] == source
            assert again["freshness"].values["in_force"] == "bounded"
            assert again["revocation_index"].values == {"entries": 0, "ends_it": False}

    run(scenario)


def test_what_is_too_old_is_not_believed_and_the_facts_say_so() -> None:
    async def scenario() -> None:
        async with nodes() as (one, other):
            token, _ = await sign_in(one.desk, "session")
            await _stale(one, other, token, "")
            facts = await _facts(other, token)
            assert facts["freshness"].values == {"in_force": "strict", "lag": 6.0, "bound": 5.0, "stale": True}
            assert facts["answered_from"].values["source"] == "store"

    run(scenario)


def test_an_entry_that_the_store_has_lost_is_named() -> None:
    async def scenario() -> None:
        async with nodes(1) as (node,):
            token, session_id = await sign_in(node.desk, "session")
            row = await node.store.inner.read_session("default", session_id)
            await node.desk.end(session_id, reason="revoked")
            inner = node.store.inner
            assert isinstance(inner, MemoryStore)
            assert row is not None
            inner._commit(inner._session_changes((row,)))
            told = await node.desk.explain(token.encode(), "bearer")
            assert told.code == "session_ended"
            assert told.deciding is not None
            assert told.deciding.code == "session_revoked"

    run(scenario)


def test_a_use_that_is_not_written_yet_counts_for_the_idle_limit() -> None:
    async def scenario() -> None:
        policy = SessionPolicy(idle=timedelta(hours=1), touch_every=timedelta(0))
        async with nodes(1, sessions=policy) as (node,):
            token, _ = await sign_in(node.desk, "session")
            for _ in range(3):
                node.desk.time.advance(timedelta(minutes=50))
                told = await _code(_looked(node, token))
                assert told == await _code(node.check(token)) == "allowed"

    run(scenario)


@pytest.mark.parametrize(("credential", "token_code"), [("jwt", "signature_invalid"), ("jwe", "decryption_failed")])
def test_the_rule_that_an_access_token_breaks_is_named(credential: CredentialKind, token_code: str) -> None:
    async def scenario() -> None:
        async with nodes(1) as (node,):
            token, _ = await sign_in(node.desk, credential)
            facts = await _facts(node, token[:-4] + "AAAA")
            assert facts["credential_not_authentic"].values["token_code"] == token_code
            assert "session_found" not in facts

    run(scenario)
