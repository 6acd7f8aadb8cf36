"""Register and login, as a client sees them."""

from __future__ import annotations

from typing import Any

import pytest

from frontdesk.core.sessions import SessionPolicy
from frontdesk.endpoints.settings import EdgeSettings
from frontdesk.service.settings import DeskSettings
from frontdesk.testing import Client
from tests.http.answers import ACCESS, EMAIL, PASSWORD, REFRESH, SESSION, code_of, cookies_set, login, register
from tests.http.sites import Site, make_site

ATTRIBUTES = "Path=/; Secure; HttpOnly; SameSite=Lax"
DELETED = "Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"
ABSOLUTE = int(SessionPolicy().absolute.total_seconds())

COOKIES = {"session": {SESSION}, "jwt": {ACCESS, REFRESH}, "jwe": {ACCESS, REFRESH}}


def test_registering_answers_the_subject_and_signs_nobody_in(client: Client) -> None:
    created = register(client)
    assert created.status_code == 201
    assert list(created.json()) == ["subject"]
    assert cookies_set(created) == {}
    assert code_of(client.get("/auth/me")) == "not_signed_in"
    signed = login(client)
    assert signed.json()["subject"] == created.json()["subject"]


def test_an_address_is_registered_once_whatever_its_case(client: Client) -> None:
    assert register(client).status_code == 201
    assert code_of(register(client, "Alice@EXAMPLE.com"), status=409) == "email_taken"


@pytest.mark.parametrize(
    ("email", "password", "code"),
    [
        ("alice", PASSWORD, "email_invalid"),
        (" alice@example.com", PASSWORD, "email_invalid"),
        (EMAIL, "too short", "password_too_short"),
        (EMAIL, "x" * 2000, "password_too_long"),
    ],
)
def test_what_cannot_be_registered_is_422_and_says_why(client: Client, email: str, password: str, code: str) -> None:
    assert code_of(register(client, email, password), status=422) == code


def test_a_wrong_address_and_a_wrong_password_are_told_in_the_same_words(client: Client) -> None:
    register(client)
    wrong_password, unknown = login(client, password="wrong horse battery staple"), login(client, "bob@example.com")
    assert code_of(wrong_password, status=401) == "invalid_credentials"
    assert wrong_password.content == unknown.content
    assert wrong_password.headers == unknown.headers


def test_guessing_is_answered_429_with_the_time_to_wait(client: Client) -> None:
    answers = [login(client, password="wrong horse battery staple") for _ in range(7)]
    assert code_of(answers[0]) == "invalid_credentials"
    assert code_of(answers[-1], status=429) == "too_many_attempts"
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert answers[-1].json()["retry_after"] == int(answers[-1].headers["retry-after"])


@pytest.mark.parametrize(
    ("options", "members", "cookies"),
    [
        ({}, {"subject", "session"}, {SESSION}),
        ({"credential": "session", "transport": "cookie"}, {"subject", "session"}, {SESSION}),
        ({"credential": "session", "transport": "bearer"},
         {"subject", "session", "access_token", "token_type"}, set()),
        ({"credential": "jwt"}, {"subject", "session", "expires_in"}, {ACCESS, REFRESH}),
        ({"credential": "jwt", "transport": "bearer"},
         {"subject", "session", "access_token", "token_type", "expires_in", "refresh_token"}, set()),
        ({"credential": "jwt", "transport": "bearer", "refresh_in": "body"},
         {"subject", "session", "access_token", "token_type", "expires_in", "refresh_token"}, set()),
        ({"credential": "jwe"}, {"subject", "session", "expires_in"}, {ACCESS, REFRESH}),
        ({"credential": "jwe", "transport": "bearer"},
         {"subject", "session", "access_token", "token_type", "expires_in", "refresh_token"}, set()),
        ({"credential": "jwt", "transport": "bearer", "refresh_in": "cookie"},
         {"subject", "session", "access_token", "token_type", "expires_in"}, {REFRESH}),
    ],
)  # fmt: skip
def test_each_credential_travels_in_its_envelope_and_absent_members_are_absent(
    client: Client, options: dict[str, str], members: set[str], cookies: set[str]
) -> None:
    register(client)
    signed = login(client, **options)
    body = signed.json()
    assert signed.status_code == 200
    assert signed.headers["cache-control"] == "no-store"
    assert set(body) == members
    assert body.get("token_type", "Bearer") == "Bearer"
    assert body.get("expires_in", 900) == 900
    found = cookies_set(signed)
    assert set(found) == cookies
    for cookie in found.values():
        value, _, attributes = cookie.partition("; ")
        assert attributes == f"{ATTRIBUTES}; Max-Age={ABSOLUTE}"
        assert value not in signed.text
    if "access_token" in body:
        client.headers["authorization"] = f"Bearer {body['access_token']}"
    me = client.get("/auth/me")
    assert me.status_code == 200
    assert me.json()["session_id"] == body["session"]
    assert client.get("/dashboard").json() == {"hello": body["subject"]}


