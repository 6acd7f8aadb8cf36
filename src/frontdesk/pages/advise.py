"""The advisor as a page: a form that is sent by GET, so that each recommendation has an address; no script needed."""

from __future__ import annotations

from typing import Final

import msgspec

from frontdesk.advisor import QUESTIONS, Question, asked, recommend
from frontdesk.endpoints.gate import Gate
from frontdesk.endpoints.http import Request, Response
from frontdesk.errors import Refusal
from frontdesk.pages.forms import query_value
from frontdesk.pages.rendering import Renderer
from frontdesk.pages.visitors import carry, label_of

_BY_NAME: Final = {question.name: question for question in QUESTIONS}


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One question on the page. `assumed`: nobody has answered it yet, so the usual answer is marked."""

    question: Question
    chosen: str
    assumed: bool


async def show(gate: Gate, render: Renderer, request: Request) -> Response:
    """The questions that matter for the answers in the address, and the recommendation once any was given.

    What was not answered counts as the usual answer, and is marked so. What cannot be understood is not answered.
    """
    visit = await gate.admit(request)
    if isinstance(visit, Refusal):
        return render.problem(request, visit)
    given = {name: value for name in _BY_NAME if (value := query_value(request, name)) is not None}
    answers, _ = asked(given, assume=True)
    questions = [
        Asked(question=_BY_NAME[name], chosen=chosen, assumed=given.get(name) != chosen)
        for name, chosen in answers.items()
    ]
    page = render.page(
        request,
        "advise.html",
        who=await label_of(gate, visit),
        questions=questions,
        found=recommend(answers) if given else None,
        assumed=[each for each in questions if each.assumed] if given else [],
    )
    return carry(page, visit)
