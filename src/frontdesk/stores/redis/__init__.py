"""The store in a Redis server, for any number of machines.

The rooms: `address` (the URL), `settings` (arguments), `connecting` (a connection and what its server must be like),
`client` (the connections of one event loop), `clients` (one for each loop), `listening` (what wakes who waits for the
log), `opening` (the layout's version), `names` (keys), `rows` (records as hashes), `scripts` (the Lua scripts),
`sessions`, `records`, `stored_keys`, `revocations` (what the decisions ask of the server), `faults` (errors).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from frontdesk.clock import TIMER, Timer
from frontdesk.core.accounts import Account
from frontdesk.core.keyring import Move, StoredKey
from frontdesk.core.revocation import Entry
from frontdesk.core.rotation import Decision
from frontdesk.core.services import Service
from frontdesk.core.sessions import EndReason, Epochs, Session, SessionPolicy
from frontdesk.core.throttle import AttemptKeys, Tallies, ThrottlePolicy
from frontdesk.errors import Refusal, StoreError
from frontdesk.stores.protocol import ASK, NO_TIME, Ask, Created, Ended, NotCreated, Poll
from frontdesk.stores.redis import opening, records, revocations, sessions, stored_keys
from frontdesk.stores.redis.client import CLOSED, Line
from frontdesk.stores.redis.clients import Clients
from frontdesk.stores.redis.rows import session_fields
from frontdesk.stores.redis.settings import Settings, settings_of

__all__ = ["RedisStore"]

T = TypeVar("T")

_PROVED_FOR: Final = 1.0
"""Seconds for which a check that went through answers those after it."""

_SECONDS_PER_SESSION: Final = 100e-6
"""What ending one of very many sessions may take, many times what it does take."""


class RedisStore:
    """`stores.protocol.Store` in a Redis server, 7.0 or newer. What it promises is in docs/stores.md.

    url: `redis://`, `rediss://`, `unix://` or `redis+sentinel://` (`stores.redis.address`). Its options may say what
    the arguments up to `prefix` say; an argument wins. timeout: of each operation, connecting included; default 2 s.
    The end of a realm and `append_again` get more with the number of sessions. max_connections: of one event loop,
    and one more that listens; default 10. max_waiting: operations that may wait for one of them before
    OverloadedError; default 1024. wait_replicas: how many replicas must have a write before it is acknowledged;
    default 0. prefix: what every key begins with, in braces; default `frontdesk`. token_bytes: the source of the
    random name of the store's history. timer: seconds that only grow, for the age of a check.

    Usable from several event loops and threads, and in the child of a fork.
    """

    is_remote = True

    def __init__(
        self,
        url: str,
        *,
        timeout: timedelta | None = None,
        max_connections: int | None = None,
        max_waiting: int | None = None,
        wait_replicas: int | None = None,
        prefix: str | None = None,
        token_bytes: Callable[[int], bytes] = secrets.token_bytes,
        timer: Timer = TIMER,
    ) -> None:
        self._settings: Settings = settings_of(
            url,
            timeout=timeout,
            max_connections=max_connections,
            max_waiting=max_waiting,
            wait_replicas=wait_replicas,
            prefix=prefix,
            token_bytes=token_bytes,
            timer=timer,
        )
        self._names = self._settings.names
        self._clients: Clients | None = None
        self._proved_at: float | None = None

    def __repr__(self) -> str:
        return f"RedisStore({self._settings.address.public!r})"

    async def open(self) -> None:
        if self._clients is None:
            clients = Clients(self._settings)
            try:
                await clients.here().open(self._prepare)
            except BaseException:
                await clients.close()
                raise
            if self._adopt(clients) is not clients:  # another task was quicker
                await clients.close()

    async def migrate(self) -> tuple[str, ...]:
        if self._clients is not None:
            return ()  # opening has done it
        clients = Clients(self._settings)
        try:
            return await clients.here().open(self._prepare)
        finally:
            await clients.close()

    async def close(self) -> None:
        clients, self._clients = self._clients, None
        self._proved_at = None
        if clients is not None:
            await asyncio.shield(clients.close())

    async def check(self) -> None:
        clients, timer = self._opened(), self._settings.timer
        proved_at = self._proved_at
        if proved_at is not None and 0 <= timer() - proved_at < _PROVED_FOR:
            return
        await self._perform(opening.probe)
        if self._clients is clients:
            self._proved_at = timer()

    # --- sessions ---------------------------------------------------------------------------------------------

    async def epochs(self, realm: str, subject: str) -> Epochs:
        return await self._perform(lambda line: sessions.epochs(line, realm, subject))

    async def create_session(
        self,
        session: Session,
        *,
        replaces: Collection[str] = (),
        max_sessions: int,
        account_roles: bool = False,
        now: datetime,
    ) -> Created | NotCreated:
        fields = session_fields(session)  # claims that are no JSON fail before anything is sent
        named = tuple(replaces)
        return await self._perform(
            lambda line: sessions.create(
                line,
                session,
                fields,
                replaces=named,
                max_sessions=max_sessions,
                account_roles=account_roles,
                now=now,
            )
        )

    def peek_session(self, realm: str, session_id: str) -> Session | Ask | None:  # noqa: ARG002 - the protocol's
        self._opened()
        return ASK

    async def read_session(self, realm: str, session_id: str) -> Session | None:
        return await self._perform(lambda line: sessions.find(line, realm, session_id))

    async def list_sessions(self, realm: str, subject: str, now: datetime) -> tuple[Session, ...]:
        found = await self._perform(lambda line: sessions.unended(line, realm, subject))
        return sessions.standing(found, now)

    async def touch_session(self, realm: str, session_id: str, seen_at: datetime) -> bool:
        return await self.touch_sessions(realm, {session_id: seen_at}, every=NO_TIME) == 1

    async def touch_sessions(self, realm: str, seen: Mapping[str, datetime], *, every: timedelta) -> int:
        moments = dict(seen)
        return await self._perform(lambda line: sessions.touch(line, realm, moments, every))

    async def rotate(
        self, realm: str, session_id: str, presented: int, now: datetime, policy: SessionPolicy
    ) -> Decision | None:
        return await self._perform(
            lambda line: sessions.rotate(line, realm, session_id, presented, now=now, policy=policy)
        )

    async def end_session(
        self, realm: str, session_id: str, *, reason: EndReason, now: datetime, subject: str | None = None
    ) -> Ended | None:
        return await self._perform(
            lambda line: sessions.end(line, realm, session_id, reason=reason, now=now, subject=subject)
        )

    async def end_subject(
        self, realm: str, subject: str, *, reason: EndReason, now: datetime, keep: str | None = None
    ) -> tuple[Session, ...]:
        return await self._perform(
            lambda line: sessions.end_subject(line, realm, subject, reason=reason, now=now, keep=keep)
        )

    async def end_realm(self, realm: str, *, reason: EndReason, now: datetime) -> int:
        seconds = await self._seconds_to_end({realm})
        return await self._perform(lambda line: sessions.end_realm(line, realm, reason, now), seconds=seconds)

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
        changes = sessions.subject_changes(roles, scope, claims)
        return await self._perform(lambda line: sessions.update_subject(line, realm, subject, changes, now))

    # --- accounts ---------------------------------------------------------------------------------------------

    async def create_account(self, account: Account) -> bool:
        return await self._perform(lambda line: records.create_account(line, account))

    async def account_by_email(self, realm: str, email: str) -> Account | None:
        return await self._perform(lambda line: records.account_by_email(line, realm, email))

    async def account_by_id(self, realm: str, account_id: str) -> Account | None:
        return await self._perform(lambda line: records.account_by_id(line, realm, account_id))

    async def list_accounts(self, realm: str, *, after: str = "", limit: int = 100) -> tuple[Account, ...]:
        return await self._perform(lambda line: records.list_accounts(line, realm, after, limit))

    async def replace_password(self, realm: str, account_id: str, *, old: str, new: str) -> bool:
        return await self._perform(lambda line: records.replace_password(line, realm, account_id, old, new))

    async def remove_account(self, realm: str, account_id: str, *, now: datetime) -> bool:
        return await self._perform(lambda line: records.remove_account(line, realm, account_id, now))

    # --- attempts ---------------------------------------------------------------------------------------------

    async def admit_attempt(
        self, realm: str, keys: AttemptKeys, now: datetime, policy: ThrottlePolicy
    ) -> Refusal | None:
        return await self._perform(lambda line: records.admit_attempt(line, realm, keys, now, policy))

    async def attempt_succeeded(self, realm: str, keys: AttemptKeys, admitted_at: datetime) -> None:
        await self._perform(lambda line: records.attempt_succeeded(line, realm, keys, admitted_at))

    async def read_attempts(self, realm: str, keys: AttemptKeys) -> Tallies:
        return await self._perform(lambda line: records.read_attempts(line, realm, keys))

    async def clear_attempts(self, realm: str, key: bytes) -> bool:
        return await self._perform(lambda line: records.clear_attempts(line, realm, key))

    # --- values that are good once ----------------------------------------------------------------------------

    async def put_once(self, realm: str, purpose: str, key: bytes, value: bytes, *, expires_at: datetime) -> bool:
        return await self._perform(
            lambda line: records.put_once(line, realm, purpose, key, value, expires_at=expires_at)
        )

    async def consume(self, realm: str, purpose: str, key: bytes, now: datetime) -> bytes | None:
        return await self._perform(lambda line: records.consume(line, realm, purpose, key, now))

    # --- keys -------------------------------------------------------------------------------------------------

    async def add_key(self, key: StoredKey, *, only_if_none_current: bool = False) -> bool:
        return await self._perform(lambda line: stored_keys.add(line, key, only_if_none_current=only_if_none_current))

    async def list_keys(self, realm: str) -> tuple[StoredKey, ...]:
        return await self._perform(lambda line: stored_keys.of_realm(line, realm))

    async def rotate_keys(
        self, realm: str, *, moves: Sequence[Move] = (), new: Sequence[StoredKey] = (), now: datetime
    ) -> bool:
        return await self._perform(lambda line: stored_keys.rotate(line, realm, moves, new, now))

    def peek_keys_version(self, realm: str) -> int | Ask:  # noqa: ARG002 - the protocol's
        self._opened()
        return ASK

    async def keys_version(self, realm: str) -> int:
        return await self._perform(lambda line: stored_keys.version(line, realm))

    # --- services ---------------------------------------------------------------------------------------------

    async def add_service(self, service: Service) -> bool:
        return await self._perform(lambda line: records.add_service(line, service))

    async def service_by_digest(self, realm: str, digest: bytes) -> Service | None:
        return await self._perform(lambda line: records.service_by_digest(line, realm, digest))

    async def list_services(self, realm: str) -> tuple[Service, ...]:
        return await self._perform(lambda line: records.list_services(line, realm))

    async def remove_service(self, realm: str, name: str) -> bool:
        return await self._perform(lambda line: records.remove_service(line, realm, name))

    # --- the log, housekeeping --------------------------------------------------------------------------------

    async def poll(self, cursor: int, *, limit: int = 1000, wait: timedelta = NO_TIME) -> Poll:
        if wait <= NO_TIME:
            return await self._page(cursor, limit)
        listening = self._opened().here().listening
        return await listening.until_news(lambda: self._page(cursor, limit), cursor, wait.total_seconds())

    async def append_again(self, entries: Sequence[Entry], now: datetime) -> int:
        known = tuple(entries)
        seconds = await self._seconds_to_end({entry.realm for entry in known if entry.kind == "all"}, len(known))
        return await self._perform(lambda line: revocations.append_again(line, known, now), seconds=seconds)

    async def renew_history(self) -> str:
        name = self._settings.token_bytes(16).hex()
        return await self._perform(lambda line: revocations.renew_history(line, name))

    async def purge(self, now: datetime, *, limit: int = 500) -> int:
        return await self._perform(lambda line: revocations.purge(line, now, limit))

    # --- inside -----------------------------------------------------------------------------------------------

    def _adopt(self, clients: Clients) -> Clients:
        if self._clients is None:
            self._clients = clients
        return self._clients

    def _opened(self) -> Clients:
        clients = self._clients
        if clients is None:
            raise StoreError(CLOSED)
        return clients

    async def _perform(self, operation: Callable[[Line], Awaitable[T]], *, seconds: float | None = None) -> T:
        try:
            return await self._opened().here().perform(operation, seconds=seconds)
        except StoreError:
            self._proved_at = None
            raise

    async def _prepare(self, line: Line) -> tuple[str, ...]:
        return await opening.prepare(line, self._settings.token_bytes(16).hex())

    async def _page(self, cursor: int, limit: int) -> Poll:
        page = await self._perform(lambda line: revocations.poll(line, cursor, limit))
        if page is None:  # somebody emptied the server: its history is a new one, and needs a name
            await self._perform(self._prepare)
            page = await self._perform(lambda line: revocations.poll(line, cursor, limit))
        if page is None:
            raise StoreError("the Redis server was emptied")
        return page

    async def _seconds_to_end(self, realms: Collection[str], more: int = 0) -> float:
        """The time limit of an operation that may end every session of `realms`."""
        if realms:
            more += await self._perform(lambda line: sessions.count_unended(line, realms))
        return self._settings.limits.seconds + more * _SECONDS_PER_SESSION
