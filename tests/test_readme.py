"""The README is executed: its curl transcript against the real server, its application as it is printed."""

from __future__ import annotations

import re
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi import FastAPI, Request, Response

from frontdesk import AdjustableClock
from frontdesk.fastapi import Frontdesk, User, require
from frontdesk.testing import Client
from tests.requirements import ROOT
from tests.server.processes import Server

_README = (ROOT / "README.md").read_text(encoding="utf-8")
_TRANSCRIPT = re.compile(r"```console\n(\$ curl .*?)```", re.DOTALL)
_APPLICATION = re.compile(r"<!-- (examples/\S+) -->\n```python\n(.*?)```", re.DOTALL)


def transcript() -> list[tuple[str, str]]:
    """The commands of the README, each with what it prints."""
    found = _TRANSCRIPT.search(_README)
    assert found is not None
    steps = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", found.group(1), re.MULTILINE)
    return [(command, printed.rstrip("\n")) for command, printed in steps]


def as_pattern(printed: str) -> str:
    """What was printed, where `…` stands for an id."""
    return re.escape(printed).replace("…", "[A-Za-z0-9_-]{22}")


@pytest.mark.parametrize("credential", ["jwt", "session"])
def test_the_curl_transcript_prints_what_the_readme_says(tmp_path: Path, credential: str) -> None:
    steps = transcript()
    assert [re.findall(r"localhost:8000(\S*)", command)[0] for command, _ in steps] == [
        "/auth/register",
        "/auth/login",
        "/dashboard",
        "/auth/refresh",
        "/auth/logout",
        "/dashboard",
    ]
    with Server(tmp_path, "--dev") as server:
        for command, printed in steps:
            asked = command.replace("localhost:8000", f"localhost:{server.port}")
            expected = printed
            if credential == "session":
                asked = asked.replace(', "credential": "jwt"', "")
                expected = expected.replace(',"expires_in":900', "")
            done = subprocess.run(
                ["bash", "-c", asked], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
            )
            assert re.fullmatch(as_pattern(expected), done.stdout.rstrip("\n")), (asked, done.stdout)


def test_the_application_is_the_example_to_the_letter() -> None:
    found = _APPLICATION.search(_README)
    assert found is not None
    path, printed = found.groups()
    assert (ROOT / path).read_text(encoding="utf-8") == printed


def test_the_one_liners_do_what_the_readme_says(tmp_path: Path) -> None:
    app, clock = FastAPI(), AdjustableClock()
    desk = Frontdesk(f"sqlite:///{tmp_path}/app.db", credential="jwt", clock=clock).install(app)

    @app.post("/enter")
    async def enter(request: Request, response: Response) -> None:
        signed = await desk.sign_in(request, "alice", roles={"teller"})
        signed.apply(response)

    @app.post("/promote")
    async def promote(user: User) -> None:
        await desk.update(user.subject, roles={"manager"})

    @app.get("/vault", dependencies=[require(roles={"manager"}, fresh=timedelta(minutes=5))])
    async def vault() -> str:
        return "open"

    with Client(app) as client:
        client.post("/enter").raise_for_status()
        assert client.get("/vault").json()["code"] == "role_missing"
        client.post("/promote").raise_for_status()
        assert client.get("/vault").json() == "open"
        clock.advance(timedelta(minutes=6))
        assert client.get("/vault").json()["code"] == "step_up_required"
    with Client(app) as another:
        another.sign_in_as("bob", roles={"teller"})
        assert another.get("/vault").json()["code"] == "role_missing"
