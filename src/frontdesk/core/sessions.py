"""A session is one sign-in on one device: the record, its limits, and whether it still stands.

Everything else (tokens, cookies, stores) refers to this record. `evaluate` is the one place that says
whether a session is alive; stores, rotation and the request check all call it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, Literal, get_args

import msgspec

from frontdesk.errors import Refusal

CredentialKind = Literal["session", "jwt", "jwe"]
"""What a client presents: an opaque session token, or an access token with a refresh token. The access token is
signed and can be read by whoever holds it (`jwt`), or encrypted and cannot (`jwe`)."""

Transport = Literal["cookie", "bearer"]
"""The envelope, fixed in the session at sign-in."""

RefreshEnvelope = Literal["cookie", "body"]
"""Where the refresh token travels; None in sessions whose credential is never refreshed."""

EndReason = Literal["signed_out", "revoked", "replaced", "reused", "rolled_back", "evicted"]
"""Why a session ended. `evicted`: the subject had more sessions than the policy allows."""

END_REASONS: Final[tuple[str, ...]] = get_args(EndReason)

LARGEST_ABSOLUTE: Final = timedelta(days=400)
"""No configuration lets a session live longer; browsers keep no cookie longer either (RFC 6265bis section 5.5)."""

_EMPTY: Final[Mapping[str, Any]] = MappingProxyType({})


class Epochs(msgspec.Struct, frozen=True):
    """Two integers that only grow. A session or access token is good only under the epochs it was made under.

    `realm` grows when everything is revoked, `subject` when all sessions of one subject are. They order a
    sign-in and a revocation that meet, without comparing clocks.
    """

    realm: int = 0
    subject: int = 0


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One sign-in on one device. Immutable: stores replace it whole.

    `id` is public: it may be listed and logged, and is the JWT's `sid`. It is 16 random bytes in base64url.
    `salt` is random and private to the row; with the master key it makes the row's tokens verifiable.
    `generation`, `parent` and `minted_at` belong to `core.rotation`.
    """

    id: str
    realm: str
    subject: str
    credential: CredentialKind
    transport: Transport
    refresh_in: RefreshEnvelope | None
    remember: bool
    created_at: datetime
    auth_time: datetime
    last_seen_at: datetime
    expires_at: datetime
    idle_timeout: timedelta
    salt: bytes
    epochs: Epochs = Epochs()
    generation: int = 0
    parent: int = -1
    minted_at: datetime
    amr: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    scope: tuple[str, ...] = ()
    claims: Mapping[str, Any] = _EMPTY
    device: str = ""
    address: str = ""
    ended_at: datetime | None = None
    end_reason: EndReason | None = None

    def __repr__(self) -> str:
        ended = f", {self.end_reason} at {self.ended_at}" if self.ended_at else ""
        return f"Session({self.id}, {self.subject!r}, {self.credential} over {self.transport}{ended})"

    @property
    def idle_at(self) -> datetime:
        """The moment from which the session counts as unused for too long."""
        return self.last_seen_at + self.idle_timeout


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """What an application receives for a signed-in request."""

    subject: str
    session_id: str
    auth_time: datetime
    amr: tuple[str, ...] = ()
    scope: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    claims: Mapping[str, Any] = _EMPTY
    credential: CredentialKind = "session"
    realm: str = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPolicy:
    """Every time limit of sessions and tokens, in one place (NIST SP 800-63B-4 §2.1.3, AAL1).

    idle: a session unused for this long ends. absolute: no session lives longer. access_token: lifetime of a
    JWT. grace: how long after a mint a refresh answers without minting (`core.rotation`); it must exceed two round
    trips of a refresh and the difference of clocks; zero promises nothing to clients that race. touch_every: the
    shortest time between two recordings of `last_seen_at`. max_sessions: per subject; the oldest ends.
    late_retry: "reissue" lets an owner whose reply was lost go on; "end" treats it as reuse (ASVS 10.4.5).
    """

    idle: timedelta = timedelta(days=7)
    absolute: timedelta = timedelta(days=30)
    access_token: timedelta = timedelta(minutes=15)
    grace: timedelta = timedelta(seconds=30)
    touch_every: timedelta = timedelta(seconds=60)
    max_sessions: int = 20
    late_retry: Literal["reissue", "end"] = "reissue"

    def __post_init__(self) -> None:
        if not timedelta(0) < self.idle <= self.absolute <= LARGEST_ABSOLUTE:
            raise ValueError("idle must be above zero, at most absolute, and absolute at most 400 days")
        if not timedelta(seconds=10) <= self.access_token <= timedelta(minutes=60):
            raise ValueError("access_token must be between 10 seconds and 60 minutes")
        if not timedelta(0) <= self.grace <= timedelta(minutes=5):
            raise ValueError("grace must be between 0 and 5 minutes")
        if not timedelta(0) <= self.touch_every <= self.idle / 2:
            raise ValueError("touch_every must be at most half of idle, or used sessions would end")
        if self.max_sessions < 1:
            raise ValueError("max_sessions must be at least 1")
        if self.late_retry not in {"reissue", "end"}:
            raise ValueError('late_retry is "reissue" or "end"')


_ENDED: Final[Mapping[str, Refusal]] = MappingProxyType(
    {
        "signed_out": Refusal("session_ended"),
        "revoked": Refusal("session_ended"),
        "evicted": Refusal("session_ended"),
        "replaced": Refusal("session_replaced"),
        "reused": Refusal("refresh_reused"),
        "rolled_back": Refusal("store_rolled_back"),
    }
)
_EXPIRED: Final = Refusal("session_expired")
_IDLE: Final = Refusal("session_idle")


def is_subject(text: str) -> bool:
    """Whether a subject may be called so: 1 to 255 printable characters."""
    return 0 < len(text) <= 255 and text.isprintable()


def evaluate(session: Session, now: datetime) -> Refusal | None:
    """None when the session stands at `now`; else why not. Limits are exclusive: at the limit it has ended.

    An ended session never comes back, whatever `now` is.
    """
    if session.ended_at is not None:
        return _ENDED[session.end_reason or "revoked"]
    if now >= session.expires_at:
        return _EXPIRED
    if now >= session.last_seen_at + session.idle_timeout:
        return _IDLE
    return None


def touch_due(session: Session, now: datetime, policy: SessionPolicy) -> bool:
    """Whether `last_seen_at` is old enough to be worth one write."""
    return now - session.last_seen_at >= policy.touch_every


def principal_of(session: Session) -> Principal:
    """The application's view of a session."""
    return Principal(
        subject=session.subject,
        session_id=session.id,
        auth_time=session.auth_time,
        amr=session.amr,
        scope=frozenset(session.scope),
        roles=frozenset(session.roles),
        claims=session.claims,
        credential=session.credential,
        realm=session.realm,
    )
