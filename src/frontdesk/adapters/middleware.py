"""The one ASGI middleware: the API, the gate, the lifespan, and refusals that were raised behind it."""

from __future__ import annotations

import logging
from typing import Final

from frontdesk.adapters.arrival import Arrival
from frontdesk.adapters.front import Front
from frontdesk.adapters.lifespan import Lifespan
from frontdesk.adapters.messages import (
    ASGIApp,
    Disconnected,
    Receive,
    Scope,
    Send,
    read_body,
    request_of,
    respond,
    unless_gone,
)
from frontdesk.adapters.passage import let_through, turn_away
from frontdesk.endpoints.gate import STORE_UNAVAILABLE, unavailable
from frontdesk.endpoints.http import Request, Response, problem
from frontdesk.errors import ConfigurationError, OverloadedError, Refusal, StoreError
from frontdesk.stores.protocol import ASK

_logger = logging.getLogger("frontdesk")
_REQUESTS: Final = frozenset({"http", "websocket"})


class Middleware:
    """Stands around an application. `front` is the desk; one application has one.

    A request below the prefix is answered here. Any other passes the gate, is put into the scope, and goes on.
    """

    def __init__(self, app: ASGIApp, front: Front) -> None:
        self.app = app
        self.front = front

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind not in _REQUESTS:
            passed = Lifespan(self.app, self.front, self.front.housekeeping()) if kind == "lifespan" else self.app
            await passed(scope, receive, send)
            return
        front, websocket = self.front, kind == "websocket"
        request = request_of(scope)
        refused = None if front.is_open else await self._open()
        if refused is None and not websocket and front.api.owns(request.path):
            await self._serve(request, receive, send)
            return
        visit = refused or front.gate.admit_now(request, websocket=websocket)
        if visit is ASK:
            visit = await front.gate.admit(request, websocket=websocket)
        if isinstance(visit, Refusal):
            await turn_away(scope, receive, send, problem(visit))
            return
        result = visit.result
        if isinstance(result, Refusal) and not front.protection.admits(request.path):
            await turn_away(scope, receive, send, problem(result, cookies=visit.cookies))
            return
        who = result if isinstance(result, Refusal) else result.principal
        await let_through(self.app, Arrival(front, request, who, visit.cookies), scope, receive, send)

    async def _open(self) -> Refusal | None:
        try:
            await self.front.open()
        except (StoreError, OverloadedError) as error:
            return unavailable(error)
        except ConfigurationError as error:
            _logger.critical("the desk cannot be opened: %s", error.message)
            return STORE_UNAVAILABLE
        return None

    async def _serve(self, request: Request, receive: Receive, send: Send) -> None:
        """Answer a request below the prefix."""
        try:
            response = await self._api(request, receive)
        except Disconnected:
            return
        await respond(send, response, head=request.method == "HEAD")

    async def _api(self, request: Request, receive: Receive) -> Response:
        api = self.front.api
        body = None if api.declares_too_much(request) else await read_body(receive)
        answering = api.answer(request if body == b"" else request.with_body(body))
        return await (unless_gone(receive, answering) if api.waits(request) else answering)
