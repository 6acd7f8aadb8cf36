"""Opening and closing, faults, cancellation, and what lies on the disk."""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64decode
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

from frontdesk.core.credentials import MacKey, mint_refresh_token, mint_session_token
from frontdesk.core.keyring import Move
from frontdesk.core.rotation import Outcome
from frontdesk.core.services import credential_digest, credential_of
from frontdesk.core.sessions import Session
from frontdesk.core.throttle import ThrottlePolicy
from frontdesk.errors import StoreError
from frontdesk.stores.protocol import ASK, Ask, Created, Store
from frontdesk.testing.suite.harness import (
    POLICY,
    REALM,
    T0,
    StoreHarness,
    a_key,
    a_service,
    a_session,
    an_account,
    an_entry,
    attempt,
    create,
    crowd,
    expect,
    ids,
    log_of,
    sid,
    stored,
    with_store,
)

LATER = T0 + POLICY.idle / 2
THROTTLE = ThrottlePolicy()
DUMP_SECRET: Final = b"a master secret of thirty-two b. "
DUMP_SALT: Final = b"salt-in-the-dump"
DUMP_CREDENTIAL: Final = credential_of(b"random bytes of a credential: 32")
Call = Callable[[Store], Awaitable[object]]


async def _page_of(store: Store) -> object:
    """A page without what may differ from one opening to the next: the name of the history and the store's clock."""
    page = await store.poll(0)
    return page.entries, page.cursor, page.head


# What another store knew of the one that `_prepare` made.
LOST: Final = (
    an_entry("session", sid(1), at=LATER),
    an_entry("subject", "alice", at=LATER, epoch=3),
    an_entry("key", "key-1", at=LATER),
    an_entry("all", "", at=LATER, epoch=2),
)

# Each writes something on a store prepared by `_prepare`; `check` promises that writing is possible.
WRITES: dict[str, Call] = {
    "check": lambda s: s.check(),
    "create_session": lambda s: s.create_session(a_session(5), replaces=[sid(1)], max_sessions=1, now=LATER),
    "touch_session": lambda s: s.touch_session(REALM, sid(1), LATER),
    "touch_sessions": lambda s: s.touch_sessions(REALM, {sid(1): LATER, sid(2): LATER}, every=timedelta(0)),
    "rotate": lambda s: s.rotate(REALM, sid(1), 3, LATER, POLICY),
    "rotate, reuse": lambda s: s.rotate(REALM, sid(1), 0, LATER, POLICY),
    "end_session": lambda s: s.end_session(REALM, sid(1), reason="revoked", now=LATER),
    "end_subject": lambda s: s.end_subject(REALM, "alice", reason="revoked", now=LATER),
    "end_subject, keep": lambda s: s.end_subject(REALM, "alice", reason="revoked", now=LATER, keep=sid(1)),
    "end_realm": lambda s: s.end_realm(REALM, reason="revoked", now=LATER),
    "update_subject": lambda s: s.update_subject(REALM, "alice", roles=("x",), scope=None, claims=None, now=LATER),
    "create_account": lambda s: s.create_account(an_account(2)),
    "replace_password": lambda s: s.replace_password(REALM, "alice", old="sealed-1", new="new"),
    "remove_account": lambda s: s.remove_account(REALM, "alice", now=LATER),
    "admit_attempt": lambda s: s.admit_attempt(REALM, attempt(2), LATER, THROTTLE),
    "attempt_succeeded": lambda s: s.attempt_succeeded(REALM, attempt(1), T0),
    "clear_attempts": lambda s: s.clear_attempts(REALM, attempt(1).account),
    "put_once": lambda s: s.put_once(REALM, "state", b"new", b"v", expires_at=LATER),
    "consume": lambda s: s.consume(REALM, "state", b"k", T0),
    "add_key": lambda s: s.add_key(a_key(2)),
    "rotate_keys": lambda s: s.rotate_keys(REALM, moves=(Move("key-1", "current", "compromised"),), now=LATER),
    "append_again": lambda s: s.append_again(LOST, LATER),
    "renew_history": lambda s: s.renew_history(),
    "add_service": lambda s: s.add_service(a_service(2)),
    "remove_service": lambda s: s.remove_service(REALM, "service-1"),
    "purge": lambda s: s.purge(T0 + POLICY.absolute * 2),
}
READS: dict[str, Call] = {
    "epochs": lambda s: s.epochs(REALM, "alice"),
    "read_session": lambda s: s.read_session(REALM, sid(1)),
    "list_sessions": lambda s: s.list_sessions(REALM, "alice", T0),
    "account_by_email": lambda s: s.account_by_email(REALM, "1@example.com"),
    "account_by_id": lambda s: s.account_by_id(REALM, "alice"),
    "list_accounts": lambda s: s.list_accounts(REALM),
    "read_attempts": lambda s: s.read_attempts(REALM, attempt(1)),
    "list_keys": lambda s: s.list_keys(REALM),
    "keys_version": lambda s: s.keys_version(REALM),
    "poll": _page_of,
    "service_by_digest": lambda s: s.service_by_digest(REALM, a_service(1).digest),
    "list_services": lambda s: s.list_services(REALM),
}


