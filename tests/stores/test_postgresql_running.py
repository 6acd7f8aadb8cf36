"""Connections: found dead and replaced, limited in number and time, never used in doubt; and what errors say."""

from __future__ import annotations

import asyncio
import time
import traceback
from contextlib import suppress
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from frontdesk.errors import ConfigurationError, OverloadedError, StoreError
from frontdesk.stores.postgresql import PostgreSQLStore
from frontdesk.stores.postgresql.connecting import address_of
from frontdesk.testing.suite.harness import REALM, T0, a_session, an_account, create, crowd, sid, stored
from frontdesk.wiring import open_store
from tests.servers.postgresql import PASSWORD, PostgreSQL, database_of
from tests.stores.on_postgresql import holding, opened, rows, store_on, url_of, waiting_for_locks

SHORT = timedelta(seconds=0.3)
LATER = T0 + timedelta(hours=1)


async def connections(server: PostgreSQL, store: PostgreSQLStore) -> list[int]:
    """The server's processes that serve the store."""
    found = await server.execute(
        f"SELECT pid FROM pg_stat_activity WHERE datname = '{database_of(url_of(store))}'"
        " AND application_name = 'frontdesk' ORDER BY pid"
    )
    return [row[0] for row in found]


# --- the URL --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql://desk:secret@db.example:5433/desk?sslmode=require", "db.example:5433/desk"),
        ("postgres://desk:a%40b@db.example/desk", "db.example/desk"),
        ("postgresql://desk@one.example:5432,[2001:db8::1]:5433/desk", "one.example:5432,[2001:db8::1]:5433/desk"),
        ("postgresql:///desk?host=/run/postgresql&user=desk&password=secret", "/run/postgresql/desk"),
        ("postgresql://db.example/desk?statement_cache_size=0", "db.example/desk"),
    ],
)
def test_a_store_shows_where_it_is_and_no_password(url: str, name: str) -> None:
    assert repr(open_store(url)) == f"PostgreSQLStore('{name}')"
    assert "secret" not in repr(address_of(url))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://desk:se/cret@db.example/desk",
        "postgresql://desk:se#cret@db.example/desk",
        "postgresql://desk:se?cret@db.example/desk",
        "postgresql://desk:se?cr=et@db.example/desk",
        "postgresql://desk:secret@db.example:port/desk",
        "postgresql://[db.example/secret",
        "postgresql://db.example/secret?statement_cache_size=many",
        "postgresql://db.example/secret?statement_cache_size=-1",
        "mysql://db.example/secret",
        "postgresql:secret",
    ],
)
def test_a_url_that_cannot_be_read_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        PostgreSQLStore(url)
    shown = "".join(traceback.format_exception(refused.value)) + refused.value.detail
    assert not {"cret", "secret", "example"} & set(shown.replace("/", " ").replace("@", " ").split())


def test_what_the_driver_refuses_about_a_url_is_told_without_it() -> None:
    async def scenario() -> None:
        store = PostgreSQLStore("postgresql://desk:secret@db.example/desk?sslmode=secretly")
        with pytest.raises(ConfigurationError, match="cannot be used") as refused:
            await store.open()
        assert "secret" not in "".join(traceback.format_exception(refused.value)) + refused.value.detail

    asyncio.run(scenario())


def test_limits_that_make_no_sense_are_refused() -> None:
    for wrong in ({"timeout": timedelta(0)}, {"max_connections": 0}, {"max_waiting": 0}):
        with pytest.raises(ValueError, match="must be"):
            PostgreSQLStore("postgresql://db.example/desk", **wrong)
    for option in ("timeout=0", "timeout=nan", "timeout=301", "max_connections=0", "max_waiting=-1", "max_waiting=1e3"):
        with pytest.raises(ConfigurationError, match="must be"):
            PostgreSQLStore(f"postgresql://db.example/desk?{option}")


