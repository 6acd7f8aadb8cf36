"""Which credential, envelope and store an application should take: a decision tree as data, and what to paste.

`questions` (what is asked, and when it still matters), `plans` (from answers to what is to be configured), `leaves`
(the six recommendations), `arguments` (reasons, what was rejected and why, what the wishes cost), `printing` (the
configuration as text), `advice` (all of it together). Pure: `frontdesk advise` and the page `/advise` show it.
"""

from __future__ import annotations

from frontdesk.advisor.advice import Recommendation, recommend
from frontdesk.advisor.printing import Configuration, Snippet
from frontdesk.advisor.questions import QUESTIONS, Answer, Answers, Question, asked, next_question

__all__ = [
    "QUESTIONS",
    "Answer",
    "Answers",
    "Configuration",
    "Question",
    "Recommendation",
    "Snippet",
    "asked",
    "next_question",
    "recommend",
]
