"""Codes, devices and times in the words of a person."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from frontdesk.core.sessions import CredentialKind
from frontdesk.errors import Refusal

_SENTENCES: Final[Mapping[str, str]] = {
    "body_too_large": "What was sent is too large.",
    "body_not_parseable": "The form could not be read. Please fill it in again.",
    "content_type_unsupported": "The form could not be read. Please fill it in again.",
    "host_unknown": "This desk does not serve the address in your browser's address bar.",
    "cross_origin": "The request came from another website, so nothing was done. "
    "If it was you, open this page yourself and try again.",
    "invalid_credentials": "The e-mail address or the password is not right.",
    "email_invalid": "This is not an e-mail address that mail can be sent to.",
    "email_taken": "There is already an account with this address.",
    "password_common": "This password is one of those that are guessed first. Please choose another.",
    "password_context": "This password is too close to your address or to the name of this service.",
    "password_too_long": "This password is too long. 1,024 characters is the limit.",
    "credential_not_allowed": "This way of signing in is not offered here.",
    "session_ended": "You were signed out everywhere while this was under way. Please sign in again.",
    "claims_too_large": "Your account carries more than fits into a credential. Choose another credential below.",
    "overloaded": "Many people are signing in at the moment. Please try again shortly.",
    "store_unavailable": "We cannot reach our records at the moment. Nothing was changed. Please try again shortly.",
    "session_not_found": "This device is not signed in to your account.",
    "not_found": "There is no page at this address.",
    "method_not_allowed": "This address is not a page. It only takes what a form sends.",
    "headers_too_large": "Your browser sent more cookies than can be read. They have been cleared for this site; "
    "open the page again.",
}

_NOTICES: Final[Mapping[str, str]] = {
    "session_ended": "You have been signed out, here or from another device.",
    "session_expired": "Your last sign-in has reached its time limit. Please sign in again.",
    "session_idle": "You have not been here for a while, so you were signed out.",
    "session_replaced": "A newer sign-in took the place of this one. Please sign in again.",
    "refresh_reused": "Two parties used the same sign-in, so it was ended to be safe. Please sign in again.",
    "store_rolled_back": "Your last sign-in was lost on our side. Please sign in again.",
    "token_expired": "Your last sign-in has expired. Please sign in again.",
    "credential_invalid": "Your last sign-in is not known here any more. Please sign in again.",
    "credential_malformed": "Your browser sent a sign-in that was not issued here, so it was not used.",
    "credential_duplicate": "Your browser sent two sign-ins at once, so neither was believed. "
    "If this stays, clear the cookies of this site.",
    "transport_mismatch": "Your browser sent a sign-in that was made for another kind of client.",
    "store_unavailable": "We cannot reach our records at the moment, so we cannot tell who you are.",
    "overloaded": "There is too much to do at the moment, so we cannot tell who you are.",
}

_DONE: Final[Mapping[str, str]] = {
    "device-ended": "That device has been signed out.",
    "device-gone": "That device was already signed out.",
    "signed-out": "You are signed out on this device.",
    "others-ended": "All other devices have been signed out.",
}

_BROWSERS: Final = (
    # The first that is found decides: nearly every browser also claims to be Safari, and most to be Chrome.
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chromium/", "Chromium"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
    ("python-", "A Python program"),
)
_SYSTEMS: Final = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("CrOS", "ChromeOS"),
    ("Macintosh", "Mac"),
    ("Linux", "Linux"),
)
_HANDHELD: Final = frozenset({"iPhone", "iPad", "Android"})


class DeviceName(NamedTuple):
    """What a User-Agent header says, as far as it can be believed. `kind` chooses the icon."""

    name: str
    kind: str


def sentence(refusal: Refusal, *, min_length: int = 0) -> str:
    """Why something was refused, said to a person."""
    if refusal.code == "password_too_short":
        return f"Please use at least {refusal.members.get('min_length', min_length)} characters. A few words will do."
    if refusal.code == "too_many_attempts":
        return f"There were too many failed attempts. Please try again in {_wait(refusal)}."
    return _SENTENCES.get(refusal.code) or refusal.detail or refusal.title


def notice(refusal: Refusal) -> str:
    """What a visitor whose sign-in no longer counts should know; "" for one who simply has none."""
    return _NOTICES.get(refusal.code, "")


def done(code: str | None) -> str:
    """What the page before has done; "" for anything unknown, since the address bar can say what it likes."""
    return _DONE.get(code or "", "")


def device_name(user_agent: str) -> DeviceName:
    """A device in words, such as «Firefox on Linux»."""
    browser = next((name for mark, name in _BROWSERS if mark in user_agent), "")
    system = next((name for mark, name in _SYSTEMS if mark in user_agent), "")
    kind = "phone" if system in _HANDHELD else "computer" if system else "terminal"
    if browser and system:
        return DeviceName(f"{browser} on {'an ' if system.startswith('iP') else ''}{system}", kind)
    return DeviceName(browser or system or "An unknown device", kind)


def ago(moment: datetime, now: datetime) -> str:
    """How long ago, roughly. Moments ahead of `now`, by a clock that was set back, count as now."""
    return f"{text} ago" if (text := span(now - moment)) else "just now"


def ahead(moment: datetime, now: datetime) -> str:
    """How far ahead, roughly."""
    return f"in {text}" if (text := span(moment - now)) else "now"


def span(duration: timedelta) -> str:
    """A duration in its largest unit; "" under a minute."""
    minutes = duration // timedelta(minutes=1)
    for unit, size in (("day", 1440), ("hour", 60), ("minute", 1)):
        if (count := minutes // size) > 0:
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return ""


def day(moment: datetime) -> str:
    """The day of a moment, in UTC."""
    return f"{moment.day} {moment:%B %Y}"


def stamp(moment: datetime) -> str:
    """A moment in UTC, for those who want to know exactly."""
    return f"{day(moment)}, {moment:%H:%M} UTC"


def _wait(refusal: Refusal) -> str:
    seconds = refusal.members.get("retry_after")
    if not isinstance(seconds, int):
        return "a while"
    if seconds < 60:
        return f"{seconds} second{'' if seconds == 1 else 's'}"
    # Rounded up: whoever waits as long as was said gets in.
    return span(timedelta(minutes=-(-seconds // 60)))


class CredentialWords(NamedTuple):
    """A credential for people: its name, "one of it", what its cookie holds, how it is checked."""

    name: str
    one: str
    carries: str
    checked: str


_CREDENTIALS: Final[Mapping[CredentialKind, CredentialWords]] = {
    "session": CredentialWords(
        "Session", "a session", "The cookie holds a number; the desk looks you up.", "looked up at the desk"
    ),
    "jwt": CredentialWords(
        "JWT",
        "a JWT",
        "The cookie holds a signed card that is renewed as you go.",
        "signed, and checked with the desk",
    ),
    "jwe": CredentialWords(
        "Encrypted JWT",
        "an encrypted JWT",
        "The cookie holds a sealed card that nobody but the desk can read.",
        "sealed, and checked with the desk",
    ),
}


def credential(kind: CredentialKind) -> CredentialWords:
    """How a credential is called on the pages."""
    return _CREDENTIALS[kind]
