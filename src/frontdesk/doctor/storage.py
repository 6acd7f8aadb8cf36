"""Findings about the store: its server, what it keeps when something fails, the keys and the services in it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from frontdesk.core.condition import StoreCondition
from frontdesk.core.keyring import PUBLISHED_BEFORE, VERIFIES_AFTER, StoredKey
from frontdesk.core.services import Service
from frontdesk.doctor.kinds import Finding, Kind
from frontdesk.doctor.observed import Configured, Observations

SOUND_SQLITE: Final = (3, 51, 3)
LARGEST_OFFSET: Final = timedelta(seconds=2)
KEYS_CACHED: Final = timedelta(minutes=15)
"""How long other services may keep the public keys: docs/keys.md."""
OLD_SERVICE: Final = timedelta(days=365)
_MANY_SCOPES: Final = 3
_SLACK: Final = timedelta(hours=1)
"""How late the look may be that a server takes about once a minute."""

SQLITE_UNSOUND: Final = Kind(
    "sqlite_unsound",
    "error",
    "SQLite is of version {version}, older than 3.51.3",
    "A database in write-ahead mode that several connections write can be corrupted.",
    "pip install --upgrade apsw",
)
SQLITE_NOT_WAL: Final = Kind(
    "sqlite_not_wal",
    "warning",
    "{name} is not in write-ahead mode",
    "Somebody has changed it: readers and writers lock each other out until the server starts again.",
    "sqlite3 {quoted} 'PRAGMA journal_mode=WAL'",
)
SCHEMA_OUTDATED: Final = Kind(
    "schema_outdated",
    "error",
    "the schema of {name} is of version {schema}, and this Frontdesk needs {newest}",
    "The server does not start.",
    "frontdesk migrate",
)
STORE_REFUSED: Final = Kind(
    "store_refused",
    "error",
    "the store cannot be used: {why}",
    "The server does not start, or answers 503.",
    "frontdesk serve    # says the same sentence",
)
POSTGRESQL_PLAIN: Final = Kind(
    "postgresql_plain",
    "error",
    "the connection to {name} leaves this machine without TLS",
    "Whoever is on the way reads addresses and sessions, and answers in the place of the database.",
    "FRONTDESK_STORE='postgresql://…?sslmode=verify-full'",
)
POSTGRESQL_UNVERIFIED: Final = Kind(
    "postgresql_unverified",
    "warning",
    "the connection to {name} is encrypted, and the server's certificate is not checked",
    "Whoever is on the way answers in the place of the database, with a certificate of his own.",
    "FRONTDESK_STORE='postgresql://…?sslmode=verify-full'",
)
POSTGRESQL_FORGETS: Final = Kind(
    "postgresql_forgets",
    "error",
    "PostgreSQL runs with {setting} = off",
    "A crash or a loss of power damages the database, and takes back sign-outs that were acknowledged.",
    "ALTER SYSTEM SET {setting} = on; SELECT pg_reload_conf();",
)
POSTGRESQL_ASYNCHRONOUS: Final = Kind(
    "postgresql_asynchronous",
    "note",
    "PostgreSQL runs with synchronous_commit = off",
    "The desk's own transactions wait for the disk all the same; what else is in the database is lost by a crash.",
    "ALTER DATABASE {database} RESET synchronous_commit;",
)
REDIS_PLAIN: Final = Kind(
    "redis_plain",
    "error",
    "the connection to {name} leaves this machine without TLS",
    "Whoever is on the way reads the password and the sessions, and answers in the place of the store.",
    "FRONTDESK_STORE='rediss://…'",
)
REDIS_OPEN: Final = Kind(
    "redis_open",
    "error",
    "{name} is on another machine and asks for no password",
    "Whoever reaches its port reads and writes every session.",
    "redis-cli CONFIG SET requirepass '…'    # and CONFIG REWRITE; or a user of its own: docs/stores.md",
)
REDIS_EVICTS: Final = Kind(
    "redis_evicts",
    "error",
    "Redis runs with maxmemory-policy {policy}",
    "When it is full it drops keys, revocations among them: who was signed out is let in again.",
    "redis-cli CONFIG SET maxmemory-policy noeviction    # and CONFIG REWRITE, or a restart undoes it",
)
REDIS_FORGETS: Final = Kind(
    "redis_forgets",
    "error",
    "Redis keeps nothing but snapshots (appendonly no)",
    "A restart takes back what was acknowledged since the last one: sign-outs, revocations, accounts.",
    "redis-cli CONFIG SET appendonly yes    # and CONFIG REWRITE, or a restart undoes it",
)
REDIS_UNSYNCED: Final = Kind(
    "redis_unsynced",
    "warning",
    "Redis runs with appendfsync no",
    "A loss of power takes back half a minute of what was acknowledged.",
    "redis-cli CONFIG SET appendfsync everysec    # and CONFIG REWRITE, or a restart undoes it",
)
CLOCK_OFFSET: Final = Kind(
    "clock_offset",
    "warning",
    "the clock of the store is {offset} seconds {direction} ours",
    "Tokens are refused before their time or believed after it, and refreshes that race may count as theft.",
    "timedatectl set-ntp true    # on both machines",
)
KEY_OVERDUE: Final = Kind(
    "key_overdue",
    "warning",
    "the {algorithm} key {key} has signed for {days} days; key_rotation is {rotation}",
    "Nobody rotates: no server runs, or the application never looks. The key is worth more to a thief each day.",
    "frontdesk keys rotate",
)
KEY_UNFOLLOWED: Final = Kind(
    "key_unfollowed",
    "warning",
    "the {algorithm} key {key} is due within a day, and no next key is published",
    "Services would meet tokens of a key that they have never seen.",
    "frontdesk keys rotate",
)
KEY_LINGERS: Final = Kind(
    "key_lingers",
    "warning",
    "the {algorithm} key {key} has only verified for {days} days and is not removed",
    "What it signed has expired, yet whoever holds it still forges tokens that are believed.",
    "frontdesk serve    # removes it within minutes; an application without a lifespan calls await desk.purge()",
)
KEY_GIVEN_UP: Final = Kind(
    "key_given_up",
    "note",
    "the {algorithm} key {key} was given up {minutes} minutes ago",
    "Services that check tokens by themselves and follow no revocation log may believe it for 15 minutes.",
    "frontdesk keys list    # and restart those services, if it matters",
)
SERVICE_BROAD: Final = Kind(
    "service_broad",
    "warning",
    "the service {service} may end sessions and much else: {scopes}",
    "Whoever finds its credential in one program's settings signs everybody out, and reads what the others may.",
    "frontdesk services remove {service}    # and add one with the scopes that it needs, for each program",
)
SERVICE_OLD: Final = Kind(
    "service_old",
    "note",
    "the credential of the service {service} is {days} days old",
    "Every copy of it that was made since is still good. The store does not know when it was used last.",
    "frontdesk services add {service}-2 --scope {scope}    # hand it out, then remove {service}",
)


def of_store(seen: Observations) -> Iterator[Finding]:
    """What is to be said of the store."""
    if seen.store_refused:
        yield STORE_REFUSED.found(why=seen.store_refused)
    if seen.store is None:
        return
    condition = seen.store.condition
    if condition.engine != "sqlite" and abs(seen.store.offset) > LARGEST_OFFSET:
        offset = seen.store.offset
        direction = "ahead of" if offset > timedelta(0) else "behind"
        yield CLOCK_OFFSET.found(offset=round(abs(offset).total_seconds()), direction=direction)
    # SQLite and Redis bring themselves up to date when they are opened.
    if condition.engine == "postgresql" and condition.schema < condition.newest:
        yield SCHEMA_OUTDATED.found(name=condition.name, schema=condition.schema, newest=condition.newest)
    yield from {"sqlite": _of_sqlite, "postgresql": _of_postgresql, "redis": _of_redis}[condition.engine](condition)
    yield from _of_keys(condition.keys, seen.configured or Configured(), seen.now)
    for service in condition.services:
        yield from _of_service(service, seen.now)


def _of_sqlite(condition: StoreCondition) -> Iterator[Finding]:
    version = condition.facts.get("version", "")
    if tuple(int(number) for number in re.findall(r"\d+", version)[:3]) < SOUND_SQLITE:
        yield SQLITE_UNSOUND.found(version=version)
    if condition.schema and condition.facts.get("journal_mode") != "wal":
        yield SQLITE_NOT_WAL.found(name=condition.name, quoted=shlex.quote(condition.name))


def _of_postgresql(condition: StoreCondition) -> Iterator[Finding]:
    if condition.remote and not condition.encrypted:
        yield POSTGRESQL_PLAIN.found(name=condition.name)
    elif condition.remote and not condition.verified:
        yield POSTGRESQL_UNVERIFIED.found(name=condition.name)
    for setting in ("fsync", "full_page_writes"):
        if condition.facts.get(setting) == "off":
            yield POSTGRESQL_FORGETS.found(setting=setting)
    if condition.facts.get("synchronous_commit") == "off":
        yield POSTGRESQL_ASYNCHRONOUS.found(database=condition.name.rpartition("/")[2])


def _of_redis(condition: StoreCondition) -> Iterator[Finding]:
    if condition.remote and not condition.encrypted:
        yield REDIS_PLAIN.found(name=condition.name)
    if condition.remote and not condition.has_password:
        yield REDIS_OPEN.found(name=condition.name)
    policy = condition.facts.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        yield REDIS_EVICTS.found(policy=policy)
    if condition.facts.get("appendonly") == "no":
        yield REDIS_FORGETS.found()
    elif condition.facts.get("appendfsync") == "no":
        yield REDIS_UNSYNCED.found()


def _of_keys(keys: tuple[StoredKey, ...], settings: Configured, now: datetime) -> Iterator[Finding]:
    rotation = settings.key_rotation
    coming = {key.algorithm for key in keys if key.state == "next"}
    for key in keys:
        age = now - key.changed_at
        told = {"algorithm": key.algorithm, "key": key.id, "days": age.days}
        if key.state == "current" and rotation:
            if age > rotation + PUBLISHED_BEFORE:
                yield KEY_OVERDUE.found(rotation=rotation, **told)
            elif age > rotation - PUBLISHED_BEFORE + _SLACK and key.algorithm not in coming:
                yield KEY_UNFOLLOWED.found(**told)
        if key.state == "old" and age > VERIFIES_AFTER + PUBLISHED_BEFORE:
            yield KEY_LINGERS.found(**told)
        if key.state == "compromised" and age < KEYS_CACHED:
            yield KEY_GIVEN_UP.found(minutes=int(age.total_seconds()) // 60, **told)


def _of_service(service: Service, now: datetime) -> Iterator[Finding]:
    if "revoke" in service.scopes and len(service.scopes) >= _MANY_SCOPES:
        yield SERVICE_BROAD.found(service=service.name, scopes=", ".join(service.scopes))
    if now - service.created_at > OLD_SERVICE:
        scope = " --scope ".join(service.scopes)
        yield SERVICE_OLD.found(service=service.name, days=(now - service.created_at).days, scope=scope)
