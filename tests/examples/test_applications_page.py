"""Every sample of docs/applications.md is type-checked and run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from frontdesk.testing import Client
from tests.examples.samples import complaints_of_mypy, write_each
from tests.http.answers import code_of
from tests.requirements import ROOT

SAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "applications.md").read_text(), re.DOTALL)
OWN_USERS, PROTECTED, PAGES, TESTS = SAMPLES


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a sample in an empty directory; its names."""
    monkeypatch.chdir(tmp_path)

    def execute(sample: str) -> dict[str, Any]:
        names: dict[str, Any] = {"__name__": "sample"}
        exec(compile(sample, "docs/applications.md", "exec"), names)
        return names

    return execute


def test_the_samples_pass_mypy_strict(tmp_path: Path) -> None:
    assert complaints_of_mypy(write_each(SAMPLES, tmp_path), tmp_path) == ""


def test_own_users_enter_are_promoted_and_leave(run: Any) -> None:
    with Client(run(OWN_USERS)["app"]) as client:
        assert client.post("/enter", json={"number": "4711", "word": "please?"}).json() == {
            "detail": "We do not know you."
        }
        assert client.post("/enter", json={"number": "4711", "word": "open sesame, please"}).json()["subject"] == "4711"
        assert client.get("/auth/me").json()["roles"] == ["customer"]
        assert client.get("/auth/me").json()["claims"] == {"shop": 7}
        assert client.post("/promote").status_code == 200
        assert client.get("/auth/me").json()["roles"] == ["customer", "friend"]
        assert client.post("/leave").status_code == 200
        assert code_of(client.get("/auth/me")) == "not_signed_in"
        assert client.post("/auth/login", json={}).status_code == 404


def test_the_back_office_is_protected_by_default(run: Any) -> None:
    with Client(run(PROTECTED)["app"]) as client:
        assert client.get("/").json() == "Welcome"
        assert client.get("/docs").status_code == client.get("/openapi.json").status_code == 200
        assert code_of(client.get("/back-office"), status=401) == "not_signed_in"
        client.sign_in_as("alice")
        assert client.get("/back-office").status_code == 200


def test_a_page_can_lead_to_the_sign_in(run: Any) -> None:
    with Client(run(PAGES)["app"], follow_redirects=False) as client:
        answer = client.get("/dashboard")
        assert (answer.status_code, answer.headers["location"]) == (303, "/signin")


def test_the_sample_test_passes(run: Any) -> None:
    run(TESTS)["test_transfers_need_a_recent_sign_in"]()