def test_what_the_url_says_about_the_store_holds_unless_an_argument_says_otherwise() -> None:
    url = "postgresql://db.example/desk?timeout=0.5&max_connections=3&max_waiting=7&statement_cache_size=0&sslmode=require"
    settings = PostgreSQLStore(url)._settings
    assert (settings.seconds, settings.max_connections, settings.max_waiting, settings.statements) == (0.5, 3, 7, 0)
    assert settings.address.dsn == "postgresql://db.example/desk?sslmode=require&application_name=frontdesk"
    settings = PostgreSQLStore(url, timeout=timedelta(seconds=9), max_connections=1, max_waiting=2)._settings
    assert (settings.seconds, settings.max_connections, settings.max_waiting, settings.statements) == (9, 1, 2, 0)
    settings = PostgreSQLStore("postgres://db.example/desk?application_name=till")._settings
    assert (settings.seconds, settings.max_connections, settings.max_waiting, settings.statements) == (2, 10, 1000, 100)
    assert settings.address.dsn == "postgres://db.example/desk?application_name=till"


# --- getting in -----------------------------------------------------------------------------------------------------


def test_a_password_with_every_special_character_opens_over_tcp(postgresql: PostgreSQL) -> None:
    async def scenario() -> None:
        async with postgresql.store_database() as url, opened(postgresql.url(database_of(url), tcp=True)) as store:
            await store.check()

    asyncio.run(scenario())


def test_what_keeps_the_desk_out_is_told_without_values(postgresql: PostgreSQL) -> None:
    async def scenario() -> None:
        async with postgresql.store_database() as url:
            good = postgresql.url(database_of(url), tcp=True)
            wrong = good.replace("%68", "x", 1)
            nobody = good.replace("//desk:", "//nobody-here:")
            nowhere = good.replace(database_of(url), "nowhere-here")
            refused = good.replace(f":{postgresql.port}", ":1")
            for bad, sentence, detail in (
                (wrong, "does not let the desk in", "InvalidPasswordError 28P01"),
                (nobody, "does not let the desk in", "InvalidPasswordError 28P01"),
                (nowhere, "no such database", "InvalidCatalogNameError 3D000"),
                (refused, "cannot be reached", "ConnectionRefusedError ECONNREFUSED"),
            ):
                with pytest.raises(StoreError, match=sentence) as raised:
                    await PostgreSQLStore(bad).open()
                assert raised.value.detail == detail
                shown = "".join(traceback.format_exception(raised.value))
                assert not [word for word in (PASSWORD, "nobody-here", "nowhere-here") if word in shown]

    asyncio.run(scenario())


def test_an_error_of_the_server_quotes_no_values(postgresql: PostgreSQL) -> None:
    async def scenario() -> None:
        async with store_on(postgresql) as store:
            value = "sealed-" + "value"  # apart, since a traceback shows the lines of this file
            await rows(store, f"ALTER TABLE frontdesk.accounts ADD CHECK (password != '{value}')")
            try:
                with pytest.raises(StoreError) as raised:
                    await store.create_account(an_account(1, password=value))
                assert raised.value.detail == "CheckViolationError 23514"
                assert value not in "".join(traceback.format_exception(raised.value))
                assert await store.create_account(an_account(1))
            finally:
                await rows(store, "ALTER TABLE frontdesk.accounts DROP CONSTRAINT accounts_password_check")

    asyncio.run(scenario())


@pytest.mark.parametrize("text", ["with\x00nul", "half a \ud83d pair"])
def test_text_that_the_database_cannot_hold_is_misuse_and_no_fault(postgresql: PostgreSQL, text: str) -> None:
    async def scenario() -> None:
        async with store_on(postgresql) as store:
            for call in (
                store.read_session(REALM, text),
                store.create_account(an_account(1, email=text)),
                store.create_session(a_session(1, device=text), max_sessions=1, now=T0),
                store.end_session(REALM, text, reason="revoked", now=T0),
                store.end_subject(REALM, text, reason="revoked", now=T0),
            ):
                with pytest.raises(ValueError):
                    await call
            await create(store, a_session(1))

    asyncio.run(scenario())


# --- connections that are gone --------------------------------------------------------------------------------------


def test_connections_that_the_server_ended_while_they_rested_are_replaced_unseen(postgresql: PostgreSQL) -> None:
    async def scenario() -> None:
        async with store_on(postgresql, max_connections=5) as store:
            await create(store, a_session(1))
            for call in (
                lambda _: store.read_session(REALM, sid(1)),
                lambda number: store.touch_session(REALM, sid(1), LATER + timedelta(seconds=number)),
                lambda number: store.create_account(an_account(number)),
            ):
                await crowd(lambda _: store.keys_version(REALM), 20)
                before = await connections(postgresql, store)
                assert len(before) == 5
                await postgresql.disconnect(url_of(store))
                await crowd(call, 20)
                assert not set(before) & set(await connections(postgresql, store))

    asyncio.run(scenario())


