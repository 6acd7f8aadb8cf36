from __future__ import annotations

import asyncio
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import argon2.low_level
import pytest
from argon2.exceptions import HashingError, VerificationError

from frontdesk.core.passwords import HashParameters
from frontdesk.errors import ConfigurationError, OverloadedError, StoreCorruptError
from frontdesk.service.hashing import Owner, PasswordHasher, SealKey, Verified

CHEAP = HashParameters(memory_kib=12288, passes=3, lanes=1)
OTHER = HashParameters(memory_kib=19456, passes=2, lanes=1)
KEY = SealKey(b"\1" * 32)
NEW_KEY = SealKey(b"\2" * 32)
ALICE = Owner("default", "alice")
PASSWORD = "seven green kettles"


def token_bytes_from_zero() -> Callable[[int], bytes]:
    """A source that never gives the same octets twice, and always the same sequence."""
    numbers = itertools.count()
    return lambda size: next(numbers).to_bytes(size, "big")


def made(
    parameters: HashParameters = CHEAP,
    *keys: SealKey,
    concurrency: int = 1,
    queue: int = 4,
    token_bytes: Callable[[int], bytes] = os.urandom,
) -> PasswordHasher:
    return PasswordHasher(
        parameters, seal_keys=keys or (KEY,), token_bytes=token_bytes, concurrency=concurrency, queue=queue
    )


@contextmanager
def hashing(hasher: PasswordHasher) -> Iterator[PasswordHasher]:
    try:
        yield hasher
    finally:
        hasher.close()


def stored_by(hasher: PasswordHasher, password: str = PASSWORD, owner: Owner = ALICE) -> str:
    with hashing(hasher):
        return asyncio.run(hasher.hash(password, owner))


def outcome_of(hasher: PasswordHasher, stored: str | None, password: str, owner: Owner | None = ALICE) -> Verified:
    with hashing(hasher):
        return asyncio.run(hasher.verify(stored, password, owner))


