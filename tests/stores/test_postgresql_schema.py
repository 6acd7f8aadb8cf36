"""The schema is made by `migrate` alone, once; a store opens on the one it knows and says what is wrong with others."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from frontdesk.errors import ConfigurationError, StoreError
from frontdesk.stores.migrations import migrations
from frontdesk.stores.postgresql import PostgreSQLStore
from frontdesk.testing.suite.harness import a_session, create, stored
from tests.servers.postgresql import PostgreSQL, database_of
from tests.stores.on_postgresql import UNHURRIED, opened, rows

STEPS = tuple(step.name for step in migrations("postgresql"))


@asynccontextmanager
async def empty_database(server: PostgreSQL) -> AsyncIterator[str]:
    url = await server.new_database(migrated=False)
    try:
        yield url
    finally:
        await server.drop_database(url)


@asynccontextmanager
async def migrated_database(server: PostgreSQL) -> AsyncIterator[str]:
    url = await server.new_database()
    try:
        yield url
    finally:
        await server.drop_database(url)


async def refusal(url: str) -> str:
    """What a store says that does not open; it is closed then."""
    store = PostgreSQLStore(url, timeout=UNHURRIED)
    with pytest.raises(ConfigurationError) as refused:
        await store.open()
    with pytest.raises(StoreError, match="not open"):
        await store.check()
    return str(refused.value)


def test_of_many_who_migrate_at_once_each_step_is_taken_by_one(postgresql: PostgreSQL) -> None:
    async def scenario() -> None:
        async with empty_database(postgresql) as url:
            stores = [PostgreSQLStore(url, timeout=UNHURRIED) for _ in range(10)]
            taken = await asyncio.gather(*(store.migrate() for store in stores))
            assert sorted(step for steps in taken for step in steps) == list(STEPS)
            assert await stores[0].migrate() == ()
            async with opened(url) as store:
                assert await store.migrate() == ()
                await create(store, a_session(1))
                assert await stored(store, a_session(1)) == a_session(1)

    asyncio.run(scenario())


def test_a_database_without_a_store_names_the_command_that_makes_one(postgresql: PostgreSQL) -> None:
    async def scenario() -> None:
        async with empty_database(postgresql) as url:
            assert await refusal(url) == "the database holds no store yet; run `frontdesk migrate`"

    asyncio.run(scenario())


def test_an_older_schema_names_the_command_and_a_newer_one_is_left_alone(postgresql: PostgreSQL) -> None:
    async def scenario() -> None:
        async with migrated_database(postgresql) as url:
            newest = len(STEPS)
            for version, expected in ((newest + 1, "made by a newer Frontdesk"), (newest, ""), (0, "run `frontdesk m")):
                sql = f"UPDATE frontdesk.meta SET value = '{version}' WHERE name = 'schema'"
                await postgresql.execute(sql, database_of(url))
                if expected:
                    assert expected in await refusal(url)
                if version > newest:
                    with pytest.raises(ConfigurationError, match="newer Frontdesk"):
                        await PostgreSQLStore(url).migrate()

    asyncio.run(scenario())


def test_a_schema_of_another_program_is_not_touched(postgresql: PostgreSQL) -> None:
    async def scenario() -> None:
        for made in ("CREATE TABLE frontdesk.guests ()", "CREATE TABLE frontdesk.meta (name text, value text)"):
            async with empty_database(postgresql) as url:
                await postgresql.execute("CREATE SCHEMA frontdesk AUTHORIZATION desk", database_of(url))
                await postgresql.execute(made, database_of(url), role="desk")
                assert "another program's" in await refusal(url)
                with pytest.raises(ConfigurationError, match="another program's"):
                    await PostgreSQLStore(url).migrate()

    asyncio.run(scenario())


def test_a_role_that_was_given_a_schema_needs_no_right_to_make_one(postgresql: PostgreSQL) -> None:
    async def scenario() -> None:
        async with empty_database(postgresql) as url:
            database = database_of(url)
            await postgresql.execute(f"ALTER DATABASE {database} OWNER TO postgres")
            with pytest.raises(StoreError, match="may not do this") as refused:
                await PostgreSQLStore(url).migrate()
            assert refused.value.detail == "InsufficientPrivilegeError 42501"
            await postgresql.execute("CREATE SCHEMA frontdesk AUTHORIZATION desk", database)
            assert await PostgreSQLStore(url).migrate() == STEPS
            async with opened(url) as store:
                await store.check()

    asyncio.run(scenario())


def test_a_database_that_cannot_hold_every_text_is_refused(postgresql: PostgreSQL) -> None:
    async def scenario() -> None:
        await postgresql.execute(
            "CREATE DATABASE latin OWNER desk TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"
            " LOCALE_PROVIDER libc"
        )
        url = postgresql.url("latin")
        assert "needs one with the encoding UTF8" in await refusal(url)
        await postgresql.drop_database(url)

    asyncio.run(scenario())


def test_two_stores_that_were_made_apart_have_histories_of_different_names(postgresql: PostgreSQL) -> None:
    async def scenario() -> None:
        async with empty_database(postgresql) as one, empty_database(postgresql) as two:
            names = []
            for url in (one, two):
                await PostgreSQLStore(url).migrate()
                async with opened(url) as store:
                    names.append((await store.poll(0)).history)
                    assert names[-1].endswith("-00000001")  # the timeline of the server
            assert names[0] != names[1]

    asyncio.run(scenario())


def test_a_history_gets_another_name_from_the_source_that_was_given(postgresql: PostgreSQL) -> None:
    async def scenario() -> None:
        async with postgresql.store_database() as url, opened(url, token_bytes=lambda count: b"\xab" * count) as store:
            renewed = await store.renew_history()
            assert renewed == "ab" * 16 + "-00000001"
            assert (await store.poll(0)).history == renewed
            ((kept,),) = await rows(store, "SELECT value FROM frontdesk.meta WHERE name = 'history'")
            assert kept == "ab" * 16

    asyncio.run(scenario())


def test_importing_frontdesk_or_another_store_loads_no_driver() -> None:
    script = (
        "import sys, frontdesk.wiring as w; w.open_store('memory:'); w.open_store('sqlite:///x.db');"
        "assert 'asyncpg' not in sys.modules; w.open_store('postgresql://h/d'); assert 'asyncpg' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_without_its_driver_the_store_says_what_to_install() -> None:
    script = (
        "import sys; sys.modules['asyncpg'] = None\n"
        "import frontdesk.wiring as w\n"
        "try: w.open_store('postgresql://h/d')\n"
        "except w.ConfigurationError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout == "this store needs its driver: install frontdesk[postgresql]\n"
