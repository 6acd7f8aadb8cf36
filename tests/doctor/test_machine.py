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
from frontdesk.doctor.observed import Machine
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
    monkeypatch.setattr(examining, "measured", machine.measured)


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
        self.seconds = seconds
        self._now = 0.0
        self.runs = 0
        self._running = False

    def __call__(self) -> float:
        if self._running:
            self._now += self.seconds[min(self.runs, len(self.seconds) - 1)]
            self.runs += 1
        self._running = not self._running
        return self._now


def looked(deployment: Deployment, passed: Timer, worked: Timer | None = None) -> Report:
    """`worked`: for how long processors worked; without it, as long as time passed."""
    timers = (passed, worked or Slow(*getattr(passed, "seconds", ())))
    examination = Examination({}, config=deployment.config, environ={}, timers=timers)
    return examine(asyncio.run(examination.observe()))


def hashed(parameters: HashParameters, *timers: Timer) -> Machine:
    looked_at = machine.look_at_machine(parameters)
    return asyncio.run(
        machine.measured(looked_at, parameters, timers=(timers[0], timers[-1]) if timers else machine.TIMERS)
    )


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


@pytest.mark.usefixtures("measuring")
def test_a_machine_that_is_busy_all_the_time_is_no_finding(deployment: Deployment) -> None:
    """Time passes while others have the processors; the work is what it always is."""
    report = looked(deployment, Slow(6.1, 5.9, 6.0), Slow(0.7, 0.6, 0.8))
    assert report.findings == ()
    assert report.measured is not None
    assert report.measured.hash_seconds == pytest.approx(0.7)


@pytest.mark.usefixtures("measuring")
@pytest.mark.parametrize(
    ("group", "limits"),
    [
        ("0::/desk\n", {"sys/fs/cgroup/desk/cpu.max": "8000 100000\n"}),
        ("0::/desk\n", {"sys/fs/cgroup/desk/cpu.max": "max 100000\n", "sys/fs/cgroup/cpu.max": "4000 50000\n"}),
        (
            "3:cpu,cpuacct:/docker/1\n",
            {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "8000\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"},
        ),
    ],
    ids=["version 2", "version 2, limited above", "version 1"],
)
def test_a_container_with_a_small_part_of_a_processor_is_slow_and_not_busy(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: str, limits: dict[str, str]
) -> None:
    container(tmp_path / "root", monkeypatch, group=group, limits=limits)
    (finding,) = looked(deployment, Slow(2.6), Slow(0.2)).findings
    assert (finding.code, finding.seen[:26]) == ("hashing_slow", "a password takes 2.5 secon")
    assert finding.seen.endswith("at most 0.4 sign-ins a second")


@pytest.mark.parametrize(("seconds", "runs"), [((0.1,), 3), ((4.5,), 1), ((2.5,), 2), ((3000.0,), 1), ((0.0,), 3)])
def test_few_runs_are_made_and_none_after_a_few_seconds(seconds: tuple[float, ...], runs: int) -> None:
    passed, worked = Slow(*seconds), Slow(*seconds)
    assert hashed(SMALL_PARAMETERS, passed, worked).hash_seconds == pytest.approx(min(seconds))
    assert (passed.runs, worked.runs) == (runs, runs)


@pytest.mark.parametrize(("workers", "rate"), [(1, 2.0), (2, 4.0), (4, 6.0), (16, 6.0)])
def test_sign_ins_are_bounded_by_places_and_by_processors(workers: int, rate: float) -> None:
    """One place for half a second each, and six processors, of which each sign-in takes one second."""
    machine = Machine(
        cores=8, capacity=6.0, memory_bytes=ROOMY, hashing_at_once=1, hash_bytes=1, hash_seconds=0.5, hash_work=1.0
    )
    assert machine.sign_ins_per_second(workers) == rate


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
    took = hashed(parameters)
    assert took.hash_seconds
    assert took.hash_work
    assert costs == [(20_000, 3, 2)] * machine.RUNS


def test_a_hash_that_would_fill_the_memory_is_not_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    container(
        tmp_path, monkeypatch, group="0::/\n", limits={"proc/meminfo": "MemFree: 9 kB\nMemAvailable:  130000 kB\n"}
    )
    timer = Slow(0.1)
    with pytest.raises(OverloadedError, match="more than half of the free"):
        hashed(DEFAULT_PARAMETERS, timer)
    assert timer.runs == 0
    container(tmp_path, monkeypatch, group="0::/\n", limits={"proc/meminfo": "MemAvailable:  140000 kB\n"})
    assert hashed(DEFAULT_PARAMETERS, timer).hash_seconds


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


@pytest.mark.usefixtures("one_processor", "measuring")
def test_that_nothing_could_be_tried_in_a_small_container_is_told_and_no_fault(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {"memory.max": 200 * MEBIBYTE, "memory.current": 180 * MEBIBYTE}
    files = {f"sys/fs/cgroup/{name}": f"{value}\n" for name, value in limits.items()}
    container(tmp_path / "root", monkeypatch, group="0::/\n", limits=files)
    deployment.set(hashing='"small"')
    document = run("--config", str(deployment.config), status=0)
    assert codes(document) == ["unseen how long a password takes"]


@pytest.mark.parametrize("limits", [{}, {"sys/fs/cgroup/memory.max": "max\n"}])
def test_without_a_container_the_memory_is_that_of_the_machine(
    limits: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    container(tmp_path, monkeypatch, group="0::/\nnonsense\n", limits=limits)
    assert machine.memory() == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


PLANTED = frozenset({"hashing_slow", "hashing_small", "hashing_memory", "workers_many"})
