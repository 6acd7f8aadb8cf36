"""Network namespaces with links that can be taken down: a hub, where clients and the store are, and one room per node.

    node n1 ── front 10.200.1.0/30 ──┐
            ── store 10.201.1.0/30 ──┤ hub (store at 10.202.0.1)
    node n2 ── front 10.200.2.0/30 ──┤
            ── store 10.201.2.0/30 ──┘

`cut` takes down the hub's end of a node's link to the store: packets vanish, nobody is told, and the node goes on
answering its clients. The addresses exist in these namespaces only; nothing is added to the machine's own network.
Names carry the id of the process that made them; leaving the context removes them, and the links with them. Whoever
makes one asks `tests.requirements.need_namespaces` first.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from types import TracebackType
from typing import Final, Self

STORE_ADDRESS: Final = "10.202.0.1"
"""Where every node finds the store, whichever link leads there."""

_CLONE_NEWNET: Final = 0x40000000
_NUMBERS: Final = count(1)


class Network:
    """The namespaces of one test. Made when it is entered."""

    def __init__(self, nodes: Sequence[str]) -> None:
        self._tag = f"fd{os.getpid()}-{next(_NUMBERS)}"
        self._nodes = tuple(nodes)
        self.hub = f"{self._tag}-hub"
        self._made: list[str] = []

    def __enter__(self) -> Self:
        try:
            self._make(self.hub)
            _ip("-n", self.hub, "addr", "add", f"{STORE_ADDRESS}/32", "dev", "lo")
            for number, node in enumerate(self._nodes, 1):
                self._join(number, node)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the namespaces. Whatever still runs inside keeps its own until it ends. Idempotent."""
        while self._made:
            _ip("netns", "del", self._made.pop())

    def namespace(self, node: str) -> str:
        """The room of a node."""
        return f"{self._tag}-{node}"

    def address(self, node: str) -> str:
        """Where clients in the hub find a node."""
        return f"10.200.{self._nodes.index(node) + 1}.2"

    def cut(self, node: str) -> None:
        """From now on nothing passes between this node and the store."""
        _ip("-n", self.hub, "link", "set", self._store_link(node), "down")

    def mend(self, node: str) -> None:
        _ip("-n", self.hub, "link", "set", self._store_link(node), "up")

    def _store_link(self, node: str) -> str:
        return f"store{self._nodes.index(node) + 1}"

    def _make(self, name: str) -> None:
        _ip("netns", "add", name)
        self._made.append(name)
        _ip("-n", name, "link", "set", "lo", "up")

    def _join(self, number: int, node: str) -> None:
        room = self.namespace(node)
        self._make(room)
        for kind, network in (("front", f"10.200.{number}"), ("store", f"10.201.{number}")):
            ends = f"{kind}{number}", kind
            _ip("-n", self.hub, "link", "add", ends[0], "type", "veth", "peer", "name", ends[1], "netns", room)
            for name, end, address in ((self.hub, ends[0], f"{network}.1/30"), (room, ends[1], f"{network}.2/30")):
                _ip("-n", name, "addr", "add", address, "dev", end)
                _ip("-n", name, "link", "set", end, "up")
        _ip("-n", room, "route", "add", f"{STORE_ADDRESS}/32", "via", f"10.201.{number}.1")


def command_inside(namespace: str, command: Sequence[str]) -> list[str]:
    """The command line that runs `command` there, under the same process id; as it is for no namespace."""
    return ["ip", "netns", "exec", namespace, *command] if namespace else list(command)


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """The calling thread is in that namespace; for "" nothing is done. What it makes there, such as a socket, stays."""
    if not namespace:
        yield
        return
    ours = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        theirs = os.open(f"/run/netns/{namespace}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(theirs)
        finally:
            os.close(theirs)
        try:
            yield
        finally:
            _enter(ours)
    finally:
        os.close(ours)


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()}")


def _enter(namespace: int) -> None:
    # os.setns exists from Python 3.12 on only.
    if ctypes.CDLL(None, use_errno=True).setns(namespace, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
