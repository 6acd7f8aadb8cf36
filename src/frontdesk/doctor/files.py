"""Findings about files: who may read what holds a secret, and who may put another file in its place."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Final

from frontdesk.doctor.kinds import Finding, Kind
from frontdesk.doctor.observed import FileSeen, Observations

_OTHERS: Final = 0o077
_OTHERS_WRITE: Final = 0o022
_STICKY: Final = 0o1000

KEY_FILE_MODE: Final = Kind(
    "key_file_mode",
    "error",
    "others may use the key file {path} (mode {mode})",
    "Whoever reads it forges sessions of everybody; the server does not start.",
    "chmod 600 {quoted}",
)
CONFIG_MODE: Final = Kind(
    "config_mode",
    "error",
    "{path} holds a secret or a password, and others may use it (mode {mode})",
    "Whoever reads it forges sessions of everybody, or signs in to the database.",
    "chmod 600 {quoted}",
)
CONFIG_WRITABLE: Final = Kind(
    "config_writable",
    "error",
    "others may write {path} (mode {mode})",
    "Whoever writes it decides where accounts are kept and which origins may act.",
    "chmod 644 {quoted}",
)
DATABASE_MODE: Final = Kind(
    "database_mode",
    "error",
    "others may use {path} (mode {mode})",
    "They read addresses, sessions and sealed hashes, or write themselves a role.",
    "chmod 600 {quoted}",
)
DIRECTORY_WRITABLE: Final = Kind(
    "directory_writable",
    "error",
    "others may write the directory {directory} of the {role} (mode {mode})",
    "They cannot read the file and need not: they put another one in its place.",
    "chmod go-w {quoted}",
)
KEY_BESIDE_DATABASE: Final = Kind(
    "key_beside_database",
    "note",
    "the key file {path} is in the directory of the database",
    "A backup of the directory holds both, and whoever has both forges sessions and tries passwords.",
    'FRONTDESK_SECRET="$(cat {quoted})"    # kept elsewhere; or leave *.key out of the backup',
)


def of_files(seen: Observations) -> Iterator[Finding]:
    """What is to be said of the files and their directories."""
    told: set[str] = set()
    databases = {file.directory for file in seen.files if file.role == "database"}
    idle = "" if seen.secrets is None else seen.secrets.idle_key_file
    for file in seen.files:
        yield from _of_file(file)
        if file.directory_mode & _OTHERS_WRITE and not file.directory_mode & _STICKY and file.directory not in told:
            told.add(file.directory)
            yield DIRECTORY_WRITABLE.found(
                directory=file.directory,
                role=file.role,
                mode=_octal(file.directory_mode),
                quoted=shlex.quote(file.directory),
            )
        if file.role == "key file" and file.directory in databases and file.path != idle:
            yield KEY_BESIDE_DATABASE.found(path=file.path, quoted=shlex.quote(file.path))


def _of_file(file: FileSeen) -> Iterator[Finding]:
    told = {"path": file.path, "mode": _octal(file.mode), "quoted": shlex.quote(file.path)}
    if file.role == "key file" and file.mode & _OTHERS:
        yield KEY_FILE_MODE.found(**told)
    if file.role == "database" and file.mode & _OTHERS:
        yield DATABASE_MODE.found(**told)
    if file.role == "settings" and file.mode & _OTHERS and file.holds_secret:
        yield CONFIG_MODE.found(**told)
    elif file.role == "settings" and file.mode & _OTHERS_WRITE:
        yield CONFIG_WRITABLE.found(**told)


def _octal(mode: int) -> str:
    return f"{mode:04o}"
