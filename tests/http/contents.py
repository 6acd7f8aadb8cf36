"""Requests that are judged by what was sent in them, each with the code that it meets and the fact that decides."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import NamedTuple

import msgspec

from frontdesk.testing import Client
from tests.http.answers import EMAIL, PASSWORD, REFRESH, login, register
from tests.http.explained import OWN, Headers, bearer, call, cookies, service_of, signed
from tests.http.sites import Site

JSON = (b"content-type", b"application/json")


class Sent(NamedTuple):
    """One request."""

    method: str
    path: str
    headers: Headers
    body: bytes = b""


class Case(NamedTuple):
    """What makes the request, the code that it is answered with (`allowed` for none), and the cause."""

    make: Callable[[Site, Client], Sent]
    code: str
    cause: str


def posting(path: str, content: object, headers: Headers = [OWN], kind: bytes = JSON[1]) -> Sent:  # noqa: B006 - read only
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return Sent("POST", path, [*headers, (b"content-type", kind)] if kind else list(headers), body)


def registering(email: str = EMAIL, password: str = PASSWORD) -> Sent:
    return posting("/auth/register", {"email": email, "password": password})


def logging_in(password: str = PASSWORD, email: str = EMAIL, **options: object) -> Sent:
    return posting("/auth/login", {"email": email, "password": password, **options})


def _just(sent: Sent) -> Callable[[Site, Client], Sent]:
    return lambda *_: sent


def _with_account(sent: Sent) -> Callable[[Site, Client], Sent]:
    def make(site: Site, client: Client) -> Sent:
        assert register(client).status_code == 201
        return sent

    return make


def _tried_too_often(site: Site, client: Client) -> Sent:
    register(client)
    while login(client, password="the wrong passphrase").status_code != 429:
        pass
    return logging_in()


def _refreshing(
    *, spent: bool = False, envelope: str = "bearer", beside: bool = False
) -> Callable[[Site, Client], Sent]:
    def make(site: Site, client: Client) -> Sent:
        held = signed(client, credential="jwt", transport=envelope)
        token = held["refresh_token"] if envelope == "bearer" else held[REFRESH]
        body = {"refresh_token": token}
        for _ in range(2 if spent else 0):
            site.clock.advance(timedelta(minutes=1))
            answer = client.post("/auth/refresh", json=body)
            body = {"refresh_token": answer.json()["refresh_token"]}
        return posting("/auth/refresh", {"refresh_token": token}, cookies(held, REFRESH) if beside else [OWN])

    return make


def _claims_grew(site: Site, client: Client) -> Sent:
    """The row of a session holds more than its access token may: as after a change to longer names of cookies."""
    held = signed(client, credential="jwt")
    table, at = site.store.inner._sessions, ("default", held["session"])
    table[at] = msgspec.structs.replace(table[at], claims={"tree": "x" * 5000})
    return posting("/auth/refresh", b"", cookies(held, REFRESH), kind=b"")


def _signing_out(site: Site, client: Client) -> Sent:
    held = signed(client, credential="jwt", transport="bearer")
    return posting("/auth/logout", {"refresh_token": held["refresh_token"]})


def _ending(whose: str) -> Callable[[Site, Client], Sent]:
    def make(site: Site, client: Client) -> Sent:
        held = signed(client, transport="bearer")
        client.sign_in_as("bob")
        (theirs,) = call(client, lambda: site.desk.sessions("bob"))
        client.forget()
        named = {"mine": held["session"], "another's": theirs.id, "nobody's": "A" * 22, "nonsense": "nonsense"}[whose]
        return Sent("DELETE", f"/auth/sessions/{named}", bearer(held))

    return make


def _revoking(content: object, *, live: str = "") -> Callable[[Site, Client], Sent]:
    """An order of a service; `live` names the member that is to hold what exists."""

    def make(site: Site, client: Client) -> Sent:
        sent = content
        if live == "session":
            sent = {"session": signed(client)["session"]}
        if live == "key":
            sent = {"key": site.desk.keys.stored[0].id}
        credential = service_of(site, client, "revoke", name="administration")
        return posting("/auth/revocations", sent, [(b"authorization", f"Bearer {credential}".encode())])

    return make


def _broken(site: Site, client: Client) -> Sent:
    held = signed(client)
    site.store.fault = RuntimeError("nobody foresaw this")
    site.store.failing = True
    return Sent("GET", "/auth/me", cookies(held))


LONG_NAME = "wonderfulness@example.com"

CASES: Mapping[str, Case] = {
    # Whatever reads a body
    "no JSON": Case(_just(posting("/auth/login", b"{")), "body_not_parseable", "content_not_json"),
    "a member twice": Case(
        _just(posting("/auth/login", b'{"email":"a","email":"b"}')), "body_not_parseable", "content_not_json"
    ),
    "another type": Case(
        _just(posting("/auth/login", b"{}", kind=b"text/json")), "content_type_unsupported", "content_type_wrong"
    ),
    "no type": Case(_just(posting("/auth/login", b"{}", kind=b"")), "content_type_unsupported", "content_type_wrong"),
    "no body": Case(_just(posting("/auth/register", b"", kind=b"")), "body_invalid", "content_shape_wrong"),
    "a member that is missing": Case(_just(posting("/auth/login", {})), "body_invalid", "content_shape_wrong"),
    "a member that nobody knows": Case(_just(logging_in(passwrod="x")), "body_invalid", "content_shape_wrong"),
    "too large": Case(_just(posting("/auth/login", b" " * 65537)), "body_too_large", "content_too_large"),
    "too large for nobody": Case(_just(posting("/auth/nothing", b" " * 65537)), "body_too_large", "content_too_large"),
    # Accounts
    "an address that is none": Case(_just(registering("nobody")), "email_invalid", "address_unusable"),
    "a short password": Case(_just(registering(password="short")), "password_too_short", "password_refused"),
    "a long password": Case(_just(registering(password="long " * 300)), "password_too_long", "password_refused"),
    "a common password": Case(_just(registering(password="passwordpassword")), "password_common", "password_refused"),
    "a password made of the address": Case(
        _just(registering(LONG_NAME, "wonderfulness wonderfulness")), "password_context", "password_refused"
    ),
    "a new account": Case(_just(registering()), "allowed", "policy_open"),
    "an address that is taken": Case(_with_account(registering()), "email_taken", "account_found"),
    # Signing in
    "a right password": Case(_with_account(logging_in()), "allowed", "policy_open"),
    "an unknown address": Case(_just(logging_in()), "invalid_credentials", "account_absent"),
    "no address at all": Case(_just(logging_in(email="?")), "invalid_credentials", "account_absent"),
    "too many attempts": Case(_tried_too_often, "too_many_attempts", "attempts_used_up"),
    "a credential that nobody knows": Case(
        _just(logging_in(credential="cookie-jar")), "credential_not_allowed", "carriage_refused"
    ),
    "a session token that is to be refreshed": Case(
        _with_account(logging_in(credential="session", refresh_in="body")), "credential_not_allowed", "carriage_refused"
    ),
    # Refreshing, signing out
    "a refresh token in the body": Case(_refreshing(), "allowed", "refresh_foreseen"),
    "a spent refresh token in the body": Case(_refreshing(spent=True), "refresh_reused", "refresh_foreseen"),
    "a refresh token out of its cookie": Case(_refreshing(envelope="cookie"), "transport_mismatch", "refresh_foreseen"),
    "a refresh token that is none": Case(
        _just(posting("/auth/refresh", {"refresh_token": "fdr_nonsense"})), "credential_malformed", "refresh_foreseen"
    ),
    "a refresh token twice": Case(
        _refreshing(envelope="cookie", beside=True), "credentials_ambiguous", "refresh_token_twice"
    ),
    "claims that grew": Case(_claims_grew, "claims_too_large", "refresh_foreseen"),
    "signing out by the body": Case(_signing_out, "allowed", "policy_signed_in"),
    "signing out by nonsense": Case(
        _just(posting("/auth/logout", {"refresh_token": "fdr_nonsense"})), "credential_malformed", "refresh_foreseen"
    ),
    # Ending sessions
    "a session of mine": Case(_ending("mine"), "allowed", "policy_signed_in"),
    "a session of another": Case(_ending("another's"), "session_not_found", "target_unknown"),
    "a session of nobody": Case(_ending("nobody's"), "session_not_found", "target_unknown"),
    "no id of a session": Case(_ending("nonsense"), "session_not_found", "target_unknown"),
    "an order for a session": Case(_revoking({}, live="session"), "allowed", "service_known"),
    "an order for a key": Case(_revoking({}, live="key"), "allowed", "service_known"),
    "an order for a subject": Case(_revoking({"subject": "alice"}), "allowed", "service_known"),
    "an order for everybody": Case(_revoking({"all": True}), "allowed", "service_known"),
    "an order for no session": Case(_revoking({"session": "A" * 22}), "session_not_found", "target_unknown"),
    "an order for no id": Case(_revoking({"session": "nonsense"}), "session_not_found", "target_unknown"),
    "an order for no key": Case(_revoking({"key": "nonsense"}), "not_found", "target_unknown"),
    "an order for no subject": Case(_revoking({"subject": ""}), "body_invalid", "content_shape_wrong"),
    "an order for two": Case(_revoking({"subject": "alice", "all": True}), "body_invalid", "content_shape_wrong"),
    "an order for none": Case(_revoking({}), "body_invalid", "content_shape_wrong"),
    # Faults
    "a fault": Case(_broken, "internal_error", "fault_met"),
}
