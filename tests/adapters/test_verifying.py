"""Applications behind a verifier: the same `User` and `require` as behind a desk, in each dialect."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.websockets import WebSocketDisconnect

from frontdesk import asgi, fastapi, starlette
from frontdesk.clock import AdjustableClock
from frontdesk.core.cookies import CookieSettings
from frontdesk.core.revocation import Entry, entry_expiry, target_digest
from frontdesk.errors import ConfigurationError, StoreError
from frontdesk.jose import jwt
from frontdesk.jose.keys import EcKey
from frontdesk.stores.protocol import NO_TIME, Poll
from frontdesk.testing import Client
from frontdesk.verifier import Verifier
from tests.adapters.asgi_server import Message, exchange, http_scope, play, socket_scope
from tests.http.answers import code_of
from tests.http.sites import ADAPTERS, of_fastapi, of_starlette, plain

ISSUER = "https://desk.example"
KEY = EcKey.generate(kid="one")
CLOCK = AdjustableClock()
NOW = CLOCK.now()


class Log:
    """A revocation log that can be away."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.away = False

    def revoke(self, session: str) -> None:
        self.entries.append(
            Entry(
                number=len(self.entries) + 1,
                realm="default",
                kind="session",
                target=target_digest("default", session),
                at=NOW,
                expires_at=entry_expiry(NOW, "session"),
            )
        )

    async def poll(self, cursor: int, *, limit: int = 1000, wait: timedelta = NO_TIME) -> Poll:
        if wait > NO_TIME:
            await asyncio.Event().wait()  # until it is stopped: each test asks when it wants to know
        if self.away:
            raise StoreError("away")
        return Poll(tuple(self.entries[cursor:]), len(self.entries), "one", len(self.entries))


class Behind:
    """An application behind a verifier whose time stands still."""

    def __init__(self, adapter: str, **options: Any) -> None:
        self.log = Log()
        self.boot = 100.0
        self.verifier = Verifier(
            issuer=ISSUER, audience="orders", keys=[KEY], source=self.log, freshness="bounded", clock=CLOCK
        )
        follower = self.verifier._follower
        assert follower is not None
        follower._boot = follower._wall = lambda: self.boot
        nobody: Any = None  # signs nobody in
        if adapter == "asgi":
            self.app: Any = asgi.VerifierMiddleware(plain(nobody), verifier=self.verifier, **options)
            return
        self.app = of_starlette(nobody) if adapter == "starlette" else of_fastapi(nobody)
        middleware = starlette.VerifierMiddleware if adapter == "starlette" else fastapi.VerifierMiddleware
        self.app.add_middleware(middleware, verifier=self.verifier, **options)


def token_of(subject: str = "alice", **claims: Any) -> str:
    members = {"iss": ISSUER, "aud": "orders", "sub": subject, "exp": NOW + timedelta(minutes=5), "iat": NOW}
    own = {"sid": f"s-{subject}", "epochs": [0, 0], "transport": "bearer", "auth_time": NOW}
    return jwt.sign(members | own | claims, KEY, typ="at+jwt")


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@pytest.fixture(params=ADAPTERS)
def behind(request: pytest.FixtureRequest) -> Behind:
    return Behind(request.param)


@pytest.fixture
def client(behind: Behind) -> Iterator[Client]:
    with Client(behind.app) as client:
        yield client


# --- who is there -----------------------------------------------------------------------------------------------------


def test_user_optional_user_and_require_work_as_behind_a_desk(client: Client) -> None:
    assert client.get("/open").json() == {"hello": None}
    assert code_of(client.get("/dashboard"), status=401) == "not_signed_in"
    alice = bearer(token_of())
    assert client.get("/open", headers=alice).json() == {"hello": "alice"}
    assert client.get("/dashboard", headers=alice).json() == {"hello": "alice"}
    assert code_of(client.post("/transfer", headers=alice), status=403) == "role_missing"
    no_scope = bearer(token_of(roles=["teller"]))
    assert code_of(client.post("/transfer", headers=no_scope), status=403) == "scope_missing"
    stale = bearer(token_of(roles=["teller"], scope="money", auth_time=NOW - timedelta(minutes=6)))
    assert code_of(client.post("/transfer", headers=stale), status=403) == "step_up_required"
    teller = bearer(token_of(roles=["teller"], scope="money mail"))
    assert client.post("/transfer", headers=teller).json() == {"by": "alice"}


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        (bearer("a.b.c"), "credential_malformed"),
        ({"authorization": "Basic YTpi"}, "credential_malformed"),
        (bearer("fds_" + "A" * 88), "credential_malformed"),
        (bearer(token_of(exp=NOW)), "token_expired"),
        (bearer(token_of(aud="invoices")), "credential_invalid"),
        (bearer(token_of(transport="cookie")), "transport_mismatch"),
        ({"cookie": f"__Host-Http-access={token_of(transport='cookie')}"}, "not_signed_in"),
    ],
)
def test_what_is_refused_is_refused_with_a_problem_document(client: Client, headers: dict[str, str], code: str) -> None:
    assert code_of(client.get("/dashboard", headers=headers), status=401) == code
    assert client.get("/open", headers=headers).json() == {"hello": None}


