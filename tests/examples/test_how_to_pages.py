"""Every sample of docs/how-to and docs/concepts is type-checked and run."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import secrets
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from starlette.testclient import WebSocketDenialResponse
from typer.testing import CliRunner
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from frontdesk.cli.commands import app as cli
from frontdesk.testing import Client
from frontdesk.verifier.follow import MAX_STALENESS
from tests.advisor.hosting import Provider, hosted, port
from tests.examples import samples
from tests.http.answers import EMAIL, PASSWORD, code_of, login, register
from tests.requirements import ROOT
from tests.server.processes import Server

PAGES = {
    "concepts/middleware.md": ["shop"],
    "how-to/asgi.md": ["archive"],
    "how-to/django.md": ["front", "asgi", "settings", "urls"],
    "how-to/fastapi.md": ["bank", "checking_bank"],
    "how-to/flask.md": ["house_in_flask"],
    "how-to/identity-provider.md": ["reports"],
    "how-to/litestar.md": ["house_in_litestar"],
    "how-to/microservices.md": ["desk_of_services", "orders"],
    "how-to/mobile.md": ["rides", "life"],
    "how-to/other-frameworks.md": ["framework", "who_is_there"],
    "how-to/server-rendered.md": ["library"],
    "how-to/single-page-cookie.md": ["notes"],
    "how-to/single-page-memory.md": ["tickets"],
    "how-to/starlette.md": ["house"],
}
"""Which modules the samples of a page are; one that is imported by another has the name that is imported."""

SERVICES, PROVIDER = "how-to/microservices.md", "how-to/identity-provider.md"
LITESTAR, FLASK, DJANGO = "how-to/litestar.md", "how-to/flask.md", "how-to/django.md"
HOUSES = {LITESTAR: "house_in_litestar:app", FLASK: "house_in_flask:app", DJANGO: "asgi:application"}
"""What uvicorn is told to serve, of the pages about a framework without an adapter."""

PATIENCE = 60.0
"""Seconds until what does not happen is a failure: a framework may take long to start on a machine that is busy."""

Load = Callable[..., tuple[ModuleType, ...]]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Import the samples of a page in an empty directory, its made-up addresses replaced by real ones."""
    monkeypatch.chdir(tmp_path)
    with ExitStack() as stack:

        def imported(page: str, addresses: Mapping[str, str] | None = None) -> tuple[ModuleType, ...]:
            files = samples.write({page: PAGES[page]}, tmp_path, addresses)
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


@contextmanager
def served(page: str, app: str, directory: Path) -> Iterator[httpx.Client]:
    """What the samples of a page make, under uvicorn in a process of its own, and a browser that asks it.

    Litestar and Django set up logging, and Django a project, for the whole process in which they are.
    """
    samples.write({page: PAGES[page]}, directory)
    with port() as listening:
        number = listening.fileno()
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", app, "--fd", str(number), "--log-level=error"],
            cwd=directory,
            env={**os.environ, "DJANGO_SECRET_KEY": secrets.token_hex(32)},
            pass_fds=[number],
        )
        try:
            with browser(f"http://127.0.0.1:{listening.getsockname()[1]}") as client:
                yield client
        finally:
            process.terminate()
            process.wait(PATIENCE)


def browser(base: str) -> httpx.Client:
    """A client that keeps Secure cookies on loopback, as browsers do and httpx does not."""

    def carry(request: httpx.Request) -> None:
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in client.cookies.jar)
        request.headers.update({"cookie": cookies} if cookies else {})

    client = httpx.Client(
        base_url=base,
        headers={"origin": base},
        event_hooks={"request": [carry]},
        timeout=PATIENCE,
        trust_env=False,
    )
    return client


@pytest.fixture(params=HOUSES)
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[httpx.Client]:
    """A browser before the house of a page."""
    with served(request.param, HOUSES[request.param], tmp_path) as client:
        yield client


def enter(house: httpx.Client, badge: str, **headers: str) -> Any:
    """Fill in the form, whatever else it carries."""
    hidden = re.findall(r'type="hidden" name="(\w+)" value="(\w+)"', house.get("/signin").text)
    return house.post("/signin", data={"badge": badge, **dict(hidden)}, headers=headers)


