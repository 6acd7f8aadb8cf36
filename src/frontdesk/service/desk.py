"""The desk: every operation on sessions and accounts of one realm, over one store. No HTTP."""

from __future__ import annotations

import logging
import secrets as random
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from frontdesk.clock import BOOT_TIMER, WALL_TIMER, Clock, SystemClock, Timer, UnhurriedClock
from frontdesk.core.events import KeyChanged, RealmRevoked, SessionEnded, SubjectRevoked
from frontdesk.core.explanation import Explanation
from frontdesk.core.keyring import Plan
from frontdesk.core.revocation import Entry
from frontdesk.core.sessions import EndReason, RefreshEnvelope, Session, Transport
from frontdesk.errors import Refusal
from frontdesk.service import maintenance
from frontdesk.service.accounts import Accounts
from frontdesk.service.audit import Audit
from frontdesk.service.authenticate import Authenticated, Authenticator, Counts
from frontdesk.service.bounded import BoundedAuthenticator
from frontdesk.service.explaining import Witness
from frontdesk.service.fitting import LONGEST_COOKIE_NAME, check_members
from frontdesk.service.hashing import PasswordHasher
from frontdesk.service.key_ring import KeyRing
from frontdesk.service.keys import MasterKeys, TokenBytes
from frontdesk.service.knowledge import Knowledge
from frontdesk.service.refresh import Refreshed, Refresher
from frontdesk.service.services import Services
from frontdesk.service.settings import DeskSettings
from frontdesk.service.sign_in import Grant, Origin, Signed, SignIn, SignInOptions
from frontdesk.service.tokens import RESERVED_CLAIMS, Tokens
from frontdesk.service.touches import Touches
from frontdesk.service.tracing import span, traced
from frontdesk.stores.protocol import Ask, Store
from frontdesk.verifier.follow import Follower
from frontdesk.verifier.store_clock import StoreClock

_logger = logging.getLogger("frontdesk")


