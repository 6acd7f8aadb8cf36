"""The rotation table: what one presentation of a refresh token does. First match wins.

    G generation: the newest number minted.   P parent: the number whose presentation minted G (-1 at sign-in).
    g the number presented, already proven authentic.   young: now - minted_at < grace (a negative age is young).

    | # | condition              | outcome                    | row                               | reply            |
    |---|------------------------|----------------------------|-----------------------------------|------------------|
    | 1 | ended or expired       | Ended                      |                                   | 401, the reason  |
    | 2 | g > G + 2              | Reused (store_rolled_back) | end                               | 401              |
    | 3 | g > G                  | Recovered                  | G := g, minted_at := now          | access           |
    | 4 | young and g >= P       | Renewed                    |                                   | access           |
    | 5 | g = G                  | Rotated                    | P := G, G := G+1, minted_at := now| access + refresh |
    | 6 | g = P                  | Reissued                   | G := G+1, minted_at := now        | access + refresh |
    | 7 | else: older, or burnt  | Reused                     | end                               | 401              |

A refresh token leaves the desk only when one is minted, at most once per grace. Racers inside grace get an access
token; the winner's reply brings the new refresh token. A late retry (the reply was lost) mints a new number and burns
the unused one: whoever shows a burnt number proves that two parties hold the session.

Stores apply a decision with one write that covers `generation`, `parent` and `ended_at IS NULL` (`expects`); when no
row changes, they read again and decide again. The explorer in tests/explorer drives this very function.
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum

import msgspec

from frontdesk.core.sessions import EndReason, Session, SessionPolicy, evaluate
from frontdesk.errors import Refusal


class Outcome(Enum):
    """What a presentation came to."""

    ENDED = "ended"
    RECOVERED = "recovered"
    RENEWED = "renewed"
    ROTATED = "rotated"
    REISSUED = "reissued"
    REUSED = "reused"

    @property
    def mints(self) -> bool:
        """Whether a new refresh token leaves the desk."""
        return self in _MINTING

    @property
    def grants(self) -> bool:
        """Whether an access token leaves the desk."""
        return self is not Outcome.ENDED and self is not Outcome.REUSED


_MINTING = frozenset({Outcome.ROTATED, Outcome.REISSUED})


class Decision(msgspec.Struct, frozen=True):
    """An outcome and the row as it must stand afterwards.

    `session` is the row after the decision; `before` is the row it was made on and that the write must still find.
    `writes` is whether they differ. `refusal` is set exactly when nothing is granted.
    """

    outcome: Outcome
    before: Session
    session: Session
    refusal: Refusal | None = None

    @property
    def writes(self) -> bool:
        return self.session is not self.before

    @property
    def ends(self) -> bool:
        """Whether the write ends the session, and so needs a revocation entry in the same transaction."""
        return self.session.ended_at is not None and self.before.ended_at is None

    @property
    def is_reuse(self) -> bool:
        """Whether the session ends because two parties hold it."""
        return self.ends and self.session.end_reason == "reused"


def decide(row: Session, presented: int, now: datetime, policy: SessionPolicy) -> Decision:
    """Apply the table to `row` for the authentic generation `presented` at `now`. Pure; writes nothing."""
    refusal = evaluate(row, now)
    if refusal is not None:
        return Decision(Outcome.ENDED, row, row, refusal)
    newest, parent = row.generation, row.parent
    if presented > newest + 2:
        return _end(row, now, "rolled_back")
    if presented > newest:
        return Decision(Outcome.RECOVERED, row, _write(row, now, generation=presented, parent=parent))
    if now - row.minted_at < policy.grace and presented >= parent:
        return Decision(Outcome.RENEWED, row, row)
    if presented == newest:
        return Decision(Outcome.ROTATED, row, _write(row, now, generation=newest + 1, parent=newest))
    if presented == parent and policy.late_retry == "reissue":
        return Decision(Outcome.REISSUED, row, _write(row, now, generation=newest + 1, parent=parent))
    return _end(row, now, "reused")


def _write(row: Session, now: datetime, *, generation: int, parent: int) -> Session:
    seen = max(row.last_seen_at, now)
    return msgspec.structs.replace(row, generation=generation, parent=parent, minted_at=now, last_seen_at=seen)


def _end(row: Session, now: datetime, reason: EndReason) -> Decision:
    ended = msgspec.structs.replace(row, ended_at=now, end_reason=reason)
    return Decision(Outcome.REUSED, row, ended, evaluate(ended, now))
