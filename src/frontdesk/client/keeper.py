"""Keeps the credentials of one session: in memory, in the storage, and fresh. Everything here may block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import httpx

from frontdesk.client.credentials import Credentials, Held, Timers, hold
from frontdesk.client.desk import OVER, REPLY_SECONDS, Desk, Renewed, renewal
from frontdesk.client.errors import SignedOutError, UnavailableError
from frontdesk.client.flow import TOKEN_EXPIRED
from frontdesk.client.storage import Storage
from frontdesk.core.credentials import parse

LOCK_SECONDS: Final = 15.0
"""So long another's refresh is waited for, which takes 14 s at most: whoever holds the lock longer is stopped."""
ANSWER_BYTES: Final = 64 * 1024


class Sender:
    """Sends what is for the desk itself. It follows no redirect: a credential stands in the body."""

    def __init__(self, desk: Desk, client: httpx.Client | None) -> None:
        if not isinstance(client, httpx.Client | None):
            raise TypeError("client is a httpx.Client, which asynchronous programs use in a thread")
        self._client = client
        # On loopback no proxy of the environment is asked: it would see what is not encrypted.
        self._trust_env = not desk.plain

    def send(self, request: httpx.Request) -> httpx.Response:
        """The answer, read whole. Raises httpx.HTTPError."""
        if self._client is not None:
            return _read(self._client, request)
        with httpx.Client(trust_env=self._trust_env) as client:
            return _read(client, request)

    def ask(self, request: httpx.Request, seconds: float) -> httpx.Response:
        """The answer; UnavailableError for a fault on the way, and when a step of it takes longer than `seconds`."""
        request.extensions["timeout"] = httpx.Timeout(seconds).as_dict()
        try:
            return self.send(request)
        except httpx.HTTPError as fault:
            raise UnavailableError("the desk could not be asked", detail=type(fault).__name__).about(request) from None


def _read(client: httpx.Client, request: httpx.Request) -> httpx.Response:
    answer = client.send(request, auth=None, follow_redirects=False, stream=True)
    try:
        body = bytearray()
        for part in answer.iter_bytes():
            body += part
            if len(body) > ANSWER_BYTES:
                raise httpx.DecodingError("the answer is larger than 64 KiB")
    finally:
        answer.close()
    return httpx.Response(answer.status_code, headers=answer.headers, content=bytes(body))


class Keeper:
    """The credentials of one session at one desk. `held` is what this process uses; the storage is what counts."""

    def __init__(self, desk: Desk, storage: Storage, sender: Sender, timers: Timers) -> None:
        self._desk = desk
        self._storage = storage
        self._sender = sender
        self._timers = timers
        self.held: Held | None = None

    def stored(self) -> Credentials | None:
        """What the storage holds for this desk. What belongs to another is never shown to this one."""
        stored = self._storage.load()
        return stored if stored is not None and stored.desk == self._desk.url else None

    def take(self, credentials: Credentials) -> None:
        """Keep what a sign-in has brought."""
        with self._storage.lock(LOCK_SECONDS):
            self._storage.save(credentials)
            self._adopt(credentials)

    def release(self, end: Callable[[Credentials], None]) -> None:
        """Have `end` end the session of what is kept, then forget it; nothing is forgotten when that raises."""
        with self._storage.lock(LOCK_SECONDS):
            stored = self.stored()
            if stored is not None:
                end(stored)
                self._forget(stored)
            self.held = None

    def obtain(self, refused: Held | None, code: str) -> Held:
        """Credentials that were not refused: what another process has saved meanwhile, or renewed ones.

        Under the storage's lock if it can be had; without it the rules of rotation keep everybody signed in.
        """
        with self._storage.lock(LOCK_SECONDS) as alone:
            begun = self._timers.boot()
            stored = self.stored()
            if stored is None:
                self.held = None
                raise SignedOutError(code if code in OVER else "not_signed_in")
            if code in OVER and refused is not None and stored.is_of_session_of(refused.credentials):
                self._forget(stored)
                raise SignedOutError(code)
            if self._may_serve(stored, refused, alone=alone):
                return self._adopt(stored)
            if not stored.refresh_token:
                self._forget(stored)
                raise SignedOutError(TOKEN_EXPIRED)
            renewed = self._renew(stored)
            if isinstance(renewed, Held):
                return renewed
            if self._timers.boot() - begun <= REPLY_SECONDS:
                return self._keep(stored, renewed, alone=alone, begun=begun)
        with self._storage.lock(LOCK_SECONDS) as alone:
            # This process was stopped, or the desk was slow: others may have gone on without the first lock.
            return self._keep(stored, renewed, alone=alone, begun=None)

    def _may_serve(self, stored: Credentials, refused: Held | None, *, alone: bool) -> bool:
        """Whether another process, or a new sign-in, has brought something since that is not due."""
        if self._timers.boot() >= hold(stored, self._timers).renew_at:
            return False
        if refused is None or not stored.is_of_session_of(refused.credentials):
            return True
        # Without the lock the order is not known: of several that expired at once each may have brought one.
        known = refused.credentials
        return alone and stored.access_token != known.access_token and stored.issued_at > known.issued_at

    def _renew(self, stored: Credentials) -> Held | Renewed:
        """What the desk grants; after a refusal what somebody else has saved meanwhile."""
        try:
            return self._ask(stored)
        except SignedOutError as refusal:
            current = self.stored()
            if current is not None and current.refresh_token != stored.refresh_token:
                return self._adopt(current)
            if refusal.code in OVER:
                self._forget(stored)
            raise

    def _keep(self, presented: Credentials, renewed: Renewed, *, alone: bool, begun: float | None) -> Held:
        """Save what the desk granted for `presented` before anybody uses it, unless the storage has moved on.

        What is late counts as lost: who came after may have burnt it. But where the storage holds a token between the
        one that was presented and the one that this brought, it is that one which was burnt.
        """
        current = self.stored()
        late = begun is None or self._timers.boot() - begun > REPLY_SECONDS
        if current is None:
            self.held = None
            raise SignedOutError("not_signed_in")
        if current.refresh_token != presented.refresh_token:
            if not _lies_between(presented, current, renewed.credentials):
                return self._adopt(current)
        elif late and renewed.minted:
            raise UnavailableError("the answer to a refresh came too late")
        if renewed.minted or (alone and not late):  # else another may be saving a newer refresh token just now
            self._storage.save(renewed.credentials)
        return self._adopt(renewed.credentials)

    def _ask(self, stored: Credentials) -> Renewed:
        asking = renewal(self._desk, stored, self._timers)
        request = next(asking)
        while True:
            try:
                answer: httpx.Response | httpx.HTTPError = self._sender.send(request)
            except httpx.HTTPError as fault:
                answer = fault
            try:
                request = asking.send(answer)
            except StopIteration as end:
                renewed: Renewed = end.value
                return renewed

    def _adopt(self, credentials: Credentials) -> Held:
        self.held = hold(credentials, self._timers)
        return self.held

    def _forget(self, refused: Credentials) -> None:
        """Forget what was refused, unless the storage holds something else by now."""
        self.held = None
        current = self.stored()
        if current is not None and current.is_of_session_of(refused):
            self._storage.clear()


def _lies_between(presented: Credentials, current: Credentials, brought: Credentials) -> bool:
    tokens = [parse(each.refresh_token.encode()) for each in (presented, current, brought)]
    known = [token for token in tokens if token is not None]
    if len(known) < len(tokens) or len({token.session_id for token in known}) > 1:
        return False
    before, kept, after = (token.generation for token in known)
    return before < kept < after
