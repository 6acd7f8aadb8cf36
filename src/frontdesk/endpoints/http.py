"""Requests and responses as values. Adapters translate them; nothing below them knows a framework."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from frontdesk.core.cookies import CookieChanges
from frontdesk.core.discretion import Discreet
from frontdesk.errors import Refusal

BODY_LIMIT: Final = 64 * 1024
"""Octets of a request body; more is refused with 413 before it is read."""

Header = tuple[bytes, bytes]

NO_STORE: Final[Header] = (b"cache-control", b"no-store")
NOSNIFF: Final[Header] = (b"x-content-type-options", b"nosniff")
_JSON_POLICY: Final[tuple[Header, ...]] = (
    NOSNIFF,
    # An API answer is never a page, even when somebody makes a browser open it (ASVS 3.2.1).
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; sandbox"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class Request(Discreet, msgspec.Struct, frozen=True, kw_only=True):
    """One request. `path` is what follows the application's root path; header names are in lower case.

    `peer` is the address of the connection, None when unknown; `EdgeSettings.address_of` looks behind proxies.
    `is_overlong`: its body has more than `BODY_LIMIT` octets, and was not read.
    `root_path` is what the application is mounted under, without a slash at the end.
    """

    method: str
    path: str
    headers: Sequence[Header]
    query: str = ""
    scheme: str = "http"
    root_path: str = ""
    peer: str | None = None
    body: bytes = b""
    is_overlong: bool = False

    def header(self, name: bytes) -> bytes | None:
        """The value of a header that came exactly once; None otherwise."""
        values = [value for key, value in self.headers if key == name]
        return values[0] if len(values) == 1 else None

    @property
    def media_type(self) -> str:
        """The declared type of the body in lower case, without parameters; "" when there is none."""
        declared = self.header(b"content-type") or b""
        return declared.split(b";", 1)[0].strip(b" \t").decode("latin-1").lower()

    def with_body(self, body: bytes | None) -> Request:
        """The same request with its body; None: it is over the limit."""
        return msgspec.structs.replace(self, body=body or b"", is_overlong=body is None)


class Response(Discreet, msgspec.Struct, frozen=True, kw_only=True):
    """One response. Cookies are kept apart so that each name is set at most once.

    `refusal` is the code of the refusal that this answers, "" for none: for who counts; the client reads the body.
    """

    status: int
    headers: tuple[Header, ...] = ()
    body: bytes = b""
    cookies: CookieChanges = CookieChanges()
    refusal: str = ""

    def header_list(self) -> list[Header]:
        """All headers in ASGI form; whoever sets a cookie is never stored by a cache."""
        headers = [*self.headers, (b"content-length", str(len(self.body)).encode())]
        if self.cookies:
            headers = [header for header in headers if header[0] != b"cache-control"]
            headers += [NO_STORE, *self.cookies.headers()]
        return headers

    def with_cookies(self, cookies: CookieChanges) -> Response:
        """The same with further cookie changes; later ones win."""
        return msgspec.structs.replace(self, cookies=self.cookies.merge(cookies))

    def with_headers(self, *headers: Header) -> Response:
        """The same with further headers."""
        return msgspec.structs.replace(self, headers=(*self.headers, *headers))


def path_below_root(path: str, root_path: str) -> str:
    """What follows the root path, decided as routers decide it, so that both speak of the same route.

    A path that does not lie below the root path is taken as it is: the proxy in front has stripped the root already.
    """
    if not root_path or not path.startswith(root_path):
        return path
    if path == root_path:
        return ""
    return path[len(root_path) :] if path[len(root_path)] == "/" else path


def json_response(status: int, content: object, *headers: Header, cookies: CookieChanges | None = None) -> Response:
    """A JSON answer, `no-store` like every answer of the API that speaks of a session."""
    return Response(
        status=status,
        headers=((b"content-type", b"application/json"), NO_STORE, *_JSON_POLICY, *headers),
        body=msgspec.json.encode(content),
        cookies=cookies or CookieChanges(),
    )


def empty_response(status: int = 204, *, cookies: CookieChanges | None = None) -> Response:
    """An answer without content."""
    return Response(status=status, headers=(NO_STORE, NOSNIFF), cookies=cookies or CookieChanges())


def has_seen(request: Request, tag: bytes) -> bool:
    """Whether the client holds what the entity tag `tag` names, by its `If-None-Match` (RFC 9110 §13.1.2)."""
    given = b",".join(value for name, value in request.headers if name == b"if-none-match")
    return any(each.strip().removeprefix(b"W/") in {tag, b"*"} for each in given.split(b","))


def problem_document(refusal: Refusal) -> dict[str, Any]:
    """The members of a problem document (RFC 9457) for a refusal.

    `type` is a URN made of the code, which docs/errors.md explains.
    """
    document: dict[str, Any] = {
        "type": f"urn:frontdesk:error:{refusal.code}",
        "title": refusal.title,
        "status": refusal.status,
        "code": refusal.code,
    }
    if refusal.detail:
        document["detail"] = refusal.detail
    return {**document, **refusal.members}


def problem(refusal: Refusal, *, cookies: CookieChanges | None = None) -> Response:
    """The answer to a refusal: a problem document, with the headers that its status asks for."""
    return Response(
        status=refusal.status,
        headers=((b"content-type", b"application/problem+json"), NO_STORE, *_JSON_POLICY, *problem_headers(refusal)),
        body=msgspec.json.encode(problem_document(refusal)),
        cookies=cookies or CookieChanges(),
        refusal=refusal.code,
    )


def problem_headers(refusal: Refusal) -> tuple[Header, ...]:
    """`WWW-Authenticate` for a 401 (RFC 6750 §3) and step-up (RFC 9470 §3), `Retry-After` (RFC 9110 §10.2.3)."""
    headers: list[Header] = []
    if refusal.status == 401:
        headers.append((b"www-authenticate", _challenge(refusal)))
    elif refusal.code == "step_up_required":
        age = refusal.members.get("max_age", 0)
        headers.append(
            (b"www-authenticate", f'Bearer error="insufficient_user_authentication", max_age="{age}"'.encode())
        )
    elif refusal.code in {"scope_missing", "service_scope_missing"}:
        headers.append((b"www-authenticate", b'Bearer error="insufficient_scope"'))
    retry_after = refusal.members.get("retry_after", 1 if refusal.status == 503 else None)
    if retry_after is not None:
        headers.append((b"retry-after", str(retry_after).encode()))
    if refusal.code == "headers_too_large":
        # Somebody, possibly on a sibling domain, filled the cookie jar; only emptying it lets this browser in again.
        headers.append((b"clear-site-data", b'"cookies"'))
    return tuple(headers)


def _challenge(refusal: Refusal) -> bytes:
    # RFC 6750 §3.1: without a credential the challenge carries no error; a service's is no access token in any case.
    if refusal.code in {"not_signed_in", "invalid_credentials", "service_unknown"}:
        return b'Bearer realm="frontdesk"'
    return f'Bearer realm="frontdesk", error="invalid_token", error_description="{refusal.code}"'.encode()


def members(**values: object) -> Mapping[str, object]:
    """A JSON object without the members that do not apply: absent, never null."""
    return {name: value for name, value in values.items() if value is not None}
