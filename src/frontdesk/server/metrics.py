"""What the server did so far, for Prometheus: `/metrics`. docs/metrics.md names and explains each figure.

Nothing here holds a subject, a session, an address or anything else that grows with use: every label has a fixed set of
values, and every counter is there from the start. A request pays nothing: the desk counts in plain integers, and what
they grew by is taken over when somebody asks and, with several workers, about once a second.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from types import MappingProxyType
from typing import Final, NamedTuple, get_args

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from frontdesk.clock import BOOT_TIMER, Timer
from frontdesk.core.events import (
    AccountRemoved,
    Event,
    KeyChanged,
    RealmRevoked,
    Refreshed,
    SessionEnded,
    SignedIn,
    SignInRefused,
    SubjectRevoked,
)
from frontdesk.core.rotation import Outcome
from frontdesk.core.sessions import CredentialKind, Transport
from frontdesk.errors import CODES
from frontdesk.server.tally import Row, Tally
from frontdesk.service.desk import Desk

CONTENT_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"
EVERY_SECONDS: Final = 1.0

_COUNTED: Final = frozenset({401, 403, 429, 500, 503})
_MICROSECONDS: Final = 1_000_000

_logger = logging.getLogger("frontdesk.server")


class _Counter(NamedTuple):
    """A family of counters; `values` are all that its labels may be."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    values: tuple[tuple[str, ...], ...] = ((),)


