"""Master secrets and the key file: weak ones stop the start, and nothing is ever overwritten."""

from __future__ import annotations

import base64
import hashlib
import stat
import threading
import uuid
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frontdesk.core.secrets import check_secret
from frontdesk.errors import ConfigurationError, StoreCorruptError
from frontdesk.service.keys import MasterKeys
from frontdesk.service.secret_file import read_or_create
from frontdesk.wiring import build_desk, key_file, master_secrets, open_store, sqlite_path
from tests.service.desks import OTHER_SECRET, SECRET


@pytest.mark.parametrize(
    ("secret", "sentence"),
    [
        ("", "needs at least 32"),
        ("short", "needs at least 32"),
        ("x" * 31, "needs at least 32"),
        ("x" * 64, "repeats itself"),
        ("abab" * 16, "repeats itself"),
        ("change-me-change-me-change-me-change-me", "sample value"),
        ("secretsecretsecretsecretsecretsecret", "sample value"),
        ("your-secret-password-for-this-example", "sample value"),
        ("CHANGE_ME_CHANGE_ME_CHANGE_ME_32", "sample value"),
        ("c-h-a-n-g-e_m-e-" * 3, "sample value"),
        ("qwertyuiopasdfghjklzxcvbnm123456", "sample value"),
        ("12345678901234567890123456789012", "repeats itself"),
        ("abcdefgh" * 4, "repeats itself"),
        ("qwertyui" * 4, "repeats itself"),
        ("kV7z-Qp2" * 4 + "!", "repeats itself"),
        ("Zk6HnV1oXt8DiBw4" * 2, "repeats itself"),
        ("abcdefghijklmnopqrstuvwxyzABCDEF", "repeats itself"),
        ("zyxwvutsrqponmlkjihgfedcba987654", "repeats itself"),
        ("aabbccddeeffgghhiijjkkllmmnnoopp", "repeats itself"),
        ("acegikmoqsuwyACEGIKMOQSUWY024680", "repeats itself"),
        ("31415926535897932384626433832795028841", "repeats itself"),
        ("hjkahsjdkhaskjdhakjsdhkajshdkjahs", "repeats itself"),
    ],
)
def test_a_weak_secret_is_refused_with_what_to_do(secret: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence) as caught:
        check_secret(secret)
    assert "token_urlsafe" in caught.value.message
    assert not secret or secret not in caught.value.message


def test_a_good_secret_is_taken_as_text_or_bytes() -> None:
    assert check_secret(SECRET) == SECRET.encode()
    raw = hashlib.sha256(b"32 bytes that are no text").digest()
    assert check_secret(raw) == raw


def test_bytes_in_their_order_are_no_secret() -> None:
    for raw in (bytes(range(32)), bytes(range(200, 168, -1)), bytes(range(0, 256, 4))):
        with pytest.raises(ConfigurationError, match="repeats itself"):
            check_secret(raw)


@settings(max_examples=400)
@given(st.binary(min_size=32, max_size=32).map(lambda seed: hashlib.sha512(seed).digest()))
def test_what_a_generator_makes_is_always_taken(random: bytes) -> None:
    urlsafe = base64.urlsafe_b64encode(random[:32]).rstrip(b"=").decode()
    for secret in (
        urlsafe,  # secrets.token_urlsafe(32)
        random[:32].hex(),  # secrets.token_hex(32), openssl rand -hex 32
        random[:32].hex().upper(),
        random[:16].hex(),  # uuid.uuid4().hex
        str(uuid.UUID(bytes=random[:16])),
        base64.b64encode(random[:32]).decode(),  # openssl rand -base64 32
        base64.b64encode(random).decode(),
        base64.b32encode(random[:20]).decode(),
        random[:32],
    ):
        check_secret(secret)


def test_one_secret_is_not_a_list_of_secrets() -> None:
    with pytest.raises(TypeError):
        MasterKeys(SECRET)
    with pytest.raises(TypeError):
        MasterKeys([])


def test_keys_are_never_shown() -> None:
    shown = repr(MasterKeys([SECRET])) + repr(MasterKeys([SECRET]).mac)
    assert SECRET not in shown
    assert "session=" not in shown


