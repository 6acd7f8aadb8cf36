"""Services: other programs that talk to the desk, and the credential each of them holds.

    service credential   fdk_ + base64url( 32 random bytes )

The store holds its SHA-256 alone: 256 random bits need no slow hash, and nobody gets from the digest to the credential.
"""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64encode
from datetime import datetime
from typing import Final, Literal, get_args

import msgspec

ServiceScope = Literal["revocations", "revoke", "metrics", "explain"]
"""What a service may do: `revocations` follow the log, `revoke` end sessions, subjects, keys and everything, `metrics`
read /metrics, `explain` see why the requests of others pass or fail."""

SERVICE_SCOPES: Final[tuple[ServiceScope, ...]] = get_args(ServiceScope)

CREDENTIAL_PREFIX: Final = "fdk_"
CREDENTIAL_BYTES: Final = 32
_CREDENTIAL: Final = re.compile(rb"fdk_[A-Za-z0-9_-]{43}")
_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """One program. `name` is unique in its realm; `digest` is that of its credential."""

    name: str
    realm: str
    digest: bytes
    scopes: tuple[ServiceScope, ...]
    created_at: datetime

    def __repr__(self) -> str:
        return f"Service({self.name!r}, {list(self.scopes)})"


def is_service_name(text: str) -> bool:
    """Whether a service may be called so: 1 to 64 lower-case letters, digits, dots, dashes and underscores."""
    return _NAME.fullmatch(text) is not None


def credential_of(raw: bytes) -> str:
    """The credential made of 32 random bytes."""
    if len(raw) != CREDENTIAL_BYTES:
        raise ValueError(f"a service credential is made of {CREDENTIAL_BYTES} bytes")
    return CREDENTIAL_PREFIX + urlsafe_b64encode(raw).decode().rstrip("=")


def credential_digest(credential: bytes) -> bytes | None:
    """What the store knows a credential by; None for what has a form that was never issued."""
    if _CREDENTIAL.fullmatch(credential) is None:
        return None
    return hashlib.sha256(b"frontdesk/service/" + credential).digest()
