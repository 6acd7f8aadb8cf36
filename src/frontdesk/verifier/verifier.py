"""Checking access tokens in a service that has no desk and no store: signature, claims, and the revocation index.

`bounded`: the service follows the desk's revocation log over HTTP and believes its index only while it is fresh
(`verifier.follow`). Where it is not, it asks the desk on each request, by one question for all who wait; where the desk
cannot be asked nothing is granted. `stateless`: signature and claims alone, so that a signed-out token is good until it
expires; the choice of a whole deployment, and the only one for tokens of a foreign issuer.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Collection, Iterable, Sequence
from datetime import timedelta
from typing import Final, Literal

from frontdesk.clock import TIMER, Clock, SystemClock
from frontdesk.core.revocation import Entry
from frontdesk.core.services import credential_digest
from frontdesk.core.sessions import Principal, Transport
from frontdesk.errors import ConfigurationError, Refusal, StoreError
from frontdesk.jose.jws import Keys
from frontdesk.jose.jwt import LEEWAY_MAX
from frontdesk.stores.protocol import ASK, NO_TIME, Ask
from frontdesk.verifier.access_tokens import ACCESS_TOKEN_TYPE, KEY_UNKNOWN
from frontdesk.verifier.flights import Flights
from frontdesk.verifier.follow import MAX_STALENESS, Follower, Source
from frontdesk.verifier.key_sources import FetchedKeys, GivenKey, GivenKeys, KeySource, without_httpx
from frontdesk.verifier.reading import Accepted, TokenReader
from frontdesk.verifier.store_clock import StoreClock

CREDENTIAL_VARIABLE: Final = "FRONTDESK_SERVICE_CREDENTIAL"
PATIENCE: Final = 3.0
"""Seconds that a request waits for the desk before it is told 503."""

_LOOKS_APART: Final = 0.05
"""Seconds between two looks into the log because of tokens that name an unknown key."""

_DESK: Final = "/auth"
_ADVICE: Final = (
    f"`frontdesk services add NAME --scope revocations` on the desk makes one; pass credential= or set "
    f'{CREDENTIAL_VARIABLE}. Without one: freshness="stateless", and a signed-out token is good until it expires'
)

_REVOKED: Final = Refusal("session_ended")
_KEY_GIVEN_UP: Final = Refusal("credential_invalid", "The key of the token was given up.")
_TRANSPORT_MISMATCH: Final = Refusal("transport_mismatch")

VerifierFreshness = Literal["bounded", "stateless"]


class Counts:
    """How requests were decided so far. `local`: from what is held here. `asked`: the desk or the issuer was asked."""

    __slots__ = ("asked", "local")

    def __init__(self) -> None:
        self.local = self.asked = 0


class Verifier:
    """Decides who a request is, by its access token.

    issuer: the `iss` of the tokens; of a desk its base URL, below which its keys and revocations are found.
    audience: the `aud` that they must name, or several of which one is enough; by default the issuer, as desks have it.
    credential: of this service at the desk, with the scope `revocations`; else `FRONTDESK_SERVICE_CREDENTIAL`.
    keys: the keys, where none are fetched: secrets for HS256 or keys of `frontdesk.jose`.
    desk_url: where the API of the desk is reached, if not at `issuer`/auth.
    jwks_url: where the keys are, if not at the desk. By itself it speaks of a foreign issuer, and of `stateless`.
    freshness: `bounded` (needs a credential), or `stateless`. max_staleness: how far behind local state may be.
    insecure_trust_stale: believe local state however old: who signed out is let in for as long as the desk is away.
    token_types: the `typ` that tokens may name; ("JWT",) for issuers that type nothing, where an ID token for the same
    audience is taken, too. leeway: for the clock of a foreign issuer, at most 60 s. realm: that of the desk.
    private_network: whether the keys may be fetched from one; by default from a desk alone, not from foreign issuers.
    tls: for certificates of an authority of one's own. source: another way to the log than HTTP. clock: the time; by
    default that of the desk's store as the log tells it, or this machine's.

    ConfigurationError, ValueError or TypeError for what cannot be. Belongs to one thread; nothing is asked before
    `open` or the first check.
    """

    def __init__(
        self,
        *,
        issuer: str,
        audience: str | Collection[str] = "",
        credential: str | None = None,
        keys: Iterable[GivenKey] | None = None,
        desk_url: str | None = None,
        jwks_url: str | None = None,
        freshness: VerifierFreshness | None = None,
        max_staleness: timedelta = MAX_STALENESS,
        insecure_trust_stale: bool = False,
        token_types: Sequence[str] = (ACCESS_TOKEN_TYPE,),
        leeway: timedelta = NO_TIME,
        realm: str = "default",
        private_network: bool | None = None,
        tls: ssl.SSLContext | None = None,
        source: Source | None = None,
        clock: Clock | None = None,
    ) -> None:
        if keys is not None and jwks_url is not None:
            raise ConfigurationError("keys= and jwks_url= say both where the keys come from; take one")
        followed = credential is not None or source is not None
        foreign = jwks_url is not None and not followed and desk_url is None and freshness != "bounded"
        self.freshness: Final = _freshness_of(freshness, followed=followed, foreign=foreign, offline=keys is not None)
        _check(issuer, token_types, leeway, realm, max_staleness)
        bounded = self.freshness == "bounded"
        if followed and not bounded:
            raise ConfigurationError('freshness="stateless" follows no log: leave credential= and source= out')
        self.issuer: Final = issuer
        self.realm: Final = realm
        self.clock: Final[Clock] = clock or (StoreClock() if bounded else SystemClock())
        self.counts = Counts()
        self._timer = TIMER
        self._looks: Flights[None] = Flights()
        self._looked_at = float("-inf")
        desk = (desk_url or issuer.rstrip("/") + _DESK).rstrip("/")
        self._keys = _key_source(
            keys,
            jwks_url or f"{desk}/jwks.json",
            private_network=not foreign if private_network is None else private_network,
            own=not foreign,
            tls=tls,
        )
        self._reader = TokenReader(
            self._keys,
            issuer=issuer,
            audience=_audience(audience, issuer, foreign=foreign),
            types=token_types,
            realm=realm,
            of_desk=bounded,
            leeway=leeway,
        )
        self._source: Source | None = None
        self._follower: Follower | None = None
        if bounded:
            self._source = source or _http_source(f"{desk}/revocations", _credential(credential), realm, issuer, tls)
            self._follower = self._follow(self._source, max_staleness, trust_stale=insecure_trust_stale)

    def _follow(self, source: Source, max_staleness: timedelta, *, trust_stale: bool) -> Follower:
        follower = Follower(source, self.realm, self.clock, max_staleness=max_staleness, trust_stale=trust_stale)
        follower.when_applied(self._heard)
        follower.when_restarted(self._keys.expire)
        return follower

    # --- the life of it ---------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Read the log and the keys, and follow the log in this event loop from then on. Idempotent.

        Raises StoreError where the desk or the issuer cannot be asked: they are tried again, in the background and by
        each request, which is answered 503 meanwhile.
        """
        if self._follower is not None:
            await self._catch_up(self._follower)
        if self._keys.current() is None:
            await self._keys.for_token(b"")

    async def close(self) -> None:
        """Follow no longer and release the connections. A later check begins anew."""
        if self._follower is not None:
            await self._follower.stop()
        close = getattr(self._source, "close", None)
        if close is not None:
            await close()

    @property
    def lag(self) -> float | None:
        """How many seconds the revocations that are known here may be behind. None before the first complete picture
        of them, and where none are followed."""
        return None if self._follower is None else self._follower.lag()

    @property
    def is_ready(self) -> bool:
        """Whether a complete picture of the revocations was there, where they are followed."""
        return self._follower is None or self._follower.is_ready

    # --- checking ---------------------------------------------------------------------------------------------

    def check_now(self, token: str | bytes, transport: Transport = "bearer") -> Principal | Refusal | Ask:
        """Decide from what is held here, in the event loop; or `ASK`: then await `check`.

        transport: the envelope that the token came in; it must be the one that it was issued for.
        """
        accepted = self._reader.read(token if type(token) is bytes else _raw(token), self.clock.now())
        if not isinstance(accepted, Accepted):
            if accepted is KEY_UNKNOWN and not self._keys.is_fixed:
                return ASK
            return accepted
        outcome = self._decide(accepted, transport)
        if outcome is accepted.principal and self._follower is not None and not self._follower.is_fresh():
            return ASK
        self.counts.local += 1
        return outcome

    async def check(self, token: str | bytes, transport: Transport = "bearer") -> Principal | Refusal:
        """Decide, asking the desk where that is needed. Raises StoreError where it cannot be asked, OverloadedError
        where too many wait: then nothing is known, and nothing granted."""
        outcome = self.check_now(token, transport)
        if outcome is not ASK:
            return outcome
        self.counts.asked += 1
        raw = _raw(token)
        keys = await self._keys.for_token(raw)
        outcome = self._with_keys(raw, transport, keys)
        if outcome is KEY_UNKNOWN and self._follower is not None:
            follower = self._follower
            await self._looks.ask("log", lambda: self._look(follower))
            keys = await self._keys.for_token(raw)
            outcome = self._with_keys(raw, transport, keys)
        if self._follower is None or isinstance(outcome, Refusal):
            return outcome
        if not self._follower.is_fresh():
            await self._catch_up(self._follower)
            # What is known now is as new as this request, at least.
            outcome = self._with_keys(raw, transport, keys)
        return outcome

    def _with_keys(self, token: bytes, transport: Transport, keys: Sequence[Keys]) -> Principal | Refusal:
        accepted = self._reader.read(token, self.clock.now(), keys)
        assert accepted is not ASK  # the keys are there
        return self._decide(accepted, transport) if isinstance(accepted, Accepted) else accepted

    def _decide(self, accepted: Accepted, transport: Transport) -> Principal | Refusal:
        """By what is known here. A no is final: what ended never stands again."""
        if accepted.transport != transport:
            return _TRANSPORT_MISMATCH
        if self._follower is not None:
            index = self._follower.index
            if index.revoked(accepted.session, accepted.subject, accepted.epochs, accepted.kid):
                return _KEY_GIVEN_UP if index.key_revoked(accepted.kid) else _REVOKED
        return accepted.principal

    async def _look(self, follower: Follower) -> None:
        """Hear whether another key took over a moment ago: then the keys are fetched again. Anybody can name an unknown
        key, so that looks stand apart."""
        await asyncio.sleep(self._looked_at + _LOOKS_APART - self._timer())
        self._looked_at = self._timer()
        await self._catch_up(follower)

    async def _catch_up(self, follower: Follower) -> None:
        follower.follow()
        try:
            async with asyncio.timeout(PATIENCE):
                await follower.catch_up()
        except TimeoutError:
            raise StoreError("the desk did not answer in time") from None
        if not follower.is_ready:
            raise StoreError("the desk's log began anew and was not read again yet")

    def _heard(self, entries: Sequence[Entry]) -> None:
        if any(entry.kind == "key" and entry.realm == self.realm for entry in entries):
            self._keys.expire()  # another key signs now