def test_a_connection_that_is_lost_in_a_transaction_is_a_fault_and_leaves_nothing_half(postgresql: PostgreSQL) -> None:
    async def scenario() -> None:
        async with store_on(postgresql) as store:
            await create(store, a_session(1), a_session(2))
            held = f"SELECT FROM frontdesk.sessions WHERE id = '{sid(2)}' FOR UPDATE"
            async with holding(store, held):
                ending = asyncio.create_task(store.end_subject(REALM, "alice", reason="revoked", now=T0))
                await waiting_for_locks(store, 1)
                await postgresql.disconnect(url_of(store))
                with pytest.raises(StoreError, match=r"lost|ended the connection|reached"):
                    await ending
            assert (await stored(store, a_session(1))).ended_at is None
            assert len(await store.end_subject(REALM, "alice", reason="revoked", now=T0)) == 2

    asyncio.run(scenario())


# --- limits ---------------------------------------------------------------------------------------------------------


def test_what_takes_too_long_ends_in_time_and_its_connection_is_used_no_more(postgresql: PostgreSQL) -> None:
    async def scenario() -> None:
        async with store_on(postgresql, timeout=SHORT, max_connections=1) as store:
            await create(store, a_session(1))
            before = await connections(postgresql, store)
            async with holding(store, "LOCK TABLE frontdesk.sessions"):
                for call in (
                    store.read_session(REALM, sid(1)),
                    store.end_subject(REALM, "alice", reason="revoked", now=T0),
                    store.end_session(REALM, sid(1), reason="revoked", now=T0),
                ):
                    began = time.monotonic()
                    with pytest.raises(StoreError, match="in time"):
                        await call
                    assert time.monotonic() - began < 10 * SHORT.total_seconds()
            assert await stored(store, a_session(1)) == a_session(1)
            assert not set(before) & set(await connections(postgresql, store))

    asyncio.run(scenario())


def test_who_waits_for_a_connection_is_counted_and_waits_no_longer_than_a_limit(postgresql: PostgreSQL) -> None:
    async def scenario() -> None:
        async with store_on(postgresql, timeout=SHORT, max_connections=1, max_waiting=2) as store:
            await create(store, a_session(1))
            async with holding(store, "LOCK TABLE frontdesk.sessions"):
                outcomes = await asyncio.gather(
                    *(store.read_session(REALM, sid(1)) for _ in range(5)), return_exceptions=True
                )
                kinds = [type(outcome) for outcome in outcomes]
                assert kinds[3:] == [OverloadedError] * 2
                assert all(issubclass(kind, StoreError) for kind in kinds[:3])
            assert await store.read_session(REALM, sid(1)) == a_session(1)

    asyncio.run(scenario())


def test_a_store_makes_no_more_connections_than_it_may(postgresql: PostgreSQL) -> None:
    async def scenario() -> None:
        async with store_on(postgresql, max_connections=3) as store:
            await crowd(lambda number: store.create_account(an_account(number)), 60)
            await crowd(lambda number: store.account_by_id(REALM, f"subject-{number}"), 60)
            assert len(await connections(postgresql, store)) == 3

    asyncio.run(scenario())


def test_a_transaction_is_limited_on_the_server_too_but_for_longer_than_here(postgresql: PostgreSQL) -> None:
    async def settings(connection: Any) -> tuple[str, ...]:
        names = ("statement_timeout", "idle_in_transaction_session_timeout", "transaction_isolation")
        return tuple([await connection.fetchval(f"SHOW {name}") for name in names])

    async def scenario() -> None:
        async with store_on(postgresql, timeout=timedelta(seconds=7)) as store:
            assert await store._write(settings) == ("14s", "7s", "read committed")
            assert await store._write(settings, long=True) == ("7min", "7s", "read committed")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("configured", "effective"), [("off", "local"), ("local", "local"), ("on", "on"), ("remote_apply", "remote_apply")]
)
def test_an_acknowledged_write_is_at_least_on_the_disk_of_the_server(
    postgresql: PostgreSQL, configured: str, effective: str
) -> None:
    async def scenario() -> None:
        async with store_on(postgresql) as store:
            database = database_of(url_of(store))
            await postgresql.execute(f"ALTER DATABASE {database} SET synchronous_commit = {configured}")
            await postgresql.disconnect(url_of(store))
            shown = await store._write(lambda connection: connection.fetchval("SHOW synchronous_commit"))
            await postgresql.execute(f"ALTER DATABASE {database} RESET synchronous_commit")
            await postgresql.disconnect(url_of(store))
            assert shown == effective

    asyncio.run(scenario())


