"""The store in memory: for tests, for trying things out, and the reference for every other store.

Plain dictionaries behind one lock, so that several event loops and threads may share a store. No operation awaits
anything, therefore each is one atomic step, and cancelling finds it done or not begun. An operation works out what it
writes on frozen records first and hands it over in one `_commit`: a fault before that leaves everything as it was.

The data lives as long as the object: closing refuses calls and forgets nothing.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from itertools import chain, islice
from operator import attrgetter
from typing import Any, Final

import msgspec

from frontdesk.core import throttle
from frontdesk.core.accounts import Account
from frontdesk.core.keyring import Move, StoredKey, applied, removable_at
from frontdesk.core.revocation import Entry, EntryKind, entry_expiry
from frontdesk.core.rotation import Decision, decide
from frontdesk.core.services import Service
from frontdesk.core.sessions import EndReason, Epochs, Session, SessionPolicy, evaluate
from frontdesk.core.throttle import AttemptKeys, Tallies, Tally, ThrottlePolicy
from frontdesk.errors import Refusal, StoreError
from frontdesk.stores.protocol import KEYS_VERSION_LEAP, NO_TIME, Created, Ended, NotCreated, Poll

_KEEP_EXPIRED: Final = timedelta(days=1)
_KEEP_ENDED: Final = timedelta(days=7)
_matter: Final = attrgetter("realm", "kind", "target")  # what an entry is about


_Change = tuple[dict[Any, Any], Any, Any]
"""A table, a key, and the record that is to stand there; None removes it."""


class _Value(msgspec.Struct, frozen=True):
    """A value that is good once; None once it was consumed."""

    value: bytes | None
    expires_at: datetime


class _Bell:
    """Wakes the polls that wait, in whichever event loops they do. Belongs to the store, not to its data."""

    def __init__(self) -> None:
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    def __deepcopy__(self, memo: object) -> _Bell:
        return self

    @contextmanager
    def heard(self) -> Iterator[asyncio.Event]:
        """An event that is set at the next ring: entries were appended, or the store was closed."""
        ear = asyncio.get_running_loop(), asyncio.Event()
        self._waiting.add(ear)
        try:
            yield ear[1]
        finally:
            self._waiting.discard(ear)

    def ring(self) -> None:
        for loop, rung in tuple(self._waiting):
            with suppress(RuntimeError):  # a loop that was closed under its poll
                loop.call_soon_threadsafe(rung.set)


class _Tables:
    """What is held, behind one lock, and how a decision is written to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = False
        self._meta = {"history": secrets.token_hex(16)}
        self._sessions: dict[tuple[str, str], Session] = {}
        self._by_subject: dict[tuple[str, str], dict[str, Session]] = {}
        self._subject_epochs: dict[tuple[str, str], int] = {}
        self._realm_epochs: dict[str, int] = {}
        self._accounts: dict[tuple[str, str], Account] = {}
        self._account_ids: dict[tuple[str, str], str] = {}  # by e-mail address
        self._tallies: dict[tuple[str, bytes], Tally] = {}
        self._values: dict[tuple[str, str, bytes], _Value] = {}
        self._keys: dict[tuple[str, str], StoredKey] = {}
        self._keys_versions: dict[str, int] = {}
        self._services: dict[tuple[str, str], Service] = {}
        self._log: dict[int, Entry] = {}
        self._last_number = 0
        self._bell = _Bell()

    @contextmanager
    def _using(self) -> Iterator[None]:
        with self._lock:
            if not self._open:
                raise StoreError("the store is not open")
            yield

    def _commit(self, changes: Iterable[_Change], entries: Iterable[Entry] = ()) -> None:
        """Write everything that one decision came to. Entries get their numbers here."""
        for table, key, row in changes:
            if row is None:
                table.pop(key, None)
            else:
                table[key] = row
        for entry in entries:
            self._last_number += 1
            self._log[self._last_number] = msgspec.structs.replace(entry, number=self._last_number)
            self._bell.ring()

    def _session_changes(self, rows: Iterable[Session], *, remove: bool = False) -> list[_Change]:
        changes: list[_Change] = []
        for row in rows:
            of_subject = self._by_subject.setdefault((row.realm, row.subject), {})
            written = None if remove else row
            changes += ((self._sessions, (row.realm, row.id), written), (of_subject, row.id, written))
        return changes

    def _key_changes(self, keys: Iterable[StoredKey], *, remove: bool = False) -> list[_Change]:
        changes: list[_Change] = []
        for key in keys:
            version = self._keys_versions.get(key.realm, 0) + 1
            changes.append((self._keys, (key.realm, key.id), None if remove else key))
            changes.append((self._keys_versions, key.realm, version))
        return changes

    def _account_change(self, account: Account, *, remove: bool = False) -> list[_Change]:
        return [
            (self._accounts, (account.realm, account.id), None if remove else account),
            (self._account_ids, (account.realm, account.email), None if remove else account.id),
        ]

    def _subject_moves(self, realm: str, subject: str, now: datetime) -> tuple[_Change, Entry]:
        """The subject's next epoch, and the entry that says so."""
        epoch = self._epochs_of(realm, subject).subject + 1
        return (self._subject_epochs, (realm, subject), epoch), _entry(realm, "subject", subject, now, epoch=epoch)

    def _tally_changes(self, realm: str, keys: AttemptKeys, tallies: Tallies) -> list[_Change]:
        pairs = ((keys.account, tallies.account), (keys.network, tallies.network), (keys.pair, tallies.pair))
        return [(self._tallies, (realm, key), tally) for key, tally in pairs]

    def _epochs_of(self, realm: str, subject: str) -> Epochs:
        return Epochs(self._realm_epochs.get(realm, 0), self._subject_epochs.get((realm, subject), 0))

    def _sessions_of(self, realm: str, subject: str) -> list[Session]:
        """The subject's rows, ended ones included, oldest first."""
        rows = self._by_subject.get((realm, subject), {}).values()
        return sorted(rows, key=lambda row: (row.created_at, row.id))

    def _tallies_of(self, realm: str, keys: AttemptKeys) -> Tallies:
        found = self._tallies.get
        return Tallies(found((realm, keys.account)), found((realm, keys.network)), found((realm, keys.pair)))

    def _keys_of(self, realm: str) -> list[StoredKey]:
        keys = [key for key in self._keys.values() if key.realm == realm]
        return sorted(keys, key=lambda key: (key.created_at, key.id))

    def _done_with(self, now: datetime) -> Iterator[list[_Change]]:
        """For each record that no decision needs any more, the changes that remove it."""
        for row in self._sessions.values():
            long_ended = row.ended_at is not None and now >= row.ended_at + _KEEP_ENDED
            if long_ended or now >= row.expires_at + _KEEP_EXPIRED:
                yield self._session_changes((row,), remove=True)
        for tally_key, tally in self._tallies.items():
            if now >= throttle.expiry(tally):
                yield [(self._tallies, tally_key, None)]
        for value_key, held in self._values.items():
            if now >= held.expires_at:
                yield [(self._values, value_key, None)]
        for number, entry in self._log.items():
            if now >= entry.expires_at:
                yield [(self._log, number, None)]
        for stored_key in self._keys.values():
            until = removable_at(stored_key)
            if until is not None and now >= until:
                yield self._key_changes((stored_key,), remove=True)


