"""Starlette: the decorator, mounted applications, and what stands inside the desk."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

from frontdesk import asgi
from frontdesk.core.cookies import CookieSettings
from frontdesk.errors import RefusedError
from frontdesk.starlette import Frontdesk, optional_principal, principal, require
from frontdesk.testing import Client
from tests.adapters.asgi_server import exchange, http_scope, socket_scope
from tests.http.answers import code_of


@require(roles={"admin"})
async def admin(request: Request) -> Response:
    """Only for admins."""
    return JSONResponse({"hello": principal(request).subject})


class Things(HTTPEndpoint):
    @require()
    async def get(self, request: Request) -> Response:
        return JSONResponse({"hello": principal(request).subject})

    async def post(self, request: Request) -> Response:
        found = optional_principal(request)
        return JSONResponse({"hello": found.subject if found else None})


def test_the_decorator_guards_functions_and_methods_and_keeps_their_names() -> None:
    app = Starlette(routes=[Route("/admin", admin), Route("/things", Things)])
    Frontdesk("memory:").install(app)
    client = Client(app)
    assert admin.__name__ == "admin"
    assert admin.__doc__ == "Only for admins."
    assert code_of(client.get("/admin"), status=401) == "not_signed_in"
    assert code_of(client.get("/things"), status=401) == "not_signed_in"
    assert client.post("/things").json() == {"hello": None}
    client.sign_in_as("alice")
    assert code_of(client.get("/admin"), status=403) == "role_missing"
    assert client.get("/things").json() == client.post("/things").json() == {"hello": "alice"}
    client.sign_in_as("alice", roles={"admin"})
    assert client.get("/admin").json() == {"hello": "alice"}


def test_an_endpoint_that_is_not_async_is_refused_where_it_is_decorated() -> None:
    def plain(request: Request) -> Response:
        return Response()

    with pytest.raises(TypeError, match="async"):
        require()(plain)  # type: ignore[type-var]


def test_a_function_that_gets_no_request_says_so() -> None:
    @require()
    async def nothing() -> None: ...

    import asyncio

    with pytest.raises(TypeError, match="request"):
        asyncio.run(nothing())


def test_mounted_applications_answer_problem_documents() -> None:
    child = Starlette(routes=[Route("/admin", admin)])
    app = Starlette(routes=[Mount("/child", child), Mount("/deep", routes=[Mount("/er", child)])])
    Frontdesk("memory:").install(app)
    client = Client(app)
    for path in ("/child/admin", "/deep/er/admin"):
        assert code_of(client.get(path), status=401) == "not_signed_in"


def test_middleware_inside_the_desk_may_ask_too() -> None:
    async def only_admins(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        principal(request)
        return await call_next(request)

    async def hello(request: Request) -> Response:
        return PlainTextResponse("hello")

    app = Starlette(routes=[Route("/", hello)])
    app.add_middleware(BaseHTTPMiddleware, dispatch=only_admins)
    Frontdesk("memory:").install(app)
    client = Client(app)
    assert code_of(client.get("/"), status=401) == "not_signed_in"
    client.sign_in_as("alice")
    assert client.get("/").text == "hello"


def test_without_a_desk_the_question_says_what_to_install() -> None:
    app = Starlette(routes=[Route("/admin", admin)])
    with pytest.raises(RuntimeError, match=r"Frontdesk\(...\)\.install\(app\)"):
        TestClient(app).get("/admin")


def test_a_second_install_is_refused() -> None:
    app = Starlette()
    Frontdesk("memory:").install(app)
    with pytest.raises(RuntimeError, match="already installed"):
        Frontdesk("memory:").install(app)


def test_a_streamed_answer_passes_untouched() -> None:
    from starlette.responses import StreamingResponse

    async def pieces() -> Any:
        for piece in ("a", "b", "c"):
            yield piece

    async def stream(request: Request) -> Response:
        return StreamingResponse(pieces(), status_code=401)

    app = Starlette(routes=[Route("/", stream)])
    Frontdesk("memory:").install(app)
    assert Client(app).get("/").text == "abc"


def test_an_answer_like_the_refusal_but_longer_is_the_applications_own() -> None:
    async def own(request: Request) -> Response:
        try:
            principal(request)
        except Exception:  # noqa: BLE001 - whatever it is
            return PlainTextResponse("No credential came along. Go away.", status_code=401)
        return Response()

    app = Starlette(routes=[Route("/", own)])
    Frontdesk("memory:").install(app)
    assert Client(app).get("/").text == "No credential came along. Go away."


def test_head_is_refused_with_the_headers_of_get() -> None:
    app = Starlette(routes=[Route("/admin", admin)])
    Frontdesk("memory:").install(app)
    client = Client(app)
    get, head = client.get("/admin"), client.head("/admin")
    assert head.status_code == 401
    assert head.headers == get.headers
    assert head.content == b""


# --- WebSockets, message by message -----------------------------------------------------------------------------------


def sockets(extensions: dict[str, Any], *, accept: bool) -> list[Any]:
    """What the server is told when the endpoint asks who is there, before or after it accepts."""

    async def endpoint(websocket: WebSocket) -> None:
        if accept:
            await websocket.accept()
        principal(websocket)

    app = Starlette(routes=[WebSocketRoute("/ws", endpoint)])
    Frontdesk("memory:").install(app)
    return exchange(app, socket_scope(extensions=extensions), {"type": "websocket.connect"})


def test_a_handshake_is_denied_in_one_answer() -> None:
    start, body = sockets({"websocket.http.response": {}}, accept=False)
    assert start["type"] == "websocket.http.response.start"
    assert start["status"] == 401
    assert (b"content-type", b"application/problem+json") in start["headers"]
    assert b'"not_signed_in"' in body["body"]


def test_without_the_extension_the_handshake_is_closed() -> None:
    assert sockets({}, accept=False) == [{"type": "websocket.close", "code": 4401, "reason": ""}]


def test_after_the_handshake_only_closing_is_left() -> None:
    accepted, closed = sockets({"websocket.http.response": {}}, accept=True)
    assert accepted["type"] == "websocket.accept"
    assert closed == {"type": "websocket.close", "code": 4401, "reason": "not_signed_in"}


def test_a_default_answer_in_two_messages_is_recognised() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        try:
            principal(scope)
        except RefusedError as error:
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body", "body": b"", "more_body": True})
            await send({"type": "http.response.body", "body": error.refusal.title.encode(), "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    start, body = exchange(asgi.Frontdesk("memory:").wrap(application), http_scope())
    assert start["status"] == 401
    assert b'"not_signed_in"' in body["body"]


def test_an_outer_desk_may_sign_in_where_an_inner_one_stands_nearer() -> None:
    async def enter(request: Request) -> Response:
        signed = await outer.sign_in(request, "alice")
        response = Response()
        signed.apply(response)
        return response

    async def leave(request: Request) -> Response:
        response = Response()
        (await outer.sign_out(request)).apply(response)
        return response

    child = Starlette(routes=[Route("/enter", enter, methods=["POST"]), Route("/leave", leave, methods=["POST"])])
    Frontdesk("memory:", cookies=CookieSettings(suffix="inner")).install(child)
    app = Starlette(routes=[Mount("/child", child), Route("/things", Things)])
    outer = Frontdesk("memory:").install(app)
    client = Client(app)
    crossed = client.post("/child/enter", headers={"sec-fetch-site": "cross-site"})
    assert code_of(crossed, status=403) == "cross_origin"
    assert client.post("/child/enter").status_code == 200
    assert client.get("/things").json() == {"hello": "alice"}
    assert client.post("/child/leave").status_code == 200
    assert code_of(client.get("/things")) == "not_signed_in"
