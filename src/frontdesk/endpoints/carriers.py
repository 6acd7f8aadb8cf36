"""How credentials travel back: which cookies are set and what stands in the body."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from frontdesk.core.cookies import CookieChanges, CookieNames
from frontdesk.core.sessions import Session
from frontdesk.endpoints.http import members
from frontdesk.service.refresh import Refreshed
from frontdesk.service.sign_in import Signed
from frontdesk.service.tokens import AccessToken

_SECOND: Final = timedelta(seconds=1)


def signed_cookies(signed: Signed, names: CookieNames, now: datetime, *, came: Collection[bytes] = ()) -> CookieChanges:
    """The cookies of a sign-in.

    `came` are our cookies that came along: their sessions were replaced, so those that are not set anew go.
    """
    session = signed.session
    writer = _Writer(session, names, now)
    changes = CookieChanges()
    for name in names.protected:
        if name in came:
            changes = changes.delete(name, names.attributes)
    if session.transport == "cookie":
        if signed.session_token is not None:
            changes = writer.set(changes, names.session, signed.session_token)
        elif signed.access_token is not None:
            changes = writer.set(changes, names.access, signed.access_token.text)
    if signed.refresh_token is not None and session.refresh_in == "cookie":
        changes = writer.set(changes, names.refresh, signed.refresh_token)
    return changes


def refreshed_cookies(refreshed: Refreshed, names: CookieNames, now: datetime) -> CookieChanges:
    """The cookies of a refresh: the new access token, and the refresh token when one was minted."""
    session = refreshed.session
    writer = _Writer(session, names, now)
    changes = CookieChanges()
    if session.transport == "cookie":
        changes = writer.set(changes, names.access, refreshed.access_token.text)
    if refreshed.refresh_token is not None and session.refresh_in == "cookie":
        changes = writer.set(changes, names.refresh, refreshed.refresh_token)
    return changes


def deleted_cookies(names: CookieNames) -> CookieChanges:
    """All three go: the answer to a log-out."""
    changes = CookieChanges()
    for name in names.protected:
        changes = changes.delete(name, names.attributes)
    return changes


def signed_body(signed: Signed) -> Mapping[str, object]:
    """What a sign-in answers. A credential that travels in a cookie is never in the body (ASVS 3.3.4)."""
    return _body(signed.session, signed.session_token, signed.access_token, signed.refresh_token)


def refreshed_body(refreshed: Refreshed) -> Mapping[str, object]:
    """What a refresh answers: the shape of a sign-in."""
    return _body(refreshed.session, None, refreshed.access_token, refreshed.refresh_token)


def _body(
    session: Session,
    session_token: str | None,
    access_token: AccessToken | None,
    refresh_token: str | None,
) -> Mapping[str, object]:
    bearer = session.transport == "bearer"
    shown = session_token or (access_token.text if access_token is not None else None)
    return members(
        subject=session.subject,
        session=session.id,
        access_token=shown if bearer else None,
        token_type="Bearer" if bearer and shown else None,
        expires_in=access_token.lifetime // _SECOND if access_token is not None else None,
        refresh_token=refresh_token if session.refresh_in == "body" else None,
    )


class _Writer(NamedTuple):
    """Sets cookies of one session. When it is not remembered they end with the browser; its own limits stand."""

    session: Session
    names: CookieNames
    now: datetime

    def set(self, changes: CookieChanges, name: bytes, value: str) -> CookieChanges:
        max_age = max(self.session.expires_at - self.now, _SECOND) if self.session.remember else None
        return changes.set(name, value, self.names.attributes, max_age=max_age)
