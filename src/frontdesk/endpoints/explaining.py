"""Why a request passes or fails: the gate's own steps, asked to judge and to change nothing, each told as a fact.

host → what came along → where it came from → who it is → what the route asks. Each step calls what decides requests
(`Reception`, `Witness` over `Authenticator` and `Refresher`, `Requirement`); a test holds the verdicts against the
answers of the routes. Nobody's cookie is renewed, no use is recorded. One event is told: who asks about a spent refresh
token instead of presenting it must not learn in silence what presenting it would have given away.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from frontdesk.core.cookie_facts import cookie_facts
from frontdesk.core.cookies import Flaw
from frontdesk.core.envelope import Presented
from frontdesk.core.events import SpentTokenExplained
from frontdesk.core.explanation import ALLOWED, Explanation, Fact, Value, shown
from frontdesk.core.origin import Allowed, AllowedBy, Denied, DeniedBy
from frontdesk.core.rotation import Decision
from frontdesk.core.services import ServiceScope
from frontdesk.core.sessions import Principal, Session, principal_of
from frontdesk.endpoints.gate import Gate, unavailable
from frontdesk.endpoints.http import Request
from frontdesk.endpoints.policy import Requirement, RoutePolicy
from frontdesk.endpoints.reception import refusal_of
from frontdesk.errors import OverloadedError, Refusal, StoreError
from frontdesk.service.authenticate import Authenticated
from frontdesk.service.explaining import Look, RefreshLook

STORE_FAILED: Final = "The store could not be asked, so nothing is granted."
_SIGNED_IN: Final = "The route asks for somebody who is signed in."
_UNKNOWN: Final = (
    "What the route asks is not known here; the verdict is that of a route which asks for somebody who is signed in."
)
_REASONS: Final[dict[AllowedBy | DeniedBy, str]] = {
    "safe_method": "its method changes nothing",
    "fetch_site_same_origin": "the browser says that a page of this origin sent it",
    "fetch_site_none": "the browser says that the person started it",
    "origin_is_host": "its Origin is this host",
    "origin_trusted": "its Origin is one of those that are trusted by name",
    "not_a_browser": "it says nothing of where it comes from, and no browser sends such a request",
    "fetch_site_repeated": "Sec-Fetch-Site came more than once",
    "fetch_site_unknown": "Sec-Fetch-Site is none of its four words",
    "fetch_site_same_site": "a page of another origin on this site sent it",
    "fetch_site_cross_site": "a page of another site sent it",
    "origin_repeated": "Origin came more than once",
    "origin_null": "its Origin is null",
    "origin_malformed": "its Origin is none that a browser sends",
    "origin_differs": "its Origin is another than this host",
    "origin_missing": "it does not say where it comes from",
    "host_unusable": "its Host header cannot be compared with its Origin",
    "form_without_origin": "it has the form of an old browser's form and does not say where it comes from",
    "content_type_unusable": "its content type cannot be read, and it does not say where it comes from",
}


class Told(NamedTuple):
    """An explanation, and whether whoever sent the request may see its facts."""

    explanation: Explanation
    is_holder: bool


async def explain_request(gate: Gate, request: Request, route: RoutePolicy, *, websocket: bool = False) -> Told:
    """Why `request` passes or fails before a route with this policy. Never raises for a fault of the store."""
    inquiry = _Inquiry(gate, request, route, websocket=websocket)
    return await inquiry.told()


class _Inquiry:
    """One request that is explained."""

    def __init__(self, gate: Gate, request: Request, route: RoutePolicy, *, websocket: bool) -> None:
        self._gate = gate
        self._request = request
        self._route = route
        self._websocket = websocket
        self._facts: list[Fact] = []
        self._cause: int | None = None
        """The place of the fact that nobody's being signed in rests on."""
        self._is_holder = False
        self._is_barred = False
        self._has_looked = False

    async def told(self) -> Told:
        code = await self._code()
        if not self._has_looked and code != "host_unknown":
            await self._recognise()
        explanation = Explanation(code=code, facts=tuple(self._facts))
        return Told(explanation, self._is_holder and not self._is_barred)

    async def _code(self) -> str:
        gate, request = self._gate, self._request
        if not self._route.gated:
            return self._by_route(Refusal("not_signed_in"))
        if gate.settings.hosts and not self._host_is_served():
            return "host_unknown"
        if self._route.service is not None:
            return await self._of_service(self._route.service)
        presented = gate.reception.receive(request)
        self._came(presented)
        if presented.flaw.code == "headers_too_large":
            return self._refused(presented.flaw)
        denied = self._origin(presented)
        if denied is not None:
            return denied
        try:
            if self._route.asks == "refresh":
                return await self._of_refresh(presented)
            result = await self._who(presented)
            if self._route.asks == "sign_out":
                return await self._of_sign_out(presented)
        except (StoreError, OverloadedError) as error:
            result = unavailable(error)
            self._cause = self._add("store_failed", STORE_FAILED)
        return self._by_route(result)

    # --- telling ----------------------------------------------------------------------------------------------

    def _add(self, code: str, sentence: str, **values: Value) -> int:
        self._facts.append(Fact(code=code, sentence=sentence, values=values))
        return len(self._facts) - 1

    def _take(self, facts: tuple[Fact, ...]) -> None:
        """Facts of whoever judged; that which decided there decides here, unless the route does not ask."""
        for each in facts:
            if each.decided:
                self._cause = len(self._facts)
            self._facts.append(msgspec.structs.replace(each, decided=False) if each.decided else each)

    def _decide(self, place: int | None, code: str) -> str:
        if place is not None:
            self._facts[place] = msgspec.structs.replace(self._facts[place], decided=True)
        return code

    def _refused(self, refusal: Refusal) -> str:
        return self._decide(self._cause, refusal.code)

    def _place(self, code: str, name: bytes | None = None) -> int | None:
        found = (
            place
            for place, each in enumerate(self._facts)
            if each.code == code and (name is None or each.values.get("name") == shown(name))
        )
        return next(found, None)

    # --- the steps --------------------------------------------------------------------------------------------

    def _host_is_served(self) -> bool:
        host = self._request.header(b"host")
        named = "absent, or sent twice" if host is None else shown(host)
        if self._gate.settings.serves(host):
            self._add("host_served", f"The Host header names a host that is served: {named}.", host=named)
            return True
        place = self._add("host_not_served", f"The Host header names no host that is served: {named}.", host=named)
        self._decide(place, "host_unknown")
        return False

    async def _of_service(self, scope: ServiceScope) -> str:
        self._add("policy_signed_in", f"The route is for services with the scope {scope}.", scope=scope)
        try:
            service = await self._gate.admit_service(self._request, scope)
        except (StoreError, OverloadedError) as error:
            refusal = unavailable(error)
            place = self._add("store_failed", STORE_FAILED)
            return self._decide(place, refusal.code)
        if isinstance(service, Refusal):
            place = self._add("service_refused", service.detail or service.title)
            return self._decide(place, service.code)
        place = self._add(
            "service_known", f"The credential is that of the service {service.name}.", service=service.name
        )
        return self._decide(place, ALLOWED)

    def _came(self, presented: Presented) -> None:
        headers = self._request.headers
        cookies = [value for name, value in headers if name == b"cookie"]
        if presented.transport == "bearer":
            place = self._add(
                "authorization_decides", "An Authorization header came: it decides, and cookies are not looked at."
            )
            if presented.credential is None and presented.flaw.code == "credential_malformed":
                place = self._add(
                    "authorization_malformed", "It does not read: Bearer, a space, the token; or came twice."
                )
                self._cause = place
        self._facts += cookie_facts(cookies, presented, self._gate.settings.cookies)
        flaw = presented.flaw.code
        if flaw == "headers_too_large":
            self._cause = self._place("cookies_too_large")
        elif presented.credential is None and presented.transport == "cookie":
            self._cause = self._flawed(presented.chosen)

    def _flawed(self, chosen: bytes | None) -> int | None:
        """The place of the fact that says why the cookies hold no credential."""
        if chosen is None:
            return self._add("credential_absent", "No credential came along.")
        for code in ("cookie_duplicate", "cookie_value_malformed", "cookie_of_other_kind"):
            place = self._place(code, chosen)
            if place is not None:
                return place
        return None

    def _origin(self, presented: Presented) -> str | None:
        request, sets_cookies = self._request, self._route.sets_cookies
        verdict = self._gate.reception.origin_of(
            request, presented, websocket=self._websocket, sets_cookies=sets_cookies
        )
        if verdict is None:
            why = "no cookie of ours decides" if not presented.by_cookie else f"{shown(request.method)} changes nothing"
            self._add("origin_not_asked", f"Where the request comes from need not be asked: {why}.")
            return None
        sent: dict[str, Value] = {
            name: shown(b", ".join(values)) if values else "(absent)" for name, values in verdict.rests_on
        }
        values: dict[str, Value] = {"method": shown(request.method), "scheme": shown(request.scheme), **sent}
        because = _REASONS[verdict.reason] + "".join(f"; {name}: {value}" for name, value in sent.items())
        if isinstance(verdict, Allowed):
            sentence = f"The request may act with a cookie: {because}."
            self._add("origin_allowed", sentence, reason=verdict.reason, **values)
            return None
        assert isinstance(verdict, Denied)
        sentence = f"The request may not act with a cookie: {because}."
        place = self._add("origin_denied", sentence, reason=verdict.reason, **values)
        return self._decide(place, refusal_of(verdict).code)

    async def _who(self, presented: Presented) -> Principal | Refusal:
        self._has_looked = True
        outcome: Authenticated | Refusal = presented.flaw
        if presented.credential is not None:
            strict = self._route.strict or self._route.asks == "refresh"
            look = await self._gate.desk.witness.look(presented.credential, presented.transport, strict=strict)
            self._note(look)
            self._take(look.facts)
            outcome = look.outcome
        if self._gate.renewable(self._request, presented, outcome):
            return await self._renewed(presented, outcome)
        if isinstance(presented.refresh, bytes):
            await self._tell_of_refresh(presented)
        return outcome if isinstance(outcome, Refusal) else outcome.principal

    async def _recognise(self) -> None:
        """Something else decided before anybody asked who it is: then only that matters, to know who may see it."""
        presented = self._gate.reception.receive(self._request)
        witness = self._gate.desk.witness
        try:
            if presented.credential is not None:
                self._note(await witness.look(presented.credential, presented.transport))
            if isinstance(presented.refresh, bytes):
                look = await witness.look_at_refresh(presented.refresh, "cookie")
                self._note(look)
                _report_reuse(self._gate, self._request, look)
        except (StoreError, OverloadedError):
            self._is_holder = False  # a stranger, as far as can be said

    def _note(self, look: Look | RefreshLook) -> None:
        """One thing that may be stolen outweighs all that is not: else a session of one's own would open the facts
        about another's."""
        self._is_holder = self._is_holder or look.is_holder
        self._is_barred = self._is_barred or look.is_barred

    async def _look_at_refresh(self, presented: Presented) -> RefreshLook:
        assert isinstance(presented.refresh, bytes)
        self._has_looked = True
        look = await self._gate.desk.witness.look_at_refresh(
            presented.refresh, "cookie", name_bytes=len(presented.names.access)
        )
        self._note(look)
        _report_reuse(self._gate, self._request, look)
        for each in look.facts:
            known = self._place("generation") if each.code == "generation" else None
            if known is None:
                self._facts.append(each)
            else:
                self._facts[known] = each  # it says how the token stands to that, too
        return look

    async def _tell_of_refresh(self, presented: Presented) -> None:
        """Beside the decision: a store that cannot be asked for this changes nothing of it."""
        try:
            await self._look_at_refresh(presented)
        except (StoreError, OverloadedError):
            self._add("refresh_foreseen", "The refresh token was not judged: the store could not be asked.")

    async def _renewed(self, presented: Presented, outcome: Authenticated | Refusal) -> Principal | Refusal:
        """As the gate's `_renew` would have it."""
        look = await self._look_at_refresh(presented)
        if look.refusal is not None:
            self._cause = self._place("refresh_foreseen")
            return look.refusal
        assert isinstance(look.outcome, Decision)
        assert isinstance(outcome, Refusal)
        session = look.outcome.session
        if session.transport != "cookie":
            sentence = (
                "The navigation would rotate the refresh token and not be signed in by it: it is a bearer client's."
            )
            self._add("renewed_on_the_way_in", sentence)
            return outcome
        sentence = "A page navigation with a good refresh cookie: it is renewed in the same response."
        self._add("renewed_on_the_way_in", sentence)
        return principal_of(session)

    # --- what the route asks ----------------------------------------------------------------------------------

    def _by_route(self, result: Principal | Refusal) -> str:
        route = self._route
        if route.protected:
            self._add("policy_protected", "The desk protects this path: it turns nobody's requests away itself.")
            if isinstance(result, Refusal):
                return self._refused(result)
        if route.refusal == "not_found":
            return self._decide(self._add("route_missing", "No route takes this path."), "not_found")
        if route.refusal == "method_not_allowed":
            sentence = "A route takes this path, and not this method."
            return self._decide(self._add("route_method", sentence), "method_not_allowed")
        if route.asks in {"nothing", "optional"}:
            return self._by_open_route(result)
        unknown = route.asks == "unknown"
        place = self._add("policy_unknown" if unknown else "policy_signed_in", _UNKNOWN if unknown else _SIGNED_IN)
        if isinstance(result, Refusal):
            self._demands(route.rules, None)
            return self._refused(result)
        return self._by_rules(result, place)

    def _by_open_route(self, result: Principal | Refusal) -> str:
        asks_the_store = self._route.asks == "optional" and isinstance(result, Refusal) and result.status >= 500
        place = self._add("policy_open", "The route takes requests that nobody signed, too.")
        if asks_the_store and isinstance(result, Refusal):
            return self._refused(result)
        return self._decide(place, ALLOWED)

    def _by_rules(self, principal: Principal, place: int) -> str:
        for rule in self._route.rules:
            places = self._demands((rule,), principal)
            refusal = rule.refusal(principal, self._gate.desk.clock)
            if refusal is not None:
                return self._decide(places[refusal.code], refusal.code)
        return self._decide(place, ALLOWED)

    def _demands(self, rules: tuple[Requirement, ...], principal: Principal | None) -> dict[str, int]:
        """Tell what rules ask, and what the principal lacks of it; the places by the code of the refusal."""
        places: dict[str, int] = {}
        for rule in rules:
            if rule.roles:
                lacks = () if principal is None else tuple(sorted(rule.roles - principal.roles))
                sentence = f"The route asks for the roles {_listed(rule.roles)}{_lacking(lacks)}."
                required = tuple(sorted(rule.roles))
                places["role_missing"] = self._add("policy_roles", sentence, required=required, missing=lacks)
            if rule.scope:
                lacks = () if principal is None else tuple(sorted(rule.scope - principal.scope))
                sentence = f"The route asks for the scope {_listed(rule.scope)}{_lacking(lacks)}."
                required = tuple(sorted(rule.scope))
                places["scope_missing"] = self._add("policy_scope", sentence, required=required, missing=lacks)
            if rule.fresh is not None:
                places["step_up_required"] = self._fresh(int(rule.fresh.total_seconds()), principal)
        return places

    def _fresh(self, most: int, principal: Principal | None) -> int:
        sentence = f"The route asks for a sign-in of the last {most} s"
        if principal is None:
            return self._add("policy_fresh", f"{sentence}.", max_age=most)
        age = int((self._gate.desk.clock.now() - principal.auth_time).total_seconds())
        return self._add("policy_fresh", f"{sentence}; this one was {age} s ago.", max_age=most, age=age)

    # --- the two endpoints that take other credentials --------------------------------------------------------

    async def _of_refresh(self, presented: Presented) -> str:
        """As `POST /auth/refresh` without a body: a token in the body is not seen here."""
        sentence = (
            "The route takes a refresh token from its cookie, or a session token; one in the body is not seen here."
        )
        if isinstance(presented.refresh, bytes):
            look = await self._look_at_refresh(presented)
            place = self._place("refresh_foreseen")
            self._add("policy_signed_in", sentence)
            return self._decide(place, ALLOWED if look.refusal is None else look.refusal.code)
        if isinstance(presented.refresh, Flaw):
            self._cause = self._flawed(presented.names.refresh)
            return self._decide(self._cause, presented.refresh.value)
        result = await self._who(presented)
        place = self._add("policy_signed_in", sentence)
        if isinstance(result, Refusal):
            return self._refused(result)
        if result.credential != "session":
            place = self._add("credential_misplaced", "A refresh takes a refresh token, or a session token.")
            return self._decide(place, "credential_invalid")
        return self._decide(place, ALLOWED)

    async def _of_sign_out(self, presented: Presented) -> str:
        """As `POST /auth/logout`: any authentic token names the session that ends, an expired or ended one, too."""
        place = self._add("policy_signed_in", "The route takes any authentic token of the session that is to end.")
        refusal: Refusal = presented.flaw
        tokens = [] if presented.credential is None else [(presented.credential, presented.transport)]
        if isinstance(presented.refresh, bytes):
            tokens.append((presented.refresh, "cookie"))
        for token, transport in tokens:
            found = await self._gate.desk.identify(token, transport)
            if isinstance(found, Session) or found.code == "session_ended":
                return self._decide(place, ALLOWED)
            refusal = found
        return self._refused(refusal)


def _report_reuse(gate: Gate, request: Request, look: RefreshLook) -> None:
    if not (isinstance(look.outcome, Decision) and look.outcome.is_reuse):
        return
    session = look.outcome.session
    gate.desk.audit(
        SpentTokenExplained(
            at=gate.desk.clock.now(),
            realm=gate.desk.settings.realm,
            address=gate.settings.address_of(request),
            session_id=session.id,
            subject=session.subject,
        )
    )


def _listed(names: frozenset[str]) -> str:
    return ", ".join(map(shown, sorted(names)))


def _lacking(names: tuple[str, ...]) -> str:
    return f"; lacking: {', '.join(map(shown, names))}" if names else ""
