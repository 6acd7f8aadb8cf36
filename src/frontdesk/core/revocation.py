"""Revocation: the entries of the log, and the index that a node keeps of the live ones.

An entry is final. It lives until no credential it could end is accepted anywhere; then it may be forgotten.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final, Literal, get_args

import msgspec

from frontdesk.core.sessions import LARGEST_ABSOLUTE, Epochs

EntryKind = Literal["session", "subject", "key", "all", "changed"]
"""`session`, `subject`, `key`, `all` end something for good. `changed` ends nothing: what the subject may do was
changed, and whoever keeps rows or claims of it must ask the store again."""

ENTRY_KINDS: Final[tuple[str, ...]] = get_args(EntryKind)

LARGEST_ACCESS_TOKEN: Final = timedelta(minutes=60)
"""No configuration accepts an access token for longer."""

SKEW: Final = timedelta(minutes=2)
"""Leeway of a remote verifier plus the largest clock difference between nodes."""

_DIGEST_BYTES: Final = 16


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the revocation log.

    `number` orders the log of one store, over all realms. `target` is a session id, a subject, a key id, or "" for
    `all`. `epoch` is the first epoch that is good again, for `subject` (subject epoch) and `all` (realm epoch).
    """

    number: int
    realm: str
    kind: EntryKind
    target: str = ""
    epoch: int = 0
    at: datetime
    expires_at: datetime


def entry_expiry(at: datetime, kind: EntryKind) -> datetime:
    """Until when an entry must be kept: the largest lifetime of what it ends, and the skew.

    A session's row ends with the entry, in one transaction; only access tokens outlive it, and only they remember
    rights that were changed. A subject, key or realm entry is kept for a whole session as well, since a restored copy
    of the store may still hold the rows. No policy is asked: what was configured when the rows were made is not known
    any more.
    """
    lifetime = LARGEST_ACCESS_TOKEN if kind in {"session", "changed"} else LARGEST_ABSOLUTE
    return at + lifetime + SKEW


def target_digest(realm: str, target: str) -> str:
    """What stands for a session id or a subject where the log leaves the deployment: 128 bits of SHA-256, in hex.

    A session id is 16 random bytes, so nobody finds it from its digest; who holds the token knows both.
    """
    raw = b"frontdesk/revocation/" + realm.encode() + b"\x00" + target.encode()
    return hashlib.sha256(raw).digest()[:_DIGEST_BYTES].hex()


class RevocationIndex:
    """The live entries of one realm, as a node consults them on every hit of a cache or an access token.

    Mutable, owned by one node; `apply` is idempotent and order does not matter. What an entry ended stays ended here
    until it expires, whatever the store says meanwhile: a store may lose entries, a node that knew them does not.
    """

    def __init__(self, realm: str) -> None:
        self.realm = realm
        self._sessions: dict[str, Entry] = {}
        self._keys: dict[str, Entry] = {}
        self._subjects: dict[str, Entry] = {}
        self._changed: dict[str, Entry] = {}
        self._all: Entry | None = None
        self._realm_epoch = 0
        self._due: dict[EntryKind, deque[Entry]] = {"session": deque(), "key": deque(), "subject": deque()}
        self._due["changed"] = deque()

    def __len__(self) -> int:
        ending = len(self._sessions) + len(self._keys) + len(self._subjects)
        return ending + len(self._changed) + (self._all is not None)

    def apply(self, entries: Iterable[Entry]) -> None:
        """Take entries in. Those of another realm are not for this index."""
        for entry in entries:
            if entry.realm != self.realm:
                continue
            if entry.kind == "all":
                said = entry if self._all is None else _later(self._all, entry)
                if said.epoch >= self._realm_epoch:
                    self._all, self._realm_epoch = said, said.epoch
                continue
            table = self._table(entry.kind)
            known = table.get(entry.target)
            if known is None:
                table[entry.target] = entry
                self._due[entry.kind].append(entry)
            else:
                table[entry.target] = _later(known, entry)

    def revoked(self, session_id: str, subject: str, epochs: Epochs, key_id: str | None = None) -> bool:
        """Whether an entry ends a credential with these marks."""
        if session_id in self._sessions or epochs.realm < self._realm_epoch:
            return True
        if key_id is not None and key_id in self._keys:
            return True
        known = self._subjects.get(subject)
        return known is not None and epochs.subject < known.epoch

    def key_revoked(self, key_id: str) -> bool:
        """Whether the key was given up: what it signed is not believed."""
        return key_id in self._keys

    def epochs(self, subject: str) -> Epochs:
        """The epochs that are good as far as this index knows; the store's own are these or higher."""
        known = self._subjects.get(subject)
        return Epochs(self._realm_epoch, 0 if known is None else known.epoch)

    def changed_at(self, subject: str) -> int:
        """The number of the newest entry that says that the subject's rights were changed; 0 when there is none.

        What was read of the subject when the log had not come so far is out of date.
        """
        entry = self._changed.get(subject)
        return 0 if entry is None else entry.number

    def live(self, now: datetime) -> Iterator[Entry]:
        """The entries that can still end something: what a store that lost its history must be told again."""
        for table in (self._sessions, self._subjects, self._keys):
            yield from (entry for entry in table.values() if entry.expires_at > now)
        if self._all is not None and self._all.expires_at > now:
            yield self._all

    def restart(self) -> None:
        """The log has another history, with numbers of its own. What was ended stays ended."""
        self._changed.clear()
        self._due["changed"].clear()

    def forget(self, now: datetime) -> int:
        """Drop entries that can end nothing any more; returns how many.

        Costs what it drops: entries of one kind expire in the order in which they came, as far as clocks agree; one
        that is out of order goes with those before it, and ends until then what it ended. The epoch of the realm is
        kept, it is one number.
        """
        before = len(self)
        for kind, due in self._due.items():
            table = self._table(kind)
            while due and due[0].expires_at <= now:
                entry = table[due.popleft().target]
                if entry.expires_at <= now:
                    del table[entry.target]
                else:
                    due.append(entry)  # another entry for the same target came later
        if self._all is not None and self._all.expires_at <= now:
            self._all = None
        return before - len(self)

    def _table(self, kind: EntryKind) -> dict[str, Entry]:
        if kind == "session":
            return self._sessions
        if kind == "subject":
            return self._subjects
        return self._keys if kind == "key" else self._changed


def _later(known: Entry, entry: Entry) -> Entry:
    """Both in one: of everything that they say the highest or latest. `known` itself when nothing is new."""
    both = msgspec.structs.replace(
        known,
        number=max(known.number, entry.number),
        epoch=max(known.epoch, entry.epoch),
        at=max(known.at, entry.at),
        expires_at=max(known.expires_at, entry.expires_at),
    )
    return known if both == known else both
