"""A cluster under load, for a test that says only what is done to it:

with Cluster(tmp_path, setup) as cluster:
    with cluster.load() as load:
        load.run_on(500)
        cluster.kill("n2")
        load.run_on(500)
        cluster.start("n2")
        cluster.calm(load)
cluster.require_promises()
"""

from __future__ import annotations

import http.client
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.cluster.clients import Credential, Door, Transport
from tests.cluster.history import History, Operation, Recorder, Request, Target, during, moment
from tests.cluster.judge import Promise, Terms, Violation, judge
from tests.cluster.network import Network
from tests.cluster.nodes import Node, Place, Service, free_ports, start_all
from tests.cluster.party import Plan
from tests.cluster.proxy import Proxy
from tests.cluster.remote import Remote
from tests.cluster.workload import Workload

_PORT: Final = 8000  # in a room of its own every node may have the same
_ADD_ADMINISTRATOR: Final = ("services", "add", "administrator", "--scope", "revoke", "--scope", "revocations")
_SHOWN: Final = 12
"""How many violations a failed test prints; the history has all requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a scenario runs on.

    `bound` is what the judge allows: nothing where the store is asked every time. `grace` must be longer than the time
    for which a request may hang in this scenario, on its way there and back (docs/rotation.md). `stores` are URLs by
    node where they differ. With a `network` the nodes are in its rooms and the clients in its hub. `administrator`:
    whether there is a service that ends sessions and gives up keys, too.
    """

    store: str
    seed: int
    nodes: Sequence[str] = ("n1", "n2", "n3")
    stores: Mapping[str, str] = field(default_factory=dict)
    bound: timedelta = timedelta(0)
    grace: timedelta = timedelta(seconds=4)
    recovery: timedelta = timedelta(seconds=10)
    settings: Mapping[str, str] = field(default_factory=dict)
    credentials: Sequence[Credential] = ("session", "jwt", "jwe")
    transports: Sequence[Transport] = ("cookie", "bearer")
    network: Network | None = None
    administrator: bool = True


