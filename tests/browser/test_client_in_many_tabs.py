"""The client for browsers in many tabs of Chromium at once: by one request, by races, by answers that are lost."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page

from frontdesk.clock import AdjustableClock
from tests.browser.sites import REFRESH, LosingProxy, Site
from tests.browser.tabs import (
    MEETING,
    NOTHING_STORED,
    TABS,
    WITHOUT,
    all_expired,
    answer,
    heard,
    make_client,
    open_tabs,
    profile,
    start,
    status,
    stored,
)

pytestmark = pytest.mark.browser


def test_twelve_tabs_refresh_by_one_request(browser: Browser, site: Site, clock: AdjustableClock) -> None:
    with profile(browser, site.origin) as context:
        pages: list[Page] = []
        for transport in ("cookie", "bearer"):
            pages = open_tabs(context, transport, pages)
            for _ in range(2):
                all_expired(site, clock)
                with site.holding(REFRESH):
                    for page in pages:
                        start(page)
                    site.wait_for("/whoami", TABS)  # each of them was told that its token has expired
                assert [answer(page) for page in pages] == [200] * TABS
                assert (site.count(REFRESH), site.count("/whoami")) == (1, 2 * TABS)
            assert [heard(page) for page in pages] == [["signed-in"]] * TABS
            assert [stored(page) for page in pages] == [NOTHING_STORED] * TABS


def test_with_locks_alone_tabs_that_live_on_cookies_refresh_by_one_request(
    browser: Browser, site: Site, clock: AdjustableClock
) -> None:
    with profile(browser, site.origin, without=WITHOUT["without channel"]) as context:
        pages = open_tabs(context, "cookie", count=4, talking=False)
        all_expired(site, clock)
        with site.holding(REFRESH):
            for page in pages:
                start(page)
            site.wait_for("/whoami", 4)
        assert [answer(page) for page in pages] == [200] * 4
        assert site.count(REFRESH) == 1


def test_tabs_that_are_loaded_again_get_their_token_by_one_request(browser: Browser, site: Site) -> None:
    with profile(browser, site.origin) as context:
        pages = open_tabs(context, "bearer", count=4)
        for page in pages:
            page.reload()
            page.wait_for_function("globalThis.frontdesk")
            make_client(page, "bearer")
        site.forget()
        with site.holding(REFRESH):
            for page in pages:
                start(page)
            site.wait_for(REFRESH, 1)
        assert [answer(page) for page in pages] == [200] * 4
        assert (site.count(REFRESH), site.count("/whoami")) == (1, 4)


@MEETING
def test_twelve_tabs_race_and_lose_answers_and_nobody_is_signed_out(
    browser: Browser, proxy: LosingProxy, clock: AdjustableClock, without: str
) -> None:
    site = proxy.site
    with profile(browser, proxy.origin, without=without) as context:
        pages: list[Page] = []
        for transport in ("cookie", "bearer"):
            pages = open_tabs(context, transport, pages, talking="BroadcastChannel" not in without)
            # Nothing is lost; then one answer; then repetitions, too, so that some requests fail; then nothing again.
            for lose, allowed in ((0, {200}), (1, {200}), (9, {200, "network_error"}), (0, {200})):
                all_expired(site, clock)
                proxy.lose, proxy.lost = lose, 0
                with site.holding(REFRESH, until=5 if "locks" in without else 1):
                    for page in pages:
                        start(page)
                    assert {answer(page) for page in pages} <= allowed
                assert proxy.lost == lose
                assert [status(page) for page in pages] == ["signed-in"] * TABS
            assert [heard(page) for page in pages] == [["signed-in"]] * TABS
            assert [stored(page) for page in pages] == [NOTHING_STORED] * TABS
