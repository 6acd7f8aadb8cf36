"""A store whose history is another one: it is told again what was said before, and keeps what it is told."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Final

import msgspec

from frontdesk.core.keyring import Move
from frontdesk.core.revocation import Entry
from frontdesk.core.sessions import Epochs, Session
from frontdesk.stores.protocol import Created, NotCreated, Store
from frontdesk.testing.suite.harness import (
    CROWD,
    REALM,
    T0,
    TICK,
    StoreHarness,
    a_key,
    a_session,
    an_entry,
    count,
    create,
    crowd,
    expect,
    head_of,
    ids,
    log,
    sid,
    stored,
    with_store,
)

HOUR: Final = timedelta(hours=1)
LATER: Final = T0 + timedelta(minutes=10)
MANY: Final = 2500
"""More than a page of the log holds."""


def told(entries: tuple[Entry, ...]) -> list[Entry]:
    """What entries say, apart from their numbers."""
    return [msgspec.structs.replace(entry, number=0) for entry in entries]


def revoked(session: Session) -> Session:
    return msgspec.structs.replace(session, ended_at=LATER, end_reason="revoked")


async def _all_of(store: Store) -> tuple[Entry, ...]:
    """The whole log, page by page."""
    entries: list[Entry] = []
    page = await store.poll(0)
    while page.entries:
        entries += page.entries
        page = await store.poll(page.cursor)
    return tuple(entries)


class HistoryRules(StoreHarness):
    """The name of a store's history."""

    @with_store
    async def test_a_renewed_history_has_another_name_on_every_store_and_the_same_entries(self, store: Store) -> None:
        await store.end_subject(REALM, "alice", reason="revoked", now=T0)
        entries, head = await log(store), await head_of(store)
        names = [(await store.poll(0)).history]
        async with self.another(store) as other:
            for renewing in (store, other, store):
                names.append(await renewing.renew_history())
                expect([(await each.poll(0)).history for each in (store, other)], [names[-1]] * 2)
            expect((len(set(names)), all(names)), (4, True))
            expect((await log(other), await head_of(other)), (entries, head))
            await other.end_subject(REALM, "alice", reason="revoked", now=T0)
            expect((await store.poll(head)).entries[0].number, head + 1)

    @with_store
    async def test_histories_renewed_at_once_leave_one_name_for_all(self, store: Store) -> None:
        before = (await store.poll(0)).history
        async with self.another(store) as other:
            names = await crowd(lambda number: (store, other)[number % 2].renew_history(), 10)
            expect(len({before, *names}), 11)
            name = (await store.poll(0)).history
            assert name in names, name
            expect((await other.poll(0)).history, name)


