"""Faults in the store, planted in real databases and on real servers."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest

from frontdesk.clock import AdjustableClock
from frontdesk.core.services import SERVICE_SCOPES
from frontdesk.doctor.observed import Observations
from frontdesk.doctor.report import examine
from frontdesk.server.app import build_server_desk
from frontdesk.server.examining import Examination
from frontdesk.server.settings import ServerSettings
from frontdesk.service.desk import Desk
from tests.doctor.deployments import Authority, Deployment, codes, run
from tests.requirements import find_postgresql, find_redis
from tests.servers.postgresql import PostgreSQL, database_of
from tests.servers.redis import KEPT, RedisServer

SECRET = "kT3vQ9mZ2xLr7YwPd5NcHs8BgJf4Ae6U"
DAY = timedelta(days=1)


@asynccontextmanager
async def desk_at(url: str, moment: datetime) -> AsyncIterator[tuple[Desk, AdjustableClock]]:
    """A desk that believes it is `moment`."""
    clock = AdjustableClock(moment)
    desk = build_server_desk(ServerSettings(store=url, secret=(SECRET,), hashing="small"), clock=clock)
    await desk.open()
    try:
        yield desk, clock
    finally:
        await desk.close()


def ago(**span: float) -> datetime:
    return datetime.now(UTC) - timedelta(**span)


# --- keys and services, which every store keeps in the same way ---------------------------------------------------


async def overdue(url: str) -> None:
    async with desk_at(url, ago(days=32)):
        pass


async def unfollowed(url: str) -> None:
    async with desk_at(url, ago(days=29, hours=12)):
        pass


async def lingering(url: str) -> None:
    async with desk_at(url, ago(days=35)) as (desk, clock):
        await desk.rotate_keys(at_once=True)
        clock.advance(2 * DAY)
        await desk.rotate_keys()
        clock.advance(25 * DAY)
        await desk.rotate_keys(at_once=True)
        clock.advance(2 * DAY)
        await desk.rotate_keys()


async def given_up(url: str) -> None:
    async with desk_at(url, ago(minutes=3)) as (desk, _):
        await desk.give_up_key(desk.keys.stored[0].id)


async def broad(url: str) -> None:
    async with desk_at(url, ago(days=1)) as (desk, _):
        await desk.services.add("admin", SERVICE_SCOPES)


async def old(url: str) -> None:
    async with desk_at(url, ago(days=400)) as (desk, _):
        await desk.services.add("orders", ["revocations"])
    async with desk_at(url, ago(days=1)) as (desk, clock):
        for _ in range(2):
            await desk.rotate_keys(at_once=True)
            clock.advance(DAY)
        await desk.rotate_keys()


IN_ANY_STORE: dict[str, Callable[[str], Coroutine[Any, Any, None]]] = {
    "key_overdue": overdue,
    "key_unfollowed": unfollowed,
    "key_lingers": lingering,
    "key_given_up": given_up,
    "service_broad": broad,
    "service_old": old,
}


@pytest.mark.parametrize("code", IN_ANY_STORE)
def test_what_is_wrong_with_keys_and_services_is_found(code: str, tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    asyncio.run(IN_ANY_STORE[code](f"sqlite:///{deployment.database}"))
    assert set(deployment.doctor()) == {code}


# --- SQLite -------------------------------------------------------------------------------------------------------


def test_a_database_that_is_not_in_write_ahead_mode_is_found(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    deployment.make_store()
    connection = apsw.Connection(str(deployment.database))
    connection.pragma("journal_mode", "DELETE")
    connection.close()
    assert deployment.doctor(status=1) == ["sqlite_not_wal"]


def test_a_database_that_was_not_closed_is_said_and_left_alone(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    deployment.make_store()
    log = deployment.database.with_name("desk.db-wal")
    log.touch(mode=0o600)
    assert deployment.doctor(status=2) == ["unseen the store"]
    assert sorted(deployment.var.iterdir()) == [deployment.database, log]


def test_a_database_of_a_newer_version_is_refused_as_the_server_would(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    deployment.make_store()
    connection = apsw.Connection(str(deployment.database))
    connection.pragma("user_version", 999)
    connection.close()
    document = run("--config", str(deployment.config), status=1)
    assert codes(document) == ["store_refused"]
    assert "newer Frontdesk" in document["findings"][0]["seen"]


def test_a_file_that_is_empty_or_none_at_all_is_no_fault_of_the_deployments(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    deployment.database.touch(mode=0o600)
    assert deployment.doctor(status=0) == []
    deployment.database.unlink()
    deployment.database.mkdir(mode=0o700)
    assert "unseen the store" in deployment.doctor()


def test_a_file_that_is_no_database_of_ours_is_refused(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    connection = apsw.Connection(str(deployment.database))
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    deployment.database.chmod(0o600)
    assert deployment.doctor(status=1) == ["store_refused"]


# --- PostgreSQL ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def durable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgreSQL]:
    """A server as in production: it syncs what it acknowledges and speaks TLS to whoever asks over the network."""
    directory = tmp_path_factory.mktemp("tls")
    for each in (directory, directory.parent, directory.parent.parent):
        each.chmod(0o755)  # the server runs as a user of its own
    file = Authority(directory).issued()
    if os.geteuid() == 0:
        shutil.chown(file, "postgres")
    tls = {"ssl": "on", "ssl_cert_file": str(file), "ssl_key_file": str(file)}
    with PostgreSQL(find_postgresql(), durable=True, settings=tls) as server:
        yield server


@pytest.fixture(scope="module")
def database(durable: PostgreSQL) -> str:
    """An empty store on it."""
    url = asyncio.run(durable.new_database())
    asyncio.run(_begun(url))
    return url


async def _begun(url: str) -> None:
    async with desk_at(url, datetime.now(UTC)):
        pass


def elsewhere(server: PostgreSQL, url: str) -> str:
    """The same database over the network. 0.0.0.0 is this machine for whoever connects, and the address of no machine
    for whoever reads it."""
    return server.url(database_of(url), tcp=True).replace("127.0.0.1", "0.0.0.0")


def pointed_at(tmp_path: Path, url: str) -> Deployment:
    """The recommended deployment with another store."""
    deployment = Deployment(tmp_path)
    deployment.set(store=json.dumps(url))
    return deployment


def test_nothing_is_found_over_postgresql(tmp_path: Path, database: str) -> None:
    assert pointed_at(tmp_path, database).doctor(status=0) == []


def test_looking_writes_nothing_to_postgresql(tmp_path: Path, database: str, durable: PostgreSQL) -> None:
    deployment = pointed_at(tmp_path, database)
    asyncio.run(durable.execute("CHECKPOINT"))

    def leaves_no_trace() -> bool:
        written = "SELECT pg_current_wal_insert_lsn()"
        before = asyncio.run(durable.execute(written))
        deployment.doctor(status=0)
        return bool(asyncio.run(durable.execute(written)) == before)

    # The server itself writes what standbys want to know, once within 15 s after others have written.
    assert any(leaves_no_trace() for _ in range(3))


def test_a_database_that_waits_for_its_migration_is_found(tmp_path: Path, durable: PostgreSQL) -> None:
    url = asyncio.run(durable.new_database(migrated=False))
    assert pointed_at(tmp_path, url).doctor(status=1) == ["schema_outdated"]


def test_a_connection_that_leaves_the_machine_in_the_clear_is_found(
    tmp_path: Path, database: str, durable: PostgreSQL
) -> None:
    deployment = pointed_at(tmp_path, elsewhere(durable, database) + "?sslmode=disable")
    assert deployment.doctor(status=1) == ["postgresql_plain"]


def test_a_server_elsewhere_whose_certificate_nobody_checks_is_found(
    tmp_path: Path, database: str, durable: PostgreSQL
) -> None:
    assert pointed_at(tmp_path, elsewhere(durable, database)).doctor(status=1) == ["postgresql_unverified"]


def test_synchronous_commit_off_is_noted(tmp_path: Path, durable: PostgreSQL) -> None:
    url = asyncio.run(durable.new_database())
    asyncio.run(_begun(url))
    asyncio.run(durable.execute(f"ALTER DATABASE {database_of(url)} SET synchronous_commit = off"))
    assert pointed_at(tmp_path, url).doctor(status=0) == ["postgresql_asynchronous"]


def test_a_server_that_syncs_nothing_is_found(tmp_path: Path, postgresql: PostgreSQL) -> None:
    url = asyncio.run(postgresql.new_database())
    asyncio.run(_begun(url))
    document = run("--config", str(pointed_at(tmp_path, url).config), status=1)
    assert set(codes(document)) == {"postgresql_forgets"}
    assert {finding["seen"].rpartition("with ")[2] for finding in document["findings"]} == {
        "fsync = off",
        "full_page_writes = off",
    }


def test_a_wrong_password_is_said_without_it(tmp_path: Path, database: str, durable: PostgreSQL) -> None:
    wrong = elsewhere(durable, database).replace("desk:", "desk:mistyped-", 1)
    document = run("--config", str(pointed_at(tmp_path, wrong).config), status=2)
    assert codes(document) == ["unseen the store"]
    assert "mistyped-" not in json.dumps(document)


# --- Redis --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server that keeps what it acknowledges, and asks for a password."""
    find_redis()
    with RedisServer(tmp_path_factory.mktemp("kept"), options=KEPT) as server:
        yield server


