"""docs/explain.md: its transcripts are what happens, its sample runs, its table names every fact, its links lead
somewhere."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from frontdesk.core.explanation import LINKS
from frontdesk.core.services import SERVICE_SCOPES
from frontdesk.endpoints.explain import SERVICE_HEADER
from frontdesk.testing import Client
from scripts.site.links import anchors
from tests.cli.transcript import play, steps_of
from tests.examples.samples import complaints_of_mypy, write_each
from tests.requirements import ROOT
from tests.server.processes import PASSWORD, Server, run_cli

DOCS = ROOT / "docs"
PAGE = (DOCS / "explain.md").read_text(encoding="utf-8")
TRANSCRIPT = "\n".join(re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL))
[SAMPLE] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
PORT = "48000"


def test_the_transcripts_are_what_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    body = {"email": "alice@example.com", "password": PASSWORD, "credential": "jwt"}
    (tmp_path / "alice.json").write_text(json.dumps(body))
    (tmp_path / "elsewhere").write_text("Origin: https://evil.example\n")
    carol = {"email": "carol@example.com", "password": "carol-carol-carol"}
    (tmp_path / "carol.json").write_text(json.dumps(carol))
    run_cli(tmp_path, "users", "add", "alice@example.com", stdin=f"{PASSWORD}\n")
    (tmp_path / "support").write_text("\n".join(run_cli(tmp_path, "services", "add", "support", "--scope", "explain")))
    assert len(steps_of(TRANSCRIPT)) == 5
    with Server(tmp_path) as server:
        assert len(str(server.port)) == len(PORT)  # else lines would be broken elsewhere
        play(TRANSCRIPT.replace(PORT, str(server.port)), tmp_path)


def test_the_sample_passes_mypy_strict(tmp_path: Path) -> None:
    assert complaints_of_mypy(write_each([SAMPLE], tmp_path), tmp_path) == ""


def test_the_sample_explains_its_own_request() -> None:
    names: dict[str, object] = {"__name__": "sample"}
    exec(compile(SAMPLE, "docs/explain.md", "exec"), names)
    with Client(names["app"]) as client:
        assert client.get("/why").json() == {"code": "not_signed_in", "because": "No credential came along."}
        client.sign_in_as("alice")
        assert client.get("/why").json()["code"] == "role_missing"
        client.sign_in_as("alice", roles={"teller"})
        assert client.get("/why").json()["code"] == "allowed"


def test_the_page_tells_every_fact_and_no_other() -> None:
    told = re.findall(r"^\| `(\w+)` \|", PAGE.partition("## The facts")[2], re.MULTILINE)
    assert told == list(LINKS)


def test_the_page_names_header_and_scope() -> None:
    assert SERVICE_HEADER.decode() in PAGE.lower()
    assert "explain" in SERVICE_SCOPES


@pytest.mark.parametrize("link", sorted(set(LINKS.values())))
def test_a_link_of_a_fact_leads_somewhere(link: str) -> None:
    file, _, anchor = link.partition("#")
    assert anchor in anchors((DOCS / file).read_text(encoding="utf-8")), link
