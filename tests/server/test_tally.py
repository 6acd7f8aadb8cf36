"""The memory that workers count in: who may write where, what is read, and what becomes of the numbers of the dead."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

import pytest

from frontdesk.server.tally import Tally
from tests.server.processes import PATIENCE

_SPAWN = multiprocessing.get_context("spawn")


def count(tally: Tally, column: int, by: int, parent: Connection) -> None:
    """A process that counts once, says what it had before, and stays until it is told to go."""
    row = tally.take()
    before = None if row is None else row[column]
    if row is not None:
        row[column] += by
    parent.send(before)
    parent.recv()


class Counting:
    """Such a process, as its parent sees it."""

    def __init__(self, tally: Tally, column: int, by: int) -> None:
        self._ours, theirs = _SPAWN.Pipe()
        self.process: SpawnProcess = _SPAWN.Process(target=count, args=(tally, column, by, theirs))
        self.process.start()
        theirs.close()

    def found(self) -> int | None:
        """What the process found in its column; None when it got no row."""
        assert self._ours.poll(PATIENCE)
        found: int | None = self._ours.recv()
        return found

    def leave(self) -> None:
        if self.process.is_alive():
            self._ours.send("go")
        self.process.join(PATIENCE)

    def end(self) -> None:
        self.leave()
        self._ours.close()
        self.process.close()


@contextmanager
def counting(*counts: Counting) -> Iterator[None]:
    try:
        yield
    finally:
        for each in counts:
            each.end()


def columns(tally: Tally, column: int) -> list[int]:
    return [row[column] for row in tally.rows()]


def test_the_numbers_of_one_process_begin_at_0_and_are_its_own() -> None:
    tally, other = Tally(3), Tally(3)
    row, others = tally.take(), other.take()
    assert row is not None
    assert others is not None
    row[1] += 5
    row[2] -= 1
    others[0] = 2**62
    assert [list(row) for row in tally.rows()] == [[0, 5, -1]]
    assert not tally.is_shared


def test_a_tally_of_one_process_is_not_handed_on() -> None:
    with pytest.raises(TypeError, match="not handed on"):
        pickle.dumps(Tally(1))


def test_processes_that_share_a_tally_write_to_rows_of_their_own_and_all_are_read() -> None:
    with closing(Tally.shared(4, rows=2)) as tally:
        first, second = Counting(tally, 1, 10), Counting(tally, 1, 32)
        with counting(first, second):
            assert (first.found(), second.found()) == (0, 0)
            assert sorted(columns(tally, 1)) == [10, 32]
            third = Counting(tally, 1, 7)
            with counting(third):
                assert third.found() is None
            assert sorted(columns(tally, 1)) == [10, 32]
        assert columns(tally, 0) == columns(tally, 2) == columns(tally, 3) == [0, 0]


def test_a_process_takes_over_the_row_of_one_that_ended_and_counts_on_from_there() -> None:
    with closing(Tally.shared(1, rows=2)) as tally:
        first = Counting(tally, 0, 5)
        with counting(first):
            assert first.found() == 0
            first.leave()
            second = Counting(tally, 0, 6)
            with counting(second):
                assert second.found() == 5
                assert columns(tally, 0) == [11, 0]


def test_nothing_of_a_shared_tally_can_be_found_in_a_directory() -> None:
    gc.collect()  # what other tests left to it
    before = open_files()
    tally = Tally.shared(1)
    # The file and its mapping; "deleted" is how the system says that there is no name.
    assert list((open_files() - before).elements()) == ["/memfd:frontdesk-tally (deleted)"] * 2
    tally.close()
    del tally
    assert open_files() == before


def open_files() -> Counter[str]:
    """What this process has open, by the number of times."""
    links = Path("/proc/self/fd").iterdir()
    return Counter(os.readlink(link) for link in links if link.is_symlink())
