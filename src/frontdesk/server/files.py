"""The files that a store on this machine is made of, for saying what a first start created."""

from __future__ import annotations

from pathlib import Path

from frontdesk.server.settings import ServerSettings
from frontdesk.wiring import key_file, sqlite_path

_SQLITE = "sqlite:///"


class StoreFiles:
    """Remembers, when constructed, which files were not there yet."""

    def __init__(self, settings: ServerSettings) -> None:
        self._missing: tuple[Path, ...] = ()
        if settings.store.startswith(_SQLITE):
            database = sqlite_path(settings.store)
            self._missing = tuple(path for path in (database, key_file(database)) if not path.exists())

    def created(self) -> tuple[str, ...]:
        """A sentence for each file that has been created since."""
        return tuple(f"created {path.resolve()} ({_advice(path)})" for path in self._missing if path.exists())


def _advice(path: Path) -> str:
    if path.suffix == ".key":
        return "mode 0600; back it up, but not beside the database"
    return "mode 0600"
