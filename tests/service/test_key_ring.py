"""The keys of access tokens: made once, sealed at rest, told apart."""

from __future__ import annotations

import asyncio
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from frontdesk.errors import ConfigurationError
from frontdesk.jose import jwe, jwt
from frontdesk.service.key_ring import KeyRing
from frontdesk.service.keys import MasterKeys
from frontdesk.stores.protocol import Store
from tests.service.desks import OTHER_SECRET, SECRET, STORES, make_store

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
BOTH = ("ES256", "A256GCM")


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return make_store(request.param, tmp_path)


def new_ring(store: Store, secret: str = SECRET) -> KeyRing:
    return KeyRing(store, MasterKeys([secret]), "default", secrets.token_bytes)


def encrypted(ring: KeyRing) -> str:
    random = secrets.token_bytes(jwe.random_size(ring.encrypting))
    claims = {"iss": "https://desk.example", "aud": "a", "exp": NOW + timedelta(minutes=5)}
    return jwt.encrypt(claims, ring.encrypting, typ="at+jwt", random=random)


def decrypted(ring: KeyRing, token: str) -> jwt.Claims:
    return jwt.decrypt(token, ring.decrypting, issuer="https://desk.example", audience="a", typ="at+jwt", now=NOW)


def test_rings_that_load_at_once_agree_on_one_key_of_each_family(store: Store) -> None:
    async def play() -> None:
        await store.open()
        rings = [new_ring(store) for _ in range(5)]
        await asyncio.gather(*(ring.load(BOTH, NOW) for ring in rings))
        assert len({ring.signing.kid for ring in rings}) == 1
        assert len({ring.encrypting.kid for ring in rings}) == 1
        assert sorted(key.algorithm for key in await store.list_keys("default")) == ["A256GCM", "ES256"]
        token = encrypted(rings[0])
        assert all(decrypted(ring, token).aud == "a" for ring in rings)
        await store.close()

    asyncio.run(play())


def test_a_symmetric_key_is_sealed_at_rest_and_never_published(store: Store) -> None:
    async def play() -> None:
        await store.open()
        ring = new_ring(store)
        await ring.load(("HS256", "A256GCM"), NOW)
        assert ring.public() == ()
        for held in ring.stored:
            assert b'"k"' not in held.sealed
            assert held.public == ""
        with pytest.raises(ConfigurationError):
            await new_ring(store, OTHER_SECRET).load(("HS256", "A256GCM"), NOW)
        await store.close()

    asyncio.run(play())


def test_a_ring_without_encrypted_tokens_makes_no_key_for_them(store: Store) -> None:
    async def play() -> None:
        await store.open()
        ring = new_ring(store)
        await ring.load(("ES256",), NOW)
        assert [key.algorithm for key in ring.stored] == ["ES256"]
        with pytest.raises(RuntimeError, match="no key for encryption"):
            _ = ring.encrypting
        await store.close()

    asyncio.run(play())
