"""What a service loads that checks tokens: no store, no server, no password hashing, and no httpx offline."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.service.desks import SECRET

NEVER = (
    *("apsw", "argon2", "uvicorn", "starlette", "fastapi", "jinja2", "typer", "asyncpg", "redis", "sqlite3"),
    *("frontdesk.service", "frontdesk.server", "frontdesk.endpoints", "frontdesk.adapters", "frontdesk.wiring"),
    *("frontdesk.stores.memory", "frontdesk.stores.sqlite", "frontdesk.stores.postgresql", "frontdesk.stores.redis"),
    *("frontdesk.stores.migrations", "frontdesk.core.passwords", "frontdesk.testing"),
)


def loaded(code: str) -> set[str]:
    """The modules that this loads in a process of its own, beside those that measure coverage."""
    script = f"import sys\nbefore = set(sys.modules)\n{code}\nprint(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.split())


OFFLINE = f"Verifier(issuer='https://desk.example', keys=['{SECRET}'], freshness='stateless')"
FOLLOWING = "Verifier(issuer='https://desk.example', credential='fdk_' + 'A' * 43)"


@pytest.mark.parametrize(
    ("code", "asks"), [("", False), (OFFLINE, False), (FOLLOWING, True)], ids=["imported", "offline", "following"]
)
def test_a_verifier_brings_nothing_of_a_desk_along(code: str, asks: bool) -> None:
    modules = loaded(f"from frontdesk.verifier import Verifier\n{code}")
    assert {name for name in modules if name.startswith(NEVER)} == set()
    assert ("httpx" in modules) == asks


def test_a_service_behind_the_middleware_loads_no_driver_and_no_hashing() -> None:
    modules = loaded("from frontdesk.fastapi import User, VerifierMiddleware, require")
    drivers = ("apsw", "argon2", "asyncpg", "redis", "uvicorn", "jinja2", "httpx")
    assert {name for name in modules if name.split(".")[0] in drivers} == set()


def test_without_httpx_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['httpx'] = None\n"
        "from frontdesk.errors import ConfigurationError\n"
        "from frontdesk.verifier import Verifier\n"
        "for more in ({'freshness': 'stateless'}, {'credential': 'fdk_' + 'A' * 43}):\n"
        "    try: Verifier(issuer='https://desk.example', **more)\n"
        "    except ConfigurationError as error: assert 'frontdesk[http]' in error.message\n"
        "    else: raise SystemExit('nothing said')"
    )
    assert "frontdesk.verifier" in loaded(code)
