"""One real node: killed, frozen, started anew, with a clock of its own."""

from __future__ import annotations

import http.client
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from frontdesk.clock import BOOT_TIMER
from tests.cluster.nodes import PATIENCE, Node, Place, free_ports
from tests.cluster.shifted import shift
from tests.requirements import ROOT

pytestmark = pytest.mark.faults

SHORT = 0.2


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    (port,) = free_ports(1)
    with Node("n1", tmp_path, Place(port=port), {"store": "sqlite:///desk.db"}) as node:
        yield node


def test_a_killed_node_is_gone_and_comes_back_at_the_same_place(node: Node) -> None:
    before = node.pid
    node.kill()
    assert node.health() == 0
    node.start()
    node.wait_until_ready()
    assert node.pid != before
    assert node.health() == 200


def test_a_frozen_node_takes_connections_and_answers_when_it_is_thawed(node: Node) -> None:
    node.freeze()
    assert node.health(SHORT) == 0
    node.thaw()
    node.wait_until_ready()


def test_a_frozen_node_can_be_stopped_and_killed(tmp_path: Path) -> None:
    for name in ("stop", "kill"):
        (port,) = free_ports(1)
        node = Node(name, tmp_path, Place(port=port), {"store": "memory:"})
        with node:
            node.freeze()
            getattr(node, name)()
            assert node.health() == 0


def test_a_node_that_cannot_start_says_why(tmp_path: Path) -> None:
    node = Node("n1", tmp_path, Place(port=1), {"store": "nonsense"})
    with pytest.raises(AssertionError, match=r"n1 has ended:\n.*nonsense"):
        node.__enter__()


def test_a_clock_jumps_while_the_node_runs(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    node = Node("n1", tmp_path, Place(port=port), {"store": "memory:"})
    with node:
        for hours in (1, -1, 0):
            node.jump(3600 * hours)
            deadline = time.monotonic() + PATIENCE  # the server makes its Date once a second
            while abs(date_of(node) - datetime.now(UTC) - timedelta(hours=hours)) > timedelta(minutes=1):
                assert time.monotonic() < deadline
                time.sleep(0.05)
        assert node.health() == 200


def date_of(node: Node) -> datetime:
    """The moment that a node writes on its answers."""
    connection = http.client.HTTPConnection("127.0.0.1", node.place.port, timeout=PATIENCE)
    with closing(connection):
        connection.request("GET", "/healthz")
        date = connection.getresponse().headers["date"]
    return parsedate_to_datetime(date)


_CLOCKS = """
import sys, time
from datetime import UTC
from pathlib import Path
from tests.cluster.shifted import follow, install
install(follow(Path(sys.argv[1])))
from frontdesk.clock import BOOT_TIMER, WALL_TIMER, SystemClock
for _ in sys.stdin:
    time.sleep(0.001)
    print(time.time(), WALL_TIMER(), time.time_ns() / 1e9, SystemClock().now().timestamp(), end=" ")
    print(BOOT_TIMER(), time.monotonic(), time.perf_counter(), flush=True)
"""


def test_when_the_wall_clock_jumps_the_clocks_that_measure_stay_true(tmp_path: Path) -> None:
    file = tmp_path / "clock"
    shift(file, 0)
    command = [sys.executable, "-c", _CLOCKS, str(file)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True, bufsize=1) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for seconds in (0, 3600, -3600):
            shift(file, seconds)
            process.stdin.write("now\n")
            *walls, boot, monotonic, counter = (float(word) for word in process.stdout.readline().split())
            assert all(abs(wall - time.time() - seconds) < 10 for wall in walls)
            assert abs(boot - BOOT_TIMER()) < 10
            assert abs(monotonic - time.monotonic()) < 10
            assert abs(counter - time.perf_counter()) < 10
        process.stdin.close()
