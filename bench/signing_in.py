"""How long other requests take while two clients sign in with a password without pause.

Other requests are due every five milliseconds whatever became of the one before, and each is measured from the moment
that it was due: a server that stands still for a while cannot hide it.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench import clients
from bench.process import LOAD_CORE, SERVER_CORE, Server, require_tools, serving
from bench.report import heading, machine, row, spread

SECONDS = 6.0
ROUNDS = 3
_EVERY = 0.005
_CONNECTIONS = 8
_SIGNING_IN = 2
_PASSWORD = "correct horse battery staple of the bench"  # noqa: S105 - of accounts that exist for some seconds


class Client:
    """One kept-alive connection; as little HTTP as the answers here need."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, server: Server) -> Client:
        return cls(*await asyncio.open_connection("127.0.0.1", server.port))

    async def ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> int:
        """Send a request, read its whole answer; the status."""
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        if body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        self._writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        await self._reader.readexactly(int(head.partition(b"content-length:")[2].partition(b"\r\n")[0]))
        return int(head.split(b" ", 2)[1])

    def close(self) -> None:
        self._writer.close()


@dataclass(slots=True)
class Run:
    """What one run saw."""

    milliseconds: list[float] = field(default_factory=list)
    signed_in: int = 0

    @property
    def p99(self) -> float:
        return statistics.quantiles(self.milliseconds, n=100)[98]


async def _probe(client: Client, offset: float, headers: Mapping[str, str], until: float, run: Run) -> None:
    clock = asyncio.get_running_loop().time
    due = clock() + offset
    while due < until:
        await asyncio.sleep(max(0.0, due - clock()))
        if await client.ask("GET", "/protected", headers) != 200:
            raise RuntimeError("a request of a signed-in client was refused")
        run.milliseconds.append((clock() - due) * 1000)
        due += _EVERY * _CONNECTIONS


async def _sign_in(client: Client, number: int, until: float, run: Run) -> None:
    body = json.dumps({"email": f"clerk{number}@bench.example", "password": _PASSWORD, "transport": "bearer"}).encode()
    while asyncio.get_running_loop().time() < until:
        if await client.ask("POST", "/auth/login", {"Host": clients.HOST}, body) != 200:
            raise RuntimeError("a sign-in was refused")
        run.signed_in += 1


async def _register(server: Server) -> None:
    for number in range(_SIGNING_IN):
        client = await Client.connect(server)
        body = json.dumps({"email": f"clerk{number}@bench.example", "password": _PASSWORD})
        if await client.ask("POST", "/auth/register", {"Host": clients.HOST}, body.encode()) != 201:
            raise RuntimeError("an account could not be made")
        client.close()


async def _run(server: Server, token: str | None, *, signing_in: int) -> Run:
    run = Run()
    headers = clients.session_cookie(token)
    probes = [await Client.connect(server) for _ in range(_CONNECTIONS)]
    busy = [await Client.connect(server) for _ in range(signing_in)]
    until = asyncio.get_running_loop().time() + SECONDS
    async with asyncio.TaskGroup() as tasks:
        for number, client in enumerate(probes):
            tasks.create_task(_probe(client, number * _EVERY, headers, until, run))
        for number, client in enumerate(busy):
            tasks.create_task(_sign_in(client, number, until, run))
    for client in (*probes, *busy):
        client.close()
    return run


async def _measure(server: Server, store: str) -> tuple[list[Run], list[Run]]:
    """Runs without and with sign-ins, in turns."""
    async with clients.desk(store) as desk:
        token = (await clients.signed_in(desk, "session", "cookie")).session_token
    await _register(server)
    quiet, loud = [], []
    for _ in range(ROUNDS):
        quiet.append(await _run(server, token, signing_in=0))
        loud.append(await _run(server, token, signing_in=_SIGNING_IN))
    return quiet, loud


def main() -> None:
    require_tools()
    print(machine())
    heading(
        "Other requests while two clients sign in without pause",
        *("argon2 profile", "cores", "p99 ms without sign-ins", "p99 ms with", "longest ms", "sign-ins/s", "budget"),
    )
    for profile, budget in (("small", "p99 < 10 ms"), ("default", "reported")):
        for cores in (SERVER_CORE, f"{SERVER_CORE},{LOAD_CORE}"):
            with tempfile.TemporaryDirectory(prefix="frontdesk-bench-") as directory:
                store = clients.url(Path(directory) / "app.db")
                with serving("asgi", "--store", store, "--hashing", profile, cores=cores) as server:
                    quiet, loud = asyncio.run(_measure(server, store))
            row(
                profile,
                str(len(cores.split(","))),
                spread([run.p99 for run in quiet]),
                spread([run.p99 for run in loud]),
                f"{max(max(run.milliseconds) for run in loud):.0f}",
                f"{statistics.median(run.signed_in / SECONDS for run in loud):.1f}",
                budget,
            )


if __name__ == "__main__":
    main()
