"""The cookie rules: names in force, the `Cookie` header read as bytes, `Set-Cookie` written.

Texts: RFC 6265 and its revision (6265bis), layered-cookies for the prefix `__Host-Http-`. What they leave to a server:

- The header is read as raw bytes. Decoded and stripped the Python way, `\\xa0__Host-Http-session=evil`, which any
  sub-domain may set, becomes a cookie of the protected name. Only SP and HTAB are stripped; names are compared byte by
  byte and case-sensitively; there are no quoted strings, no `$Version` and no percent-decoding.
- A protected name that occurs twice is no credential at all: order proves nothing about who set which.
- Every cookie is Secure, HttpOnly, SameSite=Lax or Strict, Path=/, and never has a Domain. A cookie's expiry is never
  the time limit of a session; the session's record is.
- Ports and paths do not separate cookies, so on loopback, where strangers' applications share one host, the names end
  in the port.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from functools import lru_cache
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from frontdesk.core.discretion import Discreet
from frontdesk.core.origin import is_loopback, parse_authority

LONGEST_HEADER: Final = 8192
"""Bytes of all `Cookie` headers of one request together; beyond that nothing is read (431 `headers_too_large`)."""
LONGEST_PAIR: Final = 4096
"""Bytes of a cookie's name plus value: user agents drop what is longer (6265bis section 5.6)."""
LONGEST_LIFE: Final = timedelta(days=400)
"""The cap on Max-Age: user agents shorten what is longer (6265bis section 5.5)."""

SameSite = Literal["Lax", "Strict"]
Prefix = Literal["__Host-Http-", "__Host-"]

_SPACE: Final = b" \t"
_TOKEN_OCTETS: Final = (
    b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"  # RFC 9110 section 5.6.2
)
# Visible ASCII without double quote, comma, semicolon and backslash: RFC 6265 section 4.1.1.
_VALUE_OCTETS: Final = bytes(byte for byte in range(0x21, 0x7F) if byte not in b'",;\\')


# --- reading --------------------------------------------------------------------------------------------------------


class Flaw(Enum):
    """Why a protected name that is there yields no credential. The values are refusal codes."""

    DUPLICATE = "credential_duplicate"
    """The name occurs twice. Somebody may have planted one of them: worth a security event."""
    MALFORMED = "credential_malformed"
    """The value is empty or holds bytes that no cookie set here can hold."""


class CookieReading(NamedTuple):
    """What one request's cookies say about the protected names.

    found: for each of them that is there, its value or its flaw; the others are absent.
    too_large: the headers exceed `LONGEST_HEADER` and were not read; nothing is found then. Answer 431.
    """

    found: Mapping[bytes, bytes | Flaw]
    too_large: bool = False

    def get(self, name: bytes) -> bytes | Flaw | None:
        """The value of `name`, its flaw, or None if it is absent."""
        return self.found.get(name)


_NOTHING: Final = CookieReading(MappingProxyType({}))
_TOO_LARGE: Final = CookieReading(MappingProxyType({}), too_large=True)


def read(headers: Sequence[bytes], names: Sequence[bytes]) -> CookieReading:
    """Look up the protected `names` in the `Cookie` headers of one request, in one pass.

    `headers` are the raw values of every `Cookie` header, in any order: HTTP/2 and 3 may split one into several
    (RFC 9113 section 8.2.3), so they are joined before anything is decided. `names` are tokens, compared byte by byte.
    A nameless cookie (`=name=value`, or a word without `=`) has no protected name, whatever its value looks like.
    """
    if not headers:
        return _NOTHING
    joined = headers[0] if len(headers) == 1 else b"; ".join(headers)
    if len(joined) > LONGEST_HEADER:
        return _TOO_LARGE
    found: dict[bytes, bytes | Flaw] = {}
    for pair in joined.split(b";"):
        name, equals, value = pair.partition(b"=")
        name = name.strip(_SPACE)
        if name in names and equals:
            found[name] = Flaw.DUPLICATE if name in found else _judge(value.strip(_SPACE))
    return CookieReading(found) if found else _NOTHING


def _judge(value: bytes) -> bytes | Flaw:
    return value if value and not value.translate(None, _VALUE_OCTETS) else Flaw.MALFORMED


def names_seen(headers: Sequence[bytes]) -> tuple[bytes, ...]:
    """The name of every cookie, in the order sent, `b""` for a nameless one: to explain a decision, never to make one.

    No value is among them. The names are what the client sent, control bytes and all: escape them before showing.
    Empty when the headers are too large to be read.
    """
    joined = b"; ".join(headers)
    if len(joined) > LONGEST_HEADER:
        return ()
    pairs = [pair.partition(b"=") for pair in joined.split(b";") if pair.strip(_SPACE)]
    return tuple(name.strip(_SPACE) if equals else b"" for name, equals, _ in pairs)


