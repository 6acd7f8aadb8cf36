"""Accounts, attempts, values that are good once, the log and the clean-up, inside one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import apsw

from frontdesk.clock import span_to_micros, to_micros
from frontdesk.core import throttle
from frontdesk.core.accounts import Account
from frontdesk.core.revocation import Entry
from frontdesk.core.throttle import AttemptKeys, Tallies, Tally, ThrottlePolicy
from frontdesk.errors import Refusal
from frontdesk.stores.protocol import KEYS_VERSION_LEAP, Poll
from frontdesk.stores.rows import ACCOUNT_COLUMNS, ENTRY_COLUMNS, account_of, account_row, entry_of
from frontdesk.stores.sqlite import sessions, stored_keys
from frontdesk.stores.sqlite.rows import fetch

_KEEP_EXPIRED: Final = timedelta(days=1)
_KEEP_ENDED: Final = timedelta(days=7)

_INSERT_ACCOUNT: Final = f"INSERT INTO accounts ({ACCOUNT_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"  # noqa: S608
_SELECT_ACCOUNT: Final = f"SELECT {ACCOUNT_COLUMNS} FROM accounts WHERE realm = ?"  # noqa: S608
_SELECT_LOG: Final = f"SELECT {ENTRY_COLUMNS} FROM revocations WHERE number > ? ORDER BY number LIMIT ?"  # noqa: S608
_SAYS: Final = (
    "SELECT 1 FROM revocations WHERE realm = ? AND kind = ? AND target = ? AND epoch >= ? AND expires_at > ? LIMIT 1"
)
_WRITE_TALLY: Final = (
    "INSERT INTO attempts (realm, key, failures, moments, expires_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (realm, key)"
    " DO UPDATE SET failures = excluded.failures, moments = excluded.moments, expires_at = excluded.expires_at"
)

# One statement per kind: bounded, by index, oldest first. The last value is always the number still allowed.
_PURGE_EXPIRED_SESSIONS: Final = (
    "DELETE FROM sessions WHERE rowid IN (SELECT rowid FROM sessions WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)"
)
_PURGE_ENDED_SESSIONS: Final = (
    "DELETE FROM sessions WHERE rowid IN"
    " (SELECT rowid FROM sessions WHERE ended_at IS NOT NULL AND ended_at <= ? ORDER BY ended_at LIMIT ?)"
)
_PURGE_ATTEMPTS: Final = (
    "DELETE FROM attempts WHERE (realm, key) IN"
    " (SELECT realm, key FROM attempts WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)"
)
_PURGE_ONCE: Final = (
    "DELETE FROM once WHERE (realm, purpose, key) IN"
    " (SELECT realm, purpose, key FROM once WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)"
)
_PURGE_LOG: Final = (
    "DELETE FROM revocations WHERE number IN"
    " (SELECT number FROM revocations WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)"
)


# --- accounts -----------------------------------------------------------------------------------------------------


def create_account(connection: apsw.Connection, account: Account) -> bool:
    connection.execute(_INSERT_ACCOUNT, account_row(account))
    return connection.changes() == 1


def account_by_email(connection: apsw.Connection, realm: str, email: str) -> Account | None:
    rows = fetch(connection, _SELECT_ACCOUNT + " AND email = ?", realm, email)
    return account_of(rows[0]) if rows else None


def account_by_id(connection: apsw.Connection, realm: str, account_id: str) -> Account | None:
    rows = fetch(connection, _SELECT_ACCOUNT + " AND id = ?", realm, account_id)
    return account_of(rows[0]) if rows else None


def list_accounts(connection: apsw.Connection, realm: str, after: str, limit: int) -> tuple[Account, ...]:
    rows = fetch(connection, _SELECT_ACCOUNT + " AND email > ? ORDER BY email LIMIT ?", realm, after, max(limit, 0))
    return tuple(map(account_of, rows))


def replace_password(connection: apsw.Connection, realm: str, account_id: str, old: str, new: str) -> bool:
    connection.execute(
        "UPDATE accounts SET password = ? WHERE realm = ? AND id = ? AND password = ?", (new, realm, account_id, old)
    )
    return connection.changes() == 1


def remove_account(connection: apsw.Connection, realm: str, account_id: str, now: datetime) -> bool:
    connection.execute("DELETE FROM accounts WHERE realm = ? AND id = ?", (realm, account_id))
    if connection.changes() != 1:
        return False
    sessions.end_subject(connection, realm, account_id, reason="revoked", now=now, keep=None)
    return True


# --- attempts -----------------------------------------------------------------------------------------------------


def admit_attempt(
    connection: apsw.Connection, realm: str, keys: AttemptKeys, now: datetime, policy: ThrottlePolicy
) -> Refusal | None:
    before = read_attempts(connection, realm, keys)
    outcome = throttle.admit(before, now, policy)
    if isinstance(outcome, throttle.Exhausted):
        if outcome.moved is not None:
            _store(connection, realm, keys, before, outcome.moved)
        return outcome.refusal()
    _store(connection, realm, keys, before, outcome.tallies)
    return None


def attempt_succeeded(connection: apsw.Connection, realm: str, keys: AttemptKeys, admitted_at: datetime) -> None:
    before = read_attempts(connection, realm, keys)
    _store(connection, realm, keys, before, throttle.succeeded(before, admitted_at))


def clear_attempts(connection: apsw.Connection, realm: str, key: bytes) -> bool:
    connection.execute("DELETE FROM attempts WHERE realm = ? AND key = ?", (realm, key))
    return connection.changes() == 1


def read_attempts(connection: apsw.Connection, realm: str, keys: AttemptKeys) -> Tallies:
    return Tallies(*(_tally(connection, realm, key) for key in (keys.account, keys.network, keys.pair)))


def _tally(connection: apsw.Connection, realm: str, key: bytes) -> Tally | None:
    sql = "SELECT failures, moments, expires_at FROM attempts WHERE realm = ? AND key = ?"
    for failures, moments, expires_at in fetch(connection, sql, realm, key):
        return Tally(failures, throttle.unpack(moments), expires_at)
    return None


def _store(connection: apsw.Connection, realm: str, keys: AttemptKeys, before: Tallies, after: Tallies) -> None:
    for key, was, tally in (
        (keys.account, before.account, after.account),
        (keys.network, before.network, after.network),
        (keys.pair, before.pair, after.pair),
    ):
        if tally == was:
            continue
        if tally is None:
            clear_attempts(connection, realm, key)
        else:
            row = (realm, key, tally.failures, throttle.pack(tally.moments), tally.expires_us)
            connection.execute(_WRITE_TALLY, row)


# --- values that are good once ------------------------------------------------------------------------------------


def put_once(
    connection: apsw.Connection, realm: str, purpose: str, key: bytes, value: bytes, *, expires_at: datetime
) -> bool:
    connection.execute(
        "INSERT INTO once (realm, purpose, key, value, expires_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (realm, purpose, key, value, to_micros(expires_at)),
    )
    return connection.changes() == 1


def consume(connection: apsw.Connection, realm: str, purpose: str, key: bytes, now: datetime) -> bytes | None:
    sql = "SELECT value, expires_at FROM once WHERE realm = ? AND purpose = ? AND key = ?"
    for value, expires_at in fetch(connection, sql, realm, purpose, key):
        if value is None or to_micros(now) >= expires_at:
            return None
        connection.execute(
            "UPDATE once SET value = NULL WHERE realm = ? AND purpose = ? AND key = ?", (realm, purpose, key)
        )
        return bytes(value)
    return None


# --- the log, housekeeping ----------------------------------------------------------------------------------------


def poll(connection: apsw.Connection, cursor: int, limit: int) -> Poll:
    # The head first: what is appended between the two statements is among the entries, and above the head.
    head = _head(connection)
    entries = tuple(map(entry_of, fetch(connection, _SELECT_LOG, cursor, max(limit, 0))))
    if len(entries) == limit and entries:
        return Poll(entries, entries[-1].number, history(connection), max(head, entries[-1].number))
    reached = max(head, entries[-1].number) if entries else head
    return Poll(entries, reached, history(connection), reached)


def append_again(connection: apsw.Connection, entries: Sequence[Entry], now: datetime) -> int:
    appended = 0
    for entry in entries:
        if entry.kind == "changed" or entry.expires_at <= now:
            continue
        if entry.kind == "key":
            stored_keys.compromise(connection, entry.realm, entry.target, now)
        else:
            sessions.make_good(connection, entry, now)
        at, until = to_micros(entry.at), to_micros(entry.expires_at)
        said = (entry.realm, entry.kind, entry.target, entry.epoch)
        if not fetch(connection, _SAYS, *said, to_micros(now)):
            connection.execute(sessions.APPEND, (*said, at, until))
            appended += 1
    return appended


def renew_history(connection: apsw.Connection, name: str) -> str:
    connection.execute("UPDATE meta SET value = ? WHERE name = 'history'", (name,))
    connection.execute("UPDATE realms SET keys_version = keys_version + ?", (KEYS_VERSION_LEAP,))
    return name


def _head(connection: apsw.Connection) -> int:
    rows = fetch(connection, "SELECT seq FROM sqlite_sequence WHERE name = 'revocations'")
    return int(rows[0][0]) if rows else 0


def history(connection: apsw.Connection) -> str:
    ((value,),) = fetch(connection, "SELECT value FROM meta WHERE name = 'history'")
    return str(value)


def purge(connection: apsw.Connection, now: datetime, limit: int) -> int:
    at = to_micros(now)
    removed = 0
    for sql, until in (
        (_PURGE_EXPIRED_SESSIONS, at - span_to_micros(_KEEP_EXPIRED)),
        (_PURGE_ENDED_SESSIONS, at - span_to_micros(_KEEP_ENDED)),
        (_PURGE_ATTEMPTS, at),
        (_PURGE_ONCE, at),
        (_PURGE_LOG, at),
    ):
        connection.execute(sql, (until, max(limit - removed, 0)))
        removed += connection.changes()
    return removed + stored_keys.purge(connection, now, max(limit - removed, 0))


def write_probe(connection: apsw.Connection) -> None:
    """Write a row to the log, which the caller's ROLLBACK takes back: `cache_flush` writes before any COMMIT.

    A value is changed to another, since SQLite spares the write of an equal one.
    """
    connection.execute(
        "INSERT INTO meta (name, value) VALUES ('probe', '0')"
        " ON CONFLICT (name) DO UPDATE SET value = CASE value WHEN '0' THEN '1' ELSE '0' END"
    )
    connection.cache_flush()
