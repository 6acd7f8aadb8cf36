"""Three nodes on one SQLite file: the next request knows, whatever is killed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.cluster.judge import Promise
from tests.cluster.scenario import Cluster, Setup

pytestmark = pytest.mark.faults

HANG = 1.5
"""Seconds for which a node stands still: less than half of grace."""


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return Setup(store=f"sqlite:///{tmp_path / 'desk.db'}", seed=7, grace=timedelta(seconds=2))


def test_nodes_that_are_killed_sign_nobody_out_and_let_nobody_in(tmp_path: Path, setup: Setup) -> None:
    with Cluster(tmp_path, setup) as cluster, cluster.load() as load:
        load.run_on(300)
        for name in setup.nodes:
            cluster.kill(name)
            load.run_on(200)
            cluster.start(name)
            load.run_on(200)
        load.run_until_rotated()
        cluster.end_everything("n2")
        load.run_on(200)
        cluster.calm(load)
    cluster.require_promises()


def test_a_node_that_stands_still_lets_nobody_in_when_it_goes_on(tmp_path: Path, setup: Setup) -> None:
    setup = replace(setup, grace=timedelta(seconds=4))
    with Cluster(tmp_path, setup) as cluster, cluster.load() as load:
        load.run_on(200)
        for name in setup.nodes:
            with cluster.frozen(name):
                load.run_for(HANG)
            load.run_on(200)
        cluster.calm(load)
    cluster.require_promises()


def test_nodes_that_share_no_store_are_found_out(tmp_path: Path, setup: Setup) -> None:
    apart = dict.fromkeys(setup.nodes, "memory:")
    setup = replace(setup, stores=apart, administrator=False)
    with Cluster(tmp_path, setup) as cluster, cluster.load() as load:
        load.run_on(50)
        cluster.calm(load)
    assert Promise.SIGNED_IN in {violation.promise for violation in cluster.violations()}
    with pytest.raises(AssertionError, match="broken: no honest client is signed out"):
        cluster.require_promises()
