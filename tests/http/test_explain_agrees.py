"""What is explained is what happens: the verdict on a request is the answer to it, and explaining changes nothing."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from frontdesk.core.sessions import SessionPolicy
from frontdesk.endpoints.routes import ROUTES
from frontdesk.endpoints.settings import EdgeSettings
from frontdesk.service.settings import DeskSettings
from frontdesk.testing import Client
from tests.http.answers import ACCESS, REFRESH, SESSION
from tests.http.explained import OWN, STATES, answered, call, cookies, explained, explained_with, service_of, signed
from tests.http.sites import ADAPTERS, Site, make_site

# Of the last two the first changes something; what is then explained is of the changed state.
TARGETS = (
    ("GET", "/auth/me"),
    ("GET", "/auth/sessions"),
    ("GET", "/auth/health"),
    ("GET", "/dashboard"),
    ("POST", "/transfer"),
    ("DELETE", "/auth/sessions/nonsense"),
    ("GET", "/auth/nonsense"),
    ("PUT", "/auth/me"),
    ("POST", "/auth/login"),
    ("POST", "/auth/refresh"),
    ("POST", "/auth/logout"),
    ("GET", "/dashboard"),
)
UNKNOWN_TO_ASGI = frozenset({"role_missing", "scope_missing", "step_up_required"})
"""Plain ASGI has no routes to look at."""


def everything(site: Site) -> Any:
    """All that the store holds and all that was told so far, but for what explaining itself tells."""
    held = {
        name: value
        for name, value in vars(site.store.inner).items()
        if isinstance(value, dict | list | tuple | int | str | bytes)
    }
    return copy.deepcopy(held), [event for event in site.desk.events if event.name != "spent_token_explained"]


SOME = ("nobody", "a session cookie", "garbage as session token", "signed out", "another site", "a store that is away")
# The adapters differ in what they know of routes, and in whether their store is waited for.
EVERY = [(adapter, state) for adapter in ADAPTERS for state in (SOME if adapter == "asgi" else STATES)]


@pytest.mark.parametrize(("over", "state"), EVERY)
def test_the_verdict_is_the_answer_and_explaining_changes_nothing(over: str, state: str) -> None:
    site = make_site(over)
    with site.client() as client:
        credential = service_of(site, client)
        headers = STATES[state](site, client)
        for method, path in TARGETS:
            before = everything(site)
            asking = {"method": method, "path": path}
            if method == "POST":
                told = explained_with(client, headers, b"", credential, **asking)
            else:
                told = explained(client, headers, credential, **asking)
            assert everything(site) == before
            code = answered(client, method, path, headers)
            if over == "asgi" and code in UNKNOWN_TO_ASGI:
                code = "allowed"
            assert told["code"] == code, (state, method, path)
            assert told["verdict"] == ("allowed" if code == "allowed" else "refused")
            if not site.store.failing:  # else nobody knows the service
                decided = [fact["code"] for fact in told["facts"] if fact["decided"]]
                assert len(decided) == 1, (state, method, path, told)
        site.store.failing = False


@pytest.mark.parametrize("state", SOME)
def test_an_open_route_and_a_path_that_is_not_there_are_known_where_routes_are(state: str) -> None:
    site = make_site("fastapi")
    with site.client() as client:
        headers = STATES[state](site, client)
        for method, path in (("GET", "/open"), ("POST", "/open"), ("GET", "/nothing-here"), ("DELETE", "/open")):
            told = explained(client, headers, method=method, path=path)["code"]
            assert told == answered(client, method, path, headers)
        site.store.failing = False


@pytest.mark.parametrize("state", SOME)
def test_protection_by_default_is_explained_as_it_is_kept(adapter: str, state: str) -> None:
    site = make_site(adapter, protect=True, public=("/open",))
    with site.client() as client:
        headers = STATES[state](site, client)
        for method, path in (("GET", "/dashboard"), ("GET", "/nothing-here")):
            told = explained(client, headers, method=method, path=path)["code"]
            code = answered(client, method, path, headers)
            assert told == ("allowed" if adapter == "asgi" and code == "not_found" else code)
        site.store.failing = False


def test_hosts_that_are_not_served_are_explained(adapter: str) -> None:
    site = make_site(adapter, edge=EdgeSettings(hosts=frozenset({"other.example"})))
    with site.client() as client:
        told = explained(client, [], service_of(site, client), path="/dashboard")
        assert told["code"] == answered(client, "GET", "/dashboard", []) == "host_unknown"
        assert [fact["code"] for fact in told["facts"] if fact["decided"]] == ["host_not_served"]


@pytest.mark.parametrize("late_retry", ["reissue", "end"])
def test_pages_that_do_not_renew_themselves_are_explained_so(adapter: str, late_retry: Any) -> None:
    policy = SessionPolicy(late_retry=late_retry, access_token=timedelta(minutes=5))
    site = make_site(adapter, settings=DeskSettings(sessions=policy))
    with site.client() as client:
        headers = STATES["a navigation that is renewed"](site, client)
        told = explained(client, headers, path="/dashboard")["code"]
        assert told == answered(client, "GET", "/dashboard", headers)
        assert told == ("allowed" if late_retry == "reissue" else "token_expired")


def test_routes_that_may_sign_in_are_those_that_say_so(client: Client) -> None:
    """A cross-site request without any cookie is refused exactly where the answer may set one."""
    elsewhere = [(b"origin", b"https://evil.example")]
    for route in ROUTES:
        path = f"/auth{route.path}".replace("{id}", "nonsense")
        refused = answered(client, route.method, path, elsewhere) == "cross_origin"
        assert route.sets_cookies == refused
        assert (explained(client, elsewhere, method=route.method, path=path)["code"] == "cross_origin") == refused


_NAMES = st.sampled_from(
    [SESSION, ACCESS, REFRESH, "session", SESSION.lower(), "\xa0" + SESSION, SESSION + "-8000", "a", ""]
)
_ORIGINS = st.sampled_from([b"https://testserver", b"https://evil.example", b"null", b"http://testserver", b"x y", b""])
_SITES = st.sampled_from([b"same-origin", b"none", b"same-site", b"cross-site", b"nonsense", b""])


def test_whatever_comes_along_the_verdict_is_the_answer() -> None:
    site = make_site("starlette")
    with site.client() as client:
        session, jwt = signed(client, roles={"teller"}, scope={"money"}), signed(client, credential="jwt")
        values = [session[SESSION], jwt[ACCESS], jwt[REFRESH], "", "fds_x", "a b", "\x80", "a.b.c"]
        pairs = st.lists(st.tuples(_NAMES, st.sampled_from(values)), max_size=4)
        bearers = st.none() | st.sampled_from(["", "Bearer ", "Basic x", *(f"Bearer {value}" for value in values)])

        @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
        @given(pairs=pairs, bearer=bearers, origin=st.none() | _ORIGINS, from_site=st.none() | _SITES)
        def agree(pairs: Any, bearer: str | None, origin: bytes | None, from_site: bytes | None) -> None:
            jar = "; ".join(f"{name}={value}" for name, value in pairs)
            headers = [(b"cookie", jar.encode("latin-1"))] if pairs else []
            headers += [(b"authorization", bearer.encode("latin-1"))] if bearer is not None else []
            headers += [(b"origin", origin)] if origin is not None else [OWN]
            headers += [(b"sec-fetch-site", from_site)] if from_site is not None else []
            for method, path in (("GET", "/dashboard"), ("POST", "/transfer")):
                told = explained(client, headers, method=method, path=path)["code"]
                assert told == answered(client, method, path, headers)

        agree()


def test_a_request_can_be_explained_in_the_route_that_it_reached(adapter: str) -> None:
    site = make_site(adapter)
    with site.client() as client:
        held = signed(client, roles={"teller"})
        scope = {
            "type": "http", "method": "POST", "path": "/transfer", "query_string": b"", "scheme": "https",
            "headers": [*cookies(held), (b"host", b"testserver")], "client": ("192.0.2.7", 4711),
        }  # fmt: skip
        told = call(client, lambda: site.front.explain(scope, roles={"teller"}, scope={"money"}))
        assert told.code == "scope_missing"
        assert told.deciding is not None
        assert told.deciding.values == {"required": ("money",), "missing": ("money",)}
        found_out = call(client, lambda: site.front.explain(scope))
        assert found_out.code == ("allowed" if adapter == "asgi" else "scope_missing")
        assert not told.is_allowed
        assert told.verdict == "refused"
