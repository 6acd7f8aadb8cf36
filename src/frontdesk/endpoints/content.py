"""What the API would say of what was sent to it: for explaining, by the functions that judge bodies in earnest.

Nothing is created, counted or verified. Whether a password is right only a sign-in finds out, since looking costs an
attempt. What the store knows of an account is told to those who may see everything, and to nobody else: an attempt
would cost a stranger something, asking would not.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from frontdesk.core.credentials import is_id
from frontdesk.core.discretion import Discreet
from frontdesk.core.explanation import Fact, fact, shown
from frontdesk.core.sessions import is_subject
from frontdesk.endpoints import bodies
from frontdesk.endpoints.api import options_of, origin_of
from frontdesk.endpoints.gate import Gate
from frontdesk.endpoints.http import BODY_LIMIT, Request
from frontdesk.endpoints.revocations import NO_KEY, NO_SESSION, NO_SUBJECT, named_in
from frontdesk.errors import OverloadedError, Refusal
from frontdesk.service.accounts import Budget

TOO_LARGE: Final = fact("content_too_large", f"The body has more than {BODY_LIMIT} octets, so it is not read.")
UNKNOWN: Final = fact(
    "content_unknown", "What the body would hold is not known: a request is explained with its body by POST."
)
_PLAIN: Final = re.compile(r"[a-z_]{1,14}")
"""Shorter than passwords are."""
_UNKNOWN_NAME: Final = re.compile(r"field `(.*)`", re.DOTALL)
_WRONG_WORD: Final = re.compile(r"""value (['"]).*\1""", re.DOTALL)
_NOT_TOLD: Final = fact(
    "account_not_told", "Whether an account has this address is told to services with the scope explain, not here."
)
_NOT_LOOKED_AT: Final = fact(
    "password_not_looked_at", "Whether the password is right only a sign-in finds out: looking costs an attempt."
)


class Content(Discreet, msgspec.Struct, frozen=True):
    """What was found. `refusal`: why it is refused; the last of the facts is the cause. `refresh_token`: that of the
    body."""

    facts: tuple[Fact, ...] = ()
    refusal: Refusal | None = None
    refresh_token: bytes | None = None


async def content_of(
    gate: Gate, request: Request, shape: type[msgspec.Struct], *, sees_all: bool, name_bytes: int
) -> Content:
    """What the operation that reads `shape` would say of a body that is not over the limit. Raises StoreError.

    sees_all: whoever asks may see what the store knows of accounts. name_bytes: the length of the access cookie's name.
    """
    body = bodies.read_json(request, shape)
    if isinstance(body, Refusal):
        return Content((_unreadable(body, request),), body)
    what = "The body is JSON of the shape that is declared." if request.body else "No body came, and none need come."
    read = fact("content_read", what)
    if isinstance(body, bodies.RegisterBody):
        content = await _registration(gate, body, sees_all=sees_all)
    elif isinstance(body, bodies.LoginBody):
        content = await _sign_in(gate, request, body, sees_all=sees_all, name_bytes=name_bytes)
    elif isinstance(body, bodies.RevokeBody):
        content = await _revocation(gate, body)
    else:
        sent = body.refresh_token if isinstance(body, bodies.RefreshBody) else None
        content = Content(refresh_token=None if sent is None else sent.encode())
    return msgspec.structs.replace(content, facts=(read, *content.facts))


async def own_session(gate: Gate, session_id: str, subject: str) -> Content:
    """What the operation that ends one of the subject's sessions would say of the id in its path."""
    row = await gate.desk.store.read_session(gate.desk.settings.realm, session_id) if is_id(session_id) else None
    if row is None or row.subject != subject:
        sentence = "None of the subject's sessions has the id that the path names."
        return Content((fact("target_unknown", sentence),), Refusal("session_not_found"))
    return Content((fact("target_named", "The path names a session of the subject."),))


def _unreadable(refusal: Refusal, request: Request) -> Fact:
    if refusal.code == "content_type_unsupported":
        declared = shown(request.header(b"content-type") or "(nothing, or twice)")
        sentence = f"The body is declared as {declared}; what is read is application/json."
        return fact("content_type_wrong", sentence, content_type=declared)
    if refusal.code == "body_not_parseable":
        return fact("content_not_json", f"The body is not strict JSON: {refusal.detail}")
    # What stands where a name or a word belongs may be anything, a password, too.
    detail = _UNKNOWN_NAME.sub(lambda found: f"field {_word(found[1])}", _WRONG_WORD.sub("value", refusal.detail))
    return fact("content_shape_wrong", f"The body has another shape than the one that is declared: {shown(detail)}")


def _word(sent: str | None) -> str:
    """A name or a word that was sent, if it looks like one of those that are understood."""
    if sent is None:
        return "the default"
    return sent if _PLAIN.fullmatch(sent) else "(not shown)"


async def _registration(gate: Gate, body: bodies.RegisterBody, *, sees_all: bool) -> Content:
    accounts = gate.desk.accounts
    address = accounts.acceptable(body.email, body.password)
    if isinstance(address, Refusal):
        code = "address_unusable" if address.code == "email_invalid" else "password_refused"
        return Content((fact(code, address.detail or address.title, reason=address.code),), address)
    usable = fact("registration_usable", "The address is one, and the password may be chosen for it.")
    try:
        accounts.refuse_when_busy()
    except OverloadedError as error:
        return Content((usable, fact("hashing_full", error.message)), Refusal("overloaded"))
    await gate.desk.store.check()
    if not sees_all:
        return Content((usable, _NOT_TOLD))
    if await accounts.by_email(address) is not None:
        taken = fact("account_found", "An account has this address.")
        return Content((usable, taken), Refusal("email_taken"))
    return Content((usable, fact("account_absent", "No account has this address.")))


async def _sign_in(gate: Gate, request: Request, body: bodies.LoginBody, *, sees_all: bool, name_bytes: int) -> Content:
    options = options_of(body)
    if isinstance(options, Refusal):
        words = f"{_word(body.credential)} over {_word(body.transport)}"
        return Content((fact("carriage_refused", f"There is no such credential or transport: {words}."),), options)
    accounts = gate.desk.accounts
    try:
        accounts.refuse_when_busy()
    except OverloadedError as error:
        return Content((fact("hashing_full", error.message),), Refusal("overloaded"))
    await gate.desk.store.check()
    if not sees_all:
        return Content((_NOT_TOLD, _NOT_LOOKED_AT))
    budget = await accounts.budget(body.email, origin=origin_of(gate, request))
    room = _of_budget(budget)
    if budget.refusal is not None:
        return Content((room,), budget.refusal)
    account = await accounts.by_email(body.email)
    if account is None:
        absent = fact("account_absent", "No account has this address, so no password is right.")
        return Content((room, absent), Refusal("invalid_credentials"))
    facts = (room, fact("account_found", "An account has this address."), _NOT_LOOKED_AT)
    # Decided behind the password: a sign-in with a wrong one does not come so far, and a stranger learns none of it.
    foreseen = await accounts.foresee(account, options, name_bytes=name_bytes)
    if isinstance(foreseen, Refusal):
        code = "carriage_refused" if foreseen.code == "credential_not_allowed" else "carriage_too_large"
        return Content((*facts, fact(code, foreseen.detail)), foreseen)
    sentence = f"The session would be carried as {foreseen.credential} over {foreseen.transport}."
    offered = fact("carriage_offered", sentence, credential=foreseen.credential, transport=foreseen.transport)
    return Content((*facts, offered))


def _of_budget(budget: Budget) -> Fact:
    """The attempt budget as a sign-in from where this request comes from would meet it."""
    if budget.refusal is None:
        sentence = f"The attempt budget has room; attempts that failed in a row: {budget.failures}."
        return fact("attempts_left", sentence, failures=budget.failures)
    locked = " Only `frontdesk users unlock` lifts the stop." if budget.is_locked else ""
    sentence = f"The attempt budget is used up: the password would not be looked at. {budget.refusal.detail}{locked}"
    after = budget.refusal.members.get("retry_after")
    seconds = after if isinstance(after, int) else None
    return fact("attempts_used_up", sentence, failures=budget.failures, retry_after=seconds)


async def _revocation(gate: Gate, body: bodies.RevokeBody) -> Content:
    named = named_in(body)
    refusal = named if isinstance(named, Refusal) else await _missing(gate, *named)
    if refusal is None:
        return Content((fact("target_named", "The body names one thing that is to end, which can end."),))
    code = "content_shape_wrong" if refusal.code == "body_invalid" else "target_unknown"
    return Content((fact(code, refusal.detail),), refusal)


async def _missing(gate: Gate, kind: str, target: str) -> Refusal | None:
    if kind == "session":
        row = await gate.desk.store.read_session(gate.desk.settings.realm, target) if is_id(target) else None
        return NO_SESSION if row is None else None
    if kind == "key":
        await gate.desk.keys.catch_up()
        return None if any(key.id == target for key in gate.desk.keys.stored) else NO_KEY
    return NO_SUBJECT if kind == "subject" and not is_subject(target) else None
