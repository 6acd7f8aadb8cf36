"""The keys of access tokens: made once, sealed at rest, told apart, rotated, and given up everywhere at once."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from frontdesk.clock import AdjustableClock
from frontdesk.core.credentials import parse
from frontdesk.core.keyring import StoredKey
from frontdesk.core.sessions import CredentialKind
from frontdesk.errors import ConfigurationError, Refusal, StoreCorruptError, StoreError
from frontdesk.jose import jwe, jwt
from frontdesk.service.authenticate import Authenticated
from frontdesk.service.desk import Desk
from frontdesk.service.key_ring import KeyRing
from frontdesk.service.keys import MasterKeys
from frontdesk.service.refresh import Refreshed
from frontdesk.service.sign_in import Grant, Signed, SignInOptions
from frontdesk.stores.protocol import Ask, Store
from tests.service.desks import OTHER_SECRET, SECRET, STORES, TestDesk, make_store

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


# --- rotation -----------------------------------------------------------------------------------------------------

DAY = timedelta(days=1)
OPTIONS = SignInOptions(credential="jwt", transport="bearer")


async def new_token(desk: Desk, credential: CredentialKind = "jwt") -> bytes:
    options = SignInOptions(credential=credential, transport="bearer")
    signed = await desk.sign_in(Grant(subject="alice", amr=("pwd",)), options=options)
    assert isinstance(signed, Signed)
    assert signed.access_token is not None
    return signed.access_token.text.encode()


async def outcome(desk: Desk, token: bytes) -> str:
    """What the next request with this token meets, by the quick way and by the other."""
    slow = await desk.authenticate(token, "bearer")
    quick = desk.authenticate_now(token, "bearer")
    if not isinstance(quick, Ask):
        assert isinstance(quick, Refusal) == isinstance(slow, Refusal)
    return slow.code if isinstance(slow, Refusal) else "signed_in"


@asynccontextmanager
async def desks(directory: Path, count: int = 2) -> AsyncIterator[list[TestDesk]]:
    """Desks of several processes on one database, with one clock."""
    clock = AdjustableClock()
    found = [TestDesk(make_store("sqlite", directory), clock=clock) for _ in range(count)]
    for desk in found:
        await desk.open()
    try:
        yield found
    finally:
        for desk in found:
            await desk.close()


def states(desk: Desk) -> dict[str, list[str]]:
    return {state: [key.algorithm for key in desk.keys.stored if key.state == state] for state in ("next", "old")}


@pytest.mark.parametrize("credential", ["jwt", "jwe"])
def test_a_rotation_refuses_no_token_and_the_new_key_is_published_a_day_before(
    tmp_path: Path, credential: CredentialKind
) -> None:
    async def play() -> None:
        async with desks(tmp_path) as (one, two):
            first = one.keys.signing.kid, one.keys.encrypting.kid
            one.time.advance(29 * DAY)
            assert len((await one.rotate_keys()).makes) == 2
            token = await new_token(two, credential)
            assert (two.keys.signing.kid, two.keys.encrypting.kid) == first
            assert len(two.keys.public()) == 2
            assert not await two.rotate_keys()
            one.time.advance(DAY)
            token = await new_token(two, credential)
            assert len((await two.rotate_keys()).moves) == 4
            assert not await one.rotate_keys()
            assert one.keys.signing.kid not in first
            assert one.keys.encrypting.kid not in first
            assert await outcome(one, token) == await outcome(two, token) == "signed_in"
            assert await outcome(two, await new_token(one, credential)) == "signed_in"
            assert len(one.keys.public()) == 2
            one.time.advance(timedelta(hours=25))
            assert await one.store.purge(one.time.now()) == 2
            await two.keys.catch_up()
            assert states(two) == {"next": [], "old": []}
            assert await outcome(two, token) == "credential_invalid"

    asyncio.run(play())


@pytest.mark.parametrize("credential", ["jwt", "jwe"])
def test_the_next_request_with_a_token_of_a_key_given_up_is_refused_in_every_process(
    tmp_path: Path, credential: CredentialKind
) -> None:
    async def play() -> None:
        async with desks(tmp_path, 3) as (one, two, three):
            token = await new_token(two, credential)
            for desk in (one, two, three):
                assert await outcome(desk, token) == "signed_in"
                assert not isinstance(desk.authenticate_now(token, "bearer"), Refusal | Ask)  # it is remembered
            lost = one.keys.signing.kid if credential == "jwt" else one.keys.encrypting.kid
            assert await one.give_up_key(lost)
            assert not isinstance(two.authenticate_now(token, "bearer"), Authenticated)
            for desk in (one, two, three):
                assert await outcome(desk, token) == "credential_invalid"
                assert isinstance(await desk.identify(token, "bearer"), Refusal)
                assert not any(lost in published for published in desk.keys.public())
            fresh = await new_token(three, credential)
            assert [await outcome(desk, fresh) for desk in (one, two, three)] == ["signed_in"] * 3
            (entry,) = (await two.store.poll(0)).entries
            assert (entry.kind, entry.target) == ("key", lost)
            assert not await two.give_up_key(lost)
            assert not await two.give_up_key("nobody's")
            assert one.names().count("key_changed") == 1

    asyncio.run(play())


def test_a_process_that_did_not_look_mints_nothing_under_a_key_that_was_given_up(tmp_path: Path) -> None:
    async def play() -> None:
        async with desks(tmp_path) as (one, two):
            signed = await two.sign_in(Grant(subject="alice", amr=("pwd",)), options=OPTIONS)
            assert isinstance(signed, Signed)
            assert signed.refresh_token is not None
            lost = one.keys.signing.kid
            await one.give_up_key(lost)
            assert two.keys.signing.kid == lost
            refreshed = await two.refresh(signed.refresh_token.encode(), "body")
            assert isinstance(refreshed, Refreshed)
            assert two.keys.signing.kid != lost
            assert await outcome(one, refreshed.access_token.text.encode()) == "signed_in"
            await one.give_up_key(one.keys.signing.kid)
            assert await outcome(one, await new_token(two)) == "signed_in"

    asyncio.run(play())


def test_the_next_key_takes_over_at_once_when_the_current_one_is_given_up(tmp_path: Path) -> None:
    async def play() -> None:
        async with desks(tmp_path) as (one, two):
            await one.rotate_keys(at_once=True)
            (coming,) = (key.id for key in one.keys.stored if (key.state, key.algorithm) == ("next", "ES256"))
            await two.give_up_key(two.keys.signing.kid)
            await one.keys.catch_up()
            assert one.keys.signing.kid == two.keys.signing.kid == coming

    asyncio.run(play())


def test_of_many_processes_that_find_a_rotation_due_exactly_one_does_it(tmp_path: Path) -> None:
    async def play() -> None:
        async with desks(tmp_path, 5) as found:
            for days in (29, 1):
                found[0].time.advance(days * DAY)
                done = await asyncio.gather(*(desk.rotate_keys() for desk in found))
                assert sum(bool(each) for each in done) == 1
            assert len({desk.keys.signing.kid for desk in found}) == 1

    asyncio.run(play())


def test_a_key_is_given_up_even_when_others_move_keys_meanwhile(store: Store) -> None:
    async def play() -> None:
        desk = TestDesk(store)
        await desk.open()
        lost = desk.keys.signing.kid
        desk.time.advance(29 * DAY)
        _, gone = await asyncio.gather(desk.rotate_keys(), desk.give_up_key(lost))
        assert gone
        assert {key.id: key.state for key in await store.list_keys("default")}[lost] == "compromised"
        assert desk.keys.signing.kid != lost
        await desk.close()

    asyncio.run(play())


def test_a_late_answer_of_the_store_does_not_bring_an_older_ring_back(tmp_path: Path) -> None:
    async def play() -> None:
        store = make_store("memory", tmp_path)
        await store.open()
        ring = new_ring(store)
        await ring.load(BOTH, NOW)
        lost, list_keys, gate = ring.signing.kid, store.list_keys, asyncio.Event()

        async def late(realm: str) -> tuple[StoredKey, ...]:
            found = await list_keys(realm)
            await gate.wait()
            return found

        await new_ring(store).load(("EdDSA",), NOW)
        store.list_keys = late  # type: ignore[method-assign]
        slow = asyncio.create_task(ring.catch_up())
        await asyncio.sleep(0)
        store.list_keys = list_keys  # type: ignore[method-assign]
        await ring.give_up(lost, NOW)
        gate.set()
        await slow
        assert ring.signing.kid != lost
        assert {key.id: key.state for key in ring.stored}[lost] == "compromised"
        await store.close()

    asyncio.run(play())


def test_what_is_remembered_of_tokens_goes_with_their_key(store: Store) -> None:
    async def play() -> None:
        desk = TestDesk(store)
        gone: list[str] = []
        desk.keys.when_gone(gone.append)
        await desk.open()
        lost = desk.keys.signing.kid
        token = await new_token(desk)
        await outcome(desk, token)
        assert len(desk._tokens._memo) == 1
        await desk.give_up_key(lost)
        assert gone == [lost]
        assert len(desk._tokens._memo) == 0
        await desk.close()

    asyncio.run(play())


def test_a_new_master_secret_makes_and_the_old_one_still_verifies(tmp_path: Path) -> None:
    clock = AdjustableClock()

    def desk(*given: str) -> TestDesk:
        return TestDesk(make_store("sqlite", tmp_path), clock=clock, secrets_=list(given))

    async def session_token(desk: Desk) -> bytes:
        options = SignInOptions(credential="session", transport="bearer")
        signed = await desk.sign_in(Grant(subject="alice", amr=("pwd",)), options=options)
        assert isinstance(signed, Signed)
        assert signed.session_token is not None
        return signed.session_token.encode()

    async def play() -> None:
        old, both, new = desk(SECRET), desk(OTHER_SECRET, SECRET), desk(OTHER_SECRET)
        await old.open()
        before = await session_token(old)
        await both.open()
        after = await session_token(both)
        assert [await outcome(both, token) for token in (before, after)] == ["signed_in"] * 2
        assert await outcome(old, after) == "credential_invalid"
        kids = [MasterKeys([secret]).newest.kid for secret in (SECRET, OTHER_SECRET)]
        parsed = [parse(token) for token in (before, after)]
        assert [token.kid for token in parsed if token] == kids
        assert kids[0] != kids[1]
        with pytest.raises(ConfigurationError, match="made under another secret"):
            await new.open()  # the keys in the store are still sealed under the old one
        for each in (old, both, new):
            await each.close()

    asyncio.run(play())


def test_a_key_that_was_given_up_is_refused_even_where_its_successor_does_not_open(tmp_path: Path) -> None:
    """One process has the new secret already, the other not yet: what is compromised goes for both."""

    async def play() -> None:
        behind = TestDesk(make_store("sqlite", tmp_path), secrets_=[SECRET])
        ahead = TestDesk(make_store("sqlite", tmp_path), secrets_=[OTHER_SECRET, SECRET])
        await behind.open()
        await ahead.open()
        signed = await behind.sign_in(
            Grant(subject="alice"), options=SignInOptions(credential="jwt", transport="bearer")
        )
        assert isinstance(signed, Signed)
        assert signed.access_token is not None
        token = signed.access_token.text.encode()
        assert isinstance(await behind.authenticate(token, "bearer"), Authenticated)
        await ahead.give_up_key(behind.keys.signing.kid)
        for _ in range(3):
            with pytest.raises(StoreCorruptError):
                await behind.authenticate(token, "bearer")
            with pytest.raises(StoreError):
                behind._tokens.access_token(signed.session, behind.time.now())
        refused = await ahead.authenticate(token, "bearer")
        assert isinstance(refused, Refusal)
        assert refused.code == "credential_invalid"
        await behind.close()
        await ahead.close()

    asyncio.run(play())
