"""`frontdesk` on a machine whose wall clock is wrong: `python shifted.py FILE serve …`.

FILE holds how far that clock is ahead, in seconds, and may change at any time; `shift` writes it. What measures
durations stays true. Not libfaketime: it breaks every `time.sleep` of Python from 3.11 on (clock_nanosleep until a
moment of the monotonic clock), whatever it is told about that clock.
"""

from __future__ import annotations

import mmap
import struct
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

_SECONDS: Final = struct.Struct("d")


def shift(file: Path, seconds: float) -> None:
    """From now on the processes that follow `file` are `seconds` ahead of the machine."""
    if not file.exists():
        file.write_bytes(bytes(_SECONDS.size))
    with file.open("r+b") as opened:
        opened.write(_SECONDS.pack(seconds))


def follow(file: Path) -> Callable[[], float]:
    """Read how many seconds the clock is ahead, as the file says at the moment of the call."""
    with file.open("rb") as opened:
        shared = mmap.mmap(opened.fileno(), _SECONDS.size, access=mmap.ACCESS_READ)

    def ahead() -> float:
        seconds: float = _SECONDS.unpack_from(shared)[0]
        return seconds

    return ahead


def install(ahead: Callable[[], float]) -> None:
    """Make the wall clock of this process wrong. Before anything of Frontdesk was imported: it binds `time.time`."""
    true = time.time

    def shifted() -> float:
        return true() + ahead()

    time.time = shifted
    time.time_ns = lambda: int(shifted() * 1_000_000_000)

    from frontdesk import clock

    def now(self: clock.SystemClock) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=ahead())

    clock.SystemClock.now = now  # type: ignore[method-assign]


if __name__ == "__main__":
    install(follow(Path(sys.argv.pop(1))))
    from frontdesk.cli import main

    main()
