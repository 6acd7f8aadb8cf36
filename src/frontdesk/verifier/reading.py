"""From the bytes of an access token to what a service needs to decide about it: authentic, meant for us, not expired.

Known tokens are found by their bytes; what is derived from one once (its principal, the digests that the revocation
log knows it by) is kept beside it, bounded. Signature policy and times run on every hit (`jose.jwt.verify`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final

from frontdesk.core.credentials import REFRESH_PREFIX, SESSION_PREFIX
from frontdesk.core.revocation import target_digest
from frontdesk.core.services import CREDENTIAL_PREFIX
from frontdesk.core.sessions import Principal, Transport
from frontdesk.errors import Refusal, TokenError
from frontdesk.jose import jws, jwt
from frontdesk.jose.jws import Keys
from frontdesk.jose.memo import TokenMemo
from frontdesk.stores.protocol import ASK, NO_TIME, Ask
from frontdesk.verifier.access_tokens import AccessClaims, is_encrypted, principal_of_claims, refusal_of
from frontdesk.verifier.key_sources import KeySource

_NO_ACCESS_TOKENS: Final = (SESSION_PREFIX, REFRESH_PREFIX, CREDENTIAL_PREFIX.encode())

_FOR_THE_DESK: Final = Refusal(
    "credential_malformed", "This is no access token but something that its desk alone can check; sign in with jwt."
)
_ENCRYPTED: Final = Refusal("credential_invalid", "Encrypted access tokens are for their desk alone; sign in with jwt.")
_NOBODY: Final = Refusal("credential_invalid", "The access token names no subject.")
_NO_SESSION: Final = Refusal("credential_invalid", "The access token names no session of a desk.")


class Accepted:
    """An access token that is good by itself.

    `session` and `subject` are the digests that the revocation log knows them by, "" where none is followed. `kid` is
    that of the key that signed it. `place` and `typ`: which of the keys and types it was found good under.
    """

    __slots__ = ("epochs", "kid", "place", "principal", "session", "subject", "transport", "typ")

    def __init__(
        self, claims: AccessClaims, principal: Principal, *, kid: str, place: int, typ: str, digests: tuple[str, str]
    ) -> None:
        self.principal = principal
        self.session, self.subject = digests
        self.epochs = claims.session_epochs
        # Who is not told gets tokens from clients that send them themselves.
        self.transport: Transport = claims.transport or "bearer"
        self.kid = kid
        self.place = place
        self.typ = typ


class TokenReader:
    """Reads the access tokens of one issuer for one audience. Belongs to one thread.

    types: the media types that a token's header may name (RFC 9068 §2.1). of_desk: the tokens must name a session of a
    desk, so that a revocation can reach them. leeway: for the clock of a foreign issuer.
    """

    def __init__(
        self,
        keys: KeySource,
        *,
        issuer: str,
        audience: str | Collection[str],
        types: Sequence[str],
        realm: str,
        of_desk: bool,
        leeway: timedelta = NO_TIME,
    ) -> None:
        self._keys = keys
        self._types = tuple(types)
        self._realm = realm
        self._of_desk = of_desk
        self._verified = jwt.Memo()
        self._issuer = issuer
        self._audience = audience
        self._leeway = leeway
        self._accepted: TokenMemo[Accepted] = TokenMemo()

    def read(self, token: bytes, now: datetime, keys: Sequence[Keys] | None = None) -> Accepted | Refusal | Ask:
        """What the token is, or why it is refused; `ASK` where the keys must be fetched first. `keys`: instead."""
        if keys is None:
            keys = self._keys.current()
            if keys is None:
                return ASK
        known = self._accepted.find(token)
        if known is None:
            return self._first(token, now, keys)
        try:
            self._verify(token, keys[known.place], known.typ, now)
        except TokenError as error:
            self._accepted.drop(token)
            return refusal_of(error)
        return known

    def _first(self, token: bytes, now: datetime, keys: Sequence[Keys]) -> Accepted | Refusal:
        fault: TokenError | None = None
        for place, those in enumerate(keys):
            for typ in self._types:
                try:
                    claims = self._verify(token, those, typ, now)
                except TokenError as error:
                    if error.code not in {"key_unknown", "signature_invalid", "type_mismatch"}:
                        return _refusal(token, error)
                    fault = error
                    if error.code == "type_mismatch":
                        continue  # of another type, perhaps
                    break  # of another key, perhaps
                return self._accept(token, claims, those, place, typ)
        assert fault is not None
        return _refusal(token, fault)

    def _verify(self, token: bytes, keys: Keys, typ: str, now: datetime) -> AccessClaims:
        claims = jwt.verify(
            token,
            keys,
            issuer=self._issuer,
            audience=self._audience,
            typ=typ,
            now=now,
            leeway=self._leeway,
            record=AccessClaims,
            memo=self._verified,
        )
        assert isinstance(claims, AccessClaims)
        return claims

    def _accept(self, token: bytes, claims: AccessClaims, keys: Keys, place: int, typ: str) -> Accepted | Refusal:
        if not claims.sub:
            return _NOBODY
        if self._of_desk and (not claims.sid or claims.transport is None or claims.epochs is None):
            return _NO_SESSION
        key = jws.key_for(jws.read_header(token.partition(b".")[0]), keys)
        assert key is not None  # it has just verified the token
        accepted = Accepted(
            claims,
            principal_of_claims(claims, self._realm, "jwt"),
            kid=key.kid,
            place=place,
            typ=typ,
            digests=self._digests(claims.sid, claims.sub) if self._of_desk and claims.sid else ("", ""),
        )
        if not any(isinstance(value, dict | list) for value in claims.extra.values()):
            # Else whoever is handed the claims could change them for the next one.
            self._accepted.keep(token, key.kid, accepted)
        return accepted

    def _digests(self, session_id: str, subject: str) -> tuple[str, str]:
        return target_digest(self._realm, session_id), target_digest(self._realm, subject)


def _refusal(token: bytes, error: TokenError) -> Refusal:
    if token.startswith(_NO_ACCESS_TOKENS):
        return _FOR_THE_DESK
    return _ENCRYPTED if is_encrypted(token) else refusal_of(error)
