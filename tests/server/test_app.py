"""The application inside the server: which request is answered by what, and with which headers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from frontdesk.clock import AdjustableClock
from frontdesk.errors import CODES, ConfigurationError, StoreBusyError
from frontdesk.server.app import Application
from frontdesk.server.settings import ServerSettings
from frontdesk.service.maintenance import Maintenance
from tests.service.desks import until

Scenario = Callable[[httpx.AsyncClient, Application], Awaitable[None]]
PUBLIC = "https://desk.example"


def play(scenario: Scenario, *, url: str = "http://localhost", **settings: Any) -> None:
    """Open the application over a store in memory, play, close."""

    async def run() -> None:
        app = Application(ServerSettings(store="memory:", **settings), clock=AdjustableClock())
        await app.desk.open()
        transport = httpx.ASGITransport(app, client=("192.0.2.9", 4711))
        async with httpx.AsyncClient(transport=transport, base_url=url) as client:
            await scenario(client, app)
        await app.desk.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("/", 200, "text/html"),
        ("/signin", 200, "text/html"),
        ("/signup", 200, "text/html"),
        ("/healthz", 200, "application/json"),
        ("/metrics", 401, "application/problem+json"),
        ("/auth/health", 200, "application/json"),
        ("/auth/me", 401, "application/problem+json"),
        ("/.well-known/jwks.json", 200, "application/jwk-set+json"),
        ("/auth/jwks.json", 200, "application/jwk-set+json"),
        ("/frontdesk.js", 200, "text/javascript"),
        ("/auth/frontdesk.js", 200, "text/javascript"),
        ("/nothing", 404, "application/problem+json"),
        ("/auth/nothing", 404, "application/problem+json"),
        ("/auth", 404, "application/problem+json"),
        ("//", 404, "application/problem+json"),
        ("/healthz/", 404, "application/problem+json"),
        ("/HEALTHZ", 404, "application/problem+json"),
    ],
)
def test_each_path_has_its_answer(path: str, status: int, kind: str) -> None:
    async def scenario(client: httpx.AsyncClient, app: Application) -> None:
        answer = await client.get(client.base_url.copy_with(raw_path=path.encode()))
        assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (status, kind)
        head = await client.head(client.base_url.copy_with(raw_path=path.encode()))
        assert (head.status_code, head.content) == (status, b"")

    play(scenario)


def test_aliases_say_what_the_api_says() -> None:
    async def scenario(client: httpx.AsyncClient, app: Application) -> None:
        aliases = {
            "/healthz": "/auth/health",
            "/.well-known/jwks.json": "/auth/jwks.json",
            "/frontdesk.js": "/auth/frontdesk.js",
        }
        for alias, path in aliases.items():
            assert (await client.get(alias)).content == (await client.get(path)).content
            refused = await client.post(alias)
            assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")

    play(scenario)


def test_a_service_waits_for_the_revocation_log_until_something_is_revoked_or_the_server_leaves() -> None:
    async def scenario(client: httpx.AsyncClient, app: Application) -> None:
        credential = await app.desk.services.add("orders", ["revocations"])
        feed = app.root.gate.feed

        async def poll(cursor: int) -> httpx.Response:
            headers = {"authorization": f"Bearer {credential}", "accept": "text/html"}
            return await client.get(f"/auth/revocations?cursor={cursor}&wait=30", headers=headers)

        waiting = asyncio.create_task(poll(0))
        await until(lambda: feed._waiting == 1)
        await app.desk.end_all("alice")
        answer = await waiting
        assert [entry["number"] for entry in answer.json()["entries"]] == [1]
        assert answer.headers.get_list("cache-control") == ["no-store"]
        assert answer.headers["x-frame-options"] == "DENY"
        waiting = asyncio.create_task(poll(1))
        await until(lambda: feed._waiting == 1)
        app.leave()
        answer = await waiting
        assert (answer.status_code, answer.json()["entries"], answer.json()["cursor"]) == (200, [], 1)

    play(scenario)


def test_a_browser_gets_a_page_where_a_program_gets_a_problem_document() -> None:
    async def scenario(client: httpx.AsyncClient, app: Application) -> None:
        page = await client.get("/nothing", headers={"accept": "text/html"})
        assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
        document = (await client.get("/nothing")).json()
        assert (document["code"], document["title"]) == ("not_found", CODES["not_found"].title)

    play(scenario)


@pytest.mark.parametrize("path", ["/", "/auth/me", "/auth/login", "/nothing", "/.well-known/jwks.json"])
@pytest.mark.parametrize("host", ["evil.example", "desk.example.evil.example", "localhost.", "a@localhost", ""])
def test_an_unknown_host_is_400_everywhere_but_for_health(path: str, host: str) -> None:
    async def scenario(client: httpx.AsyncClient, app: Application) -> None:
        answer = await client.get(path, headers={"host": host})
        assert (answer.status_code, answer.json()["code"]) == (400, "host_unknown")
        assert (await client.get("/healthz", headers={"host": host})).status_code == 200

    play(scenario)


def test_a_request_with_two_hosts_is_400() -> None:
    async def scenario(client: httpx.AsyncClient, app: Application) -> None:
        answer = await client.get("/", headers=[("host", "localhost"), ("host", "localhost")])
        assert answer.json()["code"] == "host_unknown"

    play(scenario)


@pytest.mark.parametrize("path", ["/", "/signin", "/auth/me", "/auth/health", "/nothing", "/.well-known/jwks.json"])
def test_security_headers_are_on_everything_and_each_once(path: str) -> None:
    async def scenario(client: httpx.AsyncClient, app: Application) -> None:
        answer = await client.get(path)
        wanted = {
            "x-content-type-options": "nosniff",
            "x-frame-options": "DENY",
            "referrer-policy": "same-origin",
            "cross-origin-resource-policy": "same-origin",
            "cross-origin-opener-policy": "same-origin",
        }
        for name, value in wanted.items():
            assert answer.headers.get_list(name) == [value], name
        assert "strict-transport-security" not in answer.headers

    play(scenario)


@pytest.mark.parametrize("path", ["/", "/auth/me", "/nothing", "/healthz"])
def test_an_https_base_url_brings_hsts_although_tls_ends_in_front_of_us(path: str) -> None:
    async def scenario(client: httpx.AsyncClient, app: Application) -> None:
        answer = await client.get(path)
        assert answer.headers.get_list("strict-transport-security") == ["max-age=63072000; includeSubDomains"]

    play(scenario, url="http://desk.example", base_url=PUBLIC, host="0.0.0.0")


def test_loopback_beside_an_https_base_url_stays_plain_http() -> None:
    async def scenario(client: httpx.AsyncClient, app: Application) -> None:
        answer = await client.get("/", headers={"x-forwarded-proto": "https"})
        assert answer.status_code == 200
        assert "strict-transport-security" not in answer.headers

    play(scenario, base_url=PUBLIC)


def test_cookies_behind_a_proxy_have_the_names_of_https() -> None:
    async def scenario(client: httpx.AsyncClient, app: Application) -> None:
        who = {"email": "a@example.com", "password": "tall grey wooden ship"}
        assert (await client.post("/auth/register", json=who)).status_code == 201
        answer = await client.post("/auth/login", json=who)
        assert answer.headers["set-cookie"].startswith("__Host-Http-session=fds_")

    play(scenario, url="http://desk.example", base_url=PUBLIC, host="0.0.0.0", hashing="small")


def test_a_body_over_64_kib_is_413_declared_or_not() -> None:
    async def scenario(client: httpx.AsyncClient, app: Application) -> None:
        async def endless() -> Any:
            for _ in range(80):
                yield b"x" * 1024

        for content in (b"x" * 65_537, endless()):
            answer = await client.post("/auth/login", content=content, headers={"content-type": "application/json"})
            assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")

    play(scenario)


def test_a_failing_store_is_503_and_anything_unforeseen_500_without_its_text(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(client: httpx.AsyncClient, app: Application) -> None:
        async def fail() -> None:
            raise fault

        monkeypatch.setattr(app.desk.store, "check", fail)
        fault: Exception = StoreBusyError("locked")
        answer = await client.get("/healthz")
        assert (answer.status_code, answer.json()["ready"]) == (503, False)

        fault = RuntimeError("an inner secret")
        answer = await client.get("/healthz")
        assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
        assert "inner secret" not in answer.text
        assert "nosniff" in answer.headers["x-content-type-options"]
        assert "an inner secret" in caplog.text

    play(scenario)


def test_each_request_is_logged_once_without_its_query(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(client: httpx.AsyncClient, app: Application) -> None:
        caplog.set_level(logging.INFO, "frontdesk.access")
        await client.get("/auth/me?access_token=hidden", headers={"x-forwarded-for": "203.0.113.7"})
        [record] = [record for record in caplog.records if record.name == "frontdesk.access"]
        fields = record.__dict__["frontdesk"]
        assert fields.pop("ms") >= 0
        assert fields == {"method": "GET", "path": "/auth/me", "status": 401, "address": "192.0.2.9"}

    play(scenario)


def test_a_trusted_proxy_is_believed_about_addresses(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(client: httpx.AsyncClient, app: Application) -> None:
        caplog.set_level(logging.INFO, "frontdesk.access")
        await client.get("/" + "x" * 500, headers={"x-forwarded-for": "10.0.0.1, 203.0.113.7"})
        [record] = [record for record in caplog.records if record.name == "frontdesk.access"]
        assert record.__dict__["frontdesk"]["address"] == "203.0.113.7"
        assert len(record.__dict__["frontdesk"]["path"]) == 200

    play(scenario, trusted_proxies=("192.0.2.0/24",))


def test_the_api_is_described_in_development_mode_only() -> None:
    async def developing(client: httpx.AsyncClient, app: Application) -> None:
        answer = await client.get("/openapi.json")
        document = answer.json()
        assert (answer.status_code, document["openapi"], document["info"]["title"]) == (200, "3.1.0", "Desk")
        assert "/auth/login" in document["paths"]
        assert (await client.post("/openapi.json")).status_code == 405

    async def serving(client: httpx.AsyncClient, app: Application) -> None:
        assert (await client.get("/openapi.json")).status_code == 404

    play(developing, dev=True, title="Desk")
    play(serving)


# --- other protocols of ASGI ----------------------------------------------------------------------------------------


def talk(app: Application, scope: dict[str, Any], incoming: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Play messages to the application; what it sent."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return incoming.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent


def test_the_lifespan_opens_and_closes_the_desk() -> None:
    app = Application(ServerSettings(store="memory:"))
    sent = talk(app, {"type": "lifespan"}, [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_housekeeping_lives_as_long_as_the_desk_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []
    app = Application(ServerSettings(store="memory:"))
    monkeypatch.setattr(Maintenance, "start", lambda _self: happened.append("started"))
    stop, close = Maintenance.stop, app.desk.close

    async def stopping(self: Maintenance) -> None:
        happened.append("stopped")
        await stop(self)

    async def closing() -> None:
        happened.append("closed")
        await close()

    monkeypatch.setattr(Maintenance, "stop", stopping)
    monkeypatch.setattr(app.desk, "close", closing)
    talk(app, {"type": "lifespan"}, [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    assert happened == ["started", "stopped", "closed"]


def test_a_desk_that_cannot_be_opened_fails_the_start_in_words(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    app = Application(ServerSettings(store="memory:"))

    async def fail() -> None:
        raise ConfigurationError("make another file")

    monkeypatch.setattr(app.desk, "open", fail)
    sent = talk(app, {"type": "lifespan"}, [{"type": "lifespan.startup"}])
    assert sent == [{"type": "lifespan.startup.failed", "message": "make another file"}]
    assert "make another file" in caplog.text


def test_a_client_that_leaves_before_its_body_is_there_gets_nothing() -> None:
    app = Application(ServerSettings(store="memory:"))
    scope = {"type": "http", "method": "POST", "path": "/auth/login", "headers": [], "scheme": "http"}
    assert talk(app, scope, [{"type": "http.disconnect"}]) == []


def test_a_websocket_is_denied_with_404() -> None:
    app = Application(ServerSettings(store="memory:"))
    scope = {"type": "websocket", "path": "/ws", "headers": [], "scheme": "ws"}
    sent = talk(app, {**scope, "extensions": {"websocket.http.response": {}}}, [{"type": "websocket.connect"}])
    assert [message.get("status") for message in sent] == [404, None]
    assert talk(app, scope, [{"type": "websocket.connect"}])[0]["code"] == 4404
