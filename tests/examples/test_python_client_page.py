"""Every sample of docs/python-client.md is type-checked and run, against a real desk."""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from frontdesk import client
from frontdesk.client import Credentials, FrontdeskAuth, desk, file_storage, keeper
from frontdesk.errors import CODES
from tests.client.serving import ShiftedDesk, serving
from tests.examples.samples import complaints_of_mypy, write_each
from tests.requirements import ROOT
from tests.server.processes import PATIENCE

PAGE = (ROOT / "docs" / "python-client.md").read_text()
SAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
SYNC, ASYNC, COMMAND, KEYRING = SAMPLES
ALICE = {"email": "alice@example.com", "password": "correct horse battery staple"}
KEYRING_TYPES = """
def get_password(service_name: str, username: str) -> str | None: ...
def set_password(service_name: str, username: str, password: str) -> None: ...
def delete_password(service_name: str, username: str) -> None: ...
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShiftedDesk]:
    with serving(tmp_path_factory.mktemp("desk")) as served:
        httpx.post(f"{served.url}/auth/register", json=ALICE, timeout=PATIENCE, trust_env=False).raise_for_status()
        yield served


@pytest.fixture
def run(served: ShiftedDesk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a sample, whose user has an empty home; its names."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("no_proxy", "*")

    def execute(sample: str) -> dict[str, Any]:
        names: dict[str, Any] = {"__name__": "sample"}
        exec(compile(sample.replace("http://localhost:8000", served.url), "docs/python-client.md", "exec"), names)
        return names

    return execute


def test_the_samples_pass_mypy_strict(tmp_path: Path) -> None:
    (tmp_path / "keyring.pyi").write_text(KEYRING_TYPES)
    assert complaints_of_mypy(write_each(SAMPLES, tmp_path), tmp_path) == ""


def test_the_first_samples_sign_in_ask_and_sign_out(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    signed = run(SYNC)["auth"]
    subject = capsys.readouterr().out.strip()
    assert len(subject) == 22
    assert not signed.signed_in
    run(ASYNC)
    assert capsys.readouterr().out.strip() == str({subject})


def test_the_command_asks_its_user_to_sign_in_and_then_knows_who_it_is(
    run: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit) as caught:
        run(COMMAND)
    assert caught.value.code == "Nobody is signed in. Please sign in. (not_signed_in)"
    subject = run(COMMAND.partition("try:")[0])["auth"].sign_in(ALICE["email"], ALICE["password"])
    run(COMMAND)
    assert capsys.readouterr().out == f"{subject}\n"


def test_a_key_ring_keeps_what_a_file_would(run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ring: dict[tuple[str, str], str] = {}
    module = types.ModuleType("keyring")
    vars(module).update(
        get_password=lambda service, user: ring.get((service, user)),
        set_password=lambda service, user, password: ring.update({(service, user): password}),
        delete_password=lambda service, user: ring.pop((service, user)),
    )
    monkeypatch.setitem(sys.modules, "keyring", module)
    auth: FrontdeskAuth = run(KEYRING)["auth"]
    assert not auth.signed_in
    auth.sign_in(ALICE["email"], ALICE["password"], credential="jwt")
    assert Credentials.loads(ring["tool", "frontdesk"]).subject == auth.subject
    assert run(KEYRING)["auth"].signed_in
    auth.sign_out()
    assert ring == {}
    assert (tmp_path / ".tool.lock").stat().st_mode & 0o777 == 0o600


def test_the_page_names_every_public_name_but_those_of_the_storage_in_memory() -> None:
    assert [name for name in client.__all__ if name not in PAGE] == ["MemoryStorage"]


def test_the_figures_of_the_page_are_those_of_the_source() -> None:
    assert (keeper.LOCK_SECONDS, "for 15 s" in PAGE) == (15.0, True)
    assert (desk.ATTEMPTS, desk.REPLY_SECONDS, "three times within 10 s" in PAGE) == (3, 10.0, True)
    assert desk.REPLY_SECONDS + file_storage.REMAINS_SECONDS <= file_storage.HOLD_SECONDS < keeper.LOCK_SECONDS
    listed = re.search(r"the session is over \((.*?)\)", PAGE, re.DOTALL)
    assert listed is not None
    assert set(re.findall(r"`(\w+)`", listed[1])) == desk.OVER <= set(CODES)
