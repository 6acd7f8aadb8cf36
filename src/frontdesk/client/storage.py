"""Where a client keeps its credentials: four methods. `MemoryStorage` here, `FileStorage` beside."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from frontdesk.client.credentials import Credentials


class Storage(Protocol):
    """The credentials of one session. Any number of threads, and of processes where it is shared, may use it.

    What `save` wrote must be there after the process has died, and `load` must never show anything older again: a
    storage that goes back, such as one restored from a copy, may sign its owner out (docs/rotation.md). Faults raise
    StorageError. All four may block; asynchronous programs call them in a thread.
    """

    def load(self) -> Credentials | None:
        """What was saved last; None when there is nothing."""
        ...

    def save(self, credentials: Credentials, /) -> None:
        """Keep these instead of what is there, whole or not at all. They are used only after this has returned."""
        ...

    def clear(self) -> None:
        """Forget what is there, if anything is."""
        ...

    def lock(self, seconds: float, /) -> AbstractContextManager[bool]:
        """Keep everybody else from refreshing for the length of the block; wait for that no longer than `seconds`.

        Says whether it succeeded. A storage without such a lock says False: nobody is signed out, but several may
        refresh where one would do. A process that dies must not keep the lock.
        """
        ...


class MemoryStorage:
    """Keeps the credentials as long as the process lives."""

    def __init__(self) -> None:
        self._kept: Credentials | None = None
        self._lock = threading.Lock()

    def load(self) -> Credentials | None:
        return self._kept

    def save(self, credentials: Credentials, /) -> None:
        self._kept = credentials

    def clear(self) -> None:
        self._kept = None

    @contextmanager
    def lock(self, seconds: float, /) -> Iterator[bool]:
        alone = self._lock.acquire(timeout=seconds)
        try:
            yield alone
        finally:
            if alone:
                self._lock.release()
