"""A desk or verifier opens with the application and closes after it, whether or not that one knows of lifespans.

While the application runs, the housekeeping of a desk runs beside its requests (`service.maintenance`).
"""

from __future__ import annotations

import logging
from typing import Protocol

from frontdesk.adapters.messages import ASGIApp, Message, Receive, Scope, Send
from frontdesk.endpoints.gate import unavailable
from frontdesk.errors import ConfigurationError, OverloadedError, StoreError
from frontdesk.service.maintenance import Maintenance

_logger = logging.getLogger("frontdesk")


class Opens(Protocol):
    """What is opened before the first request and closed after the last."""

    async def open(self) -> None: ...
    async def close(self) -> None: ...


class Lifespan:
    """One run of the lifespan protocol, with the application's own inside it.

    What is configured wrongly fails the start. A store or desk that cannot be asked does not: requests are answered
    503 until it can. `beside`: what runs meanwhile.
    """

    def __init__(self, app: ASGIApp, opens: Opens, beside: Maintenance | None = None) -> None:
        self._app = app
        self._opens = opens
        self._beside = beside
        self._started = False
        self._ended = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        first = await receive()
        await self._open(send)
        if self._beside is not None:
            self._beside.start()
        try:
            await self._live(scope, first, receive, send)
        finally:
            await self._stop()

    async def _live(self, scope: Scope, first: Message, receive: Receive, send: Send) -> None:
        pending: list[Message] = [first]

        async def receiving() -> Message:
            return pending.pop() if pending else await receive()

        async def sending(message: Message) -> None:
            await self._send(message, send)

        try:
            await self._app(scope, receiving, sending)
        except Exception as error:
            if self._started or self._ended:
                await self._close()
                raise
            # An application that raises before it answers knows no lifespan (ASGI, "Lifespan Protocol").
            _logger.info("the application takes no part in the lifespan: %r", error)
        if not self._ended:
            await self._alone(receive, send)

    async def _open(self, send: Send) -> None:
        try:
            await self._opens.open()
        except ConfigurationError as error:
            await send({"type": "lifespan.startup.failed", "message": error.message})
            raise
        except (StoreError, OverloadedError) as error:
            unavailable(error)

    async def _close(self) -> None:
        await self._stop()
        await self._opens.close()

    async def _stop(self) -> None:
        if self._beside is not None:
            await self._beside.stop()

    async def _send(self, message: Message, send: Send) -> None:
        if message["type"] == "lifespan.startup.complete":
            self._started = True
        else:
            self._ended = True
            await self._close()
        await send(message)

    async def _alone(self, receive: Receive, send: Send) -> None:
        """Go on for an application that does not take part."""
        if not self._started:
            await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._close()
        await send({"type": "lifespan.shutdown.complete"})
