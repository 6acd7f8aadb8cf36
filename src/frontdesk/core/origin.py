"""May this request act with a cookie? Decided from `Sec-Fetch-Site`, `Origin` and `Host`.

SameSite does not answer that: a form on a sub-domain carries Lax and Strict cookies alike. What a page cannot forge is
what the browser says about it: `Sec-Fetch-Site` (W3C Fetch Metadata) and `Origin` (RFC 6454, RFC 6455 section 10.2).
The questions, in their order:

    method      1. GET, HEAD and OPTIONS change nothing: allowed
    fetch site  2. sent twice, or none of the four words: denied
                3. same-origin, none: allowed, whatever Origin says (a same-origin form under
                   `Referrer-Policy: no-referrer` sends `Origin: null`)
                4. same-site, cross-site: denied, unless Origin is one of those trusted by name
    origin      5. no fetch site, but an origin: allowed if it is Host or trusted by name, else denied
    neither     6. not a browser: allowed, unless a form of an old browser could have sent it

A WebSocket handshake is a GET with effects, whose answers other sites could read: there Origin must be present and
exact.

No path is exempt. A rule about paths is a second router, which disagrees with the first one about `//x`, `/x/` or
`/%78`. An endpoint that other sites may call ignores cookies, and then has nothing to ask here.

Ask for every request that may act with a cookie, and for sign-in, registration and refresh, which set one (login
CSRF). Do not ask for a request that carries `Authorization`: no other site can make a browser send that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from frontdesk.core.discretion import without_userinfo

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing here (RFC 9110 section 9.2.1; TRACE is not served). Case-sensitive."""

AllowedBy = Literal[
    "safe_method",
    "fetch_site_same_origin",
    "fetch_site_none",
    "origin_is_host",
    "origin_trusted",
    "not_a_browser",
]
DeniedBy = Literal[
    "fetch_site_repeated",
    "fetch_site_unknown",
    "fetch_site_same_site",
    "fetch_site_cross_site",
    "origin_repeated",
    "origin_null",
    "origin_malformed",
    "origin_differs",
    "origin_missing",
    "host_unusable",
    "form_without_origin",
    "content_type_unusable",
]
Header = Literal["sec-fetch-site", "origin", "host", "content-type"]
RestsOn = tuple[tuple[Header, tuple[bytes, ...]], ...]
"""The headers that were decisive, each with every value it came with (none: it was absent). They are what the client
sent: escape and shorten them before showing."""


class Authority(NamedTuple):
    """A host with its port: `host` is in lower case, IPv6 in brackets; `port` is None where none was written."""

    host: str
    port: int | None


@dataclass(frozen=True, slots=True)
class OriginHeaders:
    """The request headers that the decision reads, each with every value it came with."""

    sec_fetch_site: tuple[bytes, ...] = ()
    origin: tuple[bytes, ...] = ()
    host: tuple[bytes, ...] = ()
    content_type: tuple[bytes, ...] = ()

    @classmethod
    def pick(cls, headers: Iterable[tuple[bytes, bytes]]) -> OriginHeaders:
        """From a raw header list with names in lower case, as ASGI hands it over."""
        picked: dict[bytes, list[bytes]] = {}
        for name, value in headers:
            if name in _READ:
                picked.setdefault(name, []).append(value)
        return cls(
            sec_fetch_site=tuple(picked.get(b"sec-fetch-site", ())),
            origin=tuple(picked.get(b"origin", ())),
            host=tuple(picked.get(b"host", ())),
            content_type=tuple(picked.get(b"content-type", ())),
        )


@dataclass(frozen=True, slots=True)
class OriginPolicy:
    """What a deployment says about origins.

    trusted: other origins that may act here, each a full serialized origin (`https://app.example`), compared whole.
    strict: refuse requests that carry neither `Sec-Fetch-Site` nor `Origin`.
    scheme: the scheme under which browsers reach this deployment. None where it is not known, such as behind a proxy
        that ends TLS and does not say so: then `http://` and `https://` of the same host both count as this origin.

    An entry of `trusted` that no browser would send is a ValueError.
    """

    trusted: frozenset[str] = frozenset()
    strict: bool = False
    scheme: Literal["http", "https"] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "trusted", frozenset(self.trusted))
        for origin in self.trusted:
            if not is_serialized_origin(origin):
                shown = without_userinfo(origin)
                raise ValueError(f"{shown!r} is not an origin as browsers write it, like 'https://app.example'")
        if self.scheme not in {None, "http", "https"}:
            raise ValueError(f"scheme is 'http', 'https' or None, not {self.scheme!r}")


@dataclass(frozen=True, slots=True)
class Allowed:
    """The request may act with a cookie."""

    reason: AllowedBy
    rests_on: RestsOn = ()


