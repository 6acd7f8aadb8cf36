"""The record: whole lines from many writers, one order, no credential."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from tests.cluster.history import History, Mark, Recorder, Request, Target, during, moment

ROOT: Final = Path(__file__).parents[2]

_WRITER = """
import sys
from pathlib import Path
from tests.cluster.history import Recorder, Request, moment
with Recorder(Path(sys.argv[1]), sys.argv[2]) as recorder:
    for number in range(200):
        recorder.add(Request(f"{sys.argv[2]}-{number}", "n1", "check", moment(), moment(), 200))
"""


def request(client: str = "tab", started: int = 1, ended: int = 2) -> Request:
    return Request(client, "n1", "check", started, ended, 200)


def test_what_was_recorded_is_read_in_the_order_of_its_moments(tmp_path: Path) -> None:
    target = Target("subject", "ann")
    revoked = Request("admin", "n2", "revoke", 3, 9, 204, target=target, lag=0.25, presented=0, minted=1)
    with Recorder(tmp_path, "a") as first, Recorder(tmp_path, "b") as second:
        second.add(revoked)
        second.add(Mark("seed", 0, note="7"))
        first.add(request(started=5, ended=6))
        first.add(request(started=1, ended=4))
    history = History.read(tmp_path)
    assert history.requests == (request(started=1, ended=4), revoked, request(started=5, ended=6))
    assert history.marks == (Mark("seed", 0, note="7"),)


def test_processes_that_write_at_once_lose_and_mix_nothing(tmp_path: Path) -> None:
    names = ["one", "two", "two", "three"]
    writers = [subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path), name], cwd=ROOT) for name in names]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    clients = [each.client for each in History.read(tmp_path).requests]
    assert sorted(clients) == sorted(f"{name}-{number}" for name in names for number in range(200))


def test_threads_that_share_a_recorder_lose_and_mix_nothing(tmp_path: Path) -> None:
    with Recorder(tmp_path, "a") as recorder, ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: recorder.add(request(f"client-{number}")), range(500)))
    assert {each.client for each in History.read(tmp_path).requests} == {f"client-{number}" for number in range(500)}


def test_another_process_reads_the_same_clock() -> None:
    code = "from tests.cluster.history import moment; print(moment())"
    before = moment()
    heard = int(subprocess.check_output([sys.executable, "-c", code], cwd=ROOT))
    assert before < heard < moment()


def test_marks_stand_around_what_is_done_even_when_it_fails(tmp_path: Path) -> None:
    def fail(recorder: Recorder) -> None:
        with during(recorder, "cut", "healed", node="n1"):
            recorder.add(request(started=moment(), ended=moment()))
            raise RuntimeError

    with Recorder(tmp_path, "a") as recorder, pytest.raises(RuntimeError):
        fail(recorder)
    history = History.read(tmp_path)
    assert [(mark.kind, mark.node) for mark in history.marks] == [("cut", "n1"), ("healed", "n1")]
    assert history.marks[0].at <= history.requests[0].started <= history.marks[1].at


def test_a_line_that_is_no_record_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"type":"request","client":"ta\n')
    with pytest.raises(ValueError, match=r"a\.jsonl holds a line that is no record"):
        History.read(tmp_path)


def test_a_closed_recorder_takes_nothing(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "a")
    recorder.close()
    recorder.close()
    with pytest.raises(ValueError, match="closed"):
        recorder.add(request())


def test_a_history_can_be_read_by_people() -> None:
    lost = Request("tab", "n1", "refresh", 2_000_000, 3_000_000, session="s", presented=4)
    story = History.of([request(), Mark("cut", 1_500_000, "n2"), lost])
    assert str(story).splitlines() == [
        "0.000000–0.000000 tab → n1: check: 200",
        "0.001500 cut n2",
        "0.002000–0.003000 tab → n1: refresh of session s with refresh token 4: no answer",
    ]
