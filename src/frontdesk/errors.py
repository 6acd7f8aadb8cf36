"""Every exception of Frontdesk, and the table of stable refusal codes.

Expected outcomes are values (`Refusal`); exceptions are for misuse and for faults::

    Exception
    └── FrontdeskError            code, public sentence; `detail` is for the log only
        ├── ConfigurationError    the desk cannot be built so; raised at start, says what to do
        ├── TokenError            a JOSE object is refused (bad key, bad signature, bad claim)
        ├── StoreError            the store could not be asked; never means "not found"
        │   ├── StoreBusyError        another writer held its lock for too long
        │   ├── StoreFullError        no space is left; nothing was written
        │   ├── StoreMissingError     the database was deleted or replaced under a running desk
        │   └── StoreCorruptError     what was read is not what was written
        ├── OverloadedError       a bounded queue is full; try again later
        └── RefusedError          carries a Refusal where only an exception can travel

Misuse of an API (a wrong type, a naive datetime) raises `TypeError` or `ValueError` at the call.
No message holds a credential, a key or a password.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Code:
    """One stable refusal code: the HTTP status it is answered with and the sentence a person reads."""

    status: int
    title: str


CODES: Final[Mapping[str, Code]] = MappingProxyType(
    {
        # 400: the request cannot be understood
        "body_not_parseable": Code(400, "The body is not what its content type says."),
        "credentials_ambiguous": Code(400, "Two refresh tokens came along; send one."),
        "host_unknown": Code(400, "This host name is not served here."),
        # 401: nobody is signed in by this request
        "not_signed_in": Code(401, "No credential came along."),
        "credential_malformed": Code(401, "The credential has a form that was never issued here."),
        "credential_invalid": Code(401, "The credential is not authentic."),
        "credential_duplicate": Code(401, "The credential cookie came twice; none is believed."),
        "transport_mismatch": Code(401, "The credential came in another envelope than it was issued for."),
        "token_expired": Code(401, "The access token has expired; refresh it."),
        "session_ended": Code(401, "The session was signed out or ended."),
        "session_expired": Code(401, "The session reached its absolute time limit."),
        "session_idle": Code(401, "The session was not used for too long."),
        "session_replaced": Code(401, "The session was replaced by a newer sign-in."),
        "refresh_reused": Code(401, "The refresh token was used by two parties; the session was ended."),
        "store_rolled_back": Code(401, "The store lost recent writes; the session was ended."),
        "invalid_credentials": Code(401, "The address or the password is wrong."),
        "service_unknown": Code(401, "No service holds this credential."),
        # 403: signed in, but not for this
        "cross_origin": Code(403, "The request came from another site."),
        "role_missing": Code(403, "The signed-in subject does not hold a required role."),
        "scope_missing": Code(403, "The credential does not carry a required scope."),
        "service_scope_missing": Code(403, "The service was not given a required scope."),
        "step_up_required": Code(403, "The sign-in is too long ago for this; sign in again."),
        # 404, 405, 409
        "not_found": Code(404, "There is nothing here."),
        "session_not_found": Code(404, "None of your sessions has this id."),
        "method_not_allowed": Code(405, "This address does not take this method."),
        "email_taken": Code(409, "An account with this address exists."),
        # 413, 415, 422, 429, 431
        "body_too_large": Code(413, "The body is larger than 64 KiB."),
        "content_type_unsupported": Code(415, "The body must be declared as application/json."),
        "body_invalid": Code(422, "The body does not have the expected shape."),
        "credential_not_allowed": Code(422, "This credential or transport is not offered here."),
        "claims_too_large": Code(422, "The claims do not fit into a credential of 4096 bytes."),
        "email_invalid": Code(422, "The address is not one that mail can be sent to."),
        "password_too_short": Code(422, "The password is too short."),
        "password_too_long": Code(422, "The password is too long."),
        "password_common": Code(422, "The password is one of those that are tried first."),
        "password_context": Code(422, "The password consists of words that belong to this service or account."),
        "too_many_attempts": Code(429, "Too many failed attempts; wait and try again."),
        "headers_too_large": Code(431, "The Cookie header is larger than 8 KiB."),
        # 5xx
        "internal_error": Code(500, "Something failed here; nothing was granted."),
        "overloaded": Code(503, "Too much is waiting; try again in a moment."),
        "store_unavailable": Code(503, "The store cannot be asked at the moment; nothing was granted."),
    }
)
"""Code → status and title. Codes are stable: a client may branch on them. docs/errors.md lists them."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An expected "no": a value, not an exception.

    `code` is a key of `CODES`. `detail` is a public sentence about this one occurrence (never a secret).
    `members` are further public members of the problem document, for example ``{"retry_after": 4}``.
    """

    code: str
    detail: str = ""
    members: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise ValueError(f"{self.code!r} is not a refusal code")

    @property
    def status(self) -> int:
        return CODES[self.code].status

    @property
    def title(self) -> str:
        return CODES[self.code].title


class FrontdeskError(Exception):
    """Base of every exception raised by Frontdesk. `code` is stable; `detail` is logged, never shown."""

    code: str = "internal_error"

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail


class ConfigurationError(FrontdeskError):
    """The desk cannot be built so. The message says what to do."""

    code = "configuration_invalid"


class TokenError(FrontdeskError):
    """A key, signature, header or claim set is refused. `code` says which rule; the message says it in words."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class StoreError(FrontdeskError):
    """The store could not be asked or did not acknowledge. It never means "not found" and never grants."""

    code = "store_unavailable"


class StoreBusyError(StoreError):
    """Another writer held the database for longer than the patience of this one."""


class StoreFullError(StoreError):
    """No space is left. The operation was rolled back whole."""


class StoreMissingError(StoreError):
    """The database file was deleted or replaced while the desk had it open."""


class StoreCorruptError(StoreError):
    """What was read is not what was written."""


class OverloadedError(FrontdeskError):
    """A bounded queue is full (password hashing, writes). Nothing was done; try again later."""

    code = "overloaded"


class RefusedError(FrontdeskError):
    """Carries a `Refusal` through code that can only raise, such as a framework's dependency."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.detail or refusal.title)
        self.code = refusal.code
        self.refusal = refusal
