"""The store's clock as a node carries it on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from frontdesk.clock import AdjustableClock
from frontdesk.verifier.store_clock import StoreClock

T0 = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
TICK = timedelta(milliseconds=2)


class Boot:
    """A boot-time clock that is moved by hand."""

    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def make(own: datetime = T0) -> tuple[StoreClock, Boot, AdjustableClock]:
    boot, wall = Boot(), AdjustableClock(own)
    return StoreClock(wall, boot), boot, wall


def near(one: datetime, other: datetime, by: timedelta = TICK) -> bool:
    return abs(one - other) <= by


def test_before_the_first_poll_the_machines_own_clock_is_shown() -> None:
    clock, boot, wall = make()
    boot.seconds += 100
    assert clock.now() == T0
    assert clock.offset is None
    wall.advance(SECOND)
    assert clock.now() == T0 + SECOND


def test_afterwards_the_stores_time_goes_on_and_the_machines_own_may_jump() -> None:
    clock, boot, wall = make()
    clock.learn(T0 + timedelta(hours=2), began=1000.0, ended=1000.0)
    assert near(clock.now(), T0 + timedelta(hours=2))
    wall.advance(timedelta(hours=1))
    boot.seconds += 3
    assert near(clock.now(), T0 + timedelta(hours=2, seconds=3))
    wall.advance(timedelta(hours=-5))
    assert near(clock.now(), T0 + timedelta(hours=2, seconds=3))
    assert clock.offset is not None
    assert near(T0 + clock.offset, T0 + timedelta(hours=6, seconds=3))


def test_an_answer_that_was_held_up_moves_nothing() -> None:
    clock, boot, _ = make()
    clock.learn(T0, began=1000.0, ended=1000.0)
    boot.seconds = 1010.0
    clock.learn(T0 + SECOND, began=1001.0, ended=1010.0)
    assert near(clock.now(), T0 + 10 * SECOND)


def test_a_faster_reply_makes_it_more_exact() -> None:
    clock, boot, _ = make()
    clock.learn(T0, began=1000.0, ended=1002.0)
    boot.seconds = 1002.0
    assert near(clock.now(), T0)
    clock.learn(T0 + 3.9 * SECOND, began=1003.0, ended=1004.0)
    boot.seconds = 1004.0
    assert near(clock.now(), T0 + 3.9 * SECOND)


def test_a_store_whose_clock_was_set_is_believed_again() -> None:
    for jump in (timedelta(hours=1), timedelta(hours=-1), 10 * SECOND, -10 * SECOND):
        clock, boot, _ = make()
        clock.learn(T0, began=1000.0, ended=1000.1)
        boot.seconds = 1005.0
        clock.learn(T0 + 5 * SECOND + jump, began=1004.9, ended=1005.0)
        assert near(clock.now(), T0 + 5 * SECOND + jump, SECOND / 5)


LEGS = st.lists(st.tuples(st.floats(0, 5), st.floats(0, 5), st.floats(0, 30)), min_size=1, max_size=20)


@given(LEGS)
def test_the_error_is_never_more_than_the_fastest_reply_took(legs: list[tuple[float, float, float]]) -> None:
    clock, boot, _ = make()
    truth = T0 - timedelta(seconds=1000)  # the store's clock when the boot-time clock stood at 0
    for there, back, pause in legs:
        boot.seconds += pause
        began = boot.seconds
        told = truth + timedelta(seconds=began + there)
        boot.seconds += there + back
        clock.learn(told, began=began, ended=boot.seconds)
    error = truth + timedelta(seconds=boot.seconds) - clock.now()
    fastest = min(back for _, back, _ in legs)
    assert -TICK <= error <= timedelta(seconds=fastest) + TICK
