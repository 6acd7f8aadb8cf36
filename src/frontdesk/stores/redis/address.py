"""A store's URL: where the server is, who we are there, and the options.

    redis://[[user]:password@]host[:port][/db]              rediss:// over TLS
    unix://[[user]:password@]/path/of/the/socket[?db=0]
    redis+sentinel://[[user]:password@]host[:port][,host[:port] …]/service[/db]      rediss+sentinel:// over TLS

Options follow a question mark: `timeout` (seconds), `max_connections`, `max_waiting`, `wait_replicas`, `prefix`; for
TLS `ssl_ca_certs`, `ssl_certfile`, `ssl_keyfile`; for Sentinels that want credentials of their own
`sentinel_username`, `sentinel_password`. Whatever is special in a password is percent-encoded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from frontdesk.errors import ConfigurationError

Place = tuple[str, int]
"""Host and port."""

_TLS_OPTIONS: Final = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})
_SENTINEL_OPTIONS: Final = frozenset({"sentinel_username", "sentinel_password"})
_STORE_OPTIONS: Final = frozenset({"timeout", "max_connections", "max_waiting", "wait_replicas", "prefix"})

_PLACE: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[^\[\]:,@/?#\s]+)(?::(?P<port>\d{1,5}))?")

_SHAPE: Final = "write redis://host:6379/0, rediss://, unix:///path or redis+sentinel://host:26379,host:26379/service/0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a store's server is found."""

    places: tuple[Place, ...] = ()
    """One server, or the Sentinels that know it."""
    service: str = ""
    """The name under which the Sentinels know it; "" without Sentinels."""
    path: str = ""
    """A Unix socket; "" for a network address."""
    db: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    sentinel_username: str = ""
    sentinel_password: str = field(default="", repr=False)
    tls: Mapping[str, str] | None = None
    """redis-py's TLS arguments; None for a connection in the clear."""
    options: Mapping[str, str] = field(default_factory=dict)
    """What the URL says about the store itself."""

    @property
    def public(self) -> str:
        """The address as it may be shown."""
        secure = "s" if self.tls is not None else ""
        places = ",".join(f"{host}:{port}" if ":" not in host else f"[{host}]:{port}" for host, port in self.places)
        if self.path:
            return f"unix://{self.path}?db={self.db}"
        if self.service:
            return f"redis{secure}+sentinel://{places}/{self.service}/{self.db}"
        return f"redis{secure}://{places}/{self.db}"


def parse(url: str) -> Address:
    """The address that `url` names. ConfigurationError, which repeats nothing of the URL, for one that names none."""
    try:
        scheme, netloc, path, query, fragment = urlsplit(url)
    except ValueError:
        raise ConfigurationError(f"the URL of the Redis server cannot be read; {_SHAPE}") from None
    base = scheme.removesuffix("+sentinel")
    if fragment or base not in {"redis", "rediss", "unix"} or (base == "unix" and scheme != base):
        raise ConfigurationError(f"the URL of the Redis server has a wrong shape; {_SHAPE}")
    options = _options(query, tls=base == "rediss", sentinel=base != scheme, socket=base == "unix")
    address = _known(netloc.rpartition("@")[0], options, tls=base == "rediss")
    places = netloc.rpartition("@")[2]
    if base == "unix":
        if places or not path.startswith("/"):
            raise ConfigurationError("a unix:// URL has three slashes and the whole path of the socket")
        return replace(address, path=_text(path), db=_db(options.pop("db", "")))
    if scheme == base:
        return replace(address, places=(_place(places or "localhost", 6379),), db=_db(path.removeprefix("/")))
    service, _, db = path.removeprefix("/").partition("/")
    if not service or not places:
        raise ConfigurationError("a redis+sentinel:// URL names Sentinels and, behind a slash, the service they watch")
    sentinels = tuple(_place(place, 26379) for place in places.split(","))
    return replace(address, places=sentinels, service=_text(service), db=_db(db))


def _known(userinfo: str, options: dict[str, str], *, tls: bool) -> Address:
    """What is known before it is known where the server is. Takes what is not about the store out of `options`."""
    username, _, password = userinfo.partition(":")
    if username and not password:
        raise ConfigurationError(
            "the URL of the Redis server has a user and no password; write user:password@ or :password@"
        )
    return Address(
        username=_text(username),
        password=_text(password),
        tls={name: options.pop(name) for name in sorted(_TLS_OPTIONS & options.keys())} if tls else None,
        sentinel_username=options.pop("sentinel_username", ""),
        sentinel_password=options.pop("sentinel_password", ""),
        options=options,
    )


def _options(query: str, *, tls: bool, sentinel: bool, socket: bool) -> dict[str, str]:
    pairs = parse_qsl(query, keep_blank_values=True)
    options = dict(pairs)
    allowed = set(_STORE_OPTIONS)
    if tls:
        allowed |= _TLS_OPTIONS
    if sentinel:
        allowed |= _SENTINEL_OPTIONS
    if socket:
        allowed |= {"db"}
    if len(options) != len(pairs) or not options.keys() <= allowed:
        raise ConfigurationError(
            f"the URL of the Redis server takes these options, each once: {', '.join(sorted(allowed))}"
        )
    return options


def _place(text: str, port: int) -> Place:
    found = _PLACE.fullmatch(text)
    if found is None or not 0 < int(found["port"] or port) < 65536:
        raise ConfigurationError(f"the URL of the Redis server names no host and port; {_SHAPE}")
    return unquote(found["host"]).strip("[]"), int(found["port"] or port)


def _db(text: str) -> int:
    if not text:
        return 0
    if not re.fullmatch(r"\d{1,4}", text):
        raise ConfigurationError("the database of a Redis server is a number, 0 if nothing is said")
    return int(text)


def _text(quoted: str) -> str:
    try:
        text = unquote(quoted, errors="strict")
        text.encode()
    except UnicodeError:
        raise ConfigurationError("the URL of the Redis server holds what is not UTF-8") from None
    return text
