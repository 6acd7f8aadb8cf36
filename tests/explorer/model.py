"""The world around the rule: clients, messages, a desk that reads and writes in two steps, a store that may forget.

Numbers are kept relative to the row's parent (always -1 here), times as ages in ticks, so that a session of any
length is finitely many states. Both rest on properties of the shipped function that test_explorer.py checks: it looks
at differences only, and treats all numbers below the parent alike.

A message runs through four phases, each step a move of its own that any other move may come before:

    ASK       on its way to the desk with the number it presents
    CLOCKED   the desk has read its clock; the row is read next
    PENDING   the decision is made and waits to be written: the compare-and-set; when it fails, back to CLOCKED
    REPLY     on its way back with a refresh token (a reply without one changes no client and is not tracked)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from tests.explorer.rule import Answer, Rule

ASK: Final = 0
CLOCKED: Final = 1
PENDING: Final = 2
REPLY: Final = 3

OWNER: Final = 0
THIEF: Final = 1
NOBODY: Final = 2  # whoever sent it has crashed: the desk will answer into nothing

EMPTY: Final = -99  # a thief who has not stolen yet

CasField = Literal["generation", "parent", "ended_at", "minted_at"]
SHIPPED_CAS: Final[frozenset[CasField]] = frozenset({"generation", "parent", "ended_at"})


# Which requests inside the desk a fail-over stops, by what may survive it.
_STOPPED: Final = {"nothing": frozenset({CLOCKED, PENDING}), "clock": frozenset({PENDING}), "read": frozenset[int]()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One exploration: who takes part, what may go wrong, and how far.

    `request_leg`: most ticks from sending a request to the desk's last write for it. `reply_leg`: most ticks from the
    desk's clock reading to the delivery of the reply. `trip`: most ticks from sending to delivery, when that is
    bounded too. `skew`: how far clocks of nodes differ. `row_span`: how far the newest number may be from its parent.
    """

    name: str
    says: str
    grace: int = 3
    request_leg: int = 1
    reply_leg: int = 1
    trip: int | None = None
    skew: int = 0
    owner_messages: int = 4
    thief_messages: int = 0
    row_span: int = 7
    loss: bool = True
    crash: bool = False
    saves_first: bool = True
    thefts: int = 0
    revoke: bool = False
    failovers: int = 0
    survives_failover: Literal["nothing", "clock", "read"] = "nothing"
    late_retry: Literal["reissue", "end"] = "reissue"
    watched: str = "123456"  # the promises that count; mutants are also tried with some of them shut

    @property
    def honest(self) -> bool:
        return self.thefts == 0


class Row(NamedTuple):
    generation: int
    parent: int
    age: int
    ended: bool


class Plan(NamedTuple):
    """A decision that waits to be written: the row it was made on, and the row it makes."""

    generation: int
    parent: int
    age: int
    to_generation: int
    to_parent: int
    ends: bool
    moves: bool
    mints: bool


class Message(NamedTuple):
    phase: int
    who: int
    token: int
    sent: int  # ticks since it was sent; counted until the write, and to the end where `trip` is bounded
    since: int  # ticks since the desk read its clock for it
    ahead: int  # how far the clock that was read runs ahead
    plan: Plan | None

    @property
    def clock(self) -> int:
        """The age of the clock reading, by the true time; negative when the reading is ahead of it."""
        return self.since - self.ahead


class Hands(NamedTuple):
    """What the clients hold. A jar saves at once, so there `saved` is `memory`."""

    memory: int
    saved: int
    stolen: int


class Score(NamedTuple):
    last: int
    handovers: int
    thefts: int
    failovers: int


class State(NamedTuple):
    row: Row
    lost_row: Row | None  # what a fail-over would bring back
    hands: Hands
    score: Score
    messages: tuple[Message, ...]


class Move(NamedTuple):
    """One step. `messages` keeps positions: None left, the last one may be new. `breach`: the promise it breaks."""

    label: str
    subject: Message | None
    row: Row
    lost_row: Row | None
    hands: Hands
    score: Score
    messages: Sequence[Message | None]
    breach: str | None = None


