"""Log-out, and the list of devices."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from frontdesk.testing import Client
from tests.http.answers import ACCESS, REFRESH, SESSION, code_of, cookies_set
from tests.http.sites import Site

COOKIES: dict[str, set[str]] = {"session": {SESSION}, "jwt": {ACCESS, REFRESH}, "jwe": {ACCESS, REFRESH}}


@pytest.mark.parametrize("credential", ["session", "jwt", "jwe"])
@pytest.mark.parametrize("transport", ["cookie", "bearer"])
def test_log_out_ends_the_session_for_everybody_who_holds_its_credentials(
    site: Site, client: Client, credential: Any, transport: Any
) -> None:
    body = client.sign_in_as("alice", credential=credential, transport=transport)
    kept, header = dict(client.cookies), client.headers.get("authorization")
    answer = client.post("/auth/logout")
    assert answer.status_code == 204
    assert answer.content == b""
    assert set(cookies_set(answer)) == (COOKIES[credential] if transport == "cookie" else set())
    with site.client() as thief:
        thief.cookies.update(kept)
        if header:
            thief.headers["authorization"] = header
        for path in ("/dashboard", "/auth/me", "/auth/sessions"):
            assert code_of(thief.get(path), status=401) == "session_ended"
        if credential == "jwt":
            token = {"refresh_token": body["refresh_token"]} if transport == "bearer" else None
            thief.headers.pop("authorization", None)
            assert code_of(thief.post("/auth/refresh", json=token), status=401) == "session_ended"


@pytest.mark.parametrize("credential", ["session", "jwt", "jwe"])
@pytest.mark.parametrize("transport", ["cookie", "bearer"])
def test_logging_out_twice_is_204_twice(client: Client, credential: Any, transport: Any) -> None:
    client.sign_in_as("alice", credential=credential, transport=transport)
    kept = dict(client.cookies)
    assert client.post("/auth/logout").status_code == 204
    client.cookies.update(kept)
    assert client.post("/auth/logout").status_code == 204


def test_an_expired_access_token_ends_its_session(site: Site, client: Client) -> None:
    token = client.sign_in_as("alice", credential="jwt", transport="bearer")["refresh_token"]
    site.clock.advance(timedelta(days=1))
    assert code_of(client.get("/dashboard")) == "token_expired"
    assert client.post("/auth/logout").status_code == 204
    client.forget()
    assert code_of(client.post("/auth/refresh", json={"refresh_token": token})) == "session_ended"


@pytest.mark.parametrize("envelope", ["cookie", "body"])
def test_a_refresh_token_alone_ends_its_session(client: Client, envelope: str) -> None:
    transport: Any = "bearer" if envelope == "body" else "cookie"
    signed = client.sign_in_as("alice", credential="jwt", transport=transport)
    access = signed.get("access_token") or client.cookies[ACCESS]
    token = signed.get("refresh_token") or client.cookies[REFRESH]
    client.forget()
    if envelope == "body":
        assert client.post("/auth/logout", json={"refresh_token": token}).status_code == 204
        answer = client.get("/dashboard", headers={"authorization": f"Bearer {access}"})
    else:
        assert client.post("/auth/logout", headers={"cookie": f"{REFRESH}={token}"}).status_code == 204
        answer = client.get("/dashboard", headers={"cookie": f"{ACCESS}={access}"})
    assert code_of(answer) == "session_ended"


def test_log_out_of_a_single_page_application_deletes_its_cookie(client: Client) -> None:
    client.sign_in_as("alice", credential="jwt", transport="bearer", refresh_in="cookie")
    answer = client.post("/auth/logout")
    assert answer.status_code == 204
    assert REFRESH in cookies_set(answer)


def test_nothing_authentic_is_401_and_ends_nothing(site: Site, client: Client) -> None:
    assert code_of(client.post("/auth/logout"), status=401) == "not_signed_in"
    client.sign_in_as("alice")
    token = client.cookies[SESSION]
    client.forget()
    edited = token[:-2] + ("AA" if token[-2:] != "AA" else "BA")
    for answer in (
        client.post("/auth/logout", headers={"cookie": f"{SESSION}={edited}"}),
        client.post("/auth/logout", headers={"authorization": f"Bearer {edited}"}),
        client.post("/auth/logout", json={"refresh_token": "fdr_" + "A" * 94}),
    ):
        assert code_of(answer, status=401) in {"credential_malformed", "credential_invalid"}
    assert client.get("/dashboard", headers={"cookie": f"{SESSION}={token}"}).status_code == 200


def test_log_out_needs_no_body_and_no_content_type(client: Client) -> None:
    client.sign_in_as("alice")
    assert client.post("/auth/logout", content=b"").status_code == 204


# --- devices -------------------------------------------------------------------------------------------------------

MEMBERS = {
    "id", "current", "credential", "transport", "created_at", "last_seen_at", "expires_at", "device", "address",
}  # fmt: skip


def test_my_devices_are_mine_newest_first_with_no_token_among_them(site: Site, client: Client) -> None:
    with site.client() as phone, site.client() as stranger:
        first = client.sign_in_as("alice")
        site.clock.advance(timedelta(seconds=1))
        second = phone.sign_in_as("alice", credential="jwt", transport="bearer")
        stranger.sign_in_as("bob")
        answer = client.get("/auth/sessions")
        assert answer.status_code == 200
        listed = answer.json()["sessions"]
        assert [device["id"] for device in listed] == [second["session"], first["session"]]
        assert [device["current"] for device in listed] == [False, True]
        assert [device["credential"] for device in listed] == ["jwt", "session"]
        assert [device["transport"] for device in listed] == ["bearer", "cookie"]
        assert all(set(device) == MEMBERS for device in listed)
        assert "fds_" not in answer.text
        assert "fdr_" not in answer.text


def test_a_device_is_listed_with_where_it_signed_in_from(client: Client) -> None:
    client.post("/own/sign-in", json={"subject": "alice"}, headers={"user-agent": "Teapot/1.0\x7f"})
    (device,) = client.get("/auth/sessions").json()["sessions"]
    assert device["device"] == "Teapot/1.0"
    assert device["address"]


def test_ending_one_of_my_sessions_signs_that_device_out(site: Site, client: Client) -> None:
    with site.client() as phone:
        client.sign_in_as("alice")
        there = phone.sign_in_as("alice", credential="jwt")["session"]
        answer = client.delete(f"/auth/sessions/{there}")
        assert answer.status_code == 204
        assert cookies_set(answer) == {}
        assert code_of(phone.get("/dashboard")) == "session_ended"
        assert client.get("/dashboard").status_code == 200


def test_ending_the_session_that_asks_deletes_its_cookies(client: Client) -> None:
    here = client.sign_in_as("alice", credential="jwt")["session"]
    answer = client.delete(f"/auth/sessions/{here}")
    assert answer.status_code == 204
    assert set(cookies_set(answer)) == COOKIES["jwt"]
    assert dict(client.cookies) == {}


def test_sessions_of_others_and_unknown_ones_are_not_found_alike(site: Site, client: Client) -> None:
    with site.client() as stranger:
        client.sign_in_as("alice")
        there = stranger.sign_in_as("bob")["session"]
        theirs, nobodys = client.delete(f"/auth/sessions/{there}"), client.delete("/auth/sessions/" + "A" * 22)
        assert code_of(theirs, status=404) == "session_not_found"
        assert theirs.content == nobodys.content
        assert stranger.get("/dashboard").status_code == 200


def test_all_my_other_sessions_end_with_except_current(site: Site, client: Client) -> None:
    with site.client() as phone, site.client() as tablet, site.client() as stranger:
        for other in (phone, tablet):
            other.sign_in_as("alice", credential="jwt")
        stranger.sign_in_as("bob")
        client.sign_in_as("alice")
        answer = client.delete("/auth/sessions?except=current")
        assert answer.status_code == 200
        assert answer.json() == {"ended": 2}
        assert cookies_set(answer) == {}
        for other in (phone, tablet):
            assert code_of(other.get("/dashboard")) == "session_ended"
        assert client.get("/dashboard").status_code == 200
        assert stranger.get("/dashboard").status_code == 200


def test_all_my_sessions_end_without_it(site: Site, client: Client) -> None:
    with site.client() as phone:
        phone.sign_in_as("alice")
        client.sign_in_as("alice")
        assert code_of(client.delete("/auth/sessions?except=others"), status=422) == "body_invalid"
        assert client.get("/dashboard").status_code == 200
        answer = client.delete("/auth/sessions")
        assert answer.json() == {"ended": 2}
        assert set(cookies_set(answer)) == COOKIES["session"]
        assert code_of(phone.get("/dashboard")) == "session_ended"
        assert code_of(client.get("/dashboard")) == "not_signed_in"


def test_the_twenty_first_session_of_a_subject_ends_the_oldest(site: Site, client: Client) -> None:
    client.sign_in_as("alice")
    site.clock.advance(timedelta(seconds=1))
    with site.client() as others:
        for _ in range(20):
            others.sign_in_as("alice")
    assert code_of(client.get("/dashboard")) == "session_ended"
