"""How a connection to a store's primary is made, and what a server must be like to be one.

Every connection is looked at, not only the first: after a fail-over the server is another one, with its own settings.
"""

from __future__ import annotations

import asyncio
import re
import select
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import RedisError

from frontdesk.errors import ConfigurationError, StoreError
from frontdesk.stores.redis.address import Address, Place

OLDEST: Final = (7, 0)
"""Scripts that say beforehand what they do came with this version."""

_PLAIN: Final[Mapping[str, Any]] = {
    "socket_timeout": None,
    "socket_connect_timeout": None,
    "protocol": 2,
    "driver_info": None,
}
"""No time limits of redis-py's: each operation has one. RESP2: nothing arrives that was not asked for."""

_SENTINEL_SHARE: Final = 4
"""One Sentinel is given this part of the time limit, so that one that hangs leaves time for the others."""


class Connector:
    """Makes connections. `seconds`: the time limit of an operation."""

    def __init__(self, address: Address, seconds: float) -> None:
        self._address = address
        self._seconds = seconds
        self._sentinels = list(address.places) if address.service else []

    async def connect(self) -> AbstractConnection:
        """A connection to the primary. ConfigurationError where that would have to be another server, or set up
        differently; StoreError where the Sentinels know none."""
        connection, info = await self.reach()
        try:
            require(info)
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return connection

    async def reach(self) -> tuple[AbstractConnection, Mapping[str, str]]:
        """A connection to the primary, however it is set up, and what the server says of itself."""
        place = await self._primary() if self._sentinels else (self._address.places or (None,))[0]
        connection = self._connection(place)
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
            info = await self._greet(connection)
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return connection, info

    def _connection(self, place: Place | None) -> AbstractConnection:
        address = self._address
        who: dict[str, Any] = {"username": address.username or None, "password": address.password or None}
        if place is None:
            return UnixDomainSocketConnection(path=address.path, db=address.db, **who, **_PLAIN)
        return self._over_network(place, db=address.db, **who)

    def _over_network(self, place: Place, **arguments: Any) -> AbstractConnection:
        host, port = place
        if self._address.tls is None:
            return Connection(host=host, port=port, **arguments, **_PLAIN)
        tls: Mapping[str, Any] = self._address.tls
        return SSLConnection(host=host, port=port, **arguments, **_PLAIN, **tls)

    async def _greet(self, connection: AbstractConnection) -> Mapping[str, str]:
        commands = (("CLIENT", "SETNAME", "frontdesk"), ("INFO",))
        await connection.send_packed_command(connection.pack_commands(commands))
        await connection.read_response()
        info = facts(await connection.read_response())
        if self._sentinels and info.get("role") != "master":  # in the middle of a fail-over
            raise StoreError("the server that the Sentinels name is not the primary yet")
        return info

    async def _primary(self) -> Place:
        """What the first Sentinel says that says anything; it is asked first the next time."""
        last = ""
        for sentinel in tuple(self._sentinels):
            try:
                async with asyncio.timeout(self._seconds / _SENTINEL_SHARE):
                    found = await self._ask(sentinel)
            except (RedisError, OSError) as fault:
                last = type(fault).__name__
                continue
            if found is not None:
                self._sentinels.remove(sentinel)
                self._sentinels.insert(0, sentinel)
                return found
        raise StoreError(f"no Sentinel names a primary for {self._address.service!r}", detail=last)

    async def _ask(self, sentinel: Place) -> Place | None:
        address = self._address
        who = {"username": address.sentinel_username or None, "password": address.sentinel_password or None}
        connection = self._over_network(sentinel, **who)
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
            await connection.send_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", address.service)
            answer = await connection.read_response()
        finally:
            await connection.disconnect(nowait=True)
        return None if answer is None else (answer[0].decode(), int(answer[1]))


def is_quiet(connection: AbstractConnection) -> bool:
    """Whether a connection that nobody uses can be used: it stands, and nothing has arrived, which would be its end.

    The socket itself is asked, since the event loop may not have come to it yet.
    """
    writer = connection._writer  # noqa: SLF001 - redis-py tells what its parser has read, and no more
    if writer is None or writer.is_closing():
        return False
    arrived = select.poll()
    arrived.register(writer.get_extra_info("socket"), select.POLLIN)
    return not arrived.poll(0)


def hang_up(connection: AbstractConnection) -> None:
    """End a connection whose event loop does not run any more."""
    writer = connection._writer  # noqa: SLF001 - redis-py closes inside the loop only
    if writer is not None:
        with suppress(Exception):  # each loop has sockets of its own kind
            writer.get_extra_info("socket").shutdown(socket.SHUT_RDWR)


def facts(info: bytes) -> dict[str, str]:
    """What the answer to INFO says, by name."""
    lines = info.decode(errors="replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def require(info: Mapping[str, str]) -> None:
    """ConfigurationError unless the server that says this of itself can hold a store.

    Not by CONFIG GET, which managed servers forbid.
    """
    version, mode, policy = info.get("redis_version", ""), info.get("redis_mode"), info.get("maxmemory_policy")
    if tuple(int(number) for number in re.findall(r"\d+", version)[:2]) < OLDEST:
        raise ConfigurationError(f"the Redis server is of version {version}; install Redis 7.0 or newer")
    if mode == "sentinel":
        raise ConfigurationError("this is a Sentinel; write redis+sentinel://host:port/service for the store's URL")
    if mode != "standalone":
        raise ConfigurationError(
            f"the Redis server runs in {mode} mode; use a single primary, with or without Sentinels"
        )
    if info.get("role") != "master":
        raise ConfigurationError(
            "this Redis server is a replica; give the store the address of the primary, or those of the Sentinels"
        )
    if policy != "noeviction":
        raise ConfigurationError(
            f"the Redis server may drop what is stored (maxmemory-policy {policy}); set maxmemory-policy noeviction"
        )
