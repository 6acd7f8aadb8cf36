"""The settings: where they come from, which of them wins, and what is refused in which words."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError, fields
from datetime import timedelta
from pathlib import Path

import pytest

from frontdesk.errors import ConfigurationError
from frontdesk.server.settings import READERS, ServerSettings
from frontdesk.server.sources import load_settings
from tests.requirements import ROOT

STRONG = "x8TqzN4vKp2Wm7RcJ5hLd9YbGf3AsQeU"
PAGE = (ROOT / "docs" / "settings.md").read_text()


def loaded(directory: Path, toml: str = "", environ: dict[str, str] | None = None, **flags: object) -> ServerSettings:
    file = directory / "frontdesk.toml"
    file.write_text(toml)
    file.chmod(0o600)
    return load_settings(flags, environ=environ or {}, config=file)


def refusal(directory: Path, toml: str = "", environ: dict[str, str] | None = None, **flags: object) -> str:
    with pytest.raises(ConfigurationError) as caught:
        loaded(directory, toml, environ, **flags)
    assert "\n" not in caught.value.message
    return caught.value.message.replace(f"{directory}/", "")


def test_flags_win_over_the_environment_over_the_file_over_the_default(tmp_path: Path) -> None:
    file = "port = 1\nworkers = 2\ngrace = '3s'"
    environ = {"FRONTDESK_PORT": "10", "FRONTDESK_WORKERS": "20"}
    settings = loaded(tmp_path, file, environ, port=100)
    assert (settings.port, settings.workers, settings.grace) == (100, 20, timedelta(seconds=3))
    assert settings.host == "127.0.0.1"


def test_every_setting_can_be_read_and_every_reader_has_its_setting() -> None:
    assert {each.name for each in fields(ServerSettings)} == set(READERS)


def test_the_page_on_settings_names_each_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| `?([^|`]*)`? \|", PAGE, re.MULTILINE))
    assert set(rows) == set(READERS)
    settings = ServerSettings()
    for name, shown in rows.items():
        wanted = getattr(settings, name)
        assert READERS[name](shown.strip() or ("" if isinstance(wanted, str | tuple) else shown)) == wanted, name


@pytest.mark.parametrize("sample", re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL))
def test_every_sample_file_of_the_page_is_accepted(tmp_path: Path, sample: str) -> None:
    loaded(tmp_path, sample, {"FRONTDESK_SECRET": STRONG})


def test_a_missing_default_file_is_no_fault_but_a_missing_named_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings(environ={}) == ServerSettings()
    (tmp_path / "frontdesk.toml").write_text("port = 81")
    assert load_settings(environ={}).port == 81
    with pytest.raises(ConfigurationError, match=r"other\.toml cannot be read: No such file or directory"):
        load_settings(environ={"FRONTDESK_CONFIG": "other.toml"})
    with pytest.raises(ConfigurationError, match=r"third\.toml cannot be read"):
        load_settings(environ={"FRONTDESK_CONFIG": "frontdesk.toml"}, config=Path("third.toml"))


def test_an_empty_variable_is_no_setting_and_those_of_the_tests_are_none(tmp_path: Path) -> None:
    environ = {"FRONTDESK_PORT": "", "FRONTDESK_REQUIRE": "all", "FRONTDESK_VECTORS": "x", "HOME": "/"}
    environ["FRONTDESK_SERVICE_CREDENTIAL"] = "fdk_of-a-service-beside-it"
    environ["FRONTDESK_EXPLAIN_CREDENTIAL"] = "fdk_of-who-explains"
    assert loaded(tmp_path, "", environ) == ServerSettings()


@pytest.mark.parametrize(
    ("toml", "environ", "flags", "sentence"),
    [
        ("port = 1\nprot = 2", {}, {}, "frontdesk.toml, line 2: there is no setting prot; did you mean port?"),
        (
            "# a = 1\n\n[sessions]\nidle = '7d'",
            {},
            {},
            "frontdesk.toml, line 3: there is no setting sessions; did you mean max_sessions?",
        ),
        ("a.b = 1", {}, {}, "frontdesk.toml, line 1: there is no setting a; docs/settings.md lists them all"),
        (
            "",
            {"FRONTDESK_BASEURL": "x"},
            {},
            "environment: there is no setting FRONTDESK_BASEURL; did you mean FRONTDESK_BASE_URL?",
        ),
        ("", {}, {"wokers": 2}, "--set: there is no setting wokers; did you mean workers?"),
        ("", {}, {"HUNTER2SECRET": "="}, "--set: there is no setting of this name; docs/settings.md lists them all"),
        ("grace = 30", {}, {}, "frontdesk.toml, line 1: grace is a duration such as 30s, 15m, 12h or 7d, not 30"),
        (
            "",
            {"FRONTDESK_PORT": "http"},
            {},
            "environment, FRONTDESK_PORT: port is a whole number, not 'http'",
        ),
        ("", {}, {"log_format": "xml"}, "--log-format: log_format is one of auto, json, text, not 'xml'"),
    ],
)
def test_what_is_not_understood_is_named_with_the_place_where_it_stands(
    tmp_path: Path, toml: str, environ: dict[str, str], flags: dict[str, object], sentence: str
) -> None:
    assert refusal(tmp_path, toml, environ, **flags) == sentence


def test_a_file_that_is_not_toml_says_where(tmp_path: Path) -> None:
    assert "frontdesk.toml is not TOML: " in refusal(tmp_path, "port: 1")
    (tmp_path / "latin.toml").write_bytes(b"title = 'caf\xe9'")
    with pytest.raises(ConfigurationError, match="is not TOML"):
        load_settings(environ={}, config=tmp_path / "latin.toml")


# --- the secret -----------------------------------------------------------------------------------------------------


def test_secrets_come_from_file_or_environment_newest_first_and_are_not_shown(tmp_path: Path) -> None:
    other = STRONG[::-1]
    from_file = loaded(tmp_path, f'secret = ["{STRONG}", "{other}"]')
    from_environment = loaded(tmp_path, "", {"FRONTDESK_SECRET": f"{STRONG}, {other}"})
    assert from_file.secret == from_environment.secret == (STRONG, other)
    assert STRONG not in repr(from_file)


def test_a_secret_in_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "frontdesk.toml"
    file.write_text(f'secret = "{STRONG}"')
    file.chmod(0o640)
    with pytest.raises(ConfigurationError, match="holds the secret and others may read it; run `chmod 600"):
        load_settings(environ={}, config=file)


def test_a_secret_is_never_a_flag_and_never_in_a_refusal(tmp_path: Path) -> None:
    assert "set FRONTDESK_SECRET" in refusal(tmp_path, secret=STRONG)
    assert STRONG not in refusal(tmp_path, "", {"FRONTDESK_SECRET": STRONG + "\x07"})
    assert refusal(tmp_path, "secret = 12345").endswith("secret is a string or a list of strings")


# --- what cannot be -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"host": "0.0.0.0"}, "host is 0.0.0.0, which others can reach: set base_url to the address that browsers use"),
        ({"host": "::"}, "set base_url"),
        ({"host": ""}, "host is empty; write 127.0.0.1"),
        ({"host": "0.0.0.0", "dev": True}, "dev is for loopback only; leave host at 127.0.0.1 instead of 0.0.0.0"),
        (
            {"host": "192.0.2.1", "insecure_cookies": True, "base_url": "https://desk.example"},
            "insecure_cookies is for loopback only",
        ),
        ({"port": 65536}, "port is at most 65535, not 65536"),
        ({"workers": 0}, "workers is between 1 and 64, not 0"),
        ({"workers": 65}, "workers is between 1 and 64, not 65"),
        ({"workers": 2, "store": "memory:"}, "the store memory: is not shared between workers"),
        ({"shutdown_timeout": timedelta(milliseconds=10)}, "shutdown_timeout is between 1s and 10m"),
        ({"base_url": "desk.example"}, "base_url is the address that browsers use, such as https://desk.example"),
        ({"base_url": "https://desk.example?x"}, "base_url is the address"),
        ({"base_url": "https://u@desk.example"}, "base_url is the address"),
        ({"base_url": "ftp://desk.example"}, "base_url is the address"),
        ({"base_url": "https://["}, "base_url is the address"),
        ({"base_url": "http://desk.example"}, "base_url is plain http: browsers keep no Secure cookie there"),
        ({"hosts": ("desk.example:443",)}, "hosts holds names without a port"),
        ({"hosts": ("*",)}, "hosts holds names without a port"),
        ({"trusted_origins": ("desk.example",)}, "the settings cannot be: 'desk.example' is not an origin"),
        ({"trusted_proxies": ("0.0.0.0/0",)}, "the settings cannot be: 0.0.0.0/0 trusts everybody"),
        ({"cookie_suffix": "a b"}, "the settings cannot be: 'a b' cannot be part of a cookie name"),
        ({"access_token": timedelta(days=1)}, "the settings cannot be: access_token must be between"),
        ({"session_idle": timedelta(days=60)}, "the settings cannot be: idle must be above zero, at most absolute"),
        ({"max_sessions": 0}, "the settings cannot be: max_sessions must be at least 1"),
        ({"password_words": ("ab",)}, "the settings cannot be: a context word has at least 3 characters"),
    ],
)
def test_what_cannot_be_or_would_be_unsafe_is_one_sentence(given: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ServerSettings(**given)  # type: ignore[arg-type]
    assert sentence in caught.value.message
    assert "\n" not in caught.value.message


# --- what follows ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "served"),
    [
        ({}, {"localhost", "127.0.0.1", "[::1]"}),
        ({"host": "127.0.0.2"}, {"localhost", "127.0.0.1", "127.0.0.2", "[::1]"}),
        ({"host": "::1"}, {"localhost", "127.0.0.1", "[::1]"}),
        ({"base_url": "https://Desk.example"}, {"localhost", "127.0.0.1", "[::1]", "desk.example"}),
        ({"host": "0.0.0.0", "base_url": "https://desk.example:8443/"}, {"desk.example"}),
        ({"hosts": ("A.example", "b.example")}, {"a.example", "b.example"}),
    ],
)
def test_which_hosts_are_served(given: dict[str, object], served: set[str]) -> None:
    settings = ServerSettings(**given)  # type: ignore[arg-type]
    assert settings.served_hosts == served
    assert settings.edge().hosts == served


def test_issuer_and_origin_come_from_the_base_url() -> None:
    settings = ServerSettings(host="0.0.0.0", base_url="https://desk.example/")
    assert settings.desk().issuer == "https://desk.example"
    assert settings.edge().origins.scheme == "https"
    assert ServerSettings().desk().issuer == "http://localhost"
    assert ServerSettings(base_url="http://localhost:8000").edge().origins.scheme is None


def test_session_times_reach_the_desk() -> None:
    settings = ServerSettings(
        access_token=timedelta(minutes=1),
        session_idle=timedelta(hours=1),
        session_absolute=timedelta(hours=2),
        grace=timedelta(seconds=4),
        touch_every=timedelta(seconds=5),
        max_sessions=6,
        late_retry="end",
    )
    policy = settings.desk().sessions
    assert (policy.access_token, policy.idle, policy.absolute) == (
        timedelta(minutes=1),
        timedelta(hours=1),
        timedelta(hours=2),
    )
    assert (policy.grace, policy.touch_every) == (timedelta(seconds=4), timedelta(seconds=5))
    assert (policy.max_sessions, policy.late_retry) == (6, "end")


def test_settings_are_frozen_and_hashing_has_profiles() -> None:
    settings = ServerSettings(hashing="small")
    assert settings.hash_parameters().memory_kib == 19456
    with pytest.raises(FrozenInstanceError):
        settings.port = 1  # type: ignore[misc]
