"""`frontdesk advise` at a terminal: questions, answers by number or name, leaving; and what its output is good for."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from frontdesk import cli
from frontdesk.advisor import QUESTIONS, Recommendation, asked, recommend
from frontdesk.cli.commands import app
from tests.advisor.paths import recommendations
from tests.cli.test_commands import Terminal
from tests.cli.transcript import ENVIRON

ONE_OF_EACH = list({each.leaf: each for each in recommendations()}.values())


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)


class Told:
    """What a command at a terminal that gives these answers said."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answers: str, *words: str
    ) -> None:
        monkeypatch.setattr(sys, "stdin", Terminal(answers))
        monkeypatch.setattr(sys, "argv", ["frontdesk", "advise", *words])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        self.status = caught.value.code
        self.out, self.err = capsys.readouterr()


def flags(answers: dict[str, str]) -> list[str]:
    return [word for name, answer in answers.items() for word in (f"--{name}", answer)]


def test_at_a_terminal_each_open_question_is_asked_on_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = Told(monkeypatch, capsys, "\n1\nmobile\n\n2\n1\n", "--only", "app.py")
    answers = {
        "sso": "none", "services": "one", "client": "mobile", "machines": "one", "claims-size": "large",
    }  # fmt: skip
    assert told.status == 0
    assert told.out == recommend(answers).configuration.application.text
    questions = {question.name: question.text for question in QUESTIONS}
    assert [name for name, text in questions.items() if text in " ".join(told.err.split())] == list(answers)
    assert all(len(line) <= 80 for line in told.err.splitlines())


def test_what_an_option_answers_is_not_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = Told(monkeypatch, capsys, "3\n", "--sso", "provider", "--json")
    assert told.status == 0
    assert json.loads(told.out)["leaf"] == "identity-provider"
    assert told.err.count("q to leave") == 1


def test_an_answer_that_is_none_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = Told(monkeypatch, capsys, "4\n0\n-1\nnobody\n²\nPROVIDER\n3\n", "--json")
    assert told.status == 0
    assert json.loads(told.out)["answers"] == {"sso": "provider", "logout": "expiry"}
    assert told.err.count("q to leave") == 7


@pytest.mark.parametrize("answers", ["q\n", "1\n1\nQ\n", "", "1\n"])
def test_a_person_may_leave_at_any_question(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answers: str
) -> None:
    told = Told(monkeypatch, capsys, answers)
    assert (told.status, told.out) == (1, "")
    assert told.err.endswith("frontdesk: left without a recommendation\n")


def test_usual_answers_ask_nothing_also_at_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = Told(monkeypatch, capsys, "", "--usual", "--client", "single-page", "--json")
    assert (told.status, told.err) == (0, "")
    assert json.loads(told.out)["answers"] == asked({"client": "single-page"}, assume=True)[0]


@pytest.mark.parametrize("each", ONE_OF_EACH, ids=lambda each: each.leaf)
def test_every_leaf_is_told_at_80_columns_and_as_json(each: Recommendation) -> None:
    found = recommend(each.answers)
    words = flags(found.answers)
    text = CliRunner().invoke(app, ["advise", *words]).stdout
    assert all(len(line) <= 80 for line in text.splitlines())
    for argument in (*found.reasons, *found.rejected, *found.costs):
        assert f"{argument.what}. {argument.why}" in " ".join(text.split())
    members = json.loads(CliRunner().invoke(app, ["advise", *words, "--json"]).stdout)
    assert members["leaf"] == found.leaf
    assert members["rejected"][0].keys() == {"what", "why", "page"}
    for snippet in found.configuration.snippets():
        assert snippet.text in text
        assert members["configuration"][snippet.name] == snippet.text
        alone = CliRunner().invoke(app, ["advise", *words, "--only", snippet.name])
        assert (alone.exit_code, alone.stdout) == (0, snippet.text)


def test_no_store_is_opened_and_nothing_is_written(tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["advise", "--usual"]).exit_code == 0
    assert list(tmp_path.iterdir()) == []
