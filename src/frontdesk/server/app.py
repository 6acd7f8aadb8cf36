"""The ASGI application of the server: one desk, opened and closed with the process, and every request answered."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from frontdesk.adapters.messages import (
    Disconnected,
    Receive,
    Scope,
    Send,
    deny,
    read_body,
    request_of,
    respond,
    unless_gone,
)
from frontdesk.clock import TIMER, Clock, Timer
from frontdesk.core.discretion import without_credentials
from frontdesk.core.origin import is_loopback, parse_authority
from frontdesk.endpoints.gate import Gate
from frontdesk.endpoints.http import Request, Response
from frontdesk.errors import ConfigurationError, FrontdeskError, OverloadedError, Refusal, StoreError
from frontdesk.server.metrics import Metrics
from frontdesk.server.root import Root, policies_of_server
from frontdesk.server.settings import ServerSettings
from frontdesk.server.tally import Tally
from frontdesk.service.audit import Audit
from frontdesk.service.desk import Desk
from frontdesk.service.maintenance import Maintenance, Wait
from frontdesk.wiring import build_desk

_access = logging.getLogger("frontdesk.access")
_logger = logging.getLogger("frontdesk.server")

_LONGEST_PATH = 200
_AGAIN: Final = 0.5
"""Seconds between two attempts to open a desk whose store was away when the process started."""


def build_server_desk(settings: ServerSettings, *, clock: Clock | None = None, audit: Audit | None = None) -> Desk:
    """The desk of a server; ConfigurationError for a weak or missing secret, and where no key file can be written."""
    try:
        return build_desk(
            settings.store,
            secret=settings.secret or None,
            settings=settings.desk(),
            hashing=settings.hash_parameters(),
            clock=clock,
            audit=audit,
        )
    except OSError as error:
        raise ConfigurationError(
            f"{settings.store} cannot be used: {error.strerror}; make the directory, or name another file with --store"
        ) from None


class Application:
    """ASGI 3. Pages and API are `Root`'s; here are lifespan, bodies, the scheme, and the log of requests.

    timer: seconds that only grow; measures how long a request took. tally: where the workers of one server count.
    pause: sleeps for so many seconds.
    """

    def __init__(
        self,
        settings: ServerSettings,
        *,
        clock: Clock | None = None,
        timer: Timer = TIMER,
        tally: Tally | None = None,
        pause: Wait = asyncio.sleep,
    ) -> None:
        self.settings = settings
        self.metrics = Metrics(tally)
        self.desk = build_server_desk(settings, clock=clock, audit=Audit((self.metrics.note,)))
        self.metrics.watch(self.desk)
        self.root = Root(
            self._gate(settings),
            self.metrics,
            title=settings.title,
            dev=settings.dev,
            open_metrics=settings.open_metrics,
        )
        self._maintenance = Maintenance(self.desk.store, self.desk.unhurried, rotate=self.desk.rotate_keys)
        self._timer = timer
        self._pause = pause
        self._https = settings.public_scheme == "https"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "lifespan":
            await self._live(receive, send)
        elif kind == "websocket":
            await receive()
            await deny(scope, send, self.root.problem(request_of(scope), Refusal("not_found")))
        else:
            await self._answer(scope, receive, send)

    def _gate(self, settings: ServerSettings) -> Gate:
        edge = settings.edge()
        policies = policies_of_server(edge, open_metrics=settings.open_metrics, dev=settings.dev)
        return Gate(self.desk, edge, policies=policies, open_explain=settings.dev)

    def leave(self) -> None:
        """The process is about to end: whoever waits for the revocation log is answered now."""
        self.root.gate.feed.end()

    async def _live(self, receive: Receive, send: Send) -> None:
        """The lifespan protocol: what a started server holds is given back in the reverse order.

        `prepare` has opened the store before. If it is away now, requests are answered 503 until it is back: a worker
        that fails to start takes the others along.
        """
        await receive()
        opening: asyncio.Task[None] | None = None
        try:
            await self.desk.open()
        except (StoreError, OverloadedError) as error:
            _logger.warning("the desk cannot be opened yet: %s %s", error.message, error.detail)
            opening = asyncio.create_task(self._open_later())
        except FrontdeskError as error:
            _logger.error("the desk cannot be opened: %s %s", error.message, error.detail)  # noqa: TRY400 - says it all
            await send({"type": "lifespan.startup.failed", "message": error.message})
            return
        self.root.gate.feed.begin()
        self._maintenance.start()
        self.metrics.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.leave()
        if opening is not None:
            opening.cancel()
            await asyncio.wait([opening])
        await self._maintenance.stop()
        await self.desk.close()
        await self.metrics.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _open_later(self) -> None:
        """Try again until the desk is open."""
        while True:
            await self._pause(_AGAIN)
            try:
                await self.desk.open()
            except FrontdeskError as error:
                _logger.debug("the desk cannot be opened yet: %s %s", error.message, error.detail)
            except Exception:
                _logger.exception("the desk cannot be opened; it will be tried again")
            else:
                _logger.info("the desk is open")
                return

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = self._timer()
        request = request_of(self._as_seen(scope))
        try:
            response = await self._respond(request, receive)
        except Disconnected:
            return
        await respond(send, response, head=request.method == "HEAD")
        self._log(request, response, self._timer() - began)

    async def _respond(self, request: Request, receive: Receive) -> Response:
        body = None if self.root.declares_too_much(request) else await read_body(receive)
        answering = self.root.answer(request if body == b"" else request.with_body(body))
        return await (unless_gone(receive, answering) if self.root.waits(request) else answering)

    def _as_seen(self, scope: Scope) -> Scope:
        """The scope with the scheme that the browser used: that of `base_url`, where TLS ends in front of us.

        X-Forwarded-Proto is not asked. Loopback is reached without the proxy, and stays what it is.
        """
        if not self._https or scope["scheme"] == "https":
            return scope
        authority = parse_authority(next((value for name, value in scope["headers"] if name == b"host"), b""))
        if authority is None or is_loopback(authority.host):
            return scope
        return {**scope, "scheme": "https"}

    def _log(self, request: Request, response: Response, seconds: float) -> None:
        fields = {
            "method": request.method,
            "path": without_credentials(request.path)[:_LONGEST_PATH],
            "status": response.status,
            "ms": round(seconds * 1000, 1),
            "address": self.root.gate.settings.address_of(request),
        }
        _access.info("request", extra={"frontdesk": fields})