class Desk:
    """Opens lazily: call `open` before anything else, as often as you like; `close` when done.

    Operations return values: a result, or a `Refusal` for an expected no. `StoreError` and `OverloadedError` mean
    that nothing was decided and nothing granted.
    """

    def __init__(
        self,
        store: Store,
        master: MasterKeys,
        settings: DeskSettings,
        *,
        hasher: PasswordHasher,
        clock: Clock | None = None,
        audit: Audit | None = None,
        token_bytes: TokenBytes = random.token_bytes,
        timers: tuple[Timer, Timer] = (BOOT_TIMER, WALL_TIMER),
    ) -> None:
        self.settings = settings
        self.store = store
        # Nodes of a remote store agree on its time. A clock that was given is believed instead.
        self.clock = clock or (StoreClock(boot=timers[0]) if store.is_remote else SystemClock())
        self.unhurried = clock or UnhurriedClock(self.clock, timers[0])
        """For what may be forgotten: does not follow a clock that jumps ahead."""
        self.keys = KeyRing(store, master, settings.realm, token_bytes, self.clock)
        self.audit = audit or Audit()
        self.services = Services(store, settings.realm, clock=self.clock, audit=self.audit, token_bytes=token_bytes)
        self._hasher = hasher
        tokens = Tokens(settings, master, self.keys, token_bytes)
        self._tokens = tokens
        self.follower = self._follow(timers) if store.is_remote else None
        """Follows the revocation log of a remote store; None where the store itself is asked about each request."""
        self._knowledge = Knowledge(self.follower)
        self._authenticator = self._authenticator_with(tokens)
        self._refresher = Refresher(store, tokens, settings, self.audit, knowledge=self._knowledge)
        self.witness = Witness(self._authenticator, self._refresher, settings, self.clock, self.follower)
        """Looks at credentials without using them: to explain what becomes of a request."""
        self._sign_in = SignIn(store, tokens, settings, self.audit, token_bytes, knowledge=self._knowledge)
        self.accounts = Accounts(
            store,
            self._sign_in,
            settings=settings,
            throttle_key=master.throttle,
            hasher=hasher,
            clock=self.clock,
            audit=self.audit,
            token_bytes=token_bytes,
            knowledge=self._knowledge,
        )
        self._opened = False

    async def open(self) -> None:
        """Open the store and load the keys. Idempotent; raises ConfigurationError or StoreError."""
        if not self._opened:
            await self.store.open()
            if self.follower is not None:
                await self.follower.start()
            await self.keys.load(self.settings.key_algorithms, self.clock.now())
            self._hasher.open()
            self._opened = True

    async def close(self) -> None:
        """Finish what is under way and release the store. Idempotent."""
        await self._authenticator.settle()
        if self.follower is not None:
            await self.follower.stop()
        self._hasher.close()
        await self.store.close()
        self._opened = False

    async def purge(self) -> int:
        """Remove what no decision needs any more, in batches; returns how many records went. Raises StoreError.

        Any number of processes may call it at once. The server, and an adapter in the lifespan of its application, do
        so about once a minute; whoever has neither calls it every few minutes or hours.
        """
        return await maintenance.purge(self.store, self.unhurried)

    # --- freshness --------------------------------------------------------------------------------------------

    @property
    def lag(self) -> float | None:
        """How many seconds this node's picture of the revocations may be behind; 0 where the store is always asked,
        None before a first complete picture."""
        return 0.0 if self.follower is None else self.follower.lag()

    @property
    def counts(self) -> Counts:
        """How requests were decided so far."""
        return self._authenticator.counts

    def _follow(self, timers: tuple[Timer, Timer]) -> Follower:
        follower = Follower(
            self.store,
            self.settings.realm,
            self.clock,
            append_again=self._append_again,
            max_staleness=self.settings.max_staleness,
            trust_stale=self.settings.insecure_trust_stale,
            boot=timers[0],
            wall=timers[1],
        )
        follower.when_applied(self._refuse_keys)
        follower.when_restarted(self.keys.doubt)
        return follower

    async def _append_again(self, entries: Sequence[Entry], now: datetime) -> int:
        """The log has another history: tell it what this node knows."""
        with span("frontdesk.log_restarted", entries=len(entries)) as told:
            appended = await self.store.append_again(entries, now)
            told.tell(appended=appended)
            return appended

    def _authenticator_with(self, tokens: Tokens) -> Authenticator:
        if self.follower is None:
            return Authenticator(self.store, tokens, self.keys, self.settings, self.clock)
        touches = Touches(self.store, self.settings.realm, every=self.settings.sessions.touch_every)
        return BoundedAuthenticator(
            self.store, tokens, self.keys, self.settings, self.clock, follower=self.follower, touches=touches
        )

    def _refuse_keys(self, entries: Sequence[Entry]) -> None:
        mine = {entry.target for entry in entries if entry.kind == "key" and entry.realm == self.settings.realm}
        if mine:
            self.keys.refuse(mine)

    # --- keys -------------------------------------------------------------------------------------------------

    async def rotate_keys(self, *, at_once: bool = False) -> Plan:
        """Do what is due for the keys of access tokens (docs/keys.md); returns what this call did.

        To be called every few minutes or hours, by any number of processes: of those that find the same thing due
        one does it. `at_once`: a next key is made now, whatever the age of the current one.
        """
        every = self.settings.key_rotation or None
        return self._report_keys(await self.keys.rotate(self.clock.now(), every=every, at_once=at_once))

    @traced("frontdesk.revoke", kind="key")
    async def give_up_key(self, key_id: str) -> Plan:
        """A key fell into other hands: every token of it is refused from now on, in every process on the store.

        If it signed, another one does so at once. Sessions stay; their clients refresh. Empty: no such key.
        """
        done = await self.keys.give_up(key_id, self.clock.now())
        self._report_keys(done)
        await self._knowledge.hear()
        return done

    # --- requests ---------------------------------------------------------------------------------------------

    def authenticate_now(self, credential: bytes, transport: Transport) -> Authenticated | Refusal | Ask:
        """Who presents this credential in this envelope, if that can be said without waiting; else `ASK`."""
        return self._authenticator.check_now(credential, transport)

    async def authenticate(
        self, credential: bytes, transport: Transport, *, strict: bool = False
    ) -> Authenticated | Refusal:
        """Who presents this credential in this envelope.

        strict: the store is asked now, whatever this node remembers, and the answer carries the session's row.
        """
        return await self._authenticator.check(credential, transport, strict=strict)

    async def identify(self, credential: bytes, transport: Transport) -> Session | Refusal:
        """The session of an authentic credential even if it has expired or ended: for log-out only."""
        return await self._authenticator.identify(credential, transport)

    async def explain(self, credential: bytes, transport: Transport) -> Explanation:
        """Why this credential in this envelope is good or not. Changes nothing; raises StoreError.

        The facts tell about the session: show them to nobody but its holder.
        """
        return (await self.witness.look(credential, transport)).explanation

    async def sign_out(self, credential: bytes, transport: Transport, *, address: str = "") -> Session | Refusal:
        """End the session of an authentic credential, of one that has expired too; returns it as it was before.

        Refused as by `identify`. `session_ended`: its row is gone, since it ended so long ago, or since the store lost
        it. Then whoever believes access tokens without a row is told that it is over.
        """
        session = await self.identify(credential, transport)
        if isinstance(session, Session):
            await self.end(session.id, reason="signed_out", address=address)
        elif session.code == "session_ended":
            await self._authenticator.end_lost(credential)
            await self._knowledge.hear()
        return session

    @traced("frontdesk.refresh")
    async def refresh(
        self,
        token: bytes,
        envelope: RefreshEnvelope,
        *,
        address: str = "",
        name_bytes: int = LONGEST_COOKIE_NAME,
    ) -> Refreshed | Refusal:
        """Present a refresh token (`service.refresh`)."""
        return await self._refresher.refresh(token, envelope, self.clock.now(), address=address, name_bytes=name_bytes)

    # --- sign-in ----------------------------------------------------------------------------------------------

    @traced("frontdesk.sign_in")
    async def sign_in(
        self,
        grant: Grant,
        *,
        options: SignInOptions | None = None,
        origin: Origin | None = None,
        replaces: Collection[str] = (),
        name_bytes: int = LONGEST_COOKIE_NAME,
    ) -> Signed | Refusal:
        """Sign a subject in: the application has already convinced itself of who this is."""
        return await self._sign_in.sign_in(
            grant,
            now=self.clock.now(),
            epochs=await self._sign_in.epochs(grant.subject),
            options=options or SignInOptions(),
            origin=origin or Origin(),
            replaces=replaces,
            name_bytes=name_bytes,
        )

    async def update(
        self,
        subject: str,
        *,
        roles: Collection[str] | None = None,
        scope: Collection[str] | None = None,
        claims: Mapping[str, Any] | None = None,
    ) -> int | Refusal:
        """Change what the subject's standing sessions carry, from the next request on; how many changed.

        What is None stays. `claims_too_large` when an access token would no longer fit; then nothing changed.
        """
        check_members(roles=roles, scope=scope, claims=claims, reserved=RESERVED_CLAIMS)
        now = self.clock.now()
        for session in await self.store.list_sessions(self.settings.realm, subject, now):
            changed = msgspec.structs.replace(
                session,
                roles=session.roles if roles is None else tuple(roles),
                scope=session.scope if scope is None else tuple(scope),
                claims=session.claims if claims is None else claims,
            )
            await self._tokens.ready(session.credential)
            refusal = self._sign_in.too_large(changed, now)
            if refusal is not None:
                return refusal
        updated = await self.store.update_subject(
            self.settings.realm,
            subject,
            roles=None if roles is None else sorted(set(roles)),
            scope=None if scope is None else sorted(set(scope)),
            claims=claims,
            now=now,
        )
        await self._knowledge.hear()
        return updated

    # --- sessions ---------------------------------------------------------------------------------------------

    async def sessions(self, subject: str) -> tuple[Session, ...]:
        """The subject's standing sessions, newest first."""
        return await self.store.list_sessions(self.settings.realm, subject, self.clock.now())

    @traced("frontdesk.revoke", kind="session")
    async def end(self, session_id: str, *, reason: EndReason, subject: str | None = None, address: str = "") -> bool:
        """End one session, at once and for good. False: there is none (or it is not `subject`'s)."""
        now = self.clock.now()
        ended = await self.store.end_session(self.settings.realm, session_id, reason=reason, now=now, subject=subject)
        if ended is None:
            return False
        if ended.now:
            self._report_end(ended.session, reason, address)
        await self._knowledge.hear()
        return True

    @traced("frontdesk.revoke", kind="subject")
    async def end_all(
        self, subject: str, *, keep: str | None = None, reason: EndReason = "revoked", address: str = ""
    ) -> int:
        """End every session of the subject (but `keep`); without `keep` sign-ins in flight are refused too."""
        now = self.clock.now()
        ended = await self.store.end_subject(self.settings.realm, subject, reason=reason, now=now, keep=keep)
        for session in ended:
            self._report_end(session, reason, address)
        if keep is None:
            self.audit(
                SubjectRevoked(at=now, realm=self.settings.realm, address=address, subject=subject, sessions=len(ended))
            )
        await self._knowledge.hear()
        return len(ended)

    @traced("frontdesk.revoke", kind="all")
    async def end_everyone(self, *, reason: EndReason = "revoked", address: str = "") -> int:
        """End every session of the realm; how many. Sign-ins in flight are refused too. Accounts and keys stay.

        One `realm_revoked` event tells of all of them.
        """
        now = self.clock.now()
        ended = await self.store.end_realm(self.settings.realm, reason=reason, now=now)
        self.audit(RealmRevoked(at=now, realm=self.settings.realm, address=address, sessions=ended, reason=reason))
        await self._knowledge.hear()
        return ended

    def _report_keys(self, done: Plan) -> Plan:
        for move in done.moves:
            self.audit(KeyChanged(at=self.clock.now(), realm=self.settings.realm, key_id=move.id, state=move.becomes))
        return done

    def _report_end(self, session: Session, reason: EndReason, address: str) -> None:
        self.audit(
            SessionEnded(
                at=self.clock.now(),
                realm=session.realm,
                address=address,
                session_id=session.id,
                subject=session.subject,
                reason=reason,
            )
        )
