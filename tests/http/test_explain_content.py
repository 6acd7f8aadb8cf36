"""What was sent is explained as it is judged: by the code that it meets, and with nothing created, counted or used."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from frontdesk.core.throttle import ThrottlePolicy
from frontdesk.endpoints.bodies import LoginBody, RefreshBody, RegisterBody, RevokeBody
from frontdesk.endpoints.routes import ROUTES
from frontdesk.endpoints.settings import EdgeSettings
from frontdesk.errors import OverloadedError, StoreError
from frontdesk.service.settings import DeskSettings
from frontdesk.testing import Client
from tests.http.answers import ACCESS, EMAIL, PASSWORD, REFRESH, SESSION, code_of, login, register
from tests.http.contents import CASES, Sent, logging_in, posting, registering
from tests.http.explained import OWN, answered, bearer, call, cookies, explained, explained_with, service_of, signed
from tests.http.sites import Site, make_site
from tests.http.test_explain_agrees import everything
from tests.service.desks import TestDesk

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


def test_what_a_deployment_offers_is_not_told_without_the_right_password() -> None:
    """The sign-in says it behind the password; so nobody learns it for nothing."""
    settings = DeskSettings(credentials=("session",), transports=("cookie",))
    site = make_site("starlette", settings=settings)
    with site.client() as client:
        register(client)
        for sent in (logging_in(credential="jwt"), logging_in("x" * 20, credential="jwt")):
            assert explained_of(client, sent) == {"verdict": "allowed", "code": "allowed"}
        credential = service_of(site, client)
        assert explained_of(client, logging_in(credential="jwt"), credential)["code"] == "credential_not_allowed"
        assert answer_to(client, logging_in(credential="jwt")) == "credential_not_allowed"
        unknown = logging_in(email="bob@example.com", credential="jwt")
        assert explained_of(client, unknown, credential)["code"] == answer_to(client, unknown) == "invalid_credentials"


def test_an_account_with_more_roles_than_a_token_may_hold_is_told_so(site: Site, client: Client) -> None:
    roles = tuple(f"role-number-{number}" for number in range(400))
    call(client, lambda: site.desk.accounts.register(EMAIL, PASSWORD, roles=roles))
    sent = logging_in(credential="jwt")
    told = explained_of(client, sent, service_of(site, client))
    (cause,) = [fact for fact in told["facts"] if fact["decided"]]
    assert (told["code"], cause["code"]) == ("claims_too_large", "carriage_too_large")
    assert "'roles'" in cause["sentence"]
    assert answer_to(client, sent) == "claims_too_large"


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


def test_the_budget_is_that_of_the_address_however_it_is_written(site: Site, client: Client) -> None:
    sent = CASES["too many attempts"].make(site, client)
    credential = service_of(site, client)
    told = explained_of(client, logging_in(email=EMAIL.upper()), credential)
    (cause,) = [fact for fact in told["facts"] if fact["decided"]]
    assert (told["code"], cause["values"]["failures"]) == ("too_many_attempts", 5)
    assert "unlock" not in cause["sentence"]
    assert answer_to(client, sent) == "too_many_attempts"


def test_the_budget_of_a_network_counts_for_every_address(site: Site, client: Client) -> None:
    for number in range(ThrottlePolicy().network[0].limit):
        assert login(client, f"{number}@example.com").status_code == 401
    sent = logging_in(email="somebody@example.com")
    assert explained_of(client, sent, service_of(site, client))["code"] == "too_many_attempts"
    assert answer_to(client, sent) == "too_many_attempts"


def test_attempts_that_are_forgotten_are_not_told(site: Site, client: Client) -> None:
    register(client)
    credential = service_of(site, client)
    for _ in range(3):
        login(client, password="the wrong passphrase")
    for days, failures in ((364, 3), (1, 0)):
        site.clock.advance(timedelta(days=days))
        told = explained_of(client, logging_in(), credential)
        (room,) = [fact for fact in told["facts"] if fact["code"] == "attempts_left"]
        assert room["values"] == {"failures": failures}


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
    assert facts["generation"]["values"] == {
        "session": facts["generation"]["values"]["session"], "presented": 0, "newest": 0,
    }  # fmt: skip
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


def test_what_fits_is_measured_with_the_epochs_that_the_token_will_have(site: Site, client: Client) -> None:
    """After revocations a token is longer; around the limit each octet counts."""
    subject = register(client).json()["subject"]
    for _ in range(12):
        call(client, lambda: site.desk.end_all(subject))
    credential, table = service_of(site, client), site.store.inner._accounts
    verdicts = set()
    for size in range(2600, 2800, 7):
        account = table["default", subject]
        table["default", subject] = msgspec.structs.replace(account, roles=("r" * size,))
        sent = logging_in(credential="jwt")
        verdict = explained_of(client, sent, credential)["code"]
        assert verdict == answer_to(client, sent), size
        verdicts.add(verdict)
    assert verdicts == {"allowed", "claims_too_large"}


@pytest.mark.parametrize("mine", [SESSION, ACCESS])
def test_a_credential_out_of_its_cookie_makes_a_stranger_of_who_holds_another(
    site: Site, client: Client, mine: str
) -> None:
    other = signed(client, credential="session" if mine == SESSION else "jwt")[mine]
    own = cookies(signed(client, credential="jwt"), ACCESS)
    for path in ("/auth/logout", "/auth/refresh"):
        assert set(explained_of(client, posting(path, {"refresh_token": other}, own))) == {"verdict", "code"}


def test_an_access_token_in_the_place_of_a_refresh_token_is_nobodys(site: Site, client: Client) -> None:
    token = signed(client, credential="jwt", transport="bearer")["authorization"].removeprefix("Bearer ")
    sent = posting("/auth/refresh", {"refresh_token": token})
    assert set(explained_of(client, sent)) == {"verdict", "code"}


def test_a_spent_token_beside_one_in_a_cookie_opens_nothing_and_is_told_of(site: Site, client: Client) -> None:
    spent = CASES["a spent refresh token in the body"].make(site, client)
    own = cookies(signed(client, credential="jwt"), REFRESH)
    told = explained_of(client, spent._replace(headers=[*own, *spent.headers[1:]]))
    assert told == {"verdict": "refused", "code": "credentials_ambiguous"}
    assert site.desk.names().count("spent_token_explained") == 1


def test_a_duplicate_refresh_cookie_beside_a_body_is_ambiguous_too(site: Site, client: Client) -> None:
    token = signed(client, credential="jwt", transport="bearer")["refresh_token"]
    twice = [(b"cookie", f"{REFRESH}=a; {REFRESH}=b".encode()), OWN]
    sent = posting("/auth/refresh", {"refresh_token": token}, twice)
    assert explained_of(client, sent)["code"] == answer_to(client, sent) == "credentials_ambiguous"


def test_the_generation_of_one_session_is_not_told_as_that_of_another(site: Site, client: Client) -> None:
    """The cookie is of one of my sessions, the body of another."""
    first, second = (signed(client, credential="jwt", transport=how) for how in ("cookie", "bearer"))
    sent = posting("/auth/logout", {"refresh_token": second["refresh_token"]}, cookies(first, ACCESS))
    told = [fact["values"] for fact in explained_of(client, sent)["facts"] if fact["code"] == "generation"]
    assert told == [
        {"session": first["session"], "newest": 0},
        {"session": second["session"], "presented": 0, "newest": 0},
    ]


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
        posting("/auth/login", {PASSWORD: 1}),
        posting("/auth/login", {f"a`b {PASSWORD}": 1}),
        logging_in(email="somebody@example.com", refresh_in="a secret passphrase"),
        logging_in(refresh_in="it's a secret passphrase"),
        logging_in(refresh_in='it\'s "a secret passphrase" of mine'),
        logging_in(transport="somebody@example.com"),
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


@pytest.mark.parametrize("case", ["no id of a session", "an order for no id"])
def test_the_store_is_not_asked_for_what_is_no_id(
    site: Site, client: Client, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    read = site.store.inner.read_session

    async def noted(realm: str, session_id: str) -> Any:
        asked.append(session_id)
        return await read(realm, session_id)

    sent = CASES[case].make(site, client)
    monkeypatch.setattr(site.store.inner, "read_session", noted)
    assert explained_of(client, sent)["code"] == "session_not_found"
    assert "nonsense" not in asked


def test_a_key_that_another_process_has_made_is_known(site: Site, client: Client) -> None:
    async def rotated_elsewhere() -> str:
        other = TestDesk(site.store.inner, clock=site.clock)
        await other.open()
        before = {key.id for key in other.keys.stored}
        await other.rotate_keys(at_once=True)
        return next(key.id for key in other.keys.stored if key.id not in before)

    authorization = CASES["an order for a key"].make(site, client).headers[0]
    sent = posting("/auth/revocations", {"key": call(client, rotated_elsewhere)}, [authorization])
    assert explained_of(client, sent)["code"] == answer_to(client, sent) == "allowed"


def test_the_holder_is_a_stranger_under_a_name_that_is_not_served() -> None:
    site = make_site("starlette", edge=EdgeSettings(hosts=frozenset({"other.example"})))
    with site.client() as client:
        told = explained(client, cookies(signed(client)), path="/dashboard")
        assert told == {"verdict": "refused", "code": "host_unknown"}


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


def test_a_desk_that_is_busy_with_passwords_takes_no_other(site: Site, client: Client) -> None:
    register(client)
    credential = service_of(site, client)
    with ExitStack() as taken:
        with suppress(OverloadedError):
            while True:
                taken.enter_context(site.desk.hasher.place())
        for sent in (logging_in(), registering("bob@example.com")):
            told = explained_of(client, sent, credential)
            assert [fact["code"] for fact in told["facts"] if fact["decided"]] == ["hashing_full"]
            assert explained_of(client, sent)["code"] == told["code"] == answer_to(client, sent) == "overloaded"
    assert explained_of(client, logging_in(), credential)["code"] == "allowed"
    assert site.desk.hasher.taken == 0


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
