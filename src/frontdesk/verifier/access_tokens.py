"""Access tokens as whoever checks them sees them: the claims, and the principal that they speak of (RFC 9068)."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final

from msgspec import Meta

from frontdesk.clock import EPOCH
from frontdesk.core.sessions import CredentialKind, Epochs, Principal, Transport
from frontdesk.errors import Refusal, TokenError
from frontdesk.jose import jwt

ACCESS_TOKEN_TYPE: Final = "at+jwt"  # noqa: S105 - a media type (RFC 9068 §2.1)

KEY_UNKNOWN: Final = Refusal("credential_invalid", "No key answers to the key id of the token.")
"""The one refusal that a fresh look at the keys may change: a new one may have been made."""
_EXPIRED: Final = Refusal("token_expired")

_Epoch = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class AccessClaims(jwt.Claims, frozen=True, kw_only=True):
    """The claims of an access token of a desk: those of RFC 9068 and our own two."""

    epochs: tuple[_Epoch, _Epoch] | None = None
    """The epochs of the realm and of the subject at sign-in."""
    transport: Transport | None = None
    """The envelope that the token was issued for."""

    @property
    def session_epochs(self) -> Epochs:
        """The epochs as a record; those before any revocation where the token names none."""
        return Epochs(*self.epochs) if self.epochs is not None else Epochs()


def principal_of_claims(claims: AccessClaims, realm: str, credential: CredentialKind) -> Principal:
    """The application's view of an access token: what it says, as it was when it was minted."""
    return Principal(
        subject=claims.sub or "",
        session_id=claims.sid or "",
        auth_time=EPOCH + timedelta(seconds=claims.auth_time or claims.iat or 0),
        amr=claims.amr or (),
        scope=frozenset((claims.scope or "").split()),
        roles=frozenset(claims.roles or ()),
        claims=claims.extra,
        credential=credential,
        realm=realm,
    )


def is_encrypted(token: bytes) -> bool:
    """Whether a token has the five parts of a JWE (RFC 7516 §3.1): what it is, not whether it is any good."""
    return token.count(b".") == 4


def refusal_of(error: TokenError) -> Refusal:
    """What a client is told of an access token that was refused."""
    if error.code == "token_expired":
        return _EXPIRED
    if error.code == "key_unknown":
        return KEY_UNKNOWN
    malformed = error.code in {"token_malformed", "token_oversize"}
    return Refusal("credential_malformed" if malformed else "credential_invalid", error.message)
