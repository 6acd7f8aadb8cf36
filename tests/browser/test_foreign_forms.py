"""Other sites and sub-domains, in a real browser: their forms do not act, their cookies are not believed."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.serving import Elsewhere, Served
from tests.browser.test_pages_in_chromium import ALICE, PASSWORD, sign_up, visiting

pytestmark = pytest.mark.browser

MALLORY = "mallory@example.com"
FOREIGNERS = pytest.mark.parametrize("foreigner", ["evil.test", "sub.desk.test"])
SESSION = b"__Host-Http-session"


def press(page: Page, elsewhere: Elsewhere, foreigner: str) -> int:
    """Visit the other page, press its button; the status of the answer that the browser ends up with."""
    page.goto(elsewhere.address(foreigner))
    with page.expect_navigation() as navigation:
        page.get_by_role("button", name="Win").click()
    assert navigation.value is not None
    return navigation.value.status


def session_cookie(context: BrowserContext) -> str:
    [value] = [cookie.get("value", "") for cookie in context.cookies() if cookie.get("name") == SESSION.decode()]
    return value


def token_of_mallory(browser: Browser, served: Served) -> str:
    with visiting(browser, served) as page:
        sign_up(page, MALLORY)
        return session_cookie(page.context)


@FOREIGNERS
@pytest.mark.parametrize("path", ["/signin", "/signup"])
def test_a_foreign_form_signs_nobody_in(
    browser: Browser, served_by_tls: Served, elsewhere: Elsewhere, foreigner: str, path: str
) -> None:
    token_of_mallory(browser, served_by_tls)
    email = MALLORY if path == "/signin" else "new@example.com"
    elsewhere.offer_form(served_by_tls.origin + path, {"email": email, "password": PASSWORD})
    with visiting(browser, served_by_tls) as stranger:
        assert press(stranger, elsewhere, foreigner) == 403
        assert stranger.context.cookies() == []
    with visiting(browser, served_by_tls) as victim:
        sign_up(victim)
        before = session_cookie(victim.context)
        assert press(victim, elsewhere, foreigner) == 403
        assert session_cookie(victim.context) == before
        victim.goto("/dashboard")
        expect(victim.get_by_role("heading", level=1)).to_have_text(ALICE)
    assert served_by_tls.devices_of(MALLORY) == 1


@FOREIGNERS
@pytest.mark.parametrize("path", ["/signout", "/dashboard/sessions/end-others"])
def test_a_foreign_form_signs_nobody_out(
    browser: Browser, served_by_tls: Served, elsewhere: Elsewhere, foreigner: str, path: str
) -> None:
    with visiting(browser, served_by_tls) as there, visiting(browser, served_by_tls) as here:
        sign_up(there)
        here.goto("/signin")
        here.get_by_label("E-mail address").fill(ALICE)
        here.get_by_label("Password", exact=True).fill(PASSWORD)
        here.keyboard.press("Enter")
        expect(here.get_by_role("heading", level=1)).to_have_text(ALICE)
        elsewhere.offer_form(served_by_tls.origin + path, {})
        served_by_tls.cookie_headers.clear()
        assert press(here, elsewhere, foreigner) == 403
        # A sub-domain's form carries the cookie, SameSite or not: what stopped it is the check of the origin.
        assert bool(served_by_tls.cookie_headers) is (foreigner == "sub.desk.test")
        assert served_by_tls.devices_of(ALICE) == 2


@FOREIGNERS
def test_a_foreign_form_does_not_act_through_the_api(
    browser: Browser, served_by_tls: Served, elsewhere: Elsewhere, foreigner: str
) -> None:
    with visiting(browser, served_by_tls) as page:
        sign_up(page)
        for path in ("/auth/logout", "/auth/refresh", "/auth/login", "/auth/register"):
            elsewhere.offer_form(served_by_tls.origin + path, {})
            assert press(page, elsewhere, foreigner) in {401, 403}
        assert served_by_tls.devices_of(ALICE) == 1
        page.goto("/dashboard")
        expect(page.get_by_role("heading", level=1)).to_have_text(ALICE)


@pytest.mark.parametrize("byte", [b"\xa0", b"\x85"], ids=["no-break space", "next line"])
def test_a_look_alike_planted_from_a_sub_domain_changes_nothing(
    browser: Browser, served_by_tls: Served, elsewhere: Elsewhere, byte: bytes
) -> None:
    evil = byte + SESSION + b"=" + token_of_mallory(browser, served_by_tls).encode()
    elsewhere.planted = [evil + b"; Domain=desk.test; Path=/"]
    with visiting(browser, served_by_tls) as victim:
        sign_up(victim)
        mine = SESSION + b"=" + session_cookie(victim.context).encode()
        victim.goto(elsewhere.address("sub.desk.test"))
        served_by_tls.cookie_headers.clear()
        victim.goto("/dashboard")
        expect(victim.get_by_role("heading", level=1)).to_have_text(ALICE)
        # The browser did send it, beside the real one: the parser is what kept it out.
        [arrived] = served_by_tls.cookie_headers
        assert sorted(arrived.split(b"; ")) == sorted([mine, evil])
    with visiting(browser, served_by_tls) as stranger:
        stranger.goto(elsewhere.address("sub.desk.test"))
        served_by_tls.cookie_headers.clear()
        stranger.goto("/dashboard")
        assert stranger.url == f"{served_by_tls.origin}/signin?next=/dashboard"
        assert served_by_tls.cookie_headers == [evil, evil]


def test_a_sub_domain_cannot_plant_the_protected_name_itself(
    browser: Browser, served_by_tls: Served, elsewhere: Elsewhere
) -> None:
    token = token_of_mallory(browser, served_by_tls).encode()
    elsewhere.planted = [
        SESSION + b"=" + token + b"; Domain=desk.test; Path=/; Secure; HttpOnly",
        SESSION + b"=" + token + b"; Domain=desk.test; Path=/",
        b"harmless=1; Domain=desk.test; Path=/",
    ]
    with visiting(browser, served_by_tls) as stranger:
        stranger.goto(elsewhere.address("sub.desk.test"))
        served_by_tls.cookie_headers.clear()
        stranger.goto("/dashboard")
        assert served_by_tls.cookie_headers == [b"harmless=1", b"harmless=1"]
        assert stranger.url == f"{served_by_tls.origin}/signin?next=/dashboard"


def test_a_jar_filled_from_a_sub_domain_is_431_and_can_be_emptied(
    browser: Browser, served_by_tls: Served, elsewhere: Elsewhere
) -> None:
    elsewhere.planted = [b"bomb%d=%s; Domain=desk.test; Path=/" % (number, b"x" * 3000) for number in range(4)]
    with visiting(browser, served_by_tls) as victim:
        sign_up(victim)
        victim.goto(elsewhere.address("sub.desk.test"))
        answer = victim.goto("/dashboard")
        assert answer is not None
        assert answer.status == 431
        assert served_by_tls.devices_of(ALICE) == 1
        # The answer told the browser to empty the jar, so the way in is open again. Chromium empties it beside the
        # navigation and not before its end: the next one may still come with everything, and is told again.
        for _ in range(50):
            answer = victim.goto("/signin")
            assert answer is not None
            if answer.status == 200:
                break
            assert answer.status == 431
        expect(victim.get_by_role("heading", level=1)).to_have_text("Sign in")
