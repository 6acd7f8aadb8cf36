"""A desk, or a verifier, for Starlette applications."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from datetime import timedelta
from typing import Any, Final, Self, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.routing import Match

from frontdesk.adapters import asgi, verifying
from frontdesk.adapters.arrival import arrival_of
from frontdesk.adapters.middleware import Middleware
from frontdesk.core.sessions import Principal
from frontdesk.endpoints.http import NO_STORE, problem_headers
from frontdesk.endpoints.policy import Asked, Requirement, RoutePolicy
from frontdesk.errors import Refusal, RefusedError

Endpoint = TypeVar("Endpoint", bound=Callable[..., Awaitable[Any]])

_RULES: Final = "__frontdesk_rules__"
"""The attribute of an endpoint that says what `require` asks before it."""


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
        self.policies = lambda asked: self._policy_of(app, asked)
        return self

    def _policy_of(self, app: Starlette, asked: Asked) -> RoutePolicy:
        """What the route asks that would take the request, as routers look for it."""
        scope = _scope_of(app, asked)
        policy = self._policy_among(app.routes, scope)
        if policy.refusal != "not_found" or asked.websocket or not app.router.redirect_slashes:
            return policy
        other = asked.path.rstrip("/") if asked.path.endswith("/") else asked.path + "/"
        found = self._policy_among(app.routes, {**scope, "path": asked.root_path + other})
        # The router redirects there, whoever asks.
        return policy if found.refusal == "not_found" else RoutePolicy(asks="nothing")

    def _policy_among(self, routes: Iterable[Any], scope: Mapping[str, Any]) -> RoutePolicy:
        partial = False
        for route in self.flattened(routes):
            match, child = route.matches(dict(scope))
            if match is Match.FULL:
                return self._policy_below(route, {**scope, **child})
            partial = partial or match is Match.PARTIAL
        return RoutePolicy(refusal="method_not_allowed" if partial else "not_found")

    def _policy_below(self, route: Any, scope: Mapping[str, Any]) -> RoutePolicy:
        inner = getattr(route, "routes", None)
        if inner is None:
            return self.policy_of_route(route, scope["method"])
        # What is mounted and has no routes to look at answers as it likes.
        return self._policy_among(inner, scope) if inner else RoutePolicy()

    def flattened(self, routes: Iterable[Any]) -> Iterable[Any]:
        """The routes one by one, as they are tried."""
        return routes

    def policy_of_route(self, route: Any, method: str) -> RoutePolicy:
        """What a route asks before its endpoint runs. What an endpoint asks inside its code is not known."""
        endpoint = getattr(route, "endpoint", None)
        while isinstance(endpoint, functools.partial):
            endpoint = endpoint.func
        if inspect.isclass(endpoint):
            endpoint = getattr(endpoint, method.lower(), None) or getattr(endpoint, "get", None)
        rules = getattr(endpoint, _RULES, None)
        return RoutePolicy() if rules is None else RoutePolicy(asks="signed_in", rules=rules)


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

        # The outer decorator asks first.
        setattr(guarded, _RULES, (rule, *getattr(endpoint, _RULES, ())))
        return guarded  # type: ignore[return-value]

    return decorate


def _scope_of(app: Starlette, asked: Asked) -> dict[str, Any]:
    """As much of a scope as routes look at."""
    return {
        "type": "websocket" if asked.websocket else "http",
        "method": asked.method,
        "path": asked.root_path + asked.path,
        "root_path": asked.root_path,
        "headers": [(b"host", asked.host)],
        "query_string": b"",
        "path_params": {},
        "app": app,
    }