# --- names in force -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CookieSettings:
    """How this desk names its cookies and which attributes it may choose.

    prefix: `__Host-Http-` is kept by browsers that know it from being set by script; others read it as `__Host-`.
    session, access, refresh: base names, which must differ.
    suffix: ends every name, on every host; on loopback it stands in place of the port. Give the same one to processes
        that are to share sign-ins, different ones to desks that are to live side by side on one host.
    insecure: over plain http on loopback use names without prefix and cookies without Secure, for clients that do not
        accept Secure cookies there. It has no effect anywhere else; see `names_in_force`.

    Anything that cannot be part of a cookie name is a ValueError.
    """

    prefix: Prefix = "__Host-Http-"
    session: str = "session"
    access: str = "access"
    refresh: str = "refresh"
    suffix: str | None = None
    same_site: SameSite = "Lax"
    insecure: bool = False

    def __post_init__(self) -> None:
        if self.prefix not in {"__Host-Http-", "__Host-"}:
            raise ValueError(f"prefix is '__Host-Http-' or '__Host-', not {self.prefix!r}")
        _check_same_site(self.same_site)
        bases = (self.session, self.access, self.refresh)
        if len({base.lower() for base in bases}) < len(bases):
            raise ValueError(f"the cookie names {bases} must differ by more than upper and lower case")
        for part in bases if self.suffix is None else (*bases, self.suffix):
            if not is_token(part) or len(part) > 64:
                raise ValueError(f"{part!r} cannot be part of a cookie name (RFC 9110 token, at most 64 characters)")
            if part.lower().startswith("__"):
                raise ValueError(f"{part!r} looks like a prefix of its own; the prefix is a setting")


@dataclass(frozen=True, slots=True)
class CookieAttributes:
    """The attributes of the cookies of one answer; `secure` is false only by `CookieSettings.insecure`, on loopback."""

    secure: bool = True
    same_site: SameSite = "Lax"

    def __post_init__(self) -> None:
        _check_same_site(self.same_site)

    def __bytes__(self) -> bytes:
        secure = b"; Secure" if self.secure else b""
        return b"; Path=/" + secure + b"; HttpOnly; SameSite=" + self.same_site.encode()


