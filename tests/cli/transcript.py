"""Transcripts: commands as they are typed, what they print, how they end.

A line `$ frontdesk …` is a command; `<file` is its standard input, `>file` keeps what it prints. The lines below it are
what it prints; those that begin with `! ` come on stderr, and `...` at the end of the last stands for all that follows.
`? 1` is its exit status, 0 where nothing is said. `$ curl …` is run. `$ sign-in …` stands for a sign-in
elsewhere; `>file` keeps its session or access token, and `file.refresh` its refresh token. `# ` begins a remark,
`-- name --` a file, up to the next one.

Random ids, credentials of services and moments are told by their shape. An id that a command printed may be used in
later commands as it is written there. The working directory is written /srv/desk.
"""

from __future__ import annotations

import asyncio
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from typer.testing import CliRunner

from frontdesk.cli.commands import app
from frontdesk.errors import Refusal
from frontdesk.server.app import build_server_desk
from frontdesk.server.settings import ServerSettings
from frontdesk.service.sign_in import Origin, Signed, SignInOptions

ENVIRON = {"FRONTDESK_HASHING": "small", "COLUMNS": "80", "NO_COLOR": "1"}

_DIRECTORY = "/srv/desk"
_ID = r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{%d}(?![A-Za-z0-9_-])"
_SHAPES = re.compile(
    rf"(?P<id>{_ID % 43}|{_ID % 22})"
    r"|(?P<service>fdk_[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-]))"
    r"|(?P<instant>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,6}Z)"
    r"|(?P<second>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)"
    r"|(?P<minute>\d{4}-\d\d-\d\d \d\d:\d\d)"
    r"|(?P<day>\d{4}-\d\d-\d\d)"
    r"|(?P<span>\d+ (?:second|minute|hour|day|year)s?)"
    r"|(?P<byte>0x[0-9a-f]{2}\b)"
)
_PATTERNS = {
    "id": "[A-Za-z0-9_-]+",
    "service": "fdk_[A-Za-z0-9_-]{43}",
    "instant": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z",
    "minute": r"\d{4}-\d\d-\d\d \d\d:\d\d",
    "span": r"\d+ (?:second|minute|hour|day|year)s?",
    "byte": "0x[0-9a-f]{2}",
    "second": r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d",
    "day": r"\d{4}-\d\d-\d\d",
}


@dataclass
class Step:
    """One command and what is expected of it."""

    command: str
    out: list[str] = field(default_factory=list)
    err: list[str] = field(default_factory=list)
    status: int = 0


def steps_of(text: str) -> list[Step]:
    steps: list[Step] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            steps.append(Step(line[2:]))
        elif line.startswith("# ") or (not steps and not line):
            continue
        elif line.startswith("? "):
            steps[-1].status = int(line[2:])
        elif line == "!" or line.startswith("! "):
            steps[-1].err.append(line[2:])
        else:
            steps[-1].out.append(line)
    for step in steps:
        while step.out and not step.out[-1]:
            step.out.pop()
    return steps


def files_of(text: str) -> Iterator[tuple[str, str]]:
    parts = re.split(r"^-- (\S+) --\n", text, flags=re.MULTILINE)
    yield from zip(parts[1::2], parts[2::2], strict=True)


def play(text: str, directory: Path) -> None:
    """Run a transcript in `directory`, which is the working directory; AssertionError where it differs."""
    for name, content in files_of(text):
        (directory / name).write_text(content)
    ids: dict[str, str] = {}
    for step in steps_of(re.split(r"^-- \S+ --\n", text, maxsplit=1, flags=re.MULTILINE)[0]):
        out, err, status = _run(step.command, ids, directory)
        said = f"$ {step.command}\n{out}{err}? {status}"
        _compare(step.out, out, ids, said)
        _compare(step.err, err, ids, said)
        assert status == step.status, said
        assert "--json" in step.command or all(len(line) <= 80 for line in out.splitlines()), (
            f"wider than 80 columns:\n{said}"
        )


def _run(command: str, ids: dict[str, str], directory: Path) -> tuple[str, str, int]:
    words = [ids.get(word, word) for word in shlex.split(command)]
    if words[0] == "sign-in":
        kept = [word[1:] for word in words if word.startswith(">")]
        signed = asyncio.run(_sign_in(*(word for word in words[1:] if not word.startswith(">"))))
        for name in kept:
            _keep(signed, directory / name)
        return "", "", 0
    if words[0] == "curl":
        done = subprocess.run(words, cwd=directory, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout, done.stderr, done.returncode
    assert words[0] == "frontdesk", command
    stdin = "".join((directory / word[1:]).read_text() for word in words if word.startswith("<"))
    given = [word for word in words[1:] if not word.startswith(("<", ">"))]
    result = CliRunner().invoke(app, given, input=stdin, env=ENVIRON, prog_name="frontdesk")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    for word in words:
        if word.startswith(">"):
            (directory / word[1:]).write_text(result.stdout)
            return "", result.stderr.replace(str(directory), _DIRECTORY), result.exit_code
    return result.stdout, result.stderr.replace(str(directory), _DIRECTORY), result.exit_code


async def _sign_in(email: str, password: str, credential: str, transport: str) -> Signed | Refusal:
    desk = build_server_desk(ServerSettings(hashing="small"))
    await desk.open()
    options = SignInOptions(credential=credential, transport=transport)  # type: ignore[arg-type]
    origin = Origin(address="192.0.2.1", device="curl/8.5\x1b[2J")
    signed = await desk.accounts.sign_in(email, password, options=options, origin=origin)
    await desk.close()
    assert not isinstance(signed, Refusal) or signed.code == "invalid_credentials", signed
    return signed


def _keep(signed: Signed | Refusal, file: Path) -> None:
    assert not isinstance(signed, Refusal), signed
    access = signed.session_token if signed.access_token is None else signed.access_token.text
    file.write_text(access or "")
    file.with_name(f"{file.name}.refresh").write_text(signed.refresh_token or "")


def _compare(expected: list[str], actual: str, ids: dict[str, str], said: str) -> None:
    lines = actual.splitlines()
    assert [line for line in lines if line.endswith(" ")] == [], said
    if expected and expected[-1].endswith("..."):
        last = expected[-1].removesuffix("...").rstrip()
        expected = [*expected[:-1], last]
        lines = [*lines[: len(expected) - 1], "\n".join(lines[len(expected) - 1 :])[: len(last)]]
    assert len(lines) == len(expected), said
    for wanted, line in zip(expected, lines, strict=True):
        pattern, written = _pattern(wanted.rstrip(), ids)
        match = re.fullmatch(pattern, line)
        assert match is not None, f"expected {wanted!r}, not {line!r}, in\n{said}"
        ids.update(zip(written, match.groups(), strict=True))


def _pattern(line: str, ids: dict[str, str]) -> tuple[str, list[str]]:
    """A pattern for a line in which shapes stand for what is random, and the ids that were not seen before."""
    written: list[str] = []
    parts: list[str] = []
    end = 0
    for match in _SHAPES.finditer(line):
        parts.append(re.escape(line[end : match.start()]))
        end = match.end()
        kind = str(match.lastgroup)
        if match.group() in ids:
            parts.append(re.escape(ids[match.group()]))
        elif kind == "id" and match.group() not in written:
            written.append(match.group())
            parts.append(f"({_PATTERNS[kind]})")
        else:
            parts.append(_PATTERNS[kind])
    parts.append(re.escape(line[end:]))
    return "".join(parts), written
