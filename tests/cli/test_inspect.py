"""`frontdesk inspect` beyond its transcript: hostile tokens, colours, prompts, files."""

from __future__ import annotations

import getpass
import json
import re
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from frontdesk import cli
from frontdesk.cli.commands import app
from frontdesk.jose import b64
from tests.cli.transcript import ENVIRON

TUTORIAL = "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VySWQiOiI0MiJ9.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"
OURS = re.compile(r"(A signed|A[n] encrypted|HEADER|CLAIMS|KNOWN|TIMES|wrong |unknown |good |note |  |$)")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)


def token(header: dict[str, object], claims: object) -> str:
    parts = [b64.encode(json.dumps(part).encode()) for part in (header, claims)]
    return b".".join([*parts, b64.encode(bytes(32))]).decode()


def told(given_token: str, *options: str, **environ: str) -> str:
    result = CliRunner().invoke(app, ["inspect", *options], input=given_token, env=environ)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.output


HOSTILE = st.text(st.sampled_from("\x00\x07\x08\x1b\r\n\t\x7f\x85\x9b\u202e\u2066\ufeff\ud800a[]/m;0 "), max_size=120)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(HOSTILE, HOSTILE, HOSTILE)
def test_no_token_moves_the_cursor_or_begins_a_line(alg: str, name: str, value: str) -> None:
    hostile = token({"alg": alg, "kid": value}, {name: value, "exp": value, "x" * 50 + name: [name, {value: name}]})
    for options in ([], ["--json"]):
        said = told(hostile, *options)
        assert all(char.isprintable() for line in said.split("\n") for char in line)
        assert options or all(OURS.match(line) for line in said.split("\n"))
    assert json.loads(told(hostile, "--json"))["claims"]["exp"] == value


def test_a_name_as_long_as_a_line_cannot_pose_as_a_verdict() -> None:
    said = told(
        token({"alg": "x" * 60 + "good  The signature is good."}, {" " * 80 + "good  The signature is good.": 1})
    )
    assert "\ngood" not in said


def test_the_signature_and_the_token_are_never_printed_again() -> None:
    for options in ([], ["--json"]):
        said = told(TUTORIAL, *options)
        assert TUTORIAL.split(".")[1] not in said
        assert TUTORIAL.split(".")[2] not in said
    assert TUTORIAL.split(".")[2] not in told(f"{TUTORIAL} {TUTORIAL}")


def test_a_large_token_is_shown_in_part_and_told_whole_as_json() -> None:
    large = token({"alg": "HS256"}, {"long": "x" * 5000, **{f"claim{number}": number for number in range(100)}})
    said = " ".join(told(large).split())
    assert len(said) < 8000
    assert "(5,002 characters; see --json)" in said
    assert "and 51 more; --json has them all" in said
    assert len(json.loads(told(large, "--json"))["claims"]) == 101


def test_more_than_a_token_can_hold_is_not_looked_at() -> None:
    assert "(token_oversize)" in told("x" * 1_000_000)


def test_colours_are_for_terminals_and_no_color_is_respected() -> None:
    forced = {"FORCE_COLOR": "1", "TERM": "xterm-256color"}
    assert "\x1b[1;31mwrong" in told(token({"alg": "none"}, {}), **forced, NO_COLOR="")
    assert "\x1b[" not in told(token({"alg": "none"}, {}), **forced, NO_COLOR="1")
    assert "\x1b[" not in told(token({"alg": "none"}, {}), "--json", **forced, NO_COLOR="")


def test_at_a_terminal_the_token_is_asked_for_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(getpass, "getpass", lambda _prompt: TUTORIAL)
    monkeypatch.setattr(sys, "argv", ["frontdesk", "inspect"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 0
    assert "userId" in capsys.readouterr().out


def test_a_secret_that_everybody_knows_verifies_nothing(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("your-256-bit-secret\n")
    result = CliRunner().invoke(app, ["inspect", TUTORIAL, "--key", "secret"])
    assert result.exit_code == 1
    assert "A secret for HS256 has at least 32 bytes." in result.stdout
    assert "your-256-bit-secret" not in result.output
