"""The revocation log: how a transaction appends to it, and how it is read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from frontdesk.clock import to_micros
from frontdesk.core.revocation import Entry, EntryKind, entry_expiry
from frontdesk.errors import StoreCorruptError
from frontdesk.stores.postgresql.connecting import Connection
from frontdesk.stores.protocol import Poll
from frontdesk.stores.rows import ENTRY_COLUMNS, entry_of

CHANNEL: Final = "frontdesk"

# The row of the head is locked here until the commit: entries are in the order of commits. Therefore this is the last
# statement of a transaction.
_APPEND: Final = f"""
WITH head AS (
    UPDATE frontdesk.log_head SET number = number + cardinality($1::text[])
    RETURNING number - cardinality($1::text[]) AS base
), appended AS (
    INSERT INTO frontdesk.revocations (number, realm, kind, target, epoch, at, expires_at)
    SELECT head.base + e.place, e.realm, e.kind, e.target, e.epoch, e.at, e.expires_at
    FROM head, unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[])
        WITH ORDINALITY AS e (realm, kind, target, epoch, at, expires_at, place)
)
SELECT pg_notify('{CHANNEL}', '') FROM head
"""  # noqa: S608

# The timeline of the write-ahead log is another one after each fail-over and each recovery to a point in time, which
# may have lost the last writes. On a standby this fails, and so nobody follows one.
_HISTORY: Final = "value || '-' || (SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8))"

# One statement, one snapshot: no entry up to the head is missing. LIMIT 1 tells the planner what the table's only row
# does not: without it a long log looked so dear that each poll was compiled first, for half a second.
POLL: Final = f"""
SELECT head.number, (SELECT {_HISTORY} FROM frontdesk.meta WHERE name = 'history'), clock_timestamp(), page.*
FROM (SELECT number FROM frontdesk.log_head LIMIT 1) AS head
LEFT JOIN LATERAL (
    SELECT {ENTRY_COLUMNS} FROM frontdesk.revocations WHERE number > $1 ORDER BY number LIMIT $2
) AS page ON true
ORDER BY page.number
"""  # noqa: S608

_RENEW: Final = f"UPDATE frontdesk.meta SET value = $1 WHERE name = 'history' RETURNING {_HISTORY}"  # noqa: S608
_HOLD_HEAD: Final = "SELECT number FROM frontdesk.log_head FOR UPDATE"
_SAID: Final = """
SELECT DISTINCT ON (realm, kind, target) realm, kind, target, epoch
FROM frontdesk.revocations
JOIN unnest($1::text[], $2::text[], $3::text[]) AS asked (realm, kind, target) USING (realm, kind, target)
WHERE expires_at > $4
ORDER BY realm, kind, target, epoch DESC
"""


class Line(NamedTuple):
    """An entry that has no number yet. Times in microseconds."""

    realm: str
    kind: EntryKind
    target: str
    epoch: int
    at: int
    expires_at: int


def line(realm: str, kind: EntryKind, target: str, at: datetime, *, epoch: int = 0) -> Line:
    """What says that `target` ended, or was changed, at this moment."""
    return Line(realm, kind, target, epoch, to_micros(at), to_micros(entry_expiry(at, kind)))


async def append(connection: Connection, lines: Sequence[Line]) -> None:
    """Append in this order, if there is anything, and wake who waits once it is committed. To be done last."""
    if lines:
        await connection.execute(_APPEND, *map(list, zip(*lines, strict=True)))


async def poll(connection: Connection, cursor: int, limit: int) -> Poll:
    rows = await connection.fetch(POLL, cursor, max(limit, 0))
    if not rows or rows[0][1] is None:
        raise StoreCorruptError("the head or the history of the revocation log is missing")
    head, history, store_time = rows[0][:3]
    entries = tuple(entry_of(row[3:]) for row in rows if row[3] is not None)
    reached = entries[-1].number if entries and len(entries) == limit else head
    return Poll(entries, reached, history, head, store_time)


async def renew_history(connection: Connection, name: str) -> str:
    renewed: str | None = await connection.fetchval(_RENEW, name)
    if renewed is None:
        raise StoreCorruptError("the name of the store's history is missing")
    await connection.execute(f"NOTIFY {CHANNEL}")
    return renewed


async def append_unsaid(connection: Connection, entries: Sequence[Entry], now: datetime) -> int:
    """Append those of `entries` that no live entry says already; how many. To be done last."""
    await connection.execute(_HOLD_HEAD)
    asked = [list(column) for column in zip(*((each.realm, each.kind, each.target) for each in entries), strict=True)]
    rows: Sequence[Any] = await connection.fetch(_SAID, *asked, to_micros(now)) if asked else ()
    said = {(realm, kind, target): int(epoch) for realm, kind, target, epoch in rows}
    lines = []
    for each in entries:
        name = (each.realm, each.kind, each.target)
        if said.get(name, -1) < each.epoch:
            said[name] = each.epoch
            lines.append(Line(*name, each.epoch, to_micros(each.at), to_micros(each.expires_at)))
    await append(connection, lines)
    return len(lines)
