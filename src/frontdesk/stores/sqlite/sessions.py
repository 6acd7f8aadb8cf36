"""Sessions inside one transaction: what the contract's decisions read and write.

Every function here runs on the writer's connection within its immediate transaction, so that nothing changes between
what it reads and what it writes; the updates name what they expect nevertheless.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import apsw
import msgspec

from frontdesk.clock import to_micros
from frontdesk.core.revocation import Entry, EntryKind, entry_expiry
from frontdesk.core.rotation import Decision, decide
from frontdesk.core.sessions import EndReason, Epochs, Session, SessionPolicy, evaluate
from frontdesk.errors import StoreCorruptError
from frontdesk.stores.protocol import Created, Ended, NotCreated
from frontdesk.stores.rows import SESSION_COLUMNS, session_of, session_row, texts_from_json
from frontdesk.stores.sqlite.rows import SESSION_PLACES, fetch

SELECT_SESSION: Final = f"SELECT {SESSION_COLUMNS} FROM sessions WHERE realm = ? AND id = ?"  # noqa: S608
_SELECT_OF_SUBJECT: Final = (
    f"SELECT {SESSION_COLUMNS} FROM sessions WHERE realm = ? AND subject = ? AND ended_at IS NULL"  # noqa: S608
    " ORDER BY created_at, id"
)
_INSERT: Final = f"INSERT INTO sessions ({SESSION_COLUMNS}) VALUES ({SESSION_PLACES}) ON CONFLICT DO NOTHING"  # noqa: S608
_SELECT_ROLES: Final = "SELECT roles FROM accounts WHERE realm = ? AND id = ?"
_SELECT_EPOCHS: Final = (
    "SELECT coalesce((SELECT epoch FROM realms WHERE realm = ?1), 0),"
    " coalesce((SELECT epoch FROM subjects WHERE realm = ?1 AND subject = ?2), 0)"
)
_ROTATE: Final = (
    "UPDATE sessions SET generation = ?, parent = ?, minted_at = ?, last_seen_at = ?, ended_at = ?, end_reason = ?"
    " WHERE realm = ? AND id = ? AND generation = ? AND parent = ? AND ended_at IS NULL"
)
_END: Final = "UPDATE sessions SET ended_at = ?, end_reason = ? WHERE realm = ? AND id = ? AND ended_at IS NULL"
# One statement, by the index of what has not ended: no row is read into Python.
_END_REALM: Final = "UPDATE sessions SET ended_at = ?, end_reason = ? WHERE realm = ? AND ended_at IS NULL"
_MOVE_REALM: Final = (
    "INSERT INTO realms (realm, epoch) VALUES (?, 1) ON CONFLICT (realm) DO UPDATE SET epoch = epoch + 1"
)
_RAISE_SUBJECT: Final = (
    "INSERT INTO subjects (realm, subject, epoch) VALUES (?, ?, ?)"
    " ON CONFLICT (realm, subject) DO UPDATE SET epoch = max(epoch, excluded.epoch)"
)
_RAISE_REALM: Final = (
    "INSERT INTO realms (realm, epoch) VALUES (?, ?)"
    " ON CONFLICT (realm) DO UPDATE SET epoch = max(epoch, excluded.epoch)"
)
_END_BELOW_SUBJECT: Final = (
    "UPDATE sessions SET ended_at = ?, end_reason = 'revoked'"
    " WHERE realm = ? AND subject = ? AND subject_epoch < ? AND ended_at IS NULL"
)
_END_BELOW_REALM: Final = (
    "UPDATE sessions SET ended_at = ?, end_reason = 'revoked' WHERE realm = ? AND realm_epoch < ? AND ended_at IS NULL"
)
_SELECT_REALM_EPOCH: Final = "SELECT epoch FROM realms WHERE realm = ?"
APPEND: Final = "INSERT INTO revocations (realm, kind, target, epoch, at, expires_at) VALUES (?, ?, ?, ?, ?, ?)"


def find(connection: apsw.Connection, realm: str, session_id: str) -> Session | None:
    rows = fetch(connection, SELECT_SESSION, realm, session_id)
    return session_of(rows[0]) if rows else None


def unended(connection: apsw.Connection, realm: str, subject: str) -> list[Session]:
    """The subject's sessions that were not ended, expired ones included, oldest first."""
    return [session_of(row) for row in fetch(connection, _SELECT_OF_SUBJECT, realm, subject)]


