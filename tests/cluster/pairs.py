"""A primary and a standby that takes over without what it was not told: fail-overs that lose acknowledged writes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

from tests.cluster.remote import TIMEOUT, Kind
from tests.requirements import find_postgresql, find_redis
from tests.servers.postgresql import PostgreSQL, database_of
from tests.servers.redis import KEPT, RedisServer, Sentinel, replica_of
from tests.servers.spawning import wait_until

_COPIER: Final = "copier"
"""The user of Redis under whose name the standby follows the primary."""


class Pair(Protocol):
    """Two servers."""

    @property
    def url(self) -> str:
        """The store for nodes on this machine: whichever server is the primary."""
        ...

    def part(self) -> None:
        """From now on the standby hears nothing of what the primary acknowledges."""
        ...

    def lose_primary(self) -> None:
        """kill -9 of the primary."""
        ...

    def take_over(self) -> None:
        """The standby becomes the primary; return when it is."""
        ...

    def bring_back(self) -> None:
        """Start the old primary again, as an operator might who knows nothing."""
        ...


class PairOnPostgreSQL:
    """Asynchronous replication; the nodes know both addresses."""

    def __init__(self, primary: PostgreSQL, standby: PostgreSQL, database: str) -> None:
        self._primary = primary
        self._standby = standby
        self._database = database

    @property
    def url(self) -> str:
        url = self._primary.url(self._database, tcp=True)
        place = f"127.0.0.1:{self._primary.port}"
        return url.replace(place, f"{place},127.0.0.1:{self._standby.port}") + f"?timeout={TIMEOUT}"

    def part(self) -> None:
        self._ask("ALTER SYSTEM SET primary_conninfo = ''")
        self._ask("SELECT pg_reload_conf()")
        wait_until(lambda: not self._ask("SELECT FROM pg_stat_wal_receiver"), "the standby hears nothing")

    def lose_primary(self) -> None:
        self._primary.kill()

    def take_over(self) -> None:
        self._standby.promote()
        wait_until(lambda: not self._ask("SELECT pg_is_in_recovery()")[0][0], "the standby is the primary")

    def bring_back(self) -> None:
        """Not done: two primaries would stand beside each other, which PostgreSQL leaves to the operator to prevent."""

    def _ask(self, sql: str) -> list[Any]:
        return asyncio.run(self._standby.execute(sql))


class PairOnRedis:
    """Asynchronous replication under a Sentinel, which the nodes ask for the primary."""

    def __init__(self, primary: RedisServer, standby: RedisServer, sentinel: Sentinel) -> None:
        self._primary = primary
        self._standby = standby
        self._sentinel = sentinel

    @property
    def url(self) -> str:
        return f"{self._sentinel.url}?timeout={TIMEOUT}"

    def part(self) -> None:
        self._primary.call("ACL", "SETUSER", _COPIER, "off")
        self._primary.call("CLIENT", "KILL", "TYPE", "replica")

    def lose_primary(self) -> None:
        self._primary.kill()

    def take_over(self) -> None:
        def taken_over() -> bool:
            if self._sentinel.primary_port() != self._standby.port:
                return False
            with self._standby.client() as client:
                return str(client.info("replication")["role"]) == "master"

        wait_until(taken_over, "the standby is the primary")

    def bring_back(self) -> None:
        self._primary.start()


@contextmanager
def pair(kind: Kind, directory: Path) -> Iterator[Pair]:
    """Two servers of their own. Ends the test where they are not installed."""
    if kind == "postgresql":
        with PostgreSQL(find_postgresql(), durable=True) as primary:
            database = database_of(asyncio.run(primary.new_database()))
            with PostgreSQL(find_postgresql(), durable=True, copy_of=primary) as standby:
                yield PairOnPostgreSQL(primary, standby, database)
        return
    find_redis()
    places = [directory / name for name in ("primary", "standby", "sentinel")]
    for place in places:
        place.mkdir()
    options = {**KEPT, f"user {_COPIER}": f"on >{_COPIER} ~* &* +@all"}
    with RedisServer(places[0], options=options) as redis:
        follows = {**options, **replica_of(redis), "masteruser": _COPIER, "masterauth": _COPIER}
        with RedisServer(places[1], options=follows) as replica, Sentinel(places[2], redis) as sentinel:
            redis.wait_for_replicas(1)
            sentinel.wait_for_replicas(1)
            yield PairOnRedis(redis, replica, sentinel)
