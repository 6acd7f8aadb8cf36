"""The files of a SQLite store: how they are made, what is refused, and what happens when they disappear."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import apsw
import pytest

from frontdesk.errors import ConfigurationError, StoreBusyError, StoreCorruptError, StoreError, StoreMissingError
from frontdesk.stores.migrations import migrations
from frontdesk.stores.sqlite import SQLiteStore
from frontdesk.stores.sqlite.opening import APPLICATION_ID, recognise
from frontdesk.testing.suite.harness import POLICY, REALM, T0, a_session, create, sid
from tests.stores.faulty_vfs import faulty_vfs


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[SQLiteStore]:
    store = SQLiteStore(path)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def open_and_close(path: Path, **arguments: object) -> None:
    async def scenario() -> None:
        store = SQLiteStore(path, **arguments)  # type: ignore[arg-type]
        try:
            await store.open()
        finally:
            await store.close()

    asyncio.run(scenario())


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def _modes(directory: Path) -> dict[str, int]:
    return {file.name: stat.S_IMODE(file.stat().st_mode) for file in directory.iterdir()}


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o777])
def test_every_file_is_for_its_owner_alone_whatever_the_umask(tmp_path: Path, mask: int) -> None:
    async def scenario() -> None:
        with umask(mask):
            async with opened(tmp_path / "desk.db") as store:
                await create(store, a_session(1))
                modes = _modes(tmp_path)
        assert modes == {"desk.db": 0o600, "desk.db-wal": 0o600, "desk.db-shm": 0o600}

    asyncio.run(scenario())


def test_after_closing_only_the_database_is_left_and_it_says_whose_it_is(tmp_path: Path) -> None:
    open_and_close(tmp_path / "desk.db")
    assert [file.name for file in tmp_path.iterdir()] == ["desk.db"]
    connection = apsw.Connection(str(tmp_path / "desk.db"))
    assert connection.pragma("application_id") == int.from_bytes(b"FDES")
    assert connection.pragma("user_version") == len(migrations("sqlite"))
    assert connection.pragma("journal_mode") == "wal"
    connection.close()


def test_a_store_is_not_made_of_a_path_that_is_no_file() -> None:
    for path in ("", ":memory:", "file:desk.db?mode=memory"):
        with pytest.raises(ValueError, match="path of a file"):
            SQLiteStore(path)


@pytest.mark.parametrize("setting", [{"patience": timedelta(0)}, {"max_waiting": 0}, {"checkpoint_pages": 0}])
def test_settings_that_make_no_sense_are_refused(setting: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="above zero"):
        SQLiteStore("desk.db", **setting)  # type: ignore[arg-type]


def test_a_file_in_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be created"):
        open_and_close(tmp_path / "nowhere" / "desk.db")


def test_a_database_of_a_newer_version_is_refused_with_both_versions(tmp_path: Path) -> None:
    path = tmp_path / "desk.db"
    open_and_close(path)
    newest = len(migrations("sqlite"))
    _alter(path, f"PRAGMA user_version = {newest + 1}")
    with pytest.raises(ConfigurationError, match=f"version {newest + 1}.*up to {newest}"):
        open_and_close(path)


def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    _alter(path, "CREATE TABLE orders (id)")
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="another program"):
        open_and_close(path)
    assert path.read_bytes() == before


def test_a_version_that_makes_no_sense_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "desk.db"
    open_and_close(path)
    _alter(path, "PRAGMA user_version = 0")
    with pytest.raises(StoreCorruptError, match="makes no sense"):
        open_and_close(path)


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "desk.db"
    path.write_bytes(b"Dear diary, " * 500)
    with pytest.raises(StoreCorruptError, match="no database"):
        open_and_close(path)
    assert path.read_bytes() == b"Dear diary, " * 500


def test_a_file_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    open_and_close(tmp_path / "desk.db")
    with faulty_vfs("read-only") as vfs:
        vfs.readonly = True
        with pytest.raises(StoreError, match="cannot be written"):
            open_and_close(tmp_path / "desk.db", vfs="read-only")


def test_a_file_that_somebody_holds_for_too_long_at_the_start_is_busy(tmp_path: Path) -> None:
    path = tmp_path / "desk.db"
    path.touch()
    other = apsw.Connection(str(path))
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreBusyError):
        open_and_close(path, patience=timedelta(milliseconds=1))
    other.close(force=True)
    open_and_close(path)


def test_a_damaged_page_is_an_error_and_not_an_absent_session(tmp_path: Path) -> None:
    path = tmp_path / "desk.db"

    async def fill() -> None:
        async with opened(path) as store:
            await create(store, *(a_session(number, subject=str(number)) for number in range(200)))

    async def read() -> None:
        async with opened(path) as store:
            for number in range(200):
                with pytest.raises(StoreCorruptError):
                    store.peek_session(REALM, sid(number))
                with pytest.raises(StoreCorruptError):
                    await store.read_session(REALM, sid(number))
            with pytest.raises(StoreCorruptError):
                await store.rotate(REALM, sid(1), 0, T0, POLICY)

    asyncio.run(fill())
    connection = apsw.Connection(str(path))
    root = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_autoindex_sessions_1'").get
    connection.close()
    octets = bytearray(path.read_bytes())
    octets[(root - 1) * 4096 : root * 4096] = b"\xee" * 4096
    path.write_bytes(octets)
    asyncio.run(read())


@pytest.mark.parametrize("way", ["backup", "vacuum"])
def test_a_copy_made_of_a_running_store_is_a_store(tmp_path: Path, way: str) -> None:
    copy = tmp_path / "copy.db"

    async def scenario() -> None:
        async with opened(tmp_path / "desk.db") as store:
            await create(store, a_session(1))
            source = apsw.Connection(str(tmp_path / "desk.db"))
            if way == "backup":
                target = apsw.Connection(str(copy))
                with target.backup("main", source, "main") as backup:
                    backup.step()
                target.close()
            else:
                source.execute("VACUUM INTO ?", (str(copy),)).fetchall()
            source.close()
            await store.end_session(REALM, sid(1), reason="revoked", now=T0)
            history = (await store.poll(0)).history
        async with opened(copy) as restored:
            assert restored.peek_session(REALM, sid(1)) == a_session(1)
            assert (await restored.poll(0)).history == history
            await restored.check()

    asyncio.run(scenario())


# --- deleted and replaced -----------------------------------------------------------------------------------------


def _delete(path: Path) -> None:
    path.unlink()


def _replace_by_nothing(path: Path) -> None:
    path.rename(path.with_suffix(".away"))
    path.touch()


def _replace_by_a_copy(path: Path) -> None:
    path.with_suffix(".copy").write_bytes(path.read_bytes())
    path.with_suffix(".copy").rename(path)


@pytest.mark.parametrize("act", [_delete, _replace_by_nothing, _replace_by_a_copy])
def test_nothing_is_answered_or_written_once_the_file_is_gone(tmp_path: Path, act: object) -> None:
    path = tmp_path / "desk.db"

    async def scenario() -> None:
        async with opened(path) as store:
            await create(store, a_session(1))
            assert store.peek_session(REALM, sid(1)) == a_session(1)
            act(path)  # type: ignore[operator]
            for _ in range(2):
                with pytest.raises(StoreMissingError):
                    store.peek_session(REALM, sid(1))
                with pytest.raises(StoreMissingError):
                    store.peek_session(REALM, "nobody")
                with pytest.raises(StoreMissingError):
                    await store.read_session(REALM, sid(1))
                with pytest.raises(StoreMissingError):
                    await store.list_sessions(REALM, "alice", T0)
                with pytest.raises(StoreMissingError):
                    await store.end_session(REALM, sid(1), reason="revoked", now=T0)
                with pytest.raises(StoreMissingError):
                    await store.check()
            with pytest.raises(StoreMissingError):  # a thread that has not read yet must not find the other file
                await asyncio.to_thread(store.peek_session, REALM, sid(1))

    asyncio.run(scenario())


def test_a_file_that_came_back_is_used_again(tmp_path: Path) -> None:
    path = tmp_path / "desk.db"

    async def scenario() -> None:
        async with opened(path) as store:
            await create(store, a_session(1))
            path.rename(tmp_path / "elsewhere.db")
            with pytest.raises(StoreMissingError):
                store.peek_session(REALM, sid(1))
            (tmp_path / "elsewhere.db").rename(path)
            assert store.peek_session(REALM, sid(1)) == a_session(1)
            assert await store.touch_session(REALM, sid(1), a_session(1).created_at + timedelta(seconds=1))

    asyncio.run(scenario())


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
def test_nothing_is_written_once_the_log_or_its_index_is_gone(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "desk.db"

    async def scenario() -> None:
        async with opened(path) as store:
            await create(store, a_session(1))
            path.with_name(path.name + suffix).unlink()
            with pytest.raises(StoreMissingError):
                await store.end_session(REALM, sid(1), reason="revoked", now=T0)

    asyncio.run(scenario())


def _alter(path: Path, sql: str) -> None:
    connection = apsw.Connection(str(path))
    connection.execute(sql)
    connection.close()


def test_a_file_that_another_process_is_just_making_is_not_taken_for_that_of_another_program(tmp_path: Path) -> None:
    looking, making = apsw.Connection(str(tmp_path / "desk.db")), apsw.Connection(str(tmp_path / "desk.db"))
    making.set_busy_timeout(0)

    def make(statement: dict[str, object]) -> None:
        """All at once, between two questions of whoever looks, unless that keeps it out."""
        if "user_version" not in str(statement.get("sql")):
            return
        looking.trace_v2(0, None)
        with suppress(apsw.BusyError):
            making.execute(f"BEGIN; CREATE TABLE meta(name); PRAGMA application_id = {APPLICATION_ID}; "
                           "PRAGMA user_version = 1; COMMIT")  # fmt: skip
        if making.in_transaction:
            making.execute("ROLLBACK")

    looking.trace_v2(apsw.SQLITE_TRACE_STMT, make)
    assert recognise(looking, newest=1) in {0, 1}
    looking.close()
    making.close()
