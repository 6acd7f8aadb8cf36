"""Which promises a history breaks. Pure: a history and the terms go in, violations come out.

Moments are those that a client sees. Whatever a node decided, it decided between the start and the end of a request; so
a rule compares the start of one request with the end of another, and accuses only where every order that the history
allows is wrong. The bound itself is still good, in accordance with `core.freshness.believe`.

**Acknowledged** is a revocation that was answered with success, at the end of its request. One without an answer, or
answered 5xx, may have been carried out, or may yet be: for what it could end, neither yes nor no is wrong, until one
request has been refused because the session ended; from then on yes is wrong again. Any other answer means that nothing
happened. A revocation of a subject or of everything covers the sessions whose sign-in was answered before it began; one
whose sign-in overlapped with it may be covered or not, and such a sign-in may be refused because of it.

**Losses.** Between the marks `loss_from` and `loss_until` the store may lose what it acknowledges (a fail-over without
synchronous replication). A revocation that overlaps with that window may be absent until the nodes that know it have
appended it again, at the latest `recovery` after the window; a sign-in that overlaps may be gone for good; a generation
that was minted inside it may be minted again. A key that was not seen before the window may be one that took the place
of another in it, and be lost: its access tokens may be refused until then. Without these marks nothing is excused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Final, Literal

from tests.cluster.history import LOST, History, Mark, Operation, Request

ENDED_CODES: Final = frozenset({"session_ended", "session_replaced", "refresh_reused", "store_rolled_back"})
"""Refusals that say that the session has ended, as opposed to the token."""

_PROMISED: Final[Mapping[Operation, frozenset[int]]] = {
    "register": frozenset({201, 409, 429, 503}),
    "sign_in": frozenset({200, 401, 429, 503}),
    "check": frozenset({200, 401, 503}),
    "refresh": frozenset({200, 401, 503}),
    "revoke": frozenset({200, 204, 401, 404, 503}),
    "probe": frozenset({200, 503}),
}
_SERVED: Final = frozenset[Operation]({"check", "refresh", "probe"})


class Promise(StrEnum):
    """What Frontdesk promises, as far as a history can show that it was broken."""

    REVOKED = "what was revoked stays out"
    """No check that started later than the bound after the acknowledgement, or after a refusal because the session
    had ended, succeeds; no use of a refresh token that started after it at all, since that is the store's decision."""
    SIGNED_IN = "no honest client is signed out"
    """A session that nobody may have ended is never refused, except for an access token that is over or whose key
    may have been given up; then its refresh token is good. A right password is right, unless everything of that person
    is being ended at that moment."""
    KEPT = "nothing acknowledged is lost"
    """After the faults each acknowledged session that nobody may have ended is accepted, and so is its newest refresh
    token; each acknowledged end is still one; generations of one session only grow. A history that lacks the proof
    breaks it too."""
    BACK = "all is back"
    """Every node answers within `recovery` after the faults, and from then on always."""
    CUT_OFF = "no yes from a node that cannot know"
    """A node that is cut off accepts no check later than the bound, and nothing else at all."""
    ANSWERS = "only promised answers"
    """Nothing but the statuses that docs/http.md names for a right request: no 500 above all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is promised in this run. `bound` is `max_staleness`, or nothing for a store that is asked every time."""

    nodes: Sequence[str]
    bound: timedelta = timedelta(0)
    recovery: timedelta = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken promise, and the requests that show it."""

    promise: Promise
    sentence: str
    evidence: tuple[Request, ...] = ()

    def __str__(self) -> str:
        return "\n    ".join([f"{self.promise}: {self.sentence}", *map(str, self.evidence)])


def judge(history: History, terms: Terms) -> tuple[Violation, ...]:
    """All violations. ValueError for a history without the mark `calm`: its end cannot be judged."""
    case = _Case(history, terms)
    rules = (_revoked, _signed_in, _passwords, _kept, _generations, _back, _cut_off, _answers)
    return tuple(violation for rule in rules for violation in rule(case))


Coverage = Literal["surely", "perhaps", "no"]


@dataclass(slots=True)
class _Sitting:
    """One session in the history."""

    id: str
    subject: str = ""
    sign_in: Request | None = None
    uses: list[Request] = field(default_factory=list)
    """Whatever was asked with a credential of it, by start."""
    ends: list[Request] = field(default_factory=list)
    """Acknowledged revocations that surely cover it, by end."""
    perhaps_from: int | None = None
    """The earliest moment at which something may have ended it; None: nothing can have."""

    def cover(self, revocation: Request) -> Coverage:
        """Whether this revocation, supposed that it was carried out, ended the session."""
        target = revocation.target
        assert target is not None
        if target.kind == "session":
            return "surely" if target.id == self.id else "no"
        if target.kind == "key" or (target.kind == "subject" and target.id != self.subject):
            return "no"
        if self.sign_in is None or self.sign_in.ended < revocation.started:
            return "surely"
        if revocation.accepted and revocation.ended < self.sign_in.started:
            return "no"
        return "perhaps"


class _Case:
    """A history, sorted by what the rules ask for."""

    def __init__(self, history: History, terms: Terms) -> None:
        calm = [mark.at for mark in history.marks if mark.kind == "calm"]
        if not calm:
            raise ValueError("the history has no mark calm, so nobody knows when the faults were over")
        self.calm = calm[-1]
        self.requests = history.requests
        self.marks = history.marks
        self.terms = terms
        self.bound = _nanoseconds(terms.bound)
        self.recovery = _nanoseconds(terms.recovery)
        self.losses = _windows(history.marks, "loss_from", "loss_until")
        self.sittings = self._sittings()
        revocations = [r for r in history.requests if r.operation == "revoke" and (r.accepted or r.unanswered)]
        self.keys = [r for r in revocations if r.target is not None and r.target.kind == "key"]
        self.wide = [r for r in revocations if r.target is not None and r.target.kind in {"subject", "all"}]
        self.key_seen = _first_uses(history.requests)
        self._apply([r for r in revocations if r.target is not None and r.target.kind != "key"])

    def _sittings(self) -> dict[str, _Sitting]:
        found: dict[str, _Sitting] = {}
        for request in self.requests:
            if not request.session:
                continue
            sitting = found.setdefault(request.session, _Sitting(request.session))
            sitting.subject = sitting.subject or request.subject
            if request.operation == "sign_in":
                sitting.sign_in = request
            else:
                sitting.uses.append(request)
        return found

    def _apply(self, revocations: Sequence[Request]) -> None:
        """Say of every session what may have ended it."""
        by_session: dict[str, list[Request]] = defaultdict(list)
        for revocation in revocations:
            if revocation.target is not None and revocation.target.kind == "session":
                by_session[revocation.target.id].append(revocation)
        for sitting in self.sittings.values():
            for revocation in (*by_session[sitting.id], *self.wide):
                coverage = sitting.cover(revocation)
                if coverage == "no":
                    continue
                if sitting.perhaps_from is None or revocation.started < sitting.perhaps_from:
                    sitting.perhaps_from = revocation.started
                if coverage == "surely" and revocation.accepted:
                    sitting.ends.append(revocation)
            sitting.ends.sort(key=lambda request: request.ended)

    def lossy(self, request: Request) -> bool:
        """Whether the store may have lost what this request did."""
        return any(request.started <= until and request.ended >= since for since, until in self.losses)

    def excused(self, cause: Request, use: Request) -> bool:
        """Whether the store may not know `cause` when it decides `use`, because it lost it."""
        return any(
            cause.started <= until and cause.ended >= since and use.started <= until + self.recovery
            for since, until in self.losses
        )


# --- the rules ------------------------------------------------------------------------------------------------


def _revoked(case: _Case) -> Iterator[Violation]:
    for sitting in case.sittings.values():
        causes = _causes(sitting)
        for use in sitting.uses:
            if not use.accepted or use.operation not in {"check", "refresh"}:
                continue
            # A refresh token is decided on by the store; a session token may be looked at here.
            bound = 0 if use.presented is not None else case.bound
            cause = next((c for c in causes if use.started > c.ended + bound and not case.excused(c, use)), None)
            if cause is not None:
                late = (use.started - cause.ended) / 1e6
                behind = "" if use.lag is None else f"; the node said that it lagged {use.lag} s"
                yield Violation(
                    Promise.REVOKED,
                    f"accepted {late:.3f} ms after it was known to have ended, {bound / 1e6:.0f} ms allowed{behind}",
                    (cause, use),
                )
    yield from _revoked_keys(case)


def _causes(sitting: _Sitting) -> list[Request]:
    """From whose end on the session is known to have ended: acknowledged revocations, and refusals that say so."""
    told = [use for use in sitting.uses if use.status == 401 and use.code in ENDED_CODES]
    return sorted([*sitting.ends, *told], key=lambda request: request.ended)


def _revoked_keys(case: _Case) -> Iterator[Violation]:
    for revocation in case.keys:
        assert revocation.target is not None
        if not revocation.accepted:
            continue
        for use in case.requests:
            if use.key != revocation.target.id or not use.accepted or use.operation != "check":
                continue
            if use.started > revocation.ended + case.bound and not case.excused(revocation, use):
                yield Violation(Promise.REVOKED, "a token of a key that was given up is accepted", (revocation, use))


def _signed_in(case: _Case) -> Iterator[Violation]:
    for sitting in case.sittings.values():
        if sitting.sign_in is not None and case.lossy(sitting.sign_in):
            continue
        for use in sitting.uses:
            if use.status != 401 or _may_have_ended(sitting, use):
                continue
            if use.code == "token_expired" and use.operation != "refresh":
                if use.expires is not None and use.ended < use.expires:
                    early = (use.expires - use.ended) / 1e6
                    sentence = f"an access token is called expired {early:.0f} ms before it can be"
                    yield Violation(Promise.SIGNED_IN, sentence, (use,))
            elif not _key_may_be_gone(case, use):
                yield Violation(Promise.SIGNED_IN, "refused, though nobody ended the session", (use,))


def _may_have_ended(sitting: _Sitting, use: Request) -> bool:
    return sitting.perhaps_from is not None and sitting.perhaps_from <= use.ended


def _key_may_be_gone(case: _Case, use: Request) -> bool:
    if not use.key or use.operation == "refresh":
        return False
    given_up = any(r.target is not None and r.target.id == use.key and r.started <= use.ended for r in case.keys)
    return given_up or _key_may_be_lost(case, use)


def _key_may_be_lost(case: _Case, use: Request) -> bool:
    """Whether the key may have been made by what the store lost: one takes the place of another that is given up."""
    return any(
        case.key_seen[use.key] >= since
        and use.started <= until + case.recovery
        and any(r.started <= until and r.ended >= since for r in case.keys)
        for since, until in case.losses
    )


def _passwords(case: _Case) -> Iterator[Violation]:
    for request in case.requests:
        if request.operation == "sign_in" and request.status == 401 and not _met_by_an_end(case, request):
            yield Violation(Promise.SIGNED_IN, "a right password is refused", (request,))


def _met_by_an_end(case: _Case, sign_in: Request) -> bool:
    """Whether everything of that person may have been ended while the password was looked at."""
    return sign_in.code == "session_ended" and any(
        r.target is not None
        and (r.target.kind == "all" or r.target.id == sign_in.subject)
        and r.started <= sign_in.ended
        and (r.unanswered or r.ended >= sign_in.started)
        for r in case.wide
    )


def _kept(case: _Case) -> Iterator[Violation]:
    """Evidence from after the faults; that nothing contradicts it is the matter of the other rules."""
    for sitting in case.sittings.values():
        if sitting.sign_in is None or not sitting.sign_in.accepted or case.lossy(sitting.sign_in):
            continue
        later = [use for use in sitting.uses if use.started > case.calm]
        if sitting.perhaps_from is None:
            yield from _stands(case, sitting, sitting.sign_in, later)
        elif sitting.ends and not any(use.status == 401 and use.code in ENDED_CODES for use in later):
            sentence = "after the faults no node said that the session has ended"
            yield Violation(Promise.KEPT, sentence, (sitting.ends[0], *later[-1:]))


def _stands(case: _Case, sitting: _Sitting, sign_in: Request, later: Sequence[Request]) -> Iterator[Violation]:
    if not any(use.operation == "check" and use.accepted for use in later):
        yield Violation(Promise.KEPT, "after the faults no node accepted the session", (sign_in, *later[-1:]))
    mints = [use for use in _mints(sitting) if use.started <= case.calm]
    if not mints:
        return
    newest = max(mints, key=_minted)
    if not any(use.operation == "refresh" and use.accepted and _presented(use) >= _minted(newest) for use in later):
        sentence = f"after the faults no node accepted the newest refresh token, {newest.minted}"
        yield Violation(Promise.KEPT, sentence, (newest, *later[-1:]))


def _generations(case: _Case) -> Iterator[Violation]:
    for sitting in case.sittings.values():
        mints = [mint for mint in _mints(sitting) if not case.lossy(mint)]
        for number, one in enumerate(mints):
            for other in mints[number + 1 :]:
                if _minted(one) == _minted(other):
                    yield Violation(Promise.KEPT, f"refresh token {one.minted} left twice", (one, other))
                elif one.ended < other.started and _minted(other) < _minted(one):
                    sentence = f"refresh token {other.minted} was minted after {one.minted}"
                    yield Violation(Promise.KEPT, sentence, (one, other))


def _mints(sitting: _Sitting) -> list[Request]:
    """The requests whose answers brought a refresh token, by start."""
    first = [] if sitting.sign_in is None else [sitting.sign_in]
    return [request for request in (*first, *sitting.uses) if request.accepted and request.minted is not None]


def _minted(request: Request) -> int:
    return -1 if request.minted is None else request.minted


def _presented(request: Request) -> int:
    return -1 if request.presented is None else request.presented


def _back(case: _Case) -> Iterator[Violation]:
    for node in case.terms.nodes:
        later = [r for r in case.requests if r.node == node and r.operation in _SERVED and r.started > case.calm]
        deadline = case.calm + case.recovery
        if not any(not request.unanswered and request.ended <= deadline for request in later):
            seconds = case.terms.recovery.total_seconds()
            yield Violation(Promise.BACK, f"{node} answered nothing within {seconds} s after the faults", (*later[:1],))
        for request in later:
            if request.unanswered and request.started > deadline:
                late = (request.started - case.calm) / 1e9
                yield Violation(Promise.BACK, f"{node} is not back {late:.1f} s after the faults", (request,))


def _cut_off(case: _Case) -> Iterator[Violation]:
    for node in case.terms.nodes:
        for since, until in _windows(case.marks, "cut", "healed", node):
            for use in case.requests:
                local = use.operation in {"check", "probe"} or (use.operation == "refresh" and use.presented is None)
                allowed = case.bound if local else 0
                if use.node == node and use.accepted and use.started > since + allowed and use.ended < until:
                    after = (use.started - since) / 1e6
                    behind = "" if use.lag is None else f" and lagged {use.lag} s, as it said"
                    sentence = f"{node} had been cut off for {after:.0f} ms{behind}, and said yes"
                    yield Violation(Promise.CUT_OFF, sentence, (use,))


def _answers(case: _Case) -> Iterator[Violation]:
    for request in case.requests:
        if request.status != LOST and request.status not in _PROMISED[request.operation]:
            yield Violation(Promise.ANSWERS, f"{request.status} is no answer to {request.operation}", (request,))


def _first_uses(requests: Iterable[Request]) -> dict[str, int]:
    """When a token of each key was first presented."""
    seen: dict[str, int] = {}
    for request in requests:
        if request.key:
            seen.setdefault(request.key, request.started)
    return seen


# --- time -----------------------------------------------------------------------------------------------------


def _windows(marks: Iterable[Mark], begins: str, ends: str, node: str = "") -> list[tuple[int, float]]:
    """From each mark of the first kind to the next of the second; for ever where there is none."""
    windows: list[tuple[int, float]] = []
    since: int | None = None
    for mark in marks:
        if mark.node != node:
            continue
        if mark.kind == begins and since is None:
            since = mark.at
        elif mark.kind == ends and since is not None:
            windows.append((since, mark.at))
            since = None
    return windows if since is None else [*windows, (since, float("inf"))]


def _nanoseconds(span: timedelta) -> int:
    return span // timedelta(microseconds=1) * 1000
