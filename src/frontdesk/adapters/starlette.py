"""A desk, or a verifier, for Starlette applications."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Collection
from datetime import timedelta
from typing import Any, Self, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from frontdesk.adapters import asgi, verifying
from frontdesk.adapters.arrival import Requirement, arrival_of
from frontdesk.adapters.middleware import Middleware
from frontdesk.core.sessions import Principal
from frontdesk.endpoints.http import NO_STORE, problem_headers
from frontdesk.errors import Refusal, RefusedError

Endpoint = TypeVar("Endpoint", bound=Callable[..., Awaitable[Any]])


class RefusedHTTPError(RefusedError, HTTPException):
    """A refusal as Starlette and FastAPI understand it. An application may handle it like any HTTPException."""

    def __init__(self, refusal: Refusal) -> None:
        headers = (*problem_headers(refusal), NO_STORE)
        # Not through RefusedError's: its call of `super` would end in HTTPException with a sentence for a status.
        HTTPException.__init__(
            self, refusal.status, refusal.title, {name.decode(): value.decode() for name, value in headers}
        )
        self.message = refusal.detail or refusal.title
        self.code = refusal.code
        self.refusal = refusal

    def __str__(self) -> str:
        return f"{self.status_code} {self.code}: {self.detail}"


class Frontdesk(asgi.Frontdesk):
    """One desk around one Starlette application."""

    refused = RefusedHTTPError

    def install(self, app: Starlette) -> Self:
        """Put the desk in front of `app`, and of everything that is mounted below it; returns the desk.

        Once per application: RuntimeError otherwise, and when the application has started. Middleware that is added
        afterwards runs before authentication; it sees requests that nobody has checked.
        """
        installed: list[object] = [middleware.cls for middleware in app.user_middleware]
        if Middleware in installed:
            raise RuntimeError("a desk is already installed on this application; it has one")
        app.add_middleware(Middleware, front=self)
        return self


class VerifierMiddleware(verifying.VerifierMiddleware):
    """A verifier in front of a Starlette or FastAPI application (`adapters.verifying`)."""

    refused = RefusedHTTPError


def optional_principal(connection: HTTPConnection) -> Principal | None:
    """Who is signed in, if anybody. A store that cannot be asked is a 503 and never "nobody"."""
    return arrival_of(connection.scope).principal_or_none()


def require(
    *, fresh: timedelta | None = None, roles: Collection[str] = (), scope: Collection[str] = ()
) -> Callable[[Endpoint], Endpoint]:
    """A decorator for endpoints whose first argument is the request or WebSocket (methods: the second).

    The endpoint runs when somebody is signed in, not longer ago than `fresh`, who holds all of `roles` and `scope`;
    otherwise the client is told 401, or 403 `step_up_required`, `role_missing`, `scope_missing`.
    """
    rule = Requirement.of(fresh, roles, scope)

    def decorate(endpoint: Endpoint) -> Endpoint:
        if not inspect.iscoroutinefunction(endpoint):
            raise TypeError(f"require decorates async endpoints; {endpoint!r} is none")

        @functools.wraps(endpoint)
        async def guarded(*args: Any, **kwargs: Any) -> Any:
            given = (*args, *kwargs.values())
            connection = next((arg for arg in given if isinstance(arg, HTTPConnection)), None)
            if connection is None:
                raise TypeError(f"{endpoint!r} was called without a request or WebSocket")
            arrival_of(connection.scope).require(rule)
            return await endpoint(*args, **kwargs)

        return guarded  # type: ignore[return-value]

    return decorate
