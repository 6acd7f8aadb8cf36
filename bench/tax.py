"""What one protected request costs the server above the same request to an application without Frontdesk.

The processor time of one uvicorn process is divided by the requests that it answered, so that waiting for the load, or
for others on the machine, is not counted. wrk runs on the same core and yields to the server.
"""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import clients
from bench.process import Server, require_tools, serving
from bench.report import heading, machine, median, ratios, row, spread
from bench.wrk import load
from tests.requirements import find_postgresql
from tests.servers.postgresql import PostgreSQL

SECONDS = 1
ROUNDS = 9
_MANY = 8000


@dataclass(slots=True)
class Case:
    """One kind of request to one server, and what it was found to cost per round."""

    server: Server
    path: str
    headers: Mapping[str, str]
    options: Mapping[str, Any] = field(default_factory=dict)
    microseconds: list[float] = field(default_factory=list)

    def measure(self) -> None:
        before = self.server.cpu_ns()
        found = load(self.server.url(self.path), seconds=SECONDS, headers=self.headers, beside=True, **self.options)
        self.microseconds.append((self.server.cpu_ns() - before) / found.requests / 1000)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the clients of one database hold."""

    session: str | None
    jwt: str | None
    tokens: Path


async def _credentials(store: str, signing: Any, tokens: Path, secret: str | None = None) -> Credentials:
    async with clients.desk(store, signing, secret) as desk:
        session = await clients.signed_in(desk, "session", "cookie")
        jwt = await clients.signed_in(desk, "jwt")
        _write(tokens, await clients.access_tokens(desk, jwt, _MANY))
        assert jwt.access_token
        return Credentials(session.session_token, jwt.access_token.text, tokens)


def _write(file: Path, lines: Sequence[str]) -> None:
    file.write_text("\n".join(lines), encoding="ascii")


def _in_turns(cases: Mapping[str, Case]) -> None:
    for _ in range(ROUNDS):
        for case in cases.values():
            case.measure()


def bare_asgi(directory: Path) -> None:
    stores = {name: clients.url(directory / f"{name}.db") for name in ("es256", "hs256")}
    es256 = asyncio.run(_credentials(stores["es256"], "ES256", directory / "es256.tokens"))
    hs256 = asyncio.run(_credentials(stores["hs256"], "HS256", directory / "hs256.tokens"))
    cookie, nobody = clients.session_cookie(es256.session), {"Host": clients.HOST}
    secret = secrets.token_urlsafe(32)
    with ExitStack() as servers:
        bare = servers.enter_context(serving("bare"))
        es = servers.enter_context(serving("asgi", "--store", stores["es256"]))
        hs = servers.enter_context(serving("asgi", "--store", stores["hs256"], "--signing", "HS256"))
        postgresql = servers.enter_context(PostgreSQL(find_postgresql()))
        url = asyncio.run(postgresql.new_database())
        held = asyncio.run(_credentials(url, "ES256", directory / "held.tokens", secret))
        far = servers.enter_context(serving("asgi", "--store", url, environment={"BENCH_SECRET": secret}))
        pairs: dict[str, tuple[Case, Case, str]] = {}
        for name, server, path, headers, budget in (
            ("nobody signed in, route that does not ask", es, "/bare", nobody, ""),
            ("session in a cookie", es, "/protected", cookie, "15"),
            ("JWT HS256, the same token again", hs, "/protected", clients.bearer(hs256.jwt), "8"),
            ("JWT ES256, the same token again", es, "/protected", clients.bearer(es256.jwt), "8"),
            ("PostgreSQL bounded, session in a cookie", far, "/protected", clients.session_cookie(held.session), "5"),
            ("PostgreSQL bounded, JWT ES256 again", far, "/protected", clients.bearer(held.jwt), "4"),
        ):
            pairs[name] = Case(bare, path, headers), Case(server, path, headers), budget
        for name, server, tokens in (("HS256", hs, hs256.tokens), ("ES256", es, es256.tokens)):
            options = {"script": "turns.lua", "arguments": [str(tokens)]}
            pairs[f"JWT {name}, {_MANY} tokens in turn"] = (
                Case(bare, "/protected", nobody, options),
                Case(server, "/protected", nobody, options),
                "",
            )
        _in_turns({f"{name} {kind}": case for name, pair in pairs.items() for kind, case in enumerate(pair[:2])})
    heading("Tax on bare ASGI, µs of server CPU per request", "request", "bare", "with Frontdesk", "tax", "budget")
    for name, (below, above, budget) in pairs.items():
        tax = [one - other for one, other in zip(above.microseconds, below.microseconds, strict=True)]
        row(name, f"{median(below.microseconds):.1f}", f"{median(above.microseconds):.1f}", spread(tax), budget)


def fastapi(directory: Path) -> None:
    database = directory / "fastapi.db"
    known = asyncio.run(_credentials(clients.url(database), "ES256", directory / "fastapi.tokens"))
    cookie = clients.session_cookie(known.session)
    with ExitStack() as servers:
        bare = servers.enter_context(serving("bare-fastapi"))
        desk = servers.enter_context(serving("fastapi", "--store", clients.url(database)))
        cases = {
            "bare": Case(bare, "/bare", cookie),
            "one empty dependency": Case(bare, "/dependency", cookie),
            "protected, session in a cookie": Case(desk, "/protected", cookie),
            "protected, JWT ES256": Case(desk, "/protected", clients.bearer(known.jwt)),
        }
        _in_turns(cases)
    heading("FastAPI, relative to its bare route", "route", "µs of server CPU", "bare ÷ route", "budget")
    for name, case in cases.items():
        each = ratios(cases["bare"].microseconds, case.microseconds)
        row(name, f"{median(case.microseconds):.1f}", spread(each, 2), "≥ 0.80" if "session" in name else "")


def main() -> None:
    require_tools()
    print(machine())
    with tempfile.TemporaryDirectory(prefix="frontdesk-bench-") as directory:
        bare_asgi(Path(directory))
        fastapi(Path(directory))


if __name__ == "__main__":
    main()
