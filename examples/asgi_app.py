"""Plain ASGI, without a framework, protected by default. Run it: `uvicorn asgi_app:app`, in this directory."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from frontdesk.asgi import Frontdesk, principal, require

Message = MutableMapping[str, Any]


async def hello(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    if scope["type"] != "http":
        raise ValueError(f"{scope['type']} is not served here")  # a lifespan, too: the desk does without
    if scope["path"] == "/":
        text = "Anybody may read this."
    elif scope["path"] == "/transfer":
        text = f"Done by {require(scope, roles={'teller'}).subject}."
    else:
        text = f"Hello, {principal(scope).subject}."
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": text.encode()})


desk = Frontdesk("sqlite:///app.db", protect=True, public={"/"})
app = desk.wrap(hello)
