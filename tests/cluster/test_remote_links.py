"""Three nodes whose ways to the store differ: one that is cut off, one whose answers come late or all at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.cluster.network import STORE_ADDRESS, Network
from tests.cluster.proxy import Address, Proxy
from tests.cluster.remote import KINDS, Remote, remote
from tests.cluster.scenario import Cluster, Setup
from tests.requirements import need_namespaces

pytestmark = pytest.mark.faults

BOUND = timedelta(seconds=1)
CUT = 2.2
"""Seconds for which a link is down: more than twice the bound, less than half of grace."""
LATE, HELD, PATIENT = 0.7, 1.4, 3.0
"""Seconds. By how much answers come late: a picture as old as two of them is beyond the bound. For how long they are
held back: longer than the bound, and not as long as the node waits for them."""
NODES = ("n1", "n2", "n3")


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Remote]:
    with remote(request.param, tmp_path) as store:
        yield store


@pytest.fixture
def setup(store: Remote) -> Setup:
    settings = {"freshness": "bounded", "max_staleness": "1s"}
    return Setup(store=store.url, seed=7, nodes=NODES, bound=BOUND, grace=timedelta(seconds=6), settings=settings)


@pytest.fixture
def apart(store: Remote, setup: Setup) -> Iterator[Setup]:
    """Each node in a room of its own, with a link to the store."""
    need_namespaces()
    with Network(NODES) as network:
        door = Address(host=STORE_ADDRESS, namespace=network.hub)
        with Proxy(store.address, listen=door) as proxy:
            yield replace(setup, store=store.url_at(STORE_ADDRESS, proxy.port), network=network)


def test_a_node_that_is_cut_off_says_503_and_what_the_others_revoke_holds_everywhere(
    tmp_path: Path, apart: Setup
) -> None:
    with Cluster(tmp_path, apart) as cluster, cluster.load() as load:
        load.run_for(2)
        with cluster.cut_off("n1"):
            load.run_for(CUT)
        load.run_until_rotated()
        with cluster.cut_off("n2"):
            load.run_for(0.5)
            cluster.end_everything("n3")
            load.run_for(CUT - 0.5)
        load.run_for(2)
        cluster.calm(load)
    cluster.require_promises()
    assert cluster.answered("check", 503, nodes=["n1", "n2"]) > cluster.answered("check", 503, nodes=["n3"])


def test_answers_that_come_late_grant_nothing_that_was_taken_back(tmp_path: Path, store: Remote, setup: Setup) -> None:
    with Proxy(store.address) as proxy:
        far = store.url_at("127.0.0.1", proxy.port, timeout=PATIENT)
        setup = replace(setup, stores={"n1": far}, grace=timedelta(seconds=12))
        with Cluster(tmp_path, setup) as cluster, cluster.load() as load:
            load.run_for(1)
            cluster.fault("answers to n1 come late")
            proxy.delay("answers", LATE)
            load.run_for(4)
            proxy.release()
            for _ in range(2):
                load.run_for(1)
                cluster.fault("answers to n1 are held back, and come all at once")
                with proxy.held("answers"):
                    load.run_for(HELD)
            load.run_for(1)
            cluster.fault("all connections of n1 are reset")
            proxy.drop()
            load.run_for(2)
            cluster.calm(load)
        cluster.require_promises()
