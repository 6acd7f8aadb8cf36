"""Nodes: `frontdesk serve` in processes of their own that can be killed, frozen, started anew, put into a room of a
network, and given a clock that jumps."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.cluster import service, shifted
from tests.cluster.network import command_inside, inside

PATIENCE: Final = 30.0
"""Seconds after which something that should happen counts as not happening."""

HOST_NAME: Final = "desk.test"
SECRET: Final = "the nodes of one cluster share this one secret"
_EVERYWHERE: Final[Mapping[str, str]] = {
    "base_url": f"https://{HOST_NAME}",  # cookies have one name on every node, and rooms are not loopback
    "hashing": "small",
    "log_format": "json",
    "secret": SECRET,
    # Every client says an address of its own, so that they do not share the budget of wrong passwords.
    "trusted_proxies": "127.0.0.0/8,10.0.0.0/8",
}
_POLL: Final = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a node listens, and from which namespace its clients reach it ("": the machine's own)."""

    host: str = "127.0.0.1"
    port: int
    namespace: str = ""
    clients: str = ""


@dataclass(slots=True)
class Node:
    """One server. As a context manager it is running and ready inside, and gone afterwards whatever happens.

    `settings` are those of docs/settings.md by their names.
    """

    name: str
    directory: Path
    place: Place
    settings: Mapping[str, str]
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def __enter__(self) -> Self:
        try:
            self.start()
            self.wait_until_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def workers(self) -> list[int]:
        """The ids of its worker processes, where it has several."""
        found = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):  # it has ended meanwhile
                parent = int(path.read_text().rpartition(")")[2].split()[1])
                if parent == self.pid and b"spawn_main" in (path.parent / "cmdline").read_bytes():
                    found.append(int(path.parent.name))
        return found

    @property
    def log(self) -> str:
        """What all its processes said, one after the other."""
        return self._log.read_text()

    def start(self) -> None:
        """Start a process; it need not be ready when this returns."""
        assert self._process is None, f"{self.name} runs already"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command_inside(self.place.namespace, self._program()),
                cwd=self.directory,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )

    def wait_until_ready(self) -> None:
        """Return when `/healthz` says 200. AssertionError with the log when it does not, or when the process ends."""
        deadline = time.monotonic() + PATIENCE
        while self.health() != http.client.OK:
            assert self._process is not None
            assert self._process.poll() is None, f"{self.name} has ended:\n{self.log}"
            assert time.monotonic() < deadline, f"{self.name} is not ready:\n{self.log}"
            time.sleep(_POLL)

    def health(self, patience: float = 2.0) -> int:
        """The status of `/healthz`; 0 when there was no answer."""
        return self.look(patience)[0]

    def look(self, patience: float = 2.0) -> tuple[int, float | None]:
        """The status of `/healthz`, 0 when there was no answer, and the lag that it told, in seconds."""
        status, told = self.ask("GET", "/healthz", patience=patience)
        return status, told.get("lag")

    def ask(
        self, method: str, path: str, *, credential: str = "", body: object = None, patience: float = 2.0
    ) -> tuple[int, Mapping[str, Any]]:
        """The status and the members of the answer to one request; 0 and nothing when there was no answer."""
        connection = _Connection(self.place, patience)
        headers = {"host": HOST_NAME, "content-type": "application/json"}
        if credential:
            headers["authorization"] = f"Bearer {credential}"
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            told: Mapping[str, Any] = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError):
            return 0, {}
        else:
            return answer.status, told
        finally:
            connection.close()

    def command(self, *words: str) -> str:
        """What `frontdesk` with these words writes, run where the node is and with its settings."""
        command = command_inside(self.place.namespace, [sys.executable, "-m", "frontdesk", *words])
        done = subprocess.run(command, cwd=self.directory, env=self._environment(), capture_output=True, check=False)
        assert done.returncode == 0, f"frontdesk {' '.join(words)} failed: {done.stderr.decode()}"
        return done.stdout.decode()

    def kill(self) -> None:
        """SIGKILL: it has no time for anything. Nothing is done when it does not run."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM, as a service manager does; a frozen node is thawed for it."""
        self.thaw()
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """SIGSTOP: it stands still and does not know it. Its connections stay open."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        if self._process is not None and self._process.poll() is None:
            os.kill(self.pid, signal.SIGCONT)

    def jump(self, seconds: float) -> None:
        """From now on its wall clock differs by so much from the machine's; what measures durations does not."""
        shifted.shift(self._clock, seconds)

    @property
    def _log(self) -> Path:
        return self.directory / f"{self.name}.log"

    @property
    def _clock(self) -> Path:
        return self.directory / f"{self.name}.clock"

    def _program(self) -> list[str]:
        if not self._clock.exists():
            self.jump(0)
        # -P: the files beside that one are no modules of the server.
        return [sys.executable, "-P", shifted.__file__, str(self._clock), "serve"]

    def _environment(self) -> dict[str, str]:
        settings = {**_EVERYWHERE, "host": self.place.host, "port": str(self.place.port), **self.settings}
        return {**os.environ, **{f"FRONTDESK_{name.upper()}": value for name, value in settings.items()}}

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


class Service(Node):
    """A service with a verifier (`service.py`); `settings` are its environment."""

    def _program(self) -> list[str]:
        return [sys.executable, "-P", service.__file__]

    def _environment(self) -> dict[str, str]:
        place = {"HOST": self.place.host, "PORT": str(self.place.port), "ISSUER": f"https://{HOST_NAME}"}
        return {**os.environ, **place, **self.settings}


class _Connection(http.client.HTTPConnection):
    """Connects from where the clients are."""

    def __init__(self, place: Place, patience: float) -> None:
        super().__init__(place.host, place.port, timeout=patience)
        self._clients = place.clients

    def connect(self) -> None:
        with inside(self._clients):
            super().connect()


def start_all(nodes: Iterable[Node]) -> None:
    """Start all of them and wait until all are ready: the first one makes the tables before the others come."""
    first, *others = nodes
    first.start()
    first.wait_until_ready()
    for node in others:
        node.start()
    for node in others:
        node.wait_until_ready()


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody has. A node that is killed gets its own again."""
    made = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [int(each.getsockname()[1]) for each in made]
    finally:
        for each in made:
            each.close()
