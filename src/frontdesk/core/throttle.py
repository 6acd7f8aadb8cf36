"""How many wrong passwords may be tried: budgets as arithmetic on (stored tallies, now).

An attempt counts on three tallies at once, and is looked at only if none of them is exhausted:

- the **account**: five failures are free, then the next attempt waits 1, 2, 4 … s, up to 15 min, after the last one;
  after 100 in a row nothing is looked at until `frontdesk users unlock` (NIST SP 800-63B-4 section 3.2.2);
- the **network** (an IPv4 address, an IPv6 /64): 20 in any minute and 100 in any hour;
- the **pair** of both: 10 in any 15 minutes.

Only failed checks count. So that parallel guesses cannot slip through between reading and counting, the store takes
two atomic steps: `admit` before the password is looked at counts the attempt as failed already, and `succeeded`
takes that back and clears the account. A wrong password needs no second step, and neither does a crash: it counts.
A malformed request never gets here.

Nothing here knows whether the account exists: known and unknown addresses have the same tallies.

Clocks step back. A moment that lies ahead of `now` is taken to be now: it frees nothing, and it holds for one span
from then on and not until the clock has come back to where it was.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from frontdesk.clock import from_micros, span_to_micros, to_micros
from frontdesk.errors import Refusal

_MOST_FAILURES: Final = 100
_NEVER: Final = to_micros(datetime.max.replace(tzinfo=UTC))


@dataclass(frozen=True, slots=True)
class Window:
    """At most `limit` failures in any interval of length `span` (half open: exactly `span` later is free)."""

    limit: int
    span: timedelta

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= 1000:
            raise ValueError(f"a window holds 1 to 1000 attempts, not {self.limit}")
        if not timedelta(0) < self.span <= timedelta(days=1):
            raise ValueError("a window spans more than nothing and at most a day")


@dataclass(frozen=True, slots=True, kw_only=True)
class ThrottlePolicy:
    """The budgets. The defaults are those of the module's docstring; docs name them (ASVS 6.1.1).

    `forget_after`: an account tally that rests for so long without reaching `most_failures` is dropped, so that
    guesses at addresses nobody owns do not fill the store for ever. It allows one who waits a year 99 further
    guesses; None keeps tallies until a success. A tally that reached `most_failures` stays in any case.
    """

    free_failures: int = 5
    first_delay: timedelta = timedelta(seconds=1)
    longest_delay: timedelta = timedelta(minutes=15)
    most_failures: int = _MOST_FAILURES
    network: tuple[Window, ...] = (Window(20, timedelta(minutes=1)), Window(100, timedelta(hours=1)))
    pair: tuple[Window, ...] = (Window(10, timedelta(minutes=15)),)
    forget_after: timedelta | None = timedelta(days=365)

    def __post_init__(self) -> None:
        if not 1 <= self.free_failures <= self.most_failures <= _MOST_FAILURES:
            raise ValueError(f"1 <= free_failures <= most_failures <= {_MOST_FAILURES} is needed (NIST SP 800-63B-4)")
        if not timedelta(0) < self.first_delay <= self.longest_delay <= timedelta(days=1):
            raise ValueError("0 < first_delay <= longest_delay <= 1 day is needed")
        if not self.network or not self.pair:
            raise ValueError("network and pair need at least one window each")
        if self.forget_after is not None and self.forget_after <= self.longest_delay:
            raise ValueError("forget_after must be longer than longest_delay")


@dataclass(frozen=True, slots=True)
class AttemptKeys:
    """The names of the three tallies of one attempt: digests, 32 octets each."""

    account: bytes
    network: bytes
    pair: bytes

    def __post_init__(self) -> None:
        if len({self.account, self.network, self.pair}) != 3:
            raise ValueError("the three keys of an attempt must differ")


def attempt_keys(secret: bytes, *, realm: str, address: str, network: str) -> AttemptKeys:
    """Digests of the canonical address (`addresses.canonical_email`) and the network (`throttle_network`).

    HMAC-SHA256 under `secret`, so that the store holds neither addresses of people nor of machines, and nobody who
    reads a dump can try addresses against it. Another `secret` starts all tallies anew.
    """
    return AttemptKeys(
        account=account_key(secret, realm=realm, address=address),
        network=_digest(secret, "network", realm, network),
        pair=_digest(secret, "pair", realm, address, network),
    )


def account_key(secret: bytes, *, realm: str, address: str) -> bytes:
    """The account's part of `attempt_keys`: what `frontdesk users unlock` removes."""
    return _digest(secret, "account", realm, address)


@dataclass(frozen=True, slots=True)
class Tally:
    """One stored counter. Columns: `failures` INTEGER, `moments` BLOB (`pack`), `expires_us` INTEGER.

    `failures` in a row (account; 0 elsewhere). `moments`: microseconds since 1970 of the counted attempts, oldest
    first (account: of the last one only). From `expires_us` on it counts nothing and may be purged.
    """

    failures: int
    moments: tuple[int, ...]
    expires_us: int


@dataclass(frozen=True, slots=True)
class Tallies:
    """The three tallies of one attempt as they are stored, or are to be stored; None: there is no row."""

    account: Tally | None = None
    network: Tally | None = None
    pair: Tally | None = None


@dataclass(frozen=True, slots=True)
class Admitted:
    """The password may be looked at. Store all three `tallies` first, in the transaction that read them."""

    tallies: Tallies


