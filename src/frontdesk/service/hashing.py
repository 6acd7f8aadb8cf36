"""Hashing passwords with argon2id: beside the event loop, a few at a time, sealed at rest.

**Equal cost.** Every sign-in makes exactly one verification. An account that does not exist, or has no password, is
verified against a dummy that has the current parameters. A stored hash of other parameters costs what they cost, until
its owner signs in next: then it is replaced. So on the path of a wrong password all accounts cost the same, once
everybody signed in since the parameters changed.

**Sealed.** The hash is stored encrypted (AES-256-GCM) under a key that is not in the store, bound to its realm and
account: a dump of the store alone cannot be guessed against, and a row copied to another account opens nothing
(NIST SP 800-63B-4 section 3.1.1.2). Keys are known by an identifier, so older ones go on opening what they sealed.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from frontdesk.core.passwords import (
    DEFAULT_PARAMETERS,
    SALT_BYTES,
    TAG_BYTES,
    HashParameters,
    needs_rehash,
    parse_phc,
    password_bytes,
)
from frontdesk.errors import ConfigurationError, OverloadedError, Refusal, StoreCorruptError

_SEALED: Final = "fdp1"
_KEY_ID_BYTES: Final = 8
_NONCE_BYTES: Final = 12

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class SealKey:
    """32 random octets that stand outside the store. `id` is derived from them and may be seen."""

    secret: bytes = field(repr=False)
    id: str = field(init=False)

    def __post_init__(self) -> None:
        if len(self.secret) != 32:
            raise ConfigurationError("a key that seals password hashes has 32 random octets")
        digest = hashlib.sha256(b"frontdesk password seal key id" + self.secret).digest()
        object.__setattr__(self, "id", _base64url(digest[:_KEY_ID_BYTES]))


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose password it is. Sealed together with the hash; `account` is the account's id, never its address."""

    realm: str
    account: str

    def octets(self) -> bytes:
        realm = self.realm.encode()
        return b"frontdesk password\0" + len(realm).to_bytes(4, "big") + realm + self.account.encode()


@dataclass(frozen=True, slots=True)
class Verified:
    """The outcome of one verification.

    `replacement`: store it in place of what was verified, if that is still what is stored; the hash was made with
    other parameters, or sealed under an older key. Only ever given when `ok`.
    """

    ok: bool
    replacement: str | None = field(default=None, repr=False)


