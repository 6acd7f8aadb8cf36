"""Desks for tests: three stores, an adjustable clock, cheap hashing, every audit event kept."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path

from frontdesk.clock import AdjustableClock
from frontdesk.core.events import Event
from frontdesk.core.passwords import HashParameters
from frontdesk.service.audit import Audit
from frontdesk.service.desk import Desk
from frontdesk.service.hashing import PasswordHasher
from frontdesk.service.keys import MasterKeys
from frontdesk.service.settings import DeskSettings
from frontdesk.stores.memory import MemoryStore
from frontdesk.stores.protocol import Store
from frontdesk.stores.sqlite import SQLiteStore
from frontdesk.testing import SlowStore

SECRET = "x8TqzN4vKp2Wm7RcJ5hLd9YbGf3AsQeU"
OTHER_SECRET = "Zk6HnV1oXt8DiBw4CyMj0RuPl7SgEa2F"
PASSWORD = "correct horse battery staple"


def _trifling() -> HashParameters:
    parameters = HashParameters(memory_kib=12288, passes=3, lanes=1)
    for name, value in (("memory_kib", 64), ("passes", 1)):
        object.__setattr__(parameters, name, value)
    return parameters


CHEAP = _trifling()
"""Cheaper than anybody may configure: thousands of hashes are made whose cost proves nothing."""

STORES = ("memory", "slow", "sqlite")


def make_store(kind: str, directory: Path, *, seed: int = 0) -> Store:
    if kind == "sqlite":
        return SQLiteStore(directory / "desk.db", token_bytes=secrets.token_bytes)
    return MemoryStore() if kind == "memory" else SlowStore(MemoryStore(), seed=seed)


class TestDesk(Desk):
    """A desk that keeps its audit events and lends its clock."""

    __test__ = False

    def __init__(
        self,
        store: Store,
        settings: DeskSettings | None = None,
        *,
        clock: AdjustableClock | None = None,
        secrets_: list[str | bytes] | None = None,
        hashing: HashParameters = CHEAP,
        queue: int = 32,
    ) -> None:
        self.events: list[Event] = []
        self.time = clock or AdjustableClock()
        master = MasterKeys(secrets_ or [SECRET])
        self.hasher = PasswordHasher(
            hashing, seal_keys=master.password_seals, token_bytes=secrets.token_bytes, concurrency=1, queue=queue
        )
        super().__init__(
            store,
            master,
            settings or DeskSettings(),
            hasher=self.hasher,
            clock=self.time,
            audit=Audit((self.events.append,)),
        )

    def names(self) -> list[str]:
        return [event.name for event in self.events]


async def until(condition: Callable[[], bool]) -> None:
    """Return when the condition holds; AssertionError when it does not within 20 s."""
    for _ in range(20_000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("what should happen did not")


def run(desk: TestDesk, scenario: Callable[[TestDesk], Awaitable[None]]) -> None:
    """Open, play, close."""

    async def play() -> None:
        await desk.open()
        try:
            await scenario(desk)
        finally:
            await desk.close()

    asyncio.run(play())