class Watch:
    """The real verification, watched: with which parameters it was called; held up while `go` is not set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.costs: list[str] = []
        self.started = threading.Semaphore(0)
        self.go = threading.Event()
        self.go.set()
        self._verify = argon2.low_level.verify_secret
        monkeypatch.setattr(argon2.low_level, "verify_secret", self)

    def __call__(self, phc: bytes, secret: bytes, kind: argon2.low_level.Type) -> bool:
        self.costs.append(phc.decode().rpartition("$")[0].rpartition("$")[0])
        self.started.release()
        assert self.go.wait(60)
        return self._verify(phc, secret, kind)

    async def until_started(self) -> None:
        assert await asyncio.to_thread(self.started.acquire, timeout=60)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(monkeypatch)


# --- right and wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("password", [PASSWORD, " with spaces ", "🐦" * 1024, "q\x00" * 20, "e\u0301" * 20])
def test_the_password_that_was_hashed_is_right(password: str) -> None:
    assert outcome_of(made(), stored_by(made(), password), password) == Verified(ok=True)


def test_composition_does_not_matter() -> None:
    assert outcome_of(made(), stored_by(made(), "e\u0301" * 20), "é" * 20).ok


@pytest.mark.parametrize(
    ("password", "attempt"),
    [
        (PASSWORD, "Seven green kettles"),
        (PASSWORD, PASSWORD + " "),
        (PASSWORD, ""),
        (PASSWORD, PASSWORD + "\x00"),
        ("q" * 199 + "a", "q" * 199 + "b"),
        ("q" * 72 + "a", "q" * 72 + "b"),
    ],
)
def test_any_other_password_is_wrong(password: str, attempt: str) -> None:
    assert outcome_of(made(), stored_by(made(), password), attempt) == Verified(ok=False)


def test_only_a_password_that_can_be_hashed_is_hashed() -> None:
    with hashing(made()) as hasher:
        for password in ("q" * 1025, "\ud800" * 15):
            with pytest.raises(ValueError, match="check the password first"):
                asyncio.run(hasher.hash(password, ALICE))
        assert (hasher.hashes, hasher.taken) == (0, 0)


# --- equal cost -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("attempt", [PASSWORD, "wrong", "", "q" * 10_000, "\ud800", "🐦" * 2000])
def test_every_path_makes_one_verification_of_the_same_cost(watch: Watch, known: bool, attempt: str) -> None:
    stored = stored_by(made()) if known else None
    hasher = made()
    outcome = outcome_of(hasher, stored, attempt, ALICE if known else None)
    assert outcome == Verified(ok=known and attempt == PASSWORD)
    assert (hasher.verifications, hasher.hashes) == (1, 0)
    assert watch.costs == ["$argon2id$v=19$m=12288,t=3,p=1"]


def test_the_empty_password_of_an_unknown_account_is_wrong() -> None:
    assert not outcome_of(made(), None, "", None).ok


@pytest.mark.parametrize("attempt", ["\ud800", "q" * 5000])
def test_what_cannot_be_hashed_does_not_pass_for_the_empty_password(attempt: str) -> None:
    assert not outcome_of(made(), stored_by(made(), ""), attempt).ok


def test_the_dummy_follows_the_parameters(watch: Watch) -> None:
    outcome_of(made(OTHER), None, PASSWORD)
    assert watch.costs == ["$argon2id$v=19$m=19456,t=2,p=1"]


def test_a_stored_password_without_an_owner_is_misuse() -> None:
    hasher = made()
    with pytest.raises(TypeError):
        outcome_of(hasher, "x", PASSWORD, None)
    assert (hasher.verifications, hasher.taken) == (0, 0)


# --- parameters and keys change -------------------------------------------------------------------------------------


def test_the_right_password_replaces_a_hash_of_other_parameters() -> None:
    stored = stored_by(made(OTHER))
    hasher = made()
    outcome = outcome_of(hasher, stored, PASSWORD)
    assert outcome.ok
    assert outcome.replacement is not None
    assert (hasher.verifications, hasher.hashes) == (1, 1)
    assert outcome_of(made(), outcome.replacement, PASSWORD) == Verified(ok=True)


def test_a_wrong_password_replaces_nothing() -> None:
    hasher = made(CHEAP, NEW_KEY, KEY)
    assert outcome_of(hasher, stored_by(made(OTHER)), "wrong") == Verified(ok=False)
    assert hasher.hashes == 0


def test_what_an_older_key_sealed_opens_and_is_sealed_anew() -> None:
    stored = stored_by(made())
    hasher = made(CHEAP, NEW_KEY, KEY)
    outcome = outcome_of(hasher, stored, PASSWORD)
    assert outcome.ok
    assert outcome.replacement is not None
    assert hasher.hashes == 0
    assert outcome_of(made(CHEAP, NEW_KEY), outcome.replacement, PASSWORD) == Verified(ok=True)


# --- sealed at rest -------------------------------------------------------------------------------------------------


def test_what_is_stored_shows_neither_hash_nor_password() -> None:
    stored = stored_by(made())
    version, key_id, body = stored.split(".")
    assert (version, key_id) == ("fdp1", KEY.id)
    assert "argon2" not in stored
    assert len(body) > 100
    assert stored_by(made()) != stored


def test_salts_and_nonces_come_from_the_given_source() -> None:
    one = stored_by(made(token_bytes=token_bytes_from_zero()))
    other = stored_by(made(token_bytes=token_bytes_from_zero()))
    assert one == other


def test_a_hash_opens_only_for_its_realm_and_account() -> None:
    stored = stored_by(made())
    for owner in (Owner("default", "bob"), Owner("other", "alice"), Owner("defaulta", "lice"), Owner("", "")):
        hasher = made()
        with pytest.raises(StoreCorruptError):
            outcome_of(hasher, stored, PASSWORD, owner)
        assert hasher.verifications == 1


def test_a_damaged_hash_is_a_fault_and_costs_what_a_whole_one_costs(watch: Watch) -> None:
    stored = stored_by(made())
    middle = len(stored) // 2
    flipped = stored[:middle] + ("A" if stored[middle] != "A" else "B") + stored[middle + 1 :]
    plain = "$argon2id$v=19$m=12288,t=3,p=1$c2FsdHNhbHRzYWx0c2FsdA$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
    damaged = ["", "fdp1", "fdp1.", stored[:-1], stored[:40], stored + "=", stored + "!", "x" + stored, flipped, plain]
    damaged += [stored.replace(KEY.id, NEW_KEY.id), f"fdp1.{KEY.id}.", f"fdp1.{KEY.id}.é"]
    for text in damaged:
        with pytest.raises(StoreCorruptError):
            outcome_of(made(), text, PASSWORD)
    assert watch.costs == ["$argon2id$v=19$m=12288,t=3,p=1"] * len(damaged)


def test_a_hash_under_a_forgotten_key_is_a_fault() -> None:
    with pytest.raises(StoreCorruptError):
        outcome_of(made(CHEAP, NEW_KEY), stored_by(made()), PASSWORD)


def test_a_key_has_32_octets_and_is_never_shown() -> None:
    for size in (0, 16, 31, 33):
        with pytest.raises(ConfigurationError):
            SealKey(b"\1" * size)
    assert "\\x01" not in repr(KEY)
    assert repr(Verified(ok=True, replacement="x")) == "Verified(ok=True)"


def test_without_a_key_there_is_no_hasher() -> None:
    with pytest.raises(ConfigurationError):
        PasswordHasher(CHEAP, seal_keys=(), token_bytes=os.urandom)


# --- bounds ---------------------------------------------------------------------------------------------------------


def test_beyond_the_queue_there_is_a_refusal_and_afterwards_room_again(watch: Watch) -> None:
    async def scenario(hasher: PasswordHasher) -> None:
        watch.go.clear()
        tasks = [asyncio.create_task(hasher.verify(None, PASSWORD, None)) for _ in range(5)]
        await watch.until_started()
        assert hasher.taken == 5
        for _ in range(10):
            with pytest.raises(OverloadedError):
                await hasher.verify(None, PASSWORD, None)
            with pytest.raises(OverloadedError):
                await hasher.hash(PASSWORD, ALICE)
            with pytest.raises(OverloadedError):
                hasher.place()
        assert hasher.taken == 5
        watch.go.set()
        assert await asyncio.gather(*tasks) == [Verified(ok=False)] * 5
        assert (hasher.verifications, hasher.taken) == (5, 0)
        assert await hasher.verify(None, PASSWORD, None) == Verified(ok=False)

    with hashing(made(concurrency=2, queue=3)) as hasher:
        asyncio.run(scenario(hasher))


def test_the_event_loop_runs_on_while_passwords_are_hashed(watch: Watch) -> None:
    async def scenario(hasher: PasswordHasher) -> None:
        watch.go.clear()
        task = asyncio.create_task(hasher.verify(None, PASSWORD, None))
        await watch.until_started()
        turns = 0
        for _ in range(100):
            await asyncio.sleep(0)
            turns += not task.done()
        assert turns == 100
        watch.go.set()
        await task

    with hashing(made()) as hasher:
        asyncio.run(scenario(hasher))


def test_no_more_run_at_once_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    running, most, lock = 0, 0, threading.Lock()
    verify = argon2.low_level.verify_secret

    def counted(phc: bytes, secret: bytes, kind: argon2.low_level.Type) -> bool:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        try:
            return verify(phc, secret, kind)
        finally:
            with lock:
                running -= 1

    async def scenario(hasher: PasswordHasher) -> None:
        await asyncio.gather(*(hasher.verify(None, PASSWORD, None) for _ in range(8)))

    monkeypatch.setattr(argon2.low_level, "verify_secret", counted)
    with hashing(made(concurrency=2, queue=6)) as hasher:
        asyncio.run(scenario(hasher))
    assert 1 <= most <= 2


def test_a_cancelled_request_leaks_no_place(watch: Watch) -> None:
    async def scenario(hasher: PasswordHasher) -> None:
        watch.go.clear()
        running = asyncio.create_task(hasher.verify(None, PASSWORD, None))
        await watch.until_started()
        waiting = asyncio.create_task(hasher.verify(None, PASSWORD, None))
        await asyncio.sleep(0)
        assert hasher.taken == 2
        for task in (running, waiting):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        # The one that waited is gone at once; the one that runs holds its place until its thread is through.
        assert hasher.taken == 1
        last = asyncio.create_task(hasher.verify(None, PASSWORD, None))
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError):
            hasher.place()
        watch.go.set()
        await last
        assert (hasher.verifications, hasher.taken) == (2, 0)

    with hashing(made(concurrency=1, queue=1)) as hasher:
        asyncio.run(scenario(hasher))


def test_turns_come_in_the_order_of_asking() -> None:
    async def scenario(hasher: PasswordHasher) -> None:
        order: list[int] = []

        async def one(number: int) -> None:
            with hasher.place() as place:
                await place.turn()
                order.append(number)
                await place.verify(None, PASSWORD, None)

        await asyncio.gather(*(one(number) for number in range(6)))
        assert order == list(range(6))
        assert hasher.taken == 0

    with hashing(made(concurrency=2, queue=4)) as hasher:
        asyncio.run(scenario(hasher))


def test_a_turn_that_is_not_used_or_whose_owner_is_cancelled_goes_to_the_next() -> None:
    async def scenario(hasher: PasswordHasher) -> None:
        async def only_waits() -> None:
            with hasher.place() as place:
                await place.turn()

        with hasher.place() as first:
            await first.turn()
            cancelled = asyncio.create_task(only_waits())
            granted = asyncio.create_task(only_waits())
            last = asyncio.create_task(hasher.verify(None, PASSWORD, None))
            await asyncio.sleep(0)
            cancelled.cancel()
            await asyncio.sleep(0)
        # The turn has just been handed to `granted`, which is cancelled before it learns of it.
        granted.cancel()
        assert await last == Verified(ok=False)
        await asyncio.gather(cancelled, granted, return_exceptions=True)
        assert hasher.taken == 0
        assert await hasher.verify(None, PASSWORD, None) == Verified(ok=False)

    with hashing(made(concurrency=1, queue=4)) as hasher:
        asyncio.run(scenario(hasher))


def test_a_place_is_given_back_whether_or_not_it_was_used() -> None:
    async def scenario(hasher: PasswordHasher) -> None:
        for _ in range(10):
            with hasher.place():
                assert hasher.taken == 1
            assert hasher.taken == 0
            with pytest.raises(ConnectionError), hasher.place():
                raise ConnectionError
            assert hasher.taken == 0
        with hasher.place() as place:
            assert await place.verify(None, PASSWORD, None) == Verified(ok=False)
            assert hasher.taken == 0
        assert hasher.taken == 0

    with hashing(made(concurrency=1, queue=0)) as hasher:
        asyncio.run(scenario(hasher))


def test_a_place_is_good_for_one_password() -> None:
    async def scenario(hasher: PasswordHasher) -> None:
        with hasher.place() as place:
            await place.verify(None, PASSWORD, None)
            with pytest.raises(RuntimeError):
                await place.verify(None, PASSWORD, None)
        with pytest.raises(RuntimeError):
            await place.hash(PASSWORD, ALICE)
        assert (hasher.verifications, hasher.taken) == (1, 0)

    with hashing(made()) as hasher:
        asyncio.run(scenario(hasher))


def test_a_closed_hasher_takes_nothing_and_finishes_what_it_took(watch: Watch) -> None:
    async def scenario(hasher: PasswordHasher) -> None:
        watch.go.clear()
        tasks = [asyncio.create_task(hasher.verify(None, PASSWORD, None)) for _ in range(3)]
        await watch.until_started()
        with hasher.place() as place:
            hasher.close()
            with pytest.raises(OverloadedError):
                hasher.place()
            watch.go.set()
            assert await place.verify(None, PASSWORD, None) == Verified(ok=False)
        assert await asyncio.gather(*tasks) == [Verified(ok=False)] * 3
        assert hasher.taken == 0
        hasher.close()

    with hashing(made()) as hasher:
        asyncio.run(scenario(hasher))


@pytest.mark.parametrize(("concurrency", "queue"), [(0, 1), (-1, 1), (1, -1)])
def test_bounds_that_bound_nothing_are_refused(concurrency: int, queue: int) -> None:
    with pytest.raises(ValueError):
        made(concurrency=concurrency, queue=queue)


def test_half_of_the_processors_are_used_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    for processors, places in (({0}, 1), ({0, 1}, 1), (set(range(9)), 4)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, held=processors: held, raising=False)
        hasher = PasswordHasher(CHEAP, seal_keys=(KEY,), token_bytes=os.urandom, queue=0)
        for _ in range(places):
            hasher.place()
        with pytest.raises(OverloadedError):
            hasher.place()
        hasher.close()


def test_no_memory_to_hash_in_is_an_overload_and_never_a_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    def hash_fails(*_: object, **__: object) -> bytes:
        raise HashingError("Memory allocation error")

    def verify_fails(*_: object) -> bool:
        raise VerificationError("Memory allocation error")

    stored = stored_by(made())
    monkeypatch.setattr(argon2.low_level, "hash_secret", hash_fails)
    monkeypatch.setattr(argon2.low_level, "verify_secret", verify_fails)
    hasher = made()
    with pytest.raises(OverloadedError):
        outcome_of(hasher, stored, PASSWORD)
    with pytest.raises(OverloadedError):
        stored_by(made())
    assert hasher.taken == 0