def test_nothing_is_found_over_redis_and_nothing_is_written(tmp_path: Path, kept: RedisServer) -> None:
    url = f"{kept.url}?prefix=sound"
    asyncio.run(_begun(url))
    before = int(kept.client().info("persistence")["rdb_changes_since_last_save"])
    assert pointed_at(tmp_path, url).doctor(status=0) == []
    assert int(kept.client().info("persistence")["rdb_changes_since_last_save"]) == before


REDIS_FAULTS = {
    "redis_evicts": {"maxmemory_policy": "allkeys-lru"},
    "redis_forgets": {"appendonly": "no"},
    "redis_unsynced": {"appendfsync": "no"},
}


@pytest.mark.parametrize("code", REDIS_FAULTS)
def test_a_server_that_may_lose_what_it_holds_is_found(code: str, tmp_path: Path, kept: RedisServer) -> None:
    with kept.configured(**REDIS_FAULTS[code]):
        assert pointed_at(tmp_path, kept.url).doctor(status=1) == [code]


def test_a_server_elsewhere_in_the_clear_and_without_a_password_is_found(tmp_path: Path, kept: RedisServer) -> None:
    deployment = pointed_at(tmp_path, kept.url.replace("127.0.0.1", "0.0.0.0"))
    assert deployment.doctor(status=1) == ["redis_plain", "redis_open"]


