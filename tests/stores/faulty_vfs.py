"""A SQLite VFS for tests: the real files, with a record of what was written, and a hook that may fail or wait."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

import apsw

What = Literal["create", "delete", "write", "truncate", "sync", "read", "mark"]
Hook = Callable[[What, str], None]


class Event(NamedTuple):
    """What happened to a file, in the order of all files. `size`: the new size of a truncation."""

    what: What
    file: str
    offset: int = 0
    data: bytes = b""
    size: int = 0
    mark: object = None


def nothing(what: What, file: str) -> None:
    """The hook that lets everything pass."""


class FaultyVFS(apsw.VFS):
    """Files by their last name component. `hook` runs before each operation, on the thread that does it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.events: list[Event] = []
        self.hook: Hook = nothing
        self.readonly = False
        self._known: set[str] = set()
        self._lock = threading.Lock()
        super().__init__(name, "")

    def record(self, event: Event) -> None:
        with self._lock:
            self.events.append(event)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        file = os.path.basename(path or "")
        if self.readonly:
            flags[0] = flags[0] & ~(apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE) | apsw.SQLITE_OPEN_READONLY
        new = path is not None and not os.path.exists(path)
        opened = _File(self, file, name, flags)
        if new:
            self.record(Event("create", file))
        return opened

    def xDelete(self, filename: str, syncdir: bool) -> None:
        file = os.path.basename(filename)
        self.hook("delete", file)
        super().xDelete(filename, syncdir)
        self.record(Event("delete", file))


class _File(apsw.VFSFile):
    def __init__(self, vfs: FaultyVFS, file: str, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._vfs = vfs
        self._file = file
        super().__init__("", name, flags)

    def xRead(self, amount: int, offset: int) -> bytes:
        self._vfs.hook("read", self._file)
        return super().xRead(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:
        self._vfs.hook("write", self._file)
        super().xWrite(data, offset)
        self._vfs.record(Event("write", self._file, offset=offset, data=bytes(data)))

    def xTruncate(self, newsize: int) -> None:
        self._vfs.hook("truncate", self._file)
        super().xTruncate(newsize)
        self._vfs.record(Event("truncate", self._file, size=newsize))

    def xSync(self, flags: int) -> None:
        self._vfs.hook("sync", self._file)
        super().xSync(flags)
        self._vfs.record(Event("sync", self._file))


class Gate:
    """A hook that stops the first thread to do `what` to `file` until it is opened."""

    def __init__(self, what: What, file: str) -> None:
        self._what, self._file = what, file
        self.reached = threading.Event()
        self._opened = threading.Event()

    def __call__(self, what: What, file: str) -> None:
        if (what, file) == (self._what, self._file):
            self.reached.set()
            if not self._opened.wait(timeout=60):
                raise apsw.IOError("the test forgot to open its gate")

    def open(self) -> None:
        self._opened.set()


def raising(what: What, file: str, fault: type[apsw.Error]) -> Hook:
    """A hook that fails every `what` of `file`."""

    def hook(done: What, to: str) -> None:
        if (done, to) == (what, file):
            raise fault("a fault of the test")

    return hook


@contextmanager
def faulty_vfs(name: str) -> Iterator[FaultyVFS]:
    vfs = FaultyVFS(name)
    try:
        yield vfs
    finally:
        vfs.hook = nothing
        vfs.unregister()
