"""What a route asks of whoever is signed in, in words, and what they lack of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from frontdesk.core.explanation import Fact, fact, shown
from frontdesk.core.sessions import Principal
from frontdesk.endpoints.policy import Requirement


def demands_of(rule: Requirement, principal: Principal | None, now: datetime) -> Iterator[tuple[str, Fact]]:
    """One fact for each demand, with the code of the refusal for whoever does not meet it."""
    if rule.roles:
        lacks = () if principal is None else tuple(sorted(rule.roles - principal.roles))
        sentence = f"The route asks for the roles {_listed(rule.roles)}{_lacking(lacks)}."
        yield "role_missing", fact("policy_roles", sentence, required=tuple(sorted(rule.roles)), missing=lacks)
    if rule.scope:
        lacks = () if principal is None else tuple(sorted(rule.scope - principal.scope))
        sentence = f"The route asks for the scope {_listed(rule.scope)}{_lacking(lacks)}."
        yield "scope_missing", fact("policy_scope", sentence, required=tuple(sorted(rule.scope)), missing=lacks)
    if rule.fresh is not None:
        most = int(rule.fresh.total_seconds())
        age = None if principal is None else int((now - principal.auth_time).total_seconds())
        seen = "" if age is None else f"; this one was {age} s ago"
        sentence = f"The route asks for a sign-in of the last {most} s{seen}."
        yield "step_up_required", fact("policy_fresh", sentence, max_age=most, age=age)


def _listed(names: frozenset[str]) -> str:
    return ", ".join(map(shown, sorted(names)))


def _lacking(names: tuple[str, ...]) -> str:
    return f"; lacking: {', '.join(map(shown, names))}" if names else ""
