"""Several processes on one file."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from pathlib import Path

from frontdesk.stores.sqlite import SQLiteStore
from frontdesk.testing.suite.harness import REALM, T0, a_session, sid
from tests.stores.processes import hear, tell, worker


def test_each_process_sees_the_writes_of_the_other_on_its_next_read(tmp_path: Path) -> None:
    async def scenario() -> None:
        store = SQLiteStore(tmp_path / "desk.db")
        await store.open()
        with worker(tmp_path / "desk.db", "obey") as other:
            assert hear(other) == "ready"
            for number in range(20):
                assert await store.read_session(REALM, sid(number)) is None
                assert tell(other, f"create {number}") == f"create {number} None"
                assert await store.read_session(REALM, sid(number)) == a_session(number)
                await store.end_session(REALM, sid(number), reason="revoked", now=T0)
                assert tell(other, f"read {number}") == f"read {number} revoked"
            await store.create_session(a_session(90), max_sessions=9, now=T0)
            assert tell(other, "end 90") == "end 90 signed_out"
            ended = await store.read_session(REALM, sid(90))
            assert ended is not None
            assert getattr(ended, "end_reason", None) == "signed_out"
        await store.close()

    asyncio.run(scenario())


def test_two_processes_that_write_without_pause_share_fairly(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    path = tmp_path / "desk.db"
    with (
        os.fdopen(read_end) as lines,
        worker(path, "write", "A", "16", stdout=write_end) as first,
        worker(path, "write", "B", "16", stdout=write_end) as second,
    ):
        os.close(write_end)
        waiting = {"A", "B"}
        while waiting:
            waiting.discard(lines.readline().split()[0])
        shares = Counter(lines.readline().split()[0] for _ in range(6000))
        for process in (first, second):
            assert process.stdin is not None
            process.stdin.close()
        while lines.readline():
            pass
    assert min(shares["A"], shares["B"]) >= 1500, shares


def test_a_store_opened_before_a_fork_refuses_in_the_child_and_goes_on_in_the_parent(tmp_path: Path) -> None:
    with worker(tmp_path / "desk.db", "fork") as process:
        said = [hear(process) for _ in range(9)]
    sentence = "the store was opened before a fork; open it in each process, after the fork"
    assert said == [
        *(f"child {name} {sentence}" for name in ("peek", "read", "write")),
        *(f"fresh {name} fine" for name in ("peek", "read", "write")),
        *(f"parent {name} fine" for name in ("peek", "read", "write")),
    ]


def test_four_processes_may_create_the_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "desk.db"
    with worker(path, "obey") as a, worker(path, "obey") as b, worker(path, "obey") as c, worker(path, "obey") as d:
        assert [hear(process) for process in (a, b, c, d)] == ["ready"] * 4
        assert tell(a, "create 1") == "create 1 None"
        assert [tell(process, "read 1") for process in (b, c, d)] == ["read 1 None"] * 3
