"""The rule under exploration: `frontdesk.core.rotation.decide` itself, asked in ticks, and deliberate mutants of it.

The explorer holds no copy of the table. `Rule.answer` builds a real `Session`, calls the real function and keeps the
answer, because the same few questions return a million times.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, NamedTuple

import msgspec

from frontdesk.core.rotation import Decision, Outcome, decide
from frontdesk.core.sessions import Session, SessionPolicy

Decide = Callable[[Session, int, datetime, SessionPolicy], Decision]

EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)
TICK: Final = timedelta(seconds=10)
# The model counts from a parent of -1. Real numbers in the middle of a session's life keep every number a legal one.
FIRST: Final = 100

_ROW: Final = Session(
    id="AAAAAAAAAAAAAAAAAAAAAA",
    realm="default",
    subject="alice",
    credential="jwt",
    transport="cookie",
    refresh_in="cookie",
    remember=True,
    created_at=EPOCH,
    auth_time=EPOCH,
    last_seen_at=EPOCH,
    expires_at=EPOCH + timedelta(days=30),
    idle_timeout=timedelta(days=7),
    salt=bytes(16),
    minted_at=EPOCH,
)


def example_row() -> Session:
    """The row that questions are asked about; its numbers and times are replaced."""
    return _ROW


class Answer(NamedTuple):
    """One answer of the rule, as small as the search needs it. `moves`: whether `minted_at` becomes the clock."""

    outcome: Outcome
    generation: int
    parent: int
    ended: bool
    writes: bool
    moves: bool
    mints: bool
    grants: bool


class Rule:
    """A decision function in the units of the model: generations from a parent of -1, times in ticks."""

    def __init__(
        self,
        grace: int,
        *,
        late_retry: Literal["reissue", "end"] = "reissue",
        function: Decide = decide,
    ) -> None:
        self._policy = SessionPolicy(grace=grace * TICK, late_retry=late_retry)
        self.function = function
        self._known: dict[tuple[int, int, int, bool, int], Answer] = {}

    def answer(self, generation: int, parent: int, age: int, ended: bool, presented: int) -> Answer:
        """What the rule says to `presented` when the row was minted `age` ticks before the clock reading."""
        question = (generation, parent, age, ended, presented)
        known = self._known.get(question)
        if known is None:
            known = self._known[question] = self._ask(*question)
        return known

    def _ask(self, generation: int, parent: int, age: int, ended: bool, presented: int) -> Answer:
        minted_at = EPOCH + timedelta(days=1)
        now = minted_at + age * TICK
        row = msgspec.structs.replace(
            _ROW,
            generation=FIRST + generation,
            parent=FIRST + parent,
            minted_at=minted_at,
            last_seen_at=minted_at,
            ended_at=minted_at if ended else None,
            end_reason="revoked" if ended else None,
        )
        decision = self.function(row, FIRST + presented, now, self._policy)
        after = decision.session
        if after.minted_at not in {minted_at, now}:
            raise AssertionError("a mint is dated by the clock that was read for it")
        return Answer(
            outcome=decision.outcome,
            generation=after.generation - FIRST,
            parent=after.parent - FIRST,
            ended=after.ended_at is not None,
            writes=decision.writes,
            moves=decision.writes and not decision.ends and after.minted_at == now,
            mints=decision.outcome.mints,
            grants=decision.outcome.grants,
        )


# --- mutants: each wraps the shipped function and breaks one thing --------------------------------------------------


def _minting(row: Session, now: datetime, outcome: Outcome, generation: int, parent: int) -> Decision:
    after = msgspec.structs.replace(row, generation=generation, parent=parent, minted_at=now)
    return Decision(outcome, row, after)


def without_young(row: Session, presented: int, now: datetime, policy: SessionPolicy) -> Decision:
    """Line 4 is missing: who comes inside grace is treated as if grace had passed."""
    decision = decide(row, presented, now, policy)
    if decision.outcome is not Outcome.RENEWED:
        return decision
    later = decide(row, presented, row.minted_at + policy.grace, policy)
    if not later.outcome.mints:
        return later
    return _minting(row, now, later.outcome, later.session.generation, later.session.parent)


def same_successor_inside_grace(row: Session, presented: int, now: datetime, policy: SessionPolicy) -> Decision:
    """Who comes inside grace with the parent receives the winner's refresh token once more."""
    decision = decide(row, presented, now, policy)
    if decision.outcome is Outcome.RENEWED and presented == row.parent:
        return Decision(Outcome.REISSUED, row, row)
    return decision


