"""The tree: each leaf is reached, every combination of answers leads to one recommendation, no question is idle."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from datetime import timedelta

import pytest

from frontdesk.advisor import QUESTIONS, Recommendation, asked, next_question, recommend
from frontdesk.advisor.arguments import COSTS, REASONS, REJECTED, Argument
from frontdesk.advisor.leaves import LEAVES
from frontdesk.advisor.questions import question
from frontdesk.core.cookies import LONGEST_PAIR
from frontdesk.core.sessions import SessionPolicy
from frontdesk.verifier.follow import MAX_STALENESS
from scripts.site.links import anchors
from tests.advisor.paths import configurations, recommendations, ways
from tests.requirements import ROOT

NAMES = [each.name for each in QUESTIONS]
EVERY_COMBINATION = [
    dict(zip(NAMES, chosen, strict=True))
    for chosen in itertools.product(*([answer.name for answer in each.answers] for each in QUESTIONS))
]
ONE = {"sso": "none", "services": "one", "machines": "one", "claims-size": "small", "claims-secrecy": "open"}
FAR = {**ONE, "machines": "several", "database": "postgresql", "store-down": "refuse", "logout": "seconds"}
MANY = {**ONE, "services": "many", "client": "mobile", "logout": "seconds", "store-down": "refuse"}
PROVIDER = {"sso": "provider", "logout": "expiry"}


def titles(arguments: tuple[Argument, ...]) -> set[str]:
    return {argument.what for argument in arguments}


def facts(each: Recommendation) -> dict[str, object]:
    plan = each.plan
    return {"credential": plan.credential, "transport": plan.transport, "refresh_in": plan.refresh_in}


@pytest.mark.parametrize(
    ("given", "leaf", "carried"),
    [
        ({**ONE, "client": "pages"}, "server-rendered", ("session", "cookie", None)),
        ({**ONE, "client": "single-page", "script": "no"}, "single-page-cookie", ("jwt", "cookie", None)),
        ({**ONE, "client": "single-page", "script": "yes"}, "single-page-memory", ("jwt", "bearer", "cookie")),
        ({**ONE, "client": "mobile"}, "mobile", ("jwt", "bearer", None)),
        (MANY, "microservices", ("jwt", "bearer", None)),
        ({**MANY, "sso": "desk"}, "microservices", ("jwt", "bearer", None)),
        ({**MANY, "client": "pages"}, "microservices", ("jwt", "cookie", None)),
        ({**MANY, "client": "single-page"}, "microservices", ("jwt", "bearer", "cookie")),
        (PROVIDER, "identity-provider", (None, None, None)),
        (
            {**PROVIDER, "logout": "seconds", "client": "pages", "machines": "one"},
            "identity-provider",
            ("session", "cookie", None),
        ),
    ],
)
def test_each_leaf_is_where_its_answers_lead(
    given: Mapping[str, str], leaf: str, carried: tuple[str | None, ...]
) -> None:
    found = recommend(given)
    assert found.leaf == leaf
    assert tuple(facts(found).values()) == carried
    assert found.page == f"how-to/{leaf}.md"
    assert found.title
    assert found.summary


def test_the_provider_prints_the_verifier_of_a_foreign_issuer() -> None:
    text = recommend(PROVIDER).configuration.application.text
    assert re.search(r"Verifier\(\s+issuer=.*,\s+jwks_url=.*,\s+audience=", text)
    assert "Frontdesk" not in text


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"claims-secrecy": "secret"}, {"credential": "jwe"}),
        ({"claims-size": "large"}, {"credential": "session", "refresh_in": None}),
        ({"machines": "one"}, {"store": "sqlite"}),
        ({"database": "redis"}, {"store": "redis"}),
        ({}, {"store": "postgresql", "credential": "jwt", "strict": False, "trusts_stale": False}),
        ({"logout": "at-once"}, {"strict": True}),
        ({"store-down": "go-on"}, {"trusts_stale": True, "credential": "jwt"}),
        ({"store-down": "go-on", "client": "pages"}, {"trusts_stale": True, "credential": "jwt"}),
        ({"store-down": "go-on", "logout": "at-once"}, {"trusts_stale": False, "strict": True}),
        ({"store-down": "go-on", "claims-size": "large"}, {"credential": "jwt", "sheds": True}),
        ({"services": "many"}, {"service": "following"}),
        ({"services": "many", "logout": "at-once"}, {"service": "prompt", "strict": True}),
        ({"services": "many", "store-down": "go-on"}, {"service": "trusting"}),
        ({"services": "many", "store-down": "go-on", "logout": "expiry"}, {"service": "stateless"}),
        ({"services": "many", "claims-secrecy": "secret"}, {"credential": "jwt", "sheds": True}),
        ({"services": "many", "client": "pages"}, {"reads_cookies": True}),
    ],
)
def test_answers_change_what_the_leaf_configures(change: Mapping[str, str], says: Mapping[str, object]) -> None:
    plan = recommend({**FAR, "client": "mobile", **change}).plan
    assert {name: getattr(plan, name) for name in says} == says


def test_wishes_that_exclude_each_other_are_told() -> None:
    both = {"store-down": "go-on", "logout": "at-once"}
    for change, told in (
        ({}, "At once, and while the store is away: not both"),
        ({"services": "many"}, "At once, and while the desk is away: not both"),
    ):
        given = {**FAR, "client": "mobile", **change}
        assert told in titles(recommend({**given, **both}).costs)
        for name, wish in both.items():
            assert told not in titles(recommend({**given, name: wish}).costs)
    for each in recommendations():
        wants_both = each.answers.get("store-down") == "go-on" and each.answers.get("logout") == "at-once"
        assert wants_both == any("not both" in title for title in titles(each.costs))


def test_whoever_goes_on_without_the_store_is_told_that_it_costs_revocation() -> None:
    for each in recommendations():
        blind = each.plan.trusts_stale or each.plan.service in {"trusting", "stateless"}
        said = " ".join(cost.why for cost in each.costs)
        assert not blind or "let in" in said, each.answers


def test_every_combination_of_answers_leads_to_one_recommendation() -> None:
    assert len(EVERY_COMBINATION) == 3456
    known = {tuple(each.answers.items()): each for each in recommendations()}
    for given in EVERY_COMBINATION:
        counted, still_open = asked(given)
        assert still_open is None
        found = known[tuple(counted.items())]
        assert found.reasons, given
        assert found.rejected, given
        assert len(titles(found.rejected)) == len(found.rejected), given
    assert {each.leaf for each in known.values()} == set(LEAVES)


def test_what_is_recommended_is_not_rejected() -> None:
    for each in recommendations():
        rejected = titles(each.rejected)
        plan = each.plan
        assert not (plan.credential == "session" and "A session" in rejected), each.answers
        assert not (plan.store == "sqlite" and "SQLite" in rejected), each.answers
        assert not (plan.over_a_network and "PostgreSQL or Redis" in rejected), each.answers
        assert not (plan.transport == "cookie" and "Cookies" in rejected), each.answers
        assert not (plan.credential in {"jwt", "jwe"} and {"A JWT", "A JWT in a cookie"} & rejected), each.answers


def test_no_question_is_asked_whose_answer_cannot_matter_any_more() -> None:
    """On every way, each question that is asked has two answers that lead to different advice, if only later."""
    idle = set()
    for way in ways():
        names = list(way)
        for place, name in enumerate(names):
            before = {each: way[each] for each in names[:place]}
            key = (name, tuple(before.items()))
            if key not in _MATTERS:
                outcomes = [frozenset(_outcomes({**before, name: each.name})) for each in question(name).answers]
                _MATTERS[key] = len(set(outcomes)) > 1
            if not _MATTERS[key]:
                idle.add(key)
    assert idle == set()


_MATTERS: dict[tuple[str, tuple[tuple[str, str], ...]], bool] = {}


def _outcomes(given: Mapping[str, str]) -> set[tuple[object, ...]]:
    """What can still come out: what is printed and what is said of its costs."""
    found: set[tuple[object, ...]] = set()
    for way in ways(given):
        each = recommend(way)
        printed = tuple(snippet.text for snippet in each.configuration.snippets())
        found.add((printed, tuple(sorted(titles(each.costs)))))
    return found


def test_what_does_not_matter_is_left_out_and_what_is_open_is_asked() -> None:
    counted, still_open = asked({"sso": "none", "client": "pages", "services": "one", "database": "redis"})
    assert counted == {"sso": "none", "services": "one", "client": "pages"}
    assert still_open is next_question(counted) is question("machines")
    with pytest.raises(ValueError, match="machines"):
        recommend(counted)
    assert recommend({**counted, "machines": "one", "store-down": "nonsense"}).answers == {**counted, "machines": "one"}
    assert asked({}, assume=True) == ({"sso": "none", "services": "one", "client": "pages", "machines": "one"}, None)
    assert asked({"client": "nobody"}) == ({}, question("sso"))


def test_the_headline_names_what_is_configured() -> None:
    for each in recommendations():
        title, plan = each.title, each.plan
        if plan.leaf == "identity-provider":
            assert ("session of your own" in title) == plan.enters
            continue
        assert ("session" in title) == (plan.credential == "session"), (title, each.answers)
        assert ("encrypted" in title) == (plan.credential == "jwe"), (title, each.answers)
        if plan.service == "none":
            envelope = "bearer" if plan.transport == "bearer" and plan.refresh_in is None else "cookie"
            assert envelope in title, (title, each.answers)


def test_every_rule_is_said_somewhere() -> None:
    said = {argument for each in recommendations() for argument in (*each.reasons, *each.rejected, *each.costs)}
    assert [rule.says.what for rule in (*REASONS, *REJECTED, *COSTS) if rule.says not in said] == []


def test_names_of_questions_and_answers_can_stand_in_flags_and_addresses() -> None:
    names = NAMES + [answer.name for each in QUESTIONS for answer in each.answers]
    assert [name for name in names if not re.fullmatch(r"[a-z]+(-[a-z]+)*", name)] == []
    assert len(set(NAMES)) == len(NAMES)


def test_every_link_leads_to_a_page_and_a_heading() -> None:
    links = {rule.says.page for rule in (*REASONS, *REJECTED, *COSTS)} | {leaf.page for leaf in LEAVES.values()}
    broken = []
    for link in sorted(links):
        name, _, anchor = link.partition("#")
        page = ROOT / "docs" / name
        if not page.exists() or (anchor and anchor not in anchors(page.read_text(encoding="utf-8"))):
            broken.append(link)
    assert broken == []


def test_the_figures_that_are_told_are_those_of_the_product() -> None:
    told = " ".join(rule.says.why for rule in (*REASONS, *REJECTED, *COSTS))
    figures = set(re.findall(r"\d+ (?:minutes|s|bytes|KB|days)\b", told))
    assert figures == {"15 minutes", "5 s", "4096 bytes"}
    assert SessionPolicy().access_token == timedelta(minutes=15)
    assert timedelta(seconds=5) == MAX_STALENESS
    assert LONGEST_PAIR == 4096


def test_no_line_to_paste_is_wider_than_80_columns() -> None:
    lines = {line for each in configurations().values() for snippet in each.configuration.snippets()
             for line in snippet.text.splitlines()}  # fmt: skip
    assert [line for line in sorted(lines) if len(line) > 80] == []