class _Ledger(_Tables):
    """Keys, services and the revocation log."""

    # --- keys -------------------------------------------------------------------------------------------------

    async def add_key(self, key: StoredKey, *, only_if_none_current: bool = False) -> bool:
        with self._using():
            if (key.realm, key.id) in self._keys:
                return False
            if only_if_none_current and any(held.rivals(key) for held in self._keys_of(key.realm)):
                return False
            self._commit(self._key_changes((key,)))
            return True

    async def list_keys(self, realm: str) -> tuple[StoredKey, ...]:
        with self._using():
            return tuple(self._keys_of(realm))

    async def rotate_keys(
        self, realm: str, *, moves: Sequence[Move] = (), new: Sequence[StoredKey] = (), now: datetime
    ) -> bool:
        with self._using():
            written = applied(self._keys_of(realm), moves, new, now)
            if written is None:
                return False
            lost = [_entry(realm, "key", key.id, now) for key in written if key.state == "compromised"]
            self._commit(self._key_changes(written), lost)
            return True

    def peek_keys_version(self, realm: str) -> int:
        if not self._open:
            raise StoreError("the store is not open")
        return self._keys_versions.get(realm, 0)

    async def keys_version(self, realm: str) -> int:
        return self.peek_keys_version(realm)

    # --- the log ----------------------------------------------------------------------------------------------

    async def poll(self, cursor: int, *, limit: int = 1000, wait: timedelta = NO_TIME) -> Poll:
        if wait <= NO_TIME:
            return self._page(cursor, limit)
        with self._bell.heard() as rung:  # before the look: what is appended right after it must wake us
            page = self._page(cursor, limit)
            if page.entries or page.head < cursor:
                return page
            with suppress(TimeoutError):
                async with asyncio.timeout(wait.total_seconds()):
                    await rung.wait()
            return self._page(cursor, limit)

    def _page(self, cursor: int, limit: int) -> Poll:
        with self._using():
            # Numbers are given in order, so the dictionary holds them in order.
            entries = tuple(islice((entry for entry in self._log.values() if entry.number > cursor), limit))
            head = self._last_number
            last = entries[-1].number if len(entries) == limit and entries else head
            return Poll(entries, last, self._meta["history"], head)

    async def append_again(self, entries: Sequence[Entry], now: datetime) -> int:
        with self._using():
            live = [entry for entry in entries if entry.kind != "changed" and entry.expires_at > now]
            said: dict[Any, int] = {}  # the highest epoch that the log holds, or is about to
            for held in (entry for entry in self._log.values() if entry.expires_at > now):
                said[_matter(held)] = max(said.get(_matter(held), 0), held.epoch)
            lacking = []
            for entry in live:
                if said.get(_matter(entry), -1) < entry.epoch:
                    said[_matter(entry)] = entry.epoch
                    lacking.append(entry)
            # By epoch, so that the highest of several for one subject is written last.
            ordered = sorted(live, key=lambda entry: entry.epoch)
            self._commit(chain.from_iterable([self._made_good(entry, now) for entry in ordered]), lacking)
            return len(lacking)

    def _made_good(self, entry: Entry, now: datetime) -> list[_Change]:
        """The changes that give an entry its effect, where the store has lost it."""
        realm, target = entry.realm, entry.target
        if entry.kind == "key":
            key = self._keys.get((realm, target))
            if key is None or key.state == "compromised":
                return []
            return self._key_changes((msgspec.structs.replace(key, state="compromised", changed_at=now),))
        changes: list[_Change] = []
        if entry.kind == "session":
            row = self._sessions.get((realm, target))
            rows = [] if row is None else [row]
        elif entry.kind == "subject":
            epoch = max(self._epochs_of(realm, target).subject, entry.epoch)
            rows = [row for row in self._sessions_of(realm, target) if row.epochs.subject < entry.epoch]
            changes = [(self._subject_epochs, (realm, target), epoch)]
        else:
            epoch = max(self._realm_epochs.get(realm, 0), entry.epoch)
            rows = [row for row in self._sessions.values() if row.realm == realm and row.epochs.realm < entry.epoch]
            changes = [(self._realm_epochs, realm, epoch)]
        return changes + self._session_changes(_ended(row, "revoked", now) for row in rows if row.ended_at is None)

    async def renew_history(self) -> str:
        with self._using():
            leap = [(self._keys_versions, realm, at + KEYS_VERSION_LEAP) for realm, at in self._keys_versions.items()]
            self._commit([(self._meta, "history", secrets.token_hex(16)), *leap])
            return self._meta["history"]

    # --- services ---------------------------------------------------------------------------------------------

    async def add_service(self, service: Service) -> bool:
        with self._using():
            taken = any(held.digest == service.digest for held in self._services.values())
            if taken or (service.realm, service.name) in self._services:
                return False
            self._commit([(self._services, (service.realm, service.name), service)])
            return True

    async def service_by_digest(self, realm: str, digest: bytes) -> Service | None:
        return next((held for held in await self.list_services(realm) if held.digest == digest), None)

    async def list_services(self, realm: str) -> tuple[Service, ...]:
        with self._using():
            held = [service for service in self._services.values() if service.realm == realm]
        return tuple(sorted(held, key=lambda service: service.name))

    async def remove_service(self, realm: str, name: str) -> bool:
        with self._using():
            if (realm, name) not in self._services:
                return False
            self._commit([(self._services, (realm, name), None)])
            return True