@dataclass(frozen=True, slots=True)
class Denied:
    """The request may not act with a cookie: 403 `cross_origin`."""

    reason: DeniedBy
    rests_on: RestsOn = ()


_READ: Final = frozenset({b"sec-fetch-site", b"origin", b"host", b"content-type"})
_FORM_TYPES: Final = frozenset({b"application/x-www-form-urlencoded", b"multipart/form-data", b"text/plain"})
_DEFAULT_PORT: Final = {"http": 80, "https": 443}
_SAFE: Final = Allowed("safe_method")
_HOST = r"(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])"
_ORIGIN: Final = re.compile(rf"([a-z][a-z0-9+.-]*)://{_HOST}(?::([1-9][0-9]{{0,4}}))?")
_AUTHORITY: Final = re.compile(rf"({_HOST})(?::([0-9]{{0,5}}))?")
_LONGEST: Final = 300  # a DNS name is at most 253 characters
_TYPE_OCTETS: Final = b"abcdefghijklmnopqrstuvwxyz0123456789!#$&-^_.+/"  # RFC 6838 section 4.2
_OCTETS: Final = frozenset(map(str, range(256)))


def check(
    method: str,
    headers: OriginHeaders,
    *,
    policy: OriginPolicy,
    websocket: bool = False,
    effects: bool = False,
) -> Allowed | Denied:
    """Decide for one request.

    `method` as received. `websocket`: this is a WebSocket handshake. `effects`: this endpoint changes something
    although its method is a safe one. The caller answers `Denied` with 403 `cross_origin` and looks at no cookie.
    """
    if websocket:
        return _of_websocket(headers, policy)
    safe = method in SAFE_METHODS
    if safe and not effects:
        return _SAFE
    if headers.sec_fetch_site:
        return _of_fetch_site(headers, policy)
    if headers.origin:
        return _of_origin(headers, policy)
    if safe or policy.strict:
        # Browsers send no Origin with a GET, so its absence says nothing about who started one with effects.
        return Denied("origin_missing", _sent(headers, "sec-fetch-site", "origin"))
    return _of_neither(headers)


def _of_fetch_site(headers: OriginHeaders, policy: OriginPolicy) -> Allowed | Denied:
    site = _fetch_site(headers)
    if isinstance(site, Denied):
        return site
    if site == b"same-origin":
        return Allowed("fetch_site_same_origin", _sent(headers, "sec-fetch-site"))
    if site == b"none":
        # Nothing but the person started it: the address bar, a bookmark, a form sent again after a reload.
        return Allowed("fetch_site_none", _sent(headers, "sec-fetch-site"))
    rests_on = _sent(headers, "sec-fetch-site", "origin")
    if _trusted(headers, policy):
        return Allowed("origin_trusted", rests_on)
    # Same-site is another origin: whoever controls one sub-domain must not act on the others.
    return Denied("fetch_site_same_site" if site == b"same-site" else "fetch_site_cross_site", rests_on)


def _fetch_site(headers: OriginHeaders) -> bytes | Denied:
    """The one word of `Sec-Fetch-Site`, which must be there. An empty value is no word: no browser sends that."""
    if len(headers.sec_fetch_site) > 1:
        return Denied("fetch_site_repeated", _sent(headers, "sec-fetch-site"))
    site = headers.sec_fetch_site[0].strip(b" \t")
    if site not in {b"same-origin", b"none", b"same-site", b"cross-site"}:
        return Denied("fetch_site_unknown", _sent(headers, "sec-fetch-site"))
    return site


def _of_websocket(headers: OriginHeaders, policy: OriginPolicy) -> Allowed | Denied:
    # Every browser must send Origin with a handshake (RFC 6455 section 4.1), Sec-Fetch-Site only some do. A client that
    # is not a browser sets Origin or authenticates by Authorization.
    if not headers.origin:
        return Denied("origin_missing", _sent(headers, "origin"))
    decision = _of_origin(headers, policy)
    if not headers.sec_fetch_site or isinstance(decision, Denied):
        return decision
    by_site = _of_fetch_site(headers, policy)
    return by_site if isinstance(by_site, Denied) else decision


