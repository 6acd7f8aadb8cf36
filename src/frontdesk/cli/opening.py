"""The desk that a command works on: the store itself, beside any server that runs on it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Final, TypeVar

import typer

from frontdesk.cli.output import faults_told, note
from frontdesk.errors import ConfigurationError
from frontdesk.server.app import build_server_desk
from frontdesk.server.files import StoreFiles
from frontdesk.server.settings import ServerSettings
from frontdesk.server.sources import load_settings
from frontdesk.service.desk import Desk
from frontdesk.wiring import open_store, sqlite_path

T = TypeVar("T")

StoreOption = Annotated[str | None, typer.Option(metavar="URL", help="The store, such as sqlite:///frontdesk.db.")]
ConfigOption = Annotated[Path | None, typer.Option(metavar="FILE", help="The settings; default: frontdesk.toml.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask, also on a terminal.")]

_MEMORY: Final = "memory:"


def with_desk(
    action: Callable[[Desk], Awaitable[T]], *, store: str | None, config: Path | None, creates: bool = False
) -> T:
    """What `action` returns for the open desk. A fault ends the command.

    creates: an empty store is made where there is none; otherwise a misspelt name would look like an empty store.
    """
    with faults_told():
        return from_desk(action, store=store, config=config, creates=creates)


def from_desk(
    action: Callable[[Desk], Awaitable[T]], *, store: str | None, config: Path | None, creates: bool = False
) -> T:
    """As `with_desk`, for commands that go on without a desk: a fault is raised as the FrontdeskError that it is."""
    settings = _settings(store, config, creates=creates)
    files = StoreFiles(settings)
    # A command says itself, in one sentence, what went well and what did not.
    logging.getLogger("frontdesk").addHandler(logging.NullHandler())
    result = asyncio.run(_within(settings, action))
    for sentence in files.created():
        note(sentence)
    return result


def migrated(*, store: str | None, config: Path | None) -> tuple[str, ...]:
    """Bring the storage up to date; the names of the steps. A fault ends the command.

    No desk is opened: a store that waits for its migration lets none be.
    """
    with faults_told():
        return asyncio.run(_migrated(_settings(store, config, creates=False).store))


async def _migrated(url: str) -> tuple[str, ...]:
    store = open_store(url)
    try:
        return await store.migrate()
    finally:
        await store.close()


def _settings(store: str | None, config: Path | None, *, creates: bool) -> ServerSettings:
    settings = load_settings({} if store is None else {"store": store}, config=config)
    _check_store(settings, creates=creates)
    return settings


async def _within(settings: ServerSettings, action: Callable[[Desk], Awaitable[T]]) -> T:
    desk = build_server_desk(settings)
    try:
        await desk.open()
        return await action(desk)
    finally:
        await desk.close()


def _check_store(settings: ServerSettings, *, creates: bool) -> None:
    if settings.store == _MEMORY:
        raise ConfigurationError("the store memory: lives and dies with one server; name a file with --store")
    if settings.store.startswith("sqlite:") and not creates:
        database = sqlite_path(settings.store)
        if not database.exists():
            raise ConfigurationError(f"there is no database {database}; name one with --store sqlite:///FILE")