@pytest.mark.parametrize("first", ["session", "jwt", "jwe"])
@pytest.mark.parametrize("second", ["session", "jwt", "jwe"])
def test_a_login_deletes_the_cookies_of_the_other_credential_that_came(client: Client, first: str, second: str) -> None:
    register(client)
    login(client, credential=first)
    answer = cookies_set(login(client, credential=second))
    deleted = {name for name, value in answer.items() if value.startswith(";")}
    assert deleted == COOKIES[first] - COOKIES[second]
    assert all(answer[name] == f"; {ATTRIBUTES}; {DELETED}" for name in deleted)
    assert set(client.cookies) == COOKIES[second]


def test_cookies_of_a_client_that_is_not_to_be_remembered_end_with_the_browser(client: Client) -> None:
    register(client)
    for credential in ("session", "jwt", "jwe"):
        set_now = cookies_set(login(client, credential=credential, remember=False))
        assert [value for value in set_now.values() if "Max-Age" in value and "Max-Age=0" not in value] == []


@pytest.mark.parametrize(
    "options",
    [
        {"credential": "jws"},
        {"credential": ""},
        {"transport": "pigeon"},
        {"credential": "session", "refresh_in": "cookie"},
        {"credential": "jwt", "transport": "cookie", "refresh_in": "body"},
    ],
)
def test_a_credential_that_is_not_offered_is_422(client: Client, options: dict[str, str]) -> None:
    register(client)
    answer = login(client, **options)
    assert code_of(answer, status=422) == "credential_not_allowed"
    assert cookies_set(answer) == {}


def test_a_deployment_lists_what_it_allows(adapter: str) -> None:
    settings = DeskSettings(credentials=("jwt",), transports=("bearer",))
    with make_site(adapter, settings=settings).client() as client:
        register(client)
        assert "access_token" in login(client).json()
        assert code_of(login(client, credential="session")) == "credential_not_allowed"
        assert code_of(login(client, transport="cookie")) == "credential_not_allowed"


@pytest.mark.parametrize("first", ["session", "jwt", "jwe"])
@pytest.mark.parametrize("second", ["session", "jwt", "jwe"])
def test_a_login_ends_the_session_whose_cookie_came_along(site: Site, client: Client, first: str, second: str) -> None:
    register(client)
    login(client, credential=first)
    before = dict(client.cookies)
    login(client, credential=second)
    after = dict(client.cookies)
    assert client.get("/auth/me").status_code == 200
    assert set(before.values()).isdisjoint(after.values())
    with site.client() as old:
        old.cookies.update(before)
        answer = old.get("/dashboard")
    assert code_of(answer, status=401) == "session_replaced"


def test_a_login_ends_nothing_for_a_cookie_that_is_not_authentic(site: Site, client: Client) -> None:
    register(client)
    login(client)
    token = client.cookies[SESSION]
    forged = token[:-1] + ("A" if token[-1] != "A" else "B")
    with site.client() as other:
        assert login(other).status_code == 200
        other.cookies.clear()
        answer = other.post(
            "/auth/login",
            json={"email": EMAIL, "password": PASSWORD},
            headers={"cookie": f"{SESSION}={forged}"},
        )
        assert answer.status_code == 200
    assert client.get("/auth/me").status_code == 200


