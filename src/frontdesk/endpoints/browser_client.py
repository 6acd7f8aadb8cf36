"""The client for browsers, `@frontdesk/client`, as `make client` built it: pages import it from where their desk is.

It is the same file for everybody and holds nothing of anybody, so it may be kept, by shared caches too. Kept copies are
asked about after an hour at the latest and are then replaced when the desk has been.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from typing import Final, NamedTuple

from frontdesk.endpoints.gate import Gate
from frontdesk.endpoints.http import NOSNIFF, Header, Request, Response, has_seen

_FIXED: Final[tuple[Header, ...]] = (
    (b"cache-control", b"public, max-age=3600"),
    (b"cross-origin-resource-policy", b"same-origin"),
    NOSNIFF,
)


class _Script(NamedTuple):
    text: bytes
    etag: bytes


async def script(gate: Gate, request: Request) -> Response:  # noqa: ARG001 - every handler has this shape
    """The file. 304 for who has it (RFC 9110 §13.1.2)."""
    found = _script()
    caching = ((b"etag", found.etag), *_FIXED)
    if has_seen(request, found.etag):
        return Response(status=304, headers=caching)
    # A module script is UTF-8 whatever is said of it (HTML Standard, "fetch a single module script").
    return Response(status=200, headers=((b"content-type", b"text/javascript"), *caching), body=found.text)


@cache
def _script() -> _Script:
    text = resources.files("frontdesk.endpoints").joinpath("assets", "frontdesk.js").read_bytes()
    return _Script(text, b'"' + hashlib.sha256(text).hexdigest()[:32].encode() + b'"')
