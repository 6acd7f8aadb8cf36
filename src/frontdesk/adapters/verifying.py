"""The middleware of a service that has no desk: access tokens are checked by a `Verifier`, and nothing is issued."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar

from frontdesk.adapters.arrival import Arrival
from frontdesk.adapters.lifespan import Lifespan
from frontdesk.adapters.messages import ASGIApp, Receive, Scope, Send, request_of
from frontdesk.adapters.passage import let_through, turn_away
from frontdesk.adapters.protection import Protection
from frontdesk.clock import Clock
from frontdesk.core.cookies import CookieSettings
from frontdesk.core.envelope import bearer
from frontdesk.core.origin import OriginPolicy
from frontdesk.core.sessions import Principal, Transport
from frontdesk.endpoints.gate import unavailable
from frontdesk.endpoints.http import problem
from frontdesk.endpoints.reception import Reception
from frontdesk.errors import OverloadedError, Refusal, RefusedError, StoreError
from frontdesk.stores.protocol import ASK
from frontdesk.verifier import Verifier


class VerifierMiddleware:
    """Stands around an application: `app.add_middleware(VerifierMiddleware, verifier=verifier)`.

    `User`, `require` and their like then work as behind a desk. verifier: it opens and closes with the application.
    protect: every path needs a signed-in principal except those in `public` (`adapters.protection`).
    cookies: read the access cookie of the desk, too, as the desk names it; for services that browsers reach under the
    desk's own host name. Then requests that change something must come from that host or from `trusted_origins`;
    strict_origin: and say so. Without `cookies` only `Authorization: Bearer` is looked at.
    """

    refused: ClassVar[type[RefusedError]] = RefusedError
    """What is raised in the application for a refusal."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        verifier: Verifier,
        protect: bool = False,
        public: Collection[str] = (),
        cookies: CookieSettings | None = None,
        trusted_origins: Collection[str] = (),
        strict_origin: bool = False,
    ) -> None:
        if not isinstance(verifier, Verifier):
            raise TypeError("verifier is a frontdesk.verifier.Verifier")
        if isinstance(trusted_origins, str):
            raise TypeError("trusted_origins is a collection of strings, not one string")
        if cookies is None and (trusted_origins or strict_origin):
            raise ValueError("trusted_origins and strict_origin are about cookies; without cookies= none is looked at")
        self.app = app
        self.verifier = verifier
        self._protection = Protection(protect=protect, public=public)
        self._reception: Reception | None = None
        if cookies is not None:
            over_tls = verifier.issuer.lower().startswith("https:")
            trusted = frozenset(trusted_origins)
            policy = OriginPolicy(trusted=trusted, strict=strict_origin, scheme="https" if over_tls else None)
            self._reception = Reception(cookies, policy)

    @property
    def clock(self) -> Clock:
        return self.verifier.clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "lifespan":
            await Lifespan(self.app, self.verifier)(scope, receive, send)
        elif kind in {"http", "websocket"}:
            await self._pass(scope, receive, send, websocket=kind == "websocket")
        else:
            await self.app(scope, receive, send)

    async def _pass(self, scope: Scope, receive: Receive, send: Send, *, websocket: bool) -> None:
        request = request_of(scope)
        transport: Transport = "bearer"
        if self._reception is None:
            credential = bearer(request.headers)
        else:
            presented = self._reception.receive(request)
            transport = presented.transport
            refusal = self._reception.cross_origin(request, presented, websocket=websocket)
            if refusal is None and presented.flaw.code == "headers_too_large":
                refusal = presented.flaw
            if refusal is not None:
                await turn_away(scope, receive, send, problem(refusal))
                return
            credential = presented.flaw if presented.credential is None else presented.credential
        result: Principal | Refusal
        if isinstance(credential, Refusal):
            result = credential
        else:
            outcome = self.verifier.check_now(credential, transport)
            result = await self._ask(credential, transport) if outcome is ASK else outcome
        if isinstance(result, Refusal) and not self._protection.admits(request.path):
            await turn_away(scope, receive, send, problem(result))
            return
        await let_through(self.app, Arrival(self, request, result), scope, receive, send)

    async def _ask(self, credential: bytes, transport: Transport) -> Principal | Refusal:
        try:
            return await self.verifier.check(credential, transport)
        except (StoreError, OverloadedError) as error:
            return unavailable(error)
