"""The store in a PostgreSQL database, for any number of machines.

The rooms: `settings`, `engine` (what stands while it is open), `connecting`, `pool`, `running` (time limits, retries),
`grouping` (decisions about one session, many in a transaction), `locks` (who waits for whom), `listening` (waking),
`migrating` (the schema), `log`, `sessions`, `stored_keys`, `services`, `records` and `mending` (what the decisions do
inside a transaction), `faults` (errors). Rows are those of `stores.rows`.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from frontdesk.core.accounts import Account
from frontdesk.core.keyring import Move, StoredKey
from frontdesk.core.revocation import Entry
from frontdesk.core.rotation import Decision, decide
from frontdesk.core.services import Service
from frontdesk.core.sessions import EndReason, Epochs, Session, SessionPolicy, evaluate
from frontdesk.core.throttle import AttemptKeys, Tallies, ThrottlePolicy
from frontdesk.errors import Refusal, StoreError
from frontdesk.stores.migrations import Migration, migrations
from frontdesk.stores.postgresql import log, mending, migrating, records, services, sessions, stored_keys, verdicts
from frontdesk.stores.postgresql.connecting import Connection
from frontdesk.stores.postgresql.engine import Engine, Engines
from frontdesk.stores.postgresql.locks import (
    PURGE,
    SCHEMA,
    Lock,
    of_keys,
    of_subject,
    of_tally,
    whole_realm,
    within_realm,
)
from frontdesk.stores.postgresql.running import Runner
from frontdesk.stores.postgresql.settings import settings_of
from frontdesk.stores.protocol import ASK, NO_TIME, Ask, Created, Ended, NotCreated, Poll
from frontdesk.stores.rows import session_row, subject_changes

__all__ = ["PostgreSQLStore"]

T = TypeVar("T")

_NOT_OPEN: Final = "the store is not open"


class PostgreSQLStore:
    """`stores.protocol.Store` in a PostgreSQL database. What it promises is in docs/stores.md.

    url: `postgresql://user:password@host:5432/database`, as asyncpg takes it. Its query may say what the arguments up
    to `max_waiting` say (`timeout` in seconds), an argument wins; and `statement_cache_size=0` for a pool in
    transaction mode between it and the server. timeout: how long one attempt may take, from waiting for a connection
    to the answer; default 2 s; what may touch every row may take thirty times as long. max_connections: of one event
    loop, and one more that listens; default 10. max_waiting: calls that may wait for a connection before
    OverloadedError; default 1000. token_bytes: the source of the random name of the store's history.

    Usable from several event loops and threads, each with connections of its own.
    """

    is_remote = True

    def __init__(
        self,
        url: str,
        *,
        timeout: timedelta | None = None,
        max_connections: int | None = None,
        max_waiting: int | None = None,
        token_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._settings = settings_of(url, timeout=timeout, max_connections=max_connections, max_waiting=max_waiting)
        self._token_bytes = token_bytes
        self._engines = Engines(self._settings)
        self._open = False

    def __repr__(self) -> str:
        return f"PostgreSQLStore({self._settings.address.name!r})"

    async def open(self) -> None:
        if not self._open:
            engine = await self._engines.here()
            try:
                await engine.runner.read(migrating.verify)
            except BaseException:
                await self._engines.close()
                raise
            self._open = True

    async def migrate(self) -> tuple[str, ...]:
        runner = Runner(self._settings)
        history = self._token_bytes(16).hex()

        async def take(step: Migration) -> bool:
            return await runner.write(lambda connection: migrating.take(connection, step, history), [SCHEMA], long=True)

        try:
            return tuple([step.name for step in migrations("postgresql") if await take(step)])
        finally:
            await runner.close()

    async def close(self) -> None:
        self._open = False
        await self._engines.close()

    async def check(self) -> None:
        await (await self._opened()).runner.probe()

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
        session_row(session)  # claims that are no JSON fail before anything is asked
        named = tuple(replaces)
        return await self._write(
            lambda connection: sessions.create(
                connection,
                session,
                replaces=named,
                max_sessions=max_sessions,
                account_roles=account_roles,
                now=now,
            ),
            within_realm(session.realm),
            of_subject(session.realm, session.subject),
        )

    def peek_session(self, realm: str, session_id: str) -> Ask:  # noqa: ARG002 - nothing is answered here
        if not self._open:
            raise StoreError(_NOT_OPEN)
        return ASK

    async def read_session(self, realm: str, session_id: str) -> Session | None:
        return await self._ask(lambda connection: sessions.find(connection, realm, session_id))

    async def list_sessions(self, realm: str, subject: str, now: datetime) -> tuple[Session, ...]:
        rows = await self._ask(lambda connection: sessions.unended(connection, realm, subject))
        return tuple(row for row in reversed(rows) if evaluate(row, now) is None)

    async def touch_session(self, realm: str, session_id: str, seen_at: datetime) -> bool:
        return await self._decide(realm, session_id, verdicts.touch(seen_at))

    async def touch_sessions(self, realm: str, seen: Mapping[str, datetime], *, every: timedelta) -> int:
        if not seen:
            return 0
        grouping = (await self._opened()).grouping
        asked = {session_id: verdicts.touch(seen_at, every=every) for session_id, seen_at in seen.items()}
        return sum(await grouping.ask(realm, asked))

    async def rotate(
        self, realm: str, session_id: str, presented: int, now: datetime, policy: SessionPolicy
    ) -> Decision | None:
        # A decision that writes nothing is made on the row as it was read; nearly all refreshes of racing clients are.
        # One that writes is made again on the row that is then held: what was read before a fail-over decides nothing.
        row = await self.read_session(realm, session_id)
        if row is None:
            return None
        decision = decide(row, presented, now, policy)
        if not decision.writes:
            return decision
        return await self._decide(realm, session_id, verdicts.rotate(presented, now, policy))

    async def end_session(
        self, realm: str, session_id: str, *, reason: EndReason, now: datetime, subject: str | None = None
    ) -> Ended | None:
        return await self._decide(realm, session_id, verdicts.end(reason, now, subject))

    async def end_subject(
        self, realm: str, subject: str, *, reason: EndReason, now: datetime, keep: str | None = None
    ) -> tuple[Session, ...]:
        return await self._write(
            lambda connection: sessions.end_subject(connection, realm, subject, reason=reason, now=now, keep=keep),
            within_realm(realm),
            of_subject(realm, subject),
        )

    async def end_realm(self, realm: str, *, reason: EndReason, now: datetime) -> int:
        return await self._write(
            lambda connection: sessions.end_realm(connection, realm, reason, now), whole_realm(realm), long=True
        )

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
        return await self._write(
            lambda connection: sessions.update_subject(connection, realm, subject, changes, now),
            within_realm(realm),
            of_subject(realm, subject),
        )

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
        return await self._write(
            lambda connection: records.remove_account(connection, realm, account_id, now),
            within_realm(realm),
            of_subject(realm, account_id),
        )

    # --- attempts ---------------------------------------------------------------------------------------------

    async def admit_attempt(
        self, realm: str, keys: AttemptKeys, now: datetime, policy: ThrottlePolicy
    ) -> Refusal | None:
        return await self._write(
            lambda connection: records.admit_attempt(connection, realm, keys, now, policy), *_tally_locks(realm, keys)
        )

    async def attempt_succeeded(self, realm: str, keys: AttemptKeys, admitted_at: datetime) -> None:
        await self._write(
            lambda connection: records.attempt_succeeded(connection, realm, keys, admitted_at),
            *_tally_locks(realm, keys),
        )

    async def read_attempts(self, realm: str, keys: AttemptKeys) -> Tallies:
        return await self._ask(lambda connection: records.read_attempts(connection, realm, keys))

    async def clear_attempts(self, realm: str, key: bytes) -> bool:
        return await self._write(
            lambda connection: records.clear_attempts(connection, realm, key), of_tally(realm, key)
        )

    # --- values that are good once ----------------------------------------------------------------------------

    async def put_once(self, realm: str, purpose: str, key: bytes, value: bytes, *, expires_at: datetime) -> bool:
        return await self._write(
            lambda connection: records.put_once(connection, realm, purpose, key, value, expires_at=expires_at)
        )

    async def consume(self, realm: str, purpose: str, key: bytes, now: datetime) -> bytes | None:
        return await self._write(lambda connection: records.consume(connection, realm, purpose, key, now))

    # --- keys -------------------------------------------------------------------------------------------------

    async def add_key(self, key: StoredKey, *, only_if_none_current: bool = False) -> bool:
        return await self._write(
            lambda connection: stored_keys.add(connection, key, only_if_none_current), of_keys(key.realm)
        )

    async def list_keys(self, realm: str) -> tuple[StoredKey, ...]:
        return await self._ask(lambda connection: stored_keys.of_realm(connection, realm))

    async def rotate_keys(
        self, realm: str, *, moves: Sequence[Move] = (), new: Sequence[StoredKey] = (), now: datetime
    ) -> bool:
        return await self._write(
            lambda connection: stored_keys.rotate(connection, realm, moves, new, now), of_keys(realm)
        )

    def peek_keys_version(self, realm: str) -> Ask:  # noqa: ARG002 - nothing is answered here
        if not self._open:
            raise StoreError(_NOT_OPEN)
        return ASK

    async def keys_version(self, realm: str) -> int:
        return await self._ask(lambda connection: stored_keys.version(connection, realm))

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
        return await (await self._opened()).poll(cursor, limit, wait)

    async def append_again(self, entries: Sequence[Entry], now: datetime) -> int:
        known = mending.worth_telling(entries, now)
        return await self._write(
            lambda connection: mending.append_again(connection, known, now),
            *mending.locks_for(known),
            long=len(known) > 1 or any(entry.kind != "session" for entry in known),  # one session is one row
        )

    async def renew_history(self) -> str:
        name = self._token_bytes(16).hex()
        return await self._write(lambda connection: log.renew_history(connection, name))

    async def purge(self, now: datetime, *, limit: int = 500) -> int:
        return await self._write(lambda connection: mending.purge(connection, now, limit), PURGE)

    # --- inside -----------------------------------------------------------------------------------------------

    async def _opened(self) -> Engine:
        if not self._open:
            raise StoreError(_NOT_OPEN)
        return await self._engines.here()

    async def _ask(self, question: Callable[[Connection], Awaitable[T]]) -> T:
        return await (await self._opened()).runner.read(question)

    async def _write(self, work: Callable[[Connection], Awaitable[T]], *locks: Lock, long: bool = False) -> T:
        return await (await self._opened()).runner.write(work, locks, long=long)

    async def _decide(self, realm: str, session_id: str, decide: verdicts.Decide[T]) -> T:
        (result,) = await (await self._opened()).grouping.ask(realm, {session_id: decide})
        return result


def _tally_locks(realm: str, keys: AttemptKeys) -> list[Lock]:
    return [of_tally(realm, key) for key in (keys.account, keys.network, keys.pair)]