def same_successor_for_a_late_retry(row: Session, presented: int, now: datetime, policy: SessionPolicy) -> Decision:
    """Line 6 hands out the newest number again instead of minting one and burning the old."""
    decision = decide(row, presented, now, policy)
    if decision.outcome is Outcome.REISSUED:
        return _minting(row, now, Outcome.REISSUED, row.generation, row.parent)
    return decision


def recovered_mints(row: Session, presented: int, now: datetime, policy: SessionPolicy) -> Decision:
    """Line 3 mints a successor of the number that it recovers."""
    decision = decide(row, presented, now, policy)
    if decision.outcome is Outcome.RECOVERED:
        return _minting(row, now, Outcome.ROTATED, presented + 1, presented)
    return decision


def recovered_mints_under_the_old_parent(
    row: Session, presented: int, now: datetime, policy: SessionPolicy
) -> Decision:
    """Line 3 mints, and leaves the parent where it was."""
    decision = decide(row, presented, now, policy)
    if decision.outcome is Outcome.RECOVERED:
        return _minting(row, now, Outcome.REISSUED, presented + 1, row.parent)
    return decision


def young_for_any_number(row: Session, presented: int, now: datetime, policy: SessionPolicy) -> Decision:
    """Line 4 forgets `g >= P`."""
    decision = decide(row, presented, now, policy)
    if decision.outcome is Outcome.REUSED and now - row.minted_at < policy.grace and presented < row.parent:
        return Decision(Outcome.RENEWED, row, row)
    return decision


def young_for_the_newest_only(row: Session, presented: int, now: datetime, policy: SessionPolicy) -> Decision:
    """Line 4 asks for `g = G`: the losers of a race meet line 6."""
    if presented < row.generation:
        return without_young(row, presented, now, policy)
    return decide(row, presented, now, policy)


def reissued_moves_the_parent(row: Session, presented: int, now: datetime, policy: SessionPolicy) -> Decision:
    """Line 6 makes the unused number the parent."""
    decision = decide(row, presented, now, policy)
    if decision.outcome is Outcome.REISSUED:
        return _minting(row, now, Outcome.REISSUED, row.generation + 1, row.generation)
    return decision


def rotated_keeps_the_parent(row: Session, presented: int, now: datetime, policy: SessionPolicy) -> Decision:
    """Line 5 forgets who minted."""
    decision = decide(row, presented, now, policy)
    if decision.outcome is Outcome.ROTATED:
        return _minting(row, now, Outcome.ROTATED, row.generation + 1, row.parent)
    return decision


def recovered_is_reuse(row: Session, presented: int, now: datetime, policy: SessionPolicy) -> Decision:
    """Line 3 is missing: a number the store has not heard of ends the session."""
    decision = decide(row, presented, now, policy)
    if decision.outcome is Outcome.RECOVERED:
        return decide(row, row.generation + 3, now, policy)
    return decision


def burnt_numbers_are_welcome(row: Session, presented: int, now: datetime, policy: SessionPolicy) -> Decision:
    """Line 7 spares the numbers between P and G: they rotate."""
    decision = decide(row, presented, now, policy)
    if decision.outcome is Outcome.REUSED and row.parent < presented < row.generation:
        return _minting(row, now, Outcome.ROTATED, row.generation + 1, row.generation)
    return decision
