"""Decisions about one session as pure functions of its row: what a group of them (`grouping`) is made of."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Generic, TypeVar

import msgspec

from frontdesk.core import rotation
from frontdesk.core.rotation import Decision
from frontdesk.core.sessions import EndReason, Session, SessionPolicy, evaluate
from frontdesk.stores.protocol import NO_TIME, Ended

T = TypeVar("T")


class Verdict(msgspec.Struct, Generic[T], frozen=True):
    """What a decision says, and the row as it is to stand then; None: it stays as it is."""

    result: T
    row: Session | None = None


Decide = Callable[[Session | None], Verdict[T]]
"""A decision about one session, or about there being none. It may be asked several times."""


def end(reason: EndReason, now: datetime, subject: str | None) -> Decide[Ended | None]:
    def decide(row: Session | None) -> Verdict[Ended | None]:
        if row is None or (subject is not None and row.subject != subject):
            return Verdict(None)
        if row.ended_at is not None:
            return Verdict(Ended(row, now=False))
        ended = msgspec.structs.replace(row, ended_at=now, end_reason=reason)
        return Verdict(Ended(ended, now=True), ended)

    return decide


def rotate(presented: int, now: datetime, policy: SessionPolicy) -> Decide[Decision | None]:
    def decide(row: Session | None) -> Verdict[Decision | None]:
        if row is None:
            return Verdict(None)
        decision = rotation.decide(row, presented, now, policy)
        return Verdict(decision, decision.session if decision.writes else None)

    return decide


def touch(seen_at: datetime, *, every: timedelta = NO_TIME) -> Decide[bool]:
    def decide(row: Session | None) -> Verdict[bool]:
        if row is None or evaluate(row, seen_at) is not None:
            return Verdict(False)
        if seen_at <= row.last_seen_at or seen_at - row.last_seen_at < every:
            return Verdict(False)
        return Verdict(True, msgspec.structs.replace(row, last_seen_at=seen_at))

    return decide
