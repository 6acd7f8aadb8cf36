"""A desk whose clock is moved by the test, a proxy in front of it that counts and loses answers, and accounts."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import httpx

from tests.cluster import shifted
from tests.server.processes import PASSWORD, PATIENCE, Server

EXPIRY = 16 * 60.0
"""Seconds after which every access token has expired, and grace is long over."""
_NUMBERS = count()


class Watch:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


class Row(NamedTuple):
    """What the store says about a session."""

    generation: int
    parent: int
    ended: bool


class ShiftedDesk:
    """`frontdesk serve`, whose clock goes ahead when the test says so."""

    def __init__(self, server: Server, directory: Path, clock: Path) -> None:
        self.server = server
        self.url = server.url
        self._directory = directory
        self._clock = clock
        self._ahead = 0.0

    def expire(self) -> None:
        """Every access token that was issued so far is expired from now on."""
        self._ahead += EXPIRY
        shifted.shift(self._clock, self._ahead)

    def register(self) -> str:
        """The address of a new account, whose password is PASSWORD."""
        email = f"client-{next(_NUMBERS)}@example.com"
        body = {"email": email, "password": PASSWORD}
        answer = httpx.post(f"{self.url}/auth/register", json=body, timeout=PATIENCE, trust_env=False)
        assert answer.status_code == 201, answer.text
        return email

    def rows(self, subject: str) -> list[Row]:
        """The sessions of a subject, the oldest first."""
        query = "SELECT generation, parent, ended_at IS NOT NULL FROM sessions WHERE subject = ? ORDER BY created_at"
        with closing(apsw.Connection(str(self._directory / "frontdesk.db"))) as connection:
            connection.set_busy_timeout(5000)
            found: list[Any] = connection.execute(query, (subject,)).fetchall()
        return [Row(generation, parent, bool(ended)) for generation, parent, ended in found]

    def revoke(self, subject: str) -> None:
        """End the sessions of a subject, as a command beside the server would."""
        with closing(apsw.Connection(str(self._directory / "frontdesk.db"))) as connection:
            connection.set_busy_timeout(5000)
            connection.execute(
                "UPDATE sessions SET ended_at = minted_at, end_reason = 'revoked' WHERE subject = ?", (subject,)
            ).fetchall()


def until(condition: Callable[[], object]) -> None:
    """Return as soon as it is so; AssertionError when that never comes."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@contextmanager
def serving(directory: Path, *flags: str) -> Iterator[ShiftedDesk]:
    """A desk on a port of its own, with its database in `directory`."""
    clock = directory / "clock"
    shifted.shift(clock, 0.0)
    program = ("-P", shifted.__file__, str(clock))
    with Server(directory, *flags, program=program) as server:
        yield ShiftedDesk(server, directory, clock)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


class LossyProxy:
    """Passes requests on and counts them by path. Answers to refreshes get lost or become others, if told so."""

    def __init__(self, url: str) -> None:
        self.counts: Counter[str] = Counter()
        self.lose = 0
        """How many of the next answers to refreshes are lost, after the desk gave them."""
        self.refuse = 0
        """To how many of the next refreshes the answer is 503, without asking the desk."""
        self.redirect = ""
        """Where every refresh is sent instead (307)."""
        self.open = threading.Event()
        """Cleared, it keeps refreshes waiting before they reach the desk."""
        self.open.set()
        self._mutex = threading.Lock()
        target = httpx.URL(url)
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                if self.path == "/auth/refresh":
                    proxy.open.wait(PATIENCE)
                    if proxy._instead(self):
                        return
                lost = proxy._count(self.path)
                connection = http.client.HTTPConnection(target.host, target.port, timeout=PATIENCE)
                with closing(connection):
                    connection.request(self.command, self.path, body, dict(self.headers))
                    answer = connection.getresponse()
                    content = answer.read()
                    if lost:
                        self.close_connection = True
                        return
                    self.send_response_only(answer.status)
                    for name, value in answer.getheaders():
                        if name.lower() not in {"connection", "transfer-encoding", "content-length"}:
                            self.send_header(name, value)
                    if answer.status != 204:
                        self.send_header("content-length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)

            do_GET = do_POST = answer  # noqa: N815 - their names

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def refreshes(self) -> int:
        """How many refreshes the desk was asked for."""
        return self.counts["/auth/refresh"]

    def _count(self, path: str) -> bool:
        with self._mutex:
            self.counts[path] += 1
            if path == "/auth/refresh" and self.lose:
                self.lose -= 1
                return True
            return False

    def _instead(self, handler: BaseHTTPRequestHandler) -> bool:
        with self._mutex:
            refuses = self.refuse > 0
            self.refuse -= refuses
        if not refuses and not self.redirect:
            return False
        handler.send_response_only(503 if refuses else 307)
        if not refuses:
            handler.send_header("location", self.redirect)
        handler.send_header("content-length", "0")
        handler.end_headers()
        return True

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Nobody listens any more. May be called again."""
        self.open.set()
        if not self._thread.is_alive():
            return
        self._server.shutdown()
        self._thread.join(PATIENCE)
        self._server.server_close()


@contextmanager
def proxying(url: str) -> Iterator[LossyProxy]:
    """A proxy in front of `url`."""
    proxy = LossyProxy(url)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
