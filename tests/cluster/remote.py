"""The servers that stores of a cluster are on, and what can befall them: one face for PostgreSQL and Redis.

Both keep what they acknowledged: PostgreSQL syncs each commit, Redis each write.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, Protocol

from tests.cluster.proxy import Address
from tests.requirements import find_postgresql, find_redis
from tests.servers.postgresql import PostgreSQL, database_of
from tests.servers.redis import KEPT, RedisServer

Kind = Literal["postgresql", "redis"]

KINDS: Final[tuple[Kind, ...]] = ("postgresql", "redis")
TIMEOUT: Final = 1.0
"""Seconds for which a node waits for its store, each time that it asks."""


class Remote(Protocol):
    """A server with an empty store on it."""

    @property
    def url(self) -> str:
        """The store for nodes on this machine."""
        ...

    @property
    def address(self) -> Address:
        """Where a proxy finds the server."""
        ...

    def url_at(self, host: str, port: int, *, timeout: float = TIMEOUT) -> str:
        """The store for nodes that find the server, or a proxy, there, and wait so many seconds for it."""
        ...

    def kill(self) -> None:
        """kill -9."""
        ...

    def shut_down(self) -> None:
        """As quickly as its own operator can: PostgreSQL takes back what is under way, Redis finishes it."""
        ...

    def start(self) -> None:
        """After `kill` or `shut_down`: at the same place, and return when it answers."""
        ...

    def pause(self) -> None:
        """SIGSTOP: connections stay open, and nothing is answered."""
        ...

    def resume(self) -> None:
        """SIGCONT."""
        ...

    def deafen(self) -> int:
        """End the connections over which nodes wait for news of the log; how many there were."""
        ...


class OnPostgreSQL:
    """A database on a server."""

    def __init__(self, server: PostgreSQL, database: str) -> None:
        self.server = server
        self.database = database

    @property
    def url(self) -> str:
        return self.url_at("127.0.0.1", self.server.port)

    @property
    def address(self) -> Address:
        return Address(port=self.server.port)

    def url_at(self, host: str, port: int, *, timeout: float = TIMEOUT) -> str:
        url = self.server.url(self.database, tcp=True)
        return url.replace(f"@127.0.0.1:{self.server.port}/", f"@{host}:{port}/") + f"?timeout={timeout}"

    def kill(self) -> None:
        self.server.kill()

    def shut_down(self) -> None:
        self.server.stop(signal.SIGQUIT)

    def start(self) -> None:
        self.server.start()

    def pause(self) -> None:
        self.server.pause()

    def resume(self) -> None:
        self.server.resume()

    def deafen(self) -> int:
        ended = asyncio.run(
            self.server.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                f" WHERE datname = '{self.database}' AND query LIKE 'LISTEN %'"
            )
        )
        return len(ended)


class OnRedis:
    """A server with a database."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server

    @property
    def url(self) -> str:
        return self.url_at("127.0.0.1", self.server.port)

    @property
    def address(self) -> Address:
        return Address(port=self.server.port)

    def url_at(self, host: str, port: int, *, timeout: float = TIMEOUT) -> str:
        return f"redis://{host}:{port}?timeout={timeout}"

    def kill(self) -> None:
        self.server.kill()

    def shut_down(self) -> None:
        self.server.stop()

    def start(self) -> None:
        self.server.start()

    def pause(self) -> None:
        self.server.pause()

    def resume(self) -> None:
        self.server.resume()

    def deafen(self) -> int:
        return int(self.server.call("CLIENT", "KILL", "TYPE", "pubsub"))


@contextmanager
def remote(kind: Kind, directory: Path) -> Iterator[Remote]:
    """A server of its own, gone afterwards whatever state it is in. Ends the test where it is not installed."""
    if kind == "postgresql":
        with PostgreSQL(find_postgresql(), durable=True) as server:
            yield OnPostgreSQL(server, database_of(asyncio.run(server.new_database())))
        return
    find_redis()
    place = directory / "redis"
    place.mkdir()
    with RedisServer(place, options=KEPT) as redis:
        yield OnRedis(redis)
