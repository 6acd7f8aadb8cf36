"""A server process of ours: started on a port of loopback, pinned to its core, its processor time read, ended."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

SERVER_CORE = "0"
LOAD_CORE = "1"
_READY_SECONDS = 20.0
_STOP_SECONDS = 20.0


class Server:
    """A running server."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process = process
        self.port = port

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def cpu_ns(self) -> int:
        """Processor time of all its threads so far, in nanoseconds, as the scheduler counts it."""
        tasks = Path(f"/proc/{self._process.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)

    def resident_mib(self) -> float:
        """Its resident memory."""
        lines = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii").splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


@contextlib.contextmanager
def serving(
    app: str, *options: str, cores: str = SERVER_CORE, environment: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """`bench.apps` serves the application of this name until the block is left. `environment` is added to ours."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        port = listener.getsockname()[1]
        command = [
            *("taskset", "--cpu-list", cores, sys.executable, "-m", "bench.apps"),
            *(app, "--fd", str(listener.fileno()), *options),
        ]
        process = subprocess.Popen(command, pass_fds=[listener.fileno()], env={**os.environ, **(environment or {})})
    try:
        _wait_until_ready(process, port)
        yield Server(process, port)
    finally:
        _stop(process)


def run(command: Sequence[str], *, seconds: float, cwd: Path | None = None) -> str:
    """What a command that ends by itself prints; it is given `seconds` and not more."""
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds, cwd=cwd)
    return done.stdout


def _wait_until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        # The socket listens before the server does, so only an answer says that it is there.
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"GET /bare HTTP/1.1\r\nHost: ready.example\r\nConnection: close\r\n\r\n")
            if connection.recv(12):
                return
    raise RuntimeError("the server to be measured did not start")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def require_tools() -> None:
    """SystemExit with a sentence when what loads and pins is missing."""
    for tool, package in (("wrk", "wrk"), ("taskset", "util-linux"), ("chrt", "util-linux")):
        if not any(os.access(Path(place) / tool, os.X_OK) for place in os.get_exec_path()):
            raise SystemExit(
                f"{tool} is missing, so nothing is measured over HTTP (Debian: apt-get install {package})."
            )
    if not {int(SERVER_CORE), int(LOAD_CORE)} <= os.sched_getaffinity(0):
        raise SystemExit("Two cores are needed, one for the server and one for the load.")
