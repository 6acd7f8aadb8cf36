"""Real Redis servers: on a private port of 127.0.0.1, in a directory of their own, ended by their id.

    with RedisServer(directory) as server:                      # nothing is kept; options: those of redis.conf
        server.call("CONFIG", "SET", "maxmemory", "1mb")
        with RedisServer(other, options=replica_of(server)) as replica, Sentinel(third, server) as sentinel:
            ...

Usable outside pytest, too. `kill`, `pause`, `resume` and `restart` are for tests of faults.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as NoConnectionError
from redis.exceptions import RedisError
from redis.retry import Retry

from tests.servers.spawning import PATIENCE, end, free_port, spawn, wait_until

SERVICE: Final = "desk"
"""What the Sentinels call the servers that they watch."""

KEPT: Final[Mapping[str, str]] = {"appendonly": "yes", "appendfsync": "always"}
"""Options under which every acknowledged write is on the disk."""

_TRIES: Final = 5
_IN_VENV: Final = Path(__file__).resolve().parents[2] / ".venv" / "bin" / "redis-server"


def find_binary() -> Path | None:
    """The server of Debian's packages `redis-server` or `redis-tools` (which `scripts/setup` links into .venv)."""
    found = shutil.which("redis-server")
    if found is None and not _IN_VENV.exists():
        return None
    return Path(found) if found else _IN_VENV


class RedisServer:
    """One server process as a context manager. `options` go into its redis.conf; the directory must exist."""

    _mode: tuple[str, ...] = ()

    def __init__(self, directory: Path, *, options: Mapping[str, str] | None = None) -> None:
        self.directory = directory
        self.port = 0
        self._options = dict(options or {})
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server is not running"
        return self._process.pid

    @property
    def log(self) -> str:
        path = self.directory / "redis.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self) -> None:
        """Start it, on the port and with the settings that it had before, if any, and wait until it answers."""
        if self.port:
            assert self._come_up(), self.log
            return
        for _ in range(_TRIES):
            self.port = free_port()
            self._write_settings()
            if self._come_up():
                return
        raise AssertionError(f"no server came up:\n{self.log}")

    def stop(self) -> None:
        """End it in good order, paused or not. Nothing when it does not run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._end(signal.SIGKILL)

    def restart(self, *, crash: bool = False) -> None:
        self._end(signal.SIGKILL if crash else signal.SIGTERM)
        self.start()

    def pause(self) -> None:
        """Let it hang: connections stay open, and nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    @contextmanager
    def paused(self) -> Iterator[None]:
        self.pause()
        try:
            yield
        finally:
            self.resume()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let everything that writes, and whatever the store asks, wait; this server still answers us."""
        self.call("CLIENT", "PAUSE", "600000", "WRITE")
        try:
            yield
        finally:
            self.call("CLIENT", "UNPAUSE")

    def call(self, *words: str | bytes | float) -> Any:
        """The answer to one command, over a connection of its own."""
        with self.client() as client:
            return client.execute_command(*words)

    def client(self) -> Redis:
        """A synchronous client for whatever else is to be looked at."""
        return Redis(port=self.port, password=self._options.get("requirepass"), retry=Retry(NoBackoff(), 0))

    @contextmanager
    def configured(self, **settings: str) -> Iterator[None]:
        """Change settings, spelt with underscores, for as long as the context lasts."""
        names = {name.replace("_", "-"): value for name, value in settings.items()}
        with self.client() as client:
            before = {name: client.config_get(name)[name] for name in names}
            for name, value in names.items():
                client.config_set(name, value)
            try:
                yield
            finally:
                for name, value in before.items():
                    client.config_set(name, value)

    def wait_for_replicas(self, count: int) -> None:
        """Return when so many replicas have all that this server has."""

        def synced() -> bool:
            with self.client() as client:
                client.publish("synced", "")  # a write that is gone at once
                return int(client.execute_command("WAIT", count, 1000)) == count

        wait_until(synced, f"{count} replicas have everything")

    def _settings(self) -> dict[str, str]:
        defaults = {"save": '""', "appendonly": "no", "repl-diskless-sync-delay": "0"}
        return {**defaults, **self._options}

    def _write_settings(self) -> None:
        own = {"port": str(self.port), "bind": "127.0.0.1", "dir": str(self.directory), "daemonize": "no"}
        lines = [f"{name} {value}" for name, value in {**own, **self._settings()}.items()]
        (self.directory / "redis.conf").write_text("\n".join(lines) + "\n")

    def _come_up(self) -> bool:
        binary = find_binary()
        assert binary is not None, "there is no redis-server"
        command = [str(binary), str(self.directory / "redis.conf"), *self._mode]
        process = self._process = spawn(command, log=self.directory / "redis.log", cwd=self.directory)

        def answers() -> bool:
            try:
                return process.poll() is not None or self.call("PING") is True
            except (NoConnectionError, RedisError):
                return False

        wait_until(answers, "the server answers", PATIENCE)
        if process.poll() is None:
            return True
        self._process = None
        return False

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            end(process, number)


class Sentinel(RedisServer):
    """One Sentinel that watches `primary`, quick to find that it is down."""

    _mode = ("--sentinel",)

    def __init__(self, directory: Path, primary: RedisServer, *, quorum: int = 1) -> None:
        super().__init__(directory)
        self._primary = primary
        self._quorum = quorum

    @property
    def url(self) -> str:
        return f"redis+sentinel://127.0.0.1:{self.port}/{SERVICE}"

    def start(self) -> None:
        super().start()
        # Not 10 s and 2 s: how soon it notices who follows whom, and (four times) makes an old primary a replica.
        self.call("SENTINEL", "DEBUG", "info-period", "200", "publish-period", "200")

    def primary_port(self) -> int:
        """The port of the server that it names as the primary."""
        return int(self.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)[1])

    def wait_for_replicas(self, count: int) -> None:
        """Return when so many replicas could take over."""

        def ready() -> bool:
            with self.client() as client:
                found = client.sentinel_slaves(SERVICE)
            return [each["master-link-status"] for each in found] == ["ok"] * count

        wait_until(ready, f"{count} replicas are known")

    def _settings(self) -> dict[str, str]:
        return {
            f"sentinel monitor {SERVICE}": f"127.0.0.1 {self._primary.port} {self._quorum}",
            # Less, and a busy machine would be taken for a dead server.
            f"sentinel down-after-milliseconds {SERVICE}": "1000",
            f"sentinel failover-timeout {SERVICE}": "5000",
        }


def replica_of(primary: RedisServer) -> dict[str, str]:
    """The options of a server that follows `primary`."""
    return {"replicaof": f"127.0.0.1 {primary.port}"}
