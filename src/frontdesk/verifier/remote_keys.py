"""The public keys of another issuer, fetched from its JWK Set and kept (RFC 7517). Needs `frontdesk[http]`.

What comes from there is a stranger's until it is read: https alone, no redirects, 512 KiB, 100 keys, 3 seconds, no
compression, no symmetric keys, and no address of a private network: the connection goes to the very address that was
looked at, so that a name cannot point elsewhere a moment later (DNS rebinding). One's own desk may stand in a private
network, if its service says so.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

import httpx

from frontdesk.clock import TIMER, Timer
from frontdesk.core.origin import leads_to_loopback
from frontdesk.errors import ConfigurationError, FrontdeskError, TokenError
from frontdesk.jose import b64, strictjson
from frontdesk.jose.headers import HEADER_MAX
from frontdesk.jose.jwk import KeySet

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host name."""

BYTES_MAX: Final = 512 * 1024
SECONDS_MAX: Final = 3.0
FRESH_SECONDS: Final = 900.0
"""How long a set is used before it is asked for again."""
PAUSE_SECONDS: Final = 60.0
"""The shortest time between two requests to one issuer, whatever tokens name."""
SHORT_PAUSE_SECONDS: Final = 5.0
"""The same for one's own issuer, and after a request that failed: whoever holds a new token waits no longer."""

_NAT64: Final = (IPv6Network("64:ff9b::/96"),)
_NEVER_PUBLIC: Final = (
    IPv6Network("64:ff9b:1::/48"),  # local NAT64 (RFC 8215): where it puts the other address is not told
    IPv6Network("fec0::/10"),  # site-local (RFC 3879)
    IPv6Network("3fff::/20"),  # documentation (RFC 9637)
    IPv4Network("192.0.0.0/24"),  # protocol assignments (RFC 6890)
    IPv4Network("192.88.99.0/24"),  # 6to4 relays (RFC 7526)
)
"""Networks that the standard library's tables take for global, or that its versions disagree about."""
_PRIVATE: Final[tuple[IPv4Network | IPv6Network, ...]] = (
    *map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8")),
    *map(IPv6Network, ("fc00::/7", "::1/128")),
)
"""Where one's own issuer may stand (RFC 1918, 6598, 4193, and this machine). Not what is link-local: there clouds keep
the credentials of their machines."""
_HEADERS: Final = {"accept": "application/jwk-set+json, application/json", "accept-encoding": "identity"}

_logger = logging.getLogger("frontdesk")


class RemoteKeysError(FrontdeskError):
    """The keys of an issuer could not be fetched, and none were received before. Nothing can be verified."""

    code = "keys_unavailable"


