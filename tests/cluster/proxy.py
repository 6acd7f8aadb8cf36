"""A TCP proxy between a node and its store, in a process of its own, told from the test what to do to the bytes.

Two directions: `requests` go to the store, `answers` come from it. What can be done to a direction:

- **delay** it: what comes is passed on so much later, in order;
- **pause** it: nothing is read any more, so that the sender's buffers fill up, as at a receiver that stands still;
- **hold** it: everything is read, and nothing is passed on before the hold ends; then all of it, in order, late.

And to the whole way:

- **drop**: all connections are reset; new ones may be made;
- **refuse**: nobody listens any more;
- **cut**: whatever comes is swallowed, and nobody is told. A connection that lives through a cut stays mute for ever,
  as behind a router that has forgotten it; those that are made after it was mended work.

`python -m tests.cluster.proxy` is the process: it says the port that it listens on, reads one command a line, and ends
with its standard input. Its two ends may lie in different network namespaces, so that it leads from one to another.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Literal, Self

import msgspec

from tests.cluster.network import inside

ROOT: Final = Path(__file__).parents[2]
PATIENCE: Final = 30.0
"""Seconds in which the process must have ended."""

Direction = Literal["requests", "answers"]
Flow = Literal["pass", "pause", "hold"]
_BOTH: Final[tuple[Direction, ...]] = ("requests", "answers")
_CHUNK: Final = 65536
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: closing says RST instead of FIN


class Address(msgspec.Struct, frozen=True):
    """Where to listen or to go: in the namespace of that name, or in our own. `path` is a Unix socket."""

    host: str = "127.0.0.1"
    port: int = 0
    path: str = ""
    namespace: str = ""


class Plan(msgspec.Struct, frozen=True):
    """The two ends."""

    listen: Address
    to: Address


class Command(msgspec.Struct, frozen=True, omit_defaults=True):
    """What to do from now on."""

    do: Literal["flow", "delay", "drop", "refuse", "listen", "cut", "mend", "state"]
    direction: Direction = "answers"
    flow: Flow = "pass"
    seconds: float = 0.0


class State(msgspec.Struct, frozen=True):
    """The answer to each command, given after it was carried out: bytes that are kept back, connections that live."""

    port: int
    connections: int
    kept: int


class Proxy:
    """The process, as a context manager; ended whatever happens. Each command is in force when its call returns."""

    def __init__(self, to: Address, *, listen: Address | None = None) -> None:
        plan = Plan(listen or Address(), to)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.cluster.proxy", msgspec.json.encode(plan).decode()],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.port = 0

    def __enter__(self) -> Self:
        try:
            self.port = self._hear().port
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process. Idempotent."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise

    def delay(self, direction: Direction, seconds: float) -> None:
        """Pass on what comes from now on so much later."""
        self._tell(Command("delay", direction=direction, seconds=seconds))

    def pause(self, *directions: Direction) -> None:
        for direction in directions:
            self._tell(Command("flow", direction=direction, flow="pause"))

    def hold(self, *directions: Direction) -> None:
        for direction in directions:
            self._tell(Command("flow", direction=direction, flow="hold"))

    def release(self) -> None:
        """End every pause, hold and delay; what was held goes out at once and in order."""
        for direction in _BOTH:
            self._tell(Command("delay", direction=direction))
            self._tell(Command("flow", direction=direction))

    def drop(self) -> None:
        self._tell(Command("drop"))

    def refuse(self) -> None:
        self._tell(Command("refuse"))

    def listen(self) -> None:
        """After `refuse`: on the same port again."""
        self._tell(Command("listen"))

    def cut(self) -> None:
        self._tell(Command("cut"))

    def mend(self) -> None:
        self._tell(Command("mend"))

    @property
    def connections(self) -> int:
        return self._tell(Command("state")).connections

    @property
    def kept(self) -> int:
        """How many bytes are kept back."""
        return self._tell(Command("state")).kept

    @contextmanager
    def held(self, *directions: Direction) -> Iterator[None]:
        """Hold for the length of the block."""
        self.hold(*directions)
        try:
            yield
        finally:
            self.release()

    def _tell(self, command: Command) -> State:
        stdin = self._process.stdin
        assert stdin is not None
        stdin.write(msgspec.json.encode(command) + b"\n")
        stdin.flush()
        return self._hear()

    def _hear(self) -> State:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the proxy has ended with {self._process.wait(PATIENCE)}"
        return msgspec.json.decode(line, type=State)


# --- the process ----------------------------------------------------------------------------------------------


class _Rules:
    """What is in force. Whoever waits for it to change waits on `changed`."""

    def __init__(self) -> None:
        self.flow: dict[Direction, Flow] = {"requests": "pass", "answers": "pass"}
        self.delay: dict[Direction, float] = {"requests": 0.0, "answers": 0.0}
        self.cut = False
        self._changed = asyncio.Event()

    def change(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def changed(self) -> None:
        await self._changed.wait()


class _Lane:
    """One direction of one connection. An empty piece is the end of the stream."""

    def __init__(
        self, rules: _Rules, direction: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._rules = rules
        self._direction = direction
        self._reader = reader
        self._writer = writer
        self._pieces: deque[tuple[float, bytes]] = deque()
        self._filled = asyncio.Event()
        self.mute = rules.cut

    @property
    def kept(self) -> int:
        return sum(len(piece) for _, piece in self._pieces)

    async def fill(self) -> None:
        while True:
            while self._rules.flow[self._direction] == "pause":
                await self._rules.changed()
            piece = await self._reader.read(_CHUNK)
            if not self.mute:
                self._pieces.append((time.monotonic() + self._rules.delay[self._direction], piece))
                self._filled.set()
            if not piece:
                return

    async def empty(self) -> None:
        while True:
            while not self._pieces:
                self._filled.clear()
                await self._filled.wait()
            due, piece = self._pieces[0]
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            while self._rules.flow[self._direction] != "pass":
                await self._rules.changed()
            if self.mute:
                self._pieces.clear()
                continue
            self._pieces.popleft()
            if not piece:
                self._writer.write_eof()
                return
            self._writer.write(piece)
            await self._writer.drain()


class _Way:
    """One connection and the one that it leads to."""

    def __init__(self, writers: tuple[asyncio.StreamWriter, ...], lanes: tuple[_Lane, ...]) -> None:
        self.lanes = lanes
        self._writers = writers

    async def run(self) -> None:
        """Until both directions have ended, or one connection broke."""
        try:
            async with asyncio.TaskGroup() as group:
                for lane in self.lanes:
                    group.create_task(lane.fill())
                    group.create_task(lane.empty())
        except* OSError:
            self.reset()
        finally:
            for writer in self._writers:
                writer.close()

    def reset(self) -> None:
        for writer in self._writers:
            # Whoever has closed it already cannot be told.
            with contextlib.suppress(OSError):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()


class _Process:
    """Listens, connects, and obeys."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._rules = _Rules()
        self._ways: dict[_Way, asyncio.Task[None]] = {}
        self._server: asyncio.Server | None = None
        self._port = plan.listen.port

    async def run(self, commands: asyncio.StreamReader, answers: IO[bytes]) -> None:
        await self._listen()
        while True:
            answers.write(msgspec.json.encode(self._state()) + b"\n")
            answers.flush()
            line = await commands.readline()
            if not line:
                return
            await self._obey(msgspec.json.decode(line, type=Command))

    def _state(self) -> State:
        kept = sum(lane.kept for way in self._ways for lane in way.lanes)
        return State(self._port, len(self._ways), kept)

    async def _obey(self, command: Command) -> None:
        match command.do:
            case "flow":
                self._rules.flow[command.direction] = command.flow
            case "delay":
                self._rules.delay[command.direction] = command.seconds
            case "drop":
                for way, task in self._ways.items():
                    way.reset()
                    task.cancel()
            case "refuse":
                self._refuse()
            case "listen":
                await self._listen()
            case "cut" | "mend":
                self._rules.cut = command.do == "cut"
                for way in self._ways if self._rules.cut else ():
                    for lane in way.lanes:
                        lane.mute = True
            case "state":
                pass
        self._rules.change()

    async def _listen(self) -> None:
        address = self._plan.listen
        with inside(address.namespace):
            listening = socket.create_server((address.host, self._port), backlog=256)
        self._port = int(listening.getsockname()[1])
        self._server = await asyncio.start_server(self._arrive, sock=listening)

    def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _arrive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there_reader, there_writer = await self._connect()
        except OSError:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()
            return
        lanes = (
            _Lane(self._rules, "requests", reader, there_writer),
            _Lane(self._rules, "answers", there_reader, writer),
        )
        way = _Way((writer, there_writer), lanes)
        task = asyncio.current_task()
        assert task is not None
        self._ways[way] = task
        try:
            # asyncio reports a handler of connections that ends as cancelled, as a fault.
            with contextlib.suppress(asyncio.CancelledError):
                await way.run()
        finally:
            del self._ways[way]

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        address = self._plan.to
        if address.path:
            return await asyncio.open_unix_connection(address.path)
        # A socket belongs for ever to the namespace in which it was made.
        with inside(address.namespace):
            made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        made.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(made, (address.host, address.port))
        except BaseException:
            made.close()
            raise
        return await asyncio.open_connection(sock=made)


async def _main(plan: Plan) -> None:
    loop = asyncio.get_running_loop()
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin.buffer)
    await _Process(plan).run(commands, sys.stdout.buffer)


if __name__ == "__main__":
    asyncio.run(_main(msgspec.json.decode(sys.argv[1], type=Plan)))