class MemoryStore(_Ledger):
    """`stores.protocol.Store` in the memory of one process."""

    is_remote = False

    def __repr__(self) -> str:
        return f"MemoryStore({len(self._sessions)} sessions, {len(self._accounts)} accounts)"

    async def open(self) -> None:
        self._open = True

    async def migrate(self) -> tuple[str, ...]:
        return ()

    async def close(self) -> None:
        self._open = False
        self._bell.ring()

    async def check(self) -> None:
        with self._using():
            self._commit(())

    # --- sessions ---------------------------------------------------------------------------------------------

    async def epochs(self, realm: str, subject: str) -> Epochs:
        with self._using():
            return self._epochs_of(realm, subject)

    async def create_session(
        self,
        session: Session,
        *,
        replaces: Collection[str] = (),
        max_sessions: int,
        account_roles: bool = False,
        now: datetime,
    ) -> Created | NotCreated:
        own = _with_own_claims(session)
        with self._using():
            if own.epochs != self._epochs_of(own.realm, own.subject):
                return NotCreated.EPOCH_MOVED
            if (own.realm, own.id) in self._sessions:
                return NotCreated.ID_TAKEN
            if account_roles:
                account = self._accounts.get((own.realm, own.subject))
                if account is None:
                    return NotCreated.NO_ACCOUNT
                own = msgspec.structs.replace(own, roles=account.roles)
            named = (self._sessions.get((own.realm, session_id)) for session_id in dict.fromkeys(replaces))
            ended = [_ended(row, "replaced", now) for row in named if row is not None and row.ended_at is None]
            rows = self._sessions_of(own.realm, own.subject)
            standing = [row for row in rows if row.id not in replaces and evaluate(row, now) is None]
            excess = max(len(standing) + 1 - max_sessions, 0)
            ended.extend(_ended(row, "evicted", now) for row in standing[:excess])
            self._commit(self._session_changes((own, *ended)), _entries_of(ended, now))
            return Created(tuple(_with_own_claims(row) for row in ended), own.roles if account_roles else None)

    def peek_session(self, realm: str, session_id: str) -> Session | None:
        # Without the lock, and so without waiting for another thread: one look-up of one immutable record.
        if not self._open:
            raise StoreError("the store is not open")
        row = self._sessions.get((realm, session_id))
        return row if row is None else _with_own_claims(row)

    async def read_session(self, realm: str, session_id: str) -> Session | None:
        return self.peek_session(realm, session_id)

    async def list_sessions(self, realm: str, subject: str, now: datetime) -> tuple[Session, ...]:
        with self._using():
            rows = self._sessions_of(realm, subject)
        return tuple(_with_own_claims(row) for row in reversed(rows) if evaluate(row, now) is None)

    async def touch_session(self, realm: str, session_id: str, seen_at: datetime) -> bool:
        with self._using():
            row = self._sessions.get((realm, session_id))
            if row is None or evaluate(row, seen_at) is not None or seen_at <= row.last_seen_at:
                return False
            self._commit(self._session_changes((msgspec.structs.replace(row, last_seen_at=seen_at),)))
            return True

    async def touch_sessions(self, realm: str, seen: Mapping[str, datetime], *, every: timedelta) -> int:
        moved = 0
        for session_id, seen_at in seen.items():
            row = await self.read_session(realm, session_id)
            if row is not None and seen_at - row.last_seen_at >= every:
                moved += await self.touch_session(realm, session_id, seen_at)
        return moved

    async def rotate(
        self, realm: str, session_id: str, presented: int, now: datetime, policy: SessionPolicy
    ) -> Decision | None:
        with self._using():
            row = self._sessions.get((realm, session_id))
            if row is None:
                return None
            decision = decide(_with_own_claims(row), presented, now, policy)
            if decision.writes:
                ended = (decision.session,) if decision.ends else ()
                written = _with_own_claims(decision.session)
                self._commit(self._session_changes((written,)), _entries_of(ended, now))
            return decision

    async def end_session(
        self, realm: str, session_id: str, *, reason: EndReason, now: datetime, subject: str | None = None
    ) -> Ended | None:
        with self._using():
            row = self._sessions.get((realm, session_id))
            if row is None or (subject is not None and row.subject != subject):
                return None
            if row.ended_at is not None:
                return Ended(_with_own_claims(row), now=False)
            ended = _ended(row, reason, now)
            self._commit(self._session_changes((ended,)), _entries_of((ended,), now))
            return Ended(_with_own_claims(ended), now=True)

    async def end_subject(
        self, realm: str, subject: str, *, reason: EndReason, now: datetime, keep: str | None = None
    ) -> tuple[Session, ...]:
        with self._using():
            rows = [row for row in self._sessions_of(realm, subject) if row.ended_at is None and row.id != keep]
            ended = [_ended(row, reason, now) for row in rows]
            changes = self._session_changes(ended)
            if keep is not None:
                self._commit(changes, _entries_of(ended, now))
            else:
                grown, entry = self._subject_moves(realm, subject, now)
                self._commit((*changes, grown), (entry,))
            return tuple(_with_own_claims(row) for row in ended)

    async def end_realm(self, realm: str, *, reason: EndReason, now: datetime) -> int:
        with self._using():
            rows = [row for row in self._sessions.values() if row.realm == realm and row.ended_at is None]
            changes = self._session_changes(_ended(row, reason, now) for row in rows)
            epoch = self._realm_epochs.get(realm, 0) + 1
            grown: _Change = (self._realm_epochs, realm, epoch)
            self._commit((*changes, grown), (_entry(realm, "all", "", now, epoch=epoch),))
            return len(rows)

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
        changes: dict[str, Any] = {}
        if roles is not None:
            changes["roles"] = tuple(roles)
        if scope is not None:
            changes["scope"] = tuple(scope)
        if claims is not None:
            changes["claims"] = _own_claims(claims)
        with self._using():
            rows = [row for row in self._sessions_of(realm, subject) if row.ended_at is None]
            written = self._session_changes(msgspec.structs.replace(row, **changes) for row in rows)
            account = self._accounts.get((realm, subject))
            if account is not None and roles is not None:
                written += self._account_change(msgspec.structs.replace(account, roles=tuple(roles)))
            self._commit(written, [_entry(realm, "changed", subject, now)] if rows else ())
            return sum(evaluate(row, now) is None for row in rows)

    # --- accounts ---------------------------------------------------------------------------------------------

    async def create_account(self, account: Account) -> bool:
        with self._using():
            taken = (account.realm, account.id) in self._accounts
            if taken or (account.realm, account.email) in self._account_ids:
                return False
            self._commit(self._account_change(account))
            return True

    async def account_by_email(self, realm: str, email: str) -> Account | None:
        with self._using():
            account_id = self._account_ids.get((realm, email))
            return None if account_id is None else self._accounts[realm, account_id]

    async def account_by_id(self, realm: str, account_id: str) -> Account | None:
        with self._using():
            return self._accounts.get((realm, account_id))

    async def list_accounts(self, realm: str, *, after: str = "", limit: int = 100) -> tuple[Account, ...]:
        with self._using():
            found = [each for each in self._accounts.values() if each.realm == realm and each.email > after]
        return tuple(sorted(found, key=lambda account: account.email)[:limit])

    async def replace_password(self, realm: str, account_id: str, *, old: str, new: str) -> bool:
        with self._using():
            account = self._accounts.get((realm, account_id))
            if account is None or account.password != old:
                return False
            self._commit(self._account_change(msgspec.structs.replace(account, password=new)))
            return True

    async def remove_account(self, realm: str, account_id: str, *, now: datetime) -> bool:
        with self._using():
            account = self._accounts.get((realm, account_id))
            if account is None:
                return False
            rows = [row for row in self._sessions_of(realm, account_id) if row.ended_at is None]
            changes = self._session_changes(_ended(row, "revoked", now) for row in rows)
            changes += self._account_change(account, remove=True)
            grown, entry = self._subject_moves(realm, account_id, now)
            self._commit((*changes, grown), (entry,))
            return True

    # --- attempts ---------------------------------------------------------------------------------------------

    async def admit_attempt(
        self, realm: str, keys: AttemptKeys, now: datetime, policy: ThrottlePolicy
    ) -> Refusal | None:
        with self._using():
            outcome = throttle.admit(self._tallies_of(realm, keys), now, policy)
            if isinstance(outcome, throttle.Exhausted):
                if outcome.moved is not None:
                    self._commit(self._tally_changes(realm, keys, outcome.moved))
                return outcome.refusal()
            self._commit(self._tally_changes(realm, keys, outcome.tallies))
            return None

    async def attempt_succeeded(self, realm: str, keys: AttemptKeys, admitted_at: datetime) -> None:
        with self._using():
            tallies = throttle.succeeded(self._tallies_of(realm, keys), admitted_at)
            self._commit(self._tally_changes(realm, keys, tallies))

    async def read_attempts(self, realm: str, keys: AttemptKeys) -> Tallies:
        with self._using():
            return self._tallies_of(realm, keys)

    async def clear_attempts(self, realm: str, key: bytes) -> bool:
        with self._using():
            found = (realm, key) in self._tallies
            self._commit(((self._tallies, (realm, key), None),))
            return found

    # --- values that are good once ----------------------------------------------------------------------------

    async def put_once(self, realm: str, purpose: str, key: bytes, value: bytes, *, expires_at: datetime) -> bool:
        with self._using():
            if (realm, purpose, key) in self._values:
                return False
            self._commit(((self._values, (realm, purpose, key), _Value(value, expires_at)),))
            return True

    async def consume(self, realm: str, purpose: str, key: bytes, now: datetime) -> bytes | None:
        with self._using():
            held = self._values.get((realm, purpose, key))
            if held is None or held.value is None or now >= held.expires_at:
                return None
            self._commit(((self._values, (realm, purpose, key), _Value(None, held.expires_at)),))
            return held.value

    # --- housekeeping -----------------------------------------------------------------------------------------

    async def purge(self, now: datetime, *, limit: int = 500) -> int:
        with self._using():
            done = list(islice(self._done_with(now), limit))
            self._commit(chain.from_iterable(done))
            return len(done)


def _ended(row: Session, reason: EndReason, now: datetime) -> Session:
    return msgspec.structs.replace(row, ended_at=now, end_reason=reason)


def _entries_of(ended: Iterable[Session], now: datetime) -> list[Entry]:
    return [_entry(row.realm, "session", row.id, now) for row in ended]


def _entry(realm: str, kind: EntryKind, target: str, at: datetime, *, epoch: int = 0) -> Entry:
    """An entry that `_commit` numbers."""
    expires_at = entry_expiry(at, kind)
    return Entry(number=0, realm=realm, kind=kind, target=target, epoch=epoch, at=at, expires_at=expires_at)


def _own_claims(claims: Mapping[str, Any]) -> dict[str, Any]:
    """A copy that shares nothing with the caller's: what a store on disk would give back, or its TypeError."""
    copy: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(dict(claims)))
    return copy


def _with_own_claims(row: Session) -> Session:
    return msgspec.structs.replace(row, claims=_own_claims(row.claims)) if row.claims else row
