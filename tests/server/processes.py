"""Real servers in processes of their own: started on a free port, watched by their log, ended by their id."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

PASSWORD = "tall grey wooden ship"
PATIENCE = 30.0
"""Seconds after which something that should happen counts as not happening."""

_LISTENING = re.compile(r'listening: open (http[^"\s]+)')


class Server:
    """`frontdesk serve` as a context manager. A thread reads its log, so that a full pipe never stops it.

    `program` is what Python runs; another one may start the same server under a clock that is wrong.
    """

    def __init__(
        self,
        directory: Path,
        *flags: str,
        environ: Mapping[str, str] | None = None,
        program: Sequence[str] = ("-m", "frontdesk"),
    ) -> None:
        command = [sys.executable, *program, "serve", "--port", "0", "--log-format", "json", *flags]
        self.process = subprocess.Popen(
            [*command, "--set", "hashing=small"],
            cwd=directory,
            env={**os.environ, **(environ or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: list[str] = []
        self._news = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.url = ""

    def __enter__(self) -> Self:
        try:
            self.url = self.wait_for(_LISTENING).group(1).rstrip("/")
        except AssertionError:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def log(self) -> str:
        with self._news:
            return "".join(self._lines)

    def records(self, logger: str) -> list[dict[str, Any]]:
        """What one logger said so far."""
        found = (json.loads(line) for line in self.log.splitlines())
        return [record for record in found if record["logger"] == logger]

    def catch_up(self) -> None:
        """Return when the log has been read up to now: a request of its own marks the place."""
        mark = f"/mark-{len(self.log)}-{time.perf_counter_ns()}"
        httpx.get(self.url + mark, timeout=PATIENCE, trust_env=False)
        self.wait_for(re.compile(mark))

    def wait_for(self, pattern: re.Pattern[str]) -> re.Match[str]:
        """The first match in the log, from its beginning on; AssertionError when the process ends without it."""

        def settled() -> bool:
            return self._ended or pattern.search("".join(self._lines)) is not None

        with self._news:
            self._news.wait_for(settled, PATIENCE)
            found = pattern.search("".join(self._lines))
            assert found is not None, f"no {pattern.pattern!r} in:\n{''.join(self._lines)}"
            return found

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal this process, by its id, and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self._reader.join(PATIENCE)
            assert self.process.stderr is not None
            self.process.stderr.close()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._news:
                self._lines.append(line)
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()


def refused_start(directory: Path, *flags: str, environ: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Exit status and stderr of a server that does not start."""
    done = subprocess.run(
        [sys.executable, "-m", "frontdesk", "serve", *flags],
        cwd=directory,
        env={**os.environ, **(environ or {})},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode, done.stderr


class Visitor:
    """A client with a jar of its own. It keeps Secure cookies on loopback, as browsers do and httpx does not."""

    def __init__(self, *servers: Server) -> None:
        self.servers = servers
        self.cookies: dict[str, str] = {}
        self.bearer = ""
        self.email = ""
        self._http = httpx.Client(timeout=PATIENCE, trust_env=False)

    def close(self) -> None:
        self._http.close()

    def ask(
        self, method: str, path: str, content: Mapping[str, Any] | None = None, *, at: int = 0, keep: bool = True
    ) -> httpx.Response:
        """One request to server number `at`."""
        response = self._http.request(method, self.servers[at].url + path, json=content, headers=self.headers())
        if keep:
            self._keep(response)
        return response

    def headers(self) -> dict[str, str]:
        headers = {"authorization": f"Bearer {self.bearer}"} if self.bearer else {}
        if self.cookies:
            headers["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return headers

    def _keep(self, response: httpx.Response) -> None:
        for line in response.headers.get_list("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            if "Max-Age=0" in line:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value

    def sign_in(self, email: str, **how: str) -> dict[str, Any]:
        """Sign in at the first server and return the body."""
        response = self.ask("POST", "/auth/login", {"email": email, "password": PASSWORD, **how})
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        self.bearer = body.get("access_token", "")
        return body


@contextmanager
def visiting(*servers: Server) -> Iterator[Visitor]:
    visitor = Visitor(*servers)
    try:
        yield visitor
    finally:
        visitor.close()


def run_cli(directory: Path, *words: str, stdin: str = "", environ: Mapping[str, str] | None = None) -> Sequence[str]:
    """A command in a process of its own; it must succeed. The lines that it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "frontdesk", *words],
        cwd=directory,
        env={**os.environ, "FRONTDESK_HASHING": "small", **(environ or {})},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
