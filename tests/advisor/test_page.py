"""docs/advisor.md says what the table says, and its transcript is what happens."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

from frontdesk.advisor import QUESTIONS, Question
from frontdesk.advisor.leaves import LEAVES
from frontdesk.cli.commands import app
from tests.cli.transcript import ENVIRON
from tests.requirements import ROOT

PAGE = (ROOT / "docs" / "advisor.md").read_text()
ROWS = {row[0].strip("`[]"): row[1:] for row in re.findall(r"^\| (.*?) \| (.*?) \| (.*?) \|(.*)$", PAGE, re.MULTILINE)}


def test_the_transcript_is_what_happens() -> None:
    printed = re.search(r"```console\n\$ frontdesk (.*?)\n(.*?)```", PAGE, re.DOTALL)
    assert printed is not None
    done = CliRunner().invoke(app, printed[1].split(), env=ENVIRON)
    assert done.exit_code == 0
    assert done.stdout == printed[2]


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_the_page_says_what_is_asked(question: Question) -> None:
    text, answers, _ = ROWS[question.name]
    assert text == question.text
    assert re.findall(r"`([a-z-]+)`", answers) == [answer.name for answer in question.answers]


def test_the_page_has_a_row_for_each_leaf_which_leads_to_its_page() -> None:
    rows = re.findall(r"^\| \[`([a-z-]+)`\]\((.*?)\) \|", PAGE, re.MULTILINE)
    assert dict(rows) == {leaf.name: leaf.page for leaf in LEAVES.values()}
