"""Storages: a file that its owner alone can read, replaced whole, locked between processes; and the record in it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdesk.client import Credentials, FileStorage, LockFile, MemoryStorage, StorageError, file_storage
from frontdesk.client.credentials import Held, Timers, hold
from tests.client.serving import Watch
from tests.requirements import ROOT
from tests.server.processes import PATIENCE

KEPT = Credentials(
    desk="https://desk.example", access_token="a.b.c", refresh_token="fdr_1", expires_in=900, session="s"
)
OTHER = Credentials(desk="https://desk.example", access_token="d.e.f")

TOKENS = st.from_regex(r"[A-Za-z0-9._~+/-]+", fullmatch=True)


@pytest.fixture
def storage(tmp_path: Path) -> FileStorage:
    return FileStorage(tmp_path / "a directory" / "credentials [1]")


# --- the record


@given(
    st.builds(
        Credentials,
        desk=st.text(),
        access_token=TOKENS,
        refresh_token=TOKENS | st.just(""),
        expires_in=st.integers(0, 10**6),
        issued_at=st.floats(0, 10**11),
        subject=st.text(),
        session=st.text(),
    )
)
def test_credentials_come_back_as_they_were_written(credentials: Credentials) -> None:
    assert Credentials.loads(credentials.dumps()) == credentials


@given(st.text() | st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape")))
def test_anything_else_is_a_value_error_that_does_not_show_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"^this is not what Credentials\.dumps wrote$"):
        Credentials.loads(text)


@pytest.mark.parametrize("token", ["", "two words", "line\nbreak", "ümlaut", "a,b", "=", "x\0"])
def test_a_token_that_could_not_stand_in_a_header_is_refused_without_being_shown(token: str) -> None:
    with pytest.raises(ValueError, match="characters") as caught:
        Credentials(desk="https://desk.example", access_token=token)
    assert not token or token not in str(caught.value)
    if token:
        with pytest.raises(ValueError, match="refresh token has characters"):
            Credentials(desk="https://desk.example", access_token="a", refresh_token=token)


def test_credentials_do_not_show_what_they_hold() -> None:
    assert repr(KEPT) == "Credentials(...)"
    assert "a.b.c" not in repr(Held(KEPT, 0.0, 0.0))


@pytest.mark.parametrize(
    ("lifetime", "margin"), [(900, 30.0), (300, 30.0), (200, 20.0), (10, 1.0)], ids=["usual", "5 min", "200 s", "10 s"]
)
def test_a_token_is_due_shortly_before_it_expires(lifetime: int, margin: float) -> None:
    timers = Timers(boot=Watch(), wall=lambda: 5000.0)
    issued = Credentials(desk="d", access_token="a", refresh_token="r", expires_in=lifetime, issued_at=4995.0)
    assert hold(issued, timers) == Held(issued, 1000.0 - 5 + lifetime - margin, 1000.0 - 5 + lifetime)


def test_a_token_from_the_future_is_as_good_as_new() -> None:
    timers = Timers(boot=Watch(), wall=lambda: 5000.0)
    issued = Credentials(desk="d", access_token="a", refresh_token="r", expires_in=900, issued_at=9999.0)
    assert hold(issued, timers).expires_at == 1900.0


def test_what_cannot_be_renewed_is_never_due() -> None:
    timers = Timers(boot=Watch(), wall=lambda: 5000.0)
    session = Credentials(desk="d", access_token="fds_x")
    assert hold(session, timers)[1:] == (float("inf"), float("inf"))
    alone = Credentials(desk="d", access_token="a", expires_in=900, issued_at=0.0)
    assert hold(alone, timers)[1:] == (float("inf"), -3100.0)


def test_sessions_are_compared_as_far_as_they_are_known() -> None:
    def of(session: str, token: str) -> Credentials:
        return Credentials(desk="d", access_token=token, session=session)

    assert of("s", "a").is_of_session_of(of("s", "b"))
    assert of("", "a").is_of_session_of(of("s", "a"))
    assert not of("s", "a").is_of_session_of(of("t", "b"))
    assert not of("", "a").is_of_session_of(of("", "b"))


# --- a file


def test_a_file_is_there_as_soon_as_it_is_saved_and_only_for_its_owner(storage: FileStorage) -> None:
    assert storage.load() is None
    storage.save(KEPT)
    assert FileStorage(storage.path).load() == KEPT
    assert storage.path.stat().st_mode & 0o777 == 0o600
    assert storage.path.parent.stat().st_mode & 0o777 == 0o700
    storage.save(OTHER)
    assert storage.load() == OTHER
    assert [path.name for path in storage.path.parent.iterdir()] == [storage.path.name]
    storage.clear()
    storage.clear()
    assert storage.load() is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620, 0o602])
def test_a_file_that_others_may_read_or_write_is_refused(storage: FileStorage, mode: int) -> None:
    storage.save(KEPT)
    storage.path.chmod(mode)
    with pytest.raises(StorageError, match="chmod 600"):
        storage.load()
    storage.path.chmod(0o600)
    assert storage.load() == KEPT


def test_a_umask_that_gives_everything_changes_nothing(storage: FileStorage) -> None:
    before = os.umask(0)
    try:
        storage.save(KEPT)
        with storage.lock(0.0):
            pass
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in storage.path.parent.iterdir()} == {0o600}


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"desk": "d"}', b"\xff", b'{"desk": "d", "access_token": "a b"}']
)
def test_a_file_that_holds_something_else_is_refused(storage: FileStorage, content: bytes) -> None:
    storage.save(KEPT)
    storage.path.write_bytes(content)
    with pytest.raises(StorageError, match=r"remove it|cannot be used"):
        storage.load()


def test_a_path_that_cannot_be_a_file_is_a_storage_error(tmp_path: Path) -> None:
    blocked = FileStorage(tmp_path / "file" / "credentials")
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(StorageError, match="cannot be used"):
        blocked.load()
    with pytest.raises(StorageError, match="cannot be used"):
        blocked.save(KEPT)
    with pytest.raises(StorageError, match="cannot be used"):
        blocked.clear()
    with pytest.raises(StorageError, match="cannot be used"), blocked.lock(0.0):
        pass
    with pytest.raises(StorageError, match="cannot be used"), LockFile(tmp_path / "file" / "lock").hold(0.0):
        pass


def test_clearing_what_was_never_there_makes_nothing(tmp_path: Path) -> None:
    FileStorage(tmp_path / "nowhere" / "credentials").clear()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_what_was_there(storage: FileStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.save(KEPT)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        storage.save(OTHER)
    assert storage.load() == KEPT
    assert [path.name for path in storage.path.parent.iterdir()] == [storage.path.name]


def test_the_order_is_write_sync_rename_sync(storage: FileStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.save(OTHER)
    seen: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noting_sync(descriptor: int) -> None:
        target = os.readlink(f"/proc/self/fd/{descriptor}")
        seen.append("directory" if target == str(storage.path.parent) else "file")
        fsync(descriptor)

    def noting_replace(source: str, target: str) -> None:
        assert Credentials.loads(Path(source).read_text()) == KEPT
        seen.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noting_sync)
    monkeypatch.setattr(os, "replace", noting_replace)
    storage.save(KEPT)
    assert seen == ["file", "rename", "directory"]


def test_remains_of_the_dead_are_removed_and_of_the_living_are_not(storage: FileStorage) -> None:
    storage.save(KEPT)
    old, new = (storage.path.with_name(f".{storage.path.name}.{name}.new") for name in ("old", "new"))
    other = storage.path.with_name(".something else.new")
    for path in (old, new, other):
        path.write_text("remains")
    os.utime(old, (0, 0))
    os.utime(other, (0, 0))
    with storage.lock(1.0) as alone:
        assert alone
    assert not old.exists()
    assert new.exists()
    assert other.exists()


def test_remains_that_cannot_be_removed_are_left(storage: FileStorage) -> None:
    storage.save(KEPT)
    remains = storage.path.with_name(f".{storage.path.name}.old.new")
    remains.mkdir()
    os.utime(remains, (0, 0))
    with storage.lock(1.0) as alone:
        assert alone
    assert remains.exists()


def test_what_comes_too_late_under_a_lock_is_not_written(storage: FileStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch()
    monkeypatch.setattr(file_storage, "BOOT_TIMER", watch)
    storage.save(KEPT)
    with storage.lock(1.0):
        watch.seconds += file_storage.HOLD_SECONDS + 1
        with pytest.raises(StorageError, match="not written in time"):
            storage.save(OTHER)
    assert storage.load() == KEPT
    storage.save(OTHER)
    assert storage.load() == OTHER
    assert sorted(path.suffix for path in storage.path.parent.iterdir()) == ["", ".lock"]


# --- the lock


def test_a_lock_is_held_by_one_and_waited_for_no_longer_than_asked(storage: FileStorage) -> None:
    second = FileStorage(storage.path)
    with storage.lock(1.0) as alone:
        assert alone
        with second.lock(0.05) as too:
            assert not too
    with second.lock(0.0) as alone:
        assert alone


def test_a_link_in_the_place_of_the_lock_makes_no_file_elsewhere(storage: FileStorage, tmp_path: Path) -> None:
    storage.save(KEPT)
    storage.path.with_name(f"{storage.path.name}.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="cannot be used"), storage.lock(0.0):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_a_lock_is_had_as_soon_as_it_is_free(storage: FileStorage) -> None:
    heard: list[bool] = []
    waiting = threading.Event()

    def wait() -> None:
        waiting.set()
        with FileStorage(storage.path).lock(PATIENCE) as alone:
            heard.append(alone)

    with storage.lock(1.0):
        thread = threading.Thread(target=wait)
        thread.start()
        assert waiting.wait(PATIENCE)
        assert heard == []
    thread.join(PATIENCE)
    assert heard == [True]


def test_a_process_that_is_killed_leaves_the_lock(storage: FileStorage) -> None:
    script = (
        "import sys, time\nfrom frontdesk.client import FileStorage\n"
        "with FileStorage(sys.argv[1]).lock(1.0) as alone:\n    print(alone, flush=True)\n    sys.stdin.read()\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(storage.path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        with storage.lock(0.0) as alone:
            assert not alone
        holder.send_signal(signal.SIGKILL)
        with storage.lock(PATIENCE) as alone:
            assert alone


def test_a_child_that_was_forked_meanwhile_keeps_no_lock(storage: FileStorage) -> None:
    leave = multiprocessing.get_context("fork").Event()
    with storage.lock(1.0):
        child = multiprocessing.get_context("fork").Process(target=leave.wait, args=(PATIENCE,))
        child.start()
    try:
        with storage.lock(0.0) as alone:
            assert alone
    finally:
        leave.set()
        child.join(PATIENCE)


def test_where_there_is_no_flock_nobody_is_alone(storage: FileStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_storage, "HAS_FLOCK", False)
    with storage.lock(PATIENCE) as alone:
        assert not alone
        storage.save(KEPT)
    assert storage.load() == KEPT


def test_where_modes_mean_nothing_they_are_not_looked_at(storage: FileStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.save(KEPT)
    storage.path.chmod(0o644)
    status = storage.path.stat()
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(os, "name", "nt")
        file_storage._refuse_what_others_read(storage.path, status)


def test_memory_has_a_lock_too() -> None:
    storage = MemoryStorage()
    with storage.lock(0.0) as alone, storage.lock(0.0) as too:
        assert (alone, too) == (True, False)
    storage.save(KEPT)
    assert storage.load() == KEPT
    storage.clear()
    assert storage.load() is None
