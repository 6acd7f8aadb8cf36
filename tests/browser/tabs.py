"""Tabs of Chromium with a client in them, and what they can be told to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from frontdesk.clock import AdjustableClock
from tests.browser.sites import PAST_ACCESS, Site

ALICE = "alice@example.com"
BOB = "bob@example.com"
PASSWORD = "correct horse battery staple"
TABS = 12
_PATIENCE = 20_000  # milliseconds until what does not happen is a failure

TRANSPORTS = pytest.mark.parametrize("transport", ["cookie", "bearer"])
WITHOUT = {
    "without locks": "delete Navigator.prototype.locks",
    "without channel": "delete globalThis.BroadcastChannel",
    "without both": "delete Navigator.prototype.locks; delete globalThis.BroadcastChannel",
}
MEETING = pytest.mark.parametrize(
    "without",
    ["", WITHOUT["without locks"], WITHOUT["without both"]],
    ids=["with both", "without locks", "without both"],
)


@contextmanager
def profile(browser: Browser, origin: str, *, without: str = "") -> Iterator[BrowserContext]:
    """A new profile of the browser, in which `without` is run before anything else on every page."""
    context = browser.new_context(base_url=origin)
    context.set_default_timeout(_PATIENCE)
    if without:
        context.add_init_script(without)
    try:
        yield context
    finally:
        context.close()


def open_tab(context: BrowserContext, transport: str) -> Page:
    """A tab with a client, and with what it told of changes in `heard`."""
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto("/page")
    page.wait_for_function("globalThis.frontdesk")
    make_client(page, transport)
    assert complaints == []
    return page


def make_client(page: Page, transport: str) -> None:
    page.evaluate(
        """transport => {
            globalThis.client = frontdesk.createClient({ transport, credential: "jwt" });
            globalThis.heard = [];
            client.onChange(state => heard.push(state.status));
        }""",
        transport,
    )


def register(page: Page, *emails: str) -> None:
    for email in emails:
        status = page.evaluate(
            """async account => (await fetch("/auth/register", { method: "POST", body: JSON.stringify(account),
                headers: { "content-type": "application/json" } })).status""",
            {"email": email, "password": PASSWORD},
        )
        assert status == 201


def sign_in(page: Page, email: str = ALICE) -> str:
    """Sign in by the client; the subject."""
    state = page.evaluate("([email, password]) => client.signIn({ email, password })", [email, PASSWORD])
    assert state["status"] == "signed-in"
    return str(state["subject"])


def wait_for_status(pages: Sequence[Page], status: str) -> None:
    for page in pages:
        page.wait_for_function("status => client.state.status === status", arg=status)


def start(page: Page, path: str = "/whoami") -> None:
    """Begin a request and let it run; `answer` tells how it ended."""
    page.evaluate(
        """path => { globalThis.pending = client.fetch(path).then(answer => answer.status, error => error.code); }""",
        path,
    )


def answer(page: Page) -> Any:
    return page.evaluate("pending")


def ask(page: Page, path: str = "/whoami") -> Any:
    """One request: its status, or the code of the error."""
    start(page, path)
    return answer(page)


def status(page: Page) -> str:
    return str(page.evaluate("client.state.status"))


def heard(page: Page) -> list[str]:
    return list(page.evaluate("heard"))


def stored(page: Page) -> Any:
    """Everything that a script of this origin can find again after a reload."""
    return page.evaluate(
        """async () => [localStorage.length, sessionStorage.length, (await indexedDB.databases()).length,
            (await caches.keys()).length, document.cookie]"""
    )


def lock_names(page: Page) -> list[str]:
    """The names of the Web Locks that are held: every script of this origin may read them."""
    return list(page.evaluate("navigator.locks.query().then(({ held }) => held.map(({ name }) => name))"))


NOTHING_STORED = [0, 0, 0, 0, ""]


def open_tabs(
    context: BrowserContext,
    transport: str,
    pages: list[Page] | None = None,
    *,
    count: int = TABS,
    talking: bool = True,
) -> list[Page]:
    """So many tabs that know that Alice is signed in. `pages`: with new clients in these, if there are any."""
    if pages:
        for page in pages:
            page.evaluate("client.close()")
            make_client(page, transport)
    else:
        pages = [open_tab(context, transport) for _ in range(count)]
        register(pages[0], ALICE)
    sign_in(pages[0])
    if not talking:
        for page in pages[1:]:
            assert page.evaluate("client.refresh().then(state => state.status)") == "signed-in"
    wait_for_status(pages, "signed-in")
    return pages


def all_expired(site: Site, clock: AdjustableClock) -> None:
    clock.advance(PAST_ACCESS)
    site.forget()


def come_to_the_front(page: Page, status: str) -> None:
    """As often as it takes to find out: a tab looks once a second at most."""
    page.wait_for_function(
        "status => client.state.status === status || void dispatchEvent(new Event('focus'))", arg=status
    )
