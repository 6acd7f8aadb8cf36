"""A server of tests never outlives the process that started it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.requirements import ROOT, find_redis
from tests.servers.redis import RedisServer
from tests.servers.spawning import wait_until

PROGRAM = """
import sys, threading
from pathlib import Path
from tests.servers.redis import RedisServer
server = RedisServer(Path(sys.argv[1]))
thread = threading.Thread(target=server.start)  # which ends long before the server may
thread.start()
thread.join()
print(server.pid, server.call("PING"), flush=True)
sys.stdin.read()
"""


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_server_ends_with_the_process_that_started_it_even_if_that_is_killed(tmp_path: Path) -> None:
    find_redis()
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        pid, answer = process.stdout.readline().split()
        assert answer == "True"
        assert runs(int(pid))
        process.kill()
        wait_until(lambda: not runs(int(pid)), "the server ends")


def test_a_server_keeps_its_port_and_its_data_over_a_restart(tmp_path: Path) -> None:
    find_redis()
    with RedisServer(tmp_path, options={"appendonly": "yes"}) as server:
        server.call("SET", "key", "value")
        before = server.port, server.pid
        server.restart()
        assert (server.port, server.call("GET", "key")) == (before[0], b"value")
        assert server.pid != before[1]
        with server.paused():
            pass
        pid = server.pid
        server.pause()  # and stopped all the same
    assert not runs(pid)
