"""A sound store for others to break, and the suite over it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from frontdesk.core.revocation import Entry
from frontdesk.errors import StoreFullError
from frontdesk.stores.memory import MemoryStore
from frontdesk.stores.protocol import Store
from frontdesk.testing import StoreSuite
from frontdesk.testing.suite.harness import plain


class Sound(MemoryStore):
    """The reference, with a disk that can be full."""

    full = False

    def _commit(self, changes: Iterable[Any], entries: Iterable[Entry] = ()) -> None:
        if self.full:
            raise StoreFullError("no space is left")
        super()._commit(changes, entries)


class SuiteOf(StoreSuite):
    """The suite over one class of stores. Not collected: its name does not begin with Test."""

    patience = timedelta(seconds=1)

    def __init__(self, store_class: type[Sound], added_to_dump: bytes = b"") -> None:
        self.store_class = store_class
        self.added_to_dump = added_to_dump

    @asynccontextmanager
    async def open_store(self) -> AsyncIterator[Store]:
        store = self.store_class()
        await store.open()
        yield store

    async def raw_dump(self, store: Store) -> bytes:
        return repr(plain(vars(store))).encode() + self.added_to_dump

    @asynccontextmanager
    async def failing(self, store: Store) -> AsyncIterator[None]:
        assert isinstance(store, Sound)
        store.full = True
        yield
        store.full = False


def the_suite_catches(broken: type[Sound], rule: str) -> None:
    """`rule` fails on the broken store, and not on the sound one."""
    getattr(SuiteOf(Sound), rule)()
    with pytest.raises(AssertionError):
        getattr(SuiteOf(broken), rule)()
