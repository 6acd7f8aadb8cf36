"""What leaves through the middleware: renewed cookies are added, raised refusals become problem documents."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Iterable
from typing import Final

from frontdesk.adapters.arrival import Arrival
from frontdesk.adapters.messages import Message, Scope, Send, close_message
from frontdesk.core.cookies import CookieChanges
from frontdesk.endpoints.http import NO_STORE, Header, problem
from frontdesk.errors import Refusal

_STARTS: Final = frozenset({"http.response.start", "websocket.http.response.start"})
_ANSWER: Final = frozenset({"http.response.start", "http.response.body"})
_BODIES: Final = frozenset({"http.response.body", "websocket.http.response.body"})
_REPLACED: Final = frozenset(
    {b"content-type", b"content-length", b"cache-control", b"www-authenticate", b"retry-after"}
)


class Outgoing:
    """The `send` that an application gets.

    A refusal is raised in the application as an HTTP exception, so that its own handlers see it and may answer as they
    like. Where nobody does, the framework's default handler answers with the bare title; that answer, and no other, is
    replaced by the problem document.
    """

    __slots__ = ("_arrival", "_held", "_scope", "_swallowing", "accepted", "raw", "started")

    def __init__(self, arrival: Arrival, scope: Scope, send: Send) -> None:
        self._arrival = arrival
        self._scope = scope
        self._held: Message | None = None
        self._swallowing = False
        self.accepted = False
        self.raw = send
        self.started = False

    def __call__(self, message: Message) -> Awaitable[None]:
        arrival = self._arrival
        if arrival.refusal is None and not arrival.cookies and not arrival.no_store and self._held is None:
            # Nothing to add and nothing to replace, as with nearly every answer.
            kind = message["type"]
            if kind in _ANSWER:
                self.started = True
                return self.raw(message)
        return self._send(message)

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if kind in _STARTS:
            await self._start(message)
        elif kind in _BODIES and (self._held is not None or self._swallowing):
            await self._body(message)
        else:
            # A file, trailers, hints: whoever sends these answers in a way of its own.
            await self._release()
            if kind == "websocket.accept":
                self.started = self.accepted = True
                message = self._with_cookies(message)
            await self.raw(message)

    async def _start(self, message: Message) -> None:
        self.started = True
        refusal = self._arrival.refusal
        if refusal is not None and message["status"] == refusal.status:
            self._held = message
            return
        await self.raw(self._with_cookies(message))

    async def _body(self, message: Message) -> None:
        if self._swallowing:
            return
        body = message.get("body", b"")
        if not body and message.get("more_body", False):
            return
        held, refusal = self._held, self._arrival.refusal
        assert held is not None
        assert refusal is not None
        if body in _default_bodies(refusal):
            self._held = None
            self._swallowing = True
            await self._replace(held, refusal)
            return
        await self._release()
        await self.raw(message)

    async def _release(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            await self.raw(self._with_cookies(held))

    async def _replace(self, start: Message, refusal: Refusal) -> None:
        response = problem(refusal)
        if self._scope["type"] == "websocket":
            if self.accepted:
                # Asked too late: the handshake is over, and only closing is left.
                await self.raw(close_message(response.status, refusal.code))
                return
            if "websocket.http.response" not in (self._scope.get("extensions") or {}):
                await self.raw(close_message(response.status))
                return
        kept = [header for header in start.get("headers", ()) if header[0].lower() not in _REPLACED]
        replaced = {**start, "headers": [*kept, *response.header_list()]}
        await self.raw(self._with_cookies(replaced))
        head = self._scope.get("method") == "HEAD"
        await self.raw({"type": start["type"].replace("start", "body"), "body": b"" if head else response.body})

    def _with_cookies(self, message: Message) -> Message:
        """With the cookies of an inline renewal; and no cache may keep an answer that sets cookies of ours."""
        arrival = self._arrival
        if not arrival.cookies and not arrival.no_store:
            return message
        headers: list[Header] = list(message.get("headers", ()))
        missing = _not_yet_set(arrival.cookies, headers) if arrival.cookies else []
        headers = [header for header in headers if header[0].lower() != b"cache-control"]
        return {**message, "headers": [*headers, NO_STORE, *missing]}


def _not_yet_set(cookies: CookieChanges, headers: Iterable[Header]) -> list[Header]:
    # One Set-Cookie per name: what the application set itself is newer.
    named = {value.partition(b"=")[0] for name, value in headers if name.lower() == b"set-cookie"}
    return [(b"set-cookie", value) for name, value in cookies.by_name.items() if name not in named]


def _default_bodies(refusal: Refusal) -> tuple[bytes, ...]:
    """How Starlette and FastAPI answer an HTTP exception that nobody handles."""
    detail = json.dumps({"detail": refusal.title}, ensure_ascii=False, separators=(",", ":"))
    return refusal.title.encode(), detail.encode()