def test_a_house_of_litestar_flask_or_django_lets_browsers_in_and_out(house: httpx.Client) -> None:
    html = {"accept": "text/html,*/*;q=0.8"}
    for path in ("/keys", "/nowhere", "/signout"):
        assert code_of(house.get(path, headers=html), status=401) == "not_signed_in"
    assert code_of(house.get("/"), status=401) == "not_signed_in"
    with pytest.raises(InvalidStatus, match="401"):
        connect(str(house.base_url.copy_with(scheme="ws", path="/nowhere")), open_timeout=PATIENCE)
    led = house.get("/", headers=html)
    assert (led.status_code, led.headers["location"]) == (303, "/signin")
    assert enter(house, "4713").status_code == 401
    crossed = enter(house, "4712", origin="https://evil.example")
    if "csrftoken" in house.cookies:
        assert (crossed.status_code, "CSRF" in crossed.text) == (403, True)  # Django's own answer
    else:
        assert code_of(crossed, status=403) == "cross_origin"
    assert code_of(house.get("/"), status=401) == "not_signed_in"
    bob = enter(house, "4712")
    assert (bob.status_code, bob.headers["location"], bob.headers["cache-control"]) == (303, "/", "no-store")
    [cookie] = bob.headers.get_list("set-cookie")
    assert {"Path=/", "Secure", "HttpOnly", "SameSite=Lax"} <= set(cookie.split("; "))
    assert house.get("/").json() == {"hello": "bob"}
    assert code_of(house.get("/keys"), status=403) == "role_missing"
    assert house.get("/nowhere").status_code == 404
    assert enter(house, "4711").status_code == 303
    assert house.get("/keys").json() == {"handed to": "alice"}
    assert code_of(leave(house, origin="https://evil.example"), status=403) == "cross_origin"
    left = leave(house)
    assert (left.status_code, left.headers["location"]) == (303, "/signin")
    assert "Max-Age=0" in left.headers["set-cookie"]
    assert code_of(house.get("/keys"), status=401) == "not_signed_in"
    lets_bearer_clients_in_and_out(house)


def leave(house: httpx.Client, **headers: str) -> Any:
    csrf = house.cookies.get("csrftoken")
    return house.post("/signout", headers={**({"x-csrftoken": csrf} if csrf else {}), **headers})


def lets_bearer_clients_in_and_out(house: httpx.Client) -> None:
    person = {"email": EMAIL, "password": PASSWORD}
    subject = house.post("/auth/register", json=person).json()["subject"]
    house.cookies.clear()
    wanted = {"credential": "jwt", "transport": "bearer"}
    token = with_token(house.post("/auth/login", json={**person, **wanted}).json()["access_token"])
    assert house.get("/", headers=token).json() == {"hello": subject}
    assert code_of(house.get("/keys", headers=token), status=403) == "role_missing"
    assert house.post("/auth/logout", headers=token).status_code == 204
    assert code_of(house.get("/", headers=token), status=401) == "session_ended"


def test_litestar_started_without_the_desk_shows_what_asks_nobody(tmp_path: Path) -> None:
    with served(LITESTAR, "house_in_litestar:house", tmp_path) as client:
        assert client.get("/signin").status_code == 200
        for path in ("/", "/keys"):
            assert client.get(path).status_code == 500


def test_flask_started_without_the_desk_answers_nothing(load: Load) -> None:
    [module] = load(FLASK)
    for path in ("/", "/signin", "/nowhere"):
        assert module.house.test_client().get(path).status_code == 500


def test_django_started_without_the_desk_answers_nothing(tmp_path: Path) -> None:
    program = "import asgi; from django.test import Client; print(Client(raise_request_exception=False).get('/signin'))"
    assert "status_code=500" in said(program, DJANGO, tmp_path)


@pytest.mark.parametrize("page", HOUSES)
def test_the_client_for_tests_is_signed_in_by_name(page: str, tmp_path: Path) -> None:
    module, _, name = HOUSES[page].partition(":")
    program = f"""
from {module} import {name} as app
from frontdesk.testing import Client
with Client(app) as client:
    client.sign_in_as("carol", roles={{"keeper"}})
    print(client.get("/keys").json())"""
    assert said(program, page, tmp_path) == "{'handed to': 'carol'}\n"


