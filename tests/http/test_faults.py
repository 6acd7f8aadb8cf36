"""When the store fails, the answer is 503: never yes, never "nobody", never a log-out that did not happen."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from frontdesk.errors import OverloadedError
from frontdesk.service.settings import DeskSettings
from frontdesk.testing import Client
from tests.http.answers import EMAIL, PASSWORD, REFRESH, code_of, cookies_set, register
from tests.http.sites import Site, make_site

CARRIED = [("session", "cookie"), ("session", "bearer"), ("jwt", "cookie"), ("jwt", "bearer")]


@pytest.mark.parametrize(("credential", "transport"), CARRIED)
def test_a_failing_store_is_503_for_everything_that_must_know_who_asks(
    adapter: str, credential: Any, transport: Any
) -> None:
    site = make_site(adapter, settings=DeskSettings(freshness="strict"))
    with site.client() as client:
        _meets_a_failing_store(site, client, credential, transport)


def _meets_a_failing_store(site: Site, client: Client, credential: Any, transport: Any) -> None:
    body = client.sign_in_as("alice", credential=credential, transport=transport, roles={"teller"}, scope={"money"})
    site.store.failing = True
    for method, path in (
        ("GET", "/dashboard"), ("GET", "/open"), ("POST", "/transfer"), ("GET", "/auth/me"), ("GET", "/auth/sessions"),
        ("DELETE", "/auth/sessions"), ("DELETE", f"/auth/sessions/{body['session']}"), ("POST", "/auth/logout"),
        ("POST", "/own/sign-out"),
    ):  # fmt: skip
        answer = client.request(method, path)
        assert code_of(answer, status=503) == "store_unavailable"
        assert cookies_set(answer) == {}
        assert "strike" not in answer.text
    site.store.failing = False
    assert client.get("/dashboard").json() == {"hello": "alice"}


def test_a_failing_store_signs_nobody_in_and_registers_nobody(site: Site, client: Client) -> None:
    register(client)
    site.store.failing = True
    for path, body in (
        ("/auth/login", {"email": EMAIL, "password": PASSWORD}),
        ("/auth/register", {"email": "bob@example.com", "password": PASSWORD}),
        ("/own/sign-in", {"subject": "alice"}),
    ):
        answer = client.post(path, json=body)
        assert code_of(answer, status=503) == "store_unavailable"
        assert cookies_set(answer) == {}
    assert site.store.inner._sessions == {}


def test_a_failing_store_refreshes_nothing_and_the_client_goes_on_afterwards(site: Site, client: Client) -> None:
    client.sign_in_as("alice", credential="jwt")
    token = client.cookies[REFRESH]
    site.store.failing = True
    answer = client.post("/auth/refresh")
    assert code_of(answer, status=503) == "store_unavailable"
    page = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document", "cookie": f"{REFRESH}={token}"}
    assert code_of(client.get("/dashboard", headers=page), status=503) == "store_unavailable"
    site.store.failing = False
    assert client.post("/auth/refresh").status_code == 200


def test_routes_that_do_not_ask_are_served_while_the_store_fails_if_no_credential_came(
    site: Site, client: Client
) -> None:
    client.get("/open")
    site.store.failing = True
    assert client.get("/open").json() == {"hello": None}
    assert code_of(client.get("/dashboard"), status=401) == "not_signed_in"


def test_health_is_503_while_the_store_fails(site: Site, client: Client) -> None:
    site.store.failing = True
    answer = client.get("/auth/health")
    assert answer.status_code == 503
    assert answer.json()["ready"] is False


def test_a_store_with_too_much_waiting_is_503_for_who_is_signed_in(site: Site, client: Client) -> None:
    client.sign_in_as("alice")
    site.store.fault = OverloadedError("too many reads are waiting")
    site.store.failing = True
    for method, path in (("GET", "/dashboard"), ("GET", "/open"), ("GET", "/auth/me"), ("POST", "/auth/logout")):
        assert code_of(client.request(method, path), status=503) == "overloaded"
    site.store.failing = False
    assert client.get("/dashboard").json() == {"hello": "alice"}


def test_what_nobody_expected_is_500_in_the_api_is_logged_and_grants_nothing(
    site: Site, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    client.sign_in_as("alice")
    site.store.fault = RuntimeError("a defect on strike")
    site.store.failing = True
    for method, path, body in (
        ("GET", "/auth/me", None),
        ("GET", "/auth/health", None),
        ("POST", "/auth/logout", {}),
        ("POST", "/auth/login", {"email": EMAIL, "password": PASSWORD}),
    ):
        caplog.clear()
        answer = client.request(method, path, json=body)
        assert code_of(answer, status=500) == "internal_error"
        assert cookies_set(answer) == {}
        assert "strike" not in answer.text
        assert "a defect on strike" in caplog.text
    site.store.failing = False
    assert client.get("/dashboard").json() == {"hello": "alice"}


def test_a_websocket_is_denied_with_503(site: Site, client: Client) -> None:
    from starlette.testclient import WebSocketDenialResponse

    client.sign_in_as("alice")
    site.store.failing = True
    with pytest.raises(WebSocketDenialResponse) as denial, client.websocket_connect("/ws"):
        raise AssertionError("it opened")
    assert code_of(denial.value, status=503) == "store_unavailable"


def test_a_full_queue_of_passwords_is_503_and_counts_as_no_attempt(
    site: Site, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(client)

    def full() -> None:
        raise OverloadedError("Too many passwords are being checked; try again in a moment.")

    monkeypatch.setattr(site.desk.hasher, "place", full)
    for _ in range(10):
        answer = client.post("/auth/login", json={"email": EMAIL, "password": PASSWORD})
        assert code_of(answer, status=503) == "overloaded"
    monkeypatch.undo()
    assert client.post("/auth/login", json={"email": EMAIL, "password": PASSWORD}).status_code == 200


def test_no_log_line_ever_holds_a_credential_or_a_password(
    site: Site, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        register(client)
        secrets = [PASSWORD]
        for credential, transport in CARRIED:
            body = {"email": EMAIL, "password": PASSWORD, "credential": credential, "transport": transport}
            answer = client.post("/auth/login", json=body)
            secrets += [answer.json()[name] for name in ("access_token", "refresh_token") if name in answer.json()]
            secrets += client.cookies.values()
            client.get("/dashboard")
            client.post("/auth/refresh")
        site.store.failing = True
        client.get("/dashboard")
        site.store.failing = False
        client.post("/auth/logout")
    written = "\n".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
    assert "signed_in" in written
    assert [secret for secret in secrets if secret in written] == []
