"""What was sent is explained as it is judged: by the code that it meets, and with nothing created, counted or used."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from frontdesk.core.throttle import ThrottlePolicy
from frontdesk.endpoints.bodies import LoginBody, RefreshBody, RegisterBody, RevokeBody
from frontdesk.endpoints.routes import ROUTES
from frontdesk.errors import OverloadedError, StoreError
from frontdesk.service.settings import DeskSettings
from frontdesk.testing import Client
from tests.http.answers import ACCESS, EMAIL, PASSWORD, REFRESH, code_of, login, register
from tests.http.contents import CASES, Sent, logging_in, posting, registering
from tests.http.explained import OWN, answered, bearer, call, cookies, explained, explained_with, service_of, signed
from tests.http.sites import Site, make_site
from tests.http.test_explain_agrees import everything

ACCOUNTS = frozenset({"account_found", "account_absent", "attempts_left", "attempts_used_up"})
"""What the store knows of an account."""


@pytest.fixture
def site() -> Site:
    return make_site("starlette", settings=DeskSettings(throttle=ThrottlePolicy()))


@pytest.fixture
def client(site: Site) -> Iterator[Client]:
    with site.client() as client:
        yield client
        site.store.failing = False


def explained_of(client: Client, sent: Sent, credential: str = "") -> dict[str, Any]:
    return explained_with(client, sent.headers, sent.body, credential, method=sent.method, path=sent.path)


def answer_to(client: Client, sent: Sent) -> str:
    return answered(client, sent.method, sent.path, sent.headers, sent.body)


@pytest.mark.parametrize("case", [name for name in CASES if name != "a fault"])
def test_the_verdict_is_the_answer_and_explaining_changes_nothing(site: Site, client: Client, case: str) -> None:
    make, code, cause = CASES[case]
    credential = service_of(site, client)
    sent = make(site, client)
    before = everything(site)
    told = explained_of(client, sent, credential)
    assert everything(site) == before
    assert told["code"] == code
    assert [fact["code"] for fact in told["facts"] if fact["decided"]] == [cause]
    assert answer_to(client, sent) == code


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.sampled_from([EMAIL, PASSWORD, "session"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=4,
)
_NAMES = ("email", "password", "credential", "transport", "refresh_in", "remember", "refresh_token", "x")
_MEMBERS = st.fixed_dictionaries({}, optional=dict.fromkeys(_NAMES, _JSON))
_BODIES = st.one_of(_MEMBERS.map(lambda members: json.dumps(members).encode()), st.binary(max_size=40))
_KINDS = st.sampled_from([b"application/json", b"Application/JSON; charset=utf-8", b"text/plain", b"", b"a/b, c"])


def test_whatever_is_sent_the_verdict_is_the_answer() -> None:
    site = make_site("starlette")
    with site.client() as client:
        credential = service_of(site, client)
        paths = st.sampled_from(["/auth/register", "/auth/login", "/auth/refresh", "/auth/logout"])

        @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
        @given(path=paths, body=_BODIES, kind=_KINDS)
        def agree(path: str, body: bytes, kind: bytes) -> None:
            sent = posting(path, body, kind=kind)
            assert explained_of(client, sent, credential)["code"] == answer_to(client, sent)

        agree()


def test_every_operation_that_reads_a_body_is_judged() -> None:
    assert {route.body for route in ROUTES} - {None} == {RegisterBody, LoginBody, RefreshBody, RevokeBody}


# --- who is told what -----------------------------------------------------------------------------------------------


def test_nobody_but_who_sees_everything_is_told_of_accounts(site: Site, client: Client) -> None:
    register(client)
    known, unknown = logging_in(), logging_in(email="bob@example.com")
    for sent in (known, unknown, registering(), registering("bob@example.com")):
        assert explained_of(client, sent) == {"verdict": "allowed", "code": "allowed"}
    held = signed(client)
    for sent in (known, unknown, registering()):
        told = explained_of(client, sent._replace(headers=[*cookies(held), *sent.headers[1:]]))
        codes = {fact["code"] for fact in told["facts"]}
        assert "account_not_told" in codes
        assert not codes & ACCOUNTS


def test_a_budget_that_is_used_up_is_not_told_to_a_stranger(site: Site, client: Client) -> None:
    sent = CASES["too many attempts"].make(site, client)
    assert explained_of(client, sent) == {"verdict": "allowed", "code": "allowed"}


def test_whether_a_password_is_right_nobody_is_told(site: Site, client: Client) -> None:
    register(client)
    credential = service_of(site, client)
    right, wrong = (explained_of(client, logging_in(password), credential) for password in (PASSWORD, "x" * 20))
    assert right == wrong
    assert right["code"] == "allowed"
    assert "password_not_looked_at" in [fact["code"] for fact in right["facts"]]
    assert answer_to(client, logging_in("x" * 20)) == "invalid_credentials"


def test_a_locked_account_is_told_with_what_lifts_it(site: Site, client: Client) -> None:
    register(client)
    credential = service_of(site, client)
    for _ in range(ThrottlePolicy().most_failures):
        login(client, password="the wrong passphrase")
        site.clock.advance(timedelta(minutes=16))
    told = explained_of(client, logging_in(), credential)
    (cause,) = [fact for fact in told["facts"] if fact["decided"]]
    assert cause["values"] == {"failures": 100, "retry_after": 900}
    assert "frontdesk users unlock" in cause["sentence"]


def test_the_holder_of_a_refresh_token_in_a_body_is_told_the_facts(site: Site, client: Client) -> None:
    told = explained_of(client, CASES["a refresh token in the body"].make(site, client))
    facts = {fact["code"]: fact for fact in told["facts"]}
    assert facts["generation"]["values"] == {"presented": 0, "newest": 0}
    assert facts["refresh_foreseen"]["decided"]


@pytest.mark.parametrize("path", ["/auth/refresh", "/auth/logout"])
def test_a_spent_refresh_token_in_a_body_opens_nothing_and_is_told_of(site: Site, client: Client, path: str) -> None:
    sent = CASES["a spent refresh token in the body"].make(site, client)
    own = signed(client)
    for headers in ([OWN], cookies(own)):
        told = explained_of(client, posting(path, sent.body, headers))
        assert set(told) == {"verdict", "code"}
    assert site.desk.names().count("spent_token_explained") == 2


def test_a_refresh_token_out_of_its_cookie_is_a_strangers(site: Site, client: Client) -> None:
    sent = CASES["a refresh token out of its cookie"].make(site, client)
    assert explained_of(client, sent) == {"verdict": "refused", "code": "transport_mismatch"}


def test_no_password_address_or_token_is_told_again(site: Site, client: Client) -> None:
    credential = service_of(site, client)
    held = signed(client, credential="jwt", transport="bearer")
    for sent in (
        registering("somebody@example.com"),
        registering("somebody@example.com", "somebody somebody"),
        logging_in("a secret passphrase", "somebody@example.com", credential="a secret credential"),
        posting("/auth/refresh", {"refresh_token": held["refresh_token"]}),
        posting("/auth/refresh", {"refresh_token": held["refresh_token"], held["refresh_token"]: 1}),
        posting("/auth/logout", {"refresh_token": held["refresh_token"]}),
    ):
        told = json.dumps(explained_of(client, sent, credential))
        for secret in ("somebody@", "somebody somebody", "secret passphrase", PASSWORD, held["refresh_token"]):
            assert secret not in told


# --- what is not known, and what fails ------------------------------------------------------------------------------


def test_without_a_body_it_is_said_that_the_body_is_not_known(site: Site, client: Client) -> None:
    credential = service_of(site, client)
    told = explained(client, [OWN], credential, method="POST", path="/auth/login")
    assert told["code"] == "allowed"
    assert "content_unknown" in [fact["code"] for fact in told["facts"]]


def test_a_body_without_a_path_is_not_looked_at(site: Site, client: Client) -> None:
    sent = posting("/auth/explain", b"{")
    told = explained_with(client, sent.headers, sent.body, service_of(site, client))
    assert told["code"] == "not_signed_in"


def test_a_body_for_a_route_of_the_application_is_not_judged() -> None:
    with make_site("fastapi").client() as client:
        sent = posting("/open", b" " * 65537)
        assert explained_of(client, sent) == {"verdict": "allowed", "code": "allowed"}
        assert answer_to(client, sent) == "allowed"


@pytest.mark.parametrize("pieces", [1, 70])
def test_a_body_that_is_too_large_is_not_read_to_the_end(site: Site, client: Client, pieces: int) -> None:
    """Declared as too large, or in pieces without a length."""
    content = b" " * 65537 if pieces == 1 else iter([b" " * 1024] * pieces)
    answer = client.post("/auth/explain?path=/auth/login", content=content)
    assert (answer.status_code, answer.json()["code"]) == (200, "body_too_large")
    content = b" " * 65537 if pieces == 1 else iter([b" " * 1024] * pieces)
    assert code_of(client.post("/auth/login", content=content)) == "body_too_large"


@pytest.mark.parametrize(
    ("fault", "code"), [(StoreError("away"), "store_unavailable"), (OverloadedError("full"), "overloaded")]
)
def test_a_store_that_is_away_refuses_whoever_wants_to_sign_in_or_up(
    site: Site, client: Client, fault: Exception, code: str
) -> None:
    site.store.fault, site.store.failing = fault, True
    for sent in (logging_in(), registering()):
        assert explained_of(client, sent)["code"] == answer_to(client, sent) == code


def test_a_fault_that_nobody_foresaw_is_no_yes(site: Site, client: Client, caplog: pytest.LogCaptureFixture) -> None:
    sent = CASES["a fault"].make(site, client)
    assert explained_of(client, sent) == {"verdict": "refused", "code": "internal_error"}
    assert "a request cannot be judged" in caplog.text
    assert answer_to(client, sent) == "internal_error"


def test_signing_out_by_a_body_beside_a_cookie_is_explained_by_what_is_believed_first(
    site: Site, client: Client
) -> None:
    held = signed(client, credential="jwt")
    sent = posting("/auth/logout", {"refresh_token": "fdr_nonsense"}, cookies(held, ACCESS))
    assert explained_of(client, sent)["code"] == answer_to(client, sent) == "allowed"
    assert REFRESH in held
    again = posting("/auth/logout", b"", bearer(signed(client, transport="bearer")), kind=b"")
    assert explained_of(client, again)["code"] == answer_to(client, again) == "allowed"
    assert call(client, lambda: site.desk.sessions("alice")) == ()