def said(program: str, page: str, directory: Path) -> str:
    """What a program prints that may import the samples of a page; in a process of its own, as above."""
    samples.write({page: PAGES[page]}, directory)
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=directory,
        env={**os.environ, "DJANGO_SECRET_KEY": secrets.token_hex(32)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


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


# --- services -------------------------------------------------------------------------------------------------------


def printed_command(line: str, stdin: str = "") -> str:
    """What a command of a page prints."""
    words = shlex.split(line, comments=True)
    assert words[0] == "frontdesk"
    done = CliRunner().invoke(cli, words[1:], input=stdin, env={"FRONTDESK_HASHING": "small"})
    assert done.exit_code == 0, done.output
    return done.stdout.strip()


def with_token(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def at_the_desk(base: str, path: str, token: str = "", **content: str) -> Any:
    answer = httpx.post(
        base + path, json=content or None, headers=with_token(token) if token else {}, timeout=PATIENCE, trust_env=False
    )
    answer.raise_for_status()
    return answer.json() if answer.content else None


def test_a_service_lets_in_who_is_signed_in_at_the_desk_and_no_longer(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    with port() as listening, ExitStack() as running:
        base = f"http://127.0.0.1:{listening.getsockname()[1]}"
        monkeypatch.setenv("FRONTDESK_SERVICE_CREDENTIAL", printed_command(*samples.samples(SERVICES, "sh")))
        printed_command(f"frontdesk users add {EMAIL} --role packer --store sqlite:///desk.db", PASSWORD)
        desk, orders = load(SERVICES, {"https://desk.example": base})
        running.enter_context(hosted(desk.app, listening))
        person, other = {"email": EMAIL, "password": PASSWORD}, {"email": "bob@example.com", "password": PASSWORD}
        at_the_desk(base, "/auth/register", **other)
        alice, bob = (at_the_desk(base, "/auth/login", **each) for each in (person, other))
        packer, nobody_special = with_token(alice["access_token"]), with_token(bob["access_token"])
        assert claims_of(alice["access_token"])["aud"] == ["orders", "invoices"]
        with Client(orders.app) as service:
            for path in ("/orders", "/nowhere"):
                assert code_of(service.get(path), status=401) == "not_signed_in"
            assert service.get("/orders", headers=packer).json() == {"orders of": alice["subject"]}
            assert service.post("/orders/pack", headers=packer).json() == {"packed by": alice["subject"]}
            assert service.get("/orders", headers=nobody_special).json() == {"orders of": bob["subject"]}
            assert code_of(service.post("/orders/pack", headers=nobody_special), status=403) == "role_missing"
            assert service.get("/health").json()["ready"] is True
            is_refused_elsewhere(base, packer)
            at_the_desk(base, "/auth/logout", alice["access_token"])
            until(lambda: service.get("/orders", headers=packer).status_code == 401)
            assert code_of(service.get("/orders", headers=packer), status=401) == "session_ended"
            assert service.get("/orders", headers=nobody_special).status_code == 200
            running.close()
            goes_on_for_the_bound_alone(service, nobody_special)


def is_refused_elsewhere(base: str, headers: Mapping[str, str]) -> None:
    """The same service under another name lets the token not in, which is not for it."""
    text = samples.samples(SERVICES)[1].replace("https://desk.example", base)
    names: dict[str, Any] = {"__name__": "returns"}
    exec(compile(text.replace('audience="orders"', 'audience="returns"'), "returns.py", "exec"), names)
    assert names["verifier"].freshness == "bounded"
    with Client(names["app"]) as service:
        assert code_of(service.get("/orders", headers=headers), status=401) == "credential_invalid"


def goes_on_for_the_bound_alone(service: Client, headers: Mapping[str, str]) -> None:
    """The desk has stopped: yes up to `max_staleness`, then 503."""
    deadline = time.monotonic() + PATIENCE
    while (answer := service.get("/orders", headers=headers)).status_code == 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    lag = service.get("/health").json()["lag"]
    assert (code_of(answer, status=503), lag >= MAX_STALENESS.total_seconds()) == ("store_unavailable", True)
    assert code_of(service.get("/orders", headers=headers), status=503) == "store_unavailable"


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_service_of_an_identity_provider_takes_the_access_tokens_for_it_and_no_other(load: Load) -> None:
    keys = "https://idp.example/realms/shop/protocol/openid-connect/certs"
    with Provider() as provider, Provider() as stranger:
        [reports] = load(PROVIDER, {keys: provider.environ["IDP_JWKS_URL"]})
        assert (reports.verifier.freshness, reports.verifier.issuer) == ("stateless", provider.issuer)
        with Client(reports.app) as service:

            def ask(path: str, token: str) -> Any:
                return service.get(path, headers=with_token(token))

            for path in ("/whoami", "/reports"):
                assert code_of(service.get(path), status=401) == "not_signed_in"
            told = provider.token("alice", typ="JWT", aud="reports", email="alice@shop.example")
            assert ask("/whoami", told).json() == {"subject": "alice", "claims": ["email"]}
            assert code_of(ask("/reports", told), status=403) == "scope_missing"
            reader = provider.token("alice", typ="JWT", aud="reports", scope="profile reports:read")
            assert ask("/reports", reader).json() == {"reports of": "alice"}
            for token, code in {
                provider.token(typ="JWT", aud="invoices"): "credential_invalid",
                provider.token(typ="JWT", aud="the-client", nonce="n-0S6"): "credential_invalid",  # an ID token
                provider.token(typ="JWT", aud="reports", iss="https://idp.example/realms/x"): "credential_invalid",
                stranger.token(typ="JWT", aud="reports"): "credential_invalid",
                provider.token(typ="at+jwt", aud="reports"): "credential_invalid",
                provider.token(typ="JWT", aud="reports", lives=timedelta(seconds=-1)): "token_expired",
            }.items():
                assert code_of(ask("/whoami", token), status=401) == code
            provider.change_key()
            remote: Any = reports.verifier._keys
            later = time.monotonic() + 15 * 60
            assert ask("/whoami", told).status_code == 200
            remote._remote._timer = lambda: later
            assert code_of(ask("/whoami", told), status=401) == "credential_invalid"
            assert ask("/whoami", provider.token("alice", typ="JWT", aud="reports")).status_code == 200
        shown = printed_command("frontdesk inspect", told)
        assert all(word in shown for word in (provider.issuer, "reports", "JWT"))


def test_the_times_of_the_pages_are_those_of_the_code() -> None:
    from frontdesk import SessionPolicy

    policy = SessionPolicy()
    assert (policy.access_token, policy.grace) == (timedelta(minutes=15), timedelta(seconds=30))
    assert timedelta(seconds=5) == MAX_STALENESS
