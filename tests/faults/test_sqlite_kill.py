"""Processes that are killed while they write."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from frontdesk.stores.sqlite import SQLiteStore
from frontdesk.testing.suite.harness import REALM, T0, TICK
from tests.stores.processes import hear, worker

pytestmark = pytest.mark.faults

BEFORE = T0 - TICK


def test_whatever_a_killed_writer_had_acknowledged_is_there_for_everybody(tmp_path: Path) -> None:
    path = tmp_path / "desk.db"

    async def scenario() -> None:
        store = SQLiteStore(path)
        await store.open()
        for number in range(12):
            name = f"round-{number}"
            heard = await asyncio.to_thread(_write_and_die, path, name, 50 + 137 * number)
            assert len(heard) >= 50 + 137 * number
            await store.check()  # the dead process holds nothing
            for key in heard:
                assert await store.consume(REALM, name, key.encode(), BEFORE) == b"v" * 100, f"{key} is lost"
        whole = await store._ask(lambda connection: connection.pragma("integrity_check"))
        assert whole == "ok"
        await store.close()

    asyncio.run(scenario())


def _write_and_die(path: Path, name: str, after: int) -> list[str]:
    """All that a process acknowledged that was killed after so many acknowledgements."""
    with worker(path, "write", name, "24") as process:
        heard = [hear(process) for _ in range(after)]
        process.kill()
        while line := hear(process):
            heard.append(line)
    # The very last line may have been cut off by the kill; a worker writes each in one piece, so it is whole or absent.
    return [line.split()[1] for line in heard if line]


def test_two_killed_writers_leave_a_whole_database(tmp_path: Path) -> None:
    path = tmp_path / "desk.db"
    for _ in range(5):
        with worker(path, "write", "A", "8") as first, worker(path, "write", "B", "8") as second:
            heard = [(hear(first), hear(second)) for _ in range(200)]
            first.kill()
            heard += [("", hear(second)) for _ in range(200)]  # the other one goes on
            second.kill()
        asyncio.run(_require_all(path, [line for pair in heard for line in pair if line]))


async def _require_all(path: Path, heard: list[str]) -> None:
    store = SQLiteStore(path)
    await store.open()
    for line in heard:
        name, key = line.split()
        assert await store.consume(REALM, name, key.encode(), BEFORE) == b"v" * 100, f"{line} is lost"
    await store.close()