class PasswordHasher:
    """Hashes and verifies passwords in threads of its own.

    At most `concurrency` run at once (default: half of the processors, since each one fills them), at most `queue`
    more wait; beyond that OverloadedError. `seal_keys`: newest first; the first one seals, all open.
    `token_bytes` is the source of salts and nonces. Use it from one event loop or several, but not across a fork:
    threads start with the first password.
    """

    def __init__(
        self,
        parameters: HashParameters = DEFAULT_PARAMETERS,
        *,
        seal_keys: Sequence[SealKey],
        token_bytes: Callable[[int], bytes],
        concurrency: int | None = None,
        queue: int = 32,
    ) -> None:
        width = max(1, processors() // 2) if concurrency is None else concurrency
        self._argon2 = _Argon2(parameters, _Seals(seal_keys, token_bytes), token_bytes)
        self._threads = _Threads(width, queue)

    @property
    def verifications(self) -> int:
        """How many verifications were made, for tests and metrics."""
        return self._argon2.verifications

    @property
    def hashes(self) -> int:
        """How many hashes were made, for tests and metrics."""
        return self._argon2.hashes

    @property
    def taken(self) -> int:
        """How many places are taken: running, waiting, or reserved."""
        return self._threads.taken

    def place(self) -> Place:
        """Take a place for one password now, as a context manager; OverloadedError when none is free.

        Sign-in waits for its turn before it counts the attempt. A desk too busy to look at the password then never
        counts it as wrong, and of the attempts that are counted but not yet judged there are never more than
        processors at work: right passwords that come in a crowd do not use up the budget for wrong ones::

            with hasher.place() as place:
                await place.turn()
                refusal = await store.admit_attempt(...)
                ...
                verified = await place.verify(stored, password, owner)
        """
        self._threads.take()
        return Place(self._argon2, self._threads)

    async def hash(self, password: str, owner: Owner) -> str:
        """The sealed hash to store for `owner`. `password` has passed `core.passwords.check`; else ValueError.

        Raises OverloadedError when no place is free.
        """
        with self.place() as place:
            return await place.hash(password, owner)

    async def verify(self, stored: str | None, password: str, owner: Owner | None) -> Verified:
        """Is `password` the one that `stored` was made from? One verification in every case.

        `stored` is None for an unknown account or one without a password: never ok; only then may `owner` be None.
        A password too long or not representable is never ok either, at the same cost. Raises OverloadedError when
        no place is free and StoreCorruptError when `stored` does not open: altered, of another account, or under a
        key that is not here.
        """
        with self.place() as place:
            return await place.verify(stored, password, owner)

    def open(self) -> None:
        """Take passwords, again after `close`. Idempotent; a new hasher is open."""
        self._threads.open()

    def close(self) -> None:
        """Take no more passwords; those that have a thread or wait for one are finished. Idempotent."""
        self._threads.close()


class Place:
    """The right to have one password hashed or verified, once. From `PasswordHasher.place`, as a context manager.

    It is given back when the context is left and the thread is through, whichever is later: a request that is
    cancelled while its password is being hashed does not make room for another before the processor is free.
    """

    def __init__(self, argon2: _Argon2, threads: _Threads) -> None:
        self._argon2 = argon2
        self._threads = threads
        self._used = False
        self._has_turn = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._used:
            self._used = True
            if self._has_turn:
                self._threads.leave()
            self._threads.give_back()

    async def turn(self) -> None:
        """Wait until a thread is free and keep it for this place. `hash` and `verify` do so by themselves."""
        if self._has_turn:
            return
        free = self._threads.enter()
        try:
            await asyncio.wrap_future(free)
        except asyncio.CancelledError:
            if free.done() and not free.cancelled():
                self._threads.leave()
            raise
        self._has_turn = True

    async def hash(self, password: str, owner: Owner) -> str:
        """As `PasswordHasher.hash`."""
        encoded = password_bytes(password)
        if isinstance(encoded, bytes):
            return await self._run(partial(self._argon2.hash, encoded, owner))
        raise ValueError(f"check the password first: {encoded.code}")

    async def verify(self, stored: str | None, password: str, owner: Owner | None) -> Verified:
        """As `PasswordHasher.verify`."""
        if stored is not None and owner is None:
            raise TypeError("a stored password has an owner")
        return await self._run(partial(self._argon2.verify, stored, password, owner))

    async def _run(self, work: Callable[[], _Result]) -> _Result:
        if self._used:
            raise RuntimeError("a place is good for one password")
        await self.turn()
        future = self._threads.submit(work)
        self._used = True
        return await asyncio.wrap_future(future)


class _Threads:
    """`width` threads, each for one place at a time, and at most `width + queue` places."""

    def __init__(self, width: int, queue: int) -> None:
        if width < 1 or queue < 0:
            raise ValueError("concurrency is at least 1 and queue at least 0")
        self.taken = 0
        self._width = width
        self._capacity = width + queue
        self._free = width
        self._waiting: deque[Future[None]] = deque()
        self._lock = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None
        self._closed = False

    def take(self) -> None:
        """Take a place; OverloadedError when there is none."""
        with self._lock:
            if self._closed:
                raise OverloadedError("The desk is closing.")
            if self.taken >= self._capacity:
                raise OverloadedError("Too many passwords are being checked; try again in a moment.")
            self.taken += 1

    def give_back(self) -> None:
        """Give a place back."""
        with self._lock:
            self.taken -= 1
        self._end_when_done()

    def enter(self) -> Future[None]:
        """Wait for a thread, first come first served: the future is done when one is this caller's."""
        turn: Future[None] = Future()
        with self._lock:
            if self._free > 0:
                self._free -= 1
                turn.set_result(None)
            else:
                self._waiting.append(turn)
        return turn

    def leave(self) -> None:
        """Hand the thread to the next who still waits."""
        with self._lock:
            while self._waiting:
                turn = self._waiting.popleft()
                if turn.set_running_or_notify_cancel():
                    turn.set_result(None)
                    return
            self._free += 1

    def submit(self, work: Callable[[], _Result]) -> Future[_Result]:
        """Run `work` on the place and the thread that were taken; both are given back by themselves."""
        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(self._width, "frontdesk-password")
            future = self._executor.submit(work)
        # Called when the thread is through, or when the future is cancelled before a thread took it.
        future.add_done_callback(self._done)
        return future

    def open(self) -> None:
        with self._lock:
            self._closed = False

    def close(self) -> None:
        """Take no more places; those that are taken are finished, and then the threads end."""
        with self._lock:
            self._closed = True
        self._end_when_done()

    def _done(self, _: Future[Any]) -> None:
        self.leave()
        self.give_back()

    def _end_when_done(self) -> None:
        with self._lock:
            if not self._closed or self.taken:
                return
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=False)


