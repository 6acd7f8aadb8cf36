"""Other processes on a database, for tests."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]


@contextmanager
def worker(path: Path, *command: str, stdout: int = subprocess.PIPE) -> Iterator[subprocess.Popen[str]]:
    """`tests.stores.sqlite_worker`; ended, if need be by force, on exit."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.stores.sqlite_worker", str(path), *command],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=stdout,
        text=True,
    )
    try:
        yield process
    finally:
        if process.stdin is not None and not process.stdin.closed:
            process.stdin.close()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def tell(process: subprocess.Popen[str], line: str) -> str:
    """Say a line to a worker and hear its answer."""
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()
    return hear(process)


def hear(process: subprocess.Popen[str]) -> str:
    """The next line of a worker; empty when it has ended."""
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")