def epochs(connection: apsw.Connection, realm: str, subject: str) -> Epochs:
    ((of_realm, of_subject),) = fetch(connection, _SELECT_EPOCHS, realm, subject)
    return Epochs(of_realm, of_subject)


def create(
    connection: apsw.Connection,
    session: Session,
    *,
    replaces: Sequence[str],
    max_sessions: int,
    account_roles: bool,
    now: datetime,
) -> Created | NotCreated:
    if epochs(connection, session.realm, session.subject) != session.epochs:
        return NotCreated.EPOCH_MOVED
    if account_roles:
        rows = fetch(connection, _SELECT_ROLES, session.realm, session.subject)
        if not rows:
            return NotCreated.NO_ACCOUNT
        session = msgspec.structs.replace(session, roles=texts_from_json(rows[0][0]))
    others = unended(connection, session.realm, session.subject)
    standing = [other for other in others if other.id not in replaces and evaluate(other, now) is None]
    connection.execute(_INSERT, session_row(session))
    if connection.changes() == 0:
        return NotCreated.ID_TAKEN
    named = [find(connection, session.realm, other) for other in dict.fromkeys(replaces) if other != session.id]
    ended = end_all(connection, [row for row in named if row is not None and row.ended_at is None], "replaced", now)
    excess = max(len(standing) + 1 - max_sessions, 0)
    ended += end_all(connection, standing[:excess], "evicted", now)
    return Created(tuple(ended), session.roles if account_roles else None)


def touch(connection: apsw.Connection, realm: str, session_id: str, seen_at: datetime) -> bool:
    row = find(connection, realm, session_id)
    if row is None or evaluate(row, seen_at) is not None or seen_at <= row.last_seen_at:
        return False
    connection.execute(
        "UPDATE sessions SET last_seen_at = ? WHERE realm = ? AND id = ? AND ended_at IS NULL",
        (to_micros(seen_at), realm, session_id),
    )
    return True


def touch_many(connection: apsw.Connection, realm: str, seen: Mapping[str, datetime], every: timedelta) -> int:
    moved = 0
    for session_id, seen_at in seen.items():
        row = find(connection, realm, session_id)
        if row is not None and seen_at - row.last_seen_at >= every:
            moved += touch(connection, realm, session_id, seen_at)
    return moved


def rotate(
    connection: apsw.Connection, realm: str, session_id: str, presented: int, *, now: datetime, policy: SessionPolicy
) -> Decision | None:
    row = find(connection, realm, session_id)
    if row is None:
        return None
    decision = decide(row, presented, now, policy)
    if not decision.writes:
        return decision
    after = decision.session
    connection.execute(
        _ROTATE,
        (
            after.generation,
            after.parent,
            to_micros(after.minted_at),
            to_micros(after.last_seen_at),
            None if after.ended_at is None else to_micros(after.ended_at),
            after.end_reason,
            realm,
            session_id,
            row.generation,
            row.parent,
        ),
    )
    _require_one(connection)
    if decision.ends:
        append(connection, realm, "session", session_id, now)
    return decision


def end(
    connection: apsw.Connection, realm: str, session_id: str, *, reason: EndReason, now: datetime, subject: str | None
) -> Ended | None:
    row = find(connection, realm, session_id)
    if row is None or (subject is not None and row.subject != subject):
        return None
    if row.ended_at is not None:
        return Ended(row, now=False)
    (ended,) = end_all(connection, [row], reason, now)
    return Ended(ended, now=True)


