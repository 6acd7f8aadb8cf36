"""What is asked, in which order, and when an answer can still matter.

A question is asked when its condition holds for what has been answered so far; the first in the list that is neither
answered nor pointless is the next. After each answer the list is read again from its beginning, so that a question may
wait for one that stands behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

Answers = Mapping[str, str]
"""The chosen answers by the names of their questions."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One of the answers to a question. `name` stands in flags and addresses, `label` is for people."""

    name: str
    label: str
    hint: str = ""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One question. The first of its answers is the usual one. `matters`: whether the answer still can."""

    name: str
    text: str
    answers: tuple[Answer, ...]
    matters: Callable[[Answers], bool]

    @property
    def usual(self) -> Answer:
        """What is assumed where nothing is said."""
        return self.answers[0]

    def answer(self, name: str) -> Answer | None:
        """The answer of that name, if there is one."""
        return next((each for each in self.answers if each.name == name), None)


def _always(_: Answers) -> bool:
    return True


def _foreign(given: Answers) -> bool:
    return given.get("sso") == "provider"


def _entered(given: Answers) -> bool:
    """A provider's people who begin a session at a desk, so that a sign-out can act before a token expires."""
    return _foreign(given) and given.get("logout") in {"seconds", "at-once"}


def _by_services(given: Answers) -> bool:
    return given.get("sso") == "desk" or (given.get("sso") == "none" and given.get("services") == "many")


def _one_service(given: Answers) -> bool:
    return given.get("sso") == "none" and given.get("services") == "one"


def _has_desk(given: Answers) -> bool:
    return _by_services(given) or _one_service(given) or _entered(given)


def _over_a_network(given: Answers) -> bool:
    return _has_desk(given) and given.get("machines") == "several"


def _goes_on(given: Answers) -> bool:
    """Whether a store that is away is to turn nobody away, and may."""
    return _over_a_network(given) and given.get("store-down") == "go-on" and given.get("logout") != "at-once"


def _self_contained(given: Answers) -> bool:
    """Whether the credential carries the claims itself, as far as their size lets it."""
    if _over_a_network(given) and not {"logout", "store-down"} <= given.keys():
        return False  # that decides it
    if _by_services(given):
        return "client" in given and "store-down" in given
    if _goes_on(given):
        return True
    return _one_service(given) and given.get("client") in {"single-page", "mobile"} and "machines" in given


def _claims_travel(given: Answers) -> bool:
    """Whether the credential carries claims also after the answer on their size."""
    if not _self_contained(given) or "claims-size" not in given:
        return False
    must = _by_services(given) or _goes_on(given) or given.get("script") == "yes"
    return must or given["claims-size"] == "small"


QUESTIONS: Final[tuple[Question, ...]] = (
    Question(
        name="sso",
        text="Is one sign-in to count in several applications?",
        answers=(
            Answer(name="none", label="No, each application signs people in itself"),
            Answer(name="desk", label="Yes, with accounts of your own", hint="Frontdesk signs people in."),
            Answer(
                name="provider",
                label="Yes, an identity provider signs people in",
                hint="Keycloak, Entra ID, Okta, Auth0, ZITADEL …",
            ),
        ),
        matters=_always,
    ),
    Question(
        name="services",
        text="How many services have to know who is asking?",
        answers=(
            Answer(name="one", label="One application", hint="In any number of processes."),
            Answer(name="many", label="Several services", hint="Each with code and a deployment of its own."),
        ),
        matters=lambda given: given.get("sso") == "none",
    ),
    Question(
        name="client",
        text="Who talks to it?",
        answers=(
            Answer(name="pages", label="Browsers, with pages that the server renders"),
            Answer(name="single-page", label="Browsers, with a single-page application"),
            Answer(name="mobile", label="A mobile application, a command line, or several kinds of clients"),
        ),
        matters=_has_desk,
    ),
    Question(
        name="script",
        text="Does the script have to send the token itself?",
        answers=(
            Answer(name="no", label="No, its requests go to the host that signs people in"),
            Answer(
                name="yes",
                label="Yes, to another host, or in an Authorization header",
                hint="An API under another name, or a client library that wants a token.",
            ),
        ),
        matters=lambda given: _one_service(given) and given.get("client") == "single-page",
    ),
    Question(
        name="logout",
        text="When must a sign-out have taken effect everywhere?",
        answers=(
            Answer(name="seconds", label="Within a few seconds, whatever happens"),
            Answer(name="at-once", label="On the very next request"),
            Answer(name="expiry", label="When the access token expires", hint="Some minutes later."),
        ),
        matters=lambda given: (
            _foreign(given) or (_by_services(given) and "machines" in given) or _over_a_network(given)
        ),
    ),
    Question(
        name="machines",
        text="On how many machines does the part run that signs people in?",
        answers=(
            Answer(name="one", label="One machine", hint="With any number of processes."),
            Answer(name="several", label="Several machines"),
        ),
        matters=lambda given: _has_desk(given) and "client" in given,
    ),
    Question(
        name="database",
        text="Which database do they share?",
        answers=(
            Answer(name="postgresql", label="PostgreSQL", hint="It promises most."),
            Answer(name="redis", label="Redis or Valkey", hint="Where one is operated already, with persistence."),
        ),
        matters=_over_a_network,
    ),
    Question(
        name="store-down",
        text="While the store cannot be asked, what becomes of people who are signed in?",
        answers=(
            Answer(name="refuse", label="They wait", hint="Answered 503 until it is back; nobody is signed out."),
            Answer(name="go-on", label="They go on", hint="Whoever was signed out meanwhile does, too."),
        ),
        matters=lambda given: (_over_a_network(given) or _by_services(given)) and "logout" in given,
    ),
    Question(
        name="claims-size",
        text="How much does a request have to know about a person?",
        answers=(
            Answer(name="small", label="Little", hint="Roles, a tenant, a name."),
            Answer(name="large", label="Much", hint="More than about 2 KB, such as long lists of permissions."),
        ),
        matters=_self_contained,
    ),
    Question(
        name="claims-secrecy",
        text="May the person, and whoever holds the token, read what is in it?",
        answers=(
            Answer(name="open", label="Yes"),
            Answer(name="secret", label="No", hint="Internal notes, prices, scores."),
        ),
        matters=_claims_travel,
    ),
)
"""The questions, in their order. Each answer is good at one place in an address: `?client=mobile&machines=one`."""

_BY_NAME: Final[Mapping[str, Question]] = {question.name: question for question in QUESTIONS}


def question(name: str) -> Question:
    """The question of that name. KeyError where there is none."""
    return _BY_NAME[name]


def next_question(given: Answers) -> Question | None:
    """The question to ask after these answers; None when no further one could change anything."""
    return next((each for each in QUESTIONS if each.name not in given and each.matters(given)), None)


def asked(given: Answers, *, assume: bool = False) -> tuple[dict[str, str], Question | None]:
    """The answers that count, in the order in which they are asked for, and the question that is open, if any.

    What cannot matter is left out, and so is an answer that is none of its question's. assume: take the usual answer
    where none was given; then nothing stays open.
    """
    counted: dict[str, str] = {}
    while (asking := next_question(counted)) is not None:
        chosen = asking.answer(given.get(asking.name, ""))
        if chosen is None and not assume:
            return counted, asking
        counted[asking.name] = (chosen or asking.usual).name
    return counted, None
