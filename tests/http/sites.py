"""The same small application in three dialects, each behind a desk, for the one HTTP suite."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

from fastapi import FastAPI, Request, Response, WebSocket
from starlette.applications import Starlette
from starlette.requests import Request as StarletteRequest
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute

from frontdesk.adapters import asgi, fastapi, starlette
from frontdesk.clock import AdjustableClock
from frontdesk.core.sessions import Principal
from frontdesk.endpoints.settings import EdgeSettings
from frontdesk.errors import StoreError
from frontdesk.fastapi import OptionalUser, User, require
from frontdesk.service.settings import DeskSettings
from frontdesk.stores.memory import MemoryStore
from frontdesk.testing import Client, SlowStore
from tests.service.desks import TestDesk

ADAPTERS = ("asgi", "starlette", "fastapi")
FRESH = timedelta(minutes=5)
Teller = Annotated[Principal, require(fresh=FRESH, roles={"teller"}, scope={"money"})]


class FailingStore:
    """A store that fails on demand: every call raises `fault` as long as `failing` is set."""

    def __init__(self, inner: MemoryStore) -> None:
        self.inner = inner
        self.failing = False
        self.fault: Exception = StoreError("the store is on strike")

    def __getattr__(self, name: str) -> Any:
        if not self.failing or name in {"open", "close"}:
            return getattr(self.inner, name)
        return self.peek_session if name == "peek_session" else self._fail

    def peek_session(self, realm: str, session_id: str) -> Any:
        if self.failing:
            raise self.fault
        return self.inner.peek_session(realm, session_id)

    async def _fail(self, *_: Any, **__: Any) -> None:
        raise self.fault


@dataclass
class Site:
    """An application behind a desk, with everything that a test may want to turn."""

    app: Any
    front: asgi.Frontdesk
    desk: TestDesk
    store: FailingStore

    @property
    def clock(self) -> AdjustableClock:
        return self.desk.time

    @contextmanager
    def client(self, **options: Any) -> Iterator[Client]:
        """A client with a jar of its own. Requests run in one event loop."""
        with Client(self.app, **options) as client:
            yield client


def make_site(
    adapter: str,
    *,
    settings: DeskSettings | None = None,
    edge: EdgeSettings | None = None,
    protect: bool = False,
    public: tuple[str, ...] = (),
) -> Site:
    store = FailingStore(MemoryStore())
    # FastAPI's runs over a store that has to be waited for, so that both ways through the gate are taken.
    desk = TestDesk(SlowStore(store) if adapter == "fastapi" else store, settings)
    edge = edge or EdgeSettings()
    if adapter == "asgi":
        front = asgi.Frontdesk.over(desk, edge, protect=protect, public=public)
        return Site(front.wrap(plain(front)), front, desk, store)
    if adapter == "starlette":
        starlette_front = starlette.Frontdesk.over(desk, edge, protect=protect, public=public)
        application = of_starlette(starlette_front)
        return Site(application, starlette_front.install(application), desk, store)
    fastapi_front = fastapi.Frontdesk.over(desk, edge, protect=protect, public=public)
    api = of_fastapi(fastapi_front)
    return Site(api, fastapi_front.install(api), desk, store)


# --- plain ASGI -------------------------------------------------------------------------------------------------------


def plain(front: asgi.Frontdesk) -> Callable[..., Any]:
    async def application(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise ValueError("no lifespan here")
        if scope["type"] == "websocket":
            who = asgi.principal(scope).subject
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": who})
            await send({"type": "websocket.close"})
            return
        status, content, headers = await _answer(front, scope, receive)
        body = json.dumps(content).encode()
        await send({"type": "http.response.start", "status": status, "headers": [JSON, *headers]})
        await send({"type": "http.response.body", "body": body})

    return application


JSON = (b"content-type", b"application/json")


async def _answer(front: asgi.Frontdesk, scope: MutableMapping[str, Any], receive: Any) -> tuple[int, Any, Any]:
    path = scope["path"]
    if path == "/open":
        from frontdesk.adapters.arrival import arrival_of

        found = arrival_of(scope).principal_or_none()
        return 200, {"hello": found.subject if found else None}, ()
    if path == "/dashboard":
        return 200, {"hello": asgi.principal(scope).subject}, ()
    if path == "/transfer":
        teller = asgi.require(scope, fresh=FRESH, roles={"teller"}, scope={"money"})
        return 200, {"by": teller.subject}, ()
    if path == "/own/sign-in":
        options = json.loads((await receive())["body"])
        signed = await front.sign_in(scope, options.pop("subject"), **options)
        return 200, signed.body, signed.headers
    if path == "/own/sign-out":
        signed_out = await front.sign_out(scope)
        return 200, {}, signed_out.headers
    return 404, {}, ()


# --- Starlette --------------------------------------------------------------------------------------------------------


def of_starlette(front: starlette.Frontdesk) -> Starlette:
    async def open_(request: StarletteRequest) -> JSONResponse:
        found = starlette.optional_principal(request)
        return JSONResponse({"hello": found.subject if found else None})

    async def dashboard(request: StarletteRequest) -> JSONResponse:
        return JSONResponse({"hello": asgi.principal(request).subject})

    @starlette.require(fresh=FRESH, roles={"teller"}, scope={"money"})
    async def transfer(request: StarletteRequest) -> JSONResponse:
        return JSONResponse({"by": asgi.principal(request).subject})

    async def sign_in(request: StarletteRequest) -> JSONResponse:
        options = await request.json()
        signed = await front.sign_in(request, options.pop("subject"), **options)
        response = JSONResponse(dict(signed.body), headers={"cache-control": "public"})
        signed.apply(response)
        return response

    async def sign_out(request: StarletteRequest) -> JSONResponse:
        signed_out = await front.sign_out(request)
        response = JSONResponse({})
        signed_out.apply(response)
        return response

    @starlette.require()
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(asgi.principal(websocket).subject)
        await websocket.close()

    return Starlette(
        routes=[
            Route("/open", open_, methods=["GET", "POST"]),
            Route("/dashboard", dashboard),
            Route("/transfer", transfer, methods=["POST"]),
            Route("/own/sign-in", sign_in, methods=["POST"]),
            Route("/own/sign-out", sign_out, methods=["POST"]),
            WebSocketRoute("/ws", socket),
        ]
    )


# --- FastAPI ----------------------------------------------------------------------------------------------------------


def of_fastapi(front: fastapi.Frontdesk) -> FastAPI:
    app = FastAPI()

    @app.api_route("/open", methods=["GET", "POST"])
    async def open_(user: OptionalUser) -> dict[str, str | None]:
        return {"hello": user.subject if user else None}

    @app.get("/dashboard")
    async def dashboard(user: User) -> dict[str, str]:
        return {"hello": user.subject}

    @app.post("/transfer")
    async def transfer(user: Teller) -> dict[str, str]:
        return {"by": user.subject}

    @app.post("/own/sign-in")
    async def sign_in(request: Request, response: Response) -> dict[str, Any]:
        options = await request.json()
        signed = await front.sign_in(request, options.pop("subject"), **options)
        signed.apply(response)
        return dict(signed.body)

    @app.post("/own/sign-out")
    async def sign_out(request: Request, response: Response) -> dict[str, Any]:
        (await front.sign_out(request)).apply(response)
        return {}

    @app.websocket("/ws")
    async def socket(websocket: WebSocket, user: User) -> None:
        await websocket.accept()
        await websocket.send_text(user.subject)
        await websocket.close()

    return app