def end_subject(
    connection: apsw.Connection, realm: str, subject: str, *, reason: EndReason, now: datetime, keep: str | None
) -> tuple[Session, ...]:
    rows = [row for row in unended(connection, realm, subject) if row.id != keep]
    if keep is not None:
        return tuple(end_all(connection, rows, reason, now))
    ended = [_end_row(connection, row, reason, now) for row in rows]
    connection.execute(
        "INSERT INTO subjects (realm, subject, epoch) VALUES (?, ?, 1)"
        " ON CONFLICT (realm, subject) DO UPDATE SET epoch = epoch + 1",
        (realm, subject),
    )
    epoch = epochs(connection, realm, subject).subject
    append(connection, realm, "subject", subject, now, epoch=epoch)
    return tuple(ended)


def end_realm(connection: apsw.Connection, realm: str, reason: EndReason, now: datetime) -> int:
    connection.execute(_END_REALM, (to_micros(now), reason, realm))
    ended = connection.changes()
    connection.execute(_MOVE_REALM, (realm,))
    ((epoch,),) = fetch(connection, _SELECT_REALM_EPOCH, realm)
    append(connection, realm, "all", "", now, epoch=epoch)
    return ended


def update_subject(
    connection: apsw.Connection,
    realm: str,
    subject: str,
    changes: Mapping[str, str],
    now: datetime,
) -> int:
    """`changes`: column and its JSON, as `rows.subject_changes` makes them."""
    rows = unended(connection, realm, subject)
    for column, value in changes.items():
        connection.execute(
            f"UPDATE sessions SET {column} = ? WHERE realm = ? AND subject = ? AND ended_at IS NULL",  # noqa: S608
            (value, realm, subject),
        )
    if "roles" in changes:
        connection.execute(
            "UPDATE accounts SET roles = ? WHERE realm = ? AND id = ?", (changes["roles"], realm, subject)
        )
    if rows:
        append(connection, realm, "changed", subject, now)
    return sum(evaluate(row, now) is None for row in rows)


def end_all(connection: apsw.Connection, rows: Iterable[Session], reason: EndReason, now: datetime) -> list[Session]:
    """End each of `rows`, with an entry of its own; returns them as they stand then."""
    ended = [_end_row(connection, row, reason, now) for row in rows]
    for row in ended:
        append(connection, row.realm, "session", row.id, now)
    return ended


def append(
    connection: apsw.Connection, realm: str, kind: EntryKind, target: str, at: datetime, *, epoch: int = 0
) -> None:
    """Append to the log. The number is given by the transaction, so numbers are in the order of commits."""
    expires_at = to_micros(entry_expiry(at, kind))
    connection.execute(APPEND, (realm, kind, target, epoch, to_micros(at), expires_at))


def make_good(connection: apsw.Connection, entry: Entry, now: datetime) -> None:
    """Give an entry its effect on sessions and epochs, where the store has lost it."""
    at = to_micros(now)
    if entry.kind == "session":
        connection.execute(_END, (at, "revoked", entry.realm, entry.target))
    elif entry.kind == "subject":
        connection.execute(_RAISE_SUBJECT, (entry.realm, entry.target, entry.epoch))
        connection.execute(_END_BELOW_SUBJECT, (at, entry.realm, entry.target, entry.epoch))
    elif entry.kind == "all":
        connection.execute(_RAISE_REALM, (entry.realm, entry.epoch))
        connection.execute(_END_BELOW_REALM, (at, entry.realm, entry.epoch))


def _end_row(connection: apsw.Connection, row: Session, reason: EndReason, now: datetime) -> Session:
    connection.execute(_END, (to_micros(now), reason, row.realm, row.id))
    _require_one(connection)
    return msgspec.structs.replace(row, ended_at=now, end_reason=reason)


def _require_one(connection: apsw.Connection) -> None:
    # The row was read in this very transaction; that it is not found again means that an index is damaged.
    if connection.changes() != 1:
        raise StoreCorruptError("a session that was just read was not found again")
