"""Other programs and the digests of their credentials."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import msgspec

from frontdesk.core.services import SERVICE_SCOPES
from frontdesk.stores.protocol import Store
from frontdesk.testing.suite.harness import (
    REALM,
    T0,
    TICK,
    StoreHarness,
    a_service,
    count,
    crowd,
    expect,
    with_store,
)

FAR: Final = timedelta(days=2000)
BYTES: Final = bytes((0, 255, 10, 13, 34, 39, 92, 128, *range(24)))


class ServiceRules(StoreHarness):
    """Which services there are."""

    @with_store
    async def test_every_field_of_a_service_comes_back_as_it_was_written(self, store: Store) -> None:
        services = (
            a_service(1, created_at=T0 + TICK),
            a_service(2, digest=BYTES, scopes=SERVICE_SCOPES),
            a_service(3, scopes=SERVICE_SCOPES[::-1]),
            a_service(4, scopes=(), name="x" * 64),
        )
        for service in services:
            expect(await store.add_service(service), True)
            expect(await store.service_by_digest(REALM, service.digest), service)
        expect(await store.list_services(REALM), services)
        for digest in (b"", BYTES[:-1], BYTES[::-1], bytes(32)):
            expect(await store.service_by_digest(REALM, digest), None)

    @with_store
    async def test_services_are_listed_by_name_in_the_order_of_its_characters(self, store: Store) -> None:
        names = ("b", "ab", "a-z", "a", "a.b", "a_b", "a1", "a-b", "1", "a10", "a2")
        for number, name in enumerate(names):
            await store.add_service(a_service(number, name=name))
        await store.add_service(a_service(99, name="aa", realm="other"))
        expect([service.name for service in await store.list_services(REALM)], sorted(names))
        expect(await store.list_services("empty"), ())

    @with_store
    async def test_a_name_is_taken_once_in_a_realm_and_a_digest_once_anywhere(self, store: Store) -> None:
        service = a_service(1)
        expect(await store.add_service(service), True)
        misfits = (
            service,
            a_service(1, digest=BYTES),
            a_service(2, digest=service.digest),
            a_service(1, digest=service.digest, realm="other"),
            a_service(2, digest=service.digest, realm="other"),
        )
        for misfit in misfits:
            expect((misfit, await store.add_service(misfit)), (misfit, False))
        expect(await store.list_services(REALM), (service,))
        expect(await store.list_services("other"), ())
        expect(await store.service_by_digest(REALM, BYTES), None)
        expect(await store.add_service(a_service(1, digest=BYTES, realm="other")), True)

    @with_store
    async def test_a_service_is_known_in_its_own_realm_alone(self, store: Store) -> None:
        here, there = a_service(1), a_service(1, realm="other", digest=BYTES)
        for service in (here, there):
            expect(await store.add_service(service), True)
        expect(await store.service_by_digest("other", here.digest), None)
        expect(await store.service_by_digest(REALM, there.digest), None)
        expect(await store.service_by_digest("other", there.digest), there)
        expect((await store.list_services(REALM), await store.list_services("other")), ((here,), (there,)))
        expect(await store.remove_service("third", here.name), False)
        expect(await store.remove_service("other", here.name), True)
        expect((await store.list_services(REALM), await store.list_services("other")), ((here,), ()))

    @with_store
    async def test_a_removed_service_is_gone_and_its_name_and_digest_are_free(self, store: Store) -> None:
        service = a_service(1)
        expect(await store.remove_service(REALM, service.name), False)
        await store.add_service(service)
        expect(await store.remove_service(REALM, "service-2"), False)
        expect(await store.remove_service(REALM, service.name), True)
        expect(await store.remove_service(REALM, service.name), False)
        expect((await store.list_services(REALM), await store.service_by_digest(REALM, service.digest)), ((), None))
        renewed = msgspec.structs.replace(service, digest=BYTES)
        elsewhere = msgspec.structs.replace(service, realm="other")
        for each in (renewed, elsewhere):
            expect(await store.add_service(each), True)
        expect(await store.service_by_digest(REALM, service.digest), None)
        expect(await store.service_by_digest("other", service.digest), elsewhere)

    @with_store
    async def test_of_fifty_additions_of_one_name_exactly_one_succeeds(self, store: Store) -> None:
        async with self.another(store) as other:
            outcomes = await crowd(
                lambda number: (store, other)[number % 2].add_service(a_service(number, name="metrics"))
            )
        expect(count(outcomes, True), 1)
        winner = a_service(outcomes.index(True), name="metrics")
        expect(await store.list_services(REALM), (winner,))
        for number in range(50):
            found = await store.service_by_digest(REALM, a_service(number).digest)
            expect(found, winner if number == outcomes.index(True) else None)

    @with_store
    async def test_of_fifty_additions_of_one_digest_in_any_realm_exactly_one_succeeds(self, store: Store) -> None:
        async with self.another(store) as other:
            outcomes = await crowd(
                lambda number: (store, other)[number % 2].add_service(
                    a_service(number, digest=BYTES, realm=f"realm-{number % 7}")
                )
            )
        expect(count(outcomes, True), 1)
        held = [await store.list_services(f"realm-{number}") for number in range(7)]
        winner = outcomes.index(True)
        expect(sum(held, ()), (a_service(winner, digest=BYTES, realm=f"realm-{winner % 7}"),))

    @with_store
    async def test_of_fifty_removals_of_one_service_exactly_one_succeeds(self, store: Store) -> None:
        await store.add_service(a_service(1))
        async with self.another(store) as other:
            outcomes = await crowd(lambda number: (store, other)[number % 2].remove_service(REALM, "service-1"))
        expect((count(outcomes, True), await store.list_services(REALM)), (1, ()))

    @with_store
    async def test_services_outlive_clean_up_revocations_and_closing(self, store: Store) -> None:
        services = tuple(a_service(number) for number in range(3))
        for service in services:
            await store.add_service(service)
        await store.remove_service(REALM, services[0].name)
        await store.end_realm(REALM, reason="revoked", now=T0)
        await store.end_subject(REALM, services[1].name, reason="revoked", now=T0)
        for _ in range(2):
            await store.purge(T0 + FAR)
        await store.close()
        async with self.another(store) as again:
            expect(await again.list_services(REALM), services[1:])
            expect(await again.service_by_digest(REALM, services[1].digest), services[1])
            expect(await again.add_service(a_service(1, digest=BYTES)), False)
