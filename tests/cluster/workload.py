"""The clients of a cluster (`party.py`) as a process of their own: started, waited for and ended by a test."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from tests.cluster.network import command_inside
from tests.cluster.party import Plan

ROOT: Final = Path(__file__).parents[2]
PATIENCE: Final = 60.0
"""Seconds after which something that should happen counts as not happening."""


class Workload:
    """The process as a context manager: everybody is signed in when it is entered; ended whatever happens."""

    def __init__(self, plan: Plan, namespace: str = "") -> None:
        self._files = Path(plan.directory)
        self._plan = plan
        command = [sys.executable, "-m", "tests.cluster.party", msgspec.json.encode(plan).decode()]
        self._process = subprocess.Popen(
            command_inside(namespace, command), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def __enter__(self) -> Self:
        try:
            self._expect(b"ready\n")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @property
    def recorded(self) -> int:
        """How many requests have been recorded so far."""
        return sum(path.read_bytes().count(b"\n") for path in self._files.glob("clients*.jsonl"))

    def run_on(self, requests: int) -> None:
        """Return when so many more requests have been recorded."""
        wanted, deadline = self.recorded + requests, time.monotonic() + PATIENCE
        while self.recorded < wanted:
            self._require_alive()
            assert time.monotonic() < deadline, f"the clients made no {requests} requests"
            time.sleep(0.02)

    def run_until_rotated(self, times: int = 3) -> None:
        """Return when so many refresh tokens have been replaced, since the beginning."""
        deadline = time.monotonic() + PATIENCE
        while self._rotations < times:
            self._require_alive()
            assert time.monotonic() < deadline, f"the clients got no {times} new refresh tokens"
            time.sleep(0.05)

    @property
    def _rotations(self) -> int:
        lines = [line for path in self._files.glob("clients*.jsonl") for line in path.read_bytes().splitlines()]
        return sum(b'"operation":"refresh"' in line and b'"minted":' in line for line in lines)

    def run_for(self, seconds: float) -> None:
        """Return when so much time has passed: the length of a fault. Nothing is decided by it."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._require_alive()
            time.sleep(0.02)

    def finish(self) -> None:
        """All is calm: return when everybody has shown what he holds."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"calm\n")
        self._process.stdin.flush()
        self._expect(b"done\n")
        assert self._process.wait(PATIENCE) == 0

    def _expect(self, line: bytes) -> None:
        assert self._process.stdout is not None
        heard = self._process.stdout.readline()
        assert heard == line, f"the clients said {heard!r} instead of {line!r}"

    def _require_alive(self) -> None:
        assert self._process.poll() is None, f"the clients ended with {self._process.returncode}"

    def _end(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
