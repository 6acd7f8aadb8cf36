"""Sessions are inserted, found, listed and touched; what is not allowed changes nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from frontdesk.core.sessions import Epochs, Session
from frontdesk.stores.protocol import ASK, Created, Ended, NotCreated, Store
from frontdesk.testing.suite.harness import (
    POLICY,
    REALM,
    T0,
    TICK,
    StoreHarness,
    a_session,
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

FOUR_BYTES = "\U0001f6ce\U00010348"  # characters of four bytes in UTF-8

RECORDS: dict[str, dict[str, Any]] = {
    "as it is made": {},
    "empty text": {"subject": "", "device": "", "address": "", "roles": ("",), "amr": (), "scope": ()},
    "text of four-byte characters": {
        "subject": FOUR_BYTES,
        "device": FOUR_BYTES * 50,
        "roles": (FOUR_BYTES, "b", "a"),
        "claims": {FOUR_BYTES: FOUR_BYTES},
    },
    "text that looks like syntax": {"subject": "a'b\"c\\d%_;--\r\n", "device": "NULL", "address": "2001:db8::1"},
    "claims of 64 KiB": {"claims": {"large": "x" * 65_536}},
    "claims of every JSON type": {"claims": {"n": None, "t": True, "i": -(2**53), "f": 0.5, "l": [1, [], {}], "o": {}}},
    "an opaque bearer session": {"credential": "session", "transport": "bearer", "refresh_in": None},
    "a refresh token in the body": {"transport": "bearer", "refresh_in": "body", "remember": False},
    "many of everything": {"amr": ("pwd", "otp"), "roles": ("b", "a", "b"), "scope": ("read", "write")},
    "each time on its own microsecond": {
        "auth_time": T0 - TICK,
        "last_seen_at": T0 + TICK,
        "minted_at": T0 + 2 * TICK,
        "expires_at": T0 + POLICY.absolute + 3 * TICK,
        "idle_timeout": timedelta(days=3, microseconds=1),
    },
    "the largest numbers of a token": {"generation": 2**32 - 1, "parent": 2**32 - 2},
    "a salt with every kind of byte": {"salt": bytes((0, 255, 128, 10, 13, 39, 34, 92, *range(8)))},
}


class SessionRules(StoreHarness):
    """Insertion, reading, listing, touching."""

    @with_store
    async def test_every_field_of_a_session_comes_back_as_it_was_written(self, store: Store) -> None:
        for number, (name, changes) in enumerate(RECORDS.items(), start=1):
            session = a_session(number, **changes)
            await create(store, session)
            assert await store.read_session(REALM, session.id) == session, name
            (listed,) = [row for row in await store.list_sessions(REALM, session.subject, T0) if row.id == session.id]
            assert listed == session, name

    @with_store
    async def test_a_session_does_not_share_its_claims_with_the_caller(self, store: Store) -> None:
        claims = {"plan": ["basic"]}
        session = a_session(claims=claims)
        await create(store, session)
        claims["plan"].append("forged")
        read = await stored(store, session)
        expect(dict(read.claims), {"plan": ["basic"]})
        read.claims["plan"].append("forged")
        expect(dict((await stored(store, session)).claims), {"plan": ["basic"]})

    @with_store
    async def test_what_is_not_found_is_none_or_false(self, store: Store) -> None:
        await create(store, a_session(1))
        assert store.peek_session(REALM, sid(2)) in (None, ASK)
        expect(await store.read_session(REALM, sid(2)), None)
        expect(await store.touch_session(REALM, sid(2), T0), False)
        expect(await store.rotate(REALM, sid(2), 0, T0, POLICY), None)
        expect(await store.end_session(REALM, sid(2), reason="revoked", now=T0), None)
        expect(await store.list_sessions(REALM, "nobody", T0), ())
        expect(await store.epochs(REALM, "nobody"), Epochs())
        expect(await store.read_session(REALM, sid(2)), None)
        expect(await log(store), ())

    @with_store
    async def test_peek_answers_like_read_or_asks_to_be_awaited(self, store: Store) -> None:
        session = a_session()
        await create(store, session)
        assert store.peek_session(REALM, session.id) in (session, ASK)
        await store.end_session(REALM, session.id, reason="revoked", now=T0)
        assert store.peek_session(REALM, session.id) in (await stored(store, session), ASK)

    @with_store
    async def test_peek_and_read_see_every_write_that_another_store_acknowledged(self, store: Store) -> None:
        session = a_session()
        async with self.another(store) as writer:
            await create(writer, session)
            assert store.peek_session(REALM, session.id) in (session, ASK)
            expect(await store.read_session(REALM, session.id), session)
            seen_at = session.last_seen_at + TICK
            await writer.touch_session(REALM, session.id, seen_at)
            touched = msgspec.structs.replace(session, last_seen_at=seen_at)
            assert store.peek_session(REALM, session.id) in (touched, ASK)
            ended = await writer.end_session(REALM, session.id, reason="revoked", now=seen_at)
            assert ended is not None
            assert store.peek_session(REALM, session.id) in (ended.session, ASK)
            expect(await store.read_session(REALM, session.id), ended.session)

    # --- the id -----------------------------------------------------------------------------------------------

    @with_store
    async def test_an_id_is_used_once_whether_its_session_stands_expired_or_ended(self, store: Store) -> None:
        standing, expired, ended = a_session(1), a_session(2, expires_at=T0), a_session(3)
        await create(store, standing, expired, ended)
        await store.end_session(REALM, ended.id, reason="signed_out", now=T0)
        before = [await stored(store, session) for session in (standing, expired, ended)]
        for session in (standing, expired, ended):
            for subject in ("alice", "mallory"):
                again = msgspec.structs.replace(session, subject=subject, salt=b"another salt 123")
                outcome = await store.create_session(again, replaces=[sid(1)], max_sessions=1, now=T0)
                expect(outcome, NotCreated.ID_TAKEN)
        expect([await stored(store, session) for session in (standing, expired, ended)], before)
        expect(await log_of(store), [(REALM, "session", ended.id)])

    @with_store
    async def test_of_fifty_creations_with_one_id_exactly_one_succeeds(self, store: Store) -> None:
        async with self.another(store) as other:

            async def create_one(number: int) -> Created | NotCreated:
                session = a_session(1, subject=f"subject-{number}")
                where = (store, other)[number % 2]
                return await where.create_session(session, max_sessions=5, now=T0)

            outcomes = await crowd(create_one)
        expect((count(outcomes, Created()), count(outcomes, NotCreated.ID_TAKEN)), (1, 49))
        winner = (await stored(store, a_session(1))).subject
        expect(winner, f"subject-{outcomes.index(Created())}")

    @with_store
    async def test_one_id_in_two_realms_is_two_sessions(self, store: Store) -> None:
        here, there = a_session(realm="here"), a_session(realm="there", device="other")
        await create(store, here, there)
        expect(await store.read_session("here", here.id), here)
        expect(await store.read_session("there", there.id), there)
        expect(await store.read_session("nowhere", here.id), None)
        await store.touch_session("here", here.id, T0 + timedelta(hours=1))
        await store.rotate("here", here.id, 0, T0 + timedelta(hours=2), POLICY)
        await store.end_session("here", here.id, reason="revoked", now=T0 + timedelta(hours=3))
        expect(await store.read_session("there", there.id), there)
        expect(await store.list_sessions("there", "alice", T0), (there,))
        expect(await store.list_sessions("here", "alice", T0), ())

    # --- what a new session ends ------------------------------------------------------------------------------

    @with_store
    async def test_a_replaced_session_ends_with_an_entry_whichever_subject_it_has(self, store: Store) -> None:
        for number, subject in ((1, "alice"), (3, "bob")):
            await create(store, a_session(number, subject=subject))
            now = T0 + timedelta(minutes=number)
            outcome = await store.create_session(a_session(number + 1), replaces=[sid(number)], max_sessions=9, now=now)
            row = await stored(store, a_session(number))
            expect((row.ended_at, row.end_reason), (now, "replaced"))
            expect(outcome, Created((row,)))
        expect(await log_of(store), [(REALM, "session", sid(1)), (REALM, "session", sid(3))])

    @with_store
    async def test_a_session_that_ended_is_not_replaced_and_an_expired_one_is(self, store: Store) -> None:
        ended, expired = a_session(1), a_session(2, expires_at=T0)
        await create(store, ended, expired)
        await store.end_session(REALM, ended.id, reason="signed_out", now=T0)
        expect(await store.create_session(a_session(3), replaces=[sid(1)], max_sessions=9, now=T0), Created())
        expect((await stored(store, ended)).end_reason, "signed_out")
        await store.create_session(a_session(4), replaces=[sid(2)], max_sessions=9, now=T0)
        # A node whose clock is behind may believe that it still stands.
        expect((await stored(store, expired)).end_reason, "replaced")

    @with_store
    async def test_a_session_to_be_replaced_is_looked_for_in_its_own_realm_only(self, store: Store) -> None:
        foreign = a_session(1, realm="other")
        await create(store, foreign)
        for replaces in (foreign.id, sid(99)):
            session = a_session(50 if replaces == foreign.id else 51)
            expect(await store.create_session(session, replaces=[replaces], max_sessions=9, now=T0), Created())
        expect(await store.read_session("other", foreign.id), foreign)
        expect(await log(store), ())

    @with_store
    async def test_the_oldest_sessions_end_until_the_new_one_fits(self, store: Store) -> None:
        same_age = [a_session(number, created_at=T0) for number in (3, 1, 2)]
        await create(store, a_session(7), *same_age, a_session(9))
        outcome = await store.create_session(a_session(10), max_sessions=3, now=T0)
        assert isinstance(outcome, Created)
        expect(ids(outcome.ended), [sid(1), sid(2), sid(3)])
        expect({(row.end_reason, row.ended_at) for row in outcome.ended}, {("evicted", T0)})
        expect(outcome.ended, tuple([await stored(store, row) for row in outcome.ended]))
        expect(ids(await store.list_sessions(REALM, "alice", T0)), [sid(10), sid(9), sid(7)])
        expect(await log_of(store), [(REALM, "session", sid(number)) for number in (1, 2, 3)])

    @with_store
    async def test_only_standing_sessions_of_the_same_subject_and_realm_are_displaced(self, store: Store) -> None:
        idle = a_session(1, last_seen_at=T0 - POLICY.idle)
        expired = a_session(2, expires_at=T0)
        ended, other, elsewhere = a_session(3), a_session(4, subject="bob"), a_session(5, realm="other")
        mine = a_session(6)
        await create(store, idle, expired, ended, other, elsewhere, mine)
        await store.end_session(REALM, ended.id, reason="signed_out", now=T0)
        expect(await store.create_session(a_session(7), max_sessions=2, now=T0), Created())
        for session in (idle, expired, other, elsewhere, mine):
            expect(await store.read_session(session.realm, session.id), session)

    @with_store
    async def test_a_replaced_session_makes_room_and_is_reported_first(self, store: Store) -> None:
        await create(store, *(a_session(number) for number in (1, 2, 3)))
        outcome = await store.create_session(a_session(4), replaces=[sid(3)], max_sessions=2, now=T0)
        assert isinstance(outcome, Created)
        expect([(row.id, row.end_reason) for row in outcome.ended], [(sid(3), "replaced"), (sid(1), "evicted")])
        expect(await log_of(store), [(REALM, "session", sid(3)), (REALM, "session", sid(1))])

    @with_store
    async def test_a_new_session_is_never_the_one_displaced(self, store: Store) -> None:
        later = a_session(100)
        await create(store, later)
        earlier = a_session(1, created_at=T0 - timedelta(days=1))  # the clock stepped back
        outcome = await store.create_session(earlier, max_sessions=1, now=T0)
        assert isinstance(outcome, Created)
        expect(ids(outcome.ended), [later.id])
        expect(await store.list_sessions(REALM, "alice", T0), (earlier,))

    @with_store
    async def test_fifty_sign_ins_at_once_leave_as_many_sessions_as_are_allowed(self, store: Store) -> None:
        async with self.another(store) as other:

            async def sign_in(number: int) -> Created | NotCreated:
                where = (store, other)[number % 2]
                session = a_session(number + 1)
                return await where.create_session(session, max_sessions=5, now=T0)

            outcomes = await crowd(sign_in)
        ended = [row.id for outcome in outcomes if isinstance(outcome, Created) for row in outcome.ended]
        standing = ids(await store.list_sessions(REALM, "alice", T0))
        expect((len(standing), len(ended)), (5, 45))
        expect(sorted(standing + ended), sorted(sid(number + 1) for number in range(50)))
        expect(sorted(await log_of(store)), sorted((REALM, "session", each) for each in ended))

    # --- time -------------------------------------------------------------------------------------------------

    @with_store
    async def test_a_session_is_listed_until_the_microsecond_before_its_limits(self, store: Store) -> None:
        absolute = a_session(1, expires_at=T0 + timedelta(days=1))
        idle = a_session(2, last_seen_at=T0, idle_timeout=timedelta(days=2))
        await create(store, absolute, idle)
        for session, limit in ((absolute, absolute.expires_at), (idle, idle.idle_at)):
            for moment, listed in ((limit - TICK, True), (limit, False), (limit + TICK, False)):
                found = await store.list_sessions(REALM, "alice", moment)
                assert (session in found) is listed, (session.id, moment)
                expect(await store.read_session(REALM, session.id), session)

    @with_store
    async def test_sessions_are_listed_newest_first_and_only_those_that_stand(self, store: Store) -> None:
        await create(store, *(a_session(number) for number in (2, 4, 1, 3)), a_session(5, subject="bob"))
        await store.end_session(REALM, sid(3), reason="revoked", now=T0)
        expect(ids(await store.list_sessions(REALM, "alice", T0)), [sid(4), sid(2), sid(1)])

    @with_store
    async def test_touching_moves_the_last_use_forward_only_and_nothing_else(self, store: Store) -> None:
        session = a_session(1)
        await create(store, session)
        later = session.last_seen_at + TICK
        for seen_at, moved in ((session.last_seen_at, False), (later, True), (later, False), (T0, False)):
            expect(await store.touch_session(REALM, session.id, seen_at), moved)
        expect(await stored(store, session), msgspec.structs.replace(session, last_seen_at=later))

    @with_store
    async def test_touching_never_helps_an_expired_or_ended_session(self, store: Store) -> None:
        absolute = a_session(1, expires_at=T0 + timedelta(days=1))
        idle = a_session(2, last_seen_at=T0, idle_timeout=timedelta(days=2))
        ended = a_session(3)
        await create(store, absolute, idle, ended)
        await store.end_session(REALM, ended.id, reason="signed_out", now=T0)
        gone = await stored(store, ended)
        expect(await store.touch_session(REALM, ended.id, ended.last_seen_at + TICK), False)
        for session, limit in ((absolute, absolute.expires_at), (idle, idle.idle_at)):
            for moment, moved in ((limit + TICK, False), (limit, False), (limit - TICK, True)):
                expect(await store.touch_session(REALM, session.id, moment), moved)
        expect(await stored(store, ended), gone)

    @with_store
    async def test_fifty_touches_at_once_leave_the_latest(self, store: Store) -> None:
        session: Session = a_session(1)
        await create(store, session)
        moments = [session.last_seen_at + TICK * (1 + (number * 7) % 50) for number in range(50)]
        await crowd(lambda number: store.touch_session(REALM, session.id, moments[number]))
        expect((await stored(store, session)).last_seen_at, max(moments))


class TouchRules(StoreHarness):
    """`touch_sessions`: what many requests have seen, in one call."""

    @with_store
    async def test_many_sessions_are_touched_as_each_would_be_by_itself(self, store: Store) -> None:
        ended, expired = a_session(3), a_session(4, expires_at=T0 + timedelta(hours=1))
        idle, elsewhere = a_session(5, idle_timeout=timedelta(hours=1)), a_session(6, realm="other")
        await create(store, a_session(1), a_session(2), ended, expired, idle, elsewhere)
        await store.end_session(REALM, ended.id, reason="signed_out", now=T0)
        gone = await stored(store, ended)
        later = T0 + timedelta(hours=2)
        seen = {sid(number): later + number * TICK for number in range(1, 9)}
        expect(await store.touch_sessions(REALM, seen, every=timedelta(minutes=1)), 2)
        for number in (1, 2):
            expected = msgspec.structs.replace(a_session(number), last_seen_at=seen[sid(number)])
            expect(await stored(store, expected), expected)
        for untouched in (gone, expired, idle, elsewhere):
            expect(await stored(store, untouched), untouched)
        for number in (6, 7, 8):
            expect(await store.read_session(REALM, sid(number)), None)
        expect(await store.touch_sessions(REALM, {}, every=timedelta(0)), 0)

    @with_store
    async def test_what_was_seen_more_lately_than_every_is_left_alone(self, store: Store) -> None:
        session = a_session(1)
        await create(store, session)
        every = timedelta(minutes=1)
        at = session.last_seen_at
        for moment, moved in ((at + every - TICK, 0), (at + every, 1), (at + 2 * every - TICK, 0)):
            expect(await store.touch_sessions(REALM, {session.id: moment}, every=every), moved)
        expect(await stored(store, session), msgspec.structs.replace(session, last_seen_at=at + every))

    @with_store
    async def test_touching_many_never_moves_a_last_use_back(self, store: Store) -> None:
        await create(store, a_session(1), a_session(2))
        at = a_session(1).last_seen_at
        seen = {sid(1): at - TICK, sid(2): a_session(2).last_seen_at + TICK}
        for moved in (1, 0):
            expect(await store.touch_sessions(REALM, seen, every=timedelta(0)), moved)
        expect(await store.touch_sessions(REALM, {sid(1): at}, every=timedelta(0)), 0)
        expect((await stored(store, a_session(1))).last_seen_at, at)

    @with_store
    async def test_of_fifty_nodes_that_saw_the_same_each_session_moves_once(self, store: Store) -> None:
        sessions = [a_session(number) for number in range(20)]
        await create(store, *sessions)
        later = T0 + timedelta(hours=1)
        seen = dict.fromkeys(ids(sessions), later)
        async with self.another(store) as other:
            outcomes = await crowd(
                lambda number: (store, other)[number % 2].touch_sessions(REALM, seen, every=timedelta(minutes=1))
            )
        expect(sum(outcomes), 20)
        for session in sessions:
            expect(await stored(store, session), msgspec.structs.replace(session, last_seen_at=later))

    @with_store
    async def test_touches_of_many_that_meet_an_ending_and_refreshes_undo_nothing(self, store: Store) -> None:
        await create(store, a_session(1), a_session(2))
        later = T0 + timedelta(hours=1)

        async def act(number: int) -> object:
            if number == 25:
                return await store.end_session(REALM, sid(1), reason="revoked", now=later)
            if number % 5 == 0:
                return await store.rotate(REALM, sid(2), 0, later, POLICY)
            seen = dict.fromkeys((sid(1), sid(2)), later + number * TICK)
            return await store.touch_sessions(REALM, seen, every=timedelta(0))

        outcomes = await crowd(act)
        expect(outcomes[25], Ended(await stored(store, a_session(1)), now=True))
        row = await stored(store, a_session(2))
        expect((row.generation, row.last_seen_at), (1, later + 49 * TICK))
