"""The example of a command-line program, as its user meets it: signing in, asking, coming back later, signing out."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.client.serving import Row, ShiftedDesk, serving
from tests.requirements import ROOT
from tests.server.processes import PASSWORD, PATIENCE

Run = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShiftedDesk]:
    with serving(tmp_path_factory.mktemp("desk")) as desk:
        yield desk


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config" / "credentials"


@pytest.fixture
def run(desk: ShiftedDesk, file: Path) -> Run:
    """Run the program; its exit status and all that it says."""

    def execute(*words: str, typed: str = "", url: str = desk.url) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, str(ROOT / "examples" / "command_line_tool.py"), *words],
            env={**os.environ, "TOOL_URL": url, "TOOL_CREDENTIALS": str(file), "no_proxy": "*"},
            input=typed,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return done.returncode, done.stdout

    return execute


def test_a_user_signs_in_once_and_comes_back_when_everything_has_expired(
    run: Run, desk: ShiftedDesk, file: Path
) -> None:
    assert run("whoami") == (1, "Nobody is signed in. Sign in with: sign-in EMAIL\n")
    email = desk.register()
    assert run("sign-in", email, typed="not this one, surely not\n") == (1, "The address or the password is wrong.\n")
    status, said = run("sign-in", email, typed=f"{PASSWORD}\n")
    assert status == 0
    subject = said.removeprefix("You are ").removesuffix(".\n")
    assert run("whoami")[1].startswith(f"You are {subject}, signed in at ")
    assert file.stat().st_mode & 0o777 == 0o600
    for _ in range(2):
        desk.expire()
        assert run("whoami")[0] == 0
    assert desk.rows(subject) == [Row(2, 1, ended=False)]
    assert run("sign-out") == (0, "You are signed out.\n")
    assert [row.ended for row in desk.rows(subject)] == [True]
    assert not file.exists()


def test_a_desk_that_is_away_is_no_reason_to_sign_in_again(run: Run, desk: ShiftedDesk, file: Path) -> None:
    run("sign-in", desk.register(), typed=f"{PASSWORD}\n")
    kept = file.read_text()
    away = "http://127.0.0.1:1"
    file.write_text(kept.replace(desk.url, away))
    status, said = run("sign-out", url=away)
    assert (status, said) == (1, "That did not work, try again later: the desk could not be asked\n")
    assert run("whoami", url=away)[0] == 1
    assert run("whoami")[1] == "Nobody is signed in. Sign in with: sign-in EMAIL\n", "they are of another desk"
    file.write_text(kept)
    assert run("whoami")[0] == 0


def test_a_file_that_others_can_read_is_refused(run: Run, desk: ShiftedDesk, file: Path) -> None:
    run("sign-in", desk.register(), typed=f"{PASSWORD}\n")
    file.chmod(0o644)
    status, said = run("whoami")
    assert status == 1
    assert f"run `chmod 600 {file}`" in said
