"""What a client holds of one session, and when it is time for another access token."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from frontdesk.clock import BOOT_TIMER, WALL_TIMER, Timer
from frontdesk.core.discretion import Discreet

MARGIN_SECONDS: Final = 30.0
"""An access token is renewed so long before it expires; one of a short life in its last tenth."""

_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750 §2.1


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Credentials(Discreet):
    """The credentials of one session, as a storage keeps them. They are shown to `desk` and to no other.

    `expires_in` (seconds) counts from `issued_at` (seconds since 1970 by this machine's clock); 0: nobody said. Without
    a `refresh_token` nothing can be renewed: a session token needs none. ValueError for what was never a token.
    """

    desk: str
    access_token: str
    refresh_token: str = ""
    expires_in: int = 0
    issued_at: float = 0.0
    subject: str = ""
    session: str = ""

    def __post_init__(self) -> None:
        if not _TOKEN.fullmatch(self.access_token):
            raise ValueError("the access token has characters that no token has")
        if self.refresh_token and not _TOKEN.fullmatch(self.refresh_token):
            raise ValueError("the refresh token has characters that no token has")

    def dumps(self) -> str:
        """As text, for a storage."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def loads(cls, text: str) -> Credentials:
        """The inverse of `dumps`. ValueError, which does not show the text, for anything else."""
        try:
            return _decode(text)
        except (msgspec.DecodeError, UnicodeError):
            raise ValueError("this is not what Credentials.dumps wrote") from None

    def is_of_session_of(self, other: Credentials) -> bool:
        """Whether both belong to one session, as far as that is known."""
        if self.access_token == other.access_token:
            return True
        return self.session == other.session != ""


_decode: Final = msgspec.json.Decoder(Credentials).decode


class Timers(NamedTuple):
    """Two clocks: `boot` measures durations, also while the machine sleeps; `wall` is what other processes see."""

    boot: Timer = BOOT_TIMER
    wall: Timer = WALL_TIMER


class Held(NamedTuple):
    """Credentials, and by the boot-time clock when to renew them and when they expire. Infinite where nobody knows."""

    credentials: Credentials
    renew_at: float
    expires_at: float


def hold(credentials: Credentials, timers: Timers) -> Held:
    """Place credentials on this process's own clock.

    A machine whose clock was set meanwhile is mistaken here; then the desk says `token_expired`, or one refresh is made
    too many.
    """
    lifetime = float(credentials.expires_in)
    if not lifetime:
        return Held(credentials, float("inf"), float("inf"))
    age = max(0.0, timers.wall() - credentials.issued_at)
    expires_at = timers.boot() - age + lifetime
    if not credentials.refresh_token:
        return Held(credentials, float("inf"), expires_at)
    return Held(credentials, expires_at - min(MARGIN_SECONDS, lifetime / 10), expires_at)
