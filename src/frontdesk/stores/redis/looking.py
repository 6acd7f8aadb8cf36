"""A look at a server and what the store keeps on it. Reads, and writes nothing."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError, ResponseError

from frontdesk.clock import TIMER
from frontdesk.core.condition import StoreCondition
from frontdesk.core.keyring import StoredKey
from frontdesk.core.origin import leads_to_loopback
from frontdesk.core.services import Service
from frontdesk.stores.redis import opening, records, stored_keys
from frontdesk.stores.redis.address import Address
from frontdesk.stores.redis.client import Line
from frontdesk.stores.redis.connecting import Connector, require
from frontdesk.stores.redis.faults import store_error, timed_out
from frontdesk.stores.redis.settings import settings_of


async def look(url: str, realm: str) -> StoreCondition:
    """The condition of the server that `url` names. StoreError when it cannot be asked, ConfigurationError when it can
    hold no store or holds one of a newer version."""
    settings = settings_of(
        url,
        timeout=None,
        max_connections=None,
        max_waiting=None,
        wait_replicas=None,
        prefix=None,
        token_bytes=secrets.token_bytes,
        timer=TIMER,
    )
    seconds = settings.limits.seconds
    try:
        async with asyncio.timeout(seconds) as limit:
            connection, info = await Connector(settings.address, seconds).reach()
            try:
                # What it does when it is full is a finding, and no reason to look no further.
                require({**info, "maxmemory_policy": "noeviction"})
                line = Line(connection, limit, settings.names, settings.limits)
                facts, unasked = await _facts(connection, info)
                return await _look(line, settings.address, realm, facts, unasked)
            finally:
                await connection.disconnect(nowait=True)
    except TimeoutError:
        fault = timed_out(seconds)
    except (RedisError, OSError) as error:
        fault = store_error(error)
    # Not inside the handlers: the server's own text, which could be seen in a traceback, may hold a password.
    raise fault


async def _look(
    line: Line, address: Address, realm: str, facts: Mapping[str, str], unasked: tuple[str, ...]
) -> StoreCondition:
    schema = await opening.version(line)
    seconds, micros = (await line.ask(("TIME",)))[0]
    keys: tuple[StoredKey, ...] = ()
    services: tuple[Service, ...] = ()
    if schema == len(opening.STEPS):
        keys = await stored_keys.of_realm(line, realm)
        services = await records.list_services(line, realm)
    return StoreCondition(
        engine="redis",
        name=address.public,
        schema=schema,
        newest=len(opening.STEPS),
        facts=facts,
        remote=not address.path and any(not leads_to_loopback(host) for host, _ in address.places),
        encrypted=address.tls is not None,
        has_password=bool(address.password),
        store_time=datetime.fromtimestamp(int(seconds), UTC).replace(microsecond=int(micros)),
        keys=keys,
        services=services,
        unasked=unasked,
    )


async def _facts(connection: AbstractConnection, info: Mapping[str, str]) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """What the server says of itself, and what it does not say: managed servers forbid CONFIG."""
    facts = {
        "redis_version": info.get("redis_version", ""),
        "maxmemory_policy": info.get("maxmemory_policy", ""),
        "appendonly": "yes" if info.get("aof_enabled") == "1" else "no",
    }
    if facts["appendonly"] == "no":
        return facts, ()
    await connection.send_command("CONFIG", "GET", "appendfsync")
    try:
        _, value = await connection.read_response(disconnect_on_error=False)
    except (ResponseError, ValueError):
        return facts, ("whether Redis syncs its log (appendfsync): the server does not tell this user",)
    return {**facts, "appendfsync": value.decode()}, ()