def _raw(token: str | bytes) -> bytes:
    return token.encode(errors="replace") if isinstance(token, str) else bytes(token)


def _freshness_of(
    freshness: VerifierFreshness | None, *, followed: bool, foreign: bool, offline: bool
) -> VerifierFreshness:
    """What was asked for, or what follows from the rest. A foreign issuer never sees the credential of a desk."""
    if freshness is not None and freshness not in {"bounded", "stateless"}:
        raise ConfigurationError(
            f'a verifier is "bounded" or "stateless", not {freshness!r}: strict asks the store on each request, and a '
            "service has none"
        )
    if freshness is not None:
        return freshness
    if foreign:
        return "stateless"
    if offline and not followed:
        raise ConfigurationError(f"keys= alone says nothing of revocations. A service credential is missing: {_ADVICE}")
    return "bounded"


def _check(
    issuer: object, token_types: Sequence[object], leeway: timedelta, realm: str, max_staleness: timedelta
) -> None:
    if not isinstance(issuer, str):
        raise TypeError("issuer is a string")
    if not issuer:
        raise ConfigurationError("issuer= is empty: whose tokens are to be checked?")
    if isinstance(token_types, str) or not token_types or not all(isinstance(typ, str) and typ for typ in token_types):
        raise TypeError('token_types is a list of media types, such as ["at+jwt"]')
    if not NO_TIME <= leeway <= LEEWAY_MAX:
        raise ConfigurationError("leeway is 0 to 60 seconds")
    if not realm or not realm.isprintable() or len(realm) > 64:
        raise ConfigurationError("realm must be 1 to 64 printable characters")
    if not timedelta(milliseconds=100) <= max_staleness <= timedelta(minutes=5):
        raise ConfigurationError("max_staleness is between 100ms and 5m")


