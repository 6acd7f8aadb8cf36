"""What is on the disk after the power went: a model of unsynced writes, a workload, and what must hold afterwards.

A write is safe when its file was synced after it. Until then any part of it may be on the medium, in sectors of 512
octets, whatever was written before or after. A file's creation or removal is safe once its directory was synced,
which SQLite's VFS does with the first sync of a file that it created; until then a prefix of them may have happened.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

import apsw

from frontdesk.core.rotation import Decision
from frontdesk.stores.protocol import Created, Ended
from frontdesk.stores.sqlite import SQLiteStore
from frontdesk.testing.suite.harness import POLICY, REALM, T0, a_session, sid
from tests.stores.faulty_vfs import Event, FaultyVFS

SECTOR: Final = 512
HOUR: Final = timedelta(hours=1)


# --- the disk -----------------------------------------------------------------------------------------------------


@dataclass
class _Inode:
    safe: bytearray = field(default_factory=bytearray)
    pending: list[Event] = field(default_factory=list)
    directory_safe: bool = False

    def content(self, chance: random.Random | None, share: float) -> bytes:
        """The safe octets and those pending writes that made it: each sector with the probability `share`."""
        octets = bytearray(self.safe)
        for event in self.pending:
            _apply(octets, event, chance, share)
        return bytes(octets)


def _apply(octets: bytearray, event: Event, chance: random.Random | None, share: float) -> None:
    if event.what == "truncate":
        if _happens(chance, share):
            del octets[event.size :]
        return
    for start in range(0, len(event.data), SECTOR):
        if _happens(chance, share):
            piece = event.data[start : start + SECTOR]
            at = event.offset + start
            octets.extend(bytes(max(0, at + len(piece) - len(octets))))
            octets[at : at + len(piece)] = piece


def _happens(chance: random.Random | None, share: float) -> bool:
    return share >= 1.0 or (chance is not None and chance.random() < share)


class Disk:
    """Follows the events of a VFS. `images` shows what may be found after a loss of power at this moment."""

    def __init__(self, existing: str) -> None:
        self._now: dict[str, _Inode] = {existing: _Inode(directory_safe=True)}
        self._safe: dict[str, _Inode] = dict(self._now)
        self._pending: list[tuple[str, _Inode | None]] = []

    def follow(self, event: Event) -> None:
        if event.what == "create":
            self._now[event.file] = _Inode()
            self._pending.append((event.file, self._now[event.file]))
        elif event.what == "delete":
            self._now.pop(event.file, None)
            self._pending.append((event.file, None))
        elif event.what in {"write", "truncate"}:
            self._now[event.file].pending.append(event)
        elif event.what == "sync":
            self._sync(self._now[event.file])

    def images(self, chance: random.Random, subsets: int) -> Iterator[dict[str, bytes]]:
        """Nothing that was not synced; everything; and random subsets."""
        yield self._image(chance, 0.0)
        yield self._image(chance, 1.0)
        for number in range(subsets):
            yield self._image(chance, (0.5, 0.9, 0.1)[number % 3])

    def _sync(self, inode: _Inode) -> None:
        for event in inode.pending:
            _apply(inode.safe, event, None, 1.0)
        inode.pending.clear()
        if not inode.directory_safe:
            inode.directory_safe = True
            self._name(self._safe, len(self._pending))
            self._pending.clear()

    def _image(self, chance: random.Random, share: float) -> dict[str, bytes]:
        names = dict(self._safe)
        if share >= 1.0:
            self._name(names, len(self._pending))
        elif share > 0.0:
            self._name(names, chance.randint(0, len(self._pending)))
        return {name: inode.content(chance, share) for name, inode in names.items()}

    def _name(self, names: dict[str, _Inode], count: int) -> None:
        for name, inode in self._pending[:count]:
            if inode is None:
                names.pop(name, None)
            else:
                names[name] = inode


# --- the workload -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fact:
    """What an acknowledgement said. kind: created, rotated (value: generation), ended, revoked (value: epoch),
    put, consumed."""

    kind: str
    target: str
    value: int = 0


class Workload:
    """Sign-ins that replace and evict, rotations, reuse, sign-outs and values that are good once, several at a time."""

    def __init__(self, store: SQLiteStore, vfs: FaultyVFS) -> None:
        self._store = store
        self._vfs = vfs

    async def run(self, rounds: int) -> None:
        for number in range(rounds):
            await asyncio.gather(
                self._sign_in(10 * number, replaces=None),
                self._sign_in(10 * number + 1, replaces=10 * number - 9),
                self._rotate(10 * number - 10, number),
                self._reuse(10 * number - 20),
                self._end(10 * number - 30),
                self._put(number),
                self._consume(number - 1),
            )
            if number % 4 == 3:
                await self._end_subject(f"subject-{(number - 2) % 5}")

    def _acknowledged(self, kind: str, target: str, value: int = 0) -> None:
        self._vfs.record(Event("mark", "", mark=Fact(kind, target, value)))

    async def _sign_in(self, number: int, replaces: int | None) -> None:
        subject = f"subject-{(number // 10) % 5}"
        session = a_session(number, subject=subject, epochs=await self._store.epochs(REALM, subject))
        old = () if replaces is None or replaces < 0 else (sid(replaces),)
        outcome = await self._store.create_session(session, replaces=old, max_sessions=3, now=session.created_at)
        if isinstance(outcome, Created):
            self._acknowledged("created", session.id)
            for ended in outcome.ended:
                self._acknowledged("ended", ended.id)

    async def _rotate(self, number: int, turn: int) -> None:
        for generation in range(3):
            now = T0 + HOUR * (turn + generation + 1)
            decision = await self._decide(number, generation, now)
            if decision is not None and decision.outcome.mints:
                self._acknowledged("rotated", sid(number), decision.session.generation)

    async def _reuse(self, number: int) -> None:
        decision = await self._decide(number, 0, T0 + HOUR * 200)
        if decision is not None and decision.ends:
            self._acknowledged("ended", sid(number))

    async def _decide(self, number: int, generation: int, now: object) -> Decision | None:
        if number < 0:
            return None
        return await self._store.rotate(REALM, sid(number), generation, now, POLICY)  # type: ignore[arg-type]

    async def _end(self, number: int) -> None:
        if number >= 0:
            outcome = await self._store.end_session(REALM, sid(number), reason="signed_out", now=T0 + HOUR * 300)
            if isinstance(outcome, Ended):
                self._acknowledged("ended", sid(number))

    async def _end_subject(self, subject: str) -> None:
        ended = await self._store.end_subject(REALM, subject, reason="revoked", now=T0 + HOUR * 300)
        epochs = await self._store.epochs(REALM, subject)
        self._acknowledged("revoked", subject, epochs.subject)
        for session in ended:
            self._acknowledged("ended", session.id)

    async def _put(self, number: int) -> None:
        key = b"%d" % number
        if await self._store.put_once(REALM, "state", key, b"v" * 900, expires_at=T0 + HOUR):
            self._acknowledged("put", key.decode())

    async def _consume(self, number: int) -> None:
        key = b"%d" % number
        if await self._store.consume(REALM, "state", key, T0) is not None:
            self._acknowledged("consumed", key.decode())


# --- what must hold -----------------------------------------------------------------------------------------------


class LossError(AssertionError):
    """Something that was acknowledged is not there, or something is half there."""


def require_whole(image: dict[str, bytes], facts: list[Fact], directory: Path) -> None:
    """Write the image out, let SQLite recover it, and look for every acknowledged fact and for halves."""
    directory.mkdir(exist_ok=True)
    for leftover in directory.iterdir():
        leftover.unlink()
    for name, octets in image.items():
        (directory / name).write_bytes(octets)
    connection = apsw.Connection(str(directory / "desk.db"))
    try:
        _inspect(connection, facts)
    except apsw.Error as fault:
        raise LossError(f"the database cannot be read: {fault}") from fault
    finally:
        connection.close(force=True)


def _inspect(connection: apsw.Connection, facts: list[Fact]) -> None:
    _require(connection.pragma("integrity_check"), "ok", "the database is damaged")
    if connection.pragma("user_version") == 0:
        _require(connection.execute("SELECT count(*) FROM sqlite_schema").get, 0, "half a schema")
        _require(facts, [], "acknowledged before there was a schema")
        return
    sessions = {
        row[0]: row
        for row in connection.execute(
            "SELECT id, subject, generation, parent, subject_epoch, ended_at, end_reason FROM sessions"
        )
    }
    entries = connection.execute("SELECT number, kind, target, epoch FROM revocations ORDER BY number").fetchall()
    once: dict[object, object] = _pairs(connection, "SELECT CAST(key AS TEXT), value FROM once")
    epochs: dict[object, object] = _pairs(connection, "SELECT subject, epoch FROM subjects")
    for fact in facts:
        _require_fact(fact, sessions, once, epochs)
    _require_no_half(sessions, entries, epochs)


def _pairs(connection: apsw.Connection, sql: str) -> dict[object, object]:
    return {row[0]: row[1] for row in connection.execute(sql)}


def _require_fact(
    fact: Fact, sessions: dict[object, tuple[object, ...]], once: dict[object, object], epochs: dict[object, object]
) -> None:
    if fact.kind in {"put", "consumed"}:
        _require(fact.target in once, True, f"{fact} is lost")
        _require(fact.kind == "consumed" and once[fact.target] is not None, False, f"{fact} can be consumed again")
    elif fact.kind == "revoked":
        _require(int(str(epochs.get(fact.target, 0))) >= fact.value, True, f"{fact} is lost")
    else:
        _require(fact.target in sessions, True, f"{fact} is lost")
        row = sessions[fact.target]
        _require(fact.kind == "ended" and row[5] is None, False, f"{fact} stands again")
        _require(fact.kind == "rotated" and int(str(row[2])) < fact.value, False, f"{fact} is lost")


def _require_no_half(
    sessions: dict[object, tuple[object, ...]], entries: list[tuple[object, ...]], epochs: dict[object, object]
) -> None:
    _require([entry[0] for entry in entries], list(range(1, len(entries) + 1)), "the log has gaps")
    logged = [entry[2] for entry in entries if entry[1] == "session"]
    _require(len(set(logged)), len(logged), "a session ended twice")
    by_themselves = {row[0] for row in sessions.values() if row[5] is not None and row[6] != "revoked"}
    _require(set(logged), by_themselves, "an end without its entry, or an entry without its end")
    for subject, epoch in epochs.items():
        raised = [entry[3] for entry in entries if entry[1:3] == ("subject", subject)]
        _require(raised, list(range(1, int(str(epoch)) + 1)), "an epoch without its entry")
        standing = [row for row in sessions.values() if row[1] == subject and row[5] is None and row[4] != epoch]
        _require(standing, [], "a session outlived its subject's revocation")
    numbers = {sid(number): number for number in range(1000)}
    for row in sessions.values():
        number = numbers[str(row[0])]
        if row[6] == "replaced":
            _require(sid(number + 10) in sessions, True, "replaced by a session that is not there")
        _require(row[3] == int(str(row[2])) - 1 or row[2] == 0, True, "half a rotation")


def _require(actual: object, expected: object, sentence: str) -> None:
    if actual != expected:
        raise LossError(f"{sentence}: {str(actual)[:300]} instead of {str(expected)[:300]}")


# --- both together ------------------------------------------------------------------------------------------------


def record(directory: Path, vfs: FaultyVFS, rounds: int) -> None:
    """Run the workload on a new store over `vfs`, with a checkpoint every few commits."""

    async def scenario() -> None:
        store = SQLiteStore(directory / "desk.db", vfs=vfs.name, checkpoint_pages=20)
        await store.open()
        try:
            await Workload(store, vfs).run(rounds)
        finally:
            await store.close()

    asyncio.run(scenario())


class Proof:
    """Cuts the power, again and again, along the events of a VFS; counts how much was tried."""

    def __init__(self, directory: Path, *, seed: int, subsets: int) -> None:
        self._directory = directory
        self._chance = random.Random(seed)
        self._subsets = subsets
        self._disk = Disk("desk.db")
        self.facts: list[Fact] = []
        self.images = 0

    def follow(self, events: list[Event]) -> None:
        """Before and after every sync, after every removal, at every acknowledgement. Raises LossError."""
        for event in events:
            if event.what == "sync":
                self._cut()
            self._disk.follow(event)
            if isinstance(event.mark, Fact):
                self.facts.append(event.mark)
            if event.what in {"sync", "mark", "delete"}:
                self._cut()

    def _cut(self) -> None:
        for image in self._disk.images(self._chance, self._subsets):
            self.images += 1
            require_whole(image, self.facts, self._directory)
