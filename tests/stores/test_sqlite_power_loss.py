"""Whatever was acknowledged survives a loss of power, and the proof notices a store that cheats."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import apsw
import pytest

from frontdesk.stores.sqlite import engine, opening, writing
from tests.stores.faulty_vfs import FaultyVFS, faulty_vfs
from tests.stores.power_loss import LossError, Proof, record


@pytest.fixture
def vfs() -> Iterator[FaultyVFS]:
    with faulty_vfs("power-loss") as vfs:
        yield vfs


def test_what_was_acknowledged_survives_and_nothing_is_half_there(vfs: FaultyVFS, tmp_path: Path) -> None:
    record(tmp_path, vfs, rounds=6)
    proof = Proof(tmp_path / "after", seed=1, subsets=1)
    proof.follow(vfs.events)
    assert len(proof.facts) > 40
    assert proof.images > 300
    assert any(event.what == "sync" and event.file == "desk.db" for event in vfs.events), "no checkpoint was cut"


@pytest.mark.parametrize("synchronous", ["NORMAL", "OFF"])
def test_a_weaker_synchronous_setting_is_caught(
    vfs: FaultyVFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synchronous: str
) -> None:
    monkeypatch.setattr(opening, "SYNCHRONOUS", synchronous)
    record(tmp_path, vfs, rounds=3)
    with pytest.raises(LossError):
        Proof(tmp_path / "after", seed=1, subsets=0).follow(vfs.events)


class HastyWriter(writing.Writer):
    """Acknowledges before COMMIT, and lets those who wait take note before it goes on."""

    def _transact(self, connection: apsw.Connection, batch: Sequence[writing._Job[Any]]) -> None:
        commit = connection.execute

        def hasty(sql: str, *bindings: Any) -> Any:
            if sql == "COMMIT":
                writing._settle(batch)
                _let_loop_turn(batch[0].loop)
            return commit(sql, *bindings)

        super()._transact(_Proxy(connection, hasty), batch)  # type: ignore[arg-type]


class _Proxy:
    def __init__(self, connection: apsw.Connection, execute: Any) -> None:
        self._connection = connection
        self.execute = execute

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def _let_loop_turn(loop: asyncio.AbstractEventLoop, turns: int = 5) -> None:
    turned = threading.Event()

    def turn(left: int) -> None:
        if left:
            loop.call_soon(turn, left - 1)
        else:
            turned.set()

    loop.call_soon_threadsafe(turn, turns)
    assert turned.wait(timeout=60)


def test_acknowledging_before_commit_is_caught(vfs: FaultyVFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "Writer", HastyWriter)
    record(tmp_path, vfs, rounds=3)
    with pytest.raises(LossError):
        Proof(tmp_path / "after", seed=1, subsets=0).follow(vfs.events)
