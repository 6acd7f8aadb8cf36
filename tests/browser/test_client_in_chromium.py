"""The client for browsers in Chromium: sign-outs, changes, redirects, refusals, bodies, a worker, wrong clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Browser, Error

from frontdesk.clock import AdjustableClock
from tests.browser.sites import REFRESH, Site, landing
from tests.browser.tabs import (
    ALICE,
    BOB,
    NOTHING_STORED,
    TRANSPORTS,
    WITHOUT,
    all_expired,
    answer,
    ask,
    come_to_the_front,
    heard,
    lock_names,
    make_client,
    open_tab,
    open_tabs,
    profile,
    register,
    sign_in,
    start,
    status,
    stored,
    wait_for_status,
)

pytestmark = pytest.mark.browser


@TRANSPORTS
def test_every_tab_learns_of_sign_in_and_sign_out_at_once(browser: Browser, site: Site, transport: str) -> None:
    with profile(browser, site.origin) as context:
        pages = [open_tab(context, transport) for _ in range(4)]
        register(pages[0], ALICE)
        sign_in(pages[3])
        wait_for_status(pages, "signed-in")
        site.forget()
        assert [ask(page) for page in pages] == [200] * 4
        pages[2].evaluate("client.signOut()")
        wait_for_status(pages, "signed-out")
        assert [ask(page) for page in pages] == [401] * 4
        assert site.count(REFRESH) == 0
        assert [heard(page) for page in pages] == [["signed-in", "signed-out"]] * 4
        assert [stored(page) for page in pages] == [NOTHING_STORED] * 4
        assert context.cookies() == []


def test_what_a_tab_notes_for_the_others_names_who_is_signed_in_and_holds_no_credential(
    browser: Browser, site: Site
) -> None:
    with profile(browser, site.origin) as context:
        page = open_tab(context, "bearer")
        register(page, ALICE)
        subject = sign_in(page)
        [noted] = [name for name in lock_names(page) if " granted " in name]
        with page.expect_request("**/whoami") as asking:
            assert ask(page) == 200
        token = asking.value.all_headers()["authorization"].removeprefix("Bearer ")
        assert subject in noted
        assert [part for part in token.split(".") if part[:12] in noted or part[-12:] in noted] == []


@TRANSPORTS
@pytest.mark.parametrize("without", [WITHOUT["without channel"], WITHOUT["without both"]], ids=["locks", "nothing"])
def test_without_a_channel_a_tab_learns_of_it_at_its_next_request_or_when_it_comes_to_the_front(
    browser: Browser, site: Site, transport: str, without: str
) -> None:
    with profile(browser, site.origin, without=without) as context:
        here, there, behind = (open_tab(context, transport) for _ in range(3))
        register(here, ALICE)
        sign_in(here)
        for page in (there, behind):
            assert page.evaluate("client.me().then(me => me.subject)") == here.evaluate("client.state.subject")
        here.evaluate("client.signOut()")
        assert ask(there) == 401
        assert status(there) == "signed-out"
        come_to_the_front(behind, "signed-out")
        sign_in(here)
        come_to_the_front(behind, "signed-in")


def test_an_opaque_session_needs_no_refresh(browser: Browser, site: Site, clock: AdjustableClock) -> None:
    with profile(browser, site.origin) as context:
        here, there = (open_tab(context, "cookie") for _ in range(2))
        for page in (here, there):
            page.evaluate("globalThis.client = frontdesk.createClient()")
        register(here, ALICE)
        sign_in(here)
        wait_for_status([there], "signed-in")
        clock.advance(timedelta(days=6))
        site.forget()
        assert ([ask(here), ask(there)], site.count(REFRESH)) == ([200, 200], 0)
        clock.advance(timedelta(days=8))
        assert ask(there) == 401
        wait_for_status([here], "signed-out")
        assert here.evaluate("client.state.reason") == "session_idle"


@TRANSPORTS
def test_a_tab_sends_nothing_as_somebody_else_before_it_was_told_to(
    browser: Browser, site: Site, transport: str
) -> None:
    with profile(browser, site.origin) as context:
        here, there = (open_tab(context, transport) for _ in range(2))
        register(here, ALICE, BOB)
        alice = sign_in(here)
        wait_for_status([there], "signed-in")
        bob = sign_in(there, BOB)
        wait_for_status([here], "changed")
        state = here.evaluate("client.state")
        assert (state["subject"], state["previous"]) == (bob, alice)
        site.forget()
        assert ask(here) == "subject_changed"
        assert site.seen == []
        assert here.evaluate("client.signOut().catch(error => error.code)") == "subject_changed"
        assert here.evaluate("client.me().then(me => me.subject)") == bob
        here.evaluate("client.acknowledge()")
        assert here.evaluate("client.fetch('/whoami').then(answer => answer.json())") == {"subject": bob}
        assert heard(here) == ["signed-in", "changed", "signed-in"]


@TRANSPORTS
def test_the_loser_of_a_race_with_a_new_sign_in_is_not_signed_out(browser: Browser, site: Site, transport: str) -> None:
    with profile(browser, site.origin, without=WITHOUT["without both"]) as context:
        here, there = (open_tab(context, transport) for _ in range(2))
        register(here, ALICE)
        sign_in(here)
        there.evaluate("client.refresh()")
        with site.holding("/whoami", until=2):
            start(there)
            site.wait_for("/whoami", 1)
            # The answer that waits is still good; what is asked with the replaced session afterwards is not.
            sign_in(here)
            site.release()
        assert answer(there) == 200
        assert ask(there) == 200
        assert set(heard(there)) == {"signed-in"}


@TRANSPORTS
def test_a_refusal_that_is_older_than_a_sign_in_is_not_believed(browser: Browser, site: Site, transport: str) -> None:
    with profile(browser, site.origin, without=WITHOUT["without both"]) as context:
        here, there = (open_tab(context, transport) for _ in range(2))
        register(here, ALICE)
        sign_in(here)
        assert there.evaluate("client.refresh().then(state => state.status)") == "signed-in"
        here.evaluate("client.signOut()")
        site.forget()
        with site.holding(REFRESH):
            there.evaluate("() => { globalThis.pending = client.refresh().then(state => state.status); }")
            site.wait_for(REFRESH, 1)
            sign_in(here)
        assert answer(there) == "signed-in"
        assert (heard(there)[-1], site.count(REFRESH)) == ("signed-in", 2)
        assert "signed-out" not in heard(there)


@TRANSPORTS
def test_a_grant_that_is_older_than_a_sign_out_is_not_believed(browser: Browser, site: Site, transport: str) -> None:
    with profile(browser, site.origin, without=WITHOUT["without locks"]) as context:
        here, there = (open_tab(context, transport) for _ in range(2))
        register(here, ALICE)
        sign_in(here)
        wait_for_status([there], "signed-in")
        site.forget()
        with site.holding(REFRESH):
            there.evaluate("() => { globalThis.pending = client.refresh().then(state => state.status); }")
            site.wait_for(REFRESH, 1)
            here.evaluate("client.signOut()")
            wait_for_status([there], "signed-out")
        assert answer(there) == "signed-out"
        assert heard(there) == ["signed-in", "signed-out"]


@TRANSPORTS
@pytest.mark.parametrize("refused", ["session_ended", "session_idle"])
def test_a_session_that_is_over_becomes_state_with_its_reason(
    browser: Browser, site: Site, clock: AdjustableClock, transport: str, refused: str
) -> None:
    with profile(browser, site.origin) as context:
        here, there = (open_tab(context, transport) for _ in range(2))
        register(here, ALICE)
        sign_in(here)
        wait_for_status([there], "signed-in")
        if refused == "session_ended":
            with profile(browser, site.origin) as another:
                device = open_tab(another, transport)
                sign_in(device)
                device.evaluate("client.fetch('/auth/sessions?except=current', { method: 'DELETE' })")
        else:
            clock.advance(timedelta(days=8))
        assert ask(here) == 401
        wait_for_status([here, there], "signed-out")
        assert there.evaluate("client.state.reason") == refused
        assert here.evaluate("client.me()") is None


@TRANSPORTS
def test_what_could_not_be_asked_is_never_drawn_as_signed_out(
    browser: Browser, site: Site, clock: AdjustableClock, transport: str
) -> None:
    with profile(browser, site.origin) as context:
        page = open_tab(context, transport)
        register(page, ALICE)
        sign_in(page)
        all_expired(site, clock)
        site.broken = {REFRESH, "/auth/logout"}
        assert ask(page) == "store_unavailable"
        told = page.evaluate("client.signOut().catch(error => [error.code, error.status, error.problem.code])")
        assert told == ["store_unavailable", 503, "store_unavailable"]
        context.set_offline(True)
        assert ask(page) in {"network_error", None}
        assert page.evaluate("client.refresh().catch(error => error.code)") == "network_error"
        assert page.evaluate("client.me().catch(error => error.code)") == "network_error"
        context.set_offline(False)
        site.broken = set()
        assert (status(page), heard(page)) == ("signed-in", ["signed-in"])
        assert ask(page) == 200
        # A tab that knows nothing yet draws neither the one nor the other.
        site.broken = {REFRESH, "/auth/me"}
        fresh = context.new_page()
        fresh.goto("/page")
        fresh.wait_for_function("globalThis.frontdesk")
        make_client(fresh, "cookie")
        assert fresh.evaluate("client.me().catch(error => error.code)") == "store_unavailable"
        assert status(fresh) == "unknown"


def test_a_refusal_to_sign_in_is_an_error_with_its_code(browser: Browser, site: Site) -> None:
    with profile(browser, site.origin) as context:
        page = open_tab(context, "bearer")
        register(page, ALICE)
        told = page.evaluate(
            """email => client.signIn({ email, password: "wrong wrong wrong wrong" }).catch(error =>
                [error instanceof frontdesk.FrontdeskError, error.code, error.status, error.problem.status])""",
            ALICE,
        )
        assert told == [True, "invalid_credentials", 401, 401]
        assert status(page) == "unknown"


@TRANSPORTS
def test_a_body_is_sent_again_as_it_was(browser: Browser, site: Site, clock: AdjustableClock, transport: str) -> None:
    with profile(browser, site.origin) as context:
        page = open_tab(context, transport)
        register(page, ALICE)
        sign_in(page)
        bodies = {
            "text": "'hello'",
            "bytes": "new TextEncoder().encode('hello')",
            "blob": "new Blob(['hello'])",
        }
        for body in bodies.values():
            all_expired(site, clock)
            said = page.evaluate(
                f"client.fetch('/echo', {{ method: 'POST', body: {body} }}).then(answer => answer.json())"
            )
            assert said == {"said": "hello"}
            assert site.count("/echo") == 2
        all_expired(site, clock)
        said = page.evaluate(
            "client.fetch(new Request('/echo', { method: 'POST', body: 'hello' })).then(answer => answer.json())"
        )
        assert said == {"said": "hello"}


@TRANSPORTS
def test_a_request_is_sent_twice_and_never_more_often_whoever_refreshes(
    browser: Browser, site: Site, transport: str
) -> None:
    with profile(browser, site.origin) as context:
        pages = open_tabs(context, transport, count=2)
        site.forget()
        with site.holding("/stubborn", until=2):
            for number, page in enumerate(pages):
                start(page, f"/stubborn?{number}")  # Chromium sends one request for a URL at a time
            site.wait_for("/stubborn", 2)
        assert [answer(page) for page in pages] == [401, 401]
        assert (site.count("/stubborn"), site.count(REFRESH)) == (4, 1)
        assert [status(page) for page in pages] == ["signed-in"] * 2


def test_what_was_done_before_a_redirect_is_not_done_twice(
    browser: Browser, site: Site, clock: AdjustableClock
) -> None:
    with profile(browser, site.origin) as context:
        page = open_tab(context, "cookie")
        register(page, ALICE)
        sign_in(page)
        all_expired(site, clock)
        assert page.evaluate("client.fetch('/order', { method: 'post' }).then(answer => answer.status)") == 401
        assert (site.count("/order"), site.count(REFRESH), status(page)) == (1, 0, "signed-in")
        assert ask(page) == 200
        assert site.count(REFRESH) == 1


@TRANSPORTS
def test_who_gives_up_is_answered_at_once_and_disturbs_nobody(
    browser: Browser, site: Site, clock: AdjustableClock, transport: str
) -> None:
    with profile(browser, site.origin) as context:
        page = open_tab(context, transport)
        register(page, ALICE)
        sign_in(page)
        all_expired(site, clock)
        with site.holding(REFRESH):
            page.evaluate(
                """() => {
                    globalThis.giving = new AbortController();
                    globalThis.given = client.fetch("/whoami", { signal: giving.signal }).catch(error => error.name);
                    globalThis.kept = client.fetch("/whoami").then(answer => answer.status);
                }"""
            )
            site.wait_for(REFRESH, 1)
            page.evaluate("giving.abort()")
            assert page.evaluate("given") == "AbortError"
        assert page.evaluate("kept") == 200
        assert site.count(REFRESH) == 1


def test_a_bearer_token_goes_to_its_own_origin_and_to_no_other(browser: Browser, site: Site) -> None:
    with Site(landing) as elsewhere, profile(browser, site.origin) as context:
        page = open_tab(context, "bearer")
        register(page, ALICE)
        sign_in(page)
        assert ask(page, f"{elsewhere.origin}/landed") == 200
        assert ask(page, f"/to?target={elsewhere.origin}/redirected") == "redirect_refused"
        assert ask(page, "/to?target=/whoami") == "redirect_refused"
        # Who insists on following is served by the browser, which takes the header away.
        follow = "target => client.fetch('/to?target=' + target, { redirect: 'follow' }).then(answer => answer.status)"
        assert page.evaluate(follow, f"{elsewhere.origin}/followed") == 200
        assert page.evaluate(follow, "/whoami") == 200
        tokens = {each.path: each.token for each in elsewhere.seen if each.method == "GET"}
        assert tokens == {"/landed": False, "/followed": False}
        page.evaluate(
            "origins => { globalThis.client = frontdesk.createClient({ transport: 'bearer', origins }); }",
            [elsewhere.origin],
        )
        assert ask(page, f"{elsewhere.origin}/listed") == 200
        assert [each.token for each in elsewhere.seen if each.path == "/listed" and each.method == "GET"] == [True]


def test_an_authorization_of_the_callers_own_is_left_alone(browser: Browser, site: Site) -> None:
    with profile(browser, site.origin) as context:
        page = open_tab(context, "bearer")
        register(page, ALICE)
        sign_in(page)
        site.forget()
        own = "client.fetch('/whoami', { headers: { authorization: 'Bearer own' } }).then(answer => answer.status)"
        assert page.evaluate(own) == 401
        assert (site.count("/whoami"), site.count(REFRESH), status(page)) == (1, 0, "signed-in")


@TRANSPORTS
def test_an_application_with_users_of_its_own_signs_in_by_its_own_route(
    browser: Browser, site: Site, transport: str
) -> None:
    with profile(browser, site.origin) as context:
        page = open_tab(context, transport)
        state = page.evaluate(
            """body => client.signIn(() => fetch("/enter", { method: "POST",
                headers: { "content-type": "application/json" }, body: JSON.stringify(body) }))""",
            {"name": "carol", "transport": transport},
        )
        assert (state["status"], state["subject"]) == ("signed-in", "carol")
        assert page.evaluate("client.me().then(me => me.subject)") == "carol"
        assert ask(page) == 200


@TRANSPORTS
def test_a_service_worker_uses_the_client(browser: Browser, site: Site, clock: AdjustableClock, transport: str) -> None:
    with profile(browser, site.origin) as context:
        page = open_tab(context, transport)
        register(page, ALICE)
        subject = sign_in(page)
        page.evaluate(
            """async transport => {
                await work(`/worker.js?transport=${transport}`);
                await navigator.serviceWorker.ready;
                if (!navigator.serviceWorker.controller)
                    await new Promise(done => navigator.serviceWorker.addEventListener("controllerchange", done));
            }""",
            transport,
        )
        all_expired(site, clock)
        assert page.evaluate("fetch('/by-worker').then(answer => answer.json())") == {"subject": subject}
        assert site.count(REFRESH) == 1
        told = page.evaluate(
            """() => new Promise(done => {
                const { port1, port2 } = new MessageChannel();
                port1.onmessage = event => done(event.data);
                navigator.serviceWorker.controller.postMessage("", [port2]);
            })"""
        )
        assert (told["status"], told["state"]["subject"]) == (200, subject)
        assert site.count(REFRESH) == 1
        all_expired(site, clock)
        # The page itself signs nothing; the worker passes its request on, body and all, twice.
        echo = "fetch('/echo', { method: 'POST', body: 'hello' }).then(answer => answer.json())"
        assert page.evaluate(echo) == {"said": "hello"}
        assert (site.count("/echo"), site.count(REFRESH)) == (2, 1)
        assert stored(page) == NOTHING_STORED


@TRANSPORTS
def test_a_token_is_refreshed_shortly_before_it_expires_whatever_the_clock_says(
    browser: Browser, site: Site, clock: AdjustableClock, transport: str
) -> None:
    with profile(browser, site.origin) as context:
        page = context.new_page()
        page.clock.install(time=datetime(2001, 1, 1, tzinfo=UTC))
        page.goto("/page")
        page.wait_for_function("globalThis.frontdesk")
        make_client(page, transport)
        register(page, ALICE)
        sign_in(page)
        site.forget()
        page.clock.fast_forward("14:00")
        assert (ask(page), site.count(REFRESH)) == (200, 0)
        page.clock.fast_forward("00:40")
        clock.advance(timedelta(minutes=14, seconds=40))
        assert (ask(page), site.count(REFRESH), site.count("/whoami")) == (200, 1, 2)
        # A clock that is set back, or forward by years, at most asks early, once.
        page.clock.set_system_time(datetime(1999, 1, 1, tzinfo=UTC))
        assert (ask(page), site.count(REFRESH)) == (200, 1)
        page.clock.set_system_time(datetime(2031, 1, 1, tzinfo=UTC))
        assert [ask(page), ask(page), site.count(REFRESH)] == [200, 200, 2]


def test_what_is_no_option_is_refused_when_the_client_is_made(browser: Browser, site: Site) -> None:
    with profile(browser, site.origin) as context:
        page = open_tab(context, "cookie")
        for options in (
            "{ transport: 'pigeon' }",
            "{ transport: 'bearer', credential: 'session' }",
            "{ origins: ['https://api.example/'] }",
            "{ base: 'mailto:desk@example.com' }",
        ):
            with pytest.raises(Error, match="TypeError"):
                page.evaluate(f"void frontdesk.createClient({options})")
