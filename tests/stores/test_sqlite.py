"""The contract on SQLite: a fresh file, a file that was closed and opened again, and behind a slow wrapper."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import apsw
import pytest

from frontdesk.stores.protocol import Store
from frontdesk.stores.sqlite import SQLiteStore
from frontdesk.testing.slow_store import SlowStore
from frontdesk.testing.store_suite import StoreSuite


class Watch:
    """A timer that can be made to run so fast that all patience is over at once."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.fast = False

    def __call__(self) -> float:
        if self.fast:
            self.ahead += 60.0
        return time.perf_counter() + self.ahead


@contextmanager
def write_locked(path: Path) -> Iterator[None]:
    """Another connection holds the write lock."""
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.close(force=True)


class TestSQLiteStore(StoreSuite):
    directory: Path
    watch: Watch
    files = 0

    @pytest.fixture(autouse=True)
    def _directory(self, tmp_path: Path) -> None:
        self.directory = tmp_path
        self.watch = Watch()

    def path(self) -> Path:
        return self.directory / f"desk-{self.files}.db"

    @asynccontextmanager
    async def open_store(self) -> AsyncIterator[Store]:
        self.files += 1
        async with self.another(SQLiteStore(self.path())) as store:
            yield store

    @asynccontextmanager
    async def another(self, store: Store) -> AsyncIterator[Store]:
        other = SQLiteStore(self.path(), timer=self.watch)
        await other.open()
        try:
            yield other
        finally:
            await other.close()

    async def raw_dump(self, store: Store) -> bytes:
        return b"".join(file.read_bytes() for file in sorted(self.directory.iterdir()))

    @asynccontextmanager
    async def failing(self, store: Store) -> AsyncIterator[None]:
        with write_locked(self.path()):
            self.watch.fast = True
            yield
            self.watch.fast = False


class TestSQLiteStoreReopened(TestSQLiteStore):
    """On a file that an earlier store made and closed."""

    @asynccontextmanager
    async def open_store(self) -> AsyncIterator[Store]:
        async with super().open_store() as store:
            await store.close()
            await store.open()
            yield store


class TestSlowSQLiteStore(TestSQLiteStore):
    """Every call gives way before and after."""

    @asynccontextmanager
    async def open_store(self) -> AsyncIterator[Store]:
        async with super().open_store() as store:
            yield SlowStore(store)
