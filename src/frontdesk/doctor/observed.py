"""What the doctor looks at, gathered elsewhere: frozen records that hold no secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Final, Literal
from urllib.parse import urlsplit

from frontdesk.core.condition import StoreCondition
from frontdesk.core.origin import is_loopback, leads_to_loopback, parse_authority

_NOWHERE: Final[Mapping[str, str]] = MappingProxyType({})
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Configured:
    """The settings as they were read, whether or not a server would start with them; docs/settings.md says what each
    means.

    cookie_names: those in force where browsers reach the desk. where: settings that are not left at their default →
    where they stand. refused: why a server would not start with them, "" if it would. refused_by: the setting that is
    meant by it, "" where that could not be told.
    """

    host: str = "127.0.0.1"
    workers: int = 1
    base_url: str = ""
    hosts: tuple[str, ...] = ()
    audience: tuple[str, ...] = ()
    dev: bool = False
    key_rotation: timedelta = 30 * _DAY
    access_token: timedelta = timedelta(minutes=15)
    session_idle: timedelta = 7 * _DAY
    session_absolute: timedelta = 30 * _DAY
    freshness: str = "bounded"
    max_staleness: timedelta = timedelta(seconds=5)
    insecure_trust_stale: bool = False
    hashing: str = "default"
    cookie_prefix: str = "__Host-Http-"
    cookie_suffix: str = ""
    cookie_names: tuple[str, ...] = ("__Host-Http-session", "__Host-Http-access", "__Host-Http-refresh")
    cookie_same_site: str = "Lax"
    insecure_cookies: bool = False
    trusted_origins: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    open_metrics: bool = False
    store_is_remote: bool = False
    where: Mapping[str, str] = field(default_factory=lambda: _NOWHERE)
    refused: str = ""
    refused_by: str = ""

    @property
    def on_loopback(self) -> bool:
        """Whether the server listens where only this machine can reach it."""
        return leads_to_loopback(self.host)

    @property
    def is_public(self) -> bool:
        """Whether others than this machine reach it, by themselves or through a proxy."""
        return not self.on_loopback or not is_local(self.base_url)

    @property
    def behind_proxy(self) -> bool:
        """Whether TLS ends in front of the server: it speaks plain http and is called https."""
        return self.base_url.lower().startswith("https://") and not is_local(self.base_url)

    def place(self, setting: str) -> str:
        """Where a setting stands, for a sentence: " (frontdesk.toml, line 3)"; "" where it is the default."""
        return f" ({self.where[setting]})" if setting in self.where else ""


@dataclass(frozen=True, slots=True)
class SecretSeen:
    """What is to be said of one master secret. fault: why it is refused, "" if it is not. published: it is printed
    in somebody's documentation."""

    fault: str = ""
    published: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """The master secrets in force, newest first; none: a remote store has none, and an embedded one has not begun.

    where: where they were found. repeated: two of them are the same. listed_for: for how long at least they have stood
    there as they do, if that is known.
    idle_key_file: a key file that is there and not read, "" for none.
    """

    seen: tuple[SecretSeen, ...] = ()
    where: str = ""
    repeated: bool = False
    listed_for: timedelta | None = None
    idle_key_file: str = ""


