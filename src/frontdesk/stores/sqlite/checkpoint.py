"""The checkpointer: moves what the write-ahead log holds into the database file, on a thread and connection of its own.

No other connection checkpoints, so neither a request nor a commit ever pays for it. Of several processes SQLite lets
one at a time do it; the others find it busy and leave it.
"""

from __future__ import annotations

import logging
import threading
from typing import Final

import apsw

from frontdesk.clock import Timer
from frontdesk.errors import StoreError
from frontdesk.stores.sqlite.faults import store_error
from frontdesk.stores.sqlite.opening import DatabaseFile, Patience

_RESTART_FACTOR: Final = 4
_RESTART_PATIENCE: Final = 0.010
_TURN_PATIENCE: Final = 1.0

_log: Final = logging.getLogger("frontdesk.stores.sqlite")


class Checkpointer:
    """Woken by the writer when the log has grown to `threshold` pages."""

    def __init__(self, file: DatabaseFile, *, timer: Timer, threshold: int, turn: threading.Lock) -> None:
        self._file = file
        self._timer = timer
        self._threshold = threshold
        self._turn = turn
        self._restart_at = _RESTART_FACTOR * threshold
        self._connection: apsw.Connection | None = None
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="frontdesk-sqlite-checkpoint", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def committed(self, pages: int) -> int:
        """A commit left `pages` pages in the log. Returns SQLITE_OK, as SQLite wants it of its hook."""
        if pages >= self._threshold:
            self._wake.set()
        return apsw.SQLITE_OK

    def close(self) -> None:
        """Stop after the checkpoint that is under way. Blocks."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._connection is not None:
            self._connection.close(force=True)
            self._connection = None

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            if self._stopping:
                return
            try:
                self._checkpoint()
            except apsw.BusyError:
                continue  # another process is at it
            except apsw.Error as fault:
                _log.warning("checkpoint failed: %s", store_error(fault, self._connection).detail)
            except StoreError as error:
                _log.warning("checkpoint failed: %s %s", error.message, error.detail)

    def _checkpoint(self) -> None:
        """Passive, which waits for nobody and keeps nobody waiting; when that is not enough, a restart.

        Under constant writing a passive one never catches up with the end of the log, and only a log that was copied
        to its end can begin anew.
        """
        if self._connection is None:
            self._connection = self._file.connect("checkpointer", Patience(_RESTART_PATIENCE, self._timer))
        self._file.verify(self._connection)
        pages, _copied = self._connection.wal_checkpoint("main", apsw.SQLITE_CHECKPOINT_PASSIVE)
        if pages < self._threshold:
            self._restart_at = _RESTART_FACTOR * self._threshold
        elif pages >= self._restart_at:
            self._restart(self._connection, pages)

    def _restart(self, connection: apsw.Connection, pages: int) -> None:
        """Copy the little that is left while the writers wait, for about as long as one commit takes.

        A reader that stays on an old snapshot (a backup) prevents it. It is waited for during 10 ms, since the writers
        wait too, and asked again only when the log has grown by as much once more.
        """
        if not self._turn.acquire(timeout=_TURN_PATIENCE):
            return
        try:
            connection.wal_checkpoint("main", apsw.SQLITE_CHECKPOINT_RESTART)
            self._restart_at = _RESTART_FACTOR * self._threshold
        except apsw.BusyError:
            self._restart_at = pages + _RESTART_FACTOR * self._threshold
        finally:
            self._turn.release()
