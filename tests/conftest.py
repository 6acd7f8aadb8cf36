"""What holds for every test: the same examples on every run, no setting from outside, a time zone that is not UTC."""

from __future__ import annotations

import functools
import os
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer.testing
from hypothesis import settings
from typer.main import get_command

from tests.requirements import demanded, find_chromium, find_postgresql, find_redis, find_vectors
from tests.servers.postgresql import PostgreSQL
from tests.servers.redis import RedisServer

# Examples are derived from the test itself and nothing is remembered, so a run says the same as the one before.
settings.register_profile("frontdesk", derandomize=True, deadline=None, database=None)
settings.load_profile("frontdesk")

_FOR_THE_TESTS = frozenset({"FRONTDESK_REQUIRE", "FRONTDESK_VECTORS"})


def pytest_configure() -> None:
    """Refuse a misspelt FRONTDESK_REQUIRE; forget a developer's own settings; leave UTC, so that local time shows."""
    try:
        demanded()
    except ValueError as error:
        raise pytest.UsageError(f"FRONTDESK_REQUIRE: {error}") from None
    for name in [name for name in os.environ if name.startswith("FRONTDESK_")]:
        if name not in _FOR_THE_TESTS:
            del os.environ[name]
    os.environ["TZ"] = "Chatham-12:45"
    time.tzset()
    _make_once()


def _make_once() -> None:
    """Make once what each HTTP client and each run of a command would make anew.

    The certificates that a client trusts take 25 ms, the tree of commands 30 ms, and there are thousands of both.
    """
    make = httpx.create_ssl_context
    trusting = functools.cache(make)

    def context(verify: Any = True, cert: Any = None, trust_env: bool = True) -> ssl.SSLContext:
        own = verify is not True or cert or (trust_env and os.environ.keys() & {"SSL_CERT_FILE", "SSL_CERT_DIR"})
        return make(verify, cert, trust_env) if own else trusting()

    httpx._transports.default.create_ssl_context = context  # type: ignore[attr-defined]
    typer.testing._get_command = functools.cache(get_command)  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def chromium() -> Path:
    """Debian's Chromium, for Playwright's `executable_path`."""
    return find_chromium()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A server for the whole run, which syncs nothing. Tests make databases of their own on it."""
    with PostgreSQL(find_postgresql()) as server:
        yield server


@pytest.fixture(scope="session")
def vectors() -> Path:
    """The directory of published test vectors."""
    return find_vectors()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis server that all tests share: each leaves its settings as they were, and minds keys of its own only."""
    find_redis()
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server
