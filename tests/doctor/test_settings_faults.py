"""Faults in settings, secrets and files, each planted in real ones: exactly the finding that is meant appears."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from frontdesk.cli.commands import app
from tests.cli.transcript import ENVIRON
from tests.doctor.deployments import Deployment, codes, run, text_of

Plant = Callable[[Deployment], object]

FASTAPI_SAMPLE = "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7"


def setting(**changed: str | None) -> Plant:
    return lambda deployment: deployment.set(**changed)


def mode(name: str, bits: int) -> Plant:
    return lambda deployment: os.chmod(getattr(deployment, name), bits)


def key_file(deployment: Deployment, *, age_days: int = 0) -> Path:
    """The secret in a key file, as a server without `secret` keeps it."""
    deployment.set(secret=None)
    path = deployment.database.with_name("desk.db.key")
    path.write_text(deployment.secret + "\n")
    path.chmod(0o600)
    os.utime(path, (time.time() - age_days * 86400,) * 2)
    return path


def readable_key_file(deployment: Deployment) -> None:
    key_file(deployment).chmod(0o640)


def idle_key_file(deployment: Deployment) -> None:
    key_file(deployment)
    deployment.set(secret=f'"{deployment.secret}"')


def writable_config(deployment: Deployment) -> None:
    key_file(deployment)
    deployment.config.chmod(0o666)


def two_secrets(deployment: Deployment, *, age_days: int = 0) -> None:
    deployment.set(secret=f'["{deployment.secret}", "{deployment.secret[::-1]}"]')
    os.utime(deployment.config, (time.time() - age_days * 86400,) * 2)


def old_config(deployment: Deployment) -> None:
    os.utime(deployment.config, (time.time() - 900 * 86400,) * 2)


FAULTS: dict[str, tuple[Plant, list[str]]] = {
    "secret_weak": (setting(secret='"changeme-changeme-changeme-changeme"'), []),
    "secret_published": (setting(secret=f'"{FASTAPI_SAMPLE}"'), []),
    "secret_repeated": (lambda each: each.set(secret=f'["{each.secret}", "{each.secret}"]'), []),
    "secret_changing": (two_secrets, []),
    "secret_left_behind": (lambda each: two_secrets(each, age_days=40), []),
    "secret_old": (lambda each: key_file(each, age_days=900), ["key_beside_database"]),
    "secret_old in the file of settings": (old_config, []),
    "key_file_idle": (idle_key_file, []),
    "key_beside_database": (key_file, []),
    "key_file_mode": (readable_key_file, ["key_beside_database"]),
    "config_mode": (mode("config", 0o644), []),
    "config_writable": (writable_config, ["key_beside_database"]),
    "database_mode": (mode("database", 0o644), []),
    "directory_writable": (mode("var", 0o777), []),
    "settings_refused": (setting(session_idle='"7d"', grace='"9m"'), []),
    "settings_refused for a cookie's name": (setting(cookie_suffix='"a b"'), []),
    "settings_refused for a proxy": (setting(trusted_proxies='["the proxy"]'), []),
    "base_url_missing": (setting(base_url=None, host='"0.0.0.0"'), []),
    "base_url_plain": (setting(base_url='"http://desk.example"'), []),
    "limits_out_of_order": (setting(session_idle='"31d"'), []),
    "access_token_too_long": (setting(access_token='"12h"'), []),
    "key_rotation_off": (setting(key_rotation='"0"'), []),
    "dev_reachable": (setting(dev="true"), []),
    "insecure_cookies": (setting(insecure_cookies="true"), []),
    "insecure_trust_stale": (setting(insecure_trust_stale="true"), []),
    "open_metrics": (setting(open_metrics="true"), []),
    "proxies_untrusted": (setting(trusted_proxies=None), []),
    "proxies_everybody": (setting(trusted_proxies='["0.0.0.0/0"]'), []),
    "plain_port_open": (setting(host='"0.0.0.0"'), []),
    "suffix_is_port": (setting(cookie_suffix='"8000"'), []),
    "prefix_readable": (setting(cookie_prefix='"__Host-"'), []),
    "origin_cross_site": (
        setting(trusted_origins='["https://app.example"]', base_url='"https://desk.co.uk"'),
        [],
    ),
    "origin_plain": (setting(trusted_origins='["http://app.desk.example"]'), []),
    "stateless_verifiers": (setting(audience='["orders"]'), []),
    "secret_missing": (setting(secret=None), []),
    "secret_missing over a network": (setting(secret=None, store='"redis://127.0.0.1:1"'), ["unseen the store"]),
    "staleness_exceeds_token": (
        setting(store='"redis://127.0.0.1:1"', max_staleness='"5m"', access_token='"2m"'),
        ["unseen the store"],
    ),
    "staleness_below_poll": (setting(store='"redis://127.0.0.1:1"', max_staleness='"500ms"'), ["unseen the store"]),
    "store_refused": (setting(store='"sqlite:///"'), []),
}
"""Code → how its fault is planted, and what else is found because of it."""

PLANTED = frozenset(code.partition(" ")[0] for code in FAULTS)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that was made just now."""
    deployment = Deployment(tmp_path_factory.mktemp("template"))
    deployment.make_store()
    return deployment.database


@pytest.mark.parametrize("code", FAULTS)
def test_the_fault_is_found_and_nothing_else(code: str, tmp_path: Path, template: Path) -> None:
    plant, others = FAULTS[code]
    deployment = Deployment(tmp_path, template=template)
    plant(deployment)
    assert sorted(deployment.doctor()) == sorted([code.partition(" ")[0], *others])


