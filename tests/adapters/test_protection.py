"""Protection by default: every path needs somebody signed in, except those that are listed, exactly as listed."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from starlette.testclient import WebSocketDenialResponse

from frontdesk.adapters.protection import Protection
from frontdesk.errors import ConfigurationError
from tests.adapters.asgi_server import exchange, http_scope
from tests.http.answers import code_of
from tests.http.sites import ADAPTERS, Site, make_site


@pytest.fixture(params=ADAPTERS)
def site(request: pytest.FixtureRequest) -> Site:
    return make_site(request.param, protect=True, public=("/open", "/docs", "/static/*"))


def test_everything_needs_somebody_but_what_is_listed(site: Site) -> None:
    with site.client() as client:
        assert client.get("/open").json() == {"hello": None}
        for path in ("/", "/dashboard", "/nothing", "/openapi.json", "/own/sign-in"):
            assert code_of(client.get(path), status=401) == "not_signed_in"
        with pytest.raises(WebSocketDenialResponse), client.websocket_connect("/ws"):
            raise AssertionError("it opened")
        client.sign_in_as("alice")
        assert client.get("/dashboard").json() == {"hello": "alice"}
        assert client.get("/nothing").status_code == 404


def test_the_api_stays_reachable(site: Site) -> None:
    with site.client() as client:
        assert client.get("/auth/health").status_code == 200
        assert code_of(client.post("/auth/login", json={"email": "x", "password": "y"})) == "invalid_credentials"


def test_a_failing_store_opens_nothing(site: Site) -> None:
    with site.client() as client:
        client.sign_in_as("alice")
        site.store.failing = True
        assert code_of(client.get("/dashboard"), status=503) == "store_unavailable"


NEARLY = [
    "//open", "/open/", "/Open", "/OPEN", "/open//", "/./open", "/x/../open", "/open%2f", "/open;x", "/open.",
    " /open", "/open ", "/open\x00", "/op\u0065n\u200b", "open", "", "/docs/oauth2-redirect", "/openx", "/ope",
]  # fmt: skip


@pytest.mark.parametrize("path", NEARLY)
@pytest.mark.parametrize("root_path", ["", "/api"])
def test_a_path_that_is_nearly_listed_is_not_exempt(site: Site, path: str, root_path: str) -> None:
    sent = exchange(site.app, http_scope(root_path + path, root_path=root_path))
    assert sent[0]["status"] == 401


def test_an_escaped_letter_is_the_letter_as_it_is_for_the_router(site: Site) -> None:
    with site.client() as client:
        assert client.get("/o%70en").json() == {"hello": None}
        assert code_of(client.get("/%2fopen")) == "not_signed_in"
        assert code_of(client.get("/x/%2e%2e/open")) == "not_signed_in"


def test_the_root_path_is_taken_away_before_as_it_is_for_the_router(site: Site) -> None:
    for path, root_path, status in (
        ("/api/open", "/api", 200),
        ("/open", "/api", 200),
        ("/api/open", "", 401),
        ("/apiopen", "/api", 401),
        ("/api/api/open", "/api", 401),
    ):
        # Plain ASGI routes by the whole path in these tests, so only who is let through is looked at.
        sent = exchange(site.app, http_scope(path, root_path=root_path))
        assert (sent[0]["status"] == 401) == (status == 401)


@pytest.mark.parametrize(
    ("path", "admitted"),
    [
        ("/static/app.css", True),
        ("/static/", True),
        ("/static/a/b.js", True),
        ("/static", False),
        ("/static/../dashboard", False),
        ("/static/./x", False),
        ("/static//x", False),
        ("/static/a/../../dashboard", False),
        ("/static/..", False),
        ("/static/a\\..\\b", False),
        ("/Static/x", False),
        ("//static/x", False),
    ],
)
def test_what_is_mounted_can_be_listed_without_ways_out(path: str, admitted: bool) -> None:
    assert Protection(protect=True, public=("/static/*",)).admits(path) == admitted


@pytest.mark.parametrize(
    ("public", "error"),
    [
        (["docs"], ConfigurationError),
        (["/docs*"], ConfigurationError),
        (["/*"], ConfigurationError),
        (["/a/*/b"], ConfigurationError),
        ([""], ConfigurationError),
        ("/docs", TypeError),
    ],
)
def test_a_list_that_cannot_be_meant_is_refused(public: Collection[str], error: type[Exception]) -> None:
    with pytest.raises(error):
        Protection(protect=True, public=public)


def test_a_list_without_protection_is_a_mistake() -> None:
    with pytest.raises(ConfigurationError, match="protect=True"):
        Protection(protect=False, public=["/docs"])
