"""The key file beside an embedded database: made once, readable by its owner alone, never overwritten."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from frontdesk.errors import ConfigurationError


def read_or_create(path: Path, *, database: Path) -> str:
    """The secret in the key file at `path`; a new random one when neither it nor the database exists yet.

    Refused with ConfigurationError: a file that others may read, and a missing file beside an existing database,
    whose keys a new secret could not open.
    """
    with suppress(FileNotFoundError):
        return _read(path)
    if not database.exists() or database.stat().st_size == 0:
        _create(path)
    # Read again in either case: another starter may have made file and database since the first look.
    try:
        return _read(path)
    except FileNotFoundError:
        raise ConfigurationError(
            f"{database} exists but its key file {path} is missing. Put the file back, or give the secret as "
            "FRONTDESK_SECRET. Without it nobody who is signed in can be recognised and no password can be checked"
        ) from None


def _read(path: Path) -> str:
    mode = path.stat().st_mode
    if stat.S_IMODE(mode) & 0o077:
        raise ConfigurationError(f"others may read the key file {path}; run `chmod 600 {path}`")
    secret = path.read_text(encoding="ascii").strip()
    if not secret:
        raise ConfigurationError(f"the key file {path} is empty")
    return secret


def _create(path: Path) -> None:
    """Write beside, then link: the file is whole from its first moment, and of two starters one wins."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(beside, path)
        except FileExistsError:
            return
        _sync_directory(path.parent)
    finally:
        beside.unlink(missing_ok=True)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
