"""The revocation log of a desk, read over HTTP by a service that has no store. Needs `frontdesk[http]`.

Who can answer in the desk's place can keep revocations back, so https alone, no redirects, no proxy from the
environment, and an answer that is not to the letter what the desk promises is a fault: nothing is taken from it.
"""

from __future__ import annotations

import asyncio
import ssl
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Annotated, Final, Literal

import httpx
import msgspec
from msgspec import Meta

from frontdesk.core.revocation import Entry
from frontdesk.errors import StoreError
from frontdesk.stores.protocol import NO_TIME, Poll
from frontdesk.verifier.follow import PAGE
from frontdesk.verifier.remote_keys import address_of

BYTES_MAX: Final = 4 * 1024 * 1024
"""Octets of one answer; a page of 5,000 entries has about one million."""
SECONDS_MAX: Final = 2.0
"""How long an answer may take, beyond the time that the desk was asked to wait."""

_REFUSED: Final = (
    "the desk refuses the service credential; `frontdesk services add` on the desk makes one with the scope revocations"
)

_Number = Annotated[int, Meta(ge=0, le=2**63 - 1)]
_Moment = Annotated[datetime, Meta(tz=True)]
_Text = Annotated[str, Meta(max_length=512)]


class _Line(msgspec.Struct, frozen=True):
    """One entry. One of a kind that is not known here cannot be passed over: it ends something."""

    number: _Number
    kind: Literal["session", "subject", "key", "all"]
    target: _Text
    epoch: _Number
    expires_at: _Moment


class _Page(msgspec.Struct, frozen=True):
    """What the desk answers; members that are not named here are for others."""

    issuer: _Text
    realm: _Text
    history: Annotated[str, Meta(min_length=1, max_length=256)]
    cursor: _Number
    head: _Number
    store_time: _Moment
    entries: Annotated[tuple[_Line, ...], Meta(max_length=PAGE)]


_decode: Final = msgspec.json.Decoder(_Page).decode


class HttpSource:
    """Polls one desk. Faults raise StoreError, whose message holds no credential.

    url: of the desk's revocations; https, plain http on loopback alone. credential: a service credential of the desk
    with the scope `revocations`. realm, issuer: those of the desk. Who waits for entries keeps one
    connection; a poll that does not wait makes one for itself.
    """

    def __init__(
        self, url: str, credential: str, realm: str, *, issuer: str, tls: ssl.SSLContext | None = None
    ) -> None:
        self._url = address_of(url, "a revocation log")
        self._realm = realm
        self._issuer = issuer
        self._tls = tls
        self._headers = {
            "authorization": f"Bearer {credential}",
            "accept": "application/json",
            "accept-encoding": "identity",
        }
        self._home: tuple[asyncio.AbstractEventLoop, httpx.AsyncClient] | None = None

    async def poll(self, cursor: int, *, limit: int = PAGE, wait: timedelta = NO_TIME) -> Poll:
        """As `Store.poll`: the realm's entries after `cursor`, their sessions and subjects as digests."""
        query = {"cursor": str(cursor), "limit": str(limit), "wait": f"{wait.total_seconds():.6f}"}
        try:
            async with asyncio.timeout(wait.total_seconds() + SECONDS_MAX):
                body = await self._ask(query, waits=wait > NO_TIME)
            page = _decode(body)
        except (httpx.HTTPError, OSError, ValueError, RuntimeError, ExceptionGroup) as fault:
            # OSError: also TimeoutError. RuntimeError: a client that was closed while it was used.
            raise StoreError(
                "the desk cannot be asked", detail=f"{self._url}: {type(fault).__name__}: {fault}"
            ) from None
        return self._checked(page, cursor)

    async def close(self) -> None:
        """Release the connections. A later poll opens new ones."""
        home, self._home = self._home, None
        if home is not None and home[0] is asyncio.get_running_loop():
            await home[1].aclose()

    async def _ask(self, query: dict[str, str], *, waits: bool) -> bytes:
        loop = asyncio.get_running_loop()
        if waits and (self._home is None or self._home[0].is_closed()):
            self._home = loop, self._client()
        if not waits or self._home is None or self._home[0] is not loop:
            # A client of its own: that of the waiting may be closed at any moment, and would forget a connection that
            # is just being made.
            async with self._client() as client:
                return await self._read(client, query)
        try:
            return await self._read(self._home[1], query)
        except asyncio.CancelledError:
            await self.close()  # who ends the waiting ends the following, perhaps with the loop
            raise

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            verify=self._tls or True,
            trust_env=False,
            follow_redirects=False,
            timeout=None,  # noqa: S113 - `poll` limits the whole
            limits=httpx.Limits(max_keepalive_connections=1),
        )

    async def _read(self, client: httpx.AsyncClient, query: dict[str, str]) -> bytes:
        async with client.stream("GET", self._url.copy_merge_params(query), headers=self._headers) as answer:
            if answer.status_code in {401, 403}:
                raise StoreError(_REFUSED, detail=f"{self._url}: {answer.status_code}")
            if answer.status_code != 200:
                raise StoreError("the desk cannot be asked", detail=f"{self._url}: it answered {answer.status_code}")
            if answer.headers.get("content-encoding", "identity") != "identity":
                raise StoreError("the desk cannot be asked", detail=f"{self._url}: the answer is compressed")
            body = bytearray()
            async for part in answer.aiter_raw():
                body += part
                if len(body) > BYTES_MAX:
                    raise StoreError("the desk cannot be asked", detail=f"{self._url}: the answer is larger than 4 MiB")
            return bytes(body)

    def _checked(self, page: _Page, asked: int) -> Poll:
        if page.realm != self._realm:
            # Its digests are of another realm's sessions: none would ever be found.
            raise StoreError(f"the desk's realm is {page.realm!r}, not {self._realm!r}; say so with realm=")
        if page.issuer != self._issuer:
            # Every token would be refused, and nobody would know why.
            raise StoreError(f"the desk's issuer is {page.issuer!r}, not {self._issuer!r}; set its base_url")
        entries = tuple(
            Entry(
                number=line.number,
                realm=self._realm,
                kind=line.kind,
                target=line.target,
                epoch=line.epoch,
                at=page.store_time,
                expires_at=line.expires_at,
            )
            for line in page.entries
        )
        if page.head < asked:  # it went back: where to read on is for who follows to say
            return Poll((), page.cursor, page.history, page.head, page.store_time)
        numbers = [asked, *(entry.number for entry in entries)]
        rising = all(before < after for before, after in pairwise(numbers))
        stands_still = page.cursor == asked < page.head
        if not rising or not numbers[-1] <= page.cursor <= page.head or stands_still:
            raise StoreError("the desk cannot be asked", detail=f"{self._url}: the numbers of its entries do not fit")
        return Poll(entries, page.cursor, page.history, page.head, page.store_time)
