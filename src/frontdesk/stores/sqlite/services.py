"""Services inside one transaction."""

from __future__ import annotations

from typing import Any, Final

import apsw
import msgspec

from frontdesk.clock import from_micros, to_micros
from frontdesk.core.services import Service, ServiceScope
from frontdesk.stores.sqlite.rows import Row, fetch, texts_to_json

_COLUMNS: Final = "realm, name, digest, scopes, created_at"
_INSERT: Final = f"INSERT INTO services ({_COLUMNS}) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"  # noqa: S608
_SELECT: Final = f"SELECT {_COLUMNS} FROM services WHERE realm = ?"  # noqa: S608

_scopes: Final = msgspec.json.Decoder(tuple[ServiceScope, ...]).decode


def add(connection: apsw.Connection, service: Service) -> bool:
    row: tuple[Any, ...] = (
        service.realm,
        service.name,
        service.digest,
        texts_to_json(service.scopes),
        to_micros(service.created_at),
    )
    connection.execute(_INSERT, row)
    return connection.changes() == 1


def by_digest(connection: apsw.Connection, realm: str, digest: bytes) -> Service | None:
    rows = fetch(connection, _SELECT + " AND digest = ?", realm, digest)
    return _service_of(rows[0]) if rows else None


def of_realm(connection: apsw.Connection, realm: str) -> tuple[Service, ...]:
    return tuple(map(_service_of, fetch(connection, _SELECT + " ORDER BY name", realm)))


def remove(connection: apsw.Connection, realm: str, name: str) -> bool:
    connection.execute("DELETE FROM services WHERE realm = ? AND name = ?", (realm, name))
    return connection.changes() == 1


def _service_of(row: Row) -> Service:
    realm, name, digest, scopes, created_at = row
    return Service(realm=realm, name=name, digest=digest, scopes=_scopes(scopes), created_at=from_micros(created_at))