@pytest.mark.parametrize("code", FAULTS)
def test_what_people_read_fits_80_columns_and_has_no_colour(code: str, tmp_path: Path, template: Path) -> None:
    deployment = Deployment(tmp_path, template=template)
    FAULTS[code][0](deployment)
    said, _ = text_of("--config", str(deployment.config))
    assert f": {code.partition(' ')[0]}\n" in said
    # What is to be copied stands on a line of its own, four columns in, and is never broken.
    assert [line for line in said.splitlines() if len(line) > 80 and not line.startswith("    ")] == []
    assert "\x1b" not in said


def test_a_trusted_origin_of_the_same_site_is_fine(tmp_path: Path, template: Path) -> None:
    deployment = Deployment(tmp_path, template=template)
    deployment.set(trusted_origins='["https://app.example.co.uk"]', base_url='"https://desk.example.co.uk"')
    assert deployment.doctor(status=0) == []


def test_a_finding_names_the_line_that_it_comes_from(tmp_path: Path, template: Path) -> None:
    deployment = Deployment(tmp_path, template=template)
    deployment.set(open_metrics="true")
    line = deployment.config.read_text().splitlines().index("open_metrics = true") + 1
    (finding,) = run("--config", str(deployment.config))["findings"]
    assert f"frontdesk.toml, line {line}" in finding["seen"]
    assert finding["change"].startswith("open_metrics = false")


@pytest.mark.parametrize(
    ("code", "setting", "said"),
    [
        ("settings_refused", "grace", "grace must be between"),
        ("settings_refused for a cookie's name", "cookie_suffix", "'a b' cannot be part of a cookie name"),
        ("settings_refused for a proxy", "trusted_proxies", "'the proxy' does not appear to be"),
    ],
)
def test_a_setting_for_which_no_server_starts_is_named_with_its_line(
    code: str, setting: str, said: str, tmp_path: Path, template: Path
) -> None:
    deployment = Deployment(tmp_path, template=template)
    FAULTS[code][0](deployment)
    lines = [line.partition(" ")[0] for line in deployment.config.read_text().splitlines()]
    (finding,) = run("--config", str(deployment.config))["findings"]
    assert finding["seen"].startswith(f"the server does not start: {said}")
    assert finding["seen"].endswith(f"frontdesk.toml, line {lines.index(setting) + 1})")
    assert finding["change"].startswith(f"{setting} = ")


def test_a_command_that_a_finding_names_reads_the_same_settings_and_mends_it(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    deployment.set(audience='["orders"]')
    deployment.make_store(secret=deployment.secret)
    (finding,) = run("--config", str(deployment.config))["findings"]
    words = shlex.split(finding["change"].replace("NAME", "orders"), comments=True)
    assert CliRunner().invoke(app, words[1:], env=ENVIRON).exit_code == 0
    assert deployment.doctor(status=0) == []


def test_without_a_named_file_a_command_is_told_without_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    deployment = Deployment(tmp_path)
    deployment.make_store()
    words = ("--store", f"sqlite:///{deployment.database}", "--set", "audience=orders")
    found = {finding["code"]: finding["change"] for finding in run(*words)["findings"]}
    assert found["stateless_verifiers"] == "frontdesk services add NAME --scope revocations    # for each of them"


@pytest.mark.parametrize(("fail_on", "status"), [("error", 0), ("warning", 1), ("note", 1)])
def test_the_exit_status_follows_fail_on(fail_on: str, status: int, tmp_path: Path, template: Path) -> None:
    deployment = Deployment(tmp_path, template=template)
    deployment.set(open_metrics="true")
    deployment.doctor("--fail-on", fail_on, status=status)


@pytest.mark.parametrize(
    "words",
    [
        ("--fail-on", "fatal"),
        ("--url-only",),
        ("--url", "desk.example"),
        ("--url", "https://user:password@desk.example"),
        ("--url", "https://["),
        ("--url", "https://desk.example:99999"),
        ("--url", "https://schreibtisch.köln"),
        ("--url", "https://desk.example", "--connect", "8443"),
        ("--url", "https://desk.example", "--prefix", "auth"),
        ("--url", "https://desk.example", "--connect", "443=127.0.0.1:99999"),
        ("--url", "https://desk.example", "--ca-file", "nothing.pem"),
        ("--set", "colour=blue"),
        ("--config", "nothing.toml"),
    ],
)
def test_misuse_is_status_2_and_one_sentence(words: tuple[str, ...]) -> None:
    said, status = text_of(*words)
    assert status == 2
    assert len(said.splitlines()) == 1
    assert "password@" not in said


def test_a_key_file_that_cannot_be_read_is_said(tmp_path: Path, template: Path) -> None:
    deployment = Deployment(tmp_path, template=template)
    key_file(deployment).write_bytes(b"\xff" * 40)
    assert deployment.doctor(status=2) == ["key_beside_database", "unseen the secret"]


def test_a_store_in_memory_has_nothing_to_look_at(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    deployment.set(store='"memory:"')
    assert deployment.doctor(status=0) == []


def test_what_the_environment_says_is_looked_at_as_the_server_would(tmp_path: Path, template: Path) -> None:
    deployment = Deployment(tmp_path, template=template)
    document = run("--config", str(deployment.config), environ={"FRONTDESK_OPEN_METRICS": "yes"})
    assert codes(document) == ["open_metrics"]
    assert "environment, FRONTDESK_OPEN_METRICS" in document["findings"][0]["seen"]
