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
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from frontdesk.starlette import Frontdesk, optional_principal, principal, require
from frontdesk.testing import Client
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
