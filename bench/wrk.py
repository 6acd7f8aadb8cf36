"""Debian's `wrk` as load generator: one thread, a fixed time, its report read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.process import LOAD_CORE, SERVER_CORE, run

_SCRIPTS = Path(__file__).parent
_OWN_CORE = ["taskset", "--cpu-list", LOAD_CORE]
_MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of wrk came to."""

    requests: int
    per_second: float
    p50_ms: float
    p99_ms: float


def load(
    url: str,
    *,
    seconds: int,
    connections: int = 16,
    headers: Mapping[str, str] | None = None,
    script: str | None = None,
    beside: bool = False,
    arguments: Sequence[str] = (),
) -> Load:
    """Keep `connections` busy for `seconds`. Answers that are no success, and lost ones, make the run void.

    beside: on the server's own core, in the batch class, which never takes the core from the server. On a core of its
    own wrk can fall asleep between the answers of a slow server and not of a fast one, and waking it would be counted
    as the slow server's work; docs/performance.md has the difference.
    """
    place = ["taskset", "--cpu-list", SERVER_CORE, "chrt", "--batch", "0"] if beside else _OWN_CORE
    command = [*place, "wrk", "--latency", "-t1", f"-c{connections}", f"-d{seconds}s"]
    for name, value in (headers or {}).items():
        command += ["-H", f"{name}: {value}"]
    if script:
        command += ["-s", str(_SCRIPTS / script)]
    command.append(url)
    if arguments:
        command += ["--", *arguments]
    report = run(command, seconds=seconds + 30)
    if "Non-2xx" in report or "Socket errors" in report:
        raise RuntimeError(f"not every request of this run was answered with success:\n{report}")
    return Load(
        requests=int(_find(r"(\d+) requests in", report)),
        per_second=float(_find(r"Requests/sec:\s+([\d.]+)", report)),
        p50_ms=_percentile(50, report),
        p99_ms=_percentile(99, report),
    )


def _percentile(which: int, report: str) -> float:
    value, unit = re.search(rf"^\s+{which}%\s+([\d.]+)(us|ms|s)$", report, re.MULTILINE).groups()  # type: ignore[union-attr]
    return float(value) * _MILLISECONDS[unit]


def _find(pattern: str, report: str) -> str:
    found = re.search(pattern, report)
    if found is None:
        raise RuntimeError(f"wrk reports in a form that is not known here:\n{report}")
    return found[1]
