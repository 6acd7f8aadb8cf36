"""Decisions about one session each, collected: what gathers while a transaction is under way is written by the next.

Ending a session, a refresh and a touch look at one row and write it, so that hundreds of them go into one transaction:
the rows are read and locked by one statement, each decision is made on them in the order in which the calls came, and
what came of it is written by one statement, its entries by another. Nobody hears of a decision before the commit.

A row that another transaction holds is passed over: its decisions get a transaction of their own, which waits for it.
So one that is held for long keeps nobody else waiting, and a group never waits for a row while it holds others.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from copy import copy
from typing import Any, Final, Generic, TypeVar

import msgspec

from frontdesk.clock import to_micros
from frontdesk.core.sessions import Session
from frontdesk.errors import StoreCorruptError
from frontdesk.stores.postgresql.connecting import Connection
from frontdesk.stores.postgresql.faults import UnreachableError
from frontdesk.stores.postgresql.log import append, line
from frontdesk.stores.postgresql.running import Runner
from frontdesk.stores.postgresql.sessions import changed
from frontdesk.stores.postgresql.verdicts import Decide
from frontdesk.stores.rows import SESSION_COLUMNS, claims_from_json, claims_to_json, session_of

T = TypeVar("T")

_MOST: Final = 1000
"""Decisions in one transaction."""

_HOLD: Final = f"SELECT {SESSION_COLUMNS} FROM frontdesk.sessions WHERE realm = $1 AND id = ANY($2::text[])"  # noqa: S608
_HOLD_FREE: Final = f"{_HOLD} FOR UPDATE SKIP LOCKED"
_HOLD_ALL: Final = f"{_HOLD} ORDER BY id FOR UPDATE"
_EXISTING: Final = "SELECT id FROM frontdesk.sessions WHERE realm = $1 AND id = ANY($2::text[])"
# Compare and set, although the rows are locked: a row that is not as it was read is not overwritten. By `end_reason`,
# which is null exactly when `ended_at` is: the index of what has not ended would be a way through a whole realm.
_WRITE: Final = """
UPDATE frontdesk.sessions AS held
SET generation = written.generation, parent = written.parent, minted_at = written.minted_at,
    last_seen_at = written.last_seen_at, ended_at = written.ended_at, end_reason = written.end_reason
FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
        $9::bigint[], $10::text[])
    AS written (id, was_generation, was_parent, generation, parent, minted_at, last_seen_at, ended_at, end_reason)
WHERE held.realm = $1 AND held.id = written.id AND held.end_reason IS NULL
    AND held.generation = written.was_generation AND held.parent = written.was_parent
"""


class _Job(Generic[T]):
    """One decision that was asked for, and where its outcome is awaited."""

    __slots__ = ("decide", "future", "session_id")

    def __init__(self, session_id: str, decide: Decide[T]) -> None:
        self.session_id = session_id
        self.decide = decide
        self.future: asyncio.Future[T] = asyncio.get_running_loop().create_future()


class Grouping:
    """To be used in one event loop only."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._waiting: dict[str, deque[_Job[Any]]] = {}

    async def ask(self, realm: str, decisions: Mapping[str, Decide[T]]) -> list[T]:
        """What becomes of each decision, by session id, after COMMIT.

        Cancelled, those whose transaction has not begun are withdrawn and the others awaited.
        """
        self._runner.accept()
        jobs = [_Job(session_id, decide) for session_id, decide in decisions.items()]
        queue = self._waiting.get(realm)
        if queue is None:
            queue = self._waiting[realm] = deque()
            self._runner.start(self._serve(realm, queue))
        queue.extend(jobs)
        try:
            await asyncio.wait([job.future for job in jobs])
        except asyncio.CancelledError:
            await _withdraw(queue, jobs)
            raise
        finally:
            self._runner.settled()
        faults = [fault for job in jobs if (fault := job.future.exception()) is not None]
        if faults:
            raise faults[0]
        return [job.future.result() for job in jobs]

    async def _serve(self, realm: str, queue: deque[_Job[Any]]) -> None:
        """One transaction after the other until nothing waits."""
        try:
            while queue:
                jobs = [queue.popleft() for _ in range(min(len(queue), _MOST))]
                try:
                    passed_over = await self._transact(realm, jobs, _HOLD_FREE)
                except UnreachableError as fault:
                    _fail(queue, fault)  # they have waited as long for the same server
                    queue.clear()
                else:
                    for alike in passed_over.values():
                        self._runner.start(self._alone(realm, alike))
        finally:
            del self._waiting[realm]
            for job in queue:
                job.future.cancel()

    async def _alone(self, realm: str, jobs: Sequence[_Job[Any]]) -> None:
        """The decisions about one session, when whoever holds its row is done."""
        with suppress(UnreachableError):
            await self._transact(realm, jobs, _HOLD_ALL)

    async def _transact(self, realm: str, jobs: Sequence[_Job[Any]], hold: str) -> dict[str, list[_Job[Any]]]:
        """Settle all jobs but those whose rows others hold: these by session id. Raises when nothing was reached."""
        try:
            outcomes, passed_over = await self._runner.transact(
                lambda connection: _decide(connection, realm, jobs, hold)
            )
        except Exception as fault:
            _fail(jobs, fault)
            if isinstance(fault, UnreachableError):
                raise
            return {}
        except BaseException:
            for job in jobs:
                job.future.cancel()
            raise
        for job, outcome in outcomes:
            if isinstance(outcome, Exception):
                job.future.set_exception(outcome)
            else:
                job.future.set_result(outcome)
        return passed_over