@dataclass(frozen=True, slots=True)
class Exhausted:
    """The password must not be looked at. `wait`: when to try again; with a locked account, the longest delay.

    `moved` is None: there is nothing to store, an attack on an exhausted budget costs no write. Otherwise the clock
    stepped back, moments ahead of it were moved to now, and `moved` is to be stored: unless it is, a budget stays
    exhausted until the clock is where it was.
    """

    wait: timedelta
    moved: Tallies | None = None

    def refusal(self) -> Refusal:
        """429 `too_many_attempts`; `retry_after` is in whole seconds, rounded up, for the header Retry-After."""
        seconds = max(1, -(-self.wait // timedelta(seconds=1)))
        return Refusal("too_many_attempts", f"Try again in {seconds} s.", {"retry_after": seconds})


def admit(tallies: Tallies, now: datetime, policy: ThrottlePolicy) -> Admitted | Exhausted:
    """Reserve one attempt on all three tallies, or on none. Pure: the store writes what comes back."""
    at = to_micros(now)
    moved = _not_ahead(tallies, at, policy)
    account = moved.account if moved.account and moved.account.expires_us > at else None
    network, pair = _moments(moved.network), _moments(moved.pair)
    wait = max(
        _account_wait(account, at, policy),
        _window_wait(network, at, policy.network),
        _window_wait(pair, at, policy.pair),
    )
    if wait > 0:
        return Exhausted(timedelta(microseconds=wait), None if moved == tallies else moved)
    return Admitted(
        Tallies(
            account=_account_tally(account.failures + 1 if account else 1, at, policy),
            network=_window_tally((*network, at), policy.network),
            pair=_window_tally((*pair, at), policy.pair),
        )
    )


def succeeded(tallies: Tallies, admitted_at: datetime) -> Tallies:
    """The password was right: the account's and the pair's tallies go, the network gets its reservation back.

    `admitted_at` is the very `now` under which `admit` admitted this attempt: it names the reservation. Failures of
    others on the same network stay: a success elsewhere does not buy guesses here.
    """
    network = tallies.network
    if network is None:
        return Tallies()
    at = to_micros(admitted_at)
    moments = list(network.moments)
    if at in moments:
        moments.remove(at)
    elif moments and at > moments[-1]:
        # The clock stepped back and every moment was moved; the newest is this reservation or no older.
        moments.pop()
    if not moments:
        return Tallies()
    return Tallies(network=Tally(0, tuple(moments), network.expires_us))


def is_locked(account: Tally | None, policy: ThrottlePolicy) -> bool:
    """Did the account reach the hard stop, which only `frontdesk users unlock` lifts?"""
    return account is not None and account.failures >= policy.most_failures


def pack(moments: tuple[int, ...]) -> bytes:
    """The column form of `Tally.moments`: big-endian signed 64-bit integers."""
    return struct.pack(f">{len(moments)}q", *moments)


def unpack(packed: bytes) -> tuple[int, ...]:
    """The inverse of `pack`. Octets that are no such form: ValueError."""
    count, rest = divmod(len(packed), 8)
    if rest:
        raise ValueError("not packed moments")
    return struct.unpack(f">{count}q", packed)


def expiry(tally: Tally) -> datetime:
    """`expires_us` as a moment, for stores that keep moments."""
    return from_micros(tally.expires_us)


def _digest(secret: bytes, *fields: str) -> bytes:
    # Each field carries its length: no two lists of fields run together into the same octets.
    # "surrogatepass": what is no address at all is counted too, and must not raise here.
    encoded = [field.encode(errors="surrogatepass") for field in fields]
    message = b"".join(len(field).to_bytes(4, "big") + field for field in encoded)
    return hmac.digest(secret, b"frontdesk attempt" + message, hashlib.sha256)


def _moments(tally: Tally | None) -> tuple[int, ...]:
    return tally.moments if tally else ()


def _not_ahead(tallies: Tallies, at: int, policy: ThrottlePolicy) -> Tallies:
    """`tallies` with every moment that lies ahead of `at` moved to it."""
    account, network, pair = tallies.account, tallies.network, tallies.pair
    if account and account.moments[-1:] > (at,):
        account = _account_tally(account.failures, at, policy)
    if network and network.moments[-1:] > (at,):
        network = _window_tally(tuple(min(moment, at) for moment in network.moments), policy.network)
    if pair and pair.moments[-1:] > (at,):
        pair = _window_tally(tuple(min(moment, at) for moment in pair.moments), policy.pair)
    return Tallies(account, network, pair)


def _account_tally(failures: int, at: int, policy: ThrottlePolicy) -> Tally:
    stays = failures >= policy.most_failures or policy.forget_after is None
    return Tally(failures, (at,), _NEVER if stays else at + span_to_micros(policy.forget_after or timedelta(0)))


def _account_wait(account: Tally | None, at: int, policy: ThrottlePolicy) -> int:
    """Microseconds until the account may be tried again; not positive: now."""
    if account is None or account.failures < policy.free_failures:
        return 0
    longest = span_to_micros(policy.longest_delay)
    if account.failures >= policy.most_failures:
        return longest
    delay = span_to_micros(policy.first_delay) << (account.failures - policy.free_failures)
    return max(account.moments, default=at) + min(delay, longest) - at


def _window_tally(moments: tuple[int, ...], windows: tuple[Window, ...]) -> Tally:
    """The moments that can still matter: those inside the longest window. Its limit bounds their number."""
    span = span_to_micros(max(window.span for window in windows))
    newest = moments[-1]
    return Tally(0, tuple(moment for moment in moments if newest - moment < span), newest + span)


def _window_wait(moments: tuple[int, ...], at: int, windows: tuple[Window, ...]) -> int:
    """Microseconds until every window has room; not positive: now. The limit-th newest moment has to leave."""
    waits = (
        moments[-window.limit] + span_to_micros(window.span) - at for window in windows if len(moments) >= window.limit
    )
    return max(waits, default=0)
