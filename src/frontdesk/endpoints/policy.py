"""What a route asks of whoever comes: the requirement, and what is known of a route when a request is explained."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final, Literal

import msgspec

from frontdesk.clock import Clock
from frontdesk.core.services import ServiceScope
from frontdesk.core.sessions import Principal
from frontdesk.errors import Refusal

_CLOCKS_DIFFER: Final = timedelta(seconds=30)

Asks = Literal["nothing", "optional", "signed_in", "refresh", "sign_out", "unknown"]
"""`nothing`: it never looks. `optional`: it takes nobody as well, but not a store that cannot be asked. `signed_in`:
somebody, and the rules. `refresh`, `sign_out`: the two endpoints that take other credentials. `unknown`: what the route
asks is not known here."""


class Requirement:
    """What a route asks of its principal: a recent sign-in, all of some roles, all of some scope values."""

    __slots__ = ("fresh", "roles", "scope")

    def __init__(self, *, fresh: timedelta | None, roles: frozenset[str], scope: frozenset[str]) -> None:
        if fresh is not None and fresh <= timedelta(0):
            raise ValueError("fresh must be above zero")
        self.fresh = fresh
        self.roles = roles
        self.scope = scope

    @classmethod
    def of(cls, fresh: timedelta | None, roles: object, scope: object) -> Requirement:
        """From what an application wrote. One string is misuse: it would be read as a set of letters."""
        return cls(fresh=fresh, roles=_names("roles", roles), scope=_names("scope", scope))

    def refusal(self, principal: Principal, clock: Clock) -> Refusal | None:
        """Why the principal may not; None when it may."""
        if not self.roles <= principal.roles:
            return Refusal("role_missing")
        if not self.scope <= principal.scope:
            return Refusal("scope_missing")
        if self.fresh is not None:
            age = clock.now() - principal.auth_time
            # A sign-in that lies ahead by more than clocks differ was made before the clock stepped back: not fresh.
            if age > self.fresh or age < -_CLOCKS_DIFFER:
                return Refusal("step_up_required", members={"max_age": int(self.fresh.total_seconds())})
        return None


def _names(member: str, values: object) -> frozenset[str]:
    if isinstance(values, str | bytes) or not hasattr(values, "__iter__"):
        raise TypeError(f"{member} is a collection of strings, not one string")
    names = frozenset(values)
    if not all(isinstance(name, str) and name for name in names):
        raise TypeError(f"{member} is a collection of strings")
    return names


class RoutePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the route that a request would reach.

    rules: asked one after another, of whoever is signed in. protected: the desk turns nobody's requests away before
    the route is reached. sets_cookies: the answer may sign somebody in, so the origin counts without a cookie, too.
    service: for other programs with this scope. refusal: no route takes the request, `not_found` or
    `method_not_allowed`. gated: the request passes the gate first; else nothing of what came along is looked at.
    strict: the store is asked in any case. limited: a body over the limit is refused before all else. body: what the
    operation reads. own_session: its path names a session, which must be one of the subject's.
    """

    asks: Asks = "unknown"
    rules: tuple[Requirement, ...] = ()
    protected: bool = False
    sets_cookies: bool = False
    service: ServiceScope | None = None
    refusal: Literal["", "not_found", "method_not_allowed"] = ""
    gated: bool = True
    strict: bool = False
    limited: bool = False
    body: type[msgspec.Struct] | None = None
    own_session: bool = False


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """The request that a policy is looked up for: `path` is what follows the root path. `host`: the Host header."""

    method: str
    path: str
    root_path: str = ""
    host: bytes = b""
    websocket: bool = False


Policies = Callable[[Asked], RoutePolicy]
"""How whoever stands around an application finds out what its routes ask."""


def nothing_known(asked: Asked) -> RoutePolicy:  # noqa: ARG001 - one shape for all
    """Of an application whose routes cannot be looked at."""
    return RoutePolicy()
