"""Services inside one transaction."""

from __future__ import annotations

from typing import Final

from frontdesk.core.services import Service
from frontdesk.stores.postgresql.connecting import Connection
from frontdesk.stores.postgresql.sessions import changed
from frontdesk.stores.rows import SERVICE_COLUMNS, service_of, service_row

_INSERT: Final = (
    f"INSERT INTO frontdesk.services ({SERVICE_COLUMNS}) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING"  # noqa: S608
)
_SELECT: Final = f"SELECT {SERVICE_COLUMNS} FROM frontdesk.services WHERE realm = $1"  # noqa: S608
_BY_DIGEST: Final = f"{_SELECT} AND digest = $2"
_OF_REALM: Final = f"{_SELECT} ORDER BY name"


async def add(connection: Connection, service: Service) -> bool:
    return changed(await connection.execute(_INSERT, *service_row(service))) == 1


async def by_digest(connection: Connection, realm: str, digest: bytes) -> Service | None:
    row = await connection.fetchrow(_BY_DIGEST, realm, digest)
    return None if row is None else service_of(row)


async def of_realm(connection: Connection, realm: str) -> tuple[Service, ...]:
    return tuple(map(service_of, await connection.fetch(_OF_REALM, realm)))


async def remove(connection: Connection, realm: str, name: str) -> bool:
    sql = "DELETE FROM frontdesk.services WHERE realm = $1 AND name = $2"
    return changed(await connection.execute(sql, realm, name)) == 1