FileRole = Literal["database", "key file", "settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSeen:
    """A file of the deployment. mode and directory_mode: permission bits, the sticky bit among them. holds_secret: the
    settings hold a secret or a password."""

    role: FileRole
    path: str
    directory: str
    mode: int
    directory_mode: int
    age: timedelta
    holds_secret: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What passwords are hashed with. hashing_at_once: in one process. hash_seconds: how long one password takes where
    nothing else is done, hash_work: what processors work for it in all; both None where that was not measured.
    capacity: how many processors may be kept busy, which is less than `cores` in a container with a quota."""

    cores: int
    memory_bytes: int
    hashing_at_once: int
    hash_bytes: int
    hash_seconds: float | None = None
    hash_work: float | None = None
    capacity: float = 1.0

    def sign_ins_per_second(self, workers: int) -> float | None:
        """With a password, at most: each keeps a place of its process for its time, and processors for its work."""
        if not self.hash_seconds or not self.hash_work:
            return None
        return min(workers * self.hashing_at_once / self.hash_seconds, self.capacity / self.hash_work)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSeen:
    """A store that answered. offset: by how much its clock is ahead of ours at least; negative: behind."""

    condition: StoreCondition
    offset: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CookieSeen:
    """A cookie that the deployment set and the desk did not. domain: "" for none. public_suffix: `domain` is one.
    path: the page that set it."""

    name: str
    path: str
    domain: str = ""
    public_suffix: bool = False
    secure: bool = False
    http_only: bool = False
    same_site: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What TLS said. trusted: the chain and the name hold; else `why_not`. expires: absent where it is not trusted.
    old_protocol: the oldest protocol before TLS 1.2 that the deployment still speaks, "" for none."""

    trusted: bool
    why_not: str = ""
    expired: bool = False
    expires: datetime | None = None
    old_protocol: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteSeen:
    """What a running deployment answered. Every header name is in lower case.

    prefix: where the API is mounted below the URL. page: the headers of a page for people, of the first request; None
    where none is. api: those of an answer of the desk's. takes_plain_origin: a page of this host over
    plain http counts as its own. Each flag is None where it could not be found out.
    """

    url: str
    prefix: str = "/auth"
    page: Mapping[str, str] | None = None
    page_path: str = "/"
    api: Mapping[str, str] | None = None
    certificate: Certificate | None = None
    plain_http: Literal["closed", "redirects", "answers"] | None = None
    reflects_origin: bool | None = None
    allows_credentials: bool = False
    serves_any_host: bool | None = None
    host_is_lost: bool | None = None
    takes_plain_origin: bool | None = None
    explains_to_strangers: bool | None = None
    open_metrics: bool | None = None
    healthy: bool | None = None
    cookies: tuple[CookieSeen, ...] = ()

    @property
    def api_url(self) -> str:
        """The address below which the API is."""
        return self.url + self.prefix

    @property
    def host(self) -> str:
        """The host of the URL, without its port."""
        return host_of(self.url)

    @property
    def is_https(self) -> bool:
        """Whether it was asked over TLS."""
        return self.url.startswith("https://")

    @property
    def is_public(self) -> bool:
        """Whether its name leads to others than this machine."""
        return not is_local(self.url)


@dataclass(frozen=True, slots=True)
class Unseen:
    """A check that could not be made, and why. is_needed: without it nobody can say that all is well."""

    subject: str
    why: str
    is_needed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Observations:
    """Everything that was looked at; None: it was not.

    config: the file of settings that was named, "" for none.
    store_refused: why no store can be opened where one is to be. sites: origin → its site (scheme and registrable
    domain).
    """

    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    config: str = ""
    configured: Configured | None = None
    secrets: Secrets | None = None
    files: tuple[FileSeen, ...] = ()
    machine: Machine | None = None
    store: StoreSeen | None = None
    store_refused: str = ""
    site: SiteSeen | None = None
    sites: Mapping[str, str] = field(default_factory=lambda: _NOWHERE)
    unseen: tuple[Unseen, ...] = ()


def is_local(url: str) -> bool:
    """Whether a base URL names this machine only; an empty one does."""
    return not url or is_loopback(host_of(url))


def host_of(url: str) -> str:
    """The host of a URL in lower case, IPv6 in brackets; "" where none can be read."""
    try:
        authority = parse_authority(urlsplit(url).netloc.encode())
    except ValueError:
        return ""
    return "" if authority is None else authority.host


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL in lower case, a default port left out; "" where none can be read."""
    if not host_of(url):
        return ""
    parts = urlsplit(url)
    netloc = parts.netloc.lower().removesuffix(":443" if parts.scheme == "https" else ":80")
    return f"{parts.scheme}://{netloc}"
