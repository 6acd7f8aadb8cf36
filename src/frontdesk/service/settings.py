"""What a desk is configured with, in one frozen record, validated where it is built."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Literal
from urllib.parse import urlsplit

from frontdesk.core.keyring import SHORTEST_ROTATION
from frontdesk.core.passwords import PasswordPolicy
from frontdesk.core.sessions import CredentialKind, SessionPolicy, Transport
from frontdesk.core.throttle import ThrottlePolicy
from frontdesk.errors import ConfigurationError

SigningAlgorithm = Literal["ES256", "EdDSA", "RS256", "PS256", "HS256"]

ENCRYPTION: Final = "A256GCM"
"""The content encryption of encrypted access tokens; their key encrypts directly (`dir`, RFC 7518 §4.5)."""

DEVELOPMENT_ISSUER = "http://localhost"
"""The issuer of a desk that was not told its base URL. Without a port: processes on one store agree on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskSettings:
    """One desk.

    issuer: the deployment's base URL, the `iss` of its tokens (RFC 9068 §2.2). audience: `aud`, by default the
    issuer; several, and every token names all of them. credentials and transports: those allowed, the first of each is
    the default. signing: the algorithm of access tokens; HS256 is for tokens that never leave the deployment.
    key_rotation: how long a key signs before the
    next one takes over, None or 0 for ever; `Desk.rotate_keys` is to be called now and then, as the server does.

    Over a remote store (PostgreSQL, Redis): freshness: `bounded` answers from what the node holds as long as it is
    not older than max_staleness, and asks the store otherwise; `strict` asks on each request. insecure_trust_stale:
    believe what the node holds however old it is, so that a store that is away signs nobody out and a sign-out that
    did not arrive lets the signed-out in. SQLite and memory are always strict.
    """

    realm: str = "default"
    issuer: str = DEVELOPMENT_ISSUER
    audience: str | tuple[str, ...] = ""
    credentials: tuple[CredentialKind, ...] = ("session", "jwt", "jwe")
    transports: tuple[Transport, ...] = ("cookie", "bearer")
    signing: SigningAlgorithm = "ES256"
    sessions: SessionPolicy = field(default_factory=SessionPolicy)
    throttle: ThrottlePolicy = field(default_factory=ThrottlePolicy)
    passwords: PasswordPolicy = field(default_factory=PasswordPolicy)
    key_rotation: timedelta | None = timedelta(days=30)
    freshness: Literal["bounded", "strict"] = "bounded"
    max_staleness: timedelta = timedelta(seconds=5)
    insecure_trust_stale: bool = False

    def __post_init__(self) -> None:
        if not self.realm or not self.realm.isprintable() or len(self.realm) > 64:
            raise ConfigurationError("realm must be 1 to 64 printable characters")
        parts = urlsplit(self.issuer)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ConfigurationError(
                f"issuer must be the deployment's base URL, such as https://desk.example; it is {self.issuer!r}"
            )
        for name, allowed, known in (
            ("credentials", self.credentials, {"session", "jwt", "jwe"}),
            ("transports", self.transports, {"cookie", "bearer"}),
        ):
            if not allowed or not set(allowed) <= known or len(set(allowed)) != len(allowed):
                raise ConfigurationError(f"{name} must name each of {sorted(known)} at most once, and one at least")
        if self.signing not in {"ES256", "EdDSA", "RS256", "PS256", "HS256"}:
            raise ConfigurationError(f"signing={self.signing!r} is not one of ES256, EdDSA, RS256, PS256, HS256")
        if self.freshness not in {"bounded", "strict"}:
            raise ConfigurationError(f'freshness is "bounded" or "strict", not {self.freshness!r}')
        if not timedelta(milliseconds=100) <= self.max_staleness <= timedelta(minutes=5):
            raise ConfigurationError("max_staleness is between 100ms and 5m")
        if self.key_rotation and self.key_rotation < SHORTEST_ROTATION:
            raise ConfigurationError("key_rotation is at least 2d, since a key is published 24h before it signs; or 0")

    @property
    def audiences(self) -> tuple[str, ...]:
        """Whom access tokens are made for; a token must name one of them."""
        named = (self.audience,) if isinstance(self.audience, str) else self.audience
        return tuple(name for name in named if name) or (self.issuer,)

    @property
    def key_algorithms(self) -> tuple[str, ...]:
        """The algorithms that the desk has current keys for: that of signatures, and that of `jwe` where offered."""
        return (self.signing, ENCRYPTION) if "jwe" in self.credentials else (self.signing,)
