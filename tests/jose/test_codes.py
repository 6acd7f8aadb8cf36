"""The table of codes is the truth about what `frontdesk.jose` raises, and its room keeps to itself."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import frontdesk.jose
from frontdesk.jose.codes import TOKEN_CODES

SOURCES = sorted(Path(frontdesk.jose.__path__[0]).glob("*.py"))


def _raised() -> Iterator[str]:
    for path in SOURCES:
        text = path.read_text()
        yield from re.findall(r'TokenError\(\s*"(\w+)"', text)
        yield from re.findall(r'code(?:: str)? ?= ?"(\w+)"', text)


def test_every_code_that_is_raised_stands_in_the_table_and_the_other_way_round() -> None:
    assert set(_raised()) == set(TOKEN_CODES)


def test_every_meaning_is_a_sentence() -> None:
    assert all(meaning[0].isupper() and meaning.endswith(".") for meaning in TOKEN_CODES.values())


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module


def test_jose_imports_nothing_that_knows_sessions_time_sockets_or_randomness() -> None:
    allowed = {
        "frontdesk.errors",
        "frontdesk.clock",
        "frontdesk.jose",
        *(f"frontdesk.jose.{path.stem}" for path in SOURCES),
    }
    unwanted = {"time", "socket", "ssl", "asyncio", "random", "secrets", "os", "urllib", "http"}
    for path in SOURCES:
        for name in _imports(ast.parse(path.read_text())):
            assert name in allowed or not name.startswith("frontdesk"), (path.name, name)
            assert name.split(".", maxsplit=1)[0] not in unwanted, (path.name, name)
