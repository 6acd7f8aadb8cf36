"""From a session to its credentials and back: what is minted for a row, and which row a credential names."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from frontdesk.core import credentials
from frontdesk.core.credentials import ParsedToken
from frontdesk.core.sessions import CredentialKind, Session
from frontdesk.errors import Refusal, TokenError
from frontdesk.jose import jwe, jwt, strictjson
from frontdesk.service.key_ring import KeyRing
from frontdesk.service.keys import MasterKeys, TokenBytes
from frontdesk.service.settings import DeskSettings
from frontdesk.verifier.access_tokens import ACCESS_TOKEN_TYPE, AccessClaims, is_encrypted, refusal_of

_JTI_LENGTH: Final = 22
_SAMPLE: Final = {"iss": "x", "aud": "x", "exp": 0}

RESERVED_CLAIMS: Final = frozenset({
    "iss", "sub", "aud", "exp", "iat", "nbf", "jti", "sid", "auth_time", "acr", "amr", "azp", "scope", "roles",
    "groups", "entitlements", "client_id", "cnf", "act", "epochs", "transport", "realm",
})  # fmt: skip
"""Claims that an application cannot set: they mean something to a verifier."""


class AccessToken(msgspec.Struct, frozen=True):
    """A minted access token and for how long it is good from the moment it was minted."""

    text: str
    lifetime: timedelta

    def __repr__(self) -> str:
        return f"AccessToken(…, {self.lifetime})"


class Tokens:
    """Mints and reads the credentials of one desk."""

    def __init__(self, settings: DeskSettings, master: MasterKeys, ring: KeyRing, token_bytes: TokenBytes) -> None:
        self._settings = settings
        self._master = master
        self._ring = ring
        self._token_bytes = token_bytes
        named = settings.audiences
        self._audience: str | tuple[str, ...] = named[0] if len(named) == 1 else named  # one is compared faster
        self._memo = jwt.Memo()
        self._encrypted_memo = jwt.EncryptedMemo()
        self._overheads: dict[str, int] = {}
        ring.when_gone(self.forget_key)

    def session_token(self, session: Session) -> str:
        """The opaque token of a session."""
        return credentials.mint_session_token(self._master.newest, session.realm, session.id, session.salt)

    def refresh_token(self, session: Session) -> str:
        """The refresh token of the session's newest generation."""
        return credentials.mint_refresh_token(
            self._master.newest, session.realm, session.id, session.salt, session.generation
        )

    def access_token(self, session: Session, now: datetime) -> AccessToken:
        """An access token (RFC 9068) for the session, signed or encrypted; it never outlives the session."""
        expires_at = min(now + self._settings.sessions.access_token, session.expires_at)
        jti = credentials.encode_id(self._token_bytes(credentials.ID_BYTES))
        text = self._write(self._claims(session, jti, now, expires_at), encrypted=session.credential == "jwe")
        return AccessToken(text, expires_at - now)

    def _write(self, claims: Mapping[str, Any], *, encrypted: bool) -> str:
        if not encrypted:
            return jwt.sign(claims, self._ring.signing, typ=ACCESS_TOKEN_TYPE)
        key = self._ring.encrypting
        return jwt.encrypt(claims, key, typ=ACCESS_TOKEN_TYPE, random=self._token_bytes(jwe.random_size(key)))

    def access_token_length(self, session: Session, now: datetime) -> int:
        """How long the session's access token would be now; 0 for sessions that have none. Signs nothing."""
        if session.credential == "session":
            return 0
        payload = strictjson.serialise(self._claims(session, "x" * _JTI_LENGTH, now, session.expires_at))
        return self._overhead(encrypted=session.credential == "jwe") + _base64_length(len(payload))

    def _overhead(self, *, encrypted: bool) -> int:
        """What a token has beside its claims: header, signature or IV and tag, dots. Known per key."""
        key_id = (self._ring.encrypting if encrypted else self._ring.signing).kid
        known = self._overheads.get(key_id)
        if known is None:
            text = self._write(_SAMPLE, encrypted=encrypted)
            known = len(text) - _base64_length(len(strictjson.serialise(_SAMPLE)))
            self._overheads = {**self._overheads, key_id: known}
        return known

    def _claims(self, session: Session, jti: str, now: datetime, expires_at: datetime) -> dict[str, Any]:
        claims: dict[str, Any] = {
            **session.claims,
            "iss": self._settings.issuer,
            "sub": session.subject,
            "aud": self._audience if isinstance(self._audience, str) else list(self._audience),
            "exp": int(expires_at.timestamp()),
            "iat": int(now.timestamp()),
            "jti": jti,
            "sid": session.id,
            "auth_time": int(session.auth_time.timestamp()),
            "epochs": [session.epochs.realm, session.epochs.subject],
            "transport": session.transport,
        }
        if session.amr:
            claims["amr"] = list(session.amr)
        if session.roles:
            claims["roles"] = list(session.roles)
        if session.scope:
            claims["scope"] = " ".join(session.scope)
        return claims

    def verify_access_token(self, token: bytes, now: datetime, *, expired_ok: bool = False) -> AccessClaims | Refusal:
        """The claims of an authentic access token of this desk, or why it is refused.

        A token that was verified before is known by its bytes until it expires; the policy and all times are
        checked each time, and its key must still be one of the ring. `expired_ok` serves log-out alone: whoever
        holds an authentic token may end its session.
        """
        try:
            return self._verify_expired(token, now) if expired_ok else self._verify(token, now)
        except TokenError as error:
            return refusal_of(error)

    def fault_of(self, token: bytes, now: datetime) -> TokenError | None:
        """Why `verify_access_token` refuses this token, as the rule that it breaks; None for one that is in order."""
        try:
            self._verify(token, now)
        except TokenError as error:
            return error
        return None

    def _verify(self, token: bytes, now: datetime) -> AccessClaims:
        if is_encrypted(token):
            opened = jwt.decrypt(
                token,
                self._ring.decrypting,
                issuer=self._settings.issuer,
                audience=self._audience,
                typ=ACCESS_TOKEN_TYPE,
                now=now,
                record=AccessClaims,
                memo=self._encrypted_memo,
            )
            assert isinstance(opened, AccessClaims)
            return opened
        claims = jwt.verify(
            token,
            self._ring.verifying,
            issuer=self._settings.issuer,
            audience=self._audience,
            typ=ACCESS_TOKEN_TYPE,
            now=now,
            record=AccessClaims,
            memo=self._memo,
        )
        assert isinstance(claims, AccessClaims)
        return claims

    def _verify_expired(self, token: bytes, now: datetime) -> AccessClaims:
        policy: dict[str, Any] = {
            "issuer": self._settings.issuer,
            "audience": self._audience,
            "typ": ACCESS_TOKEN_TYPE,
            "now": now,
            "record": AccessClaims,
        }
        if is_encrypted(token):
            claims = jwt.decrypt_ignoring_expiry(token, self._ring.decrypting, **policy)
        else:
            claims = jwt.verify_ignoring_expiry(token, self._ring.verifying, **policy)
        assert isinstance(claims, AccessClaims)
        return claims

    def forget_key(self, kid: str) -> None:
        """Drop what is remembered of tokens that this key signed. They are refused as soon as the ring lacks it."""
        self._memo.drop_key(kid)
        self._encrypted_memo.drop_key(kid)
        self._overheads.pop(kid, None)

    async def catch_up(self) -> None:
        """Before minting: no token is made under a key that another process has retired or given up."""
        await self._ring.catch_up()

    async def ready(self, credential: CredentialKind) -> None:
        """Right before minting: the key that was there at `catch_up` may have been given up since."""
        if credential != "session" and not self._ring.makes(encrypted=credential == "jwe"):
            await self._ring.catch_up()

    def is_authentic(self, token: ParsedToken, session: Session) -> bool:
        """Whether a parsed session or refresh token was made by this desk for this row."""
        return credentials.authentic(token, self._master.mac, self._settings.realm, session.salt)


def _base64_length(octets: int) -> int:
    return -(-octets * 4 // 3)
