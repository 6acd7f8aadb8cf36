"""Who is told what: a stranger the verdict alone, the holder and those who may see it every fact."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from frontdesk.core.cookie_facts import MOST_SHOWN
from frontdesk.core.explanation import LONGEST_SHOWN
from frontdesk.endpoints.explain import LONGEST_PATH, SERVICE_HEADER
from frontdesk.server.app import Application
from frontdesk.server.settings import ServerSettings
from frontdesk.testing import Client
from tests.http.answers import ACCESS, REFRESH, SESSION, code_of
from tests.http.explained import OWN, STATES, bearer, call, cookies, explained, service_of, signed
from tests.http.sites import Site, make_site

STRANGERS = (
    "nobody", "garbage as session token", "garbage of the right length", "garbage as token", "an unsigned token",
    "garbage as cookie", "basic", "the credential of a service", "a cookie that came twice",
    "a session in the other envelope", "a token in the other envelope", "an encrypted token in the other envelope",
    "a session token in a cookie", "an access token in a cookie", "a refresh token as access token",
    "a refresh token in the session cookie", "an edited session token", "an edited access token",
    "an edited encrypted token", "a cookie header that is too large", "a store that is away",
    "a spent refresh token", "a navigation with a spent refresh token",
)  # fmt: skip
HOLDERS = (
    "a session cookie", "a session token", "an access cookie", "an access token", "an encrypted access token",
    "a refresh cookie alone", "an access token that is over", "an access cookie that is over", "signed out",
    "signed out with a token", "revoked", "replaced", "ended for reuse", "a session that was idle",
    "a session at its limit", "another site",
)  # fmt: skip


@pytest.fixture
def site() -> Site:
    return make_site("starlette")


@pytest.fixture
def client(site: Site) -> Iterator[Client]:
    with site.client() as client:
        yield client
        site.store.failing = False


@pytest.mark.parametrize("state", STRANGERS)
def test_a_stranger_is_told_the_verdict_and_its_code_and_nothing_else(site: Site, client: Client, state: str) -> None:
    headers = STATES[state](site, client)
    for query in ({}, {"path": "/dashboard"}, {"path": "/transfer", "method": "POST"}):
        told = explained(client, headers, **query)
        assert set(told) == {"verdict", "code"}


@pytest.mark.parametrize("state", HOLDERS)
def test_the_holder_is_told_the_facts_of_an_ended_or_expired_session_too(
    site: Site, client: Client, state: str
) -> None:
    headers = STATES[state](site, client)
    told = explained(client, headers, path="/transfer", method="POST")
    codes = [fact["code"] for fact in told["facts"]]
    assert codes[0] == "request_as_asked"
    assert {"session_found", "generation", "origin_denied"} & set(codes)


def test_whoever_holds_another_session_learns_nothing_of_this_one(site: Site, client: Client) -> None:
    mine, theirs = signed(client), client.sign_in_as("bob")
    client.forget()
    told = explained(client, cookies(mine), path="/dashboard")
    assert theirs["session"] not in str(told)


@pytest.mark.parametrize("state", ["a session token in a cookie", "an access token in a cookie"])
def test_a_session_of_ones_own_does_not_open_the_facts_about_what_may_be_stolen(
    site: Site, client: Client, state: str
) -> None:
    stolen = STATES[state](site, client)[0][1]
    own = signed(client, credential="jwt")[REFRESH]
    both = [(b"cookie", stolen + f"; {REFRESH}={own}".encode()), OWN]
    for query in ({}, {"path": "/dashboard"}, {"path": "/transfer", "method": "POST"}, {"path": "/auth/nothing"}):
        assert "facts" not in explained(client, both, **query)


def test_a_spent_refresh_token_tells_nothing_of_an_ended_session_either(site: Site, client: Client) -> None:
    spent = STATES["a spent refresh token"](site, client)
    (row,) = site.store.inner._sessions.values()
    call(client, lambda: site.desk.end(row.id, reason="revoked"))
    own = f"; {SESSION}={signed(client)[SESSION]}".encode()
    assert explained(client, spent, path="/auth/refresh", method="POST") == {
        "verdict": "refused",
        "code": "session_ended",
    }
    assert "facts" not in explained(client, [(b"cookie", spent[0][1] + own), OWN], path="/dashboard")


def test_a_session_that_the_store_has_forgotten_tells_a_stranger_nothing(site: Site, client: Client) -> None:
    assert explained(client, STATES["a row that is gone"](site, client)) == {
        "verdict": "refused",
        "code": "session_ended",
    }


def test_a_service_with_the_scope_sees_the_facts_about_anybody(site: Site, client: Client) -> None:
    credential = service_of(site, client)
    told = explained(client, STATES["an edited session token"](site, client), credential, path="/dashboard")
    assert told["code"] == "credential_invalid"
    assert "credential_not_authentic" in [fact["code"] for fact in told["facts"]]


@pytest.mark.parametrize("state", ["a token in the other envelope", "a session in the other envelope"])
def test_a_service_sees_why_an_envelope_is_wrong(site: Site, client: Client, state: str) -> None:
    told = explained(client, STATES[state](site, client), service_of(site, client))
    assert [fact["code"] for fact in told["facts"] if fact["decided"]] == ["envelope_wrong"]


def test_the_credential_of_a_service_stands_beside_what_is_explained(site: Site, client: Client) -> None:
    credential = service_of(site, client)
    held = signed(client, transport="bearer")
    told = explained(client, bearer(held), credential, path="/dashboard")
    assert told["verdict"] == "allowed"


@pytest.mark.parametrize(
    ("shown", "code"),
    [("fdk_" + "A" * 43, "service_unknown"), ("nonsense", "service_unknown"), ("", "service_unknown")],
)
def test_a_credential_of_a_service_that_is_not_good_is_refused(client: Client, shown: str, code: str) -> None:
    answer = client.get("/auth/explain", headers=[(SERVICE_HEADER, shown.encode())])
    assert code_of(answer, status=401) == code


def test_a_service_without_the_scope_is_refused(site: Site, client: Client) -> None:
    credential = service_of(site, client, "metrics", "revoke", "revocations")
    answer = client.get("/auth/explain", headers=[(SERVICE_HEADER, credential.encode())])
    assert code_of(answer, status=403) == "service_scope_missing"
    twice = [(SERVICE_HEADER, credential.encode())] * 2
    assert code_of(client.get("/auth/explain", headers=twice), status=401) == "service_unknown"


@pytest.mark.parametrize(
    "query",
    ["path=me", "path=", "method=get", "method=", "method=GET&method=GET", "path=/a&path=/b", "who=me", "path", "&",
     "method=" + "A" * 17, "path=/" + "a" * LONGEST_PATH, "path=/&method=GET&path=/"],
)  # fmt: skip
def test_a_query_that_is_not_understood_is_refused(client: Client, query: str) -> None:
    assert code_of(client.get(f"/auth/explain?{query}"), status=422) == "body_invalid"


def test_what_is_told_is_bounded_and_printable(site: Site, client: Client) -> None:
    credential = service_of(site, client)
    many = "; ".join(f"c{number}=x" for number in range(900))
    long = b"\x1b[2J\xa0" + b"n" * 4000 + b"=v"
    for jar in (many.encode()[:8000], long, b";" * 8000, b"=;" * 4000, b"a;" * 4000):
        told = explained(client, [(b"cookie", jar), (b"origin", b"\xffo" * 2000)], credential, path="/dashboard")
        assert len(told["facts"]) <= MOST_SHOWN + 10
        for fact in told["facts"]:
            assert fact["sentence"].isascii() or "«" in fact["sentence"]
            assert fact["sentence"].isprintable()
            assert all(len(str(value)) <= LONGEST_SHOWN for value in fact["values"].values())


def test_ours_are_told_however_many_others_came_along(site: Site, client: Client) -> None:
    held = signed(client)
    many = "; ".join(f"c{number}=x" for number in range(500))
    told = explained(client, [(b"cookie", f"{many}; {SESSION}={held[SESSION]}".encode())], path="/dashboard")
    codes = [fact["code"] for fact in told["facts"]]
    assert "cookie_used" in codes
    assert "cookies_not_shown" in codes


def test_a_session_cookie_beside_an_access_cookie_decides(site: Site, client: Client) -> None:
    both = {**signed(client, credential="jwt"), **signed(client)}
    told = explained(client, cookies(both, SESSION, ACCESS), path="/dashboard")
    codes = [fact["code"] for fact in told["facts"]]
    assert codes.index("cookie_used") < codes.index("cookie_passed_over")


def test_explaining_is_no_attack_and_is_not_recorded(site: Site, client: Client) -> None:
    for state in ("a cookie that came twice", "another site", "an access cookie that is over"):
        headers = STATES[state](site, client)
        known = len(site.desk.events)
        explained(client, headers, path="/transfer", method="POST")
        explained(client, headers, path="/auth/refresh", method="POST")
        assert len(site.desk.events) == known


@pytest.mark.parametrize("state", ["a spent refresh token", "a navigation with a spent refresh token"])
def test_nobody_tries_a_spent_refresh_token_in_silence(site: Site, client: Client, state: str) -> None:
    headers = STATES[state](site, client)
    (row,) = site.store.inner._sessions.values()
    for query in ({}, {"path": "/dashboard"}, {"path": "/auth/refresh", "method": "POST"}, {"path": "/auth/nothing"}):
        explained(client, headers, **query)
        told = site.desk.events[-1].record()
        assert (told["event"], told["session_id"], told["subject"]) == ("spent_token_explained", row.id, "alice")
        site.desk.events.clear()
    assert list(site.store.inner._sessions.values()) == [row], "it goes on until somebody presents the token"


# --- development --------------------------------------------------------------------------------------------------


def _told_by_server(peer: str, host: str = "localhost:8000", **settings: Any) -> dict[str, Any]:
    app = Application(ServerSettings(store="memory:", hashing="small", **settings))
    with Client(app, base_url=f"http://{host}", client=(peer, 4711)) as client:
        told: dict[str, Any] = client.get("/auth/explain", headers=[OWN]).json()
    return told


def test_in_development_everybody_on_this_machine_sees_the_facts() -> None:
    assert "facts" in _told_by_server("127.0.0.1", dev=True)
    assert "facts" in _told_by_server("::1", dev=True)


@pytest.mark.parametrize(
    ("peer", "host", "settings"),
    [
        ("127.0.0.1", "localhost:8000", {}),
        ("192.0.2.7", "localhost:8000", {"dev": True}),
        ("testclient", "localhost:8000", {"dev": True}),
        ("127.0.0.1", "rebound.example", {"dev": True}),
    ],
)
def test_elsewhere_nobody_does(peer: str, host: str, settings: dict[str, Any]) -> None:
    assert "facts" not in _told_by_server(peer, host, **settings)


@pytest.mark.parametrize(("address", "sees"), [("203.0.113.9", False), ("127.0.0.1", True)])
def test_a_trusted_proxy_on_this_machine_says_who_is_not_from_here(address: str, sees: bool) -> None:
    app = Application(ServerSettings(store="memory:", hashing="small", dev=True, trusted_proxies=("127.0.0.1",)))
    with Client(app, base_url="http://localhost:8000", client=("127.0.0.1", 4711)) as client:
        told = client.get("/auth/explain", headers=[(b"x-forwarded-for", address.encode())]).json()
    assert ("facts" in told) == sees


def test_the_desk_explains_a_credential_without_a_request(site: Site, client: Client) -> None:
    held = signed(client, credential="jwt", transport="bearer")
    token = held["authorization"].partition(" ")[2].encode()
    good = call(client, lambda: site.desk.explain(token, "bearer"))
    assert good.is_allowed
    wrong = call(client, lambda: site.desk.explain(token, "cookie"))
    assert (wrong.code, wrong.deciding.code) == ("transport_mismatch", "envelope_wrong")
    cut = call(client, lambda: site.desk.explain(token[:-2], "bearer"))
    assert (cut.code, cut.deciding.code) == ("credential_invalid", "credential_not_authentic")
