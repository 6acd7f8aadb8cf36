"""Why a request passes or fails: the gate's own steps, asked to judge and to change nothing, each told as a fact.

host → what came along → where it came from → who it is → what the route asks. Each step calls what decides requests
(`Reception`, `Witness` over `Authenticator` and `Refresher`, `Requirement`); a test holds the verdicts against the
answers of the routes. Nobody's cookie is renewed, no use is recorded. One event is told: who asks about a spent refresh
token instead of presenting it must not learn in silence what presenting it would have given away.
"""

from __future__ import annotations

import logging
from typing import Final, NamedTuple

import msgspec

from frontdesk.core.cookie_facts import cookie_facts
from frontdesk.core.cookies import Flaw
from frontdesk.core.envelope import Presented, bearer_fault
from frontdesk.core.events import SpentTokenExplained
from frontdesk.core.explanation import ALLOWED, Explanation, Fact, Value, shown
from frontdesk.core.origin import Denied
from frontdesk.core.origin_facts import origin_fact
from frontdesk.core.rotation import Decision
from frontdesk.core.services import ServiceScope
from frontdesk.core.sessions import Principal, RefreshEnvelope, Session, principal_of
from frontdesk.endpoints.api import tokens_of
from frontdesk.endpoints.content import TOO_LARGE, UNKNOWN, Content, content_of, own_session
from frontdesk.endpoints.demands import demands_of
from frontdesk.endpoints.gate import Gate, unavailable
from frontdesk.endpoints.http import Request
from frontdesk.endpoints.policy import Requirement, RoutePolicy
from frontdesk.endpoints.reception import refusal_of
from frontdesk.errors import OverloadedError, Refusal, StoreError
from frontdesk.service.authenticate import Authenticated
from frontdesk.service.explaining import Look, RefreshLook

_logger = logging.getLogger("frontdesk")

STORE_FAILED: Final = "The store could not be asked, so nothing is granted."
_SIGNED_IN: Final = "The route asks for somebody who is signed in."
_UNKNOWN: Final = (
    "What the route asks is not known here; the verdict is that of a route which asks for somebody who is signed in."
)


class Told(NamedTuple):
    """An explanation, and whether whoever sent the request may see its facts."""

    explanation: Explanation
    is_holder: bool


async def explain_request(
    gate: Gate,
    request: Request,
    route: RoutePolicy,
    *,
    websocket: bool = False,
    has_body: bool = False,
    sees_all: bool = False,
) -> Told:
    """Why `request` passes or fails before a route with this policy. Never raises for a fault of the store, or of ours.

    has_body: its body is known. sees_all: whoever asks may see what the store knows of accounts.
    """
    inquiry = _Inquiry(gate, request, route, websocket=websocket, has_body=has_body, sees_all=sees_all)
    return await inquiry.told()


