"""The ASGI application of the server: one desk, its pages and its API, opened and closed with the process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from frontdesk.clock import Clock
from frontdesk.endpoints.gate import Gate
from frontdesk.endpoints.http import BODY_LIMIT, Request, Response
from frontdesk.errors import Refusal
from frontdesk.server.root import Root
from frontdesk.server.settings import ServerSettings
from frontdesk.service.desk import Desk
from frontdesk.wiring import build_desk

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def build_server_desk(settings: ServerSettings, *, clock: Clock | None = None) -> Desk:
    """The desk of a server; ConfigurationError for a weak or missing secret."""
    return build_desk(
        settings.store,
        secret=settings.secret or None,
        settings=settings.desk(),
        hashing=settings.hash_parameters(),
        clock=clock,
    )


class Application:
    """ASGI 3. Lifespan opens and closes the desk."""

    def __init__(self, settings: ServerSettings, *, clock: Clock | None = None) -> None:
        self.settings = settings
        self.desk = build_server_desk(settings, clock=clock)
        self._root = Root(Gate(self.desk, settings.edge()), title=settings.title, dev=settings.dev)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.desk.open()
        except Exception as error:  # noqa: BLE001 - told to the server, which ends
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.desk.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(
            method=scope["method"],
            path=scope["path"],
            headers=scope["headers"],
            query=scope["query_string"].decode("latin-1"),
            scheme=scope["scheme"],
            peer=scope["client"][0] if scope.get("client") else None,
        )
        refusal = self._root.refuses_body(request)
        body = b"" if refusal is not None else await _body(receive)
        if body is None:
            refusal = Refusal("body_too_large")
        if refusal is not None:
            response = self._root.problem(request, refusal)
        else:
            response = await self._root.answer(
                Request(**{name: getattr(request, name) for name in Request.__struct_fields__} | {"body": body})
            )
        await _send(response, send, head=scope["method"] == "HEAD")


async def _body(receive: Receive) -> bytes | None:
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise asyncio.CancelledError
        part: bytes = message.get("body", b"")
        body += part
        if len(body) > BODY_LIMIT:
            return None
        if not message.get("more_body", False):
            return body


async def _send(response: Response, send: Send, *, head: bool) -> None:
    await send({"type": "http.response.start", "status": response.status, "headers": response.header_list()})
    await send({"type": "http.response.body", "body": b"" if head else response.body})
