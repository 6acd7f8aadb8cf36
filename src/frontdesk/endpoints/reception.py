"""What came along with a request, and whether another site may have started it. Nothing in it is believed here."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from frontdesk.core.cookies import CookieNaming, CookieSettings
from frontdesk.core.envelope import Presented, present
from frontdesk.core.origin import SAFE_METHODS, Allowed, Denied, OriginHeaders, OriginPolicy, check
from frontdesk.endpoints.http import Request
from frontdesk.errors import Refusal

_CROSS_ORIGIN: Final = Refusal("cross_origin")
_NO_BROWSER: Final = frozenset({"form_without_origin", "content_type_unusable", "origin_missing"})
_UNDECLARED: Final = Refusal(
    "cross_origin",
    "The request does not say where it comes from. From a command line, declare the body as application/json.",
)


class Reception:
    """Reads what one desk's clients present, in cookies or `Authorization`."""

    def __init__(self, cookies: CookieSettings, origins: OriginPolicy) -> None:
        self.naming = CookieNaming(cookies)
        self._origins = origins
        # A request that came over TLS was sent so by the browser; plain http may come from a proxy that ended it.
        self._origins_over_tls = replace(origins, scheme=origins.scheme or "https")

    def receive(self, request: Request) -> Presented:
        """The credential that came along, not yet checked."""
        return present(request.headers, request.scheme, self.naming)

    def cross_origin(
        self, request: Request, presented: Presented, *, websocket: bool = False, sets_cookies: bool = False
    ) -> Refusal | None:
        """Why the request may not act, if it would act with a cookie: perhaps another site started it.

        `sets_cookies`: the answer may sign somebody in, so the origin counts even when no cookie came (login CSRF).
        """
        verdict = self.origin_of(request, presented, websocket=websocket, sets_cookies=sets_cookies)
        return refusal_of(verdict) if isinstance(verdict, Denied) else None

    def origin_of(
        self, request: Request, presented: Presented, *, websocket: bool = False, sets_cookies: bool = False
    ) -> Allowed | Denied | None:
        """Where the request comes from, if it would act with a cookie; None when that need not be asked."""
        acts = sets_cookies or (presented.by_cookie and (websocket or request.method not in SAFE_METHODS))
        if not acts:
            return None
        policy = self._origins_over_tls if request.scheme in {"https", "wss"} else self._origins
        return check(request.method, OriginHeaders.pick(request.headers), policy=policy, websocket=websocket)


def refusal_of(verdict: Denied) -> Refusal:
    """What the client of a request from elsewhere is told."""
    return _UNDECLARED if verdict.reason in _NO_BROWSER else _CROSS_ORIGIN
