"""The only reader of time. Everything else takes `now` as an argument or a `Clock` when constructed."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

Timer = Callable[[], float]
"""Seconds since an arbitrary moment, for measuring how long something took."""

TIMER: Final[Timer] = time.perf_counter

PROCESSOR_TIMER: Final[Timer] = time.process_time
"""Seconds that processors have worked for this process, all its threads together."""

BOOT_TIMER: Final[Timer] = (
    functools.partial(time.clock_gettime, time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic
)
"""Seconds that only grow and that go on while the machine is suspended, where the system has such a clock."""

WALL_TIMER: Final[Timer] = time.time
"""Seconds since 1970 as the machine's clock shows them: they may jump."""

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Clock(Protocol):
    """A source of the present moment."""

    def now(self) -> datetime:
        """The present moment as an aware datetime in UTC."""
        ...


class SystemClock:
    """The machine's wall clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class UnhurriedClock:
    """Another clock as slow as it ever was against the boot-time clock: for deciding what may be forgotten.

    A clock that jumps ahead must not make anybody forget what is needed when it comes back.
    """

    def __init__(self, clock: Clock, boot: Timer = BOOT_TIMER) -> None:
        self._clock = clock
        self._boot = boot
        self._ahead: timedelta | None = None

    def now(self) -> datetime:
        boot = timedelta(seconds=self._boot())
        ahead = self._clock.now() - EPOCH - boot
        self._ahead = ahead if self._ahead is None else min(self._ahead, ahead)
        return EPOCH + boot + self._ahead


class AdjustableClock:
    """A clock that stands still until told to move: for tests and for the lab.

    It may be moved backwards, as real clocks are; nothing that ended may come back because of it.
    """

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = utc(start)

    def now(self) -> datetime:
        return self._now

    def advance(self, by: timedelta) -> None:
        """Move by `by`, which may be negative."""
        self._now += by

    def set(self, moment: datetime) -> None:
        """Jump to `moment` (aware)."""
        self._now = utc(moment)


def utc(moment: datetime) -> datetime:
    """`moment` in UTC. A naive datetime is misuse: ValueError."""
    if moment.tzinfo is None:
        raise ValueError("a datetime without a time zone was passed; use datetime.now(UTC)")
    return moment.astimezone(UTC)


def to_micros(moment: datetime) -> int:
    """Whole microseconds since 1970-01-01T00:00:00Z, exactly: the form in which stores keep time."""
    return (moment - EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """The inverse of `to_micros`, exactly."""
    return EPOCH + timedelta(microseconds=micros)


def span_to_micros(span: timedelta) -> int:
    """A duration in whole microseconds."""
    return span // _MICROSECOND
