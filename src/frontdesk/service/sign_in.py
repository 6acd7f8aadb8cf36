"""Signing in: a new session row, always with a new id, and the credentials that belong to it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from frontdesk.core.credentials import ID_BYTES, SALT_BYTES, encode_id
from frontdesk.core.events import SessionEnded, SignedIn
from frontdesk.core.sessions import CredentialKind, Epochs, RefreshEnvelope, Session, Transport, is_subject
from frontdesk.errors import Refusal
from frontdesk.service.audit import Audit
from frontdesk.service.fitting import LONGEST_COOKIE_NAME, check_members, check_words, too_large
from frontdesk.service.keys import TokenBytes
from frontdesk.service.knowledge import Knowledge
from frontdesk.service.settings import DeskSettings
from frontdesk.service.tokens import RESERVED_CLAIMS, AccessToken, Tokens
from frontdesk.stores.protocol import NotCreated, Store


class SignInOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a sign-in is carried. None means: the deployment's default."""

    credential: CredentialKind | None = None
    transport: Transport | None = None
    refresh_in: RefreshEnvelope | None = None
    remember: bool = True


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """Who signs in and what the session carries. Raises TypeError or ValueError for what could never be issued.

    `subject`: 1 to 255 printable characters. `roles`, `scope`: visible ASCII without quotes (RFC 6749 §3.3).
    `claims`: members for the application's own use; those of Frontdesk and of RFC 9068 are refused.
    `amr`: how the subject proved itself (RFC 8176).
    """

    subject: str
    roles: Collection[str] = ()
    scope: Collection[str] = ()
    claims: Mapping[str, Any] = {}
    amr: Collection[str] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.subject, str):
            raise TypeError("subject must be a str")
        if not is_subject(self.subject):
            raise ValueError("subject must be 1 to 255 printable characters")
        check_members(roles=self.roles, scope=self.scope, claims=self.claims, reserved=RESERVED_CLAIMS)
        check_words("amr", self.amr)


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where a sign-in came from, for the list of devices and the audit log."""

    address: str = ""
    device: str = ""


class Signed(msgspec.Struct, frozen=True):
    """A sign-in that was granted. Exactly one of `session_token` and `access_token` is set."""

    session: Session
    session_token: str | None = None
    access_token: AccessToken | None = None
    refresh_token: str | None = None

    def __repr__(self) -> str:
        return f"Signed({self.session!r})"


class SignIn:
    """Creates sessions."""

    def __init__(
        self,
        store: Store,
        tokens: Tokens,
        settings: DeskSettings,
        audit: Audit,
        token_bytes: TokenBytes,
        *,
        knowledge: Knowledge,
    ) -> None:
        self._store = store
        self._tokens = tokens
        self._settings = settings
        self._audit = audit
        self._token_bytes = token_bytes
        self._knowledge = knowledge

    async def epochs(self, subject: str) -> Epochs:
        """The epochs to read before the subject's right to sign in is checked, and to pass to `sign_in`.

        StoreError also when the store shows older ones than this node knows.
        """
        epochs = await self._store.epochs(self._settings.realm, subject)
        self._knowledge.refuse_lost(subject, epochs)
        return epochs

    async def sign_in(
        self,
        grant: Grant,
        *,
        now: datetime,
        epochs: Epochs,
        options: SignInOptions,
        origin: Origin,
        replaces: Collection[str] = (),
        name_bytes: int = LONGEST_COOKIE_NAME,
        account_roles: bool = False,
    ) -> Signed | Refusal:
        """Create a session and mint its credentials.

        `epochs` are those read before the subject was believed; a revocation since then refuses the sign-in
        (`session_ended`). `replaces` are the sessions that came along; they end in the same transaction.
        `name_bytes` is the length of the access cookie's name. With `account_roles` the session gets the roles
        that the subject's account has when it is created.
        """
        chosen = self._choose(options)
        if isinstance(chosen, Refusal):
            return chosen
        if chosen.credential != "session":
            await self._tokens.catch_up()
        session = self._session(grant, chosen, now=now, epochs=epochs, origin=origin)
        refusal = self.too_large(session, now, name_bytes)
        if refusal is not None:
            return refusal
        created = await self._store.create_session(
            session,
            replaces=replaces,
            max_sessions=self._settings.sessions.max_sessions,
            account_roles=account_roles,
            now=now,
        )
        if isinstance(created, NotCreated):
            # Ids are 128 random bits; only a revocation that met this sign-in leads here.
            return Refusal("session_ended", "The subject was signed out everywhere during this sign-in; try again.")
        if created.roles is not None:
            session = msgspec.structs.replace(session, roles=created.roles)
        self._report(session, created.ended, now)
        if created.ended:
            await self._knowledge.hear()
        await self._tokens.ready(session.credential)
        return self._mint(session, now)

    async def foresee(
        self, grant: Grant, options: SignInOptions, *, now: datetime, name_bytes: int
    ) -> SignInOptions | Refusal:
        """How `sign_in` would carry the session, nothing left open, or why it would not. Nothing is created.

        StoreError as of `epochs`.
        """
        chosen = self._choose(options)
        if isinstance(chosen, Refusal):
            return chosen
        if chosen.credential != "session":
            await self._tokens.catch_up()
        epochs = await self.epochs(grant.subject)
        session = self._session(grant, chosen, now=now, epochs=epochs, origin=Origin())
        return self.too_large(session, now, name_bytes) or chosen

    def too_large(self, session: Session, now: datetime, name_bytes: int = LONGEST_COOKIE_NAME) -> Refusal | None:
        """`claims_too_large` when the credentials of `session`, as it stands there, would not fit."""
        return too_large(session, self._tokens.access_token_length(session, now), name_bytes)

    def _choose(self, options: SignInOptions) -> SignInOptions | Refusal:
        credential = options.credential or self._settings.credentials[0]
        transport = options.transport or self._settings.transports[0]
        if credential not in self._settings.credentials or transport not in self._settings.transports:
            return Refusal("credential_not_allowed", f"{credential} over {transport} is not offered here.")
        if credential == "session":
            if options.refresh_in is not None:
                return Refusal("credential_not_allowed", "A session token is never refreshed; omit refresh_in.")
            refresh_in: RefreshEnvelope | None = None
        elif transport == "cookie":
            if options.refresh_in == "body":
                return Refusal("credential_not_allowed", "With transport cookie the refresh token is a cookie too.")
            refresh_in = "cookie"
        else:
            refresh_in = options.refresh_in or "body"
        return SignInOptions(
            credential=credential, transport=transport, refresh_in=refresh_in, remember=options.remember
        )

    def _session(
        self, grant: Grant, chosen: SignInOptions, *, now: datetime, epochs: Epochs, origin: Origin
    ) -> Session:
        policy = self._settings.sessions
        assert chosen.credential is not None
        assert chosen.transport is not None
        return Session(
            id=encode_id(self._token_bytes(ID_BYTES)),
            realm=self._settings.realm,
            subject=grant.subject,
            credential=chosen.credential,
            transport=chosen.transport,
            refresh_in=chosen.refresh_in,
            remember=chosen.remember,
            created_at=now,
            auth_time=now,
            last_seen_at=now,
            expires_at=now + policy.absolute,
            idle_timeout=policy.idle,
            salt=self._token_bytes(SALT_BYTES),
            epochs=epochs,
            minted_at=now,
            amr=tuple(grant.amr),
            roles=tuple(sorted(set(grant.roles))),
            scope=tuple(sorted(set(grant.scope))),
            claims=dict(grant.claims),
            device=origin.device[:200],
            address=origin.address,
        )

    def _mint(self, session: Session, now: datetime) -> Signed:
        if session.credential == "session":
            return Signed(session, session_token=self._tokens.session_token(session))
        return Signed(
            session,
            access_token=self._tokens.access_token(session, now),
            refresh_token=self._tokens.refresh_token(session),
        )

    def _report(self, session: Session, ended: Sequence[Session], now: datetime) -> None:
        for other in ended:
            self._audit(
                SessionEnded(
                    at=now,
                    realm=other.realm,
                    address=session.address,
                    session_id=other.id,
                    subject=other.subject,
                    reason=other.end_reason or "replaced",
                )
            )
        self._audit(
            SignedIn(
                at=now,
                realm=session.realm,
                address=session.address,
                subject=session.subject,
                session_id=session.id,
                credential=session.credential,
                transport=session.transport,
            )
        )
