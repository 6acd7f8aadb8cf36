"""The HTTP API: one function per route. `routes` declares where each is mounted."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, get_args

import msgspec

from frontdesk.core.cookies import CookieChanges, Flaw, read
from frontdesk.core.credentials import is_id
from frontdesk.core.envelope import Presented, present
from frontdesk.core.sessions import CredentialKind, Principal, RefreshEnvelope, Session, Transport
from frontdesk.endpoints import bodies
from frontdesk.endpoints.carriers import (
    refreshed_body,
    refreshed_cookies,
    signed_body,
    signed_cookies,
)
from frontdesk.endpoints.gate import Gate, session_of, unavailable
from frontdesk.endpoints.http import (
    NOSNIFF,
    Request,
    Response,
    empty_response,
    has_seen,
    json_response,
    members,
    problem,
)
from frontdesk.errors import OverloadedError, Refusal, StoreError
from frontdesk.service.sign_in import Origin, SignInOptions

_NOT_SIGNED_IN: Final = Refusal("not_signed_in")
_AMBIGUOUS: Final = Refusal("credentials_ambiguous")
_NOT_A_REFRESH_TOKEN: Final = Refusal("credential_invalid", "A refresh takes a refresh token, or a session token.")


async def register(gate: Gate, request: Request) -> Response:
    """Create an account. Signs nobody in."""
    presented = gate.receive(request, sets_cookies=True)
    if isinstance(presented, Refusal):
        return problem(presented)
    body = bodies.read_json(request, bodies.RegisterBody)
    if isinstance(body, Refusal):
        return problem(body)
    account = await gate.desk.accounts.register(body.email, body.password, origin=origin_of(gate, request))
    if isinstance(account, Refusal):
        return problem(account)
    return json_response(201, bodies.Registered(account.id))


async def login(gate: Gate, request: Request) -> Response:
    """Sign in with address and password; the session whose cookie came along ends."""
    presented = gate.receive(request, sets_cookies=True)
    if isinstance(presented, Refusal):
        return problem(presented)
    body = bodies.read_json(request, bodies.LoginBody)
    if isinstance(body, Refusal):
        return problem(body)
    options = options_of(body)
    if isinstance(options, Refusal):
        return problem(options)
    signed = await gate.desk.accounts.sign_in(
        body.email,
        body.password,
        options=options,
        origin=origin_of(gate, request),
        replaces=await sessions_that_came(gate, request, presented),
        name_bytes=len(presented.names.access),
    )
    if isinstance(signed, Refusal):
        return problem(signed)
    cookies = signed_cookies(signed, presented.names, gate.desk.clock.now(), came=cookies_that_came(request, presented))
    return json_response(200, signed_body(signed), cookies=cookies)


async def refresh(gate: Gate, request: Request) -> Response:
    """Present a refresh token, from its cookie or from the body. With a session token: 200, extends nothing."""
    presented = gate.receive(request, sets_cookies=True)
    if isinstance(presented, Refusal):
        return problem(presented)
    body = bodies.read_json(request, bodies.RefreshBody)
    if isinstance(body, Refusal):
        return problem(body)
    if body.refresh_token is not None:
        if presented.refresh is not None:
            return problem(_AMBIGUOUS)
        return await _refresh(gate, request, presented, body.refresh_token.encode(), "body")
    if isinstance(presented.refresh, bytes):
        return await _refresh(gate, request, presented, presented.refresh, "cookie")
    if presented.refresh is not None:
        return problem(Refusal(presented.refresh.value))
    return await _confirm_session(gate, presented)


async def _refresh(
    gate: Gate, request: Request, presented: Presented, token: bytes, envelope: RefreshEnvelope
) -> Response:
    outcome = await gate.desk.refresh(
        token, envelope, address=gate.settings.address_of(request), name_bytes=len(presented.names.access)
    )
    if isinstance(outcome, Refusal):
        # No cookie is deleted: the refusal may be older than a sign-in that another tab has just made.
        return problem(outcome)
    now = gate.desk.clock.now()
    return json_response(200, refreshed_body(outcome), cookies=refreshed_cookies(outcome, presented.names, now))


async def _confirm_session(gate: Gate, presented: Presented) -> Response:
    if presented.credential is None:
        return problem(presented.flaw)
    result = await gate.desk.authenticate(presented.credential, presented.transport, strict=True)
    if isinstance(result, Refusal):
        return problem(result)
    if result.principal.credential != "session":
        return problem(_NOT_A_REFRESH_TOKEN)
    return json_response(200, members(subject=result.principal.subject, session=result.principal.session_id))


async def logout(gate: Gate, request: Request) -> Response:
    """End this session, named by any authentic token of it, an expired access token included."""
    presented = gate.receive(request)
    if isinstance(presented, Refusal):
        return problem(presented)
    body = bodies.read_json(request, bodies.RefreshBody)
    if isinstance(body, Refusal):
        return problem(body)
    outcome = await end_what_came(gate, request, presented, body.refresh_token)
    return problem(outcome) if isinstance(outcome, Refusal) else empty_response(cookies=outcome)


async def end_what_came(
    gate: Gate, request: Request, presented: Presented, refresh_token: str | None = None
) -> CookieChanges | Refusal:
    """End the session of every authentic token that came along, and say which cookies go.

    Usually they name one session. A browser that signed in twice may hold tokens of two: it wants to be signed out of
    both. A refusal when nothing authentic came.
    """
    refusal: Refusal = presented.flaw
    ended: list[Session] = []
    forgotten = False
    for token, transport in tokens_of(presented, None if refresh_token is None else refresh_token.encode()):
        session = await gate.desk.sign_out(token, transport, address=gate.settings.address_of(request))
        if not isinstance(session, Refusal):
            ended.append(session)
        elif session.code == "session_ended":
            forgotten = True  # its row is gone; the signature says that it was ours
        else:
            refusal = session
    return _cookies_to_delete(request, presented, ended) if ended or forgotten else refusal


def tokens_of(presented: Presented, refresh_token: bytes | None) -> list[tuple[bytes, Transport]]:
    """What may name the session, in the order in which it is believed."""
    tokens: list[tuple[bytes, Transport]] = []
    if presented.credential is not None:
        tokens.append((presented.credential, presented.transport))
    if isinstance(presented.refresh, bytes):
        tokens.append((presented.refresh, "cookie"))
    if refresh_token is not None:
        tokens.append((refresh_token, "bearer"))
    return tokens


def _cookies_to_delete(request: Request, presented: Presented, ended: Sequence[Session]) -> CookieChanges:
    """Of our cookies that came: all when one of them decided; beside an `Authorization` the ended session's own."""
    names = presented.names
    own = presented.by_cookie or any(session.refresh_in == "cookie" for session in ended)
    changes = CookieChanges()
    for name in cookies_that_came(request, presented) if own else ():
        if presented.by_cookie or name == names.refresh:
            changes = changes.delete(name, names.attributes)
    return changes


