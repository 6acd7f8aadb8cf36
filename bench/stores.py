"""A protected request over each store: what a process serves, what it takes for it, and how often the store is asked.

One server process on one core, wrk on the other, 16 connections, each of several clients' credentials in turn. On
SQLite the row is read on each request; over PostgreSQL and Redis `bounded` answers from what the process holds and
`strict` asks.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from bench import clients
from bench.process import Server, require_tools, serving
from bench.report import heading, machine, median, row, spread
from bench.wrk import Load, load
from tests.requirements import find_postgresql
from tests.servers.postgresql import PostgreSQL
from tests.servers.redis import RedisServer

CLIENTS: Final = 200
SECONDS: Final = 3
ROUNDS: Final = 5
_FRESHNESS: Final = ("bounded", "strict")
_KINDS: Final[tuple[Literal["session", "jwt"], ...]] = ("session", "jwt")


@dataclass(slots=True)
class Case:
    """One store, credential and freshness; what was found per round."""

    name: str
    server: Server
    tokens: Path | None
    path: str = "/protected"
    loads: list[Load] = field(default_factory=list)
    microseconds: list[float] = field(default_factory=list)
    lookups: list[float] = field(default_factory=list)

    def measure(self) -> None:
        """One round. The credentials take turns, and each was presented before."""
        before, asked = self.server.cpu_ns(), self._questions()
        found = load(
            self.server.url(self.path),
            seconds=SECONDS,
            headers={"Host": clients.HOST},
            script=None if self.tokens is None else "turns.lua",
            arguments=() if self.tokens is None else [str(self.tokens)],
        )
        self.microseconds.append((self.server.cpu_ns() - before) / found.requests / 1000)
        self.lookups.append((self._questions() - asked) / found.requests)
        self.loads.append(found)

    def _questions(self) -> int:
        if self.tokens is None:
            return 0
        with urllib.request.urlopen(self.server.url("/counts"), timeout=5) as answer:  # noqa: S310 - loopback
            return int(answer.read())


async def _credentials(store: str, secret: str, kind: Literal["session", "jwt"]) -> str:
    async with clients.desk(store, secret=secret) as desk:
        signed = [await clients.signed_in(desk, kind) for _ in range(CLIENTS)]
    return "\n".join(each.session_token or (each.access_token.text if each.access_token else "") for each in signed)


def _tokens(directory: Path, name: str, store: str, secret: str) -> dict[str, Path]:
    """Files with the credentials of each kind."""
    files: dict[str, Path] = {}
    for kind in _KINDS:
        files[kind] = directory / f"{name}.{kind}"
        files[kind].write_text(asyncio.run(_credentials(store, secret, kind)), encoding="ascii")
    return files


def _cases(stores: dict[str, str], secret: str, directory: Path, stack: ExitStack) -> Iterator[Case]:
    environment = {"BENCH_SECRET": secret}
    yield Case("bare ASGI", stack.enter_context(serving("bare")), None, path="/bare")
    for name, url in stores.items():
        tokens = _tokens(directory, name, url, secret)
        for freshness in _FRESHNESS if name != "SQLite" else ("strict",):
            options = ("--store", url, "--freshness", freshness)
            server = stack.enter_context(serving("asgi", *options, environment=environment))
            for kind, file in tokens.items():
                yield Case(f"{name}, {kind}, {freshness}", server, file)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    require_tools()
    print(machine())
    secret = secrets.token_urlsafe(32)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="frontdesk-bench-")))
        postgresql = stack.enter_context(PostgreSQL(find_postgresql(), durable=True))
        redis = stack.enter_context(RedisServer(directory, options={"appendonly": "yes"}))
        stores = {
            "SQLite": clients.url(directory / "bench.db"),
            "PostgreSQL": asyncio.run(postgresql.new_database()),
            "Redis": redis.url,
        }
        cases = list(_cases(stores, secret, directory, stack))
        for number in range(rounds + 1):
            for case in cases:
                case.measure()
                if number == 0:  # the first round fills what a process holds
                    case.loads, case.microseconds, case.lookups = [], [], []
        heading(
            "A protected request over each store, one process on one core",
            "store, credential, freshness", "requests/s", "µs of CPU", "p50 ms", "p99 ms", "look-ups per request",
            "resident MiB",
        )  # fmt: skip
        for case in cases:
            row(
                case.name,
                f"{median([each.per_second for each in case.loads]):,.0f}",
                spread(case.microseconds),
                f"{median([each.p50_ms for each in case.loads]):.2f}",
                f"{median([each.p99_ms for each in case.loads]):.2f}",
                "–" if case.tokens is None else f"{median(case.lookups):.4f}",
                f"{case.server.resident_mib():.0f}",
            )


if __name__ == "__main__":
    main()
