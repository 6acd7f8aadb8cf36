"""Content encryption (RFC 7518 §5): AES-GCM, and AES-CBC with HMAC.

A `Cipher` is one algorithm under one key. `open` returns None for everything that is not authentic, whatever the
reason: nobody learns more. AES-CBC is decrypted only after its MAC was found good, in constant time, so there is
no padding to ask about.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hmac import compare_digest
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher as BlockCipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.hashes import SHA256, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.padding import PKCS7

_TAG: Final = 16  # of AES-GCM (RFC 7518 §5.3)
_BLOCK_BITS: Final = 128


class Cipher(Protocol):
    """A content encryption algorithm under one key."""

    def seal(self, iv: bytes, plaintext: bytes, aad: bytes) -> tuple[bytes, bytes]:
        """Ciphertext and tag. An `iv` must never come twice under one key."""

    def open(self, iv: bytes, ciphertext: bytes, tag: bytes, aad: bytes) -> bytes | None:
        """The plaintext, or None."""


class _Gcm:
    """RFC 7518 §5.3."""

    __slots__ = ("_aead",)

    def __init__(self, key: bytes) -> None:
        self._aead: Final = AESGCM(key)

    def seal(self, iv: bytes, plaintext: bytes, aad: bytes) -> tuple[bytes, bytes]:
        sealed = self._aead.encrypt(iv, plaintext, aad)
        return sealed[:-_TAG], sealed[-_TAG:]

    def open(self, iv: bytes, ciphertext: bytes, tag: bytes, aad: bytes) -> bytes | None:
        # The lengths are compared here because the primitive takes other nonces, and would take a tag from anywhere.
        if len(iv) != 12 or len(tag) != _TAG:
            return None
        try:
            return self._aead.decrypt(iv, ciphertext + tag, aad)
        except InvalidTag:
            return None


class _CbcHmac:
    """RFC 7518 §5.2: encrypt, then MAC. The first half of the key is for the MAC."""

    __slots__ = ("_encryption", "_hash", "_mac_key")

    def __init__(self, key: bytes) -> None:
        half = len(key) // 2
        self._mac_key: Final = key[:half]
        self._encryption: Final = AES(key[half:])
        self._hash: Final[HashAlgorithm] = SHA256() if half == 16 else SHA512()

    def seal(self, iv: bytes, plaintext: bytes, aad: bytes) -> tuple[bytes, bytes]:
        padder = PKCS7(_BLOCK_BITS).padder()
        padded = padder.update(plaintext) + padder.finalize()
        encryptor = BlockCipher(self._encryption, CBC(iv)).encryptor()
        ciphertext = encryptor.update(padded) + encryptor.finalize()
        return ciphertext, self._tag(iv, ciphertext, aad)

    def open(self, iv: bytes, ciphertext: bytes, tag: bytes, aad: bytes) -> bytes | None:
        if len(iv) != 16 or not compare_digest(self._tag(iv, ciphertext, aad), tag):
            return None
        try:
            decryptor = BlockCipher(self._encryption, CBC(iv)).decryptor()
            padded = decryptor.update(ciphertext) + decryptor.finalize()
            unpadder = PKCS7(_BLOCK_BITS).unpadder()
            return unpadder.update(padded) + unpadder.finalize()
        except ValueError:
            return None  # Only who holds the key can come here.

    def _tag(self, iv: bytes, ciphertext: bytes, aad: bytes) -> bytes:
        mac = HMAC(self._mac_key, self._hash)
        mac.update(aad + iv + ciphertext + (8 * len(aad)).to_bytes(8, "big"))
        return mac.finalize()[: len(self._mac_key)]


@dataclass(frozen=True, slots=True)
class Content:
    """A value of `enc`: its sizes in bytes, and how a cipher is made from a key."""

    name: str
    key_size: int
    iv_size: int
    cipher: Callable[[bytes], Cipher]
    decoy: Cipher
    """Under a key of zeros: what an unusable content key is replaced by (RFC 7516 §11.5). What it opens is refused."""


def _content(name: str, key_size: int, iv_size: int, cipher: Callable[[bytes], Cipher]) -> Content:
    return Content(name, key_size, iv_size, cipher, cipher(bytes(key_size)))


CONTENTS: Final[Mapping[str, Content]] = {
    "A128GCM": _content("A128GCM", 16, 12, _Gcm),
    "A256GCM": _content("A256GCM", 32, 12, _Gcm),
    "A128CBC-HS256": _content("A128CBC-HS256", 32, 16, _CbcHmac),
    "A256CBC-HS512": _content("A256CBC-HS512", 64, 16, _CbcHmac),
}
"""JOSE name → content encryption."""
