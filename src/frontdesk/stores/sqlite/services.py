"""Services inside one transaction."""

from __future__ import annotations

from typing import Final

import apsw

from frontdesk.core.services import Service
from frontdesk.stores.rows import SERVICE_COLUMNS, service_of, service_row
from frontdesk.stores.sqlite.rows import fetch

_INSERT: Final = f"INSERT INTO services ({SERVICE_COLUMNS}) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"  # noqa: S608
_SELECT: Final = f"SELECT {SERVICE_COLUMNS} FROM services WHERE realm = ?"  # noqa: S608


def add(connection: apsw.Connection, service: Service) -> bool:
    connection.execute(_INSERT, service_row(service))
    return connection.changes() == 1


def by_digest(connection: apsw.Connection, realm: str, digest: bytes) -> Service | None:
    rows = fetch(connection, _SELECT + " AND digest = ?", realm, digest)
    return service_of(rows[0]) if rows else None


def of_realm(connection: apsw.Connection, realm: str) -> tuple[Service, ...]:
    return tuple(map(service_of, fetch(connection, _SELECT + " ORDER BY name", realm)))


def remove(connection: apsw.Connection, realm: str, name: str) -> bool:
    connection.execute("DELETE FROM services WHERE realm = ? AND name = ?", (realm, name))
    return connection.changes() == 1
