"""What came along with a request: which credential, in which envelope, and what is wrong with it.

When `Authorization` is present it decides and our cookies are not looked at, also when it fails: a request says once
who it is. Reading is one pass over the raw header list; nothing is believed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from frontdesk.core.cookies import CookieNames, CookieNaming, Flaw, read
from frontdesk.core.credentials import REFRESH_PREFIX, SESSION_PREFIX
from frontdesk.core.discretion import Discreet
from frontdesk.core.sessions import Transport
from frontdesk.errors import Refusal

Headers = Sequence[tuple[bytes, bytes]]

_LONGEST_AUTHORIZATION: Final = 16 * 1024 + 16
_NAVIGATION: Final = frozenset({b"sec-fetch-mode", b"sec-fetch-dest", b"sec-purpose", b"purpose"})

_NOT_SIGNED_IN: Final = Refusal("not_signed_in")
_DUPLICATE: Final = Refusal("credential_duplicate")
_MALFORMED: Final = Refusal("credential_malformed")
_TOO_LARGE: Final = Refusal("headers_too_large")
_OTHER_KIND: Final = Refusal("credential_malformed", "This cookie does not carry credentials of this kind.")
_NOT_BEARER: Final = Refusal("credential_malformed", "The Authorization header must read: Bearer, a space, the token.")


class Presented(Discreet, msgspec.Struct, frozen=True, kw_only=True):
    """The credential of one request, not yet checked.

    `credential` is None when none is usable; `flaw` then says why. `refresh` is the refresh cookie, if it is in order.
    `by_cookie`: one of our cookies came and decides, so the request may be one that another site started.
    `names` are the cookie names in force for this request; `chosen` is that of the cookie that decides, if one does.
    """

    credential: bytes | None
    transport: Transport
    flaw: Refusal
    names: CookieNames
    refresh: bytes | Flaw | None = None
    by_cookie: bool = False
    chosen: bytes | None = None


def present(headers: Headers, scheme: str, naming: CookieNaming) -> Presented:
    """Read the header list of one request (names in lower case, values as they came)."""
    cookies: list[bytes] = []
    authorization: list[bytes] = []
    hosts: list[bytes] = []
    for name, value in headers:
        if name == b"cookie":
            cookies.append(value)
        elif name == b"authorization":
            authorization.append(value)
        elif name == b"host":
            hosts.append(value)
    names = naming.names(scheme, hosts[0] if len(hosts) == 1 else None)
    if authorization:
        return _of_authorization(authorization, names, cookies)
    return _of_cookies(cookies, names)


def bearer(headers: Headers) -> bytes | Refusal:
    """The credential in `Authorization`, or why there is none: for who looks at no cookies."""
    values = [value for name, value in headers if name == b"authorization"]
    return (_bearer_of(values) or _NOT_BEARER) if values else _NOT_SIGNED_IN


def _of_authorization(values: Sequence[bytes], names: CookieNames, cookies: Sequence[bytes]) -> Presented:
    if sum(map(len, cookies)) > 0 and read(cookies, ()).too_large:
        return Presented(credential=None, transport="bearer", flaw=_TOO_LARGE, names=names)
    token = _bearer_of(values)
    flaw = _NOT_BEARER if token is None else _NOT_SIGNED_IN
    return Presented(credential=token, transport="bearer", flaw=flaw, names=names)


def _bearer_of(values: Sequence[bytes]) -> bytes | None:
    scheme, _, token = values[0].partition(b" ")
    token = token.strip(b" ")
    if len(values) > 1 or scheme.lower() != b"bearer" or not token or len(token) > _LONGEST_AUTHORIZATION:
        return None
    return token


def bearer_fault(values: Sequence[bytes]) -> str:
    """Why these values of `Authorization` are no bearer credential, in words; "" for one that is."""
    scheme, space, token = values[0].partition(b" ")
    token = token.strip(b" ")
    if len(values) > 1:
        return "it came twice"
    if scheme.lower() != b"bearer" or not space:
        return "it does not begin with Bearer and a space"
    if not token:
        return "nothing follows on Bearer"
    return f"its token has more than {_LONGEST_AUTHORIZATION} octets" if len(token) > _LONGEST_AUTHORIZATION else ""


def _of_cookies(cookies: Sequence[bytes], names: CookieNames) -> Presented:
    reading = read(cookies, names.protected)
    if reading.too_large:
        return Presented(credential=None, transport="cookie", flaw=_TOO_LARGE, names=names, by_cookie=True)
    # The opaque session decides over a JWT: a sign-in deletes the cookies of the other kind, so both are rare.
    for name in (names.session, names.access):
        value = reading.get(name)
        if value is None:
            continue
        refresh = reading.get(names.refresh)
        flaw = _flaw_of(value, opaque=name == names.session)
        return Presented(
            credential=value if flaw is None and not isinstance(value, Flaw) else None,
            transport="cookie",
            flaw=flaw or _NOT_SIGNED_IN,
            names=names,
            refresh=refresh,
            by_cookie=True,
            chosen=name,
        )
    refresh = reading.get(names.refresh)
    return Presented(
        credential=None,
        transport="cookie",
        flaw=_NOT_SIGNED_IN,
        names=names,
        refresh=refresh,
        by_cookie=refresh is not None,
    )


def _flaw_of(value: bytes | Flaw, *, opaque: bool) -> Refusal | None:
    """What is wrong with the value of the session cookie (`opaque`) or the access cookie, each of its own kind only."""
    if isinstance(value, Flaw):
        return _DUPLICATE if value is Flaw.DUPLICATE else _MALFORMED
    if value.startswith(REFRESH_PREFIX) or value.startswith(SESSION_PREFIX) == opaque:
        return None  # a refresh token goes on: the refusal of who checks it says where it belongs
    return _OTHER_KIND


def is_navigation(method: str, headers: Headers) -> bool:
    """Whether a browser fetches a page for its top-level window (Fetch Metadata): the request to renew inline.

    What it fetches on speculation (`Sec-Purpose`, once `Purpose`) nobody may ever see: no session is used up for it.
    """
    if method != "GET":
        return False
    sent = {name: value for name, value in headers if name in _NAVIGATION}
    if b"sec-purpose" in sent or b"purpose" in sent:
        return False
    return sent.get(b"sec-fetch-mode") == b"navigate" and sent.get(b"sec-fetch-dest") == b"document"
