"""What the server answers where: the API below its prefix, the pages, some aliases, its figures, its description in
development mode, 404 for the rest."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib.metadata import version
from types import MappingProxyType
from typing import Final

import msgspec

from frontdesk.endpoints.gate import Gate, unavailable
from frontdesk.endpoints.http import NO_STORE, NOSNIFF, Header, Request, Response, json_response, problem
from frontdesk.endpoints.openapi import Description, Json
from frontdesk.endpoints.policy import Asked, Policies, RoutePolicy
from frontdesk.endpoints.routes import Api, policies_with_api
from frontdesk.endpoints.settings import EdgeSettings
from frontdesk.errors import OverloadedError, Refusal, StoreError
from frontdesk.pages import Pages
from frontdesk.server.metrics import CONTENT_TYPE, Metrics

_logger = logging.getLogger("frontdesk")

_ALIASES: Final[Mapping[str, str]] = MappingProxyType(
    {"/healthz": "/health", "/.well-known/jwks.json": "/jwks.json", "/frontdesk.js": "/frontdesk.js"},
)
_TWO_YEARS: Final[Header] = (b"strict-transport-security", b"max-age=63072000; includeSubDomains")
_EVERYWHERE: Final[tuple[Header, ...]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
"""SECURITY.md says which header each answer has; what a page or the API says itself stands."""


class Root:
    """Answers every request of the server, faults included.

    metrics: where refusals are counted, and what `/metrics` tells: to services with the scope `metrics`, to everybody
    with `open_metrics` and, under the names that are served, in development mode.
    """

    def __init__(
        self,
        gate: Gate,
        metrics: Metrics,
        *,
        title: str = "Frontdesk",
        dev: bool = False,
        open_metrics: bool = False,
    ) -> None:
        self.gate = gate
        self._metrics = metrics
        self._dev = dev
        self._open_metrics = open_metrics
        self._description = _describe(gate, title) if dev else None
        self._api = Api(gate)
        self._pages = Pages(gate, title=title, dev=dev, advises=True)

    def declares_too_much(self, request: Request) -> bool:
        """Whether the body is over the limit by its declared length, before anything is read."""
        return self._api.declares_too_much(request)

    def waits(self, request: Request) -> bool:
        """Whether the answer may be held back on purpose."""
        return self._api.owns(request.path) and self._api.waits(request)

    async def answer(self, request: Request) -> Response:
        """Answer. Whatever goes wrong is logged and answered 500; nothing is granted by it."""
        try:
            response = await self._answer(request)
        except Exception:
            _logger.exception("a request failed: %s %s", request.method, request.path)
            response = self.problem(request, Refusal("internal_error"))
        if response.refusal:
            self._metrics.refused(response.refusal)
        return with_security_headers(response, request.scheme)

    async def _answer(self, request: Request) -> Response:
        if request.is_overlong and not (self._api.owns(request.path) and self._api.takes_any_size(request)):
            return self.problem(request, Refusal("body_too_large"))
        alias = _ALIASES.get(request.path)
        if request.path == "/metrics":
            return await self._tell_metrics(request)
        # Health is told to whoever asks, under any name: probes call a machine by its address, and the answer
        # depends on no host.
        if request.path != "/healthz" and not self.gate.settings.serves(request.header(b"host")):
            return problem(Refusal("host_unknown"))
        if alias is not None:
            return await self._api.answer(msgspec.structs.replace(request, path=self._api.prefix + alias))
        if self._api.owns(request.path):
            return await self._api.answer(request)
        if request.path == "/openapi.json" and self._description is not None:
            return self._describe(request, self._description)
        if self._pages.owns(request.path):
            return await self._pages.answer(request)
        return self.problem(request, Refusal("not_found"))

    def _describe(self, request: Request, description: Json) -> Response:
        if request.method not in {"GET", "HEAD"}:
            return problem(Refusal("method_not_allowed")).with_headers((b"allow", b"GET, HEAD"))
        return json_response(200, description)

    async def _tell_metrics(self, request: Request) -> Response:
        """The figures. Under any name, since each machine is asked by its address: a credential decides, not a host."""
        if request.method not in {"GET", "HEAD"}:
            return problem(Refusal("method_not_allowed")).with_headers((b"allow", b"GET, HEAD"))
        if not self._is_open_to(request):
            refusal = await self._service_refusal(request)
            if refusal is not None:
                return self.problem(request, refusal)
        headers = ((b"content-type", CONTENT_TYPE), NO_STORE, NOSNIFF)
        return Response(status=200, headers=headers, body=await self._metrics.text())

    def _is_open_to(self, request: Request) -> bool:
        # A developer's browser must not tell the figures to a site that has given itself the address of this machine.
        return self._open_metrics or (self._dev and self.gate.settings.serves(request.header(b"host")))

    async def _service_refusal(self, request: Request) -> Refusal | None:
        try:
            service = await self.gate.desk.services.authenticate(request.header(b"authorization"), "metrics")
        except (StoreError, OverloadedError) as error:
            return unavailable(error)
        return service if isinstance(service, Refusal) else None

    def problem(self, request: Request, refusal: Refusal) -> Response:
        """A refusal as a page or as a problem document, as the client prefers."""
        return with_security_headers(self._pages.problem(request, refusal), request.scheme)


def policies_of_server(settings: EdgeSettings, *, open_metrics: bool, dev: bool) -> Policies:
    """What every path of the server asks, to explain a request for one. What a page does is told by itself."""

    def beside_the_api(asked: Asked) -> RoutePolicy:
        if asked.path == "/metrics":
            if asked.method not in {"GET", "HEAD"}:
                return RoutePolicy(refusal="method_not_allowed", gated=False, limited=True)
            is_open = open_metrics or (dev and settings.serves(asked.host))
            if is_open:
                return RoutePolicy(asks="nothing", gated=False, limited=True)
            return RoutePolicy(service="metrics", limited=True)
        if asked.path == "/dashboard" and asked.method in {"GET", "HEAD"}:
            return RoutePolicy(asks="signed_in", limited=True)
        return RoutePolicy(limited=True)

    known = policies_with_api(settings, beside_the_api)

    def policy_of(asked: Asked) -> RoutePolicy:
        alias = _ALIASES.get(asked.path)
        return known(asked if alias is None else msgspec.structs.replace(asked, path=settings.prefix + alias))

    return policy_of


def _describe(gate: Gate, title: str) -> Json:
    settings = gate.desk.settings
    description = Description(gate.settings, credentials=settings.credentials, transports=settings.transports)
    return description.document(title=title, version=version("frontdesk"))


def with_security_headers(response: Response, scheme: str) -> Response:
    """The answer with those security headers that it does not say itself; HSTS over https (RFC 6797 section 7.2)."""
    said = {name for name, _ in response.headers}
    wanted = (*_EVERYWHERE, _TWO_YEARS) if scheme == "https" else _EVERYWHERE
    return response.with_headers(*(header for header in wanted if header[0] not in said))
