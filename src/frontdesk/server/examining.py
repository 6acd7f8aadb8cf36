"""What the doctor looks at, gathered here: settings as they stand, secrets, files, the machine, the store.

Nothing is created, migrated or written. What cannot be looked at is told (`Unseen`), and never passed over.
"""

from __future__ import annotations

import dataclasses
import os
import re
import stat
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from publicsuffixlist import PublicSuffixList

from frontdesk.clock import Clock, SystemClock
from frontdesk.core.cookies import CookieSettings, names_in_force
from frontdesk.core.passwords import PROFILES
from frontdesk.doctor.observed import (
    Configured,
    FileRole,
    FileSeen,
    Machine,
    Observations,
    Secrets,
    SiteSeen,
    StoreSeen,
    Unseen,
    host_of,
)
from frontdesk.doctor.secret import judged
from frontdesk.errors import ConfigurationError, FrontdeskError, OverloadedError, StoreError
from frontdesk.server.machine import TIMERS, Timers, look_at_machine, measured
from frontdesk.server.settings import ServerSettings
from frontdesk.server.sources import config_file, given_settings
from frontdesk.wiring import key_file, look_at_store, sqlite_path

_SQLITE: Final = "sqlite:///"
_MEMORY: Final = "memory:"
_PASSWORD: Final = re.compile(r"://[^/?#]*:[^/?#]+@")
_COPIED: Final = frozenset(field.name for field in dataclasses.fields(ServerSettings))