async def _prepare(store: Store) -> None:
    await create(store, a_session(1, generation=3, parent=2, minted_at=T0), a_session(2))
    await store.create_account(an_account(1, id="alice"))
    await store.admit_attempt(REALM, attempt(1), T0, THROTTLE)
    await store.put_once(REALM, "state", b"k", b"v", expires_at=LATER)
    await store.add_key(a_key(1))
    await store.add_service(a_service(1))


async def _state(store: Store) -> list[object]:
    """All that can be seen without changing anything."""
    sessions = [await store.read_session(REALM, sid(number)) for number in range(1, 8)]
    return [*sessions, *[await read(store) for read in READS.values()]]


async def _raises_store_error(call: Awaitable[object], name: str) -> None:
    try:
        outcome = await call
    except StoreError:
        return
    raise AssertionError(f"{name} answered {outcome!r} instead of raising StoreError")


class LifeRules(StoreHarness):
    """Opening, closing, opening again."""

    @with_store
    async def test_opening_and_closing_twice_is_opening_and_closing(self, store: Store) -> None:
        await store.open()
        await create(store, a_session(1))
        await store.open()
        await store.check()
        expect(await stored(store, a_session(1)), a_session(1))
        await store.close()
        await store.close()

    @with_store
    async def test_a_closed_store_raises_on_every_call(self, store: Store) -> None:
        await _prepare(store)
        await store.close()
        for name, call in (READS | WRITES).items():
            await _raises_store_error(call(store), name)
        try:
            store.peek_session(REALM, sid(1))
        except StoreError:
            return
        raise AssertionError("peek_session answered on a closed store")

    @with_store
    async def test_storage_that_is_up_to_date_takes_no_step_whether_open_or_closed(self, store: Store) -> None:
        await _prepare(store)
        before = await _state(store)
        async with self.another(store) as other:
            expect(await crowd(lambda number: (store, other)[number % 2].migrate(), 8), [()] * 8)
            expect(await _state(other), before)
        await store.close()
        expect(await crowd(lambda _: store.migrate(), 4), [()] * 4)
        await _raises_store_error(store.read_session(REALM, sid(1)), "read_session")
        async with self.another(store) as again:
            expect(await _state(again), before)

    @with_store
    async def test_a_store_behind_a_network_answers_no_peek(self, store: Store) -> None:
        await _prepare(store)
        peeked = store.peek_session(REALM, sid(1)), store.peek_keys_version(REALM)
        if store.is_remote:
            expect(peeked, (ASK, ASK))
        else:
            assert isinstance(peeked[0], (Session, Ask)), peeked
            assert isinstance(peeked[1], (int, Ask)), peeked

    @with_store
    async def test_what_was_written_is_there_after_closing_and_opening(self, store: Store) -> None:
        await _prepare(store)
        await store.consume(REALM, "state", b"k", T0)
        await store.end_session(REALM, sid(2), reason="signed_out", now=T0)
        await store.end_subject(REALM, "bob", reason="revoked", now=T0)
        before = await _state(store)
        await store.close()
        async with self.another(store) as again:
            expect(await _state(again), before)
            expect(await again.consume(REALM, "state", b"k", T0), None)
            assert (await again.epochs(REALM, "bob")).subject > 0
            for number in range(1, THROTTLE.free_failures):
                expect(await again.admit_attempt(REALM, attempt(1, number + 1), T0, THROTTLE), None)
            assert await again.admit_attempt(REALM, attempt(1, 99), T0, THROTTLE) is not None


class FaultRules(StoreHarness):
    """A fault is raised, grants nothing and loses nothing."""

    @with_store
    async def test_a_fault_raises_and_leaves_everything_as_it_was(self, store: Store) -> None:
        await _prepare(store)
        before = await _state(store)
        async with self.failing(store):
            for name, call in WRITES.items():
                await _raises_store_error(call(store), name)
        expect(await _state(store), before)
        expect(await store.consume(REALM, "state", b"k", T0), b"v")

    @with_store
    async def test_after_a_fault_every_write_works_again(self, store: Store) -> None:
        await _prepare(store)
        async with self.failing(store):
            for name, call in WRITES.items():
                await _raises_store_error(call(store), name)
        await store.check()
        decision = await store.rotate(REALM, sid(1), 3, LATER, POLICY)
        assert decision is not None
        expect((decision.outcome, decision.session.generation), (Outcome.ROTATED, 4))
        expect(await store.create_account(an_account(2)), True)
        outcome = await store.create_session(a_session(5), replaces=[sid(1)], max_sessions=9, now=LATER)
        assert isinstance(outcome, Created)
        expect(ids(outcome.ended), [sid(1)])
        expect(await log_of(store), [(REALM, "session", sid(1))])

    @with_store
    async def test_fifty_writes_at_once_into_a_fault_all_raise(self, store: Store) -> None:
        await _prepare(store)
        async with self.failing(store):
            calls = [store.create_session(a_session(10 + n), max_sessions=9, now=T0) for n in range(50)]
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
        expect([type(each) for each in outcomes if not isinstance(each, StoreError)], [])
        expect(sorted(ids(await store.list_sessions(REALM, "alice", T0))), [sid(1), sid(2)])


