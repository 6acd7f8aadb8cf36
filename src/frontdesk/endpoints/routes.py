"""Where each operation of the API is mounted: the one declaration that routing and OpenAPI are made from."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec

from frontdesk.core.services import ServiceScope
from frontdesk.endpoints import api, bodies, browser_client, explain, revocations
from frontdesk.endpoints.gate import Gate, unavailable
from frontdesk.endpoints.http import BODY_LIMIT, Request, Response, problem
from frontdesk.endpoints.policy import Asked, Asks, Policies, RoutePolicy
from frontdesk.endpoints.settings import EdgeSettings
from frontdesk.errors import OverloadedError, Refusal, StoreError

_logger = logging.getLogger("frontdesk")

Handler = Callable[[Gate, Request], Awaitable[Response]]


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One operation. `path` follows the prefix; `{id}` stands for one segment. `refusals` are its own codes.

    `query` names the parameters that are understood, each with its schema; `otherwise` further statuses that are no
    refusals, each with the shape of its body. `service`: for other programs, whose credential has this scope. `waits`:
    the answer may be held back on purpose. `sets_cookies`: it may sign somebody in, so the origin counts in any case.
    `any_size`: answers a request whose body is over the limit, too.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    status: int = 200
    body: type[msgspec.Struct] | None = None
    answer: type[msgspec.Struct] | None = None
    answer_type: str = "application/json"
    otherwise: Mapping[int, type[msgspec.Struct] | None] = {}
    query: Mapping[str, Mapping[str, object]] = {}
    body_required: bool = False
    signed_in: bool = False
    service: ServiceScope | None = None
    waits: bool = False
    accounts: bool = False
    sets_cookies: bool = False
    any_size: bool = False
    refusals: tuple[str, ...] = ()

    @property
    def policy(self) -> RoutePolicy:
        """What this operation asks, to explain a request for it."""
        other: dict[str, Asks] = {"/refresh": "refresh", "/logout": "sign_out"}
        asks = other.get(self.path, "signed_in" if self.signed_in else "nothing")
        return RoutePolicy(
            asks=asks,
            sets_cookies=self.sets_cookies,
            service=self.service,
            gated=self.signed_in or self.sets_cookies or self.service is not None,
            strict=self.path.startswith("/sessions"),
            limited=not self.any_size,
            body=self.body,
            own_session=self.path == "/sessions/{id}",
        )


_BODY: Final = ("cross_origin", "body_too_large", "content_type_unsupported", "body_not_parseable", "body_invalid")
_CREDENTIAL: Final = ("credential_malformed", "credential_invalid", "transport_mismatch")
_SESSION: Final = (
    "session_ended", "session_expired", "session_idle", "session_replaced", "refresh_reused", "store_rolled_back",
)  # fmt: skip
_SIGNED_IN: Final = ("not_signed_in", "credential_duplicate", "token_expired", *_CREDENTIAL, *_SESSION)
# A GET may be opened as a page, and is then renewed on the way in: what a refresh is refused for is answered here too.
_RENEWED: Final = (*_SIGNED_IN, "claims_too_large")
_SERVICE: Final = ("service_unknown", "service_scope_missing")
_PASSWORD: Final = ("password_too_short", "password_too_long", "password_common", "password_context")

ROUTES: Final = (
    Route(
        method="POST", path="/register", handler=api.register, summary="Create an account; signs nobody in",
        status=201, body=bodies.RegisterBody, answer=bodies.Registered, accounts=True, sets_cookies=True,
        refusals=(*_BODY, "email_invalid", "email_taken", *_PASSWORD, "overloaded"),
    ),
    Route(
        method="POST", path="/login", handler=api.login, summary="Sign in with address and password",
        body=bodies.LoginBody, answer=bodies.SignedIn, accounts=True, sets_cookies=True,
        refusals=(
            *_BODY, "invalid_credentials", "credential_not_allowed", "claims_too_large", "too_many_attempts",
            "session_ended", "overloaded",
        ),
    ),
    Route(
        method="POST", path="/refresh", handler=api.refresh, summary="Exchange a refresh token for an access token",
        body=bodies.RefreshBody, answer=bodies.SignedIn, sets_cookies=True,
        refusals=(
            *_BODY, "credentials_ambiguous", *_SIGNED_IN, "claims_too_large",
        ),
    ),
    Route(
        method="POST", path="/logout", handler=api.logout, summary="End this session",
        status=204, body=bodies.RefreshBody, signed_in=True,
        refusals=(*_BODY, "not_signed_in", "credential_duplicate", *_CREDENTIAL, "session_ended"),
    ),
    Route(
        method="GET", path="/me", handler=api.me, summary="Who I am",
        answer=bodies.Me, signed_in=True, refusals=_RENEWED,
    ),
    Route(
        method="GET", path="/sessions", handler=api.list_sessions, summary="My devices",
        answer=bodies.Devices, signed_in=True, refusals=_RENEWED,
    ),
    Route(
        method="DELETE", path="/sessions", handler=api.end_sessions,
        summary="End all my sessions; with ?except=current all but this one",
        query={"except": {"enum": ["current"]}}, answer=bodies.SessionsEnded, signed_in=True,
        refusals=("cross_origin", "body_invalid", *_SIGNED_IN),
    ),
    Route(
        method="DELETE", path="/sessions/{id}", handler=api.end_session, summary="End one of my sessions",
        status=204, signed_in=True, refusals=("cross_origin", "session_not_found", *_SIGNED_IN),
    ),
    Route(
        method="GET", path="/explain", handler=explain.explain, summary="Why this request passes or fails",
        query=explain.QUERY, answer=bodies.Explained, refusals=("body_invalid", *_SERVICE),
    ),
    Route(
        method="POST", path="/explain", handler=explain.explain,
        summary="Why this request, its body included, passes or fails",
        query=explain.QUERY, answer=bodies.Explained, any_size=True, refusals=("body_invalid", *_SERVICE),
    ),
    Route(
        method="GET", path="/revocations", handler=revocations.read, summary="What was revoked after a cursor",
        query=revocations.QUERY, answer=bodies.Revocations, service="revocations", waits=True,
        refusals=("body_invalid", *_SERVICE, "overloaded"),
    ),
    Route(
        method="POST", path="/revocations", handler=revocations.revoke, summary="End what an administrator names",
        body=bodies.RevokeBody, body_required=True, answer=bodies.SessionsEnded, service="revoke",
        refusals=(*(code for code in _BODY if code != "cross_origin"), *_SERVICE, "not_found", "session_not_found"),
    ),
    Route(
        method="GET", path="/jwks.json", handler=api.jwks, summary="The public keys",
        answer=bodies.KeySetBody, answer_type="application/jwk-set+json", otherwise={304: None},
    ),
    Route(
        method="GET", path="/frontdesk.js", handler=browser_client.script, summary="The client for browsers",
        answer_type="text/javascript", otherwise={304: None},
    ),
    Route(
        method="GET", path="/health", handler=api.health, summary="Whether the desk can answer",
        answer=bodies.Health, otherwise={503: bodies.Health},
    ),
)  # fmt: skip

_BY_PATH: Final[dict[str, dict[str, Route]]] = {}
for _route in ROUTES:
    _BY_PATH.setdefault(_route.path, {})[_route.method] = _route


class Api:
    """Answers the requests below the prefix."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.prefix = gate.settings.prefix
        self._inside = self.prefix + "/"

    def owns(self, path: str) -> bool:
        """Whether `path` (root path taken away) is one of ours to answer, if only with 404."""
        return path.startswith(self._inside)

    def declares_too_much(self, request: Request) -> bool:
        """Whether the body is over the limit by the declared length alone, before anything is read."""
        declared = request.header(b"content-length")
        return declared is not None and declared.isdigit() and int(declared[:20]) > BODY_LIMIT

    def takes_any_size(self, request: Request) -> bool:
        """Whether a request is answered whose body is over the limit."""
        route = self._route(request)
        return route is not None and route.any_size

    def waits(self, request: Request) -> bool:
        """Whether the answer may be held back on purpose: then whoever serves it looks whether the client is there."""
        route = self._route(request)
        return route is not None and route.waits

    async def answer(self, request: Request) -> Response:
        """Answer a request that `owns` said is ours. Never raises: a fault of the store is 503, a defect is 500."""
        if request.is_overlong and not self.takes_any_size(request):
            return problem(Refusal("body_too_large"))
        methods = find(request.path[len(self.prefix) :], self.gate.settings)
        if methods is None:
            return problem(Refusal("not_found"))
        route = _of_method(methods, request.method)
        if route is None:
            allowed = ", ".join(sorted({*methods, "HEAD"} if "GET" in methods else methods))
            return problem(Refusal("method_not_allowed")).with_headers((b"allow", allowed.encode()))
        try:
            return await route.handler(self.gate, request)
        except (StoreError, OverloadedError) as error:
            return problem(unavailable(error))
        except Exception:
            _logger.exception("a request failed: %s %s", route.method, route.path)
            return problem(Refusal("internal_error"))

    def _route(self, request: Request) -> Route | None:
        methods = find(request.path[len(self.prefix) :], self.gate.settings)
        return None if methods is None else _of_method(methods, request.method)


def find(path: str, settings: EdgeSettings) -> Mapping[str, Route] | None:
    """The operations at `path`, which follows the prefix, by method; None where there are none."""
    methods = _BY_PATH.get(path)
    if methods is None:
        head, _, last = path.rpartition("/")
        methods = _BY_PATH.get(f"{head}/{{id}}") if last else None
    if methods is None or settings.accounts:
        return methods
    return {method: route for method, route in methods.items() if not route.accounts} or None


def policies_with_api(settings: EdgeSettings, beyond: Policies) -> Policies:
    """What the operations below the prefix ask; `beyond` knows of all other paths."""

    def policy_of(asked: Asked) -> RoutePolicy:
        if asked.websocket or not asked.path.startswith(settings.prefix + "/"):
            return beyond(asked)
        methods = find(asked.path[len(settings.prefix) :], settings)
        if methods is None:
            return RoutePolicy(refusal="not_found", gated=False, limited=True)
        route = _of_method(methods, asked.method)
        return RoutePolicy(refusal="method_not_allowed", gated=False, limited=True) if route is None else route.policy

    return policy_of


def _of_method(methods: Mapping[str, Route], method: str) -> Route | None:
    return methods.get("GET" if method == "HEAD" else method)
