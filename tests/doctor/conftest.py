"""What the doctor's tests find depends on nothing that else runs on the machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

import pytest

from frontdesk.doctor.observed import Machine
from frontdesk.server import examining


@pytest.fixture(autouse=True)
def _passwords_take_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of looks need no hash each; `test_machine` measures and asks for the real one."""

    async def short(machine: Machine, *_: object, **__: object) -> Machine:
        return replace(machine, hash_seconds=0.2, hash_work=0.4)

    monkeypatch.setattr(examining, "measured", short)


@pytest.fixture
def one_processor() -> Iterator[None]:
    """This thread may use one processor, as in a small container."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)
