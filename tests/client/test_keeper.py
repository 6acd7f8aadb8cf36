"""What happens beside a refresh: the storage changes, the process stands still, the answer is no answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx
import pytest

from frontdesk.client import Credentials, FrontdeskAuth, MemoryStorage, SignedOutError, UnavailableError
from frontdesk.client.credentials import Held, Timers
from frontdesk.client.flights import Flights
from frontdesk.endpoints.http import problem
from frontdesk.errors import Refusal
from tests.client.serving import Watch, until
from tests.server.processes import PATIENCE

URL = "https://desk.example"
STORED = Credentials(desk=URL, access_token="old", refresh_token="fdr_0", expires_in=900, session="s")
NEWER = replace(STORED, access_token="newer", refresh_token="fdr_1", issued_at=2.0)

Answer = Callable[[httpx.Request], httpx.Response]


def refused(code: str) -> httpx.Response:
    answer = problem(Refusal(code))
    return httpx.Response(answer.status, headers=list(answer.headers), content=answer.body)


def granted(refresh_token: str = "fdr_9") -> httpx.Response:
    return httpx.Response(200, json={"access_token": "granted", "expires_in": 900, "refresh_token": refresh_token})


@pytest.fixture
def storage() -> MemoryStorage:
    """It holds what is due."""
    storage = MemoryStorage()
    storage.save(STORED)
    return storage


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def asks(storage: MemoryStorage, watch: Watch) -> Callable[[Answer], str]:
    """Send a request to an application that says which token came; refreshes are answered by the test."""

    def echo(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, text=request.headers["authorization"])

    def ask(answer: Answer) -> str:
        with (
            httpx.Client(transport=httpx.MockTransport(answer)) as desk,
            httpx.Client(
                auth=FrontdeskAuth(URL, storage=storage, client=desk, timers=Timers(boot=watch)),
                transport=httpx.MockTransport(echo),
            ) as client,
        ):
            return client.get(f"{URL}/").text

    return ask


@pytest.mark.parametrize("code", ["session_ended", "refresh_reused", "credential_invalid"])
def test_what_somebody_saved_during_a_refused_refresh_is_used(
    asks: Callable[[Answer], str], storage: MemoryStorage, code: str
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        storage.save(NEWER)
        return refused(code)

    assert asks(answer) == "Bearer newer"
    assert storage.load() == NEWER


def test_what_somebody_saved_during_a_refresh_is_not_overwritten(
    asks: Callable[[Answer], str], storage: MemoryStorage
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        storage.save(NEWER)
        return granted()

    assert asks(answer) == "Bearer newer"
    assert storage.load() == NEWER


@pytest.mark.parametrize("answered", [granted(), refused("session_ended")], ids=["granted", "refused"])
def test_who_signs_out_during_a_refresh_is_signed_out(
    asks: Callable[[Answer], str], storage: MemoryStorage, answered: httpx.Response
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        storage.clear()
        return answered

    with pytest.raises(SignedOutError):
        asks(answer)
    assert storage.load() is None


def test_an_answer_that_was_not_saved_in_time_counts_as_lost(storage: MemoryStorage, watch: Watch) -> None:
    class Stopped(MemoryStorage):
        """The process stands still after the answer has come."""

        def load(self) -> Credentials | None:
            if asked:
                watch.seconds += 60
            return super().load()

    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return granted()

    stopped = Stopped()
    stopped.save(STORED)
    with httpx.Client(transport=httpx.MockTransport(answer)) as desk:
        auth = FrontdeskAuth(URL, storage=stopped, client=desk, timers=Timers(boot=watch))
        with httpx.Client(auth=auth) as client, pytest.raises(UnavailableError, match="too late"):
            client.get(f"{URL}/")
    assert storage.load() == stopped.load() == STORED


def test_an_answer_that_never_ends_is_not_read(asks: Callable[[Answer], str], storage: MemoryStorage) -> None:
    with pytest.raises(UnavailableError):
        asks(lambda _: httpx.Response(200, content=b" " * 65_537))
    assert storage.load() == STORED


def test_the_refresh_token_is_saved_before_the_access_token_is_used(
    asks: Callable[[Answer], str], storage: MemoryStorage
) -> None:
    assert asks(lambda _: granted("fdr_1")) == "Bearer granted"
    kept = storage.load()
    assert kept is not None
    assert (kept.access_token, kept.refresh_token) == ("granted", "fdr_1")


# --- flights


HELD = Held(STORED, 0.0, 0.0)


def test_whoever_waits_hears_of_an_interruption_as_a_fault() -> None:
    joined = threading.Event()

    def obtain(refused: Held | None, code: str) -> Held:
        assert joined.wait(PATIENCE)
        raise KeyboardInterrupt

    flights = Flights(obtain)
    with ThreadPoolExecutor(2) as threads:
        leader = threads.submit(flights.join, None, "")
        until(lambda: flights._flight is not None)
        waiting: Any = flights._flight
        follower = threads.submit(flights.join, None, "")
        until(lambda: waiting._condition._waiters)
        joined.set()
        with pytest.raises(KeyboardInterrupt):
            leader.result(PATIENCE)
        with pytest.raises(UnavailableError, match="interrupted"):
            follower.result(PATIENCE)


def test_a_flight_that_was_given_up_does_not_end_the_next_one() -> None:
    following: Future[Held] = Future()

    def obtain(refused: Held | None, code: str) -> Held:
        flights._flight = following  # as somebody does who has waited too long
        return HELD

    flights = Flights(obtain)
    assert flights.join(None, "") == HELD
    assert flights._flight is following


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_who_joined_a_flight_that_brings_what_was_refused_makes_another(kind: str) -> None:
    """Somebody else's flight began before the token that it brings was refused to us."""
    sent: list[str] = []
    challenge = 'Bearer error="invalid_token", error_description="token_expired"'

    def app(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers["authorization"])
        if len(sent) > 1:
            return httpx.Response(200)
        auth._flights._obtain = first  # the flight that is joined next
        return httpx.Response(401, headers={"www-authenticate": challenge})

    def first(refused: Held | None, code: str) -> Held:
        auth._flights._obtain = auth._keeper.obtain
        return Held(NOT_DUE, float("inf"), float("inf"))

    storage = MemoryStorage()
    storage.save(NOT_DUE)
    transport = httpx.MockTransport(app)
    with httpx.Client(transport=httpx.MockTransport(lambda _: granted())) as desk:
        auth = FrontdeskAuth(URL, storage=storage, client=desk)
        if kind == "sync":
            with httpx.Client(auth=auth, transport=transport) as client:
                assert client.get(f"{URL}/").status_code == 200
        else:

            async def ask() -> int:
                async with httpx.AsyncClient(auth=auth, transport=transport) as client:
                    return (await client.get(f"{URL}/")).status_code

            assert asyncio.run(ask()) == 200
    assert sent == ["Bearer old", "Bearer granted"]


NOT_DUE = replace(STORED, issued_at=1e12)
