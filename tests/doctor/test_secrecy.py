"""No output of the doctor holds a secret: not the master secret, a key file, a password of a database, a credential."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from frontdesk.core.services import SERVICE_SCOPES
from tests.doctor.deployments import Authority, Deployment, Manners, Site, running, text_of
from tests.doctor.test_settings_faults import FAULTS, key_file
from tests.doctor.test_store_faults import ago, desk_at
from tests.servers.redis import RedisServer

PASSWORD = "correct-horse-of-the-database"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    deployment = Deployment(tmp_path_factory.mktemp("template"))
    deployment.make_store()
    return deployment.database


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("site")
    with running(directory, Authority(directory)) as begun:
        yield begun


def everything(*words: str) -> str:
    """What is printed for people and for programs."""
    return text_of(*words)[0] + text_of("--json", *words)[0]


def parts(secret: str) -> set[str]:
    """The secret and every run of twelve characters in it: half of one is too much, too."""
    return {secret[start : start + 12] for start in range(len(secret) - 11)}


@pytest.mark.parametrize("code", FAULTS)
def test_no_fault_makes_it_tell_the_secret(code: str, tmp_path: Path, template: Path) -> None:
    deployment = Deployment(tmp_path, template=template)
    FAULTS[code][0](deployment)
    said = everything("--config", str(deployment.config))
    assert {part for part in parts(deployment.secret) | parts(deployment.secret[::-1]) if part in said} == set()


@pytest.mark.parametrize("secret", ["hunter2-hunter2-hunter2", "correct-horse-correct-horse-correct-horse"])
def test_a_weak_secret_is_not_told_either(secret: str, tmp_path: Path, template: Path) -> None:
    deployment = Deployment(tmp_path, template=template)
    deployment.set(secret=json.dumps(secret))
    said = everything("--config", str(deployment.config))
    assert "secret_weak" in said
    assert {part for part in parts(secret) if part in said} == set()


def test_a_key_file_is_read_and_not_told(tmp_path: Path, template: Path) -> None:
    deployment = Deployment(tmp_path, template=template)
    kept = key_file(deployment, age_days=900).read_text().strip()
    said = everything("--config", str(deployment.config))
    assert "secret_old" in said
    assert {part for part in parts(kept) if part in said} == set()


@pytest.mark.parametrize(
    "store",
    [
        f"postgresql://desk:{PASSWORD}@127.0.0.1:1/desk",
        f"postgresql://desk:{PASSWORD}@127.0.0.1:1/desk?sslmode=nonsense",
        f"postgresql://desk:{PASSWORD}/with@a@slash:1/desk",
        f"redis://:{PASSWORD}@127.0.0.1:1/0",
        f"redis://:{PASSWORD}@127.0.0.1:1/zero?colour=blue",
        f"mysql://desk:{PASSWORD}@127.0.0.1:1/desk",
    ],
)
def test_the_password_of_a_store_is_not_told(store: str, tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    deployment.set(store=json.dumps(store))
    deployment.config.chmod(0o644)
    assert PASSWORD not in everything("--config", str(deployment.config))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("base_url", "http://alice:hunter2@h.example/"),
        ("trusted_origins", "http://alice:hunter2@a.example"),
        ("host", "alice:hunter2@h"),
        ("trusted_proxies", "alice:hunter2@h"),
    ],
)
def test_a_password_where_an_address_belongs_is_not_told(tmp_path: Path, name: str, value: str) -> None:
    told, _ = text_of("--store", f"sqlite:///{tmp_path}/desk.db", "--set", f"{name}={value}")
    assert "[...]@" in told
    assert "hunter2" not in told


def test_the_password_of_a_store_that_answers_is_not_told(tmp_path: Path, redis_server: RedisServer) -> None:
    redis_server.call("ACL", "SETUSER", "told", "on", f">{PASSWORD}", "~*", "&*", "+@all")
    try:
        deployment = Deployment(tmp_path)
        deployment.set(store=json.dumps(redis_server.url.replace("redis://", f"redis://told:{PASSWORD}@")))
        said = everything("--config", str(deployment.config))
    finally:
        redis_server.call("ACL", "DELUSER", "told")
    assert "redis_forgets" in said
    assert PASSWORD not in said


def test_the_credential_of_a_service_is_not_told(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)

    async def added() -> str:
        async with desk_at(f"sqlite:///{deployment.database}", ago(days=2)) as (desk, _):
            credential = await desk.services.add("admin", SERVICE_SCOPES)
            assert credential is not None
            return credential

    credential = asyncio.run(added())
    said = everything("--config", str(deployment.config))
    assert "service_broad" in said
    assert {part for part in parts(credential.removeprefix("fdk_")) if part in said} == set()


def test_the_value_of_a_cookie_that_the_application_set_is_not_told(site: Site) -> None:
    page = (200, [("Content-Type", "text/html"), ("Set-Cookie", f"basket={PASSWORD}; Domain=desk.example")], b"")
    with site.reached(pages={"/": page}) as ways:
        said = everything("--url-only", *ways)
    assert "cookie_parent_domain" in said
    assert PASSWORD not in said


def test_what_a_deployment_answers_moves_no_cursor(site: Site) -> None:
    page = (200, [("Content-Type", "text/html"), ("Set-Cookie", "a=1; SameSite=\x1b[2J\x9b2J; Secure; HttpOnly")], b"")
    with site.reached(pages={"/": page}, plain=Manners(site.server.port)) as ways:
        said = everything("--url-only", *ways)
    assert "cookie_cross_site" in said
    assert [char for char in said if not char.isprintable() and char != "\n"] == []
