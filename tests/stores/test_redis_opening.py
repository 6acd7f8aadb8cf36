"""What a server must be like to hold a store, and how it is reached. A refusal is one sentence that says what to do."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from frontdesk.errors import ConfigurationError, StoreCorruptError, StoreError
from frontdesk.stores.redis import RedisStore
from frontdesk.stores.redis.connecting import require
from frontdesk.testing.suite.harness import REALM, T0, a_session, create, log_of, stored
from tests.requirements import ROOT
from tests.servers.redis import RedisServer, Sentinel, replica_of
from tests.servers.spawning import free_port
from tests.stores.redis_layout import opened, require_whole

GOOD = {"redis_version": "7.0.15", "redis_mode": "standalone", "role": "master", "maxmemory_policy": "noeviction"}
PASSWORD = "hunter-2-of-the-desk"


@pytest.fixture(autouse=True)
def _empty(redis_server: RedisServer) -> None:
    redis_server.call("FLUSHALL")


async def use(url: str) -> None:
    """Write and read through a store of this URL."""
    async with opened(url) as store:
        session = a_session(1)
        await create(store, session)
        assert await stored(store, session) == session
        await store.check()


async def refusal(url: str) -> str:
    """The sentence with which a store refuses to open; asking twice changes nothing."""
    store = RedisStore(url)
    for _ in range(2):
        with pytest.raises(ConfigurationError) as refused:
            await store.open()
    with pytest.raises(StoreError):
        await store.check()
    return str(refused.value)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"redis_version": "6.2.14"}, r"version 6\.2\.14; install Redis 7\.0 or newer"),
        ({"redis_version": ""}, "install Redis"),
        ({"redis_mode": "cluster"}, "cluster mode; use a single primary"),
        ({"redis_mode": "sentinel"}, r"write redis\+sentinel://"),
        ({"role": "slave"}, "a replica; give the store the address of the primary"),
        ({"maxmemory_policy": "allkeys-lru"}, r"\(maxmemory-policy allkeys-lru\); set maxmemory-policy noeviction"),
        ({"maxmemory_policy": "volatile-ttl"}, "set maxmemory-policy noeviction"),
    ],
)
def test_a_server_that_cannot_hold_a_store_is_refused(change: Mapping[str, str], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        require({**GOOD, **change})


@pytest.mark.parametrize("version", ["7.0.0", "7.2.4", "8.1.0", "10.0.0"])
def test_versions_from_seven_on_are_good(version: str) -> None:
    require({**GOOD, "redis_version": version})


def test_a_server_that_evicts_is_refused_at_the_start_and_later(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with opened(redis_server.url) as store:
            with redis_server.configured(maxmemory_policy="allkeys-lru"):
                assert "set maxmemory-policy noeviction" in await refusal(redis_server.url)
                redis_server.call("CLIENT", "KILL", "TYPE", "normal")
                with pytest.raises(StoreError, match="noeviction"):
                    await store.check()
            await store.check()

    asyncio.run(scenario())


def test_a_replica_is_refused(redis_server: RedisServer, tmp_path: Path) -> None:
    with RedisServer(tmp_path, options=replica_of(redis_server)) as replica:
        redis_server.wait_for_replicas(1)
        assert "is a replica" in asyncio.run(refusal(replica.url))


def test_a_sentinel_is_not_taken_for_a_server(redis_server: RedisServer, tmp_path: Path) -> None:
    with Sentinel(tmp_path, redis_server) as sentinel:
        assert "redis+sentinel://" in asyncio.run(refusal(f"redis://127.0.0.1:{sentinel.port}"))


def test_the_primary_is_found_through_sentinels_of_which_some_are_gone(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    with Sentinel(tmp_path, redis_server) as sentinel:
        asyncio.run(use(f"redis+sentinel://127.0.0.1:1,127.0.0.1:{redis_server.port},127.0.0.1:{sentinel.port}/desk"))
        with pytest.raises(StoreError, match="no Sentinel names a primary for 'front'"):
            asyncio.run(use(f"redis+sentinel://127.0.0.1:{sentinel.port}/front"))
    with pytest.raises(StoreError, match="no Sentinel"):
        asyncio.run(use("redis+sentinel://127.0.0.1:1/desk"))


def test_a_server_that_is_not_there_is_a_fault_and_no_matter_of_configuration() -> None:
    with pytest.raises(StoreError, match="cannot be reached") as fault:
        asyncio.run(use("redis://127.0.0.1:1"))
    assert fault.value.detail == "ConnectionError"


# --- the layout's version -----------------------------------------------------------------------------------------


def test_the_first_step_is_taken_once_whoever_takes_it(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        stores = [RedisStore(redis_server.url) for _ in range(10)]
        steps = await asyncio.gather(*(store.migrate() for store in stores))
        assert sorted(steps) == [()] * 9 + [("0001_first",)]
        async with opened(redis_server.url) as store:
            assert await store.migrate() == ()
            first = (await store.poll(0)).history
        async with opened(redis_server.url) as store:
            assert (await store.poll(0)).history == first

    asyncio.run(scenario())


def test_data_of_a_newer_version_is_refused(redis_server: RedisServer) -> None:
    asyncio.run(use(redis_server.url))
    redis_server.call("HSET", "{frontdesk}:meta", "schema", "2")
    assert re.search(
        "version 2, made by a newer Frontdesk; .* install the newer one", asyncio.run(refusal(redis_server.url))
    )
    asyncio.run(use(redis_server.url + "?prefix=other"))


def test_a_version_that_makes_no_sense_is_damage(redis_server: RedisServer) -> None:
    redis_server.call("HSET", "{frontdesk}:meta", "schema", "first")
    with pytest.raises(StoreCorruptError):
        asyncio.run(use(redis_server.url))


def test_a_server_that_was_emptied_goes_on_as_another_history(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with opened(redis_server.url) as store:
            await store.end_subject(REALM, "alice", reason="revoked", now=T0)
            (told,) = (before := await store.poll(0)).entries
            redis_server.call("FLUSHALL")
            after = await store.poll(0)
            assert (after.entries, after.head) == ((), 0)
            assert after.history != before.history
            assert (await store.poll(0)).history == after.history
            assert await store.append_again([told], T0) == 1
            assert await log_of(store) == [(REALM, "subject", "alice")]
            assert (await store.epochs(REALM, "alice")).subject == told.epoch

    asyncio.run(scenario())


# --- who we are ---------------------------------------------------------------------------------------------------


def test_no_password_shows_when_a_server_refuses_it(tmp_path: Path) -> None:
    options = {"requirepass": "the-right-one"}
    with RedisServer(tmp_path, options=options) as server:
        asyncio.run(use(f"redis://:the-right-one@127.0.0.1:{server.port}"))
        for who in (f":{PASSWORD}@", f"desk:{PASSWORD}@", ""):
            _require_silence(f"redis://{who}127.0.0.1:{server.port}", "does not accept the credentials")


def test_no_password_shows_when_a_server_repeats_its_command(tmp_path: Path) -> None:
    # It answers an unknown command with the arguments that came along.
    with RedisServer(tmp_path, options={"rename-command": 'AUTH ""'}) as server:
        _require_silence(f"redis://:{PASSWORD}@127.0.0.1:{server.port}", "reported an error")


def _require_silence(url: str, sentence: str) -> None:
    with pytest.raises(StoreError, match=sentence) as fault:
        asyncio.run(use(url))
    error: BaseException | None = fault.value
    while error is not None:
        assert PASSWORD not in f"{error!r} {error} {getattr(error, 'detail', '')} {error.args}"
        error = error.__cause__ or error.__context__


def test_a_user_who_may_do_what_the_manual_lists_is_enough(redis_server: RedisServer) -> None:
    manual = (ROOT / "docs" / "stores.md").read_text()
    (rules,) = re.findall(r"ACL SETUSER desk on '>a password' (.+?)```", manual, re.DOTALL)
    redis_server.call("ACL", "SETUSER", "desk", "on", ">pw", *shlex.split(rules.replace("\\\n", "")))
    try:
        asyncio.run(_use_everything(f"redis://desk:pw@127.0.0.1:{redis_server.port}"))
    finally:
        redis_server.call("ACL", "DELUSER", "desk")


async def _use_everything(url: str) -> None:
    async with opened(url) as store:
        await create(store, a_session(1))
        await store.touch_session(REALM, a_session(1).id, T0 + timedelta(hours=1))
        waiting = asyncio.create_task(store.poll(0, wait=timedelta(seconds=20)))
        await store.end_subject(REALM, "alice", reason="revoked", now=T0)
        assert len((await waiting).entries) == 1
        await store.end_realm(REALM, reason="revoked", now=T0)
        await store.renew_history()
        await store.check()
        assert await store.purge(T0 + timedelta(days=1000)) == 3


def test_a_user_who_may_do_only_a_part_is_refused_before_anything_is_half_done(redis_server: RedisServer) -> None:
    redis_server.call("ACL", "SETUSER", "desk", "on", ">pw", "~*", "&*", "+@all", "-zadd")
    try:
        sentence = asyncio.run(refusal(f"redis://desk:pw@127.0.0.1:{redis_server.port}"))
        assert "may not run ZADD on keys that begin with {frontdesk}:" in sentence
    finally:
        redis_server.call("ACL", "DELUSER", "desk")
    assert redis_server.call("KEYS", "*") == []


# --- other ways ---------------------------------------------------------------------------------------------------


def test_a_server_is_reached_over_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    with RedisServer(tmp_path, options={"unixsocket": str(path), "requirepass": "pw"}):
        asyncio.run(use(f"unix://:pw@{path}?db=3"))
        with pytest.raises(StoreError, match="cannot be reached"):
            asyncio.run(use(f"unix://{path}-other"))


def test_databases_of_one_server_are_stores_of_their_own(redis_server: RedisServer) -> None:
    asyncio.run(use(redis_server.url + "/0"))
    asyncio.run(use(redis_server.url + "/7"))
    require_whole(redis_server)


def test_a_server_is_reached_over_tls_and_must_prove_who_it_is(tmp_path: Path) -> None:
    certificate = _certificate(tmp_path)
    options = {
        "tls-port": "0",
        "tls-cert-file": str(certificate),
        "tls-key-file": str(tmp_path / "key.pem"),
        "tls-auth-clients": "no",
    }
    with RedisServer(tmp_path, options=options) as server:
        server.call("CONFIG", "SET", "tls-port", str(port := free_port()))
        asyncio.run(use(f"rediss://127.0.0.1:{port}?ssl_ca_certs={certificate}"))
        with pytest.raises(StoreError, match="cannot be reached"):
            asyncio.run(use(f"rediss://127.0.0.1:{port}"))


def _certificate(directory: Path) -> Path:
    """A certificate for 127.0.0.1 that signs itself, and its key beside it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a server of tests")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (directory / "key.pem").write_bytes(private)
    path = directory / "certificate.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return path
