"""Sessions: what the contract's decisions ask of the server, each in one script.

Only the rotation table is decided here: the row is read, `core.rotation.decide` is asked, and a script writes if the
row is still the one that was read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final

from frontdesk.clock import span_to_micros, to_micros
from frontdesk.core.revocation import EntryKind, entry_expiry
from frontdesk.core.rotation import Decision, decide
from frontdesk.core.sessions import EndReason, Epochs, Session, SessionPolicy, evaluate
from frontdesk.errors import StoreCorruptError
from frontdesk.stores.protocol import Created, Ended, NotCreated
from frontdesk.stores.redis.client import Line, Value
from frontdesk.stores.redis.names import Names, escaped
from frontdesk.stores.redis.rows import (
    SESSION_FIELDS,
    Row,
    claims_to_json,
    session_of,
    sessions_of,
    texts_from_json,
    texts_to_json,
)
from frontdesk.stores.redis.scripts import load

KEEP_EXPIRED: Final = timedelta(days=1)
KEEP_ENDED: Final = timedelta(days=7)

_TOUCHED_AT_ONCE: Final = 500

_CREATE: Final = load("create_session")
_TOUCH: Final = load("touch")
_ROTATE: Final = load("rotate")
_END: Final = load("end_session")
_END_SUBJECT: Final = load("end_subject")
_END_OTHERS: Final = load("end_others")
_END_REALM: Final = load("end_realm")
_UPDATE_SUBJECT: Final = load("update_subject")
_LIST: Final = load("list_sessions")


def ending_keys(names: Names, realm: str) -> tuple[str, ...]:
    """The first keys of a script that ends sessions of one realm."""
    return (*names.of_log, names.unended(realm))


def ending_arguments(names: Names, realm: str, now: datetime, kind: EntryKind) -> tuple[Value, ...]:
    """Its first arguments; `kind` is that of the entries that it appends."""
    kept = to_micros(entry_expiry(now, kind))
    return (names.base, escaped(realm), realm, to_micros(now), to_micros(now + KEEP_ENDED), kept)


async def find(line: Line, realm: str, session_id: str) -> Session | None:
    (row,) = await line.ask(("HMGET", line.names.session(realm, session_id), *SESSION_FIELDS))
    return session_of(realm, session_id, row)


async def unended(line: Line, realm: str, subject: str) -> list[Session]:
    """The subject's sessions that were not ended, expired ones included, oldest first."""
    return sessions_of(
        realm, await line.run(_LIST, [line.names.subject(realm, subject)], line.names.session(realm, ""))
    )


async def epochs(line: Line, realm: str, subject: str) -> Epochs:
    # Read one after the other: should one move in between, a sign-in under the pair is refused, as it must be.
    of_realm, of_subject = await line.ask(
        ("HGET", line.names.realm(realm), "epoch"), ("HGET", line.names.epochs(realm), subject)
    )
    return Epochs(int(of_realm or 0), int(of_subject or 0))


async def create(
    line: Line,
    session: Session,
    fields: Sequence[Value],
    *,
    replaces: Sequence[str],
    max_sessions: int,
    account_roles: bool,
    now: datetime,
) -> Created | NotCreated:
    """`fields`: those of `session`, as `session_fields` makes them."""
    realm, subject = session.realm, session.subject
    named = list(dict.fromkeys(replaces))
    keys = (
        *ending_keys(line.names, realm),
        line.names.session(realm, session.id),
        line.names.subject(realm, subject),
        line.names.realm(realm),
        line.names.epochs(realm),
        line.names.account(realm, subject),
        *(line.names.session(realm, other) for other in named),
    )
    outcome, *more = await line.run(
        _CREATE,
        keys,
        *ending_arguments(line.names, realm, now, "session"),
        session.id,
        subject,
        session.epochs.realm,
        session.epochs.subject,
        to_micros(session.created_at),
        to_micros(_removable_at(session)),
        max_sessions,
        int(account_roles),
        len(named),
        *named,
        *fields,
    )
    if outcome != b"created":
        return NotCreated(outcome.decode())
    roles, ended = more
    return Created(tuple(sessions_of(realm, ended)), texts_from_json(roles) if account_roles else None)


async def touch(line: Line, realm: str, seen: Mapping[str, datetime], every: timedelta) -> int:
    moved = 0
    moments = iter(seen.items())
    while some := tuple(islice(moments, _TOUCHED_AT_ONCE)):
        keys = [line.names.session(realm, session_id) for session_id, _ in some]
        moved += await line.run(_TOUCH, keys, span_to_micros(every), *(to_micros(seen_at) for _, seen_at in some))
    return moved


