"""Each example runs, and the README prints the first of them."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from frontdesk.core.services import credential_of
from frontdesk.testing import Client
from tests.http.answers import code_of, login, register
from tests.requirements import ROOT

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run an example where its database may stand; its names."""
    monkeypatch.chdir(tmp_path)
    return lambda name: runpy.run_path(str(ROOT / "examples" / f"{name}.py"))


def test_each_example_is_run_here() -> None:
    run = [path.stem for path in EXAMPLES]
    assert run == ["asgi_app", "command_line_tool", "fastapi_app", "starlette_app", "verified_app"]


@pytest.mark.parametrize("name", ["fastapi_app", "verified_app"])
def test_the_readme_prints_the_example(name: str) -> None:
    readme = (ROOT / "README.md").read_text()
    printed = re.search(rf"<!-- examples/{name}\.py -->\n```python\n(.*?)```", readme, re.DOTALL)
    assert printed is not None
    assert printed[1] == (ROOT / "examples" / f"{name}.py").read_text()


def test_the_verified_example_turns_strangers_away(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRONTDESK_SERVICE_CREDENTIAL", credential_of(bytes(32)))
    with TestClient(run("verified_app")["app"]) as client:
        assert client.get("/orders").json()["code"] in {"not_signed_in", "store_unavailable"}


def test_the_fastapi_example_signs_people_up_in_and_out(run: Any, tmp_path: Path) -> None:
    with Client(run("fastapi_app")["app"]) as client:
        assert code_of(client.get("/dashboard"), status=401) == "not_signed_in"
        subject = register(client).json()["subject"]
        login(client)
        assert client.get("/dashboard").json() == {"hello": subject}
        assert code_of(client.post("/transfer"), status=403) == "role_missing"
        client.sign_in_as("alice", roles={"teller"})
        assert client.post("/transfer").status_code == 200
        client.post("/auth/logout")
        assert client.get("/dashboard").status_code == 401
    assert (tmp_path / "app.db").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "app.db.key").stat().st_mode & 0o777 == 0o600


def test_a_session_of_the_fastapi_example_outlives_its_process(run: Any) -> None:
    with Client(run("fastapi_app")["app"]) as client:
        client.sign_in_as("alice")
        cookies = client.cookies
    with Client(run("fastapi_app")["app"]) as client:
        client.cookies.update(cookies)
        assert client.get("/dashboard").json() == {"hello": "alice"}


def test_the_starlette_example_signs_its_own_users_in_and_out(run: Any) -> None:
    with Client(run("starlette_app")["app"]) as client:
        wrong = client.post("/sign-in", json={"name": "alice", "password": "guess"})
        assert wrong.status_code == 401
        for name, password, status in (
            ("alice", "correct horse battery staple", 200),
            ("bob", "paper clip stapler tape", 403),
        ):
            assert client.post("/sign-in", json={"name": name, "password": password}).status_code == 200
            assert client.get("/dashboard").json() == {"hello": name}
            assert client.post("/transfer").status_code == status
        with client.websocket_connect("/ticker") as socket:
            assert socket.receive_json() == {"hello": "bob"}
        assert client.post("/sign-out").status_code == 204
        assert code_of(client.get("/dashboard")) == "not_signed_in"
        assert code_of(client.post("/auth/login", json={}), status=404) == "not_found"


def test_the_plain_asgi_example_is_protected_by_default(run: Any) -> None:
    with Client(run("asgi_app")["app"]) as client:
        assert client.get("/").text == "Anybody may read this."
        assert code_of(client.get("/anything"), status=401) == "not_signed_in"
        client.sign_in_as("alice")
        assert client.get("/anything").text == "Hello, alice."
        assert code_of(client.get("/transfer"), status=403) == "role_missing"
        client.sign_in_as("alice", roles={"teller"})
        assert client.get("/transfer").text == "Done by alice."
