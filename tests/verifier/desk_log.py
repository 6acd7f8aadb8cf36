"""A desk, its revocation log as other services see it, and a verifier on a machine whose clocks are moved by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import msgspec

from frontdesk.core.revocation import target_digest
from frontdesk.core.sessions import CredentialKind, Transport
from frontdesk.errors import StoreError
from frontdesk.jose.jwk import from_jwk
from frontdesk.service.desk import Desk
from frontdesk.service.settings import DeskSettings
from frontdesk.service.sign_in import Grant, Signed, SignInOptions
from frontdesk.stores.memory import MemoryStore
from frontdesk.stores.protocol import NO_TIME, Poll, Store
from frontdesk.verifier import Verifier
from tests.service.desks import TestDesk

ISSUER = "https://desk.example"


class DeskLog:
    """The log of one realm with digests, as it leaves a desk. Refuses to answer while `away`."""

    def __init__(self, store: Store, realm: str = "default") -> None:
        self.store = store
        self.realm = realm
        self.away = False
        self.polls = 0
        self.gate: asyncio.Event | None = None

    async def poll(self, cursor: int, *, limit: int = 1000, wait: timedelta = NO_TIME) -> Poll:
        self.polls += 1
        if self.away:
            raise StoreError("away")
        page = await self.store.poll(cursor, limit=limit, wait=wait)
        if self.gate is not None:
            await self.gate.wait()
        if self.away:
            raise StoreError("away")
        return msgspec.structs.replace(
            page,
            entries=tuple(
                msgspec.structs.replace(entry, target=target_digest(self.realm, entry.target))
                if entry.kind in {"session", "subject"}
                else entry
                for entry in page.entries
                if entry.realm == self.realm and entry.kind != "changed"
            ),
        )


class Service:
    """One service with a verifier that follows `desk`."""

    def __init__(self, desk: TestDesk, **options: Any) -> None:
        self.desk = desk
        self.log = DeskLog(desk.store)
        self.boot = 100.0
        settings: dict[str, Any] = {
            "issuer": ISSUER,
            "keys": [from_jwk(key) for key in desk.keys.public()],
            "source": self.log,
            "freshness": "bounded",
            "clock": desk.time,
        }
        self.verifier = Verifier(**(settings | options))
        follower = self.verifier._follower
        if follower is not None:
            follower._boot = follower._wall = lambda: self.boot

    def pass_the_bound(self) -> None:
        """Let local state grow too old, and the background see nothing of the desk."""
        self.log.away = True
        self.boot += 5.1


async def sign_in(
    desk: Desk,
    subject: str = "alice",
    *,
    credential: CredentialKind = "jwt",
    transport: Transport = "bearer",
    **grant: Any,
) -> tuple[str, str]:
    """A credential and the id of its session."""
    options = SignInOptions(credential=credential, transport=transport)
    signed = await desk.sign_in(Grant(subject=subject, **grant), options=options)
    assert isinstance(signed, Signed)
    return signed.session_token or (signed.access_token.text if signed.access_token else ""), signed.session.id


@asynccontextmanager
async def desk_and_service(settings: DeskSettings | None = None, **options: Any) -> AsyncIterator[Service]:
    desk = TestDesk(MemoryStore(), settings or DeskSettings(issuer=ISSUER))
    await desk.open()
    service = Service(desk, **options)
    try:
        yield service
    finally:
        service.log.away = False
        await service.verifier.close()
        await desk.close()


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def play() -> None:
        async with asyncio.timeout(20):
            await scenario()
            assert len(asyncio.all_tasks()) == 1, "something was left running"

    asyncio.run(play())
