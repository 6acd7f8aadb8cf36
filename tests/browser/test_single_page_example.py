"""The example of a single-page application, in two tabs of Chromium."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.sites import Site
from tests.browser.tabs import profile
from tests.requirements import ROOT

pytestmark = pytest.mark.browser

ALICE = "alice@example.com"
PASSWORD = "correct horse battery staple"


def enter(page: Page, button: str) -> None:
    page.get_by_label("E-mail address").fill(ALICE)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name=button).click()
    expect(page.get_by_role("status")).to_have_text("You are signed in.")


def test_the_single_page_example_keeps_notes_in_two_tabs_and_signs_out_of_both(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    app = runpy.run_path(str(ROOT / "examples" / "single_page" / "app.py"))["app"]
    with Site(app) as site, profile(browser, site.origin) as context:
        here, there = context.new_page(), context.new_page()
        complaints: list[str] = []
        for page in (here, there):
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.goto("/")
            expect(page.get_by_role("status")).to_have_text("Nobody is signed in.")
        enter(here, "Create account")
        expect(there.get_by_role("status")).to_have_text("You are signed in.")
        here.get_by_label("A note").fill("<b>Buy milk</b>")
        here.get_by_role("button", name="Keep it").click()
        expect(here.get_by_role("listitem")).to_have_text("<b>Buy milk</b>")
        there.reload()
        expect(there.get_by_role("listitem")).to_have_text("<b>Buy milk</b>")
        there.get_by_role("button", name="Sign out").click()
        for page in (there, here):
            expect(page.get_by_role("status")).to_have_text("Nobody is signed in.")
            expect(page.get_by_role("listitem")).to_have_count(0)
        enter(there, "Sign in")
        expect(here.get_by_role("listitem")).to_have_count(1)
        assert complaints == []