async def rotate(
    line: Line, realm: str, session_id: str, presented: int, *, now: datetime, policy: SessionPolicy
) -> Decision | None:
    """Read, decide, write if nothing moved; else once more. All of it over one line: a server that takes over in a
    fail-over never gets a write that was decided on a row of the one before."""
    while True:
        row = await find(line, realm, session_id)
        if row is None:
            return None
        decision = decide(row, presented, now, policy)
        if not decision.writes:
            return decision
        found = await _write(line, decision, now)
        if found is not None:
            # Rights and moments of use may have changed since they were read; the decision is the one for this row.
            return decide(_required(realm, session_id, found), presented, now, policy)


async def _write(line: Line, decision: Decision, now: datetime) -> Row | None:
    """The row as it was when the decision was written; None: it is not the one that was decided on."""
    before, after = decision.before, decision.session
    written: list[Value]
    if decision.ends:
        written = [after.end_reason or "revoked"]
    else:
        written = [after.generation, after.parent, to_micros(after.minted_at), to_micros(after.last_seen_at)]
    found: Row | None = await line.run(
        _ROTATE,
        (*ending_keys(line.names, before.realm), line.names.session(before.realm, before.id)),
        *ending_arguments(line.names, before.realm, now, "session"),
        before.id,
        before.generation,
        before.parent,
        to_micros(before.minted_at),
        *written,
    )
    return found


async def end(
    line: Line, realm: str, session_id: str, *, reason: EndReason, now: datetime, subject: str | None
) -> Ended | None:
    found = await line.run(
        _END,
        (*ending_keys(line.names, realm), line.names.session(realm, session_id)),
        *ending_arguments(line.names, realm, now, "session"),
        *(session_id, reason),
        *(() if subject is None else (subject,)),
    )
    if found is None:
        return None
    row, ended_now = found
    return Ended(_required(realm, session_id, row), now=ended_now == 1)


async def end_subject(
    line: Line, realm: str, subject: str, *, reason: EndReason, now: datetime, keep: str | None
) -> tuple[Session, ...]:
    keys = (*ending_keys(line.names, realm), line.names.subject(realm, subject))
    if keep is None:
        arguments = ending_arguments(line.names, realm, now, "subject")
        ended = await line.run(_END_SUBJECT, (*keys, line.names.epochs(realm)), *arguments, subject, reason)
    else:
        arguments = ending_arguments(line.names, realm, now, "session")
        ended = await line.run(_END_OTHERS, keys, *arguments, subject, reason, keep)
    return tuple(sessions_of(realm, ended))


async def count_unended(line: Line, realms: Collection[str]) -> int:
    """About how many sessions there are to end."""
    return sum(map(int, await line.ask(*(("SCARD", line.names.unended(realm)) for realm in realms))))


async def end_realm(line: Line, realm: str, reason: EndReason, now: datetime) -> int:
    keys = (*ending_keys(line.names, realm), line.names.realm(realm))
    return int(await line.run(_END_REALM, keys, *ending_arguments(line.names, realm, now, "all"), reason))


async def update_subject(line: Line, realm: str, subject: str, changes: Mapping[str, bytes], now: datetime) -> int:
    """`changes`: field and its JSON, as `subject_changes` makes them."""
    keys = (*ending_keys(line.names, realm), line.names.subject(realm, subject), line.names.account(realm, subject))
    arguments = ending_arguments(line.names, realm, now, "changed")
    pairs: list[Value] = [part for change in changes.items() for part in change]
    return int(await line.run(_UPDATE_SUBJECT, keys, *arguments, subject, changes.get("roles", b""), *pairs))


def subject_changes(
    roles: Sequence[str] | None, scope: Sequence[str] | None, claims: Mapping[str, Any] | None
) -> dict[str, bytes]:
    """Fields of a session and their new content."""
    changes = {}
    if roles is not None:
        changes["roles"] = texts_to_json(roles)
    if scope is not None:
        changes["scope"] = texts_to_json(scope)
    if claims is not None:
        changes["claims"] = claims_to_json(claims)
    return changes


def standing(sessions: Sequence[Session], now: datetime) -> tuple[Session, ...]:
    """Those that stand, newest first."""
    return tuple(session for session in reversed(sessions) if evaluate(session, now) is None)


def _removable_at(session: Session) -> datetime:
    at = session.expires_at + KEEP_EXPIRED
    return at if session.ended_at is None else min(at, session.ended_at + KEEP_ENDED)


def _required(realm: str, session_id: str, row: Row) -> Session:
    session = session_of(realm, session_id, row)
    if session is None:
        raise StoreCorruptError("a session that was just written was not found again")
    return session
