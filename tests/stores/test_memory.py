"""The reference store keeps the contract, alone and behind `SlowStore`, from one thread and from many."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from frontdesk.core.revocation import Entry
from frontdesk.errors import StoreFullError
from frontdesk.stores.memory import MemoryStore
from frontdesk.stores.protocol import Store
from frontdesk.testing import SlowStore, StoreSuite


class FullableStore(MemoryStore):
    """A memory store whose memory can be full: it fails where a write would become visible."""

    full = False

    def _commit(self, changes: Iterable[Any], entries: Iterable[Entry] = ()) -> None:
        if self.full:
            raise StoreFullError("no space is left")
        super()._commit(changes, entries)


class MemorySuite(StoreSuite):
    """What the suite asks of the author of the memory store."""

    store_class: type[FullableStore] = FullableStore

    @asynccontextmanager
    async def open_store(self) -> AsyncIterator[Store]:
        store = self.store_class()
        await store.open()
        yield store
        await store.close()

    async def raw_dump(self, store: Store) -> bytes:
        inner = store.inner if isinstance(store, SlowStore) else store
        return repr(vars(inner)).encode()

    @asynccontextmanager
    async def failing(self, store: Store) -> AsyncIterator[None]:
        inner = store.inner if isinstance(store, SlowStore) else store
        assert isinstance(inner, FullableStore)
        inner.full = True
        yield
        inner.full = False


class TestMemoryStore(MemorySuite):
    """The reference."""


class TestSlowStore(MemorySuite):
    """A slow store is a store."""

    @pytest.fixture(autouse=True, params=[0, 1])
    def _seed(self, request: pytest.FixtureRequest) -> None:
        self.seed: int = request.param

    @asynccontextmanager
    async def open_store(self) -> AsyncIterator[Store]:
        async with super().open_store() as store:
            yield SlowStore(store, seed=self.seed)
