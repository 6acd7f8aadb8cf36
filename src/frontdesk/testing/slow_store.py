"""A store that takes its time: what a store over a network does to the order of things, without a network."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from frontdesk.core.accounts import Account
from frontdesk.core.keyring import Move, StoredKey
from frontdesk.core.revocation import Entry
from frontdesk.core.rotation import Decision
from frontdesk.core.services import Service
from frontdesk.core.sessions import EndReason, Epochs, Session, SessionPolicy
from frontdesk.core.throttle import AttemptKeys, Tallies, ThrottlePolicy
from frontdesk.errors import Refusal
from frontdesk.stores.protocol import ASK, NO_TIME, Ask, Created, Ended, NotCreated, Poll, Store

T = TypeVar("T")


class SlowStore:
    """Wraps a store and gives way to other tasks before and after each call, for 1 to `most` turns of the loop.

    The numbers of turns come from a generator seeded with `seed`: another seed is another interleaving, the same
    seed the same one again. It counts as a remote store: `peek_session` always answers `ASK`. Nothing sleeps and
    no clock is read.
    """

    def __init__(self, inner: Store, *, seed: int = 0, most: int = 3) -> None:
        if most < 1:
            raise ValueError("most must be at least 1, or nothing would be slow")
        self.inner: Final = inner
        self._most = most
        self._random = random.Random(seed)  # noqa: S311 - it orders tests, it protects nothing

    is_remote = True

    async def open(self) -> None:
        await self._slowly(self.inner.open)

    async def migrate(self) -> tuple[str, ...]:
        return await self._slowly(self.inner.migrate)

    async def close(self) -> None:
        await self._slowly(self.inner.close)

    async def check(self) -> None:
        await self._slowly(self.inner.check)

    # --- sessions ---------------------------------------------------------------------------------------------

    async def epochs(self, realm: str, subject: str) -> Epochs:
        return await self._slowly(lambda: self.inner.epochs(realm, subject))

    async def create_session(
        self,
        session: Session,
        *,
        replaces: Collection[str] = (),
        max_sessions: int,
        account_roles: bool = False,
        now: datetime,
    ) -> Created | NotCreated:
        return await self._slowly(
            lambda: self.inner.create_session(
                session, replaces=replaces, max_sessions=max_sessions, account_roles=account_roles, now=now
            )
        )

    def peek_session(self, realm: str, session_id: str) -> Ask:
        self.inner.peek_session(realm, session_id)  # for the faults that it raises
        return ASK

    async def read_session(self, realm: str, session_id: str) -> Session | None:
        return await self._slowly(lambda: self.inner.read_session(realm, session_id))

    async def list_sessions(self, realm: str, subject: str, now: datetime) -> tuple[Session, ...]:
        return await self._slowly(lambda: self.inner.list_sessions(realm, subject, now))

    async def touch_session(self, realm: str, session_id: str, seen_at: datetime) -> bool:
        return await self._slowly(lambda: self.inner.touch_session(realm, session_id, seen_at))

    async def touch_sessions(self, realm: str, seen: Mapping[str, datetime], *, every: timedelta) -> int:
        return await self._slowly(lambda: self.inner.touch_sessions(realm, seen, every=every))

    async def rotate(
        self, realm: str, session_id: str, presented: int, now: datetime, policy: SessionPolicy
    ) -> Decision | None:
        return await self._slowly(lambda: self.inner.rotate(realm, session_id, presented, now, policy))

    async def end_session(
        self, realm: str, session_id: str, *, reason: EndReason, now: datetime, subject: str | None = None
    ) -> Ended | None:
        return await self._slowly(
            lambda: self.inner.end_session(realm, session_id, reason=reason, now=now, subject=subject)
        )

    async def end_subject(
        self, realm: str, subject: str, *, reason: EndReason, now: datetime, keep: str | None = None
    ) -> tuple[Session, ...]:
        return await self._slowly(lambda: self.inner.end_subject(realm, subject, reason=reason, now=now, keep=keep))

    async def end_realm(self, realm: str, *, reason: EndReason, now: datetime) -> int:
        return await self._slowly(lambda: self.inner.end_realm(realm, reason=reason, now=now))

    async def update_subject(
        self,
        realm: str,
        subject: str,
        *,
        roles: Sequence[str] | None,
        scope: Sequence[str] | None,
        claims: Mapping[str, Any] | None,
        now: datetime,
    ) -> int:
        return await self._slowly(
            lambda: self.inner.update_subject(realm, subject, roles=roles, scope=scope, claims=claims, now=now)
        )

    # --- accounts ---------------------------------------------------------------------------------------------

    async def create_account(self, account: Account) -> bool:
        return await self._slowly(lambda: self.inner.create_account(account))

    async def account_by_email(self, realm: str, email: str) -> Account | None:
        return await self._slowly(lambda: self.inner.account_by_email(realm, email))

    async def account_by_id(self, realm: str, account_id: str) -> Account | None:
        return await self._slowly(lambda: self.inner.account_by_id(realm, account_id))

    async def list_accounts(self, realm: str, *, after: str = "", limit: int = 100) -> tuple[Account, ...]:
        return await self._slowly(lambda: self.inner.list_accounts(realm, after=after, limit=limit))

    async def replace_password(self, realm: str, account_id: str, *, old: str, new: str) -> bool:
        return await self._slowly(lambda: self.inner.replace_password(realm, account_id, old=old, new=new))

    async def remove_account(self, realm: str, account_id: str, *, now: datetime) -> bool:
        return await self._slowly(lambda: self.inner.remove_account(realm, account_id, now=now))

    # --- attempts ---------------------------------------------------------------------------------------------

    async def admit_attempt(
        self, realm: str, keys: AttemptKeys, now: datetime, policy: ThrottlePolicy
    ) -> Refusal | None:
        return await self._slowly(lambda: self.inner.admit_attempt(realm, keys, now, policy))

    async def attempt_succeeded(self, realm: str, keys: AttemptKeys, admitted_at: datetime) -> None:
        await self._slowly(lambda: self.inner.attempt_succeeded(realm, keys, admitted_at))

    async def read_attempts(self, realm: str, keys: AttemptKeys) -> Tallies:
        return await self._slowly(lambda: self.inner.read_attempts(realm, keys))

    async def clear_attempts(self, realm: str, key: bytes) -> bool:
        return await self._slowly(lambda: self.inner.clear_attempts(realm, key))

    # --- values that are good once ------------------------------------------------------------------------------

    async def put_once(self, realm: str, purpose: str, key: bytes, value: bytes, *, expires_at: datetime) -> bool:
        return await self._slowly(lambda: self.inner.put_once(realm, purpose, key, value, expires_at=expires_at))

    async def consume(self, realm: str, purpose: str, key: bytes, now: datetime) -> bytes | None:
        return await self._slowly(lambda: self.inner.consume(realm, purpose, key, now))

    # --- keys -------------------------------------------------------------------------------------------------

    async def add_key(self, key: StoredKey, *, only_if_none_current: bool = False) -> bool:
        return await self._slowly(lambda: self.inner.add_key(key, only_if_none_current=only_if_none_current))

    async def list_keys(self, realm: str) -> tuple[StoredKey, ...]:
        return await self._slowly(lambda: self.inner.list_keys(realm))

    async def rotate_keys(
        self, realm: str, *, moves: Sequence[Move] = (), new: Sequence[StoredKey] = (), now: datetime
    ) -> bool:
        return await self._slowly(lambda: self.inner.rotate_keys(realm, moves=moves, new=new, now=now))

    def peek_keys_version(self, realm: str) -> Ask:
        self.inner.peek_keys_version(realm)  # for the faults that it raises
        return ASK

    async def keys_version(self, realm: str) -> int:
        return await self._slowly(lambda: self.inner.keys_version(realm))

    # --- the log ----------------------------------------------------------------------------------------------

    async def poll(self, cursor: int, *, limit: int = 1000, wait: timedelta = NO_TIME) -> Poll:
        return await self._slowly(lambda: self.inner.poll(cursor, limit=limit, wait=wait))

    async def append_again(self, entries: Sequence[Entry], now: datetime) -> int:
        return await self._slowly(lambda: self.inner.append_again(entries, now))

    async def renew_history(self) -> str:
        return await self._slowly(self.inner.renew_history)

    # --- services ---------------------------------------------------------------------------------------------

    async def add_service(self, service: Service) -> bool:
        return await self._slowly(lambda: self.inner.add_service(service))

    async def service_by_digest(self, realm: str, digest: bytes) -> Service | None:
        return await self._slowly(lambda: self.inner.service_by_digest(realm, digest))

    async def list_services(self, realm: str) -> tuple[Service, ...]:
        return await self._slowly(lambda: self.inner.list_services(realm))

    async def remove_service(self, realm: str, name: str) -> bool:
        return await self._slowly(lambda: self.inner.remove_service(realm, name))

    # --- housekeeping -----------------------------------------------------------------------------------------

    async def purge(self, now: datetime, *, limit: int = 500) -> int:
        return await self._slowly(lambda: self.inner.purge(now, limit=limit))

    async def _slowly(self, call: Callable[[], Awaitable[T]]) -> T:
        await self._give_way()
        outcome = await call()
        await self._give_way()
        return outcome

    async def _give_way(self) -> None:
        for _ in range(self._random.randint(1, self._most)):
            await asyncio.sleep(0)
