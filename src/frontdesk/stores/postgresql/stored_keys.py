"""The keys of access tokens inside one transaction. Whoever changes a key moves the realm's version."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from frontdesk.clock import span_to_micros, to_micros
from frontdesk.core.keyring import COMPROMISED_KEPT, VERIFIES_AFTER, Move, StoredKey, applied
from frontdesk.stores.postgresql.connecting import Connection
from frontdesk.stores.postgresql.log import append, line
from frontdesk.stores.postgresql.sessions import changed
from frontdesk.stores.rows import KEY_COLUMNS, key_of, key_row

_SELECT: Final = f"SELECT {KEY_COLUMNS} FROM frontdesk.keys WHERE realm = $1 ORDER BY created_at, id"  # noqa: S608
_INSERT: Final = (
    f"INSERT INTO frontdesk.keys ({KEY_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING"  # noqa: S608
)
_MOVE: Final = "UPDATE frontdesk.keys SET state = $3, changed_at = $4 WHERE realm = $1 AND id = $2"
_VERSION: Final = "SELECT version FROM frontdesk.key_versions WHERE realm = $1"
_CHANGED: Final = """
INSERT INTO frontdesk.key_versions AS held (realm, version) VALUES ($1, 1)
ON CONFLICT (realm) DO UPDATE SET version = held.version + 1
"""
_COMPROMISE: Final = """
UPDATE frontdesk.keys SET state = 'compromised', changed_at = $3
FROM unnest($1::text[], $2::text[]) AS lost (realm, id)
WHERE keys.realm = lost.realm AND keys.id = lost.id AND state != 'compromised' RETURNING keys.realm
"""
_PURGE: Final = """
DELETE FROM frontdesk.keys WHERE (realm, id) IN (
    SELECT realm, id FROM frontdesk.keys WHERE state = $1 AND changed_at <= $2 LIMIT $3 FOR UPDATE SKIP LOCKED
) RETURNING realm
"""


async def add(connection: Connection, key: StoredKey, only_if_none_current: bool) -> bool:
    """Within `of_keys`."""
    if only_if_none_current and any(held.rivals(key) for held in await of_realm(connection, key.realm)):
        return False
    if changed(await connection.execute(_INSERT, *key_row(key))) != 1:
        return False
    await _move_versions(connection, {key.realm})
    return True


async def of_realm(connection: Connection, realm: str) -> tuple[StoredKey, ...]:
    return tuple(map(key_of, await connection.fetch(_SELECT, realm)))


async def rotate(
    connection: Connection, realm: str, moves: Sequence[Move], new: Sequence[StoredKey], now: datetime
) -> bool:
    """Within `of_keys`."""
    written = applied(await of_realm(connection, realm), moves, new, now)
    if written is None:
        return False
    made = {key.id for key in new}
    for key in written:
        if key.id in made:
            await connection.execute(_INSERT, *key_row(key))
        else:
            await connection.execute(_MOVE, key.realm, key.id, key.state, to_micros(key.changed_at))
    await _move_versions(connection, {realm})
    await append(connection, [line(realm, "key", key.id, now) for key in written if key.state == "compromised"])
    return True


async def compromise(connection: Connection, keys: Collection[tuple[str, str]], now: datetime) -> None:
    """Keys (realm, id) that were given up and have come back with a lost history are given up again.

    Within `of_keys` for each realm.
    """
    realms, ids = [realm for realm, _ in keys], [key_id for _, key_id in keys]
    rows = await connection.fetch(_COMPROMISE, realms, ids, to_micros(now))
    await _move_versions(connection, {row[0] for row in rows})


async def version(connection: Connection, realm: str) -> int:
    """A realm that nobody wrote about has version 0."""
    return int(await connection.fetchval(_VERSION, realm) or 0)


async def purge(connection: Connection, now: datetime, limit: int) -> int:
    """At most `limit` keys from `core.keyring.removable_at` on."""
    removed: list[str] = []
    for state, kept in (("old", VERIFIES_AFTER), ("compromised", COMPROMISED_KEPT)):
        until = to_micros(now) - span_to_micros(kept)
        rows = await connection.fetch(_PURGE, state, until, max(limit - len(removed), 0))
        removed += (row[0] for row in rows)
    await _move_versions(connection, set(removed))
    return len(removed)


async def _move_versions(connection: Connection, realms: Collection[str]) -> None:
    for realm in sorted(realms):
        await connection.execute(_CHANGED, realm)
