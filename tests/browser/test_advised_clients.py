"""What the advisor prints for scripts runs in Chromium as it stands, beside the application that it is printed with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from frontdesk.adapters import asgi
from frontdesk.advisor import recommend
from frontdesk.core.passwords import PROFILES
from tests.advisor.hosting import hosted, port
from tests.advisor.test_configurations import started
from tests.browser.sites import Site
from tests.browser.tabs import ALICE, NOTHING_STORED, PASSWORD, profile, stored

pytestmark = pytest.mark.browser

PRINTED = "https://app.example"
ANSWERS = {"sso": "none", "services": "one", "client": "single-page", "machines": "one", "claims-size": "small"}
CASES = {
    "server-rendered": {"client": "pages"},
    "single-page-cookie": {"script": "no", "claims-secrecy": "open"},
    "single-page-memory": {"script": "yes", "claims-secrecy": "open"},
    "single-page-memory, encrypted": {"script": "yes", "claims-secrecy": "secret"},
}
PAGE = """<!doctype html>
<script>var email = "{email}", password = "{password}";</script>
<script type="module">
{printed}
globalThis.client = {client};
</script>"""


def shows(html: list[str]) -> Starlette:
    """An application of one page, which may be known later."""

    async def page(request: Request) -> HTMLResponse:
        return HTMLResponse("".join(html))

    return Starlette(routes=[Route("/page", page)])


@pytest.mark.parametrize("case", CASES)
def test_the_printed_script_signs_in_and_asks_and_its_client_refreshes(
    case: str, browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = recommend({**ANSWERS, **CASES[case]})
    assert found.leaf == case.partition(",")[0]
    defaults: Any = asgi.Frontdesk.__init__.__kwdefaults__
    monkeypatch.setitem(defaults, "hashing", PROFILES["small"])
    monkeypatch.chdir(tmp_path)
    html: list[str] = []
    with port() as listening, Site(shows(html)) as elsewhere:
        base = f"http://localhost:{listening.getsockname()[1]}"
        monkeypatch.setenv("FRONTDESK_BASE_URL", base)
        monkeypatch.setenv("PAGE_ORIGIN", elsewhere.origin)
        printed = found.configuration.client.text.replace(PRINTED, base)
        client = "client" if "createClient" in printed else "null"
        html.append(PAGE.format(email=ALICE, password=PASSWORD, printed=printed, client=client))
        app = started(found.configuration.application.text)
        if found.plan.refresh_in is None:  # the page is of the host that signs in
            app.mount("/", shows(html))
        origin = base if found.plan.refresh_in is None else elsewhere.origin
        with hosted(app, listening), profile(browser, origin) as context:
            account = {"email": ALICE, "password": PASSWORD}
            subject = httpx.post(f"{base}/auth/register", json=account, trust_env=False).json()["subject"]
            page = context.new_page()
            with page.expect_response(lambda answer: answer.url == f"{base}/dashboard" and answer.ok) as answered:
                page.goto("/page")
            assert answered.value.json() == {"hello": subject}
            page.wait_for_function("globalThis.client !== undefined")
            if client != "null":
                assert page.evaluate("client.refresh().then(state => state.status)") == "signed-in"
            assert stored(page) == NOTHING_STORED