class _Inquiry:
    """One request that is explained."""

    def __init__(
        self, gate: Gate, request: Request, route: RoutePolicy, *, websocket: bool, has_body: bool, sees_all: bool
    ) -> None:
        self._gate = gate
        self._request = request
        self._route = route
        self._websocket = websocket
        self._has_body = has_body
        self._sees_all = sees_all
        self._sent_refresh_token: bytes | None = None  # that of the body
        self._facts: list[Fact] = []
        self._cause: int | None = None
        """The place of the fact that nobody's being signed in rests on."""
        self._is_holder = False
        self._is_barred = False
        self._has_looked = False

    async def told(self) -> Told:
        try:
            code = await self._code()
        except Exception as error:
            # As the API answers 500 to it, and applications do; a defect here must not look like a yes.
            _logger.exception("a request cannot be judged: %s", self._request.method)
            sentence = f"Judging it met a fault that nobody foresaw, {type(error).__name__}; the log has more."
            code = self._decide(self._add("fault_met", sentence), "internal_error")
        if not self._has_looked and code not in {"host_unknown", "internal_error"}:
            await self._recognise()
        explanation = Explanation(code=code, facts=tuple(self._facts))
        return Told(explanation, self._is_holder and not self._is_barred)

    async def _code(self) -> str:
        gate, request = self._gate, self._request
        if self._route.limited and request.is_overlong:
            return self._decide(self._found(TOO_LARGE), "body_too_large")
        if not self._route.gated:
            return self._by_route(Refusal("not_signed_in"))
        if gate.settings.hosts and not self._host_is_served():
            return self._decide(0, "host_unknown")
        if self._route.service is not None:
            return await self._of_service(self._route.service)
        presented = gate.reception.receive(request)
        self._came(presented)
        if presented.flaw.code == "headers_too_large":
            return self._refused(presented.flaw)
        refused = self._origin(presented) or await self._of_content(len(presented.names.access))
        if refused is not None:
            return refused
        try:
            if self._route.asks == "refresh":
                return await self._of_refresh(presented)
            result = await self._who(presented)
            if self._route.asks == "sign_out":
                return await self._of_sign_out(presented)
            if self._route.own_session and isinstance(result, Principal):
                return await self._of_own_session(result)
        except (StoreError, OverloadedError) as error:
            result = unavailable(error)
            self._cause = self._add("store_failed", STORE_FAILED)
        return self._by_route(result)

    # --- telling ----------------------------------------------------------------------------------------------

    def _add(self, code: str, sentence: str, **values: Value) -> int:
        return self._found(Fact(code=code, sentence=sentence, values=values))

    def _found(self, fact: Fact) -> int:
        self._facts.append(fact)
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

    def _place(self, code: str, **values: Value) -> int | None:
        """Where a fact with this code and these values stands."""
        found = (
            place
            for place, each in enumerate(self._facts)
            if each.code == code and values.items() <= dict(each.values).items()
        )
        return next(found, None)

    # --- the steps --------------------------------------------------------------------------------------------

    def _host_is_served(self) -> bool:
        host = self._request.header(b"host")
        named = "absent, or sent twice" if host is None else shown(host)
        if self._gate.settings.serves(host):
            self._add("host_served", f"The Host header names a host that is served: {named}.", host=named)
            return True
        self._add("host_not_served", f"The Host header names no host that is served: {named}.", host=named)
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
        return await self._of_content() or self._decide(place, ALLOWED)

    def _came(self, presented: Presented) -> None:
        headers = self._request.headers
        cookies = [value for name, value in headers if name == b"cookie"]
        if presented.transport == "bearer":
            self._add(
                "authorization_decides", "An Authorization header came: it decides, and cookies are not looked at."
            )
            if presented.credential is None and presented.flaw.code == "credential_malformed":
                fault = bearer_fault([value for name, value in headers if name == b"authorization"])
                self._cause = self._add("authorization_malformed", f"It is no bearer credential: {fault}.")
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
            place = self._place(code, name=shown(chosen))
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
        place = self._found(origin_fact(verdict, request.method, request.scheme))
        return self._decide(place, refusal_of(verdict).code) if isinstance(verdict, Denied) else None

    async def _of_content(self, name_bytes: int = 0) -> str | None:
        """The code that what was sent is refused with; None where it is not, or not known."""
        shape = self._route.body
        if shape is None:
            return None
        if not self._has_body:
            self._found(UNKNOWN)
            return None
        try:
            content = await content_of(self._gate, self._request, shape, sees_all=self._sees_all, name_bytes=name_bytes)
        except (StoreError, OverloadedError) as error:
            return self._decide(self._add("store_failed", STORE_FAILED), unavailable(error).code)
        self._sent_refresh_token = content.refresh_token
        return self._judged(content)

    def _judged(self, content: Content) -> str | None:
        self._facts += content.facts
        return None if content.refusal is None else self._decide(len(self._facts) - 1, content.refusal.code)

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
            await self._tell_of_refresh(presented, presented.refresh, "cookie")
        return outcome if isinstance(outcome, Refusal) else outcome.principal

    async def _recognise(self) -> None:
        """Something else decided before anybody asked who it is: then only that matters, to know who may see it."""
        presented = self._gate.reception.receive(self._request)
        try:
            if presented.credential is not None:
                self._note(await self._gate.desk.witness.look(presented.credential, presented.transport))
            if isinstance(presented.refresh, bytes):
                await self._judge_refresh(presented, presented.refresh, "cookie")
            if self._sent_refresh_token is not None:
                await self._judge_refresh(presented, self._sent_refresh_token, "body")
        except (StoreError, OverloadedError):
            self._is_holder = False  # a stranger, as far as can be said

    def _note(self, look: Look | RefreshLook) -> None:
        """One thing that may be stolen outweighs all that is not: else a session of one's own would open the facts
        about another's."""
        self._is_holder = self._is_holder or look.is_holder
        self._is_barred = self._is_barred or look.is_barred

    async def _look_at_refresh(self, presented: Presented, token: bytes, envelope: RefreshEnvelope) -> RefreshLook:
        self._has_looked = True
        look = await self._judge_refresh(presented, token, envelope)
        for each in look.facts:
            # Of the same session it says how the token stands to the newest, too.
            known = self._place("generation", session=each.values["session"]) if each.code == "generation" else None
            if known is None:
                self._facts.append(each)
            else:
                self._facts[known] = each
        return look

    async def _judge_refresh(self, presented: Presented, token: bytes, envelope: RefreshEnvelope) -> RefreshLook:
        name_bytes = len(presented.names.access)
        look = await self._gate.desk.witness.look_at_refresh(token, envelope, name_bytes=name_bytes)
        self._note(look)
        _report_reuse(self._gate, self._request, look)
        return look

    async def _tell_of_refresh(self, presented: Presented, token: bytes, envelope: RefreshEnvelope) -> None:
        """Beside the decision: a store that cannot be asked for this changes nothing of it."""
        try:
            await self._look_at_refresh(presented, token, envelope)
        except (StoreError, OverloadedError):
            self._add("refresh_foreseen", "The refresh token was not judged: the store could not be asked.")

    async def _renewed(self, presented: Presented, outcome: Authenticated | Refusal) -> Principal | Refusal:
        """As the gate's `_renew` would have it."""
        assert isinstance(presented.refresh, bytes)
        look = await self._look_at_refresh(presented, presented.refresh, "cookie")
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
        now = self._gate.desk.clock.now()
        return {code: self._found(each) for rule in rules for code, each in demands_of(rule, principal, now)}

    # --- endpoints that take other credentials, or name a session -----------------------------------------------

    async def _of_own_session(self, principal: Principal) -> str:
        """As `DELETE /auth/sessions/{id}`."""
        place = self._add("policy_signed_in", _SIGNED_IN)
        refused = self._judged(await own_session(self._gate, self._request.path.rpartition("/")[2], principal.subject))
        return refused or self._decide(place, ALLOWED)

    async def _of_refresh(self, presented: Presented) -> str:
        """As `POST /auth/refresh`."""
        sentence = "The route takes a refresh token from its cookie or from the body, or a session token."
        sent = self._sent_refresh_token
        if sent is not None and presented.refresh is not None:
            place = self._add("refresh_token_twice", "A refresh token came both in its cookie and in the body.")
            return self._decide(place, "credentials_ambiguous")
        token = presented.refresh if sent is None else sent
        if isinstance(token, bytes):
            look = await self._look_at_refresh(presented, token, "cookie" if sent is None else "body")
            foreseen = self._place("refresh_foreseen")
            self._add("policy_signed_in", sentence)
            return self._decide(foreseen, ALLOWED if look.refusal is None else look.refusal.code)
        if isinstance(token, Flaw):
            self._cause = self._flawed(presented.names.refresh)
            return self._decide(self._cause, token.value)
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
        sent = self._sent_refresh_token
        if sent is not None:
            self._cause = len(self._facts)  # it is the last to be asked, so the refusal is its own
            await self._tell_of_refresh(presented, sent, "body")
        place = self._add("policy_signed_in", "The route takes any authentic token of the session that is to end.")
        refusal: Refusal = presented.flaw
        for token, transport in tokens_of(presented, sent):
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
