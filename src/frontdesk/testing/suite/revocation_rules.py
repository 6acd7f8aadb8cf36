"""What ended stays ended, whoever else was writing; and every ending stands in the log."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from frontdesk.core.revocation import LARGEST_ACCESS_TOKEN, SKEW
from frontdesk.core.rotation import Decision, Outcome
from frontdesk.core.sessions import Epochs, Session, evaluate
from frontdesk.stores.protocol import Created, Ended, NotCreated, Store
from frontdesk.testing.suite.harness import (
    POLICY,
    REALM,
    T0,
    TICK,
    StoreHarness,
    a_session,
    an_account,
    count,
    create,
    crowd,
    expect,
    ids,
    log,
    log_of,
    sid,
    stored,
    with_store,
)

HOUR = timedelta(hours=1)


class RevocationRules(StoreHarness):
    """Ending one session, ending a subject's, changing what a subject may."""

    # --- one session ------------------------------------------------------------------------------------------

    @with_store
    async def test_a_session_ends_once_with_its_first_reason_and_one_entry(self, store: Store) -> None:
        session = a_session(1)
        await create(store, session)
        expected = msgspec.structs.replace(session, ended_at=T0, end_reason="signed_out")
        expect(await store.end_session(REALM, session.id, reason="signed_out", now=T0), Ended(expected, now=True))
        again = await store.end_session(REALM, session.id, reason="revoked", now=T0 + HOUR)
        expect(again, Ended(expected, now=False))
        expect(await stored(store, session), expected)
        expect(await log_of(store), [(REALM, "session", session.id)])

    @with_store
    async def test_an_entry_tells_when_and_lives_longer_than_any_access_token(self, store: Store) -> None:
        await create(store, a_session(1))
        await store.end_session(REALM, sid(1), reason="revoked", now=T0)
        (entry,) = await log(store)
        expect((entry.realm, entry.kind, entry.target, entry.at), (REALM, "session", sid(1), T0))
        assert entry.expires_at >= T0 + LARGEST_ACCESS_TOKEN + SKEW

    @with_store
    async def test_of_fifty_endings_at_once_exactly_one_is_the_one(self, store: Store) -> None:
        await create(store, a_session(1))
        async with self.another(store) as other:

            async def end(number: int) -> Ended | None:
                where = (store, other)[number % 2]
                return await where.end_session(REALM, sid(1), reason="revoked", now=T0 + number * TICK)

            outcomes = await crowd(end)
        row = await stored(store, a_session(1))
        expect((count(outcomes, Ended(row, now=True)), count(outcomes, Ended(row, now=False))), (1, 49))
        expect(len(await log(store)), 1)

    @with_store
    async def test_a_session_is_not_ended_for_another_subject(self, store: Store) -> None:
        session = a_session(1)
        await create(store, session)
        expect(await store.end_session(REALM, session.id, reason="revoked", now=T0, subject="mallory"), None)
        expect(await store.end_session("other", session.id, reason="revoked", now=T0, subject="alice"), None)
        expect(await stored(store, session), session)
        expect(await log(store), ())
        ended = await store.end_session(REALM, session.id, reason="revoked", now=T0, subject="alice")
        assert ended is not None
        expect(ended.now, True)

    @with_store
    async def test_an_expired_session_can_still_be_ended_and_so_stays_ended(self, store: Store) -> None:
        session = a_session(1, expires_at=T0 + HOUR)
        await create(store, session)
        ended = await store.end_session(REALM, session.id, reason="signed_out", now=T0 + 2 * HOUR)
        assert ended is not None
        expect((ended.now, ended.session.end_reason), (True, "signed_out"))
        expect(await store.list_sessions(REALM, "alice", T0), ())

    @with_store
    async def test_the_clock_stepping_back_revives_nothing(self, store: Store) -> None:
        await create(store, *(a_session(number) for number in range(1, 5)))
        late, early = T0 + 10 * HOUR, T0 - 10 * HOUR
        await store.end_session(REALM, sid(1), reason="signed_out", now=late)
        await store.create_session(a_session(9, subject="bob"), replaces=[sid(2)], max_sessions=9, now=late)
        await store.end_subject(REALM, "alice", reason="revoked", now=late, keep=sid(9))
        for number in range(1, 5):
            row = await stored(store, a_session(number))
            assert evaluate(row, early) is not None
            expect(await store.touch_session(REALM, row.id, early), False)
            decision = await store.rotate(REALM, row.id, 0, early, POLICY)
            assert decision is not None
            expect((decision.outcome, decision.writes), (Outcome.ENDED, False))
            again = await store.end_session(REALM, row.id, reason="revoked", now=early)
            expect(again, Ended(row, now=False))
        expect(await store.list_sessions(REALM, "alice", early), ())

    # --- a subject --------------------------------------------------------------------------------------------

    @with_store
    async def test_ending_a_subject_ends_its_sessions_moves_its_epoch_and_writes_one_entry(self, store: Store) -> None:
        mine = [a_session(number) for number in (1, 2)]
        bystanders = [a_session(3, subject="bob"), a_session(4, realm="other")]
        await create(store, *mine, *bystanders)
        ended = await store.end_subject(REALM, "alice", reason="revoked", now=T0)
        expect(sorted(ids(ended)), [sid(1), sid(2)])
        for session in mine:
            expected = msgspec.structs.replace(session, ended_at=T0, end_reason="revoked")
            expect(await stored(store, session), expected)
            assert expected in ended
        for session in bystanders:
            expect(await stored(store, session), session)
        epochs = await store.epochs(REALM, "alice")
        assert epochs.subject > 0
        (entry,) = await log(store)
        expect((entry.kind, entry.target, entry.at, entry.epoch), ("subject", "alice", T0, epochs.subject))
        assert entry.expires_at >= T0 + POLICY.absolute, "a restored copy may still hold the rows"
        expect(await store.epochs("other", "alice"), Epochs())
        expect(await store.epochs(REALM, "bob"), Epochs())

    @with_store
    async def test_ending_a_subject_without_sessions_still_refuses_the_sign_in_in_flight(self, store: Store) -> None:
        epochs = await store.epochs(REALM, "alice")
        expect(await store.end_subject(REALM, "alice", reason="revoked", now=T0), ())
        expect(await log_of(store), [(REALM, "subject", "alice")])
        outcome = await store.create_session(a_session(1, epochs=epochs), max_sessions=9, now=T0)
        expect(outcome, NotCreated.EPOCH_MOVED)
        expect(await store.read_session(REALM, sid(1)), None)

    @with_store
    async def test_a_sign_in_under_an_old_epoch_changes_nothing_and_under_the_new_one_succeeds(
        self, store: Store
    ) -> None:
        old = await store.epochs(REALM, "alice")
        await store.end_subject(REALM, "alice", reason="revoked", now=T0)
        other = a_session(1, subject="bob")
        await create(store, other)
        entries = await log(store)
        new = await store.epochs(REALM, "alice")
        ahead = Epochs(realm=new.realm, subject=new.subject + 1)
        for epochs in (old, ahead):
            session = a_session(2, epochs=epochs)
            outcome = await store.create_session(session, replaces=[other.id], max_sessions=1, now=T0)
            expect(outcome, NotCreated.EPOCH_MOVED)
        expect((await stored(store, other), await log(store)), (other, entries))
        session = a_session(2, epochs=new)
        expect(await store.create_session(session, max_sessions=9, now=T0), Created())
        expect(await stored(store, session), session)

    @with_store
    async def test_a_subject_ended_twice_has_two_entries_and_two_epochs(self, store: Store) -> None:
        await create(store, a_session(1))
        expect(ids(await store.end_subject(REALM, "alice", reason="revoked", now=T0)), [sid(1)])
        first = await store.epochs(REALM, "alice")
        expect(await store.end_subject(REALM, "alice", reason="signed_out", now=T0), ())
        second = await store.epochs(REALM, "alice")
        assert second.subject > first.subject
        expect([entry.epoch for entry in await log(store)], [first.subject, second.subject])
        expect((await stored(store, a_session(1))).end_reason, "revoked")

    @with_store
    async def test_ending_all_but_one_ends_each_with_its_own_entry_and_keeps_the_epoch(self, store: Store) -> None:
        await create(store, *(a_session(number) for number in (1, 2, 3)), a_session(4, subject="bob"))
        ended = await store.end_subject(REALM, "alice", reason="signed_out", now=T0, keep=sid(2))
        expect(sorted(ids(ended)), [sid(1), sid(3)])
        expect(ids(await store.list_sessions(REALM, "alice", T0)), [sid(2)])
        expect(sorted(await log_of(store)), [(REALM, "session", sid(1)), (REALM, "session", sid(3))])
        expect(await store.epochs(REALM, "alice"), Epochs())
        expect(await stored(store, a_session(4, subject="bob")), a_session(4, subject="bob"))

    @with_store
    async def test_ending_a_subject_reaches_sessions_that_look_expired_here(self, store: Store) -> None:
        # To a node whose clock is behind they stand; it must not accept them after this.
        await create(store, a_session(1, expires_at=T0 + HOUR), a_session(2, idle_timeout=HOUR))
        expect(len(await store.end_subject(REALM, "alice", reason="revoked", now=T0 + 2 * HOUR, keep=sid(9))), 2)
        expect(await store.list_sessions(REALM, "alice", T0), ())
        await create(store, a_session(3, expires_at=T0 + HOUR))
        expect(ids(await store.end_subject(REALM, "alice", reason="revoked", now=T0 + 2 * HOUR)), [sid(3)])
        expect(await store.list_sessions(REALM, "alice", T0), ())

    # --- races ------------------------------------------------------------------------------------------------

    @with_store
    async def test_a_revocation_that_meets_sign_ins_leaves_no_session_of_before(self, store: Store) -> None:
        epochs = await store.epochs(REALM, "alice")
        async with self.another(store) as other:

            async def act(number: int) -> object:
                if number == 25:
                    return await other.end_subject(REALM, "alice", reason="revoked", now=T0)
                session = a_session(number + 1, epochs=epochs)
                where = (store, other)[number % 2]
                return await where.create_session(session, max_sessions=100, now=T0)

            outcomes = await crowd(act)
        expect(await store.list_sessions(REALM, "alice", T0), ())
        ended = outcomes[25]
        assert isinstance(ended, tuple)
        expect(count(outcomes, Created()), len(ended))
        expect(count(outcomes, NotCreated.EPOCH_MOVED), 49 - len(ended))

    @with_store
    async def test_a_revocation_that_meets_refreshes_and_touches_wins(self, store: Store) -> None:
        session = a_session(1)
        await create(store, session)
        later = T0 + HOUR
        async with self.another(store) as other:

            async def act(number: int) -> object:
                where = (store, other)[number % 2]
                if number == 25:
                    return await where.end_session(REALM, session.id, reason="revoked", now=later)
                if number % 3 == 0:
                    return await where.touch_session(REALM, session.id, later + number * TICK)
                return await where.rotate(REALM, session.id, 0, later, POLICY)

            outcomes = await crowd(act)
        ended = outcomes[25]
        assert isinstance(ended, Ended)
        expect((ended.now, await stored(store, session)), (True, ended.session))
        minted = [each for each in outcomes if isinstance(each, Decision) and each.outcome.mints]
        expect(len(minted), ended.session.generation)
        expect(await log_of(store), [(REALM, "session", session.id)])

    # --- what a subject may -----------------------------------------------------------------------------------

    @with_store
    async def test_an_update_sets_what_is_given_in_sessions_and_the_roles_in_the_account(self, store: Store) -> None:
        session = a_session(1, subject="subject-1", roles=("old",), scope=("old",), claims={"old": 1})
        account = an_account(1)
        await create(store, session)
        await store.create_account(account)
        steps: tuple[dict[str, object], ...] = (
            {"roles": ("b", "a"), "scope": None, "claims": None},
            {"roles": None, "scope": ("read",), "claims": None},
            {"roles": None, "scope": None, "claims": {"new": [1, "\U0001f6ce"]}},
            {"roles": (), "scope": (), "claims": {}},
        )
        for step in steps:
            given = {name: value for name, value in step.items() if value is not None}
            session = msgspec.structs.replace(session, **given)
            account = msgspec.structs.replace(account, roles=given.get("roles", account.roles))
            expect(await store.update_subject(REALM, "subject-1", now=T0, **step), 1)  # type: ignore[arg-type]
            expect(await stored(store, session), session)
            expect(await store.account_by_id(REALM, account.id), account)

    @with_store
    async def test_an_update_reaches_all_that_has_not_ended_of_one_subject_and_realm(self, store: Store) -> None:
        expired, ended = a_session(2, expires_at=T0 - HOUR), a_session(3)
        bystanders = [a_session(4, subject="bob"), a_session(5, realm="other")]
        await create(store, a_session(1), expired, ended, *bystanders)
        await store.end_session(REALM, ended.id, reason="signed_out", now=T0)
        bystanders.append(await stored(store, ended))
        changed = await store.update_subject(REALM, "alice", roles=("x",), scope=None, claims=None, now=T0)
        expect(changed, 1)
        # The expired one is not counted, but must not come back with its old roles when the clock steps back.
        for session in (a_session(1), expired):
            expect((await stored(store, session)).roles, ("x",))
        for session in bystanders:
            expect(await stored(store, session), session)

    @with_store
    async def test_an_update_a_refresh_and_a_touch_that_meet_are_all_kept(self, store: Store) -> None:
        # Both orders: whoever reads first and writes last must not write back what it read.
        for session, first in ((a_session(1), 0), (a_session(2, subject="bob"), 49)):
            await create(store, session)
            await self._update_refresh_and_touch(store, session, first)
            row = await stored(store, session)
            expect((row.roles, row.generation, row.last_seen_at), (("x",), 1, T0 + HOUR + TICK))

    @with_store
    async def test_an_update_writes_one_entry_that_ends_nothing(self, store: Store) -> None:
        await create(store, a_session(1), a_session(2), a_session(3, expires_at=T0 - HOUR))
        steps: tuple[dict[str, object], ...] = (
            {"roles": ("x",), "scope": None, "claims": None},
            {"roles": None, "scope": ("read",), "claims": None},
            {"roles": None, "scope": None, "claims": {"x": 1}},
        )
        for number, step in enumerate(steps, 1):
            await store.update_subject(REALM, "alice", now=T0, **step)  # type: ignore[arg-type]
            expect(await log_of(store), [(REALM, "changed", "alice")] * number)
        for entry in await log(store):
            expect(entry.at, T0)
            assert entry.expires_at >= T0 + LARGEST_ACCESS_TOKEN + SKEW, "a token may still tell the old rights"
        expect(ids(await store.list_sessions(REALM, "alice", T0)), [sid(2), sid(1)])
        expect(await store.epochs(REALM, "alice"), Epochs())

    @with_store
    async def test_an_update_that_no_session_could_tell_of_writes_no_entry(self, store: Store) -> None:
        await create(store, a_session(1), a_session(2, realm="other"), a_session(3, subject="bob"))
        await store.end_session(REALM, sid(1), reason="signed_out", now=T0)
        await store.create_account(an_account(1, id="alice"))
        ended = await log(store)
        for subject in ("alice", "nobody"):
            expect(await store.update_subject(REALM, subject, roles=("x",), scope=None, claims=None, now=T0), 0)
        expect(await log(store), ended)
        expect(await store.account_by_id(REALM, "alice"), an_account(1, id="alice", roles=("x",)))

    @with_store
    async def test_an_update_reaching_only_what_looks_expired_here_is_told_all_the_same(self, store: Store) -> None:
        # To a node whose clock is behind the session stands, and the node may keep its row.
        await create(store, a_session(1, expires_at=T0 - HOUR))
        expect(await store.update_subject(REALM, "alice", roles=("x",), scope=None, claims=None, now=T0), 0)
        expect(await log_of(store), [(REALM, "changed", "alice")])

    async def _update_refresh_and_touch(self, store: Store, session: Session, first: int) -> None:
        later = T0 + HOUR

        async def act(number: int) -> object:
            turn = abs(number - first)
            if turn < 25:
                return await store.touch_session(REALM, session.id, later + TICK)
            if turn < 49:
                return await store.rotate(REALM, session.id, 0, later, POLICY)
            return await store.update_subject(REALM, session.subject, roles=("x",), scope=None, claims=None, now=later)

        await crowd(act)
