"""The machine below a server, looked at for the doctor: processors, memory, how long a password takes to hash."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from frontdesk.clock import TIMER, Timer
from frontdesk.core.passwords import HashParameters
from frontdesk.doctor.observed import Machine
from frontdesk.errors import OverloadedError
from frontdesk.service.hashing import Owner, PasswordHasher, SealKey, processors

ROOT: Final = Path("/")
RUNS: Final = 3
LONG_ENOUGH: Final = 4.0
"""Seconds after which no further run is begun."""
_SHARE: Final = 4
"""A hash that takes more than one part in so many of the memory is not tried: somebody else might be killed for it."""


def look_at_machine(parameters: HashParameters) -> Machine:
    """The machine, and what passwords are hashed with; how long that takes is not measured."""
    return Machine(
        cores=processors(),
        memory_bytes=memory(),
        hashing_at_once=max(1, processors() // 2),
        hash_bytes=parameters.memory_kib * 1024,
    )


async def seconds_to_hash(parameters: HashParameters, memory_bytes: int, *, timer: Timer = TIMER) -> float:
    """How long one password takes, nothing else being hashed: the shortest of a few runs, so that what else the machine
    did meanwhile counts little. The first run takes as long as it takes; none follows after 4 seconds.

    OverloadedError: there is not the memory for it.
    """
    if parameters.memory_kib * 1024 > memory_bytes // _SHARE:
        raise OverloadedError("One hash takes more than a quarter of the memory; trying might end another process.")
    seal = SealKey(secrets.token_bytes(32))
    hasher = PasswordHasher(parameters, seal_keys=[seal], token_bytes=secrets.token_bytes, concurrency=1)
    took: list[float] = []
    try:
        while len(took) < RUNS and sum(took) < LONG_ENOUGH:
            begun = timer()
            await hasher.hash("a password that nobody has", _NOBODY)
            took.append(timer() - begun)
    finally:
        hasher.close()
    return min(took)


_NOBODY: Final = Owner("doctor", "nobody")


def memory() -> int:
    """Bytes that this process may use: those of the machine, or of its container where that has fewer."""
    return min((os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *_limits()))


def _limits() -> Iterator[int]:
    """What the control groups of this process allow, as Linux shows them; none where it does not."""
    for line in _text(ROOT / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            tree, name = ROOT / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            tree, name = ROOT / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        # Inside a container the path may be that of the host, and only the top of the tree be there.
        own = tree / path.lstrip("/")
        for group in (own, *own.parents):
            limit = _text(group / name).strip()
            if limit.isdecimal():  # else "max", or no such file
                yield int(limit)
            if group == tree:
                break


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""
