"""Sign-in, sign-out and changes of rights on behalf of applications that have users of their own."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping
from typing import Any, TypeVar, get_args

from frontdesk.adapters.arrival import SCOPE_KEY, Arrival, Signed, SignedOut
from frontdesk.adapters.front import Front
from frontdesk.adapters.messages import Scope, request_of
from frontdesk.core.envelope import Presented
from frontdesk.core.sessions import CredentialKind, RefreshEnvelope, Transport
from frontdesk.endpoints import api
from frontdesk.endpoints.carriers import signed_body, signed_cookies
from frontdesk.endpoints.gate import unavailable
from frontdesk.endpoints.http import Request
from frontdesk.errors import OverloadedError, Refusal, RefusedError, StoreError
from frontdesk.service.sign_in import Grant, SignInOptions
from frontdesk.service.sign_in import Signed as SignedIn

T = TypeVar("T")


async def sign_in(front: Front, scope: Scope, grant: Grant, options: SignInOptions) -> Signed:
    """`Frontdesk.sign_in`."""
    _check(options)
    arrival = _nearest(scope)
    request, presented = _receive(front, arrival, scope, sets_cookies=True)
    outcome = await _answered(front, arrival, _sign_in(front, request, presented, grant, options))
    _signed(front, arrival)
    came = api.cookies_that_came(request, presented)
    cookies = signed_cookies(outcome, presented.names, front.desk.clock.now(), came=came)
    return Signed(outcome.session.subject, outcome.session.id, signed_body(outcome), cookies)


async def sign_out(front: Front, scope: Scope) -> SignedOut:
    """`Frontdesk.sign_out`."""
    arrival = _nearest(scope)
    request, presented = _receive(front, arrival, scope, sets_cookies=False)
    cookies = await _answered(front, arrival, api.end_what_came(front.gate, request, presented))
    _signed(front, arrival)
    return SignedOut(cookies)


async def update(
    front: Front,
    subject: str,
    *,
    roles: Iterable[str] | None,
    scope: Iterable[str] | None,
    claims: Mapping[str, Any] | None,
) -> int:
    """`Frontdesk.update`."""
    await front.open()
    return await _answered(
        front,
        None,
        front.desk.update(
            subject,
            roles=None if roles is None else tuple(roles),
            scope=None if scope is None else tuple(scope),
            claims=claims,
        ),
    )


async def _sign_in(
    front: Front, request: Request, presented: Presented, grant: Grant, options: SignInOptions
) -> SignedIn | Refusal:
    return await front.desk.sign_in(
        grant,
        options=options,
        origin=api.origin_of(front.gate, request),
        replaces=await api.sessions_that_came(front.gate, request, presented),
        name_bytes=len(presented.names.access),
    )


def _nearest(scope: Scope) -> Arrival | None:
    """The arrival at the desk that stands nearest to the application; it may be another desk's."""
    arrival = scope.get(SCOPE_KEY)
    return arrival if isinstance(arrival, Arrival) else None


def _signed(front: Front, arrival: Arrival | None) -> None:
    if arrival is None:
        return
    arrival.no_store = True
    if arrival.door is front:
        arrival.cookies = None  # a renewal on the way in was of the session that has just ended


def _receive(front: Front, arrival: Arrival | None, scope: Scope, *, sets_cookies: bool) -> tuple[Request, Presented]:
    # The arrival's, since a mounted application sees another root path.
    request = arrival.request if arrival is not None else request_of(scope)
    presented = front.gate.receive(request, websocket=scope["type"] == "websocket", sets_cookies=sets_cookies)
    if isinstance(presented, Refusal):
        raise _refused(front, arrival, presented)
    return request, presented


async def _answered(front: Front, arrival: Arrival | None, outcome: Awaitable[T | Refusal]) -> T:
    try:
        result = await outcome
    except (StoreError, OverloadedError) as error:
        raise _refused(front, arrival, unavailable(error)) from error
    if isinstance(result, Refusal):
        raise _refused(front, arrival, result)
    return result


def _refused(front: Front, arrival: Arrival | None, refusal: Refusal) -> RefusedError:
    # Whoever stands nearest turns what becomes of the exception into a problem document.
    return front.refused(refusal) if arrival is None else arrival.refuse(refusal)


def _check(options: SignInOptions) -> None:
    for name, value, known in (
        ("credential", options.credential, CredentialKind),
        ("transport", options.transport, Transport),
        ("refresh_in", options.refresh_in, RefreshEnvelope),
    ):
        if value is not None and value not in get_args(known):
            raise ValueError(f"{name} is one of {get_args(known)}, not {value!r}")
