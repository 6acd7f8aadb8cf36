"""A look at a database in a transaction that reads and nothing else."""

from __future__ import annotations

import asyncio
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from frontdesk.core.condition import StoreCondition
from frontdesk.core.origin import is_loopback
from frontdesk.stores.migrations import migrations
from frontdesk.stores.postgresql import migrating, services, stored_keys
from frontdesk.stores.postgresql.connecting import Address, Connection
from frontdesk.stores.postgresql.faults import FAULTS, store_error
from frontdesk.stores.postgresql.settings import settings_of

_ASKED: Final = ("server_version", "fsync", "full_page_writes", "synchronous_commit")
_FACTS: Final = "SELECT name, setting FROM pg_settings WHERE name = ANY($1)"
_ENCRYPTED: Final = "SELECT coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false)"
_VERIFIED: Final = frozenset({"verify-ca", "verify-full"})


async def look(url: str, realm: str) -> StoreCondition:
    """The condition of the database that `url` names. StoreError when it cannot be asked, ConfigurationError when it is
    not ours or of a newer version."""
    settings = settings_of(url, timeout=None, max_connections=None, max_waiting=None)
    try:
        connection = await settings.connect()
        try:
            async with asyncio.timeout(settings.seconds), connection.transaction(readonly=True):
                return await _look(connection, settings.address, realm)
        finally:
            await connection.close(timeout=settings.seconds)
    except FAULTS as fault:
        raise store_error(fault) from None


async def _look(connection: Connection, address: Address, realm: str) -> StoreCondition:
    schema, newest = await migrating.version(connection), len(migrations("postgresql"))
    current = schema == newest
    return StoreCondition(
        engine="postgresql",
        name=address.name,
        schema=schema,
        newest=newest,
        facts={row[0]: row[1] for row in await connection.fetch(_FACTS, _ASKED)},
        remote=_leaves_the_machine(address.dsn),
        encrypted=await connection.fetchval(_ENCRYPTED),
        verified=dict(parse_qsl(urlsplit(address.dsn).query)).get("sslmode") in _VERIFIED,
        store_time=await connection.fetchval("SELECT clock_timestamp()"),
        keys=await stored_keys.of_realm(connection, realm) if current else (),
        services=await services.of_realm(connection, realm) if current else (),
    )


def _leaves_the_machine(dsn: str) -> bool:
    parts = urlsplit(dsn)
    named = parts.netloc.rpartition("@")[2] or dict(parse_qsl(parts.query)).get("host", "")
    return any(not is_loopback(_host(place)) for place in named.split(",") if place and not place.startswith("/"))


def _host(place: str) -> str:
    """The host of `host:port`; an IPv6 address keeps its brackets."""
    return (place.partition("]")[0] + "]" if place.startswith("[") else place.partition(":")[0]).lower()