class _Argon2:
    """The work itself, as it runs in the threads."""

    def __init__(self, parameters: HashParameters, seals: _Seals, token_bytes: Callable[[int], bytes]) -> None:
        self.verifications = 0
        self.hashes = 0
        self._parameters = parameters
        self._seals = seals
        self._token_bytes = token_bytes
        self._counting = threading.Lock()
        # No password leads to a random tag, and it costs exactly what a real one costs. Nothing has to be hashed
        # for it, so the first sign-in at an unknown address costs no more than the second.
        self._dummy = _phc(parameters, token_bytes(SALT_BYTES), token_bytes(TAG_BYTES))

    def hash(self, secret: bytes, owner: Owner) -> str:
        from argon2.exceptions import HashingError  # noqa: PLC0415 - most processes hash nothing
        from argon2.low_level import Type, hash_secret  # noqa: PLC0415 - as above

        try:
            phc = hash_secret(
                secret,
                self._token_bytes(SALT_BYTES),
                time_cost=self._parameters.passes,
                memory_cost=self._parameters.memory_kib,
                parallelism=self._parameters.lanes,
                hash_len=TAG_BYTES,
                type=Type.ID,
            )
        except HashingError as error:
            raise OverloadedError("There is no memory to hash a password in.", detail=str(error)) from None
        with self._counting:
            self.hashes += 1
        return self._seals.seal(phc.decode("ascii"), owner)

    def verify(self, stored: str | None, password: str, owner: Owner | None) -> Verified:
        encoded = password_bytes(password)
        secret = encoded if isinstance(encoded, bytes) else b""
        if stored is None or owner is None:
            self._matches(self._dummy, secret)
            return Verified(ok=False)
        try:
            phc, current = self._seals.open(stored, owner)
        except StoreCorruptError:
            # A damaged row costs what a whole one costs, and a missing one.
            self._matches(self._dummy, secret)
            raise
        if not self._matches(phc, secret) or isinstance(encoded, Refusal):
            return Verified(ok=False)
        if needs_rehash(phc, self._parameters):
            return Verified(ok=True, replacement=self.hash(encoded, owner))
        return Verified(ok=True, replacement=None if current else self._seals.seal(phc, owner))

    def _matches(self, phc: str, secret: bytes) -> bool:
        from argon2.exceptions import VerificationError, VerifyMismatchError  # noqa: PLC0415 - as in hash
        from argon2.low_level import Type, verify_secret  # noqa: PLC0415 - as in hash

        with self._counting:
            self.verifications += 1
        try:
            return verify_secret(phc.encode("ascii"), secret, Type.ID)
        except VerifyMismatchError:
            return False
        except VerificationError as error:
            raise OverloadedError("There is no memory to verify a password in.", detail=str(error)) from None


class _Seals:
    """Encrypts hashes at rest: `fdp1.` key id `.` base64url of nonce and ciphertext."""

    def __init__(self, keys: Sequence[SealKey], token_bytes: Callable[[int], bytes]) -> None:
        if not keys:
            raise ConfigurationError("password hashes are sealed: at least one seal key is needed")
        self._keys = {key.id: AESGCM(key.secret) for key in keys}
        self._newest = keys[0].id
        self._token_bytes = token_bytes

    def seal(self, phc: str, owner: Owner) -> str:
        # Random nonces: 2^32 passwords under one key stay within the bound of NIST SP 800-38D section 8.3.
        nonce = self._token_bytes(_NONCE_BYTES)
        sealed = self._keys[self._newest].encrypt(nonce, phc.encode("ascii"), owner.octets())
        return f"{_SEALED}.{self._newest}.{_base64url(nonce + sealed)}"

    def open(self, stored: str, owner: Owner) -> tuple[str, bool]:
        """The PHC string, and whether the newest key had sealed it; StoreCorruptError if it does not open."""
        version, _, rest = stored.partition(".")
        key_id, _, body = rest.partition(".")
        key = self._keys.get(key_id)
        if version != _SEALED or key is None:
            raise StoreCorruptError("A password hash was sealed under a key that is not configured here.")
        try:
            octets = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
            if _base64url(octets) != body:
                raise ValueError("not canonical base64url")
            phc = key.decrypt(octets[:_NONCE_BYTES], octets[_NONCE_BYTES:], owner.octets()).decode("ascii")
            parse_phc(phc)
        except (InvalidTag, ValueError):
            raise StoreCorruptError("A password hash does not open: it was altered or belongs elsewhere.") from None
        return phc, key_id == self._newest


def processors() -> int:
    """Those this process may use, where the system tells; a container's share is often smaller than the machine."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _phc(parameters: HashParameters, salt: bytes, tag: bytes) -> str:
    cost = f"m={parameters.memory_kib},t={parameters.passes},p={parameters.lanes}"
    return f"$argon2id$v=19${cost}${_base64(salt)}${_base64(tag)}"


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii").rstrip("=")


def _base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode("ascii").rstrip("=")
