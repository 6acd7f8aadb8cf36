"""Many tasks, threads and processes refresh one session at once: nobody is signed out, and one of them refreshes.

Answers get lost on the way, processes are killed while they hold the lock and between a refresh and its saving.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from frontdesk.client import FileStorage, FrontdeskAuth
from tests.client.serving import LossyProxy, Row, ShiftedDesk
from tests.requirements import ROOT
from tests.server.processes import PASSWORD, PATIENCE

COUNT = 30
FEW = 4


class Place(NamedTuple):
    """One session: where it is kept, which desk it belongs to, and the proxy on the way."""

    desk: ShiftedDesk
    proxy: LossyProxy
    file: Path
    subject: str

    @property
    def rows(self) -> list[Row]:
        return self.desk.rows(self.subject)


class Worker:
    """`tests.client.worker` as a process; ended by its id. It asks the desk through the proxy and nothing else."""

    def __init__(self, place: Place, count: int, kind: str, *how: str) -> None:
        self.count = count
        where = [place.proxy.url, place.desk.url, str(place.file)]
        command = [sys.executable, "-m", "tests.client.worker", *where, kind, str(count), *how]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def start(self) -> None:
        """All its requests at once."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the worker has ended with {self.process.wait(PATIENCE)}"
        return line.strip()

    def outcome(self) -> list[Any]:
        heard: list[Any] = json.loads(self.hear())
        return heard

    def die(self) -> int:
        """Wait until it has killed itself."""
        return self.process.wait(PATIENCE)

    def wake(self) -> None:
        """Let it go on as soon as it has stopped."""
        deadline = time.monotonic() + PATIENCE
        while Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            assert time.monotonic() < deadline
            time.sleep(0.01)
        self.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


@contextmanager
def working(place: Place, *kinds: Sequence[str], count: int = COUNT) -> Iterator[list[Worker]]:
    with ExitStack() as stack:
        workers = [stack.enter_context(closing(Worker(place, count, *kind))) for kind in kinds]
        for worker in workers:
            assert worker.hear() == "ready"
        yield workers


@pytest.fixture
def place(desk: ShiftedDesk, proxy: LossyProxy, email: str, tmp_path: Path) -> Place:
    """Signed in with a JWT that is kept in a file."""
    file = tmp_path / "tool" / "credentials"
    subject = FrontdeskAuth(proxy.url, storage=FileStorage(file)).sign_in(email, PASSWORD, credential="jwt")
    return Place(desk, proxy, file, subject)


def all_at_once(workers: Sequence[Worker]) -> None:
    """Everybody asks, and everybody is let in."""
    for worker in workers:
        worker.start()
    for worker in workers:
        assert worker.outcome() == [200] * worker.count


TASKS = (["tasks"],) * 3
MIXED = (["tasks"], ["threads"], ["threads"])


@pytest.mark.parametrize("kinds", [TASKS, MIXED], ids=["tasks", "threads"])
def test_one_of_ninety_refreshes(place: Place, kinds: Sequence[Sequence[str]]) -> None:
    with working(place, *kinds) as workers:
        for generation in (1, 2):
            place.desk.expire()
            all_at_once(workers)
            assert place.proxy.refreshes == generation
            assert place.rows == [Row(generation, generation - 1, ended=False)]


def test_answers_that_get_lost_sign_nobody_out(place: Place) -> None:
    with working(place, *TASKS) as workers:
        place.desk.expire()
        place.proxy.lose = 2
        all_at_once(workers)
        assert place.proxy.refreshes == 3, "the one that refreshes repeats it with the same token"
        place.desk.expire()
        place.proxy.lose = 4
        all_at_once(workers)
        assert place.proxy.refreshes == 3 + 5, "who comes next goes on where that one gave up"
        assert place.rows == [Row(2, 0, ended=False)], "a number whose answer was lost is burnt"
        place.desk.expire()
        all_at_once(workers)
        assert [row.ended for row in place.rows] == [False]


@pytest.mark.parametrize(("kind", "rounds"), [("tasks", 3), ("threads", 1)])
def test_without_a_lock_nobody_is_signed_out_either(place: Place, kind: str, rounds: int) -> None:
    with working(place, *([kind, "unlocked"],) * 3) as workers:
        lost = 0
        for number in range(1, rounds + 1):
            place.desk.expire()
            place.proxy.lose = number % 3
            lost += number % 3
            all_at_once(workers)
        assert [row.ended for row in place.rows] == [False]
        assert place.proxy.refreshes <= rounds * 3 + lost, "one for each process and each answer that was lost"
    assert not list(place.file.parent.glob("*.new"))


@pytest.mark.parametrize("how", [("dies-holding",), ("dies-saving",), ("dies-saving", "unlocked")], ids="-".join)
def test_a_process_that_is_killed_takes_nobody_along(place: Place, how: tuple[str, ...]) -> None:
    minted = "dies-saving" in how
    kinds = (["tasks", *how], ["tasks", *how[1:]], ["threads", *how[1:]])
    with working(place, *kinds, count=FEW) as workers:
        victim, *others = workers
        place.desk.expire()
        victim.start()
        assert victim.die() == -signal.SIGKILL
        assert place.proxy.refreshes == int(minted)
        all_at_once(others)
        assert place.rows == [Row(1, 0, ended=False)]
        place.desk.expire()  # within grace nothing was minted: now the number that died with its process is burnt
        all_at_once(others)
        assert place.rows == [Row(2, 0 if minted else 1, ended=False)]
        place.desk.expire()
        all_at_once(others)
        assert [row.ended for row in place.rows] == [False]


def test_a_process_that_stands_still_with_the_lock_holds_nobody_up_and_comes_back_harmless(place: Place) -> None:
    kinds = (["tasks", "brief", "stops-saving"], ["tasks", "hasty"], ["threads", "hasty"])
    with working(place, *kinds, count=FEW) as workers:
        sleeper, *others = workers
        place.desk.expire()
        sleeper.start()
        assert sleeper.hear() == "stopping"
        try:
            place.desk.expire()  # grace is over: what the sleeper was given will be burnt
            all_at_once(others)
            assert place.rows == [Row(2, 0, ended=False)]
        finally:
            sleeper.wake()
        while sleeper.hear() == "stopping":
            sleeper.wake()
        place.desk.expire()
        all_at_once(others)
        assert [row.ended for row in place.rows] == [False]


def test_a_session_that_ends_is_over_for_all_of_them_at_once(place: Place) -> None:
    with working(place, *MIXED, count=FEW) as workers:
        all_at_once(workers)
        place.desk.revoke(place.subject)
        for worker in workers:
            worker.start()
        for worker in workers:
            codes = {str(each).split()[1] for each in worker.outcome()}
            assert codes <= {"session_ended", "not_signed_in"}
        # The application has another origin than the desk here, so the desk is asked whether it is true: once.
        assert place.proxy.refreshes == 1
    assert FileStorage(place.file).load() is None


def test_a_new_sign_in_is_taken_up_by_those_who_run(place: Place, email: str) -> None:
    with working(place, *MIXED, count=FEW) as workers:
        all_at_once(workers)
        place.desk.revoke(place.subject)
        FrontdeskAuth(place.proxy.url, storage=FileStorage(place.file)).sign_in(email, PASSWORD, credential="jwt")
        all_at_once(workers)
        assert [row.ended for row in place.rows] == [True, False]
