"""The machine below a server, looked at for the doctor: processors, memory, how long a password takes to hash."""

from __future__ import annotations

import math
import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from frontdesk.clock import PROCESSOR_TIMER, TIMER, Timer
from frontdesk.core.passwords import HashParameters
from frontdesk.doctor.observed import Machine
from frontdesk.errors import OverloadedError
from frontdesk.service.hashing import Owner, PasswordHasher, SealKey, processors

ROOT: Final = Path("/")
RUNS: Final = 3
LONG_ENOUGH: Final = 4.0
"""Seconds after which no further run is begun."""
_SHARE: Final = 2
"""A hash that takes more than one part in so many of the free memory is not tried: somebody might be killed for it."""

Timers = tuple[Timer, Timer]
"""One of the seconds that pass, one of those that processors work for this process."""
TIMERS: Final[Timers] = (TIMER, PROCESSOR_TIMER)


def look_at_machine(parameters: HashParameters) -> Machine:
    """The machine, and what passwords are hashed with; how long that takes is not measured."""
    return Machine(
        cores=processors(),
        capacity=min(processors(), _quota()),
        memory_bytes=memory(),
        hashing_at_once=max(1, processors() // 2),
        hash_bytes=parameters.memory_kib * 1024,
    )


async def measured(machine: Machine, parameters: HashParameters, *, timers: Timers = TIMERS) -> Machine:
    """The same with how long one password takes where nothing else is done: the shortest of a few runs, and never more
    than its own work takes on one processor, or on the part of one that the container may use. So what other programs
    did meanwhile is left out.

    The first run takes as long as it takes; none follows after 4 seconds. OverloadedError: there is not the memory.
    """
    if machine.hash_bytes > free_memory() // _SHARE:
        raise OverloadedError("One hash takes more than half of the free memory; trying might end another process.")
    seal = SealKey(secrets.token_bytes(32))
    hasher = PasswordHasher(parameters, seal_keys=[seal], token_bytes=secrets.token_bytes, concurrency=1)
    passed, worked = timers
    took: list[tuple[float, float]] = []
    try:
        while len(took) < RUNS and sum(seconds for seconds, _ in took) < LONG_ENOUGH:
            begun, work = passed(), worked()
            await hasher.hash("a password that nobody has", _NOBODY)
            took.append((passed() - begun, worked() - work))
    finally:
        hasher.close()
    work = min(work for _, work in took)
    alone = min(seconds for seconds, _ in took)
    return replace(machine, hash_seconds=min(alone, work / min(1.0, machine.capacity)), hash_work=work)


_NOBODY: Final = Owner("doctor", "nobody")


def memory() -> int:
    """Bytes that this process may use: those of the machine, or of its container where that has fewer."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min((machine, *(limit for limit, _ in _limits())))


def free_memory() -> int:
    """How many of them are left."""
    found = re.search(r"^MemAvailable: +([0-9]+) kB", _text(ROOT / "proc/meminfo"), re.MULTILINE)
    machine = int(found[1]) * 1024 if found else memory()
    return min((machine, *(limit - used for limit, used in _limits())))


def _limits() -> Iterator[tuple[int, int]]:
    """What the control groups of this process allow of memory, and what is in use; none where there is no limit."""
    for group, is_second in _groups("memory"):
        names = ("memory.max", "memory.current") if is_second else ("memory.limit_in_bytes", "memory.usage_in_bytes")
        limit, used = (_text(group / name).strip() for name in names)
        if limit.isdecimal():  # else "max", or no such file
            yield int(limit), int(used) if used.isdecimal() else 0


def _quota() -> float:
    """How many processors the control groups of this process allow; infinitely many where there is no limit."""
    allowed = math.inf
    for group, is_second in _groups("cpu"):
        if is_second:
            quota, _, period = _text(group / "cpu.max").strip().partition(" ")
        else:
            quota, period = (_text(group / name).strip() for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us"))
        if quota.isdecimal() and period.isdecimal() and int(quota) and int(period):  # else "max", or -1
            allowed = min(allowed, int(quota) / int(period))
    return allowed


def _groups(controller: str) -> Iterator[tuple[Path, bool]]:
    """The control groups that bound this process, each with those above it, as Linux shows them; none where it does
    not. True: of cgroup version 2."""
    for line in _text(ROOT / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        tree = ROOT / "sys/fs/cgroup" / (controller if controllers else "")
        # Inside a container the path may be that of the host, and only the top of the tree be there.
        own = tree / path.lstrip("/")
        for group in (own, *own.parents):
            yield group, not controllers
            if group == tree:
                break


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii")
    except (OSError, ValueError):  # no such file, a name that is none, octets that are no text
        return ""
