"""One refresh for all tasks and threads of a process: who comes first makes it, the others wait for its outcome."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final

from frontdesk.client.credentials import Held
from frontdesk.client.errors import SignedOutError, UnavailableError

FLIGHT_SECONDS: Final = 40.0
"""So long one waits: longer than a lock and a refresh may take together."""

Obtain = Callable[[Held | None, str], Held]


class Flights:
    """At most one call of `obtain` at a time. What it returns or raises is everybody's."""

    def __init__(self, obtain: Obtain) -> None:
        self._obtain = obtain
        self._mutex = threading.Lock()
        self._flight: Future[Held] | None = None

    def join(self, refused: Held | None, code: str) -> Held:
        """For threads. The first one obtains by itself."""
        flight, leads = self._board()
        if leads:
            self._fly(flight, refused, code)
        try:
            return flight.result(FLIGHT_SECONDS)
        except TimeoutError:
            raise self._hangs(flight) from None
        except SignedOutError as refusal:
            raise SignedOutError(refusal.code) from None  # one of my own: several threads raise it

    async def ajoin(self, refused: Held | None, code: str) -> Held:
        """For tasks. The first one starts a thread; who is cancelled leaves it to the others."""
        flight, leads = self._board()
        if leads:
            threading.Thread(target=self._fly, args=(flight, refused, code), name="frontdesk-refresh").start()
        try:
            return await asyncio.wait_for(asyncio.wrap_future(flight), FLIGHT_SECONDS)
        except TimeoutError:
            raise self._hangs(flight) from None
        except SignedOutError as refusal:
            raise SignedOutError(refusal.code) from None

    def _board(self) -> tuple[Future[Held], bool]:
        with self._mutex:
            if self._flight is not None:
                return self._flight, False
            self._flight = Future()
            self._flight.set_running_or_notify_cancel()  # from now on nobody can cancel it
            return self._flight, True

    def _fly(self, flight: Future[Held], refused: Held | None, code: str) -> None:
        """Obtain, and tell everybody. Nothing is raised here but what interrupts this very thread."""
        try:
            found = self._obtain(refused, code)
        except Exception as fault:  # noqa: BLE001 - it is raised where it is waited for
            self._land(flight)
            flight.set_exception(fault)
        except BaseException:
            self._land(flight)
            flight.set_exception(UnavailableError("the refresh was interrupted"))
            raise
        else:
            self._land(flight)
            flight.set_result(found)

    def _land(self, flight: Future[Held]) -> None:
        with self._mutex:
            if self._flight is flight:
                self._flight = None

    def _hangs(self, flight: Future[Held]) -> UnavailableError:
        """It hangs, or belongs to the process that this one was forked from: the next one makes another."""
        self._land(flight)
        return UnavailableError("a refresh takes too long")
