"""Sessions inside one transaction: what the contract's decisions about several of them read and write.

Each function names the locks that its caller takes first. Rows are locked before they are looked at, by id.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from frontdesk.clock import to_micros
from frontdesk.core.sessions import EndReason, Epochs, Session, evaluate
from frontdesk.errors import StoreCorruptError
from frontdesk.stores.postgresql.connecting import Connection
from frontdesk.stores.postgresql.log import append, line
from frontdesk.stores.protocol import Created, NotCreated
from frontdesk.stores.rows import SESSION_COLUMNS, session_of, session_row, texts_from_json

_PLACES: Final = ", ".join(f"${place}" for place in range(1, 27))
_SELECT: Final = f"SELECT {SESSION_COLUMNS} FROM frontdesk.sessions WHERE realm = $1"  # noqa: S608
_FIND: Final = f"{_SELECT} AND id = $2"
_UNENDED: Final = f"{_SELECT} AND subject = $2 AND ended_at IS NULL ORDER BY created_at, id"
_HOLD_SUBJECT: Final = f"{_SELECT} AND subject = $2 AND ended_at IS NULL ORDER BY id FOR UPDATE"
_HOLD_MEETING: Final = f"""{_SELECT} AND id = ANY($3::text[] || ARRAY(
    SELECT id FROM frontdesk.sessions WHERE realm = $1 AND subject = $2 AND ended_at IS NULL
)) ORDER BY id FOR UPDATE"""  # noqa: S608
_INSERT: Final = f"INSERT INTO frontdesk.sessions ({SESSION_COLUMNS}) VALUES ({_PLACES}) ON CONFLICT DO NOTHING"  # noqa: S608
_EPOCHS: Final = """
SELECT coalesce((SELECT epoch FROM frontdesk.realms WHERE realm = $1), 0),
       coalesce((SELECT epoch FROM frontdesk.subjects WHERE realm = $1 AND subject = $2), 0),
       (SELECT roles FROM frontdesk.accounts WHERE realm = $1 AND id = $2)
"""
_END: Final = """
UPDATE frontdesk.sessions SET ended_at = $3, end_reason = ended.reason
FROM unnest($2::text[], $4::text[]) AS ended (id, reason)
WHERE realm = $1 AND sessions.id = ended.id AND end_reason IS NULL
"""
# By the index of what has not ended; no row is read into Python. Who holds the whole realm needs no order.
_END_REALM: Final = """
UPDATE frontdesk.sessions SET ended_at = $2, end_reason = $3 WHERE realm = $1 AND ended_at IS NULL
"""
_MOVE_SUBJECT: Final = """
INSERT INTO frontdesk.subjects AS held (realm, subject, epoch) VALUES ($1, $2, 1)
ON CONFLICT (realm, subject) DO UPDATE SET epoch = held.epoch + 1 RETURNING epoch
"""
_MOVE_REALM: Final = """
INSERT INTO frontdesk.realms AS held (realm, epoch) VALUES ($1, 1)
ON CONFLICT (realm) DO UPDATE SET epoch = held.epoch + 1 RETURNING epoch
"""


async def find(connection: Connection, realm: str, session_id: str) -> Session | None:
    row = await connection.fetchrow(_FIND, realm, session_id)
    return None if row is None else session_of(row)


async def unended(connection: Connection, realm: str, subject: str) -> list[Session]:
    """The subject's sessions that were not ended, expired ones included, oldest first."""
    return [session_of(row) for row in await connection.fetch(_UNENDED, realm, subject)]


async def epochs(connection: Connection, realm: str, subject: str) -> Epochs:
    row = await connection.fetchrow(_EPOCHS, realm, subject)
    assert row is not None
    return Epochs(row[0], row[1])


