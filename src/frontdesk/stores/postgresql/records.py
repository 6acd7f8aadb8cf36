"""Accounts, attempts and values that are good once, inside one transaction."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from frontdesk.clock import to_micros
from frontdesk.core import throttle
from frontdesk.core.accounts import Account
from frontdesk.core.throttle import AttemptKeys, Tallies, Tally, ThrottlePolicy
from frontdesk.errors import Refusal
from frontdesk.stores.postgresql import sessions
from frontdesk.stores.postgresql.connecting import Connection
from frontdesk.stores.postgresql.sessions import changed
from frontdesk.stores.rows import ACCOUNT_COLUMNS, account_of, account_row

_INSERT_ACCOUNT: Final = (
    f"INSERT INTO frontdesk.accounts ({ACCOUNT_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING"  # noqa: S608
)
_SELECT_ACCOUNT: Final = f"SELECT {ACCOUNT_COLUMNS} FROM frontdesk.accounts WHERE realm = $1"  # noqa: S608
_ACCOUNT_BY_EMAIL: Final = f"{_SELECT_ACCOUNT} AND email = $2"
_ACCOUNT_BY_ID: Final = f"{_SELECT_ACCOUNT} AND id = $2"
_ACCOUNTS: Final = f"{_SELECT_ACCOUNT} AND email > $2 ORDER BY email LIMIT $3"
_RESEAL: Final = "UPDATE frontdesk.accounts SET password = $4 WHERE realm = $1 AND id = $2 AND password = $3"
_TALLIES: Final = (
    "SELECT key, failures, moments, expires_at FROM frontdesk.attempts WHERE realm = $1 AND key = ANY($2::bytea[])"
)
_WRITE_TALLY: Final = """
INSERT INTO frontdesk.attempts (realm, key, failures, moments, expires_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (realm, key)
DO UPDATE SET failures = excluded.failures, moments = excluded.moments, expires_at = excluded.expires_at
"""
_PUT_ONCE: Final = """
INSERT INTO frontdesk.once (realm, purpose, key, value, expires_at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING
"""
_HOLD_ONCE: Final = """
SELECT value, expires_at FROM frontdesk.once WHERE realm = $1 AND purpose = $2 AND key = $3 FOR UPDATE
"""
_CONSUME: Final = "UPDATE frontdesk.once SET value = NULL WHERE realm = $1 AND purpose = $2 AND key = $3"


# --- accounts -----------------------------------------------------------------------------------------------------


async def create_account(connection: Connection, account: Account) -> bool:
    return changed(await connection.execute(_INSERT_ACCOUNT, *account_row(account))) == 1


async def account_by_email(connection: Connection, realm: str, email: str) -> Account | None:
    row = await connection.fetchrow(_ACCOUNT_BY_EMAIL, realm, email)
    return None if row is None else account_of(row)


async def account_by_id(connection: Connection, realm: str, account_id: str) -> Account | None:
    row = await connection.fetchrow(_ACCOUNT_BY_ID, realm, account_id)
    return None if row is None else account_of(row)


async def list_accounts(connection: Connection, realm: str, after: str, limit: int) -> tuple[Account, ...]:
    return tuple(map(account_of, await connection.fetch(_ACCOUNTS, realm, after, max(limit, 0))))


async def replace_password(connection: Connection, realm: str, account_id: str, old: str, new: str) -> bool:
    return changed(await connection.execute(_RESEAL, realm, account_id, old, new)) == 1


async def remove_account(connection: Connection, realm: str, account_id: str, now: datetime) -> bool:
    """Within `within_realm` and `of_subject`."""
    sql = "DELETE FROM frontdesk.accounts WHERE realm = $1 AND id = $2"
    if changed(await connection.execute(sql, realm, account_id)) != 1:
        return False
    await sessions.end_subject(connection, realm, account_id, reason="revoked", now=now, keep=None)
    return True


# --- attempts -----------------------------------------------------------------------------------------------------


async def admit_attempt(
    connection: Connection, realm: str, keys: AttemptKeys, now: datetime, policy: ThrottlePolicy
) -> Refusal | None:
    """Within `of_tally` for each of the keys."""
    before = await read_attempts(connection, realm, keys)
    outcome = throttle.admit(before, now, policy)
    if isinstance(outcome, throttle.Exhausted):
        if outcome.moved is not None:
            await _store(connection, realm, keys, before, outcome.moved)
        return outcome.refusal()
    await _store(connection, realm, keys, before, outcome.tallies)
    return None


async def attempt_succeeded(connection: Connection, realm: str, keys: AttemptKeys, admitted_at: datetime) -> None:
    """Within `of_tally` for each of the keys."""
    before = await read_attempts(connection, realm, keys)
    await _store(connection, realm, keys, before, throttle.succeeded(before, admitted_at))


async def clear_attempts(connection: Connection, realm: str, key: bytes) -> bool:
    """Within `of_tally`."""
    sql = "DELETE FROM frontdesk.attempts WHERE realm = $1 AND key = $2"
    return changed(await connection.execute(sql, realm, key)) == 1


async def read_attempts(connection: Connection, realm: str, keys: AttemptKeys) -> Tallies:
    wanted = [keys.account, keys.network, keys.pair]
    found = {
        key: Tally(failures, throttle.unpack(moments), expires_at)
        for key, failures, moments, expires_at in await connection.fetch(_TALLIES, realm, wanted)
    }
    return Tallies(*map(found.get, wanted))


async def _store(connection: Connection, realm: str, keys: AttemptKeys, before: Tallies, after: Tallies) -> None:
    for key, was, tally in (
        (keys.account, before.account, after.account),
        (keys.network, before.network, after.network),
        (keys.pair, before.pair, after.pair),
    ):
        if tally == was:
            continue
        if tally is None:
            await clear_attempts(connection, realm, key)
        else:
            moments = throttle.pack(tally.moments)
            await connection.execute(_WRITE_TALLY, realm, key, tally.failures, moments, tally.expires_us)


# --- values that are good once ------------------------------------------------------------------------------------


async def put_once(
    connection: Connection, realm: str, purpose: str, key: bytes, value: bytes, *, expires_at: datetime
) -> bool:
    return changed(await connection.execute(_PUT_ONCE, realm, purpose, key, value, to_micros(expires_at))) == 1


async def consume(connection: Connection, realm: str, purpose: str, key: bytes, now: datetime) -> bytes | None:
    row = await connection.fetchrow(_HOLD_ONCE, realm, purpose, key)
    if row is None or row[0] is None or to_micros(now) >= row[1]:
        return None
    await connection.execute(_CONSUME, realm, purpose, key)
    return bytes(row[0])
