"""The revocation log, and cleaning up."""

from __future__ import annotations

from datetime import timedelta

from frontdesk.core.revocation import Entry
from frontdesk.core.throttle import Admitted, Tallies, ThrottlePolicy, admit, expiry
from frontdesk.stores.protocol import NotCreated, Store
from frontdesk.testing.suite.harness import (
    POLICY,
    REALM,
    T0,
    TICK,
    StoreHarness,
    a_key,
    a_session,
    an_account,
    attempt,
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

DAY = timedelta(days=1)
FAR = timedelta(days=2000)
"""Later than anything is kept."""


async def purge_all(store: Store, limit: int = 500) -> int:
    """Clean up what may go long after T0, in batches; how many records went."""
    total = 0
    for _ in range(1000):
        gone = await store.purge(T0 + FAR, limit=limit)
        assert 0 <= gone <= limit
        total += gone
        if gone < limit:
            return total
    raise AssertionError("purge never comes to an end")


class LogRules(StoreHarness):
    """Numbers, order, cursors."""

    @with_store
    async def test_entries_are_polled_in_order_without_gaps_from_any_cursor(self, store: Store) -> None:
        await create(store, *(a_session(number) for number in range(1, 8)))
        for number in (3, 1, 7, 5, 2, 6, 4):
            await store.end_session(REALM, sid(number), reason="revoked", now=T0)
        whole = await store.poll(0)
        expect([entry.target for entry in whole.entries], [sid(number) for number in (3, 1, 7, 5, 2, 6, 4)])
        first = whole.entries[0].number
        expect([entry.number for entry in whole.entries], list(range(first, first + 7)))
        expect(whole.cursor, whole.entries[-1].number)
        cursor = 0
        read: list[Entry] = []
        for size in (3, 3, 1):
            page = await store.poll(cursor, limit=3)
            expect(len(page.entries), size)
            read += page.entries
            cursor = page.cursor
        expect(tuple(read), whole.entries)
        end = await store.poll(cursor, limit=3)
        expect((end.entries, end.cursor), ((), cursor))

    @with_store
    async def test_fifty_endings_at_once_get_fifty_numbers_in_a_row(self, store: Store) -> None:
        await create(store, *(a_session(number) for number in range(50)))
        async with self.another(store) as other:
            await crowd(
                lambda number: (store, other)[number % 2].end_session(REALM, sid(number), reason="revoked", now=T0)
            )
            entries = await log(other)
        expect(await log(store), entries)
        first = entries[0].number
        expect([entry.number for entry in entries], list(range(first, first + 50)))
        expect({entry.target for entry in entries}, {sid(number) for number in range(50)})

    @with_store
    async def test_who_follows_the_log_while_it_grows_misses_nothing(self, store: Store) -> None:
        await create(store, *(a_session(number) for number in range(49)))
        followed: list[str] = []

        async def act(number: int) -> None:
            if number < 49:
                await store.end_session(REALM, sid(number), reason="revoked", now=T0)
                return
            cursor = 0
            for _ in range(60):
                page = await store.poll(cursor, limit=7)
                followed.extend(entry.target for entry in page.entries)
                cursor = page.cursor

        await crowd(act)
        expect(followed, [entry.target for entry in await log(store)][: len(followed)])

    @with_store
    async def test_the_log_of_all_realms_is_one_and_each_entry_names_its_realm(self, store: Store) -> None:
        await create(store, a_session(1), a_session(1, realm="other"))
        await store.end_session("other", sid(1), reason="revoked", now=T0)
        await store.end_subject(REALM, "alice", reason="revoked", now=T0)
        expect(await log_of(store), [("other", "session", sid(1)), (REALM, "subject", "alice")])

    @with_store
    async def test_the_history_of_a_store_has_one_name(self, store: Store) -> None:
        async with self.another(store) as other:
            for _ in range(2):
                name = (await store.poll(0)).history
                expect((bool(name), (await other.poll(0)).history), (True, name))
                await store.end_subject(REALM, "alice", reason="revoked", now=T0)
            async with self.open_store() as stranger:
                assert (await stranger.poll(0)).history != name


class PurgeRules(StoreHarness):
    """Nothing goes too early, and everything goes in the end."""

    @with_store
    async def test_a_session_goes_one_day_after_its_limit_or_seven_after_it_ended(self, store: Store) -> None:
        expired = a_session(1, expires_at=T0 + 2 * DAY)
        await create(store, expired)
        for moment, gone in ((T0 + 3 * DAY - TICK, 0), (T0 + 3 * DAY, 1)):
            expect(await store.purge(moment), gone)
            expect(await store.read_session(REALM, sid(1)), None if gone else expired)
        await create(store, a_session(2))
        await store.end_session(REALM, sid(2), reason="revoked", now=T0)
        await store.purge(T0 + DAY)  # its entry goes earlier
        for moment, gone in ((T0 + 7 * DAY - TICK, 0), (T0 + 7 * DAY, 1)):
            expect(await store.purge(moment), gone)
        expect(await store.read_session(REALM, sid(2)), None)
        expect(await store.list_sessions(REALM, "alice", T0), ())

    @with_store
    async def test_a_session_idle_for_too_long_is_kept_until_its_absolute_limit(self, store: Store) -> None:
        idle = a_session(1)
        await create(store, idle)
        expect(await store.purge(idle.idle_at + DAY), 0)
        expect(await stored(store, idle), idle)

    @with_store
    async def test_an_entry_is_kept_until_it_expires_and_its_number_is_not_used_again(self, store: Store) -> None:
        await create(store, a_session(1))
        await store.end_session(REALM, sid(1), reason="revoked", now=T0)
        (entry,) = await log(store)
        expect(await store.purge(entry.expires_at - TICK), 0)
        expect(await log(store), (entry,))
        expect(await store.purge(entry.expires_at), 1)
        expect(await log(store), ())
        await store.end_subject(REALM, "alice", reason="revoked", now=T0)
        page = await store.poll(entry.number)
        expect([(each.target, each.number) for each in page.entries], [("alice", entry.number + 1)])

    @with_store
    async def test_a_value_is_kept_until_it_expires_and_its_key_is_free_after(self, store: Store) -> None:
        for key in (b"waiting", b"consumed"):
            await store.put_once(REALM, "state", key, b"v", expires_at=T0 + DAY)
        await store.consume(REALM, "state", b"consumed", T0)
        expect(await store.purge(T0 + DAY - TICK), 0)
        expect(await store.put_once(REALM, "state", b"consumed", b"w", expires_at=T0 + DAY), False)
        expect(await store.purge(T0 + DAY), 2)
        expect(await store.consume(REALM, "state", b"waiting", T0), None)
        expect(await store.put_once(REALM, "state", b"consumed", b"w", expires_at=T0 + FAR), True)

    @with_store
    async def test_tallies_go_when_they_count_nothing_any_more(self, store: Store) -> None:
        policy = ThrottlePolicy()
        for number in range(policy.free_failures):
            await store.admit_attempt(REALM, attempt(1, number), T0, policy)
        expect(await store.purge(T0), 0)
        assert await store.admit_attempt(REALM, attempt(1, 99), T0, policy) is not None
        tallies = 1 + 2 * policy.free_failures  # one account, five networks, five pairs
        expect(await purge_all(store), tallies)
        expect(await store.admit_attempt(REALM, attempt(1, 1), T0, policy), None)

    @with_store
    async def test_a_tally_is_kept_until_the_microsecond_before_it_expires(self, store: Store) -> None:
        policy = ThrottlePolicy()
        admitted = admit(Tallies(), T0, policy)
        assert isinstance(admitted, Admitted)
        await store.admit_attempt(REALM, attempt(1), T0, policy)
        tallies = (admitted.tallies.account, admitted.tallies.network, admitted.tallies.pair)
        for moment in sorted(expiry(tally) for tally in tallies if tally is not None):
            expect((await store.purge(moment - TICK), await store.purge(moment)), (0, 1))

    @with_store
    async def test_what_is_still_needed_survives_every_clean_up(self, store: Store) -> None:
        await store.create_account(an_account(1))
        await store.add_key(a_key(1))
        old = await store.epochs(REALM, "alice")
        await store.end_subject(REALM, "alice", reason="revoked", now=T0)
        epochs = await store.epochs(REALM, "alice")
        standing = a_session(1, subject="bob", expires_at=T0 + FAR, idle_timeout=FAR)
        await create(store, standing)
        await purge_all(store)
        expect(await store.account_by_email(REALM, "1@example.com"), an_account(1))
        expect(await store.list_keys(REALM), (a_key(1),))
        expect(await stored(store, standing), standing)
        expect(await store.epochs(REALM, "alice"), epochs)
        late = await store.create_session(a_session(2, epochs=old), max_sessions=9, now=T0)
        expect(late, NotCreated.EPOCH_MOVED)

    @with_store
    async def test_a_clean_up_removes_no_more_than_it_may_and_comes_to_an_end(self, store: Store) -> None:
        await create(store, *(a_session(number) for number in range(12)))
        for number in range(5):
            await store.end_session(REALM, sid(number), reason="revoked", now=T0)
        for number in range(4):
            await store.put_once(REALM, "state", bytes((number,)), b"v", expires_at=T0)
        expect(await store.purge(T0 + FAR, limit=10), 10)
        expect(await purge_all(store, limit=4), 12 + 5 + 4 - 10)
        expect(await store.purge(T0 + FAR), 0)
        expect((await log(store), await store.list_sessions(REALM, "alice", T0)), ((), ()))

    @with_store
    async def test_fifty_clean_ups_at_once_count_each_record_once(self, store: Store) -> None:
        await create(store, *(a_session(number) for number in range(40)))
        gone = await crowd(lambda _: store.purge(T0 + FAR, limit=3))
        expect((sum(gone), count(gone, 0)), (40, 50 - 14))

    @with_store
    async def test_a_clean_up_that_meets_refreshes_takes_no_standing_session(self, store: Store) -> None:
        sessions = [a_session(number) for number in range(1, 11)]
        await create(store, *sessions)
        now = T0 + timedelta(hours=1)

        async def act(number: int) -> object:
            if number % 5 == 0:
                return await store.purge(now)
            return await store.rotate(REALM, sid(1 + number % 10), 0, now, POLICY)

        await crowd(act)
        expect(len(ids(await store.list_sessions(REALM, "alice", now))), 10)
