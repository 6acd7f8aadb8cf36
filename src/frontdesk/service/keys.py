"""Keys: the master secret and what is derived from it, and the signing keys of access tokens.

The master secret is never in the store; the store holds signing keys whose private part is sealed under it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from frontdesk.core.credentials import MacKey, derive
from frontdesk.errors import ConfigurationError, StoreCorruptError
from frontdesk.jose import jwt
from frontdesk.jose.jwk import KeySet, from_jwk
from frontdesk.jose.jws import Keys
from frontdesk.jose.keys import EcKey, Key, OctKey, OkpKey, RsaKey
from frontdesk.service.hashing import SealKey
from frontdesk.service.settings import SigningAlgorithm
from frontdesk.stores.protocol import Store, StoredKey

TokenBytes = Callable[[int], bytes]

MIN_SECRET_BYTES = 32
_LOOK_AGAIN = timedelta(seconds=10)
_NONCE_BYTES = 12
_TAG_BYTES = 16
_SAMPLES = (
    *("changeme", "changethis", "secret", "password", "example", "insecure", "0123456789abcdef"),
    *("qwertyuiop", "asdfghjkl", "zxcvbnm"),
)
_FEWEST = 12
"""Different characters, below which a secret was typed and not drawn."""
_FEWEST_HEX = 8
"""Of the sixteen that a secret in hexadecimal has; 32 random digits have fewer less than once in a million."""


def check_secret(secret: str | bytes) -> bytes:
    """The bytes of a master secret that is fit for use; ConfigurationError when it is weak (failure 14)."""
    raw = secret.encode() if isinstance(secret, str) else bytes(secret)
    advice = 'make one with `python3 -c "import secrets; print(secrets.token_urlsafe(32))"`'
    if len(raw) < MIN_SECRET_BYTES:
        raise ConfigurationError(f"the secret has {len(raw)} bytes and needs at least {MIN_SECRET_BYTES}: {advice}")
    if _is_sample(raw):
        raise ConfigurationError(f"the secret is a sample value: {advice}")
    if _repeats(raw) or _repeats(_steps(raw)) or _too_few(raw) or _entropy_bits(raw) < 80:
        raise ConfigurationError(f"the secret repeats itself and could be guessed: {advice}")
    return raw


def _is_sample(raw: bytes) -> bool:
    """Whether little but punctuation is left when the words of sample values are taken out, however they are joined."""
    joined = rest = raw.lower().translate(None, b"-_")
    for sample in _SAMPLES:
        rest = rest.replace(sample.encode(), b"")
    return len(rest) < len(joined) and sum(chr(byte).isalnum() for byte in rest) < MIN_SECRET_BYTES * 3 // 4


def _repeats(raw: bytes) -> bool:
    """Whether half of what follows could be told from what went before: a period, a run, one key held down.

    Sequences of four are counted. A generator's output of this length has hardly any twice.
    """
    return len({raw[start : start + 4] for start in range(len(raw) - 3)}) <= len(raw) // 2


def _steps(raw: bytes) -> bytes:
    """From each byte to the next: "abcd" and "2468" are runs of one step."""
    return bytes((after - before) % 256 for before, after in pairwise(raw))


def _too_few(raw: bytes) -> bool:
    symbols = set(raw.lower()) - set(b"-_")
    hexadecimal = symbols <= set(b"0123456789abcdef") and bool(symbols & set(b"abcdef"))
    return len(symbols) < (_FEWEST_HEX if hexadecimal else _FEWEST)


def _entropy_bits(raw: bytes) -> float:
    """Shannon entropy of the byte counts, times the length: an upper bound of what repetition leaves over."""
    total = len(raw)
    per_byte = -sum(count / total * math.log2(count / total) for count in Counter(raw).values())
    return per_byte * total


class MasterKeys:
    """What is derived from the master secrets, newest first. The first one makes, all of them verify."""

    def __init__(self, secrets: Sequence[str | bytes]) -> None:
        if isinstance(secrets, str | bytes) or not secrets:
            raise TypeError("secrets is a list of at least one secret, newest first")
        raw = [check_secret(secret) for secret in secrets]
        self.mac: tuple[MacKey, ...] = tuple(MacKey.from_secret(secret) for secret in raw)
        self.throttle: bytes = derive(raw[0], "throttle")
        self.password_seals: tuple[SealKey, ...] = tuple(SealKey(derive(secret, "password-seal")) for secret in raw)
        self._key_seals = tuple(AESGCM(derive(secret, "signing-key-seal")) for secret in raw)

    @property
    def newest(self) -> MacKey:
        return self.mac[0]

    def seal(self, plaintext: bytes, context: bytes, token_bytes: TokenBytes) -> bytes:
        """Encrypt a signing key at rest (AES-256-GCM, random nonce); `context` is bound to it."""
        nonce = token_bytes(_NONCE_BYTES)
        return nonce + self._key_seals[0].encrypt(nonce, plaintext, context)

    def unseal(self, sealed: bytes, context: bytes) -> bytes:
        """The inverse, under any of the secrets; ConfigurationError when none fits, StoreCorruptError for a stump."""
        if len(sealed) < _NONCE_BYTES + _TAG_BYTES:
            raise StoreCorruptError("a signing key in the store was cut short")
        for key in self._key_seals:
            try:
                return key.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], context)
            except InvalidTag:
                continue
        raise ConfigurationError(
            "the store was made under another secret: its signing keys do not open. "
            "Give the old secret too: secrets are a list, newest first"
        )

    def __repr__(self) -> str:
        return f"MasterKeys(kids={[key.kid for key in self.mac]})"


class KeyRing:
    """The signing keys of one realm, loaded once from the store; makes the first one."""

    def __init__(self, store: Store, master: MasterKeys, realm: str, token_bytes: TokenBytes) -> None:
        self._store = store
        self._master = master
        self._realm = realm
        self._token_bytes = token_bytes
        self._keys: dict[str, Key] = {}
        self._signing: Key | None = None
        self.stored: tuple[StoredKey, ...] = ()
        self.verifying: Keys = self._find
        """The keys that access tokens are verified with."""
        self.token_overhead = 0
        """Octets of an access token beside its payload: header, signature and dots."""
        self._looked_at: datetime | None = None

    async def load(self, algorithm: SigningAlgorithm, now: datetime) -> None:
        """Read the realm's keys; make and store one for `algorithm` when no current key has it.

        Of several processes that start at once the store lets one insert its key; the others read it back.
        """
        await self._read()
        if self._signing_for(algorithm) is None:
            await self._store.add_key(self._new_key(algorithm, now), only_if_none_current=True)
            await self._read()
        self._signing = self._signing_for(algorithm)
        self.token_overhead = _overhead(self.signing)

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
        keys = {}
        for stored in self.stored:
            if stored.state != "compromised":
                # The same objects as before: what is remembered of a key's tokens holds for this very object.
                keys[stored.id] = self._keys.get(stored.id) or self._opened(stored)
        self._keys = keys
        kinds = {key.kty == "oct" for key in keys.values()}
        # A ring that changed between HS256 and the others holds both kinds, which no KeySet does; each key has one
        # algorithm all the same, and a token is only ever held against the key that it names.
        self.verifying = KeySet(keys.values()) if len(kinds) < 2 else self._find

    def _opened(self, stored: StoredKey) -> Key:
        return from_jwk(self._master.unseal(stored.sealed, _context(stored.realm, stored.id)))

    def _signing_for(self, algorithm: SigningAlgorithm) -> Key | None:
        for stored in self.stored:
            if stored.state == "current" and stored.algorithm == algorithm:
                return self._keys[stored.id]
        return None

    def _new_key(self, algorithm: SigningAlgorithm, now: datetime) -> StoredKey:
        key = _generate(algorithm, self._token_bytes)
        return StoredKey(
            id=key.kid,
            realm=self._realm,
            algorithm=algorithm,
            state="current",
            public="" if algorithm == "HS256" else msgspec.json.encode(key.to_jwk()).decode(),
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

    def _find(self, kid: str | None) -> Key | None:
        return None if kid is None else self._keys.get(kid)

    def public(self) -> tuple[str, ...]:
        """The public keys as JWKs in JSON (RFC 7517). Symmetric keys have no public part and are absent."""
        return tuple(stored.public for stored in self.stored if stored.public and stored.state != "compromised")


def _generate(algorithm: SigningAlgorithm, token_bytes: TokenBytes) -> Key:
    if algorithm == "HS256":
        return OctKey(token_bytes(MIN_SECRET_BYTES))
    if algorithm == "ES256":
        return EcKey.generate()
    if algorithm == "EdDSA":
        return OkpKey.generate()
    return RsaKey.generate(alg=algorithm)


def _overhead(key: Key) -> int:
    token = jwt.sign({"iss": "x", "aud": "x", "exp": 0}, key, typ="at+jwt")
    return len(token) - len(token.split(".")[1])


def _context(realm: str, key_id: str) -> bytes:
    return f"{realm}\x00{key_id}".encode()
