"""Home, the dashboard with the list of devices, and signing out: here, elsewhere, everywhere else."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from urllib.parse import quote

import msgspec

from frontdesk.core.sessions import Session, Transport
from frontdesk.endpoints.carriers import deleted_cookies
from frontdesk.endpoints.gate import Gate, Visit, session_of
from frontdesk.endpoints.http import Request, Response
from frontdesk.errors import CODES, Refusal
from frontdesk.pages import wording
from frontdesk.pages.forms import query_value, read_form
from frontdesk.pages.rendering import Renderer, accepts_html, at
from frontdesk.pages.visitors import actor, carry, label_of

_LONGEST_ID: Final = 64
_COOKIE: Final[Transport] = "cookie"


class DeviceRow(msgspec.Struct, frozen=True, kw_only=True):
    """One session in the list of devices. Its token is nowhere near."""

    id: str
    name: str
    kind: str
    current: bool
    credential: str
    transport: str
    address: str
    created_at: datetime
    last_seen_at: datetime
    last_seen: str


async def home(gate: Gate, render: Renderer, request: Request) -> Response:
    """What this is, and who you are if anybody: 200 for everybody."""
    visit = await gate.admit(request)
    if isinstance(visit, Refusal):
        return render.problem(request, visit)
    said = wording.done(query_value(request, "done"))
    if not said and isinstance(visit.result, Refusal):
        said = wording.notice(visit.result)
    who = await label_of(gate, visit)
    return carry(render.page(request, "home.html", who=who, notice=said, principal=visit.principal), visit)


async def show(gate: Gate, render: Renderer, request: Request) -> Response:
    """Who you are, by which credential, and where else you are signed in."""
    visit = await gate.admit(request, strict=True)
    if isinstance(visit, Refusal):
        return render.problem(request, visit)
    if isinstance(visit.result, Refusal):
        return carry(_stranger(gate, render, request, visit.result), visit)
    session, now = session_of(visit.result), gate.desk.clock.now()
    devices = await gate.desk.sessions(session.subject)
    page = render.page(
        request,
        "dashboard.html",
        who=await label_of(gate, visit),
        notice=wording.done(query_value(request, "done")),
        session=session,
        device=wording.device_name(session.device),
        since=wording.ago(session.auth_time, now),
        expires=wording.ahead(session.expires_at, now),
        devices=[_row(device, session.id, now) for device in devices],
    )
    return carry(page, visit)


async def sign_out(gate: Gate, render: Renderer, request: Request) -> Response:
    """End the session of every credential that came along, an expired access token included; delete the cookies.

    A fault of the store is 503 and deletes nothing: nobody is told that they are signed out when they are not.
    """
    presented = gate.receive(request, sets_cookies=True)
    if isinstance(presented, Refusal):
        return render.problem(request, presented)
    form = read_form(request)
    if isinstance(form, Refusal):
        return render.problem(request, form)
    tokens = [(presented.refresh, _COOKIE)] if isinstance(presented.refresh, bytes) else []
    if presented.credential is not None:
        tokens.insert(0, (presented.credential, presented.transport))
    for token, transport in tokens:
        await gate.desk.sign_out(token, transport, address=gate.settings.address_of(request))
    return render.redirect(request, at(request, "/?done=signed-out"), cookies=deleted_cookies(presented.names))


async def end_device(gate: Gate, render: Renderer, request: Request) -> Response:
    """End one of the visitor's own sessions."""
    visit = await _owner(gate, render, request)
    if isinstance(visit, Response):
        return visit
    assert visit.principal is not None
    session_id = request.path.split("/")[-2]
    if session_id == visit.principal.session_id:
        return await sign_out(gate, render, request)
    mine = len(session_id) <= _LONGEST_ID and await gate.desk.end(
        session_id, reason="revoked", subject=visit.principal.subject, address=gate.settings.address_of(request)
    )
    done = "device-ended" if mine else "device-gone"
    return carry(render.redirect(request, at(request, f"/dashboard?done={done}")), visit)


async def end_others(gate: Gate, render: Renderer, request: Request) -> Response:
    """End every session of the visitor but this one."""
    visit = await _owner(gate, render, request)
    if isinstance(visit, Response):
        return visit
    assert visit.principal is not None
    await gate.desk.end_all(
        visit.principal.subject, keep=visit.principal.session_id, address=gate.settings.address_of(request)
    )
    return carry(render.redirect(request, at(request, "/dashboard?done=others-ended")), visit)


async def _owner(gate: Gate, render: Renderer, request: Request) -> Visit | Response:
    """The visitor who pressed a button, or the answer to somebody who may not."""
    visit = await actor(gate, request)
    if isinstance(visit, Refusal):
        return render.problem(request, visit)
    form = read_form(request)
    if isinstance(form, Refusal):
        return carry(render.problem(request, form), visit)
    if isinstance(visit.result, Refusal):
        return carry(_stranger(gate, render, request, visit.result), visit)
    return visit


def _stranger(gate: Gate, render: Renderer, request: Request, refusal: Refusal) -> Response:
    """To the sign-in page and from there back, unless nobody can be signed in at the moment, or never here.

    A client that does not ask for HTML has no use for a page to sign in at: it is told why.
    """
    if CODES[refusal.code].status != 401 or not gate.settings.accounts or not accepts_html(request):
        return render.problem(request, refusal)
    wanted = at(request, "/dashboard")
    return render.redirect(request, f"{at(request, '/signin')}?next={quote(wanted, safe='/')}")


def _row(session: Session, current: str, now: datetime) -> DeviceRow:
    name, kind = wording.device_name(session.device)
    return DeviceRow(
        id=session.id,
        name=name,
        kind=kind,
        current=session.id == current,
        credential=session.credential,
        transport=session.transport,
        address=session.address,
        created_at=session.created_at,
        last_seen_at=session.last_seen_at,
        last_seen=wording.ago(session.last_seen_at, now),
    )
