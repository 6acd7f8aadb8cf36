"""The keys of access tokens: inserted, moved from state to state by one of many, and removed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import msgspec

from frontdesk.core.keyring import COMPROMISED_KEPT, PUBLISHED_BEFORE, VERIFIES_AFTER, KeyState, Move, plan
from frontdesk.core.revocation import entry_expiry
from frontdesk.stores.protocol import Ask, Store
from frontdesk.testing.suite.harness import (
    REALM,
    T0,
    TICK,
    StoreHarness,
    a_key,
    a_session,
    count,
    create,
    crowd,
    expect,
    log,
    sid,
    with_store,
)

DAY: Final = timedelta(days=1)
LATER: Final = T0 + DAY
PROMOTION: Final = (Move("key-2", "next", "current"), Move("key-1", "current", "old"))


async def _two_keys(store: Store) -> None:
    await store.add_key(a_key(1))
    await store.add_key(a_key(2, state="next"))


async def _states(store: Store, realm: str = REALM) -> dict[str, KeyState]:
    return {key.id: key.state for key in await store.list_keys(realm)}


class KeyRules(StoreHarness):
    """Which keys there are."""

    @with_store
    async def test_every_field_of_a_key_comes_back_and_the_oldest_comes_first(self, store: Store) -> None:
        keys = (
            a_key(1, created_at=T0 + TICK, state="next", algorithm="EdDSA", changed_at=T0 + DAY),
            a_key(2, created_at=T0 - TICK, state="old", sealed=bytes(range(256))),
            a_key(3, created_at=T0, state="compromised", public="\U0001f6ce", sealed=b""),
        )
        for key in keys:
            expect(await store.add_key(key), True)
        expect(await store.list_keys(REALM), (keys[1], keys[2], keys[0]))
        expect(await store.list_keys("other"), ())

    @with_store
    async def test_a_key_id_is_taken_once_in_a_realm(self, store: Store) -> None:
        await store.add_key(a_key(1))
        expect(await store.add_key(a_key(1, sealed=b"other")), False)
        expect(await store.list_keys(REALM), (a_key(1),))
        elsewhere = a_key(1, realm="other")
        expect(await store.add_key(elsewhere, only_if_none_current=True), True)
        expect(await store.list_keys("other"), (elsewhere,))

    @with_store
    async def test_of_fifty_first_keys_exactly_one_becomes_current(self, store: Store) -> None:
        await store.add_key(a_key(99, state="old"))
        async with self.another(store) as other:
            outcomes = await crowd(
                lambda number: (store, other)[number % 2].add_key(a_key(number), only_if_none_current=True)
            )
        expect(count(outcomes, True), 1)
        expect({key.id for key in await store.list_keys(REALM)}, {"key-99", f"key-{outcomes.index(True)}"})


class KeyRotationRules(StoreHarness):
    """Keys change their state together, or not at all."""

    @with_store
    async def test_a_succession_is_one_step_and_says_since_when(self, store: Store) -> None:
        await _two_keys(store)
        expect(await store.rotate_keys(REALM, moves=PROMOTION, now=LATER), True)
        old = msgspec.structs.replace(a_key(1), state="old", changed_at=LATER)
        current = msgspec.structs.replace(a_key(2), state="current", changed_at=LATER)
        expect(await store.list_keys(REALM), (old, current))
        expect(await log(store), ())

    @with_store
    async def test_what_does_not_fit_changes_nothing(self, store: Store) -> None:
        await _two_keys(store)
        before = await store.list_keys(REALM), await store.keys_version(REALM)
        misfits: Sequence[dict[str, Any]] = (
            {"moves": (Move("key-9", "next", "current"),)},
            {"moves": (Move("key-1", "next", "old"),)},
            {"moves": (PROMOTION[0],)},  # two current keys
            {"moves": (*PROMOTION, Move("key-2", "next", "old"))},
            {"new": (a_key(1, state="old"),)},
            {"new": (a_key(3, state="next"),)},  # two next keys
            {"moves": PROMOTION, "new": (a_key(3),)},
            {"moves": PROMOTION, "new": (a_key(2),)},
        )
        for misfit in misfits:
            expect((misfit, await store.rotate_keys(REALM, **misfit, now=LATER)), (misfit, False))
        expect(await store.rotate_keys("other", moves=PROMOTION, now=LATER), False)
        expect((await store.list_keys(REALM), await store.keys_version(REALM)), before)
        expect(await log(store), ())

    @with_store
    async def test_a_compromised_key_gets_an_entry_with_its_successor_in_one_step(self, store: Store) -> None:
        await store.add_key(a_key(1))
        moves = (Move("key-1", "current", "compromised"),)
        expect(await store.rotate_keys(REALM, moves=moves, new=(a_key(2, created_at=LATER),), now=LATER), True)
        expect(await _states(store), {"key-1": "compromised", "key-2": "current"})
        (entry,) = await log(store)
        expect((entry.realm, entry.kind, entry.target, entry.at), (REALM, "key", "key-1", LATER))
        expect(entry.expires_at, entry_expiry(LATER, "key"))
        expect(await store.rotate_keys(REALM, moves=moves, now=LATER), False)
        expect(len(await log(store)), 1)

    @with_store
    async def test_of_fifty_who_apply_one_plan_exactly_one_does(self, store: Store) -> None:
        async with self.another(store) as other:
            await _two_keys(store)
            outcomes = await crowd(
                lambda number: (store, other)[number % 2].rotate_keys(REALM, moves=PROMOTION, now=LATER)
            )
            expect(count(outcomes, True), 1)
            expect(await _states(other), {"key-1": "old", "key-2": "current"})

    @with_store
    async def test_of_fifty_who_make_the_next_key_exactly_one_does(self, store: Store) -> None:
        await store.add_key(a_key(99))
        async with self.another(store) as other:
            outcomes = await crowd(
                lambda number: (store, other)[number % 2].rotate_keys(REALM, new=(a_key(number, state="next"),), now=T0)
            )
            expect(count(outcomes, True), 1)
            expect(await _states(store), {"key-99": "current", f"key-{outcomes.index(True)}": "next"})

    @with_store
    async def test_fifty_who_plan_and_apply_in_any_order_leave_one_current_key(self, store: Store) -> None:
        await store.add_key(a_key(99))

        async def act(number: int) -> bool:
            now = T0 + PUBLISHED_BEFORE * number
            due = plan(await store.list_keys(REALM), now, algorithms=("ES256",), every=30 * DAY, at_once=True)
            new = tuple(a_key(number, state=each.state, created_at=now, changed_at=now) for each in due.makes)
            return await store.rotate_keys(REALM, moves=due.moves, new=new, now=now)

        await crowd(act)
        states = list((await _states(store)).values())
        expect(states.count("current"), 1)
        assert states.count("next") <= 1

    @with_store
    async def test_the_version_moves_with_every_change_and_with_nothing_else(self, store: Store) -> None:
        seen = [await store.keys_version(REALM)]
        elsewhere = await store.keys_version("other")
        await _two_keys(store)
        seen.append(await store.keys_version(REALM))
        await store.rotate_keys(REALM, moves=PROMOTION, now=LATER)
        seen.append(await store.keys_version(REALM))
        await store.rotate_keys(REALM, moves=(Move("key-2", "current", "compromised"),), now=LATER)
        seen.append(await store.keys_version(REALM))
        await store.purge(LATER + VERIFIES_AFTER)
        seen.append(await store.keys_version(REALM))
        expect(seen, sorted(set(seen)))
        await create(store, a_session(1))
        await store.end_session(REALM, sid(1), reason="revoked", now=T0)
        await store.end_subject(REALM, "alice", reason="revoked", now=T0)
        await store.purge(LATER + VERIFIES_AFTER)
        await store.rotate_keys(REALM, moves=PROMOTION, now=LATER)
        expect(await store.keys_version(REALM), seen[-1])
        expect(await store.keys_version("other"), elsewhere)

    @with_store
    async def test_a_peek_at_the_version_after_one_at_a_session_misses_no_change(self, store: Store) -> None:
        await create(store, a_session(1))
        async with self.another(store) as other:
            for number in range(20):
                await other.add_key(a_key(number, state="old"))
                version = await store.keys_version(REALM)
                if isinstance(store.peek_session(REALM, sid(1)), Ask):
                    continue
                peeked = store.peek_keys_version(REALM)
                expect((number, peeked if isinstance(peeked, int) else version), (number, version))

    @with_store
    async def test_a_key_goes_when_no_token_of_it_can_be_good_any_more(self, store: Store) -> None:
        await store.add_key(a_key(1, state="old"))
        await store.add_key(a_key(2, state="compromised"))
        for number, state in ((3, "next"), (4, "current")):
            await store.add_key(a_key(number, state=state))
        for until, number in ((T0 + VERIFIES_AFTER, 1), (T0 + COMPROMISED_KEPT, 2)):
            assert f"key-{number}" in await _states(store)
            expect(await store.purge(until - TICK), 0)
            expect(await store.purge(until), 1)
            assert f"key-{number}" not in await _states(store)
        expect(await store.purge(T0 + 2 * COMPROMISED_KEPT), 0)
        expect(await _states(store), {"key-3": "next", "key-4": "current"})

    @with_store
    async def test_a_clean_up_of_keys_keeps_to_its_limit(self, store: Store) -> None:
        for number in range(5):
            await store.add_key(a_key(number, state="old"))
        expect([await store.purge(T0 + VERIFIES_AFTER, limit=2) for _ in range(4)], [2, 2, 1, 0])
