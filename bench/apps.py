"""The applications that are measured, and the server in which each of them runs: uvicorn, uvloop, httptools.

`python -m bench.apps NAME --fd N` serves on a listening socket that was inherited. Every application answers
the same octets on `/bare`, where nobody asks who is there, and on `/protected`, where somebody must be signed in.
"""

from __future__ import annotations

import argparse
import os
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import timedelta
from typing import Annotated, Any, Final

import uvicorn
from fastapi import Depends, FastAPI

from frontdesk.asgi import Frontdesk, principal
from frontdesk.core.passwords import PROFILES
from frontdesk.core.sessions import SessionPolicy
from frontdesk.fastapi import Frontdesk as FastAPIFrontdesk
from frontdesk.fastapi import User
from frontdesk.server.app import Application
from frontdesk.server.settings import ServerSettings

_BODY: Final = b'{"hello":"world"}'
_HEADERS: Final = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_BODY))]

Messages = Callable[[MutableMapping[str, Any]], Awaitable[None]]


async def bare(scope: MutableMapping[str, Any], receive: object, send: Messages) -> None:
    """An application that does nothing but answer."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await send({"type": "http.response.body", "body": _BODY})


async def asking(scope: MutableMapping[str, Any], receive: object, send: Messages) -> None:
    """The same; on `/protected` it asks who is there."""
    if scope["type"] == "http" and scope["path"] == "/protected":
        principal(scope)
    await bare(scope, receive, send)


def telling(front: Frontdesk) -> Callable[..., Awaitable[None]]:
    """`asking`, which tells on `/counts` how many questions went to a remote store so far."""

    async def application(scope: MutableMapping[str, Any], receive: object, send: Messages) -> None:
        if scope["type"] != "http" or scope["path"] != "/counts":
            await asking(scope, receive, send)
            return
        body = str(front.desk.counts.questions).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})

    return application


async def _empty() -> None:
    """A dependency that does nothing."""


def fastapi_application() -> FastAPI:
    """Three routes: nothing, one empty dependency, the signed-in principal."""
    app = FastAPI()

    @app.get("/bare")
    async def bare_route() -> dict[str, str]:
        return {"hello": "world"}

    @app.get("/dependency")
    async def dependency_route(nothing: Annotated[None, Depends(_empty)]) -> dict[str, str]:
        return {"hello": "world"}

    @app.get("/protected")
    async def protected_route(user: User) -> dict[str, str]:
        return {"hello": "world"}

    return app


def _application(options: argparse.Namespace) -> Any:
    settings: dict[str, Any] = {
        "signing": options.signing,
        "policy": SessionPolicy(grace=timedelta(seconds=options.grace)),
        "hashing": PROFILES[options.hashing],
    }
    if options.name == "bare":
        return bare
    if options.name == "asgi":
        secret = os.environ.get("BENCH_SECRET")
        front = Frontdesk(options.store, secret=secret, freshness=options.freshness, **settings)
        return front.wrap(telling(front))
    if options.name == "server":
        return Application(ServerSettings(store=options.store, log_format="text"))
    app = fastapi_application()
    if options.name == "fastapi":
        FastAPIFrontdesk(options.store, **settings).install(app)
    return app


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=["bare", "asgi", "bare-fastapi", "fastapi", "server"])
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--store", default="")
    parser.add_argument("--signing", default="ES256")
    parser.add_argument("--grace", type=float, default=30.0)
    parser.add_argument("--hashing", default="default")
    parser.add_argument("--freshness", default="bounded")
    options = parser.parse_args()
    config = uvicorn.Config(
        _application(options), loop="uvloop", http="httptools", access_log=False, log_level="warning", lifespan="auto"
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=options.fd)])


if __name__ == "__main__":
    main()