def test_who_was_signed_out_is_refused_once_it_was_heard(behind: Behind, client: Client) -> None:
    alice, bob = bearer(token_of()), bearer(token_of("bob"))
    assert client.get("/dashboard", headers=alice).status_code == 200
    behind.log.revoke("s-alice")
    behind.boot += 5.1  # local state is too old: the log is asked
    assert code_of(client.get("/dashboard", headers=alice), status=401) == "session_ended"
    assert client.get("/dashboard", headers=bob).status_code == 200


def test_a_desk_that_cannot_be_asked_is_503_beyond_the_bound_and_nobody_is_nobody(
    behind: Behind, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    alice = bearer(token_of())
    assert client.get("/dashboard", headers=alice).status_code == 200
    behind.log.away = True
    behind.boot += 5.0
    assert client.get("/dashboard", headers=alice).status_code == 200
    behind.boot += 0.1
    assert code_of(client.get("/dashboard", headers=alice), status=503) == "store_unavailable"
    assert code_of(client.get("/open", headers=alice), status=503) == "store_unavailable"
    assert client.get("/open").json() == {"hello": None}
    behind.log.away = False
    assert client.get("/dashboard", headers=alice).status_code == 200
    assert "away" in caplog.text
    assert alice["authorization"].split()[1] not in caplog.text


# --- WebSockets -------------------------------------------------------------------------------------------------------


def test_a_websocket_is_refused_with_an_answer_and_taken_with_a_token(client: Client) -> None:
    with pytest.raises(WebSocketDisconnect) as caught, client.websocket_connect("/ws"):
        pass
    response: Any = caught.value
    assert json.loads(response.content)["code"] == "not_signed_in"
    with client.websocket_connect("/ws", headers=bearer(token_of())) as socket:
        assert socket.receive_text() == "alice"


def test_a_websocket_to_a_protected_path_does_not_reach_the_application() -> None:
    app = Behind("asgi", protect=True).app
    sent = asyncio.run(play(app, socket_scope("/ws"), {"type": "websocket.connect"}))
    assert sent == [{"type": "websocket.close", "code": 4401, "reason": ""}]


# --- protection by default --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_with_protection_by_default_only_public_paths_are_open(adapter: str) -> None:
    with Client(Behind(adapter, protect=True, public=["/open"]).app) as client:
        assert client.get("/open").status_code == 200
        assert code_of(client.get("/nowhere"), status=401) == "not_signed_in"
        assert client.get("/nowhere", headers=bearer(token_of())).status_code == 404


# --- cookies ----------------------------------------------------------------------------------------------------------


@pytest.fixture(params=ADAPTERS)
def cookie_client(request: pytest.FixtureRequest) -> Iterator[Client]:
    app = Behind(request.param, cookies=CookieSettings(), trusted_origins=["https://app.example"]).app
    with Client(app) as client:
        client.cookies.set("__Host-Http-access", token_of(transport="cookie", roles=["teller"], scope="money"))
        yield client


def test_where_cookies_are_read_the_access_cookie_of_the_desk_signs_in(cookie_client: Client) -> None:
    assert cookie_client.get("/dashboard").json() == {"hello": "alice"}
    assert cookie_client.post("/transfer").json() == {"by": "alice"}
    with cookie_client.websocket_connect("/ws") as socket:
        assert socket.receive_text() == "alice"


def test_another_site_cannot_act_with_the_cookie(cookie_client: Client) -> None:
    for headers in (
        {"origin": "https://evil.example"},
        {"sec-fetch-site": "same-site", "origin": "https://a.testserver"},
    ):
        assert code_of(cookie_client.post("/transfer", headers=headers), status=403) == "cross_origin"
        with pytest.raises(WebSocketDisconnect), cookie_client.websocket_connect("/ws", headers=headers):
            pass
    assert cookie_client.get("/dashboard", headers={"origin": "https://evil.example"}).status_code == 200
    assert cookie_client.post("/transfer", headers={"origin": "https://app.example"}).status_code == 200


def test_authorization_decides_over_cookies_and_is_asked_for_no_origin(cookie_client: Client) -> None:
    headers = {**bearer(token_of("bob")), "origin": "https://evil.example"}
    assert cookie_client.get("/dashboard", headers=headers).json() == {"hello": "bob"}
    assert code_of(cookie_client.post("/transfer", headers=headers), status=403) == "role_missing"
    assert code_of(cookie_client.get("/dashboard", headers=bearer("x")), status=401) == "credential_malformed"


def test_the_sessions_of_the_desk_are_for_the_desk(cookie_client: Client) -> None:
    cookie_client.cookies.set("__Host-Http-session", "fds_" + "A" * 88)
    assert code_of(cookie_client.get("/dashboard"), status=401) == "credential_malformed"


def test_a_cookie_jar_that_was_filled_is_refused_at_once(cookie_client: Client) -> None:
    cookie_client.cookies.set("filling", "x" * 9000)
    assert code_of(cookie_client.get("/open"), status=431) == "headers_too_large"


# --- lifespan ---------------------------------------------------------------------------------------------------------

STARTUP, SHUTDOWN = {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}


def test_the_verifier_opens_with_the_application_and_closes_after_it() -> None:
    behind = Behind("asgi")
    follower = behind.verifier._follower
    assert follower is not None

    async def scenario() -> list[Message]:
        sent = await play(behind.app, {"type": "lifespan"}, STARTUP, SHUTDOWN)
        assert len(asyncio.all_tasks()) == 1
        return sent

    assert [message["type"] for message in asyncio.run(scenario())] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    assert behind.verifier.is_ready
    assert follower._task is None


def test_a_desk_that_is_away_does_not_keep_the_application_from_starting(caplog: pytest.LogCaptureFixture) -> None:
    behind = Behind("fastapi")
    behind.log.away = True
    with Client(behind.app) as client:
        assert client.get("/open").json() == {"hello": None}
        assert code_of(client.get("/dashboard", headers=bearer(token_of())), status=503) == "store_unavailable"
        behind.log.away = False
        assert client.get("/dashboard", headers=bearer(token_of())).status_code == 200
    assert "away" in caplog.text


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_without_a_lifespan_the_first_token_opens_the_verifier_in_whichever_loop(adapter: str) -> None:
    behind = Behind(adapter)
    client = Client(behind.app)  # each request in an event loop of its own
    assert client.get("/open").json() == {"hello": None}
    assert not behind.verifier.is_ready
    for _ in range(3):
        assert client.get("/dashboard", headers=bearer(token_of())).json() == {"hello": "alice"}
        behind.boot += 5.1
    asyncio.run(behind.verifier.close())


def test_other_kinds_of_scopes_pass_untouched_and_the_servers_scope_is_not_changed() -> None:
    seen: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    app = asgi.VerifierMiddleware(application, verifier=Behind("asgi").verifier)
    assert exchange(app, {"type": "carrier-pigeon"}) == []
    scope = http_scope("/")
    before = dict(scope)
    exchange(app, scope)
    assert (scope, seen) == (before, ["carrier-pigeon", "http"])


# --- misuse -----------------------------------------------------------------------------------------------------------


def test_an_application_without_a_desk_or_a_verifier_is_told_what_is_missing(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(RuntimeError, match="VerifierMiddleware"):
        asgi.principal(http_scope("/"))


def test_misuse_is_told_when_the_middleware_is_built() -> None:
    verifier = Behind("asgi").verifier
    wrong: Any = ISSUER
    with pytest.raises(TypeError, match="Verifier"):
        asgi.VerifierMiddleware(plain(wrong), verifier=wrong)
    with pytest.raises(TypeError, match="collection"):
        asgi.VerifierMiddleware(
            plain(wrong), verifier=verifier, cookies=CookieSettings(), trusted_origins="https://a.b"
        )
    with pytest.raises(ValueError, match="cookies"):
        asgi.VerifierMiddleware(plain(wrong), verifier=verifier, strict_origin=True)
    with pytest.raises(ConfigurationError, match="public"):
        asgi.VerifierMiddleware(plain(wrong), verifier=verifier, public=["/open"])


def test_the_openapi_document_says_which_operations_ask_who_is_there() -> None:
    app = FastAPI()

    @app.get("/orders")
    async def orders(user: fastapi.User) -> None: ...

    app.add_middleware(fastapi.VerifierMiddleware, verifier=Behind("asgi").verifier)
    document = app.openapi()
    assert document["paths"]["/orders"]["get"]["security"] == [{"frontdesk": []}]
    assert document["components"]["securitySchemes"]["frontdesk"] == {"type": "http", "scheme": "bearer"}


def test_nothing_of_the_credential_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    token = token_of()
    with caplog.at_level(logging.DEBUG), Client(Behind("asgi").app) as client:
        client.get("/dashboard", headers=bearer(token))
        client.get("/dashboard", headers=bearer(token[:-5]))
    assert token[:-5] not in caplog.text
