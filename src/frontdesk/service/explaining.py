"""What can be told of a credential that came with a request: the facts that the decision about it rests on.

The decisions are those of `Authenticator` and `Refresher`, asked by their own functions to judge and to change nothing:
no use is recorded, nothing is rotated, no event is told. Here is only said in words what they found.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

import msgspec

from frontdesk.clock import Clock
from frontdesk.core.credentials import REFRESH_PREFIX, SESSION_PREFIX, parse
from frontdesk.core.durations import span
from frontdesk.core.explanation import ALLOWED, Explanation, Fact, fact
from frontdesk.core.rotation import Decision, Outcome
from frontdesk.core.services import CREDENTIAL_PREFIX
from frontdesk.core.sessions import EndReason, RefreshEnvelope, Session, Transport
from frontdesk.errors import OverloadedError, Refusal, StoreError
from frontdesk.service.authenticate import NOT_OFFERED, WITHOUT_KEY, Authenticated, Authenticator, Observation, Source
from frontdesk.service.fitting import LONGEST_COOKIE_NAME
from frontdesk.service.refresh import Refresher
from frontdesk.service.settings import DeskSettings
from frontdesk.verifier.access_tokens import is_encrypted
from frontdesk.verifier.follow import Follower

_SECOND: Final = timedelta(seconds=1)
_SOURCES: Final[Mapping[Source, str]] = MappingProxyType(
    {
        "nothing": "The credential was refused by itself: neither a cache nor the store was asked.",
        "claims": "The claims of the access token decided, under the revocation index; the store was not asked.",
        "memory": "A row that this process remembers decided, under the revocation index; the store was not asked.",
        "store": "The row decided, as the store had it at this moment.",
    }
)
_ENDED: Final[Mapping[EndReason, str]] = MappingProxyType(
    {
        "signed_out": "it was signed out",
        "revoked": "it was revoked",
        "replaced": "a newer sign-in with its cookie replaced it",
        "reused": "a refresh token of it was shown by two parties",
        "rolled_back": "the store had lost more of its writes than a fail-over may lose",
        "evicted": "its subject signed in more often than the limit of sessions allows",
    }
)
_FORESEEN: Final[Mapping[Outcome, str]] = MappingProxyType(
    {
        Outcome.ENDED: "The refresh token would bring nothing now: the session has ended.",
        Outcome.RECOVERED: "The refresh token would bring an access token now; the store has forgotten its generation.",
        Outcome.RENEWED: "The refresh token would bring an access token now, and stay the refresh token.",
        Outcome.ROTATED: "The refresh token would bring an access token now, and the next refresh token.",
        Outcome.REISSUED: "The refresh token would bring an access token now, and another refresh token.",
        Outcome.REUSED: "The refresh token would end the session now: it was replaced, and has two holders.",
    }
)
# Which fact a refusal rests on: the first of these that was found.
_DECIDING: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "credential_malformed": ("credential_form_unknown",),
        "credential_invalid": ("credential_misplaced", "credential_not_offered", "credential_not_authentic"),
        "transport_mismatch": ("envelope_wrong",),
        "token_expired": ("token_over",),
        "session_ended": ("session_gone", "session_revoked", "session_over"),
        "session_expired": ("limit_absolute",),
        "session_idle": ("limit_idle",),
    }
)


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """A credential that was looked at. `is_holder`: whoever sent it may be told the facts, since it is authentic and
    came in the envelope that it was made for. `is_barred`: it is authentic and may be stolen, so that whoever sent it
    is told none of them, whatever else he holds."""

    outcome: Authenticated | Refusal
    facts: tuple[Fact, ...]
    is_holder: bool
    is_barred: bool

    @property
    def explanation(self) -> Explanation:
        """The verdict on the credential alone."""
        return Explanation(
            code=ALLOWED if isinstance(self.outcome, Authenticated) else self.outcome.code, facts=self.facts
        )


class RefreshLook(msgspec.Struct, frozen=True, kw_only=True):
    """A refresh token that was looked at; `outcome` is what presenting it now would come to. `is_holder`, `is_barred`:
    as of a `Look`."""

    outcome: Decision | Refusal
    facts: tuple[Fact, ...]
    is_holder: bool
    is_barred: bool

    @property
    def refusal(self) -> Refusal | None:
        """Why presenting it would bring nothing."""
        return self.outcome if isinstance(self.outcome, Refusal) else self.outcome.refusal


class Witness:
    """Sees how credentials are judged and takes no part in it."""

    def __init__(
        self,
        authenticator: Authenticator,
        refresher: Refresher,
        settings: DeskSettings,
        clock: Clock,
        follower: Follower | None,
    ) -> None:
        self._authenticator = authenticator
        self._refresher = refresher
        self._settings = settings
        self._clock = clock
        self._follower = follower

    async def look(self, credential: bytes, transport: Transport, *, strict: bool = False) -> Look:
        """Judge a credential as `Desk.authenticate` does, and say what that rests on. Raises StoreError."""
        fresh = self._freshness()  # before it is asked: asking the store may bring the log up to date
        seen = await self._authenticator.observe(credential, transport, strict=strict)
        known = await self._identified(credential, transport)
        owner = known if isinstance(known, Session) else None
        facts = [_kind(credential), *self._authenticity(credential, seen, owner)]
        tells = owner is not None or _is_authentic(seen.outcome)
        if tells:
            facts += self._of_session(seen, owner or seen.session, transport, fresh)
        # A refresh token opens nothing, so it came in no envelope of its own.
        misplaced = credential.startswith(REFRESH_PREFIX)
        holds = isinstance(seen.outcome, Authenticated) or (owner is not None and not misplaced)
        return Look(
            outcome=seen.outcome,
            facts=_marked(facts, seen.outcome),
            is_holder=holds,
            is_barred=tells and not holds,
        )

    async def look_at_refresh(
        self, token: bytes, envelope: RefreshEnvelope, *, name_bytes: int = LONGEST_COOKIE_NAME
    ) -> RefreshLook:
        """Judge a refresh token as `Desk.refresh` does; nothing is rotated or ended. Raises StoreError."""
        now = self._clock.now()
        outcome = await self._refresher.foresee(token, envelope, now, name_bytes=name_bytes)
        known = await self._identified(token, "cookie" if envelope == "cookie" else "bearer")
        owner = known if isinstance(known, Session) and known.refresh_in == envelope else None
        facts = [_presented(outcome)]
        if owner is not None:
            facts.append(_generation(owner, token))
        # Who shows a token that two parties hold may be either of them; another credential does not belong here.
        holds = owner is not None and token.startswith(REFRESH_PREFIX) and not _is_spent(owner, token, outcome)
        elsewhere = isinstance(known, Refusal) and known.code == "transport_mismatch"
        return RefreshLook(
            outcome=outcome,
            facts=tuple(facts),
            is_holder=holds,
            is_barred=elsewhere or (isinstance(known, Session) and not holds),
        )

    async def _identified(self, credential: bytes, transport: Transport) -> Session | Refusal | None:
        """Whose credential it is, ended or not; None where the store cannot be asked for it."""
        try:
            return await self._authenticator.identify(credential, transport)
        except (StoreError, OverloadedError):
            return None

    # --- the credential ---------------------------------------------------------------------------------------

    def _authenticity(self, credential: bytes, seen: Observation, owner: Session | None) -> list[Fact]:
        outcome = seen.outcome
        fault = None if credential.startswith(WITHOUT_KEY) else self._authenticator.token_fault(credential)
        if isinstance(outcome, Refusal) and outcome.code == "credential_malformed":
            broken = None if fault is None else fault.code
            return [fact("credential_form_unknown", "It has a form that was never issued here.", token_code=broken)]
        if credential.startswith(REFRESH_PREFIX):
            return [fact("credential_misplaced", "A refresh token is accepted at the refresh endpoint only.")]
        if fault is not None and fault.code != "token_expired":
            sentence = f"It is not an access token of this desk: {fault.message}"
            return [fact("credential_not_authentic", sentence, token_code=fault.code)]
        if outcome is NOT_OFFERED:
            return [
                fact("credential_authentic", "It is authentic: this desk made it."),
                fact("credential_not_offered", "This kind of credential is no longer accepted here."),
            ]
        if isinstance(outcome, Refusal) and outcome.code == "credential_invalid" and owner is None:
            sentence = "It is not authentic: of no session that is known here, or not made by this desk for it."
            return [fact("credential_not_authentic", sentence)]
        facts = [fact("credential_authentic", "It is authentic: this desk made it.")]
        if not credential.startswith(WITHOUT_KEY):
            over = fault is not None
            sentence = "The time of the access token is over." if over else "The time of the access token is not over."
            facts.append(fact("token_over" if over else "token_valid", sentence))
        return facts

    # --- what was known ---------------------------------------------------------------------------------------

    def _freshness(self) -> Fact:
        follower = self._follower
        if follower is None:
            return fact("freshness", "strict: the store is asked about each request.", in_force="strict", lag=0.0)
        lag = follower.lag()
        told = None if lag is None else round(lag, 3)
        bound = self._settings.max_staleness / _SECOND
        if self._settings.freshness == "strict":
            return fact("freshness", "strict: the store is asked about each request.", in_force="strict", lag=told)
        if follower.is_fresh():
            sentence = f"bounded: what this process holds is {told} s behind at most, and {bound:g} s are allowed."
            return fact("freshness", sentence, in_force="bounded", lag=told, bound=bound)
        behind = "has no complete picture yet" if told is None else f"may be {told} s behind, more than {bound:g} s"
        sentence = f"strict for now: what this process knows of revocations {behind}; the store is asked."
        return fact("freshness", sentence, in_force="strict", lag=told, bound=bound, stale=True)

    def _of_session(self, seen: Observation, session: Session | None, transport: Transport, fresh: Fact) -> list[Fact]:
        """What is told of an authentic credential."""
        facts = [fresh]
        revoked = self._is_revoked(session)
        if self._follower is not None:
            entries = len(self._follower.index)
            sentence = (
                f"The index holds {entries} entries; {'one ends' if revoked else 'none of them ends'} this session."
            )
            facts.append(fact("revocation_index", sentence, entries=entries, ends_it=revoked))
        facts.append(fact("answered_from", _SOURCES[seen.source], source=seen.source))
        outcome = seen.outcome
        if isinstance(outcome, Refusal) and outcome.code == "transport_mismatch":
            sentence = f"It came in the envelope {transport}, and its session was made for another one."
            facts.append(fact("envelope_wrong", sentence, came_in=transport))
        elif session is not None:
            sentence = f"It came in the envelope that its session was made for: {transport}."
            facts.append(fact("envelope_right", sentence, came_in=transport))
        if session is None:
            gone = isinstance(outcome, Refusal) and outcome.code == "session_ended"
            return [*facts, fact("session_gone", "The store has no row of its session any more.")] if gone else facts
        facts.append(_found(session, self._clock.now()))
        if session.ended_at is not None:
            facts.append(_over(session))
        elif seen.lost or revoked:
            sentence = "An entry of the revocation log ends the session, whatever its row says."
            facts.append(fact("session_revoked", sentence))
        return [*facts, *_limits(session, self._clock.now())]

    def _is_revoked(self, session: Session | None) -> bool:
        if self._follower is None or session is None:
            return False
        return self._follower.index.revoked(session.id, session.subject, session.epochs)


def _is_authentic(outcome: Authenticated | Refusal) -> bool:
    """Whether the credential was found to be of this desk, whatever else is wrong with it."""
    return isinstance(outcome, Authenticated) or outcome.code not in {"credential_malformed", "credential_invalid"}


def _marked(facts: Iterable[Fact], outcome: Authenticated | Refusal) -> tuple[Fact, ...]:
    """The facts with the one marked that the refusal rests on; of a yes none is marked, the route decides."""
    told = list(facts)
    if isinstance(outcome, Refusal):
        wanted = _DECIDING.get(outcome.code, ("session_over",))
        place = next((place for place, each in enumerate(told) if each.code in wanted), None)
        if place is not None:
            told[place] = msgspec.structs.replace(told[place], decided=True)
    return tuple(told)


def _kind(credential: bytes) -> Fact:
    """By its form alone."""
    if credential.startswith(SESSION_PREFIX):
        return fact("credential_kind", "The credential is a session token.", kind="session")
    if credential.startswith(REFRESH_PREFIX):
        return fact("credential_kind", "The credential is a refresh token.", kind="refresh")
    if credential.startswith(CREDENTIAL_PREFIX.encode()):
        return fact("credential_kind", "The credential is that of a service, which signs nobody in.", kind="service")
    if is_encrypted(credential):
        return fact("credential_kind", "The credential is an encrypted access token (JWE).", kind="jwe")
    if credential.count(b".") == 2:
        return fact("credential_kind", "The credential is a signed access token (JWT).", kind="jwt")
    return fact("credential_kind", "The credential is of no kind that is issued here.", kind="unknown")


def _found(session: Session, now: datetime) -> Fact:
    age = now - session.created_at
    carried = f"{session.credential} over {session.transport}"
    sentence = f"The session {session.id}, for {carried}, was made {span(age)} ago."
    return fact(
        "session_found",
        sentence,
        session=session.id,
        credential=session.credential,
        transport=session.transport,
        created_at=session.created_at,
        last_seen_at=session.last_seen_at,
        age=age // _SECOND,
    )


def _over(session: Session) -> Fact:
    reason = session.end_reason or "revoked"
    sentence = f"The session has ended: {_ENDED[reason]}."
    return fact("session_over", sentence, reason=reason, ended_at=session.ended_at)


def _limits(session: Session, now: datetime) -> list[Fact]:
    facts = []
    if session.credential != "session":
        facts.append(_generation(session, b""))
    idle, absolute = session.idle_at - now, session.expires_at - now
    used = "was not used for longer than" if idle <= timedelta(0) else "may stay unused for"
    limit = span(session.idle_timeout)
    left = "" if idle <= timedelta(0) else f"; {span(idle)} are left"
    facts.append(fact("limit_idle", f"The session {used} {limit}{left}.", at=session.idle_at))
    if absolute <= timedelta(0):
        sentence = f"The session reached its absolute limit {span(-absolute)} ago."
    else:
        sentence = f"The absolute limit of the session is {span(absolute)} ahead."
    facts.append(fact("limit_absolute", sentence, at=session.expires_at))
    return facts


def _generation(session: Session, token: bytes) -> Fact:
    parsed = parse(token) if token else None
    if parsed is None:
        sentence = f"The newest refresh token of the session has the generation {session.generation}."
        return fact("generation", sentence, session=session.id, newest=session.generation)
    sentence = f"The refresh token has the generation {parsed.generation}; the newest of its session is "
    return fact(
        "generation",
        f"{sentence}{session.generation}.",
        session=session.id,
        presented=parsed.generation,
        newest=session.generation,
    )


def _is_spent(session: Session, token: bytes, outcome: Decision | Refusal) -> bool:
    """Whether a refresh token was replaced for good, of an ended session too: no honest client shows it."""
    parsed = parse(token)
    older = parsed is not None and parsed.generation < session.parent
    return older or (isinstance(outcome, Decision) and outcome.is_reuse)


def _presented(outcome: Decision | Refusal) -> Fact:
    if isinstance(outcome, Decision):
        return fact("refresh_foreseen", _FORESEEN[outcome.outcome], outcome=outcome.outcome.value)
    sentence = f"The refresh token would be refused now: {outcome.detail or outcome.title}"
    return fact("refresh_foreseen", sentence, outcome=outcome.code)