class Examination:
    """One look at a deployment. `flags`, `config` and `environ`: as for `sources.load_settings`. `timers`: measure how
    long a password takes."""

    def __init__(
        self,
        flags: Mapping[str, object],
        *,
        config: Path | None,
        environ: Mapping[str, str] = os.environ,
        clock: Clock | None = None,
        timers: Timers = TIMERS,
    ) -> None:
        self._named = "" if config is None else str(config)
        self._config = config_file(config, environ)
        self._given = given_settings(flags, environ=environ, config=self._config, guarded=False)
        self._in_file = given_settings({}, environ={}, config=self._config, guarded=False)
        self._values = _defaults() | {name: given.value for name, given in self._given.items()}
        self._clock = clock or SystemClock()
        self._timers = timers
        self._unseen: list[Unseen] = []
        self._store_refused = ""

    async def observe(self, site: SiteSeen | None = None, site_unseen: tuple[Unseen, ...] = ()) -> Observations:
        """Everything that can be seen. `site`: what a running deployment answered."""
        files = self._files()
        secrets = self._secrets(files)
        store = await self._store()
        configured = self._configured()
        machine = await self._machine()
        return Observations(
            now=self._clock.now(),
            config=self._named,
            configured=configured,
            secrets=secrets,
            files=files,
            machine=machine,
            store=store,
            store_refused=self._store_refused,
            site=site,
            sites=_sites((configured.base_url, *configured.trusted_origins)),
            unseen=(*self._unseen, *site_unseen),
        )

    # --- settings ---------------------------------------------------------------------------------------------

    def _configured(self) -> Configured:
        known = {field.name for field in dataclasses.fields(Configured)} & _COPIED
        return Configured(
            **{name: self._values[name] for name in known},
            cookie_names=self._cookie_names(),
            store_is_remote=not self._values["store"].startswith((_SQLITE, _MEMORY)),
            where={name: given.where for name, given in self._given.items()},
            refused=_refusal(self._values),
            refused_by=self._refused_by(),
        )

    def _refused_by(self) -> str:
        """The setting without which a server would start, or be refused for something else."""
        refusal, defaults = _refusal(self._values), _defaults()
        without = (name for name in self._given if _refusal(self._values | {name: defaults[name]}) != refusal)
        return next(without, "")

    def _cookie_names(self) -> tuple[str, ...]:
        try:
            settings = CookieSettings(
                prefix=self._values["cookie_prefix"], suffix=self._values["cookie_suffix"] or None
            )
        except ValueError:  # `_refusal` says so
            settings = CookieSettings()
        return tuple(name.decode() for name in names_in_force("https", None, settings).protected)

    # --- secrets ----------------------------------------------------------------------------------------------

    def _secrets(self, files: tuple[FileSeen, ...]) -> Secrets:
        given: tuple[str, ...] = self._values["secret"]
        file = next((Path(file.path) for file in files if file.role == "key file"), None)
        if given:
            where = self._given["secret"].where
            return Secrets(
                seen=tuple(map(judged, given)),
                where=where,
                repeated=len(set(given)) < len(given),
                listed_for=self._config_age() if self._given["secret"] == self._in_file.get("secret") else None,
                idle_key_file="" if file is None else str(file),
            )
        if file is None:
            return Secrets()
        try:
            kept = file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            self._unseen.append(Unseen("the secret", f"the key file {file} cannot be read"))
            return Secrets()
        return Secrets(seen=(judged(kept),), where=str(file))

    def _file_holds_secret(self) -> bool:
        store = self._in_file.get("store")
        return "secret" in self._in_file or (store is not None and _PASSWORD.search(store.value) is not None)

    def _config_age(self) -> timedelta | None:
        return None if self._config is None else self._age(self._config.stat())

    # --- files ------------------------------------------------------------------------------------------------

    def _files(self) -> tuple[FileSeen, ...]:
        found: list[FileSeen | None] = []
        if self._config is not None:
            found.append(self._file("settings", self._config, holds_secret=self._file_holds_secret()))
        if self._values["store"].startswith(_SQLITE):
            database = self._database()
            if database is not None:
                found += [
                    self._file("database", database.with_name(database.name + end)) for end in ("", "-wal", "-shm")
                ]
                found.append(self._file("key file", key_file(database)))
        return tuple(file for file in found if file is not None)

    def _database(self) -> Path | None:
        try:
            return sqlite_path(self._values["store"])
        except ConfigurationError:  # the look at the store says so
            return None

    def _file(self, role: FileRole, path: Path, *, holds_secret: bool = True) -> FileSeen | None:
        try:
            held = path.stat()
            around = path.absolute().parent.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            self._unseen.append(Unseen(f"the {role} {path}", error.strerror or "it cannot be looked at"))
            return None
        return FileSeen(
            role=role,
            path=str(path),
            directory=str(path.absolute().parent),
            mode=stat.S_IMODE(held.st_mode),
            directory_mode=stat.S_IMODE(around.st_mode),
            age=self._age(held),
            holds_secret=holds_secret,
        )

    def _age(self, held: os.stat_result) -> timedelta:
        return self._clock.now() - datetime.fromtimestamp(held.st_mtime, UTC)

    # --- machine ----------------------------------------------------------------------------------------------

    async def _machine(self) -> Machine:
        parameters = PROFILES[self._values["hashing"]]
        machine = look_at_machine(parameters)
        try:
            return await measured(machine, parameters, timers=self._timers)
        except OverloadedError:
            why = f"a hash takes {parameters.memory_kib // 1024} MiB of memory, and there is too little to try one"
            self._unseen.append(Unseen("how long a password takes", why, is_needed=False))
            return machine

    # --- store ------------------------------------------------------------------------------------------------

    async def _store(self) -> StoreSeen | None:
        if self._values["store"] == _MEMORY:
            return None
        before = self._clock.now()
        try:
            condition = await look_at_store(self._values["store"])
        except StoreError as error:
            detail = f" ({error.detail})" if error.detail else ""
            self._unseen.append(Unseen("the store", f"{error.message}{detail}"))
            return None
        except FrontdeskError as error:  # a server would not start on it
            self._store_refused = error.message
            return None
        self._unseen += [Unseen("the store", sentence) for sentence in condition.unasked]
        return StoreSeen(condition=condition, offset=_offset(condition.store_time, before, self._clock.now()))


def _refusal(values: Mapping[str, Any]) -> str:
    try:
        ServerSettings(**values)
    except ConfigurationError as error:
        return error.message.removeprefix("the settings cannot be: ")
    return ""


def _defaults() -> dict[str, Any]:
    return {field.name: field.default for field in dataclasses.fields(ServerSettings)}


def _offset(store_time: datetime | None, before: datetime, after: datetime) -> timedelta:
    """By how much the store's clock differs at least: it was read between two readings of ours."""
    if store_time is None or before <= store_time <= after:
        return timedelta(0)
    return store_time - (before if store_time < before else after)


def _sites(origins: tuple[str, ...]) -> Mapping[str, str]:
    """Origin → its site: scheme and registrable domain, or the host itself where that has none."""
    suffixes = PublicSuffixList()
    found = {}
    for origin in filter(None, origins):
        host = host_of(origin)
        found[origin] = f"{origin.partition(':')[0]}://{suffixes.privatesuffix(host) or host}" if host else ""
    return found
