"""Freshness: may local state be believed now? Arithmetic on the age of the last complete poll of the log.

lag is the time since the *start* of the last poll that came back complete, on whichever clock shows more: the
boot-time clock keeps counting while a machine is suspended, the wall clock shows a jump. It is computed at each
decision and never kept as a flag: a process that was stopped serves requests before its timers run.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

import msgspec

Belief = Literal["believe", "ask"]
"""`believe`: local state may decide. `ask`: the store decides this request, or nobody does (503)."""


class PollStart(msgspec.Struct, frozen=True):
    """When the last complete poll began, on both clocks, as durations since an origin of each."""

    boot: timedelta
    wall: timedelta


def lag(started: PollStart | None, boot: timedelta, wall: timedelta) -> timedelta | None:
    """How far behind local state may be; None before the first complete poll. Never negative."""
    if started is None:
        return None
    return max(boot - started.boot, wall - started.wall, timedelta(0))


def believe(behind: timedelta | None, max_staleness: timedelta) -> Belief:
    """Whether a node that lags by `behind` may answer from local state. The bound itself is still good."""
    if behind is None or behind > max_staleness:
        return "ask"
    return "believe"
