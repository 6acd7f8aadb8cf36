"""Services: what they are called, the credential that each of them holds, and what it is good for."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from frontdesk.core.events import ServiceAdded, ServiceRemoved
from frontdesk.core.services import Service
from frontdesk.errors import Refusal, StoreError
from frontdesk.service.settings import DeskSettings
from frontdesk.stores.memory import MemoryStore
from tests.service.desks import STORES, TestDesk, make_store, run


@pytest.fixture(params=STORES)
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> TestDesk:
    return TestDesk(make_store(request.param, tmp_path))


async def asked(desk: TestDesk, authorization: bytes | None, scope: Any = "revocations") -> str:
    """The name of the service that is believed, or the code of the refusal."""
    found = await desk.services.authenticate(authorization, scope)
    return found.code if isinstance(found, Refusal) else found.name


async def added(desk: TestDesk, name: str = "orders", *scopes: Any) -> bytes:
    """The `Authorization` of a new service."""
    credential = await desk.services.add(name, scopes or ("revocations",))
    assert credential is not None
    return f"Bearer {credential}".encode()


def test_a_credential_names_its_service_until_that_is_removed(desk: TestDesk) -> None:
    async def scenario(desk: TestDesk) -> None:
        orders, billing = await added(desk), await added(desk, "billing")
        assert orders != billing
        assert await asked(desk, orders) == "orders"
        assert await desk.services.remove("orders")
        assert await asked(desk, orders) == "service_unknown"
        assert await asked(desk, billing) == "billing"
        assert not await desk.services.remove("orders")
        again = await added(desk)
        assert again != orders
        assert (await asked(desk, again), await asked(desk, orders)) == ("orders", "service_unknown")

    run(desk, scenario)


def test_a_credential_is_good_for_its_scopes_alone(desk: TestDesk) -> None:
    async def scenario(desk: TestDesk) -> None:
        orders = await added(desk, "orders", "revoke", "metrics", "revoke")
        told = [await asked(desk, orders, scope) for scope in ("revocations", "revoke", "metrics")]
        assert told == ["service_scope_missing", "orders", "orders"]

    run(desk, scenario)


def test_only_the_whole_credential_as_a_bearer_token_is_believed(desk: TestDesk) -> None:
    async def scenario(desk: TestDesk) -> None:
        orders = await added(desk)
        bare = orders.removeprefix(b"Bearer ")
        for accepted in (orders, b"bearer " + bare, b"BEARER  " + bare + b" "):
            assert await asked(desk, accepted) == "orders"
        for refused in (
            None, b"", b"Bearer", b"Bearer ", bare, b"Basic " + bare, b"Bearer\t" + bare, b"Bearer " + bare[:-1],
            b"Bearer " + bare + b"A", b"Bearer " + bare[:-1] + b"\xff", b"Bearer " + bare.upper(),
            b"Bearer fds_" + bare[4:], b"Bearer " + bare + b"\n", b"Bearer " + bare + b", Bearer " + bare,
            b"Bearer fdk_" + b"A" * 43,
        ):  # fmt: skip
            assert await asked(desk, refused) == "service_unknown"

    run(desk, scenario)


def test_a_name_is_taken_once_and_the_first_credential_stays_good(desk: TestDesk) -> None:
    async def scenario(desk: TestDesk) -> None:
        orders = await added(desk)
        assert await desk.services.add("orders", ["revoke"]) is None
        assert await asked(desk, orders) == "orders"
        assert [service.scopes for service in await desk.services.list()] == [("revocations",)]
        assert desk.names() == ["service_added"]

    run(desk, scenario)


def test_services_are_listed_by_name_with_no_credential_among_them(desk: TestDesk) -> None:
    async def scenario(desk: TestDesk) -> None:
        given = [await added(desk, name, "revoke", "revocations") for name in ("orders", "billing")]
        listed = await desk.services.list()
        assert [service.name for service in listed] == ["billing", "orders"]
        assert {service.scopes for service in listed} == {("revocations", "revoke")}
        assert {service.created_at for service in listed} == {desk.time.now()}
        for credential in given:
            assert credential.removeprefix(b"Bearer fdk_") not in repr(listed).encode()
            assert all(service.digest not in credential for service in listed)

    run(desk, scenario)


def test_services_of_another_realm_are_strangers() -> None:
    async def scenario() -> None:
        store = MemoryStore()
        here, there = TestDesk(store), TestDesk(store, DeskSettings(realm="other"))
        await here.open()
        await there.open()
        orders, others = await added(here), await added(there)
        assert await asked(here, orders) == await asked(there, others) == "orders"
        assert await asked(here, others) == await asked(there, orders) == "service_unknown"
        assert await there.services.remove("orders")
        assert await asked(here, orders) == "orders"
        await here.close()
        await there.close()

    asyncio.run(scenario())


def test_the_audit_log_tells_of_services_and_of_no_credential(desk: TestDesk) -> None:
    async def scenario(desk: TestDesk) -> None:
        orders = await added(desk, "orders", "revoke")
        await desk.services.remove("orders")
        assert desk.events == [
            ServiceAdded(at=desk.time.now(), realm="default", service="orders", scopes=("revoke",)),
            ServiceRemoved(at=desk.time.now(), realm="default", service="orders"),
        ]
        assert orders.removeprefix(b"Bearer ") not in repr([event.record() for event in desk.events]).encode()

    run(desk, scenario)


@pytest.mark.parametrize("name", ["", "Orders", "-orders", "orders-", "or ders", "o" * 65, "orders\n", "örders"])
def test_a_name_that_no_service_may_have_is_misuse(desk: TestDesk, name: str) -> None:
    async def scenario(desk: TestDesk) -> None:
        with pytest.raises(ValueError, match="a service is not called"):
            await desk.services.add(name, ["revoke"])
        assert await desk.services.list() == ()

    run(desk, scenario)


@pytest.mark.parametrize("scopes", [(), ("everything",), ("revoke", "everything"), "revoke"])
def test_scopes_that_are_none_are_misuse(desk: TestDesk, scopes: Any) -> None:
    async def scenario(desk: TestDesk) -> None:
        with pytest.raises(ValueError, match="scopes are one or more of"):
            await desk.services.add("orders", scopes)

    run(desk, scenario)


def test_what_is_no_credential_costs_no_look_up_and_what_looks_like_one_costs_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked_for: list[bytes] = []
    store = MemoryStore()
    look_up = store.service_by_digest

    async def counted(realm: str, digest: bytes) -> Service | None:
        asked_for.append(digest)
        return await look_up(realm, digest)

    async def scenario(desk: TestDesk) -> None:
        orders = await added(desk)
        monkeypatch.setattr(store, "service_by_digest", counted)
        for authorization in (orders, orders, b"Bearer fdk_" + b"A" * 43):
            await asked(desk, authorization)
        assert len(asked_for) == 3
        for authorization in (b"", b"Bearer fds_x", b"Bearer fdk_" + b"A" * 100_000):
            await asked(desk, authorization)
        assert len(asked_for) == 3

    run(TestDesk(store), scenario)


def test_a_store_that_cannot_be_asked_believes_nobody() -> None:
    async def scenario() -> None:
        desk = TestDesk(MemoryStore())
        await desk.open()
        orders = await added(desk)
        await desk.store.close()
        with pytest.raises(StoreError):
            await asked(desk, orders)
        await desk.close()

    asyncio.run(scenario())
