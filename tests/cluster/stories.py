"""Small histories, written down by hand for the tests of the judge."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from tests.cluster.history import History, Mark, MarkKind, Operation, Request, Target, TargetKind
from tests.cluster.judge import Promise, Terms, Violation, judge

MS: Final = 1_000_000
NODES: Final = ("n1", "n2")
CALM: Final = 100_000
"""Milliseconds after which the faults of a story are over."""


class Story:
    """What happened, in milliseconds from an arbitrary beginning. Each request takes `took`, one by default."""

    def __init__(self, *, bound: int = 0, recovery: int = 10_000) -> None:
        self.terms = Terms(nodes=NODES, bound=timedelta(milliseconds=bound), recovery=timedelta(milliseconds=recovery))
        self.records: list[Request | Mark] = []

    def ask(self, operation: Operation, at: float, *, took: float = 1, status: int = 200, **facts: Any) -> Request:
        """Any request. Moments are taken to the nanosecond."""
        started = round(at * MS)
        facts = {"client": "tab", "node": "n1", "subject": "ann", **facts}
        request = Request(
            operation=operation, started=started, ended=started + round(took * MS), status=status, **facts
        )
        self.records.append(request)
        return request

    def sign_in(self, session: str, at: float, **facts: Any) -> Request:
        return self.ask("sign_in", at, session=session, **facts)

    def check(self, session: str, at: float, **facts: Any) -> Request:
        return self.ask("check", at, session=session, **facts)

    def refused(self, session: str, at: float, code: str = "session_ended", **facts: Any) -> Request:
        return self.ask("check", at, session=session, status=401, code=code, **facts)

    def refresh(self, session: str, at: float, presented: int, **facts: Any) -> Request:
        return self.ask("refresh", at, session=session, presented=presented, **facts)

    def revoke(self, kind: TargetKind, of: str, at: float, *, status: int = 204, **facts: Any) -> Request:
        """By an administrator."""
        return self.ask("revoke", at, status=status, subject="", target=Target(kind, of), **facts)

    def mark(self, kind: MarkKind, at: float, node: str = "") -> None:
        self.records.append(Mark(kind, round(at * MS), node))

    def end(self, *, stands: tuple[str, ...] = (), ended: tuple[str, ...] = ()) -> Story:
        """The faults are over: each node answers, sessions that stand are accepted and those that ended are not."""
        self.mark("calm", CALM)
        for number, node in enumerate(NODES):
            self.ask("probe", CALM + 1 + number, node=node, subject="")
        for session in stands:
            self.check(session, CALM + 10)
        for session in ended:
            self.refused(session, CALM + 10)
        return self

    @property
    def history(self) -> History:
        return History.of(self.records)

    @property
    def violations(self) -> tuple[Violation, ...]:
        return judge(self.history, self.terms)

    @property
    def broken(self) -> set[Promise]:
        return {violation.promise for violation in self.violations}
