"""Refresh, by cookie and by body, alone and in parallel; and renewal of a page on its way in."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from frontdesk.testing import Client
from tests.http.answers import ACCESS, REFRESH, SESSION, code_of, cookies_set
from tests.http.sites import Site

PAST_GRACE = timedelta(seconds=31)
NAVIGATION = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document", "sec-fetch-site": "none"}


def refresh(client: Client, token: str | None = None, **options: Any) -> Any:
    json = None if token is None else {"refresh_token": token}
    return client.post("/auth/refresh", json=json, **options)


def test_a_cookie_refresh_inside_grace_brings_an_access_token_and_no_refresh_token(client: Client) -> None:
    body = client.sign_in_as("alice", credential="jwt")
    answer = refresh(client)
    assert answer.status_code == 200
    assert answer.json() == {"subject": "alice", "session": body["session"], "expires_in": 900}
    assert set(cookies_set(answer)) == {ACCESS}


def test_a_cookie_refresh_past_grace_rotates_and_never_shows_a_token_in_the_body(site: Site, client: Client) -> None:
    client.sign_in_as("alice", credential="jwt")
    old = client.cookies[REFRESH]
    site.clock.advance(PAST_GRACE)
    answer = refresh(client)
    assert set(cookies_set(answer)) == {ACCESS, REFRESH}
    assert client.cookies[REFRESH] != old
    assert set(answer.json()) == {"subject", "session", "expires_in"}
    assert client.get("/dashboard").json() == {"hello": "alice"}


def test_a_body_refresh_sets_no_cookie_and_the_token_is_in_the_body_only_when_minted(
    site: Site, client: Client
) -> None:
    signed = client.sign_in_as("alice", credential="jwt", transport="bearer")
    client.forget()
    inside = refresh(client, signed["refresh_token"])
    assert set(inside.json()) == {"subject", "session", "access_token", "token_type", "expires_in"}
    site.clock.advance(PAST_GRACE)
    minted = refresh(client, signed["refresh_token"])
    assert set(minted.json()) == {*inside.json(), "refresh_token"}
    assert minted.json()["refresh_token"] != signed["refresh_token"]
    for answer in (inside, minted):
        assert cookies_set(answer) == {}
        assert answer.headers["cache-control"] == "no-store"
        bearer = {"authorization": f"Bearer {answer.json()['access_token']}"}
        assert client.get("/dashboard", headers=bearer).json() == {"hello": "alice"}


def test_a_single_page_application_keeps_its_refresh_token_in_a_cookie(site: Site, client: Client) -> None:
    client.sign_in_as("alice", credential="jwt", transport="bearer", refresh_in="cookie")
    assert list(client.cookies) == [REFRESH]
    del client.headers["authorization"]
    assert code_of(client.get("/dashboard")) == "not_signed_in"
    site.clock.advance(PAST_GRACE)
    answer = refresh(client)
    assert set(answer.json()) == {"subject", "session", "access_token", "token_type", "expires_in"}
    assert set(cookies_set(answer)) == {REFRESH}
    bearer = {"authorization": f"Bearer {answer.json()['access_token']}"}
    assert client.get("/dashboard", headers=bearer).json() == {"hello": "alice"}


def test_a_refresh_token_is_accepted_in_the_envelope_it_was_issued_in_only(client: Client) -> None:
    by_body = client.sign_in_as("alice", credential="jwt", transport="bearer")["refresh_token"]
    client.forget()
    assert code_of(refresh(client, headers={"cookie": f"{REFRESH}={by_body}"}), status=401) == "transport_mismatch"
    client.sign_in_as("alice", credential="jwt")
    by_cookie = client.cookies[REFRESH]
    client.forget()
    assert code_of(refresh(client, by_cookie), status=401) == "transport_mismatch"


def test_two_refresh_tokens_at_once_are_400(client: Client) -> None:
    token = client.sign_in_as("alice", credential="jwt", transport="bearer")["refresh_token"]
    client.sign_in_as("alice", credential="jwt")
    assert code_of(refresh(client, token), status=400) == "credentials_ambiguous"
    assert refresh(client).status_code == 200


def test_a_refresh_with_a_session_token_is_200_and_extends_nothing(site: Site, client: Client) -> None:
    for transport in ("cookie", "bearer"):
        body = client.sign_in_as("alice", transport=transport)
        before = dict(site.store.inner._sessions)
        answer = refresh(client)
        assert answer.status_code == 200
        assert answer.json() == {"subject": "alice", "session": body["session"]}
        assert cookies_set(answer) == {}
        assert site.store.inner._sessions == before


def test_a_refresh_without_anything_or_with_an_access_token_is_401(client: Client) -> None:
    assert code_of(refresh(client), status=401) == "not_signed_in"
    client.sign_in_as("alice", credential="jwt", transport="bearer", refresh_in="cookie")
    assert code_of(refresh(client), status=401) == "credential_invalid"


@pytest.mark.parametrize("token", ["", "x", "fdr_", "fdr_" + "A" * 94, "fds_" + "A" * 88, "a.b.c", "fdr_é"])
def test_a_refresh_token_that_was_never_issued_is_401(client: Client, token: str) -> None:
    assert code_of(refresh(client, token), status=401) in {"credential_malformed", "credential_invalid"}
    if token and token.isascii():
        answer = refresh(client, headers={"cookie": f"{REFRESH}={token}"})
        assert code_of(answer, status=401) in {"credential_malformed", "credential_invalid"}
        assert cookies_set(answer) == {}


def test_a_refresh_cookie_that_comes_twice_is_none(client: Client) -> None:
    client.sign_in_as("alice", credential="jwt")
    pair = f"{REFRESH}={client.cookies[REFRESH]}"
    client.forget()
    answer = refresh(client, headers={"cookie": f"{pair}; {pair}"})
    assert code_of(answer, status=401) == "credential_duplicate"
    assert cookies_set(answer) == {}


def test_an_expired_access_token_does_not_stand_in_the_way_of_a_refresh(site: Site, client: Client) -> None:
    client.sign_in_as("alice", credential="jwt")
    site.clock.advance(timedelta(hours=1))
    assert code_of(client.get("/dashboard")) == "token_expired"
    assert refresh(client).status_code == 200
    assert client.get("/dashboard").status_code == 200


@pytest.mark.parametrize("envelope", ["cookie", "body"])
def test_twenty_parallel_refreshes_with_one_token_are_one_rotation(site: Site, client: Client, envelope: str) -> None:
    transport: Any = "bearer" if envelope == "body" else "cookie"
    signed = client.sign_in_as("alice", credential="jwt", transport=transport)
    old = signed.get("refresh_token") or client.cookies[REFRESH]
    client.forget()
    site.clock.advance(PAST_GRACE)

    def one(_: int) -> Any:
        if envelope == "body":
            return refresh(client, old)
        return refresh(client, headers={"cookie": f"{REFRESH}={old}"})

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(one, range(20)))
    assert [answer.status_code for answer in answers] == [200] * 20
    access = [answer.json().get("access_token") or _cookie(answer, ACCESS) for answer in answers]
    minted = [token for answer in answers if (token := answer.json().get("refresh_token") or _cookie(answer, REFRESH))]
    assert len(minted) == 1
    assert site.desk.names().count("refreshed") == 20
    (row,) = site.store.inner._sessions.values()
    assert row.generation == 1
    client.forget()
    for token in access:
        header = {"authorization": f"Bearer {token}"} if envelope == "body" else {"cookie": f"{ACCESS}={token}"}
        assert client.get("/dashboard", headers=header).status_code == 200
    site.clock.advance(PAST_GRACE)
    client.forget()
    again = (
        refresh(client, minted[0])
        if envelope == "body"
        else refresh(client, headers={"cookie": f"{REFRESH}={minted[0]}"})
    )
    assert again.status_code == 200


def _cookie(answer: Any, name: str) -> str | None:
    value = cookies_set(answer).get(name)
    return value.partition(";")[0] if value else None


def test_a_token_two_rotations_old_ends_the_session(site: Site, client: Client) -> None:
    token = client.sign_in_as("alice", credential="jwt", transport="bearer")["refresh_token"]
    tokens = [token]
    for _ in range(2):
        site.clock.advance(PAST_GRACE)
        tokens.append(refresh(client, tokens[-1]).json()["refresh_token"])
    site.clock.advance(PAST_GRACE)
    assert code_of(refresh(client, tokens[0]), status=401) == "refresh_reused"
    assert code_of(refresh(client, tokens[-1]), status=401) == "refresh_reused"
    assert code_of(client.get("/dashboard")) == "refresh_reused"
    assert code_of(client.get("/auth/me")) == "refresh_reused"


# --- renewal of a page ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/dashboard", "/open", "/auth/me", "/auth/sessions"])
def test_a_page_with_an_expired_access_cookie_is_renewed_in_the_same_answer(
    site: Site, client: Client, path: str
) -> None:
    client.sign_in_as("alice", credential="jwt")
    old = client.cookies[REFRESH]
    site.clock.advance(timedelta(hours=1))
    answer = client.get(path, headers=NAVIGATION)
    assert answer.status_code == 200
    assert set(cookies_set(answer)) == {ACCESS, REFRESH}
    assert client.cookies[REFRESH] != old
    assert client.get("/dashboard").json() == {"hello": "alice"}


def test_a_page_without_any_access_cookie_is_renewed_too(site: Site, client: Client) -> None:
    client.sign_in_as("alice", credential="jwt")
    refresh_token = client.cookies[REFRESH]
    client.forget()
    answer = client.get("/dashboard", headers={**NAVIGATION, "cookie": f"{REFRESH}={refresh_token}"})
    assert answer.json() == {"hello": "alice"}
    assert set(cookies_set(answer)) == {ACCESS}


@pytest.mark.parametrize("credential", ["jwt", "jwe"])
def test_a_page_whose_access_token_has_lost_its_key_is_renewed(site: Site, client: Client, credential: Any) -> None:
    client.sign_in_as("alice", credential=credential)
    assert client.portal is not None
    for stored in site.desk.keys.stored:
        client.portal.call(site.desk.give_up_key, stored.id)
    assert code_of(client.get("/dashboard"), status=401) == "credential_invalid"
    answer = client.get("/dashboard", headers=NAVIGATION)
    assert answer.json() == {"hello": "alice"}
    assert client.get("/dashboard").json() == {"hello": "alice"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-mode": "cors", "sec-fetch-dest": "empty"},
        {"sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"},
        {"sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"},
    ],
)
def test_nothing_but_a_top_level_page_is_renewed(site: Site, client: Client, headers: dict[str, str]) -> None:
    client.sign_in_as("alice", credential="jwt")
    site.clock.advance(timedelta(hours=1))
    answer = client.get("/dashboard", headers=headers)
    assert code_of(answer, status=401) == "token_expired"
    assert cookies_set(answer) == {}
    assert "refreshed" not in site.desk.names()


def test_a_page_is_not_renewed_for_a_session_that_was_ended_or_with_a_token_that_is_not_ours(
    site: Site, client: Client
) -> None:
    body = client.sign_in_as("alice", credential="jwt")
    site.clock.advance(timedelta(hours=1))
    forged = client.get("/dashboard", headers={**NAVIGATION, "cookie": f"{REFRESH}={'fdr_' + 'A' * 94}"})
    assert code_of(forged, status=401) == "credential_malformed"
    assert client.portal is not None
    client.portal.call(lambda: site.desk.end(body["session"], reason="revoked"))
    answer = client.get("/dashboard", headers=NAVIGATION)
    assert code_of(answer, status=401) == "session_ended"
    assert cookies_set(answer) == {}


def test_a_page_of_a_bearer_client_is_not_signed_in_by_its_refresh_cookie(site: Site, client: Client) -> None:
    client.sign_in_as("alice", credential="jwt", transport="bearer", refresh_in="cookie")
    del client.headers["authorization"]
    site.clock.advance(PAST_GRACE)
    answer = client.get("/dashboard", headers=NAVIGATION)
    assert answer.status_code == 401
    cookies_set(answer)
    assert refresh(client).status_code == 200


def test_signing_in_on_a_renewed_page_sets_each_cookie_once(site: Site, client: Client) -> None:
    client.sign_in_as("alice", credential="jwt")
    site.clock.advance(timedelta(hours=1))
    answer = client.get("/open", headers=NAVIGATION)
    assert answer.json() == {"hello": "alice"}
    again = client.post("/own/sign-in", json={"subject": "bob", "credential": "session"}, headers=NAVIGATION)
    assert set(cookies_set(again)) == {SESSION, ACCESS, REFRESH}
    assert client.get("/dashboard").json() == {"hello": "bob"}
