"""One question at a time per key: many who ask the same share an answer that is no older than each of their calls."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from frontdesk.errors import OverloadedError

T = TypeVar("T")

MOST_AT_ONCE: Final = 64
MOST_WAITING: Final = 4096
PATIENCE: Final = 3.0
"""Seconds that a question waits to be sent. A store that does not answer would keep thousands waiting in turns."""


class _Loop:
    """What belongs to one event loop."""

    def __init__(self, most_at_once: int) -> None:
        self.turns = asyncio.Semaphore(most_at_once)
        self.waiting = 0


class Flights(Generic[T]):
    """Single flight. Whoever asks while the same question is being answered waits for the *next* answer.

    To join a question that was sent already would be wrong: its answer may be older than the call, and then a
    revocation that was acknowledged in between would be missed. At most two questions per key are under way, one
    that was sent and one that collects callers. `most_at_once` questions are sent at a time, of all keys; more than
    `most_waiting` callers raise OverloadedError, and so does a question that has waited for `patience` seconds.
    """

    def __init__(
        self, *, most_at_once: int = MOST_AT_ONCE, most_waiting: int = MOST_WAITING, patience: float = PATIENCE
    ) -> None:
        self._most_at_once = most_at_once
        self._most_waiting = most_waiting
        self._patience = patience
        self._collecting: dict[tuple[int, str], asyncio.Task[T]] = {}
        self._newest: dict[tuple[int, str], asyncio.Task[T]] = {}
        self._loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Loop] = weakref.WeakKeyDictionary()
        self.questions = 0
        """How many were sent so far."""

    async def ask(self, key: str, question: Callable[[], Awaitable[T]]) -> T:
        """The answer to `question`, which stands for the question of everybody who asks under `key`.

        Raises what the question raised, or OverloadedError. A caller that is cancelled leaves it to the others.
        """
        running = asyncio.get_running_loop()
        loop = self._loops.get(running)
        if loop is None:
            loop = self._loops[running] = _Loop(self._most_at_once)
        if loop.waiting >= self._most_waiting:
            raise OverloadedError("too many requests wait for the store")
        place = id(running), key
        task = self._collecting.get(place)
        if task is None:
            task = running.create_task(self._fly(place, loop, self._newest.get(place), question))
            self._collecting[place] = self._newest[place] = task
            task.add_done_callback(lambda done: self._landed(place, done))
        loop.waiting += 1
        try:
            return await asyncio.shield(task)
        finally:
            loop.waiting -= 1

    async def _fly(
        self,
        place: tuple[int, str],
        loop: _Loop,
        before: asyncio.Task[T] | None,
        question: Callable[[], Awaitable[T]],
    ) -> T:
        try:
            async with asyncio.timeout(self._patience):
                if before is not None:
                    await asyncio.wait([before])
                await loop.turns.acquire()
        except TimeoutError:
            raise OverloadedError("too many requests wait for the store") from None
        try:
            # From here on nobody may join.
            self._collecting.pop(place, None)
            self.questions += 1
            return await question()
        finally:
            loop.turns.release()

    def _landed(self, place: tuple[int, str], task: asyncio.Task[T]) -> None:
        if self._collecting.get(place) is task:
            del self._collecting[place]  # cancelled before it was sent
        if self._newest.get(place) is task:
            del self._newest[place]
        if not task.cancelled():
            task.exception()  # looked at, also when everybody who waited has gone
