"""Time: aware, in UTC, exact to the microsecond."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdesk.clock import EPOCH, AdjustableClock, SystemClock, from_micros, span_to_micros, to_micros, utc

MOMENTS = st.datetimes(timezones=st.just(UTC))


@given(MOMENTS)
def test_every_moment_comes_back_from_its_microseconds(moment: datetime) -> None:
    assert from_micros(to_micros(moment)) == moment


@given(MOMENTS, MOMENTS)
def test_microseconds_are_ordered_as_the_moments_are(one: datetime, other: datetime) -> None:
    assert (one < other) == (to_micros(one) < to_micros(other))
    assert span_to_micros(other - one) == to_micros(other) - to_micros(one)


@pytest.mark.parametrize(
    ("moment", "micros"),
    [
        (EPOCH, 0),
        (EPOCH + timedelta(microseconds=1), 1),
        (EPOCH - timedelta(microseconds=1), -1),
        (datetime(2026, 1, 1, 0, 0, 0, 999_999, tzinfo=UTC), 1_767_225_600_999_999),
        (datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), 1_767_225_600_000_000),
        (datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), 253_402_300_799_999_999),
    ],
)
def test_microseconds_are_exact_where_floats_are_not(moment: datetime, micros: int) -> None:
    assert to_micros(moment) == micros
    assert from_micros(micros) == moment
    assert from_micros(micros).tzinfo is UTC


def test_a_moment_of_another_zone_is_the_same_moment_in_utc() -> None:
    there = datetime(2026, 1, 1, 2, 30, tzinfo=timezone(timedelta(hours=2)))
    assert utc(there) == there
    assert utc(there).tzinfo is UTC


def test_a_naive_moment_is_misuse() -> None:
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 - that is the misuse
    with pytest.raises(ValueError, match="time zone"):
        utc(naive)
    with pytest.raises(ValueError, match="time zone"):
        AdjustableClock(naive)
    with pytest.raises(TypeError):
        to_micros(naive)


def test_the_system_clock_is_in_utc_and_between_two_looks_at_the_wall() -> None:
    before = datetime.now(UTC)
    now = SystemClock().now()
    assert before <= now <= datetime.now(UTC)
    assert now.tzinfo is UTC


def test_an_adjustable_clock_stands_still_until_it_is_moved_either_way() -> None:
    clock = AdjustableClock(EPOCH)
    assert (clock.now(), clock.now()) == (EPOCH, EPOCH)
    clock.advance(timedelta(days=1))
    clock.advance(timedelta(microseconds=-1))
    assert clock.now() == EPOCH + timedelta(days=1) - timedelta(microseconds=1)
    clock.set(datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))))
    assert clock.now() == datetime(2026, 1, 1, tzinfo=UTC)
    assert clock.now().tzinfo is UTC
