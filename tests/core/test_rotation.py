"""The rotation table, line by line and boundary by boundary. What it proves over time is in tests/explorer."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdesk.core.rotation import Decision, Outcome, decide
from frontdesk.core.sessions import END_REASONS, Session, SessionPolicy, evaluate

T0 = datetime(2026, 1, 1, 12, 0, 0, 123_457, tzinfo=UTC)
TICK = timedelta(microseconds=1)
POLICY = SessionPolicy()
STRICT = replace(POLICY, late_retry="end")
GRACE = POLICY.grace
OLD = T0 + timedelta(hours=1)
"""Long after grace."""

CHANGED_BY_A_MINT = {"generation", "parent", "minted_at", "last_seen_at"}


def a_row(generation: int = 0, parent: int = -1, **changes: Any) -> Session:
    fields: dict[str, Any] = {
        "id": "AAAAAAAAAAAAAAAAAAAAAA",
        "realm": "default",
        "subject": "alice",
        "credential": "jwt",
        "transport": "cookie",
        "refresh_in": "cookie",
        "remember": True,
        "created_at": T0,
        "auth_time": T0,
        "last_seen_at": T0,
        "expires_at": T0 + POLICY.absolute,
        "idle_timeout": POLICY.idle,
        "salt": b"0123456789abcdef",
        "generation": generation,
        "parent": parent,
        "minted_at": T0,
        "roles": ("kept",),
    }
    return Session(**(fields | changes))


def changed(decision: Decision) -> set[str]:
    before, after = msgspec.structs.asdict(decision.before), msgspec.structs.asdict(decision.session)
    return {name for name, value in before.items() if after[name] != value}


O = Outcome  # noqa: E741 - the column of the tables below
# G, P, g, now, late_retry, outcome, (G, P) afterwards
Line = tuple[int, int, int, datetime, Literal["reissue", "end"], Outcome, tuple[int, int]]
TABLE: list[Line] = [
    # 2: a number that the store never gave out since its last two lost writes
    (0, -1, 3, OLD, "reissue", O.REUSED, (0, -1)),
    (0, -1, 3, T0, "reissue", O.REUSED, (0, -1)),
    (5, 4, 8, OLD, "reissue", O.REUSED, (5, 4)),
    (5, 4, 2**32 - 1, T0, "reissue", O.REUSED, (5, 4)),
    # 3: the store lost one or two writes
    (0, -1, 1, T0, "reissue", O.RECOVERED, (1, -1)),
    (0, -1, 2, OLD, "reissue", O.RECOVERED, (2, -1)),
    (5, 4, 6, OLD, "end", O.RECOVERED, (6, 4)),
    (5, 4, 7, T0, "end", O.RECOVERED, (7, 4)),
    # 4: young, and not older than the parent
    (0, -1, 0, T0, "reissue", O.RENEWED, (0, -1)),
    (0, -1, 0, T0 + GRACE - TICK, "reissue", O.RENEWED, (0, -1)),
    (5, 3, 5, T0 + GRACE - TICK, "reissue", O.RENEWED, (5, 3)),
    (5, 3, 4, T0 + GRACE - TICK, "reissue", O.RENEWED, (5, 3)),
    (5, 3, 3, T0 + GRACE - TICK, "end", O.RENEWED, (5, 3)),
    (5, 3, 5, T0 - timedelta(days=1), "reissue", O.RENEWED, (5, 3)),
    # 5: the newest
    (0, -1, 0, T0 + GRACE, "reissue", O.ROTATED, (1, 0)),
    (0, -1, 0, T0 + GRACE + TICK, "end", O.ROTATED, (1, 0)),
    (5, 3, 5, OLD, "reissue", O.ROTATED, (6, 5)),
    # 6: the parent, late
    (1, 0, 0, T0 + GRACE, "reissue", O.REISSUED, (2, 0)),
    (5, 3, 3, OLD, "reissue", O.REISSUED, (6, 3)),
    # 7: older than the parent, or burnt; with late_retry="end" the parent too
    (5, 3, 2, T0, "reissue", O.REUSED, (5, 3)),
    (5, 3, 2, T0 - timedelta(days=1), "reissue", O.REUSED, (5, 3)),
    (5, 3, 0, OLD, "reissue", O.REUSED, (5, 3)),
    (5, 3, 4, T0 + GRACE, "reissue", O.REUSED, (5, 3)),
    (5, 3, 4, OLD, "reissue", O.REUSED, (5, 3)),
    (5, 3, 3, T0 + GRACE, "end", O.REUSED, (5, 3)),
    (1, 0, 0, OLD, "end", O.REUSED, (1, 0)),
]


@pytest.mark.parametrize("line", TABLE, ids=lambda line: f"G{line[0]} P{line[1]} g{line[2]} {line[5].value}")
def test_each_line_of_the_table(line: Line) -> None:
    generation, parent, presented, now, late_retry, outcome, after = line
    row = a_row(generation, parent)
    decision = decide(row, presented, now, replace(POLICY, late_retry=late_retry))
    assert (decision.outcome, (decision.session.generation, decision.session.parent)) == (outcome, after)
    assert decision.before is row
    if outcome in {Outcome.ROTATED, Outcome.REISSUED, Outcome.RECOVERED}:
        assert decision.session.minted_at == now
        assert changed(decision) <= CHANGED_BY_A_MINT
    elif outcome is Outcome.REUSED:
        rolled_back = presented > generation + 2
        assert decision.session.ended_at == now
        assert decision.session.end_reason == ("rolled_back" if rolled_back else "reused")
        assert changed(decision) == {"ended_at", "end_reason"}
        assert decision.refusal is not None
        assert decision.refusal.code == ("store_rolled_back" if rolled_back else "refresh_reused")
    else:
        assert changed(decision) == set()


@pytest.mark.parametrize("reason", END_REASONS)
@pytest.mark.parametrize("presented", range(9))
def test_an_ended_row_stays_as_it_is_whatever_is_presented(presented: int, reason: str) -> None:
    row = a_row(5, 3, ended_at=T0, end_reason=reason)
    for now in (T0 - timedelta(days=1), T0, OLD, T0 + POLICY.absolute):
        decision = decide(row, presented, now, POLICY)
        assert decision == Decision(Outcome.ENDED, row, row, evaluate(row, now))


@pytest.mark.parametrize("presented", range(9))
@pytest.mark.parametrize(
    ("changes", "limit", "code"),
    [
        ({"expires_at": OLD}, OLD, "session_expired"),
        ({}, T0 + POLICY.idle, "session_idle"),
    ],
)
def test_an_expired_row_is_refused_before_anything_else_is_looked_at(
    changes: dict[str, Any], limit: datetime, code: str, presented: int
) -> None:
    row = a_row(5, 3, **changes)
    assert decide(row, presented, limit - TICK, POLICY).outcome is not Outcome.ENDED
    for now in (limit, limit + TICK):
        decision = decide(row, presented, now, POLICY)
        assert (decision.outcome, decision.writes) == (Outcome.ENDED, False)
        assert decision.refusal is not None
        assert decision.refusal.code == code


@pytest.mark.parametrize(
    ("outcome", "grants", "mints"),
    [
        (Outcome.ENDED, False, False),
        (Outcome.RECOVERED, True, False),
        (Outcome.RENEWED, True, False),
        (Outcome.ROTATED, True, True),
        (Outcome.REISSUED, True, True),
        (Outcome.REUSED, False, False),
    ],
)
def test_what_leaves_the_desk_for_each_outcome(outcome: Outcome, grants: bool, mints: bool) -> None:
    assert (outcome.grants, outcome.mints) == (grants, mints)


def test_every_outcome_stands_in_the_table() -> None:
    assert {line[5] for line in TABLE} | {Outcome.ENDED} == set(Outcome)


def test_without_grace_nothing_is_young_except_under_a_clock_that_stepped_back() -> None:
    policy = replace(POLICY, grace=timedelta(0))
    assert decide(a_row(), 0, T0, policy).outcome is Outcome.ROTATED
    assert decide(a_row(), 0, T0 - TICK, policy).outcome is Outcome.RENEWED


def test_a_refresh_is_a_use_and_a_clock_that_stepped_back_does_not_undo_one() -> None:
    seen = OLD + timedelta(hours=1)
    assert decide(a_row(), 0, OLD, POLICY).session.last_seen_at == OLD
    assert decide(a_row(last_seen_at=seen), 0, OLD, POLICY).session.last_seen_at == seen


ROWS = st.integers(0, 8).flatmap(lambda newest: st.integers(-1, newest - 1).map(lambda parent: a_row(newest, parent)))
PRESENTED = st.integers(0, 12)
NOW = st.one_of(
    st.sampled_from([T0 - TICK, T0, T0 + GRACE - TICK, T0 + GRACE, T0 + GRACE + TICK]),
    st.timedeltas(-timedelta(days=1), timedelta(days=40)).map(lambda since: T0 + since),
)
POLICIES = st.sampled_from([POLICY, STRICT])


@given(ROWS, PRESENTED, NOW, POLICIES)
def test_a_decision_is_consistent_in_itself(row: Session, presented: int, now: datetime, policy: SessionPolicy) -> None:
    decision = decide(row, presented, now, policy)
    assert (decision.refusal is None) is decision.outcome.grants
    assert decision.ends is (decision.outcome is Outcome.REUSED)
    assert decision.writes is (decision.outcome not in {Outcome.ENDED, Outcome.RENEWED})
    assert decision.writes is (decision.session != decision.before) or decision.outcome is Outcome.RECOVERED
    assert decision.session.parent < decision.session.generation
    assert decision.session.generation >= row.generation
    assert decision.session.parent >= row.parent
    if decision.outcome.mints:
        assert decision.session.generation == row.generation + 1
    if decision.outcome.grants:
        assert evaluate(decision.session, now) is None


@given(ROWS, PRESENTED, NOW, POLICIES)
def test_whoever_comes_again_at_once_is_answered_the_same_or_gently(
    row: Session, presented: int, now: datetime, policy: SessionPolicy
) -> None:
    first = decide(row, presented, now, policy)
    again = decide(first.session, presented, now, policy)
    assert again.outcome.grants is first.outcome.grants
    assert not again.writes
    assert not again.outcome.mints


@given(ROWS, PRESENTED, NOW)
def test_the_strict_policy_grants_nothing_that_the_default_refuses(row: Session, presented: int, now: datetime) -> None:
    strict, default = decide(row, presented, now, STRICT), decide(row, presented, now, POLICY)
    if default.outcome is Outcome.REISSUED:
        assert strict.outcome is Outcome.REUSED
    else:
        assert strict == default
