"""The keys of access tokens: one family that signs, and one that encrypts where encrypted tokens are offered.

They are in the store, their secret parts sealed under the master secret. `core.keyring` says when each of them
signs and verifies; here that is applied, and noticed when another process has done it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta

import msgspec

from frontdesk.clock import Clock, SystemClock
from frontdesk.core import keyring
from frontdesk.core.keyring import KeyState, Plan, StoredKey
from frontdesk.core.secrets import MIN_SECRET_BYTES
from frontdesk.errors import ConfigurationError, StoreCorruptError, StoreError, TokenError
from frontdesk.jose import encryption_jwk, jwe, jws
from frontdesk.jose.encryption_jwk import EncryptionKeySet
from frontdesk.jose.encryption_keys import DirectKey, EncryptionKey
from frontdesk.jose.jwk import KeySet, from_jwk
from frontdesk.jose.keys import EcKey, Key, OctKey, OkpKey, RsaKey
from frontdesk.service.keys import MasterKeys, TokenBytes
from frontdesk.service.settings import ENCRYPTION
from frontdesk.stores.protocol import Store


class KeyRing:
    """The keys of one realm as the store has them; makes the first ones.

    What is held here is as new as `version`. Who verifies asks `has_moved` after the look at the session's row, or
    awaits `catch_up` before; who mints awaits `catch_up`.
    """

    def __init__(
        self, store: Store, master: MasterKeys, realm: str, token_bytes: TokenBytes, clock: Clock | None = None
    ) -> None:
        self._store = store
        self._master = master
        self._realm = realm
        self._token_bytes = token_bytes
        self._keys: dict[str, Key] = {}
        self._opening: dict[str, EncryptionKey] = {}
        self._algorithms: tuple[str, ...] = ()
        self._signing: Key | None = None
        self._encrypting: EncryptionKey | None = None
        self.stored: tuple[StoredKey, ...] = ()
        self.verifying: jws.Keys = self._find
        """The keys that signed access tokens are verified with."""
        self.decrypting: jwe.Keys = EncryptionKeySet(())
        """The keys that encrypted access tokens are opened with; all are symmetric."""
        self.version = -1
        """The store's `keys_version` that this is as new as."""
        self._when_gone: list[Callable[[str], None]] = []
        self._given_up: set[str] = set()
        self._clock = clock or SystemClock()
        self._reads = self._newest_read = 0

    async def load(self, algorithms: Sequence[str], now: datetime) -> None:
        """Read the realm's keys; make and store one for each of `algorithms` that no current key has.

        Of several processes that start at once the store lets one insert its key; the others read it back.
        """
        self._algorithms = tuple(algorithms)
        await self._read(await self._store.keys_version(self._realm))
        await self._make_missing(now)

    async def _make_missing(self, now: datetime) -> None:
        missing = [name for name in self._algorithms if self._current(name) is None]
        for name in missing:
            await self._store.add_key(self._new_key(name, "current", now), only_if_none_current=True)
        if missing:
            await self._read(await self._store.keys_version(self._realm))

    def has_moved(self) -> bool:
        """Whether the store's keys changed, as seen by this thread's last `peek_session`, or that cannot be said."""
        return self._store.peek_keys_version(self._realm) != self.version

    async def catch_up(self) -> None:
        """Take over what other processes did to the keys; nothing that was acknowledged before this call is missed.

        StoreCorruptError when one of them does not open under the secrets that are given here.
        """
        version = await self._store.keys_version(self._realm)
        if version == self.version:
            return
        try:
            await self._read(version)
            # A store that lost a part of its history may have lost the key that took over from one given up.
            await self._make_missing(self._clock.now())
        except (ConfigurationError, TokenError) as error:
            # At start this is a wrong setting; now the store holds what this process cannot use: nothing is granted.
            raise StoreCorruptError("a key in the store does not open", detail=error.message) from error

    def doubt(self) -> None:
        """The store has another history: its version says nothing of what is held here."""
        self.version = -1

    def refuse(self, key_ids: Collection[str]) -> None:
        """Believe these keys no longer, whatever the store says: the revocation log names them."""
        self._given_up.update(key_ids)
        self._give_up_all_but({*self._keys, *self._opening} - self._given_up)

    def when_gone(self, forget: Callable[[str], None]) -> None:
        """Call `forget` with the id of each key that is believed no longer."""
        self._when_gone.append(forget)

    async def rotate(self, now: datetime, *, every: timedelta | None, at_once: bool = False) -> Plan:
        """Do what is due (`core.keyring.plan`); returns what was done, by this process alone."""
        await self.catch_up()
        due = keyring.plan(self.stored, now, algorithms=self._algorithms, every=every, at_once=at_once)
        return await self._apply(due, now)

    async def give_up(self, key_id: str, now: datetime) -> Plan:
        """Refuse every token of a key from now on, in every process; returns what was done, empty for no such key."""
        while True:
            await self.catch_up()
            due = keyring.without(self.stored, key_id)
            done = await self._apply(due, now)
            if done or not due:
                return done
            # Somebody moved keys in between. Unlike a rotation this must not be left to the next time.

    async def _apply(self, due: Plan, now: datetime) -> Plan:
        if not due:
            return due
        new = [self._new_key(make.algorithm, make.state, now) for make in due.makes]
        done = await self._store.rotate_keys(self._realm, moves=due.moves, new=new, now=now)
        if not done:
            self.doubt()  # what is held is not what is stored, whatever the version says
        await self.catch_up()
        return due if done else Plan()

    async def _read(self, version: int) -> None:
        """`version` was asked before: what changes meanwhile is met again."""
        self._reads += 1
        read = self._reads
        stored_keys = await self._store.list_keys(self._realm)
        if read < self._newest_read:
            return  # a later look was faster; versions do not tell, they go back with a store that is put back
        self._newest_read = read
        usable = [key for key in stored_keys if key.state != "compromised" and key.id not in self._given_up]
        # What was given up goes first, whatever becomes of the rest: the version below is not taken over before all
        # of it is, so a key that does not open is met again at each request and none is believed meanwhile.
        self._give_up_all_but({stored.id for stored in usable})
        # The same objects as before: what is remembered of a key's tokens holds for this very object.
        keys = {
            stored.id: self._keys.get(stored.id) or from_jwk(self._unsealed(stored))
            for stored in usable
            if stored.algorithm != ENCRYPTION
        }
        opening = {
            stored.id: self._opening.get(stored.id) or encryption_jwk.from_jwk(self._unsealed(stored))
            for stored in usable
            if stored.algorithm == ENCRYPTION
        }
        self._hold(keys, opening)
        self.stored = stored_keys
        self._choose()
        self.version = version

    def _give_up_all_but(self, ids: set[str]) -> None:
        gone = {*self._keys, *self._opening} - ids
        if not gone:
            return
        self._hold(
            {key_id: key for key_id, key in self._keys.items() if key_id in ids},
            {key_id: key for key_id, key in self._opening.items() if key_id in ids},
        )
        self._signing = self._signing if self._signing is not None and self._signing.kid in ids else None
        self._encrypting = self._encrypting if self._encrypting is not None and self._encrypting.kid in ids else None
        for key_id in gone:
            for forget in self._when_gone:
                forget(key_id)

    def _hold(self, keys: dict[str, Key], opening: dict[str, EncryptionKey]) -> None:
        self._keys, self._opening = keys, opening
        kinds = {key.kty == "oct" for key in keys.values()}
        # A ring that changed between HS256 and the others holds both kinds, which no KeySet does; each key has one
        # algorithm all the same, and a token is only ever held against the key that it names.
        self.verifying = KeySet(keys.values()) if len(kinds) < 2 else self._find
        self.decrypting = EncryptionKeySet(opening.values())

    def _choose(self) -> None:
        """The current keys of this desk's algorithms do the signing and the encrypting."""
        for name in self._algorithms:
            current = self._current(name)
            if current is None or current.id in self._given_up:
                continue
            if name == ENCRYPTION:
                self._encrypting = self._opening[current.id]
            else:
                self._signing = self._keys[current.id]

    def _current(self, algorithm: str) -> StoredKey | None:
        return next((key for key in self.stored if key.state == "current" and key.algorithm == algorithm), None)

    def _unsealed(self, stored: StoredKey) -> bytes:
        return self._master.unseal(stored.sealed, _context(stored.realm, stored.id))

    def _new_key(self, algorithm: str, state: KeyState, now: datetime) -> StoredKey:
        key = _generate(algorithm, self._token_bytes)
        return StoredKey(
            id=key.kid,
            realm=self._realm,
            algorithm=algorithm,
            state=state,
            public="" if key.kty == "oct" else msgspec.json.encode(key.to_jwk()).decode(),
            sealed=self._master.seal(
                msgspec.json.encode(key.to_jwk(private=True)), _context(self._realm, key.kid), self._token_bytes
            ),
            created_at=now,
            changed_at=now,
        )

    @property
    def signing(self) -> Key:
        """The key that signs now. StoreError when there is none."""
        if self._signing is None:
            raise StoreError("there is no key to sign with; is the desk open?")
        return self._signing

    @property
    def encrypting(self) -> EncryptionKey:
        """The key that encrypts now. StoreError when there is none, RuntimeError for a desk that offers no encrypted
        tokens."""
        if self._encrypting is None:
            if ENCRYPTION in self._algorithms:
                raise StoreError("there is no key to encrypt with")
            raise RuntimeError("the key ring holds no key for encryption; open a desk that offers encrypted tokens")
        return self._encrypting

    def makes(self, *, encrypted: bool) -> bool:
        """Whether there is a key to make such tokens with."""
        return (self._encrypting if encrypted else self._signing) is not None

    def _find(self, kid: str | None) -> Key | None:
        return None if kid is None else self._keys.get(kid)

    def public(self) -> tuple[str, ...]:
        """The public keys as JWKs in JSON (RFC 7517). Symmetric keys have no public part and are absent."""
        believed = (key for key in self.stored if key.state != "compromised" and key.id not in self._given_up)
        return tuple(key.public for key in believed if key.public)


def _generate(algorithm: str, token_bytes: TokenBytes) -> Key | EncryptionKey:
    if algorithm == ENCRYPTION:
        return DirectKey(token_bytes(MIN_SECRET_BYTES), enc=ENCRYPTION)
    if algorithm == "HS256":
        return OctKey(token_bytes(MIN_SECRET_BYTES))
    if algorithm == "ES256":
        return EcKey.generate()
    if algorithm == "EdDSA":
        return OkpKey.generate()
    return RsaKey.generate(alg=algorithm)


def _context(realm: str, key_id: str) -> bytes:
    return f"{realm}\x00{key_id}".encode()
