"""Every sample of docs/how-to and docs/concepts is type-checked and run."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from starlette.testclient import WebSocketDenialResponse

from frontdesk.testing import Client
from tests.examples import samples
from tests.http.answers import EMAIL, PASSWORD, code_of, login, register
from tests.requirements import ROOT
from tests.server.processes import Server

PAGES = {
    "concepts/middleware.md": ["shop"],
    "how-to/asgi.md": ["archive"],
    "how-to/fastapi.md": ["bank", "checking_bank"],
    "how-to/identity-provider.md": ["reports"],
    "how-to/microservices.md": ["desk_of_services", "orders"],
    "how-to/mobile.md": ["rides", "life"],
    "how-to/other-frameworks.md": ["framework", "who_is_there"],
    "how-to/server-rendered.md": ["library"],
    "how-to/single-page-cookie.md": ["notes"],
    "how-to/single-page-memory.md": ["tickets"],
    "how-to/starlette.md": ["house"],
}
"""Which modules the samples of a page are; one that is imported by another has the name that is imported."""

Load = Callable[[str], tuple[ModuleType, ...]]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Import the samples of a page in an empty directory."""
    monkeypatch.chdir(tmp_path)
    with ExitStack() as stack:

        def imported(page: str) -> tuple[ModuleType, ...]:
            files = samples.write({page: PAGES[page]}, tmp_path)
            return tuple(stack.enter_context(samples.imported(files)).values())

        yield imported


def claims_of(token: str) -> dict[str, Any]:
    """The claims of a JWT, read as anybody can who holds it."""
    payload = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


def test_every_page_with_samples_is_run_here() -> None:
    pages = [path for room in ("concepts", "how-to") for path in (ROOT / "docs" / room).rglob("*.md")]
    with_samples = {str(path.relative_to(ROOT / "docs")) for path in pages if "```python" in path.read_text()}
    assert with_samples == set(PAGES)


def test_the_front_page_prints_the_example() -> None:
    assert samples.samples("index.md") == [(ROOT / "examples" / "fastapi_app.py").read_text()]


def test_the_samples_pass_mypy_strict(tmp_path: Path) -> None:
    assert samples.complaints_of_mypy(samples.write(PAGES, tmp_path), tmp_path) == ""


# --- frameworks -----------------------------------------------------------------------------------------------------


def test_fastapi_knows_who_may_what(load: Load) -> None:
    bank, checking = load("how-to/fastapi.md")
    checking.test_who_may_what()
    with Client(bank.app) as client:
        assert client.get("/").json() == "Hello."
        client.sign_in_as("alice")
        assert client.get("/").json() == "Hello, alice."
        assert client.post("/accounts/close").json() == {"closed": "alice"}


def test_starlette_lets_badges_in_and_out(load: Load) -> None:
    [house] = load("how-to/starlette.md")
    with Client(house.app) as client:
        assert client.get("/").json() == {"hello": "stranger"}
        assert client.post("/enter", json={"badge": "1"}).status_code == 401
        with pytest.raises(WebSocketDenialResponse), client.websocket_connect("/bell"):
            pass
        assert client.post("/enter", json={"badge": "4712"}).json()["subject"] == "bob"
        assert code_of(client.get("/keys")) == "role_missing"
        assert client.post("/enter", json={"badge": "4711"}).status_code == 200
        assert client.get("/keys").json() == {"handed to": "alice"}
        with client.websocket_connect("/bell") as socket:
            assert socket.receive_json() == {"rung by": "alice"}
        assert client.post("/leave").status_code == 204
        assert client.get("/").json() == {"hello": "stranger"}


def test_plain_asgi_is_closed_but_for_the_opening_hours(load: Load) -> None:
    [archive] = load("how-to/asgi.md")
    with Client(archive.app) as client:
        assert client.get("/opening-hours").text == "From nine to five."
        assert code_of(client.get("/letters"), status=401) == "not_signed_in"
        client.sign_in_as("alice")
        assert client.get("/letters").text == "Read by alice."
        assert code_of(client.get("/vault/7"), status=403) == "role_missing"
        client.sign_in_as("alice", roles={"archivist"})
        assert client.get("/vault/7").text == "Opened by alice."


