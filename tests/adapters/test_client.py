"""`frontdesk.testing.Client`: somebody signed in, in one line, without overriding anything."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware

from frontdesk import asgi
from frontdesk.errors import RefusedError
from frontdesk.fastapi import Frontdesk, User
from frontdesk.testing import Client
from tests.http.answers import SESSION


async def whoami(user: User) -> dict[str, Any]:
    return {"hello": user.subject, "roles": sorted(user.roles), "claims": dict(user.claims), "amr": list(user.amr)}


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI()
    app.add_api_route("/whoami", whoami, methods=["GET", "POST"])
    Frontdesk("memory:").install(app)
    return app


@pytest.mark.parametrize("entered", [True, False], ids=["with", "without"])
@pytest.mark.parametrize("credential", ["session", "jwt", "jwe"])
@pytest.mark.parametrize("transport", ["cookie", "bearer"])
def test_somebody_is_signed_in_by_name(app: FastAPI, entered: bool, credential: Any, transport: Any) -> None:
    def visit(client: Client) -> None:
        client.sign_in_as(
            "alice", roles={"b", "a"}, claims={"team": 7}, amr=["pwd"], credential=credential, transport=transport
        )
        expected = {"hello": "alice", "roles": ["a", "b"], "claims": {"team": 7}, "amr": ["pwd"]}
        assert client.get("/whoami").json() == client.post("/whoami").json() == expected

    if entered:
        with Client(app) as client:
            visit(client)
    else:
        visit(Client(app))


def test_signing_in_as_another_forgets_the_first(app: FastAPI) -> None:
    client = Client(app)
    for transport in ("cookie", "bearer", "cookie"):
        body = client.sign_in_as(transport, transport=transport)
        assert client.get("/whoami").json()["hello"] == body["subject"] == transport
    client.forget()
    assert client.get("/whoami").status_code == 401


def test_the_jar_holds_what_the_application_would_have_set(app: FastAPI) -> None:
    client = Client(app)
    client.sign_in_as("alice")
    (cookie,) = client.cookies.jar
    assert cookie.name == SESSION
    assert cookie.secure
    client.post("/auth/logout")
    assert not client.cookies


def test_it_works_inside_a_running_event_loop(app: FastAPI) -> None:
    async def test() -> None:
        client = Client(app)
        client.sign_in_as("alice")
        assert client.get("/whoami").json()["hello"] == "alice"

    asyncio.run(test())


def test_a_desk_is_found_behind_wrappers_and_mounts(app: FastAPI) -> None:
    outer = Starlette()
    outer.mount("/child", app)
    client = Client(CORSMiddleware(outer))
    client.sign_in_as("alice")
    assert client.get("/child/whoami").json()["hello"] == "alice"


def test_the_desk_of_plain_asgi_is_found() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        text = asgi.principal(scope).subject.encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": text})

    client = Client(asgi.Frontdesk("memory:").wrap(application))
    client.sign_in_as("alice")
    assert client.get("/").text == "alice"


def test_what_the_desk_refuses_raises(app: FastAPI) -> None:
    with pytest.raises(RefusedError, match="largest claim"):
        Client(app).sign_in_as("alice", credential="jwt", claims={"big": "x" * 5000})


def test_the_origin_of_a_test_stands(app: FastAPI) -> None:
    client = Client(app)
    client.sign_in_as("alice")
    assert client.post("/whoami", data={"a": "b"}).status_code == 200
    assert client.post("/whoami", headers={"origin": "https://evil.example"}).status_code == 403


def test_nothing_else_is_called_that() -> None:
    import frontdesk.testing

    with pytest.raises(AttributeError, match="Clients"):
        _ = frontdesk.testing.Clients