async def resolve_host(host: str, port: int) -> Sequence[str]:
    """The addresses of a name, as the operating system gives them."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


class RemoteKeys:
    """The keys of one issuer; make one for each issuer, never one for several. Belongs to one thread.

    url: of the JWK Set; https, plain http on loopback alone. alg: for RSA keys that name none. private_network: the
    issuer may stand in one, since it is one's own. pause: the shortest time between two requests, in seconds. Raises
    ConfigurationError for any other URL.
    """

    def __init__(
        self,
        url: str,
        *,
        alg: str | None = None,
        private_network: bool = False,
        pause: float = PAUSE_SECONDS,
        timer: Timer = TIMER,
        resolve: Resolve = resolve_host,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._url = address_of(url, "a key set")
        self._alg = alg
        self._private_network = private_network
        self._pause = pause
        self._timer = timer
        self._resolve = resolve
        self._tls = tls
        self._held: KeySet | None = None
        self._received_at = 0.0
        self._asked_at: float | None = None
        self._fault: RemoteKeysError | None = None
        self._fetching: asyncio.Task[None] | None = None

    def current(self) -> KeySet | None:
        """The keys that were received, if they need not be asked for again; else None: await `for_token`."""
        return None if self._is_due(None) else self._held

    def expire(self) -> None:
        """The issuer's keys are known to have changed: ask again at the next occasion. The last good set stays."""
        self._asked_at = None
        self._received_at = float("-inf")

    async def for_token(self, token: str | bytes) -> KeySet:
        """`for_kid` with the key id that a token names, which is a stranger's word and used for nothing else."""
        return await self.for_kid(_kid_of(token.encode() if isinstance(token, str) else token))

    async def for_kid(self, kid: str | None) -> KeySet:
        """The issuer's keys, for `jwt.verify` of a token that names `kid`.

        Fetched first, when they are older than 15 minutes, and when they lack `kid`, but at most once a minute; of
        many callers one fetches. A fetch that fails leaves the last good set. RemoteKeysError when there is none, and
        when it lacks `kid` and nobody knows whether the issuer has it by now.
        """
        if self._is_due(kid):
            await self._fetch_once()
        if self._held is None or (self._fault is not None and self._lacks(kid)):
            raise self._fault or RemoteKeysError("the keys of the issuer could not be fetched")
        return self._held

    def _is_due(self, kid: str | None) -> bool:
        if self._is_fetching():
            return self._held is None or self._lacks(kid)
        now = self._timer()
        failed = self._held is None or self._fault is not None
        pause = min(self._pause, SHORT_PAUSE_SECONDS) if failed else self._pause
        if self._asked_at is not None and now - self._asked_at < pause:
            return False
        return self._held is None or now - self._received_at >= FRESH_SECONDS or self._lacks(kid)

    def _lacks(self, kid: str | None) -> bool:
        return kid is not None and self._held is not None and all(key.kid != kid for key in self._held)

    def _is_fetching(self) -> bool:
        """Whether a fetch is under way that can be waited for: in this event loop."""
        return self._fetching is not None and self._fetching.get_loop() is asyncio.get_running_loop()

    async def _fetch_once(self) -> None:
        """Whoever is cancelled leaves the fetch to the others."""
        if self._fetching is None or not self._is_fetching():
            self._asked_at = self._timer()
            self._fetching = asyncio.get_running_loop().create_task(self._fetch())
            self._fetching.add_done_callback(self._fetched)
        await asyncio.shield(self._fetching)

    def _fetched(self, task: asyncio.Task[None]) -> None:
        if self._fetching is task:
            self._fetching = None

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(SECONDS_MAX):
                document = await self._download()
            held = KeySet.from_jwks(document, alg=self._alg)
            if not len(held):
                raise RemoteKeysError("the issuer publishes no key that can be used")
            if any(key.kty == "oct" for key in held):
                raise RemoteKeysError("the issuer publishes symmetric keys")
        except (RemoteKeysError, TokenError, httpx.HTTPError, OSError, ValueError, ExceptionGroup) as fault:
            # OSError: also TimeoutError and names that do not resolve. ValueError: an address or answer of no form.
            detail = f"{self._url}: {type(fault).__name__}: {fault}"
            self._fault = RemoteKeysError("the keys of the issuer could not be fetched", detail=detail)
            _logger.warning("%s %s", self._fault.message, detail)
        else:
            self._held, self._received_at, self._fault = held, self._timer(), None

    async def _address(self) -> str:
        """Where the host is, after a look at every address that its name has."""
        host = self._url.host
        port = self._url.port or (443 if self._url.scheme == "https" else 80)
        addresses = await self._resolve(host, port)
        if not addresses:
            raise RemoteKeysError("the host has no address")
        for address in addresses:
            found = ip_address(address.partition("%")[0])
            _refuse_private(found, loopback=leads_to_loopback(host), private_network=self._private_network)
        return addresses[0]

    async def _download(self) -> bytes:
        host = self._url.host
        target = self._url.copy_with(host=await self._address())
        headers = {**_HEADERS, "host": self._url.netloc.decode("ascii")}
        async with (
            httpx.AsyncClient(verify=self._tls or True, trust_env=False, follow_redirects=False) as client,
            client.stream("GET", target, headers=headers, extensions={"sni_hostname": host}) as answer,
        ):
            if answer.status_code != 200:
                raise RemoteKeysError(f"the issuer answered {answer.status_code}")
            if answer.headers.get("content-encoding", "identity") != "identity":
                raise RemoteKeysError("the answer is compressed")
            return await _body(answer)


def _kid_of(token: bytes) -> str | None:
    head = token[: HEADER_MAX + 1].partition(b".")[0]
    try:
        kid = strictjson.decode(b64.decode(head)).get("kid") if len(head) <= HEADER_MAX else None
    except TokenError:
        return None  # Whoever verifies the token will say what is wrong with it.
    return kid if isinstance(kid, str) else None


async def _body(answer: httpx.Response) -> bytes:
    body = bytearray()
    async for part in answer.aiter_raw():
        body += part
        if len(body) > BYTES_MAX:
            raise RemoteKeysError("the answer is larger than 512 KiB")
    return bytes(body)


def address_of(url: str, what: str) -> httpx.URL:
    """The address that somebody configured for `what`; ConfigurationError unless it is one of https, or on loopback."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError):
        raise ConfigurationError(f"{url!r} is not the address of {what}") from None
    allowed = parsed.scheme == "https" or (parsed.scheme == "http" and leads_to_loopback(parsed.host))
    if not parsed.host or not allowed or parsed.userinfo or parsed.fragment:
        raise ConfigurationError(f"{url!r} is not the https address of {what}; plain http is for loopback alone")
    return parsed


def _refuse_private(address: IPv4Address | IPv6Address, *, loopback: bool, private_network: bool) -> None:
    """RemoteKeysError unless anybody could reach this address; those that carry another one are judged by it."""
    inner = _carried(address)
    if any(inner.version == network.version and inner in network for network in _NEVER_PUBLIC):
        raise RemoteKeysError(f"{address} is not a public address")
    if loopback:
        if not inner.is_loopback:
            raise RemoteKeysError(f"{address} is not on loopback, as its name says")
        return
    if private_network and _is_private(address):
        return
    if not inner.is_global or inner.is_multicast or inner.is_reserved or inner.is_unspecified:
        raise RemoteKeysError(f"{address} is not a public address")


def _is_private(address: IPv4Address | IPv6Address) -> bool:
    """Whether one's own issuer may have this address: itself, and not carried in one of a tunnel."""
    plain = (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
    return any(plain.version == network.version and plain in network for network in _PRIVATE)


def _carried(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(address, IPv4Address):
        return address
    if any(address in network for network in _NAT64):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1] or address
