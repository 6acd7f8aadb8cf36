"""A malformed, expired, foreign, replayed or oversized credential is a 401 with its reason, and nothing worse."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any

import pytest

from frontdesk.adapters.front import Front
from frontdesk.core.sessions import SessionPolicy
from frontdesk.service.settings import DeskSettings
from frontdesk.testing import Client
from tests.http.answers import ACCESS, REFRESH, SESSION, code_of
from tests.http.sites import Site, make_site
from tests.service.desks import OTHER_SECRET, TestDesk

NOBODY = b'Bearer realm="frontdesk"'


def test_nobody_is_told_so_without_an_error(client: Client) -> None:
    for path in ("/auth/me", "/auth/sessions", "/dashboard"):
        answer = client.get(path)
        assert code_of(answer, status=401) == "not_signed_in"
        assert answer.headers["www-authenticate"] == NOBODY.decode()


def test_routes_that_do_not_ask_are_served_to_nobody_and_with_a_bad_credential(client: Client) -> None:
    assert client.get("/open").json() == {"hello": None}
    assert client.get("/open", headers={"authorization": "Bearer nonsense"}).json() == {"hello": None}
    client.sign_in_as("alice")
    assert client.get("/open").json() == {"hello": "alice"}


GARBAGE = [
    "x",
    "fds_",
    "fds_" + "A" * 88,
    "fds_" + "!" * 88,
    "fds_" + "A" * 87,
    "fdr_" + "A" * 94,
    "fdk_" + "A" * 88,
    "a.b.c",
    "e30.e30.",
    "..",
    "eyJhbGciOiJub25lIn0.e30.",
    "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.eyJzdWIiOiJhbGljZSJ9.",
    "." * 4000,
    "A" * 4000,
    "null",
    "%00",
]


@pytest.mark.parametrize("value", GARBAGE)
@pytest.mark.parametrize("carrier", [SESSION, ACCESS, "authorization"])
def test_garbage_is_401_with_a_reason(client: Client, value: str, carrier: str) -> None:
    header = {"authorization": f"Bearer {value}"} if carrier == "authorization" else {"cookie": f"{carrier}={value}"}
    for path in ("/auth/me", "/dashboard"):
        answer = client.get(path, headers=header)
        assert code_of(answer, status=401) in {"credential_malformed", "credential_invalid"}
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Basic YWxpY2U6c2VjcmV0", "Bearer a b", "Token x", "Bearer " + "A" * 20_000],
)
def test_an_authorization_header_of_another_form_is_malformed_and_hides_the_cookie(
    client: Client, authorization: str
) -> None:
    client.sign_in_as("alice")
    answer = client.get("/auth/me", headers={"authorization": authorization})
    assert code_of(answer, status=401) == "credential_malformed"


def test_when_authorization_is_there_it_decides(site: Site, client: Client) -> None:
    with site.client() as other:
        token = other.sign_in_as("bob", transport="bearer")["access_token"]
    client.sign_in_as("alice")
    assert client.get("/dashboard").json() == {"hello": "alice"}
    assert client.get("/dashboard", headers={"authorization": f"Bearer {token}"}).json() == {"hello": "bob"}
    assert client.get("/dashboard", headers={"authorization": f"bearer  {token}"}).json() == {"hello": "bob"}
    assert code_of(client.get("/dashboard", headers={"authorization": f"Bearer {token}x"})) == "credential_malformed"
    twice = [("authorization", f"Bearer {token}"), ("authorization", f"Bearer {token}")]
    assert code_of(client.get("/dashboard", headers=twice)) == "credential_malformed"


@pytest.mark.parametrize("credential", ["session", "jwt", "jwe"])
def test_a_credential_is_accepted_through_its_own_transport_only(site: Site, client: Client, credential: Any) -> None:
    client.sign_in_as("alice", credential=credential)
    cookie = client.cookies[SESSION if credential == "session" else ACCESS]
    client.forget()
    answer = client.get("/dashboard", headers={"authorization": f"Bearer {cookie}"})
    assert code_of(answer, status=401) == "transport_mismatch"
    token = client.sign_in_as("alice", credential=credential, transport="bearer")["access_token"]
    client.forget()
    client.cookies.set(SESSION if credential == "session" else ACCESS, token)
    assert code_of(client.get("/dashboard"), status=401) == "transport_mismatch"


@pytest.mark.parametrize("credential", ["session", "jwt", "jwe"])
@pytest.mark.parametrize("transport", ["cookie", "bearer"])
def test_every_octet_of_a_credential_counts(client: Client, credential: Any, transport: Any) -> None:
    body = client.sign_in_as("alice", credential=credential, transport=transport)
    name = SESSION if credential == "session" else ACCESS
    token = body.get("access_token") or client.cookies[name]
    client.forget()
    for position in range(0, len(token), 7):
        other = "B" if token[position] == "A" else "A"
        edited = token[:position] + other + token[position + 1 :]
        header = {"authorization": f"Bearer {edited}"} if transport == "bearer" else {"cookie": f"{name}={edited}"}
        assert code_of(client.get("/auth/me", headers=header), status=401) in {
            "credential_malformed",
            "credential_invalid",
        }


@pytest.mark.parametrize("credential", ["session", "jwt", "jwe"])
def test_a_credential_of_another_desk_is_nothing_here(adapter: str, client: Client, credential: Any) -> None:
    foreign = make_site(adapter)
    foreign.desk = TestDesk(foreign.store, secrets_=[OTHER_SECRET])
    Front.__init__(foreign.front, foreign.desk, foreign.front.gate.settings, foreign.front.protection)
    with foreign.client() as there:
        token = there.sign_in_as("alice", credential=credential, transport="bearer")["access_token"]
    answer = client.get("/dashboard", headers={"authorization": f"Bearer {token}"})
    assert code_of(answer, status=401) == "credential_invalid"


def test_a_refresh_token_opens_nothing(client: Client) -> None:
    token = client.sign_in_as("alice", credential="jwt", transport="bearer")["refresh_token"]
    assert code_of(client.get("/dashboard", headers={"authorization": f"Bearer {token}"})) == "credential_invalid"
    client.forget()
    for name in (SESSION, ACCESS):
        client.cookies.clear()
        client.cookies.set(name, token)
        assert code_of(client.get("/dashboard")) == "credential_invalid"


@pytest.mark.parametrize(("credential", "other"), [("session", ACCESS), ("jwt", SESSION)])
def test_a_credential_in_the_cookie_of_the_other_kind_is_refused(client: Client, credential: Any, other: str) -> None:
    client.sign_in_as("alice", credential=credential)
    token = client.cookies[SESSION if credential == "session" else ACCESS]
    client.forget()
    for path in ("/dashboard", "/auth/me"):
        answer = client.get(path, headers={"cookie": f"{other}={token}"})
        assert code_of(answer, status=401) == "credential_malformed"


def test_claims_of_an_access_token_cannot_be_edited(client: Client) -> None:
    token = client.sign_in_as("alice", credential="jwt", transport="bearer")["access_token"]
    header, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    claims["sub"] = "root"
    edited = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    answer = client.get("/dashboard", headers={"authorization": f"Bearer {header}.{edited}.{signature}"})
    assert code_of(answer, status=401) == "credential_invalid"


@pytest.mark.parametrize("transport", ["cookie", "bearer"])
def test_an_access_token_expires_at_its_second_and_says_so(site: Site, client: Client, transport: Any) -> None:
    client.sign_in_as("alice", credential="jwt", transport=transport)
    site.clock.advance(timedelta(minutes=15) - timedelta(microseconds=1))
    assert client.get("/dashboard").status_code == 200
    site.clock.advance(timedelta(microseconds=1))
    assert code_of(client.get("/dashboard"), status=401) == "token_expired"


@pytest.mark.parametrize("transport", ["cookie", "bearer"])
def test_a_session_ends_when_idle_and_at_its_absolute_limit(adapter: str, transport: Any) -> None:
    policy = SessionPolicy(idle=timedelta(hours=1), absolute=timedelta(hours=3), touch_every=timedelta(0))
    site = make_site(adapter, settings=DeskSettings(sessions=policy))
    with site.client() as client:
        client.sign_in_as("alice", transport=transport)
        site.clock.advance(timedelta(hours=1) - timedelta(seconds=1))
        assert client.get("/dashboard").status_code == 200
        site.clock.advance(timedelta(hours=1))
        assert code_of(client.get("/dashboard"), status=401) == "session_idle"
        client.sign_in_as("alice", transport=transport)
        for _ in range(5):
            site.clock.advance(timedelta(minutes=35))
            assert client.get("/dashboard").status_code == 200
        site.clock.advance(timedelta(minutes=5))
        assert code_of(client.get("/dashboard"), status=401) == "session_expired"


@pytest.mark.parametrize("credential", ["session", "jwt", "jwe"])
@pytest.mark.parametrize("transport", ["cookie", "bearer"])
def test_a_revoked_session_is_refused_on_the_very_next_request(
    site: Site, client: Client, credential: Any, transport: Any
) -> None:
    body = client.sign_in_as("alice", credential=credential, transport=transport)
    assert client.get("/dashboard").status_code == 200
    assert client.portal is not None
    client.portal.call(lambda: site.desk.end(body["session"], reason="revoked"))
    assert code_of(client.get("/dashboard"), status=401) == "session_ended"
    assert code_of(client.get("/auth/me"), status=401) == "session_ended"


# --- cookies -----------------------------------------------------------------------------------------------------


def test_a_cookie_header_over_8_kib_is_431_with_a_way_out(client: Client) -> None:
    client.sign_in_as("alice")
    token = client.cookies[SESSION]
    fits = f"{SESSION}={token}; x=".ljust(8192, "y")
    assert client.get("/auth/me", headers={"cookie": fits}).status_code == 200
    for path in ("/auth/me", "/dashboard", "/open"):
        answer = client.get(path, headers={"cookie": fits + "y"})
        assert code_of(answer, status=431) == "headers_too_large"
        assert answer.headers["clear-site-data"] == '"cookies"'


def test_a_protected_name_that_comes_twice_is_no_credential(site: Site, client: Client) -> None:
    client.sign_in_as("alice")
    token = client.cookies[SESSION]
    client.forget()
    pair = f"{SESSION}={token}"
    for headers in (
        [("cookie", f"{pair}; {pair}")],
        [("cookie", pair), ("cookie", pair)],
        [("cookie", f"{pair}; {SESSION}=evil")],
        [("cookie", f"{SESSION}=; {pair}")],
    ):
        assert code_of(client.get("/dashboard", headers=headers), status=401) == "credential_duplicate"
    assert "duplicate_cookie" in site.desk.names()
    assert client.get("/dashboard", headers=[("cookie", "a=b"), ("cookie", pair)]).status_code == 200


@pytest.mark.parametrize(
    "planted",
    [b"\xa0" + SESSION.encode(), b"\x85" + SESSION.encode(), b"\x1f" + SESSION.encode(), SESSION.lower().encode(),
     b"$" + SESSION.encode(), b'"' + SESSION.encode() + b'"'],
)  # fmt: skip
def test_a_cookie_with_nearly_the_name_changes_nothing(client: Client, planted: bytes) -> None:
    client.sign_in_as("alice")
    token = client.cookies[SESSION].encode()
    client.sign_in_as("mallory")
    evil = client.cookies[SESSION].encode()
    client.forget()
    good = SESSION.encode() + b"=" + token
    for cookie in (good + b"; " + planted + b"=" + evil, planted + b"=" + evil + b"; " + good):
        assert client.get("/dashboard", headers=[(b"cookie", cookie)]).json() == {"hello": "alice"}
    assert code_of(client.get("/dashboard", headers=[(b"cookie", planted + b"=" + evil)])) == "not_signed_in"


def test_the_unprefixed_name_is_not_read(client: Client) -> None:
    client.sign_in_as("alice")
    token = client.cookies[SESSION]
    client.forget()
    for name in ("session", "__Host-session", SESSION + "-443"):
        assert code_of(client.get("/dashboard", headers={"cookie": f"{name}={token}"})) == "not_signed_in"


def test_on_loopback_the_names_end_in_the_port(site: Site) -> None:
    with site.client(base_url="http://localhost:8123") as client:
        answer = client.post("/own/sign-in", json={"subject": "alice"})
        name, _, value = answer.headers.get_list("set-cookie")[0].partition("=")
        assert name == "__Host-Http-session-8123"
        assert "; Secure;" in value
        token = value.partition(";")[0]
        assert client.get("/dashboard", headers={"cookie": f"{name}={token}"}).json() == {"hello": "alice"}
        assert code_of(client.get("/dashboard", headers={"cookie": f"{SESSION}={token}"})) == "not_signed_in"


# --- what a route asks for ----------------------------------------------------------------------------------------


def test_a_route_says_which_of_its_demands_is_not_met(site: Site, client: Client) -> None:
    assert code_of(client.post("/transfer"), status=401) == "not_signed_in"
    client.sign_in_as("alice", scope={"money"})
    assert code_of(client.post("/transfer"), status=403) == "role_missing"
    client.sign_in_as("alice", roles={"teller", "guard"})
    answer = client.post("/transfer")
    assert code_of(answer, status=403) == "scope_missing"
    assert answer.headers["www-authenticate"] == 'Bearer error="insufficient_scope"'
    client.sign_in_as("alice", roles={"teller", "guard"}, scope={"money", "more"})
    assert client.post("/transfer").json() == {"by": "alice"}


@pytest.mark.parametrize("credential", ["session", "jwt", "jwe"])
def test_a_sign_in_too_long_ago_asks_for_a_new_one(site: Site, client: Client, credential: Any) -> None:
    client.sign_in_as("alice", roles={"teller"}, scope={"money"}, credential=credential)
    site.clock.advance(timedelta(minutes=5))
    assert client.post("/transfer").status_code == 200
    site.clock.advance(timedelta(microseconds=1))
    answer = client.post("/transfer")
    assert code_of(answer, status=403) == "step_up_required"
    assert answer.json()["max_age"] == 300
    challenge = 'Bearer error="insufficient_user_authentication", max_age="300"'
    assert answer.headers["www-authenticate"] == challenge
    assert client.get("/dashboard").status_code == 200


def test_no_set_cookie_ever_comes_with_a_refusal(client: Client) -> None:
    client.sign_in_as("alice", credential="jwt")
    client.cookies.delete(REFRESH)
    client.cookies.clear()
    for path in ("/auth/me", "/dashboard", "/auth/nothing"):
        answer = client.get(path, headers={"cookie": f"{ACCESS}=expired"})
        assert "set-cookie" not in answer.headers