async def create(
    connection: Connection,
    session: Session,
    *,
    replaces: Collection[str],
    max_sessions: int,
    account_roles: bool,
    now: datetime,
) -> Created | NotCreated:
    """Within `within_realm` and `of_subject`, so that the epochs stay and sign-ins of one subject take turns."""
    row = await connection.fetchrow(_EPOCHS, session.realm, session.subject)
    assert row is not None
    if Epochs(row[0], row[1]) != session.epochs:
        return NotCreated.EPOCH_MOVED
    if account_roles:
        if row[2] is None:
            return NotCreated.NO_ACCOUNT
        session = msgspec.structs.replace(session, roles=texts_from_json(row[2]))
    held = await connection.fetch(_HOLD_MEETING, session.realm, session.subject, list(replaces))
    if await connection.execute(_INSERT, *session_row(session)) != "INSERT 0 1":
        return NotCreated.ID_TAKEN
    rows = {row.id: row for row in map(session_of, held)}
    named = [rows[other] for other in dict.fromkeys(replaces) if other in rows]
    replaced = [row for row in named if row.ended_at is None]
    others = [row for row in rows.values() if row.subject == session.subject and row.id not in replaces]
    standing = sorted((row for row in others if evaluate(row, now) is None), key=_by_age)
    evicted = standing[: max(len(standing) + 1 - max_sessions, 0)]
    reasons: list[tuple[Session, EndReason]] = [(row, "replaced") for row in replaced]
    reasons += [(row, "evicted") for row in evicted]
    ended = await _end(connection, session.realm, reasons, now)
    await append(connection, [line(row.realm, "session", row.id, now) for row in ended])
    return Created(tuple(ended), session.roles if account_roles else None)


async def end_subject(
    connection: Connection, realm: str, subject: str, *, reason: EndReason, now: datetime, keep: str | None
) -> tuple[Session, ...]:
    """Within `within_realm` and `of_subject`."""
    held = map(session_of, await connection.fetch(_HOLD_SUBJECT, realm, subject))
    rows = sorted((row for row in held if row.id != keep), key=_by_age)
    ended = await _end(connection, realm, [(row, reason) for row in rows], now)
    if keep is not None:
        lines = [line(realm, "session", row.id, now) for row in ended]
    else:
        epoch = await connection.fetchval(_MOVE_SUBJECT, realm, subject)
        lines = [line(realm, "subject", subject, now, epoch=epoch)]
    await append(connection, lines)
    return tuple(ended)


async def end_realm(connection: Connection, realm: str, reason: EndReason, now: datetime) -> int:
    """Within `whole_realm`."""
    ended = changed(await connection.execute(_END_REALM, realm, to_micros(now), reason))
    epoch = await connection.fetchval(_MOVE_REALM, realm)
    await append(connection, [line(realm, "all", "", now, epoch=epoch)])
    return ended


async def update_subject(
    connection: Connection, realm: str, subject: str, changes: Mapping[str, str], now: datetime
) -> int:
    """Within `within_realm` and `of_subject`. `changes`: column and its JSON, as `rows.subject_changes` makes them."""
    rows = [session_of(row) for row in await connection.fetch(_HOLD_SUBJECT, realm, subject)]
    if changes:
        columns = ", ".join(f"{column} = ${place}" for place, column in enumerate(changes, 3))
        await connection.execute(
            f"UPDATE frontdesk.sessions SET {columns} WHERE realm = $1 AND subject = $2 AND ended_at IS NULL",  # noqa: S608
            realm,
            subject,
            *changes.values(),
        )
    if "roles" in changes:
        await connection.execute(
            "UPDATE frontdesk.accounts SET roles = $3 WHERE realm = $1 AND id = $2", realm, subject, changes["roles"]
        )
    await append(connection, [line(realm, "changed", subject, now)] if rows else [])
    return sum(evaluate(row, now) is None for row in rows)


def changed(status: str) -> int:
    """How many rows a statement wrote, from its status: `UPDATE 3`, `INSERT 0 1`."""
    return int(status.rpartition(" ")[2])


async def _end(
    connection: Connection, realm: str, rows: Sequence[tuple[Session, EndReason]], now: datetime
) -> list[Session]:
    """End rows that are locked and have not ended; returns them as they stand then."""
    if rows:
        ids, reasons = [row.id for row, _ in rows], [reason for _, reason in rows]
        status = await connection.execute(_END, realm, ids, to_micros(now), reasons)
        if changed(status) != len(rows):
            raise StoreCorruptError("a session that was just read was not found again")
    return [msgspec.structs.replace(row, ended_at=now, end_reason=reason) for row, reason in rows]


def _by_age(row: Session) -> tuple[datetime, str]:
    return row.created_at, row.id
