"""The contract on PostgreSQL: an empty store for each rule. It gives way to others by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from frontdesk.stores.protocol import Store
from frontdesk.testing.store_suite import StoreSuite
from tests.servers.postgresql import PostgreSQL, database_of
from tests.stores.on_postgresql import opened


class TestPostgreSQLStore(StoreSuite):
    server: PostgreSQL
    url: str

    @pytest.fixture(autouse=True)
    def _server(self, postgresql: PostgreSQL) -> None:
        self.server = postgresql

    @asynccontextmanager
    async def open_store(self) -> AsyncIterator[Store]:
        async with self.server.store_database() as self.url, opened(self.url) as store:
            yield store

    @asynccontextmanager
    async def another(self, store: Store) -> AsyncIterator[Store]:
        async with opened(self.url) as other:
            yield other

    async def raw_dump(self, store: Store) -> bytes:
        return await self.server.files_of(self.url)

    @asynccontextmanager
    async def failing(self, store: Store) -> AsyncIterator[None]:
        await self._take_writes("off")
        yield
        await self._take_writes("on")

    async def _take_writes(self, whether: str) -> None:
        """Whoever connects from now on finds a database that takes writes, or none; who was connected must anew."""
        read_only = {"off": "on", "on": "off"}[whether]
        database = database_of(self.url)
        await self.server.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = {read_only}")
        await self.server.disconnect(self.url)
