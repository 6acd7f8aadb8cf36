"""What the middleware leaves in the scope for the application to read, and what comes back through it."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any, Final, Protocol

from frontdesk.adapters.messages import Scope
from frontdesk.clock import Clock
from frontdesk.core.cookies import CookieChanges
from frontdesk.core.sessions import Principal
from frontdesk.endpoints.http import NO_STORE, Header, Request
from frontdesk.endpoints.policy import Requirement
from frontdesk.errors import Refusal, RefusedError

SCOPE_KEY: Final = "frontdesk"


class Door(Protocol):
    """What stands in front of an application: a desk, or the verifier of a service."""

    @property
    def clock(self) -> Clock: ...

    @property
    def refused(self) -> type[RefusedError]:
        """What is raised in the application for a refusal."""
        ...


class Arrival:
    """One request that came through one door, as it stands in the scope under `frontdesk`."""

    __slots__ = ("cookies", "door", "no_store", "refusal", "request", "result")

    def __init__(
        self, door: Door, request: Request, result: Principal | Refusal, cookies: CookieChanges | None = None
    ) -> None:
        self.door = door
        self.request = request
        self.result = result
        """Who it is, or why nobody."""
        self.cookies = cookies
        """To be set on the answer, unless the application sets the same ones."""
        self.no_store = False
        """Whether the application has signed somebody in or out: then no cache may keep the answer."""
        self.refusal: Refusal | None = None
        """What the application was told, if it was told no."""

    def refuse(self, refusal: Refusal) -> RefusedError:
        """The exception to raise in the application; the middleware knows what became of it."""
        self.refusal = refusal
        return self.door.refused(refusal)

    def principal(self) -> Principal:
        """Who is signed in. Raises the refusal (401, or 503 when the store could not be asked)."""
        result = self.result
        if isinstance(result, Principal):
            return result
        raise self.refuse(result)

    def principal_or_none(self) -> Principal | None:
        """Who is signed in, if anybody. A store that cannot be asked is never "nobody": that raises 503."""
        result = self.result
        if isinstance(result, Principal):
            return result
        if result.status >= 500:
            raise self.refuse(result)
        return None

    def require(self, rule: Requirement) -> Principal:
        """Who is signed in, if the rule holds. Raises the refusal otherwise."""
        principal = self.principal()
        refusal = rule.refusal(principal, self.door.clock)
        if refusal is not None:
            raise self.refuse(refusal)
        return principal


def arrival_of(scope: Scope) -> Arrival:
    """The arrival in a scope. RuntimeError where neither a desk nor a verifier stands around the application."""
    arrival = scope.get(SCOPE_KEY)
    if not isinstance(arrival, Arrival):
        raise RuntimeError(  # noqa: TRY004 - nobody passed a wrong type
            "no desk is installed around this application: call Frontdesk(...).install(app) on it or on the "
            "application that mounts it; a service without a desk adds VerifierMiddleware"
        )
    return arrival


class HasScope(Protocol):
    """A request, a WebSocket or a connection as Starlette has it."""

    @property
    def scope(self) -> Scope: ...


def scope_of(request: HasScope | Scope) -> Scope:
    """The scope of whatever an application has in hand."""
    # Starlette's Request is a mapping too, of its scope, but no mutable one.
    return request if isinstance(request, MutableMapping) else request.scope


class _Headers(Protocol):
    def append(self, key: str, value: str) -> None: ...
    def __setitem__(self, key: str, value: str) -> None: ...


class HasHeaders(Protocol):
    """A response as Starlette has it."""

    @property
    def headers(self) -> _Headers: ...


class SignedOut:
    """Cookies that must reach the client: call `apply` on the response, or send `headers`."""

    __slots__ = ("cookies",)

    def __init__(self, cookies: CookieChanges) -> None:
        self.cookies = cookies

    def apply(self, response: HasHeaders) -> None:
        """Set the cookies on the response, which no cache may store then."""
        if not self.cookies:
            return
        for name, value in self.cookies.headers():
            response.headers.append(name.decode(), value.decode())
        response.headers["cache-control"] = "no-store"

    @property
    def headers(self) -> tuple[Header, ...]:
        """The same as raw ASGI headers."""
        return (*self.cookies.headers(), NO_STORE) if self.cookies else ()


class Signed(SignedOut):
    """A sign-in. For a bearer client the credentials stand in `body`; send it as the JSON answer, `no-store`."""

    __slots__ = ("body", "session_id", "subject")

    def __init__(self, subject: str, session_id: str, body: Mapping[str, Any], cookies: CookieChanges) -> None:
        super().__init__(cookies)
        self.subject = subject
        self.session_id = session_id
        self.body = body

    def apply(self, response: HasHeaders) -> None:
        """Set the cookies on the response, if there are any; no cache may store the answer to a sign-in."""
        super().apply(response)
        response.headers["cache-control"] = "no-store"
