"""A fail-over that loses what was acknowledged: honest clients stay, and what a node knows to have ended stays so."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.cluster.pairs import Pair, pair
from tests.cluster.remote import KINDS
from tests.cluster.scenario import Cluster, Setup

pytestmark = pytest.mark.faults

LOST = 1.5
"""Seconds for which what is acknowledged is lost: less than grace, so that no session loses two refresh tokens."""


@pytest.fixture(params=KINDS)
def servers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    with pair(request.param, tmp_path) as servers:
        yield servers


def test_after_a_fail_over_that_lost_acknowledged_writes_revoked_stays_out_and_honest_in(
    tmp_path: Path, servers: Pair
) -> None:
    settings = {"freshness": "bounded", "max_staleness": "1s"}
    setup = Setup(store=servers.url, seed=7, bound=timedelta(seconds=1), grace=timedelta(seconds=6), settings=settings)
    with Cluster(tmp_path, setup) as cluster, cluster.load() as load:
        load.run_for(3)
        with cluster.losing():
            servers.part()
            load.run_for(LOST / 2)
            cluster.give_up_keys("n1")
            load.run_for(LOST / 2)
            servers.lose_primary()
        cluster.fault("the primary is gone")
        servers.take_over()
        cluster.fault("the standby is the primary")
        load.run_for(2)
        servers.bring_back()
        load.run_for(3)
        cluster.calm(load)
    cluster.require_promises()
