"""What the edge is configured with: where it is mounted, how cookies are called, whom it believes about addresses."""

from __future__ import annotations

from dataclasses import dataclass, field

from frontdesk.core.addresses import ProxyNetwork, client_address
from frontdesk.core.cookies import CookieSettings, names_in_force
from frontdesk.core.origin import OriginPolicy, parse_authority
from frontdesk.endpoints.http import Request
from frontdesk.errors import ConfigurationError
from frontdesk.service.fitting import LONGEST_COOKIE_NAME


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeSettings:
    """The HTTP edge of one desk.

    prefix: where the API is mounted. hosts: the host names that are served, in lower case, without port; empty serves
    all (the application checks them itself). trusted_proxies: networks whose `X-Forwarded-For` is believed (ASVS
    4.1.3).
    accounts: offer register and login by password; applications with their own users turn it off.
    """

    prefix: str = "/auth"
    cookies: CookieSettings = field(default_factory=CookieSettings)
    origins: OriginPolicy = field(default_factory=OriginPolicy)
    hosts: frozenset[str] = frozenset()
    trusted_proxies: tuple[ProxyNetwork, ...] = ()
    accounts: bool = True

    def __post_init__(self) -> None:
        if not self.prefix.startswith("/") or self.prefix.endswith("/") or "//" in self.prefix:
            raise ConfigurationError(f"prefix must look like /auth; it is {self.prefix!r}")
        for host in self.hosts:
            authority = parse_authority(host.encode()) if host.isascii() else None
            if authority is None or authority.host != host:
                raise ConfigurationError(
                    "hosts holds names in lower case without scheme and port, such as app.example or [::1], "
                    f"not {host!r}"
                )
        # Sign-in keeps this much room for the name, so that a credential that it grants fits into its cookie.
        longest = max(map(len, names_in_force("http", b"localhost:65535", self.cookies).protected))
        if longest > LONGEST_COOKIE_NAME:
            raise ConfigurationError(
                f"a cookie name has {longest} characters with its prefix and suffix; {LONGEST_COOKIE_NAME} are allowed"
            )

    def serves(self, host: bytes | None) -> bool:
        """Whether a request with this `Host` header is for us."""
        if not self.hosts:
            return True
        authority = parse_authority(host) if host is not None else None
        return authority is not None and authority.host in self.hosts

    def address_of(self, request: Request) -> str:
        """The client's network address: the connection's, or what trusted proxies say about it."""
        forwarded = [value.decode("latin-1") for name, value in request.headers if name == b"x-forwarded-for"]
        return client_address(request.peer, forwarded, self.trusted_proxies)
