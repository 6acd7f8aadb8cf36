"""The pages of docs/how-to/single-page-*.md in Chromium: sign in, go on when the access token is over, sign out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from frontdesk import AdjustableClock
from tests.browser.sites import PATIENCE, Site
from tests.browser.tabs import profile
from tests.examples import samples

pytestmark = pytest.mark.browser

ALICE = {"email": "alice@example.com", "password": "correct horse battery staple"}


@contextmanager
def served(page: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, AdjustableClock]]:
    """The application of a page beside its `page.html`, with one account; its address, and its clock."""
    monkeypatch.chdir(directory)
    [html] = samples.samples(page, "html")
    (directory / "page.html").write_text(html)
    files = samples.write({page: ["single_page"]}, directory)
    told = files[0].read_text().replace('transports=["', 'clock=CLOCK, transports=["', 1)
    files[0].write_text(f"from frontdesk import AdjustableClock\nCLOCK = AdjustableClock()\n{told}")
    with samples.imported(files) as modules, Site(modules["single_page"].app) as site:
        account = httpx.post(f"{site.origin}/auth/register", json=ALICE, timeout=PATIENCE, trust_env=False)
        account.raise_for_status()
        yield site.origin, modules["single_page"].CLOCK


@contextmanager
def visiting(browser: Browser, address: str) -> Iterator[tuple[Page, list[str]]]:
    """A page of a new profile at the address, and the paths of the requests that it makes."""
    with profile(browser, address) as context:
        page = context.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url.removeprefix(address)))
        page.goto("/")
        expect(page.locator("#shown")).to_have_text("nobody")
        for name, value in ALICE.items():
            page.locator(f"input[name={name}]").fill(value)
        page.get_by_role("button", name="Sign in").click()
        yield page, asked


def stored(page: Page) -> list[Any]:
    """What a script of the page could carry off."""
    found: list[Any] = page.evaluate("[document.cookie, localStorage.length, sessionStorage.length]")
    return found


def test_the_page_with_cookies_goes_on_when_its_access_token_is_over(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        served("how-to/single-page-cookie.md", tmp_path, monkeypatch) as (address, clock),
        visiting(browser, address) as (page, asked),
    ):
        expect(page.locator("#shown")).to_have_text("buy a lamp")
        assert stored(page) == ["", 0, 0]
        clock.advance(timedelta(minutes=16))
        asked.clear()
        with page.expect_response(lambda response: response.url.endswith("/api/notes") and response.ok):
            page.get_by_role("button", name="Show").click()
        assert asked == ["/api/notes", "/auth/refresh", "/api/notes"]
        page.get_by_role("button", name="Sign out").click()
        expect(page.locator("#shown")).to_have_text("nobody")


def test_the_page_with_its_token_in_memory_is_signed_in_again_after_a_reload(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        served("how-to/single-page-memory.md", tmp_path, monkeypatch) as (address, clock),
        visiting(browser, address) as (page, asked),
    ):
        expect(page.locator("#shown")).to_have_text("a lamp does not burn")
        assert stored(page) == ["", 0, 0]
        asked.clear()
        page.reload()
        expect(page.locator("#shown")).to_have_text("a lamp does not burn")
        assert asked == ["/", "/auth/refresh", "/api/tickets"]
        clock.advance(timedelta(minutes=16))
        asked.clear()
        with page.expect_response(lambda response: response.url.endswith("/api/tickets") and response.ok):
            page.get_by_role("button", name="Show").click()
        assert asked == ["/api/tickets", "/auth/refresh", "/api/tickets"]
        page.get_by_role("button", name="Sign out").click()
        expect(page.locator("#shown")).to_have_text("nobody")
