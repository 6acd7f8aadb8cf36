"""How requests were decided, as a desk counts it: from what it holds, by asking, and with how many questions."""

from __future__ import annotations

import asyncio
import secrets
from datetime import timedelta
from pathlib import Path

import pytest

from frontdesk.clock import AdjustableClock
from frontdesk.core.sessions import CredentialKind
from frontdesk.errors import Refusal, StoreError
from frontdesk.service.authenticate import Authenticated
from frontdesk.service.desk import Desk
from frontdesk.service.hashing import PasswordHasher
from frontdesk.service.keys import MasterKeys
from frontdesk.service.settings import DeskSettings
from frontdesk.service.sign_in import Grant, Signed, SignInOptions
from frontdesk.stores.memory import MemoryStore
from frontdesk.stores.protocol import ASK, NO_TIME, Poll
from frontdesk.testing import SlowStore
from tests.http.sites import FailingStore
from tests.service.desks import CHEAP, SECRET, TestDesk, make_store, run

GARBAGE = b"fds_" + b"A" * 20


class Seconds:
    """Both clocks of a follower, which stand still until told to move."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class QuietLog(SlowStore):
    """A store whose log has no news: who waits for some waits on, so that the picture of it gets old."""

    async def poll(self, cursor: int, *, limit: int = 1000, wait: timedelta = NO_TIME) -> Poll:
        if wait > NO_TIME:
            await asyncio.Event().wait()
        return await super().poll(cursor, limit=limit)


def remote_desk(store: MemoryStore | FailingStore, seconds: Seconds, **settings: object) -> Desk:
    master = MasterKeys([SECRET])
    hasher = PasswordHasher(CHEAP, seal_keys=master.password_seals, token_bytes=secrets.token_bytes, concurrency=1)
    return Desk(
        QuietLog(store),
        master,
        DeskSettings(**settings),  # type: ignore[arg-type]
        hasher=hasher,
        clock=AdjustableClock(),
        timers=(seconds, seconds),
    )


async def signed_in(desk: Desk, credential: CredentialKind) -> bytes:
    signed = await desk.sign_in(
        Grant(subject="alice"), options=SignInOptions(credential=credential, transport="bearer")
    )
    assert isinstance(signed, Signed)
    token = signed.session_token or (signed.access_token.text if signed.access_token else "")
    return token.encode()


async def decide(desk: Desk, credential: bytes) -> Authenticated | Refusal:
    """As the gate does it: at once where that can be, else by asking."""
    outcome = desk.authenticate_now(credential, "bearer")
    return await desk.authenticate(credential, "bearer") if outcome is ASK else outcome


def told(desk: Desk) -> dict[str, int]:
    counts = desk.counts
    return {"local": counts.local, "asked": counts.asked, "stale": counts.stale, "questions": counts.questions}


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@pytest.mark.parametrize("credential", ["session", "jwt"])
def test_where_the_store_is_on_this_machine_every_decision_is_local(
    tmp_path: Path, kind: str, credential: CredentialKind
) -> None:
    async def scenario(desk: TestDesk) -> None:
        token = await signed_in(desk, credential)
        for presented in (token, token, GARBAGE, b"eyJ.x.y"):
            await decide(desk, presented)
        await desk.authenticate(token, "bearer", strict=True)
        assert told(desk) == {"local": 5, "asked": 0, "stale": 0, "questions": 0}

    run(TestDesk(make_store(kind, tmp_path)), scenario)


def test_a_row_is_asked_for_once_and_then_remembered() -> None:
    async def scenario() -> None:
        desk = remote_desk(MemoryStore(), Seconds())
        await desk.open()
        token = await signed_in(desk, "session")
        for _ in range(10):
            assert isinstance(await decide(desk, token), Authenticated)
        assert told(desk) == {"local": 9, "asked": 1, "stale": 0, "questions": 1}
        await decide(desk, GARBAGE)
        assert isinstance(await desk.authenticate(GARBAGE, "bearer", strict=True), Refusal)
        assert told(desk) == {"local": 11, "asked": 1, "stale": 0, "questions": 1}
        await desk.close()

    asyncio.run(scenario())


def test_an_access_token_is_decided_by_what_it_says() -> None:
    async def scenario() -> None:
        desk = remote_desk(MemoryStore(), Seconds())
        await desk.open()
        token = await signed_in(desk, "jwt")
        for _ in range(10):
            assert isinstance(await decide(desk, token), Authenticated)
        assert told(desk) == {"local": 10, "asked": 0, "stale": 0, "questions": 0}
        await desk.close()

    asyncio.run(scenario())


def test_requests_that_ask_at_once_share_their_questions() -> None:
    async def scenario() -> None:
        desk = remote_desk(MemoryStore(), Seconds())
        await desk.open()
        token = await signed_in(desk, "session")
        await asyncio.gather(*(desk.authenticate(token, "bearer", strict=True) for _ in range(20)))
        counts = desk.counts
        assert (counts.asked, counts.stale) == (20, 0)
        assert 1 <= counts.questions <= 2
        await desk.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(("credential", "questions"), [("session", 1), ("jwt", 2)])
def test_a_picture_that_is_too_old_makes_every_request_a_stale_one(credential: CredentialKind, questions: int) -> None:
    async def scenario() -> None:
        seconds = Seconds()
        desk = remote_desk(MemoryStore(), seconds)
        await desk.open()
        token = await signed_in(desk, credential)
        await decide(desk, token)
        before = told(desk)
        seconds.now += 60
        for _ in range(3):
            assert isinstance(await decide(desk, token), Authenticated)
        after = {name: count - before[name] for name, count in told(desk).items()}
        assert after == {"local": 0, "asked": 3, "stale": 3, "questions": 3 * questions}
        await desk.authenticate(token, "bearer", strict=True)  # asked for, however old the picture is
        assert told(desk)["stale"] == 3
        await desk.close()

    asyncio.run(scenario())


def test_a_request_that_the_store_could_not_answer_has_asked_it() -> None:
    async def scenario() -> None:
        store = FailingStore(MemoryStore())
        desk = remote_desk(store, Seconds())
        await desk.open()
        token = await signed_in(desk, "session")
        store.failing = True
        with pytest.raises(StoreError):
            await decide(desk, token)
        assert told(desk) == {"local": 0, "asked": 1, "stale": 0, "questions": 1}
        store.failing = False
        await desk.close()

    asyncio.run(scenario())


def test_with_strict_freshness_all_are_asked_and_none_is_stale() -> None:
    async def scenario() -> None:
        desk = remote_desk(MemoryStore(), Seconds(), freshness="strict")
        await desk.open()
        token = await signed_in(desk, "session")
        for _ in range(3):
            assert isinstance(await decide(desk, token), Authenticated)
        assert told(desk) == {"local": 0, "asked": 3, "stale": 0, "questions": 3}
        await desk.close()

    asyncio.run(scenario())