def test_a_user_who_may_not_read_the_servers_settings_is_told_what_was_not_seen(
    tmp_path: Path, kept: RedisServer
) -> None:
    with ExitStack() as stack:
        kept.call("ACL", "SETUSER", "managed", "on", ">its-password", "~*", "&*", "+@all", "-config")
        stack.callback(kept.call, "ACL", "DELUSER", "managed")
        deployment = pointed_at(tmp_path, kept.url.replace("redis://", "redis://managed:its-password@"))
        document = run("--config", str(deployment.config), status=2)
    assert codes(document) == ["unseen the store"]
    assert "appendfsync" in document["unseen"][0]["why"]


def test_a_clock_that_differs_from_the_stores_is_found(tmp_path: Path, kept: RedisServer) -> None:
    deployment = pointed_at(tmp_path, kept.url)

    async def observed(clock: AdjustableClock) -> Observations:
        return await Examination({}, config=deployment.config, environ={}, clock=clock).observe()

    late = examine(asyncio.run(observed(AdjustableClock(datetime.now(UTC) - timedelta(minutes=2)))))
    (finding,) = late.findings
    assert finding.code == "clock_offset"
    assert "ahead of" in finding.seen


@pytest.mark.parametrize(("version", "found"), [("3.7.0", True), ("3.51.2", True), ("3.51.3", False)])
def test_a_sqlite_that_can_corrupt_a_shared_database_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, found: bool
) -> None:
    """Its own word for its version is changed: it is compiled into apsw, and no other is installed here."""
    deployment = Deployment(tmp_path)
    deployment.make_store()
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: version)
    assert codes(run("--config", str(deployment.config), status=1 if found else 0)) == (
        ["sqlite_unsound"] if found else []
    )


PLANTED = frozenset(
    {
        *IN_ANY_STORE,
        *REDIS_FAULTS,
        *(
            "sqlite_not_wal",
            "sqlite_unsound",
            "store_refused",
            "schema_outdated",
            "clock_offset",
            "redis_plain",
            "redis_open",
        ),
        *("postgresql_plain", "postgresql_unverified", "postgresql_asynchronous", "postgresql_forgets"),
    }
)
