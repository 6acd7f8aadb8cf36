"""Everything that the advisor can print is started as it stands, signed in to over HTTP, and signed out of.

Only the cost of hashing a password is lowered. What differs between machines (addresses, secrets, the provider) comes
from the environment, as the printed text wants it.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from frontdesk.adapters import asgi
from frontdesk.advisor import Configuration, Recommendation, Snippet
from frontdesk.cli.commands import app as cli
from frontdesk.core.passwords import PROFILES
from frontdesk.server.app import Application
from frontdesk.server.sources import load_settings
from frontdesk.testing import Client
from tests.advisor.hosting import PATIENCE, Browser, Provider, hosted, port, run
from tests.advisor.paths import configurations
from tests.examples.samples import complaints_of_mypy, write_each
from tests.http.answers import EMAIL, PASSWORD, code_of
from tests.servers.postgresql import PostgreSQL
from tests.servers.redis import RedisServer

SECRET = "x8TqzN4vKp2Wm7RcJ5hLd9YbGf3AsQeU"
BASE = "https://app.example"
PAGE = "https://www.app.example"

EVERY = configurations()
OF_ONE = [name for name, each in EVERY.items() if each.plan.service == "none" and not each.plan.enters]
OF_MANY = [name for name, each in EVERY.items() if each.leaf == "microservices"]
ENTERING = [name for name, each in EVERY.items() if each.plan.enters]
FOREIGN = [name for name, each in EVERY.items() if each.plan.transport is None]

Environ = Callable[[Recommendation], dict[str, str]]


@pytest.fixture(scope="module")
def urls(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """The address of a store of a kind; made when it is first asked for."""
    made: dict[str, str] = {}

    def url_of(kind: str) -> str:
        if kind == "postgresql" and kind not in made:
            server: PostgreSQL = request.getfixturevalue("postgresql")
            made[kind] = run(server.new_database(migrated=False))
            request.addfinalizer(lambda: run(server.drop_database(made[kind])))
        if kind == "redis" and kind not in made:
            redis: RedisServer = request.getfixturevalue("redis_server")
            made[kind] = f"{redis.url}?prefix=advised"
        return made[kind]

    return url_of


@pytest.fixture
def environ(urls: Callable[[str], str], provider: Provider, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Environ:
    """Set what a configuration wants to find in its environment; return it. The working directory is empty."""
    monkeypatch.chdir(tmp_path)
    defaults: Any = asgi.Frontdesk.__init__.__kwdefaults__
    monkeypatch.setitem(defaults, "hashing", PROFILES["small"])

    def prepare(each: Recommendation) -> dict[str, str]:
        values = {"FRONTDESK_BASE_URL": BASE, "PAGE_ORIGIN": PAGE, "FRONTDESK_SECRET": SECRET, **provider.environ}
        if each.plan.over_a_network:
            values["FRONTDESK_STORE"] = urls(each.plan.store)
        names = variables_of(each.configuration.environment)
        given = {name: values[name] for name in names}
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        do_commands(each.configuration, "frontdesk migrate")
        return given

    return prepare


def variables_of(environment: Snippet) -> list[str]:
    """The names of the variables in a file of them."""
    return [line.partition("=")[0] for line in environment.text.splitlines() if not line.startswith("#")]


def do_commands(configuration: Configuration, beginning: str) -> list[str]:
    """Run those of the printed commands that begin so; what each printed."""
    said = []
    for line in configuration.commands.text.splitlines():
        if line.startswith(beginning):
            words = shlex.split(line, comments=True)
            done = CliRunner().invoke(cli, words[1:], env={"FRONTDESK_HASHING": "small"})
            assert done.exit_code == 0, done.output
            said.append(done.stdout.strip())
    return said


def started(text: str) -> Any:
    """The application of a module, as `uvicorn app:app` takes it."""
    names: dict[str, Any] = {"__name__": "app"}
    exec(compile(text, "app.py", "exec"), names)
    return names["app"]


def register(client: Client) -> str:
    """The subject of the account, which an earlier configuration may have made in the same store."""
    made = client.post("/auth/register", json={"email": EMAIL, "password": PASSWORD})
    assert made.status_code in {201, 409}, made.text
    return made.json().get("subject", "") if made.status_code == 201 else ""


def login(client: Client, configuration: Configuration, **headers: str) -> dict[str, Any]:
    """Sign in as the printed client does."""
    content = {"email": EMAIL, "password": PASSWORD, **configuration.login}
    signed = client.post("/auth/login", json=content, headers=headers)
    assert signed.status_code == 200, signed.text
    return keep(client, signed.json())


def keep(client: Client, body: dict[str, Any]) -> dict[str, Any]:
    if "access_token" in body:
        client.headers["authorization"] = f"Bearer {body['access_token']}"
    return body


def signs_out(client: Client, path: str, out: str = "/auth/logout", **headers: str) -> None:
    """Sign out; what the client held before is refused from the next request on, also by whoever kept a copy."""
    jar, token = dict(client.cookies), client.headers.get("authorization")
    assert client.get(path).status_code == 200
    assert client.post(out, headers=headers).status_code == 204
    client.forget()
    assert code_of(client.get(path)) == "not_signed_in"
    client.cookies.update(jar)
    if token is not None:
        client.headers["authorization"] = token
    assert code_of(client.get(path)) == "session_ended"


def carries(each: Recommendation, client: Client, body: Mapping[str, Any]) -> None:
    """The credential is the recommended one, in the recommended envelope."""
    plan = each.plan
    names = {name.removeprefix("__Host-Http-") for name in client.cookies}
    if plan.transport == "cookie":
        assert "access_token" not in body
        assert names == ({"session"} if plan.credential == "session" else {"access", "refresh"})
    else:
        assert names == ({"refresh"} if plan.refresh_in == "cookie" else set())
        dots = {"session": 0, "jwt": 2, "jwe": 4}[plan.credential or ""]
        assert body["access_token"].count(".") == dots
        assert ("refresh_token" in body) == (plan.credential != "session" and plan.refresh_in is None)


@pytest.mark.parametrize("name", OF_ONE)
def test_one_application_is_signed_in_to_and_out_of(name: str, environ: Environ) -> None:
    each = EVERY[name]
    given = environ(each)
    crossing = {"origin": PAGE, "sec-fetch-site": "same-site"} if each.leaf == "single-page-memory" else {}
    with Client(started(each.configuration.application.text), base_url=BASE) as client:
        subject = register(client)
        assert code_of(client.get("/dashboard"), status=401) == "not_signed_in"
        body = login(client, each.configuration, **crossing)
        carries(each, client, body)
        assert client.get("/dashboard").json() == {"hello": subject or body["subject"]}
        refresh = {"refresh_token": body["refresh_token"]} if "refresh_token" in body else None
        if each.plan.credential != "session":
            assert refreshed(client, refresh, crossing) == 200
        signs_out(client, "/dashboard", **crossing)
    assert "FRONTDESK_STORE" in given or each.plan.store == "sqlite"


def refreshed(client: Client, content: Mapping[str, str] | None, headers: Mapping[str, str]) -> int:
    """The status of a refresh, without the access token: `Authorization` would decide."""
    token = client.headers.pop("authorization", None)
    answer = client.post("/auth/refresh", json=content, headers=headers)
    if token is not None:
        client.headers["authorization"] = token
    return answer.status_code


def test_the_script_of_another_host_may_ask_and_a_stranger_may_not(environ: Environ) -> None:
    name = next(name for name in OF_ONE if EVERY[name].leaf == "single-page-memory")
    environ(EVERY[name])
    wanted = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    with Client(started(EVERY[name].configuration.application.text), base_url=BASE) as client:
        asked = client.options("/auth/login", headers={"origin": PAGE, **wanted})
        assert asked.headers["access-control-allow-origin"] == PAGE
        assert asked.headers["access-control-allow-credentials"] == "true"
        for origin, status in ((PAGE, 401), ("https://evil.example", 403)):
            content = {"email": "nobody@example.com", "password": PASSWORD}
            answer = client.post("/auth/login", json=content, headers={"origin": origin, "sec-fetch-site": "same-site"})
            assert answer.status_code == status
        asked = client.options("/auth/login", headers={"origin": "https://evil.example", **wanted})
        assert "access-control-allow-origin" not in asked.headers


SETTINGS = {
    each.configuration.settings.text: each for each in EVERY.values() if each.configuration.settings is not None
}


@pytest.mark.parametrize("each", SETTINGS.values(), ids=[each.leaf for each in SETTINGS.values()])
def test_the_ready_made_server_does_the_same(each: Recommendation, environ: Environ, tmp_path: Path) -> None:
    configuration = each.configuration
    assert configuration.settings is not None
    given = environ(each)
    file = tmp_path / configuration.settings.name
    file.write_text(configuration.settings.text)
    variables = {name: value for name, value in given.items() if name in {"FRONTDESK_STORE", "FRONTDESK_SECRET"}}
    settings = load_settings(environ={**variables, "FRONTDESK_HASHING": "small"}, config=file)
    assert settings.credentials == (each.plan.credential,)
    with Client(Application(settings), base_url=settings.base_url) as client:
        register(client)
        body = login(client, configuration)
        carries(each, client, body)
        assert client.get("/auth/me").json()["subject"] == body["subject"]
        signs_out(client, "/auth/me")


# --- services -------------------------------------------------------------------------------------------------------


DESKS: dict[str, list[Recommendation]] = {}
"""Recommendations of one desk and different services, by what tells the desks apart."""
for _name in OF_MANY:
    _each = EVERY[_name]
    _words = (_each.plan.store, _each.plan.transport, "strict" if _each.plan.strict else "bounded")
    DESKS.setdefault("-".join(map(str, _words)), []).append(_each)


@pytest.mark.parametrize("desk", DESKS)
def test_services_let_in_who_is_signed_in_and_hear_who_signed_out(
    desk: str, environ: Environ, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = DESKS[desk][0]
    application = first.configuration.application.text
    assert {each.configuration.application.text for each in DESKS[desk]} == {application}
    with port() as listening:
        base = f"http://127.0.0.1:{listening.getsockname()[1]}"
        environ(first)
        monkeypatch.setenv("FRONTDESK_BASE_URL", base)
        following = next(each for each in DESKS[desk] if each.plan.service != "stateless")
        [credential] = give_credential(following.configuration)
        with hosted(started(application), listening):
            for each in DESKS[desk]:
                with monkeypatch.context() as patched:
                    if each.plan.service != "stateless":
                        patched.setenv("FRONTDESK_SERVICE_CREDENTIAL", credential)
                    hears(each, base)


def hears(each: Recommendation, base: str) -> None:
    """A printed service lets in who is signed in at the desk, and refuses who has signed out there."""
    service = each.configuration.service
    assert service is not None
    browser = signed_in(each, base)
    assert browser.get("/dashboard").status_code == 200
    with Client(started(service.text), base_url=base) as client:
        assert code_of(client.get("/orders"), status=401) == "not_signed_in"
        headers = browser.headers()
        assert set(client.get("/orders", headers=headers).json()) == {"orders of"}
        assert browser.post("/auth/logout").status_code == 204
        assert refused_at_the_desk(base, headers) == "session_ended"
        if each.plan.service == "stateless":
            # What the advice says of it: nobody tells this service.
            assert client.get("/orders", headers=headers).status_code == 200
        else:
            until_refused(client, headers)


def give_credential(configuration: Configuration) -> list[str]:
    """The service's credential by the printed command; one that an earlier configuration made is removed first."""
    store = [] if "--store" not in configuration.commands.text else ["--store", "sqlite:///app.db"]
    CliRunner().invoke(cli, ["services", "remove", "orders", *store], env={"FRONTDESK_HASHING": "small"})
    return do_commands(configuration, "frontdesk services add")


