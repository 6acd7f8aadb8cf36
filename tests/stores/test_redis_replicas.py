"""Replicas: what they acknowledge, and that none ever answers in the primary's place."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from frontdesk.errors import StoreError
from frontdesk.testing.suite.harness import REALM, T0, a_session, create, expect, log_of, sid, stored
from tests.servers.redis import RedisServer, replica_of
from tests.stores.redis_layout import opened

BRIEF = timedelta(milliseconds=400)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[RedisServer, RedisServer]]:
    """A primary and its replica."""
    for name in ("primary", "replica"):
        (tmp_path / name).mkdir()
    with (
        RedisServer(tmp_path / "primary") as primary,
        RedisServer(tmp_path / "replica", options=replica_of(primary)) as replica,
    ):
        primary.wait_for_replicas(1)
        yield primary, replica


def test_a_write_is_acknowledged_when_a_replica_has_it(pair: tuple[RedisServer, RedisServer]) -> None:
    primary, replica = pair

    async def scenario() -> None:
        async with opened(primary.url + "?wait_replicas=1") as store:
            for number in range(20):
                await create(store, a_session(number))
                assert replica.call("EXISTS", store._names.session(REALM, sid(number))) == 1
            await store.check()
        async with opened(primary.url, wait_replicas=1, prefix="other") as store:
            expect(await store.migrate(), ())

    asyncio.run(scenario())


def test_a_write_that_too_few_replicas_have_is_no_yes(pair: tuple[RedisServer, RedisServer]) -> None:
    primary, replica = pair

    async def scenario() -> None:
        async with opened(primary.url, wait_replicas=1, timeout=BRIEF) as store:
            await create(store, a_session(1))
            replica.stop()
            for attempt in (
                lambda: store.end_session(REALM, sid(1), reason="revoked", now=T0),
                # It has ended by then, which a fail-over may take back.
                lambda: store.end_session(REALM, sid(1), reason="revoked", now=T0),
                lambda: store.purge(T0),
                store.check,
            ):
                with pytest.raises(StoreError, match="too few replicas acknowledged") as fault:
                    await attempt()
                expect(fault.value.detail, "0 of 1")
            # Nothing is known about the outcome; here it was done.
            expect((await stored(store, a_session(1))).end_reason, "revoked")

    asyncio.run(scenario())


def test_more_replicas_than_there_are_acknowledge_nothing(pair: tuple[RedisServer, RedisServer]) -> None:
    async def scenario() -> None:
        with pytest.raises(StoreError, match="too few replicas"):
            async with opened(pair[0].url, wait_replicas=2, timeout=BRIEF):
                pass

    asyncio.run(scenario())


def test_a_server_that_became_a_replica_answers_nothing(pair: tuple[RedisServer, RedisServer]) -> None:
    primary, replica = pair

    async def scenario() -> None:
        async with opened(primary.url) as store:
            await create(store, a_session(1))
            waiting = asyncio.create_task(store.poll(0, wait=timedelta(seconds=60)))
            await asyncio.sleep(0)
            # By hand and with all connections left open: nobody tells the store.
            replica.call("REPLICAOF", "NO", "ONE")
            primary.call("REPLICAOF", "127.0.0.1", str(replica.port))
            for ask in (
                lambda: store.read_session(REALM, sid(1)),
                lambda: store.list_sessions(REALM, "alice", T0),
                lambda: store.epochs(REALM, "alice"),
                lambda: store.keys_version(REALM),
                lambda: store.poll(0),
                lambda: store.end_session(REALM, sid(1), reason="revoked", now=T0),
                store.check,
            ):
                with pytest.raises(StoreError, match="replica"):
                    await ask()
            with pytest.raises(StoreError):
                await waiting
            primary.call("REPLICAOF", "NO", "ONE")
            expect(await store.read_session(REALM, sid(1)), a_session(1))

    asyncio.run(scenario())


def test_each_change_of_the_primary_is_another_history(pair: tuple[RedisServer, RedisServer]) -> None:
    primary, replica = pair

    async def scenario() -> None:
        names = []
        async with opened(primary.url) as store:
            await store.end_subject(REALM, "alice", reason="revoked", now=T0)
            names.append((await store.poll(0)).history)
            expect((await store.poll(0)).history, names[0])
            primary.wait_for_replicas(1)
            replica.call("REPLICAOF", "NO", "ONE")
            async with opened(replica.url) as other:
                names.append((await other.poll(0)).history)
                expect(await log_of(other), [(REALM, "subject", "alice")])
            # The same process is the primary again: what it was not told in between is lost.
            primary.call("REPLICAOF", "127.0.0.1", str(replica.port))
            replica.wait_for_replicas(1)
            primary.call("REPLICAOF", "NO", "ONE")
            names.append((await store.poll(0)).history)
            names.append(await store.renew_history())
            expect((await store.poll(0)).history, names[-1])
        expect(len(set(names)), 4)

    asyncio.run(scenario())