def _audience(audience: str | Collection[str], issuer: str, *, foreign: bool) -> str | Collection[str]:
    if not audience:
        if foreign:
            raise ConfigurationError("audience= is missing: without it tokens for other services would do here")
        return issuer
    if isinstance(audience, str):
        return audience
    names: frozenset[object] = frozenset(audience)
    if not all(isinstance(name, str) and name for name in names):
        raise TypeError("audience is a string or a collection of strings")
    return frozenset(audience)


def _credential(given: str | None) -> str:
    credential = given if given is not None else os.environ.get(CREDENTIAL_VARIABLE, "").strip()
    if not credential:
        raise ConfigurationError(f"a service credential is missing: {_ADVICE}")
    if not credential.isascii() or credential_digest(credential.encode()) is None:
        raise ConfigurationError("this is no service credential (fdk_ and 43 characters): it was not copied whole")
    return credential


def _key_source(
    keys: Iterable[GivenKey] | None, url: str, *, private_network: bool, own: bool, tls: ssl.SSLContext | None
) -> KeySource:
    if keys is not None:
        return GivenKeys(keys)
    return FetchedKeys(url, private_network=private_network, own=own, tls=tls)


def _http_source(url: str, credential: str, realm: str, issuer: str, tls: ssl.SSLContext | None) -> Source:
    try:
        from frontdesk.verifier.http_source import HttpSource  # noqa: PLC0415 - lazy: offline, nobody needs httpx
    except ImportError as error:
        raise without_httpx() from error
    return HttpSource(url, credential, realm, issuer=issuer, tls=tls)
