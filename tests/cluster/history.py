"""What clients asked and were answered, and what was done to the nodes meanwhile: lines of JSON, merged afterwards.

Every process writes a file of its own into one directory. All of them read one clock, the machine's monotonic one, so
their moments can be compared. No credential is ever written: a session by its public id, a refresh token by its
generation, an access token by the id of its key.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

import msgspec

Operation = Literal["register", "sign_in", "check", "refresh", "revoke", "probe"]
"""`check` is a protected request; `probe` asks a node how it is."""

TargetKind = Literal["session", "subject", "key", "all"]

MarkKind = Literal["seed", "fault", "cut", "healed", "loss_from", "loss_until", "calm"]
"""What happened outside of requests.

`seed`: the run began; `note` is the seed. `fault`: something was done to a node or the store; `note` says what.
`cut`: from this moment on nothing passes between `node` and the store. `healed`: until this moment nothing did.
`loss_from`, `loss_until`: the store may lose what it acknowledged between them. `calm`: the faults are over.
"""

LOST: Final = 0
"""The status of a request that was not answered: whether it was carried out, now or later, is unknown."""


class Target(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a revocation is to end: a session, a subject's sessions, the tokens of a key, or everything."""

    kind: TargetKind
    id: str = ""


class Request(msgspec.Struct, frozen=True, omit_defaults=True, tag="request"):
    """One request and its answer. Moments are nanoseconds of the machine's monotonic clock.

    `subject` and `session` are those of the credential that was presented (`sign_in`: that was asked for and
    received; `revoke`: that authorised it; "" for an administrator). `presented` and `minted` are generations of
    refresh tokens. `key` is the id of the key of the access token that was presented; `expires` the moment before
    which that token cannot be over. `lag` is how far behind the node said that it was, in seconds.
    """

    client: str
    node: str
    operation: Operation
    started: int
    ended: int
    status: int = LOST
    code: str = ""
    subject: str = ""
    session: str = ""
    target: Target | None = None
    presented: int | None = None
    minted: int | None = None
    key: str = ""
    expires: int | None = None
    lag: float | None = None

    @property
    def accepted(self) -> bool:
        return 200 <= self.status < 300

    @property
    def unanswered(self) -> bool:
        """Whether nobody decided: no answer, or one that says that the store could not be asked."""
        return self.status == LOST or self.status >= 500

    def __str__(self) -> str:
        answer = "no answer" if self.status == LOST else f"{self.status} {self.code}".rstrip()
        about = f" {self.target.kind} {self.target.id}".rstrip() if self.target is not None else ""
        who = f" of session {self.session}" if self.session else ""
        generation = "" if self.presented is None else f" with refresh token {self.presented}"
        span = f"{self.started / 1e9:.6f}–{self.ended / 1e9:.6f}"
        return f"{span} {self.client} → {self.node}: {self.operation}{about}{who}{generation}: {answer}"


class Mark(msgspec.Struct, frozen=True, omit_defaults=True, tag="mark"):
    """Something that was done beside the requests."""

    kind: MarkKind
    at: int
    node: str = ""
    note: str = ""

    def __str__(self) -> str:
        return f"{self.at / 1e9:.6f} {self.kind} {self.node} {self.note}".rstrip()


@dataclass(frozen=True, slots=True)
class History:
    """Everything that was recorded: requests by their start, marks by their moment."""

    requests: tuple[Request, ...]
    marks: tuple[Mark, ...] = ()

    @classmethod
    def of(cls, records: Iterable[Request | Mark]) -> History:
        """Records in any order."""
        requests, marks = [], []
        for record in records:
            if isinstance(record, Request):
                requests.append(record)
            else:
                marks.append(record)
        return cls(
            tuple(sorted(requests, key=lambda request: (request.started, request.ended))),
            tuple(sorted(marks, key=lambda mark: mark.at)),
        )

    @classmethod
    def read(cls, directory: Path) -> History:
        """All files of `directory`. ValueError for a line that is no record: a recorder writes lines whole or not."""
        return cls.of(_lines(directory))

    def __str__(self) -> str:
        """One line for each record, in the order of their moments, with what was done between the requests."""
        lines = [(request.started, str(request)) for request in self.requests]
        lines += [(mark.at, f"{mark}") for mark in self.marks]
        return "\n".join(line for _, line in sorted(lines))


class Recorder:
    """Appends to one file of the history. Several threads, and several processes, may use one file at once."""

    def __init__(self, directory: Path, name: str) -> None:
        path = directory / f"{name}.jsonl"
        self._file: int | None = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def add(self, record: Request | Mark) -> None:
        """Append one line in one write, which the kernel does not mix with others (O_APPEND)."""
        if self._file is None:
            raise ValueError("the recorder is closed")
        line = msgspec.json.encode(record) + b"\n"
        if os.write(self._file, line) != len(line):
            raise OSError("a line of the history was cut off: is the disk full?")

    def mark(self, kind: MarkKind, *, node: str = "", note: str = "") -> Mark:
        """Append a mark of this moment."""
        mark = Mark(kind, moment(), node, note)
        self.add(mark)
        return mark


def moment() -> int:
    """The machine's monotonic clock in nanoseconds: the same for every process until the machine is started anew."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


@contextmanager
def during(recorder: Recorder, begins: MarkKind, ends: MarkKind, *, node: str = "", note: str = "") -> Iterator[None]:
    """Marks around what is done in the block, the second one whatever happens."""
    recorder.mark(begins, node=node, note=note)
    try:
        yield
    finally:
        recorder.mark(ends, node=node, note=note)


def _lines(directory: Path) -> Iterator[Request | Mark]:
    decoder = msgspec.json.Decoder(Request | Mark)
    for path in sorted(directory.glob("*.jsonl")):
        for line in path.read_bytes().splitlines():
            try:
                record: Request | Mark = decoder.decode(line)
            except msgspec.DecodeError as error:
                raise ValueError(f"{path.name} holds a line that is no record: {error}") from None
            yield record
