"""The revocation log over HTTP, for other services: reading on in it, and ending what an administrator names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Final, Literal, NamedTuple
from urllib.parse import parse_qsl

from frontdesk.core.credentials import is_id
from frontdesk.core.events import RevokedByService
from frontdesk.core.revocation import Entry, target_digest
from frontdesk.core.sessions import is_subject
from frontdesk.endpoints import bodies
from frontdesk.endpoints.gate import Gate
from frontdesk.endpoints.http import Request, Response, json_response, problem
from frontdesk.errors import Refusal
from frontdesk.service.feed import LARGEST_PAGE, LONGEST_WAIT

Kind = Literal["session", "subject", "key", "all"]

_LARGEST_CURSOR: Final = 2**63 - 1
_USUAL_PAGE: Final = 1000
_LONGEST_WAIT: Final = int(LONGEST_WAIT.total_seconds())

QUERY: Final[Mapping[str, Mapping[str, object]]] = {
    "cursor": {"type": "integer", "minimum": 0, "maximum": _LARGEST_CURSOR, "default": 0},
    "limit": {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": _USUAL_PAGE},
    "wait": {"type": "number", "minimum": 0, "maximum": _LONGEST_WAIT, "default": 0, "description": "Seconds."},
}
_FORMS: Final = {
    "cursor": re.compile(r"[0-9]{1,19}"),
    "limit": re.compile(r"[0-9]{1,4}"),
    "wait": re.compile(r"[0-9]{1,2}(?:\.[0-9]{1,6})?"),
}
_BAD_QUERY: Final = Refusal(
    "body_invalid",
    f"The query takes cursor=0 or above, wait=0 to {_LONGEST_WAIT} seconds and limit=1 to {LARGEST_PAGE}, each once.",
)
_NAME_ONE: Final = Refusal("body_invalid", "Name exactly one of session, subject, key and all.")
NO_SUBJECT: Final = Refusal("body_invalid", "A subject is 1 to 255 printable characters.")
NO_SESSION: Final = Refusal("session_not_found", "There is no session with this id.")
NO_KEY: Final = Refusal("not_found", "There is no key with this id.")


async def read(gate: Gate, request: Request) -> Response:
    """The entries of this realm after `cursor`, at once or, where there is none, after up to `wait` seconds."""
    service = await gate.admit_service(request, "revocations")
    if isinstance(service, Refusal):
        return problem(service)
    place = _place(request.query)
    if isinstance(place, Refusal):
        return problem(place)
    page = await gate.feed.read(place.cursor, limit=place.limit, wait=place.wait)
    shown = tuple(_shown(entry) for entry in page.entries if entry.realm == service.realm and entry.kind != "changed")
    answer = bodies.Revocations(
        issuer=gate.desk.settings.issuer,
        realm=service.realm,
        history=page.history,
        # It passes what is not shown: who is answered without entries goes on behind those of others.
        cursor=page.cursor,
        head=page.head,
        store_time=page.store_time or gate.desk.clock.now(),
        entries=shown,
    )
    return json_response(200, answer)


async def revoke(gate: Gate, request: Request) -> Response:
    """End a session, a subject's sessions, a key's access tokens, or everybody's sessions."""
    service = await gate.admit_service(request, "revoke")
    if isinstance(service, Refusal):
        return problem(service)
    body = bodies.read_json(request, bodies.RevokeBody)
    if isinstance(body, Refusal):
        return problem(body)
    named = named_in(body)
    if isinstance(named, Refusal):
        return problem(named)
    kind, target = named
    address = gate.settings.address_of(request)
    if kind == "subject":
        target = await _subject(gate, target)
    ended = await _END[kind](gate, target, address)
    if isinstance(ended, Refusal):
        return problem(ended)
    gate.desk.audit(
        RevokedByService(
            at=gate.desk.clock.now(),
            realm=service.realm,
            address=address,
            service=service.name,
            kind=kind,
            target=target,
        )
    )
    return json_response(200, bodies.SessionsEnded(ended))


def named_in(body: bodies.RevokeBody) -> tuple[Kind, str] | Refusal:
    """What kind of thing the body names, and which one."""
    kinds: tuple[tuple[Kind, str | None], ...] = (
        ("session", body.session), ("subject", body.subject), ("key", body.key), ("all", "" if body.all else None),
    )  # fmt: skip
    named = [(kind, target) for kind, target in kinds if target is not None]
    return named[0] if len(named) == 1 else _NAME_ONE


async def _end_session(gate: Gate, session_id: str, address: str) -> int | Refusal:
    found = is_id(session_id) and await gate.desk.end(session_id, reason="revoked", address=address)
    return 1 if found else NO_SESSION


async def _subject(gate: Gate, who: str) -> str:
    """The subject that is meant, which may be named by the address of its account. An application's own subjects may
    look like addresses."""
    account = await gate.desk.accounts.by_email(who) if gate.settings.accounts and "@" in who else None
    return who if account is None else account.id


async def _end_subject(gate: Gate, subject: str, address: str) -> int | Refusal:
    # A subject without a session is no mistake: its sign-in that is under way is refused.
    return await gate.desk.end_all(subject, address=address) if is_subject(subject) else NO_SUBJECT


async def _give_up_key(gate: Gate, key_id: str, address: str) -> int | Refusal:  # noqa: ARG001 - one shape for all
    done = await gate.desk.give_up_key(key_id)
    # Given up before: the same order came twice, perhaps since the first answer was lost.
    return 0 if done or any(key.id == key_id for key in gate.desk.keys.stored) else NO_KEY


async def _end_everyone(gate: Gate, _target: str, address: str) -> int | Refusal:
    return await gate.desk.end_everyone(address=address)


_END: Final = {"session": _end_session, "subject": _end_subject, "key": _give_up_key, "all": _end_everyone}


class _Place(NamedTuple):
    """Where to read on, how much, and how long to wait for it."""

    cursor: int
    limit: int
    wait: timedelta


def _place(query: str) -> _Place | Refusal:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=len(_FORMS))
    except ValueError:
        return _BAD_QUERY
    given = dict(pairs)
    if len(given) < len(pairs) or not given.keys() <= _FORMS.keys():
        return _BAD_QUERY
    if not all(_FORMS[name].fullmatch(value) for name, value in given.items()):
        return _BAD_QUERY
    cursor, limit = int(given.get("cursor", 0)), int(given.get("limit", _USUAL_PAGE))
    wait = timedelta(seconds=float(given.get("wait", 0)))
    if cursor > _LARGEST_CURSOR or not 1 <= limit <= LARGEST_PAGE or wait > LONGEST_WAIT:
        return _BAD_QUERY
    return _Place(cursor, limit, wait)


def _shown(entry: Entry) -> bodies.RevocationEntry:
    """An entry as it leaves the deployment: session ids and subjects are not told."""
    assert entry.kind != "changed"
    hidden = entry.kind in {"session", "subject"}
    return bodies.RevocationEntry(
        number=entry.number,
        kind=entry.kind,
        target=target_digest(entry.realm, entry.target) if hidden else entry.target,
        epoch=entry.epoch,
        expires_at=entry.expires_at,
    )
