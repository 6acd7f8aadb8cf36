"""docs/metrics.md: its sample is type-checked and run, and its table names every figure that there is."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from frontdesk.server.app import Application
from frontdesk.server.settings import ServerSettings
from frontdesk.testing import Client
from tests.examples.samples import complaints_of_mypy, write_each
from tests.requirements import ROOT

PAGE = (ROOT / "docs" / "metrics.md").read_text()
[SAMPLE] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_sample_passes_mypy_strict(tmp_path: Path) -> None:
    assert complaints_of_mypy(write_each([SAMPLE], tmp_path), tmp_path) == ""


def test_an_application_exports_what_its_desk_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "sample"}
    exec(compile(SAMPLE, "docs/metrics.md", "exec"), names)
    with Client(names["app"]) as client:
        client.sign_in_as("alice")
        for _ in range(3):
            client.get("/auth/me").raise_for_status()
        text = client.get("/metrics/").text
    assert 'frontdesk_events_total{event="signed_in"} 1.0' in text
    assert "frontdesk_revocation_lag_seconds 0.0" in text
    assert re.search(r"^frontdesk_requests_local [4-9]\.0$", text, re.MULTILINE)  # this request among them
    assert "alice" not in text


def test_the_page_names_every_figure_with_its_labels_and_no_other() -> None:
    async def scrape() -> str:
        app = Application(ServerSettings(store="memory:", open_metrics=True))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            return (await client.get("/metrics")).text

    told = {
        sample.name: set(sample.labels)
        for family in text_string_to_metric_families(asyncio.run(scrape()))
        for sample in family.samples
        if not sample.name.startswith("process_")
    }
    rows = re.findall(r"^\| `(frontdesk_\w+)` \|([^|]*)\|", PAGE, re.MULTILINE)
    named = {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}
    assert named.pop("frontdesk_revocation_entries") == {"worker"}  # where a log is followed
    assert named == told
