"""What a store's author provides, and what the rules have in common."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

import msgspec

from frontdesk.core.accounts import Account
from frontdesk.core.credentials import encode_id
from frontdesk.core.keyring import StoredKey
from frontdesk.core.revocation import Entry, EntryKind, entry_expiry
from frontdesk.core.services import Service
from frontdesk.core.sessions import Session, SessionPolicy
from frontdesk.core.throttle import AttemptKeys
from frontdesk.stores.protocol import Created, Store

T0: Final = datetime(2026, 1, 1, 12, 30, 15, 123457, tzinfo=UTC)
TICK: Final = timedelta(microseconds=1)
"""The resolution of every store."""
POLICY: Final = SessionPolicy()
REALM: Final = "default"
CROWD: Final = 50
"""How many callers meet in the races."""

T = TypeVar("T")
S = TypeVar("S", bound="StoreHarness")


class StoreHarness(ABC):
    """Three answers that only the author of a store can give, and a fourth that most must give."""

    patience: timedelta = timedelta(seconds=10)
    """How long a rule waits for what should come at once, before it fails. Nothing that passes takes that long."""

    @abstractmethod
    def open_store(self) -> AbstractAsyncContextManager[Store]:
        """Enter: a new, empty, open store. Exit: close it if it is open, and remove its storage."""

    @abstractmethod
    async def raw_dump(self, store: Store) -> bytes:
        """Every byte that the open `store` holds at rest: the files as they are, logs and journals included."""

    @abstractmethod
    def failing(self, store: Store) -> AbstractAsyncContextManager[None]:
        """Within the context no write of the open `store` can succeed: a full disk, a lost connection, a lock."""

    @asynccontextmanager
    async def another(self, store: Store) -> AsyncIterator[Store]:
        """Another open store on the storage of `store`, which may itself be open or closed.

        By default `store` itself, opened again: right only where storage and object are one. A store with files or
        a server opens a second one here and closes it on exit.
        """
        await store.open()
        yield store


def with_store(rule: Callable[[S, Store], Awaitable[None]]) -> Callable[[S], None]:
    """Run an asynchronous rule on a new store, in an event loop of its own. No plugin is needed for that."""

    def run(self: S) -> None:
        async def scenario() -> None:
            async with self.open_store() as store:
                await rule(self, store)

        asyncio.run(scenario())

    # Not functools.wraps: pytest would follow __wrapped__ and take `store` for a fixture.
    run.__name__, run.__qualname__, run.__doc__ = rule.__name__, rule.__qualname__, rule.__doc__
    return run


def expect(actual: object, expected: object) -> None:
    """Assert equality with both sides in the message, also where pytest does not rewrite assertions."""
    assert actual == expected, f"\n  got      {_short(actual)}\n  expected {_short(expected)}"


def plain(value: object) -> object:
    """`value` with every field of the records in it, for messages and dumps: their own texts leave fields out."""
    if isinstance(value, msgspec.Struct):
        return type(value).__name__, plain(msgspec.structs.asdict(value))
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return value


def _short(value: object) -> str:
    text = repr(plain(value))
    return text if len(text) <= 1000 else f"{text[:1000]}…"


async def crowd(call: Callable[[int], Awaitable[T]], size: int = CROWD) -> list[T]:
    """`size` calls at once, in tasks of their own."""

    async def one(number: int) -> T:
        return await call(number)

    return await asyncio.gather(*(asyncio.create_task(one(number)) for number in range(size)))


def sid(number: int) -> str:
    """The session id with this number."""
    return encode_id(number.to_bytes(16, "big"))


def a_session(number: int = 1, **changes: Any) -> Session:
    """A session that stands at T0. Later numbers are newer by a second."""
    created = T0 + timedelta(seconds=number)
    fields: dict[str, Any] = {
        "id": sid(number),
        "realm": REALM,
        "subject": "alice",
        "credential": "jwt",
        "transport": "cookie",
        "refresh_in": "cookie",
        "remember": True,
        "created_at": created,
        "auth_time": created,
        "last_seen_at": created,
        "expires_at": created + POLICY.absolute,
        "idle_timeout": POLICY.idle,
        "salt": number.to_bytes(16, "little"),
        "minted_at": created,
    }
    return Session(**(fields | changes))


def an_account(number: int = 1, **changes: Any) -> Account:
    """An account of the default realm."""
    fields: dict[str, Any] = {
        "id": f"subject-{number}",
        "realm": REALM,
        "email": f"{number}@example.com",
        "password": f"sealed-{number}",
        "created_at": T0,
    }
    return Account(**(fields | changes))


def a_key(number: int = 1, **changes: Any) -> StoredKey:
    """A current key of the default realm."""
    fields: dict[str, Any] = {
        "id": f"key-{number}",
        "realm": REALM,
        "algorithm": "ES256",
        "state": "current",
        "public": '{"kty":"EC"}',
        "sealed": b"\x00sealed\xff",
        "created_at": T0,
        "changed_at": T0,
    }
    return StoredKey(**(fields | changes))


def a_service(number: int = 1, **changes: Any) -> Service:
    """A service of the default realm."""
    fields: dict[str, Any] = {
        "name": f"service-{number}",
        "realm": REALM,
        "digest": number.to_bytes(32, "big"),
        "scopes": ("revocations",),
        "created_at": T0,
    }
    return Service(**(fields | changes))


def an_entry(kind: EntryKind, target: str, *, at: datetime = T0, **changes: Any) -> Entry:
    """An entry as another store, or this one before it lost it, has made it at `at`."""
    fields: dict[str, Any] = {"number": 1_000_003, "realm": REALM, "epoch": 0, "expires_at": entry_expiry(at, kind)}
    return Entry(kind=kind, target=target, at=at, **(fields | changes))


def attempt(account: int = 1, network: int = 1) -> AttemptKeys:
    """The keys of an attempt at an account from a network."""
    pair = bytes((account, network))
    return AttemptKeys(b"account" + pair[:1] * 25, b"network" + pair[1:] * 25, b"pair" + pair * 14)


async def create(store: Store, *sessions: Session, max_sessions: int = 100) -> None:
    """Insert sessions that displace nothing."""
    for session in sessions:
        created = await store.create_session(session, max_sessions=max_sessions, now=session.created_at)
        expect(created, Created())


async def stored(store: Store, session: Session) -> Session:
    """The row as it stands now."""
    row = await store.read_session(session.realm, session.id)
    assert row is not None, f"session {session.id} is gone"
    return row


async def log(store: Store) -> tuple[Entry, ...]:
    """The whole log."""
    return (await store.poll(0)).entries


async def log_of(store: Store) -> list[tuple[str, str, str]]:
    """The whole log as (realm, kind, target)."""
    return [(entry.realm, entry.kind, entry.target) for entry in await log(store)]


async def head_of(store: Store) -> int:
    """The highest number that was given so far; the cursor from which the next entry is the first."""
    return (await store.poll(0)).head


def ids(sessions: Iterable[Session]) -> list[str]:
    """The ids, in order."""
    return [session.id for session in sessions]


def count(items: Iterable[object], wanted: object) -> int:
    """How many are `wanted`."""
    return sum(item == wanted for item in items)
