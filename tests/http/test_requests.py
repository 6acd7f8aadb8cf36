"""What a request must look like: paths, methods, bodies, and where it may come from."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from frontdesk.core.origin import OriginPolicy
from frontdesk.endpoints.routes import ROUTES
from frontdesk.endpoints.settings import EdgeSettings
from frontdesk.testing import Client
from tests.adapters.asgi_server import Message, http_scope, play
from tests.http.answers import EMAIL, PASSWORD, SESSION, code_of, cookies_set, login
from tests.http.sites import Site, make_site

JSON = {"content-type": "application/json"}
PATHS = sorted({route.path.replace("{id}", "A" * 22) for route in ROUTES})


# --- paths and methods -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/auth/", "/auth/nothing", "/auth/me/", "/auth//me", "/auth/ME", "/auth/sessions/", "/auth/sessions/a/b"]
)
def test_what_is_not_there_is_a_problem_document_404(client: Client, path: str) -> None:
    assert code_of(client.get(path), status=404) == "not_found"


def test_what_is_not_below_the_prefix_is_the_applications(client: Client) -> None:
    for path in ("/authority", "/Auth/me", "//auth/me", "/"):
        answer = client.get(f"https://testserver{path}")
        assert answer.status_code == 404
        assert answer.headers["content-type"] != "application/problem+json"


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/auth/login", "POST"),
        ("/auth/refresh", "POST"),
        ("/auth/me", "GET, HEAD"),
        ("/auth/sessions", "DELETE, GET, HEAD"),
        ("/auth/sessions/x", "DELETE"),
    ],
)
def test_another_method_is_405_with_those_that_are_allowed(client: Client, path: str, allowed: str) -> None:
    for method in ("PUT", "PATCH", "OPTIONS", "TRACE"):
        answer = client.request(method, path)
        assert code_of(answer, status=405) == "method_not_allowed"
        assert answer.headers["allow"] == allowed


@pytest.mark.parametrize(
    "session_id",
    [
        "x",
        "A" * 21,
        "A" * 23,
        "A" * 5000,
        "A" * 21 + "B",
        "A" * 20 + "==",
        "A" * 21 + "%20",
        "%ED%B3%BF" * 22,
        "%00",
        "é",
    ],
)
def test_what_cannot_be_the_id_of_a_session_is_404_before_the_store_is_asked(
    site: Site, client: Client, monkeypatch: pytest.MonkeyPatch, session_id: str
) -> None:
    async def asked(*_: Any, **__: Any) -> None:
        raise AssertionError("the store was asked")

    client.sign_in_as("alice")
    monkeypatch.setattr(site.store.inner, "end_session", asked)
    assert code_of(client.delete(f"/auth/sessions/{session_id}"), status=404) == "session_not_found"


def test_an_id_that_no_text_encodes_is_404(client: Client, site: Site) -> None:
    client.sign_in_as("alice")
    cookie = f"{SESSION}={client.cookies[SESSION]}".encode()
    headers = [(b"host", b"testserver"), (b"cookie", cookie), (b"sec-fetch-site", b"same-origin")]
    # What surrogateescape makes of octets that are no UTF-8; not every server refuses them.
    scope = {**http_scope("/auth/sessions/" + "\udcff" * 22, method="DELETE"), "headers": headers}
    assert client.portal is not None
    empty: Message = {"type": "http.request", "body": b"", "more_body": False}
    start, body = client.portal.call(play, site.app, scope, empty)
    assert start["status"] == 404
    assert msgspec.json.decode(body["body"])["code"] == "session_not_found"


@pytest.mark.parametrize("path", ["/auth/jwks.json", "/auth/health", "/auth/me", "/auth/sessions", "/auth/nothing"])
def test_no_answer_of_the_api_is_sniffed(client: Client, path: str) -> None:
    client.sign_in_as("alice")
    assert client.get(path).headers.get_list("x-content-type-options") == ["nosniff"]


def test_head_has_the_headers_of_get_and_no_content(client: Client) -> None:
    client.sign_in_as("alice")
    for path in ("/auth/me", "/auth/jwks.json", "/auth/health"):
        get, head = client.get(path), client.head(path)
        assert head.status_code == get.status_code == 200
        assert head.content == b""
        if path == "/auth/health":  # the lag that it tells has moved on, and may have a digit more
            del get.headers["content-length"], head.headers["content-length"]
        assert head.headers == get.headers


def test_answers_of_the_api_are_never_pages(client: Client) -> None:
    client.sign_in_as("alice")
    for answer in (client.get("/auth/me"), client.get("/auth/nothing")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"


def test_the_public_keys_are_public_and_hold_nothing_private(client: Client) -> None:
    answer = client.get("/auth/jwks.json")
    assert answer.headers["content-type"] == "application/jwk-set+json"
    assert answer.headers["cache-control"] == "public, max-age=900"
    (key,) = answer.json()["keys"]
    assert key["alg"] == "ES256"
    assert "d" not in key


def test_whoever_has_the_public_keys_is_told_so_without_them(client: Client) -> None:
    first = client.get("/auth/jwks.json")
    tag = first.headers["etag"]
    for given in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = client.get("/auth/jwks.json", headers={"if-none-match": given})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
        assert again.headers["cache-control"] == "public, max-age=900"
    for given in ('"other"', "", tag.strip('"')):
        assert client.get("/auth/jwks.json", headers={"if-none-match": given}).status_code == 200


def test_health_says_that_the_desk_is_ready(client: Client) -> None:
    answer = client.get("/auth/health")
    assert answer.status_code == 200
    told = answer.json()
    assert 0 <= told.pop("lag") <= 5
    assert told == {"status": "ok", "store": "reachable", "ready": True}


def _state(site: Site) -> dict[str, Any]:
    return {
        name: copy.deepcopy(value) for name, value in vars(site.store.inner).items() if name not in {"_lock", "_open"}
    }


def test_no_get_head_or_options_changes_anything_in_the_store(site: Site, client: Client) -> None:
    client.sign_in_as("alice", credential="jwt")
    before = _state(site)
    session = next(iter(site.store.inner._sessions))[1]
    for path in (*PATHS, f"/sessions/{session}", "/sessions?except=current", "/nothing"):
        for method in ("GET", "HEAD", "OPTIONS"):
            client.request(method, f"/auth{path}")
    for path in ("/dashboard", "/open", "/transfer"):
        client.get(path)
    assert _state(site) == before


# --- bodies -----------------------------------------------------------------------------------------------------------

WITH_BODY = ("/auth/register", "/auth/login", "/auth/refresh", "/auth/logout")


@pytest.mark.parametrize("path", WITH_BODY)
def test_a_body_over_64_kib_is_413_by_its_declared_length_and_by_its_real_one(client: Client, path: str) -> None:
    large = b'{"email": "' + b"x" * 65_536 + b'"}'

    def in_pieces() -> Iterator[bytes]:
        for start in range(0, len(large), 10_000):
            yield large[start : start + 10_000]

    assert code_of(client.post(path, content=large, headers=JSON), status=413) == "body_too_large"
    assert code_of(client.post(path, content=in_pieces(), headers=JSON), status=413) == "body_too_large"
    lying = {**JSON, "content-length": "9" * 40}
    assert code_of(client.post(path, content=b"{}", headers=lying), status=413) == "body_too_large"
    assert code_of(client.get("/auth/me", headers={"content-length": "65537"}), status=413) == "body_too_large"


@pytest.mark.parametrize("path", WITH_BODY)
@pytest.mark.parametrize("declared", ["text/plain", "application/x-www-form-urlencoded", "application/xml", "json"])
def test_a_body_that_is_not_declared_as_json_is_415(client: Client, path: str, declared: str) -> None:
    answer = client.post(path, content=b"{}", headers={"content-type": declared})
    assert code_of(answer, status=415) == "content_type_unsupported"


@pytest.mark.parametrize("path", WITH_BODY)
@pytest.mark.parametrize(
    "body",
    [b"{", b"nonsense", b"\xff", b'{"email": NaN}', b'{"a": 1, "a": 2}', b'\xef\xbb\xbf{}', "{}".encode("utf-16"),
     b"[" * 1000],
)  # fmt: skip
def test_a_body_that_is_no_strict_json_is_400(client: Client, path: str, body: bytes) -> None:
    assert code_of(client.post(path, content=body, headers=JSON), status=400) == "body_not_parseable"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/auth/register", {}),
        ("/auth/register", {"email": EMAIL}),
        ("/auth/register", {"email": [EMAIL, "eve@example.com"], "password": PASSWORD}),
        ("/auth/register", {"email": EMAIL, "password": None}),
        ("/auth/register", {"email": EMAIL, "password": PASSWORD, "roles": ["admin"]}),
        ("/auth/login", {"email": EMAIL, "password": PASSWORD, "subject": "root"}),
        ("/auth/login", {"email": EMAIL, "password": PASSWORD, "remember": "yes"}),
        ("/auth/login", {"email": EMAIL, "password": PASSWORD, "refresh_in": "pocket"}),
        ("/auth/refresh", {"refresh_token": 5}),
        ("/auth/logout", {"refresh_token": ["fdr_"]}),
    ],
)
def test_a_body_of_another_shape_is_422(client: Client, path: str, body: dict[str, Any]) -> None:
    assert code_of(client.post(path, json=body), status=422) == "body_invalid"


@pytest.mark.parametrize("path", WITH_BODY)
@pytest.mark.parametrize("body", [b"[]", b'"x"', b"1", b"null"])
def test_json_that_is_no_object_is_refused(client: Client, path: str, body: bytes) -> None:
    answer = client.post(path, content=body, headers=JSON)
    assert code_of(answer) in {"body_invalid", "body_not_parseable"}


def test_no_body_needs_no_content_type_and_counts_as_an_empty_object(client: Client) -> None:
    assert code_of(client.post("/auth/login"), status=422) == "body_invalid"
    assert code_of(client.post("/auth/refresh"), status=401) == "not_signed_in"


def test_json_may_be_declared_with_parameters_and_in_capitals(client: Client) -> None:
    for declared in ("application/json; charset=utf-8", "Application/JSON"):
        answer = client.post("/auth/refresh", content=b"{}", headers={"content-type": declared})
        assert code_of(answer) == "not_signed_in"


# --- where it comes from ---------------------------------------------------------------------------------------------

DENIED: list[dict[str, str]] = [
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "nonsense"},
    {"sec-fetch-site": ""},
    {"sec-fetch-site": "Same-Origin"},
    {"sec-fetch-site": "same-site", "origin": "https://testserver"},
    {"origin": "https://evil.example"},
    {"origin": "https://sub.testserver"},
    {"origin": "https://testserver:444"},
    {"origin": "https://testserver."},
    {"origin": "https://x@testserver"},
    {"origin": "https://TESTSERVER"},
    {"origin": "null"},
    {"origin": ""},
]
ALLOWED: list[dict[str, str]] = [
    {"sec-fetch-site": "same-origin"},
    {"sec-fetch-site": "none"},
    {"sec-fetch-site": "same-origin", "origin": "null"},
    {"origin": "https://testserver"},
]


@pytest.mark.parametrize("headers", DENIED, ids=str)
def test_another_site_cannot_sign_in_register_refresh_or_act_with_a_cookie(
    site: Site, client: Client, headers: dict[str, str]
) -> None:
    client.sign_in_as("alice", roles={"teller"}, scope={"money"})
    before = _state(site)
    account = {"email": "eve@example.com", "password": PASSWORD}
    session = next(iter(site.store.inner._sessions))[1]
    for answer in (
        client.post("/auth/login", json={"email": EMAIL, "password": PASSWORD}, headers=headers),
        client.post("/auth/register", json=account, headers=headers),
        client.post("/auth/refresh", headers=headers),
        client.post("/auth/logout", headers=headers),
        client.delete("/auth/sessions", headers=headers),
        client.delete(f"/auth/sessions/{session}", headers=headers),
        client.post("/transfer", headers=headers),
        client.post("/open", headers=headers),
        client.post("/own/sign-in", json={"subject": "eve"}, headers=headers),
        client.post("/own/sign-out", headers=headers),
    ):
        assert code_of(answer, status=403) == "cross_origin"
        assert cookies_set(answer) == {}
    assert _state(site) == before
    assert client.get("/dashboard", headers=headers).status_code == 200


@pytest.mark.parametrize("headers", DENIED, ids=str)
def test_login_refresh_and_register_are_guarded_without_any_cookie_too(client: Client, headers: dict[str, str]) -> None:
    for path in ("/auth/login", "/auth/register"):
        answer = client.post(path, json={"email": EMAIL, "password": PASSWORD}, headers=headers)
        assert code_of(answer, status=403) == "cross_origin"
    assert code_of(client.post("/auth/refresh", headers=headers)) == "cross_origin"
    assert code_of(client.post("/own/sign-in", json={"subject": "eve"}, headers=headers)) == "cross_origin"


@pytest.mark.parametrize("headers", ALLOWED, ids=str)
def test_a_page_of_this_origin_may_act(client: Client, headers: dict[str, str]) -> None:
    client.sign_in_as("alice", roles={"teller"}, scope={"money"})
    assert client.post("/transfer", headers=headers).status_code == 200
    assert client.post("/auth/refresh", headers=headers).status_code == 200
    assert client.post("/auth/logout", headers=headers).status_code == 204


def test_what_does_not_act_with_a_cookie_is_not_asked_where_it_comes_from(client: Client) -> None:
    cross = {"sec-fetch-site": "cross-site", "origin": "https://evil.example"}
    assert client.post("/open", headers=cross).json() == {"hello": None}
    client.sign_in_as("alice", transport="bearer", roles={"teller"}, scope={"money"})
    assert client.post("/transfer", headers=cross).status_code == 200


def test_a_form_without_an_origin_cannot_act_and_json_without_one_can(adapter: str) -> None:
    site = make_site(adapter)
    with site.client() as client:
        client.sign_in_as("alice")
        cookie = f"{SESSION}={client.cookies[SESSION]}"
        plain = {"cookie": cookie, "origin": ""}
        assert client.post("/open", headers=plain).status_code == 403

    from starlette.testclient import TestClient

    with TestClient(site.app, base_url="https://testserver") as program:
        assert program.post("/open", headers={"cookie": cookie}).json() == {"hello": "alice"}
        assert program.post("/open", headers={"cookie": cookie}, json={}).json() == {"hello": "alice"}
        for form in ({"data": {"a": "b"}}, {"files": {"a": b"b"}}):
            answer = program.post("/open", headers={"cookie": cookie}, **form)
            assert code_of(answer, status=403) == "cross_origin"


def test_a_trusted_origin_may_act_and_strict_deployments_want_one(adapter: str) -> None:
    policy = OriginPolicy(trusted=frozenset({"https://app.example"}), strict=True)
    site = make_site(adapter, edge=EdgeSettings(origins=policy))
    with site.client() as client:
        client.sign_in_as("alice")
        trusted = {"sec-fetch-site": "cross-site", "origin": "https://app.example"}
        assert client.post("/open", headers=trusted).json() == {"hello": "alice"}
        other = {"sec-fetch-site": "cross-site", "origin": "https://app.example.evil"}
        assert code_of(client.post("/open", headers=other)) == "cross_origin"
        cookie = f"{SESSION}={client.cookies[SESSION]}"

    from starlette.testclient import TestClient

    with TestClient(site.app, base_url="https://testserver") as program:
        assert code_of(program.post("/open", headers={"cookie": cookie})) == "cross_origin"


def test_a_page_over_plain_http_cannot_act_where_the_request_came_over_tls(adapter: str) -> None:
    site = make_site(adapter)
    with site.client() as client:
        client.sign_in_as("alice")
        assert client.post("/open", headers={"origin": "https://testserver"}).json() == {"hello": "alice"}
        assert code_of(client.post("/open", headers={"origin": "http://testserver"}), status=403) == "cross_origin"
        answer = client.post("/auth/login", json={}, headers={"origin": "http://testserver"})
        assert code_of(answer, status=403) == "cross_origin"


def test_over_plain_http_tls_may_end_at_a_proxy_so_both_origins_are_its_own(adapter: str) -> None:
    site = make_site(adapter)
    with site.client() as client:
        client.sign_in_as("alice")
        cookie = f"{SESSION}={client.cookies[SESSION]}"
    with site.client(base_url="http://testserver") as behind:
        for origin in ("http://testserver", "https://testserver"):
            answer = behind.post("/open", headers={"cookie": cookie, "origin": origin})
            assert answer.json() == {"hello": "alice"}


def test_the_scheme_of_a_policy_stands_whatever_the_request_came_by(adapter: str) -> None:
    site = make_site(adapter, edge=EdgeSettings(origins=OriginPolicy(scheme="https")))
    with site.client(base_url="http://testserver") as client:
        answer = client.post("/auth/login", json={}, headers={"origin": "http://testserver"})
        assert code_of(answer, status=403) == "cross_origin"
        answer = client.post("/auth/login", json={}, headers={"origin": "https://testserver"})
        assert code_of(answer, status=422) == "body_invalid"


def test_an_unknown_host_is_400_everywhere(adapter: str) -> None:
    site = make_site(adapter, edge=EdgeSettings(hosts=frozenset({"testserver"})))
    with site.client() as client:
        assert client.get("/open").status_code == 200
        for host in ("evil.example", "testserver.evil.example", "testserver@evil.example", ""):
            for path in ("/open", "/auth/me"):
                assert code_of(client.get(path, headers={"host": host}), status=400) == "host_unknown"
        assert code_of(login(client, "x"), status=401) == "invalid_credentials"
        answer = client.post("/auth/login", json={"email": EMAIL, "password": PASSWORD}, headers={"host": "evil"})
        assert code_of(answer) == "host_unknown"


# --- WebSockets -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("credential", ["session", "jwt", "jwe"])
@pytest.mark.parametrize("transport", ["cookie", "bearer"])
def test_a_websocket_knows_who_is_there(client: Client, credential: Any, transport: Any) -> None:
    client.sign_in_as("alice", credential=credential, transport=transport)
    with client.websocket_connect("/ws") as socket:
        assert socket.receive_text() == "alice"


def test_a_websocket_of_nobody_or_of_another_site_is_denied_before_it_opens(client: Client) -> None:
    from starlette.testclient import WebSocketDenialResponse

    def denied(**options: Any) -> str:
        with pytest.raises(WebSocketDenialResponse) as denial, client.websocket_connect("/ws", **options):
            raise AssertionError("it opened")
        return code_of(denial.value)

    assert denied() == "not_signed_in"
    assert denied(headers={"authorization": "Bearer nonsense"}) == "credential_malformed"
    client.sign_in_as("alice")
    assert denied(headers={"origin": "https://evil.example"}) == "cross_origin"
    assert denied(headers={"origin": ""}) == "cross_origin"
    assert denied(headers={"sec-fetch-site": "same-site"}) == "cross_origin"
