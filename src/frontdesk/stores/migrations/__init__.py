"""Numbered, forward-only migrations, one folder per engine. A shipped file is never edited: the next one corrects."""

from __future__ import annotations

import re
from importlib import resources
from typing import Final

import msgspec

_NAME: Final = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")


class Migration(msgspec.Struct, frozen=True):
    """One step: `number` is the schema version that it leads to."""

    number: int
    name: str
    sql: str


def migrations(engine: str) -> tuple[Migration, ...]:
    """All steps of an engine, in order, numbered from 1 without gaps."""
    found = []
    for file in resources.files(__package__).joinpath(engine).iterdir():
        match = _NAME.fullmatch(file.name)
        if match is not None:
            found.append(Migration(int(match[1]), file.name, file.read_text("utf-8")))
    found.sort(key=lambda step: step.number)
    if [step.number for step in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"the migrations of {engine} are not numbered 1, 2, 3 …")
    return tuple(found)
