"""A storage for command-line programs: one file, readable by its owner alone, and a lock file beside it."""

from __future__ import annotations

import glob
import os
import secrets
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from frontdesk.client.credentials import Credentials
from frontdesk.client.errors import StorageError
from frontdesk.clock import BOOT_TIMER, WALL_TIMER

try:
    import fcntl

    HAS_FLOCK = True
    # In a directory that others may write somebody may have laid a link there, to have a file made elsewhere.
    _LOCK_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
except ImportError:  # pragma: no cover - Windows: nobody is signed out without a lock, either
    HAS_FLOCK = False

HOLD_SECONDS: Final = 14.0
"""What is learnt under the lock is in place so soon after it was taken, or never: others may have gone on by then."""
REMAINS_SECONDS: Final = 4.0
"""What is so old and not in place is a remain. With `HOLD_SECONDS` and a refresh of 10 s it stays below grace."""
_LARGEST: Final = 256 * 1024
_PAUSE: Final = 0.01


class LockFile:
    """A lock between processes and threads: `flock` on a file that stays. It goes with the process that holds it.

    For storages of other kinds, too. Where the system has no `flock`, nobody ever holds it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    @contextmanager
    def hold(self, seconds: float) -> Iterator[bool]:
        """Hold it for the length of the block; False when that was not possible within `seconds`."""
        if not HAS_FLOCK:
            yield False
            return
        try:
            descriptor = os.open(self.path, _LOCK_FLAGS, 0o600)
        except OSError as fault:
            raise _failed(self.path, fault) from None
        try:
            held = _acquire(descriptor, seconds)
            try:
                yield held
            finally:
                if held:  # said aloud: a forked child may have the descriptor, too, and would keep the lock
                    fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            os.close(descriptor)


def _acquire(descriptor: int, seconds: float) -> bool:
    deadline = BOOT_TIMER() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if BOOT_TIMER() >= deadline:
                return False
            time.sleep(_PAUSE)
        else:
            return True


class FileStorage:
    """One file of mode 0600, replaced whole, and on disk before `save` returns.

    A file that others may read is refused. The directory is made if there is none (mode 0700), the lock is `path` with
    `.lock` at its end. Not for a file that is copied about, kept in version control, or shared by several machines.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._lock = LockFile(self.path.with_name(f"{self.path.name}.lock"))
        self._turn = threading.local()

    def __repr__(self) -> str:
        return f"FileStorage({str(self.path)!r})"

    def load(self) -> Credentials | None:
        try:
            with self.path.open(encoding="utf-8") as file:
                _refuse_what_others_read(self.path, os.fstat(file.fileno()))
                text = file.read(_LARGEST)
        except FileNotFoundError:
            return None
        except (OSError, UnicodeError) as fault:
            raise _failed(self.path, fault) from None
        try:
            return Credentials.loads(text)
        except ValueError:
            raise StorageError(f"{self.path} does not hold credentials; remove it and sign in again") from None

    def save(self, credentials: Credentials, /) -> None:
        beside = self.path.with_name(f".{self.path.name}.{secrets.token_hex(8)}.new")
        try:
            self._make_directory()
            try:
                _write(beside, credentials.dumps())
                # After the writing: who is stopped from here on finds that the remains were removed.
                if BOOT_TIMER() > getattr(self._turn, "ends", float("inf")):
                    raise StorageError(f"{self.path} was not written in time; nothing was changed")
                beside.replace(self.path)
                _sync_directory(self.path.parent)
            finally:
                beside.unlink(missing_ok=True)
        except OSError as fault:
            raise _failed(self.path, fault) from None

    def clear(self) -> None:
        try:
            self.path.unlink(missing_ok=True)
            if self.path.parent.is_dir():
                _sync_directory(self.path.parent)
        except OSError as fault:
            raise _failed(self.path, fault) from None

    @contextmanager
    def lock(self, seconds: float, /) -> Iterator[bool]:
        try:
            self._make_directory()
        except OSError as fault:
            raise _failed(self.path, fault) from None
        with self._lock.hold(seconds) as alone:
            self._remove_remains()
            self._turn.ends = BOOT_TIMER() + HOLD_SECONDS
            try:
                yield alone
            finally:
                del self._turn.ends

    def _make_directory(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _remove_remains(self) -> None:
        """Remove what a process that died, or was stopped, had not yet put in place.

        If it goes on after all, it finds nothing to put in place: what it was given counts as lost, as a reply may be.
        """
        for beside in self.path.parent.glob(f".{glob.escape(self.path.name)}.*.new"):
            try:
                if WALL_TIMER() - beside.stat().st_mtime > REMAINS_SECONDS:
                    beside.unlink()
            except OSError:
                continue  # another process was faster, or it is not ours to remove


def _refuse_what_others_read(path: Path, status: os.stat_result) -> None:
    if os.name == "posix" and stat.S_IMODE(status.st_mode) & 0o077:
        raise StorageError(f"others may read {path}; run `chmod 600 {path}`")


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(directory: Path) -> None:
    if os.name != "posix":  # pragma: no cover - elsewhere a directory cannot be opened
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _failed(path: Path, fault: OSError | UnicodeError) -> StorageError:
    reason = getattr(fault, "strerror", None) or type(fault).__name__
    return StorageError(f"{path} cannot be used: {reason}", detail=f"{type(fault).__name__}: {reason}")
