"""What the storage of a store must hold before it is used: the version of its layout, and a name for its history."""

from __future__ import annotations

from typing import Final

from frontdesk.errors import ConfigurationError, StoreCorruptError
from frontdesk.stores.redis.client import Line
from frontdesk.stores.redis.scripts import load

STEPS: Final = ("0001_first",)
"""The layouts that there were; the version of one is its place, counted from 1."""

_PREPARE: Final = load("prepare")
_PERMITTED: Final = load("permitted")
_PROBE: Final = load("probe")

_NEEDED: Final = (
    "DEL KEY",
    "EXISTS KEY",
    "GET KEY",
    "MGET KEY",
    "SET KEY value",
    "HDEL KEY field",
    "HEXISTS KEY field",
    "HGET KEY field",
    "HINCRBY KEY field 1",
    "HMGET KEY field",
    "HSET KEY field value",
    "HSETNX KEY field value",
    "HVALS KEY",
    "SADD KEY member",
    "SCARD KEY",
    "SMEMBERS KEY",
    "SREM KEY member",
    "ZADD KEY 0 member",
    "ZRANGE KEY 0 -1",
    "ZRANGEBYLEX KEY - +",
    "ZRANGEBYSCORE KEY 0 1",
    "ZREM KEY member",
    "PUBLISH KEY message",
    "INFO",
    "TIME",
)
"""What the scripts do. A user who may do only a part of it would leave one half done, and is refused beforehand."""


async def prepare(line: Line, history: str) -> tuple[str, ...]:
    """Set the storage up unless that was done before; the steps taken. `history`: a name, should it have none.

    ConfigurationError for a storage of a newer version, and for a user who may not do what the store needs.
    """
    forbidden = await line.run(_PERMITTED, [line.names.log], *_NEEDED)
    if forbidden is not None:
        raise ConfigurationError(
            f"the Redis user may not run {forbidden.decode()} on keys that begin with {line.names.base}; "
            "docs/stores.md lists what to allow"
        )
    (found,) = await line.ask(("HGET", line.names.meta, "schema"))
    if found is None:
        found = await line.run(_PREPARE, [line.names.meta], len(STEPS), history)
    if found is None:
        return STEPS
    _require_known(found)
    return ()


async def version(line: Line) -> int:
    """The version of the layout, 0 for a storage that was not set up. ConfigurationError for a newer one."""
    (found,) = await line.ask(("HGET", line.names.meta, "schema"))
    if found is None:
        return 0
    _require_known(found)
    return int(found)


async def probe(line: Line) -> None:
    """Return if the server would accept a write now, from us and to as many replicas as are waited for."""
    await line.run(_PROBE, ())


def _require_known(found: bytes) -> None:
    if not found.isdigit() or int(found) < 1:
        raise StoreCorruptError("the version of the data makes no sense")
    if int(found) > len(STEPS):
        raise ConfigurationError(
            f"the data is of version {int(found)}, made by a newer Frontdesk; this one knows up to {len(STEPS)}: "
            "install the newer one, or use another prefix"
        )
