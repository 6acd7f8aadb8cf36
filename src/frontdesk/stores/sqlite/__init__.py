"""The store in one SQLite file, for one machine and any number of its processes.

The rooms: `engine` (what stands while it is open), `opening` (the file, connections, schema), `reading`, `writing`,
`checkpoint`, `sessions`, `stored_keys`, `services` and `records` (what the decisions do inside a transaction), `rows`
(reading them), `faults` (errors).
"""

from __future__ import annotations

import asyncio
import os
import secrets
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

import apsw

from frontdesk.clock import TIMER, Timer
from frontdesk.core.accounts import Account
from frontdesk.core.keyring import Move, StoredKey
from frontdesk.core.revocation import Entry
from frontdesk.core.rotation import Decision, decide
from frontdesk.core.services import Service
from frontdesk.core.sessions import EndReason, Epochs, Session, SessionPolicy, evaluate
from frontdesk.core.throttle import AttemptKeys, Tallies, ThrottlePolicy
from frontdesk.errors import Refusal, StoreError
from frontdesk.stores.protocol import NO_TIME, Ask, Created, Ended, NotCreated, Poll
from frontdesk.stores.rows import session_row, subject_changes
from frontdesk.stores.sqlite import records, services, sessions, stored_keys
from frontdesk.stores.sqlite.engine import Engine, Settings
from frontdesk.stores.sqlite.writing import Operation

__all__ = ["SQLiteStore"]

T = TypeVar("T")

_NOT_OPEN: Final = "the store is not open"
_LOOK_SECONDS: Final = 0.02