def signed_in(each: Recommendation, base: str) -> Browser:
    browser = Browser(base)
    assert browser.post("/auth/register", {"email": EMAIL, "password": PASSWORD}).status_code in {201, 409}
    signed = browser.post("/auth/login", {"email": EMAIL, "password": PASSWORD, **each.configuration.login})
    assert signed.status_code == 200, signed.text
    if each.plan.transport == "bearer":
        browser.token = signed.json()["access_token"]
    return browser


def refused_at_the_desk(base: str, headers: Mapping[str, str]) -> str:
    """How the desk itself refuses a copy of what was signed out."""
    copy = Browser(base)
    copy.headers = lambda: dict(headers)  # type: ignore[method-assign]
    return code_of(copy.get("/dashboard"), status=401)


def until_refused(client: Client, headers: Mapping[str, str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while (answer := client.get("/orders", headers=headers)).status_code == 200:
        assert time.monotonic() < deadline, "the service never heard of the sign-out"
        time.sleep(0.01)
    assert code_of(answer) == "session_ended"


# --- identity provider ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FOREIGN)
def test_a_providers_token_is_let_in_until_it_expires(name: str, environ: Environ, provider: Provider) -> None:
    environ(EVERY[name])
    with Client(started(EVERY[name].configuration.application.text), base_url=BASE) as client:
        assert code_of(client.get("/dashboard"), status=401) == "not_signed_in"
        for token, code in (
            (provider.token(lives=timedelta(seconds=-1)), "token_expired"),
            (provider.token(aud="invoices"), "credential_invalid"),
            (provider.token(iss="https://evil.example"), "credential_invalid"),
        ):
            refused = client.get("/dashboard", headers={"authorization": f"Bearer {token}"})
            assert code_of(refused, status=401) == code
        good = client.get("/dashboard", headers={"authorization": f"Bearer {provider.token()}"})
        assert good.json() == {"hello": "alice"}


@pytest.mark.parametrize("name", ENTERING)
def test_a_providers_token_begins_a_session_that_a_sign_out_ends(
    name: str, environ: Environ, provider: Provider
) -> None:
    each = EVERY[name]
    environ(each)
    with Client(started(each.configuration.application.text), base_url=BASE) as client:
        forged = provider.token(iss="https://evil.example")
        assert client.post("/enter", json={"token": forged}).status_code == 401
        entered = client.post("/enter", json={"token": provider.token("alice")})
        assert entered.status_code == 200, entered.text
        body = keep(client, entered.json())
        carries(each, client, body)
        assert client.get("/dashboard").json() == {"hello": "alice"}
        signs_out(client, "/dashboard")


def test_every_printed_configuration_is_started_here() -> None:
    assert sorted([*OF_ONE, *OF_MANY, *ENTERING, *FOREIGN]) == sorted(EVERY)
    assert {each.leaf for each in EVERY.values()} == {
        "server-rendered", "single-page-cookie", "single-page-memory", "mobile", "microservices", "identity-provider",
    }  # fmt: skip


def test_every_printed_module_passes_mypy_strict(tmp_path: Path) -> None:
    texts = {snippet.text for each in EVERY.values() for snippet in each.configuration.snippets()
             if snippet.language == "python"}  # fmt: skip
    assert complaints_of_mypy(write_each(sorted(texts), tmp_path), tmp_path) == ""
