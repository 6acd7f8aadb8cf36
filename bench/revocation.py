"""How long a revocation takes to arrive everywhere: eight processes serve, one of them revokes, and the clock stops
when the last of the eight refuses. For PostgreSQL, Redis, and services that poll a desk over HTTP; on SQLite it is
counted whether the very next request is refused, every time.

Then the same with many live entries in the log, with what they take in memory and what a check costs beside them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bench.report import heading, machine, row
from frontdesk.core.credentials import encode_id
from frontdesk.core.revocation import Entry, entry_expiry
from frontdesk.service.settings import DEVELOPMENT_ISSUER
from frontdesk.stores.protocol import Store
from frontdesk.wiring import open_store
from tests.requirements import find_postgresql
from tests.servers.postgresql import PostgreSQL
from tests.servers.redis import RedisServer

NODES: Final = 8
ROUNDS: Final = 500
MANY: Final = 100_000
_BATCH: Final = 5000
_START_SECONDS: Final = 60.0


class Process:
    """One node, spoken to by lines."""

    def __init__(self, *options: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.node", *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def send(self, do: str, **members: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **members}) + "\n")
        self._process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("a node that was measured has ended")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ask(self, do: str, **members: Any) -> dict[str, Any]:
        self.send(do, **members)
        return self.receive()

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@contextlib.contextmanager
def nodes(*options: str, count: int = NODES) -> Iterator[list[Process]]:
    """So many processes that were started alike."""
    started: list[Process] = []
    try:
        started += [Process(*options) for _ in range(count)]
        for each in started:
            each.ask("memory")  # it is up
        yield started
    finally:
        for each in started:
            each.close()


def milliseconds_to_the_last(
    serving: Sequence[Process], revoking: Process, makes: Process, credential: str, rounds: int
) -> tuple[list[float], list[float]]:
    """Per round: from the start of the revoking request, and from its acknowledgement, to the refusal by the last."""
    since_start, since_acknowledged = [], []
    for number in range(rounds):
        token = makes.ask("sign_in", credential=credential, subject=f"subject-{number}")["token"]
        for node in serving:
            found = node.ask("see", token=token)
            assert found["status"] == 200, found
        watching = [node for node in serving if node is not revoking]
        for node in watching:
            node.send("watch", token=token)
        revoked = revoking.ask("revoke", token=token)
        assert revoked["status"] == 204, revoked
        refusals = [node.receive() for node in watching]
        if revoking in serving:
            refusals.append(revoking.ask("watch", token=token))
        assert all("refused" in each for each in refusals), refusals
        last = max(each["answered"] for each in refusals)
        since_start.append((last - revoked["began"]) * 1000)
        since_acknowledged.append(max(last - revoked["acknowledged"], 0) * 1000)
    return since_start, since_acknowledged


def _told(name: str, credential: str, times: tuple[list[float], list[float]], budget: str) -> None:
    for since, values in (("the request began", times[0]), ("it was acknowledged", times[1])):
        ordered = sorted(values)
        p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
        row(
            name,
            credential,
            since,
            str(len(values)),
            *(f"{each:.1f}" for each in (statistics.median(ordered), p99, ordered[-1])),
            budget if since == "the request began" else "",
        )


def next_request(url: str, secret: str, rounds: int) -> None:
    """SQLite: after the acknowledgement the next request of each process is refused."""
    wrong = asked = 0
    with nodes("--store", url, "--secret", secret, "--issuer", DEVELOPMENT_ISSUER) as serving:
        for number in range(rounds):
            credential = ("session", "jwt")[number % 2]
            token = serving[0].ask("sign_in", credential=credential, subject=f"subject-{number}")["token"]
            for node in serving:
                assert node.ask("see", token=token)["status"] == 200
            assert serving[number % NODES].ask("revoke", token=token)["status"] == 204
            for node in serving:
                node.send("see", token=token)
            found = [node.receive()["status"] for node in serving]
            asked += len(found)
            wrong += sum(status != 401 for status in found)
    heading("SQLite: the next request of each of the eight", "revocations", "requests", "not refused")
    row(str(rounds), str(asked), str(wrong))


def arrival(name: str, url: str, secret: str, rounds: int, budget: str = "p99 < 50 ms") -> None:
    options = ("--store", url, "--secret", secret, "--issuer", DEVELOPMENT_ISSUER)
    with nodes(*options) as serving:
        for credential in ("session", "jwt"):
            times = milliseconds_to_the_last(serving, serving[0], serving[0], credential, rounds)
            _told(name, credential, times, budget)


def arrival_by_http(name: str, store: str, secret: str, rounds: int, directory: Path) -> None:
    """Eight services without a store follow one desk."""
    with desk_over_http(store, secret, directory) as (issuer, credential):
        services = ("--issuer", issuer, "--credential", credential)
        desk = ("--store", store, "--secret", secret, "--issuer", issuer)
        with nodes(*services) as serving, nodes(*desk, count=1) as (revoking,):
            times = milliseconds_to_the_last(serving, revoking, revoking, "jwt", rounds)
            _told(name, "jwt", times, "")


@contextlib.contextmanager
def desk_over_http(store: str, secret: str, directory: Path) -> Iterator[tuple[str, str]]:
    """The ready-made server on a store, and a service credential that may follow its log."""
    environment = {**os.environ, "FRONTDESK_STORE": store, "FRONTDESK_SECRET": secret, "FRONTDESK_LOG_FORMAT": "text"}
    command = [sys.executable, "-m", "frontdesk"]
    made = subprocess.run(
        [*command, "services", "add", "bench", "--scope", "revocations"],
        env=environment, cwd=directory, check=True, capture_output=True, text=True, timeout=_START_SECONDS,
    )  # fmt: skip
    # The port is chosen here, since the issuer of the tokens names it.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    issuer = f"http://localhost:{port}"
    server = subprocess.Popen(
        [*command, "serve", "--port", str(port)],
        env={**environment, "FRONTDESK_BASE_URL": issuer}, cwd=directory, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        asyncio.run(_until_answering(port))
        yield issuer, made.stdout.strip()
    finally:
        server.terminate()
        server.wait(30)


async def _until_answering(port: int) -> None:
    async with asyncio.timeout(_START_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            return


async def fill(url: str, count: int) -> None:
    """Entries that end sessions which nobody has, as if so many had signed out in the last hour."""
    store: Store = open_store(url)
    await store.open()
    now = datetime.now(UTC)
    for start in range(0, count, _BATCH):
        await store.append_again([_entry(now) for _ in range(min(_BATCH, count - start))], now)
    await store.close()


def _entry(now: datetime) -> Entry:
    target = encode_id(secrets.token_bytes(16))
    return Entry(
        number=0, realm="default", kind="session", target=target, at=now, expires_at=entry_expiry(now, "session")
    )


def live_entries(name: str, url: str, secret: str, rounds: int) -> None:
    """Memory of a node and the cost of a check, without and with many live entries."""
    options = ("--store", url, "--secret", secret, "--issuer", DEVELOPMENT_ISSUER)
    found: dict[int, list[str]] = {}
    for count in (0, MANY):
        if count:
            asyncio.run(fill(url, count))
        with nodes(*options, count=1) as (node,):
            cells = [f"{node.ask('memory')['kib'] / 1024:.0f}"]
            for credential in ("session", "jwt"):
                token = node.ask("sign_in", credential=credential, subject="costly")["token"]
                assert node.ask("see", token=token)["status"] == 200
                cells.append(f"{node.ask('decide', token=token)['microseconds']:.2f}")
            found[count] = cells
    heading(
        f"{name}: what live entries cost a node",
        "live entries", "resident MiB", "µs per check, session", "µs per check, JWT",
    )  # fmt: skip
    for count, cells in found.items():
        row(f"{count:,}", *cells)
    heading(f"{name}: arrival with {MANY:,} live entries", *_COLUMNS)
    arrival(name, url, secret, rounds)


_COLUMNS: Final = ("log", "credential", "since", "revocations", "median ms", "p99 ms", "longest ms", "budget")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    secret = secrets.token_urlsafe(32)
    print(machine())
    with (
        tempfile.TemporaryDirectory(prefix="frontdesk-bench-") as directory,
        PostgreSQL(find_postgresql(), durable=True) as postgresql,
        RedisServer(Path(directory), options={"appendonly": "yes", "appendfsync": "everysec"}) as redis,
    ):
        sqlite = f"sqlite:///{directory}/desk.db"
        heading("From a revocation on one of eight processes to the refusal by the last", *_COLUMNS)
        arrival("PostgreSQL", asyncio.run(postgresql.new_database()), secret, rounds)
        arrival("Redis", redis.url, secret, rounds)
        arrival_by_http("HTTP poll, desk on SQLite", sqlite, secret, rounds, Path(directory))
        arrival_by_http(
            "HTTP poll, desk on PostgreSQL", asyncio.run(postgresql.new_database()), secret, rounds, Path(directory)
        )
        next_request(f"sqlite:///{directory}/next.db", secret, rounds)
        live_entries("PostgreSQL", asyncio.run(postgresql.new_database()), secret, rounds)


if __name__ == "__main__":
    main()
