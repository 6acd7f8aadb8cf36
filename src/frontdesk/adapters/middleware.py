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
from frontdesk.endpoints.gate import STORE_UNAVAILABLE, Visit, unavailable
from frontdesk.endpoints.http import Request, Response, problem
from frontdesk.errors import ConfigurationError, OverloadedError, Refusal, StoreError
from frontdesk.stores.protocol import ASK

_logger = logging.getLogger("frontdesk")
_TOO_LARGE: Final = Refusal("body_too_large")


class Middleware:
    """Stands around an application. `front` is the desk; one application has one.

    A request below the prefix is answered here. Any other passes the gate, is put into the scope, and goes on.
    """

    def __init__(self, app: ASGIApp, front: Front) -> None:
        self.app = app
        self.front = front

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "lifespan":
            await Lifespan(self.app, self.front, self.front.housekeeping())(scope, receive, send)
        elif kind in {"http", "websocket"}:
            await self._pass(scope, receive, send, websocket=kind == "websocket")
        else:
            await self.app(scope, receive, send)

    async def _pass(self, scope: Scope, receive: Receive, send: Send, *, websocket: bool) -> None:
        request = request_of(scope)
        visit = await self._visit(request, receive, send, websocket=websocket)
        if visit is None:
            return
        if isinstance(visit, Refusal):
            await turn_away(scope, receive, send, problem(visit))
            return
        result = visit.result
        if isinstance(result, Refusal):
            if not self.front.protection.admits(request.path):
                await turn_away(scope, receive, send, problem(result, cookies=visit.cookies))
                return
            arrival = Arrival(self.front, request, result, visit.cookies)
        else:
            arrival = Arrival(self.front, request, result.principal, visit.cookies)
        await let_through(self.app, arrival, scope, receive, send)

    async def _visit(
        self, request: Request, receive: Receive, send: Send, *, websocket: bool
    ) -> Visit | Refusal | None:
        """The visit, or why there is none; None when the request was answered: it was ours."""
        front = self.front
        if not front.is_open:
            refusal = await self._open()
            if refusal is not None:
                return refusal
        if not websocket and front.api.owns(request.path):
            await self._serve(request, receive, send)
            return None
        visit = front.gate.admit_now(request, websocket=websocket)
        return await front.gate.admit(request, websocket=websocket) if visit is ASK else visit

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
        refusal = api.accepts_body(request)
        if refusal is not None:
            return problem(refusal)
        body = await read_body(receive)
        if body is None:
            return problem(_TOO_LARGE)
        answering = api.answer(request.with_body(body) if body else request)
        return await (unless_gone(receive, answering) if api.waits(request) else answering)
