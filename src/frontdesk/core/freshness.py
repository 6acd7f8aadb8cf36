"""Freshness: may local state be believed now? Arithmetic on the age of the last complete poll of the log.

lag is the time since the *start* of the last poll that came back complete, on whichever clock shows more: the
boot-time clock keeps counting while a machine is suspended, the wall clock shows a jump. It is computed at each
decision and never kept as a flag: a process that was stopped serves requests before its timers run.

All times are seconds. Every request computes this; a float costs a third of a `timedelta`.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Freshness = Literal["strict", "bounded", "stateless"]
"""`strict`: the store is asked now. `bounded`: local state no older than the staleness bound. `stateless`: signature
and expiry alone, a choice of a whole deployment."""

Belief = Literal["believe", "ask"]
"""`believe`: local state may decide. `ask`: the store decides this request, or nobody does (503)."""


class PollStart(msgspec.Struct, frozen=True):
    """When the last complete poll began, in seconds on both clocks."""

    boot: float
    wall: float


def lag(started: PollStart | None, boot: float, wall: float) -> float | None:
    """How many seconds local state may be behind; None before the first complete poll. Never negative."""
    if started is None:
        return None
    return max(boot - started.boot, wall - started.wall, 0.0)


def believe(behind: float | None, max_staleness: float) -> Belief:
    """Whether a node that lags by `behind` may answer from local state. The bound itself is still good."""
    if behind is None or behind > max_staleness:
        return "ask"
    return "believe"
