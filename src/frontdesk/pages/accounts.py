"""The pages on which somebody signs up or signs in. Every failure shows the form again: the address kept, the password
never."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from frontdesk.core.accounts import Account
from frontdesk.core.discretion import Discreet
from frontdesk.core.envelope import Presented
from frontdesk.core.redirects import safe_next
from frontdesk.core.sessions import CredentialKind
from frontdesk.endpoints.api import cookies_that_came, origin_of, sessions_that_came
from frontdesk.endpoints.carriers import signed_cookies
from frontdesk.endpoints.gate import Gate, unavailable
from frontdesk.endpoints.http import Header, Request, Response, problem_headers
from frontdesk.errors import OverloadedError, Refusal, StoreError
from frontdesk.pages import wording
from frontdesk.pages.forms import query_value, read_form
from frontdesk.pages.rendering import Renderer, at
from frontdesk.pages.visitors import carry, label_of
from frontdesk.service.sign_in import Grant, Signed, SignInOptions

_LONGEST_SHOWN: Final = 320  # an address has at most 254 characters; what is longer is not worth sending back
_CREATED: Final = "Your account has been created, but signing you in did not work just then. Please sign in."


class Filled(msgspec.Struct, frozen=True, kw_only=True):
    """What the forms hold when they are shown: never a password."""

    email: str = ""
    next: str = ""
    remember: bool = True
    credential: str = ""


class Sent(Discreet, msgspec.Struct, frozen=True, kw_only=True):
    """What a form of this origin sent, and what came along with it."""

    presented: Presented
    filled: Filled
    password: str


class Mistake(msgspec.Struct, frozen=True, kw_only=True):
    """Why a form came back. `field` is the one to mend, "" when it is none of them."""

    status: int
    sentence: str
    code: str = ""
    field: str = ""
    headers: tuple[Header, ...] = ()


async def show_sign_up(gate: Gate, render: Renderer, request: Request) -> Response:
    """The form to create an account."""
    return await _show(gate, render, request, "signup.html")


async def show_sign_in(gate: Gate, render: Renderer, request: Request) -> Response:
    """The form to sign in, with a word on why the last sign-in no longer counts."""
    return await _show(gate, render, request, "signin.html")


async def sign_up(gate: Gate, render: Renderer, request: Request) -> Response:
    """Create the account and sign in."""
    sent = _receive(gate, request)
    if isinstance(sent, Refusal):
        return render.problem(request, sent)
    account = _missing(sent, new=True) or await _register(gate, request, sent)
    if isinstance(account, Mistake):
        return _again(gate, render, request, "signup.html", filled=sent.filled, mistake=account)
    signed = await _sign_in_created(gate, request, sent, account)
    if isinstance(signed, Refusal):
        mistake = msgspec.structs.replace(_mistake(signed), sentence=_CREATED)
        return _again(gate, render, request, "signin.html", filled=sent.filled, mistake=mistake)
    return _welcome(gate, render, request, sent, signed)


async def sign_in(gate: Gate, render: Renderer, request: Request) -> Response:
    """Sign in; the session whose cookie came along ends."""
    sent = _receive(gate, request)
    if isinstance(sent, Refusal):
        return render.problem(request, sent)
    signed = _missing(sent, new=False) or await _sign_in(gate, request, sent)
    if isinstance(signed, Mistake):
        return _again(gate, render, request, "signin.html", filled=sent.filled, mistake=signed)
    return _welcome(gate, render, request, sent, signed)


# --- steps ----------------------------------------------------------------------------------------------------------


def _receive(gate: Gate, request: Request) -> Sent | Refusal:
    """What a form of this origin sent. It may sign somebody in, so others may not send it (login CSRF)."""
    presented = gate.receive(request, sets_cookies=True)
    if isinstance(presented, Refusal):
        return presented
    fields = read_form(request)
    if isinstance(fields, Refusal):
        return fields
    filled = Filled(
        email=fields.get("email", "")[:_LONGEST_SHOWN],
        next=fields.get("next", ""),
        remember="remember" in fields,
        credential=fields.get("credential", ""),
    )
    return Sent(presented=presented, filled=filled, password=fields.get("password", ""))


def _missing(sent: Sent, *, new: bool) -> Mistake | None:
    if not sent.filled.email:
        return Mistake(status=422, field="email", sentence="Please enter your e-mail address.")
    if not sent.password:
        wanted = "Please choose a password." if new else "Please enter your password."
        return Mistake(status=422, field="password", sentence=wanted)
    return None


async def _register(gate: Gate, request: Request, sent: Sent) -> Account | Mistake:
    try:
        account = await gate.desk.accounts.register(sent.filled.email, sent.password, origin=origin_of(gate, request))
    except (StoreError, OverloadedError) as error:
        account = unavailable(error)
    return _mistake(account) if isinstance(account, Refusal) else account


async def _sign_in_created(gate: Gate, request: Request, sent: Sent, account: Account) -> Signed | Refusal:
    """The password was chosen a moment ago in this very request: there is nothing to verify."""
    try:
        return await gate.desk.sign_in(
            Grant(subject=account.id, roles=account.roles, amr=("pwd",)),
            options=SignInOptions(transport="cookie"),
            origin=origin_of(gate, request),
            replaces=await sessions_that_came(gate, request, sent.presented),
            name_bytes=len(sent.presented.names.access),
        )
    except (StoreError, OverloadedError) as error:
        return unavailable(error)


async def _sign_in(gate: Gate, request: Request, sent: Sent) -> Signed | Mistake:
    credential = _credential(gate, sent.filled)
    if isinstance(credential, Refusal):
        return _mistake(credential)
    try:
        signed = await gate.desk.accounts.sign_in(
            sent.filled.email,
            sent.password,
            options=SignInOptions(credential=credential, transport="cookie", remember=sent.filled.remember),
            origin=origin_of(gate, request),
            replaces=await sessions_that_came(gate, request, sent.presented),
            name_bytes=len(sent.presented.names.access),
        )
    except (StoreError, OverloadedError) as error:
        signed = unavailable(error)
    return _mistake(signed) if isinstance(signed, Refusal) else signed


def _credential(gate: Gate, filled: Filled) -> CredentialKind | Refusal | None:
    if not filled.credential:
        return None
    offered = (kind for kind in gate.desk.settings.credentials if kind == filled.credential)
    return next(offered, Refusal("credential_not_allowed"))


# --- answers --------------------------------------------------------------------------------------------------------


async def _show(gate: Gate, render: Renderer, request: Request, template: str) -> Response:
    visit = await gate.admit(request)
    if isinstance(visit, Refusal):
        return render.problem(request, visit)
    filled = Filled(next=query_value(request, "next") or "")
    said = wording.notice(visit.result) if isinstance(visit.result, Refusal) else ""
    who = await label_of(gate, visit)
    return carry(render.page(request, template, **_values(gate, filled), notice=said, who=who), visit)


def _again(
    gate: Gate, render: Renderer, request: Request, template: str, *, filled: Filled, mistake: Mistake
) -> Response:
    values = _values(gate, filled)
    values["mistake"] = mistake
    return render.page(
        request,
        template,
        status=mistake.status,
        headers=mistake.headers,
        code=mistake.code,
        **values,
        notice="",
        who=None,
    )


def _values(gate: Gate, filled: Filled) -> dict[str, Any]:
    settings = gate.desk.settings
    return {
        "form": msgspec.structs.replace(
            filled,
            next=safe_next(filled.next, default=""),
            credential=filled.credential or settings.credentials[0],
        ),
        "credentials": settings.credentials,
        "min_length": settings.passwords.min_length,
        "idle": wording.span(settings.sessions.idle),
        "absolute": wording.span(settings.sessions.absolute),
        "mistake": None,
    }


def _mistake(refusal: Refusal) -> Mistake:
    field = refusal.code.partition("_")[0]
    return Mistake(
        status=refusal.status,
        code=refusal.code,
        sentence=wording.sentence(refusal),
        field=field if field in {"email", "password"} else "",
        headers=problem_headers(refusal),
    )


def _welcome(gate: Gate, render: Renderer, request: Request, sent: Sent, signed: Signed) -> Response:
    came = cookies_that_came(request, sent.presented)
    cookies = signed_cookies(signed, sent.presented.names, gate.desk.clock.now(), came=came)
    return render.redirect(request, safe_next(sent.filled.next, default=at(request, "/dashboard")), cookies=cookies)
