"""Audit events: what happened to sessions and accounts, as frozen records (ASVS 16.3.1).

An event never holds a credential, a password or an e-mail address; `subject` and `session_id` are public ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of all events. `name` is stable."""

    name: ClassVar[str] = "event"
    at: datetime
    realm: str
    address: str = ""

    def record(self) -> Mapping[str, object]:
        """The event as flat members for a structured log."""
        members = {field.name: getattr(self, field.name) for field in fields(self)}
        return {"event": self.name, **members, "at": self.at.isoformat()}


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn(Event):
    """A session was created."""

    name: ClassVar[str] = "signed_in"
    subject: str
    session_id: str
    credential: str
    transport: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInRefused(Event):
    """A sign-in with a password was refused. `subject` is empty when no account has the address."""

    name: ClassVar[str] = "sign_in_refused"
    code: str
    subject: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered(Event):
    """An account was created."""

    name: ClassVar[str] = "registered"
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRemoved(Event):
    """An account was deleted, and all sessions of its subject ended with it, as `revoked`."""

    name: ClassVar[str] = "account_removed"
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEnded(Event):
    """A session ended; `reason` is an `EndReason`."""

    name: ClassVar[str] = "session_ended"
    session_id: str
    subject: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectRevoked(Event):
    """All sessions of a subject ended."""

    name: ClassVar[str] = "subject_revoked"
    subject: str
    sessions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RealmRevoked(Event):
    """All sessions of everybody ended; they have no events of their own. `reason` is an `EndReason`."""

    name: ClassVar[str] = "realm_revoked"
    sessions: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refreshed(Event):
    """A refresh token was presented; `outcome` is one of `core.rotation.Outcome`.

    `reissued`, `recovered` and `reused` deserve a look: a lost reply, a store that lost a write, two holders.
    """

    name: ClassVar[str] = "refreshed"
    session_id: str
    subject: str
    outcome: str
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpentTokenExplained(Event):
    """Somebody had a request explained that shows a spent refresh token: two parties hold the session. Presenting the
    token would end it; explaining ends nothing, so the session goes on."""

    name: ClassVar[str] = "spent_token_explained"
    session_id: str
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyChanged(Event):
    """A key of access tokens has another state; `compromised` means that it was given up."""

    name: ClassVar[str] = "key_changed"
    key_id: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAdded(Event):
    """Another program got a credential, good for `scopes`."""

    name: ClassVar[str] = "service_added"
    service: str
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRemoved(Event):
    """The credential of a program is refused from now on."""

    name: ClassVar[str] = "service_removed"
    service: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokedByService(Event):
    """A program with the scope `revoke` has ended something; what ended has events of its own before this one.

    `kind` is one of session, subject, key, all; `target` the id that it named, "" for all.
    """

    name: ClassVar[str] = "revoked_by_service"
    service: str
    kind: str
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateCookie(Event):
    """A protected cookie name came twice: somebody may be planting cookies from a sub-domain."""

    name: ClassVar[str] = "duplicate_cookie"


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossOriginRefused(Event):
    """An unsafe request from another site was refused."""

    name: ClassVar[str] = "cross_origin_refused"
    origin: str
    path: str
