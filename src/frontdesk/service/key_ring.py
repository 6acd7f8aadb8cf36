"""The keys of access tokens: one family that signs, and one that encrypts where encrypted tokens are offered.

They are in the store, their secret parts sealed under the master secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from frontdesk.jose import encryption_jwk, jwe, jws
from frontdesk.jose.encryption_jwk import EncryptionKeySet
from frontdesk.jose.encryption_keys import DirectKey, EncryptionKey
from frontdesk.jose.jwk import KeySet, from_jwk
from frontdesk.jose.keys import EcKey, Key, OctKey, OkpKey, RsaKey
from frontdesk.service.keys import MIN_SECRET_BYTES, MasterKeys, TokenBytes
from frontdesk.service.settings import ENCRYPTION
from frontdesk.stores.protocol import Store, StoredKey

_LOOK_AGAIN: Final = timedelta(seconds=10)


class KeyRing:
    """The keys of one realm, loaded once from the store; makes the first ones."""

    def __init__(self, store: Store, master: MasterKeys, realm: str, token_bytes: TokenBytes) -> None:
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
        self._looked_at: datetime | None = None

    async def load(self, algorithms: Sequence[str], now: datetime) -> None:
        """Read the realm's keys; make and store one for each of `algorithms` that no current key has.

        Of several processes that start at once the store lets one insert its key; the others read it back.
        """
        self._algorithms = tuple(algorithms)
        await self._read()
        missing = [name for name in self._algorithms if self._current(name) is None]
        for name in missing:
            await self._store.add_key(self._new_key(name, now), only_if_none_current=True)
        if missing:
            await self._read()

    async def look_again(self, now: datetime) -> bool:
        """Read the keys anew because a token names one that is not known here: another process may have made it.

        At most once in ten seconds, whatever strangers send; True when it was done.
        """
        if self._looked_at is not None and timedelta(0) <= now - self._looked_at < _LOOK_AGAIN:
            return False
        self._looked_at = now
        await self._read()
        return True

    async def _read(self) -> None:
        self.stored = await self._store.list_keys(self._realm)
        usable = [stored for stored in self.stored if stored.state != "compromised"]
        # The same objects as before: what is remembered of a key's tokens holds for this very object.
        self._keys = {
            stored.id: self._keys.get(stored.id) or from_jwk(self._unsealed(stored))
            for stored in usable
            if stored.algorithm != ENCRYPTION
        }
        self._opening = {
            stored.id: self._opening.get(stored.id) or encryption_jwk.from_jwk(self._unsealed(stored))
            for stored in usable
            if stored.algorithm == ENCRYPTION
        }
        kinds = {key.kty == "oct" for key in self._keys.values()}
        # A ring that changed between HS256 and the others holds both kinds, which no KeySet does; each key has one
        # algorithm all the same, and a token is only ever held against the key that it names.
        self.verifying = KeySet(self._keys.values()) if len(kinds) < 2 else self._find
        self.decrypting = EncryptionKeySet(self._opening.values())
        self._choose()

    def _choose(self) -> None:
        """The current keys of this desk's algorithms do the signing and the encrypting."""
        for name in self._algorithms:
            current = self._current(name)
            if current is None:
                continue
            if name == ENCRYPTION:
                self._encrypting = self._opening[current.id]
            else:
                self._signing = self._keys[current.id]

    def _current(self, algorithm: str) -> StoredKey | None:
        return next((key for key in self.stored if key.state == "current" and key.algorithm == algorithm), None)

    def _unsealed(self, stored: StoredKey) -> bytes:
        return self._master.unseal(stored.sealed, _context(stored.realm, stored.id))

    def _new_key(self, algorithm: str, now: datetime) -> StoredKey:
        key = _generate(algorithm, self._token_bytes)
        return StoredKey(
            id=key.kid,
            realm=self._realm,
            algorithm=algorithm,
            state="current",
            public="" if key.kty == "oct" else msgspec.json.encode(key.to_jwk()).decode(),
            sealed=self._master.seal(
                msgspec.json.encode(key.to_jwk(private=True)), _context(self._realm, key.kid), self._token_bytes
            ),
            created_at=now,
        )

    @property
    def signing(self) -> Key:
        """The key that signs now."""
        if self._signing is None:
            raise RuntimeError("the key ring is not loaded; open the desk first")
        return self._signing

    @property
    def encrypting(self) -> EncryptionKey:
        """The key that encrypts now. RuntimeError for a desk that offers no encrypted tokens."""
        if self._encrypting is None:
            raise RuntimeError("the key ring holds no key for encryption; open a desk that offers encrypted tokens")
        return self._encrypting

    def _find(self, kid: str | None) -> Key | None:
        return None if kid is None else self._keys.get(kid)

    def public(self) -> tuple[str, ...]:
        """The public keys as JWKs in JSON (RFC 7517). Symmetric keys have no public part and are absent."""
        return tuple(stored.public for stored in self.stored if stored.public and stored.state != "compromised")


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