@dataclass(frozen=True, slots=True)
class CookieNames:
    """The names in force for one request, and the attributes to set them with. Other names are not read."""

    session: bytes
    access: bytes
    refresh: bytes
    attributes: CookieAttributes
    protected: tuple[bytes, bytes, bytes] = field(init=False)
    """All three, for `read`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "protected", (self.session, self.access, self.refresh))


def names_in_force(scheme: str, host: bytes | None, settings: CookieSettings) -> CookieNames:
    """The names for a request that came by `scheme` with the header `Host: host` (None: absent, or sent twice).

    https, or any host that is not loopback: prefix + base name (+ `-suffix`).
    Plain http (`http`, `ws`) on loopback: prefix + base name + `-suffix`, or the port of the Host header in place of a
    suffix, so that two applications on one machine do not sign each other out. Browsers accept Secure cookies there.
    With `settings.insecure`: the same without prefix and without Secure. The switch is refused off loopback: such a
    request has the secure names and nothing else, so no cookie without Secure is ever set or believed there.
    """
    authority = parse_authority(host) if host is not None and scheme in {"http", "ws"} else None
    if authority is None or not is_loopback(authority.host):
        return _names(settings, settings.suffix, secure=True)
    suffix = settings.suffix or str(authority.port or 80)
    return _names(settings, suffix, secure=not settings.insecure)


def _names(settings: CookieSettings, suffix: str | None, *, secure: bool) -> CookieNames:
    prefix = settings.prefix if secure else ""
    end = "" if suffix is None else f"-{suffix}"
    return CookieNames(
        session=f"{prefix}{settings.session}{end}".encode(),
        access=f"{prefix}{settings.access}{end}".encode(),
        refresh=f"{prefix}{settings.refresh}{end}".encode(),
        attributes=CookieAttributes(secure=secure, same_site=settings.same_site),
    )


class CookieNaming:
    """`names_in_force` of one desk, remembered for the few hosts that plain http comes with."""

    def __init__(self, settings: CookieSettings) -> None:
        self.settings = settings
        self._elsewhere = names_in_force("https", None, settings)
        # Bounded, since clients choose what Host says.
        self._by_host = lru_cache(maxsize=64)(lambda host: names_in_force("http", host, settings))

    def names(self, scheme: str, host: bytes | None) -> CookieNames:
        """As `names_in_force`."""
        return self._by_host(host) if scheme in {"http", "ws"} else self._elsewhere


# --- writing --------------------------------------------------------------------------------------------------------


def is_token(text: str) -> bool:
    """Is this a token of RFC 9110 section 5.6.2: visible ASCII without delimiters, at least one character?"""
    return bool(text) and text.isascii() and not text.encode().translate(None, _TOKEN_OCTETS)


def overflow(name: bytes, value: bytes | str) -> int:
    """By how many bytes name plus value exceed `LONGEST_PAIR`; 0 when they fit.

    Ask before a credential is issued: `claims_too_large` is an expected outcome, `set_cookie` only raises.
    """
    return max(0, len(name) + len(_octets(value)) - LONGEST_PAIR)


def set_cookie(
    name: bytes, value: bytes | str, attributes: CookieAttributes, *, max_age: timedelta | None = None
) -> bytes:
    """The value of a `Set-Cookie` header.

    `max_age` None makes a cookie that ends with the browser's session; a duration is cut to whole seconds and to
    `LONGEST_LIFE`. ValueError for a name that is no token, a value that is empty or no run of cookie octets, more than
    `LONGEST_PAIR`, a prefixed name without Secure, a duration under one second. Answers that carry one are `no-store`.
    """
    octets = _octets(value)
    _check_name(name, attributes)
    if _judge(octets) is Flaw.MALFORMED:
        raise ValueError("a cookie value is one or more cookie octets (RFC 6265 section 4.1.1)")
    if overflow(name, octets):
        raise ValueError(f"a cookie's name and value have at most {LONGEST_PAIR} bytes together")
    lasting = b""
    if max_age is not None:
        if max_age < timedelta(seconds=1):
            raise ValueError("max_age is one second or more; to delete a cookie, call delete_cookie")
        lasting = b"; Max-Age=%d" % (min(max_age, LONGEST_LIFE) // timedelta(seconds=1))
    return name + b"=" + octets + bytes(attributes) + lasting


def delete_cookie(name: bytes, attributes: CookieAttributes) -> bytes:
    """The value of the `Set-Cookie` header that deletes `name`.

    Same name, path and attributes as when it was set, otherwise user agents keep it (and refuse a prefixed name). Both
    forms of expiry, for those that know only one.
    """
    _check_name(name, attributes)
    return name + b"=" + bytes(attributes) + b"; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"


@dataclass(frozen=True, slots=True, repr=False)
class CookieChanges(Discreet):
    """The cookies that one answer sets and deletes: at most one `Set-Cookie` per name (RFC 6265 section 4.1.1).

    A value: `set` and `delete` return a new one, in which an earlier change of the same name is replaced.
    """

    by_name: Mapping[bytes, bytes] = field(default_factory=lambda: MappingProxyType({}))
    """Name → value of its `Set-Cookie` header, in the order in which the names were first changed."""

    def set(
        self, name: bytes, value: bytes | str, attributes: CookieAttributes, *, max_age: timedelta | None = None
    ) -> CookieChanges:
        """With `name` set. ValueError as `set_cookie`."""
        return self._with(name, set_cookie(name, value, attributes, max_age=max_age))

    def delete(self, name: bytes, attributes: CookieAttributes) -> CookieChanges:
        """With `name` deleted."""
        return self._with(name, delete_cookie(name, attributes))

    def merge(self, later: CookieChanges) -> CookieChanges:
        """These changes, then `later` ones."""
        return CookieChanges(MappingProxyType({**self.by_name, **later.by_name}))

    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """One `set-cookie` header per name, never folded into one, as an ASGI header list takes them."""
        return tuple((b"set-cookie", value) for value in self.by_name.values())

    def __bool__(self) -> bool:
        return bool(self.by_name)

    def _with(self, name: bytes, header: bytes) -> CookieChanges:
        return CookieChanges(MappingProxyType({**self.by_name, name: header}))


def _octets(value: bytes | str) -> bytes:
    """As bytes. UnicodeEncodeError, a ValueError, for a text that is not ASCII."""
    return value.encode("ascii") if isinstance(value, str) else value


def _check_name(name: bytes, attributes: CookieAttributes) -> None:
    if not name or name.translate(None, _TOKEN_OCTETS):
        raise ValueError(f"{name!r} is not a cookie name (RFC 9110 token)")
    if name.startswith(b"__") and not attributes.secure:
        raise ValueError(f"{name!r} has a prefix that user agents accept with Secure only")


def _check_same_site(same_site: str) -> None:
    if same_site not in {"Lax", "Strict"}:
        raise ValueError(f"same_site is 'Lax' or 'Strict', not {same_site!r}")
