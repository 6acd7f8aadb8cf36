"""Revocation: the entries of the log, and the index that a node keeps of the live ones.

An entry is final. It lives until no credential it could end is accepted anywhere; then it may be forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec

from frontdesk.core.sessions import LARGEST_ABSOLUTE, Epochs

EntryKind = Literal["session", "subject", "key", "all"]

LARGEST_ACCESS_TOKEN: Final = timedelta(minutes=60)
"""No configuration accepts an access token for longer."""

SKEW: Final = timedelta(minutes=2)
"""Leeway of a remote verifier plus the largest clock difference between nodes."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the revocation log.

    `number` orders the log of one realm's store. `target` is a session id, a subject, a key id, or "" for `all`.
    `epoch` is the first epoch that is good again, for `subject` (subject epoch) and `all` (realm epoch).
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

    A session's row ends with the entry, in one transaction; only access tokens outlive it. A subject, key or realm
    entry is kept for a whole session as well, since a restored copy of the store may still hold the rows. No policy
    is asked: what was configured when the rows were made is not known any more.
    """
    lifetime = LARGEST_ACCESS_TOKEN if kind == "session" else LARGEST_ABSOLUTE
    return at + lifetime + SKEW


class RevocationIndex:
    """The live entries of one realm, as a node consults them on every hit of a cache or an access token.

    Mutable, owned by one node; `apply` is idempotent and order does not matter.
    """

    def __init__(self, realm: str) -> None:
        self.realm = realm
        self._sessions: dict[str, datetime] = {}
        self._keys: dict[str, datetime] = {}
        self._subjects: dict[str, tuple[int, datetime]] = {}
        self._realm_epoch = 0

    def __len__(self) -> int:
        return len(self._sessions) + len(self._keys) + len(self._subjects)

    def apply(self, entries: Iterable[Entry]) -> None:
        """Take entries in. Those of another realm are not for this index."""
        for entry in entries:
            if entry.realm != self.realm:
                continue
            if entry.kind == "session":
                self._sessions[entry.target] = max(self._sessions.get(entry.target, entry.expires_at), entry.expires_at)
            elif entry.kind == "key":
                self._keys[entry.target] = max(self._keys.get(entry.target, entry.expires_at), entry.expires_at)
            elif entry.kind == "subject":
                known, expires_at = self._subjects.get(entry.target, (0, entry.expires_at))
                self._subjects[entry.target] = (max(known, entry.epoch), max(expires_at, entry.expires_at))
            else:
                self._realm_epoch = max(self._realm_epoch, entry.epoch)

    def revoked(self, session_id: str, subject: str, epochs: Epochs, key_id: str | None = None) -> bool:
        """Whether an entry ends a credential with these marks."""
        if session_id in self._sessions or epochs.realm < self._realm_epoch:
            return True
        if key_id is not None and key_id in self._keys:
            return True
        known = self._subjects.get(subject)
        return known is not None and epochs.subject < known[0]

    def forget(self, now: datetime) -> int:
        """Drop entries that can end nothing any more; returns how many."""
        before = len(self)
        self._sessions = {key: until for key, until in self._sessions.items() if until > now}
        self._keys = {key: until for key, until in self._keys.items() if until > now}
        self._subjects = {key: pair for key, pair in self._subjects.items() if pair[1] > now}
        return before - len(self)
