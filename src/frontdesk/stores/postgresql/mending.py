"""Telling a store again what it lost, and removing what no decision needs any more, inside one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from frontdesk.clock import span_to_micros, to_micros
from frontdesk.core.revocation import Entry
from frontdesk.stores.postgresql import stored_keys
from frontdesk.stores.postgresql.connecting import Connection
from frontdesk.stores.postgresql.locks import Lock, of_keys, whole_realm
from frontdesk.stores.postgresql.log import append_unsaid
from frontdesk.stores.postgresql.sessions import changed

_KEEP_EXPIRED: Final = timedelta(days=1)
_KEEP_ENDED: Final = timedelta(days=7)

_END_AGAIN: Final = """
UPDATE frontdesk.sessions SET ended_at = $3, end_reason = 'revoked'
FROM unnest($1::text[], $2::text[]) AS lost (realm, id)
WHERE sessions.realm = lost.realm AND sessions.id = lost.id AND end_reason IS NULL
"""
_RAISE_SUBJECTS: Final = """
INSERT INTO frontdesk.subjects AS held (realm, subject, epoch)
SELECT realm, subject, max(epoch) FROM unnest($1::text[], $2::text[], $3::bigint[]) AS lost (realm, subject, epoch)
GROUP BY realm, subject
ON CONFLICT (realm, subject) DO UPDATE SET epoch = greatest(held.epoch, excluded.epoch)
"""
_END_BELOW_SUBJECTS: Final = """
UPDATE frontdesk.sessions SET ended_at = $4, end_reason = 'revoked'
FROM unnest($1::text[], $2::text[], $3::bigint[]) AS lost (realm, subject, epoch)
WHERE sessions.realm = lost.realm AND sessions.subject = lost.subject AND subject_epoch < lost.epoch
    AND ended_at IS NULL
"""
_RAISE_REALMS: Final = """
INSERT INTO frontdesk.realms AS held (realm, epoch)
SELECT realm, max(epoch) FROM unnest($1::text[], $2::bigint[]) AS lost (realm, epoch) GROUP BY realm
ON CONFLICT (realm) DO UPDATE SET epoch = greatest(held.epoch, excluded.epoch)
"""
_END_BELOW_REALMS: Final = """
UPDATE frontdesk.sessions SET ended_at = $3, end_reason = 'revoked'
FROM unnest($1::text[], $2::bigint[]) AS lost (realm, epoch)
WHERE sessions.realm = lost.realm AND realm_epoch < lost.epoch AND ended_at IS NULL
"""

# One statement per kind: bounded, by index, oldest first, passing over what somebody is writing at this moment.
_PURGES: Final = tuple(
    f"DELETE FROM frontdesk.{table} WHERE ({key}) IN (SELECT {key} FROM frontdesk.{table} WHERE {moment} <= $1"  # noqa: S608
    f" ORDER BY {moment} LIMIT $2 FOR UPDATE SKIP LOCKED)"
    for table, key, moment in (
        ("sessions", "realm, id", "expires_at"),
        ("sessions", "realm, id", "ended_at"),
        ("attempts", "realm, key", "expires_at"),
        ("once", "realm, purpose, key", "expires_at"),
        ("revocations", "number", "expires_at"),
    )
)


def worth_telling(entries: Iterable[Entry], now: datetime) -> tuple[Entry, ...]:
    """Those that can still end something."""
    return tuple(entry for entry in entries if entry.kind != "changed" and entry.expires_at > now)


def locks_for(entries: Iterable[Entry]) -> list[Lock]:
    return [of_keys(entry.realm) if entry.kind == "key" else whole_realm(entry.realm) for entry in entries]


async def append_again(connection: Connection, entries: Sequence[Entry], now: datetime) -> int:
    """Within `locks_for` all entries; none of them `changed`, none expired."""
    at = to_micros(now)
    sessions = [(entry.realm, entry.target) for entry in entries if entry.kind == "session"]
    subjects = [(entry.realm, entry.target, entry.epoch) for entry in entries if entry.kind == "subject"]
    realms = [(entry.realm, entry.epoch) for entry in entries if entry.kind == "all"]
    keys = [(entry.realm, entry.target) for entry in entries if entry.kind == "key"]
    if sessions:
        await connection.execute(_END_AGAIN, *_columns(sessions), at)
    if subjects:
        await connection.execute(_RAISE_SUBJECTS, *_columns(subjects))
        await connection.execute(_END_BELOW_SUBJECTS, *_columns(subjects), at)
    if realms:
        await connection.execute(_RAISE_REALMS, *_columns(realms))
        await connection.execute(_END_BELOW_REALMS, *_columns(realms), at)
    if keys:
        await stored_keys.compromise(connection, keys, now)
    return await append_unsaid(connection, entries, now)


async def purge(connection: Connection, now: datetime, limit: int) -> int:
    """Within `PURGE`, so that of several each finds whole what the one before it left."""
    at = to_micros(now)
    removed = 0
    moments = (at - span_to_micros(_KEEP_EXPIRED), at - span_to_micros(_KEEP_ENDED), at, at, at)
    for sql, until in zip(_PURGES, moments, strict=True):
        removed += changed(await connection.execute(sql, until, max(limit - removed, 0)))
    return removed + await stored_keys.purge(connection, now, max(limit - removed, 0))


def _columns(rows: Sequence[tuple[object, ...]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]
