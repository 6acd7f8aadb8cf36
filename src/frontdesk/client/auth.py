"""`FrontdeskAuth`: authentication for `httpx.Client` and `httpx.AsyncClient`.

Refreshes are not yielded to the client whose request waits for them, but sent beside it. httpx tells a flow nothing of
a fault on the way, so that a lost answer could not be asked for again; a client that follows redirects would carry the
refresh token to wherever it is sent; and a request that is cancelled would take a new refresh token with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Literal, Self, TypeVar

import httpx

from frontdesk.client.credentials import Credentials, Held, Timers
from frontdesk.client.desk import (
    REPLY_SECONDS,
    SIGN_IN_SECONDS,
    Desk,
    read_sign_in,
    read_sign_out,
)
from frontdesk.client.errors import UnavailableError
from frontdesk.client.flights import Flights
from frontdesk.client.flow import Need, steps
from frontdesk.client.keeper import Keeper, Sender
from frontdesk.client.storage import MemoryStorage, Storage

CredentialChoice = Literal["session", "jwt", "jwe"]

T = TypeVar("T")

_SYSTEM_TIMERS: Final = Timers()


class FrontdeskAuth(httpx.Auth):
    """Shows the credentials of one session to one application, and keeps them fresh.

    base_url: the application's address, https unless it is on loopback. prefix: where the desk is mounted below it.
    origins: other addresses that may see the access token, such as services with a `Verifier`. storage: where the
    credentials are kept; by default as long as the process lives. client: asks the desk (proxies, TLS); asynchronous
    programs, too, give a `httpx.Client`, which is used in a thread. insecure_http: take addresses that are plain http
    and not on loopback, where everybody on the way can read the credentials. timers: for tests that move time.

    For any number of threads, tasks and event loops (asyncio). A request raises SignedOutError when nobody is signed in
    or no more, UnavailableError when the desk was needed and could not be asked, StorageError when what it gave could
    not be kept. Set `requires_request_body` to have every body read into memory, so that those of files and generators
    can be repeated, too.
    """

    requires_request_body = False

    def __init__(
        self,
        base_url: str,
        *,
        storage: Storage | None = None,
        prefix: str = "/auth",
        origins: Collection[str] = (),
        client: httpx.Client | None = None,
        insecure_http: bool = False,
        timers: Timers = _SYSTEM_TIMERS,
    ) -> None:
        self._desk = Desk(base_url, prefix=prefix, origins=origins, insecure_http=insecure_http)
        self._sender = Sender(self._desk, client)
        self._timers = timers
        self._keeper = Keeper(self._desk, MemoryStorage() if storage is None else storage, self._sender, timers)
        self._flights = Flights(self._keeper.obtain)

    @classmethod
    def from_tokens(
        cls,
        base_url: str,
        access_token: str,
        refresh_token: str = "",
        expires_in: int = 0,
        *,
        storage: Storage | None = None,
        prefix: str = "/auth",
        origins: Collection[str] = (),
        client: httpx.Client | None = None,
        insecure_http: bool = False,
    ) -> Self:
        """With tokens that a sign-in has just brought elsewhere. They are saved; from now on only this may use them."""
        auth = cls(
            base_url, storage=storage, prefix=prefix, origins=origins, client=client, insecure_http=insecure_http
        )
        tokens = Credentials(
            desk=auth._desk.url,
            access_token=access_token,
            refresh_token=refresh_token,
            expires_in=expires_in,
            issued_at=auth._timers.wall(),
        )
        auth._keeper.take(tokens)
        return auth

    def __repr__(self) -> str:
        return f"FrontdeskAuth({self._desk.url!r})"

    @property
    def signed_in(self) -> bool:
        """Whether credentials are there. The desk is not asked: it may have ended the session meanwhile."""
        return self._keeper.stored() is not None

    @property
    def subject(self) -> str | None:
        """Who is signed in, as far as a sign-in or a refresh has said it; None when nobody is."""
        stored = self._keeper.stored()
        return None if stored is None else stored.subject or None

    def sign_in(self, email: str, password: str, *, credential: CredentialChoice | None = None) -> str:
        """Sign in and return the subject. The password is not kept.

        credential: None leaves the choice to the deployment. What was held before is replaced, and its session goes on:
        sign out first to end it. SignInError when the desk refuses, UnavailableError when it could not be asked.
        """
        issued_at = self._timers.wall()
        answer = self._sender.ask(self._desk.login(email, password, credential), SIGN_IN_SECONDS)
        signed = read_sign_in(self._desk, answer, issued_at)
        self._keeper.take(signed)
        return signed.subject

    async def asign_in(self, email: str, password: str, *, credential: CredentialChoice | None = None) -> str:
        """`sign_in` for asynchronous programs."""
        return await _in_thread(lambda: self.sign_in(email, password, credential=credential))

    def sign_out(self) -> None:
        """End the session at the desk and forget it. Does nothing when nobody is signed in.

        UnavailableError when the desk could not be asked or did not acknowledge: then the session goes on, and nothing
        is forgotten.
        """
        self._keeper.release(lambda stored: read_sign_out(self._sender.ask(self._desk.logout(stored), REPLY_SECONDS)))

    async def asign_out(self) -> None:
        """`sign_out` for asynchronous programs."""
        await _in_thread(self.sign_out)

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """For `httpx.Client`."""
        if self.requires_request_body:
            request.read()
        flow = steps(request, self._desk)
        step = next(flow)
        while True:
            if isinstance(step, Need):
                answer: Held | httpx.Response = self._provide(step, request)
            else:
                answer = yield step
            try:
                step = flow.send(answer)
            except StopIteration:
                return

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """For `httpx.AsyncClient`."""
        if self.requires_request_body:
            await request.aread()
        flow = steps(request, self._desk)
        step = next(flow)
        while True:
            if isinstance(step, Need):
                answer: Held | httpx.Response = await self._aprovide(step, request)
            else:
                answer = yield step
            try:
                step = flow.send(answer)
            except StopIteration:
                return

    def _provide(self, need: Need, request: httpx.Request) -> Held:
        held = self._keeper.held
        while held is None or not self._serves(held, need):
            try:
                found = self._flights.join(need.refused or held, need.code)
            except UnavailableError as fault:
                return self._in_spite_of(fault, need, held, request)
            if _differs(found, need.refused):
                return found
            held = found
        return held

    async def _aprovide(self, need: Need, request: httpx.Request) -> Held:
        held = self._keeper.held
        while held is None or not self._serves(held, need):
            try:
                found = await self._flights.ajoin(need.refused or held, need.code)
            except UnavailableError as fault:
                return self._in_spite_of(fault, need, held, request)
            if _differs(found, need.refused):
                return found
            held = found
        return held

    def _serves(self, held: Held, need: Need) -> bool:
        return _differs(held, need.refused) and self._timers.boot() < held.renew_at

    def _in_spite_of(self, fault: UnavailableError, need: Need, held: Held | None, request: httpx.Request) -> Held:
        """A token that was to be renewed early is good until it expires; else the fault, told about this request."""
        if need.refused is None and held is not None and self._timers.boot() < held.expires_at:
            return held
        raise fault.about(request) from None


def _differs(held: Held, refused: Held | None) -> bool:
    return refused is None or held.credentials.access_token != refused.credentials.access_token


async def _in_thread(work: Callable[[], T]) -> T:
    """In a thread of its own: those of the event loop may all be taken, by whoever waits for this."""
    executor = ThreadPoolExecutor(1, "frontdesk-client")
    try:
        return await asyncio.get_running_loop().run_in_executor(executor, work)
    finally:
        executor.shutdown(wait=False)
