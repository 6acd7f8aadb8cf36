"""Chromium uses the server: signs up, signs in, is recognised, sees its devices, signs out, with and without script."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, expect

from tests.browser.serving import Served

pytestmark = pytest.mark.browser

ALICE = "alice@example.com"
PASSWORD = "correct horse battery staple"
WRONG = "wrong horse battery staple"
CREDENTIALS = ("session", "jwt")
ADVICE = "/advise?sso=none&services=many&client=pages&machines=several&logout=at-once&store-down=go-on"
_PATIENCE = 10_000  # milliseconds until what does not happen is a failure
SCRIPT = pytest.mark.parametrize("script", [True, False], ids=["with script", "without script"])


@contextmanager
def visiting(browser: Browser, served: Served, *, script: bool = True, **options: Any) -> Iterator[Page]:
    """A page of a new profile."""
    context = browser.new_context(base_url=served.origin, java_script_enabled=script, **options)
    context.set_default_timeout(_PATIENCE)
    try:
        yield context.new_page()
    finally:
        context.close()


def sign_up(page: Page, email: str = ALICE) -> None:
    page.goto("/signup")
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Create account").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(email)


def fill_sign_in(page: Page, *, credential: str = "session", password: str = PASSWORD) -> None:
    page.goto("/signin")
    page.get_by_label("E-mail address").fill(ALICE)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_text("How this sign-in is carried").click()
    page.locator(f"input[value={credential}]").check()
    page.get_by_role("main").get_by_role("button", name="Sign in").click()


def sign_out(page: Page) -> None:
    page.get_by_role("banner").get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("status")).to_have_text("You are signed out on this device.")


def cookie_names(context: BrowserContext) -> set[str]:
    return {cookie.get("name", "") for cookie in context.cookies()}


def names_for(served: Served, credential: str) -> set[str]:
    kinds = ("session",) if credential == "session" else ("access", "refresh")
    return {f"__Host-Http-{kind}-{served.port}" for kind in kinds}


@SCRIPT
@pytest.mark.parametrize("credential", CREDENTIALS)
def test_a_person_signs_up_signs_in_is_recognised_and_signs_out(
    browser: Browser, served: Served, credential: str, script: bool
) -> None:
    with visiting(browser, served, script=script) as page:
        sign_up(page)
        sign_out(page)
        assert cookie_names(page.context) == set()
        page.goto("/dashboard")
        assert page.url == f"{served.origin}/signin?next=/dashboard"
        fill_sign_in(page, credential=credential)
        assert page.url == f"{served.origin}/dashboard"
        assert cookie_names(page.context) == names_for(served, credential)
        page.goto("/")
        expect(page.get_by_role("heading", level=1)).to_have_text(ALICE)
        page.goto("/dashboard")
        expect(page.get_by_label("This sign-in")).to_contain_text("JWT" if credential == "jwt" else "Session")
        stolen = "; ".join(f"{cookie.get('name')}={cookie.get('value')}" for cookie in page.context.cookies())
        assert replayed(page, stolen) == 200
        sign_out(page)
        assert cookie_names(page.context) == set()
        assert replayed(page, stolen) == 401
        assert served.devices_of(ALICE) == 0


def replayed(page: Page, cookies: str) -> int:
    """How the dashboard answers whoever has these cookies."""
    return page.request.get("/dashboard", headers={"cookie": cookies}, max_redirects=0).status


@pytest.mark.parametrize(("credential", "script"), [("session", False), ("jwt", True)])
def test_a_device_is_signed_out_from_another(browser: Browser, served: Served, credential: str, script: bool) -> None:
    with (
        visiting(browser, served, script=script) as here,
        visiting(browser, served, script=script, user_agent="Firefox/140.0 Windows") as there,
    ):
        sign_up(here)
        fill_sign_in(there, credential=credential)
        here.goto("/dashboard")
        expect(here.get_by_role("listitem")).to_have_count(2)
        here.get_by_role("button", name="Sign out Firefox on Windows").click()
        expect(here.get_by_role("status")).to_have_text("That device has been signed out.")
        expect(here.get_by_role("listitem")).to_have_count(1)
        there.reload()
        assert there.url.startswith(f"{served.origin}/signin")
        expect(there.get_by_role("status")).to_contain_text("You have been signed out")
        fill_sign_in(there, credential=credential)
        here.reload()
        here.get_by_role("button", name="Sign out everywhere else").click()
        expect(here.get_by_role("status")).to_have_text("All other devices have been signed out.")
        there.reload()
        assert there.url.startswith(f"{served.origin}/signin")


@pytest.mark.parametrize("credential", CREDENTIALS)
def test_no_script_reads_or_replaces_the_cookies_that_are_there(
    browser: Browser, served: Served, credential: str
) -> None:
    with visiting(browser, served) as page:
        sign_up(page)
        fill_sign_in(page, credential=credential)
        names = names_for(served, credential)
        before = page.context.cookies()
        assert cookie_names(page.context) == names
        assert all(cookie.get("httpOnly") and cookie.get("secure") for cookie in before)
        assert {cookie.get("sameSite") for cookie in before} == {"Lax"}
        page.evaluate("document.cookie = 'readable=yes; Secure; Path=/'")
        assert page.evaluate("document.cookie") == "readable=yes"
        assert page.evaluate("cookieStore.getAll().then(all => all.map(cookie => cookie.name))") == ["readable"]
        for name in names:
            for value in ("evil; Secure; Path=/", "; Secure; Path=/; Max-Age=0"):
                page.evaluate("text => { document.cookie = text }", f"{name}={value}")
        after = [cookie for cookie in page.context.cookies() if cookie.get("name") != "readable"]
        assert sorted(map(str, after)) == sorted(map(str, before))
        page.goto("/dashboard")
        expect(page.get_by_role("heading", level=1)).to_have_text(ALICE)


def test_over_tls_the_cookie_has_the_plain_prefixed_name(browser: Browser, served_by_tls: Served) -> None:
    with visiting(browser, served_by_tls) as page:
        sign_up(page)
        [cookie] = page.context.cookies()
        assert (cookie.get("name"), cookie.get("domain")) == ("__Host-Http-session", "desk.test")
        assert page.evaluate("document.cookie") == ""
        sign_out(page)
        assert page.context.cookies() == []


@SCRIPT
def test_a_page_renews_an_expired_access_token_by_itself(browser: Browser, served: Served, script: bool) -> None:
    with visiting(browser, served, script=script) as page:
        sign_up(page)
        fill_sign_in(page, credential="jwt")
        before = {cookie.get("name"): cookie.get("value") for cookie in page.context.cookies()}
        served.clock.advance(timedelta(minutes=16))
        page.goto("/dashboard")
        expect(page.get_by_role("heading", level=1)).to_have_text(ALICE)
        after = {cookie.get("name"): cookie.get("value") for cookie in page.context.cookies()}
        assert after.keys() == before.keys()
        assert [name for name in after if after[name] == before[name]] == []
        # A button on a page that stood open meanwhile works as well.
        served.clock.advance(timedelta(minutes=16))
        page.get_by_role("button", name="this device").click()
        expect(page.get_by_role("status")).to_have_text("You are signed out on this device.")
        assert served.devices_of(ALICE) == 0


@SCRIPT
def test_a_mistake_has_the_focus_and_the_address_is_still_there(browser: Browser, served: Served, script: bool) -> None:
    with visiting(browser, served, script=script) as page:
        sign_up(page)
        sign_out(page)
        fill_sign_in(page, password=WRONG, credential="jwt")
        expect(page.get_by_role("alert")).to_have_text("The e-mail address or the password is not right.")
        expect(page.get_by_role("alert")).to_be_focused()
        expect(page.get_by_label("E-mail address")).to_have_value(ALICE)
        expect(page.get_by_label("Password", exact=True)).to_have_value("")
        expect(page.locator("input[value=jwt]")).to_be_checked()
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text(ALICE)


def test_a_password_can_be_shown_while_it_is_typed_where_there_is_script(browser: Browser, served: Served) -> None:
    with visiting(browser, served) as page, visiting(browser, served, script=False) as plain:
        page.goto("/signup")
        password = page.get_by_label("Password", exact=True)
        password.fill(PASSWORD)
        page.get_by_role("button", name="Show the password").click()
        expect(password).to_have_attribute("type", "text")
        expect(password).to_be_focused()
        page.get_by_role("button", name="Hide the password").click()
        expect(password).to_have_attribute("type", "password")
        plain.goto("/signup")
        expect(plain.get_by_role("main").get_by_role("button")).to_have_count(1)


@SCRIPT
def test_answers_lead_to_advice_that_has_an_address(browser: Browser, served: Served, script: bool) -> None:
    with visiting(browser, served, script=script) as page:
        page.goto("/advise")
        page.get_by_role("group", name="Who talks to it?").get_by_label("A mobile application").check()
        page.get_by_role("group", name="On how many machines").get_by_label("Several machines").check()
        page.get_by_role("button", name="Advise me").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("A short-lived JWT with refresh, as a bearer token")
        expect(page.get_by_role("region", name="app.py")).to_contain_text('os.environ["FRONTDESK_STORE"]')
        page.get_by_role("group", name="While the store cannot be asked").get_by_label("They go on").check()
        page.get_by_role("button", name="Advise again").click()
        expect(page.get_by_role("region", name="app.py")).to_contain_text("insecure_trust_stale=True")
        expect(page.get_by_role("heading", name="What it costs")).to_be_visible()
        address = page.url
        assert address.startswith(f"{served.origin}/advise?")
        assert "store-down=go-on" in address
        page.goto(address)
        expect(page.get_by_role("region", name="app.py")).to_contain_text("insecure_trust_stale=True")


def test_what_is_to_be_pasted_can_be_copied_where_there_is_script(browser: Browser, served: Served) -> None:
    with visiting(browser, served, permissions=["clipboard-read", "clipboard-write"]) as page:
        page.goto(ADVICE)
        page.get_by_role("button", name="Copy: orders.py").click()
        expect(page.get_by_role("button", name="Copied: orders.py")).to_be_visible()
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied.startswith("import os\n")
        assert "Verifier(" in copied


def test_the_policy_lets_our_pages_work_and_nothing_else(browser: Browser, served: Served) -> None:
    with visiting(browser, served) as page:
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        sign_up(page)
        for path in ("/", "/signup", "/signin", "/dashboard", "/advise", ADVICE):
            page.goto(path)
        assert complaints == []
        with pytest.raises(Error, match="TrustedHTML"):
            page.evaluate("document.body.innerHTML = '<b>evil</b>'")
        with pytest.raises(Error, match="TrustedScriptURL"):
            page.evaluate("document.createElement('script').src = '/evil.js'")
        with pytest.raises(Error, match="Failed to fetch"):
            page.evaluate("fetch('https://evil.test/')")
        page.evaluate(
            "() => { const made = document.createElement('style');"
            " made.textContent = 'body { display: none }'; document.head.append(made); }"
        )
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert [text for text in complaints if "style-src" in text] != []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_no_page_scrolls_sideways(browser: Browser, served: Served, width: int, scheme: Any) -> None:
    size = {"width": width, "height": 640}
    with visiting(browser, served, viewport=size, color_scheme=scheme) as page:
        sign_up(page, "an.uncommonly.long.address.that.nobody.would.like.to.type@department.of.a.university.example")
        for path in ("/", "/signup", "/signin", "/dashboard", "/nowhere", "/advise", ADVICE):
            page.goto(path)
            assert page.evaluate("document.documentElement.scrollWidth") == width
