"""Every way through the questions, and every configuration at its end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

from frontdesk.advisor import Recommendation, next_question, recommend


def ways(given: Mapping[str, str] | None = None) -> Iterator[dict[str, str]]:
    """All complete answers, each with the questions in the order in which they are asked."""
    answers = dict(given or {})
    asking = next_question(answers)
    if asking is None:
        yield answers
        return
    for answer in asking.answers:
        yield from ways({**answers, asking.name: answer.name})


@cache
def recommendations() -> tuple[Recommendation, ...]:
    """What the ways lead to, one for each."""
    return tuple(recommend(way) for way in ways())


@cache
def configurations() -> Mapping[str, Recommendation]:
    """The distinct configurations, by a name for each; the first recommendation that prints it."""
    found: dict[tuple[tuple[str, str], ...], Recommendation] = {}
    for each in recommendations():
        found.setdefault(tuple((snippet.name, snippet.text) for snippet in each.configuration.snippets()), each)
    named = {name_of(each): each for each in found.values()}
    assert len(named) == len(found), "two configurations have one name"
    return named


def name_of(each: Recommendation) -> str:
    """What tells a configuration from the others."""
    plan = each.plan
    words = [plan.leaf, plan.store, plan.credential, plan.transport, plan.refresh_in, plan.service]
    flags = [name for name in ("strict", "trusts_stale", "enters") if getattr(plan, name)]
    return "-".join(str(word) for word in (*words, *flags) if word not in {None, "none"})
