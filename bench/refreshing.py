"""Refreshes over HTTP: 64 clients with a session each, one server process on one core, SQLite with FULL durability.

Inside grace a refresh is Renewed: an access token and no write. With a grace of nothing each one is Rotated: a write,
acknowledged after it is on the disk. Both are measured; every client goes on with the token that its answer brought.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from bench import clients
from bench.process import require_tools, serving
from bench.report import heading, machine, median, row, spread
from bench.wrk import Load, load

CLIENTS = 64
SECONDS = 4
ROUNDS = 5


async def _refresh_tokens(database: Path) -> Path:
    async with clients.desk(clients.url(database)) as desk:
        # Some more than there are connections: wrk makes one request by itself, to see what it looks like.
        signed = [await clients.signed_in(desk, "jwt") for _ in range(CLIENTS + 8)]
    tokens = database.with_suffix(".tokens")
    tokens.write_text("\n".join(each.refresh_token or "" for each in signed))
    return tokens


def _round(directory: Path, number: int, *, app: str, signing: str, rotate: bool) -> tuple[Load, float]:
    database = directory / f"{app}-{signing}-{rotate}-{number}.db"
    options = ["--store", clients.url(database), "--grace", "0" if rotate else "300", "--signing", signing]
    with serving(app, *options) as server:
        tokens = asyncio.run(_refresh_tokens(database))
        before = server.cpu_ns()
        found = load(
            server.url("/auth/refresh"),
            seconds=SECONDS,
            connections=CLIENTS,
            headers={"Host": clients.HOST},
            script="refresh.lua",
            arguments=[str(tokens), "advance" if rotate else "keep"],
        )
        return found, (server.cpu_ns() - before) / found.requests / 1000


def main() -> None:
    require_tools()
    print(machine())
    cases = {
        "Renewed, ES256": {"app": "asgi", "signing": "ES256", "rotate": False},
        "Rotated, ES256": {"app": "asgi", "signing": "ES256", "rotate": True},
        "Rotated, HS256": {"app": "asgi", "signing": "HS256", "rotate": True},
    }
    found: dict[str, list[tuple[Load, float]]] = {name: [] for name in cases}
    with tempfile.TemporaryDirectory(prefix="frontdesk-bench-") as directory:
        for number in range(ROUNDS):
            for name, case in cases.items():
                found[name].append(_round(Path(directory), number, **case))  # type: ignore[arg-type]
    heading(
        f"Refresh over HTTP, {CLIENTS} clients, SQLite FULL, one core",
        *("outcome", "refreshes/s", "p50 ms", "p99 ms", "µs of CPU each", "budget"),
    )
    for name, rounds in found.items():
        row(
            name,
            spread([each.per_second for each, _ in rounds], 0),
            f"{median([each.p50_ms for each, _ in rounds]):.1f}",
            spread([each.p99_ms for each, _ in rounds]),
            f"{median([cpu for _, cpu in rounds]):.0f}",
            "≥ 5,000/s, p99 < 25 ms",
        )


if __name__ == "__main__":
    main()
