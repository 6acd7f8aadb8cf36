"""The master secrets and what is derived from them. They are never in the store.

`key_ring` holds the keys of access tokens, which are in the store, sealed under a master secret.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from frontdesk.core.credentials import MacKey, derive
from frontdesk.errors import ConfigurationError, StoreCorruptError
from frontdesk.service.hashing import SealKey

TokenBytes = Callable[[int], bytes]

MIN_SECRET_BYTES = 32
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
    """The bytes of a master secret that is fit for use; ConfigurationError when it is weak."""
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
