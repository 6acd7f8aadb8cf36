"""Checking a request: credential → authentic → session → principal.

Synchronous when the store can answer at once; the same steps await the store when it cannot. Everything that is not
a clear yes is a `Refusal`; a fault of the store raises `StoreError`, which the edge answers with 503.

`Authenticator` asks the store about each request: right where the store is on this machine. `service.bounded` answers
from what it remembers where asking costs a way over a network.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime
from typing import Final, Literal

import msgspec

from frontdesk.clock import Clock
from frontdesk.core.credentials import REFRESH_PREFIX, SESSION_PREFIX, ParsedToken, parse
from frontdesk.core.revocation import Entry, entry_expiry
from frontdesk.core.sessions import Principal, Session, Transport, evaluate, principal_of, touch_due
from frontdesk.errors import OverloadedError, Refusal, StoreError, TokenError
from frontdesk.service.key_ring import KeyRing
from frontdesk.service.settings import DeskSettings
from frontdesk.service.tokens import Tokens
from frontdesk.stores.protocol import ASK, Ask, Store
from frontdesk.verifier.access_tokens import KEY_UNKNOWN, AccessClaims, is_encrypted

_logger = logging.getLogger("frontdesk")

WITHOUT_KEY: Final = (SESSION_PREFIX, REFRESH_PREFIX)
"""How credentials begin that are made under the master secret and not under a key of the ring."""

_MALFORMED: Final = Refusal("credential_malformed")
INVALID: Final = Refusal("credential_invalid")
GONE: Final = Refusal("session_ended")
TRANSPORT_MISMATCH: Final = Refusal("transport_mismatch")
NOT_OFFERED: Final = Refusal("credential_invalid", "This kind of credential is no longer accepted here.")
_REFRESH_AS_ACCESS: Final = Refusal("credential_invalid", "A refresh token is accepted at the refresh endpoint only.")


class Authenticated(msgspec.Struct, frozen=True):
    """The request is signed in. `session` is the row as it was read, None where an access token's claims decided."""

    principal: Principal
    session: Session | None


class Claim(msgspec.Struct, frozen=True):
    """A credential that is in order as far as it can be judged alone: it names a session."""

    session_id: str
    token: ParsedToken | None
    encrypted: bool
    claims: AccessClaims | None


