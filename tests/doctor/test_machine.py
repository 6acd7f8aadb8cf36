"""Faults of the machine: what a password costs on it, for real but for the clock that tells how long it took."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from argon2.low_level import hash_secret

from frontdesk.clock import Timer
from frontdesk.core.passwords import DEFAULT_PARAMETERS, PROFILES, SMALL_PARAMETERS, HashParameters
from frontdesk.doctor.report import Report, examine
from frontdesk.errors import OverloadedError
from frontdesk.server import examining, machine
from frontdesk.server.examining import Examination
from tests.doctor.deployments import Deployment, codes, run, text_of

MEBIBYTE = 1024**2
ROOMY = 16 * 1024 * MEBIBYTE


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    deployment = Deployment(tmp_path)
    deployment.make_store()
    return deployment


@pytest.fixture
def measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords are hashed, as outside of the tests."""
    monkeypatch.setattr(examining, "seconds_to_hash", machine.seconds_to_hash)


def container(root: Path, monkeypatch: pytest.MonkeyPatch, *, group: str, limits: dict[str, str]) -> None:
    """The files in which Linux tells a process what its container allows."""
    for name, content in {"proc/self/cgroup": group, **limits}.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    monkeypatch.setattr(machine, "ROOT", root)


class Slow:
    """A timer by which each run takes these seconds, the last of them from then on."""

    def __init__(self, *seconds: float) -> None:
        self._seconds = seconds
        self._now = 0.0
        self.runs = 0
        self._running = False

    def __call__(self) -> float:
        if self._running:
            self._now += self._seconds[min(self.runs, len(self._seconds) - 1)]
            self.runs += 1
        self._running = not self._running
        return self._now


def looked(deployment: Deployment, timer: Timer) -> Report:
    examination = Examination({}, config=deployment.config, environ={}, timer=timer)
    return examine(asyncio.run(examination.observe()))


# --- how long a password takes ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("measuring")
def test_a_machine_on_which_a_password_takes_too_long_is_found(deployment: Deployment) -> None:
    (finding,) = looked(deployment, Slow(4.2)).findings
    assert finding.code == "hashing_slow"
    assert finding.seen.startswith("a password takes 4.2 seconds to hash here (hashing is default)")
    assert finding.change.startswith('hashing = "small"')


@pytest.mark.usefixtures("measuring")
def test_a_moment_in_which_the_machine_was_busy_is_no_finding(deployment: Deployment) -> None:
    report = looked(deployment, Slow(2.5, 0.2, 0.3))
    assert report.findings == ()
    assert report.measured is not None
    assert report.measured.hash_seconds == pytest.approx(0.2)


@pytest.mark.parametrize(("seconds", "runs"), [((0.1,), 3), ((4.5,), 1), ((2.5,), 2), ((3000.0,), 1), ((0.0,), 3)])
def test_few_runs_are_made_and_none_after_a_few_seconds(seconds: tuple[float, ...], runs: int) -> None:
    timer = Slow(*seconds)
    took = asyncio.run(machine.seconds_to_hash(SMALL_PARAMETERS, ROOMY, timer=timer))
    assert took == pytest.approx(min(seconds))
    assert timer.runs == runs


def test_the_dearest_profile_bounds_what_one_run_costs() -> None:
    """Settings name a profile and no figures: a look cannot be made to hash for minutes."""
    assert max(each.memory_kib * each.passes for each in PROFILES.values()) <= 3 * 64 * 1024


def test_what_is_measured_is_the_hash_of_these_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    costs: list[tuple[int, int, int]] = []

    def recorded(*args: Any, **cost: Any) -> bytes:
        costs.append((cost["memory_cost"], cost["time_cost"], cost["parallelism"]))
        return hash_secret(*args, **cost)

    monkeypatch.setattr("argon2.low_level.hash_secret", recorded)
    parameters = HashParameters(memory_kib=20_000, passes=3, lanes=2)
    assert asyncio.run(machine.seconds_to_hash(parameters, ROOMY)) > 0
    assert costs == [(20_000, 3, 2)] * machine.RUNS


