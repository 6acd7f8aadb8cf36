"""The ASGI middleware message by message: paths, bodies, lifespans, handshakes."""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from frontdesk.adapters.lifespan import Lifespan
from frontdesk.asgi import Frontdesk, principal
from frontdesk.clock import AdjustableClock
from frontdesk.core.cookies import CookieSettings
from frontdesk.endpoints.settings import EdgeSettings
from frontdesk.errors import ConfigurationError, RefusedError, StoreError
from frontdesk.stores.memory import MemoryStore
from tests.adapters.asgi_server import ASGIApp, Message, exchange, http_scope, play, socket_scope
from tests.service.desks import OTHER_SECRET, SECRET, TestDesk

EMPTY: Message = {"type": "http.request", "body": b"", "more_body": False}


async def hello(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        raise ValueError("no lifespan here")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


def wrapped(app: ASGIApp = hello, **options: Any) -> tuple[Frontdesk, ASGIApp]:
    front = Frontdesk("memory:", **options)
    return front, front.wrap(app)


def status(sent: list[Message]) -> int:
    found: int = sent[0]["status"]
    return found


def code(sent: list[Message]) -> str:
    found: str = json.loads(sent[1]["body"])["code"]
    return found


# --- paths -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "root_path", "ours"),
    [
        ("/auth/me", "", True),
        ("/api/auth/me", "/api", True),  # the server passes the whole path (ASGI since 2023)
        ("/auth/me", "/api", True),  # a proxy in front has stripped the root
        ("/api/auth/me", "", False),
        ("/apiauth/me", "/api", False),
        ("/api//auth/me", "/api", False),
        ("/api", "/api", False),
        ("/auth", "", False),
        ("/AUTH/me", "", False),
        ("/auth/../auth/me", "", True),  # below the prefix, and nothing there
    ],
)
def test_the_prefix_is_looked_for_below_the_root_path(path: str, root_path: str, ours: bool) -> None:
    _, app = wrapped()
    sent = exchange(app, http_scope(path, root_path=root_path), EMPTY)
    assert (status(sent) != 200) == ours


def test_the_prefix_can_be_another(caplog: pytest.LogCaptureFixture) -> None:
    _, app = wrapped(prefix="/account/desk")
    assert code(exchange(app, http_scope("/account/desk/me"), EMPTY)) == "not_signed_in"
    assert status(exchange(app, http_scope("/auth/me"), EMPTY)) == 200
    for prefix in ("", "/", "auth", "/auth/", "//auth"):
        with pytest.raises(ConfigurationError, match="prefix"):
            wrapped(prefix=prefix)


def test_other_kinds_of_scopes_pass_untouched() -> None:
    seen: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    _, app = wrapped(application)
    assert exchange(app, {"type": "carrier-pigeon"}) == []
    assert seen == ["carrier-pigeon"]


def test_the_scope_of_the_server_is_not_changed() -> None:
    _, app = wrapped()
    scope = http_scope("/")
    before = dict(scope)
    exchange(app, scope)
    assert scope == before


# --- bodies ----------------------------------------------------------------------------------------------------------


def test_reading_stops_where_a_body_exceeds_64_kib() -> None:
    _, app = wrapped()
    chunk = {"type": "http.request", "body": b"x" * 40_000, "more_body": True}
    # The third chunk never comes: waiting for it would hang.
    assert code(exchange(app, http_scope("/auth/login", method="POST"), chunk, chunk)) == "body_too_large"


def test_a_declared_length_is_refused_without_reading() -> None:
    _, app = wrapped()
    headers = [(b"host", b"testserver"), (b"content-length", b"65537")]
    scope = {**http_scope("/auth/login", method="POST"), "headers": headers}
    assert code(asyncio.run(play(app, scope))) == "body_too_large"


