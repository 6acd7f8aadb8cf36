"""Refreshing: a refresh token is proven authentic, then the store decides by the rotation table."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from frontdesk.core.credentials import ParsedToken, parse
from frontdesk.core.events import Refreshed as RefreshedEvent
from frontdesk.core.events import SessionEnded
from frontdesk.core.rotation import Decision, Outcome, decide
from frontdesk.core.sessions import Principal, RefreshEnvelope, Session, principal_of
from frontdesk.errors import Refusal
from frontdesk.service.audit import Audit
from frontdesk.service.fitting import LONGEST_COOKIE_NAME, too_large
from frontdesk.service.knowledge import Knowledge
from frontdesk.service.settings import DeskSettings
from frontdesk.service.tokens import AccessToken, Tokens
from frontdesk.stores.protocol import Store

_MALFORMED: Final = Refusal("credential_malformed")
_INVALID: Final = Refusal("credential_invalid")
_REVOKED: Final = Refusal("session_ended")
_ENVELOPE: Final = Refusal("transport_mismatch", "The refresh token came in another envelope than it was issued in.")


class Refreshed(msgspec.Struct, frozen=True):
    """A refresh that was granted. `refresh_token` is set exactly when one was minted (at most once per grace)."""

    session: Session
    outcome: Outcome
    access_token: AccessToken
    refresh_token: str | None

    def __repr__(self) -> str:
        return f"Refreshed({self.outcome.value}, {self.session!r})"

    @property
    def principal(self) -> Principal:
        """Who the session belongs to."""
        return principal_of(self.session)


class Refresher:
    """Turns refresh tokens into access tokens."""

    def __init__(
        self, store: Store, tokens: Tokens, settings: DeskSettings, audit: Audit, *, knowledge: Knowledge
    ) -> None:
        self._store = store
        self._tokens = tokens
        self._settings = settings
        self._realm = settings.realm
        self._policy = settings.sessions
        self._audit = audit
        self._knowledge = knowledge

    async def refresh(
        self,
        token: bytes,
        envelope: RefreshEnvelope,
        now: datetime,
        *,
        address: str = "",
        name_bytes: int = LONGEST_COOKIE_NAME,
    ) -> Refreshed | Refusal:
        """Present a refresh token that came in `envelope`.

        Refused: not of our form (`credential_malformed`), not authentic (`credential_invalid`), shown in another
        envelope (`transport_mismatch`), the access token would not fit (`claims_too_large`; asked first, so that
        nothing is minted that cannot be kept), or the session's reason. Only an authentic token can end a session.
        """
        admitted = await self._admit(token, envelope, now, name_bytes)
        if isinstance(admitted, Refusal):
            return admitted
        parsed, session = admitted
        decision = await self._store.rotate(self._realm, session.id, parsed.generation, now, self._policy)
        if decision is None:
            return _INVALID
        self._record(decision, parsed.generation, now, address)
        if decision.ends:
            await self._knowledge.hear()
        if decision.refusal is not None:
            return decision.refusal
        if self._knowledge.has_ended(decision.session):
            return _REVOKED  # while the store decided
        await self._tokens.ready(session.credential)
        return Refreshed(
            session=decision.session,
            outcome=decision.outcome,
            access_token=self._tokens.access_token(decision.session, now),
            refresh_token=self._tokens.refresh_token(decision.session) if decision.outcome.mints else None,
        )

    async def foresee(
        self, token: bytes, envelope: RefreshEnvelope, now: datetime, *, name_bytes: int = LONGEST_COOKIE_NAME
    ) -> Decision | Refusal:
        """What `refresh` would come to at this moment, by the same rules. Nothing is minted, written or told."""
        admitted = await self._admit(token, envelope, now, name_bytes)
        if isinstance(admitted, Refusal):
            return admitted
        parsed, session = admitted
        return decide(session, parsed.generation, now, self._policy)

    async def _admit(
        self, token: bytes, envelope: RefreshEnvelope, now: datetime, name_bytes: int
    ) -> tuple[ParsedToken, Session] | Refusal:
        """The token and its row, where the rotation table is to decide."""
        parsed = parse(token)
        if parsed is None or parsed.purpose != "refresh":
            return _MALFORMED
        session = await self._store.read_session(self._realm, parsed.session_id)
        if session is None or session.refresh_in is None or not self._tokens.is_authentic(parsed, session):
            return _INVALID
        if self._knowledge.has_ended(session):
            return _REVOKED
        if session.refresh_in != envelope:
            return _ENVELOPE
        if session.credential not in self._settings.credentials or session.transport not in self._settings.transports:
            return _INVALID
        await self._tokens.catch_up()
        refusal = too_large(session, self._tokens.access_token_length(session, now), name_bytes)
        return (parsed, session) if refusal is None else refusal

    def _record(self, decision: Decision, generation: int, now: datetime, address: str) -> None:
        session = decision.session
        self._audit(
            RefreshedEvent(
                at=now,
                realm=self._realm,
                address=address,
                session_id=session.id,
                subject=session.subject,
                outcome=decision.outcome.value,
                generation=generation,
            )
        )
        if decision.ends:
            self._audit(
                SessionEnded(
                    at=now,
                    realm=self._realm,
                    address=address,
                    session_id=session.id,
                    subject=session.subject,
                    reason=session.end_reason or "reused",
                )
            )
