"""The gate: every request passes it once, before the application sees it.

host → what came along → cross-origin → authentic and alive → a `Visit`. A `Refusal` is answered at once; a visit that
nobody signed goes on, since not every route asks who is there. Synchronous when nothing has to be fetched.
"""

from __future__ import annotations

import logging
from typing import Final

import msgspec

from frontdesk.core.cookies import CookieChanges, Flaw
from frontdesk.core.envelope import Presented, is_navigation
from frontdesk.core.events import CrossOriginRefused, DuplicateCookie
from frontdesk.core.services import Service, ServiceScope
from frontdesk.core.sessions import Principal, Session
from frontdesk.endpoints.carriers import refreshed_cookies
from frontdesk.endpoints.http import Request
from frontdesk.endpoints.policy import Policies, nothing_known
from frontdesk.endpoints.reception import Reception
from frontdesk.endpoints.settings import EdgeSettings
from frontdesk.errors import OverloadedError, Refusal, StoreError
from frontdesk.service.authenticate import Authenticated
from frontdesk.service.desk import Desk
from frontdesk.service.feed import Feed
from frontdesk.service.refresh import Refreshed
from frontdesk.stores.protocol import ASK, Ask
from frontdesk.verifier.access_tokens import KEY_UNKNOWN

_logger = logging.getLogger("frontdesk")

_HOST_UNKNOWN: Final = Refusal("host_unknown")
STORE_UNAVAILABLE: Final = Refusal("store_unavailable")
_RENEWABLE: Final = frozenset({"token_expired", "not_signed_in"})


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """One request that passed the gate. `result` says who it is, or why nobody.

    `cookies` are to be set on the answer: an expired access cookie was renewed on the way in.
    """

    presented: Presented
    result: Authenticated | Refusal
    cookies: CookieChanges | None = None

    @property
    def principal(self) -> Principal | None:
        """Who is signed in, if anybody."""
        return self.result.principal if isinstance(self.result, Authenticated) else None


