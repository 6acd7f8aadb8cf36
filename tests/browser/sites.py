"""An application with a desk, in a thread, that remembers what it was asked; and a proxy that loses answers."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final, Self

import msgspec
import uvicorn
from fastapi import Body, FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse

from frontdesk.adapters.messages import ASGIApp, Message, Receive, Scope, Send
from frontdesk.clock import AdjustableClock
from frontdesk.core.passwords import PROFILES
from frontdesk.fastapi import Frontdesk, User

PATIENCE: Final = 20.0
"""Seconds until what should happen counts as not happening."""
PAST_ACCESS: Final = timedelta(minutes=16)
REFRESH: Final = "/auth/refresh"

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; connect-src 'self' http://localhost:*; "
    "require-trusted-types-for 'script'; trusted-types application"
)
_PAGE: Final = "<!doctype html><title>An application</title><script type=module src=/page.js></script>"
_SCRIPT: Final = """
import * as frontdesk from "/auth/frontdesk.js";
const policy = trustedTypes.createPolicy("application", { createScriptURL: address => address });
const work = address => navigator.serviceWorker.register(policy.createScriptURL(address), { type: "module" });
Object.assign(globalThis, { frontdesk, work });
"""
_WORKER: Final = """
import { createClient } from "/auth/frontdesk.js";
const transport = new URL(location).searchParams.get("transport");
const client = createClient({ transport });
addEventListener("install", () => skipWaiting());
addEventListener("activate", event => event.waitUntil(clients.claim()));
addEventListener("fetch", event => {
  const url = new URL(event.request.url);
  if (url.pathname === "/by-worker") event.respondWith(client.fetch("/whoami"));
  if (url.pathname === "/echo") event.respondWith(client.fetch(event.request));
});
addEventListener("message", async event => {
  const answer = await client.fetch("/whoami");
  event.ports[0].postMessage({ status: answer.status, state: client.state });
});
"""


class Seen(msgspec.Struct, frozen=True):
    """One request that arrived. `token`: it came with `Authorization`; `cookie`: with any cookie."""

    method: str
    path: str
    token: bool
    cookie: bool


class Loop:
    """A thread with an event loop."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        self.loop.run_forever()
        self.loop.close()


