"""Cookie jars as curl and browsers' exporters write them (the Netscape format), and which cookies of one go where."""

from __future__ import annotations

from datetime import datetime
from ipaddress import ip_address
from typing import Final, NamedTuple
from urllib.parse import SplitResult

from frontdesk.core.origin import leads_to_loopback

_HTTP_ONLY: Final = "#HttpOnly_"
_FIELDS: Final = 7
_NO_HEADER: Final = frozenset("\r\0")


class Cookie(NamedTuple):
    """One line of a jar. `expires`: seconds since 1970, 0 for a cookie that ends with the browser."""

    domain: str
    subdomains: bool
    path: str
    secure: bool
    expires: int
    name: str
    value: str

    def __repr__(self) -> str:
        return f"Cookie({self.domain}, {self.name})"


def read_jar(text: str) -> list[Cookie]:
    """The cookies of a jar, in its order. ValueError, with the number of the line, for what is none."""
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        is_cookie = line.startswith(_HTTP_ONLY)
        if not line.strip() or (line.startswith("#") and not is_cookie):
            continue
        fields = line.rstrip("\r").removeprefix(_HTTP_ONLY).split("\t")
        if len(fields) != _FIELDS or not fields[4].isascii() or not fields[4].isdigit():
            raise ValueError(f"line {number} is no cookie: {_FIELDS} fields with tabs between them are expected")
        domain, subdomains, path, secure, expires, name, value = fields
        if _NO_HEADER & {*name, *value}:
            raise ValueError(f"line {number} is no cookie: it holds what would end a header")
        found.append(Cookie(domain, subdomains == "TRUE", path, secure == "TRUE", int(expires), name, value))
    return found


def cookies_for(jar: list[Cookie], url: SplitResult, path: str, now: datetime) -> str:
    """The `Cookie` header of a request to `path` at the origin of `url`; "" where no cookie goes along.

    As curl does it, a Secure cookie goes over plain http to this machine alone.
    """
    host = (url.hostname or "").lower()
    in_private = url.scheme == "https" or leads_to_loopback(host)
    pairs = [
        f"{cookie.name}={cookie.value}"
        for cookie in jar
        if _goes_to(cookie, host)
        and _lies_below(path, cookie.path)
        and (in_private or not cookie.secure)
        and (not cookie.expires or cookie.expires > now.timestamp())
    ]
    return "; ".join(pairs)


def _goes_to(cookie: Cookie, host: str) -> bool:
    """RFC 6265 section 5.1.3: an address has no sub-domains."""
    domain = cookie.domain.removeprefix(".").lower()
    return host == domain or (cookie.subdomains and bool(domain) and host.endswith(f".{domain}") and not _is_ip(host))


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _lies_below(path: str, above: str) -> bool:
    """RFC 6265 section 5.1.4."""
    return path == above or (path.startswith(above) and (above.endswith("/") or path[len(above)] == "/"))