class CancellationRules(StoreHarness):
    """A cancelled operation is done or not done."""

    @with_store
    async def test_a_cancelled_creation_is_done_with_all_it_displaced_or_not_at_all(self, store: Store) -> None:
        await create(store, a_session(1))
        standing = sid(1)
        for number in range(2, 14):
            new = a_session(number)
            creation = store.create_session(new, max_sessions=1, now=LATER)
            await _cancel_after(number - 2, creation)
            row = await store.read_session(REALM, new.id)
            if row is not None:
                expect((await stored(store, a_session(int(_number(standing))))).end_reason, "evicted")
                standing = new.id
            expect(ids(await store.list_sessions(REALM, "alice", LATER)), [standing])
            ended = [sid(each) for each in range(1, number + 1) if await self._has_ended(store, each)]
            expect(sorted(target for _, _, target in await log_of(store)), sorted(ended))

    @with_store
    async def test_a_cancelled_ending_is_done_with_its_entry_or_not_at_all(self, store: Store) -> None:
        sessions = [a_session(number, generation=3, parent=2, minted_at=T0) for number in range(1, 25)]
        await create(store, *sessions)
        for number in range(1, 25):
            if number % 2:
                end: Any = store.end_session(REALM, sid(number), reason="revoked", now=LATER)
            else:
                end = store.rotate(REALM, sid(number), 0, LATER, POLICY)
            await _cancel_after(number // 2, end)
        ended = [sid(number) for number in range(1, 25) if await self._has_ended(store, number)]
        expect(sorted(target for _, _, target in await log_of(store)), sorted(ended))

    @with_store
    async def test_a_store_goes_on_after_cancelled_operations(self, store: Store) -> None:
        await _prepare(store)
        for number, call in enumerate(WRITES.values()):
            await _cancel_after(number % 4, _calling(call, store))
        await store.check()
        expect(await store.create_account(an_account(77)), True)
        expect(await store.account_by_id(REALM, "subject-77"), an_account(77))

    async def _has_ended(self, store: Store, number: int) -> bool:
        row = await store.read_session(REALM, sid(number))
        return row is not None and row.ended_at is not None


def _number(session_id: str) -> int:
    return int.from_bytes(urlsafe_b64decode(session_id + "=="), "big")


async def _calling(call: Call, store: Store) -> object:
    return await call(store)


async def _cancel_after(turns: int, call: Coroutine[Any, Any, object]) -> None:
    """Start `call`, let the event loop turn so often, cancel, and wait until the task is over."""
    task = asyncio.create_task(call)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


class DumpRules(StoreHarness):
    """Who reads the files can replay nothing."""

    @with_store
    async def test_a_dump_holds_the_records_and_nothing_that_could_be_presented(self, store: Store) -> None:
        key = MacKey.from_secret(DUMP_SECRET)
        session = a_session(1, subject="subject-in-the-dump", salt=DUMP_SALT)
        await create(store, session)
        for generation in range(3):
            now = T0 + POLICY.grace * 2 * (generation + 1)
            await store.rotate(REALM, session.id, generation, now, POLICY)
        await store.end_subject(REALM, "someone else", reason="revoked", now=LATER)
        dump = await self.raw_dump(store)
        assert session.subject.encode() in dump, "raw_dump does not show what is stored"
        tokens = [mint_session_token(key, REALM, session.id, session.salt)]
        tokens += [mint_refresh_token(key, REALM, session.id, session.salt, number) for number in range(6)]
        for token in tokens:
            raw = urlsafe_b64decode(token[4:] + "=" * (-len(token[4:]) % 4))
            for secret in (token.encode(), token[4:].encode(), token[-40:].encode(), raw, raw[-32:], raw[-32:].hex()):
                needle = secret.encode() if isinstance(secret, str) else secret
                assert needle not in dump, "a dump of the store holds a token or its tag"
        assert key.session not in dump
        assert key.refresh not in dump

    @with_store
    async def test_a_dump_holds_the_names_of_services_and_no_credential(self, store: Store) -> None:
        digest = credential_digest(DUMP_CREDENTIAL.encode())
        assert digest is not None
        service = a_service(1, name="service-in-the-dump", digest=digest)
        await store.add_service(service)
        expect(await store.service_by_digest(REALM, digest), service)
        dump = await self.raw_dump(store)
        assert service.name.encode() in dump, "raw_dump does not show what is stored"
        text = DUMP_CREDENTIAL.removeprefix("fdk_")
        raw = urlsafe_b64decode(text + "=")
        for needle in (text.encode(), text[-20:].encode(), raw, raw.hex().encode()):
            assert needle not in dump, "a dump of the store holds the credential of a service"