def test_a_transaction_that_the_server_took_back_is_not_acknowledged(postgresql: PostgreSQL) -> None:
    async def swallow(connection: Any) -> str:
        with suppress(asyncpg.PostgresError):
            await connection.execute("SELECT 1/0")
        return "done"

    async def scenario() -> None:
        async with store_on(postgresql) as store:
            with pytest.raises(StoreError, match="took the transaction back"):
                await store._write(swallow)
            await store.check()

    asyncio.run(scenario())


def test_a_transaction_that_met_a_deadlock_is_tried_again(postgresql: PostgreSQL) -> None:
    tries: list[int] = []

    async def unlucky(connection: Any) -> str:
        tries.append(1)
        if len(tries) < 3:
            await connection.execute("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40P01'; END $$")
        return "done"

    async def scenario() -> None:
        async with store_on(postgresql) as store:
            assert await store._write(unlucky) == "done"
            with pytest.raises(StoreError, match="in the way"):
                await store._write(
                    lambda connection: connection.execute("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001'; END $$")
                )
            await store.check()

    asyncio.run(scenario())


# --- cancelling and closing -----------------------------------------------------------------------------------------


def test_cancelled_calls_cost_no_connection(postgresql: PostgreSQL) -> None:
    async def scenario() -> None:
        async with store_on(postgresql, max_connections=2) as store:
            await create(store, *(a_session(number) for number in range(30)))
            await crowd(lambda _: store.keys_version(REALM), 4)
            before = await connections(postgresql, store)
            for turns in range(30):
                task = asyncio.create_task(store.end_session(REALM, sid(turns), reason="revoked", now=T0))
                reading = asyncio.create_task(store.read_session(REALM, sid(turns)))
                for _ in range(turns // 2):
                    await asyncio.sleep(0)
                task.cancel()
                reading.cancel()
                await asyncio.wait([task, reading])
            assert await connections(postgresql, store) == before

    asyncio.run(scenario())


def test_closing_waits_for_what_was_accepted_and_refuses_the_rest(postgresql: PostgreSQL) -> None:
    async def scenario() -> None:
        async with store_on(postgresql) as store:
            await create(store, a_session(1))
            async with holding(store, "LOCK TABLE frontdesk.sessions") as let_go:
                begun = asyncio.create_task(store.end_subject(REALM, "alice", reason="revoked", now=T0))
                await waiting_for_locks(store, 1)
                closing = asyncio.create_task(store.close())
                await asyncio.sleep(0)
                with pytest.raises(StoreError, match="not open"):
                    await store.read_session(REALM, sid(1))
                assert not begun.done()
                await let_go()
                assert len(await begun) == 1
                await closing
            assert await connections(postgresql, store) == []

    asyncio.run(scenario())


def test_a_check_sees_a_database_that_takes_no_writes_and_writes_nothing(postgresql: PostgreSQL) -> None:
    async def scenario() -> None:
        async with store_on(postgresql) as store:
            before = await rows(store, "SELECT xmin, * FROM frontdesk.meta ORDER BY name")
            await asyncio.gather(*(store.check() for _ in range(50)))
            assert await rows(store, "SELECT xmin, * FROM frontdesk.meta ORDER BY name") == before
            database = database_of(url_of(store))
            await postgresql.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
            await postgresql.disconnect(url_of(store))
            with pytest.raises(StoreError, match="no writes"):
                await store.create_account(an_account(1))
            for outcome in await asyncio.gather(*(store.check() for _ in range(5)), return_exceptions=True):
                assert isinstance(outcome, StoreError)
            await postgresql.execute(f"ALTER DATABASE {database} RESET default_transaction_read_only")
            await postgresql.disconnect(url_of(store))
            await store.check()

    asyncio.run(scenario())
