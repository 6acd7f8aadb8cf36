"""The client in Node, where pages are rendered: with the cookies of one request, and with those that go back."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from frontdesk.clock import AdjustableClock
from tests.browser.sites import PAST_ACCESS, REFRESH, Site, landing
from tests.requirements import find_node

CREDENTIALS = {"email": "alice@example.com", "password": "correct horse battery staple"}
SIGNED_IN = pytest.mark.parametrize("transport", ["cookie", "bearer"])
PATIENCE = 30.0


@pytest.fixture
def visitor(site: Site) -> Iterator[httpx.Client]:
    """A browser without script: nothing but a jar, which holds its Secure cookies back over plain http."""
    with httpx.Client(base_url=site.origin, trust_env=False) as client:
        client.post("/auth/register", json=CREDENTIALS).raise_for_status()
        yield client


def enter(visitor: httpx.Client, transport: str = "cookie") -> str:
    more = {"refresh_in": "cookie"} if transport == "bearer" else {}
    asked = {**CREDENTIALS, "credential": "jwt", "transport": transport, **more}
    signed = visitor.post("/auth/login", json=asked, headers={"cookie": cookies_of(visitor)})
    return str(signed.raise_for_status().json()["subject"])


def cookies_of(visitor: httpx.Client) -> str:
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in visitor.cookies.jar)


def render(
    site: Site,
    cookie: str,
    *steps: Sequence[Any],
    transport: str = "cookie",
    origins: Sequence[str] = (),
    **headers: str,
) -> Any:
    """What a page that is rendered for these cookies finds out."""
    node = find_node()
    sent = {"cookie": cookie, **headers}
    options = {"base": f"{site.origin}/auth", "transport": transport, "origins": origins, "headers": sent}
    script = Path(__file__).parent / "rendering.mjs"
    done = subprocess.run(
        [node, script],
        input=json.dumps({"options": options, "steps": steps}),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    return json.loads(done.stdout)


def received(visitor: httpx.Client, rendered: Any) -> None:
    """The browser gets the cookies of the answer."""
    for cookie in rendered["setCookies"]:
        name, _, rest = cookie.partition("=")
        visitor.cookies.jar.clear("localhost.local", "/", name)
        visitor.cookies.set(name, rest.partition(";")[0], domain="localhost.local", path="/")


def test_where_there_is_no_browser_importing_and_making_a_client_does_nothing(site: Site) -> None:
    rendered = render(site, "")
    assert rendered["globals"] == 0
    assert rendered["nowhere"] == {"state": {"status": "unknown"}, "me": "TypeError"}
    assert (rendered["state"], site.seen) == ({"status": "unknown"}, [])


@SIGNED_IN
def test_a_page_is_rendered_with_an_expired_token_and_the_new_cookies_go_back(
    site: Site, clock: AdjustableClock, visitor: httpx.Client, transport: str
) -> None:
    subject = enter(visitor, transport)
    for _ in range(3):
        clock.advance(PAST_ACCESS)
        site.forget()
        rendered = render(
            site, cookies_of(visitor), ["together", "/whoami", "/whoami", "/whoami"], ["me"], transport=transport
        )
        assert rendered["done"] == [[200, 200, 200], subject]
        assert (rendered["state"]["status"], site.count(REFRESH)) == ("signed-in", 1)
        assert len(rendered["setCookies"]) == (2 if transport == "cookie" else 1)
        assert all("HttpOnly" in cookie and "Path=/" in cookie for cookie in rendered["setCookies"])
        received(visitor, rendered)


def test_a_stream_is_sent_once_and_what_follows_is_signed_afresh(
    site: Site, clock: AdjustableClock, visitor: httpx.Client
) -> None:
    enter(visitor)
    clock.advance(PAST_ACCESS)
    site.forget()
    rendered = render(site, cookies_of(visitor), ["stream", "/echo"], ["stream", "/echo"])
    assert rendered["done"] == [401, 200]
    assert (site.count("/echo"), site.count(REFRESH)) == (2, 1)


@SIGNED_IN
def test_pages_that_are_rendered_at_once_and_pages_whose_answer_is_lost_sign_nobody_out(
    site: Site, clock: AdjustableClock, visitor: httpx.Client, transport: str
) -> None:
    subject = enter(visitor, transport)
    clock.advance(PAST_ACCESS)
    old = cookies_of(visitor)
    # The first answer reaches nobody; the second is rendered within the same grace, by cookies that are old by now.
    first, second = (render(site, old, ["me"], transport=transport) for _ in range(2))
    assert first["done"] == second["done"] == [subject]
    assert len(second["setCookies"]) == len(first["setCookies"]) - 1
    clock.advance(PAST_ACCESS)
    late = render(site, old, ["me"], transport=transport)
    assert (late["done"], late["state"]["status"]) == ([subject], "signed-in")


@SIGNED_IN
def test_a_page_for_nobody_says_so(site: Site, visitor: httpx.Client, transport: str) -> None:
    rendered = render(site, "", ["me"], ["fetch", "/whoami"], transport=transport)
    assert rendered["done"] == [None, 401]
    assert rendered["state"] == {"status": "signed-out", "reason": "not_signed_in"}
    enter(visitor, transport)
    cookie = cookies_of(visitor)
    visitor.post("/auth/logout", headers={"cookie": cookie}).raise_for_status()
    rendered = render(site, cookie, ["me"], transport=transport)
    assert rendered["done"] == [None]
    assert rendered["state"] == {"status": "signed-out", "reason": "session_ended"}


@SIGNED_IN
def test_a_page_whose_request_lost_a_race_with_a_new_sign_in_is_not_drawn_as_signed_out(
    site: Site, visitor: httpx.Client, transport: str
) -> None:
    enter(visitor, transport)
    cookie = cookies_of(visitor)
    enter(visitor, transport)
    rendered = render(site, cookie, ["me"], transport=transport)
    assert rendered["done"] == ["session_replaced"]
    assert rendered["state"] == {"status": "unknown"}


@SIGNED_IN
def test_a_desk_that_cannot_be_asked_is_no_sign_out(
    site: Site, clock: AdjustableClock, visitor: httpx.Client, transport: str
) -> None:
    enter(visitor, transport)
    clock.advance(PAST_ACCESS)
    site.broken = {REFRESH}
    rendered = render(site, cookies_of(visitor), ["me"], ["fetch", "/whoami"], transport=transport)
    assert rendered["done"] == ["store_unavailable"] * 2
    assert (rendered["state"], rendered["setCookies"]) == ({"status": "unknown"}, [])


def test_a_server_does_not_act_with_cookies_for_another_site(site: Site, visitor: httpx.Client) -> None:
    enter(visitor)
    post = {"method": "POST", "body": "{}"}
    step = ["fetch", "/auth/logout", post]
    foreign = {"origin": "https://evil.test", "sec-fetch-site": "cross-site"}
    assert render(site, cookies_of(visitor), step, **foreign)["done"] == [403]
    assert render(site, cookies_of(visitor), ["me"], **foreign)["state"]["status"] == "signed-in"
    own = {"method": "POST", "headers": {"content-type": "application/json"}, "body": "{}"}
    same = {"origin": site.origin, "sec-fetch-site": "same-origin"}
    rendered = render(site, cookies_of(visitor), ["fetch", "/auth/logout", own], **same)
    assert rendered["done"] == [204]
    assert all("Max-Age=0" in cookie for cookie in rendered["setCookies"])


def test_a_page_that_a_link_elsewhere_led_to_is_refreshed_all_the_same(
    site: Site, clock: AdjustableClock, visitor: httpx.Client
) -> None:
    subject = enter(visitor)
    clock.advance(PAST_ACCESS)
    rendered = render(site, cookies_of(visitor), ["me"], **{"sec-fetch-site": "cross-site"})
    assert rendered["done"] == [subject]


@SIGNED_IN
def test_no_cookie_and_no_token_goes_to_another_origin(site: Site, visitor: httpx.Client, transport: str) -> None:
    enter(visitor, transport)
    with Site(landing) as elsewhere:
        there = f"{elsewhere.origin}/landed"
        steps: list[list[Any]] = [["fetch", there], ["fetch", f"/to?target={there}"], ["fetch", "/to?target=/whoami"]]
        steps.append(["fetch", f"/to?target={there}", {"redirect": "follow"}])
        rendered = render(site, cookies_of(visitor), *steps, transport=transport)
        assert rendered["done"] == [200, "redirect_refused", "redirect_refused", 200]
        assert [(each.token, each.cookie) for each in elsewhere.seen] == [(False, False)] * 2
        assert rendered["setCookies"] == []


@SIGNED_IN
def test_cookies_go_to_no_other_host_that_is_listed_and_are_taken_from_none(
    site: Site, visitor: httpx.Client, transport: str
) -> None:
    enter(visitor, transport)
    with Site(landing) as elsewhere:
        there = f"http://127.0.0.1:{elsewhere.port}"
        step = ["fetch", f"{there}/landed"]
        rendered = render(site, cookies_of(visitor), step, transport=transport, origins=[there])
        assert rendered["done"] == [200]
        assert [(each.token, each.cookie) for each in elsewhere.seen] == [(transport == "bearer", False)]
        # What the refresh of a bearer client brings is the desk's own.
        assert not [cookie for cookie in rendered["setCookies"] if "planted" in cookie]


def test_a_session_that_idled_is_over(site: Site, clock: AdjustableClock, visitor: httpx.Client) -> None:
    enter(visitor)
    clock.advance(timedelta(days=8))
    rendered = render(site, cookies_of(visitor), ["me"])
    assert rendered["state"] == {"status": "signed-out", "reason": "session_idle"}
