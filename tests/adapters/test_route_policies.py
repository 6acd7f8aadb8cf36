"""What an adapter finds out of the routes of its application, so that a request can be explained before it is sent."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, WebSocket
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, Router
from starlette.staticfiles import StaticFiles

from frontdesk import fastapi, starlette
from frontdesk.endpoints.policy import Asked, RoutePolicy
from frontdesk.fastapi import OptionalUser, Principal, User
from frontdesk.testing import Client

Teller = Annotated[Principal, fastapi.require(roles={"teller"})]


async def teller_of(user: Teller) -> Principal:
    return user


Wrapped = Annotated[Principal, Depends(teller_of)]


async def plain(request: Request) -> PlainTextResponse:
    return PlainTextResponse("")


@starlette.require(scope={"money"})
@starlette.require(roles={"teller"})
async def guarded(request: Request) -> PlainTextResponse:
    return PlainTextResponse("")


class Guarded(HTTPEndpoint):
    @starlette.require(roles={"manager"})
    async def get(self, request: Request) -> PlainTextResponse:
        return PlainTextResponse("")

    async def post(self, request: Request) -> PlainTextResponse:
        return PlainTextResponse("")


def policy(front: Any, path: str, method: str = "GET", **more: Any) -> RoutePolicy:
    found: RoutePolicy = front.gate.policies(Asked(method=method, path=path, host=b"testserver", **more))
    return found


def demands(found: RoutePolicy) -> list[tuple[frozenset[str], frozenset[str], timedelta | None]]:
    return [(rule.roles, rule.scope, rule.fresh) for rule in found.rules]


def of_starlette(tmp_path: Any) -> starlette.Frontdesk:
    inner = Router([Route("/guarded", guarded), Route("/plain", plain)])
    app = Starlette(
        routes=[
            Route("/plain", plain),
            Route("/guarded/{id:int}", guarded, methods=["POST"]),
            Route("/class", Guarded),
            Mount("/inner", app=inner),
            Mount("/files", app=StaticFiles(directory=tmp_path)),
            Route("/slash/", plain),
        ]
    )
    return starlette.Frontdesk("memory:").install(app)


def test_starlette_tells_what_its_decorator_asks_and_nothing_of_what_stands_in_the_code(tmp_path: Any) -> None:
    front = of_starlette(tmp_path)
    assert policy(front, "/plain").asks == "unknown"
    found = policy(front, "/guarded/7", "POST")
    assert found.asks == "signed_in"
    assert demands(found) == [
        (frozenset(), frozenset({"money"}), None),
        (frozenset({"teller"}), frozenset(), None),
    ]
    assert demands(policy(front, "/class")) == [(frozenset({"manager"}), frozenset(), None)]
    assert policy(front, "/class", "POST").asks == "unknown"
    assert len(policy(front, "/inner/guarded").rules) == 2
    assert policy(front, "/files/a.css") == RoutePolicy()
    assert policy(front, "/slash").asks == "nothing"  # a redirect, whoever asks


@pytest.mark.parametrize(
    ("path", "method", "refusal"),
    [
        ("/nothing", "GET", "not_found"),
        ("/guarded/x", "POST", "not_found"),
        ("/guarded/7", "GET", "method_not_allowed"),
        ("/inner/nothing", "GET", "not_found"),
        ("/plain", "PUT", "method_not_allowed"),
    ],
)
def test_a_route_that_is_not_there_is_known(tmp_path: Any, path: str, method: str, refusal: str) -> None:
    assert policy(of_starlette(tmp_path), path, method).refusal == refusal


def test_the_root_path_is_what_routers_take_it_for(tmp_path: Any) -> None:
    front = of_starlette(tmp_path)
    assert len(policy(front, "/inner/guarded", root_path="/app").rules) == 2
    assert policy(front, "/slash", root_path="/app").asks == "nothing"


def of_fastapi() -> tuple[fastapi.Frontdesk, FastAPI]:
    app = FastAPI()
    front = fastapi.Frontdesk("memory:").install(app)
    inner = APIRouter(prefix="/inner", dependencies=[fastapi.require(scope={"inner"})])
    deepest = APIRouter(prefix="/deepest")

    def declare(router: Any, path: str, endpoint: Callable[..., Any]) -> None:
        router.get(path)(endpoint)

    async def open_() -> None: ...
    async def of_user(user: User) -> None: ...
    async def of_anybody(user: OptionalUser) -> None: ...
    async def of_teller(user: Teller) -> None: ...
    async def of_wrapped(user: Wrapped) -> None: ...

    for path, endpoint in (
        ("/open", open_),
        ("/user", of_user),
        ("/anybody", of_anybody),
        ("/teller", of_teller),
        ("/wrapped", of_wrapped),
    ):
        declare(app, path, endpoint)
    declare(inner, "/teller", of_teller)
    declare(deepest, "/open", open_)
    inner.include_router(deepest, dependencies=[fastapi.require(roles={"diver"})])
    app.include_router(inner)

    @app.websocket("/ws")
    async def socket(websocket: WebSocket, user: Teller) -> None: ...

    sub = FastAPI()
    declare(sub, "/teller", of_teller)
    app.mount("/sub", sub)
    return front, app


def test_fastapi_tells_what_dependencies_ask_wherever_they_are_declared() -> None:
    front, _ = of_fastapi()
    nothing: frozenset[str] = frozenset()
    teller, diver = (frozenset({"teller"}), nothing, None), (frozenset({"diver"}), nothing, None)
    inside = (nothing, frozenset({"inner"}), None)
    assert policy(front, "/open").asks == "nothing"
    assert policy(front, "/anybody").asks == "optional"
    assert (policy(front, "/user").asks, policy(front, "/user").rules) == ("signed_in", ())
    assert demands(policy(front, "/teller")) == [teller]
    assert demands(policy(front, "/wrapped")) == [teller]
    assert demands(policy(front, "/inner/teller")) == [inside, teller]
    assert demands(policy(front, "/inner/deepest/open")) == [inside, diver]
    assert demands(policy(front, "/sub/teller")) == [teller]
    assert demands(policy(front, "/ws", websocket=True)) == [teller]
    assert policy(front, "/ws").refusal == "not_found"
    assert policy(front, "/user", "POST").refusal == "method_not_allowed"
    assert policy(front, "/docs").asks == "unknown"


@pytest.mark.parametrize(
    ("path", "roles", "scope"),
    [("/inner/deepest/open", set(), set()), ("/inner/deepest/open", {"diver"}, {"inner"}), ("/wrapped", set(), set()),
     ("/inner/teller", {"teller"}, set()), ("/sub/teller", {"teller"}, set()), ("/anybody", set(), set())],
)  # fmt: skip
def test_what_was_found_out_is_what_the_route_does(path: str, roles: set[str], scope: set[str]) -> None:
    _, app = of_fastapi()
    with Client(app) as client:
        client.sign_in_as("alice", roles=roles, scope=scope)
        told = client.get("/auth/explain", params={"path": path}).json()
        answer = client.get(path)
        assert told["code"] == (answer.json()["code"] if answer.status_code >= 400 else "allowed")


def test_a_websocket_is_explained_with_its_origin() -> None:
    app = FastAPI()
    desk = fastapi.Frontdesk("memory:").install(app)

    @app.websocket("/why")
    async def why(websocket: WebSocket) -> None:
        explanation = await desk.explain(websocket, roles={"teller"})
        await websocket.accept()
        await websocket.send_json([explanation.code, *(fact.code for fact in explanation.facts)])
        await websocket.close()

    with Client(app) as client:
        client.sign_in_as("alice")
        with client.websocket_connect("/why") as socket:
            code, *facts = socket.receive_json()
    assert code == "role_missing"
    assert "origin_allowed" in facts
