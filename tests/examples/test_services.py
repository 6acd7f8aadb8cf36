"""The example of one desk and two services: one command starts it, Ctrl-C ends it, and what it prints works."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from tests.requirements import ROOT

PATIENCE = 60.0


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        listening = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in listening:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in listening]


class Example:
    """`run.py` in a process of its own, until it has said what to try."""

    def __init__(self) -> None:
        self.ports = free_ports(3)
        command = [sys.executable, "-u", str(ROOT / "examples" / "services" / "run.py"), "--ports"]
        self.process = subprocess.Popen(
            [*command, *map(str, self.ports)],
            env={**os.environ, "FRONTDESK_HASHING": "small"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout is not None
        self.said = ""
        while "Ctrl-C ends it" not in self.said:
            line = self.process.stdout.readline()
            assert line, f"it ended: {self.said}"
            self.said += line

    def end(self) -> int:
        self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            assert self.process.stdout is not None
            self.process.stdout.close()

    def ask(self, at: int, path: str, token: str = "", **content: Any) -> httpx.Response:
        return httpx.request(
            "POST" if content or path.endswith("logout") else "GET",
            f"http://127.0.0.1:{self.ports[at]}{path}",
            json=content or None,
            headers={"authorization": f"Bearer {token}"} if token else {},
            timeout=PATIENCE,
            trust_env=False,
        )


@pytest.fixture
def example() -> Iterator[Example]:
    example = Example()
    try:
        yield example
    finally:
        if example.process.poll() is None:
            example.end()


def test_the_services_know_who_signed_in_at_the_desk_and_out(example: Example) -> None:
    person = {"email": "alice@example.com", "password": "tall grey wooden ship"}
    assert example.ask(0, "/auth/register", **person).status_code == 201
    signed = example.ask(0, "/auth/login", **person, credential="jwt", transport="bearer").json()
    token, subject = signed["access_token"], signed["subject"]
    assert example.ask(1, "/orders", token).json()["customer"] == subject
    assert example.ask(1, "/offers").json()["for"] == "everybody"
    assert example.ask(2, "/invoices", token).json()["customer"] == subject
    assert example.ask(2, "/books", token).json()["code"] == "role_missing"
    assert example.ask(2, "/nowhere").status_code == 401
    assert example.ask(2, "/health").json()["ready"] is True
    assert example.ask(0, "/auth/logout", token).status_code == 204
    for at, path in ((1, "/orders"), (2, "/invoices")):
        deadline = time.monotonic() + PATIENCE
        while example.ask(at, path, token).status_code == 200:
            assert time.monotonic() < deadline
        assert example.ask(at, path, token).json()["code"] == "session_ended"
    assert example.end() == 0
    for port in example.ports:
        with pytest.raises(OSError), socket.create_connection(("127.0.0.1", port), 1):
            pass


def test_what_it_prints_is_where_it_serves(example: Example) -> None:
    printed = re.findall(r"http://127\.0\.0\.1:(\d+)(/\S*)? ", example.said)
    assert {int(port) for port, _ in printed} == set(example.ports)
    for port, path in printed:
        if path:
            answer = httpx.get(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE, trust_env=False)
            assert answer.status_code in {401, 405}, "it is there"
