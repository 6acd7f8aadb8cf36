"""The schema `frontdesk` in the database: whether it fits this code, and how it is brought up to date."""

from __future__ import annotations

from typing import Final

from frontdesk.errors import ConfigurationError
from frontdesk.stores.migrations import Migration, migrations
from frontdesk.stores.postgresql.connecting import Connection

_FOUND: Final = """
SELECT current_setting('server_encoding'), to_regclass('frontdesk.meta') IS NOT NULL, EXISTS (
    SELECT FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE nspname = 'frontdesk'
)
"""
_VERSION: Final = "SELECT value FROM frontdesk.meta WHERE name = 'schema'"
_RECORD: Final = """
INSERT INTO frontdesk.meta (name, value) VALUES ('schema', $1)
ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""
_NAME_HISTORY: Final = "INSERT INTO frontdesk.meta (name, value) VALUES ('history', $1) ON CONFLICT DO NOTHING"
_HAS_SCHEMA: Final = "SELECT to_regnamespace('frontdesk') IS NOT NULL"


async def verify(connection: Connection) -> None:
    """ConfigurationError unless the schema is the one that this code knows."""
    found, newest = await version(connection), len(migrations("postgresql"))
    if found == 0:
        raise ConfigurationError("the database holds no store yet; run `frontdesk migrate`")
    if found < newest:
        raise ConfigurationError(
            f"the schema of the database is of version {found} and this Frontdesk needs {newest};"
            " run `frontdesk migrate`"
        )


async def take(connection: Connection, step: Migration, history: str) -> bool:
    """Take one step unless it was taken. Within `SCHEMA`, in a transaction of its own."""
    if await version(connection) >= step.number:
        return False
    # IF NOT EXISTS asks for a right that a role does not need where somebody else has made the schema for it.
    if not await connection.fetchval(_HAS_SCHEMA):
        await connection.execute("CREATE SCHEMA frontdesk")
    await connection.execute(step.sql)
    await connection.execute(_RECORD, str(step.number))
    await connection.execute(_NAME_HISTORY, history)
    return True


async def version(connection: Connection) -> int:
    """The version of the schema, 0 for none. ConfigurationError for what this code must not touch."""
    row = await connection.fetchrow(_FOUND)
    assert row is not None
    encoding, has_meta, has_anything = row
    if encoding != "UTF8":
        raise ConfigurationError(f"the database holds text as {encoding}; the desk needs one with the encoding UTF8")
    found = await connection.fetchval(_VERSION) if has_meta else None
    if found is None and has_anything:
        raise ConfigurationError(
            "the schema `frontdesk` of the database is another program's; give the desk a database of its own"
        )
    number, newest = int(found or 0), len(migrations("postgresql"))
    if number > newest:
        raise ConfigurationError(
            f"the schema of the database is of version {number}, made by a newer Frontdesk; this one knows up to"
            f" {newest}: install the newer one"
        )
    return number
