"""Checking a request without asking: from rows and claims that this node remembers, under the revocation index.

What is remembered is believed only while the index is fresh (`verifier.follow`), and only for a yes: before a
refusal that rests on what this node holds the store is asked. Where local state is too old the store is asked on each
request, by one question per session at a time; where it cannot be asked nothing is granted (503).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

import msgspec

from frontdesk.clock import Clock
from frontdesk.core.freshness import Freshness
from frontdesk.core.sessions import CredentialKind, Principal, Session, Transport
from frontdesk.errors import Refusal
from frontdesk.service.authenticate import (
    GONE,
    INVALID,
    NOT_OFFERED,
    TRANSPORT_MISMATCH,
    WITHOUT_KEY,
    Authenticated,
    Authenticator,
    Claim,
    Observation,
    Source,
)
from frontdesk.service.key_ring import KeyRing
from frontdesk.service.remembered import LONGEST, Memory, Remembered
from frontdesk.service.settings import DeskSettings
from frontdesk.service.tokens import Tokens
from frontdesk.service.touches import Touches
from frontdesk.service.tracing import Silent, span
from frontdesk.stores.protocol import ASK, Ask, Store
from frontdesk.verifier.access_tokens import KEY_UNKNOWN, AccessClaims, is_encrypted, principal_of_claims
from frontdesk.verifier.flights import Flights
from frontdesk.verifier.follow import Follower

_REVOKED: Final = Refusal("session_ended")


class BoundedAuthenticator(Authenticator):
    """Decides who a request is, over a store that is remote."""

    def __init__(
        self,
        store: Store,
        tokens: Tokens,
        keys: KeyRing,
        settings: DeskSettings,
        clock: Clock,
        *,
        follower: Follower,
        touches: Touches,
    ) -> None:
        super().__init__(store, tokens, keys, settings, clock)
        self._follower = follower
        self._touches = touches
        self._memory = Memory()
        self._rows: Flights[Session | None] = Flights()
        self._key_versions: Flights[None] = Flights()
        self._lost: Flights[None] = Flights()
        self._freshness: Freshness = settings.freshness
        policy = settings.sessions
        # An access token says nothing of how long its session was unused: where that may end first, rows are asked.
        self._claims_suffice = policy.idle >= 2 * policy.access_token
        self._touch_every = policy.touch_every
        follower.when_restarted(self._memory.clear)

    def check_now(self, credential: bytes, transport: Transport) -> Authenticated | Refusal | Ask:
        """Decide from what is held here, or `ASK`: then await `check`."""
        now = self._clock.now()
        found = self._weigh(credential, transport, now)
        if found is ASK:
            return ASK
        self.counts.local += 1
        if isinstance(found, Refusal):
            return found
        if not found.kept:
            self._memory.keep(credential, found)
        if now - found.seen_at >= self._touch_every:
            found.seen_at = now
            self._touches.note(found.session_id, now)
        return found.granted if found.granted is not None else _granted(found)

    async def check(self, credential: bytes, transport: Transport, *, strict: bool = False) -> Authenticated | Refusal:
        """Decide, asking the store where that is needed. Raises StoreError on a fault of the store."""
        await self._follower.start()
        if not strict and self._freshness == "bounded":
            outcome = self.check_now(credential, transport)  # the index may have come up to date meanwhile
            if outcome is not ASK:
                return outcome
        now = self._clock.now()
        claim = self._read(credential, now)
        by_key = self._needs_keys(credential, claim)
        if isinstance(claim, Refusal) and not by_key:
            self.counts.local += 1
            return claim
        self.counts.asked += 1
        self.counts.stale += not strict and self._freshness == "bounded" and not self._follower.is_fresh()
        if by_key:
            await self._key_versions.ask("keys", self._catch_up_with_keys)
            claim = self._read(credential, now)
        return claim if isinstance(claim, Refusal) else await self._decide_by_row(credential, claim, transport)

    async def observe(self, credential: bytes, transport: Transport, *, strict: bool = False) -> Observation:
        seen = None if strict else self._observe_now(credential, transport)
        if seen is not None:
            return seen
        await self._follower.start()
        if not strict and self._freshness == "bounded":
            seen = self._observe_now(credential, transport)
            if seen is not None:
                return seen
        now = self._clock.now()
        claim = self._read(credential, now)
        if self._needs_keys(credential, claim):
            await self._key_versions.ask("keys", self._catch_up_with_keys)
            claim = self._read(credential, now)
        if isinstance(claim, Refusal):
            return Observation(outcome=claim)
        session = await self._rows.ask(claim.session_id, lambda: self._read_row(claim.session_id))
        waiting = self._touches.waiting(claim.session_id)
        if session is not None and waiting is not None:
            # `check` has it written first; here it is only believed.
            session = msgspec.structs.replace(session, last_seen_at=max(session.last_seen_at, waiting))
        outcome = self._judge(claim, session, transport, now)
        if session is not None and isinstance(outcome, Authenticated) and self._is_revoked(claim, session):
            return Observation(outcome=_REVOKED, source="store", session=session, lost=True)
        return Observation(outcome=outcome, source="store", session=session)

    def _observe_now(self, credential: bytes, transport: Transport) -> Observation | None:
        found = self._weigh(credential, transport, self._clock.now())
        if found is ASK:
            return None
        if isinstance(found, Refusal):
            return Observation(outcome=found)
        source: Source = "claims" if found.session is None else "memory"
        return Observation(outcome=_granted(found), source=source, session=found.session)

    async def settle(self) -> None:
        await super().settle()
        await self._touches.settle()

    # --- from what is held ------------------------------------------------------------------------------------

    def _is_fresh(self) -> bool:
        return self._freshness == "bounded" and self._follower.is_fresh()

    def _needs_keys(self, credential: bytes, claim: Claim | Refusal) -> bool:
        # A key that was given up is in the index; a new one, and what a stale index lacks, the store knows.
        return not credential.startswith(WITHOUT_KEY) and (claim is KEY_UNKNOWN or not self._is_fresh())

    def _weigh(self, credential: bytes, transport: Transport, now: datetime) -> Remembered | Refusal | Ask:
        """What a yes or a no rests on here, or `ASK`. Changes nothing."""
        held = self._memory.find(credential)
        if credential.startswith(WITHOUT_KEY):
            if held is None:
                claim = self._read(credential, now)
                return claim if isinstance(claim, Refusal) else ASK
            return held if self._is_believed(held, transport, now) else ASK
        claims = self._tokens.verify_access_token(credential, now)
        if isinstance(claims, Refusal):
            return ASK if claims is KEY_UNKNOWN else claims
        if held is None:
            if not self._claims_suffice:
                return ASK
            refusal = self._unsuitable(credential, claims, transport)
            if refusal is not None:
                return refusal
            held = self._of_token(credential, claims, now)
        return held if self._is_believed(held, transport, now) else ASK

    def _is_believed(self, held: Remembered, transport: Transport, now: datetime) -> bool:
        """Whether this is a yes. The index is consulted on every hit: what ends a session may come at any moment."""
        index = self._follower.index
        return not (
            not self._is_fresh()
            or now >= held.until
            or held.transport != transport
            or index.revoked(held.session_id, held.subject, held.epochs)
            or index.changed_at(held.subject) > held.cursor
        )

    def _unsuitable(self, credential: bytes, claims: AccessClaims, transport: Transport) -> Refusal | None:
        """Why an authentic access token is refused by what it says itself; no row could change that."""
        if not claims.sid or not claims.sub or claims.transport is None or claims.epochs is None:
            return INVALID
        if claims.transport != transport:
            return TRANSPORT_MISMATCH
        settings = self._settings
        offered = _kind_of(credential) in settings.credentials and transport in settings.transports
        return None if offered else NOT_OFFERED

    def _is_revoked(self, claim: Claim, session: Session) -> bool:
        epochs = session.epochs if claim.claims is None else claim.claims.session_epochs
        return self._follower.index.revoked(session.id, session.subject, epochs)

    # --- from the store ---------------------------------------------------------------------------------------

    async def _decide_by_row(self, credential: bytes, claim: Claim, transport: Transport) -> Authenticated | Refusal:
        now = self._clock.now()
        # Before the row is read: it is as new as that, at least.
        beginnings, known = self._follower.beginnings, self._follower.cursor
        session = await self._rows.ask(claim.session_id, lambda: self._read_row(claim.session_id))
        outcome = self._decide(claim, session, transport, now)
        idle = isinstance(outcome, Refusal) and outcome.code == "session_idle"
        if idle and await self._touches.write(claim.session_id):
            # It was used here a moment ago, and that was not written yet.
            return await self._decide_by_row(credential, claim, transport)
        if isinstance(outcome, Refusal) or session is None:
            self._memory.drop(credential)
            if outcome is GONE:
                await self._lost.ask(claim.session_id, lambda: self._end_unless_known(claim))
            return outcome
        if self._is_revoked(claim, session):
            # The store has lost what this node knows; it will be told again.
            return _REVOKED
        if beginnings != self._follower.beginnings:
            return outcome  # the log began anew meanwhile: its numbers say nothing of this row
        return _granted(self._remember(credential, outcome.principal, session, known, now))

    async def _end_unless_known(self, claim: Claim) -> None:
        """The store has lost the session. Other nodes, and this one in a moment, believe its access tokens without a
        row: what was refused once must not be granted again."""
        claims = claim.claims
        assert claims is not None
        if not self._follower.index.revoked(claim.session_id, claims.sub or "", claims.session_epochs):
            await self._append_end(claim.session_id)

    async def _read_row(self, session_id: str) -> Session | None:
        with self._question("session"):
            return await self._store.read_session(self._realm, session_id)

    async def _catch_up_with_keys(self) -> None:
        with self._question("keys"):
            await self._keys.catch_up()

    def _question(self, about: str) -> Silent:
        self.counts.questions += 1
        lag = self._follower.lag()
        behind = {} if lag is None else {"lag": lag}
        return span("frontdesk.ask_store", about=about, freshness=self._freshness, **behind)

    def _remember(
        self, credential: bytes, principal: Principal, session: Session, cursor: int, now: datetime
    ) -> Remembered:
        shared = msgspec.structs.replace(principal, claims=_read_only(principal.claims))
        remembered = Remembered(
            shared,
            session,
            epochs=session.epochs,
            transport=session.transport,
            until=min(session.expires_at, session.idle_at, now + LONGEST),
            cursor=cursor,
            seen_at=now if self._is_worth_noting(session, now) else session.last_seen_at,
        )
        self._memory.keep(credential, remembered)
        return remembered

    def _of_token(self, credential: bytes, claims: AccessClaims, now: datetime) -> Remembered:
        assert claims.transport is not None
        return Remembered(
            principal_of_claims(claims, self._realm, _kind_of(credential)),
            None,
            epochs=claims.session_epochs,
            transport=claims.transport,
            until=claims.expires_at,
            cursor=0,  # any change of rights is newer than the token
            seen_at=min(claims.issued_at or now, now),
        )

    def _used(self, session: Session, now: datetime) -> None:
        if self._is_worth_noting(session, now):
            self._touches.note(session.id, now)

    def _is_worth_noting(self, session: Session, now: datetime) -> bool:
        return now - session.last_seen_at >= self._touch_every


def _kind_of(credential: bytes) -> CredentialKind:
    return "jwe" if is_encrypted(credential) else "jwt"


def _read_only(claims: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(dict(claims))


def _granted(held: Remembered) -> Authenticated:
    """A yes with claims of the caller's own where they could be changed from within."""
    if held.granted is not None:
        return held.granted
    claims = MappingProxyType(copy.deepcopy(dict(held.principal.claims)))
    return Authenticated(msgspec.structs.replace(held.principal, claims=claims), held.session)
