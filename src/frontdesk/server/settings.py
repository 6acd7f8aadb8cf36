"""What the ready-made server is configured with: one frozen record, validated where it is built.

`sources` fills it from flags, environment and file. docs/settings.md describes every member.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Final, Literal
from urllib.parse import urlsplit

from frontdesk.core.addresses import proxy_networks
from frontdesk.core.cookies import CookieSettings, Prefix, SameSite
from frontdesk.core.discretion import without_userinfo
from frontdesk.core.origin import OriginPolicy, is_loopback, leads_to_loopback, parse_authority
from frontdesk.core.passwords import PROFILES, HashParameters, PasswordPolicy
from frontdesk.core.sessions import CredentialKind, SessionPolicy, Transport
from frontdesk.endpoints.settings import EdgeSettings
from frontdesk.errors import ConfigurationError
from frontdesk.server import reading
from frontdesk.server.reading import Reader
from frontdesk.service.settings import DEVELOPMENT_ISSUER, DeskSettings, SigningAlgorithm

LogFormat = Literal["auto", "json", "text"]

_LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_POLICY: Final = SessionPolicy()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """One server. Raises ConfigurationError with one sentence for what cannot be or would be unsafe."""

    store: str = field(default="sqlite:///frontdesk.db", repr=False)  # its URL may hold a password
    secret: tuple[str, ...] = field(default=(), repr=False)
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    base_url: str = ""
    audience: tuple[str, ...] = ()
    title: str = "Frontdesk"
    dev: bool = False
    credentials: tuple[CredentialKind, ...] = ("session", "jwt", "jwe")
    transports: tuple[Transport, ...] = ("cookie", "bearer")
    signing: SigningAlgorithm = "ES256"
    key_rotation: timedelta = timedelta(days=30)
    access_token: timedelta = _POLICY.access_token
    session_idle: timedelta = _POLICY.idle
    session_absolute: timedelta = _POLICY.absolute
    grace: timedelta = _POLICY.grace
    touch_every: timedelta = _POLICY.touch_every
    max_sessions: int = _POLICY.max_sessions
    late_retry: Literal["reissue", "end"] = _POLICY.late_retry
    freshness: Literal["bounded", "strict"] = "bounded"
    max_staleness: timedelta = timedelta(seconds=5)
    insecure_trust_stale: bool = False
    hashing: str = "default"
    password_words: tuple[str, ...] = ("frontdesk",)
    cookie_prefix: Prefix = "__Host-Http-"
    cookie_suffix: str = ""
    cookie_same_site: SameSite = "Lax"
    insecure_cookies: bool = False
    hosts: tuple[str, ...] = ()
    trusted_origins: tuple[str, ...] = ()
    strict_origin: bool = False
    trusted_proxies: tuple[str, ...] = ()
    limit_concurrency: int = 0
    shutdown_timeout: timedelta = timedelta(seconds=10)
    log_format: LogFormat = "auto"
    open_metrics: bool = False

    def __post_init__(self) -> None:
        self._check_listening()
        self._check_urls()
        try:
            self.desk()
            self.edge()
        except ValueError as error:
            raise ConfigurationError(f"the settings cannot be: {error}") from None

    def _check_listening(self) -> None:
        if not self.host:
            raise ConfigurationError("host is empty; write 127.0.0.1, or 0.0.0.0 for every network of this machine")
        if self.port > 65535:
            raise ConfigurationError(f"port is at most 65535, not {self.port}; write 0 for any free one")
        if not 1 <= self.workers <= 64:
            raise ConfigurationError(f"workers is between 1 and 64, not {self.workers}")
        if self.workers > 1 and self.store == "memory:":
            raise ConfigurationError("the store memory: is not shared between workers; take one worker or a file")
        if not timedelta(seconds=1) <= self.shutdown_timeout <= timedelta(minutes=10):
            raise ConfigurationError("shutdown_timeout is between 1s and 10m")
        if self.on_loopback:
            return
        if self.dev:
            raise ConfigurationError(
                f"dev is for loopback only; leave host at 127.0.0.1 instead of {without_userinfo(self.host)}"
            )
        if self.insecure_cookies:
            raise ConfigurationError("insecure_cookies is for loopback only; anybody on the way could read the cookies")
        if not self.base_url:
            raise ConfigurationError(
                f"host is {without_userinfo(self.host)}, which others can reach: "
                "set base_url to the address that browsers use, such as https://desk.example"
            )

    def _check_urls(self) -> None:
        if self.base_url:
            parts = _split(self.base_url)
            if parts is None:
                raise ConfigurationError(
                    "base_url is the address that browsers use, such as https://desk.example, "
                    f"not {without_userinfo(self.base_url)!r}"
                )
            scheme, host = parts
            if scheme == "http" and not is_loopback(host):
                raise ConfigurationError(
                    "base_url is plain http: browsers keep no Secure cookie there; put a proxy that speaks TLS in "
                    "front and write https://"
                )
        for host in self.hosts:
            authority = parse_authority(host.encode())
            if authority is None or authority.port is not None:
                raise ConfigurationError(
                    f"hosts holds names without a port, such as desk.example, not {without_userinfo(host)!r}"
                )

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return leads_to_loopback(self.host)

    @property
    def public_host(self) -> str:
        """The host of `base_url`, in lower case and without its port; "" where there is none."""
        parts = _split(self.base_url)
        return "" if parts is None else parts[1]

    @property
    def public_scheme(self) -> Literal["http", "https"] | None:
        """The scheme under which browsers reach the server, where `base_url` says it."""
        parts = _split(self.base_url)
        return None if parts is None else parts[0]

    @property
    def served_hosts(self) -> frozenset[str]:
        """The names that are served: `hosts`, else that of `base_url` and, on loopback, those of this machine."""
        if self.hosts:
            return frozenset(host.lower() for host in self.hosts)
        names = {self.public_host} if self.base_url else set()
        if self.on_loopback:
            names |= {*_LOOPBACK_NAMES, f"[{self.host}]" if ":" in self.host else self.host.lower()}
        return frozenset(names)

    def desk(self) -> DeskSettings:
        """The part that the desk is made with."""
        return DeskSettings(
            issuer=self.base_url.rstrip("/") or DEVELOPMENT_ISSUER,
            audience=self.audience,
            credentials=self.credentials,
            transports=self.transports,
            signing=self.signing,
            key_rotation=self.key_rotation or None,
            sessions=SessionPolicy(
                idle=self.session_idle,
                absolute=self.session_absolute,
                access_token=self.access_token,
                grace=self.grace,
                touch_every=self.touch_every,
                max_sessions=self.max_sessions,
                late_retry=self.late_retry,
            ),
            passwords=PasswordPolicy(words=self.password_words),
            freshness=self.freshness,
            max_staleness=self.max_staleness,
            insecure_trust_stale=self.insecure_trust_stale,
        )

    def edge(self) -> EdgeSettings:
        """The part that the edge is made with."""
        return EdgeSettings(
            cookies=CookieSettings(
                prefix=self.cookie_prefix,
                suffix=self.cookie_suffix or None,
                same_site=self.cookie_same_site,
                insecure=self.insecure_cookies,
            ),
            origins=OriginPolicy(
                trusted=frozenset(self.trusted_origins),
                strict=self.strict_origin,
                # On loopback a browser may come by http beside the public https.
                scheme=None if self.on_loopback else self.public_scheme,
            ),
            hosts=self.served_hosts,
            trusted_proxies=proxy_networks(self.trusted_proxies),
        )

    def hash_parameters(self) -> HashParameters:
        """The cost of hashing a password."""
        return PROFILES[self.hashing]


READERS: Final[Mapping[str, Reader]] = MappingProxyType(
    {
        "store": reading.text,
        "secret": reading.texts,
        "host": reading.text,
        "port": reading.whole,
        "workers": reading.whole,
        "base_url": reading.text,
        "audience": reading.texts,
        "title": reading.text,
        "dev": reading.flag,
        "credentials": reading.some_of("session", "jwt", "jwe"),
        "transports": reading.some_of("cookie", "bearer"),
        "signing": reading.one_of("ES256", "EdDSA", "RS256", "PS256", "HS256"),
        "key_rotation": reading.duration,
        "access_token": reading.duration,
        "session_idle": reading.duration,
        "session_absolute": reading.duration,
        "grace": reading.duration,
        "touch_every": reading.duration,
        "max_sessions": reading.whole,
        "late_retry": reading.one_of("reissue", "end"),
        "freshness": reading.one_of("bounded", "strict"),
        "max_staleness": reading.duration,
        "insecure_trust_stale": reading.flag,
        "hashing": reading.one_of(*PROFILES),
        "password_words": reading.texts,
        "cookie_prefix": reading.one_of("__Host-Http-", "__Host-"),
        "cookie_suffix": reading.text,
        "cookie_same_site": reading.one_of("Lax", "Strict"),
        "insecure_cookies": reading.flag,
        "hosts": reading.texts,
        "trusted_origins": reading.texts,
        "strict_origin": reading.flag,
        "trusted_proxies": reading.texts,
        "limit_concurrency": reading.whole,
        "shutdown_timeout": reading.duration,
        "log_format": reading.one_of("auto", "json", "text"),
        "open_metrics": reading.flag,
    }
)
"""How the value of each setting is read."""


def _split(url: str) -> tuple[Literal["http", "https"], str] | None:
    """Scheme and host of a base URL; None when it is none."""
    try:
        parts = urlsplit(url)
        authority = parse_authority(parts.netloc.encode())
    except ValueError:
        return None
    if authority is None or parts.query or parts.fragment:
        return None
    if parts.scheme == "https":
        return "https", authority.host
    return ("http", authority.host) if parts.scheme == "http" else None
