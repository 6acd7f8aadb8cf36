"""Numbers that the workers of one server keep in one piece of memory, so that each of them can tell all.

A row belongs to one worker, which alone writes to it, one aligned 64-bit word at a time: nothing is locked and nothing
is read half written. The memory is a file without a name, so nothing is left behind however the processes end. Which
rows are taken is said by locks on the bytes of that file, which the system lifts when a process ends: whoever replaces
a worker takes its row over and counts on from there, so there are never more rows than workers.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import tempfile
from collections.abc import Iterator
from multiprocessing import reduction
from typing import Any, Final, Self

ROWS: Final = 128
"""Workers that may run at once: twice as many as may be configured, since uvicorn adds one at SIGTTIN."""

_WORD: Final = 8

Row = memoryview
"""The numbers of one worker: integers, by column."""


class Tally:
    """`columns` integers for each of `rows` processes, all 0 at first.

    Without a `file` they are in the memory of one process. `shared` is made by the parent before its workers start, and
    handed to each of them as an argument of the process that is spawned.
    """

    def __init__(self, columns: int, *, rows: int = 1, file: int | None = None) -> None:
        self._columns = columns
        self._rows = rows
        self._file = file
        self._memory = mmap.mmap(-1 if file is None else file, rows * columns * _WORD)
        self._words = memoryview(self._memory).cast("q")

    @classmethod
    def shared(cls, columns: int, *, rows: int = ROWS) -> Self:
        """One for a parent and its workers."""
        file = _nameless_file()
        os.truncate(file, rows * columns * _WORD)
        return cls(columns, rows=rows, file=file)

    def __reduce__(self) -> tuple[Any, ...]:
        if self._file is None:
            raise TypeError("a tally of one process is not handed on")
        return _received, (reduction.DupFd(self._file), self._columns, self._rows)

    @property
    def is_shared(self) -> bool:
        """Whether other processes count here too."""
        return self._file is not None

    def take(self) -> Row | None:
        """The row that this process writes to, with what its last holder counted; None when all are taken.

        To be called once in a process: it holds the row until it ends.
        """
        for number in range(self._rows):
            if self._file is None or _lock(self._file, number):
                return self._row(number)
        return None

    def rows(self) -> Iterator[Row]:
        """Every row, also those that nobody holds or ever held. They are for reading."""
        return (self._row(number) for number in range(self._rows))

    def close(self) -> None:
        """Give the file back: the row that this process holds is anybody's. The memory goes with its last reader."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _row(self, number: int) -> Row:
        return self._words[number * self._columns : (number + 1) * self._columns]


def _nameless_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("frontdesk-tally")  # there may be no directory that can be written to
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _received(file: Any, columns: int, rows: int) -> Tally:
    """The tally in the process that it was handed to."""
    return Tally(columns, rows=rows, file=file.detach())


def _lock(file: int, number: int) -> bool:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
    except OSError:
        return False
    return True
