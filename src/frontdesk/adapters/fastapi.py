"""A desk for FastAPI applications. The aliases and what `require` returns belong at module level."""

# No annotations as strings here: older FastAPI resolves those of functions only, and the dependencies are objects.

import copy
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import timedelta
from typing import Annotated, Any, Final, Self

from fastapi import Depends, FastAPI, routing
from fastapi.openapi.models import HTTPBase
from fastapi.security.base import SecurityBase
from starlette.applications import Starlette
from starlette.requests import HTTPConnection

from frontdesk.adapters import starlette
from frontdesk.adapters.arrival import arrival_of
from frontdesk.core.sessions import Principal
from frontdesk.endpoints.openapi import Description
from frontdesk.endpoints.policy import Requirement, RoutePolicy

_SCHEME: Final = "frontdesk"
_OPTIONAL_SCHEME: Final = "frontdesk (optional)"
_REFUSALS: Final = ("not_signed_in", "role_missing", "scope_missing", "step_up_required", "store_unavailable")


class _Asks(SecurityBase):
    """A dependency that only reads the scope; FastAPI writes it into the OpenAPI document as a security scheme."""

    def __init__(self, scheme_name: str = _SCHEME) -> None:
        self.model = HTTPBase(scheme="bearer")
        self.scheme_name = scheme_name


class _User(_Asks):
    async def __call__(self, connection: HTTPConnection) -> Principal:
        return arrival_of(connection.scope).principal()


class _OptionalUser(_Asks):
    async def __call__(self, connection: HTTPConnection) -> Principal | None:
        return arrival_of(connection.scope).principal_or_none()


class _Required(_Asks):
    def __init__(self, rule: Requirement) -> None:
        super().__init__()
        self.rule = rule

    async def __call__(self, connection: HTTPConnection) -> Principal:
        return arrival_of(connection.scope).require(self.rule)


User = Annotated[Principal, Depends(_User())]
"""The signed-in principal; 401 with a reason when nobody is signed in."""

OptionalUser = Annotated[Principal | None, Depends(_OptionalUser(_OPTIONAL_SCHEME))]
"""The signed-in principal, or None. A store that cannot be asked is a 503 and never None."""


def require(*, fresh: timedelta | None = None, roles: Collection[str] = (), scope: Collection[str] = ()) -> Any:
    """One dependency, for `Annotated[Principal, require(...)]` at module level, also on WebSockets.

    Somebody is signed in, not longer ago than `fresh`, and holds all of `roles` and all of `scope`. Otherwise 401, or
    403 `step_up_required` (with `max_age` in seconds), `role_missing`, `scope_missing`.
    """
    return Depends(_Required(Requirement.of(fresh, roles, scope)))


class Frontdesk(starlette.Frontdesk):
    """One desk around one FastAPI application."""

    def install(self, app: Starlette) -> Self:
        """As Starlette's; a FastAPI application's OpenAPI document speaks of the desk from then on."""
        super().install(app)
        if isinstance(app, FastAPI):
            # FastAPI documents this override: "Extending OpenAPI".
            app.openapi = _Documented(self, app.openapi)  # type: ignore[method-assign]
        return self

    def flattened(self, routes: Iterable[Any]) -> Iterable[Any]:
        """Those of included routers, too; since FastAPI 0.13x they are no longer copied into the application."""
        contexts = getattr(routing, "iter_route_contexts", None)
        return routes if contexts is None else contexts(list(routes))

    def policy_of_route(self, route: Any, method: str) -> RoutePolicy:
        """What the dependencies of a route ask, in the order in which FastAPI resolves them."""
        dependant = getattr(route, "dependant", None)
        known = super().policy_of_route(route, method)
        if dependant is None:
            return known
        asking = [call for call in _calls(dependant) if isinstance(call, _Asks)]
        rules = tuple(call.rule for call in asking if isinstance(call, _Required)) + known.rules
        if rules or any(isinstance(call, _User) for call in asking):
            return RoutePolicy(asks="signed_in", rules=rules)
        return RoutePolicy(asks="optional" if asking else "nothing")


def _calls(dependant: Any) -> Iterator[object]:
    for each in dependant.dependencies:
        yield from _calls(each)
        yield each.call


class _Documented:
    """`FastAPI.openapi` with the desk in it: the API, its security schemes, and which operations ask who is there."""

    def __init__(self, desk: Frontdesk, inner: Callable[[], dict[str, Any]]) -> None:
        settings = desk.desk.settings
        self._inner = inner
        self._description = Description(
            desk.gate.settings, credentials=settings.credentials, transports=settings.transports
        )
        self._done: tuple[dict[str, Any], dict[str, Any]] | None = None

    def __call__(self) -> dict[str, Any]:
        document = self._inner()
        # FastAPI keeps its document and hands out the same one until the routes change.
        if self._done is None or self._done[0] is not document:
            self._done = (document, self._merge(document))
        return self._done[1]

    def _merge(self, document: dict[str, Any]) -> dict[str, Any]:
        merged = copy.deepcopy(document)
        for path in merged.get("paths", {}).values():
            for operation in path.values():
                if isinstance(operation, dict):
                    self._complete(operation)
        merged["paths"] = {**merged.get("paths", {}), **self._description.paths()}
        components = merged.setdefault("components", {})
        components["schemas"] = {**components.get("schemas", {}), **self._description.schemas()}
        schemes = {**components.get("securitySchemes", {}), **self._description.security_schemes()}
        for name in (_SCHEME, _OPTIONAL_SCHEME):
            schemes.pop(name, None)
        components["securitySchemes"] = schemes
        return merged

    def _complete(self, operation: dict[str, Any]) -> None:
        """Put the desk's alternatives in the place of the one scheme that stands for all of them."""
        asked = operation.get("security", [])
        names = {name for alternative in asked for name in alternative}
        if not names & {_SCHEME, _OPTIONAL_SCHEME}:
            return
        others = [alternative for alternative in asked if not {_SCHEME, _OPTIONAL_SCHEME} & set(alternative)]
        optional = _SCHEME not in names
        operation["security"] = [*others, *self._description.security(optional=optional)]
        codes = ("store_unavailable",) if optional else _REFUSALS
        responses = operation.setdefault("responses", {})
        for status, problem in self._description.problems(codes).items():
            responses.setdefault(status, problem)
