"""The keys of access tokens as records, and when each of them is published, signs, verifies and goes.

A key is `next` (published, verifies, signs nothing), then `current` (signs or encrypts), then `old` (verifies what
it signed), then gone. A `compromised` key does nothing any more. "Sign" and "verify" stand for "encrypt" and "open"
where the key is one for encryption.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec

from frontdesk.core.revocation import LARGEST_ACCESS_TOKEN
from frontdesk.core.sessions import LARGEST_ABSOLUTE

KeyState = Literal["next", "current", "old", "compromised"]

PUBLISHED_BEFORE: Final = timedelta(hours=24)
"""How long a key is published before it signs, so that every verifier has it in time."""

VERIFIES_AFTER: Final = LARGEST_ACCESS_TOKEN + timedelta(hours=24)
"""How long a key verifies after it stopped signing: what it signed last, and a node that noticed late."""

COMPROMISED_KEPT: Final = LARGEST_ABSOLUTE
"""How long a compromised key stays on record. It could go at once: what is not there is not believed either."""

SHORTEST_ROTATION: Final = 2 * PUBLISHED_BEFORE


class StoredKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key at rest. `sealed` is its secret part, encrypted under the master key; `public` is empty for a symmetric
    one. `changed_at` is the moment since which it has its state."""

    id: str
    realm: str
    algorithm: str
    state: KeyState
    public: str
    sealed: bytes
    created_at: datetime
    changed_at: datetime

    def rivals(self, other: StoredKey) -> bool:
        """Whether this key already does what `other` is to do: sign now with its algorithm in its realm."""
        return self.state == "current" and self.realm == other.realm and self.algorithm == other.algorithm

    def __repr__(self) -> str:
        return f"StoredKey(id={self.id!r}, realm={self.realm!r}, {self.algorithm}, {self.state})"


class Move(msgspec.Struct, frozen=True):
    """A key goes from one state to another, provided that it is in the first."""

    id: str
    was: KeyState
    becomes: KeyState


class Make(msgspec.Struct, frozen=True):
    """A new key is needed."""

    algorithm: str
    state: KeyState


class Plan(msgspec.Struct, frozen=True):
    """What is due. Empty (false) when nothing is."""

    moves: tuple[Move, ...] = ()
    makes: tuple[Make, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.moves or self.makes)


def plan(
    keys: Iterable[StoredKey],
    now: datetime,
    *,
    algorithms: Sequence[str],
    every: timedelta | None,
    at_once: bool = False,
) -> Plan:
    """What is due at `now` for the keys of `algorithms`; those of others stay as they are.

    A next key that was published long enough takes over. One is made in time to take over when the current key has
    signed for `every` (None: never by itself), or now with `at_once`. Where no key is current, one becomes so.
    """
    held = tuple(keys)
    moves: list[Move] = []
    makes: list[Make] = []
    for algorithm in algorithms:
        current = [key for key in held if key.algorithm == algorithm and key.state == "current"]
        coming = [key for key in held if key.algorithm == algorithm and key.state == "next"]
        if coming and (not current or now - coming[0].changed_at >= PUBLISHED_BEFORE):
            moves += _succession(coming[0], current)
        elif not current:
            makes.append(Make(algorithm, "current"))
        elif not coming and (at_once or _is_due(current, now, every)):
            makes.append(Make(algorithm, "next"))
    return Plan(tuple(moves), tuple(makes))


def without(keys: Iterable[StoredKey], key_id: str) -> Plan:
    """What is due when a key fell into other hands; empty when it is unknown or was given up before.

    If it signs, the next key takes over at once, published long enough or not; where there is none, a new one.
    """
    held = tuple(keys)
    lost = next((key for key in held if key.id == key_id and key.state != "compromised"), None)
    if lost is None:
        return Plan()
    moves = [Move(lost.id, lost.state, "compromised")]
    others = [key for key in held if key.algorithm == lost.algorithm and key.id != lost.id]
    if lost.state != "current" or any(key.state == "current" for key in others):
        return Plan(tuple(moves))
    coming = next((key for key in others if key.state == "next"), None)
    if coming is None:
        return Plan(tuple(moves), (Make(lost.algorithm, "current"),))
    return Plan((*moves, Move(coming.id, "next", "current")))


def applied(
    held: Iterable[StoredKey], moves: Iterable[Move], new: Iterable[StoredKey], now: datetime
) -> tuple[StoredKey, ...] | None:
    """The rows that moves and new keys write, all keys being of one realm; None when they do not fit what is held.

    They fit if each key that moves is in the state it is said to be in, no new id is taken, and of every algorithm
    that they touch at most one key is `current` and at most one `next` afterwards.
    """
    rows = {key.id: key for key in held}
    written: dict[str, StoredKey] = {}
    for move in moves:
        key = rows.get(move.id)
        if key is None or key.state != move.was:
            return None
        rows[move.id] = written[move.id] = msgspec.structs.replace(key, state=move.becomes, changed_at=now)
    for key in new:
        if key.id in rows:
            return None
        rows[key.id] = written[key.id] = key
    touched = {key.algorithm for key in written.values()}
    busy = [(key.algorithm, key.state) for key in rows.values() if key.state in {"current", "next"}]
    if any(algorithm in touched and busy.count((algorithm, state)) > 1 for algorithm, state in busy):
        return None
    return tuple(written.values())


def removable_at(key: StoredKey) -> datetime | None:
    """From when on no decision needs the key; None while that is open."""
    if key.state == "old":
        return key.changed_at + VERIFIES_AFTER
    return key.changed_at + COMPROMISED_KEPT if key.state == "compromised" else None


def signs_at(key: StoredKey) -> datetime:
    """From when on a next key may sign."""
    return key.changed_at + PUBLISHED_BEFORE


def _succession(coming: StoredKey, current: Iterable[StoredKey]) -> list[Move]:
    return [Move(coming.id, "next", "current"), *(Move(key.id, "current", "old") for key in current)]


def _is_due(current: Iterable[StoredKey], now: datetime, every: timedelta | None) -> bool:
    return every is not None and all(now - key.changed_at >= every - PUBLISHED_BEFORE for key in current)