async def me(gate: Gate, request: Request) -> Response:
    """The principal of the request."""
    visit = await gate.admit(request)
    if isinstance(visit, Refusal):
        return problem(visit)
    cookies = visit.cookies or CookieChanges()
    if isinstance(visit.result, Refusal):
        # A refresh token may have been rotated all the same: it must not be lost.
        return problem(visit.result, cookies=cookies)
    return json_response(200, _me(visit.result.principal), cookies=cookies)


async def list_sessions(gate: Gate, request: Request) -> Response:
    """My devices."""
    result = await _signed_in(gate, request)
    if isinstance(result, Response):
        return result
    sessions = await gate.desk.sessions(result.session.subject)
    devices = tuple(device_of(session, current=result.session.id) for session in sessions)
    return json_response(200, bodies.Devices(devices), cookies=result.cookies)


async def end_session(gate: Gate, request: Request) -> Response:
    """End one of my sessions."""
    result = await _signed_in(gate, request)
    if isinstance(result, Response):
        return result
    session_id = request.path.rpartition("/")[2]
    if not is_id(session_id):
        return problem(Refusal("session_not_found"))
    mine = await gate.desk.end(
        session_id, reason="revoked", subject=result.session.subject, address=gate.settings.address_of(request)
    )
    if not mine:
        return problem(Refusal("session_not_found"))
    if session_id != result.session.id:
        return empty_response()
    presented = present(request.headers, request.scheme, gate.naming)
    return empty_response(cookies=_cookies_to_delete(request, presented, [result.session]))


async def end_sessions(gate: Gate, request: Request) -> Response:
    """End my other sessions (`except=current`), or all of them."""
    result = await _signed_in(gate, request)
    if isinstance(result, Response):
        return result
    if request.query not in {"", "except=current"}:
        return problem(Refusal("body_invalid", "The only query that is understood is except=current."))
    keep = result.session.id if request.query else None
    ended = await gate.desk.end_all(result.session.subject, keep=keep, address=gate.settings.address_of(request))
    answer = json_response(200, bodies.SessionsEnded(ended))
    if keep is not None:
        return answer
    presented = present(request.headers, request.scheme, gate.naming)
    return answer.with_cookies(_cookies_to_delete(request, presented, [result.session]))


