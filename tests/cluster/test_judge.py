"""Each promise: a history that keeps it, the ways to break it, and the very moment between the two."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.cluster.history import LOST, History, Mark, Request, Target
from tests.cluster.judge import Promise, Terms, judge
from tests.cluster.stories import CALM, MS, NODES, Story

NANO = 1 / MS
"""A nanosecond in milliseconds."""

# --- what was revoked stays out -------------------------------------------------------------------------------


@pytest.mark.parametrize("bound", [0, 1000])
@pytest.mark.parametrize(("kind", "target"), [("session", "s"), ("subject", "ann"), ("all", "")])
def test_a_check_that_started_within_the_bound_may_succeed_and_no_later_one(bound: int, kind: Any, target: str) -> None:
    def told(started: float) -> set[Promise]:
        story = Story(bound=bound)
        story.sign_in("s", 0)
        story.check("s", 10)
        story.revoke(kind, target, 20, took=5)
        story.check("s", 20, took=5000)  # however long it took
        story.check("s", started)
        return story.end(ended=("s",)).broken

    assert told(25 + bound) == set()
    assert told(25 + bound + NANO) == {Promise.REVOKED}


def test_a_use_of_a_refresh_token_has_no_bound_and_a_session_token_has() -> None:
    story = Story(bound=1000)
    story.sign_in("s", 0, minted=0)
    story.revoke("session", "s", 20)
    story.refresh("s", 21, 0)
    assert story.end(ended=("s",)).broken == set()

    story = Story(bound=1000)
    story.sign_in("s", 0, minted=0)
    story.revoke("session", "s", 20)
    story.refresh("s", 22, 0)
    assert story.end(ended=("s",)).broken == {Promise.REVOKED}

    story = Story(bound=1000)
    story.sign_in("s", 0)
    story.revoke("session", "s", 20)
    story.ask("refresh", 22, session="s")
    assert story.end(ended=("s",)).broken == set()


def test_the_first_acknowledgement_counts() -> None:
    story = Story(bound=100)
    story.sign_in("s", 0)
    story.revoke("session", "s", 20)
    story.revoke("session", "s", 500)
    story.check("s", 300)
    assert story.end(ended=("s",)).broken == {Promise.REVOKED}


def test_a_success_long_after_recovery_is_a_violation_however_late() -> None:
    story = Story(bound=1000)
    story.sign_in("s", 0)
    story.revoke("session", "s", 20)
    story.end(ended=("s",)).check("s", CALM + 3_600_000)
    assert story.broken == {Promise.REVOKED}


def test_a_revocation_ends_neither_other_sessions_nor_those_of_a_later_sign_in() -> None:
    story = Story()
    story.sign_in("s", 0)
    story.sign_in("other", 0, subject="bob")
    story.revoke("subject", "ann", 20)
    story.sign_in("later", 30)
    story.check("other", 40, subject="bob")
    story.check("later", 40)
    assert story.end(stands=("other", "later"), ended=("s",)).broken == set()


@pytest.mark.parametrize("session", ["other", "later"])
def test_a_session_that_a_revocation_did_not_cover_must_not_end_by_it(session: str) -> None:
    story = Story()
    story.sign_in("s", 0)
    story.sign_in("other", 0, subject="bob")
    story.revoke("subject", "ann", 20)
    story.sign_in("later", 30)
    story.refused(session, 40)
    story.end(stands=tuple({"other", "later"} - {session}), ended=("s",))
    assert Promise.SIGNED_IN in story.broken


@pytest.mark.parametrize("began", [10, 30])
@pytest.mark.parametrize("verdict", ["stands", "ended"])
def test_a_sign_in_beside_a_revocation_of_its_subject_may_have_come_before_or_after_it(
    verdict: str, began: float
) -> None:
    story = Story()
    story.sign_in("s", began, took=20)
    story.revoke("subject", "ann", 25, took=20)
    assert story.end(**{verdict: ("s",)}).broken == set()


# --- a revocation that nobody answered ------------------------------------------------------------------------


@pytest.mark.parametrize("status", [LOST, 503])
@pytest.mark.parametrize("verdict", ["stands", "ended"])
def test_of_an_unanswered_revocation_neither_verdict_is_a_violation(status: int, verdict: str) -> None:
    story = Story(bound=100)
    story.sign_in("s", 0)
    story.revoke("session", "s", 20, status=status)
    story.check("s", 5000)
    assert story.end(**{verdict: ("s",)}).broken == set()


@pytest.mark.parametrize("verdict", ["stands", "ended"])
def test_an_unanswered_revocation_of_a_subject_may_come_late_and_end_a_later_sign_in(verdict: str) -> None:
    story = Story()
    story.revoke("subject", "ann", 20, status=LOST)
    story.sign_in("s", 3000)
    assert story.end(**{verdict: ("s",)}).broken == set()


def test_once_it_was_seen_to_have_ended_a_session_stays_so() -> None:
    def told(started: float) -> set[Promise]:
        story = Story(bound=100)
        story.sign_in("s", 0)
        story.revoke("session", "s", 20, status=LOST)
        story.check("s", 50)
        story.refused("s", 60, node="n2")
        story.check("s", started)
        return story.end(ended=("s",)).broken

    assert told(161) == set()
    assert told(161 + NANO) == {Promise.REVOKED}


def test_an_expired_access_token_shows_no_end_of_its_session() -> None:
    story = Story()
    story.sign_in("s", 0, minted=0)
    story.revoke("session", "s", 20, status=LOST)
    story.refused("s", 60, "token_expired")
    story.refresh("s", 70, 0)
    assert story.end(stands=("s",)).broken == set()


def test_a_revocation_that_was_refused_did_nothing() -> None:
    story = Story()
    story.sign_in("s", 0)
    story.revoke("session", "s", 20, status=404, code="session_not_found")
    story.refused("s", 60)
    story.end()
    assert Promise.SIGNED_IN in story.broken


# --- keys -----------------------------------------------------------------------------------------------------


def test_tokens_of_a_key_that_was_given_up_are_refused_after_the_bound_and_the_session_goes_on() -> None:
    def told(started: float) -> set[Promise]:
        story = Story(bound=100)
        story.sign_in("s", 0, minted=0)
        story.check("s", 10, key="k1")
        story.revoke("key", "k1", 20)
        story.check("s", started, key="k1")
        story.refused("s", 300, "credential_invalid", key="k1")
        story.refresh("s", 310, 0)
        story.check("s", 320, key="k2")
        story.end(stands=("s",))
        story.refresh("s", CALM + 20, 0)
        return story.broken

    assert told(121) == set()
    assert told(121 + NANO) == {Promise.REVOKED}


@pytest.mark.parametrize("key", ["k2", ""])
def test_giving_up_a_key_excuses_no_refusal_of_another_credential(key: str) -> None:
    story = Story()
    story.sign_in("s", 0)
    story.revoke("key", "k1", 20)
    story.refused("s", 30, "credential_invalid", key=key)
    assert story.end(stands=("s",)).broken == {Promise.SIGNED_IN}


def test_giving_up_a_key_excuses_no_refusal_of_a_refresh_token_nor_an_earlier_one_of_an_access_token() -> None:
    story = Story()
    story.sign_in("s", 0, minted=0)
    story.refused("s", 10, "credential_invalid", key="k1")
    story.revoke("key", "k1", 20)
    assert len(story.end(stands=("s",)).violations) == 2  # the refusal, and no proof for the refresh token
    story.refresh("s", CALM + 20, 0)
    assert [violation.promise for violation in story.violations] == [Promise.SIGNED_IN]

    story = Story()
    story.sign_in("s", 0, minted=0)
    story.revoke("key", "k1", 20)
    story.refresh("s", 30, 0, status=401, code="credential_invalid", key="k1")
    story.end(stands=("s",)).refresh("s", CALM + 20, 0)
    assert story.broken == {Promise.SIGNED_IN}


# --- no honest client is signed out ---------------------------------------------------------------------------


@pytest.mark.parametrize("status", [LOST, 503])
def test_no_answer_signs_nobody_out(status: int) -> None:
    story = Story()
    story.sign_in("s", 0, minted=0)
    story.check("s", 10, status=status)
    story.refresh("s", 20, 0, status=status)
    story.sign_in("", 30, status=status)
    story.end(stands=("s",)).refresh("s", CALM + 20, 0)
    assert story.broken == set()


@pytest.mark.parametrize("code", ["session_ended", "session_idle", "credential_invalid", "not_signed_in"])
def test_a_check_of_a_session_that_nobody_ended_is_never_refused(code: str) -> None:
    story = Story()
    story.sign_in("s", 0)
    story.refused("s", 10, code)
    assert Promise.SIGNED_IN in story.end(stands=("s",)).broken


@pytest.mark.parametrize("code", ["refresh_reused", "session_ended", "token_expired"])
def test_a_refresh_of_a_session_that_nobody_ended_is_never_refused(code: str) -> None:
    story = Story()
    story.sign_in("s", 0, minted=0)
    story.refresh("s", 10, 0, status=401, code=code)
    story.end(stands=("s",)).refresh("s", CALM + 20, 0)
    assert Promise.SIGNED_IN in story.broken


def test_a_session_may_be_refused_only_from_the_start_of_what_may_have_ended_it() -> None:
    def told(started: float) -> set[Promise]:
        story = Story()
        story.sign_in("s", 0)
        story.refused("s", started, took=10)
        story.revoke("session", "s", 50, took=100)
        story.revoke("session", "s", 70)
        return story.end(ended=("s",)).broken

    assert told(40) == set()
    assert told(40 - NANO) == {Promise.SIGNED_IN}


def test_an_access_token_is_expired_when_it_can_be_and_not_before() -> None:
    def told(ended: float) -> set[Promise]:
        story = Story()
        story.sign_in("s", 0, minted=0)
        story.refused("s", ended - 1, "token_expired", expires=9000 * MS)
        story.refresh("s", 9100, 0)
        story.end(stands=("s",)).refresh("s", CALM + 20, 0)
        return story.broken

    assert told(9000) == set()
    assert told(9000 - NANO) == {Promise.SIGNED_IN}


def test_a_right_password_is_right() -> None:
    story = Story()
    story.ask("sign_in", 10, status=401, code="invalid_credentials")
    assert story.end().broken == {Promise.SIGNED_IN}


@pytest.mark.parametrize(("kind", "target"), [("subject", "ann"), ("all", "")])
def test_a_sign_in_may_be_refused_while_everything_of_that_person_is_being_ended(kind: Any, target: str) -> None:
    def told(at: float, code: str = "session_ended", **facts: Any) -> set[Promise]:
        story = Story()
        story.revoke(kind, target, 20, took=10, **facts)
        story.ask("sign_in", at, took=5, status=401, code=code)
        return story.end().broken

    assert told(15) == told(30) == set()
    assert told(15 - NANO) == told(30 + NANO) == {Promise.SIGNED_IN}
    assert told(20, code="invalid_credentials") == {Promise.SIGNED_IN}
    assert told(20, status=401) == {Promise.SIGNED_IN}
    assert told(5000, status=LOST) == set()  # it may come at any time
    assert told(14, status=LOST) == {Promise.SIGNED_IN}


def test_a_sign_in_is_not_refused_because_others_are_signed_out() -> None:
    story = Story()
    story.revoke("subject", "bob", 10)
    story.revoke("session", "ann", 10)
    story.ask("sign_in", 10, status=401, code="session_ended")
    assert story.end().broken == {Promise.SIGNED_IN}


def test_one_who_revokes_must_be_signed_in_herself() -> None:
    story = Story()
    story.sign_in("mine", 0)
    story.sign_in("s", 0)
    story.ask("revoke", 10, session="mine", target=Target("session", "s"), status=401, code="session_ended")
    story.end(stands=("mine", "s"))
    assert Promise.SIGNED_IN in story.broken


# --- nothing acknowledged is lost -----------------------------------------------------------------------------


def test_a_session_must_be_accepted_after_the_faults() -> None:
    story = Story()
    story.sign_in("s", 0)
    story.check("s", 10)
    assert story.end().broken == {Promise.KEPT}
    story.check("s", CALM + 10, status=503)
    assert story.broken == {Promise.KEPT}
    story.check("s", CALM + 20)
    assert story.broken == set()


def test_a_sign_in_without_an_answer_need_not_have_happened() -> None:
    story = Story()
    story.ask("sign_in", 0, status=LOST)
    assert story.end().broken == set()


def test_the_newest_refresh_token_must_be_accepted_after_the_faults() -> None:
    story = Story()
    story.sign_in("s", 0, minted=0)
    story.refresh("s", 100, 0, minted=1)
    story.refresh("s", 200, 1, minted=2, status=LOST)  # its client cannot have it
    story.end(stands=("s",))
    assert story.broken == {Promise.KEPT}
    story.refresh("s", CALM + 20, 0)
    assert story.broken == {Promise.KEPT}
    story.refresh("s", CALM + 30, 1, minted=3)
    assert story.broken == set()


def test_an_acknowledged_end_must_be_seen_after_the_faults() -> None:
    story = Story()
    story.sign_in("s", 0, minted=0)
    story.revoke("session", "s", 20)
    story.refused("s", 30)
    assert story.end().broken == {Promise.KEPT}
    story.refused("s", CALM + 10, "token_expired")
    assert story.broken == {Promise.KEPT}
    story.refresh("s", CALM + 20, 0, status=401, code="session_ended")
    assert story.broken == set()


def test_no_refresh_token_leaves_twice() -> None:
    story = Story()
    story.sign_in("s", 0, minted=0)
    story.refresh("s", 100, 0, minted=1, took=50)
    story.refresh("s", 110, 0, minted=1, took=50)
    story.end(stands=("s",)).refresh("s", CALM + 20, 1)
    assert story.broken == {Promise.KEPT}


def test_generations_only_grow_but_requests_side_by_side_have_no_order() -> None:
    story = Story()
    story.sign_in("s", 0, minted=0)
    story.refresh("s", 100, 0, minted=2, took=50)
    story.refresh("s", 150, 0, minted=1)
    story.end(stands=("s",)).refresh("s", CALM + 20, 2)
    assert story.broken == set()

    story.refresh("s", 152, 0, minted=0)
    assert story.broken == {Promise.KEPT}


# --- all is back ----------------------------------------------------------------------------------------------


def test_every_node_must_answer_within_the_time_of_recovery() -> None:
    def told(answered: float) -> set[Promise]:
        story = Story()
        story.mark("calm", CALM)
        story.ask("probe", CALM + 10, node="n1")
        story.ask("probe", CALM + 10, node="n2", status=503)
        story.ask("probe", answered - 1, node="n2")
        return story.broken

    assert told(CALM + 10_000) == set()
    assert told(CALM + 10_000 + NANO) == {Promise.BACK}


def test_a_node_that_nobody_asked_is_not_back() -> None:
    story = Story()
    story.mark("calm", CALM)
    story.ask("probe", CALM + 10, node="n1")
    assert [violation.promise for violation in story.violations] == [Promise.BACK]


@pytest.mark.parametrize("status", [LOST, 503])
def test_a_node_that_is_back_stays_so(status: int) -> None:
    story = Story()
    story.end().ask("probe", CALM + 10_000, status=status)
    assert story.broken == set()
    story.ask("probe", CALM + 10_000 + NANO, status=status)
    assert story.broken == {Promise.BACK}


# --- a node that is cut off -----------------------------------------------------------------------------------


def cut_off(bound: int = 1000) -> Story:
    """Nothing passes between n2 and the store from 5,000 to 9,000."""
    story = Story(bound=bound)
    story.sign_in("s", 0, minted=0)
    story.mark("cut", 5000, "n2")
    story.mark("healed", 9000, "n2")
    story.end(stands=("s",)).refresh("s", CALM + 20, 0)
    return story


@pytest.mark.parametrize("bound", [0, 1000])
def test_a_node_that_is_cut_off_says_yes_within_the_bound_only(bound: int) -> None:
    story = cut_off(bound)
    story.check("s", 5000 + bound, node="n2")
    story.check("s", 7000, node="n1")
    story.check("s", 7000, node="n2", status=503)
    story.check("s", 8000, node="n2", took=1000)  # the link came back under it
    assert story.broken == set()
    story.check("s", 5000 + bound + NANO, node="n2", lag=3.5)
    assert story.broken == {Promise.CUT_OFF}
    assert "3.5 s" in str(story.violations[0])


def test_a_node_that_is_cut_off_signs_nobody_in_and_rotates_nothing() -> None:
    story = cut_off()
    story.refresh("s", 5000, 0, node="n2")
    assert story.broken == set()
    story.refresh("s", 5001, 0, node="n2")
    assert story.broken == {Promise.CUT_OFF}


def test_a_link_that_nobody_mended_is_cut_to_the_end() -> None:
    story = Story()
    story.mark("cut", 5000, "n2")
    story.end()
    assert story.broken == {Promise.CUT_OFF}


# --- answers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [204, 400, 403, 500, 502])
def test_an_answer_that_nobody_promised_is_reported(status: int) -> None:
    story = Story()
    story.sign_in("s", 0)
    story.check("s", 10, status=status)
    assert story.end(stands=("s",)).broken == {Promise.ANSWERS}


def test_a_history_without_an_end_is_not_judged() -> None:
    with pytest.raises(ValueError, match="calm"):
        judge(History.of([]), Terms(nodes=NODES))


def test_a_violation_shows_the_requests_that_prove_it() -> None:
    story = Story()
    story.sign_in("s", 0)
    revoked = story.revoke("session", "s", 20, client="admin")
    used = story.check("s", 30)
    (violation,) = story.end(ended=("s",)).violations
    assert violation.evidence == (revoked, used)
    assert str(violation).splitlines() == [
        "what was revoked stays out: accepted 9.000 ms after it was known to have ended, 0 ms allowed",
        "    0.020000–0.021000 admin → n1: revoke session s: 204",
        "    0.030000–0.031000 tab → n1: check of session s: 200",
    ]


# --- a world that keeps its promises --------------------------------------------------------------------------

_BOUND = 50
_use = st.tuples(st.integers(0, 999), st.integers(0, 30), st.integers(0, 30), st.integers(0, _BOUND))
_worlds = st.fixed_dictionaries(
    {
        "revoked": st.none() | st.tuples(st.integers(100, 900), st.integers(0, 30), st.integers(0, 30), st.booleans()),
        "uses": st.lists(_use, max_size=30),
    }
)


def faithful(revoked: tuple[int, int, int, bool] | None, uses: list[tuple[int, int, int, int]]) -> Story:
    """A session, ended at one moment inside its revocation; each use is decided on a state at most `_BOUND` old."""
    story = Story(bound=_BOUND)
    story.sign_in("s", -10)
    over = float("inf")
    if revoked is not None:
        over, before, after, answered = revoked
        story.revoke("session", "s", over - before, took=before + after, status=204 if answered else LOST)
    for decided, before, after, stale in uses:
        state = decided - stale
        # A refusal is the store's: it is never drawn from what a node remembers.
        status, code = (200, "") if state < over else (401, "session_ended")
        story.check("s", decided - before, took=before + after, status=status, code=code)
    return story.end(**({"stands": ("s",)} if revoked is None else {"ended": ("s",)}))


@given(_worlds)
def test_a_world_that_keeps_its_promises_is_never_accused(world: dict[str, Any]) -> None:
    assert faithful(**world).violations == ()


@given(_worlds, st.integers(1, 100_000))
def test_one_yes_too_late_is_always_found(world: dict[str, Any], late: int) -> None:
    assume(world["revoked"] is not None and world["revoked"][3])
    story = faithful(**world)
    moment, _, after, _ = world["revoked"]
    yes = story.check("s", moment + after + _BOUND + late * NANO)
    assert [(v.promise, v.evidence[1]) for v in story.violations] == [(Promise.REVOKED, yes)]


@given(_worlds, st.data())
def test_one_no_to_an_honest_client_is_always_found(world: dict[str, Any], data: st.DataObject) -> None:
    story = faithful(None, world["uses"])
    checks = [r for r in story.records if isinstance(r, Request) and r.operation == "check" and r.started < CALM * MS]
    assume(checks)
    at = data.draw(st.sampled_from(checks)).started / MS
    story.refused("s", at, "credential_invalid")
    assert {violation.promise for violation in story.violations} == {Promise.SIGNED_IN}


@given(_worlds)
def test_the_verdict_does_not_depend_on_the_order_of_the_files(world: dict[str, Any]) -> None:
    story = faithful(**world)
    backwards: list[Request | Mark] = list(reversed(story.records))
    assert judge(History.of(backwards), story.terms) == judge(story.history, story.terms)
