"""`FrontdeskAuth` against a real server: sync and async, refreshes, faults, redirects, signing in and out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest

from frontdesk.client import (
    Credentials,
    FileStorage,
    FrontdeskAuth,
    MemoryStorage,
    SignedOutError,
    SignInError,
    UnavailableError,
)
from frontdesk.client.credentials import Timers
from frontdesk.errors import ConfigurationError
from tests.client.serving import LossyProxy, Row, ShiftedDesk, Watch, until
from tests.server.processes import PASSWORD, PATIENCE

Ask = Callable[..., httpx.Response]


def ask_sync(auth: FrontdeskAuth, path: str = "/auth/me", **options: object) -> httpx.Response:
    base = auth._desk.url
    with httpx.Client(auth=auth, base_url=base, timeout=PATIENCE, trust_env=False) as client:
        return client.request("GET", path, **options)  # type: ignore[arg-type]


def ask_async(auth: FrontdeskAuth, path: str = "/auth/me", **options: object) -> httpx.Response:
    async def ask() -> httpx.Response:
        base = auth._desk.url
        async with httpx.AsyncClient(auth=auth, base_url=base, timeout=PATIENCE, trust_env=False) as client:
            return await client.request("GET", path, **options)  # type: ignore[arg-type]

    return asyncio.run(ask())


@pytest.fixture(params=[ask_sync, ask_async], ids=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    chosen: Ask = request.param
    return chosen


@pytest.fixture
def auth(proxy: LossyProxy, email: str) -> FrontdeskAuth:
    """Signed in with a JWT, through the proxy."""
    auth = FrontdeskAuth(proxy.url)
    auth.sign_in(email, PASSWORD, credential="jwt")
    return auth


def test_an_expired_token_is_refreshed_and_the_request_repeated(
    desk: ShiftedDesk, proxy: LossyProxy, auth: FrontdeskAuth, ask: Ask
) -> None:
    for generation in range(3):
        assert ask(auth).json()["subject"] == auth.subject
        assert desk.rows(auth.subject or "") == [Row(generation, generation - 1, ended=False)]
        desk.expire()
    assert ask(auth).status_code == 200
    assert proxy.refreshes == 3
    assert proxy.counts["/auth/me"] == 3 + 1 + 3, "each refused request came once more"


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def watched(proxy: LossyProxy, email: str, watch: Watch) -> FrontdeskAuth:
    """Signed in with a JWT, by a clock that the test moves."""
    auth = FrontdeskAuth(proxy.url, timers=Timers(boot=watch))
    auth.sign_in(email, PASSWORD, credential="jwt")
    return auth


def test_a_token_is_refreshed_shortly_before_it_expires(
    proxy: LossyProxy, watched: FrontdeskAuth, watch: Watch, ask: Ask
) -> None:
    watch.seconds += 900 - 31
    assert ask(watched).status_code == 200
    assert proxy.refreshes == 0
    watch.seconds += 2
    assert ask(watched).status_code == 200
    assert (proxy.refreshes, proxy.counts["/auth/me"]) == (1, 2), "nothing was refused"


def test_while_the_token_is_good_a_desk_that_cannot_refresh_does_no_harm(
    proxy: LossyProxy, watched: FrontdeskAuth, watch: Watch, ask: Ask
) -> None:
    watch.seconds += 900 - 10
    proxy.refuse = 1
    assert ask(watched).status_code == 200
    watch.seconds += 20
    proxy.refuse = 1
    with pytest.raises(UnavailableError) as caught:
        ask(watched)
    assert caught.value.code == "unavailable"
    assert watched.signed_in


def test_a_session_token_needs_no_refresh(desk: ShiftedDesk, proxy: LossyProxy, email: str, ask: Ask) -> None:
    auth = FrontdeskAuth(proxy.url)
    subject = auth.sign_in(email, PASSWORD)
    desk.expire()
    assert ask(auth).json() | {"credential": "session"} == ask(auth).json()
    assert proxy.refreshes == 0
    desk.revoke(subject)
    with pytest.raises(SignedOutError) as caught:
        ask(auth)
    assert caught.value.code == "session_ended"
    assert not auth.signed_in


def test_a_revoked_session_means_signed_out_and_is_forgotten(desk: ShiftedDesk, auth: FrontdeskAuth, ask: Ask) -> None:
    desk.revoke(auth.subject or "")
    with pytest.raises(SignedOutError) as caught:
        ask(auth)
    assert caught.value.code == "session_ended"
    assert not auth.signed_in
    assert auth.subject is None
    with pytest.raises(SignedOutError) as caught:
        ask(auth)
    assert caught.value.code == "not_signed_in"


def test_a_refresh_that_finds_the_session_ended_means_signed_out(
    desk: ShiftedDesk, proxy: LossyProxy, watched: FrontdeskAuth, watch: Watch, ask: Ask
) -> None:
    desk.revoke(watched.subject or "")
    watch.seconds += 900
    with pytest.raises(SignedOutError) as caught:
        ask(watched)
    assert caught.value.code == "session_ended"
    assert not watched.signed_in
    assert (proxy.refreshes, proxy.counts["/auth/me"]) == (1, 0)


def test_a_refusal_does_not_clear_what_somebody_has_signed_in_meanwhile(
    desk: ShiftedDesk, proxy: LossyProxy, email: str, ask: Ask
) -> None:
    storage = MemoryStorage()
    first = FrontdeskAuth(proxy.url, storage=storage)
    first.sign_in(email, PASSWORD, credential="jwt")
    assert ask(first).status_code == 200
    desk.revoke(first.subject or "")
    FrontdeskAuth(proxy.url, storage=storage).sign_in(email, PASSWORD, credential="jwt")
    assert ask(first).status_code == 200, "it goes on with the new session"


def test_a_refresh_token_that_the_desk_does_not_know_is_refused_and_kept(proxy: LossyProxy, ask: Ask) -> None:
    storage = MemoryStorage()
    storage.save(Credentials(desk=proxy.url, access_token="x.y.z", refresh_token="fdr_strange", expires_in=900))
    auth = FrontdeskAuth(proxy.url, storage=storage)
    with pytest.raises(SignedOutError) as caught:
        ask(auth)
    assert caught.value.code == "credential_malformed"
    assert auth.signed_in, "a desk that was started with another secret says so, too"


def test_an_access_token_alone_is_used_until_it_expires(
    desk: ShiftedDesk, proxy: LossyProxy, email: str, ask: Ask
) -> None:
    kept = MemoryStorage()
    FrontdeskAuth(proxy.url, storage=kept).sign_in(email, PASSWORD, credential="jwt")
    token = kept.load()
    assert token is not None
    auth = FrontdeskAuth.from_tokens(proxy.url, token.access_token, expires_in=900)
    assert ask(auth).status_code == 200
    desk.expire()
    with pytest.raises(SignedOutError) as caught:
        ask(auth)
    assert caught.value.code == "token_expired"
    assert not auth.signed_in


def test_tokens_from_elsewhere_are_refreshed_like_any(
    desk: ShiftedDesk, proxy: LossyProxy, email: str, ask: Ask
) -> None:
    kept = MemoryStorage()
    FrontdeskAuth(proxy.url, storage=kept).sign_in(email, PASSWORD, credential="jwe")
    tokens = kept.load()
    assert tokens is not None
    auth = FrontdeskAuth.from_tokens(proxy.url, tokens.access_token, tokens.refresh_token, tokens.expires_in)
    assert auth.subject is None, "nobody has said it yet"
    desk.expire()
    assert ask(auth).status_code == 200
    assert auth.subject == tokens.subject


# --- faults


def test_a_lost_answer_costs_nothing(desk: ShiftedDesk, proxy: LossyProxy, auth: FrontdeskAuth, ask: Ask) -> None:
    desk.expire()
    proxy.lose = 2
    assert ask(auth).status_code == 200
    assert proxy.refreshes == 3
    desk.expire()
    assert ask(auth).status_code == 200
    assert desk.rows(auth.subject or "") == [Row(2, 0, ended=False)], "the number that was lost is burnt"


def test_a_desk_that_does_not_answer_signs_nobody_out(
    desk: ShiftedDesk, proxy: LossyProxy, auth: FrontdeskAuth, ask: Ask
) -> None:
    desk.expire()
    proxy.lose = 3
    with pytest.raises(UnavailableError) as lost:
        ask(auth)
    proxy.refuse = 1
    with pytest.raises(httpx.TransportError) as refused:
        ask(auth)
    assert lost.value.request.url == refused.value.request.url == f"{proxy.url}/auth/me"
    assert auth.signed_in
    assert ask(auth).status_code == 200


def test_nobody_listening_is_a_fault_and_nothing_else(
    proxy: LossyProxy, watched: FrontdeskAuth, watch: Watch, email: str, ask: Ask
) -> None:
    watch.seconds += 900
    proxy.stop()
    with pytest.raises(UnavailableError, match="did not answer"):
        ask(watched)
    with pytest.raises(UnavailableError, match="could not be asked"):
        watched.sign_out()
    with pytest.raises(UnavailableError, match="could not be asked") as caught:
        watched.sign_in(email, PASSWORD)
    assert caught.value.request.content == b"", "the password is not in it"
    assert watched.signed_in


def test_who_is_cancelled_leaves_the_refresh_to_the_others(
    desk: ShiftedDesk, proxy: LossyProxy, auth: FrontdeskAuth
) -> None:
    async def run() -> list[object]:
        async with httpx.AsyncClient(auth=auth, base_url=proxy.url, timeout=PATIENCE, trust_env=False) as client:
            tasks = [asyncio.create_task(client.get("/auth/me")) for _ in range(5)]
            await asyncio.to_thread(until, lambda: auth._flights._flight is not None)
            for task in tasks[:4]:
                task.cancel()
            first = await asyncio.gather(*tasks[:4], return_exceptions=True)
            proxy.open.set()
            return [*first, await tasks[4]]

    desk.expire()
    proxy.open.clear()
    *cancelled, last = asyncio.run(run())
    assert all(isinstance(each, asyncio.CancelledError) for each in cancelled)
    assert isinstance(last, httpx.Response)
    assert last.status_code == 200
    assert proxy.refreshes == 1


# --- origins


def test_a_refresh_follows_no_redirect(desk: ShiftedDesk, proxy: LossyProxy, auth: FrontdeskAuth, ask: Ask) -> None:
    desk.expire()
    asked: list[httpx.Request] = []
    proxy.redirect = "http://127.0.0.1:9/auth/refresh"
    with pytest.raises(UnavailableError, match="307"):
        ask(auth, follow_redirects=True)
    follows = httpx.Client(follow_redirects=True, trust_env=False, event_hooks={"request": [asked.append]})
    with follows as client:
        due = FrontdeskAuth(proxy.url, storage=auth._keeper._storage, client=client)
        with pytest.raises(UnavailableError, match="307"):
            ask(due)
    assert [str(request.url) for request in asked] == [f"{proxy.url}/auth/refresh"]
    proxy.redirect = ""
    assert ask(auth).status_code == 200


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_redirect_to_another_origin_takes_no_credential_along(kind: str) -> None:
    seen: list[tuple[str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append((str(request.url), request.headers.get("authorization", "")))
        if request.url.host == "desk.example":
            return httpx.Response(302, headers={"location": "https://evil.example/"})
        challenge = 'Bearer error="invalid_token", error_description="token_expired"'
        return httpx.Response(401, headers={"www-authenticate": challenge})

    auth = FrontdeskAuth.from_tokens("https://desk.example", "x.y.z", "fdr_x")
    transport = httpx.MockTransport(answer)
    if kind == "sync":
        with httpx.Client(auth=auth, transport=transport, follow_redirects=True) as client:
            last = client.get("https://desk.example/")
            client.get("https://evil.example/")
    else:

        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(auth=auth, transport=transport, follow_redirects=True) as client:
                await client.get("https://evil.example/")
                return await client.get("https://desk.example/")

        last = asyncio.run(ask())
    assert last.status_code == 401
    assert {authorization for url, authorization in seen if "evil" in url} == {""}
    assert ("https://desk.example/", "Bearer x.y.z") in seen


def test_credentials_of_one_desk_are_not_shown_to_another(
    proxy: LossyProxy, email: str, ask: Ask, tmp_path: Path
) -> None:
    storage = FileStorage(tmp_path / "credentials")
    FrontdeskAuth(proxy.url, storage=storage).sign_in(email, PASSWORD)
    other = FrontdeskAuth(proxy.url.replace("127.0.0.1", "localhost"), storage=storage)
    assert not other.signed_in
    with pytest.raises(SignedOutError):
        ask(other)
    other.sign_out()
    assert FrontdeskAuth(proxy.url, storage=storage).signed_in, "and they are not removed either"


@pytest.mark.parametrize(
    "url",
    ["http://desk.example", "ftp://desk.example", "desk.example", "https://", "", "https://a:b", "http://192.0.2.1"],
)
def test_an_address_without_https_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        FrontdeskAuth(url)
    with pytest.raises(ConfigurationError):
        FrontdeskAuth("https://desk.example", origins=[url])


@pytest.mark.parametrize(
    "url", ["https://a:secret@desk.example", "https://desk.example?secret", "https://desk.example#x"]
)
def test_an_address_with_a_password_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        FrontdeskAuth(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://localhost:8000", "http://127.0.0.1", "http://[::1]:8000", "http://a.localhost"]
)
def test_on_loopback_plain_http_is_good(url: str) -> None:
    assert repr(FrontdeskAuth(url)) == f"FrontdeskAuth({url!r})"


def test_plain_http_elsewhere_has_to_be_asked_for_by_name() -> None:
    assert repr(FrontdeskAuth("http://desk.example/", insecure_http=True)) == "FrontdeskAuth('http://desk.example')"


def test_the_desk_is_asked_by_a_client_that_may_be_used_in_a_thread() -> None:
    with pytest.raises(TypeError, match=r"httpx\.Client"):
        FrontdeskAuth("https://desk.example", client=httpx.AsyncClient())  # type: ignore[arg-type]


def test_origins_are_several() -> None:
    with pytest.raises(TypeError):
        FrontdeskAuth("https://desk.example", origins="https://orders.example")


# --- signing in and out


def test_a_wrong_password_is_told_by_its_code(proxy: LossyProxy, email: str) -> None:
    auth = FrontdeskAuth(proxy.url)
    with pytest.raises(SignInError) as caught:
        auth.sign_in(email, "wrong, all wrong, wrong")
    assert caught.value.code == "invalid_credentials"
    assert not auth.signed_in


def test_signing_out_ends_the_session_and_forgets_it(
    desk: ShiftedDesk, proxy: LossyProxy, email: str, ask: Ask
) -> None:
    auth = FrontdeskAuth(proxy.url)
    subject = auth.sign_in(email, PASSWORD, credential="jwt")
    desk.expire()
    auth.sign_out()
    assert [row.ended for row in desk.rows(subject)] == [True]
    assert not auth.signed_in
    auth.sign_out()
    assert proxy.counts["/auth/logout"] == 1, "there was nothing more to end"


def test_signing_in_and_out_asynchronously(desk: ShiftedDesk, proxy: LossyProxy, email: str) -> None:
    async def run() -> str:
        auth = FrontdeskAuth(proxy.url)
        subject = await auth.asign_in(email, PASSWORD, credential="jwt")
        async with httpx.AsyncClient(auth=auth, base_url=proxy.url, trust_env=False) as client:
            assert (await client.get("/auth/me")).json()["subject"] == subject
        await auth.asign_out()
        assert not auth.signed_in
        return subject

    assert [row.ended for row in desk.rows(asyncio.run(run()))] == [True]


# --- bodies


def stream() -> Iterator[bytes]:
    yield b"{}"


async def astream() -> AsyncIterator[bytes]:
    yield b"{}"


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_streamed_body_is_not_repeated_unless_it_is_read_into_memory(
    desk: ShiftedDesk, proxy: LossyProxy, auth: FrontdeskAuth, kind: str
) -> None:
    def post() -> httpx.Response:
        path = f"{proxy.url}/auth/me"
        if kind == "sync":
            with httpx.Client(auth=auth, trust_env=False, timeout=PATIENCE) as client:
                return client.request("GET", path, content=stream(), headers={"content-length": "2"})

        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(auth=auth, trust_env=False, timeout=PATIENCE) as client:
                return await client.request("GET", path, content=astream(), headers={"content-length": "2"})

        return asyncio.run(ask())

    desk.expire()
    refused = post()
    assert (refused.status_code, refused.json()["code"]) == (401, "token_expired")
    assert proxy.refreshes == 1
    assert post().status_code == 200, "the new token is there for whoever sends it again"
    desk.expire()
    auth.requires_request_body = True
    assert post().status_code == 200
    assert proxy.refreshes == 2


def test_files_are_not_repeated_either(desk: ShiftedDesk, proxy: LossyProxy, auth: FrontdeskAuth, ask: Ask) -> None:
    desk.expire()
    assert ask(auth, files={"file": b"content"}).json()["code"] == "token_expired"
    assert ask(auth, files={"file": b"content"}).status_code == 200


# --- what is shown


def test_no_token_is_shown_by_anything(
    desk: ShiftedDesk, proxy: LossyProxy, email: str, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    storage = FileStorage(tmp_path / "credentials")
    auth = FrontdeskAuth(proxy.url, storage=storage)
    auth.sign_in(email, PASSWORD, credential="jwt")
    kept = [storage.load()]
    desk.expire()
    ask_sync(auth)
    kept.append(storage.load())
    desk.expire()
    proxy.lose = 3
    with pytest.raises(UnavailableError) as lost:
        ask_async(auth)
    faults: list[BaseException] = [lost.value]
    desk.revoke(auth.subject or "")
    with pytest.raises(SignedOutError) as out:
        ask_sync(auth)
    faults.append(out.value)
    shown = [caplog.text, repr(auth), repr(storage), repr(kept), repr(auth.__dict__), repr(auth._keeper.__dict__)]
    shown += [f"{fault!r} {fault} {fault.__dict__} {fault.__cause__!r}" for fault in faults]
    for each in kept:
        assert each is not None
        for secret in (each.access_token, each.refresh_token, PASSWORD):
            assert [text for text in shown if secret in text] == []


def test_a_flow_that_hangs_is_given_up(proxy: LossyProxy, auth: FrontdeskAuth, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frontdesk.client.flights.FLIGHT_SECONDS", 0.01)
    auth._keeper.held = None
    for ask in (ask_sync, ask_async):
        auth._flights._board()  # as after a fork in the middle of a refresh
        with pytest.raises(UnavailableError, match="too long"):
            ask(auth)
        monkeypatch.setattr("frontdesk.client.flights.FLIGHT_SECONDS", 40.0)
        assert ask(auth).status_code == 200
        auth._keeper.held = None
        monkeypatch.setattr("frontdesk.client.flights.FLIGHT_SECONDS", 0.01)
