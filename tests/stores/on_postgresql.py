"""Stores on a database of PostgreSQL, and somebody else at the same database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import asyncpg

from frontdesk.stores.postgresql import PostgreSQLStore
from tests.servers.postgresql import PostgreSQL
from tests.servers.spawning import PATIENCE

HEAD = "SELECT number FROM frontdesk.log_head FOR UPDATE"
"""What everybody who appends to the log must wait for."""


UNHURRIED = timedelta(seconds=30)
"""A limit that a busy machine does not reach."""


@asynccontextmanager
async def opened(url: str, **arguments: Any) -> AsyncIterator[PostgreSQLStore]:
    arguments.setdefault("timeout", UNHURRIED)
    store = PostgreSQLStore(url, **arguments)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def store_on(server: PostgreSQL, **arguments: Any) -> AsyncIterator[PostgreSQLStore]:
    """A store on an empty database of its own."""
    async with server.store_database() as url, opened(url, **arguments) as store:
        yield store


def url_of(store: PostgreSQLStore) -> str:
    return store._settings.address.dsn


@asynccontextmanager
async def holding(store: PostgreSQLStore, sql: str) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Another transaction has done `sql`, and holds what it locked until what is yielded is awaited."""
    other = await asyncpg.connect(url_of(store))
    try:
        await other.execute(f"BEGIN; {sql}")

        async def let_go() -> None:
            await other.execute("ROLLBACK")

        yield let_go
    finally:
        other.terminate()


async def rows(store: PostgreSQLStore, sql: str) -> list[tuple[Any, ...]]:
    """What somebody else reads."""
    other = await asyncpg.connect(url_of(store))
    try:
        return [tuple(row) for row in await other.fetch(sql)]
    finally:
        await other.close()


async def until(holds: Callable[[], Awaitable[bool]], what: str) -> None:
    """Return when it holds; AssertionError when it never does."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while not await holds():
        assert asyncio.get_running_loop().time() < deadline, f"it never came that {what}"
        await asyncio.sleep(0.002)


async def waiting_for_locks(store: PostgreSQLStore, number: int) -> None:
    """Return when so many sessions of the server wait for a lock in this database."""

    async def wait() -> bool:
        ((found,),) = await rows(
            store,
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        return bool(found == number)

    await until(wait, f"{number} wait for a lock")
