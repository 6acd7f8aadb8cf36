"""Rooms and links: who reaches whom, what a cut looks like from inside, and that nothing is left."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.cluster.network import STORE_ADDRESS, Network, command_inside, inside
from tests.cluster.proxy import Address, Proxy
from tests.requirements import need_namespaces

pytestmark = pytest.mark.faults

PATIENCE = 10.0
SHORT = 0.2
"""Seconds after which what does not come counts as swallowed."""


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    need_namespaces()
    with Network(["n1", "n2"]) as network:
        yield network


def listening(namespace: str, host: str) -> closing[socket.socket]:
    with inside(namespace):
        made = socket.create_server((host, 0))
    made.settimeout(PATIENCE)
    return closing(made)


def connected(namespace: str, host: str, port: int) -> closing[socket.socket]:
    with inside(namespace):
        return closing(socket.create_connection((host, port), PATIENCE))


def port_of(server: socket.socket) -> int:
    return int(server.getsockname()[1])


def test_every_node_reaches_the_store_and_clients_reach_every_node(network: Network) -> None:
    with listening(network.hub, STORE_ADDRESS) as store:
        for node in ("n1", "n2"):
            with connected(network.namespace(node), STORE_ADDRESS, port_of(store)):
                store.accept()[0].close()
    for node in ("n1", "n2"):
        with (
            listening(network.namespace(node), network.address(node)) as server,
            connected(network.hub, network.address(node), port_of(server)),
        ):
            server.accept()[0].close()


def test_across_a_cut_nothing_passes_and_nobody_is_told_and_it_arrives_when_it_is_mended(network: Network) -> None:
    with (
        listening(network.hub, STORE_ADDRESS) as store,
        connected(network.namespace("n1"), STORE_ADDRESS, port_of(store)) as node,
        closing(store.accept()[0]) as there,
    ):
        network.cut("n1")
        node.sendall(b"a")  # no error: TCP hopes
        there.settimeout(SHORT)
        with pytest.raises(TimeoutError):
            there.recv(1)
        with connected(network.namespace("n2"), STORE_ADDRESS, port_of(store)):
            store.accept()[0].close()
        network.mend("n1")
        there.settimeout(PATIENCE)
        assert there.recv(1) == b"a"


def test_a_node_that_is_cut_off_from_the_store_still_hears_its_clients(network: Network) -> None:
    network.cut("n1")
    try:
        with (
            listening(network.namespace("n1"), network.address("n1")) as server,
            connected(network.hub, network.address("n1"), port_of(server)),
        ):
            server.accept()[0].close()
        with inside(network.namespace("n1")), closing(socket.socket()) as node:
            node.settimeout(SHORT)
            with pytest.raises(TimeoutError):
                node.connect((STORE_ADDRESS, 1))
    finally:
        network.mend("n1")


def test_a_process_is_started_in_a_room_under_the_id_that_the_test_knows(network: Network) -> None:
    code = "import os; print(os.getpid(), os.readlink('/proc/self/ns/net'))"
    command = command_inside(network.namespace("n1"), [sys.executable, "-c", code])
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid, namespace = process.stdout.read().split()
    assert int(pid) == process.pid
    assert namespace != os.readlink("/proc/self/ns/net")


def test_the_thread_that_looked_into_a_room_is_back_afterwards(network: Network) -> None:
    before = os.readlink("/proc/thread-self/ns/net")
    with pytest.raises(RuntimeError), inside(network.hub):
        raise RuntimeError
    assert os.readlink("/proc/thread-self/ns/net") == before


def test_a_proxy_leads_from_a_room_to_a_server_on_this_machine(network: Network) -> None:
    door = Address(host=STORE_ADDRESS, namespace=network.hub)
    with (
        listening("", "127.0.0.1") as server,
        Proxy(Address(port=port_of(server)), listen=door) as proxy,
        connected(network.namespace("n1"), STORE_ADDRESS, proxy.port) as node,
        closing(server.accept()[0]) as there,
    ):
        node.sendall(b"a")
        assert there.recv(1) == b"a"


def test_nothing_is_left_when_the_test_is_over_even_if_it_failed() -> None:
    need_namespaces()
    made: list[Path] = []

    def fail() -> None:
        with Network(["n1"]) as network:
            made.extend(Path("/run/netns", name) for name in (network.hub, network.namespace("n1")))
            assert all(path.exists() for path in made)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not any(path.exists() for path in made)


def test_the_machine_s_own_network_is_left_alone(network: Network) -> None:
    shown = subprocess.check_output(["ip", "-o", "addr"], text=True)
    assert "10.200." not in shown
    assert STORE_ADDRESS not in shown
