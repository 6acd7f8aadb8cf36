"""Rows of a relational store, and the records of the contract. Time is integer microseconds, lists are JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final

import msgspec

from frontdesk.clock import EPOCH, from_micros, span_to_micros, to_micros
from frontdesk.core.accounts import Account
from frontdesk.core.keyring import StoredKey
from frontdesk.core.revocation import Entry
from frontdesk.core.services import Service, ServiceScope
from frontdesk.core.sessions import Epochs, Session
from frontdesk.errors import StoreCorruptError

Row = Iterable[Any]
"""The values of one row, in the order of the columns."""

SESSION_COLUMNS: Final = (
    "realm, id, subject, credential, transport, refresh_in, remember, created_at, auth_time, last_seen_at, expires_at,"
    " idle_timeout, salt, realm_epoch, subject_epoch, generation, parent, minted_at, amr, roles, scope, claims,"
    " device, address, ended_at, end_reason"
)
CLAIMS: Final = 21
"""The place of `claims` among SESSION_COLUMNS."""

ACCOUNT_COLUMNS: Final = "realm, id, email, password, created_at, roles"
KEY_COLUMNS: Final = "realm, id, algorithm, state, public, sealed, created_at, changed_at"
SERVICE_COLUMNS: Final = "realm, name, digest, scopes, created_at"
ENTRY_COLUMNS: Final = "number, realm, kind, target, epoch, at, expires_at"

texts_from_json: Final = msgspec.json.Decoder(tuple[str, ...]).decode
_scopes: Final = msgspec.json.Decoder(tuple[ServiceScope, ...]).decode
_mapping: Final = msgspec.json.Decoder(dict[str, Any])
_NO_CLAIMS: Final[Mapping[str, Any]] = MappingProxyType({})


def texts_to_json(texts: Sequence[str]) -> str:
    return msgspec.json.encode(list(texts)).decode()


def claims_to_json(claims: Mapping[str, Any]) -> str:
    return msgspec.json.encode(dict(claims)).decode()


def claims_from_json(text: str) -> Mapping[str, Any]:
    return _mapping.decode(text)


def session_row(session: Session) -> tuple[Any, ...]:
    return (
        session.realm,
        session.id,
        session.subject,
        session.credential,
        session.transport,
        session.refresh_in,
        int(session.remember),
        to_micros(session.created_at),
        to_micros(session.auth_time),
        to_micros(session.last_seen_at),
        to_micros(session.expires_at),
        span_to_micros(session.idle_timeout),
        session.salt,
        session.epochs.realm,
        session.epochs.subject,
        session.generation,
        session.parent,
        to_micros(session.minted_at),
        texts_to_json(session.amr),
        texts_to_json(session.roles),
        texts_to_json(session.scope),
        claims_to_json(session.claims),
        session.device,
        session.address,
        None if session.ended_at is None else to_micros(session.ended_at),
        session.end_reason,
    )


def session_of(row: Row) -> Session:
    """The record of a row of SESSION_COLUMNS. Written out flat: it runs on every request."""
    (
        realm,
        session_id,
        subject,
        credential,
        transport,
        refresh_in,
        remember,
        created_at,
        auth_time,
        last_seen_at,
        expires_at,
        idle_timeout,
        salt,
        realm_epoch,
        subject_epoch,
        generation,
        parent,
        minted_at,
        amr,
        roles,
        scope,
        claims,
        device,
        address,
        ended_at,
        end_reason,
    ) = row
    try:
        return Session(
            id=session_id,
            realm=realm,
            subject=subject,
            credential=credential,
            transport=transport,
            refresh_in=refresh_in,
            remember=remember != 0,
            created_at=EPOCH + timedelta(0, 0, created_at),
            auth_time=EPOCH + timedelta(0, 0, auth_time),
            last_seen_at=EPOCH + timedelta(0, 0, last_seen_at),
            expires_at=EPOCH + timedelta(0, 0, expires_at),
            idle_timeout=timedelta(0, 0, idle_timeout),
            salt=salt,
            epochs=Epochs(realm_epoch, subject_epoch),
            generation=generation,
            parent=parent,
            minted_at=EPOCH + timedelta(0, 0, minted_at),
            amr=() if amr == "[]" else texts_from_json(amr),
            roles=() if roles == "[]" else texts_from_json(roles),
            scope=() if scope == "[]" else texts_from_json(scope),
            claims=_NO_CLAIMS if claims == "{}" else _mapping.decode(claims),
            device=device,
            address=address,
            ended_at=None if ended_at is None else EPOCH + timedelta(0, 0, ended_at),
            end_reason=end_reason,
        )
    except (msgspec.MsgspecError, OverflowError) as fault:
        raise StoreCorruptError("a session's row cannot be read", detail=str(fault)) from fault


def account_row(account: Account) -> tuple[Any, ...]:
    return (
        account.realm,
        account.id,
        account.email,
        account.password,
        to_micros(account.created_at),
        texts_to_json(account.roles),
    )


def account_of(row: Row) -> Account:
    realm, account_id, email, password, created_at, roles = row
    return Account(
        realm=realm,
        id=account_id,
        email=email,
        password=password,
        created_at=from_micros(created_at),
        roles=texts_from_json(roles),
    )


def key_row(key: StoredKey) -> tuple[Any, ...]:
    moments = to_micros(key.created_at), to_micros(key.changed_at)
    return (key.realm, key.id, key.algorithm, key.state, key.public, key.sealed, *moments)


def key_of(row: Row) -> StoredKey:
    realm, key_id, algorithm, state, public, sealed, created_at, changed_at = row
    return StoredKey(
        realm=realm,
        id=key_id,
        algorithm=algorithm,
        state=state,
        public=public,
        sealed=sealed,
        created_at=from_micros(created_at),
        changed_at=from_micros(changed_at),
    )


def service_row(service: Service) -> tuple[Any, ...]:
    scopes = texts_to_json(service.scopes)
    return (service.realm, service.name, service.digest, scopes, to_micros(service.created_at))


def service_of(row: Row) -> Service:
    realm, name, digest, scopes, created_at = row
    return Service(realm=realm, name=name, digest=digest, scopes=_scopes(scopes), created_at=from_micros(created_at))


def entry_of(row: Row) -> Entry:
    number, realm, kind, target, epoch, at, expires_at = row
    return Entry(
        number=number,
        realm=realm,
        kind=kind,
        target=target,
        epoch=epoch,
        at=from_micros(at),
        expires_at=from_micros(expires_at),
    )


def subject_changes(
    roles: Sequence[str] | None, scope: Sequence[str] | None, claims: Mapping[str, Any] | None
) -> dict[str, str]:
    """Columns of a session and their new content; the column names are ours, never a caller's."""
    changes = {}
    if roles is not None:
        changes["roles"] = texts_to_json(roles)
    if scope is not None:
        changes["scope"] = texts_to_json(scope)
    if claims is not None:
        changes["claims"] = claims_to_json(claims)
    return changes
