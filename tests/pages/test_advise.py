"""The advisor as a page: its questions, its recommendation at an address of its own, what it makes of nonsense."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from frontdesk.advisor import QUESTIONS, Recommendation, asked, recommend
from frontdesk.endpoints.http import Response
from frontdesk.pages import Pages
from tests.advisor.paths import recommendations
from tests.pages.browsing import House, Visitor, elements_of, play, text_of
from tests.requirements import ROOT

ONE_OF_EACH = list({each.leaf: each for each in recommendations()}.values())


def questions_of(page: Response) -> dict[str, str | None]:
    """The questions on a page with the answer that is marked, in their order."""
    radios = [element for element in elements_of(page, "input") if element["type"] == "radio"]
    return {str(radio["name"]): radio["value"] for radio in radios if "checked" in radio.attributes}


def test_the_page_begins_with_the_usual_answers_and_recommends_nothing_yet() -> None:
    async def scenario(house: House) -> None:
        page = await house.visitor().get("/advise")
        assert page.status == 200
        assert questions_of(page) == asked({}, assume=True)[0]
        assert [element["method"] for element in elements_of(page, "form")] == ["get"]
        assert elements_of(page, "pre") == []
        assert "usual" not in text_of(page)

    play(scenario)


@pytest.mark.parametrize("each", ONE_OF_EACH, ids=lambda each: each.leaf)
def test_a_recommendation_has_an_address(each: Recommendation) -> None:
    found = recommend(each.answers)

    async def scenario(house: House) -> None:
        page = await house.visitor().get(f"/advise?{urlencode(found.answers)}")
        text = text_of(page)
        assert questions_of(page) == found.answers
        assert found.title in text
        for argument in (*found.reasons, *found.rejected, *found.costs):
            assert argument.what in text
            assert " ".join(argument.why.split()) in text
        for snippet in found.configuration.snippets():
            assert " ".join(snippet.text.split()) in text
        assert f"goes on in docs/{found.page} of the source" in text
        assert (ROOT / "docs" / found.page).is_file()
        assert all(str(link["href"]).startswith(("/", "#")) for link in elements_of(page, "a"))
        assert "marked usual" not in text

    play(scenario)


def test_what_was_not_answered_counts_as_usual_and_says_so() -> None:
    async def scenario(house: House) -> None:
        page = await house.visitor().get("/advise?machines=several&client=mobile")
        shown = questions_of(page)
        assert shown == asked({"machines": "several", "client": "mobile"}, assume=True)[0]
        marked = [element for element in elements_of(page, "span") if element["class"] == "badge"]
        assert len(marked) == 1 + len(shown) - 2
        assert "A short-lived JWT with refresh" in text_of(page)

    play(scenario)


@pytest.mark.parametrize(
    "query", ["client=nobody", "client=mobile&client=pages", "client", "client=%ff", "client=<b>x</b>", "colour=green"]
)
def test_what_cannot_be_understood_is_not_answered(query: str) -> None:
    async def scenario(house: House) -> None:
        page = await house.visitor().get(f"/advise?{query}")
        assert page.status == 200
        assert questions_of(page) == asked({}, assume=True)[0]
        assert "nobody" not in text_of(page)
        assert elements_of(page, "b") == []

    play(scenario)


def test_each_question_is_a_group_with_a_legend_and_each_answer_has_a_label() -> None:
    async def scenario(house: House) -> None:
        way = max((each.answers for each in recommendations()), key=len)
        page = await house.visitor().get(f"/advise?{urlencode(way)}")
        groups = [element.tag for element in elements_of(page) if element.tag in {"fieldset", "legend"}]
        assert groups == ["fieldset", "legend"] * len(way)
        tags = [element.tag for element in elements_of(page)]
        radios = [place for place, tag in enumerate(tags) if tag == "input"]
        assert [tags[place - 1] for place in radios] == ["label"] * len(radios)
        assert len(radios) == sum(len(each.answers) for each in QUESTIONS if each.name in way)
        regions = elements_of(page, "pre")
        ids = {element["id"] for element in elements_of(page, "figcaption")}
        assert {region["aria-labelledby"] for region in regions} == ids
        assert {region["tabindex"] for region in regions} == {"0"}

    play(scenario)


def test_the_page_is_there_where_it_was_asked_for() -> None:
    async def scenario(house: House) -> None:
        plain = Pages(house.pages.gate)
        assert not plain.owns("/advise")
        assert (await Visitor(plain).get("/advise")).status == 404

    play(scenario)


def test_the_development_server_leads_there_and_no_other() -> None:
    async def scenario(house: House) -> None:
        gate = house.pages.gate
        for dev, advises, links in ((True, True, 1), (True, False, 0), (False, True, 0)):
            page = await Visitor(Pages(gate, dev=dev, advises=advises)).get("/")
            assert len([link for link in elements_of(page, "a") if link["href"] == "/advise"]) == links

    play(scenario)
