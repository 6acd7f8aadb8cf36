"""The master secrets and what is derived from them. They are never in the store.

`key_ring` holds the keys of access tokens, which are in the store, sealed under a master secret.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from frontdesk.core.credentials import MacKey, derive
from frontdesk.core.secrets import check_secret
from frontdesk.errors import ConfigurationError, StoreCorruptError
from frontdesk.service.hashing import SealKey

TokenBytes = Callable[[int], bytes]

_NONCE_BYTES = 12
_TAG_BYTES = 16


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