def test_a_framework_that_nobody_knows_sees_no_stranger(load: Load) -> None:
    framework, _ = load("how-to/other-frameworks.md")
    with Client(framework.app) as client:
        assert client.get("/offers").json() == {"offers": ["a lamp"]}
        assert code_of(client.get("/basket"), status=401) == "not_signed_in"
        assert code_of(client.get("/nowhere"), status=401) == "not_signed_in"
        client.sign_in_as("alice")
        assert client.get("/basket").status_code == 403
        client.sign_in_as("alice", roles={"customer"})
        assert client.get("/basket").json() == {"basket of": "alice"}


def test_a_wsgi_application_asks_the_desk_beside_it(load: Load, tmp_path: Path) -> None:
    _, who_is_there = load("how-to/other-frameworks.md")

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [])
        return [str(environ["frontdesk.principal"]["subject"]).encode()]

    def ask(middleware: Any, token: str = "") -> tuple[str, bytes]:
        said: list[str] = []

        def start_response(status: str, _: object) -> None:
            said.append(status)

        environ: dict[str, Any] = {"wsgi.input": io.BytesIO()}
        if token:
            environ["HTTP_AUTHORIZATION"] = f"Bearer {token}"
        body = b"".join(middleware(environ, start_response))
        return said[0], body

    with Server(tmp_path) as server, httpx.Client(base_url=server.url) as client:
        account = {"email": EMAIL, "password": PASSWORD}
        subject = client.post("/auth/register", json=account).json()["subject"]
        wanted = {**account, "credential": "jwt", "transport": "bearer"}
        token = client.post("/auth/login", json=wanted).json()["access_token"]
        middleware = who_is_there.WhoIsThere(application, server.url)
        assert ask(middleware)[0] == "401 Unauthorized"
        assert ask(middleware, token) == ("200 OK", subject.encode())
        client.post("/auth/logout", headers={"authorization": f"Bearer {token}"}).raise_for_status()
        status, body = ask(middleware, token)
        assert (status, b"session_ended" in body) == ("401 Unauthorized", True)
    assert ask(middleware, token)[0] == "503 Service Unavailable"
    middleware.desk.close()


def test_refusals_pass_through_middleware_that_stands_outside(load: Load) -> None:
    [shop] = load("concepts/middleware.md")
    page = {"origin": "https://app.shop.example"}
    with Client(shop.app, base_url="https://api.shop.example") as client:
        refused = client.get("/orders", headers=page)
        assert code_of(refused, status=401) == "not_signed_in"
        assert refused.headers["access-control-allow-origin"] == page["origin"]
        assert client.get("/offers").json() == "for everybody"
        client.sign_in_as("alice")
        assert client.get("/orders", headers=page).json() == "of alice"
        assert client.post("/auth/logout", headers=page).status_code == 204
        elsewhere = {"origin": "https://blog.shop.example", "sec-fetch-site": "same-site"}
        client.sign_in_as("alice")
        assert code_of(client.post("/auth/logout", headers=elsewhere), status=403) == "cross_origin"


# --- leaves ---------------------------------------------------------------------------------------------------------


