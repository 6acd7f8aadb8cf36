"""An explanation: why a request passes or fails, as an ordered list of facts and one verdict. Records only.

The facts are gathered by whoever decides (`service.explaining`, `endpoints.explaining`), with the functions that decide
requests. None of them holds a secret: no credential, no tag, no salt, no value of a cookie. What a client sent and is
shown (names of cookies, headers that the origin decision rests on) goes through `shown`: escaped and cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, Literal

import msgspec

from frontdesk.core.discretion import without_credentials
from frontdesk.errors import CODES

Value = str | int | float | bool | tuple[str, ...]
Verdict = Literal["allowed", "refused"]

ALLOWED: Final = "allowed"
"""The code of a verdict that is no refusal."""

LONGEST_SHOWN: Final = 80
"""Characters of anything that a client sent and is shown; its escapes counted in."""

_COOKIES: Final = "explain.md#cookies"
_ORIGIN: Final = "explain.md#the-origin"
_CREDENTIAL: Final = "explain.md#the-credential"
_SESSION: Final = "explain.md#the-session"
_REVOCATION: Final = "revocation.md#how-it-works"
_ROTATION: Final = "rotation.md#the-rule"
_POLICY: Final = "explain.md#the-route"
_CONTENT: Final = "explain.md#the-body"

LINKS: Final[Mapping[str, str]] = MappingProxyType(
    {
        # The request
        "host_served": "settings.md#where-it-listens-and-what-it-is-called",
        "host_not_served": "errors.md#host_unknown",
        "request_as_asked": "explain.md#asking",
        # What came along
        "authorization_decides": "http.md#rules-worth-knowing",
        "authorization_malformed": "errors.md#credential_malformed",
        "cookies_absent": _COOKIES,
        "cookies_not_read": "http.md#rules-worth-knowing",
        "cookies_too_large": "errors.md#headers_too_large",
        "cookie_used": _COOKIES,
        "cookie_refresh": _COOKIES,
        "cookie_passed_over": _COOKIES,
        "cookie_duplicate": "errors.md#credential_duplicate",
        "cookie_value_malformed": "errors.md#credential_malformed",
        "cookie_of_other_kind": "http.md#credential-and-transport",
        "cookie_prefix_impossible": _COOKIES,
        "cookie_of_another_port": "http.md#credential-and-transport",
        "cookie_wrong_name": _COOKIES,
        "cookie_foreign": _COOKIES,
        "cookie_nameless": _COOKIES,
        "cookies_not_shown": _COOKIES,
        "credential_absent": "errors.md#not_signed_in",
        # Where it came from
        "origin_not_asked": _ORIGIN,
        "origin_allowed": _ORIGIN,
        "origin_denied": "errors.md#cross_origin",
        # What was sent
        "content_unknown": _CONTENT,
        "content_read": _CONTENT,
        "content_too_large": "errors.md#body_too_large",
        "content_type_wrong": "errors.md#content_type_unsupported",
        "content_not_json": "errors.md#body_not_parseable",
        "content_shape_wrong": "errors.md#body_invalid",
        "address_unusable": "errors.md#email_invalid",
        "password_refused": _CONTENT,
        "registration_usable": _CONTENT,
        "hashing_full": "errors.md#overloaded",
        "account_found": "errors.md#email_taken",
        "account_absent": "errors.md#invalid_credentials",
        "account_not_told": _CONTENT,
        "attempts_used_up": "errors.md#too_many_attempts",
        "attempts_left": _CONTENT,
        "password_not_looked_at": _CONTENT,
        "carriage_offered": "http.md#credential-and-transport",
        "carriage_refused": "errors.md#credential_not_allowed",
        "carriage_too_large": "errors.md#claims_too_large",
        "refresh_token_twice": "errors.md#credentials_ambiguous",
        "target_named": _CONTENT,
        "target_unknown": "errors.md#session_not_found",
        # The credential
        "credential_kind": "http.md#credential-and-transport",
        "credential_form_unknown": "errors.md#credential_malformed",
        "credential_authentic": _CREDENTIAL,
        "credential_not_authentic": "errors.md#credential_invalid",
        "credential_misplaced": _CREDENTIAL,
        "credential_not_offered": "settings.md#credentials-and-sessions",
        "token_valid": "http.md#access-tokens",
        "token_over": "errors.md#token_expired",
        "envelope_right": "http.md#rules-worth-knowing",
        "envelope_wrong": "errors.md#transport_mismatch",
        "service_known": "http.md#for-services",
        "service_refused": "http.md#for-services",
        # What was known
        "freshness": "settings.md#how-far-behind-it-may-be",
        "revocation_index": _REVOCATION,
        "answered_from": "explain.md#cache-or-store",
        "store_failed": "errors.md#store_unavailable",
        "fault_met": "errors.md#internal_error",
        # The session
        "session_found": _SESSION,
        "session_gone": "errors.md#session_ended",
        "session_over": "errors.md#session_ended",
        "session_revoked": _REVOCATION,
        "generation": _ROTATION,
        "limit_idle": "errors.md#session_idle",
        "limit_absolute": "errors.md#session_expired",
        "refresh_foreseen": _ROTATION,
        "renewed_on_the_way_in": "http.md#rules-worth-knowing",
        # The route
        "route_missing": "errors.md#not_found",
        "route_method": "errors.md#method_not_allowed",
        "policy_open": _POLICY,
        "policy_unknown": _POLICY,
        "policy_protected": "applications.md#protected-by-default",
        "policy_signed_in": _POLICY,
        "policy_roles": "errors.md#role_missing",
        "policy_scope": "errors.md#scope_missing",
        "policy_fresh": "errors.md#step_up_required",
    }
)
"""Every code of a fact, and where the documentation explains it. Codes are stable."""


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was found. `decided`: it is what the verdict rests on. `link` is a path in the documentation."""

    code: str
    sentence: str
    values: Mapping[str, Value] = {}
    decided: bool = False

    def __post_init__(self) -> None:
        if self.code not in LINKS:
            raise ValueError(f"{self.code!r} is not the code of a fact")

    @property
    def link(self) -> str:
        return LINKS[self.code]

    def members(self) -> dict[str, Any]:
        """The fact as it stands in a JSON answer."""
        return {
            "code": self.code,
            "sentence": self.sentence,
            "values": dict(self.values),
            "link": self.link,
            "decided": self.decided,
        }


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request passes or fails. `code` is `allowed`, or that of the refusal; `facts` in the order of deciding."""

    code: str
    facts: tuple[Fact, ...] = ()

    def __post_init__(self) -> None:
        if self.code != ALLOWED and self.code not in CODES:
            raise ValueError(f"{self.code!r} is no verdict")

    @property
    def verdict(self) -> Verdict:
        return "allowed" if self.code == ALLOWED else "refused"

    @property
    def is_allowed(self) -> bool:
        return self.code == ALLOWED

    @property
    def deciding(self) -> Fact | None:
        """The fact that the verdict rests on; None where the facts are not told."""
        return next((fact for fact in self.facts if fact.decided), None)

    def members(self) -> dict[str, Any]:
        """The explanation as a JSON answer, facts included."""
        return {**self.for_strangers(), "facts": [fact.members() for fact in self.facts]}

    def for_strangers(self) -> dict[str, Any]:
        """What everybody may know: the request itself would have said as much."""
        return {"verdict": self.verdict, "code": self.code}


def fact(code: str, sentence: str, *, decided: bool = False, **values: Value | datetime | None) -> Fact:
    """A fact; values that are None are left out, moments are written as ISO 8601."""
    kept: dict[str, Value] = {}
    for name, value in values.items():
        if isinstance(value, datetime):
            kept[name] = value.isoformat(timespec="seconds").replace("+00:00", "Z")
        elif value is not None:
            kept[name] = value
    return Fact(code=code, sentence=sentence, values=kept, decided=decided)


def shown(sent: bytes | str) -> str:
    """What a client sent, fit to be shown: printable, at most `LONGEST_SHOWN` characters, and nothing in it that looks
    like a credential."""
    text = sent.decode("latin-1") if isinstance(sent, bytes) else sent
    text = without_credentials(text[: 8 * LONGEST_SHOWN])
    # Everything beyond ASCII is escaped too: \xa0 is to be seen for what it is.
    escaped = "".join(char if " " <= char <= "~" else char.encode("unicode_escape").decode() for char in text)
    return escaped if len(escaped) <= LONGEST_SHOWN else escaped[: LONGEST_SHOWN - 3] + "..."
