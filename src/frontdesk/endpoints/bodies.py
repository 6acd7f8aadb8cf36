"""Reading and declaring bodies: strict JSON of a declared shape, or a refusal that says which rule was broken."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal, TypeVar

import msgspec

from frontdesk.core.discretion import Discreet
from frontdesk.endpoints.http import BODY_LIMIT, Request
from frontdesk.errors import Refusal, TokenError
from frontdesk.jose import strictjson

Body = TypeVar("Body", bound=msgspec.Struct)

_TOO_LARGE: Final = Refusal("body_too_large")
_NOT_JSON: Final = Refusal("content_type_unsupported")


class RegisterBody(Discreet, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An address and a password."""

    email: str
    password: str


class LoginBody(Discreet, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An address and a password, and how the session is to be carried."""

    email: str
    password: str
    credential: str | None = None
    transport: str | None = None
    refresh_in: Literal["cookie", "body"] | None = None
    remember: bool = True


class RefreshBody(Discreet, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A refresh token, where it does not travel in a cookie."""

    refresh_token: str | None = None


class Registered(msgspec.Struct, frozen=True):
    """The subject of the new account."""

    subject: str


class SignedIn(Discreet, msgspec.Struct, frozen=True, omit_defaults=True):
    """A sign-in or refresh. Members that do not apply are absent."""

    subject: str
    session: str
    access_token: str = ""
    token_type: str = ""
    expires_in: int = 0
    refresh_token: str = ""


class Me(msgspec.Struct, frozen=True):
    """The principal of the request."""

    subject: str
    session_id: str
    auth_time: datetime
    amr: tuple[str, ...]
    scope: tuple[str, ...]
    roles: tuple[str, ...]
    claims: dict[str, Any]
    credential: str
    realm: str


class Device(msgspec.Struct, frozen=True):
    """One of my sessions. `current` is the one that asks."""

    id: str
    current: bool
    credential: str
    transport: str
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    device: str
    address: str


class Devices(msgspec.Struct, frozen=True):
    """My sessions, newest first."""

    sessions: tuple[Device, ...]


class SessionsEnded(msgspec.Struct, frozen=True):
    """How many sessions ended."""

    ended: int


class RevokeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to end, exactly one of: a session, a subject's sessions, a key's access tokens, everybody's sessions."""

    session: str | None = None
    subject: str | None = None
    key: str | None = None
    all: bool = False


class RevocationEntry(msgspec.Struct, frozen=True):
    """One line of the revocation log as other services see it.

    `target` stands for what ended: of a `session` or `subject` the digest (`core.revocation.target_digest`), of a `key`
    its id, of `all` nothing. `epoch`: for `subject` and `all` the first that is good again.
    """

    number: int
    kind: Literal["session", "subject", "key", "all"]
    target: str
    epoch: int
    expires_at: datetime


class Revocations(msgspec.Struct, frozen=True):
    """What the log holds after a cursor. `cursor` is to be asked with next; from another `history` on, ask with 0.

    There is more at once where `cursor` is below `head`. A `head` below the cursor that was asked with: the log has
    gone back. `store_time` is the moment of the answer. `realm` is part of every digest: who computes them for another
    would find none. `issuer` is the `iss` of the access tokens that the log is about.
    """

    issuer: str
    realm: str
    history: str
    cursor: int
    head: int
    store_time: datetime
    entries: tuple[RevocationEntry, ...]


class ExplainedFact(msgspec.Struct, frozen=True):
    """One fact of an explanation. `decided`: the verdict rests on it. `link`: a path in the documentation."""

    code: str
    sentence: str
    values: dict[str, str | int | float | bool | tuple[str, ...]]
    link: str
    decided: bool


class Explained(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a request passes or fails. `code`: `allowed`, or that of the refusal. `facts` are absent for strangers."""

    verdict: Literal["allowed", "refused"]
    code: str
    facts: tuple[ExplainedFact, ...] | msgspec.UnsetType = msgspec.UNSET


class KeySetBody(msgspec.Struct, frozen=True):
    """A JWK Set (RFC 7517)."""

    keys: tuple[dict[str, Any], ...]


class Health(msgspec.Struct, frozen=True):
    """Whether the desk can answer. `lag` in seconds: how far behind this node's picture of the revocations may be; 0
    where the store is asked for every request, absent before the first picture."""

    status: str
    store: str
    ready: bool
    lag: float | msgspec.UnsetType = msgspec.UNSET


class Problem(msgspec.Struct, frozen=True):
    """A problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    code: str
    detail: str = ""


def read_json(request: Request, shape: type[Body]) -> Body | Refusal:
    """The body as `shape`.

    413 over 64 KiB, 415 not declared as JSON, 400 not strict JSON (duplicate members included), 422 another shape.
    A request without a body needs no content type and counts as an empty object.
    """
    if request.is_overlong or len(request.body) > BODY_LIMIT:
        return _TOO_LARGE
    if not request.body:
        document: dict[str, Any] = {}
    elif request.media_type != "application/json":
        return _NOT_JSON
    else:
        try:
            document = strictjson.parse(request.body, code="body_not_parseable")
        except TokenError as error:
            return Refusal("body_not_parseable", error.message)
    try:
        return msgspec.convert(document, shape)
    except msgspec.ValidationError as error:
        return Refusal("body_invalid", str(error))
