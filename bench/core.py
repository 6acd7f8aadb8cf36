"""What stands under a request, measured inside one process: checks and rotations."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import Any

from bench import clients
from bench.report import heading, machine, row, spread
from frontdesk.core.sessions import SessionPolicy, Transport
from frontdesk.service.desk import Desk
from frontdesk.stores.protocol import ASK, Store

CALLS = 2000
ROUNDS = 15
ROTATIONS = 4096
_CONCURRENT = 64


@dataclass(frozen=True, slots=True)
class _Check:
    """A question to a desk that is asked without waiting."""

    ask: Callable[[], object]
    wait: Callable[[], Coroutine[Any, Any, object]]
    microseconds: list[float] = field(default_factory=list)

    async def measure(self) -> None:
        answer = None
        began = perf_counter()
        for _ in range(CALLS):
            answer = self.ask()
        elapsed = perf_counter() - began
        if answer is not ASK:
            self.microseconds.append(elapsed / CALLS * 1e6)
            return
        # Somebody took the processor in the middle of a read, so the store went over to its threads: no figure. It
        # answers at once again as soon as some reads there were fast.
        for _ in range(100):
            await self.wait()


def _check(desk: Desk, credential: str | None, transport: Transport) -> _Check:
    token = (credential or "").encode()
    return _Check(lambda: desk.authenticate_now(token, transport), lambda: desk.authenticate(token, transport))


async def checks(directory: Path) -> None:
    """`authenticate_now` and what it rests on, over SQLite, on this thread."""
    async with (
        clients.desk(clients.url(directory / "es256.db")) as es,
        clients.desk(clients.url(directory / "hs256.db"), "HS256") as hs,
    ):
        session = await clients.signed_in(es, "session", "cookie")
        es_jwt, hs_jwt = await clients.signed_in(es, "jwt"), await clients.signed_in(hs, "jwt")
        assert es_jwt.access_token
        assert hs_jwt.access_token
        at = ("default", session.session.id)
        work = {
            "store.peek_session": _Check(lambda: es.store.peek_session(*at), lambda: es.store.read_session(*at)),
            "authenticate_now, session": _check(es, session.session_token, "cookie"),
            "authenticate_now, JWT HS256": _check(hs, hs_jwt.access_token.text, "bearer"),
            "authenticate_now, JWT ES256": _check(es, es_jwt.access_token.text, "bearer"),
        }
        for _ in range(ROUNDS):
            for check in work.values():
                await check.measure()
    heading("Checks over SQLite, in process", "what", "µs")
    for name, check in work.items():
        row(name, spread(check.microseconds))


async def _rotations(store: Store, sessions: list[str], policy: SessionPolicy, now: datetime) -> float:
    """Rotations per second, each client presenting its newest generation again and again."""
    turns = ROTATIONS // _CONCURRENT

    async def client(session_id: str) -> None:
        for generation in range(turns):
            decision = await store.rotate("default", session_id, generation, now, policy)
            assert decision is not None
            assert decision.outcome.mints

    await asyncio.gather(*map(client, sessions[:1]))
    began = perf_counter()
    await asyncio.gather(*map(client, sessions[1:]))
    return turns * (len(sessions) - 1) / (perf_counter() - began)


async def rotations(directory: Path) -> None:
    """Decisions of the rotation table, each written and acknowledged before its client goes on."""
    policy = SessionPolicy(grace=timedelta(0))
    found: dict[str, list[float]] = {"SQLite, FULL": [], "memory": []}
    async with clients.desk(clients.url(directory / "rotations.db")) as sqlite, clients.desk("memory:") as memory:
        for _ in range(5):
            for name, desk in (("SQLite, FULL", sqlite), ("memory", memory)):
                signed = [await clients.signed_in(desk, "jwt") for _ in range(_CONCURRENT + 1)]
                ids = [each.session.id for each in signed]
                found[name].append(await _rotations(desk.store, ids, policy, datetime.now(UTC)))
    heading(f"Rotations at the store, {_CONCURRENT} at a time", "store", "rotations/s")
    for name, each in found.items():
        row(name, spread(each, 0))


def main() -> None:
    print(machine())
    with tempfile.TemporaryDirectory(prefix="frontdesk-bench-") as directory:
        here: list[Callable[[Path], Coroutine[Any, Any, None]]] = [checks, rotations]
        for part in here:
            asyncio.run(part(Path(directory)))


if __name__ == "__main__":
    main()