def test_the_pages_of_a_server_sign_in_with_a_form(load: Load) -> None:
    [library] = load("how-to/server-rendered.md")
    form = {"content-type": "application/x-www-form-urlencoded"}
    with Client(library.app, follow_redirects=False) as client:
        assert client.get("/").headers["location"] == "/signin"
        for wrong in ("name=alice&password=no", "name=bob&password=no", ""):
            assert client.post("/signin", content=wrong, headers=form).status_code == 401
        right = "name=alice&password=tall+grey+wooden+ship"
        entered = client.post("/signin", content=right, headers=form)
        assert (entered.status_code, entered.headers["location"]) == (303, "/")
        assert re.fullmatch(
            r"__Host-Http-session=fds_[\w-]{88}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=\d+",
            entered.headers["set-cookie"],
        )
        assert "Hello, alice." in client.get("/").text
        foreign = client.post("/signout", headers={"origin": "https://evil.example"})
        assert (foreign.status_code, foreign.json()["code"]) == (403, "cross_origin")
        assert client.post("/signin", content=right, headers={**form, "origin": "null"}).status_code == 403
        assert client.post("/signout").headers["location"] == "/signin"
        assert client.get("/").status_code == 303


def test_the_single_page_application_with_cookies_is_given_no_token(load: Load) -> None:
    [notes] = load("how-to/single-page-cookie.md")
    with Client(notes.app) as client:
        register(client)
        answer = client.post("/auth/login", json={"email": EMAIL, "password": PASSWORD})
        assert set(answer.json()) == {"subject", "session", "expires_in"}
        assert all("HttpOnly" in cookie for cookie in answer.headers.get_list("set-cookie"))
        assert client.get("/api/notes").json()["notes"] == ["buy a lamp"]


def test_the_single_page_application_in_memory_has_its_refresh_token_in_a_cookie(load: Load) -> None:
    [tickets] = load("how-to/single-page-memory.md")
    with Client(tickets.app) as client:
        register(client)
        body = login(client, credential="jwt", transport="bearer", refresh_in="cookie").json()
        assert "access_token" in body
        assert "refresh_token" not in body
        assert claims_of(body["access_token"])["aud"] == ["tickets", "invoices"]
        again = client.post("/auth/refresh").json()
        assert "refresh_token" not in again
        authorization = {"authorization": f"Bearer {again['access_token']}"}
        assert client.get("/api/tickets", headers=authorization).json()["tickets"] == ["a lamp does not burn"]


def test_the_life_of_a_mobile_client(load: Load) -> None:
    rides, life = load("how-to/mobile.md")
    with Client(rides.app) as client:
        register(client)
        assert {"access_token", "refresh_token"} <= login(client).json().keys()
        web = login(client, credential="session", transport="cookie")
        assert "access_token" not in web.json()
    life.test_the_life_of_a_client()


def test_tokens_of_the_desk_name_the_services_and_these_follow_it(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRONTDESK_SERVICE_CREDENTIAL", "fdk_" + "A" * 43)
    desk, orders = load("how-to/microservices.md")
    with Client(desk.app) as client:
        token = str(client.sign_in_as("alice", roles={"packer"})["access_token"])
    claims = claims_of(token)
    assert (claims["iss"], claims["aud"]) == ("https://desk.example", ["orders", "invoices"])
    assert (orders.verifier.freshness, orders.verifier.issuer) == ("bounded", "https://desk.example")
    client = Client(orders.app)  # without a lifespan: nobody is asked
    assert client.get("/health").json() == {"ready": False, "lag": None}
    for path in ("/orders", "/nowhere"):
        assert code_of(client.get(path), status=401) == "not_signed_in"


def test_the_service_of_an_identity_provider_is_stateless(load: Load) -> None:
    [reports] = load("how-to/identity-provider.md")
    assert reports.verifier.freshness == "stateless"
    client = Client(reports.app)
    assert code_of(client.get("/whoami"), status=401) == "not_signed_in"
    assert code_of(client.get("/reports"), status=401) == "not_signed_in"


def test_the_times_of_the_pages_are_those_of_the_code() -> None:
    from frontdesk import SessionPolicy
    from frontdesk.verifier.follow import MAX_STALENESS

    policy = SessionPolicy()
    assert (policy.access_token, policy.grace) == (timedelta(minutes=15), timedelta(seconds=30))
    assert timedelta(seconds=5) == MAX_STALENESS
