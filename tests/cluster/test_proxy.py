"""The proxy against a server on loopback: what is passed, when, in which order, and what is not."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.cluster.proxy import PATIENCE, Address, Direction, Proxy

SHORT = 0.1
"""Seconds. What must not come has not come after so long; what is delayed is delayed by it."""


class _Echo(socketserver.BaseRequestHandler):
    """Says everything twice as it comes, and `bye` when the other side has ended."""

    def handle(self) -> None:
        while piece := self.request.recv(65536):
            self.request.sendall(piece + piece)
        self.request.sendall(b"bye")


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that the proxy reset is no news."""


@pytest.fixture(scope="module")
def store() -> Iterator[Address]:
    with _Server(("127.0.0.1", 0), _Echo) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield Address(port=int(server.server_address[1]))
        server.shutdown()
        thread.join(PATIENCE)


@pytest.fixture(scope="module")
def process(store: Address) -> Iterator[Proxy]:
    with Proxy(store) as proxy:
        yield proxy


@pytest.fixture
def proxy(process: Proxy) -> Iterator[Proxy]:
    """The one process for all tests, with nothing in force before and after."""
    yield process
    process.mend()
    process.release()
    process.drop()
    deadline = time.monotonic() + PATIENCE
    while process.connections:
        assert time.monotonic() < deadline


def connect(proxy: Proxy) -> closing[socket.socket]:
    return closing(socket.create_connection(("127.0.0.1", proxy.port), PATIENCE))


def hear(connection: socket.socket, length: int) -> bytes:
    heard = b""
    while len(heard) < length:
        piece = connection.recv(length - len(heard))
        assert piece, f"ended after {heard!r}"
        heard += piece
    return heard


def silent(connection: socket.socket) -> bool:
    connection.settimeout(SHORT)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return True
    finally:
        connection.settimeout(PATIENCE)


def test_everything_is_passed_on_both_ways_and_the_end_too(proxy: Proxy) -> None:
    long = bytes(range(256)) * 4096  # more than the buffers of one socket hold at once

    def send() -> None:
        connection.sendall(long)
        connection.shutdown(socket.SHUT_WR)

    with connect(proxy) as connection:
        sender = threading.Thread(target=send)
        sender.start()
        heard = hear(connection, 2 * len(long) + 3)
        sender.join(PATIENCE)
        assert len(heard) == 2 * len(long) + 3
        assert heard.endswith(b"bye")
        assert connection.recv(1) == b""


@pytest.mark.parametrize("direction", ["requests", "answers"])
def test_what_is_delayed_comes_later(proxy: Proxy, direction: Direction) -> None:
    with connect(proxy) as connection:
        proxy.delay(direction, SHORT)
        began = time.monotonic()
        connection.sendall(b"a")
        assert hear(connection, 2) == b"aa"
        assert time.monotonic() - began >= SHORT


def test_answers_that_are_held_back_arrive_late_and_in_order(proxy: Proxy) -> None:
    with connect(proxy) as connection:
        with proxy.held("answers"):
            connection.sendall(b"a")
            wait_for_kept(proxy, 2)
            connection.sendall(b"b")
            wait_for_kept(proxy, 4)
            assert silent(connection)
        assert hear(connection, 4) == b"aabb"
        connection.sendall(b"c")
        assert hear(connection, 2) == b"cc"


def wait_for_kept(proxy: Proxy, length: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while proxy.kept < length:
        assert time.monotonic() < deadline


def test_requests_that_are_held_back_have_not_arrived(proxy: Proxy) -> None:
    with connect(proxy) as connection:
        proxy.hold("requests")
        connection.sendall(b"a")
        wait_for_kept(proxy, 1)
        assert silent(connection)
        proxy.release()
        assert hear(connection, 2) == b"aa"


def send_until_full(connection: socket.socket) -> int:
    """How many bytes went into the buffers before nobody took more."""
    connection.settimeout(SHORT)
    sent = 0
    try:
        while sent < 1 << 28:
            sent += connection.send(b"x" * 65536)
    except TimeoutError:
        connection.settimeout(PATIENCE)
        return sent
    pytest.fail("nobody slowed the sender down")


def test_who_sends_into_a_pause_is_slowed_down_and_loses_nothing(proxy: Proxy) -> None:
    with connect(proxy) as connection:
        proxy.pause("requests")
        sent = send_until_full(connection)
        proxy.release()
        assert len(hear(connection, 2 * sent)) == 2 * sent


def test_connections_that_are_dropped_are_reset_and_new_ones_work(proxy: Proxy) -> None:
    with connect(proxy) as connection:
        connection.sendall(b"a")
        assert hear(connection, 2) == b"aa"
        proxy.drop()
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    with connect(proxy) as connection:
        connection.sendall(b"b")
        assert hear(connection, 2) == b"bb"


def test_while_it_refuses_nobody_listens(proxy: Proxy) -> None:
    port = proxy.port
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), PATIENCE)
    proxy.listen()
    assert proxy.port == port
    with connect(proxy) as connection:
        connection.sendall(b"a")
        assert hear(connection, 2) == b"aa"


def test_a_cut_tells_nobody_and_what_lived_through_it_stays_mute(proxy: Proxy) -> None:
    with connect(proxy) as old:
        old.sendall(b"a")
        assert hear(old, 2) == b"aa"
        proxy.cut()
        old.sendall(b"b")
        with connect(proxy) as between:
            between.sendall(b"c")
            assert silent(between)
            assert silent(old)
            proxy.mend()
            with connect(proxy) as new:
                new.sendall(b"d")
                assert hear(new, 2) == b"dd"
            assert silent(between)
            old.sendall(b"e")
            assert silent(old)


def test_a_store_that_is_not_there_is_a_reset(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        free = int(taken.getsockname()[1])
    for nowhere in (Address(port=free), Address(path=str(tmp_path / "no-such-socket"))):
        with Proxy(nowhere) as proxy, pytest.raises(ConnectionResetError), connect(proxy) as connection:
            connection.recv(1)


def test_it_leads_to_a_unix_socket_too(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(str(path))
        listening.listen()
        with Proxy(Address(path=str(path))) as proxy, connect(proxy) as connection:
            there, _ = listening.accept()
            with closing(there):
                connection.sendall(b"a")
                assert hear(there, 1) == b"a"


def test_it_ends_with_the_test_that_started_it(store: Address) -> None:
    proxy = Proxy(store)
    with proxy, connect(proxy) as connection:
        connection.sendall(b"a")
        assert hear(connection, 2) == b"aa"
    assert proxy._process.returncode == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", proxy.port), PATIENCE)