@pytest.mark.parametrize("name", [SESSION, ACCESS, REFRESH])
def test_a_value_that_was_planted_before_sign_in_never_becomes_a_credential(
    site: Site, client: Client, name: str
) -> None:
    register(client)
    planted = "fds_" + "A" * 88
    for credential in ("session", "jwt", "jwe"):
        answer = client.post(
            "/auth/login",
            json={"email": EMAIL, "password": PASSWORD, "credential": credential},
            headers={"cookie": f"{name}={planted}"},
        )
        assert answer.status_code == 200
        assert planted not in str(answer.headers)
        with site.client() as attacker:
            attacker.cookies.set(name, planted)
            assert attacker.get("/dashboard").status_code == 401


def test_accounts_can_be_left_to_the_application(adapter: str) -> None:
    with make_site(adapter, edge=EdgeSettings(accounts=False)).client() as client:
        for answer in (register(client), login(client)):
            assert code_of(answer, status=404) == "not_found"
        assert code_of(client.get("/auth/me")) == "not_signed_in"


# --- users of the application ------------------------------------------------------------------------------------


def own_sign_in(client: Client, subject: str, **options: Any) -> Any:
    return client.post("/own/sign-in", json={"subject": subject, **options})


@pytest.mark.parametrize("credential", ["session", "jwt", "jwe"])
@pytest.mark.parametrize("transport", ["cookie", "bearer"])
def test_an_application_signs_its_own_users_in(client: Client, credential: str, transport: str) -> None:
    answer = own_sign_in(client, "u:1", roles=["teller"], scope=["money"], credential=credential, transport=transport)
    assert answer.status_code == 200
    assert answer.json()["subject"] == "u:1"
    assert answer.headers.get_list("cache-control") == ["no-store"] or not cookies_set(answer)
    assert bool(cookies_set(answer)) == (transport == "cookie")
    if transport == "bearer":
        client.headers["authorization"] = f"Bearer {answer.json()['access_token']}"
    assert client.get("/dashboard").json() == {"hello": "u:1"}
    assert client.post("/transfer").json() == {"by": "u:1"}
    me = client.get("/auth/me").json()
    assert me["roles"] == ["teller"]
    assert me["scope"] == ["money"]
    assert me["credential"] == credential


def test_signing_ones_own_users_in_replaces_the_session_that_came_and_refuses_other_sites(
    site: Site, client: Client
) -> None:
    own_sign_in(client, "u:1")
    old = client.cookies[SESSION]
    own_sign_in(client, "u:2")
    assert client.get("/dashboard").json() == {"hello": "u:2"}
    with site.client() as before:
        before.cookies.set(SESSION, old)
        assert code_of(before.get("/dashboard")) == "session_replaced"
        before.cookies.clear()
        answer = before.post("/own/sign-in", json={"subject": "u:3"}, headers={"sec-fetch-site": "same-site"})
        assert code_of(answer, status=403) == "cross_origin"
        assert cookies_set(answer) == {}


def test_claims_that_do_not_fit_into_a_credential_are_refused_by_name(client: Client) -> None:
    answer = own_sign_in(client, "u:1", credential="jwt", claims={"small": 1, "big": "x" * 4000})
    assert code_of(answer, status=422) == "claims_too_large"
    assert answer.json()["claim"] == "big"
    assert cookies_set(answer) == {}


def test_signing_out_of_ones_own_application_ends_the_session_and_deletes_the_cookies(
    site: Site, client: Client
) -> None:
    own_sign_in(client, "u:1", credential="jwt")
    kept = dict(client.cookies)
    answer = client.post("/own/sign-out")
    assert answer.status_code == 200
    assert set(cookies_set(answer)) == {ACCESS, REFRESH}
    assert dict(client.cookies) == {}
    with site.client() as thief:
        thief.cookies.update(kept)
        assert code_of(thief.get("/dashboard")) == "session_ended"
    assert code_of(client.post("/own/sign-out"), status=401) == "not_signed_in"


def test_changed_roles_count_from_the_next_request_on(site: Site, client: Client) -> None:
    for credential in ("session", "jwt", "jwe"):
        own_sign_in(client, "u:1", credential=credential, scope=["money"])
        assert code_of(client.post("/transfer"), status=403) == "role_missing"
        assert client.portal is not None
        assert client.portal.call(lambda: site.front.update("u:1", roles={"teller"})) == 1
        assert client.post("/transfer").status_code == 200
        client.portal.call(lambda: site.front.update("u:1", roles=set()))
        assert code_of(client.post("/transfer")) == "role_missing"
