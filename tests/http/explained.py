"""Requests of every kind, for holding what is explained of them against what they are answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import msgspec
from starlette.testclient import TestClient

from frontdesk.core.sessions import Session
from frontdesk.endpoints.explain import SERVICE_HEADER
from frontdesk.errors import StoreError
from frontdesk.testing import Client
from tests.http.answers import ACCESS, REFRESH, SESSION, code_of
from tests.http.sites import Site

Headers = list[tuple[bytes, bytes]]
State = Callable[[Site, Client], Headers]

OWN = (b"origin", b"https://testserver")
NAVIGATION = [(b"sec-fetch-mode", b"navigate"), (b"sec-fetch-dest", b"document"), (b"sec-fetch-site", b"none")]


def call(client: Client, work: Callable[[], Any]) -> Any:
    """The outcome of a coroutine in the loop of the application."""
    assert client.portal is not None
    return client.portal.call(work)


def service_of(site: Site, client: Client, *scopes: str, name: str = "support") -> str:
    """The credential of a service with these scopes."""
    credential: str = call(client, lambda: site.desk.services.add(name, scopes or ("explain",)))  # type: ignore[arg-type]
    return credential


def signed(client: Client, **options: Any) -> dict[str, str]:
    """Sign alice in and take what she holds out of the client: cookies by name, `authorization`, `session`."""
    body = client.sign_in_as("alice", **options)
    held = {**dict(client.cookies), "session": body["session"]}
    if "access_token" in body:
        held["authorization"] = f"Bearer {body['access_token']}"
    if "refresh_token" in body:
        held["refresh_token"] = body["refresh_token"]
    client.forget()
    return held


def cookies(held: Mapping[str, str], *names: str) -> Headers:
    """A Cookie header with these of them, and an Origin of our own."""
    pairs = "; ".join(f"{name}={held[name]}" for name in names or (SESSION, ACCESS, REFRESH) if name in held)
    return [(b"cookie", pairs.encode()), OWN]


def bearer(held: Mapping[str, str]) -> Headers:
    return [(b"authorization", held["authorization"].encode())]


def explained(client: Client, headers: Headers, credential: str = "", **query: str) -> dict[str, Any]:
    """What `/auth/explain` says of a request with these headers, of whose body nothing is known."""
    return _explained(client, client.build_request("GET", "/auth/explain", params=query, headers=headers), credential)


def explained_with(client: Client, headers: Headers, body: bytes, credential: str = "", **query: str) -> dict[str, Any]:
    """What it says of a request with this body."""
    request = client.build_request("POST", "/auth/explain", params=query, headers=headers, content=body)
    return _explained(client, request, credential)


def _explained(client: Client, request: Any, credential: str) -> dict[str, Any]:
    if credential:
        request.headers[SERVICE_HEADER.decode()] = credential
    answer = TestClient.send(client, request)
    client.cookies.clear()
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert "set-cookie" not in answer.headers
    told: dict[str, Any] = answer.json()
    return told


def answered(client: Client, method: str, path: str, headers: Headers, body: bytes = b"") -> str:
    """`allowed`, or the code that the request is refused with. Nothing is added to the headers."""
    request = client.build_request(method, path, headers=headers, content=body)
    answer = TestClient.send(client, request)
    client.cookies.clear()
    if answer.headers.get("content-type") == "application/problem+json":
        return code_of(answer)
    return {404: "not_found", 405: "method_not_allowed"}.get(answer.status_code, "allowed")


# --- states of a credential ---------------------------------------------------------------------------------------


def _later(state: State, **by: float) -> State:
    def moved(site: Site, client: Client) -> Headers:
        headers = state(site, client)
        site.clock.advance(timedelta(**by))
        return headers

    return moved


def _with(state: State, *more: tuple[bytes, bytes]) -> State:
    def joined(site: Site, client: Client) -> Headers:
        names = {name for name, _ in more}
        return [*(header for header in state(site, client) if header[0] not in names), *more]

    return joined


def _sent(*headers: tuple[bytes, bytes]) -> State:
    return lambda *_: list(headers)


def _cookie(*names: str, **options: Any) -> State:
    return lambda _, client: cookies(signed(client, **options), *names)


def _bearer(**options: Any) -> State:
    return lambda _, client: bearer(signed(client, transport="bearer", **options))


def _ended(reason: str, **options: Any) -> State:
    def state(site: Site, client: Client) -> Headers:
        held = signed(client, **options)
        call(client, lambda: site.desk.end(held["session"], reason=reason))  # type: ignore[arg-type]
        return bearer(held) if "authorization" in held else cookies(held)

    return state


def _in_the_other_envelope(credential: str) -> State:
    def state(site: Site, client: Client) -> Headers:
        held = signed(client, credential=credential)
        return [(b"authorization", f"Bearer {held[SESSION if credential == 'session' else ACCESS]}".encode())]

    return state


def _bearer_in_a_cookie(credential: str) -> State:
    def state(site: Site, client: Client) -> Headers:
        token = signed(client, credential=credential, transport="bearer")["authorization"].partition(" ")[2]
        return cookies({SESSION if credential == "session" else ACCESS: token})

    return state


def _twice(site: Site, client: Client) -> Headers:
    pair = f"{SESSION}={signed(client)[SESSION]}"
    return [(b"cookie", f"{pair}; {pair}".encode()), OWN]


def _refresh_twice(site: Site, client: Client) -> Headers:
    held = signed(client, credential="jwt")
    pair = f"{REFRESH}={held[REFRESH]}"
    return [(b"cookie", f"{pair}; {pair}; {ACCESS}={held[ACCESS]}".encode()), OWN]


def _refresh_as_access(site: Site, client: Client) -> Headers:
    token = signed(client, credential="jwt", transport="bearer")["refresh_token"]
    return [(b"authorization", f"Bearer {token}".encode())]


def _refresh_in_the_session_cookie(site: Site, client: Client) -> Headers:
    return cookies({SESSION: signed(client, credential="jwt")[REFRESH]})


def _of_the_other_kind(site: Site, client: Client) -> Headers:
    return cookies({SESSION: signed(client, credential="jwt")[ACCESS]})


def _edited(credential: str) -> State:
    def state(site: Site, client: Client) -> Headers:
        token = signed(client, credential=credential, transport="bearer")["authorization"]
        other = "B" if token[-5] == "A" else "A"
        return [(b"authorization", f"{token[:-5]}{other}{token[-4:]}".encode())]

    return state


def _spent(*, navigating: bool) -> State:
    """A refresh token that was replaced twice: whoever shows it proves two holders."""

    def state(site: Site, client: Client) -> Headers:
        held = signed(client, credential="jwt")
        refresh = held[REFRESH]
        for _ in range(2):
            site.clock.advance(timedelta(minutes=1))
            answer = client.post("/auth/refresh", headers=[(b"cookie", f"{REFRESH}={refresh}".encode()), OWN])
            refresh = answer.cookies[REFRESH]
            client.forget()
        site.clock.advance(timedelta(minutes=20))
        return [*cookies(held, REFRESH)[:1], *(NAVIGATION if navigating else [OWN])]

    return state


def _rolled_back(site: Site, client: Client) -> Headers:
    """The store has lost what it had written: the token is three generations ahead of its row."""
    held = signed(client, credential="jwt")
    row = site.store.inner._sessions["default", held["session"]]
    ahead = msgspec.structs.replace(row, generation=3)
    token = site.desk._tokens.refresh_token(ahead)
    return cookies({REFRESH: token})


def _of_a_bearer_client(site: Site, client: Client) -> Headers:
    body = client.sign_in_as("alice", credential="jwt", transport="bearer", refresh_in="cookie")
    assert "access_token" in body
    headers = [*cookies(dict(client.cookies), REFRESH)[:1], *NAVIGATION]
    client.forget()
    site.clock.advance(timedelta(minutes=20))
    return headers


def _rows_are_gone(site: Site, client: Client) -> Headers:
    held = signed(client, credential="jwt", transport="bearer")
    row: Session = site.store.inner._sessions.pop(("default", held["session"]))
    assert row.id == held["session"]
    return bearer(held)


def _store_away(state: State, fault: Exception | None = None) -> State:
    def failing(site: Site, client: Client) -> Headers:
        headers = state(site, client)
        site.store.fault = fault or StoreError("the store is on strike")
        site.store.failing = True
        return headers

    return failing


def _from_elsewhere(state: State, *headers: tuple[bytes, bytes]) -> State:
    return _with(state, *headers)


def _without_origin(state: State) -> State:
    return lambda site, client: [header for header in state(site, client) if header[0] != b"origin"]


_TELLER = {"roles": {"teller"}, "scope": {"money"}}
_FORM = (b"content-type", b"application/x-www-form-urlencoded")

STATES: Mapping[str, State] = {
    "nobody": _sent(OWN),
    "nobody, undeclared": _sent(),
    "a session cookie": _cookie(),
    "a session token": _bearer(),
    "an access cookie": _cookie(credential="jwt"),
    "an access cookie alone": _cookie(ACCESS, credential="jwt"),
    "a refresh cookie alone": _cookie(REFRESH, credential="jwt"),
    "an access token": _bearer(credential="jwt"),
    "an encrypted access token": _bearer(credential="jwe"),
    "an encrypted access cookie": _cookie(credential="jwe"),
    "a teller": _cookie(**_TELLER),
    "a teller by token": _bearer(credential="jwt", **_TELLER),
    "a teller without the scope": _cookie(roles={"teller"}),
    "a teller of an hour ago": _later(_cookie(**_TELLER), hours=1),
    "garbage as session token": _sent((b"authorization", b"Bearer fds_" + b"A" * 88)),
    "garbage of the right length": _sent((b"authorization", b"Bearer fds_AQ" + b"A" * 86)),
    "garbage as token": _sent((b"authorization", b"Bearer a.b.c")),
    "an unsigned token": _sent((b"authorization", b"Bearer eyJhbGciOiJub25lIn0.e30.")),
    "garbage as cookie": _sent((b"cookie", f"{SESSION}=nonsense".encode()), OWN),
    "an empty cookie": _sent((b"cookie", f"{SESSION}=".encode()), OWN),
    "garbage as refresh cookie": _sent((b"cookie", f"{REFRESH}=fdr_nonsense".encode()), OWN),
    "basic": _sent((b"authorization", b"Basic YWxpY2U6c2VjcmV0")),
    "the credential of a service": _sent((b"authorization", b"Bearer fdk_" + b"A" * 43)),
    "a cookie that came twice": _twice,
    "a refresh cookie that came twice": _refresh_twice,
    "a cookie header that is too large": _sent((b"cookie", b"a=" + b"x" * 8200)),
    "a bearer and cookies that are too large": _sent((b"authorization", b"Bearer x"), (b"cookie", b"a=" + b"x" * 8200)),
    "a session in the other envelope": _in_the_other_envelope("session"),
    "a token in the other envelope": _in_the_other_envelope("jwt"),
    "an encrypted token in the other envelope": _in_the_other_envelope("jwe"),
    "a session token in a cookie": _bearer_in_a_cookie("session"),
    "an access token in a cookie": _bearer_in_a_cookie("jwt"),
    "a refresh token as access token": _refresh_as_access,
    "a refresh token in the session cookie": _refresh_in_the_session_cookie,
    "a credential of the other kind": _of_the_other_kind,
    "an edited session token": _edited("session"),
    "an edited access token": _edited("jwt"),
    "an edited encrypted token": _edited("jwe"),
    "an access token that is over": _later(_bearer(credential="jwt"), minutes=20),
    "an access cookie that is over": _later(_cookie(credential="jwt"), minutes=20),
    "a navigation that is renewed": _with(_later(_cookie(credential="jwt"), minutes=20), *NAVIGATION),
    "a navigation of a bearer client": _of_a_bearer_client,
    "a navigation with a spent refresh token": _spent(navigating=True),
    "a spent refresh token": _spent(navigating=False),
    "a refresh token from ahead": _rolled_back,
    "a session that was idle": _later(_cookie(), days=8),
    "a session at its limit": _later(_cookie(credential="session"), days=31),
    "signed out": _ended("signed_out"),
    "signed out with a token": _ended("signed_out", credential="jwt", transport="bearer"),
    "revoked": _ended("revoked", credential="jwe"),
    "replaced": _ended("replaced"),
    "ended for reuse": _ended("reused", credential="jwt"),
    "ended by a rollback": _ended("rolled_back", credential="jwt"),
    "evicted": _ended("evicted"),
    "a row that is gone": _rows_are_gone,
    "another site": _from_elsewhere(_cookie(**_TELLER), (b"origin", b"https://evil.example")),
    "a sister site": _from_elsewhere(_cookie(**_TELLER), (b"sec-fetch-site", b"same-site")),
    "a null origin": _from_elsewhere(_cookie(**_TELLER), (b"origin", b"null")),
    "an old browser's form": _with(_without_origin(_cookie(**_TELLER)), _FORM),
    "another site and a token": _from_elsewhere(_bearer(**_TELLER), (b"origin", b"https://evil.example")),
    "a store that is away": _store_away(_cookie(**_TELLER)),
    "a store that is away and a token": _store_away(_bearer(credential="jwt")),
    "a store that is away and nobody": _store_away(_sent(OWN)),
}
