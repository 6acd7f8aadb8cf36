"""A store applies `core.rotation.decide`, to the row as it stands, in one step."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from frontdesk.core.rotation import Decision, Outcome, decide
from frontdesk.stores.protocol import Store
from frontdesk.testing.suite.harness import (
    POLICY,
    REALM,
    T0,
    TICK,
    StoreHarness,
    a_session,
    create,
    crowd,
    expect,
    log,
    log_of,
    sid,
    stored,
    with_store,
)

LATER = T0 + timedelta(hours=1)


class RotationRules(StoreHarness):
    """Refresh tokens."""

    @with_store
    async def test_every_line_of_the_table_is_decided_and_written_as_the_core_says(self, store: Store) -> None:
        session = a_session(1, generation=4, parent=2, minted_at=T0, roles=("kept",), claims={"kept": 1})
        number = 0
        for presented in range(8):
            for now in (T0 - TICK, T0 + POLICY.grace - TICK, T0 + POLICY.grace, LATER, session.expires_at):
                for policy in (POLICY, replace(POLICY, late_retry="end")):
                    number += 1
                    row = a_session(
                        number, generation=4, parent=2, minted_at=T0, roles=("kept",), claims={"kept": 1}, realm="table"
                    )
                    await create(store, row, max_sessions=1000)
                    before = len(await log(store))
                    decision = await store.rotate("table", row.id, presented, now, policy)
                    expect(decision, decide(row, presented, now, policy))
                    assert decision is not None
                    expect(await stored(store, row), decision.session)
                    entries = (await log_of(store))[before:]
                    expect(entries, [("table", "session", row.id)] if decision.ends else [])

    @with_store
    async def test_fifty_refreshes_at_once_rotate_once_and_all_are_granted(self, store: Store) -> None:
        await create(store, a_session(1))
        async with self.another(store) as other:

            async def refresh(number: int) -> Decision | None:
                return await (store, other)[number % 2].rotate(REALM, sid(1), 0, LATER, POLICY)

            decisions = await crowd(refresh)
        outcomes = sorted(decision.outcome.value for decision in decisions if decision is not None)
        expect(outcomes, ["renewed"] * 49 + ["rotated"])
        row = await stored(store, a_session(1))
        expect((row.generation, row.parent, row.minted_at), (1, 0, LATER))
        for decision in decisions:
            assert decision is not None
            expect(decision.session, row)

    @with_store
    async def test_fifty_late_retries_at_once_reissue_once(self, store: Store) -> None:
        await create(store, a_session(1, generation=3, parent=2, minted_at=T0))
        decisions = await crowd(lambda _: store.rotate(REALM, sid(1), 2, LATER, POLICY))
        outcomes = sorted(decision.outcome.value for decision in decisions if decision is not None)
        expect(outcomes, ["reissued"] + ["renewed"] * 49)
        row = await stored(store, a_session(1))
        expect((row.generation, row.parent), (4, 2))

    @with_store
    async def test_reuse_shown_fifty_times_at_once_ends_the_session_with_one_entry(self, store: Store) -> None:
        await create(store, a_session(1, generation=5, parent=4, minted_at=T0))
        async with self.another(store) as other:
            decisions = await crowd(
                lambda number: (store, other)[number % 2].rotate(REALM, sid(1), 1, LATER, POLICY),
            )
        ending = [decision for decision in decisions if decision is not None and decision.ends]
        expect(len(ending), 1)
        outcomes = {decision.outcome for decision in decisions if decision is not None and not decision.ends}
        expect(outcomes, {Outcome.ENDED})
        row = await stored(store, a_session(1))
        expect((row.ended_at, row.end_reason), (LATER, "reused"))
        expect(await log_of(store), [(REALM, "session", sid(1))])

    @with_store
    async def test_racing_generations_never_leave_a_number_twice(self, store: Store) -> None:
        await create(store, a_session(1))
        minted: list[int] = []
        now = LATER
        for _ in range(6):
            newest = (await stored(store, a_session(1))).generation
            decisions = await crowd(
                lambda number, newest=newest, now=now: store.rotate(  # type: ignore[misc]
                    REALM, sid(1), max(newest - number % 2, 0), now, POLICY
                ),
                10,
            )
            minted += [each.session.generation for each in decisions if each is not None and each.outcome.mints]
            now += timedelta(minutes=1)
        expect(sorted(set(minted)), sorted(minted))

    @with_store
    async def test_an_ended_session_never_rotates_again(self, store: Store) -> None:
        await create(store, a_session(1))
        await store.end_session(REALM, sid(1), reason="signed_out", now=LATER)
        row = await stored(store, a_session(1))
        for presented in range(5):
            for now in (T0, LATER, LATER + timedelta(days=1)):
                decision = await store.rotate(REALM, sid(1), presented, now, POLICY)
                expect(decision, decide(row, presented, now, POLICY))
        expect(await stored(store, a_session(1)), row)
        expect(len(await log(store)), 1)

    @with_store
    async def test_a_refresh_is_decided_at_the_microsecond_of_the_limits(self, store: Store) -> None:
        limits = (
            a_session(1, expires_at=LATER),
            a_session(2, last_seen_at=LATER - timedelta(minutes=30), idle_timeout=timedelta(minutes=30)),
        )
        await create(store, *limits)
        for session in limits:
            for now, granted in ((LATER + TICK, False), (LATER, False), (LATER - TICK, True)):
                decision = await store.rotate(REALM, session.id, 0, now, POLICY)
                assert decision is not None
                expect(decision.outcome.grants, granted)