class Cluster:
    """The nodes of a setup, ready when it is entered, and gone afterwards. What is done to them is recorded."""

    def __init__(self, directory: Path, setup: Setup) -> None:
        self.setup = setup
        self.history_directory = directory / "history"
        self.nodes = {name: self._node(name, directory, port) for name, port in self._ports()}
        self._directory = directory
        self._stack = ExitStack()
        self._recorder: Recorder
        self._credential = ""

    def __enter__(self) -> Self:
        self.history_directory.mkdir()
        with ExitStack() as stack:
            self._recorder = stack.enter_context(Recorder(self.history_directory, "test"))
            self._recorder.mark("seed", note=str(self.setup.seed))
            for node in self.nodes.values():
                stack.callback(node.stop)
            start_all(self._desks)
            if self.setup.administrator:
                self._credential = self._desks[0].command(*_ADD_ADMINISTRATOR).strip()
            for service in self._services:
                service.settings = {**service.settings, "CREDENTIAL": self._credential}
                service.start()
            for service in self._services:
                service.wait_until_ready()
            self._stack = stack.pop_all()
        return self

    def add_service(self, name: str, desk_url: str) -> None:
        """A service that follows the desk there; before the cluster is entered."""
        (port,) = free_ports(1)
        settings = {"DESK_URL": desk_url, "BOUND": str(self.setup.bound.total_seconds())}
        self.nodes[name] = Service(name, self._directory, Place(port=port), settings)

    @property
    def _services(self) -> list[Node]:
        return [node for node in self.nodes.values() if isinstance(node, Service)]

    @property
    def _desks(self) -> list[Node]:
        return [node for node in self.nodes.values() if not isinstance(node, Service)]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def load(self) -> Workload:
        """The clients, to be entered."""
        setup = self.setup
        plan = Plan(
            directory=str(self.history_directory),
            doors=tuple(
                Door(node.name, node.place.host, node.place.port, not isinstance(node, Service))
                for node in self.nodes.values()
            ),
            seed=setup.seed,
            grace=setup.grace.total_seconds(),
            bound=setup.bound.total_seconds(),
            recovery=setup.recovery.total_seconds(),
            credentials=tuple(setup.credentials),
            transports=tuple(setup.transports),
            administrator=self._credential,
        )
        return Workload(plan, "" if setup.network is None else setup.network.hub)

    def kill(self, name: str) -> None:
        """kill -9 of a node."""
        self.fault(f"kill {name}")
        self.nodes[name].kill()

    def kill_worker(self, name: str) -> None:
        """kill -9 of one worker process of a node; its supervisor starts another."""
        worker = self.nodes[name].workers[0]
        self.fault(f"kill worker {worker} of {name}")
        os.kill(worker, signal.SIGKILL)

    @contextmanager
    def dead(self, store: Remote) -> Iterator[None]:
        """kill -9 of the store; after the block it is started again."""
        self.fault("the store ends")
        store.kill()
        try:
            yield
        finally:
            store.start()
            self.fault("the store has started again")

    def kill_store(self, store: Remote) -> None:
        """kill -9 of the store, which is started again at once."""
        with self.dead(store):
            pass

    def deafen(self, store: Remote) -> None:
        """End the connections over which the nodes wait for news of the log."""
        ended = store.deafen()
        self.fault(f"{ended} connections of polls were ended")
        assert ended, "nobody listened"

    def start(self, name: str) -> None:
        """Start a node that was killed, and wait until it is ready."""
        self.nodes[name].start()
        self.nodes[name].wait_until_ready()
        self.fault(f"{name} is ready again")

    @contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """A node stands still for the length of the block."""
        self.nodes[name].freeze()
        self.fault(f"{name} stands still")
        try:
            yield
        finally:
            self.fault(f"{name} goes on")
            self.nodes[name].thaw()

    @contextmanager
    def cut_off(self, name: str) -> Iterator[None]:
        """The link between a node and the store is down for the length of the block."""
        network = self.setup.network
        assert network is not None, "links are cut in a network only"
        network.cut(name)
        try:
            with during(self._recorder, "cut", "healed", node=name):
                yield
        finally:
            network.mend(name)

    @contextmanager
    def out_of_reach(self, name: str, way: Proxy) -> Iterator[None]:
        """Nothing passes on the way of this node for the length of the block."""
        way.cut()
        try:
            with during(self._recorder, "cut", "healed", node=name):
                yield
        finally:
            way.mend()

    @contextmanager
    def stopped(self, store: Remote) -> Iterator[None]:
        """The store stands still for the length of the block, and no node can know anything."""
        store.pause()
        try:
            with ExitStack() as stack:
                for name in self.nodes:
                    stack.enter_context(during(self._recorder, "cut", "healed", node=name))
                yield
        finally:
            store.resume()

    @contextmanager
    def losing(self) -> Iterator[None]:
        """What the store acknowledges during the block may be lost."""
        with during(self._recorder, "loss_from", "loss_until"):
            yield

    def jump(self, name: str, seconds: float) -> None:
        """A node's wall clock is so far from the machine's from now on."""
        self.fault(f"the clock of {name} is {seconds:+} s off")
        self.nodes[name].jump(seconds)

    def order(self, name: str, target: Target) -> None:
        """An administrator ends something at a node, which acknowledges it."""
        deadline = time.monotonic() + self.setup.recovery.total_seconds()
        body = {"all": True} if target.kind == "all" else {target.kind: target.id}
        status = 0
        while status != http.client.OK:
            assert time.monotonic() < deadline, f"{name} ends nothing: {status}"
            started = moment()
            status, told = self.nodes[name].ask("POST", "/auth/revocations", credential=self._credential, body=body)
            code = str(told.get("code", ""))
            self._recorder.add(Request("test", name, "revoke", started, moment(), status, code, target=target))

    def end_everything(self, name: str) -> None:
        """Every session of everybody ends."""
        self.order(name, Target("all"))

    def give_up_keys(self, name: str) -> None:
        """The keys that clients' access tokens had lately are given up, those that sign at this moment among them."""
        used = dict.fromkeys(r.key for r in self.history.requests[-100:] if r.key and r.accepted)
        for key in used:
            self.order(name, Target("key", key))

    def fault(self, note: str) -> None:
        """Write down what is being done."""
        self._recorder.mark("fault", note=note)

    def probe(self, name: str) -> Request:
        """Ask a node how it is, and write down what it said of its lag."""
        started = moment()
        status, lag = self.nodes[name].look()
        request = Request("test", name, "probe", started, moment(), status, lag=lag)
        self._recorder.add(request)
        return request

    def calm(self, load: Workload) -> None:
        """The faults are over: return when every node is well and every client has shown what it holds."""
        self._recorder.mark("calm")
        deadline = time.monotonic() + self.setup.recovery.total_seconds()
        for name in self.nodes:
            while not self.probe(name).accepted and time.monotonic() < deadline:
                time.sleep(0.05)
        load.finish()

    @property
    def history(self) -> History:
        return History.read(self.history_directory)

    def violations(self) -> tuple[Violation, ...]:
        """Promises that were broken; none of them may be."""
        terms = Terms(nodes=tuple(self.nodes), bound=self.setup.bound, recovery=self.setup.recovery)
        return judge(self.history, terms)

    def answered(self, operation: Operation, status: int, *, nodes: Sequence[str] = ()) -> int:
        """How many requests of this kind these nodes, or all, answered so."""
        asked = [r for r in self.history.requests if r.operation == operation and r.status == status]
        return len([r for r in asked if not nodes or r.node in nodes])

    def require_promises(self) -> None:
        """AssertionError when a promise was broken, or when too little happened to show that it was kept.

        Nor may a node have met what nobody had thought of.
        """
        violations = self.violations()
        if violations:
            counts = Counter(violation.promise for violation in violations)
            summary = ", ".join(f"{promise}: {counts[promise]}" for promise in Promise if counts[promise])
            shown = "\n".join(map(str, violations[:_SHOWN]))
            raise AssertionError(f"broken: {summary} (seed {self.setup.seed}; {self.history_directory})\n{shown}")
        require_substance(self.history, keys=self.setup.administrator)
        for node in self.nodes.values():
            assert "Traceback" not in node.log, f"{node.name} met a defect; see its log in {node.directory}"

    def _ports(self) -> Iterator[tuple[str, int]]:
        ports = free_ports(len(self.setup.nodes)) if self.setup.network is None else [_PORT] * len(self.setup.nodes)
        yield from zip(self.setup.nodes, ports, strict=True)

    def _node(self, name: str, directory: Path, port: int) -> Node:
        setup = self.setup
        place = Place(port=port)
        if setup.network is not None:
            network = setup.network
            place = Place(host=network.address(name), port=port, namespace=network.namespace(name), clients=network.hub)
        settings = {
            "store": setup.stores.get(name, setup.store),
            "grace": f"{setup.grace // timedelta(milliseconds=1)}ms",
            "access_token": "10s",
            "max_sessions": "100",
            **setup.settings,
        }
        return Node(name, directory, place, settings)


def require_substance(history: History, *, keys: bool = False) -> None:
    """AssertionError unless enough happened for the verdict to mean something. `keys`: were some given up?"""
    done = Counter(request.operation for request in history.requests if request.accepted)
    refused = sum(request.code == "session_ended" for request in history.requests)
    minted = sum(request.operation == "refresh" and request.minted is not None for request in history.requests)
    enough = done["check"] >= 200 and done["refresh"] >= 20 and done["revoke"] >= 5 and refused >= 20 and minted >= 3
    assert enough, f"too little happened: {dict(done)}, {refused} refused, {minted} rotations"
    ended = Counter[str](r.target.kind for r in history.requests if r.target is not None and r.accepted)
    assert all(ended[kind] for kind in ("session", "subject", *(["key"] if keys else []))), f"ended: {dict(ended)}"
