"""The keys of access tokens inside one transaction. Whoever changes a key moves the realm's version."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

import apsw

from frontdesk.clock import span_to_micros, to_micros
from frontdesk.core.keyring import COMPROMISED_KEPT, VERIFIES_AFTER, Move, StoredKey, applied
from frontdesk.stores.rows import KEY_COLUMNS, key_of, key_row
from frontdesk.stores.sqlite.rows import Row, fetch
from frontdesk.stores.sqlite.sessions import append

SELECT_VERSION: Final = "SELECT keys_version FROM realms WHERE realm = ?"
_SELECT: Final = f"SELECT {KEY_COLUMNS} FROM keys WHERE realm = ? ORDER BY created_at, id"  # noqa: S608
_INSERT: Final = f"INSERT INTO keys ({KEY_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"  # noqa: S608
_MOVE: Final = "UPDATE keys SET state = ?, changed_at = ? WHERE realm = ? AND id = ?"
_CHANGED: Final = (
    "INSERT INTO realms (realm, epoch, keys_version) VALUES (?, 0, 1)"
    " ON CONFLICT (realm) DO UPDATE SET keys_version = keys_version + 1"
)
_PURGE: Final = (
    "DELETE FROM keys WHERE (realm, id) IN (SELECT realm, id FROM keys WHERE state = ? AND changed_at <= ? LIMIT ?)"
    " RETURNING realm"
)


def add(connection: apsw.Connection, key: StoredKey, only_if_none_current: bool) -> bool:
    if only_if_none_current and any(held.rivals(key) for held in of_realm(connection, key.realm)):
        return False
    connection.execute(_INSERT, key_row(key))
    if connection.changes() != 1:
        return False
    _move_version(connection, {key.realm})
    return True


def of_realm(connection: apsw.Connection, realm: str) -> tuple[StoredKey, ...]:
    return tuple(map(key_of, fetch(connection, _SELECT, realm)))


def rotate(
    connection: apsw.Connection, realm: str, moves: Sequence[Move], new: Sequence[StoredKey], now: datetime
) -> bool:
    written = applied(of_realm(connection, realm), moves, new, now)
    if written is None:
        return False
    made = {key.id for key in new}
    for key in written:
        if key.id in made:
            connection.execute(_INSERT, key_row(key))
        else:
            connection.execute(_MOVE, (key.state, to_micros(key.changed_at), key.realm, key.id))
        if key.state == "compromised":
            append(connection, realm, "key", key.id, now)
    _move_version(connection, {realm})
    return True


def compromise(connection: apsw.Connection, realm: str, key_id: str, now: datetime) -> None:
    """A key that was given up and has come back with a lost history is given up again."""
    connection.execute(
        "UPDATE keys SET state = 'compromised', changed_at = ? WHERE realm = ? AND id = ? AND state != 'compromised'",
        (to_micros(now), realm, key_id),
    )
    if connection.changes():
        _move_version(connection, {realm})


def version(connection: apsw.Connection, realm: str) -> int:
    return version_of(fetch(connection, SELECT_VERSION, realm))


def version_of(rows: Sequence[Row]) -> int:
    """A realm that nobody wrote about has version 0."""
    return int(rows[0][0]) if rows else 0


def purge(connection: apsw.Connection, now: datetime, limit: int) -> int:
    """At most `limit` keys from `core.keyring.removable_at` on."""
    removed: list[str] = []
    for state, kept in (("old", VERIFIES_AFTER), ("compromised", COMPROMISED_KEPT)):
        until = to_micros(now) - span_to_micros(kept)
        removed += (realm for (realm,) in fetch(connection, _PURGE, state, until, max(limit - len(removed), 0)))
    _move_version(connection, set(removed))
    return len(removed)


def _move_version(connection: apsw.Connection, realms: Iterable[str]) -> None:
    for realm in realms:
        connection.execute(_CHANGED, (realm,))
