"""Session tokens and refresh tokens: mint, parse, verify. Nothing at rest can be replayed.

    session token   fds_ + base64url( version(1) kid(1) realm(16) id(16)               tag(32) )
    refresh token   fdr_ + base64url( version(1) kid(1) realm(16) id(16) generation(4) tag(32) )

tag = HMAC-SHA256 over the same fields and the row's random 16-byte salt, under a key derived from the master secret
by HKDF (RFC 5869), one per purpose. The row holds the salt but no key, the key file no salt: neither alone forges.
The encoding is canonical: one token has exactly one spelling.
"""

from __future__ import annotations

import hashlib
import hmac
from binascii import Error, a2b_base64, b2a_base64
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, Literal

import msgspec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

Purpose = Literal["session", "refresh"]

SESSION_PREFIX: Final = b"fds_"
REFRESH_PREFIX: Final = b"fdr_"
_VERSION: Final = 1
_SESSION_BYTES: Final = 66
_REFRESH_BYTES: Final = 70
_TAG_BYTES: Final = 32
SESSION_TOKEN_LENGTH: Final = len(SESSION_PREFIX) + 88
REFRESH_TOKEN_LENGTH: Final = len(REFRESH_PREFIX) + 94
MAX_GENERATION: Final = 2**32 - 1
SALT_BYTES: Final = 16
ID_BYTES: Final = 16
_ID_LENGTH: Final = 22
_TO_URLSAFE: Final = bytes.maketrans(b"+/", b"-_")
_FROM_URLSAFE: Final = bytes.maketrans(b"-_", b"+/")


def derive(secret: bytes, purpose: str, length: int = 32) -> bytes:
    """A key for one purpose from the master secret (HKDF-SHA256, RFC 5869). Purposes never share keys."""
    return HKDF(SHA256(), length, salt=None, info=b"frontdesk/v1/" + purpose.encode()).derive(secret)


class MacKey(msgspec.Struct, frozen=True):
    """One master secret as far as tokens need it: two MAC keys and the byte that names them in a token."""

    kid: int
    session: bytes
    refresh: bytes

    @classmethod
    def from_secret(cls, secret: bytes) -> MacKey:
        """Derive from a master secret of at least 32 bytes."""
        return cls(
            kid=derive(secret, "kid", 1)[0],
            session=derive(secret, "session-token"),
            refresh=derive(secret, "refresh-token"),
        )

    def __repr__(self) -> str:
        return f"MacKey(kid={self.kid})"


class ParsedToken(msgspec.Struct, frozen=True):
    """A well-formed token: what it claims. Nothing of it is believed before `authentic` said yes."""

    purpose: Purpose
    kid: int
    realm: bytes
    session_id: str
    generation: int
    fields: bytes
    tag: bytes

    def __repr__(self) -> str:
        return f"ParsedToken({self.purpose}, {self.session_id}, generation={self.generation})"


@lru_cache(maxsize=256)
def realm_bytes(realm: str) -> bytes:
    """The 16 bytes that stand for a realm in a token."""
    return hashlib.sha256(b"frontdesk/realm/" + realm.encode()).digest()[:16]


def encode_id(raw: bytes) -> str:
    """16 bytes as the public session id: 22 characters of base64url."""
    if len(raw) != ID_BYTES:
        raise ValueError("a session id is made of 16 bytes")
    return _encode(raw).decode()


def is_id(text: str) -> bool:
    """Whether `encode_id` could have made this; asked of what strangers send, which may be no text at all."""
    if len(text) != _ID_LENGTH or not text.isascii():
        return False
    try:
        _decode_id(text)
    except ValueError:
        return False
    return True


def mint_session_token(key: MacKey, realm: str, session_id: str, salt: bytes) -> str:
    """The session token of a row. The same row always yields the same token under the same key."""
    fields = bytes((_VERSION, key.kid)) + realm_bytes(realm) + _decode_id(session_id)
    return (SESSION_PREFIX + _encode(fields + _tag(key.session, fields, salt))).decode()


def mint_refresh_token(key: MacKey, realm: str, session_id: str, salt: bytes, generation: int) -> str:
    """The refresh token of one generation of a row."""
    if not 0 <= generation <= MAX_GENERATION:
        raise ValueError("a generation is a 32-bit number")
    fields = bytes((_VERSION, key.kid)) + realm_bytes(realm) + _decode_id(session_id) + generation.to_bytes(4, "big")
    return (REFRESH_PREFIX + _encode(fields + _tag(key.refresh, fields, salt))).decode()


def parse(token: bytes) -> ParsedToken | None:
    """The fields of a session or refresh token, or None when it has a form that was never issued."""
    if len(token) == SESSION_TOKEN_LENGTH and token.startswith(SESSION_PREFIX):
        return _parse(token[len(SESSION_PREFIX) :], "session", _SESSION_BYTES)
    if len(token) == REFRESH_TOKEN_LENGTH and token.startswith(REFRESH_PREFIX):
        return _parse(token[len(REFRESH_PREFIX) :], "refresh", _REFRESH_BYTES)
    return None


def authentic(token: ParsedToken, keys: Sequence[MacKey], realm: str, salt: bytes) -> bool:
    """Whether the desk made this token for the row with this salt. Constant time in the tag.

    Two secrets may share a kid byte (1 in 256), so every key that bears it is tried.
    """
    if token.realm != realm_bytes(realm):
        return False
    for key in keys:
        if key.kid == token.kid:
            secret = key.session if token.purpose == "session" else key.refresh
            if hmac.compare_digest(_tag(secret, token.fields, salt), token.tag):
                return True
    return False


def _parse(text: bytes, purpose: Purpose, size: int) -> ParsedToken | None:
    try:
        raw = _decode(text)
    except Error:
        return None
    # The decoder skips foreign characters and ignores trailing bits; spelling it again shows both.
    if len(raw) != size or raw[0] != _VERSION or _encode(raw) != text:
        return None
    fields, tag = raw[:-_TAG_BYTES], raw[-_TAG_BYTES:]
    return ParsedToken(
        purpose=purpose,
        kid=raw[1],
        realm=raw[2:18],
        session_id=_encode(raw[18:34]).decode(),
        generation=int.from_bytes(raw[34:38], "big") if purpose == "refresh" else 0,
        fields=fields,
        tag=tag,
    )


def _tag(secret: bytes, fields: bytes, salt: bytes) -> bytes:
    # Fields have a fixed width per key, so appending the salt is unambiguous.
    return hmac.digest(secret, fields + salt, "sha256")


def _encode(raw: bytes) -> bytes:
    return b2a_base64(raw, newline=False).translate(_TO_URLSAFE, b"=")


def _decode(text: bytes) -> bytes:
    # Not strict: who needs one spelling compares with `_encode`. `base64.urlsafe_b64decode` takes twice as long.
    return a2b_base64(text.translate(_FROM_URLSAFE) + b"=" * (-len(text) % 4))


def _decode_id(session_id: str) -> bytes:
    # An id of another length would shift the fields behind it into each other.
    raw = _decode(session_id.encode())
    if len(raw) != ID_BYTES or _encode(raw) != session_id.encode():
        raise ValueError("not a session id that `encode_id` made")
    return raw
