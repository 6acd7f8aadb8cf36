"""One recommendation: the leaf, what speaks for it, what was rejected, what the wishes cost, and what to paste."""

from __future__ import annotations

import msgspec

from frontdesk.advisor.arguments import Argument, costs_of, reasons_of, rejected_for
from frontdesk.advisor.leaves import LEAVES
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
    leaf = LEAVES[plan.leaf]
    return Recommendation(
        leaf=leaf.name,
        title=_title(leaf.title, plan),
        summary=leaf.summary,
        page=leaf.page,
        answers=answers,
        plan=plan,
        reasons=reasons_of(plan, answers),
        rejected=rejected_for(plan, answers),
        costs=costs_of(plan, answers),
        configuration=configuration_of(plan),
    )


def _title(usual: str, plan: Plan) -> str:
    """The leaf's title, where the answers have not changed what it says."""
    if plan.enters:
        return "The identity provider signs in, a session of your own goes on"
    envelope = "in an HttpOnly cookie" if plan.transport == "cookie" else "as a bearer token"
    if plan.credential == "session" and plan.leaf != "server-rendered":
        return f"A session {envelope}"
    if plan.credential == "jwe":
        return usual.replace("A JWT", "An encrypted JWT").replace("JWT with", "encrypted JWT with")
    return usual
