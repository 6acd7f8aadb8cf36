"""`frontdesk advise` at a real terminal: the program as it is installed, and a pseudo-terminal that is its own."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from frontdesk.advisor import recommend
from tests.cli.transcript import ENVIRON

PROMPT = "q to leave: "
PATIENCE = 30.0
PROGRAM = Path(sys.executable).with_name("frontdesk")
CTRL_C, CTRL_D = "\x03", "\x04"


def at_a_terminal(keys: Sequence[str], *words: str) -> tuple[int, str]:
    """Press these keys, each when something is asked; the exit status, and all that was shown."""
    terminal, inside = pty.openpty()
    command = ["setsid", "--ctty", str(PROGRAM), "advise", *words]  # whose terminal it is, Ctrl-C interrupts
    process = subprocess.Popen(command, stdin=inside, stdout=inside, stderr=inside, env={**os.environ, **ENVIRON})
    os.close(inside)
    try:
        shown = ""
        for key in keys:
            shown += read(terminal, PROMPT)
            os.write(terminal, key.encode())
        shown += read(terminal, "")
        return process.wait(PATIENCE), shown.replace("\r\n", "\n")
    finally:
        process.kill()
        process.wait()
        os.close(terminal)


def read(terminal: int, until: str) -> str:
    """What is shown until it ends so; with nothing to wait for, until the program has left the terminal."""
    shown, deadline = b"", time.monotonic() + PATIENCE
    while not (until and shown.endswith(until.encode())):
        ready, _, _ = select.select([terminal], [], [], deadline - time.monotonic())
        assert ready, f"nothing more is shown after {shown.decode()!r}"
        try:
            shown += os.read(terminal, 65536)
        except OSError:  # EIO: nobody holds the other end
            assert not until, f"it left after {shown.decode()!r}"
            break
    return shown.decode()


def test_a_person_answers_by_number_by_name_and_by_enter_and_is_advised() -> None:
    status, shown = at_a_terminal(["\n", "1\n", "mobile\n", "4\n", "2\n", "\n", "redis\n", "\n", "\n", "\n"])
    answers = {
        "sso": "none", "services": "one", "client": "mobile", "machines": "several", "logout": "seconds",
        "database": "redis", "store-down": "refuse", "claims-size": "small", "claims-secrecy": "open",
    }  # fmt: skip
    found = recommend(answers)
    assert status == 0
    assert shown.count(PROMPT) == len(answers) + 1, "4 is none of the answers and was asked for again"
    advice = shown.rpartition(PROMPT)[2]
    assert advice.strip().startswith(found.title)
    assert all(snippet.text in advice for snippet in found.configuration.snippets())


@pytest.mark.parametrize(
    ("key", "echo", "status"), [(CTRL_C, "^C", 130), (CTRL_D, "", 1), ("q\n", "q", 1)], ids=["Ctrl-C", "Ctrl-D", "q"]
)
def test_who_leaves_in_the_middle_is_told_so_in_one_line(key: str, echo: str, status: int) -> None:
    ended, shown = at_a_terminal(["\n", key])
    assert ended == status
    assert shown.rpartition(PROMPT)[2] == f"{echo}\nfrontdesk: left without a recommendation\n"
