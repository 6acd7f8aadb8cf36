"""Letting a request through to the application, and answering it here where it may not go there."""

from __future__ import annotations

from frontdesk.adapters.arrival import SCOPE_KEY, Arrival
from frontdesk.adapters.messages import ASGIApp, Message, Receive, Scope, Send, close_message, deny, respond
from frontdesk.adapters.outgoing import Outgoing
from frontdesk.endpoints.http import Response, problem
from frontdesk.errors import RefusedError


async def let_through(app: ASGIApp, arrival: Arrival, scope: Scope, receive: Receive, send: Send) -> None:
    """Run the application with the arrival in its scope; refusals that it raises become problem documents."""
    outgoing = Outgoing(arrival, scope, send)
    try:
        await app({**scope, SCOPE_KEY: arrival}, receive, outgoing)
    except RefusedError as error:
        # Applications without exception handling of their own (plain ASGI) let it through to here.
        if outgoing.accepted:
            await send(close_message(error.refusal.status, error.code))
            return
        if outgoing.started:
            raise
        await _answer(scope, outgoing.raw, problem(error.refusal, cookies=arrival.cookies))


async def turn_away(scope: Scope, receive: Receive, send: Send, response: Response) -> None:
    """Answer a request, or a handshake, that does not reach the application."""
    if scope["type"] == "websocket":
        message: Message = await receive()
        if message["type"] != "websocket.connect":
            return
    await _answer(scope, send, response)


async def _answer(scope: Scope, send: Send, response: Response) -> None:
    if scope["type"] == "websocket":
        await deny(scope, send, response)
    else:
        await respond(send, response, head=scope["method"] == "HEAD")