async def jwks(gate: Gate, request: Request) -> Response:
    """The public keys (RFC 7517): those that come, sign, or signed lately. 304 for who has them (RFC 9110 §13.1.2)."""
    await gate.desk.keys.catch_up()
    body = f'{{"keys":[{",".join(gate.desk.keys.public())}]}}'.encode()
    tag = b'"' + hashlib.sha256(body).hexdigest()[:32].encode() + b'"'
    caching = ((b"cache-control", b"public, max-age=900"), (b"etag", tag), NOSNIFF)
    if has_seen(request, tag):
        return Response(status=304, headers=caching)
    return Response(status=200, headers=((b"content-type", b"application/jwk-set+json"), *caching), body=body)


async def health(gate: Gate, request: Request) -> Response:  # noqa: ARG001 - every handler has this shape
    """Whether the store can be asked, and how far behind this node's picture of the revocations may be.

    503 when the store cannot be asked, and as long as there is no such picture.
    """
    desk = gate.desk
    try:
        await desk.store.check()
        if desk.follower is not None:
            await desk.follower.start()
        store = "reachable"
    except (StoreError, OverloadedError) as error:
        unavailable(error)
        store = "unreachable"
    lag = desk.lag
    ready = lag is not None and store == "reachable"
    told = {} if lag is None else {"lag": round(lag, 3)}
    return json_response(
        200 if ready else 503, bodies.Health(status="ok" if ready else "failing", store=store, ready=ready, **told)
    )


def origin_of(gate: Gate, request: Request) -> Origin:
    """Where the request comes from, for the list of devices and the audit log."""
    device = (request.header(b"user-agent") or b"").decode("latin-1")
    printable = "".join(char for char in device if char.isprintable())
    return Origin(address=gate.settings.address_of(request), device=printable)


async def sessions_that_came(gate: Gate, request: Request, presented: Presented) -> tuple[str, ...]:
    """The sessions whose cookies came along with a sign-in, as far as they are authentic: they will be replaced."""
    found = []
    for token in cookies_that_came(request, presented).values():
        session = await gate.desk.identify(token, "cookie") if isinstance(token, bytes) else None
        if isinstance(session, Session):
            found.append(session.id)
    return tuple(found)


def cookies_that_came(request: Request, presented: Presented) -> Mapping[bytes, bytes | Flaw]:
    """Our cookies of this request by name, also when `Authorization` decided and they were not looked at."""
    cookies = [value for name, value in request.headers if name == b"cookie"]
    return read(cookies, presented.names.protected).found


def device_of(session: Session, *, current: str) -> bodies.Device:
    """A session as its owner sees it."""
    return bodies.Device(
        id=session.id,
        current=session.id == current,
        credential=session.credential,
        transport=session.transport,
        created_at=session.created_at,
        last_seen_at=session.last_seen_at,
        expires_at=session.expires_at,
        device=session.device,
        address=session.address,
    )


class _SignedIn(NamedTuple):
    """Who asks, and the cookies that the answer must set: the API may be opened as a page, and is renewed like one."""

    session: Session
    cookies: CookieChanges


async def _signed_in(gate: Gate, request: Request) -> _SignedIn | Response:
    """Who asks, by the store as it is now, or the answer for nobody."""
    visit = await gate.admit(request, strict=True)
    if isinstance(visit, Refusal):
        return problem(visit)
    cookies = visit.cookies or CookieChanges()
    if isinstance(visit.result, Refusal):
        return problem(visit.result, cookies=cookies)  # as in `me`
    return _SignedIn(session_of(visit.result), cookies)


def options_of(body: bodies.LoginBody) -> SignInOptions | Refusal:
    """How a sign-in is to be carried."""
    known = body.credential in {None, *get_args(CredentialKind)} and body.transport in {None, *get_args(Transport)}
    if not known:
        return Refusal("credential_not_allowed")
    return msgspec.convert(
        {
            "credential": body.credential,
            "transport": body.transport,
            "refresh_in": body.refresh_in,
            "remember": body.remember,
        },
        SignInOptions,
    )


def _me(principal: Principal) -> bodies.Me:
    return bodies.Me(
        subject=principal.subject,
        session_id=principal.session_id,
        auth_time=principal.auth_time,
        amr=principal.amr,
        scope=tuple(sorted(principal.scope)),
        roles=tuple(sorted(principal.roles)),
        claims=dict(principal.claims),
        credential=principal.credential,
        realm=principal.realm,
    )
