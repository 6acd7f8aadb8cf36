"""Three nodes on a PostgreSQL or Redis of their own: killed, stopped, moved in time. Nobody gets in who was ended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.cluster.judge import Promise
from tests.cluster.proxy import Proxy
from tests.cluster.remote import KINDS, Remote, remote
from tests.cluster.scenario import Cluster, Setup

pytestmark = pytest.mark.faults

BOUND = timedelta(seconds=1)
STOP = 2.2
"""Seconds for which something stands still: more than twice the bound, less than half of grace."""


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Remote]:
    with remote(request.param, tmp_path) as store:
        yield store


@pytest.fixture
def setup(store: Remote) -> Setup:
    settings = {"freshness": "bounded", "max_staleness": "1s"}
    return Setup(store=store.url, seed=7, bound=BOUND, grace=timedelta(seconds=6), settings=settings)


def test_a_store_that_stands_still_longer_than_the_bound_ends_every_yes_and_nobody_s_session(
    tmp_path: Path, store: Remote, setup: Setup
) -> None:
    with Cluster(tmp_path, setup) as cluster, cluster.load() as load:
        load.run_for(4)
        with cluster.stopped(store):
            load.run_for(STOP)
        load.run_for(3)
        cluster.calm(load)
    cluster.require_promises()
    assert cluster.answered("check", 503) > 0


def test_nodes_that_believe_what_is_stale_are_found_out(tmp_path: Path) -> None:
    settings = {"max_staleness": "1s", "insecure_trust_stale": "true"}
    with remote("redis", tmp_path) as store:
        setup = Setup(store=store.url, seed=7, bound=BOUND, grace=timedelta(seconds=6), settings=settings)
        with Cluster(tmp_path, setup) as cluster, cluster.load() as load:
            load.run_for(1)
            with cluster.stopped(store):
                load.run_for(STOP)
            cluster.calm(load)
    assert {violation.promise for violation in cluster.violations()} == {Promise.CUT_OFF}


def test_killed_nodes_and_killed_polls_let_nobody_in_and_sign_nobody_out(
    tmp_path: Path, store: Remote, setup: Setup
) -> None:
    with Cluster(tmp_path, setup) as cluster, cluster.load() as load:
        load.run_for(3)
        for name in ("n2", "n3"):
            cluster.kill(name)
            load.run_for(0.5)
            cluster.start(name)
            load.run_for(0.5)
            cluster.deafen(store)
        load.run_for(2)
        cluster.calm(load)
    cluster.require_promises()


def test_a_killed_worker_has_a_successor_although_the_store_is_away(
    tmp_path: Path, store: Remote, setup: Setup
) -> None:
    setup = replace(setup, nodes=("n1", "n2"), settings={**setup.settings, "workers": "2"})
    with Cluster(tmp_path, setup) as cluster, cluster.load() as load:
        load.run_for(2)
        for name in setup.nodes:
            cluster.kill_worker(name)
            load.run_for(1.5)
        with cluster.dead(store):
            cluster.kill_worker("n1")
            load.run_for(3)
        load.run_for(3)
        cluster.calm(load)
    cluster.require_promises()


def test_what_a_killed_store_acknowledged_holds_when_it_is_back(tmp_path: Path, store: Remote, setup: Setup) -> None:
    with Cluster(tmp_path, setup) as cluster, cluster.load() as load:
        load.run_for(3)
        cluster.restart(store, store.kill)
        load.run_for(2)
        cluster.restart(store, store.shut_down)
        load.run_until_rotated()
        cluster.end_everything("n1")
        cluster.restart(store, store.kill)
        load.run_for(2)
        cluster.calm(load)
    cluster.require_promises()


def test_a_node_that_stood_still_longer_than_the_bound_begins_with_no_stale_yes(
    tmp_path: Path, store: Remote, setup: Setup
) -> None:
    with Proxy(store.address) as way:
        through = {"n1": store.url_at("127.0.0.1", way.port)}
        setup = replace(setup, stores=through, grace=timedelta(seconds=7))
        with Cluster(tmp_path, setup) as cluster, cluster.load() as load:
            load.run_for(1.5)
            with cluster.frozen("n2"):
                load.run_for(STOP)
            load.run_until_rotated()
            with way.held("answers"):
                with cluster.frozen("n1"):
                    load.run_for(0.5)
                    cluster.end_everything("n3")
                    load.run_for(STOP - 0.5)
                load.run_for(0.7)  # it goes on, and has not heard yet what it missed
            load.run_for(2)
            cluster.calm(load)
    cluster.require_promises()


def test_a_wall_clock_that_jumps_changes_no_verdict(tmp_path: Path, setup: Setup) -> None:
    with Cluster(tmp_path, setup) as cluster, cluster.load() as load:
        load.run_for(2)
        for name, seconds in (("n1", 3600), ("n2", -3600), ("n1", -3600), ("n2", 0), ("n1", 0)):
            cluster.jump(name, seconds)
            load.run_for(1.2)
        load.run_for(1)
        cluster.calm(load)
    cluster.require_promises()
