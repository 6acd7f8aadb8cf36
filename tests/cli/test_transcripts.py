"""Every transcript beside this file, and every one in docs/cli.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.transcript import play, steps_of
from tests.requirements import ROOT

TRANSCRIPTS = sorted((Path(__file__).parent / "transcripts").glob("*.txt"))
PAGE = (ROOT / "docs" / "cli.md").read_text()
FILES = "\n-- password --\ntall grey wooden ship\n-- secret --\nx8TqzN4vKp2Wm7RcJ5hLd9YbGf3AsQeU\n"
SAMPLES = "\n".join(re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL))


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=lambda path: path.stem)
def test_the_transcript_is_what_happens(transcript: Path, tmp_path: Path) -> None:
    play(transcript.read_text(), tmp_path)


def test_the_samples_of_the_page_are_what_happens(tmp_path: Path) -> None:
    assert len(steps_of(SAMPLES)) > 5
    play(SAMPLES + FILES, tmp_path)


def test_the_page_names_every_command_and_option(tmp_path: Path) -> None:
    from typer.main import get_command

    from frontdesk.cli.commands import app

    named = set(re.findall(r"`(?:frontdesk )?([a-z]+(?: [a-z]+)?)[ `]", PAGE)) | set(re.findall(r"--[a-z-]+", PAGE))
    group = get_command(app)
    missing = []
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        leaves = {f"{name} {leaf}": each for leaf, each in getattr(command, "commands", {}).items()} or {name: command}
        for path, leaf in leaves.items():
            options = {option for each in leaf.params for option in each.opts if option.startswith("--")}
            missing += [word for word in {path, *options} if word not in named]
    assert missing == []


@pytest.mark.parametrize(
    "wrong",
    [
        "$ frontdesk --version\nfrontdesk 0.0.0-no",
        "$ frontdesk --version",
        "$ frontdesk nonsense",
        "$ frontdesk users list\nthere are no accounts",
    ],
)
def test_a_transcript_that_differs_is_noticed(wrong: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        play(wrong, tmp_path)
