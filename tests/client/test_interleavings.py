"""Processes that share a storage and have no lock, a step at a time in any order, under the shipped rule of rotation.

Each step of a refresh (load, send, answer, load, save) may be followed by those of the others; answers get lost,
processes are killed, time passes. Between a load and the answer it is at most what a client waits; afterwards a process
may be stopped for as long as you like.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frontdesk.client import Credentials, SignedOutError, StorageError, UnavailableError
from frontdesk.client.credentials import Timers, hold
from frontdesk.client.desk import Desk
from frontdesk.client.file_storage import HOLD_SECONDS
from frontdesk.client.keeper import Keeper
from frontdesk.core.credentials import MacKey, mint_refresh_token, parse
from frontdesk.core.rotation import decide
from frontdesk.core.sessions import Session, SessionPolicy
from frontdesk.endpoints.http import problem
from tests.client.serving import Watch
from tests.server.processes import PATIENCE

URL: Final = "https://desk.example"
KEY: Final = MacKey.from_secret(b"the secret of a desk that is only a model")
POLICY: Final = SessionPolicy()
LEG: Final = 14.0
T0: Final = datetime(2026, 1, 1, tzinfo=UTC)
ROW: Final = Session(
    id="A" * 22,
    realm="default",
    subject="alice",
    credential="jwt",
    transport="bearer",
    refresh_in="body",
    remember=True,
    created_at=T0,
    auth_time=T0,
    last_seen_at=T0,
    expires_at=T0 + POLICY.absolute,
    idle_timeout=POLICY.idle,
    salt=bytes(16),
    minted_at=T0,
)

Place = Literal["rest", "load", "send", "answer", "save"]


class Killed(BaseException):
    """Stands for kill -9."""


class World:
    """The desk's row, the storage, the clock.

    fenced: a process may stop between its last look at the storage and the save, as `FileStorage` allows; else the two
    are one step.
    """

    def __init__(self, *, fenced: bool) -> None:
        self.fenced = fenced
        self.watch = Watch()
        self.row = ROW
        self.granted = 0
        self.faults: list[str] = []
        self.kept = self.credentials(minted=True)

    def credentials(self, *, minted: bool, refresh_token: str = "") -> Credentials:
        self.granted += 1
        row = self.row
        token = mint_refresh_token(KEY, row.realm, row.id, row.salt, row.generation) if minted else refresh_token
        return Credentials(
            desk=URL,
            access_token=f"access{self.granted}",
            refresh_token=token,
            expires_in=900,
            issued_at=self.watch.seconds,
            session=row.id,
        )

    def refresh(self, request: httpx.Request) -> httpx.Response:
        """The desk's answer, decided now."""
        presented = parse(request.read()[18:-2])
        assert presented is not None
        now = T0 + timedelta(seconds=self.watch.seconds)
        decision = decide(self.row, presented.generation, now, POLICY)
        self.row = decision.session
        if decision.refusal is not None:
            answer = problem(decision.refusal)
            return httpx.Response(answer.status, headers=list(answer.headers), content=answer.body)
        brought = self.credentials(minted=decision.outcome.mints)
        body = {"access_token": brought.access_token, "expires_in": 900, "session": self.row.id}
        return httpx.Response(
            200, json=body | ({"refresh_token": brought.refresh_token} if brought.refresh_token else {})
        )


class Process(threading.Thread):
    """A program that refreshes again and again. It is its own storage and network, and stops before each step."""

    def __init__(self, world: World) -> None:
        super().__init__(daemon=True)
        self.world = world
        self.place: Place = "rest"
        self.loaded_at = 0.0
        self.ends = 0.0
        self.loses = self.dies = False
        self._go, self._stands = threading.Semaphore(0), threading.Semaphore(0)
        timers = Timers(world.watch, world.watch)
        desk = Desk(URL, prefix="/auth", origins=(), insecure_http=False)
        self.keeper = Keeper(desk, self, self, timers)  # type: ignore[arg-type]
        self.keeper.held = hold(world.kept, timers)

    def step(self, *, loses: bool = False, dies: bool = False) -> None:
        """Let it go on to its next step."""
        self.loses, self.dies = loses, dies
        self._go.release()
        assert self._stands.acquire(timeout=PATIENCE)

    def go_to(self, place: Place) -> None:
        """Step by step until it stands there; it may never come there in this refresh."""
        for _ in range(12):
            self.step()
            if self.place == place:
                return

    def finish(self) -> None:
        while self.place != "rest":
            self.step()

    def stop(self, place: Place) -> None:
        self.place = place
        self._stands.release()
        assert self._go.acquire(timeout=PATIENCE)
        if self.dies:
            raise Killed

    def run(self) -> None:
        while True:
            try:
                self.stop("rest")
                self.keeper.obtain(self.keeper.held, "token_expired")
            except (UnavailableError, StorageError):
                continue
            except SignedOutError as error:
                self.world.faults.append(error.code)
            except Killed:
                if self.place == "rest":
                    return
                self.keeper.held = None  # it is started again

    @property
    def waits(self) -> bool:
        """Whether a refresh of it is on its way, for which time may not pass without end."""
        return self.place in {"send", "answer"}

    # --- as a storage

    def load(self) -> Credentials | None:
        self.stop("load")
        self.loaded_at = self.world.watch.seconds
        return self.world.kept

    def save(self, credentials: Credentials, /) -> None:
        if self.world.fenced:
            self.stop("save")
            if self.world.watch.seconds > self.ends:
                raise StorageError("too late, as FileStorage would say")
        self.world.kept = credentials

    def clear(self) -> None:
        self.world.faults.append("cleared")

    @contextmanager
    def lock(self, seconds: float, /) -> Iterator[bool]:
        self.ends = self.world.watch.seconds + HOLD_SECONDS
        yield False

    # --- as a network

    def send(self, request: httpx.Request) -> httpx.Response:
        self.stop("send")
        answer = self.world.refresh(request)
        self.stop("answer")
        if self.loses:
            raise httpx.ReadError("lost")
        return answer