def test_a_hash_that_would_fill_the_memory_is_not_tried() -> None:
    timer = Slow(0.1)
    with pytest.raises(OverloadedError, match="more than a quarter"):
        asyncio.run(machine.seconds_to_hash(DEFAULT_PARAMETERS, 200 * MEBIBYTE, timer=timer))
    assert timer.runs == 0


@pytest.mark.usefixtures("measuring")
def test_the_figure_is_told_to_people_and_to_programs(deployment: Deployment) -> None:
    words = ("--config", str(deployment.config), "--set", "hashing=small")
    measured = run(*words)["measured"]
    assert measured["cores"] == len(os.sched_getaffinity(0))
    assert measured["hash_seconds"] > 0
    assert measured["sign_ins_per_second"] > 0
    said, _ = text_of(*words)
    assert "seconds to hash here: at most " in said.splitlines()[-2]


def test_nothing_of_this_machine_is_measured_for_a_url_alone() -> None:
    assert run("--url-only", "--url", "http://127.0.0.1:1", status=2)["measured"] is None


# --- what the machine has -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("one_processor")
def test_the_small_profile_on_a_roomy_machine_is_noted(deployment: Deployment) -> None:
    deployment.set(hashing='"small"')
    assert deployment.doctor(status=0) == ["hashing_small"]


@pytest.mark.usefixtures("measuring")
def test_the_small_profile_is_right_where_the_default_would_take_too_long(deployment: Deployment) -> None:
    deployment.set(hashing='"small"')
    assert looked(deployment, Slow(0.6)).findings == ()


@pytest.mark.usefixtures("one_processor")
def test_more_workers_than_processors_are_noted(deployment: Deployment) -> None:
    deployment.set(workers="2")
    assert deployment.doctor(status=0) == ["workers_many"]


IN_A_CONTAINER = {
    "version 2": ("0::/\n", {"sys/fs/cgroup/memory.max": f"{100 * MEBIBYTE}\n"}),
    "version 2, limited above": (
        "0::/system.slice/desk.service\n",
        {
            "sys/fs/cgroup/system.slice/desk.service/memory.max": "max\n",
            "sys/fs/cgroup/system.slice/memory.max": f"{100 * MEBIBYTE}\n",
        },
    ),
    "version 1, under the path of the host": (
        "5:cpu,cpuacct:/docker/4711\n4:memory:/docker/4711\n0::/docker/4711\n",
        {"sys/fs/cgroup/memory/memory.limit_in_bytes": f"{100 * MEBIBYTE}\n"},
    ),
}


@pytest.mark.usefixtures("one_processor", "measuring")
@pytest.mark.parametrize("kind", IN_A_CONTAINER)
def test_a_container_that_sign_ins_fill_is_found_and_not_filled(
    kind: str, deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group, limits = IN_A_CONTAINER[kind]
    container(tmp_path / "root", monkeypatch, group=group, limits=limits)
    document = run("--config", str(deployment.config), status=1)
    assert codes(document) == ["hashing_memory", "unseen how long a password takes"]
    assert document["findings"][0]["seen"].endswith("of 100 MiB")
    assert document["measured"]["hash_seconds"] is None
    assert document["unseen"][0]["why"].startswith("a hash takes 64 MiB of memory")


@pytest.mark.parametrize("limits", [{}, {"sys/fs/cgroup/memory.max": "max\n"}])
def test_without_a_container_the_memory_is_that_of_the_machine(
    limits: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    container(tmp_path, monkeypatch, group="0::/\nnonsense\n", limits=limits)
    assert machine.memory() == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


PLANTED = frozenset({"hashing_slow", "hashing_small", "hashing_memory", "workers_many"})
