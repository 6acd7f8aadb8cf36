"""As much of an ASGI server as a test needs to see single messages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]


def http_scope(path: str = "/", *, method: str = "GET", root_path: str = "", **more: Any) -> Message:
    return {
        "type": "http",
        "method": method,
        "path": path,
        "root_path": root_path,
        "query_string": b"",
        "headers": [(b"host", b"testserver")],
        "scheme": "https",
        "client": ("192.0.2.1", 1234),
        **more,
    }


def socket_scope(path: str = "/ws", **more: Any) -> Message:
    scope = http_scope(path, **more)
    del scope["method"]
    return {**scope, "type": "websocket", "scheme": "wss"}


async def play(app: ASGIApp, scope: Message, *messages: Message) -> list[Message]:
    """What the application sends for this scope when it receives these messages, one after the other."""
    waiting = list(messages)
    sent: list[Message] = []

    async def receive() -> Message:
        if not waiting:
            await asyncio.Event().wait()  # a client that says nothing more
        return waiting.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    await asyncio.wait_for(app(scope, receive, send), 20)
    return sent


def exchange(app: ASGIApp, scope: Message, *messages: Message) -> list[Message]:
    """`play` in an event loop of its own."""
    return asyncio.run(play(app, scope, *(messages or ({"type": "http.request", "body": b"", "more_body": False},))))
