"""A client for tests of applications: Starlette's, over https, with a cookie jar that signs in by name."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from typing import Any, TypeVar
from urllib.parse import urljoin

from starlette.testclient import TestClient, WebSocketTestSession

from frontdesk.adapters.asgi import Frontdesk
from frontdesk.adapters.middleware import Middleware
from frontdesk.core.origin import SAFE_METHODS
from frontdesk.core.sessions import CredentialKind, RefreshEnvelope, Transport
from frontdesk.endpoints.carriers import signed_body, signed_cookies
from frontdesk.errors import Refusal, RefusedError
from frontdesk.service.sign_in import Grant, Origin, Signed, SignInOptions

T = TypeVar("T")


class Client(TestClient):
    """`starlette.testclient.TestClient` as a browser on `https://testserver`, where Secure cookies return.

    Unsafe requests and WebSockets carry the `Origin` of the page that a browser would send them from, unless the
    test gives another one. Works with and without `with`; with it, the application's lifespan runs.
    """

    def __init__(self, app: Any, base_url: str = "https://testserver", **options: Any) -> None:
        super().__init__(app, base_url=base_url, **options)
        self._application = app

    @property
    def desk(self) -> Frontdesk:
        """The desk of the application: the outermost, if several are mounted. LookupError when there is none."""
        found = next(desks_of(self._application), None)
        if found is None:
            raise LookupError("no desk is installed on this application: call Frontdesk(...).install(app)")
        return found

    def sign_in_as(
        self,
        subject: str,
        *,
        roles: Collection[str] = (),
        scope: Collection[str] = (),
        claims: Mapping[str, Any] | None = None,
        amr: Sequence[str] = (),
        credential: CredentialKind | None = None,
        transport: Transport | None = None,
        refresh_in: RefreshEnvelope | None = None,
        remember: bool = True,
        desk: Frontdesk | None = None,
    ) -> Mapping[str, Any]:
        """Sign this client in; what it held before is forgotten. Returns the body of a sign-in's answer.

        The session is a real one of the application's desk (or of `desk`, where there are several): cookies go into
        the jar, a bearer credential into the `Authorization` header. Raises RefusedError when the desk refuses.
        """
        front = desk or self.desk
        grant = Grant(subject=subject, roles=tuple(roles), scope=tuple(scope), claims=claims or {}, amr=tuple(amr))
        options = SignInOptions(credential=credential, transport=transport, refresh_in=refresh_in, remember=remember)

        async def sign_in() -> Signed | Refusal:
            await front.open()
            return await front.desk.sign_in(grant, options=options, origin=Origin(device="frontdesk.testing.Client"))

        signed = self._run(sign_in)
        if isinstance(signed, Refusal):
            raise RefusedError(signed)
        host = self.base_url.netloc
        names = front.gate.naming.names(self.base_url.scheme, host)
        self.forget()
        self._keep(value for _, value in signed_cookies(signed, names, front.desk.clock.now()).headers())
        body = signed_body(signed)
        if "access_token" in body:
            self.headers["authorization"] = f"Bearer {body['access_token']}"
        return body

    def forget(self) -> None:
        """Drop every cookie and the `Authorization` header, as somebody who was never here. Ends no session."""
        self.cookies.clear()
        self.headers.pop("authorization", None)

    def send(self, request: Any, **options: Any) -> Any:
        """Send a request; an unsafe one says which page it comes from."""
        if request.method not in SAFE_METHODS:
            request.headers.setdefault("origin", self._origin)
        return super().send(request, **options)

    def websocket_connect(
        self, url: str, subprotocols: Sequence[str] | None = None, **options: Any
    ) -> WebSocketTestSession:
        """Open a WebSocket, from a page of the same origin unless `headers` name another."""
        absolute = urljoin(self._origin.replace("http", "ws", 1), url)
        headers = {"origin": self._origin, **(options.pop("headers", None) or {})}
        return super().websocket_connect(absolute, subprotocols, headers=headers, **options)

    @property
    def _origin(self) -> str:
        return f"{self.base_url.scheme}://{self.base_url.netloc.decode()}"

    def _keep(self, cookies: Iterable[bytes]) -> None:
        """Put cookies into the jar as the application would have set them."""
        answer = _Answer(cookies)
        self.cookies.jar.extract_cookies(answer, urllib.request.Request(self._origin))  # type: ignore[arg-type]  # noqa: S310 - nothing is fetched

    def _run(self, work: Callable[[], Awaitable[T]]) -> T:
        if self.portal is not None:
            return self.portal.call(work)

        async def run() -> T:
            return await work()

        # A thread of its own: the test itself may be running in an event loop.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(lambda: asyncio.run(run())).result()


class _Answer:
    """As much of an answer as the standard library's cookie jar reads."""

    def __init__(self, cookies: Iterable[bytes]) -> None:
        self._headers = Message()
        for cookie in cookies:
            self._headers["Set-Cookie"] = cookie.decode("ascii")

    def info(self) -> Message:
        return self._headers


def desks_of(app: object) -> Iterator[Frontdesk]:
    """Every desk that is installed on `app` or on what is mounted below it, the outermost first."""
    seen: set[int] = set()
    waiting = [app]
    while waiting:
        found = waiting.pop(0)
        if found is None or id(found) in seen:
            continue
        seen.add(id(found))
        if isinstance(found, Middleware) and isinstance(found.front, Frontdesk):
            yield found.front
        for middleware in getattr(found, "user_middleware", ()):
            if middleware.cls is Middleware:
                yield middleware.kwargs["front"]
        waiting += [getattr(found, "app", None), *(getattr(route, "app", None) for route in _routes_of(found))]


def _routes_of(app: object) -> Sequence[object]:
    routes = getattr(app, "routes", None)
    return routes if isinstance(routes, list | tuple) else ()