async def _decide(
    connection: Connection, realm: str, jobs: Sequence[_Job[Any]], hold: str
) -> tuple[list[tuple[_Job[Any], object]], dict[str, list[_Job[Any]]]]:
    """Outcomes, which are errors for decisions that could not be made; and the jobs whose rows others hold."""
    ids = list(dict.fromkeys(job.session_id for job in jobs))
    held = {str(row[1]): row for row in await connection.fetch(hold, realm, ids)}
    absent = [session_id for session_id in ids if session_id not in held]
    locked: set[str] = set()
    if absent and hold is _HOLD_FREE:
        locked = {row[0] for row in await connection.fetch(_EXISTING, realm, absent)}
    passed_over: dict[str, list[_Job[Any]]] = {session_id: [] for session_id in locked}
    before: dict[str, Session] = {}
    after: dict[str, Session] = {}
    outcomes: list[tuple[_Job[Any], object]] = []
    for job in jobs:
        session_id = job.session_id
        if session_id in passed_over:
            passed_over[session_id].append(job)
            continue
        try:
            if session_id in held and session_id not in before:
                before[session_id] = session_of(held[session_id])
            verdict = job.decide(_own(after.get(session_id) or before.get(session_id)))
        except Exception as error:  # noqa: BLE001 - whoever asked must hear of it, and takes no other along
            outcomes.append((job, error))
            continue
        outcomes.append((job, verdict.result))
        if verdict.row is not None:
            after[session_id] = verdict.row
    await _write(connection, realm, [(before[session_id], row) for session_id, row in after.items()])
    return outcomes, passed_over


async def _write(connection: Connection, realm: str, changes: Sequence[tuple[Session, Session]]) -> None:
    """Write rows as they are to stand, and an entry for each that ends."""
    if not changes:
        return
    status = await connection.execute(_WRITE, realm, *map(list, zip(*map(_columns, changes), strict=True)))
    if changed(status) != len(changes):
        raise StoreCorruptError("a session that was just read was not found again")
    moments = [(row.id, row.ended_at) for _, row in changes]
    await append(connection, [line(realm, "session", ended, at) for ended, at in moments if at is not None])


def _columns(change: tuple[Session, Session]) -> tuple[object, ...]:
    was, row = change
    return (
        row.id,
        was.generation,
        was.parent,
        row.generation,
        row.parent,
        to_micros(row.minted_at),
        to_micros(row.last_seen_at),
        None if row.ended_at is None else to_micros(row.ended_at),
        row.end_reason,
    )


def _own(row: Session | None) -> Session | None:
    """A record that shares no mapping of claims with one that another caller gets."""
    if row is None or not row.claims:
        return row
    return msgspec.structs.replace(row, claims=claims_from_json(claims_to_json(row.claims)))


async def _withdraw(queue: deque[_Job[Any]], jobs: Iterable[_Job[Any]]) -> None:
    """Take back what has not begun, and return when the rest is settled, however often this is cancelled."""
    for job in jobs:
        with suppress(ValueError):
            queue.remove(job)
            job.future.cancel()
    begun = [job.future for job in jobs if not job.future.cancelled()]
    while not all(future.done() for future in begun):
        with suppress(asyncio.CancelledError):
            await asyncio.wait(begun)
    for future in begun:
        if not future.cancelled():
            future.exception()


def _fail(jobs: Iterable[_Job[Any]], fault: Exception) -> None:
    """Each is raised in a task of its own, with a traceback of its own."""
    for job in jobs:
        job.future.set_exception(copy(fault))
