"""uvicorn's HTTP protocol with a bound on what a client may send beside a body, and on what a shutdown waits for."""

from __future__ import annotations

from typing import Final

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from frontdesk.endpoints.http import problem_document
from frontdesk.errors import Refusal
from frontdesk.server.app import Application

LONGEST_HEAD: Final = 64 * 1024
"""Octets of request line, headers, chunk sizes and trailers of one request. Cookie headers over 8 KiB are answered by
the application before that; this bounds memory, which httptools does not."""

_DOCUMENT: Final = msgspec.json.encode(problem_document(Refusal("headers_too_large", "The headers are too large.")))
_ANSWER: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/problem+json\r\n"
    b"cache-control: no-store\r\nx-content-type-options: nosniff\r\nconnection: close\r\n"
    b"content-length: " + str(len(_DOCUMENT)).encode() + b"\r\n\r\n" + _DOCUMENT
)


class BoundedHttp(HttpToolsProtocol):
    """Ends a connection whose request has more than `LONGEST_HEAD` octets that belong to no body.

    A shutdown waits for the requests under way, and tells each connection before it does: then those that wait for the
    revocation log are answered, and need not be waited for (`Application.leave`).
    """

    _unfinished = False
    _beside_body = 0

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._beside_body += len(data)
        if self._unfinished and self._beside_body > LONGEST_HEAD and not self.transport.is_closing():
            # No cycle before the first request; none that is under way may have another answer put into its own.
            if getattr(self.cycle, "response_complete", True):
                self.transport.write(_ANSWER)
            self.transport.close()

    def shutdown(self) -> None:
        super().shutdown()
        if isinstance(self.app, Application):
            self.app.leave()

    def on_message_begin(self) -> None:
        self._unfinished = True
        self._beside_body = 0
        super().on_message_begin()

    def on_body(self, body: bytes) -> None:
        self._beside_body -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unfinished = False
        super().on_message_complete()