class SQLiteStore:
    """`stores.protocol.Store` in a SQLite file. What it promises is in docs/stores.md.

    path: the database file; created with mode 0600, `-wal` and `-shm` beside it likewise. Its directory must exist.
    token_bytes: the source of the random name of the store's history. timer: seconds that only grow; measures slow
    reads and patience. patience: how long a write waits for another process's lock before StoreBusyError.
    max_waiting: writes (and, apart from them, reads) that may wait before OverloadedError. checkpoint_pages: pages of
    4 KiB in the write-ahead log that wake the checkpointer. vfs: the name of a SQLite VFS, for tests of faults.

    `wait` of `poll` is spent looking at the file every 20 ms, since another process tells nobody that it wrote.
    Usable from several event loops and threads. A store that was opened before a fork refuses in the child.
    """

    is_remote = False

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        token_bytes: Callable[[int], bytes] = secrets.token_bytes,
        timer: Timer = TIMER,
        patience: timedelta = timedelta(seconds=5),
        max_waiting: int = 4096,
        checkpoint_pages: int = 1000,
        vfs: str = "",
    ) -> None:
        text = os.fspath(path)
        if text in {"", ":memory:"} or text.startswith("file:"):
            raise ValueError("SQLiteStore takes the path of a file; for a store in memory there is MemoryStore")
        if patience <= timedelta(0) or max_waiting < 1 or checkpoint_pages < 1:
            raise ValueError("patience, max_waiting and checkpoint_pages must be above zero")
        self._settings = Settings(
            path=os.path.realpath(text),
            vfs=vfs,
            token_bytes=token_bytes,
            timer=timer,
            patience=patience.total_seconds(),
            max_waiting=max_waiting,
            checkpoint_pages=checkpoint_pages,
        )
        self._opening = threading.Lock()
        self._engine: Engine | None = None

    def __repr__(self) -> str:
        return f"SQLiteStore({self._settings.path!r})"

    async def open(self) -> None:
        if self._engine is None:
            await asyncio.to_thread(self._open)
        # This thread's own connection, so that the first request finds it ready.
        self._opened().reading.warm()

    async def migrate(self) -> tuple[str, ...]:
        if self._engine is not None:
            return ()  # opening has done it
        engine = await asyncio.to_thread(Engine, self._settings)
        await asyncio.to_thread(engine.close)
        return engine.migrated

    async def close(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            await asyncio.shield(asyncio.to_thread(engine.close))

    async def check(self) -> None:
        await self._ask(records.history)
        await self._opened().writer.probe()

    # --- sessions ---------------------------------------------------------------------------------------------

    async def epochs(self, realm: str, subject: str) -> Epochs:
        return await self._ask(lambda connection: sessions.epochs(connection, realm, subject))

    async def create_session(
        self,
        session: Session,
        *,
        replaces: Collection[str] = (),
        max_sessions: int,
        account_roles: bool = False,
        now: datetime,
    ) -> Created | NotCreated:
        session_row(session)  # claims that are no JSON fail before anything is accepted
        return await self._write(
            lambda connection: sessions.create(
                connection,
                session,
                replaces=tuple(replaces),
                max_sessions=max_sessions,
                account_roles=account_roles,
                now=now,
            )
        )

    def peek_session(self, realm: str, session_id: str) -> Session | Ask | None:
        engine = self._engine
        if engine is None:
            raise StoreError(_NOT_OPEN)
        return engine.reading.peek(realm, session_id)

    async def read_session(self, realm: str, session_id: str) -> Session | None:
        found = self.peek_session(realm, session_id)
        return await self._opened().reading.session(realm, session_id) if isinstance(found, Ask) else found

    async def list_sessions(self, realm: str, subject: str, now: datetime) -> tuple[Session, ...]:
        rows = await self._ask(lambda connection: sessions.unended(connection, realm, subject))
        return tuple(row for row in reversed(rows) if evaluate(row, now) is None)

    async def touch_session(self, realm: str, session_id: str, seen_at: datetime) -> bool:
        return await self._write(lambda connection: sessions.touch(connection, realm, session_id, seen_at))

    async def touch_sessions(self, realm: str, seen: Mapping[str, datetime], *, every: timedelta) -> int:
        moments = dict(seen)
        return await self._write(lambda connection: sessions.touch_many(connection, realm, moments, every))

    async def rotate(
        self, realm: str, session_id: str, presented: int, now: datetime, policy: SessionPolicy
    ) -> Decision | None:
        # A decision that writes nothing is made on the row as it was read; nearly all refreshes of racing clients are.
        row = await self.read_session(realm, session_id)
        if row is None:
            return None
        decision = decide(row, presented, now, policy)
        if not decision.writes:
            return decision
        return await self._write(
            lambda connection: sessions.rotate(connection, realm, session_id, presented, now=now, policy=policy)
        )

    async def end_session(
        self, realm: str, session_id: str, *, reason: EndReason, now: datetime, subject: str | None = None
    ) -> Ended | None:
        return await self._write(
            lambda connection: sessions.end(connection, realm, session_id, reason=reason, now=now, subject=subject)
        )

    async def end_subject(
        self, realm: str, subject: str, *, reason: EndReason, now: datetime, keep: str | None = None
    ) -> tuple[Session, ...]:
        return await self._write(
            lambda connection: sessions.end_subject(connection, realm, subject, reason=reason, now=now, keep=keep)
        )

    async def end_realm(self, realm: str, *, reason: EndReason, now: datetime) -> int:
        return await self._write(lambda connection: sessions.end_realm(connection, realm, reason, now))

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
        changes = subject_changes(roles, scope, claims)
        return await self._write(lambda connection: sessions.update_subject(connection, realm, subject, changes, now))

    # --- accounts ---------------------------------------------------------------------------------------------

    async def create_account(self, account: Account) -> bool:
        return await self._write(lambda connection: records.create_account(connection, account))

    async def account_by_email(self, realm: str, email: str) -> Account | None:
        return await self._ask(lambda connection: records.account_by_email(connection, realm, email))

    async def account_by_id(self, realm: str, account_id: str) -> Account | None:
        return await self._ask(lambda connection: records.account_by_id(connection, realm, account_id))

    async def list_accounts(self, realm: str, *, after: str = "", limit: int = 100) -> tuple[Account, ...]:
        return await self._ask(lambda connection: records.list_accounts(connection, realm, after, limit))

    async def replace_password(self, realm: str, account_id: str, *, old: str, new: str) -> bool:
        return await self._write(lambda connection: records.replace_password(connection, realm, account_id, old, new))

    async def remove_account(self, realm: str, account_id: str, *, now: datetime) -> bool:
        return await self._write(lambda connection: records.remove_account(connection, realm, account_id, now))

    # --- attempts ---------------------------------------------------------------------------------------------

    async def admit_attempt(
        self, realm: str, keys: AttemptKeys, now: datetime, policy: ThrottlePolicy
    ) -> Refusal | None:
        return await self._write(lambda connection: records.admit_attempt(connection, realm, keys, now, policy))

    async def attempt_succeeded(self, realm: str, keys: AttemptKeys, admitted_at: datetime) -> None:
        await self._write(lambda connection: records.attempt_succeeded(connection, realm, keys, admitted_at))

    async def read_attempts(self, realm: str, keys: AttemptKeys) -> Tallies:
        return await self._ask(lambda connection: records.read_attempts(connection, realm, keys))

    async def clear_attempts(self, realm: str, key: bytes) -> bool:
        return await self._write(lambda connection: records.clear_attempts(connection, realm, key))

    # --- values that are good once ----------------------------------------------------------------------------

    async def put_once(self, realm: str, purpose: str, key: bytes, value: bytes, *, expires_at: datetime) -> bool:
        return await self._write(
            lambda connection: records.put_once(connection, realm, purpose, key, value, expires_at=expires_at)
        )

    async def consume(self, realm: str, purpose: str, key: bytes, now: datetime) -> bytes | None:
        return await self._write(lambda connection: records.consume(connection, realm, purpose, key, now))

    # --- keys -------------------------------------------------------------------------------------------------

    async def add_key(self, key: StoredKey, *, only_if_none_current: bool = False) -> bool:
        return await self._write(lambda connection: stored_keys.add(connection, key, only_if_none_current))

    async def list_keys(self, realm: str) -> tuple[StoredKey, ...]:
        return await self._ask(lambda connection: stored_keys.of_realm(connection, realm))

    async def rotate_keys(
        self, realm: str, *, moves: Sequence[Move] = (), new: Sequence[StoredKey] = (), now: datetime
    ) -> bool:
        return await self._write(lambda connection: stored_keys.rotate(connection, realm, moves, new, now))

    def peek_keys_version(self, realm: str) -> int | Ask:
        engine = self._engine
        if engine is None:
            raise StoreError(_NOT_OPEN)
        return engine.reading.peek_keys_version(realm)

    async def keys_version(self, realm: str) -> int:
        found = self._opened().reading.peek_keys_version(realm, anew=True)
        if isinstance(found, Ask):
            return await self._ask(lambda connection: stored_keys.version(connection, realm))
        return found

    # --- services ---------------------------------------------------------------------------------------------

    async def add_service(self, service: Service) -> bool:
        return await self._write(lambda connection: services.add(connection, service))

    async def service_by_digest(self, realm: str, digest: bytes) -> Service | None:
        return await self._ask(lambda connection: services.by_digest(connection, realm, digest))

    async def list_services(self, realm: str) -> tuple[Service, ...]:
        return await self._ask(lambda connection: services.of_realm(connection, realm))

    async def remove_service(self, realm: str, name: str) -> bool:
        return await self._write(lambda connection: services.remove(connection, realm, name))

    # --- the log, housekeeping --------------------------------------------------------------------------------

    async def poll(self, cursor: int, *, limit: int = 1000, wait: timedelta = NO_TIME) -> Poll:
        timer = self._settings.timer
        until = timer() + wait.total_seconds()
        while True:
            page = await self._ask(lambda connection: records.poll(connection, cursor, limit))
            left = until - timer()
            if page.entries or page.head < cursor or left <= 0:
                return page
            await asyncio.sleep(min(left, _LOOK_SECONDS))

    async def append_again(self, entries: Sequence[Entry], now: datetime) -> int:
        known = tuple(entries)
        return await self._write(lambda connection: records.append_again(connection, known, now))

    async def renew_history(self) -> str:
        name = self._settings.token_bytes(16).hex()
        return await self._write(lambda connection: records.renew_history(connection, name))

    async def purge(self, now: datetime, *, limit: int = 500) -> int:
        return await self._write(lambda connection: records.purge(connection, now, limit))

    # --- inside -----------------------------------------------------------------------------------------------

    def _open(self) -> None:
        with self._opening:
            if self._engine is None:
                self._engine = Engine(self._settings)

    def _opened(self) -> Engine:
        engine = self._engine
        if engine is None:
            raise StoreError(_NOT_OPEN)
        return engine

    async def _ask(self, question: Callable[[apsw.Connection], T]) -> T:
        return await self._opened().reading.ask(question)

    async def _write(self, operation: Operation[T]) -> T:
        return await self._opened().writer.perform(operation)