class AgainRules(StoreHarness):
    """`append_again`."""

    # --- what is appended -------------------------------------------------------------------------------------

    @with_store
    async def test_what_the_log_lacks_is_appended_with_its_own_moments_and_a_number_of_this_store(
        self, store: Store
    ) -> None:
        await store.end_subject(REALM, "somebody", reason="revoked", now=T0)
        before, head = await log(store), await head_of(store)
        lost = (
            an_entry("session", sid(1), at=T0 - TICK, expires_at=T0 + HOUR + TICK),
            an_entry("subject", "alice\U0001f6ce", epoch=7, number=1),
            an_entry("key", "key-1"),
            an_entry("all", "", epoch=3, realm="other"),
        )
        expect(await store.append_again(lost, LATER), 4)
        page = await store.poll(head)
        expect([entry.number for entry in page.entries], list(range(head + 1, head + 5)))
        expect(sorted(told(page.entries), key=str), sorted(told(lost), key=str))
        expect(await log(store), before + page.entries)
        for again in (lost, lost[::-1], (), page.entries):
            expect(await store.append_again(again, LATER), 0)
        expect(await log(store), before + page.entries)

    @with_store
    async def test_an_entry_is_appended_once_however_often_it_is_given(self, store: Store) -> None:
        lost = an_entry("subject", "alice", epoch=2)
        expect(await store.append_again((lost, lost, msgspec.structs.replace(lost, number=5)), LATER), 1)
        expect(told(await log(store)), told((lost,)))

    @with_store
    async def test_what_has_expired_or_ends_nothing_is_passed_over(self, store: Store) -> None:
        session, key = a_session(1), a_key(1)
        await create(store, session)
        await store.add_key(key)
        passed = (
            an_entry("session", sid(1), expires_at=LATER),
            an_entry("subject", "alice", epoch=4, expires_at=LATER - TICK),
            an_entry("all", "", epoch=4, expires_at=LATER),
            an_entry("key", key.id, expires_at=LATER),
            an_entry("changed", "alice", at=LATER),
        )
        expect(await store.append_again(passed, LATER), 0)
        expect((await log(store), await stored(store, session)), ((), session))
        expect((await store.list_keys(REALM), await store.epochs(REALM, "alice")), ((key,), Epochs()))
        late = an_entry("session", sid(1), expires_at=LATER + TICK)
        expect(await store.append_again((*passed, late), LATER), 1)
        expect(await stored(store, session), revoked(session))

    @with_store
    async def test_only_a_live_equal_that_says_as_much_stands_for_an_entry(self, store: Store) -> None:
        held = (an_entry("subject", "alice", epoch=3, expires_at=T0 + HOUR), an_entry("session", "x"))
        expect(await store.append_again(held, T0), 2)
        nothing_new = (
            an_entry("subject", "alice", epoch=3),
            an_entry("subject", "alice", epoch=2),
            an_entry("session", "x"),
        )
        expect(await store.append_again(nothing_new, LATER), 0)
        news = (
            an_entry("subject", "alice", epoch=4),
            an_entry("subject", "bob", epoch=3),
            an_entry("subject", "alice", epoch=3, realm="other"),
            an_entry("session", "alice"),
            an_entry("key", "x"),
        )
        expect(await store.append_again(news, LATER), 5)
        after = T0 + HOUR  # the first has expired and lies in the log still
        short = an_entry("subject", "bob", epoch=1, at=after)
        expect(await store.append_again((an_entry("subject", "alice", epoch=4), short), after), 0)
        gone = an_entry("session", "y", expires_at=T0 + HOUR)
        expect(await store.append_again((gone,), T0), 1)
        expect(await store.append_again((an_entry("session", "y", at=after),), after), 1)

    # --- what is made good ------------------------------------------------------------------------------------

    @with_store
    async def test_a_session_that_came_back_is_revoked_and_one_that_ended_stays_as_it_ended(self, store: Store) -> None:
        expired, elsewhere = a_session(3, expires_at=T0 - HOUR), a_session(1, realm="other")
        await create(store, a_session(1), a_session(2), expired, a_session(4), elsewhere)
        first = await store.end_session(REALM, sid(2), reason="signed_out", now=T0)
        assert first is not None
        lost = [an_entry("session", sid(number)) for number in (1, 2, 3, 9)]
        expect(await store.append_again(lost, LATER), 3)
        for session in (a_session(1), expired):
            expect(await stored(store, session), revoked(session))
        for untouched in (first.session, a_session(4), elsewhere):
            expect(await stored(store, untouched), untouched)
        expect(await store.read_session(REALM, sid(9)), None)
        expect(ids(await store.list_sessions(REALM, "alice", T0)), [sid(4)])

    @with_store
    async def test_an_entry_of_a_subject_moves_its_epoch_and_ends_what_was_made_under_a_lower_one(
        self, store: Store
    ) -> None:
        await self._moves_an_epoch(store, an_entry("subject", "alice", epoch=3), Epochs(0, 3))
        bystanders = (a_session(7, subject="bob"), a_session(8, realm="other"))
        for session in bystanders:
            expect(await stored(store, session), session)
        expect(await store.epochs(REALM, "bob"), Epochs())

    @with_store
    async def test_an_entry_of_a_realm_moves_its_epoch_and_ends_what_was_made_under_a_lower_one(
        self, store: Store
    ) -> None:
        await self._moves_an_epoch(store, an_entry("all", "", epoch=3), Epochs(3, 0))
        bob, elsewhere = a_session(7, subject="bob"), a_session(8, realm="other")
        expect(await stored(store, bob), revoked(bob))
        expect(await stored(store, elsewhere), elsewhere)
        expect((await store.epochs(REALM, "nobody"), await store.epochs("other", "alice")), (Epochs(3, 0), Epochs()))

    async def _moves_an_epoch(self, store: Store, lost: Entry, epochs: Epochs) -> None:
        old, expired = a_session(1), a_session(2, expires_at=T0 - HOUR)
        await create(store, old, expired, a_session(7, subject="bob"), a_session(8, realm="other"))
        expect(await store.append_again((lost,), LATER), 1)
        expect(await store.epochs(REALM, "alice"), epochs)
        for session in (old, expired):
            expect(await stored(store, session), revoked(session))
        late = await store.create_session(a_session(3), max_sessions=9, now=LATER)
        expect((late, await store.read_session(REALM, sid(3))), (NotCreated.EPOCH_MOVED, None))
        new = a_session(4, epochs=epochs)
        expect(await store.create_session(new, max_sessions=9, now=LATER), Created())
        expect(await store.append_again((lost,), LATER), 0)
        expect(await stored(store, new), new)

    @with_store
    async def test_epochs_only_grow_and_what_stands_under_a_higher_one_stands(self, store: Store) -> None:
        for _ in range(3):
            await store.end_subject(REALM, "alice", reason="revoked", now=T0)
            await store.end_realm(REALM, reason="revoked", now=T0)
        session = a_session(1, epochs=await store.epochs(REALM, "alice"))
        await create(store, session)
        before = await log(store)
        lower = tuple(
            entry
            for epoch in (1, 2, 3)
            for entry in (an_entry("subject", "alice", epoch=epoch), an_entry("all", "", epoch=epoch))
        )
        expect(await store.append_again(lower, LATER), 0)
        expect(await log(store), before)
        for _ in range(2):
            expect(await store.epochs(REALM, "alice"), session.epochs)
            expect(await stored(store, session), session)
            # The same where nothing of it is live in the log.
            late = [
                msgspec.structs.replace(entry, at=before[-1].expires_at, expires_at=before[-1].expires_at + HOUR)
                for entry in lower[:2]
            ]
            await store.append_again(late, before[-1].expires_at)
        highest = (an_entry("subject", "alice", epoch=9), an_entry("subject", "alice", epoch=5))
        for lost in (highest, highest[::-1]):
            await store.append_again(lost, LATER)
            expect(await store.epochs(REALM, "alice"), Epochs(3, 9))
        await store.end_subject(REALM, "alice", reason="revoked", now=LATER)
        expect(await store.epochs(REALM, "alice"), Epochs(3, 10))

    @with_store
    async def test_a_key_that_came_back_is_given_up_again_and_once(self, store: Store) -> None:
        for number, state in enumerate(("current", "next", "old"), 1):
            await store.add_key(a_key(number, state=state))
        await store.add_key(a_key(1, realm="other"))
        lost = [an_entry("key", f"key-{number}") for number in (1, 2, 3, 9)]
        seen = [await store.keys_version(REALM)]
        expect(await store.append_again(lost, LATER), 4)
        seen.append(await store.keys_version(REALM))
        keys = tuple(a_key(number, state="compromised", changed_at=LATER) for number in (1, 2, 3))
        expect(await store.list_keys(REALM), keys)
        expect(await store.list_keys("other"), (a_key(1, realm="other"),))
        expect(await store.append_again(lost, LATER + TICK), 0)
        expect((await store.list_keys(REALM), await store.keys_version(REALM)), (keys, seen[-1]))
        expect(seen, sorted(set(seen)))

    @with_store
    async def test_an_effect_is_made_good_also_where_the_log_tells_of_it(self, store: Store) -> None:
        # Only a store that lost one and kept the other comes to this; what its log says must not be believed done.
        lost = [an_entry("session", sid(1)), an_entry("key", "key-1")]
        expect(await store.append_again(lost, T0), 2)
        await create(store, a_session(1))
        await store.add_key(a_key(1))
        expect(await store.append_again(lost, LATER), 0)
        expect(await stored(store, a_session(1)), revoked(a_session(1)))
        expect(await store.list_keys(REALM), (a_key(1, state="compromised", changed_at=LATER),))

    # --- a whole history --------------------------------------------------------------------------------------

    @with_store
    async def test_a_copy_of_before_that_is_told_the_log_ends_what_the_store_had_ended(self, store: Store) -> None:
        async with self.open_store() as copy:
            sessions = [a_session(number, subject=f"subject-{number % 3}") for number in range(1, 10)]
            sessions += [a_session(1, realm="other"), a_session(2, realm="third")]
            for each in (store, copy):
                await create(each, *sessions)
                await each.add_key(a_key(1))
            await store.end_session(REALM, sid(1), reason="signed_out", now=T0)
            await store.end_subject(REALM, "subject-2", reason="revoked", now=T0)
            await store.update_subject(REALM, "subject-0", roles=("x",), scope=None, claims=None, now=T0)
            await store.end_realm("other", reason="revoked", now=T0)
            await store.rotate_keys(REALM, moves=(Move("key-1", "current", "compromised"),), now=T0)
            expect(await copy.append_again(await log(store), LATER), 4)
            for session in sessions:
                ended = [(await stored(each, session)).ended_at is not None for each in (store, copy)]
                expect((session.id, ended[1]), (session.id, ended[0]))
                expect(
                    await copy.epochs(session.realm, session.subject),
                    await store.epochs(session.realm, session.subject),
                )
            expect([key.state for key in await copy.list_keys(REALM)], ["compromised"])
            of_the_store = [entry for entry in told(await log(store)) if entry.kind != "changed"]
            expect(sorted(told(await log(copy)), key=str), sorted(of_the_store, key=str))

    @with_store
    async def test_a_long_history_is_told_again_at_once(self, store: Store) -> None:
        lost = [an_entry("session", sid(number)) for number in range(MANY)]
        lost += [an_entry("subject", f"subject-{number}", epoch=1) for number in range(MANY // 10)]
        await create(store, a_session(0), a_session(MANY - 1), a_session(MANY))
        expect(await store.append_again(lost, LATER), len(lost))
        expect(sorted(told(await _all_of(store)), key=str), sorted(told(tuple(lost)), key=str))
        expect(ids(await store.list_sessions(REALM, "alice", LATER)), [sid(MANY)])
        expect(await store.append_again(lost, LATER), 0)

    # --- many at once -----------------------------------------------------------------------------------------

    @with_store
    async def test_fifty_who_tell_the_same_history_append_it_once(self, store: Store) -> None:
        sessions = [a_session(number) for number in range(8)]
        await create(store, *sessions)
        start = await head_of(store)
        lost = [an_entry("session", session.id) for session in sessions]
        lost += [an_entry("subject", "bob", epoch=2), an_entry("all", "", epoch=1, realm="other")]
        async with self.another(store) as other:
            outcomes = await crowd(
                lambda number: (store, other)[number % 2].append_again(lost[:: (-1) ** (number % 3)], LATER)
            )
            entries = await log(other)
        expect((sum(outcomes), len(entries)), (10, 10))
        expect(sorted(told(entries), key=str), sorted(told(tuple(lost)), key=str))
        expect([entry.number for entry in entries], list(range(start + 1, start + 11)))
        for session in sessions:
            expect(await stored(store, session), revoked(session))
        expect((await store.epochs(REALM, "bob"), await store.epochs("other", "x")), (Epochs(0, 2), Epochs(1, 0)))

    @with_store
    async def test_a_history_told_while_people_sign_in_leaves_no_session_of_before(self, store: Store) -> None:
        lost = [an_entry("subject", "alice", epoch=1)]
        async with self.another(store) as other:

            async def act(number: int) -> object:
                if number == CROWD // 2:
                    return await other.append_again(lost, LATER)
                return await (store, other)[number % 2].create_session(
                    a_session(number + 1), max_sessions=100, now=LATER
                )

            outcomes = await crowd(act)
        expect(outcomes.pop(CROWD // 2), 1)
        expect(count(outcomes, Created()) + count(outcomes, NotCreated.EPOCH_MOVED), CROWD - 1)
        expect(await store.list_sessions(REALM, "alice", LATER), ())
        expect(await store.epochs(REALM, "alice"), Epochs(0, 1))

    @with_store
    async def test_a_cancelled_telling_is_done_with_its_effects_or_not_at_all(self, store: Store) -> None:
        for turns in range(10):
            subject = f"subject-{turns}"
            sessions = [a_session(10 * turns + number, subject=subject) for number in (1, 2)]
            sessions.append(a_session(10 * turns + 3))
            await create(store, *sessions)
            head = await head_of(store)
            lost = [an_entry("session", sessions[2].id), an_entry("subject", subject, epoch=1)]
            task = asyncio.create_task(self._tell(store, lost))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            ended = [(await stored(store, session)).ended_at is not None for session in sessions]
            entries = (await store.poll(head)).entries
            expect((ended, len(entries)), ([bool(entries)] * 3, len(entries)))
            expect((await store.epochs(REALM, subject)).subject, len(entries) // 2)

    async def _tell(self, store: Store, lost: list[Entry]) -> int:
        return await store.append_again(lost, LATER)
