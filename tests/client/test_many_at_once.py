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
from typing import Any

import httpx
import pytest

from frontdesk.client import FileStorage, FrontdeskAuth
from tests.client.serving import LossyProxy, Row, ShiftedDesk
from tests.requirements import ROOT
from tests.server.processes import PASSWORD, PATIENCE

COUNT = 30


class Worker:
    """`tests.client.worker` as a process; ended by its id."""

    def __init__(self, url: str, file: Path, kind: str, *how: str, count: int = COUNT) -> None:
        command = [sys.executable, "-m", "tests.client.worker", url, str(file), kind, str(count), *how]
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
def working(url: str, file: Path, *kinds: Sequence[str]) -> Iterator[list[Worker]]:
    with ExitStack() as stack:
        workers = [stack.enter_context(closing(Worker(url, file, *kind))) for kind in kinds]
        for worker in workers:
            assert worker.hear() == "ready"
        yield workers


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tool" / "credentials"


@pytest.fixture
def subject(proxy: LossyProxy, email: str, file: Path) -> str:
    """Signed in with a JWT that is kept in `file`."""
    return FrontdeskAuth(proxy.url, storage=FileStorage(file)).sign_in(email, PASSWORD, credential="jwt")


def all_at_once(workers: Sequence[Worker]) -> None:
    """Everybody asks, and everybody is let in."""
    for worker in workers:
        worker.start()
    for worker in workers:
        assert worker.outcome() == [200] * COUNT


TASKS = (["tasks"],) * 3
MIXED = (["tasks"], ["threads"], ["threads"])


@pytest.mark.parametrize("kinds", [TASKS, MIXED], ids=["tasks", "threads"])
def test_one_of_ninety_refreshes(
    desk: ShiftedDesk, proxy: LossyProxy, subject: str, file: Path, kinds: Sequence[Sequence[str]]
) -> None:
    with working(proxy.url, file, *kinds) as workers:
        all_at_once(workers)
        assert proxy.refreshes == 0
        for generation in (1, 2, 3):
            desk.expire()
            all_at_once(workers)
            assert proxy.refreshes == generation
            assert desk.rows(subject) == [Row(generation, generation - 1, ended=False)]


def test_answers_that_get_lost_sign_nobody_out(desk: ShiftedDesk, proxy: LossyProxy, subject: str, file: Path) -> None:
    with working(proxy.url, file, *TASKS) as workers:
        desk.expire()
        proxy.lose = 2
        all_at_once(workers)
        assert proxy.refreshes == 3, "the one that refreshes repeats it with the same token"
        desk.expire()
        proxy.lose = 4
        all_at_once(workers)
        assert proxy.refreshes == 3 + 5, "who comes next goes on where that one gave up"
        assert desk.rows(subject) == [Row(2, 0, ended=False)], "a number whose answer was lost is burnt"
        desk.expire()
        all_at_once(workers)
        assert len(desk.rows(subject)) == 1
        assert not desk.rows(subject)[0].ended


@pytest.mark.parametrize("kind", ["tasks", "threads"])
def test_without_a_lock_nobody_is_signed_out_either(
    desk: ShiftedDesk, proxy: LossyProxy, subject: str, file: Path, kind: str
) -> None:
    with working(proxy.url, file, *([kind, "unlocked"],) * 3) as workers:
        for rounds in range(1, 6):
            desk.expire()
            proxy.lose = rounds % 3
            all_at_once(workers)
        assert [row.ended for row in desk.rows(subject)] == [False]
        assert proxy.refreshes <= 5 * 3 + 6, "one for each process and each answer that was lost"
    assert not list(file.parent.glob("*.new"))


@pytest.mark.parametrize("how", [("dies-holding",), ("dies-saving",), ("dies-saving", "unlocked")], ids="-".join)
def test_a_process_that_is_killed_takes_nobody_along(
    desk: ShiftedDesk, proxy: LossyProxy, subject: str, file: Path, how: tuple[str, ...]
) -> None:
    minted = "dies-saving" in how
    with working(proxy.url, file, ["tasks", *how], ["tasks", *how[1:]], ["threads", *how[1:]]) as workers:
        victim, *others = workers
        desk.expire()
        victim.start()
        assert victim.die() == -signal.SIGKILL
        assert proxy.refreshes == int(minted)
        all_at_once(others)
        assert desk.rows(subject) == [Row(1, 0, ended=False)]
        desk.expire()  # within grace nothing was minted: now the number that died with its process is burnt
        all_at_once(others)
        assert desk.rows(subject) == [Row(2, 0 if minted else 1, ended=False)]
        desk.expire()
        all_at_once(others)
        assert not desk.rows(subject)[0].ended


def test_a_process_that_stands_still_with_the_lock_holds_nobody_up_and_comes_back_harmless(
    desk: ShiftedDesk, proxy: LossyProxy, subject: str, file: Path
) -> None:
    with working(
        proxy.url, file, ["tasks", "brief", "stops-saving"], ["tasks", "hasty"], ["threads", "hasty"]
    ) as workers:
        sleeper, *others = workers
        desk.expire()
        sleeper.start()
        assert sleeper.hear() == "stopping"
        try:
            desk.expire()  # grace is over: what the sleeper was given will be burnt
            all_at_once(others)
            assert desk.rows(subject) == [Row(2, 0, ended=False)]
        finally:
            sleeper.process.send_signal(signal.SIGCONT)
        for _ in range(2):
            heard = sleeper.hear()
            if heard != "stopping":
                break
            sleeper.process.send_signal(signal.SIGCONT)
        desk.expire()
        all_at_once(others)
        assert not desk.rows(subject)[0].ended


def test_a_session_that_ends_is_over_for_all_of_them_at_once(
    desk: ShiftedDesk, proxy: LossyProxy, subject: str, file: Path
) -> None:
    with working(proxy.url, file, *MIXED) as workers:
        all_at_once(workers)
        desk.revoke(subject)
        for worker in workers:
            worker.start()
        for worker in workers:
            codes = {str(each).split()[1] for each in worker.outcome()}
            assert codes <= {"session_ended", "not_signed_in"}
        assert proxy.refreshes == 0
    assert FileStorage(file).load() is None


def test_a_new_sign_in_is_taken_up_by_those_who_run(
    desk: ShiftedDesk, proxy: LossyProxy, subject: str, email: str, file: Path
) -> None:
    with working(proxy.url, file, *TASKS) as workers:
        all_at_once(workers)
        desk.revoke(subject)
        FrontdeskAuth(proxy.url, storage=FileStorage(file)).sign_in(email, PASSWORD, credential="jwt")
        all_at_once(workers)
        assert [row.ended for row in desk.rows(subject)] == [True, False]
        assert httpx.get(f"{proxy.url}/auth/me", trust_env=False).status_code == 401