class Site:
    """An ASGI application on a port of this machine; `seen` is what it was asked, in order.

    `held`: the answers of these paths wait until `release`, or until so many wait as the number says.
    `broken`: these paths are answered 503.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.seen: list[Seen] = []
        self.broken: set[str] = set()
        self._held: dict[str, int] = {}
        self._waiting: dict[str, int] = {}
        self._news = threading.Condition()
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = int(self._socket.getsockname()[1])
        self.origin = f"http://localhost:{self.port}"
        config = uvicorn.Config(
            self._answer,
            interface="asgi3",
            lifespan="on",
            ws="none",
            proxy_headers=False,
            access_log=False,
            log_config=None,
            timeout_graceful_shutdown=2,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
        self._server.should_exit = True
        self._thread.join(PATIENCE)
        self._socket.close()
        assert not self._thread.is_alive()

    def count(self, path: str) -> int:
        """How many requests for a path have arrived since `forget`."""
        with self._news:
            return sum(each.path == path for each in self.seen)

    def forget(self) -> None:
        with self._news:
            self.seen.clear()

    def wait_for(self, path: str, count: int) -> None:
        """Return when so many requests for a path have arrived."""
        with self._news:
            enough = lambda: sum(each.path == path for each in self.seen) >= count  # noqa: E731
            assert self._news.wait_for(enough, PATIENCE), (path, count, self.seen)

    @contextmanager
    def holding(self, path: str, *, until: int = 1_000) -> Iterator[None]:
        """The answers to a path wait until the end, or until so many of them wait."""
        with self._news:
            self._held[path], self._waiting[path] = until, 0
        try:
            yield
        finally:
            self.release()

    def release(self) -> None:
        with self._news:
            self._held.clear()
            self._news.notify_all()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        with self._news:
            names = {name for name, _ in scope["headers"]}
            self.seen.append(Seen(scope["method"], path, b"authorization" in names, b"cookie" in names))
            self._news.notify_all()
        if path in self.broken:
            await JSONResponse(
                {"code": "store_unavailable", "title": "No."}, 503, media_type="application/problem+json"
            )(scope, receive, send)
            return
        kept: list[Message] = []

        async def keep(message: Message) -> None:
            kept.append(message)

        await self._app(scope, receive, keep)
        await self._wait(path)
        for message in kept:
            await send(message)

    async def _wait(self, path: str) -> None:
        with self._news:
            self._waiting[path] = self._waiting.get(path, 0) + 1
            if self._waiting[path] >= self._held.get(path, 0):
                self._held.pop(path, None)
        while path in self._held:  # noqa: ASYNC110 - set in the thread of the test
            await asyncio.sleep(0.005)


class LosingProxy:
    """In front of a site: passes everything on, and loses the answers to the next `lose` refreshes; `lost` so far."""

    def __init__(self, site: Site) -> None:
        self.lose = 0
        self.lost = 0
        self.site = site
        self._thread = Loop()

    def __enter__(self) -> Self:
        self._thread.start()
        starting = asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(starting, self._thread.loop).result(PATIENCE)
        self.port = int(self._server.sockets[0].getsockname()[1])
        self.origin = f"http://localhost:{self.port}"
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._thread.loop).result(PATIENCE)
        self._thread.stop()

    async def _close(self) -> None:
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head, body = await _read_request(reader)
            answer = await self._pass_on(head, body)
            if f" {REFRESH} ".encode() in head.partition(b"\r\n")[0] and self.lose > 0:
                self.lose -= 1
                self.lost += 1
                writer.transport.abort()
                return
            writer.write(answer)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # a connection that was opened in advance, or a tab that went away
        finally:
            writer.close()

    async def _pass_on(self, head: bytes, body: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.site.port)
        writer.write(head.replace(b"Connection: keep-alive", b"Connection: close") + body)
        answer = await reader.read(-1)
        writer.close()
        return answer


async def _read_request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        (int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
    )
    return head, await reader.readexactly(length)


def application(directory: Path, clock: AdjustableClock) -> FastAPI:
    """An application of a few routes, with pages that load the client and nothing else."""
    app = FastAPI()
    desk = Frontdesk(f"sqlite:///{directory}/app.db", hashing=PROFILES["small"], clock=clock).install(app)

    @app.get("/page")
    async def page() -> HTMLResponse:
        return HTMLResponse(_PAGE, headers={"content-security-policy": _POLICY})

    @app.get("/page.js")
    async def script() -> Response:
        return Response(_SCRIPT, media_type="text/javascript")

    @app.get("/worker.js")
    async def worker() -> Response:
        return Response(_WORKER, media_type="text/javascript")

    @app.get("/whoami")
    async def whoami(user: User) -> dict[str, str]:
        return {"subject": user.subject}

    @app.post("/echo")
    async def echo(request: Request, user: User) -> dict[str, str]:
        return {"said": (await request.body()).decode()}

    @app.get("/to")
    async def elsewhere(target: str) -> RedirectResponse:
        return RedirectResponse(target, 307)

    @app.get("/stubborn")
    async def stubborn() -> JSONResponse:
        problem = {"code": "token_expired", "title": "Whatever you show."}
        return JSONResponse(problem, 401, media_type="application/problem+json")

    @app.post("/order")
    async def order() -> RedirectResponse:
        return RedirectResponse("/whoami", 303)

    @app.post("/enter")
    async def enter(request: Request, response: Response, body: Annotated[dict[str, str], Body()]) -> dict[str, str]:
        bearer = body.get("transport") == "bearer"
        signed = await desk.sign_in(
            request, body["name"], credential="jwt", transport="bearer" if bearer else "cookie",
            refresh_in="cookie" if bearer else None,
        )  # fmt: skip
        signed.apply(response)
        return {"hello": body["name"]}

    return app


async def landing(scope: Scope, receive: Receive, send: Send) -> None:
    """Somebody else's server, which lets every site read what it says, and plants a cookie."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    headers = {
        "access-control-allow-origin": "*",
        "access-control-allow-headers": "authorization, *",
        "set-cookie": "__Host-Http-session=planted; Path=/; Secure; HttpOnly",
    }
    await Response("landed", headers=headers)(scope, receive, send)
