"""The contract on a real Redis: a fresh store, one that was closed and opened again, and behind a slow wrapper."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from frontdesk.stores.protocol import Store
from frontdesk.stores.redis import RedisStore
from frontdesk.testing.slow_store import SlowStore
from frontdesk.testing.store_suite import StoreSuite
from tests.servers.redis import RedisServer


class TestRedisStore(StoreSuite):
    server: RedisServer
    stores = 0

    @pytest.fixture(autouse=True)
    def _server(self, redis_server: RedisServer) -> None:
        self.server = redis_server
        redis_server.call("FLUSHALL")

    def new(self) -> RedisStore:
        return RedisStore(self.server.url, prefix=f"store-{self.stores}")

    @asynccontextmanager
    async def open_store(self) -> AsyncIterator[Store]:
        self.stores += 1
        async with self.another(self.new()) as store:
            yield store

    @asynccontextmanager
    async def another(self, store: Store) -> AsyncIterator[Store]:
        other = self.new()
        await other.open()
        try:
            yield other
        finally:
            await other.close()

    async def raw_dump(self, store: Store) -> bytes:
        # What an RDB file holds, but not compressed.
        with self.server.configured(rdbcompression="no"), self.server.client() as client:
            keys = client.keys("*")
            return b"".join((*keys, *(client.execute_command("DUMP", key) for key in keys)))

    @asynccontextmanager
    async def failing(self, store: Store) -> AsyncIterator[None]:
        with self.server.configured(min_replicas_to_write="1"):
            yield


class TestRedisStoreReopened(TestRedisStore):
    """On what an earlier store wrote and left."""

    @asynccontextmanager
    async def open_store(self) -> AsyncIterator[Store]:
        async with super().open_store() as store:
            await store.close()
            await store.open()
            yield store


class TestSlowRedisStore(TestRedisStore):
    """Every call gives way before and after."""

    @asynccontextmanager
    async def open_store(self) -> AsyncIterator[Store]:
        async with super().open_store() as store:
            yield SlowStore(store)
