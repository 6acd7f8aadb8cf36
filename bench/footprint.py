"""What it takes to have Frontdesk: the time of its import, and the distributions of a core install."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from time import perf_counter

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bench.report import heading, machine, median, row, spread

ROUNDS = 21
_IMPORTS = {
    "frontdesk": ("import frontdesk", "pass", "< 60 ms"),
    "frontdesk.asgi, a desk over SQLite": (
        "from frontdesk.asgi import Frontdesk; Frontdesk('sqlite:///x.db', secret=bytes(range(32)))",
        "pass",
        "",
    ),
    "frontdesk.fastapi": ("import frontdesk.fastapi", "import fastapi", ""),
}


def _milliseconds(code: str) -> tuple[float, float]:
    """Elapsed and processor time of an interpreter that runs `code`."""
    cpu, began = _children_cpu(), perf_counter()
    # -S would leave out the packages; -E and -P keep settings and this directory out.
    subprocess.run([sys.executable, "-EP", "-c", code], check=True, timeout=60)
    return (perf_counter() - began) * 1000, (_children_cpu() - cpu) * 1000


def _children_cpu() -> float:
    times = os.times()
    return times.children_user + times.children_system


def imports() -> None:
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in _IMPORTS}
    for code, base, _ in _IMPORTS.values():
        _milliseconds(code)
        _milliseconds(base)
    for _ in range(ROUNDS):
        for name, (code, base, _) in _IMPORTS.items():
            below, above = _milliseconds(base), _milliseconds(code)
            found[name].append((above[0] - below[0], above[1] - below[1]))
    heading("Import", "what", "over", "ms", "ms of CPU", "budget")
    for name, (_, base, budget) in _IMPORTS.items():
        over = "bare Python" if base == "pass" else f"`{base}`"
        elapsed, cpu = zip(*found[name], strict=True)
        row(name, over, spread(elapsed), f"{median(cpu):.0f}", budget)


def distributions(name: str) -> set[str]:
    """The distribution and everything that it requires without an extra, as installed here."""
    seen: set[str] = set()
    waiting = [canonicalize_name(name)]
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        for line in importlib.metadata.requires(current) or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(canonicalize_name(requirement.name))
    return seen


def main() -> None:
    print(machine())
    imports()
    names = sorted(distributions("frontdesk"))
    heading("Core install", "distributions", "which", "budget")
    row(str(len(names)), ", ".join(names), "≤ 8")


if __name__ == "__main__":
    main()
