"""The connections of one event loop: a bounded number, a bounded queue in front of them, a time limit on each use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from redis import exceptions
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import NoScriptError, ReadOnlyError, RedisError, ResponseError

from frontdesk.errors import ConfigurationError, OverloadedError, StoreError
from frontdesk.stores.redis.connecting import Connector, hang_up, is_quiet
from frontdesk.stores.redis.faults import leads_nowhere, store_error, timed_out
from frontdesk.stores.redis.listening import Listening
from frontdesk.stores.redis.names import Names
from frontdesk.stores.redis.scripts import Script
from frontdesk.stores.redis.settings import Limits, Settings

T = TypeVar("T")
Value = str | bytes | int
Command = tuple[Value, ...]

CLOSED = "the store is not open"


class Line:
    """One connection, for as long as one operation has it: all that goes over it reaches one and the same server.

    `limit`: the time limit of the operation. `sound`: no answer is outstanding, so that others may use the connection.
    """

    def __init__(self, connection: AbstractConnection, limit: asyncio.Timeout, names: Names, limits: Limits) -> None:
        self.names = names
        self._connection = connection
        self._limit = limit
        self._outstanding = 0
        self._probe: Command = ("DEL", names.nothing)
        # The server looks for those whose time is up ten times a second.
        wait_ms = max(int(limits.seconds * 750) - 100, 1)
        self._wait: Command = ("WAIT", limits.wait_replicas, wait_ms)
        self._replicas = limits.wait_replicas

    @property
    def sound(self) -> bool:
        return self._outstanding == 0 and self._connection.is_connected

    async def ask(self, *commands: Command) -> list[Any]:
        """The answers to commands that read, from a server that was the primary when it gave them.

        A replica would answer, too; therefore each question ends with the removal of a key that never exists, which a
        replica refuses to attempt. What else may keep a primary from writing does not matter here.
        """
        *answers, probe = await self._exchange(*commands, self._probe)
        for reply in (*answers, probe):
            if isinstance(reply, Exception) and (reply is not probe or isinstance(reply, ReadOnlyError)):
                raise reply
        return answers

    async def run(self, script: Script, keys: Sequence[Value], *arguments: Value) -> Any:
        """The outcome of a script; of one that writes, when as many replicas have it as are waited for."""
        rest = () if script.writes else (self._probe,)
        answer, *probe = await self._exchange(("EVALSHA", script.sha, len(keys), *keys, *arguments), *rest)
        if isinstance(answer, NoScriptError):  # the server has not seen it yet, or was started anew
            answer, *probe = await self._exchange(("EVAL", script.text, len(keys), *keys, *arguments), *rest)
        for reply in (answer, *probe):
            if isinstance(reply, Exception) and (reply is answer or isinstance(reply, ReadOnlyError)):
                raise reply
        if script.writes and self._replicas:
            await self._wait_for_replicas()
        return answer

    async def _wait_for_replicas(self) -> None:
        """Return when enough of them have what this connection has written, and all that it saw."""
        (confirmed,) = await self._exchange(self._wait)
        if isinstance(confirmed, Exception):
            raise confirmed
        if confirmed < self._replicas:
            detail = f"{confirmed} of {self._replicas}"
            raise StoreError("too few replicas acknowledged the write in time", detail=detail)

    async def _exchange(self, *commands: Command) -> list[Any]:
        """Send commands at once and return what is answered, errors of the server included.

        Whoever cancels it hears of that when the answers are there, or the time is up: so that a write is done or not
        done then, and not about to happen, and the connection is not lost.
        """
        packed = self._connection.pack_commands(commands)
        self._outstanding = len(commands)
        await self._send(packed)
        answers: list[Any] = []
        cancellation: asyncio.CancelledError | None = None
        while self._outstanding:
            try:
                answers.append(await self._connection.read_response(disconnect_on_error=False))
            except ResponseError as error:
                answers.append(error)
            except asyncio.CancelledError as cancelled:
                if self._limit.expired():
                    raise
                cancellation = cancelled
                continue
            self._outstanding -= 1
        if cancellation is not None:
            raise cancellation
        return answers

    async def _send(self, packed: list[bytes]) -> None:
        if not self._connection.is_connected:  # redis-py would connect anew, perhaps to another server
            raise exceptions.ConnectionError("the connection was lost")
        try:
            await self._connection.send_packed_command(packed)
        except RuntimeError as lost:  # what uvloop says of a transport that is closed
            raise exceptions.ConnectionError("the connection was lost") from lost


class Client:
    """Made inside its event loop, which it does not outlive: a task of its own closes everything when the loop ends."""

    def __init__(self, settings: Settings) -> None:
        self._names = settings.names
        self._limits = settings.limits
        self._connector = Connector(settings.address, settings.limits.seconds)
        self._slots = asyncio.Semaphore(settings.limits.max_connections)
        self._waiting = 0
        self._idle: list[AbstractConnection] = []
        self._generation = 0
        self._ended = False
        self.listening = Listening(self._connector, settings.names.log, settings.limits.seconds)
        self._keeper = asyncio.get_running_loop().create_task(self._keep(), name="frontdesk-redis")

    async def perform(self, operation: Callable[[Line], Awaitable[T]], *, seconds: float | None = None) -> T:
        """The outcome of `operation` on a line of its own. Nothing is tried twice.

        OverloadedError when too many wait; StoreError for every fault, and when `seconds` (None: those of the limits)
        are over.
        """
        try:
            return await self.open(operation, seconds=seconds)
        except ConfigurationError as error:  # the server is another one than it was when the store was opened
            fault = StoreError(error.message)
        raise fault

    async def open(self, operation: Callable[[Line], Awaitable[T]], *, seconds: float | None = None) -> T:
        """`perform`, but with ConfigurationError for a server that must be another one or set up differently."""
        seconds = self._limits.seconds if seconds is None else seconds
        try:
            async with asyncio.timeout(seconds) as limit, self._turn():
                return await self._with_line(operation, limit)
        except TimeoutError:
            await self._renew()
            fault = timed_out(seconds)
        except (RedisError, OSError) as error:
            if leads_nowhere(error):
                await self._renew()
            fault = store_error(error)
        # Not inside the handlers: the server's own text, which could be seen in a traceback, may hold a password.
        raise fault

    def abandon(self) -> bool:
        """Let everything go, when the loop has ended. Whether it ended well, that is, cancelled its tasks first, as
        `asyncio.run` does; else this hangs up, and the objects must be kept: no transport closes without its loop."""
        for connection in (*self._idle, *self.listening.connections):
            hang_up(connection)
        return self._keeper.done()

    async def close(self) -> None:
        """Finish what was accepted, then release everything."""
        self._ended = True
        self.listening.end()
        for _ in range(self._limits.max_connections):
            await self._slots.acquire()
        self._keeper.cancel()
        await asyncio.wait((self._keeper,))

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._ended:
            raise StoreError(CLOSED)
        if self._slots.locked() and self._waiting >= self._limits.max_waiting:
            raise OverloadedError("too many operations are waiting for the store")
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._slots.release()

    async def _with_line(self, operation: Callable[[Line], Awaitable[T]], limit: asyncio.Timeout) -> T:
        generation = self._generation
        connection = await self._connection()
        line = Line(connection, limit, self._names, self._limits)
        try:
            return await operation(line)
        finally:
            if line.sound and generation == self._generation and not self._keeper.done():
                self._idle.append(connection)
            else:
                await connection.disconnect(nowait=True)

    async def _connection(self) -> AbstractConnection:
        while self._idle:
            connection = self._idle.pop()
            if is_quiet(connection):
                return connection
            await connection.disconnect(nowait=True)
        return await self._connector.connect()

    async def _renew(self) -> None:
        """Use new connections only, for which the primary is looked for again."""
        self._generation += 1
        await self._release()
        await self.listening.renew()

    async def _keep(self) -> None:
        try:
            await self.listening.run()
        finally:
            await self._release()

    async def _release(self) -> None:
        while self._idle:
            await self._idle.pop().disconnect(nowait=True)
