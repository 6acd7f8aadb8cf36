"""Whether a session stands, at the microsecond of every limit; and what its policy may be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdesk.core.sessions import (
    END_REASONS,
    LARGEST_ABSOLUTE,
    Epochs,
    Principal,
    Session,
    SessionPolicy,
    evaluate,
    principal_of,
    touch_due,
)

T0 = datetime(2026, 1, 1, 12, 0, 0, 500_000, tzinfo=UTC)
TICK = timedelta(microseconds=1)
DAY = timedelta(days=1)


def a_session(**changes: Any) -> Session:
    fields: dict[str, Any] = {
        "id": "AAAAAAAAAAAAAAAAAAAAAA",
        "realm": "default",
        "subject": "alice",
        "credential": "session",
        "transport": "cookie",
        "refresh_in": None,
        "remember": True,
        "created_at": T0,
        "auth_time": T0,
        "last_seen_at": T0,
        "expires_at": T0 + 30 * DAY,
        "idle_timeout": 7 * DAY,
        "salt": b"0123456789abcdef",
        "minted_at": T0,
    }
    return Session(**(fields | changes))


def code(session: Session, now: datetime) -> str | None:
    refusal = evaluate(session, now)
    return refusal.code if refusal is not None else None


@pytest.mark.parametrize(
    ("changes", "limit", "expected"),
    [
        ({"last_seen_at": T0 + 29 * DAY}, T0 + 30 * DAY, "session_expired"),
        ({}, T0 + 7 * DAY, "session_idle"),
        ({"last_seen_at": T0 + DAY}, T0 + 8 * DAY, "session_idle"),
        ({"idle_timeout": TICK}, T0 + TICK, "session_idle"),
        ({"idle_timeout": 30 * DAY}, T0 + 30 * DAY, "session_expired"),
    ],
    ids=["absolute", "idle", "idle after use", "idle at once", "both at the same moment: absolute"],
)
def test_a_session_stands_until_the_microsecond_before_a_limit(
    changes: dict[str, Any], limit: datetime, expected: str
) -> None:
    session = a_session(**changes)
    assert code(session, limit - TICK) is None
    assert code(session, limit) == expected
    assert code(session, limit + TICK) == expected
    assert code(session, limit + 1000 * DAY) in {expected, "session_expired"}


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("signed_out", "session_ended"),
        ("revoked", "session_ended"),
        ("evicted", "session_ended"),
        ("replaced", "session_replaced"),
        ("reused", "refresh_reused"),
        ("rolled_back", "store_rolled_back"),
        (None, "session_ended"),
    ],
)
def test_an_ended_session_says_why_at_every_time(reason: str | None, expected: str) -> None:
    session = a_session(ended_at=T0, end_reason=reason)
    for now in (T0 - 1000 * DAY, T0 - TICK, T0, T0 + TICK, T0 + 7 * DAY, T0 + 30 * DAY):
        assert code(session, now) == expected


def test_every_reason_has_a_line_in_the_table_above() -> None:
    assert set(END_REASONS) == {"signed_out", "revoked", "replaced", "reused", "rolled_back", "evicted"}


@given(st.timedeltas(-DAY, 40 * DAY), st.timedeltas(TICK, 40 * DAY), st.timedeltas(-DAY, 40 * DAY))
def test_a_session_stands_exactly_below_both_limits(absolute: timedelta, idle: timedelta, elapsed: timedelta) -> None:
    session = a_session(expires_at=T0 + absolute, idle_timeout=idle)
    assert session.idle_at == T0 + idle
    assert (evaluate(session, T0 + elapsed) is None) is (elapsed < absolute and elapsed < idle)


@given(st.timedeltas(-DAY, 40 * DAY), st.timedeltas(TICK, 40 * DAY))
def test_a_refused_session_is_refused_later_too(elapsed: timedelta, later: timedelta) -> None:
    session = a_session()
    if evaluate(session, T0 + elapsed) is not None:
        assert evaluate(session, T0 + elapsed + later) is not None


def test_a_use_is_worth_recording_from_the_microsecond_on_that_the_policy_names() -> None:
    policy = SessionPolicy(touch_every=timedelta(seconds=60))
    due = T0 + timedelta(seconds=60)
    assert [touch_due(a_session(), now, policy) for now in (due - TICK, due, due + TICK)] == [False, True, True]
    assert not touch_due(a_session(), T0 - DAY, policy)


def test_a_principal_is_the_applications_view_of_a_session() -> None:
    session = a_session(amr=("pwd",), roles=("a", "b", "a"), scope=("read",), claims={"plan": "basic"}, realm="tenant")
    assert principal_of(session) == Principal(
        subject="alice",
        session_id=session.id,
        auth_time=T0,
        amr=("pwd",),
        scope=frozenset({"read"}),
        roles=frozenset({"a", "b"}),
        claims={"plan": "basic"},
        credential="session",
        realm="tenant",
    )


def test_a_session_never_changes_and_its_default_claims_are_nobodys_to_change() -> None:
    session = a_session()
    with pytest.raises(AttributeError):
        session.ended_at = T0  # type: ignore[misc]
    with pytest.raises(TypeError):
        session.claims["forged"] = True  # type: ignore[index]
    assert session.epochs == Epochs(0, 0)
    assert (session.generation, session.parent) == (0, -1)  # no presentation minted the first refresh token
    assert msgspec.structs.replace(session, ended_at=T0).id == session.id


# --- the policy -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"idle": TICK, "touch_every": timedelta(0)},
        {"idle": 30 * DAY, "absolute": 30 * DAY},
        {"absolute": LARGEST_ABSOLUTE},
        {"access_token": timedelta(seconds=10)},
        {"access_token": timedelta(minutes=60)},
        {"grace": timedelta(0)},
        {"grace": timedelta(minutes=5)},
        {"idle": timedelta(minutes=2), "touch_every": timedelta(minutes=1)},
        {"max_sessions": 1},
        {"late_retry": "end"},
    ],
    ids=str,
)
def test_a_policy_may_stand_at_each_of_its_bounds(settings: dict[str, Any]) -> None:
    policy = SessionPolicy(**settings)
    assert {name: getattr(policy, name) for name in settings} == settings


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"idle": timedelta(0)}, "idle must"),
        ({"idle": -TICK}, "idle must"),
        ({"idle": 30 * DAY + TICK}, "idle must"),
        ({"absolute": LARGEST_ABSOLUTE + TICK}, "absolute at most 400 days"),
        ({"access_token": timedelta(seconds=10) - TICK}, "access_token must"),
        ({"access_token": timedelta(minutes=60) + TICK}, "access_token must"),
        ({"grace": -TICK}, "grace must"),
        ({"grace": timedelta(minutes=5) + TICK}, "grace must"),
        ({"touch_every": -TICK}, "touch_every must"),
        ({"idle": timedelta(minutes=2), "touch_every": timedelta(minutes=1) + TICK}, "touch_every must"),
        ({"max_sessions": 0}, "max_sessions must"),
        ({"late_retry": "maybe"}, "late_retry is"),
    ],
    ids=str,
)
def test_a_policy_beyond_a_bound_is_misuse(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        SessionPolicy(**settings)


def test_the_defaults_are_those_that_the_documents_name() -> None:
    policy = SessionPolicy()
    assert (policy.idle, policy.absolute) == (7 * DAY, 30 * DAY)
    assert (policy.access_token, policy.grace) == (timedelta(minutes=15), timedelta(seconds=30))
    assert (policy.touch_every, policy.max_sessions, policy.late_retry) == (timedelta(seconds=60), 20, "reissue")
