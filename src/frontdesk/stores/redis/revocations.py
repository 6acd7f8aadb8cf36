"""The log, and cleaning up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from frontdesk.clock import from_micros, to_micros
from frontdesk.core.keyring import COMPROMISED_KEPT
from frontdesk.core.revocation import Entry
from frontdesk.errors import StoreError
from frontdesk.stores.protocol import Poll
from frontdesk.stores.redis.client import Line
from frontdesk.stores.redis.connecting import facts
from frontdesk.stores.redis.names import escaped
from frontdesk.stores.redis.rows import entry_of
from frontdesk.stores.redis.scripts import load
from frontdesk.stores.redis.sessions import KEEP_ENDED

_POLL: Final = load("poll")
_APPEND_AGAIN: Final = load("append_again")
_RENEW_HISTORY: Final = load("renew_history")
_PURGE: Final = load("purge")

_MICROS: Final = 1_000_000


async def poll(line: Line, cursor: int, limit: int) -> Poll | None:
    """One page; None: the storage was emptied, and its history has no name yet."""
    stored, head, packed, now, info = await line.run(_POLL, (line.names.meta, line.names.log), cursor, max(limit, 0))
    if stored is None:
        return None
    entries = tuple(map(entry_of, packed))
    last = entries[-1].number if len(entries) == limit and entries else int(head)
    seconds, micros = map(int, now)
    return Poll(
        entries=entries,
        cursor=last,
        history=_history(stored.decode(), facts(info)),
        head=int(head),
        store_time=from_micros(seconds * _MICROS + micros),
    )


async def append_again(line: Line, entries: Sequence[Entry], now: datetime) -> int:
    told: list[Any] = [
        (
            *(entry.realm, escaped(entry.realm), entry.kind, entry.target, entry.epoch),
            *(str(to_micros(entry.at)), str(to_micros(entry.expires_at))),
        )
        for entry in entries
        if entry.kind != "changed" and entry.expires_at > now
    ]
    if not told:
        return 0
    moments = (to_micros(now), to_micros(now + KEEP_ENDED), to_micros(now + COMPROMISED_KEPT))
    packed = msgspec.msgpack.encode(told)
    return int(await line.run(_APPEND_AGAIN, line.names.of_log, line.names.base, *moments, packed))


async def renew_history(line: Line, name: str) -> str:
    await line.run(_RENEW_HISTORY, [line.names.meta], name)
    (info,) = await line.ask(("INFO", "server", "replication"))
    return _history(name, facts(info))


async def purge(line: Line, now: datetime, limit: int) -> int:
    return int(await line.run(_PURGE, line.names.of_log, line.names.base, to_micros(now), max(limit, 0)))


def _history(stored: str, info: dict[str, str]) -> str:
    """The name that the data carries, and those of this process of the server and of its time as a primary.

    A server that was started anew may have lost what it had not synced, and one that took over what had not reached it.
    Either has another name then, and so has one that was demoted in between.
    """
    try:
        return f"{stored}.{info['run_id']}.{info['master_replid']}"
    except KeyError as missing:
        raise StoreError("the Redis server does not say who it is", detail=str(missing)) from missing
