"""Each code of docs/errors.md is produced through HTTP here, and explained by /auth/explain with the fact that is the
cause; what a code means is told by `frontdesk explain CODE`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

from frontdesk.cli.commands import app
from frontdesk.core.explanation import LINKS
from frontdesk.core.throttle import ThrottlePolicy
from frontdesk.endpoints.settings import EdgeSettings
from frontdesk.errors import CODES, OverloadedError
from frontdesk.jose.codes import TOKEN_CODES
from frontdesk.service.settings import DeskSettings
from frontdesk.testing import Client
from tests.http.contents import CASES
from tests.http.explained import OWN, STATES, Headers, answered, explained, explained_with, service_of
from tests.http.sites import Site, make_site
from tests.requirements import ROOT

DOCUMENTED = re.findall(
    r'^\| <a id="\w+"></a>`(\w+)` \| \d{3} ', (ROOT / "docs" / "errors.md").read_text(encoding="utf-8"), re.MULTILINE
)


class Refused(NamedTuple):
    """A request that is refused at the gate or by what its route asks, and the fact that is the cause."""

    state: str
    method: str
    path: str
    cause: str


# --- at the gate, or by what a route asks -------------------------------------------------------------------------

GATE: Mapping[str, Refused] = {
    "not_signed_in": Refused("nobody", "GET", "/dashboard", "credential_absent"),
    "credential_malformed": Refused("basic", "GET", "/dashboard", "authorization_malformed"),
    "credential_invalid": Refused("an edited access token", "GET", "/dashboard", "credential_not_authentic"),
    "credential_duplicate": Refused("a cookie that came twice", "GET", "/dashboard", "cookie_duplicate"),
    "transport_mismatch": Refused("a session in the other envelope", "GET", "/dashboard", "envelope_wrong"),
    "token_expired": Refused("an access cookie that is over", "GET", "/dashboard", "token_over"),
    "session_ended": Refused("signed out", "GET", "/dashboard", "session_over"),
    "session_expired": Refused("a session at its limit", "GET", "/dashboard", "limit_absolute"),
    "session_idle": Refused("a session that was idle", "GET", "/dashboard", "limit_idle"),
    "session_replaced": Refused("replaced", "GET", "/dashboard", "session_over"),
    "refresh_reused": Refused("a navigation with a spent refresh token", "GET", "/dashboard", "refresh_foreseen"),
    "store_rolled_back": Refused("a refresh token from ahead", "POST", "/auth/refresh", "refresh_foreseen"),
    "service_unknown": Refused("a session token", "GET", "/auth/revocations", "service_refused"),
    "service_scope_missing": Refused("a service that may not", "GET", "/auth/revocations", "service_refused"),
    "cross_origin": Refused("another site", "POST", "/transfer", "origin_denied"),
    "role_missing": Refused("a session cookie", "POST", "/transfer", "policy_roles"),
    "scope_missing": Refused("a teller without the scope", "POST", "/transfer", "policy_scope"),
    "step_up_required": Refused("a teller of an hour ago", "POST", "/transfer", "policy_fresh"),
    "not_found": Refused("a session cookie", "GET", "/auth/nothing", "route_missing"),
    "method_not_allowed": Refused("a session cookie", "PUT", "/auth/me", "route_method"),
    "headers_too_large": Refused("a cookie header that is too large", "GET", "/dashboard", "cookies_too_large"),
    "host_unknown": Refused("nobody", "GET", "/dashboard", "host_not_served"),
    "store_unavailable": Refused("a store that is away", "GET", "/dashboard", "store_failed"),
    "overloaded": Refused("a store that is away", "GET", "/dashboard", "store_failed"),
}


def _headers(state: str, site: Site, client: Client) -> Headers:
    if state == "a service that may not":
        credential = service_of(site, client, "metrics", name="scraper")
        return [(b"authorization", f"Bearer {credential}".encode())]
    return STATES[state](site, client)


def _shown(site: Site, credential: str) -> str:
    """What shows that the facts may be told: a service's credential; development mode, where the store knows none."""
    site.front.gate.open_explain = site.store.failing
    return "" if site.store.failing else credential


