"""From a URL to a desk: the only file that knows every store, and imports each only when it is asked for."""

from __future__ import annotations

import os
import secrets as random
from collections.abc import Sequence
from pathlib import Path

from frontdesk.clock import Clock
from frontdesk.core.condition import StoreCondition
from frontdesk.core.passwords import DEFAULT_PARAMETERS, HashParameters
from frontdesk.core.secrets import HOW_TO_MAKE_ONE
from frontdesk.errors import ConfigurationError
from frontdesk.service.audit import Audit
from frontdesk.service.desk import Desk
from frontdesk.service.hashing import PasswordHasher
from frontdesk.service.keys import MasterKeys
from frontdesk.service.secret_file import read_or_create
from frontdesk.service.settings import DeskSettings
from frontdesk.stores.protocol import Store

SECRET_VARIABLE = "FRONTDESK_SECRET"  # noqa: S105 - the name of a variable
_MEMORY = "memory:"
_SQLITE = "sqlite:///"
_POSTGRESQL = frozenset({"postgresql", "postgres"})
_REDIS = frozenset({"redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel"})


def open_store(url: str) -> Store:
    """The store that `url` names; it is opened later. ConfigurationError for a URL that names none.

    `sqlite:///app.db` is relative to the working directory, `sqlite:////srv/app.db` absolute; `memory:` keeps
    everything in this process and forgets it. `postgresql://user:password@host:5432/database` needs
    `frontdesk[postgresql]`; `redis://:password@host:6379/0`, `rediss://`, `unix://` and `redis+sentinel://` need
    `frontdesk[redis]`.
    """
    if url == _MEMORY:
        from frontdesk.stores.memory import MemoryStore  # noqa: PLC0415 - lazy: one driver per process

        return MemoryStore()
    if url.startswith(_SQLITE):
        from frontdesk.stores.sqlite import SQLiteStore  # noqa: PLC0415 - lazy: one driver per process

        return SQLiteStore(sqlite_path(url), token_bytes=random.token_bytes)
    scheme = url.partition(":")[0]
    if scheme in _POSTGRESQL:
        return _postgresql_store(url)
    if scheme in _REDIS:
        return _redis_store(url)
    raise ConfigurationError(
        f"no store is called {scheme!r}; write sqlite:///app.db, postgresql://…, redis://…, or memory: for tests"
    )


def _postgresql_store(url: str) -> Store:
    try:
        from frontdesk.stores.postgresql import PostgreSQLStore  # noqa: PLC0415 - lazy: one driver per process
    except ModuleNotFoundError as error:
        if error.name != "asyncpg":
            raise
        raise ConfigurationError("this store needs its driver: install frontdesk[postgresql]") from error
    return PostgreSQLStore(url, token_bytes=random.token_bytes)


def _redis_store(url: str) -> Store:
    try:
        from frontdesk.stores.redis import RedisStore  # noqa: PLC0415 - lazy: one driver per process
    except ModuleNotFoundError as error:
        if error.name != "redis":
            raise
        raise ConfigurationError("this store needs its driver: install frontdesk[redis]") from error
    return RedisStore(url, token_bytes=random.token_bytes)


async def look_at_store(url: str, *, realm: str = "default") -> StoreCondition:
    """The condition of the storage that `url` names, without opening the store: nothing is created or written.

    StoreError when it cannot be asked now, ConfigurationError for a URL that names none and for a storage that no store
    could be opened on.
    """
    open_store(url)  # says which driver is missing, and opens nothing
    if url.startswith(_SQLITE):
        from frontdesk.stores.sqlite import looking as at_file  # noqa: PLC0415 - lazy: one driver per process

        return await at_file.look(str(sqlite_path(url)), realm)
    scheme = url.partition(":")[0]
    if scheme in _POSTGRESQL:
        from frontdesk.stores.postgresql import looking as at_database  # noqa: PLC0415 - lazy: one driver per process

        return await at_database.look(url, realm)
    if scheme in _REDIS:
        from frontdesk.stores.redis import looking as at_server  # noqa: PLC0415 - lazy: one driver per process

        return await at_server.look(url, realm)
    raise ConfigurationError("the store memory: lives and dies with one process; there is nothing to look at")


def sqlite_path(url: str) -> Path:
    """The database file of a `sqlite:///` URL."""
    name = url.removeprefix(_SQLITE)
    if not name or "?" in name or "#" in name:
        raise ConfigurationError(f"{url!r} names no file; write sqlite:///app.db or sqlite:////srv/app.db")
    return Path(name)


def key_file(database: Path) -> Path:
    """Where the secret of an embedded database is kept when none is given: `app.db.key` beside `app.db`."""
    return database.with_name(database.name + ".key")


def master_secrets(url: str, given: str | bytes | Sequence[str | bytes] | None) -> Sequence[str | bytes]:
    """The master secrets, newest first: those given, else `FRONTDESK_SECRET` (separated by commas), else the key
    file of an embedded database, else a random one for `memory:`. Anything else refuses to start."""
    if given is not None:
        return [given] if isinstance(given, str | bytes) else list(given)
    from_environment = os.environ.get(SECRET_VARIABLE)
    if from_environment:
        return [secret.strip() for secret in from_environment.split(",")]
    if url == _MEMORY:
        return [random.token_urlsafe(32)]
    if url.startswith(_SQLITE):
        database = sqlite_path(url)
        return [read_or_create(key_file(database), database=database)]
    raise ConfigurationError(
        f"this store needs a secret, the same in every process: set {SECRET_VARIABLE} (or secret=); {HOW_TO_MAKE_ONE}"
    )


def build_desk(
    url: str,
    *,
    secret: str | bytes | Sequence[str | bytes] | None = None,
    settings: DeskSettings | None = None,
    hashing: HashParameters = DEFAULT_PARAMETERS,
    clock: Clock | None = None,
    audit: Audit | None = None,
) -> Desk:
    """A desk over the store that `url` names; nothing is opened before `Desk.open`.

    Raises ConfigurationError for a weak or missing secret, and for settings that cannot be.
    """
    store = open_store(url)
    master = MasterKeys(master_secrets(url, secret))
    hasher = PasswordHasher(hashing, seal_keys=master.password_seals, token_bytes=random.token_bytes)
    return Desk(store, master, settings or DeskSettings(), hasher=hasher, clock=clock, audit=audit)
