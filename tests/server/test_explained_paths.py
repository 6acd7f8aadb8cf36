"""What is explained of the server's own paths is what they answer."""

from __future__ import annotations

from typing import Any

import pytest

from frontdesk.server.app import Application
from frontdesk.server.settings import ServerSettings
from frontdesk.testing import Client
from tests.http.explained import OWN, answered, explained, explained_with

LARGE = (b"cookie", b"a=" + b"x" * 8200)
ELSEWHERE = (b"origin", b"https://evil.example")


@pytest.mark.parametrize("settings", [{}, {"dev": True}, {"open_metrics": True}], ids=["usual", "dev", "open_metrics"])
@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/.well-known/jwks.json", "/frontdesk.js"])
def test_the_verdict_on_a_path_beside_the_api_is_its_answer(path: str, settings: dict[str, Any]) -> None:
    app = Application(ServerSettings(store="memory:", hashing="small", **settings))
    with Client(app, base_url="http://localhost:8000", client=("127.0.0.1", 4711)) as client:
        for headers in ([], [OWN], [LARGE], [ELSEWHERE]):
            for method in ("GET", "POST"):
                told = explained(client, headers, method=method, path=path)["code"]
                assert told == answered(client, method, path, headers), (method, headers)


@pytest.mark.parametrize("path", ["/", "/login", "/dashboard", "/metrics", "/nothing", "/auth/login", "/auth/nothing"])
def test_a_body_over_the_limit_is_explained_as_it_is_refused_everywhere(path: str) -> None:
    app = Application(ServerSettings(store="memory:", hashing="small"))
    with Client(app, base_url="http://localhost:8000") as client:
        told = explained_with(client, [OWN], b" " * 65537, method="POST", path=path)["code"]
        assert told == answered(client, "POST", path, [OWN], b" " * 65537) == "body_too_large"
        told = explained_with(client, [OWN], b" " * 65537, method="POST", path="/auth/explain")["code"]
        assert told == answered(client, "POST", "/auth/explain", [OWN], b" " * 65537) == "allowed"
