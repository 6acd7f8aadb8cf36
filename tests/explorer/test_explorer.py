"""The shipped rotation rule keeps its promises; each mutant, and each assumption taken away, is caught."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdesk.core.rotation import Decision, Outcome, decide
from frontdesk.core.sessions import SessionPolicy
from tests.explorer.model import SHIPPED_CAS, Scenario
from tests.explorer.mutants import CAUGHT, TOO_LITTLE, Mutant
from tests.explorer.rule import EPOCH, FIRST, TICK, Rule, example_row
from tests.explorer.scenarios import FAILOVER, JAR, SCENARIOS, WIDE, run
from tests.explorer.search import Result

PAGE: Final = Path(__file__).parents[2] / "docs" / "rotation.md"
HANDOVERS: Final = {
    "thief": 1,
    "thief, twice": 1,
    "thief and fail-over": 4,
    "wide: thief": 1,
    "wide: thief, two each": 1,
}
COUNTED = re.compile(r"^\| ([^|`]+?) \|.*\| ([\d,]+) \| ([\d,]+) \| (\d+) \|$", re.MULTILINE)


def _documented() -> dict[str, tuple[int, int, int]]:
    rows = COUNTED.findall(PAGE.read_text(encoding="utf-8"))
    return {name: (_number(states), _number(moves), int(depth)) for name, states, moves, depth in rows}


def _number(text: str) -> int:
    return int(text.replace(",", ""))


def _judge(scenario: Scenario) -> None:
    result = run(scenario)
    sys.stdout.write(result.told() + "\n")
    assert result.breach is None, result.told()
    assert result.handovers == HANDOVERS.get(scenario.name, 0)
    assert (result.states, result.transitions, result.depth) == _documented()[scenario.name]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: str(scenario.name))
def test_the_shipped_rule_keeps_every_promise_and_visits_as_many_states_as_the_page_says(scenario: Scenario) -> None:
    _judge(scenario)


@pytest.mark.faults
@pytest.mark.parametrize("scenario", WIDE, ids=lambda scenario: str(scenario.name))
def test_the_shipped_rule_keeps_every_promise_within_wider_bounds(scenario: Scenario) -> None:
    _judge(scenario)


@pytest.mark.parametrize("mutant", CAUGHT, ids=lambda mutant: str(mutant.name))
def test_a_broken_rule_or_write_is_caught_with_a_shortest_trace(mutant: Mutant) -> None:
    _caught(mutant)


@pytest.mark.parametrize("mutant", TOO_LITTLE, ids=lambda mutant: str(mutant.name))
def test_every_assumption_is_needed(mutant: Mutant) -> None:
    _caught(mutant)


def _caught(mutant: Mutant) -> None:
    result = mutant.run()
    sys.stdout.write(result.told() + "\n")
    assert result.breach is not None
    assert result.breach.startswith(mutant.breaks)
    assert len(result.trace) > 1


def test_the_write_would_be_safe_without_the_parent_as_long_as_a_failover_stops_what_is_inside_the_desk() -> None:
    scenario = replace(FAILOVER, owner_messages=2)
    without = run(scenario, cas=frozenset({"generation", "ended_at"}))
    assert without.breach is None
    assert without.states == run(scenario).states


def test_covering_the_mint_makes_the_write_safe_even_when_a_read_survives_a_failover() -> None:
    scenario = replace(FAILOVER, owner_messages=2, survives_failover="read", grace=4)
    assert run(scenario, cas=SHIPPED_CAS | {"minted_at"}).breach is None
    assert run(scenario).breach is not None


def test_the_page_lists_exactly_the_scenarios_that_are_explored() -> None:
    assert set(_documented()) == {scenario.name for scenario in SCENARIOS + WIDE}


def test_two_explorations_are_the_same_exploration() -> None:
    def counts(result: Result) -> tuple[object, ...]:
        return result.states, result.transitions, result.depth, result.cut, result.breach, result.trace

    mutant = next(mutant for mutant in CAUGHT if mutant.name == "Recovered mints")
    assert counts(run(SCENARIOS[1])) == counts(run(SCENARIOS[1]))
    assert counts(mutant.run()) == counts(mutant.run())


def test_a_trace_tells_the_real_numbers_in_order() -> None:
    result = next(mutant for mutant in CAUGHT if mutant.name == "CAS on generation alone").run()
    told = "\n".join(result.trace)
    assert told.index("the session is revoked") < told.index("the decision on 0 is written")
    assert result.trace[-1].startswith("=> (4)")


def test_the_explorer_asks_the_shipped_function_and_nothing_else() -> None:
    asked: list[int] = []

    def spy(row: object, presented: int, *rest: object) -> Decision:
        asked.append(presented)
        return decide(row, presented, *rest)  # type: ignore[arg-type]

    run(SCENARIOS[1], function=spy)
    assert asked
    assert min(asked) >= 0
    assert Rule(JAR.grace).function is decide


# --- why relative numbers and capped ages lose nothing --------------------------------------------------------

RETRIES = st.sampled_from(["reissue", "end"])


class Question(NamedTuple):
    """A row by its parent and how far the newest number is above it; what is presented, relative to the parent."""

    parent: int
    above: int
    age: int
    presented: int
    retry: Literal["reissue", "end"]

    def ask(self) -> Decision:
        row = msgspec.structs.replace(
            example_row(), generation=self.parent + self.above, parent=self.parent, minted_at=EPOCH
        )
        policy = SessionPolicy(grace=3 * TICK, late_retry=self.retry)
        return decide(row, self.parent + self.presented, EPOCH + self.age * TICK, policy)


QUESTIONS = st.builds(
    Question, st.integers(-1, 60), st.integers(1, 9), st.integers(-3, 9), st.integers(-12, 12), RETRIES
)


@given(QUESTIONS, st.integers(0, 1000))
def test_the_rule_looks_only_at_differences_of_generations(question: Question, by: int) -> None:
    here, there = question.ask(), question._replace(parent=question.parent + by).ask()
    assert here.outcome is there.outcome
    assert here.refusal == there.refusal
    back = {"generation": there.session.generation - by, "parent": there.session.parent - by}
    assert msgspec.structs.replace(there.session, **back) == here.session


@given(QUESTIONS, st.integers(1, 60))
def test_the_rule_treats_all_numbers_below_the_parent_alike(question: Question, below: int) -> None:
    one, another = question._replace(presented=-1).ask(), question._replace(presented=-below).ask()
    assert one == another
    assert one.outcome is Outcome.REUSED


@given(QUESTIONS, st.integers(3, 9), st.integers(0, 9))
def test_the_rule_treats_all_ages_past_grace_alike(question: Question, age: int, older: int) -> None:
    one, another = question._replace(age=age).ask(), question._replace(age=age + older).ask()
    assert one.outcome is another.outcome
    assert (one.session.generation, one.session.parent) == (another.session.generation, another.session.parent)
    assert one.ends == another.ends


def test_numbers_of_the_model_are_numbers_that_a_session_can_have() -> None:
    assert max(scenario.row_span for scenario in SCENARIOS + WIDE) + 10 < FIRST