def _of_origin(headers: OriginHeaders, policy: OriginPolicy) -> Allowed | Denied:
    rests_on = _sent(headers, "origin", "host")
    if len(headers.origin) > 1:
        return Denied("origin_repeated", rests_on)
    origin = headers.origin[0].strip(b" \t").decode("latin-1")
    if origin == "null":
        return Denied("origin_null", rests_on)
    # The whole serialization is judged, never a parsed part of it: `https://x@victim` parses to the host victim.
    if not is_serialized_origin(origin):
        return Denied("origin_malformed", rests_on)
    if origin in policy.trusted:
        return Allowed("origin_trusted", rests_on)
    host = parse_authority(headers.host[0]) if len(headers.host) == 1 else None
    if host is None:
        return Denied("host_unusable", rests_on)
    if policy.scheme is not None:
        own: tuple[str, ...] = (serialize_origin(policy.scheme, host),)
    else:
        # Fail open: where TLS ends at a proxy that does not say so, the scheme cannot be known here. What it lets
        # through is a page of the same host over plain http, which HSTS keeps from loading.
        own = (serialize_origin("https", host), serialize_origin("http", host))
    return Allowed("origin_is_host", rests_on) if origin in own else Denied("origin_differs", rests_on)


def _of_neither(headers: OriginHeaders) -> Allowed | Denied:
    rests_on = _sent(headers, "sec-fetch-site", "origin", "content-type")
    if not headers.content_type:
        # Fail open: curl and other programs send POST without a body. Every browser of this decade sends Origin with
        # POST, PUT, PATCH and DELETE, and a form, even an empty one, declares its type.
        return Allowed("not_a_browser", rests_on)
    if len(headers.content_type) > 1:
        return Denied("content_type_unusable", rests_on)
    essence = headers.content_type[0].partition(b";")[0].strip(b" \t").lower()
    if essence in _FORM_TYPES:
        return Denied("form_without_origin", rests_on)
    kind, slash, subtype = essence.partition(b"/")
    if not (slash and kind and subtype) or essence.translate(None, _TYPE_OCTETS):
        # Whatever a browser may make of it, it must not end in the branch below.
        return Denied("content_type_unusable", rests_on)
    # Fail open: programs that speak JSON send neither header. From another site a browser of any age asks first
    # (CORS preflight) before it sends a type that is none of the three of forms.
    return Allowed("not_a_browser", rests_on)


def _trusted(headers: OriginHeaders, policy: OriginPolicy) -> bool:
    return len(headers.origin) == 1 and headers.origin[0].strip(b" \t").decode("latin-1") in policy.trusted


def _sent(headers: OriginHeaders, *names: Header) -> RestsOn:
    values = {
        "sec-fetch-site": headers.sec_fetch_site,
        "origin": headers.origin,
        "host": headers.host,
        "content-type": headers.content_type,
    }
    return tuple((name, values[name]) for name in names)


def is_serialized_origin(value: str) -> bool:
    """Is this an origin exactly as a browser serializes it (RFC 6454 section 6.2)?

    Scheme, host and, if it is not the scheme's default, port, all in lower case; nothing else. `null` is not one, nor
    is anything with userinfo, a path, a trailing dot or characters beyond ASCII.
    """
    match = _ORIGIN.fullmatch(value) if len(value) <= _LONGEST else None
    if match is None:
        return False
    scheme, port = match.groups()
    return port is None or (int(port) <= 65535 and _DEFAULT_PORT.get(scheme) != int(port))


def serialize_origin(scheme: str, host: Authority) -> str:
    """The origin of `scheme` at `host`, as browsers write it: the scheme's default port is left out."""
    if host.port is None or host.port == _DEFAULT_PORT.get(scheme):
        return f"{scheme}://{host.host}"
    return f"{scheme}://{host.host}:{host.port}"


def parse_authority(host: bytes) -> Authority | None:
    """The `Host` header (RFC 9110 section 7.2) taken apart; None for anything but `host` or `host:port`.

    Refused: userinfo, a path, an empty label (so a trailing dot too), percent-encoding, anything beyond ASCII.
    """
    match = _AUTHORITY.fullmatch(host.decode("latin-1").lower()) if len(host) <= _LONGEST else None
    if match is None:
        return None
    name, digits = match.groups()
    port = int(digits) if digits else None
    return None if port is not None and not 0 < port <= 65535 else Authority(name, port)


def is_loopback(host: str) -> bool:
    """Does this host name this machine only: `localhost`, `*.localhost` (RFC 6761), `127.0.0.0/8`, `[::1]`?

    `host` is in lower case and without a port, as in `Authority`. Other spellings of the same addresses (`127.1`,
    `[0:0:0:0:0:0:0:1]`, a trailing dot) are not recognised: browsers rewrite them before they send a Host header.
    """
    if host in {"localhost", "[::1]"} or host.endswith(".localhost"):
        return True
    numbers = host.split(".")
    return len(numbers) == 4 and numbers[0] == "127" and all(number in _OCTETS for number in numbers)


def leads_to_loopback(host: str) -> bool:
    """`is_loopback` of a host as settings and parsed URLs have it: in any case, an IPv6 address without brackets."""
    return is_loopback(f"[{host}]" if ":" in host else host.lower())