@pytest.mark.parametrize("code", GATE)
def test_a_refusal_is_explained_by_its_code_and_its_cause(code: str) -> None:
    refused = GATE[code]
    hosts = frozenset({"elsewhere.example"}) if code == "host_unknown" else frozenset()
    site = make_site("starlette", edge=EdgeSettings(hosts=hosts))
    with site.client(client=("127.0.0.1", 4711)) as client:
        credential = service_of(site, client)
        headers = _headers(refused.state, site, client)
        if code == "overloaded":
            site.store.fault = OverloadedError("too much waits")
        told = explained(client, headers, _shown(site, credential), method=refused.method, path=refused.path)
        assert told["code"] == code
        assert told["verdict"] == "refused"
        assert [(fact["code"], fact["link"]) for fact in told["facts"] if fact["decided"]] == [
            (refused.cause, LINKS[refused.cause])
        ]
        assert answered(client, refused.method, refused.path, headers) == code
        site.store.failing = False


# --- what was sent, and what failed -------------------------------------------------------------------------------

CONTENT: Mapping[str, str] = {
    "body_not_parseable": "no JSON",
    "credentials_ambiguous": "a refresh token twice",
    "invalid_credentials": "an unknown address",
    "session_not_found": "a session of another",
    "email_taken": "an address that is taken",
    "body_too_large": "too large",
    "content_type_unsupported": "another type",
    "body_invalid": "a member that is missing",
    "credential_not_allowed": "a session token that is to be refreshed",
    "claims_too_large": "claims that grew",
    "email_invalid": "an address that is none",
    "password_too_short": "a short password",
    "password_too_long": "a long password",
    "password_common": "a common password",
    "password_context": "a password made of the address",
    "too_many_attempts": "too many attempts",
    "internal_error": "a fault",
}


@pytest.mark.parametrize("code", CONTENT)
def test_a_refusal_of_what_was_sent_is_explained_by_its_code_and_its_cause(code: str) -> None:
    make, expected, cause = CASES[CONTENT[code]]
    assert expected == code
    site = make_site("starlette", settings=DeskSettings(throttle=ThrottlePolicy()))
    with site.client(client=("127.0.0.1", 4711)) as client:
        credential = service_of(site, client)
        sent = make(site, client)
        shown = _shown(site, credential)
        told = explained_with(client, sent.headers, sent.body, shown, method=sent.method, path=sent.path)
        assert (told["code"], told["verdict"]) == (code, "refused")
        decided = [(fact["code"], fact["link"]) for fact in told["facts"] if fact["decided"]]
        assert decided == [(cause, LINKS[cause])]
        assert answered(client, sent.method, sent.path, sent.headers, sent.body) == code
        site.store.failing = False


# --- all of them --------------------------------------------------------------------------------------------------


def test_the_two_tables_hold_every_code_of_the_document_once() -> None:
    assert len(DOCUMENTED) == len(CODES)
    assert not GATE.keys() & CONTENT.keys()
    assert sorted(DOCUMENTED) == sorted([*GATE, *CONTENT])


@pytest.mark.parametrize("code", sorted({*CODES, *TOKEN_CODES}))
def test_the_command_says_what_a_code_means_and_what_to_do(code: str) -> None:
    told = CliRunner().invoke(app, ["explain", code], env={"NO_COLOR": "1", "COLUMNS": "80"})
    assert told.exit_code == 0
    for word in (code, "when", "do", f"errors.md#{code}"):
        assert word in told.stdout
    if code in CODES:
        assert f"answered with {CODES[code].status}" in told.stdout


def test_a_step_up_is_asked_for_in_the_seconds_that_the_fact_tells() -> None:
    site = make_site("fastapi")
    with site.client(client=("127.0.0.1", 4711)) as client:
        headers = STATES["a teller of an hour ago"](site, client)
        facts = {fact["code"]: fact for fact in explained(client, headers, path="/transfer", method="POST")["facts"]}
        assert facts["policy_fresh"]["values"] == {"max_age": 300, "age": int(timedelta(hours=1).total_seconds())}
        assert explained(client, [OWN], path="/transfer", method="POST") == {
            "verdict": "refused",
            "code": "not_signed_in",
        }
