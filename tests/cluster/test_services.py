"""A desk and two services that follow it over HTTP, one of which is cut off from it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tests.cluster.proxy import Address, Proxy
from tests.cluster.scenario import Cluster, Setup

pytestmark = pytest.mark.faults

CUT = 2.2
"""Seconds: more than twice the bound."""


def test_a_service_that_is_cut_off_from_the_desk_says_503_and_is_back_with_it(tmp_path: Path) -> None:
    setup = Setup(
        store=f"sqlite:///{tmp_path / 'desk.db'}",
        seed=7,
        nodes=["n1"],
        bound=timedelta(seconds=1),
        grace=timedelta(seconds=5),
        credentials=["jwt"],
        transports=["bearer"],
    )
    cluster = Cluster(tmp_path, setup)
    port = cluster.nodes["n1"].place.port
    with Proxy(Address(port=port)) as way:
        cluster.add_service("s1", f"http://127.0.0.1:{way.port}/auth")
        cluster.add_service("s2", f"http://127.0.0.1:{port}/auth")
        with cluster, cluster.load() as load:
            load.run_for(3)
            with cluster.out_of_reach("s1", way):
                load.run_for(CUT)
            load.run_until_rotated()
            with cluster.out_of_reach("s1", way):
                load.run_for(0.5)
                cluster.end_everything("n1")
                load.run_for(CUT)
            load.run_for(3)
            cluster.calm(load)
    cluster.require_promises()
    assert cluster.answered("check", 503, nodes=["s1"]) > 0