def test_what_one_secret_sealed_another_does_not_open() -> None:
    sealed = MasterKeys([SECRET]).seal(b"private", b"context", bytes)
    assert MasterKeys([OTHER_SECRET, SECRET]).unseal(sealed, b"context") == b"private"
    for keys, context in ((MasterKeys([OTHER_SECRET]), b"context"), (MasterKeys([SECRET]), b"elsewhere")):
        with pytest.raises(ConfigurationError):
            keys.unseal(sealed, context)


@pytest.mark.parametrize("length", [0, 1, 7, 11, 12, 27])
def test_a_sealed_key_that_was_cut_short_is_damage_and_says_so(length: int) -> None:
    keys = MasterKeys([SECRET])
    sealed = keys.seal(b"private", b"context", bytes)[:length]
    with pytest.raises(StoreCorruptError, match="cut short"):
        keys.unseal(sealed, b"context")


def test_the_key_file_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    database = tmp_path / "app.db"
    path = key_file(database)
    secret = read_or_create(path, database=database)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_or_create(path, database=database) == secret
    assert [entry.name for entry in tmp_path.iterdir()] == ["app.db.key"]
    check_secret(secret)


def test_of_many_starters_all_get_the_same_secret(tmp_path: Path) -> None:
    database = tmp_path / "app.db"
    gate = threading.Barrier(8)
    secrets: list[str] = []

    def start() -> None:
        gate.wait()
        secrets.append(read_or_create(key_file(database), database=database))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(secrets) == 8
    assert len(set(secrets)) == 1


def test_a_key_file_that_others_may_read_stops_the_start(tmp_path: Path) -> None:
    database = tmp_path / "app.db"
    read_or_create(key_file(database), database=database)
    key_file(database).chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        read_or_create(key_file(database), database=database)


def test_a_missing_key_file_beside_a_database_stops_the_start_and_makes_nothing(tmp_path: Path) -> None:
    database = tmp_path / "app.db"
    database.write_bytes(b"SQLite format 3\x00")
    with pytest.raises(ConfigurationError, match=r"key file .* is missing"):
        read_or_create(key_file(database), database=database)
    assert not key_file(database).exists()


def test_a_starter_that_was_overtaken_reads_the_file_of_the_one_that_made_it(tmp_path: Path) -> None:
    path = tmp_path / "app.db.key"

    class Database(type(tmp_path)):  # type: ignore[misc]
        """One whose owner makes it, after the key file, between two looks of somebody else."""

        def exists(self, *_: object, **__: object) -> bool:
            path.write_text(SECRET)
            path.chmod(0o600)
            self.write_bytes(b"SQLite format 3\x00")
            return True

    assert read_or_create(path, database=Database(tmp_path / "app.db")) == SECRET


def test_an_empty_key_file_stops_the_start(tmp_path: Path) -> None:
    path = tmp_path / "app.db.key"
    path.touch(mode=0o600)
    with pytest.raises(ConfigurationError, match="is empty"):
        read_or_create(path, database=tmp_path / "app.db")


def test_given_secrets_come_before_the_environment_and_that_before_the_key_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/app.db"
    monkeypatch.setenv("FRONTDESK_SECRET", f"{SECRET}, {OTHER_SECRET}")
    assert master_secrets(url, OTHER_SECRET) == [OTHER_SECRET]
    assert master_secrets(url, None) == [SECRET, OTHER_SECRET]
    assert not (tmp_path / "app.db.key").exists()
    monkeypatch.delenv("FRONTDESK_SECRET")
    assert master_secrets(url, None) == [(tmp_path / "app.db.key").read_text().strip()]
    assert master_secrets("memory:", None) != master_secrets("memory:", None)


@pytest.mark.parametrize(
    "url", ["", "app.db", "sqlite:app.db", "sqlite:///", "sqlite:///a?mode=ro", "mysql://x", "postgresql:x"]
)
def test_a_url_that_names_no_store_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        open_store(url)


def test_sqlite_urls_are_relative_with_three_slashes_and_absolute_with_four() -> None:
    assert sqlite_path("sqlite:///app.db") == Path("app.db")
    assert sqlite_path("sqlite:////srv/app.db") == Path("/srv/app.db")


def test_building_a_desk_touches_no_database(tmp_path: Path) -> None:
    build_desk(f"sqlite:///{tmp_path}/app.db", secret=SECRET)
    assert list(tmp_path.iterdir()) == []
