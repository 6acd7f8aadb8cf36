"""The proof of tests/stores/test_sqlite_power_loss.py, wider: more rounds, many random subsets, several seeds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stores.faulty_vfs import faulty_vfs
from tests.stores.power_loss import Proof, record

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("seed", range(4))
def test_no_random_subset_of_unsynced_writes_loses_or_halves_anything(tmp_path: Path, seed: int) -> None:
    with faulty_vfs(f"power-loss-{seed}") as vfs:
        record(tmp_path, vfs, rounds=12)
        proof = Proof(tmp_path / "after", seed=seed, subsets=6)
        proof.follow(vfs.events)
    assert proof.images > 2000
    assert len(proof.facts) > 90
    checkpoints = [event for event in vfs.events if event.what == "sync" and event.file == "desk.db"]
    assert len(checkpoints) > 5
