"""Locks that decisions take before they look at anything, so that those who decide about the same take turns.

They are PostgreSQL's advisory locks: held until the end of the transaction, known by two numbers. Not locks of rows,
because a subject that was never revoked has no row, and because a row that is locked is a row that is written.

What keeps transactions from waiting for each other in a circle: each takes these locks first and in the order of
`Lock`, then rows of sessions by id, then other rows, and the head of the log last (`log.append`). Whoever holds the
head waits for nobody. A collision of two names makes two wait for each other who need not; nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final, NamedTuple

_REALM: Final = 0x46440001
_SUBJECT: Final = 0x46440002
_KEYS: Final = 0x46440003
_TALLY: Final = 0x46440004
_PURGE: Final = 0x46440005
_SCHEMA: Final = 0x46440006


class Lock(NamedTuple):
    """Ordered as locks are to be taken."""

    kind: int
    number: int
    shared: bool = False


PURGE: Final = Lock(_PURGE, 0)
SCHEMA: Final = Lock(_SCHEMA, 0)


def within_realm(realm: str) -> Lock:
    """Held beside others by whoever may touch several sessions of the realm, or inserts one."""
    return Lock(_REALM, _number(realm), shared=True)


def whole_realm(realm: str) -> Lock:
    """Held alone by whoever ends what is in the realm."""
    return Lock(_REALM, _number(realm))


def of_subject(realm: str, subject: str) -> Lock:
    """Held by sign-ins of a subject and by whoever changes its epoch or its rights. After `within_realm`."""
    return Lock(_SUBJECT, _number(realm, subject))


def of_keys(realm: str) -> Lock:
    """Held by whoever changes keys of the realm."""
    return Lock(_KEYS, _number(realm))


def of_tally(realm: str, key: bytes) -> Lock:
    """Held by whoever reads a counter of attempts in order to write it."""
    return Lock(_TALLY, _number(realm, key.hex()))


def statements(locks: Iterable[Lock]) -> str:
    """SQL that takes them, in their order. Nothing but numbers goes into it."""
    return "".join(
        f"SELECT pg_advisory_xact_lock{'_shared' if lock.shared else ''}({lock.kind}, {lock.number});"
        for lock in sorted(set(locks))
    )


def _number(*names: str) -> int:
    """The same for every process and every version of this code."""
    raw = b"".join(len(name.encode()).to_bytes(4, "big") + name.encode() for name in names)
    return int.from_bytes(hashlib.blake2b(raw, digest_size=4).digest(), "big", signed=True)