def test_a_client_that_goes_away_is_answered_nothing() -> None:
    _, app = wrapped()
    half = {"type": "http.request", "body": b"{", "more_body": True}
    gone = {"type": "http.disconnect"}
    assert exchange(app, http_scope("/auth/login", method="POST"), half, gone) == []


def test_head_gets_no_content() -> None:
    _, app = wrapped()
    start, body = exchange(app, http_scope("/auth/me", method="HEAD"), EMPTY)
    assert start["status"] == 401
    assert int(dict(start["headers"])[b"content-length"]) > 0
    assert body["body"] == b""


# --- lifespan --------------------------------------------------------------------------------------------------------

STARTUP, SHUTDOWN = {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}
LIFESPAN = {"type": "lifespan"}


def test_the_desk_opens_and_closes_for_an_application_without_a_lifespan() -> None:
    front, app = wrapped()
    sent = exchange(app, LIFESPAN, STARTUP, SHUTDOWN)
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert not front.is_open


def test_the_desk_is_open_from_start_up_to_shut_down_of_an_application_that_has_one() -> None:
    states: list[bool] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "lifespan.startup"
        states.append(front.is_open)
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        states.append(front.is_open)
        await send({"type": "lifespan.shutdown.complete"})

    front, app = wrapped(application)
    sent = exchange(app, LIFESPAN, STARTUP, SHUTDOWN)
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert states == [True, True]
    assert not front.is_open


def test_an_application_that_fails_to_start_takes_the_desk_along() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no"})
        raise RuntimeError("no")

    front, app = wrapped(application)
    with pytest.raises(RuntimeError, match="no"):
        exchange(app, LIFESPAN, STARTUP)
    assert not front.is_open


def test_an_application_that_returns_after_its_start_is_shut_down_all_the_same() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})

    front, app = wrapped(application)
    sent = exchange(app, LIFESPAN, STARTUP, SHUTDOWN)
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert not front.is_open


