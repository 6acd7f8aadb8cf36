"""A server that is started while its store is away: 503 until it is back, for of several workers one that fails to
start would end them all."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from frontdesk.errors import FrontdeskError, OverloadedError, StoreError
from frontdesk.server.app import Application
from frontdesk.server.settings import ServerSettings


class Lifespan:
    """The server around an application, as uvicorn tells it to begin and to end."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self.said: list[str] = []
        self._started, self._ending = asyncio.Event(), asyncio.Event()

    async def __aenter__(self) -> httpx.AsyncClient:
        self._task = asyncio.create_task(self._app({"type": "lifespan"}, self._receive, self._send))
        await self._started.wait()
        return httpx.AsyncClient(transport=httpx.ASGITransport(self._app), base_url="http://localhost")

    async def __aexit__(self, *_: object) -> None:
        self._ending.set()
        await self._task

    async def _receive(self) -> dict[str, str]:
        if self._started.is_set():
            await self._ending.wait()
        return {"type": "lifespan.shutdown" if self._started.is_set() else "lifespan.startup"}

    async def _send(self, message: Any) -> None:
        self.said.append(message["type"])
        self._started.set()


def failing(app: Application, faults: list[Exception], monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """The desk does not open before it has met these faults; set when it is open."""
    really, opened = app.desk.open, asyncio.Event()

    async def opening() -> None:
        if faults:
            raise faults.pop(0)
        await really()
        opened.set()

    monkeypatch.setattr(app.desk, "open", opening)
    return opened


@pytest.mark.parametrize("first", [StoreError("away"), OverloadedError("busy")])
def test_a_store_that_is_away_at_the_start_is_503_until_it_is_back(
    first: FrontdeskError, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        released = asyncio.Event()

        async def pause(_seconds: float) -> None:
            await released.wait()

        app = Application(ServerSettings(store="memory:"), pause=pause)
        faults = [first, StoreError("away"), ValueError("a defect")]
        opened = failing(app, faults, monkeypatch)
        lifespan = Lifespan(app)
        async with asyncio.timeout(10), lifespan as client, client:
            for path in ("/healthz", "/auth/jwks.json"):
                assert (await client.get(path)).status_code == 503
            released.set()
            await opened.wait()
            assert (await client.get("/healthz")).status_code == 200
            assert (await client.get("/auth/jwks.json")).status_code == 200
        assert lifespan.said == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(scenario())


def test_a_server_whose_store_stays_away_ends_when_it_is_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        app = Application(ServerSettings(store="memory:"))
        failing(app, [StoreError("away") for _ in range(1000)], monkeypatch)
        lifespan = Lifespan(app)
        async with asyncio.timeout(10), lifespan as client, client:
            assert (await client.get("/healthz")).status_code == 503
        assert lifespan.said == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(scenario())