class Gate:
    """The gate of one desk.

    policies: what the routes behind it ask, as far as that can be found out. open_explain: on loopback everybody is
    told the facts of an explanation, for development.
    """

    def __init__(
        self, desk: Desk, settings: EdgeSettings, *, policies: Policies = nothing_known, open_explain: bool = False
    ) -> None:
        self.desk = desk
        self.settings = settings
        self.feed = Feed(desk.store)
        self.reception = Reception(settings.cookies, settings.origins)
        self.naming = self.reception.naming
        self.policies = policies
        self.open_explain = open_explain

    def admit_now(self, request: Request, *, websocket: bool = False) -> Visit | Refusal | Ask:
        """Decide without waiting; `ASK` when the store or a renewal has to be waited for: then await `admit`."""
        presented = self.receive(request, websocket=websocket)
        if isinstance(presented, Refusal):
            return presented
        if presented.credential is None:
            result: Authenticated | Refusal | Ask = presented.flaw
        else:
            try:
                result = self.desk.authenticate_now(presented.credential, presented.transport)
            except (StoreError, OverloadedError) as error:
                result = unavailable(error)
        if result is ASK or self.renewable(request, presented, result):
            return ASK
        return Visit(presented=presented, result=result)

    async def admit(self, request: Request, *, websocket: bool = False, strict: bool = False) -> Visit | Refusal:
        """Decide, waiting for the store where needed. A fault of the store is a visit that nobody signed: 503.

        strict: the store is asked in any case, and whoever is signed in comes with the session's row.
        """
        presented = self.receive(request, websocket=websocket)
        if isinstance(presented, Refusal):
            return presented
        try:
            if presented.credential is None:
                result: Authenticated | Refusal = presented.flaw
            else:
                result = await self.desk.authenticate(presented.credential, presented.transport, strict=strict)
            if self.renewable(request, presented, result):
                return await self._renew(request, presented, result)
        except (StoreError, OverloadedError) as error:
            result = unavailable(error)
        return Visit(presented=presented, result=result)

    def receive(self, request: Request, *, websocket: bool = False, sets_cookies: bool = False) -> Presented | Refusal:
        """What came along, unless it is refused at once: unknown host, oversized cookies, another site.

        `sets_cookies`: the answer may sign somebody in, so the origin counts even when no cookie came (login CSRF).
        """
        if self.settings.hosts and not self.settings.serves(request.header(b"host")):
            return _HOST_UNKNOWN
        presented = self.reception.receive(request)
        flaw = presented.flaw.code
        if flaw == "headers_too_large":
            return presented.flaw
        if flaw == "credential_duplicate" or presented.refresh is Flaw.DUPLICATE:
            self._report_duplicate(request)
        refusal = self.reception.cross_origin(request, presented, websocket=websocket, sets_cookies=sets_cookies)
        if refusal is not None:
            self._report_cross_origin(request)
            return refusal
        return presented

    async def admit_service(self, request: Request, scope: ServiceScope) -> Service | Refusal:
        """The service that asks, if it may do `scope`; a fault of the store raises.

        Cookies are not looked at, so no other site can make a browser act here and the origin need not be asked
        for: no browser adds this credential by itself.
        """
        if self.settings.hosts and not self.settings.serves(request.header(b"host")):
            return _HOST_UNKNOWN
        return await self.desk.services.authenticate(request.header(b"authorization"), scope)

    def renewable(self, request: Request, presented: Presented, result: Authenticated | Refusal | Ask) -> bool:
        """Whether this is a page navigation whose access cookie is gone while a refresh cookie came along."""
        return (
            is_renewable(result)
            and isinstance(presented.refresh, bytes)
            and presented.transport == "cookie"
            # Under "end" a retry is reuse, and any site can start a navigation whose answer nobody keeps.
            and self.desk.settings.sessions.late_retry == "reissue"
            and is_navigation(request.method, request.headers)
        )

    async def _renew(self, request: Request, presented: Presented, refused: Authenticated | Refusal) -> Visit:
        assert isinstance(presented.refresh, bytes)
        outcome = await self.desk.refresh(
            presented.refresh,
            "cookie",
            address=self.settings.address_of(request),
            name_bytes=len(presented.names.access),
        )
        if isinstance(outcome, Refusal):
            # The navigation came without a good access token; why the refresh failed is the better answer.
            return Visit(presented=presented, result=outcome)
        if outcome.session.transport != "cookie":
            # The refresh token of a bearer client lives in a cookie, but its pages are not signed in by it. The
            # rotation stands; its cookie must reach the client all the same.
            return Visit(presented=presented, result=refused, cookies=self._cookies(outcome, presented))
        return Visit(
            presented=presented,
            result=Authenticated(outcome.principal, outcome.session),
            cookies=self._cookies(outcome, presented),
        )

    def _cookies(self, outcome: Refreshed, presented: Presented) -> CookieChanges:
        return refreshed_cookies(outcome, presented.names, self.desk.clock.now())

    def _report_cross_origin(self, request: Request) -> None:
        self.desk.audit(
            CrossOriginRefused(
                at=self.desk.clock.now(),
                realm=self.desk.settings.realm,
                address=self.settings.address_of(request),
                origin=(request.header(b"origin") or b"")[:200].decode("latin-1"),
                path=request.path[:200],
            )
        )

    def _report_duplicate(self, request: Request) -> None:
        self.desk.audit(
            DuplicateCookie(
                at=self.desk.clock.now(),
                realm=self.desk.settings.realm,
                address=self.settings.address_of(request),
            )
        )


def session_of(granted: Authenticated) -> Session:
    """The row of whoever was admitted strictly."""
    assert granted.session is not None
    return granted.session


def is_renewable(result: Authenticated | Refusal | Ask) -> bool:
    """Whether a refresh may mend this: no access token, an expired one, or one whose key is gone from the ring."""
    return isinstance(result, Refusal) and (result.code in _RENEWABLE or result is KEY_UNKNOWN)


def unavailable(error: StoreError | OverloadedError) -> Refusal:
    """The refusal for a fault; what happened goes to the log and not to the client."""
    _logger.error("%s: %s %s", type(error).__name__, error.message, error.detail)
    return Refusal("overloaded") if isinstance(error, OverloadedError) else STORE_UNAVAILABLE
