"""When keys are made, take over, verify and go: a table, and a simulated year with any intervals between the looks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frontdesk.core.keyring import (
    PUBLISHED_BEFORE,
    VERIFIES_AFTER,
    KeyState,
    Make,
    Move,
    Plan,
    StoredKey,
    applied,
    plan,
    removable_at,
    without,
)
from frontdesk.core.revocation import LARGEST_ACCESS_TOKEN

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY, TICK = timedelta(days=1), timedelta(microseconds=1)
EVERY = 30 * DAY


def key(name: str, state: KeyState, age: timedelta = timedelta(0), algorithm: str = "ES256") -> StoredKey:
    """A key that has been in its state for `age`."""
    since = NOW - age
    return StoredKey(
        id=name, realm="r", algorithm=algorithm, state=state, public="", sealed=b"", created_at=since, changed_at=since
    )


SUCCESSION = Plan((Move("n", "next", "current"), Move("c", "current", "old")))
NEXT = Plan((), (Make("ES256", "next"),))
CURRENT = Plan((), (Make("ES256", "current"),))


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ([], CURRENT),
        ([key("o", "old")], CURRENT),
        ([key("x", "compromised")], CURRENT),
        ([key("c", "current", 29 * DAY - TICK)], Plan()),
        ([key("c", "current", 29 * DAY)], NEXT),
        ([key("c", "current", 29 * DAY), key("x", "compromised"), key("o", "old")], NEXT),
        ([key("c", "current", 400 * DAY)], NEXT),
        ([key("c", "current", -DAY)], Plan()),  # a clock that was ahead: wait for it
        ([key("c", "current", 30 * DAY), key("n", "next", DAY - TICK)], Plan()),
        ([key("c", "current", 30 * DAY), key("n", "next", DAY)], SUCCESSION),
        ([key("c", "current", DAY), key("n", "next", DAY)], SUCCESSION),
        ([key("c", "current", 400 * DAY), key("n", "next", -DAY)], Plan()),
        ([key("n", "next")], Plan((Move("n", "next", "current"),))),
        ([key("d", "current"), key("n", "next", 2 * DAY, "EdDSA")], Plan()),
    ],
)
def test_what_is_due(held: list[StoredKey], expected: Plan) -> None:
    assert plan(held, NOW, algorithms=("ES256",), every=EVERY) == expected
    assert bool(expected) is (expected != Plan())


def test_without_an_interval_nothing_begins_by_itself_and_what_began_is_finished() -> None:
    old = [key("c", "current", 400 * DAY)]
    assert plan(old, NOW, algorithms=("ES256",), every=None) == Plan()
    assert plan(old, NOW, algorithms=("ES256",), every=None, at_once=True) == NEXT
    coming = [*old, key("n", "next", DAY)]
    assert plan(coming, NOW, algorithms=("ES256",), every=None) == SUCCESSION
    fresh = [*old, key("n", "next")]
    assert plan(fresh, NOW, algorithms=("ES256",), every=None, at_once=True) == Plan()


def test_each_algorithm_has_its_own_plan_and_those_not_named_are_left_alone() -> None:
    held = [key("c", "current", 30 * DAY), key("n", "next", DAY), key("e", "current", 30 * DAY, "A256GCM")]
    both = plan(held, NOW, algorithms=("ES256", "A256GCM"), every=EVERY)
    assert both == Plan(SUCCESSION.moves, (Make("A256GCM", "next"),))
    assert plan(held, NOW, algorithms=(), every=EVERY) == Plan()


GONE = Move("c", "current", "compromised")


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ([], Plan()),
        ([key("c", "compromised")], Plan()),
        ([key("c", "current")], Plan((GONE,), (Make("ES256", "current"),))),
        ([key("c", "current"), key("n", "next")], Plan((GONE, Move("n", "next", "current")))),
        ([key("c", "current"), key("n", "next", DAY, "EdDSA")], Plan((GONE,), (Make("ES256", "current"),))),
        ([key("c", "old"), key("d", "current")], Plan((Move("c", "old", "compromised"),))),
        ([key("c", "next"), key("d", "current")], Plan((Move("c", "next", "compromised"),))),
    ],
)
def test_what_is_due_when_a_key_is_lost(held: list[StoredKey], expected: Plan) -> None:
    assert without(held, "c") == expected


def test_rows_are_written_together_or_not_at_all() -> None:
    held = [key("c", "current", DAY), key("n", "next", DAY), key("d", "current", DAY, "EdDSA")]
    written = applied(held, SUCCESSION.moves, (), NOW)
    assert written is not None
    assert [(row.id, row.state, row.changed_at) for row in written] == [("n", "current", NOW), ("c", "old", NOW)]
    assert applied(held, SUCCESSION.moves[:1], (), NOW) is None
    assert applied(held, (), (key("c", "old"),), NOW) is None
    assert applied(held, (), (key("m", "next"),), NOW) is None
    assert applied(held, (), (key("m", "next", algorithm="EdDSA"),), NOW) is not None
    assert applied(held, (Move("n", "old", "current"),), (), NOW) is None
    assert applied(held, (Move("m", "next", "current"),), (), NOW) is None


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 40 * 24 * 60), min_size=1, max_size=60),
    st.sampled_from([2 * DAY, 7 * DAY, EVERY, None]),
    st.sets(st.integers(0, 59)),
)
def test_whoever_looks_whenever_every_token_is_good_until_it_expires(
    minutes: list[int], every: timedelta | None, at_once: set[int]
) -> None:
    held: dict[str, StoredKey] = {}
    signed_until: dict[str, datetime] = {}
    now, made = NOW, 0
    for look, pause in enumerate(minutes):
        now += timedelta(minutes=pause)
        for row in held.values():
            if row.state == "current":
                signed_until[row.id] = now  # until the very look that retires it
        due = plan(held.values(), now, algorithms=("ES256",), every=every, at_once=look in at_once)
        new = []
        for make in due.makes:
            made += 1
            new.append(msgspec.structs.replace(key(f"k{made}", make.state), created_at=now, changed_at=now))
        for move in due.moves:
            assert now - held[move.id].created_at >= PUBLISHED_BEFORE
        written = applied(held.values(), due.moves, new, now)
        assert written is not None
        held |= {row.id: row for row in written}
        assert [row.state for row in held.values()].count("current") == 1
        assert [row.state for row in held.values()].count("next") <= 1
        assert plan(held.values(), now, algorithms=("ES256",), every=every) == Plan()
        for name in [row.id for row in held.values() if (until := removable_at(row)) is not None and now >= until]:
            assert signed_until[name] + LARGEST_ACCESS_TOKEN + DAY <= now
            del held[name]
    assert len(held) <= 2 + VERIFIES_AFTER // PUBLISHED_BEFORE + 1


def test_only_old_and_compromised_keys_ever_go() -> None:
    assert removable_at(key("c", "current")) is None
    assert removable_at(key("n", "next")) is None
    assert removable_at(key("o", "old")) == NOW + timedelta(hours=25)
