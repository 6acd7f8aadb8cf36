"""One recommendation: the leaf, what speaks for it, what was rejected, what the wishes cost, and what to paste."""

from __future__ import annotations

import msgspec

from frontdesk.advisor.arguments import Argument, costs_of, reasons_of, rejected_for
from frontdesk.advisor.leaves import LEAVES, headline_of
from frontdesk.advisor.plans import LeafName, Plan, plan_of
from frontdesk.advisor.printing import Configuration, configuration_of
from frontdesk.advisor.questions import Answers, asked


class Recommendation(msgspec.Struct, frozen=True, kw_only=True):
    """What to take. `answers`: those that it rests on. `page`: a path inside the documentation.

    costs: what is given up for a wish, and which wishes exclude each other.
    """

    leaf: LeafName
    title: str
    summary: str
    page: str
    answers: dict[str, str]
    plan: Plan
    reasons: tuple[Argument, ...]
    rejected: tuple[Argument, ...]
    costs: tuple[Argument, ...]
    configuration: Configuration


def recommend(given: Answers) -> Recommendation:
    """The one recommendation for these answers. ValueError while a question is open (`questions.next_question`)."""
    answers, still_open = asked(given)
    if still_open is not None:
        raise ValueError(f"there is no answer to {still_open.name!r}, which decides something")
    plan = plan_of(answers)
    headline = headline_of(plan)
    return Recommendation(
        leaf=plan.leaf,
        title=headline.title,
        summary=headline.summary,
        page=LEAVES[plan.leaf].page,
        answers=answers,
        plan=plan,
        reasons=reasons_of(plan, answers),
        rejected=rejected_for(plan, answers),
        costs=costs_of(plan, answers),
        configuration=configuration_of(plan),
    )
