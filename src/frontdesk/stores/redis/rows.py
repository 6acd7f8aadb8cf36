"""Hashes as Redis holds them, and the records of the contract. Time is decimal microseconds, lists are JSON.

What different operations change stands in fields of its own, so that none overwrites what another has just written.
What never changes and no script asks for is packed into one field, `made`: a hash of many fields costs twice the
memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final

import msgspec

from frontdesk.clock import EPOCH, from_micros, span_to_micros, to_micros
from frontdesk.core import throttle
from frontdesk.core.accounts import Account
from frontdesk.core.keyring import StoredKey
from frontdesk.core.revocation import Entry, EntryKind
from frontdesk.core.services import Service, ServiceScope
from frontdesk.core.sessions import CredentialKind, Epochs, RefreshEnvelope, Session, Transport
from frontdesk.core.throttle import Tally
from frontdesk.errors import StoreCorruptError

Row = Sequence[Any]
"""What HMGET answers: bytes, or None where there is no such field."""

SESSION_FIELDS: Final = (
    "subject",
    "made",
    "expires_at",
    "idle_timeout",
    "last_seen_at",
    "realm_epoch",
    "subject_epoch",
    "generation",
    "parent",
    "minted_at",
    "roles",
    "scope",
    "claims",
    "ended_at",
    "end_reason",
)
ACCOUNT_FIELDS: Final = ("email", "password", "created_at", "roles")
KEY_FIELDS: Final = ("algorithm", "state", "public", "sealed", "created_at", "changed_at")

_NO_CLAIMS: Final[Mapping[str, Any]] = MappingProxyType({})

_texts = msgspec.json.Decoder(tuple[str, ...]).decode
_mapping = msgspec.json.Decoder(dict[str, Any]).decode


class _Made(msgspec.Struct, frozen=True, array_like=True):
    """What a session has from its beginning to its end."""

    credential: CredentialKind
    transport: Transport
    refresh_in: RefreshEnvelope | None
    remember: bool
    created_at: int
    auth_time: int
    salt: bytes
    amr: tuple[str, ...]
    device: str
    address: str

    def __repr__(self) -> str:
        return f"_Made({self.credential} over {self.transport})"


class _Said(msgspec.Struct, frozen=True, array_like=True):
    """An entry as the scripts pack it; every number is in decimal."""

    number: str
    realm: str
    kind: EntryKind
    target: str
    epoch: str
    at: str
    expires_at: str


class _Held(msgspec.Struct, frozen=True, array_like=True):
    """A service, behind the digest of its credential."""

    realm: str
    name: str
    scopes: tuple[ServiceScope, ...]
    created_at: int


_made = msgspec.msgpack.Decoder(_Made).decode
_said = msgspec.msgpack.Decoder(_Said).decode
_held = msgspec.msgpack.Decoder(_Held).decode
_pack = msgspec.msgpack.encode


@contextmanager
def _readable(what: str) -> Iterator[None]:
    """Raise StoreCorruptError for what cannot be read inside."""
    try:
        yield
    except (msgspec.MsgspecError, ValueError, TypeError, AttributeError, OverflowError) as fault:
        raise StoreCorruptError(f"{what} cannot be read", detail=type(fault).__name__) from fault


def texts_to_json(texts: Sequence[str]) -> bytes:
    return msgspec.json.encode(list(texts))


def texts_from_json(raw: bytes) -> tuple[str, ...]:
    with _readable("a list of texts"):
        return _texts(raw)


def claims_to_json(claims: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(dict(claims))


def session_fields(session: Session) -> list[str | bytes | int]:
    """Fields and values by turns. Claims that are no JSON raise TypeError."""
    made = _Made(
        session.credential,
        session.transport,
        session.refresh_in,
        session.remember,
        to_micros(session.created_at),
        to_micros(session.auth_time),
        session.salt,
        session.amr,
        session.device,
        session.address,
    )
    fields: list[str | bytes | int] = [
        *("subject", session.subject),
        *("made", _pack(made)),
        *("expires_at", to_micros(session.expires_at)),
        *("idle_timeout", span_to_micros(session.idle_timeout)),
        *("last_seen_at", to_micros(session.last_seen_at)),
        *("realm_epoch", session.epochs.realm),
        *("subject_epoch", session.epochs.subject),
        *("generation", session.generation),
        *("parent", session.parent),
        *("minted_at", to_micros(session.minted_at)),
        *("roles", texts_to_json(session.roles)),
        *("scope", texts_to_json(session.scope)),
        *("claims", claims_to_json(session.claims)),
    ]
    if session.ended_at is not None:
        fields += ["ended_at", to_micros(session.ended_at), "end_reason", session.end_reason or "revoked"]
    return fields


def session_of(realm: str, session_id: str, row: Row) -> Session | None:
    """The record of the values of SESSION_FIELDS; None: there is no such session. It runs on every strict request."""
    if row[0] is None:
        return None
    (
        subject,
        made_raw,
        expires_at,
        idle_timeout,
        last_seen_at,
        realm_epoch,
        subject_epoch,
        generation,
        parent,
        minted_at,
        roles,
        scope,
        claims,
        ended_at,
        end_reason,
    ) = row
    with _readable("a session"):
        made = _made(made_raw)
        return Session(
            id=session_id,
            realm=realm,
            subject=subject.decode(),
            credential=made.credential,
            transport=made.transport,
            refresh_in=made.refresh_in,
            remember=made.remember,
            created_at=EPOCH + timedelta(0, 0, made.created_at),
            auth_time=EPOCH + timedelta(0, 0, made.auth_time),
            last_seen_at=EPOCH + timedelta(0, 0, int(last_seen_at)),
            expires_at=EPOCH + timedelta(0, 0, int(expires_at)),
            idle_timeout=timedelta(0, 0, int(idle_timeout)),
            salt=made.salt,
            epochs=Epochs(int(realm_epoch), int(subject_epoch)),
            generation=int(generation),
            parent=int(parent),
            minted_at=EPOCH + timedelta(0, 0, int(minted_at)),
            amr=made.amr,
            roles=() if roles == b"[]" else _texts(roles),
            scope=() if scope == b"[]" else _texts(scope),
            claims=_NO_CLAIMS if claims == b"{}" else _mapping(claims),
            device=made.device,
            address=made.address,
            ended_at=None if ended_at is None else EPOCH + timedelta(0, 0, int(ended_at)),
            end_reason=None if end_reason is None else end_reason.decode(),
        )


def sessions_of(realm: str, by_turns: Sequence[Any]) -> list[Session]:
    """The records of ids and rows by turns; an id without a row is passed over."""
    pairs = zip(by_turns[::2], by_turns[1::2], strict=True)
    found = (session_of(realm, session_id.decode(), row) for session_id, row in pairs)
    return [session for session in found if session is not None]


def account_fields(account: Account) -> list[str | bytes | int]:
    return [
        *("email", account.email),
        *("password", account.password),
        *("created_at", to_micros(account.created_at)),
        *("roles", texts_to_json(account.roles)),
    ]


def account_of(realm: str, account_id: str, row: Row) -> Account | None:
    """The record of the values of ACCOUNT_FIELDS; None: there is no such account."""
    email, password, created_at, roles = row
    if email is None:
        return None
    with _readable("an account"):
        return Account(
            realm=realm,
            id=account_id,
            email=email.decode(),
            password=password.decode(),
            created_at=from_micros(int(created_at)),
            roles=_texts(roles),
        )


def key_fields(key: StoredKey) -> list[str | bytes | int]:
    return [
        *("algorithm", key.algorithm),
        *("state", key.state),
        *("public", key.public),
        *("sealed", key.sealed),
        *("created_at", to_micros(key.created_at)),
        *("changed_at", to_micros(key.changed_at)),
    ]


def key_of(realm: str, key_id: str, row: Row) -> StoredKey:
    algorithm, state, public, sealed, created_at, changed_at = row
    with _readable("a key"):
        return StoredKey(
            realm=realm,
            id=key_id,
            algorithm=algorithm.decode(),
            state=state.decode(),
            public=public.decode(),
            sealed=sealed,
            created_at=from_micros(int(created_at)),
            changed_at=from_micros(int(changed_at)),
        )


def entry_of(packed: bytes) -> Entry:
    with _readable("an entry of the log"):
        said = _said(packed)
        return Entry(
            number=int(said.number),
            realm=said.realm,
            kind=said.kind,
            target=said.target,
            epoch=int(said.epoch),
            at=from_micros(int(said.at)),
            expires_at=from_micros(int(said.expires_at)),
        )


def packed_service(service: Service) -> bytes:
    return _pack(_Held(service.realm, service.name, service.scopes, to_micros(service.created_at)))


def service_of(digest: bytes, packed: bytes) -> Service:
    with _readable("a service"):
        held = _held(packed)
        return Service(
            name=held.name,
            realm=held.realm,
            digest=digest,
            scopes=held.scopes,
            created_at=from_micros(held.created_at),
        )


def packed_tally(tally: Tally | None) -> bytes:
    """A tally as one value, which a script can compare as a whole; nothing for None."""
    return b"" if tally is None else throttle.pack((tally.failures, tally.expires_us, *tally.moments))


def tally_of(packed: bytes | None) -> Tally | None:
    if packed is None:
        return None
    with _readable("a tally"):
        failures, expires_us, *moments = throttle.unpack(packed)
        return Tally(failures, tuple(moments), expires_us)
