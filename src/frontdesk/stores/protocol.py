"""What a store promises. These docstrings are the contract; `frontdesk.testing.StoreSuite` is their test.

For every operation:

- A store never reads a clock: `now` is an argument, an aware datetime in UTC.
- "Not found" is None or False. Only faults raise, and they raise `StoreError`: then nothing is known about the
  outcome except that no half of it is there. Misuse raises TypeError or ValueError.
- Each decision is one atomic call that returns its outcome; there is no read-then-write for callers to get wrong.
- An operation that returned is durable as far as the store promises durability (docs/stores.md).
- Create inserts only, touch updates only: nothing that ended, was consumed or was removed comes back.
- A session stands while `core.sessions.evaluate` refuses nothing. What takes rights away reaches every session that
  has not *ended*, expired ones included: clocks step back and differ, and must not give anything back.
- Records of one realm are invisible in every other; ids of equal text in two realms are two records.
- Cancelling the awaiting task leaves the operation done or not done, never half done.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final, Protocol

import msgspec

from frontdesk.core.accounts import Account
from frontdesk.core.keyring import Move, StoredKey
from frontdesk.core.revocation import Entry
from frontdesk.core.rotation import Decision
from frontdesk.core.services import Service
from frontdesk.core.sessions import EndReason, Epochs, Session, SessionPolicy
from frontdesk.core.throttle import AttemptKeys, Tallies, ThrottlePolicy
from frontdesk.errors import Refusal


class Ask(Enum):
    """`peek_session` could not answer without waiting: await `read_session` instead."""

    ASK = "ask"


ASK = Ask.ASK

NO_TIME: Final = timedelta(0)

KEYS_VERSION_LEAP: Final = 1_000_000
"""More changes of keys than a store sees between a copy of it and its return."""


class Created(msgspec.Struct, frozen=True):
    """The session was inserted. `ended` are those that it replaced or displaced, in the same transaction.

    `roles`: with `account_roles`, those it was inserted with; else None.
    """

    ended: tuple[Session, ...] = ()
    roles: tuple[str, ...] | None = None


class NotCreated(Enum):
    """Why a session was not inserted; nothing changed."""

    EPOCH_MOVED = "epoch_moved"
    """The subject or the realm was revoked since the epochs were read: the sign-in must be decided again."""
    ID_TAKEN = "id_taken"
    """A session with this id exists or existed (as far back as `purge` has left it; ids are 16 random bytes)."""
    NO_ACCOUNT = "no_account"
    """`account_roles` was asked for, and the subject has no account."""


class Ended(msgspec.Struct, frozen=True):
    """The session has ended. `now` is False when it had ended before this call; then nothing was written."""

    session: Session
    now: bool


class Poll(msgspec.Struct, frozen=True):
    """What the revocation log holds after a cursor.

    `entries` are in the order of their numbers and without gaps, except for what `purge` removed; no number is used
    twice. `cursor` is to be passed next. `head` is the highest number that was given so far; below the cursor that was
    asked with, the log has gone back. `history` identifies the store's history: it changes when writes may have been
    lost (a fail-over, a restart that keeps less than it acknowledged, a restored backup), and then the log is another
    one and a reader starts at 0. `store_time` is the store's own clock when it answered; None where that is ours.
    """

    entries: tuple[Entry, ...]
    cursor: int
    history: str
    head: int
    store_time: datetime | None = None

    @property
    def complete(self) -> bool:
        """Whether nothing was there behind the last of `entries` when the store answered."""
        return self.cursor >= self.head


class Store(Protocol):
    """Sessions, accounts, attempts, keys, services and the revocation log of one deployment."""

    @property
    def is_remote(self) -> bool:
        """Whether asking costs a way over a network. Then `peek_session` and `peek_keys_version` always say `ASK`,
        and who must not ask on each request follows the log (`verifier.follow`)."""
        ...

    async def open(self) -> None:
        """Make the store usable; apply outstanding migrations where the engine does so by itself. Idempotent.

        ConfigurationError when the storage needs something first: `migrate`, another setting of the server.
        """
        ...

    async def migrate(self) -> tuple[str, ...]:
        """Bring the storage of a closed or open store up to date; the names of the steps taken, () for none.

        Any number of processes may call it at once: each step is taken once.
        """
        ...

    async def close(self) -> None:
        """Finish what was accepted, release everything. Idempotent; until `open`, every call raises StoreError."""
        ...

    async def check(self) -> None:
        """Return when the store answers reads and accepts writes; else raise StoreError.

        Strangers cause it: it writes nothing that lasts, and its yes may be a second old.
        """
        ...

    # --- sessions ---------------------------------------------------------------------------------------------

    async def epochs(self, realm: str, subject: str) -> Epochs:
        """The epochs under which a sign-in of `subject` must be inserted. (0, 0) for an unknown subject."""
        ...

    async def create_session(
        self,
        session: Session,
        *,
        replaces: Collection[str] = (),
        max_sessions: int,
        account_roles: bool = False,
        now: datetime,
    ) -> Created | NotCreated:
        """Insert `session` if its epochs are still the current ones and its id was never used.

        With `account_roles` it gets the roles that the subject's account has in this very transaction, so that a
        change of rights and a sign-in that meet leave nobody with the old ones.

        In the same transaction: the sessions `replaces` (same realm) end as `replaced` if they have not ended,
        whichever subject they have; of the subject's other sessions that still stand at `now` the oldest, by
        `created_at` then id, end as `evicted` until `max_sessions` stand with the new one. Each ended session gets
        a revocation entry.
        """
        ...

    def peek_session(self, realm: str, session_id: str) -> Session | Ask | None:
        """`read_session`, if it can be answered here and now without waiting for anything; else `ASK`.

        Sees every write that was acknowledged before the call, by any process. Raises StoreError on a fault.
        """
        ...

    async def read_session(self, realm: str, session_id: str) -> Session | None:
        """The session, ended ones included, or None. Sees every write acknowledged before the call."""
        ...

    async def list_sessions(self, realm: str, subject: str, now: datetime) -> tuple[Session, ...]:
        """The subject's sessions that stand at `now`, newest first by `created_at`."""
        ...

    async def touch_session(self, realm: str, session_id: str, seen_at: datetime) -> bool:
        """Move `last_seen_at` forward to `seen_at` if the session stands at `seen_at`. True when it moved."""
        ...

    async def touch_sessions(self, realm: str, seen: Mapping[str, datetime], *, every: timedelta) -> int:
        """`touch_session` for many, in one round trip; how many moved.

        One whose `last_seen_at` is closer than `every` to its moment is left alone: another node was quicker. No
        order and no transaction is promised among them; losing a moment harms nothing.
        """
        ...

    async def rotate(
        self, realm: str, session_id: str, presented: int, now: datetime, policy: SessionPolicy
    ) -> Decision | None:
        """Decide on an authentic refresh token of generation `presented` (`core.rotation.decide`) and apply it.

        Atomic: the decision is the one for the row as it stood when it was written (a compare-and-set that
        covers generation, parent and that it has not ended; who changes no row reads again and decides again).
        A decision that ends the session appends its revocation entry in the same transaction. None: no row.
        A fail-over that may lose the last write must not let a read that was made before it decide a write after it
        (docs/rotation.md).
        """
        ...

    async def end_session(
        self, realm: str, session_id: str, *, reason: EndReason, now: datetime, subject: str | None = None
    ) -> Ended | None:
        """End a session and append its entry. None: there is no such session (or it is not `subject`'s)."""
        ...

    async def end_subject(
        self, realm: str, subject: str, *, reason: EndReason, now: datetime, keep: str | None = None
    ) -> tuple[Session, ...]:
        """End the subject's sessions that have not ended; returns those that ended by this call.

        Without `keep`: the subject epoch grows, so that a sign-in in flight is refused, and one `subject` entry
        is appended, even when no session stood. With `keep`: every session but that one ends, each with its own
        entry, and the epoch stays.
        """
        ...

    async def end_realm(self, realm: str, *, reason: EndReason, now: datetime) -> int:
        """End every session of the realm that has not ended; returns how many that were.

        The realm epoch grows, so that every sign-in in flight is refused, and one `all` entry with the new epoch is
        appended, even when no session stood. One transaction, however many sessions there are.
        """
        ...

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
        """Set what is not None in the subject's sessions that have not ended, and `roles` in its account.

        Returns how many of those sessions stand at `now`. In the same transaction one `changed` entry is appended if
        there was a session that had not ended.
        """
        ...

    # --- accounts ---------------------------------------------------------------------------------------------

    async def create_account(self, account: Account) -> bool:
        """Insert. False: the id or the address (compared byte by byte) is taken in this realm."""
        ...

    async def account_by_email(self, realm: str, email: str) -> Account | None:
        """The account with exactly this canonical address."""
        ...

    async def account_by_id(self, realm: str, account_id: str) -> Account | None:
        """The account with this id."""
        ...

    async def list_accounts(self, realm: str, *, after: str = "", limit: int = 100) -> tuple[Account, ...]:
        """Accounts ordered by address, those after the address `after`, at most `limit`."""
        ...

    async def replace_password(self, realm: str, account_id: str, *, old: str, new: str) -> bool:
        """Set the sealed password hash to `new` if it still is `old`."""
        ...

    async def remove_account(self, realm: str, account_id: str, *, now: datetime) -> bool:
        """Delete the account, and `end_subject` its subject as `revoked`, in one transaction.

        A sign-in in flight is refused; the address is free again. False: there is no such account, nothing changed.
        """
        ...

    # --- attempts ---------------------------------------------------------------------------------------------

    async def admit_attempt(
        self, realm: str, keys: AttemptKeys, now: datetime, policy: ThrottlePolicy
    ) -> Refusal | None:
        """Reserve one password check on every counter of `keys`, or refuse with `too_many_attempts`.

        The reservation counts as a failure until `attempt_succeeded` gives it back. A refusal counts nowhere.
        The arithmetic is `core.throttle.admit`; what it says is stored in the same transaction.
        """
        ...

    async def attempt_succeeded(self, realm: str, keys: AttemptKeys, admitted_at: datetime) -> None:
        """Give back the reservation made under `now=admitted_at`, clear the account's counters and the pair's.

        The arithmetic is `core.throttle.succeeded`.
        """
        ...

    async def read_attempts(self, realm: str, keys: AttemptKeys) -> Tallies:
        """The counters of `keys` as they stand, expired ones perhaps included. Reserves nothing."""
        ...

    async def clear_attempts(self, realm: str, key: bytes) -> bool:
        """Remove one counter (`frontdesk users unlock`). False: there was none."""
        ...

    # --- values that are good once ------------------------------------------------------------------------------

    async def put_once(self, realm: str, purpose: str, key: bytes, value: bytes, *, expires_at: datetime) -> bool:
        """Insert a value that can be consumed once, until `expires_at`. False: the key is or was in use.

        A consumed key stays taken until `purge` after its expiry.
        """
        ...

    async def consume(self, realm: str, purpose: str, key: bytes, now: datetime) -> bytes | None:
        """The value, to exactly one caller ever; None: unknown, expired at `now`, or consumed."""
        ...

    # --- keys -------------------------------------------------------------------------------------------------

    async def add_key(self, key: StoredKey, *, only_if_none_current: bool = False) -> bool:
        """Insert. False: the id is taken, or `only_if_none_current` and the realm has a current key of this
        algorithm."""
        ...

    async def list_keys(self, realm: str) -> tuple[StoredKey, ...]:
        """All keys of the realm, oldest first."""
        ...

    async def rotate_keys(
        self, realm: str, *, moves: Sequence[Move] = (), new: Sequence[StoredKey] = (), now: datetime
    ) -> bool:
        """Move keys of the realm from state to state and insert new ones: everything, or nothing and False.

        What fits is said by `core.keyring.applied`, for the keys as they stand when they are written; of many who
        apply one plan exactly one gets True. A key that moves has its state since `now`. One that becomes
        `compromised` gets a `key` entry in the same transaction.
        """
        ...

    def peek_keys_version(self, realm: str) -> int | Ask:
        """`keys_version`, if it is known without waiting; else `ASK`.

        To be called right after `peek_session` in the same thread: it is as new as that answer. Raises StoreError on
        a fault.
        """
        ...

    async def keys_version(self, realm: str) -> int:
        """A number that grows whenever the realm's keys change. Sees every write acknowledged before the call.

        In another history (`Poll.history`) it may be lower, or the same for other keys.
        """
        ...

    # --- the log ----------------------------------------------------------------------------------------------

    async def poll(self, cursor: int, *, limit: int = 1000, wait: timedelta = NO_TIME) -> Poll:
        """At most `limit` entries of all realms with a number above `cursor`.

        Sees every entry acknowledged before the call. Where there is none it may wait up to `wait` for one, and is
        woken as soon as one was appended, by any process; what wakes it decides nothing, the answer is read after it.
        A log whose head is below `cursor` is told at once. `limit` is above zero.
        """
        ...

    async def append_again(self, entries: Sequence[Entry], now: datetime) -> int:
        """Tell a store that lost a part of its history what it had said before; how many entries were appended.

        One transaction. Each of `entries` that had not expired at `now` and has no live equal in the log (same realm,
        kind and target, and an epoch that is not lower) is appended under a new number, with the `at` and `expires_at`
        that it had. Whether or not it is appended, its effect is made good: a session that has not ended ends as
        `revoked`; the epoch of a subject or a realm grows to the entry's where it is lower, and sessions under a lower
        one that have not ended end as `revoked`; a key that is not compromised becomes so. Entries of kind `changed`
        are passed over.
        """
        ...

    async def renew_history(self) -> str:
        """Give the store's history a new name, for a storage that was restored from a copy; returns the name.

        Every node that follows the log starts again at 0 and appends what the copy lacks. A store that is not remote,
        whose log nobody need follow, moves each `keys_version` by `KEYS_VERSION_LEAP`, so that no process takes the
        keys of the copy for those that it holds.
        """
        ...

    # --- services ---------------------------------------------------------------------------------------------

    async def add_service(self, service: Service) -> bool:
        """Insert. False: the name is taken in this realm, or the digest anywhere."""
        ...

    async def service_by_digest(self, realm: str, digest: bytes) -> Service | None:
        """The service of this realm whose credential has this digest."""
        ...

    async def list_services(self, realm: str) -> tuple[Service, ...]:
        """All services of the realm, ordered by name."""
        ...

    async def remove_service(self, realm: str, name: str) -> bool:
        """Delete. False: there is no such service."""
        ...

    # --- housekeeping -----------------------------------------------------------------------------------------

    async def purge(self, now: datetime, *, limit: int = 500) -> int:
        """Remove at most `limit` records that no decision needs any more; returns how many.

        Sessions one day after their absolute limit and seven days after they ended; attempts, values and
        revocation entries once expired; keys from `core.keyring.removable_at` on. Call again while it returns `limit`.
        """
        ...