PLACES: Final[tuple[Place, ...]] = ("rest", "load", "send", "answer", "save")
GOES: Final = st.tuples(st.integers(0, 2), st.sampled_from(PLACES), st.sampled_from(["", "", "", "lose", "die"]))
WAITS: Final = st.sampled_from([6.0, 31.0, 31.0, 200.0])
STEPS: Final = st.lists(GOES | WAITS | GOES, min_size=8, max_size=40)


@contextmanager
def running(world: World) -> Iterator[list[Process]]:
    processes = [Process(world) for _ in range(3)]
    for process in processes:
        process.start()
        assert process._stands.acquire(timeout=PATIENCE)
    try:
        yield processes
    finally:
        for process in processes:
            process.finish()
            process.dies = True
            process._go.release()
            process.join(PATIENCE)


def wait(world: World, processes: list[Process], seconds: float) -> None:
    """Let time pass, for a refresh that is on its way no more than is allowed."""
    allowed = [LEG - (world.watch.seconds - each.loaded_at) for each in processes if each.waits]
    world.watch.seconds += max(0.0, min([seconds, *allowed]))


def each_may_go_on(world: World, processes: list[Process]) -> None:
    for process in processes:
        process.finish()
    for process in processes:
        world.watch.seconds += 60
        process.step()
        process.finish()
    assert world.faults == []
    assert world.row.ended_at is None


@settings(max_examples=300)
@given(st.booleans(), STEPS)
def test_nobody_is_signed_out_in_whatever_order_they_refresh(
    fenced: bool, steps: list[float | tuple[int, Place, str]]
) -> None:
    world = World(fenced=fenced)
    with running(world) as processes:
        for step in steps:
            if isinstance(step, float):
                wait(world, processes, step)
                continue
            who, place, ending = step
            processes[who].go_to(place)
            if ending and processes[who].place != "rest":
                processes[who].step(loses=ending == "lose", dies=ending == "die")
            assert world.faults == []
        each_may_go_on(world, processes)


@pytest.mark.parametrize("fenced", [True, False])
def test_a_process_that_stood_still_before_it_sent_puts_right_what_it_did(fenced: bool) -> None:
    """Longer than a request may take, while another has refreshed: its answer burns what that one has saved."""
    world = World(fenced=fenced)
    with running(world) as (slow, quick, third):
        slow.go_to("send")
        quick.step()
        quick.finish()
        world.watch.seconds += 31
        slow.finish()
        assert world.row.generation == 2
        kept = parse(world.kept.refresh_token.encode())
        assert kept is not None
        assert kept.generation == 2
        each_may_go_on(world, [slow, quick, third])


@pytest.mark.parametrize("fenced", [True, False])
@pytest.mark.parametrize("dies", [True, False])
@pytest.mark.parametrize("place", ["load", "save"])
def test_a_process_that_stood_still_after_the_answer_does_no_harm(fenced: bool, dies: bool, place: Place) -> None:
    """The other may be killed before it could save what burnt the answer of the first."""
    world = World(fenced=fenced)
    with running(world) as (slow, quick, third):
        slow.go_to("answer")
        slow.go_to(place) if place != "save" or fenced else slow.go_to("load")
        world.watch.seconds += 31
        quick.go_to("answer")
        quick.step(dies=dies)
        quick.finish()
        slow.finish()
        each_may_go_on(world, [slow, quick, third])
