"""What stands in front of an application: one desk with its gate and its API, opened when it is first needed."""

from __future__ import annotations

import asyncio
import weakref
from typing import ClassVar

import msgspec

from frontdesk.adapters.protection import Protection
from frontdesk.clock import Clock
from frontdesk.endpoints.gate import Gate
from frontdesk.endpoints.policy import Asked, Policies, RoutePolicy, nothing_known
from frontdesk.endpoints.routes import Api, policies_with_api
from frontdesk.endpoints.settings import EdgeSettings
from frontdesk.errors import RefusedError
from frontdesk.service.authenticate import Counts
from frontdesk.service.desk import Desk
from frontdesk.service.maintenance import Maintenance, Wait


class Front:
    """The desk as the middleware and whoever stands behind it know it. Opens lazily; usable from several loops."""

    refused: ClassVar[type[RefusedError]] = RefusedError
    """What is raised in the application for a refusal."""

    def __init__(self, desk: Desk, edge: EdgeSettings, protection: Protection) -> None:
        self.desk = desk
        self.gate = Gate(desk, edge, policies=policies_with_api(edge, self._policy_beyond))
        self.api = Api(self.gate)
        self.protection = protection
        self.policies: Policies = nothing_known
        """How to find out what the routes of the application ask, where it can be looked at."""
        self.is_open = False
        # Per event loop: a test client runs each request in one of its own.
        self._attempts: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[None]] = (
            weakref.WeakKeyDictionary()
        )

    @property
    def lag(self) -> float | None:
        """How many seconds this process's picture of the revocations may be behind; 0 where the store is always asked,
        None before a first complete picture."""
        return self.desk.lag

    @property
    def counts(self) -> Counts:
        """How requests were decided so far in this process."""
        return self.desk.counts

    @property
    def clock(self) -> Clock:
        return self.desk.clock

    def _policy_beyond(self, asked: Asked) -> RoutePolicy:
        policy = self.policies(asked)
        return policy if self.protection.admits(asked.path) else msgspec.structs.replace(policy, protected=True)

    def housekeeping(self, wait: Wait = asyncio.sleep) -> Maintenance:
        """What runs beside the requests. `wait`: what it pauses with."""
        desk = self.desk
        return Maintenance(desk.store, desk.unhurried, rotate=desk.rotate_keys, wait=wait)

    async def open(self) -> None:
        """Open the desk; whoever calls meanwhile shares the attempt. Raises ConfigurationError or StoreError."""
        if self.is_open:
            return
        loop = asyncio.get_running_loop()
        attempt = self._attempts.get(loop)
        if attempt is None:
            attempt = self._attempts[loop] = loop.create_task(self._open())
            attempt.add_done_callback(lambda done: self._attempted(loop, done))
        await asyncio.shield(attempt)

    async def close(self) -> None:
        """Finish what is under way and release the store. A later request opens it again."""
        self.is_open = False
        self.gate.feed.end()
        await self.desk.close()

    async def _open(self) -> None:
        await self.desk.open()
        self.gate.feed.begin()
        self.is_open = True

    def _attempted(self, loop: asyncio.AbstractEventLoop, attempt: asyncio.Task[None]) -> None:
        self._attempts.pop(loop, None)
        if not attempt.cancelled():
            attempt.exception()  # looked at, even if everybody who waited has gone
