"""ASGI messages to and from the values of `endpoints.http`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any, Final, TypeVar

from frontdesk.endpoints.http import BODY_LIMIT, Request, Response, path_below_root

T = TypeVar("T")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_DENIAL: Final = "websocket.http.response"


class Disconnected(Exception):  # noqa: N818 - not an error: the client went away
    """The client went away before its request was complete."""


def request_of(scope: Scope, *, body: bytes = b"") -> Request:
    """The request of an `http` or `websocket` scope."""
    client = scope.get("client")
    headers = scope["headers"]
    return Request(
        method=scope.get("method", "GET"),
        path=path_below_root(scope["path"], scope.get("root_path", "")),
        headers=headers if isinstance(headers, list) else list(headers),
        query=scope.get("query_string", b"").decode("latin-1"),
        scheme=scope.get("scheme", "http"),
        root_path=scope.get("root_path", "").rstrip("/"),
        peer=client[0] if client else None,
        body=body,
    )


async def read_body(receive: Receive) -> bytes | None:
    """The body of a request; None as soon as it exceeds 64 KiB. Raises Disconnected."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > BODY_LIMIT:
            return None
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns. Raises Disconnected, and cancels it, when the client goes away before.

    For answers that are held back on purpose: the body of the request has been read.
    """
    answering = asyncio.ensure_future(work)
    listening = asyncio.ensure_future(receive())
    try:
        await asyncio.wait((answering, listening), return_when=asyncio.FIRST_COMPLETED)
        if answering.done():
            return answering.result()
        raise Disconnected
    finally:
        answering.cancel()
        listening.cancel()
        await asyncio.gather(answering, listening, return_exceptions=True)


async def respond(send: Send, response: Response, *, head: bool = False) -> None:
    """Send a whole answer. To HEAD: the headers of the answer to GET, and no content (RFC 9110 §9.3.2)."""
    await send({"type": "http.response.start", "status": response.status, "headers": response.header_list()})
    await send({"type": "http.response.body", "body": b"" if head else response.body})


async def deny(scope: Scope, send: Send, response: Response) -> None:
    """Answer a WebSocket handshake that is not accepted: with a whole answer where the server can send one.

    Without the denial response extension the server sends a bare 403; the close code says which status it stands for.
    """
    if _DENIAL not in (scope.get("extensions") or {}):
        await send(close_message(response.status))
        return
    await send({"type": f"{_DENIAL}.start", "status": response.status, "headers": response.header_list()})
    await send({"type": f"{_DENIAL}.body", "body": response.body})


def close_message(status: int, reason: str = "") -> Message:
    """The closing of a WebSocket that is refused with an HTTP status: 4401 for 401, and so on."""
    return {"type": "websocket.close", "code": 4000 + status, "reason": reason}
