"""What no transcript shows: prompts, colour, missing extras, the entry points, the width of the help."""

from __future__ import annotations

import asyncio
import getpass
import io
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import apsw
import pytest
from typer.testing import CliRunner

from frontdesk import cli
from frontdesk.cli.commands import app
from frontdesk.errors import Refusal
from frontdesk.server.app import build_server_desk
from frontdesk.server.settings import ServerSettings
from frontdesk.stores.migrations import migrations
from frontdesk.stores.protocol import Poll
from frontdesk.stores.sqlite import SQLiteStore
from tests.cli.transcript import ENVIRON

PASSWORD = "tall grey wooden ship"


class Terminal(io.StringIO):
    """Standard input that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)


def at_a_terminal(monkeypatch: pytest.MonkeyPatch, *answers: str) -> int:
    """`users add` at a terminal that gives these answers; the exit status."""
    prompts = iter(answers)
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(getpass, "getpass", lambda _prompt: next(prompts))
    monkeypatch.setattr(sys, "argv", ["frontdesk", "users", "add", "alice@example.com"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_at_a_terminal_the_password_is_asked_for_twice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert at_a_terminal(monkeypatch, PASSWORD, PASSWORD) == 0
    out, err = capsys.readouterr()
    assert out.startswith("added alice@example.com as ")
    assert PASSWORD not in out + err


def test_two_passwords_that_differ_create_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert at_a_terminal(monkeypatch, PASSWORD, PASSWORD + "s") == 1
    assert capsys.readouterr() == ("", "frontdesk: the two passwords differ; try again\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "question", "done"),
    [
        (
            ["users", "remove", "alice@example.com"],
            "Remove alice@example.com and sign it out everywhere? [y/N] ",
            "removed alice@example.com, who was ",
        ),
        (["sessions", "revoke", "--everyone"], "Sign everybody out? [y/N] ", "ended 0 sessions of everybody\n"),
        (["revoke", "--all"], "Sign everybody out? [y/N] ", "ended 0 sessions of everybody\n"),
        (
            ["restore"],
            "Renew the history of a restored store and sign everybody out? [y/N] ",
            "renewed the history of the revocation log\nended 0 sessions of everybody\n",
        ),
        (
            ["restore", "--keep-sessions"],
            "Renew the history of a restored store, and keep its sessions? [y/N] ",
            "renewed the history of the revocation log\nkept the sessions of the copy\n",
        ),
    ],
    ids=["remove", "everyone", "all", "restore", "keep"],
)
def test_at_a_terminal_what_cannot_be_undone_is_asked_for_unless_yes_is_given(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], question: str, done: str
) -> None:
    def told(given: list[str], answer: str) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "stdin", Terminal(answer))
        monkeypatch.setattr(sys, "argv", ["frontdesk", *given])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        return caught.value.code, *capsys.readouterr()

    def add_alice() -> None:
        assert CliRunner().invoke(app, ["users", "add", "alice@example.com"], input=PASSWORD).exit_code == 0

    add_alice()
    for answer in ("n\n", "\n", "", "yesterday\n"):
        assert told(words, answer) == (1, "", f"{question}frontdesk: nothing was changed\n")
    assert "alice@example.com" in CliRunner().invoke(app, ["users", "list"]).stdout
    status, out, err = told(words, "Y\n")
    assert (status, out.startswith(done), err) == (0, True, question)
    if words[0] == "users":
        add_alice()
    status, out, err = told([*words, "--yes"], "")
    assert (status, out.startswith(done), err) == (0, True, "")


def test_a_store_that_is_out_of_date_is_migrated_step_by_step(tmp_path: Path) -> None:
    CliRunner().invoke(app, ["users", "add", "alice@example.com"], input=PASSWORD)
    connection = apsw.Connection(str(tmp_path / "frontdesk.db"))
    connection.execute("DROP TABLE services; DROP INDEX revocations_of_target; PRAGMA user_version = 2")
    connection.close()
    assert CliRunner().invoke(app, ["migrate"]).stdout.splitlines() == [
        f"migrated {step.name}" for step in migrations("sqlite")[2:]
    ]
    assert CliRunner().invoke(app, ["migrate"]).stdout == "nothing is due\n"
    assert CliRunner().invoke(app, ["services", "list"]).stdout == "there are no services\n"


def test_a_restored_store_has_another_history_and_an_entry_that_ends_everything_of_the_old_one(tmp_path: Path) -> None:
    def log() -> Poll:
        async def read() -> Poll:
            store = SQLiteStore(tmp_path / "frontdesk.db")
            await store.open()
            page = await store.poll(0)
            await store.close()
            return page

        return asyncio.run(read())

    CliRunner().invoke(app, ["users", "add", "alice@example.com"], input=PASSWORD)
    before = log()
    assert CliRunner().invoke(app, ["restore"]).exit_code == 0
    restored = log()
    assert restored.history != before.history
    assert [(entry.kind, entry.epoch) for entry in restored.entries] == [("all", 1)]
    assert CliRunner().invoke(app, ["restore", "--keep-sessions"]).exit_code == 0
    kept = log()
    assert kept.history not in {before.history, restored.history}
    assert kept.entries == restored.entries


def test_a_service_that_was_added_here_is_known_to_the_desk_and_no_other_is() -> None:
    result = CliRunner().invoke(app, ["services", "add", "orders", "--scope", "revocations"])
    (credential,) = result.stdout.splitlines()
    assert credential not in result.stderr

    async def ask() -> list[str]:
        desk = build_server_desk(ServerSettings(hashing="small"))
        await desk.open()
        given = (credential, "fdk_" + "A" * 43)
        found = [await desk.services.authenticate(f"Bearer {each}".encode(), "revocations") for each in given]
        await desk.close()
        return [each.code if isinstance(each, Refusal) else each.name for each in found]

    assert asyncio.run(ask()) == ["orders", "service_unknown"]


def test_a_password_is_no_argument() -> None:
    result = CliRunner().invoke(app, ["users", "add", "alice@example.com", "--password", PASSWORD])
    assert result.exit_code == 2


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["serve"],
        ["inspect"],
        ["users"],
        ["users", "add"],
        ["users", "list"],
        ["users", "unlock"],
        ["users", "remove"],
        ["sessions"],
        ["sessions", "list"],
        ["sessions", "revoke"],
        ["keys"],
        ["keys", "list"],
        ["services"],
        ["services", "add"],
        ["services", "list"],
        ["services", "remove"],
        ["revoke"],
        ["migrate"],
        ["restore"],
    ],
)
def test_the_help_fits_80_columns(words: list[str]) -> None:
    result = CliRunner().invoke(app, [*words, "--help"], prog_name="frontdesk")
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: frontdesk")
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_the_version_is_that_of_the_distribution() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout == f"frontdesk {version('frontdesk')}\n"


def test_no_color_is_respected_even_where_colour_is_forced() -> None:
    CliRunner().invoke(app, ["users", "add", "alice@example.com"], input=PASSWORD)
    forced = {"FORCE_COLOR": "1", "TERM": "xterm-256color"}
    coloured = CliRunner().invoke(app, ["users", "list"], env={**forced, "NO_COLOR": ""})
    plain = CliRunner().invoke(app, ["users", "list"], env={**forced, "NO_COLOR": "1"})
    assert "\x1b[1m" in coloured.stdout
    assert "\x1b[" not in plain.stdout


def test_a_store_with_a_fault_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "frontdesk.db").write_bytes(b"no database at all" * 100)
    (tmp_path / "frontdesk.db.key").write_text("x8TqzN4vKp2Wm7RcJ5hLd9YbGf3AsQeU")
    (tmp_path / "frontdesk.db.key").chmod(0o600)
    result = CliRunner().invoke(app, ["users", "list"])
    assert result.exit_code == 1
    assert result.stderr.startswith("frontdesk: ")
    assert result.stderr.count("\n") == 1


def test_a_long_list_is_read_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frontdesk.cli.users._PAGE", 2)
    names = [f"{letter}@example.com" for letter in "abcde"]
    for name in names:
        assert CliRunner().invoke(app, ["users", "add", name], input=PASSWORD).exit_code == 0
    listed = CliRunner().invoke(app, ["users", "list"]).stdout.splitlines()[1:]
    assert [line.split()[0] for line in listed] == names


@pytest.mark.parametrize("missing", ["typer", "rich", "uvicorn", "jinja2"])
def test_without_its_extra_the_command_says_what_to_install(missing: str) -> None:
    program = f"import sys; sys.modules[{missing!r}] = None; from frontdesk.cli import main; main()"
    done = run([sys.executable, "-c", program])
    assert done.returncode == 1
    assert done.stderr == f"frontdesk: the package {missing} is missing; run `pip install 'frontdesk[server]'`\n"


def test_a_fault_of_our_own_is_not_taken_for_a_missing_extra() -> None:
    program = "import sys; sys.modules['frontdesk.cli.keys'] = None; from frontdesk.cli import main; main()"
    assert "ModuleNotFoundError" in run([sys.executable, "-c", program]).stderr


@pytest.mark.parametrize("command", [["-m", "frontdesk"], [str(Path(sys.executable).with_name("frontdesk"))]])
def test_both_entry_points_are_the_same_command(command: list[str]) -> None:
    done = run([sys.executable, *command, "--version"])
    assert (done.returncode, done.stdout) == (0, f"frontdesk {version('frontdesk')}\n")


def test_importing_frontdesk_loads_no_server_and_no_command() -> None:
    program = (
        "import sys, frontdesk; "
        "print([n for n in sys.modules if n.startswith(('frontdesk.server', 'frontdesk.cli', 'uvicorn', 'typer'))])"
    )
    assert run([sys.executable, "-c", program]).stdout == "[]\n"


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env=dict(os.environ))