Source = Literal["nothing", "claims", "memory", "store"]
"""What a decision rests on beside the credential itself: nothing, since it was refused before; what an access token
says, under the revocation index; a row that this node remembers, likewise; the row as the store had it."""


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a credential that was looked at without being used.

    outcome: what `check` answers. source: what that rests on. session: the row, where one was read. lost: an entry of
    the log ends what the store shows as standing.
    """

    outcome: Authenticated | Refusal
    source: Source = "nothing"
    session: Session | None = None
    lost: bool = False


class Counts:
    """How requests with a credential were decided so far, in this process. Plain integers, which only grow.

    `local`: from what the node holds, a row read on this machine included. `asked`: the store was asked over a
    network, whether or not it could answer. `stale`: of these, because local state was too old to be believed.
    `questions`: what was sent over the network for that. Requests share questions, so they may be fewer than `asked`;
    one request may need two, for the keys and for the row.
    """

    __slots__ = ("asked", "local", "questions", "stale")

    def __init__(self) -> None:
        self.local = self.asked = self.stale = self.questions = 0

    def __repr__(self) -> str:
        return f"Counts(local={self.local}, asked={self.asked}, stale={self.stale}, questions={self.questions})"


class Authenticator:
    """Decides who a request is."""

    def __init__(self, store: Store, tokens: Tokens, keys: KeyRing, settings: DeskSettings, clock: Clock) -> None:
        self._store = store
        self._tokens = tokens
        self._keys = keys
        self._settings = settings
        self._realm = settings.realm
        self._clock = clock
        self._touching: dict[str, asyncio.Task[None]] = {}
        self.counts = Counts()

    def check_now(self, credential: bytes, transport: Transport) -> Authenticated | Refusal | Ask:
        """Decide without waiting, or `ASK`: then await `check`. Raises StoreError on a fault of the store."""
        now = self._clock.now()
        claim = self._read(credential, now)
        if isinstance(claim, Refusal):
            if claim is KEY_UNKNOWN:
                return ASK
            self.counts.local += 1
            return claim
        session = self._store.peek_session(self._realm, claim.session_id)
        if session is ASK:
            return ASK
        # After the row: what it is compared with is then as new as the row. A session token needs no key of the ring.
        if claim.claims is not None and self._keys.has_moved():
            return ASK
        self.counts.local += 1
        return self._decide(claim, session, transport, now)

    async def check(self, credential: bytes, transport: Transport, *, strict: bool = False) -> Authenticated | Refusal:
        """Decide, asking the store. Raises StoreError on a fault of the store.

        strict: the answer rests on the store as it is after this call, and carries the row.
        """
        self.counts.local += 1
        outcome = (await self.observe(credential, transport, strict=strict)).outcome
        if isinstance(outcome, Authenticated) and outcome.session is not None:
            self._used(outcome.session, self._clock.now())
        return outcome

    async def observe(self, credential: bytes, transport: Transport, *, strict: bool = False) -> Observation:
        """What `check` answers and what that rests on. Nothing is recorded, counted or remembered by it."""
        del strict  # it always is
        now = self._clock.now()
        if not credential.startswith(WITHOUT_KEY):
            await self._keys.catch_up()
        claim = self._read(credential, now)
        if isinstance(claim, Refusal):
            return Observation(outcome=claim)
        session = await self._store.read_session(self._realm, claim.session_id)
        return Observation(outcome=self._judge(claim, session, transport, now), source="store", session=session)

    def token_fault(self, credential: bytes) -> TokenError | None:
        """Why an access token is refused by itself, as `check` had it; None for one that is in order."""
        return self._tokens.fault_of(credential, self._clock.now())

    async def identify(self, credential: bytes, transport: Transport) -> Session | Refusal:
        """The session of an authentic credential, whether or not it still stands: for log-out and replacement.

        An expired access token identifies its session; a refresh token identifies it too, whichever envelope it
        is shown in, since ending the session is all that the answer is used for.
        """
        now = self._clock.now()
        if not credential.startswith(WITHOUT_KEY):
            await self._keys.catch_up()
        claim = self._read(credential, now, for_log_out=True)
        if isinstance(claim, Refusal):
            return claim
        session = await self._store.read_session(self._realm, claim.session_id)
        if session is None:
            return INVALID if claim.claims is None else GONE
        refusal = self._match(claim, session)
        if refusal is None and (claim.token is None or claim.token.purpose == "session"):
            refusal = None if session.transport == transport else TRANSPORT_MISMATCH
        return refusal or session

    async def end_lost(self, access_token: bytes) -> None:
        """`identify` found no row: say that the session is over to all who believe its access tokens without one."""
        claim = self._read(access_token, self._clock.now(), for_log_out=True)
        if isinstance(claim, Claim) and claim.claims is not None:
            await self._append_end(claim.session_id)

    async def _append_end(self, session_id: str) -> None:
        now = self._clock.now()
        expires_at = entry_expiry(now, "session")
        entry = Entry(number=0, realm=self._realm, kind="session", target=session_id, at=now, expires_at=expires_at)
        await self._store.append_again([entry], now)

    async def settle(self) -> None:
        """Wait for recordings of `last_seen_at` that are under way."""
        while self._touching:
            await asyncio.gather(*self._touching.values(), return_exceptions=True)

    def _read(self, credential: bytes, now: datetime, *, for_log_out: bool = False) -> Claim | Refusal:
        if credential.startswith(WITHOUT_KEY):
            token = parse(credential)
            if token is None:
                return _MALFORMED
            if token.purpose == "refresh" and not for_log_out:
                return _REFRESH_AS_ACCESS
            return Claim(token.session_id, token, encrypted=False, claims=None)
        claims = self._tokens.verify_access_token(credential, now, expired_ok=for_log_out)
        if isinstance(claims, Refusal):
            return claims
        if not claims.sid or claims.transport is None:
            return INVALID
        return Claim(claims.sid, None, encrypted=is_encrypted(credential), claims=claims)

    def _match(self, claim: Claim, session: Session) -> Refusal | None:
        """Whether the credential is one that was made for this very row."""
        if claim.token is not None:
            expected = "session" if session.credential == "session" else "refresh"
            authentic = self._tokens.is_authentic(claim.token, session)
            return None if authentic and claim.token.purpose == expected else INVALID
        claims = claim.claims
        if claims is None or session.credential == "session" or claims.sub != session.subject:
            return INVALID
        if claim.encrypted != (session.credential == "jwe"):
            return INVALID
        return None if claims.transport == session.transport else TRANSPORT_MISMATCH

    def _decide(
        self, claim: Claim, session: Session | None, transport: Transport, now: datetime
    ) -> Authenticated | Refusal:
        outcome = self._judge(claim, session, transport, now)
        if session is not None and isinstance(outcome, Authenticated):
            self._used(session, now)
        return outcome

    def _judge(
        self, claim: Claim, session: Session | None, transport: Transport, now: datetime
    ) -> Authenticated | Refusal:
        if session is None:
            # A signed token whose row is gone was ours; a session token without its row is not known to be.
            return INVALID if claim.claims is None else GONE
        refusal = self._match(claim, session)
        if refusal is not None:
            return refusal
        if session.transport != transport:
            return TRANSPORT_MISMATCH
        if session.credential not in self._settings.credentials or transport not in self._settings.transports:
            return NOT_OFFERED
        refusal = evaluate(session, now)
        if refusal is not None:
            return refusal
        return Authenticated(principal_of(session), session)

    def _used(self, session: Session, now: datetime) -> None:
        if touch_due(session, now, self._settings.sessions):
            self._touch(session.id, now)

    def _touch(self, session_id: str, now: datetime) -> None:
        """Record the use beside the request. Losing a recording harms nothing: the next request makes another."""
        if session_id in self._touching:
            return
        task = asyncio.get_running_loop().create_task(self._record(session_id, now))
        self._touching[session_id] = task
        task.add_done_callback(lambda _: self._touching.pop(session_id, None))

    async def _record(self, session_id: str, now: datetime) -> None:
        try:
            await self._store.touch_session(self._realm, session_id, now)
        except (StoreError, OverloadedError) as error:
            _logger.warning("the last use of a session could not be recorded: %s", error)
