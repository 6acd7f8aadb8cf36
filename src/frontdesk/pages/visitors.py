"""Who visits a page, or presses one of its buttons."""

from __future__ import annotations

from frontdesk.endpoints.carriers import refreshed_cookies
from frontdesk.endpoints.gate import Gate, Visit, is_renewable
from frontdesk.endpoints.http import Request, Response
from frontdesk.errors import Refusal
from frontdesk.service.authenticate import Authenticated


def carry(response: Response, visit: Visit) -> Response:
    """The answer with the cookies that were renewed on the way in."""
    return response if visit.cookies is None else response.with_cookies(visit.cookies)


async def label_of(gate: Gate, visit: Visit) -> str | None:
    """What to call the visitor: the address of the account, or the subject where the application owns its users."""
    principal = visit.principal
    if principal is None:
        return None
    account = await gate.desk.accounts.by_id(principal.subject)
    return principal.subject if account is None else account.email


async def actor(gate: Gate, request: Request) -> Visit | Refusal:
    """Who presses a button. The form must come from this origin.

    A page may stand open longer than an access token lives, so an expired one is renewed here as on a navigation; a
    POST of this origin may change state. Raises StoreError when the store cannot be asked.
    """
    presented = gate.receive(request, sets_cookies=True)
    if isinstance(presented, Refusal):
        return presented
    if presented.credential is None:
        result: Authenticated | Refusal = presented.flaw
    else:
        result = await gate.desk.authenticate(presented.credential, presented.transport, strict=True)
    visit = Visit(presented=presented, result=result)
    expired = is_renewable(result) and presented.transport == "cookie"
    if not expired or not isinstance(presented.refresh, bytes):
        return visit
    outcome = await gate.desk.refresh(presented.refresh, "cookie", address=gate.settings.address_of(request))
    if isinstance(outcome, Refusal):
        return Visit(presented=presented, result=outcome)
    cookies = refreshed_cookies(outcome, presented.names, gate.desk.clock.now())
    if outcome.session.transport != "cookie":
        # The refresh token of a bearer client: its rotation stands, but it signs no page in.
        return Visit(presented=presented, result=result, cookies=cookies)
    return Visit(presented=presented, result=Authenticated(outcome.principal, outcome.session), cookies=cookies)
