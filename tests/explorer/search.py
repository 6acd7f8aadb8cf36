"""Breadth first through all of a world. The first broken promise found has a shortest trace, told in readable lines."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.explorer.model import NOBODY, REPLY, THIEF, Message, Move, State, World

State_ = State | None
ENOUGH = 5_000_000  # no scenario comes near; a model that has gone infinite stops here


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What an exploration came to. `cut`: moves left out at the bound `row_span`. `trace` is empty without a breach."""

    name: str
    states: int
    transitions: int
    depth: int
    handovers: int
    cut: int
    seconds: float
    breach: str | None
    trace: tuple[str, ...]

    @property
    def complete(self) -> bool:
        return self.breach is None

    def line(self) -> str:
        """One line for people."""
        counts = f"{self.states:>9,} states {self.transitions:>10,} transitions  depth {self.depth:>3}"
        return f"{self.name:<34} {counts}  {self.seconds:6.1f} s  {self.breach or 'every promise holds'}"

    def told(self) -> str:
        """The line, and below it the trace."""
        return "\n".join((self.line(), *(f"    {step}" for step in self.trace)))


def explore(world: World) -> Result:
    """Visit every state of `world`, or stop at the first breach."""
    # States are tuples without cycles. To look for garbage among hundreds of thousands of them takes an eighth of all.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return _explore(world)
    finally:
        if collecting:
            gc.enable()


def _explore(world: World) -> Result:
    began, start = time.perf_counter(), world.initial()
    parents: dict[State, State_] = {start: None}
    level, depth, transitions, handovers = [start], 0, 0, 0
    breach: str | None = None
    trace: tuple[str, ...] = ()
    while level and breach is None:
        following: list[State] = []
        for state in level:
            handovers = max(handovers, state.score.handovers)
            found, count = _expand(world, state, parents, following)
            transitions += count
            if found is not None:
                breach, trace = found[1], _tell(world, parents, state, found)
                break
        level = following
        depth += bool(level)
        if len(parents) > ENOUGH:
            raise RuntimeError("the model has more states than any scenario should have")
    return Result(
        name=world.scenario.name,
        states=len(parents),
        transitions=transitions,
        depth=depth,
        handovers=handovers,
        cut=world.cut,
        seconds=time.perf_counter() - began,
        breach=breach,
        trace=trace,
    )


def _expand(
    world: World, state: State, parents: dict[State, State_], following: list[State]
) -> tuple[tuple[Move | None, str] | None, int]:
    count = 0
    quiet = world.unsettled(state)
    if quiet is not None:
        return (None, quiet), count
    for move in world.moves(state):
        count += 1
        broken = world.broken_by(move)
        if broken is not None:
            return (move, broken), count
        after, known = world.settle(move), len(parents)
        parents.setdefault(after, state)
        if len(parents) > known:
            following.append(after)
    return None, count


# --- telling a trace: the path is walked again, with the real numbers and a name for every message -----------


def _tell(world: World, parents: dict[State, State_], last: State, found: tuple[Move | None, str]) -> tuple[str, ...]:
    path = [last]
    while (before := parents[path[-1]]) is not None:
        path.append(before)
    path.reverse()
    teller = _Teller(world)
    for here, there in pairwise(path):
        teller.step(next(move for move in world.moves(here) if world.settle(move) == there))
    if found[0] is not None:
        teller.step(found[0])
    teller.lines.append(f"=> {found[1]}")
    return tuple(teller.lines)


class _Teller:
    def __init__(self, world: World) -> None:
        self._world = world
        self._above = 0  # what has been taken from the numbers so far
        self._named: list[tuple[Message, int]] = []
        self._sent = 0
        self._time = 0
        self.lines: list[str] = []

    def step(self, move: Move) -> None:
        """Add the line of one move and carry the names of the messages over it."""
        names = [name for _, name in self._named]
        if move.label == "send":
            self._sent += 1
            names.append(self._sent)
        self._time += move.label == "tick"
        self.lines.append(self._line(move, names))
        *_, messages, by = self._world.settled(move)
        self._above += by
        self._named = sorted((m, name) for m, name in zip(messages, names, strict=True) if m is not None)

    def _line(self, move: Move, names: Sequence[int]) -> str:
        row, above = move.row, self._above
        stands = "ended" if row.ended else f"G={row.generation + above} P={row.parent + above}"
        text = self._text(move, names)
        return f"t={self._time:<2} {text:<66} [{stands}, client holds {move.hands.memory + above}]"

    def _text(self, move: Move, names: Sequence[int]) -> str:
        message, above = move.subject, self._above
        if message is None:
            return _ALONE[move.label]
        name = names[-1] if move.label == "send" else self._name_of(move, message)
        who = f"#{name} ({_WHO[message.who]})"
        number = message.token + above
        if move.label == "lose" and message.phase == REPLY:
            return f"{who}: the reply with {number} is lost"
        return f"{who}: {_SPOKEN.get(move.label, move.label + ' {0}').format(number)}"

    def _name_of(self, move: Move, message: Message) -> int:
        if move.label == "arrive":
            moved = [name for (old, name), new in zip(self._named, move.messages, strict=True) if old != new]
            return moved[0]
        return next(name for old, name in self._named if old == message)


_WHO = {0: "owner", THIEF: "thief", NOBODY: "sender gone"}
_ALONE = {
    "tick": "a tick passes",
    "save": "the client saves its token",
    "crash": "the client crashes and starts again from what it saved",
    "steal": "the thief copies the client's storage",
    "revoke": "the session is revoked",
    "fail-over": "the store fails over and has lost the last write",
}
_SPOKEN = {
    "send": "presents {0}",
    "arrive": "the desk reads its clock for {0}",
    "lose": "the request with {0} is lost",
    "write": "the decision on {0} is written",
    "write misses": "the write for {0} changes no row: read again",
    "deliver": "the reply brings {0}",
    "intercept": "the reply with {0} goes to the thief instead",
}
