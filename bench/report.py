"""Figures and how they are printed: medians, with the spread beside them, as rows of a Markdown table."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter_ns

QUARTILES = 4


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def spread(values: Sequence[float], digits: int = 1) -> str:
    """The median and, in brackets, the quartiles: on a shared machine the mean says little."""
    if len(values) < QUARTILES:
        return f"{median(values):.{digits}f}"
    low, middle, high = statistics.quantiles(values, n=QUARTILES)
    return f"{middle:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def heading(title: str, *columns: str) -> None:
    print(f"\n### {title}\n")
    row(*columns)
    row(*("---" for _ in columns))


def row(*cells: str) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


def machine() -> str:
    """One line about where this ran."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "unknown"
    )
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores, {model}, Python {platform.python_version()}, Linux {platform.release().partition('-')[0]}"


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines()


def nanoseconds_each(work: Mapping[str, Callable[[int], object]], *, calls: int, rounds: int) -> dict[str, list[float]]:
    """For each name the nanoseconds of one call, once per round.

    Every entry does its work as often as it is told, so that the loop stands in it and is the same for all. The
    entries take turns within a round: what disturbs the machine for a while disturbs them all.
    """
    found: dict[str, list[float]] = {name: [] for name in work}
    for repeat in work.values():
        repeat(calls // 10 + 1)
    for _ in range(rounds):
        for name, repeat in work.items():
            began = perf_counter_ns()
            repeat(calls)
            found[name].append((perf_counter_ns() - began) / calls)
    return found


def repeated(call: Callable[[], object]) -> Callable[[int], None]:
    """`call` as an entry of `nanoseconds_each`."""

    def repeat(calls: int) -> None:
        for _ in range(calls):
            call()

    return repeat


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Round by round, so that both parts of each ratio met the same machine."""
    return [one / other for one, other in zip(above, below, strict=True)]
