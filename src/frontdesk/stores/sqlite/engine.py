"""What stands while a store is open: its file, its readers, its writer and its checkpointer."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from weakref import WeakSet

from frontdesk.clock import Timer
from frontdesk.stores.sqlite.checkpoint import Checkpointer
from frontdesk.stores.sqlite.opening import DatabaseFile, prepare
from frontdesk.stores.sqlite.reading import Reading
from frontdesk.stores.sqlite.writing import Writer


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The constructor arguments of `SQLiteStore`, checked. `patience` in seconds."""

    path: str
    vfs: str
    token_bytes: Callable[[int], bytes]
    timer: Timer
    patience: float
    max_waiting: int
    checkpoint_pages: int


class Engine:
    """Opened when constructed. Blocks for as long as the disk and other processes take."""

    def __init__(self, settings: Settings) -> None:
        file = DatabaseFile(settings.path, vfs=settings.vfs)
        timer = settings.timer
        turn = threading.Lock()
        self._checkpointer = Checkpointer(file, timer=timer, threshold=settings.checkpoint_pages, turn=turn)
        self.writer = Writer(
            file,
            timer=timer,
            patience=settings.patience,
            max_waiting=settings.max_waiting,
            turn=turn,
            after_commit=self._checkpointer.committed,
        )
        self._inherited = False
        file.create()
        try:
            connection = self.writer.connect()
            self.migrated = prepare(file, connection, settings.token_bytes)
        except BaseException:
            self.writer.close()
            raise
        self.reading = Reading(file, timer=timer, patience=settings.patience, max_waiting=settings.max_waiting)
        self.writer.start()
        self._checkpointer.start()
        _open_engines.add(self)

    def close(self) -> None:
        """Finish what was accepted and release everything. Blocks; idempotent. Nothing in the child of a fork.

        The writer goes last: whoever closes the last connection of all processes checkpoints, and the writer's thread
        and connection are those that may wait for a disk.
        """
        if self._inherited:
            return
        _open_engines.discard(self)
        self.reading.close()
        self._checkpointer.close()
        self.writer.close()

    def disown(self) -> None:
        """In the child of a fork: answer nothing, close nothing. No lock is taken: a thread that held it is gone."""
        self._inherited = True
        sentence = "the store was opened before a fork; open it in each process, after the fork"
        self.reading.refuse(sentence)
        self.writer.refuse(sentence)


_open_engines: Final[WeakSet[Engine]] = WeakSet()
_kept: Final[list[Engine]] = []
"""Engines that a fork copied into this process. Kept for ever: closing their connections here would meddle with
locks and files that are the parent's."""


def _refuse_inherited() -> None:
    for engine in list(_open_engines):
        _kept.append(engine)
        engine.disown()
    _open_engines.clear()


os.register_at_fork(after_in_child=_refuse_inherited)