class World:
    """All moves of a scenario under a rule and a compare-and-set."""

    def __init__(self, scenario: Scenario, rule: Rule, cas: frozenset[CasField] = SHIPPED_CAS) -> None:
        self.scenario = scenario
        self.rule = rule
        self.cas = cas
        self._oldest = scenario.grace + scenario.reply_leg
        self.cut = 0

    def initial(self) -> State:
        """Just signed in: generation 0, saved by the client."""
        none_yet = NOBODY
        score = Score(none_yet, 0, self.scenario.thefts, self.scenario.failovers)
        return State(Row(0, -1, 0, False), None, Hands(0, 0, EMPTY), score, ())

    def moves(self, state: State) -> Iterator[Move]:
        """Every step that may come next."""
        yield from self._tick(state)
        yield from self._sendings(state)
        for index, message in enumerate(state.messages):
            if message.phase == ASK:
                yield from self._on_its_way(state, index, message)
            elif message.phase == CLOCKED:
                yield from self._read(state, index, message)
            elif message.phase == PENDING:
                yield from self._write(state, index, message)
            else:
                yield from self._returning(state, index, message)
        yield from self._storage(state)
        yield from self._thefts(state)
        yield from self._store(state)

    def broken_by(self, move: Move) -> str | None:
        """The watched promise that a move breaks."""
        breach = move.breach
        return breach if breach is not None and breach[1] in self.scenario.watched else None

    def settle(self, move: Move) -> State:
        """The canonical state after a move: numbers relative to the parent, messages in one order."""
        row, lost, hands, score, messages, _ = self.settled(move)
        left = [m for m in messages if m is not None]
        left.sort()
        return State(row, lost, hands, score, tuple(left))

    def settled(self, move: Move) -> tuple[Row, Row | None, Hands, Score, Sequence[Message | None], int]:
        """The same with positions kept, and by how much the numbers were lowered."""
        row, lost, hands, messages = move.row, move.lost_row, move.hands, move.messages
        by = row.parent + 1
        if by:
            row = _row_lowered(row, by)
            lost = _row_lowered(lost, by) if lost else None
            hands = Hands(*(token if token == EMPTY else token - by for token in hands))
            messages = [m and _message_lowered(m, by) for m in messages]
        floor = (-1 if lost is None else min(-1, lost.parent)) - 1
        memory, saved, stolen = hands  # asked a million times: any() over a generator takes a tenth of all
        if EMPTY < memory < floor or EMPTY < saved < floor or EMPTY < stolen < floor:
            hands = Hands(*(token if token == EMPTY else max(token, floor) for token in hands))
        return row, lost, hands, move.score, messages, by

    def unsettled(self, state: State) -> str | None:
        """Promise 2, when all is quiet: the next presentation after grace goes on from what the client holds."""
        row, hands, scenario = state.row, state.hands, self.scenario
        if state.messages or row.ended or not scenario.honest or "2" not in scenario.watched:
            return None
        lossless = not (scenario.loss or scenario.crash or scenario.failovers)
        if lossless and hands.memory != row.generation:
            return "(2) all is quiet, nothing was lost, and the client does not hold the newest token"
        for token in {hands.memory, hands.saved}:
            answer = self.rule.answer(row.generation, row.parent, scenario.grace, False, token)
            if not answer.grants or not answer.writes:
                return f"(2) all is quiet, and the client's token would be answered {answer.outcome.value}"
        return None

    # --- time ---------------------------------------------------------------------------------------------------

    def _tick(self, state: State) -> Iterator[Move]:
        if all(self._may_wait(message) for message in state.messages):
            row, lost = self._older(state.row), state.lost_row and self._older(state.lost_row)
            messages = [self._waited(message) for message in state.messages]
            yield Move("tick", None, row, lost, state.hands, state.score, messages)

    def _may_wait(self, message: Message) -> bool:
        scenario = self.scenario
        if message.phase != REPLY and message.sent >= scenario.request_leg:
            return False
        if scenario.trip is not None and message.sent >= scenario.trip:
            return False
        return message.phase == ASK or message.since < scenario.reply_leg

    def _waited(self, message: Message) -> Message:
        phase, who, token, sent, since, ahead, plan = message
        if phase != REPLY or self.scenario.trip is not None:
            sent += 1
        if phase != ASK:
            since += 1
        if plan is not None and "minted_at" in self.cas:
            plan = plan._replace(age=min(plan.age + 1, self._oldest))
        return Message(phase, who, token, sent, since, ahead, plan)

    def _older(self, row: Row) -> Row:
        return row if row.age >= self._oldest else Row(row.generation, row.parent, row.age + 1, row.ended)

    # --- messages -----------------------------------------------------------------------------------------------

    def _sendings(self, state: State) -> Iterator[Move]:
        scenario, hands = self.scenario, state.hands
        thiefs = sum(message.who == THIEF for message in state.messages)
        senders = []
        if state.row.ended and state.lost_row is None and not scenario.revoke:
            return  # for good: who comes now reads line 1 and nothing changes
        unsaved = scenario.saves_first and hands.memory != hands.saved
        if len(state.messages) - thiefs < scenario.owner_messages and not unsaved:
            senders.append((OWNER, hands.memory))
        if hands.stolen != EMPTY and thiefs < scenario.thief_messages:
            senders.append((THIEF, hands.stolen))
        for who, token in senders:
            message = Message(ASK, who, token, 0, 0, 0, None)
            yield Move("send", message, *state[:4], [*state.messages, message])

    def _on_its_way(self, state: State, index: int, message: Message) -> Iterator[Move]:
        for ahead in range(self.scenario.skew + 1):
            clocked = Message(CLOCKED, message.who, message.token, message.sent, 0, ahead, None)
            yield Move("arrive", clocked, *state[:4], _with(state, index, clocked))
        if self.scenario.loss:
            yield Move("lose", message, *state[:4], _with(state, index, None))

    def _read(self, state: State, index: int, message: Message) -> Iterator[Move]:
        row = state.row
        answer = self.rule.answer(row.generation, row.parent, row.age - message.clock, row.ended, message.token)
        breach = self._breach_of_reading(state, message, answer)
        if answer.writes:
            age = row.age if "minted_at" in self.cas else 0
            plan = Plan(
                row.generation,
                row.parent,
                age,
                answer.generation,
                answer.parent,
                answer.ended,
                answer.moves,
                answer.mints,
            )
            _, who, token, sent, since, ahead, _ = message
            after: Message | None = Message(PENDING, who, token, sent, since, ahead, plan)
        else:
            after = self._reply(message, answer.generation) if answer.mints else None
        label = f"read: {answer.outcome.value}"
        yield Move(label, message, *state[:4], _with(state, index, after), breach)

    def _write(self, state: State, index: int, message: Message) -> Iterator[Move]:
        plan, row = message.plan, state.row
        assert plan is not None
        if not self._finds(row, plan):
            again = message._replace(phase=CLOCKED, plan=None)
            yield Move("write misses", message, *state[:4], _with(state, index, again))
            return
        if plan.to_generation - plan.to_parent > self.scenario.row_span:
            self.cut += 1
            return
        age = message.clock if plan.moves else row.age
        written = Row(plan.to_generation, plan.to_parent, age, plan.ends)
        reply = self._reply(message, plan.to_generation) if plan.mints else None
        breach = self._breach_of_writing(state, message, plan)
        lost = row if self.scenario.failovers else None
        yield Move("write", message, written, lost, state.hands, state.score, _with(state, index, reply), breach)

    def _finds(self, row: Row, plan: Plan) -> bool:
        cas = self.cas
        return (
            ("generation" not in cas or row.generation == plan.generation)
            and ("parent" not in cas or row.parent == plan.parent)
            and ("ended_at" not in cas or not row.ended)
            and ("minted_at" not in cas or row.age == plan.age)
        )

    def _reply(self, message: Message, token: int) -> Message | None:
        if message.who == NOBODY:
            return None
        sent = 0 if self.scenario.trip is None else message.sent
        return Message(REPLY, message.who, token, sent, message.since, 0, None)

    def _returning(self, state: State, index: int, message: Message) -> Iterator[Move]:
        hands, score, breach = state.hands, state.score, None
        if message.who == OWNER:
            if self.scenario.honest and message.token < hands.memory:
                breach = "(2) an older token overwrites a newer one in the client"
            saved = hands.memory if self.scenario.crash else message.token
            hands = Hands(message.token, saved, hands.stolen)
        else:
            hands = Hands(hands.memory, hands.saved, message.token)
        if hands.stolen != EMPTY:
            score = _turn(score, message.who)
            if score.handovers > 4:
                breach = "(3) owner and thief both go on, and a fifth hand-over has come"
        messages = _with(state, index, None)
        yield Move("deliver", message, state.row, state.lost_row, hands, score, messages, breach)
        if self.scenario.loss:
            yield Move("lose", message, *state[:4], messages)

    # --- what else happens --------------------------------------------------------------------------------------

    def _storage(self, state: State) -> Iterator[Move]:
        if not self.scenario.crash:
            return
        hands = state.hands
        if hands.memory != hands.saved:
            kept = hands._replace(saved=hands.memory)
            yield Move("save", None, state.row, state.lost_row, kept, state.score, state.messages)
        messages = [_orphaned(message) for message in state.messages]
        back = hands._replace(memory=hands.saved)
        yield Move("crash", None, state.row, state.lost_row, back, state.score, messages)

    def _thefts(self, state: State) -> Iterator[Move]:
        score, hands = state.score, state.hands
        if not score.thefts or state.row.ended:
            return
        fresh = Score(NOBODY, 0, score.thefts - 1, score.failovers)
        taken = hands._replace(stolen=hands.memory)
        yield Move("steal", None, state.row, state.lost_row, taken, fresh, state.messages)
        for index, message in enumerate(state.messages):
            if message.phase == REPLY and message.who == OWNER:
                taken = hands._replace(stolen=message.token)
                intercepted = _with(state, index, None)
                yield Move("intercept", message, state.row, state.lost_row, taken, fresh, intercepted)

    def _store(self, state: State) -> Iterator[Move]:
        row, lost, hands, score, messages = state
        if self.scenario.revoke and not row.ended:
            kept = row if self.scenario.failovers else None
            yield Move("revoke", None, row._replace(ended=True), kept, hands, score, messages)
        if lost is not None and score.failovers:
            fewer = score._replace(failovers=score.failovers - 1)
            stopped = _STOPPED[self.scenario.survives_failover]
            left = [None if m.phase in stopped else m for m in messages]
            yield Move("fail-over", None, lost, None, hands, fewer, left)

    # --- promises -----------------------------------------------------------------------------------------------

    def _breach_of_reading(self, state: State, message: Message, answer: Answer) -> str | None:
        row = state.row
        if answer.grants and (row.ended or message.token < row.parent):
            return "(6) something is granted to an ended session or to a number older than the parent"
        if answer.mints and not answer.writes and row.age - message.clock < self.scenario.grace:
            return "(5) a refresh token leaves the desk twice within one grace"
        if row.age - message.clock >= self.scenario.grace and answer.grants and not answer.writes:
            return "(3) a presentation after grace changes nothing: nobody would ever be found out"
        return None

    def _breach_of_writing(self, state: State, message: Message, plan: Plan) -> str | None:
        row = state.row
        if row.ended:
            return "(4) a session that has ended is written again" + ("" if plan.ends else ": it comes back")
        if plan.ends and self.scenario.honest:
            return "(1) an honest client is signed out"
        if plan.mints and row.age - message.clock < self.scenario.grace:
            return "(5) two refresh tokens are minted within one grace"
        others = {m.token for m in state.messages if m.phase == REPLY}
        if plan.mints and self.scenario.honest and others - {plan.to_generation}:
            return "(5) two different refresh tokens are on their way to one client"
        return None


def _with(state: State, index: int, message: Message | None) -> list[Message | None]:
    messages: list[Message | None] = list(state.messages)
    messages[index] = message
    return messages


def _turn(score: Score, who: int) -> Score:
    changed = score.last not in {NOBODY, who}
    return Score(who, score.handovers + changed, score.thefts, score.failovers)


def _orphaned(message: Message) -> Message | None:
    return None if message.phase == REPLY else message._replace(who=NOBODY)


def _row_lowered(row: Row, by: int) -> Row:
    return Row(row.generation - by, row.parent - by, row.age, row.ended)


def _message_lowered(message: Message, by: int) -> Message:
    phase, who, token, sent, since, ahead, plan = message
    if plan is not None:
        plan = plan._replace(
            generation=plan.generation - by,
            parent=plan.parent - by,
            to_generation=plan.to_generation - by,
            to_parent=plan.to_parent - by,
        )
    return Message(phase, who, token - by, sent, since, ahead, plan)
