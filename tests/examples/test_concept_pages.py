"""What the pages on concepts measure is measured again, and their form is kept."""

from __future__ import annotations

import re
from typing import Any

import pytest
from fastapi import FastAPI

from frontdesk.fastapi import Frontdesk
from frontdesk.testing import Client
from tests.http.answers import ACCESS, REFRESH, SESSION
from tests.requirements import ROOT

CONCEPTS = sorted((ROOT / "docs" / "concepts").glob("*.md"))
HOW_TO = sorted((ROOT / "docs" / "how-to").glob("*.md"))
SIZES = dict(
    re.findall(
        r"^\| (.+?) \| (\d[\d,]*) \|$",
        (ROOT / "docs" / "concepts" / "sessions-cookies-tokens.md").read_text().partition("## How large")[2],
        re.MULTILINE,
    )
)
SUBJECT = "SpyOmvk7ULrKjkBWjqm2tA"  # 22 characters, as the ids of accounts have
ROLES = [f"reports:read-{number:02}" for number in range(20)]


def signed_in(*, signing: Any = "ES256", **options: Any) -> Client:
    app = FastAPI()
    Frontdesk("memory:", base_url="https://desk.example", signing=signing).install(app)
    client = Client(app, base_url="https://desk.example")
    client.sign_in_as(SUBJECT, **options)
    return client


def cookie(client: Client, name: str) -> int:
    """The octets of `name=value`, as the browser sends it."""
    return len(f"{name}={client.cookies[name]}")


def bearer(client: Client) -> int:
    return len(f"Authorization: {client.headers['authorization']}")


def measured() -> dict[str, int]:
    return {
        "session, cookie": cookie(signed_in(credential="session"), SESSION),
        "JWT signed with ES256, cookie": cookie(signed_in(credential="jwt"), ACCESS),
        "JWT signed with RS256, cookie": cookie(signed_in(credential="jwt", signing="RS256"), ACCESS),
        "JWE, cookie": cookie(signed_in(credential="jwe"), ACCESS),
        "the JWT signed with ES256, with 20 roles such as `reports:read-00`": cookie(
            signed_in(credential="jwt", roles=ROLES), ACCESS
        ),
        "session, `Authorization: Bearer`": bearer(signed_in(credential="session", transport="bearer")),
        "JWT signed with ES256, `Authorization: Bearer`": bearer(signed_in(credential="jwt", transport="bearer")),
        "refresh token, cookie": cookie(signed_in(credential="jwt"), REFRESH),
    }


def test_the_sizes_on_the_page_are_those_of_our_credentials() -> None:
    assert {name: int(size.replace(",", "")) for name, size in SIZES.items()} == measured()


def section(anchor: str) -> str:
    """The text of docs/performance.md below the heading with this anchor."""
    text = (ROOT / "docs" / "performance.md").read_text()
    parts = re.split(r"^(#+) (.*)$", text, flags=re.MULTILINE)
    return next(
        body for title, body in zip(parts[2::3], parts[3::3], strict=True) if title.lower().replace(" ", "-") == anchor
    )


def test_every_figure_of_the_comparison_stands_in_the_section_that_it_names() -> None:
    page = (ROOT / "docs" / "concepts" / "comparison.md").read_text()
    measured_here = page.partition("## Measured here")[2].partition("\n## ")[0]
    tables = re.findall(r"((?:^[^|\n].*\n)+)\n((?:^\|.*\n)+)", measured_here, re.MULTILINE)
    assert len(tables) == 4
    for words, rows in tables:
        sections = [section(anchor) for anchor in re.findall(r"\(\.\./performance\.md#([\w-]+)\)", words)]
        figures = re.findall(r"\| ([\d,.]+) \|$", rows, re.MULTILINE)
        assert len(figures) >= 3
        assert [figure for figure in figures if not any(f" {figure} " in text for text in sections)] == []


@pytest.mark.parametrize("page", CONCEPTS, ids=lambda page: page.stem)
def test_every_concept_ends_with_what_frontdesk_does_with_it(page: Any) -> None:
    headings = re.findall(r"^## (.*)$", page.read_text(), re.MULTILINE)
    assert headings[-1] == "What Frontdesk does with that"


@pytest.mark.parametrize("page", [page for page in HOW_TO if page.stem != "index"], ids=lambda page: page.stem)
def test_every_how_to_says_what_to_check_and_where_to_read_on(page: Any) -> None:
    text = page.read_text()
    assert "\n## What to check\n" in text
    assert re.search(r"^On: \[", text, re.MULTILINE)
