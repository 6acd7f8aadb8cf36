"""The lag of a node, and whether its local state may be believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdesk.core.freshness import PollStart, believe, lag

ZERO = 0.0
TICK = 2.0**-20
SECOND = 1.0
BOUND = 5 * SECOND
START = PollStart(boot=100 * SECOND, wall=1_000_000 * SECOND)


@pytest.mark.parametrize(
    ("boot", "wall", "expected"),
    [
        (ZERO, ZERO, ZERO),
        (3 * SECOND, 3 * SECOND, 3 * SECOND),
        (60 * SECOND, 3 * SECOND, 60 * SECOND),
        (3 * SECOND, 60 * SECOND, 60 * SECOND),
        (3 * SECOND, -60 * SECOND, 3 * SECOND),
        (-SECOND, -60 * SECOND, ZERO),
    ],
    ids=[
        "at once",
        "both agree",
        "wall clock held",
        "wall clock jumped",
        "wall clock stepped back",
        "both stepped back",
    ],
)
def test_the_lag_is_what_the_slower_excuse_does_not_hide(boot: float, wall: float, expected: float) -> None:
    assert lag(START, START.boot + boot, START.wall + wall) == expected


def test_before_the_first_complete_poll_there_is_no_lag_to_speak_of_and_nothing_is_believed() -> None:
    assert lag(None, 100 * SECOND, 100 * SECOND) is None
    assert believe(None, 1e9) == "ask"


@pytest.mark.parametrize(
    ("behind", "expected"),
    [(ZERO, "believe"), (BOUND - TICK, "believe"), (BOUND, "believe"), (BOUND + TICK, "ask"), (60 * BOUND, "ask")],
)
def test_local_state_is_believed_up_to_the_bound_and_not_a_microsecond_beyond(behind: float, expected: str) -> None:
    assert believe(behind, BOUND) == expected


def test_with_a_bound_of_nothing_only_the_very_moment_is_believed() -> None:
    assert believe(ZERO, ZERO) == "believe"
    assert believe(TICK, ZERO) == "ask"


SPANS = st.floats(-4e7, 4e7)


@given(SPANS, SPANS, SPANS, SPANS)
def test_the_lag_is_never_negative_and_never_less_than_either_clock_shows(
    boot: float, wall: float, later_boot: float, later_wall: float
) -> None:
    behind = lag(PollStart(boot, wall), later_boot, later_wall)
    assert behind is not None
    assert behind >= max(ZERO, later_boot - boot, later_wall - wall)
    assert behind in (ZERO, later_boot - boot, later_wall - wall)
