"""The site is built without a fault, holds every page, and works from the file system without asking anybody."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

import frontdesk
from frontdesk.endpoints.routes import ROUTES
from frontdesk.errors import CODES
from frontdesk.server.settings import READERS
from scripts.site import build
from scripts.site.reference import PAGES, generate
from tests.requirements import ROOT

PAGES_OF_DOCS = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("site")
    assert build.build(ROOT, directory / "work", directory / "site") == []
    return directory / "site"


def test_the_site_has_every_page(site: Path) -> None:
    wanted = PAGES_OF_DOCS | set(build.AT_THE_ROOT.values()) | set(PAGES)
    assert {page for page in wanted if not (site / page).with_suffix(".html").is_file()} == set()


def test_every_page_has_its_place_in_the_navigation() -> None:
    navigation = re.findall(r'= "([\w/-]+\.md)"', (ROOT / "scripts" / "site" / "zensical.toml").read_text())
    assert len(navigation) == len(set(navigation))
    assert set(navigation) == PAGES_OF_DOCS | set(build.AT_THE_ROOT.values()) | set(PAGES)


def test_the_reference_names_all_that_there_is() -> None:
    pages = generate()
    assert all(f"### `{name}`" in pages["reference/python.md"] for name in frontdesk.__all__)
    assert all(f"/auth{route.path}" in pages["reference/http.md"] for route in ROUTES)
    assert all(f"`{name}`" in pages["reference/settings.md"] for name in READERS)
    assert all(f"`{code}`" in pages["reference/codes.md"] for code in CODES)
    for name in ("createClient", "createServerClient", "FrontdeskError", "Client", "ServerClient", "State"):
        assert f"### `{name}`" in pages["reference/browser-client.md"]
    assert "readonly signIn: (how: SignIn | " in pages["reference/browser-client.md"]
    assert "## frontdesk services add" in pages["reference/cli.md"]


def test_a_broken_link_stops_the_building_with_one_sentence(tmp_path: Path) -> None:
    work = tmp_path / "work"
    build.gather(ROOT, work)
    (work / "pages" / "keys.md").write_text("# Keys\n[gone](nowhere.md)\n")
    done = build.render(work)
    assert done.returncode != 0
    assert "keys.md:2:8: page does not exist" in build.complaints(done.stdout + done.stderr)


def test_links_to_what_is_no_page_become_words() -> None:
    def mapped(target: str) -> str | None:
        return None if target.startswith("../src") else target.upper()

    text = "[the code](../src/x.py), [a page](b.md)\n```\n[c](../src/d.py)\n```\n[e](f.md)"
    assert build.relink(text, mapped) == "the code, [a page](B.MD)\n```\n[c](../src/d.py)\n```\n[e](F.MD)"


@pytest.mark.browser
def test_pages_work_from_the_file_system_and_ask_no_other_host(chromium: Path, site: Path) -> None:
    asked: list[str] = []
    faults: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(10_000)
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: faults.append(str(error)))
        for name in ("concepts/index.html", "reference/python.html", "index.html"):
            page.goto((site / name).as_uri())
        page.get_by_role("button", name="Search").first.click()
        page.get_by_role("combobox", name="Search").press_sequentially("localstorage")
        expect(page.get_by_role("option", name="Why not localStorage").first).to_be_visible()
        browser.close()
    assert faults == []
    assert {url.partition(":")[0] for url in asked} <= {"file", "data", "blob"}
