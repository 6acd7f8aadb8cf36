"""A desk for FastAPI applications. The aliases and what `require` returns belong at module level."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Annotated, Any

from fastapi import Depends
from fastapi.openapi.models import HTTPBase
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection

from frontdesk.adapters import starlette
from frontdesk.adapters.arrival import Requirement, arrival_of
from frontdesk.core.sessions import Principal

_SCHEME = "frontdesk"


class _Asks(SecurityBase):
    """A dependency that only reads the scope; FastAPI writes it into the OpenAPI document as a security scheme."""

    def __init__(self) -> None:
        self.model = HTTPBase(scheme="bearer")
        self.scheme_name = _SCHEME


class _User(_Asks):
    async def __call__(self, connection: HTTPConnection) -> Principal:
        return arrival_of(connection.scope).principal()


class _OptionalUser(_Asks):
    async def __call__(self, connection: HTTPConnection) -> Principal | None:
        return arrival_of(connection.scope).principal_or_none()


class _Required(_Asks):
    def __init__(self, rule: Requirement) -> None:
        super().__init__()
        self._rule = rule

    async def __call__(self, connection: HTTPConnection) -> Principal:
        return arrival_of(connection.scope).require(self._rule)


User = Annotated[Principal, Depends(_User())]
"""The signed-in principal; 401 with a reason when nobody is signed in."""

OptionalUser = Annotated[Principal | None, Depends(_OptionalUser())]
"""The signed-in principal, or None. A store that cannot be asked is a 503 and never None."""


def require(*, fresh: timedelta | None = None, roles: Collection[str] = (), scope: Collection[str] = ()) -> Any:
    """One dependency, for `Annotated[Principal, require(...)]` at module level, also on WebSockets.

    Somebody is signed in, not longer ago than `fresh`, and holds all of `roles` and all of `scope`. Otherwise 401, or
    403 `step_up_required` (with `max_age` in seconds), `role_missing`, `scope_missing`.
    """
    return Depends(_Required(Requirement.of(fresh, roles, scope)))


class Frontdesk(starlette.Frontdesk):
    """One desk around one FastAPI application."""