def test_a_desk_that_cannot_be_configured_so_fails_the_start_and_says_what_to_do(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/app.db"
    first = Frontdesk(url, secret=SECRET)
    exchange(first.wrap(hello), LIFESPAN, STARTUP, SHUTDOWN)
    second = Frontdesk(url, secret=OTHER_SECRET)
    sent: list[Message] = []

    async def start() -> None:
        waiting = [STARTUP]

        async def receive() -> Message:
            return waiting.pop()

        async def send(message: Message) -> None:
            sent.append(message)

        await second.wrap(hello)(LIFESPAN, receive, send)

    with pytest.raises(ConfigurationError):
        asyncio.run(start())
    assert sent[0]["type"] == "lifespan.startup.failed"
    assert "secret" in sent[0]["message"]


class Beats:
    """In place of sleeping: housekeeping pauses until the test lets it go on."""

    def __init__(self) -> None:
        self.paused = asyncio.Semaphore(0)
        self.go_on = asyncio.Semaphore(0)

    async def __call__(self, _seconds: float) -> None:
        self.paused.release()
        await self.go_on.acquire()


async def put_one(front: Frontdesk, number: int) -> None:
    moment = front.desk.clock.now() + timedelta(minutes=1)
    await front.desk.store.put_once("default", "test", number.to_bytes(32), b"x", expires_at=moment)


@pytest.mark.parametrize("takes_part", [True, False])
def test_while_an_application_runs_what_is_over_is_removed_and_no_longer(takes_part: bool) -> None:
    clock = AdjustableClock()
    front = Frontdesk("memory:", clock=clock)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if not takes_part:
            raise ValueError("no lifespan here")
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def run() -> None:
        beats = Beats()
        waiting: asyncio.Queue[Message] = asyncio.Queue()
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        living = asyncio.create_task(
            Lifespan(application, front, front.housekeeping(beats))(LIFESPAN, waiting.get, send)
        )
        await waiting.put(STARTUP)
        await asyncio.wait_for(beats.paused.acquire(), 30)
        await put_one(front, 1)
        clock.advance(timedelta(minutes=2))
        beats.go_on.release()
        await asyncio.wait_for(beats.paused.acquire(), 30)
        assert await front.desk.store.purge(clock.now()) == 0
        await waiting.put(SHUTDOWN)
        await asyncio.wait_for(living, 30)
        assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(run())


def test_a_clean_up_that_does_not_come_back_delays_no_end() -> None:
    front = Frontdesk("memory:")
    ended: list[str] = []

    async def run() -> None:
        beats, stuck = Beats(), asyncio.Event()
        waiting: asyncio.Queue[Message] = asyncio.Queue()

        async def purge(*_: Any, **__: Any) -> int:
            stuck.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("clean-up")
            return 0

        async def send(message: Message) -> None:
            ended.append(message["type"])

        front.desk.store.purge = purge  # type: ignore[method-assign]
        living = asyncio.create_task(Lifespan(hello, front, front.housekeeping(beats))(LIFESPAN, waiting.get, send))
        await waiting.put(STARTUP)
        beats.go_on.release()
        await asyncio.wait_for(stuck.wait(), 30)
        await waiting.put(SHUTDOWN)
        await asyncio.wait_for(living, 30)

    asyncio.run(run())
    assert ended == ["lifespan.startup.complete", "clean-up", "lifespan.shutdown.complete"]
    assert not front.is_open


def test_an_application_without_a_lifespan_cleans_up_by_a_call_that_opens_the_desk() -> None:
    clock = AdjustableClock()
    front = Frontdesk("memory:", clock=clock)

    async def run() -> list[int]:
        removed = [await front.purge()]
        for number in range(3):
            await put_one(front, number)
        clock.advance(timedelta(minutes=2))
        removed += [await front.purge(), await front.purge()]
        await front.close()
        return removed

    assert asyncio.run(run()) == [0, 3, 0]


# --- opening ---------------------------------------------------------------------------------------------------------


class _Opening(MemoryStore):
    """Counts how often it is opened, and fails as often as it is told."""

    def __init__(self, failures: int = 0) -> None:
        super().__init__()
        self.opened = 0
        self.failures = failures

    async def open(self) -> None:
        self.opened += 1
        await asyncio.sleep(0)
        if self.failures:
            self.failures -= 1
            raise StoreError("not there yet")
        await super().open()


def test_the_first_requests_open_the_desk_once_between_them() -> None:
    store = _Opening()
    app = Frontdesk.over(TestDesk(store), EdgeSettings()).wrap(hello)

    async def scenario() -> list[list[Message]]:
        return await asyncio.gather(*(play(app, http_scope("/auth/health"), EMPTY) for _ in range(20)))

    assert [status(sent) for sent in asyncio.run(scenario())] == [200] * 20
    assert store.opened == 1


def test_a_store_that_cannot_be_opened_is_503_until_it_can(caplog: pytest.LogCaptureFixture) -> None:
    store = _Opening(failures=2)
    app = Frontdesk.over(TestDesk(store), EdgeSettings()).wrap(hello)
    for path in ("/auth/me", "/"):
        assert code(exchange(app, http_scope(path), EMPTY)) == "store_unavailable"
    assert "not there yet" in caplog.text
    assert code(exchange(app, http_scope("/auth/me"), EMPTY)) == "not_signed_in"


def test_a_store_that_cannot_be_opened_does_not_keep_the_application_from_starting() -> None:
    front = Frontdesk.over(TestDesk(_Opening(failures=1)), EdgeSettings())
    sent = exchange(front.wrap(hello), LIFESPAN, STARTUP, SHUTDOWN)
    assert sent[0]["type"] == "lifespan.startup.complete"


def test_a_wrong_secret_is_503_and_logged_where_nobody_looked_at_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"sqlite:///{tmp_path}/app.db"
    exchange(Frontdesk(url, secret=SECRET).wrap(hello), LIFESPAN, STARTUP, SHUTDOWN)
    app = Frontdesk(url, secret=OTHER_SECRET).wrap(hello)
    with caplog.at_level(logging.CRITICAL):
        assert code(exchange(app, http_scope("/"), EMPTY)) == "store_unavailable"
    assert "secret" in caplog.text


def test_an_opening_whose_requests_have_all_gone_leaves_no_trace() -> None:
    front = Frontdesk.over(TestDesk(_Opening(failures=1)), EdgeSettings())

    async def scenario() -> None:
        request = asyncio.ensure_future(front.open())
        await asyncio.sleep(0)
        request.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        await front.open()

    asyncio.run(scenario())
    assert front.is_open


def test_a_desk_opens_again_after_it_was_closed() -> None:
    front = Frontdesk.over(TestDesk(MemoryStore()), EdgeSettings())

    async def scenario() -> None:
        for _ in range(2):
            await front.open()
            account = await front.desk.accounts.register("a@example.com", "correct horse battery staple")
            assert account is not None
            await front.close()

    asyncio.run(scenario())


# --- refusals and handshakes -----------------------------------------------------------------------------------------


async def private(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    if scope["path"] == "/late":
        await send({"type": "websocket.accept"})
    elif scope["path"] == "/half":
        await send({"type": "http.response.start", "status": 200, "headers": []})
    principal(scope)


def test_a_refusal_that_nobody_handles_becomes_a_problem_document() -> None:
    _, app = wrapped(private)
    sent = exchange(app, http_scope("/"))
    assert status(sent) == 401
    assert code(sent) == "not_signed_in"


def test_a_refusal_in_the_middle_of_an_answer_is_a_fault_of_the_application() -> None:
    _, app = wrapped(private)
    with pytest.raises(RefusedError):
        exchange(app, http_scope("/half"))


def test_a_handshake_is_denied_with_a_document_where_the_server_can_send_one() -> None:
    _, app = wrapped(private)
    connect = {"type": "websocket.connect"}
    extensions: dict[str, Any] = {"websocket.http.response": {}}
    start, body = exchange(app, socket_scope(extensions=extensions), connect)
    assert start["type"] == "websocket.http.response.start"
    assert json.loads(body["body"])["code"] == "not_signed_in"


@pytest.mark.parametrize("extensions", [{}, None])
def test_a_handshake_is_closed_with_a_telling_code_where_it_cannot(extensions: Any) -> None:
    _, app = wrapped(private)
    connect = {"type": "websocket.connect"}
    assert exchange(app, socket_scope(extensions=extensions), connect) == [
        {"type": "websocket.close", "code": 4401, "reason": ""}
    ]
    crossed = [(b"host", b"testserver"), (b"cookie", b"__Host-Http-session=x"), (b"origin", b"https://evil.example")]
    sent = exchange(app, {**socket_scope(extensions=extensions), "headers": crossed}, connect)
    assert sent == [{"type": "websocket.close", "code": 4403, "reason": ""}]


def test_asking_after_the_handshake_closes_the_websocket() -> None:
    _, app = wrapped(private)
    accepted, closed = exchange(app, socket_scope("/late"), {"type": "websocket.connect"})
    assert accepted["type"] == "websocket.accept"
    assert closed == {"type": "websocket.close", "code": 4401, "reason": "not_signed_in"}


def test_a_client_that_goes_away_before_its_handshake_is_told_nothing() -> None:
    _, app = wrapped(private)
    crossed = [(b"host", b"testserver"), (b"cookie", b"__Host-Http-session=x")]
    assert exchange(app, {**socket_scope(), "headers": crossed}, {"type": "websocket.disconnect", "code": 1006}) == []


# --- configuration ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"credential": "cookie"}, ConfigurationError),
        ({"credential": "jwt", "credentials": ["session"]}, ConfigurationError),
        ({"credentials": []}, ConfigurationError),
        ({"credentials": ["session", "session"]}, ConfigurationError),
        ({"credentials": "session"}, TypeError),
        ({"transport": "post"}, ConfigurationError),
        ({"secret": "short"}, ConfigurationError),
        ({"secret": "change-me" * 8}, ConfigurationError),
        ({"base_url": "desk.example"}, ConfigurationError),
        ({"signing": "none"}, ConfigurationError),
        ({"trusted_origins": "https://app.example"}, TypeError),
        ({"trusted_origins": ["app.example"]}, ValueError),
        ({"trusted_proxies": ["0.0.0.0/0"]}, ValueError),
        ({"trusted_proxies": ["nonsense"]}, ValueError),
        ({"hosts": ["App.example"]}, ConfigurationError),
        ({"hosts": ["app.example:8000"]}, ConfigurationError),
        ({"hosts": ["https://app.example"]}, ConfigurationError),
        ({"hosts": ["app.example."]}, ConfigurationError),
        ({"hosts": ["*.app.example"]}, ConfigurationError),
        ({"hosts": ["bücher.example"]}, ConfigurationError),
        ({"hosts": ["::1"]}, ConfigurationError),
        ({"hosts": [""]}, ConfigurationError),
        ({"public": ["/docs"]}, ConfigurationError),
        ({"cookies": CookieSettings(suffix="x" * 50)}, ConfigurationError),
        ({"colour": "blue"}, TypeError),
    ],
)
def test_what_cannot_be_configured_is_refused_where_it_is_built(
    options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        Frontdesk("memory:", **options)


def test_a_host_that_no_request_could_name_is_refused_with_how_it_should_look() -> None:
    with pytest.raises(ConfigurationError, match=r"hosts .* app\.example.*'App\.example:8000'"):
        Frontdesk("memory:", hosts=["App.example:8000"])
    for host in ("app.example", "localhost", "127.0.0.1", "[::1]"):
        Frontdesk("memory:", hosts=[host])


@pytest.mark.parametrize("url", ["app.db", "sqlite://app.db", "mysql://x/y", "sqlite:///", ""])
def test_a_url_that_names_no_store_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        Frontdesk(url)


def test_the_named_credential_and_transport_become_the_default() -> None:
    front = Frontdesk("memory:", credential="jwt", transport="bearer")
    assert front.desk.settings.credentials == ("jwt", "session", "jwe")
    assert front.desk.settings.transports == ("bearer", "cookie")


@pytest.mark.parametrize(
    ("options", "scheme"),
    [
        ({}, None),
        ({"base_url": "https://desk.example"}, "https"),
        ({"base_url": "http://127.0.0.1:9000"}, "http"),
    ],
)
def test_the_scheme_of_origins_is_that_of_the_given_base_url(options: dict[str, Any], scheme: str | None) -> None:
    front = Frontdesk("memory:", **options)
    assert front.gate.settings.origins.scheme == scheme


@pytest.mark.parametrize("option", ["credential", "transport", "refresh_in"])
def test_a_misspelt_option_of_a_sign_in_is_the_applications_mistake_and_not_the_clients(option: str) -> None:
    front, _ = wrapped()
    options: dict[str, Any] = {option: "pigeon"}
    with pytest.raises(ValueError, match=option):
        asyncio.run(front.sign_in(http_scope("/"), "alice", **options))


def test_the_address_of_a_device_is_believed_from_trusted_proxies_only() -> None:
    signed_in: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await front.sign_in(scope, "alice")
        signed_in.append((await front.desk.sessions("alice"))[0].address)
        await hello(scope, receive, send)

    forwarded = [(b"host", b"testserver"), (b"x-forwarded-for", b"203.0.113.7")]
    for proxies, expected in (([], "192.0.2.1"), (["192.0.2.0/24"], "203.0.113.7")):
        front, app = wrapped(application, trusted_proxies=proxies)
        exchange(app, {**http_scope("/"), "headers": forwarded})
        assert signed_in.pop() == expected
