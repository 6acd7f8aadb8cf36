"""The revocation log over HTTP: who may read it, what it tells, how it waits, and ending things by hand."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import httpx
import msgspec
import pytest

from frontdesk.core.events import RevokedByService
from frontdesk.core.revocation import target_digest
from frontdesk.endpoints.settings import EdgeSettings
from frontdesk.errors import StoreError
from frontdesk.service.settings import DeskSettings
from frontdesk.testing import Client
from tests.adapters.asgi_server import http_scope
from tests.http.answers import EMAIL, SESSION, code_of, cookies_set, login, register
from tests.http.sites import Site, make_site
from tests.service.desks import TestDesk, until

LOG = "/auth/revocations"
ELSEWHERE = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
PATIENCE = 20.0


def service(site: Site, client: Client, *scopes: Any, name: str = "orders") -> dict[str, str]:
    """The headers of a new service."""
    assert client.portal is not None
    credential = client.portal.call(site.desk.services.add, name, scopes or ("revocations", "revoke"))
    assert credential is not None
    return {"authorization": f"Bearer {credential}"}


def revoked(site: Site, client: Client, *subjects: str, realm: str = "default") -> None:
    """One entry for each subject."""
    assert client.portal is not None

    async def end() -> None:
        await site.front.open()  # another client that is closed closes the desk
        for subject in subjects:
            await site.store.inner.end_subject(realm, subject, reason="revoked", now=site.clock.now())

    client.portal.call(end)


def entries(answer: Any) -> list[tuple[int, str, str, int]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers.get_list("cache-control") == ["no-store"]
    assert answer.headers["content-type"] == "application/json"
    assert cookies_set(answer) == {}
    return [(each["number"], each["kind"], each["target"], each["epoch"]) for each in answer.json()["entries"]]


# --- who may --------------------------------------------------------------------------------------------------------


def test_without_the_credential_of_a_service_it_is_401_whoever_is_signed_in(site: Site, client: Client) -> None:
    asks = (("GET", None), ("POST", {"all": True}))
    client.sign_in_as("alice", roles={"admin"})
    for method, body in asks:
        assert code_of(client.request(method, LOG, json=body), status=401) == "service_unknown"
    for credential in ("session", "jwt", "jwe"):
        client.sign_in_as("alice", credential=credential, transport="bearer")
        for method, body in asks:
            answer = client.request(method, LOG, json=body)
            assert code_of(answer, status=401) == "service_unknown"
            assert answer.headers["www-authenticate"] == 'Bearer realm="frontdesk"'
    for authorization in ("Bearer fdk_" + "A" * 43, "Basic YTpi", "fdk_" + "A" * 43, "Bearer", ""):
        answer = client.get(LOG, headers={"authorization": authorization})
        assert code_of(answer, status=401) == "service_unknown"
    assert client.get("/dashboard").status_code == 200


def test_two_credentials_are_none(site: Site, client: Client) -> None:
    twice = list(service(site, client).items()) * 2
    assert code_of(client.get(LOG, headers=twice), status=401) == "service_unknown"


def test_a_credential_without_the_scope_is_403_and_ends_nothing(site: Site, client: Client) -> None:
    reads, ends = service(site, client, "revocations"), service(site, client, "revoke", name="admin")
    measures = service(site, client, "metrics", name="metrics")
    with site.client() as alice:
        alice.sign_in_as("alice")
        for headers, method in ((reads, "POST"), (ends, "GET"), (measures, "GET"), (measures, "POST")):
            answer = client.request(method, LOG, headers=headers, json={"all": True} if method == "POST" else None)
            assert code_of(answer, status=403) == "service_scope_missing"
            assert answer.headers["www-authenticate"] == 'Bearer error="insufficient_scope"'
        assert alice.get("/dashboard").status_code == 200


def test_a_removed_service_is_refused_from_the_next_request_on(site: Site, client: Client) -> None:
    headers = service(site, client)
    assert client.get(LOG, headers=headers).status_code == 200
    assert client.portal is not None
    assert client.portal.call(site.desk.services.remove, "orders")
    assert code_of(client.get(LOG, headers=headers), status=401) == "service_unknown"
    answer = client.post(LOG, headers=headers, json={"all": True})
    assert code_of(answer, status=401) == "service_unknown"


def test_a_service_is_nobody_elsewhere(site: Site, client: Client) -> None:
    headers = service(site, client)
    for method, path in (("GET", "/dashboard"), ("GET", "/auth/me"), ("POST", "/auth/logout"), ("GET", "/open")):
        answer = client.request(method, path, headers=headers)
        if path == "/open":
            assert answer.json() == {"hello": None}
        else:
            assert code_of(answer, status=401) == "credential_malformed"


def test_cookies_are_not_looked_at_so_that_the_origin_does_not_matter(site: Site, client: Client) -> None:
    headers = service(site, client)
    with site.client() as alice:
        session = alice.sign_in_as("alice")["session"]
        came = {"cookie": f"{SESSION}={alice.cookies[SESSION]}; {SESSION}=twice; padding={'x' * 9000}", **ELSEWHERE}
        assert code_of(alice.post(LOG, headers=came, json={"session": session}), status=401) == "service_unknown"
        assert alice.get("/dashboard").status_code == 200
        site.desk.events.clear()
        assert client.get(LOG, headers={**headers, **came}).status_code == 200
        answer = client.post(LOG, headers={**headers, **came}, json={"session": session})
        assert answer.json() == {"ended": 1}
        assert cookies_set(answer) == {}
        assert site.desk.names() == ["session_ended", "revoked_by_service"]
        assert code_of(alice.get("/dashboard"), status=401) == "session_ended"


def test_an_unknown_host_is_400(adapter: str) -> None:
    site = make_site(adapter, edge=EdgeSettings(hosts=frozenset({"testserver"})))
    with site.client() as client:
        headers = service(site, client)
        assert client.get(LOG, headers=headers).status_code == 200
        other = {**headers, "host": "evil.example"}
        assert code_of(client.get(LOG, headers=other), status=400) == "host_unknown"
        assert code_of(client.post(LOG, headers=other, json={"all": True}), status=400) == "host_unknown"


# --- reading --------------------------------------------------------------------------------------------------------


def test_everything_that_ends_is_told_with_ids_and_subjects_as_digests(site: Site, client: Client) -> None:
    headers = service(site, client)
    with site.client() as alice:
        session = alice.sign_in_as("alice")["session"]
        assert alice.post("/auth/logout").status_code == 204
    revoked(site, client, "bob")
    assert client.portal is not None
    key = next(key.id for key in site.desk.keys.stored if key.algorithm == "ES256")
    client.portal.call(site.desk.give_up_key, key)
    client.portal.call(site.desk.end_everyone)
    answer = client.get(LOG, headers=headers)
    assert entries(answer) == [
        (1, "session", target_digest("default", session), 0),
        (2, "subject", target_digest("default", "bob"), 1),
        (3, "key", key, 0),
        (4, "all", "", 1),
    ]
    told = answer.json()
    assert set(told) == {"issuer", "realm", "history", "cursor", "head", "store_time", "entries"}
    assert told["realm"] == "default"
    assert (told["cursor"], told["head"]) == (4, 4)
    assert msgspec.convert(told["store_time"], type=type(site.clock.now())) == site.clock.now()
    assert all(set(each) == {"number", "kind", "target", "epoch", "expires_at"} for each in told["entries"])
    assert session not in answer.text
    assert "alice" not in answer.text
    assert "bob" not in answer.text


def test_a_reader_goes_on_where_it_was(site: Site, client: Client) -> None:
    headers = service(site, client)
    revoked(site, client, *(f"subject {number}" for number in range(7)))
    seen, cursor = [], 0
    while True:
        answer = client.get(f"{LOG}?cursor={cursor}&limit=3", headers=headers)
        seen.append([number for number, *_ in entries(answer)])
        cursor = answer.json()["cursor"]
        if cursor >= answer.json()["head"]:
            break
    assert seen == [[1, 2, 3], [4, 5, 6], [7]]
    again = client.get(f"{LOG}?cursor=7", headers=headers)
    assert (entries(again), again.json()["cursor"]) == ([], 7)
    assert again.json()["history"] == answer.json()["history"]


def test_what_is_of_another_realm_or_ends_nothing_is_passed_and_not_told(site: Site, client: Client) -> None:
    headers = service(site, client)
    revoked(site, client, "alice", "bob", realm="elsewhere")
    assert client.portal is not None
    client.sign_in_as("carol")
    client.forget()
    client.portal.call(lambda: site.desk.update("carol", roles={"teller"}))
    answer = client.get(f"{LOG}?wait=30", headers=headers)
    assert (entries(answer), answer.json()["cursor"], answer.json()["head"]) == ([], 3, 3)
    revoked(site, client, "carol")
    answer = client.get(f"{LOG}?cursor=3", headers=headers)
    assert entries(answer) == [(4, "subject", target_digest("default", "carol"), 1)]


def test_a_service_reads_the_log_of_its_own_realm(adapter: str) -> None:
    site = make_site(adapter, settings=DeskSettings(realm="elsewhere"))
    with site.client() as client:
        headers = service(site, client)
        revoked(site, client, "alice")
        revoked(site, client, "bob", realm="elsewhere")
        answer = client.get(LOG, headers=headers)
        assert entries(answer) == [(2, "subject", target_digest("elsewhere", "bob"), 1)]


def test_another_history_and_a_log_that_went_back_are_told(site: Site, client: Client) -> None:
    headers = service(site, client)
    revoked(site, client, "alice")
    before = client.get(LOG, headers=headers).json()
    assert client.portal is not None
    assert client.portal.call(site.store.inner.renew_history) != before["history"]
    after = client.get(f"{LOG}?cursor=8&wait=30", headers=headers).json()
    assert after["history"] != before["history"]
    assert (after["head"], after["entries"]) == (1, [])


def test_head_has_no_content(site: Site, client: Client) -> None:
    headers = service(site, client)
    answer = client.head(LOG, headers=headers)
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    "query",
    [
        "cursor=", "cursor=-1", "cursor=1.0", "cursor=x", "cursor=9223372036854775808", "cursor=1e3", "cursor=%31_0",
        "cursor=１", "cursor=+1", "cursor=1&cursor=1", "cursor=1&", "&", "=", "cursor", "Cursor=1", "after=1",
        "wait=-1", "wait=31", "wait=30.1", "wait=99", "wait=nan", "wait=inf", "wait=1e1", "wait=.5", "wait=1.",
        "wait=0.1234567", "limit=0", "limit=5001", "limit=-1", "limit=99999", "cursor=1;wait=2",
        "cursor=1&wait=1&limit=1&x=1", "history=x",
    ],
)  # fmt: skip
def test_a_query_of_another_shape_is_422_and_waits_for_nothing(site: Site, client: Client, query: str) -> None:
    headers = service(site, client)
    assert code_of(client.get(f"{LOG}?{query}", headers=headers), status=422) == "body_invalid"


@pytest.mark.parametrize("query", ["", "cursor=0", "cursor=9223372036854775807", "wait=0", "wait=0.0", "limit=5000"])
def test_a_query_within_its_bounds_is_understood(site: Site, client: Client, query: str) -> None:
    assert client.get(f"{LOG}?{query}", headers=service(site, client)).status_code == 200


# --- waiting --------------------------------------------------------------------------------------------------------

Ask = Callable[[str], Awaitable[httpx.Response]]
Scenario = Callable[[Site, Ask], Awaitable[None]]


def play(site: Site, scenario: Scenario) -> None:
    """A scenario in one event loop, with a service that asks for the log."""

    async def run() -> None:
        await site.front.open()
        credential = await site.desk.services.add("orders", ["revocations"])
        headers = {"authorization": f"Bearer {credential}"}
        transport = httpx.ASGITransport(site.app)
        async with httpx.AsyncClient(transport=transport, base_url="https://testserver", headers=headers) as client:
            await scenario(site, lambda query: client.get(f"{LOG}?{query}"))
        await site.front.close()
        await until(lambda: len(asyncio.all_tasks()) == 1)

    asyncio.run(run())


async def all_wait(site: Site, readers: int) -> None:
    await until(lambda: site.front.gate.feed._waiting == readers)


def asking(ask: Ask, query: str) -> asyncio.Task[httpx.Response]:
    return asyncio.get_running_loop().create_task(ask(query))  # type: ignore[arg-type]


def test_a_poll_that_waits_is_answered_with_the_next_entry(site: Site) -> None:
    async def scenario(site: Site, ask: Ask) -> None:
        polls = [asking(ask, "cursor=0&wait=30"), asking(ask, "wait=29.5")]
        await all_wait(site, 2)
        await site.desk.end_all("alice")
        for answer in await asyncio.gather(*polls):
            assert entries(answer) == [(1, "subject", target_digest("default", "alice"), 1)]

    play(site, scenario)


def test_a_wait_that_is_over_is_200_without_entries(site: Site) -> None:
    async def scenario(site: Site, ask: Ask) -> None:
        answer = await ask("cursor=0&wait=0.01")
        assert (entries(answer), answer.json()["cursor"]) == ([], 0)

    play(site, scenario)


def test_when_too_many_wait_the_next_is_503_and_who_does_not_wait_is_served(site: Site) -> None:
    async def scenario(site: Site, ask: Ask) -> None:
        site.front.gate.feed._most_waiting = 1
        poll = asking(ask, "wait=30")
        await all_wait(site, 1)
        assert code_of(await ask("wait=30"), status=503) == "overloaded"
        assert (await ask("wait=0")).status_code == 200
        await site.desk.end_all("alice")
        assert len(entries(await poll)) == 1
        assert len(entries(await ask("wait=30"))) == 1

    play(site, scenario)


def test_a_desk_that_is_closed_answers_those_who_wait_and_may_be_opened_again(site: Site) -> None:
    async def scenario(site: Site, ask: Ask) -> None:
        poll = asking(ask, "wait=30")
        await all_wait(site, 1)
        await site.front.close()
        answer = await poll
        assert (entries(answer), answer.json()["cursor"]) == ([], 0)
        poll = asking(ask, "wait=30")
        await all_wait(site, 1)
        await site.desk.end_all("alice")
        assert len(entries(await poll)) == 1

    play(site, scenario)


def test_a_client_that_goes_away_is_waited_for_no_longer(site: Site) -> None:
    async def scenario(site: Site, ask: Ask) -> None:
        gone = asyncio.Event()
        sent: list[Any] = []
        messages = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> Any:
            if messages:
                return messages.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        credential = await site.desk.services.add("other", ["revocations"])
        headers = [(b"host", b"testserver"), (b"authorization", f"Bearer {credential}".encode())]
        scope = {**http_scope(LOG), "query_string": b"wait=30", "headers": headers}
        request = asyncio.get_running_loop().create_task(site.app(scope, receive, send))
        await all_wait(site, 1)
        gone.set()
        await asyncio.wait_for(request, PATIENCE)
        assert (sent, site.front.gate.feed._waiting) == ([], 0)

    play(site, scenario)


def test_a_store_that_fails_while_it_is_asked_is_503(site: Site, client: Client, monkeypatch: Any) -> None:
    headers = service(site, client)

    async def failing(*_: Any, **__: Any) -> None:
        raise StoreError("the store is on strike")

    monkeypatch.setattr(site.store.inner, "poll", failing)
    for query in ("", "?wait=30"):
        answer = client.get(LOG + query, headers=headers)
        assert code_of(answer, status=503) == "store_unavailable"
        assert "strike" not in answer.text


# --- ending by hand -------------------------------------------------------------------------------------------------


def test_a_subject_may_be_named_by_the_address_of_its_account_which_nothing_records(
    site: Site, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    headers = service(site, client)
    subject = register(client).json()["subject"]
    login(client)
    site.desk.events.clear()
    with caplog.at_level(logging.INFO, logger="frontdesk.audit"):
        assert client.post(LOG, headers=headers, json={"subject": EMAIL}).json() == {"ended": 1}
    assert client.get("/dashboard").status_code == 401
    told = [event for event in site.desk.events if isinstance(event, RevokedByService)]
    assert [event.target for event in told] == [subject]
    assert EMAIL not in caplog.text
    assert client.post(LOG, headers=headers, json={"subject": "no@account.example"}).json() == {"ended": 0}


@pytest.mark.parametrize("kind", ["session", "subject", "all"])
@pytest.mark.parametrize("credential", ["session", "jwt", "jwe"])
def test_what_is_named_ends_at_once(site: Site, client: Client, credential: Any, kind: str) -> None:
    headers = service(site, client, "revoke", name="admin")
    with site.client() as here, site.client() as there, site.client() as bob:
        session = here.sign_in_as("alice", credential=credential)["session"]
        there.sign_in_as("alice", credential=credential)
        bob.sign_in_as("bob", credential=credential)
        body: dict[str, Any] = {"session": session} if kind == "session" else {"subject": "alice"}
        answer = client.post(LOG, headers=headers, json={"all": True} if kind == "all" else body)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
        assert answer.json() == {"ended": {"session": 1, "subject": 2, "all": 3}[kind]}
        told = [who.get("/dashboard").status_code for who in (here, there, bob)]
        assert told == {"session": [401, 200, 200], "subject": [401, 401, 200], "all": [401, 401, 401]}[kind]
        assert code_of(here.get("/dashboard")) == "session_ended"


def test_a_key_is_given_up_and_sessions_stay(site: Site, client: Client) -> None:
    headers = service(site, client)
    client.sign_in_as("alice", credential="jwt")
    key = next(key.id for key in site.desk.keys.stored if key.algorithm == "ES256")
    for _ in range(2):  # the first answer may have been lost
        answer = client.post(LOG, headers=headers, json={"key": key})
        assert (answer.status_code, answer.json()) == (200, {"ended": 0})
    assert code_of(client.get("/dashboard"), status=401) == "credential_invalid"
    site.clock.advance(timedelta(minutes=1))
    assert client.post("/auth/refresh").status_code == 200
    assert client.get("/dashboard").json() == {"hello": "alice"}
    assert [kind for _, kind, *_ in entries(client.get(LOG, headers=headers))] == ["key"]


def test_what_had_ended_before_has_ended(site: Site, client: Client) -> None:
    headers = service(site, client)
    with site.client() as alice:
        session = alice.sign_in_as("alice")["session"]
    for _ in range(2):
        assert client.post(LOG, headers=headers, json={"session": session}).json() == {"ended": 1}
    for _ in range(2):
        assert client.post(LOG, headers=headers, json={"subject": "nobody"}).json() == {"ended": 0}
        assert client.post(LOG, headers=headers, json={"all": True}).json() == {"ended": 0}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"session": "A" * 22}, "session_not_found"),
        ({"session": "x"}, "session_not_found"),
        ({"session": ""}, "session_not_found"),
        ({"key": "nonsense"}, "not_found"),
        ({"key": ""}, "not_found"),
    ],
)
def test_what_is_not_there_is_404(site: Site, client: Client, body: Any, code: str) -> None:
    site.desk.events.clear()
    headers = service(site, client)
    assert code_of(client.post(LOG, headers=headers, json=body), status=404) == code
    assert site.desk.names() == ["service_added"]


def test_sessions_of_another_realm_are_not_there(site: Site, client: Client) -> None:
    headers = service(site, client)
    assert client.portal is not None
    there = TestDesk(site.store.inner, DeskSettings(realm="elsewhere"))

    async def sign_in() -> str:
        from frontdesk.service.sign_in import Grant, Signed

        await there.keys.load(there.settings.key_algorithms, there.time.now())
        signed = await there.sign_in(Grant(subject="alice"))
        assert isinstance(signed, Signed)
        return signed.session.id

    session = client.portal.call(sign_in)
    assert code_of(client.post(LOG, headers=headers, json={"session": session}), status=404) == "session_not_found"
    assert client.post(LOG, headers=headers, json={"all": True}).json() == {"ended": 0}
    assert len(client.portal.call(there.sessions, "alice")) == 1


@pytest.mark.parametrize(
    "body",
    [
        {}, {"all": False}, {"session": None}, {"session": "A" * 22, "subject": "alice"}, {"key": "x", "all": True},
        {"all": "true"}, {"all": 1}, {"session": 7}, {"subject": ["alice"]}, {"subject": ""}, {"subject": "a\n"},
        {"subject": "a" * 256}, {"user": "alice"}, {"all": True, "reason": "x"}, [], "alice", None,
    ],
)  # fmt: skip
def test_a_body_that_does_not_name_exactly_one_is_422_and_ends_nothing(site: Site, client: Client, body: Any) -> None:
    headers = {**service(site, client), "content-type": "application/json"}
    with site.client() as alice:
        alice.sign_in_as("alice")
        answer = client.post(LOG, headers=headers, content=msgspec.json.encode(body))
        assert answer.status_code in {400, 422}
        assert code_of(answer) in {"body_invalid", "body_not_parseable"}
        assert alice.get("/dashboard").status_code == 200


def test_a_body_that_is_not_declared_as_json_is_415_and_none_at_all_is_422(site: Site, client: Client) -> None:
    headers = service(site, client)
    form = {**headers, "content-type": "text/plain"}
    assert code_of(client.post(LOG, headers=form, content=b'{"all": true}'), status=415) == "content_type_unsupported"
    assert code_of(client.post(LOG, headers=headers), status=422) == "body_invalid"
    twice = {**headers, "content-type": "application/json"}
    answer = client.post(LOG, headers=twice, content=b'{"subject": "alice", "subject": "bob"}')
    assert code_of(answer, status=400) == "body_not_parseable"


def test_the_audit_log_tells_which_service_has_ended_what_and_from_where(site: Site, client: Client) -> None:
    headers = service(site, client, name="support")
    with site.client() as alice:
        alice.sign_in_as("alice")
    site.desk.events.clear()
    assert client.post(LOG, headers=headers, json={"subject": "alice"}).status_code == 200
    assert site.desk.names() == ["session_ended", "subject_revoked", "revoked_by_service"]
    last = site.desk.events[-1]
    assert isinstance(last, RevokedByService)
    assert (last.service, last.kind, last.target) == ("support", "subject", "alice")
    assert {event.address for event in site.desk.events} == {last.address}
    assert last.address


@pytest.mark.parametrize("body", [{"session": "A" * 22}, {"subject": "alice"}, {"key": "x"}, {"all": True}])
def test_a_store_that_fails_has_ended_nothing_and_says_so(
    site: Site, client: Client, monkeypatch: pytest.MonkeyPatch, body: Any
) -> None:
    headers = service(site, client)
    with site.client() as alice:
        alice.sign_in_as("alice")
        site.desk.events.clear()
        site.store.failing = True
        answers = [client.post(LOG, headers=headers, json=body)]
        site.store.failing = False
        with monkeypatch.context() as broken:  # the service is known, but nothing can be ended
            for name in ("end_session", "end_subject", "end_realm", "keys_version"):
                broken.setattr(site.store.inner, name, site.store._fail)
            answers.append(client.post(LOG, headers=headers, json=body))
        assert [code_of(answer, status=503) for answer in answers] == ["store_unavailable"] * 2
        assert site.desk.names() == []
        assert alice.get("/dashboard").status_code == 200


def test_no_log_line_and_no_answer_holds_a_service_credential(
    site: Site, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        headers = service(site, client)
        answers = [
            client.get(LOG, headers=headers), client.post(LOG, headers=headers, json={"all": True}),
            client.get(f"{LOG}?x", headers=headers), client.get("/dashboard", headers=headers),
        ]  # fmt: skip
        site.store.failing = True
        answers += [client.get(LOG, headers=headers), client.post(LOG, headers=headers, json={"all": True})]
        site.store.failing = False
    secret = headers["authorization"].removeprefix("Bearer fdk_")
    written = "\n".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
    assert "service_added" in written
    assert secret not in written
    assert not any(secret in answer.text for answer in answers)
