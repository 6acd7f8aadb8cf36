"""Redis stores for tests, and what must hold in the keys of a store whatever has happened to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from frontdesk.stores.redis import RedisStore
from frontdesk.stores.redis.rows import _made, entry_of
from tests.servers.redis import RedisServer

PREFIX = "{frontdesk}:"


@asynccontextmanager
async def opened(url: str, **arguments: Any) -> AsyncIterator[RedisStore]:
    """An open store, closed afterwards."""
    store = RedisStore(url, **arguments)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def contents(server: RedisServer) -> dict[str, bytes]:
    """Every key and what it holds, to be compared."""
    with server.client() as client:
        return {key.decode(): client.execute_command("DUMP", key) for key in client.keys("*")}


def require_whole(server: RedisServer) -> None:
    """No index names what is not there, nothing that is there is missing from an index."""
    with server.client() as client:
        keys = sorted(key.decode().removeprefix(PREFIX) for key in client.keys("*"))
        removable = {member.decode() for member in client.zrange(PREFIX + "removable", 0, -1)}
        unended: set[str] = set()
        indexed: dict[str, float] = {}
        for key in keys:
            kind, _, rest = key.partition(":")
            if kind == "unended":
                unended |= {f"{rest}:{each.decode()}" for each in client.smembers(PREFIX + key)}
            elif kind == "subject":
                realm = rest.partition(":")[0]
                scores = client.zrange(PREFIX + key, 0, -1, withscores=True)
                for each, score in scores:
                    assert client.hget(f"{PREFIX}session:{realm}:{each.decode()}", "subject") is not None
                    indexed[f"{realm}:{each.decode()}"] = score
        sessions = {key.removeprefix("session:") for key in keys if key.startswith("session:")}
        standing = {
            each: client.hget(f"{PREFIX}session:{each}", "made")
            for each in sessions
            if not client.hexists(f"{PREFIX}session:{each}", "ended_at")
        }
        assert unended == standing.keys() == indexed.keys()
        assert {each: float(_made(made).created_at) for each, made in standing.items()} == indexed
        entries = [entry_of(packed) for packed in client.zrange(PREFIX + "log", 0, -1)]
        numbers = [entry.number for entry in entries]
        head = int(client.hget(PREFIX + "meta", "head") or 0)
        assert numbers == sorted(set(numbers))
        assert all(number <= head for number in numbers)
        assert client.zcard(PREFIX + "said") == len([entry for entry in entries if entry.kind != "changed"])
        expected = {f"session:{each}" for each in sessions} | {f"log:{number}" for number in numbers}
        expected |= {key for key in keys if key.startswith(("attempt:", "once:"))}
        expected |= {
            key
            for key in keys
            if key.startswith("key:") and client.hget(PREFIX + key, "state") in {b"old", b"compromised"}
        }
        assert removable == expected
