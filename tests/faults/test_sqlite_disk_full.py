"""No room, said by the operating system and not by a VFS of ours. (A full file system needs root to be made.)"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from frontdesk.errors import StoreFullError
from frontdesk.stores.sqlite import SQLiteStore
from frontdesk.testing.suite.harness import REALM, T0, a_session, create, log_of, sid

pytestmark = pytest.mark.faults

LATER = T0 + timedelta(hours=1)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file may grow beyond `size`: write fails with EFBIG (Python ignores the signal)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def _fill(store: SQLiteStore, name: str) -> tuple[list[bytes], int]:
    """Put values until ten batches were refused; which were acknowledged, and how many were refused."""
    kept: list[bytes] = []
    refused = 0
    for batch in range(2000):
        keys = [b"%s-%d-%d" % (name.encode(), batch, number) for number in range(8)]
        calls = [store.put_once(REALM, "state", key, b"v" * 3000, expires_at=LATER) for key in keys]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        for key, outcome in zip(keys, outcomes, strict=True):
            if outcome is True:
                kept.append(key)
            else:
                assert isinstance(outcome, StoreFullError), outcome
                refused += 1
        if refused >= 80:
            return kept, refused
    raise AssertionError("the disk never became full")


async def _require(store: SQLiteStore, keys: list[bytes]) -> None:
    for key in keys:
        assert await store.consume(REALM, "state", key, T0) == b"v" * 3000, f"{key!r} is lost"


def test_a_file_that_may_not_grow_refuses_and_goes_on_when_it_may(tmp_path: Path) -> None:
    async def scenario() -> None:
        store = SQLiteStore(tmp_path / "desk.db", checkpoint_pages=100)
        await store.open()
        await create(store, a_session(1))
        with largest_file(600_000):
            kept, refused = await _fill(store, "first")
            assert refused >= 80
            assert store.peek_session(REALM, sid(1)) == a_session(1)
            assert await log_of(store) == []
        await _require(store, kept)
        await store.end_session(REALM, sid(1), reason="revoked", now=T0)
        assert await log_of(store) == [(REALM, "session", sid(1))]
        await store.close()

    asyncio.run(scenario())