def _each(values: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    return tuple((value,) for value in values)


_DECIDED: Final = _Counter(
    "frontdesk_requests_decided", "Requests with a credential that were decided.", ("how",), _each(("local", "asked"))
)
_STALE: Final = _Counter(
    "frontdesk_stale_decisions", "Requests for which the store was asked because local state was too old."
)
_LOOKUPS: Final = _Counter(
    "frontdesk_store_lookups", "Questions sent over a network to the store in order to decide requests."
)
_REVOCATIONS: Final = _Counter(
    "frontdesk_revocations", "What was ended here, by kind.", ("kind",), _each(("session", "subject", "key", "all"))
)
_ROTATIONS: Final = _Counter(
    "frontdesk_rotations",
    "Refresh tokens that were presented, by what became of them.",
    ("outcome",),
    _each(outcome.value for outcome in Outcome),
)
_SIGN_INS: Final = _Counter(
    "frontdesk_sign_ins",
    "Sessions that were created.",
    ("credential", "transport"),
    tuple(product(get_args(CredentialKind), get_args(Transport))),
)
_SIGN_INS_REFUSED: Final = _Counter(
    "frontdesk_sign_ins_refused",
    "Sign-ins with a password that were refused.",
    ("code",),
    _each(("invalid_credentials", "too_many_attempts")),
)
_REFUSALS: Final = _Counter(
    "frontdesk_refusals",
    "Requests that were refused with one of the statuses 401, 403, 429, 500 and 503.",
    ("code",),
    _each(code for code, entry in CODES.items() if entry.status in _COUNTED),
)
_COUNTERS: Final = (
    _DECIDED, _STALE, _LOOKUPS, _REVOCATIONS, _ROTATIONS, _SIGN_INS, _SIGN_INS_REFUSED, _REFUSALS,
)  # fmt: skip

# The columns of a row: of the worker that holds it, then the counters.
_PROCESS, _WRITTEN_AT, _LAG, _ENTRIES, _FIRST = range(5)
_COLUMNS: Final[Mapping[tuple[str, ...], int]] = MappingProxyType(
    {
        place: column
        for column, place in enumerate(
            ((counter.name, *values) for counter in _COUNTERS for values in counter.values), start=_FIRST
        )
    }
)
"""Counter and values of its labels → column."""

COLUMNS: Final = _FIRST + len(_COLUMNS)
"""How many numbers a worker keeps."""

_FLUSHED: Final = tuple(
    _COLUMNS[place] for place in ((_DECIDED.name, "local"), (_DECIDED.name, "asked"), (_STALE.name,), (_LOOKUPS.name,))
)
"""Where the counts of a desk go: local, asked, stale, questions."""

_NOBODY: Final = 0
_NO_LAG: Final = -1
_NOT_FOLLOWING: Final = -1


class Metrics:
    """The figures of one process, and of all workers together where the tally is shared.

    `note` listens to the audit events of the desk that `watch` names; `refused` is told what was answered. With several
    workers `start` keeps their common tally up to date until `stop`.
    """

    def __init__(self, tally: Tally | None = None, *, timer: Timer = BOOT_TIMER) -> None:
        self._tally = tally or Tally(COLUMNS)
        self._row = self._take_row()
        # What stood here may be of a worker that this one replaces; its counts go on.
        self._row[_PROCESS], self._row[_LAG], self._row[_ENTRIES] = os.getpid(), _NO_LAG, _NOT_FOLLOWING
        self._timer = timer
        self._desk: Desk | None = None
        self._flushed = (0,) * len(_FLUSHED)
        self._task: asyncio.Task[None] | None = None
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Report(self._tally, timer))

    def watch(self, desk: Desk) -> None:
        """Tell of this desk, which counts how requests are decided."""
        self._desk = desk

    # --- counting ---------------------------------------------------------------------------------------------

    def note(self, event: Event) -> None:
        """Count what the audit log tells."""
        match event:
            case SignedIn():
                self._add(_SIGN_INS, event.credential, event.transport)
            case SignInRefused():
                self._add(_SIGN_INS_REFUSED, event.code)
            case Refreshed():
                self._add(_ROTATIONS, event.outcome)
            case SessionEnded():
                self._add(_REVOCATIONS, "session")
            case SubjectRevoked() | AccountRemoved():
                self._add(_REVOCATIONS, "subject")
            case RealmRevoked():
                self._add(_REVOCATIONS, "all")
            case KeyChanged(state="compromised"):
                self._add(_REVOCATIONS, "key")
            case _:
                pass

    def refused(self, code: str) -> None:
        """Count an answer that was a refusal, if its status is one that is counted."""
        if (_REFUSALS.name, code) in _COLUMNS:
            self._add(_REFUSALS, code)

    def _add(self, counter: _Counter, *values: str) -> None:
        self._row[_COLUMNS[counter.name, *values]] += 1

    def _take_row(self) -> Row:
        row = self._tally.take()
        if row is None:
            _logger.warning("too many workers run at once; what this one counts is not told")
            row = Tally(COLUMNS).take()
        assert row is not None
        return row

    # --- telling ----------------------------------------------------------------------------------------------

    async def text(self) -> bytes:
        """Everything in the text format of Prometheus (`CONTENT_TYPE`)."""
        self.flush()
        # The files of /proc are read: other requests need not wait for that.
        return await asyncio.to_thread(generate_latest, self._registry)

    def flush(self) -> None:
        """Write down by how much the desk's counts have grown, and how it stands."""
        desk = self._desk
        if desk is None:
            return
        counts = desk.counts
        grown = (counts.local, counts.asked, counts.stale, counts.questions)
        for column, after, before in zip(_FLUSHED, grown, self._flushed, strict=True):
            self._row[column] += after - before
        self._flushed = grown
        lag = desk.lag
        self._row[_LAG] = _NO_LAG if lag is None else round(lag * _MICROSECONDS)
        self._row[_ENTRIES] = _NOT_FOLLOWING if desk.follower is None else len(desk.follower.index)
        self._row[_WRITTEN_AT] = round(self._timer() * _MICROSECONDS)

    def start(self) -> None:
        """Begin to write down about once a second, in the running event loop, where other workers want to know."""
        if self._tally.is_shared and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._keep_flushing(), name="frontdesk-metrics")

    async def stop(self) -> None:
        """Write down the last of it; from now on this process is none of the workers. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        self.flush()
        self._row[_PROCESS] = _NOBODY

    async def _keep_flushing(self) -> None:
        while True:
            self.flush()
            await asyncio.sleep(EVERY_SECONDS)


class _Report(Collector):
    """What a tally holds, as families of samples. Counters are told for all workers together, the rest for each."""

    def __init__(self, tally: Tally, timer: Timer) -> None:
        self._tally = tally
        self._timer = timer

    def collect(self) -> Iterator[Metric]:
        rows = tuple(self._tally.rows())
        for counter in _COUNTERS:
            family = CounterMetricFamily(counter.name, counter.help, labels=counter.labels)
            for values in counter.values:
                family.add_metric(values, sum(row[_COLUMNS[counter.name, *values]] for row in rows))
            yield family
        running = {str(number): row for number, row in enumerate(rows) if row[_PROCESS] != _NOBODY}
        yield from self._standing(running)
        yield from _processes(running)

    def _standing(self, running: Mapping[str, Row]) -> Iterator[Metric]:
        ready = GaugeMetricFamily(
            "frontdesk_ready", "1: a complete picture of the revocations is there.", labels=("worker",)
        )
        lag = GaugeMetricFamily(
            "frontdesk_revocation_lag_seconds",
            "How far local state may be behind the revocation log.",
            labels=("worker",),
        )
        entries = GaugeMetricFamily(
            "frontdesk_revocation_entries", "Live entries of the revocation log that are held.", labels=("worker",)
        )
        for worker, row in running.items():
            behind = self._lag(row)
            ready.add_metric((worker,), 0 if behind is None else 1)
            if behind is not None:
                lag.add_metric((worker,), behind)
            if row[_ENTRIES] != _NOT_FOLLOWING:
                entries.add_metric((worker,), row[_ENTRIES])
        return iter((ready, lag, entries))

    def _lag(self, row: Row) -> float | None:
        """The lag of a worker in seconds. One that has not written for long stands still, and lags more and more."""
        if row[_LAG] == _NO_LAG:
            return None
        written = float(row[_LAG]) / _MICROSECONDS
        silent = self._timer() - row[_WRITTEN_AT] / _MICROSECONDS
        stands_still = silent > 2 * EVERY_SECONDS and row[_ENTRIES] != _NOT_FOLLOWING
        return written + silent if stands_still else written


def _processes(running: Mapping[str, Row]) -> Iterator[Metric]:
    """CPU, memory and files of each worker, as far as the system tells."""
    families: dict[str, Metric] = {}
    for worker, row in running.items():
        for told in _process(row[_PROCESS]):
            family = families.setdefault(told.name, Metric(told.name, told.documentation, told.type))
            for sample in told.samples:
                family.add_sample(sample.name, {"worker": worker}, sample.value)
    return iter(families.values())


def _process(number: int) -> Iterable[Metric]:
    return ProcessCollector(pid=lambda: number, registry=None).collect()
