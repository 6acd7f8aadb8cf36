"""Everybody is signed out, or one account goes: nothing of before is left standing."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

import msgspec

from frontdesk.core.rotation import Decision
from frontdesk.core.sessions import Epochs, Session
from frontdesk.stores.protocol import Created, NotCreated, Store
from frontdesk.testing.suite.harness import (
    CROWD,
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
FAR = POLICY.absolute * 20
NOBODY = "nobody has signed in by this name"


def revoked(session: Session) -> Session:
    """`session` as it stands when it was revoked at T0."""
    return msgspec.structs.replace(session, ended_at=T0, end_reason="revoked")


class RealmRules(StoreHarness):
    """Ending every session of a realm."""

    @with_store
    async def test_ending_a_realm_ends_every_session_moves_its_epoch_and_writes_one_entry(self, store: Store) -> None:
        standing = [a_session(number, subject=f"subject-{number % 3}") for number in range(1, 8)]
        expired = a_session(8, expires_at=T0 - HOUR)  # where a clock is behind it still stands
        elsewhere = a_session(1, realm="other")
        await create(store, *standing, expired, elsewhere)
        expect(await store.end_realm(REALM, reason="revoked", now=T0), 8)
        for session in (*standing, expired):
            expect(await stored(store, session), revoked(session))
        expect(await stored(store, elsewhere), elsewhere)
        epochs = await store.epochs(REALM, "subject-1")
        assert epochs.realm > 0
        (entry,) = await log(store)
        expect((entry.realm, entry.kind, entry.target, entry.epoch), (REALM, "all", "", epochs.realm))
        expect(entry.at, T0)
        assert entry.expires_at >= T0 + POLICY.absolute, "a restored copy may still hold the rows"
        expect(await store.epochs(REALM, NOBODY), epochs)
        expect(await store.epochs("other", "subject-1"), Epochs())

    @with_store
    async def test_what_had_ended_before_its_realm_keeps_its_moment_and_reason(self, store: Store) -> None:
        await create(store, a_session(1), a_session(2))
        first = await store.end_session(REALM, sid(1), reason="signed_out", now=T0 - HOUR)
        assert first is not None
        expect(await store.end_realm(REALM, reason="revoked", now=T0), 1)
        expect(await stored(store, a_session(1)), first.session)
        expect(await stored(store, a_session(2)), revoked(a_session(2)))

    @with_store
    async def test_ending_a_realm_without_sessions_still_refuses_every_sign_in_in_flight(self, store: Store) -> None:
        old = [(subject, await store.epochs(REALM, subject)) for subject in ("alice", NOBODY)]
        expect(await store.end_realm(REALM, reason="revoked", now=T0), 0)
        expect(await log_of(store), [(REALM, "all", "")])
        for subject, epochs in old:
            session = a_session(1, subject=subject, epochs=epochs)
            expect(await store.create_session(session, max_sessions=9, now=T0), NotCreated.EPOCH_MOVED)
        expect(await store.read_session(REALM, sid(1)), None)

    @with_store
    async def test_later_sign_ins_carry_the_epoch_of_the_realm_beside_that_of_the_subject(self, store: Store) -> None:
        await store.end_subject(REALM, "alice", reason="revoked", now=T0)
        before = await store.epochs(REALM, "alice")
        await store.end_realm(REALM, reason="revoked", now=T0)
        epochs = await store.epochs(REALM, "alice")
        expect(epochs, Epochs(realm=before.realm + 1, subject=before.subject))
        session = a_session(1, epochs=epochs)
        expect(await store.create_session(session, max_sessions=9, now=T0), Created())
        expect(await stored(store, session), session)
        for wrong in (before, Epochs(epochs.realm + 1, epochs.subject), Epochs(epochs.realm, epochs.subject + 1)):
            outcome = await store.create_session(a_session(2, epochs=wrong), max_sessions=9, now=T0)
            expect(outcome, NotCreated.EPOCH_MOVED)
        expect(ids(await store.list_sessions(REALM, "alice", T0 + HOUR)), [sid(1)])

    @with_store
    async def test_a_realm_ended_twice_has_two_entries_and_two_epochs(self, store: Store) -> None:
        await create(store, a_session(1))
        outcomes = [await store.end_realm(REALM, reason="revoked", now=moment) for moment in (T0, T0 + HOUR)]
        expect(outcomes, [1, 0])
        expect(await stored(store, a_session(1)), revoked(a_session(1)))
        expect([(entry.kind, entry.epoch) for entry in await log(store)], [("all", 1), ("all", 2)])
        expect(await store.epochs(REALM, "alice"), Epochs(realm=2))

    @with_store
    async def test_the_epoch_of_a_realm_outlives_clean_up_and_closing(self, store: Store) -> None:
        await create(store, a_session(1))
        await store.end_realm(REALM, reason="revoked", now=T0)
        epochs = await store.epochs(REALM, "alice")
        for _ in range(3):
            await store.purge(T0 + FAR)
        expect(await log(store), ())
        await store.close()
        async with self.another(store) as again:
            expect(await again.epochs(REALM, "alice"), epochs)
            late = await again.create_session(a_session(2), max_sessions=9, now=T0)
            expect(late, NotCreated.EPOCH_MOVED)

    @with_store
    async def test_the_end_of_a_realm_that_meets_sign_ins_of_many_leaves_no_session_of_before(
        self, store: Store
    ) -> None:
        async with self.another(store) as other:

            async def act(number: int) -> object:
                if number == CROWD // 2:
                    return await other.end_realm(REALM, reason="revoked", now=T0)
                session = a_session(number + 1, subject=f"subject-{number % 7}")
                return await (store, other)[number % 2].create_session(session, max_sessions=100, now=T0)

            outcomes = await crowd(act)
        for number in range(7):
            expect(await store.list_sessions(REALM, f"subject-{number}", T0 + HOUR), ())
        ended = outcomes.pop(CROWD // 2)
        assert isinstance(ended, int)
        expect(count(outcomes, Created()), ended)
        expect(count(outcomes, NotCreated.EPOCH_MOVED), CROWD - 1 - ended)

    @with_store
    async def test_the_end_of_a_realm_that_meets_refreshes_and_touches_wins(self, store: Store) -> None:
        session = a_session(1)
        await create(store, session)
        later = T0 + HOUR
        async with self.another(store) as other:

            async def act(number: int) -> object:
                where = (store, other)[number % 2]
                if number == CROWD // 2:
                    return await where.end_realm(REALM, reason="revoked", now=later)
                if number % 3 == 0:
                    return await where.touch_session(REALM, session.id, later + number * TICK)
                return await where.rotate(REALM, session.id, 0, later, POLICY)

            outcomes = await crowd(act)
        row = await stored(store, session)
        expect((outcomes[CROWD // 2], row.ended_at, row.end_reason), (1, later, "revoked"))
        minted = [each for each in outcomes if isinstance(each, Decision) and each.outcome.mints]
        expect(len(minted), row.generation)
        expect(await log_of(store), [(REALM, "all", "")])

    @with_store
    async def test_a_cancelled_end_of_a_realm_is_whole_or_not_at_all(self, store: Store) -> None:
        for turns in range(8):
            epochs = await store.epochs(REALM, "alice")
            sessions = [a_session(10 * turns + number, epochs=epochs) for number in (1, 2, 3)]
            await create(store, *sessions)
            task = asyncio.create_task(self._end_realm(store))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            done = (await store.epochs(REALM, "alice")).realm - epochs.realm
            standing = await store.list_sessions(REALM, "alice", T0)
            expect((not standing, len(await log(store))), (done == 1, epochs.realm + done))

    async def _end_realm(self, store: Store) -> int:
        return await store.end_realm(REALM, reason="revoked", now=T0)


class RemovalRules(StoreHarness):
    """Removing an account."""

    @with_store
    async def test_a_removed_account_is_gone_and_so_are_the_sessions_of_its_subject(self, store: Store) -> None:
        account, other = an_account(1), an_account(2)
        twin = an_account(1, realm="other")
        for each in (account, other, twin):
            expect(await store.create_account(each), True)
        mine = [a_session(1, subject=account.id), a_session(2, subject=account.id, expires_at=T0 - HOUR)]
        bystanders = [a_session(3, subject=other.id), a_session(4, realm="other", subject=account.id)]
        await create(store, *mine, *bystanders)
        expect(await store.remove_account(REALM, account.id, now=T0), True)
        expect(await store.account_by_id(REALM, account.id), None)
        expect(await store.account_by_email(REALM, account.email), None)
        expect(await store.list_accounts(REALM), (other,))
        expect(await store.list_accounts("other"), (twin,))
        for session in mine:
            expect(await stored(store, session), revoked(session))
        for session in bystanders:
            expect(await stored(store, session), session)
        epochs = await store.epochs(REALM, account.id)
        assert epochs.subject > 0
        (entry,) = await log(store)
        expect((entry.kind, entry.target, entry.epoch, entry.at), ("subject", account.id, epochs.subject, T0))

    @with_store
    async def test_removing_what_is_no_account_ends_nobody(self, store: Store) -> None:
        # A subject that the application owns is no account, whatever its name.
        await create(store, a_session(1))
        await store.create_account(an_account(1, realm="other", id="alice"))
        expect(await store.remove_account(REALM, "alice", now=T0), False)
        expect(await stored(store, a_session(1)), a_session(1))
        expect((await log(store), await store.epochs(REALM, "alice")), ((), Epochs()))

    @with_store
    async def test_the_address_and_the_id_of_a_removed_account_are_free_again(self, store: Store) -> None:
        account = an_account(1)
        await store.create_account(account)
        await store.remove_account(REALM, account.id, now=T0)
        epochs = await store.epochs(REALM, account.id)
        expect(await store.create_account(account), True)
        expect(await store.account_by_email(REALM, account.email), account)
        expect(await store.epochs(REALM, account.id), epochs)
        old = await store.create_session(a_session(1, subject=account.id), max_sessions=9, account_roles=True, now=T0)
        expect(old, NotCreated.EPOCH_MOVED)

    @with_store
    async def test_of_fifty_removals_of_one_account_exactly_one_succeeds(self, store: Store) -> None:
        await store.create_account(an_account(1))
        async with self.another(store) as other:
            outcomes = await crowd(
                lambda number: (store, other)[number % 2].remove_account(REALM, "subject-1", now=T0 + number * TICK)
            )
        expect(count(outcomes, True), 1)
        expect(await log_of(store), [(REALM, "subject", "subject-1")])
        expect(await store.epochs(REALM, "subject-1"), Epochs(subject=1))

    @with_store
    async def test_a_removal_that_meets_sign_ins_leaves_no_session(self, store: Store) -> None:
        await store.create_account(an_account(1))
        epochs = await store.epochs(REALM, "subject-1")
        async with self.another(store) as other:

            async def act(number: int) -> object:
                where = (store, other)[number % 2]
                if number == CROWD // 2:
                    return await other.remove_account(REALM, "subject-1", now=T0)
                session = a_session(number + 1, subject="subject-1", epochs=epochs)
                return await where.create_session(session, max_sessions=100, account_roles=True, now=T0)

            outcomes = await crowd(act)
        expect(outcomes.pop(CROWD // 2), True)
        expect(count(outcomes, Created(roles=())) + count(outcomes, NotCreated.EPOCH_MOVED), CROWD - 1)
        expect(await store.list_sessions(REALM, "subject-1", T0 + HOUR), ())
        late = a_session(99, subject="subject-1", epochs=await store.epochs(REALM, "subject-1"))
        outcome = await store.create_session(late, max_sessions=9, account_roles=True, now=T0)
        expect(outcome, NotCreated.NO_ACCOUNT)

    @with_store
    async def test_a_removal_that_meets_changes_of_the_account_wins(self, store: Store) -> None:
        await store.create_account(an_account(1))
        async with self.another(store) as other:

            async def act(number: int) -> object:
                where = (store, other)[number % 2]
                if number == CROWD // 2:
                    return await where.remove_account(REALM, "subject-1", now=T0)
                if number % 3 == 0:
                    return await where.replace_password(REALM, "subject-1", old="sealed-1", new="sealed-1")
                return await where.update_subject(REALM, "subject-1", roles=("x",), scope=None, claims=None, now=T0)

            outcomes = await crowd(act)
        expect(outcomes[CROWD // 2], True)
        expect(await store.account_by_id(REALM, "subject-1"), None)
        expect(await store.list_accounts(REALM), ())
        expect(await store.replace_password(REALM, "subject-1", old="sealed-1", new="new"), False)
