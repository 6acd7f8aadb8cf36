"""Following the log: its head, and a poll that waits for what is not there yet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Final

from frontdesk.core.keyring import Move
from frontdesk.errors import StoreError
from frontdesk.stores.protocol import Poll, Store
from frontdesk.testing.suite.harness import (
    POLICY,
    REALM,
    T0,
    StoreHarness,
    a_key,
    a_session,
    an_account,
    an_entry,
    create,
    crowd,
    expect,
    head_of,
    log,
    sid,
    with_store,
)

FAR: Final = timedelta(days=2000)
SHORT: Final = timedelta(milliseconds=5)
LATER: Final = T0 + timedelta(hours=1)
_BEGINNING: Final = 0.02
"""How long a poll is given to reach the point where it waits. No outcome depends on it: whether a poll began before or
after the entry was appended, it answers with it; but only one that began before shows that it is woken."""

# Everything that appends, on a store that `_prepare` made; ending the realm comes last.
APPENDING: Final[dict[str, Callable[[Store], Awaitable[object]]]] = {
    "end_session": lambda s: s.end_session(REALM, sid(1), reason="revoked", now=LATER),
    "create_session that replaces": lambda s: s.create_session(
        a_session(20, subject="dora"), replaces=[sid(2)], max_sessions=9, now=LATER
    ),
    "create_session that displaces": lambda s: s.create_session(
        a_session(21, subject="dora"), max_sessions=1, now=LATER
    ),
    "rotate, reuse": lambda s: s.rotate(REALM, sid(3), 0, LATER, POLICY),
    "update_subject": lambda s: s.update_subject(REALM, "alice", roles=("x",), scope=None, claims=None, now=LATER),
    "end_subject, keep": lambda s: s.end_subject(REALM, "alice", reason="revoked", now=LATER, keep=sid(4)),
    "end_subject": lambda s: s.end_subject(REALM, "alice", reason="revoked", now=LATER),
    "remove_account": lambda s: s.remove_account(REALM, "subject-1", now=LATER),
    "rotate_keys": lambda s: s.rotate_keys(REALM, moves=(Move("key-1", "current", "compromised"),), now=LATER),
    "append_again": lambda s: s.append_again((an_entry("session", sid(99), at=LATER),), LATER),
    "end_session elsewhere": lambda s: s.end_session("other", sid(1), reason="revoked", now=LATER),
    "end_realm": lambda s: s.end_realm(REALM, reason="revoked", now=LATER),
}


async def _prepare(store: Store) -> None:
    await create(store, *(a_session(number, generation=3, parent=2, minted_at=T0) for number in range(1, 7)))
    await create(store, a_session(1, realm="other"))
    await store.create_account(an_account(1))
    await store.add_key(a_key(1))


class HeadRules(StoreHarness):
    """The head of the log, and what it says of a page."""

    @with_store
    async def test_the_head_is_the_highest_number_and_a_page_that_reaches_it_is_complete(self, store: Store) -> None:
        empty = await store.poll(0)
        expect((empty.entries, empty.cursor, empty.complete), ((), empty.head, True))
        await create(store, *(a_session(number) for number in range(7)))
        for number in range(7):
            await store.end_session(REALM, sid(number), reason="revoked", now=T0)
        entries = await log(store)
        async with self.another(store) as other:
            cursor = empty.head
            for first, last, complete in ((0, 3, False), (3, 6, False), (6, 7, True), (7, 7, True)):
                page = await other.poll(cursor, limit=3)
                expect((page.entries, page.complete), (entries[first:last], complete))
                expect((page.cursor, page.head), (entries[last - 1].number, entries[-1].number))
                cursor = page.cursor
            exact = await other.poll(empty.head, limit=7)
            expect((exact.entries, exact.cursor, exact.complete), (entries, exact.head, True))

    @with_store
    async def test_the_cursor_reaches_the_head_also_when_the_end_of_the_log_was_cleaned_up(self, store: Store) -> None:
        start = await head_of(store)
        for number in (1, 2, 3):
            await store.end_subject(REALM, f"subject-{number}", reason="revoked", now=T0)
        first, _, last = await log(store)
        await store.purge(T0 + FAR)
        for cursor in (0, start, first.number, last.number):
            page = await store.poll(cursor)
            expect((page.entries, page.cursor, page.head), ((), last.number, last.number))
        await store.close()
        async with self.another(store) as again:
            page = await again.poll(first.number)
            expect((page.entries, page.cursor, page.head, page.complete), ((), last.number, last.number, True))

    @with_store
    async def test_who_asks_beyond_the_head_is_told_the_head(self, store: Store) -> None:
        await store.end_subject(REALM, "alice", reason="revoked", now=T0)
        head = await head_of(store)
        for cursor in (head, head + 1, head + 1000):
            page = await store.poll(cursor)
            expect((page.entries, page.head), ((), head))

    @with_store
    async def test_a_store_that_tells_its_time_tells_it_in_utc(self, store: Store) -> None:
        told = (await store.poll(0)).store_time
        assert told is None or told.utcoffset() == timedelta(0), told


class WaitRules(StoreHarness):
    """A poll that waits."""

    @with_store
    async def test_a_waiting_poll_is_woken_by_an_entry_of_another_store(self, store: Store) -> None:
        async with self.another(store) as other:
            for asked, acting in ((store, other), (other, store)):
                async with self._waiting(asked, await head_of(store)) as waiting:
                    await acting.end_subject(REALM, "alice", reason="revoked", now=T0)
                    page = await self._in_time(waiting)
                expect(page.entries, (await log(store))[-1:])
                expect((page.cursor, page.head, page.complete), (page.entries[-1].number, page.cursor, True))

    @with_store
    async def test_every_kind_of_entry_wakes_a_waiting_poll(self, store: Store) -> None:
        await _prepare(store)
        async with self.another(store) as other:
            for name, append in APPENDING.items():
                async with self._waiting(store, await head_of(store)) as waiting:
                    await append(other)
                    page = await self._in_time(waiting)
                assert page.entries, f"{name} woke nobody, or too early"
                expect((name, page.entries[0]), (name, (await store.poll(page.entries[0].number - 1)).entries[0]))

    @with_store
    async def test_one_entry_wakes_all_who_wait_on_whatever_store(self, store: Store) -> None:
        async with self.another(store) as other:
            cursor = await head_of(store)
            polls = [(store, other)[number % 2].poll(cursor, wait=self._long) for number in range(10)]
            tasks = [asyncio.create_task(poll) for poll in polls]
            await asyncio.wait(tasks, timeout=_BEGINNING)
            await store.end_subject(REALM, "alice", reason="revoked", now=T0)
            pages = [await self._in_time(task) for task in tasks]
            entries = await log(store)
        expect([page.entries for page in pages], [entries] * 10)

    @with_store
    async def test_what_is_there_already_is_told_without_waiting(self, store: Store) -> None:
        start = await head_of(store)
        for number in (1, 2, 3):
            await store.end_subject(REALM, f"subject-{number}", reason="revoked", now=T0)
        entries = await log(store)
        for cursor, limit, expected in (
            (start, 1000, entries),
            (start, 2, entries[:2]),
            (entries[1].number, 2, entries[2:]),
        ):
            task = asyncio.create_task(store.poll(cursor, limit=limit, wait=self._long))
            page = await self._in_time(task)
            expect((page.entries, page.cursor), (expected, expected[-1].number))

    @with_store
    async def test_who_asks_beyond_the_head_is_told_so_without_waiting(self, store: Store) -> None:
        await create(store, a_session(1))
        await store.end_session(REALM, sid(1), reason="revoked", now=T0)
        head = await head_of(store)
        page = await self._in_time(asyncio.create_task(store.poll(head + 5, wait=FAR)))
        expect((page.entries, page.head), ((), head))

    @with_store
    async def test_a_wait_that_nothing_ends_is_over_in_its_time(self, store: Store) -> None:
        await store.end_subject(REALM, "alice", reason="revoked", now=T0)
        head = await head_of(store)
        for wait in (timedelta(0), timedelta(microseconds=1), SHORT):
            page = await self._in_time(asyncio.create_task(store.poll(head, wait=wait)))
            expect((page.entries, page.cursor, page.head, page.complete), ((), head, head, True))

    @with_store
    async def test_who_follows_by_waiting_misses_nothing_of_what_many_append(self, store: Store) -> None:
        await create(store, *(a_session(number) for number in range(50)))
        start = await head_of(store)
        async with self.another(store) as other:

            async def follow() -> list[str]:
                seen: list[str] = []
                cursor = start
                while len(seen) < 50:
                    page = await store.poll(cursor, limit=7, wait=self._long)
                    seen += [entry.target for entry in page.entries]
                    cursor = page.cursor
                return seen

            following = asyncio.create_task(follow())
            await crowd(
                lambda number: (store, other)[number % 2].end_session(REALM, sid(number), reason="revoked", now=T0)
            )
            await asyncio.wait({following}, timeout=self.patience.total_seconds())
            assert following.done(), "who follows the log was not woken for all of it"
        expect(await following, [entry.target for entry in await log(store)])

    @with_store
    async def test_a_store_goes_on_after_waiting_polls_were_cancelled(self, store: Store) -> None:
        cursor = await head_of(store)
        tasks = [asyncio.create_task(store.poll(cursor, wait=self._long)) for _ in range(20)]
        for number, task in enumerate(tasks):
            if number == 10:
                await asyncio.wait(tasks, timeout=_BEGINNING)
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        expect([each for each in outcomes if not isinstance(each, asyncio.CancelledError)], [])
        async with self._waiting(store, cursor) as waiting:
            await store.end_subject(REALM, "alice", reason="revoked", now=T0)
            page = await self._in_time(waiting)
        expect(page.entries, await log(store))
        await store.check()

    @with_store
    async def test_closing_a_store_ends_the_polls_that_wait(self, store: Store) -> None:
        async with self._waiting(store, await head_of(store)) as waiting:
            closing = asyncio.create_task(store.close())
            await asyncio.wait({closing, waiting}, timeout=self.patience.total_seconds())
            assert closing.done(), "the store waits for those who wait for it"
            assert waiting.done(), "a poll went on waiting on a closed store"
            await closing
            try:
                expect((await waiting).entries, ())
            except StoreError:
                return

    @property
    def _long(self) -> timedelta:
        return 3 * self.patience

    @asynccontextmanager
    async def _waiting(self, store: Store, cursor: int) -> AsyncIterator[asyncio.Task[Poll]]:
        """A poll that has begun to wait."""
        task = asyncio.create_task(store.poll(cursor, wait=self._long))
        try:
            await asyncio.wait({task}, timeout=_BEGINNING)
            yield task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError, StoreError):
                await task

    async def _in_time(self, task: asyncio.Task[Poll]) -> Poll:
        """What the poll answers, long before its own wait is over."""
        await asyncio.wait({task}, timeout=self.patience.total_seconds())
        assert task.done(), "a poll was not woken, or waited for what was there"
        return await task
