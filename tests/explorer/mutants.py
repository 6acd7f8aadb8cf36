"""What must be caught: the rule or the write with one thing broken, or the shipped rule with less assumed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from tests.explorer import rule
from tests.explorer.model import SHIPPED_CAS, CasField, Scenario
from tests.explorer.rule import Decide
from tests.explorer.scenarios import FAILOVER, JAR, OWN, REVOKE, THEFT, run
from tests.explorer.search import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One broken thing, where it is tried, and the promise that it must break."""

    name: str
    scenario: Scenario
    breaks: str
    function: Decide | None = None
    cas: frozenset[CasField] = SHIPPED_CAS

    def run(self) -> Result:
        """Explore until the first breach."""
        return run(replace(self.scenario, name=self.name), function=self.function, cas=self.cas)


def _only(scenario: Scenario, watched: str) -> Scenario:
    """The same, judged by fewer promises: by what a user or a thief would notice."""
    return replace(scenario, watched=watched)


CAUGHT: Final = (
    Mutant(name="no young rule", scenario=JAR, function=rule.without_young, breaks="(5)"),
    Mutant(name="no young rule (harm)", scenario=_only(JAR, "12"), function=rule.without_young, breaks="(2)"),
    Mutant(
        name="young for the newest only (harm)",
        scenario=_only(JAR, "12"),
        function=rule.young_for_the_newest_only,
        breaks="(2)",
    ),
    Mutant(name="young for any number", scenario=THEFT, function=rule.young_for_any_number, breaks="(6)"),
    Mutant(name="same successor inside grace", scenario=JAR, function=rule.same_successor_inside_grace, breaks="(5)"),
    Mutant(
        name="same successor inside grace (harm)",
        scenario=_only(THEFT, "3"),
        function=rule.same_successor_inside_grace,
        breaks="(3)",
    ),
    Mutant(
        name="same number for a late retry (harm)",
        scenario=_only(THEFT, "3"),
        function=rule.same_successor_for_a_late_retry,
        breaks="(3)",
    ),
    Mutant(name="Recovered mints", scenario=FAILOVER, function=rule.recovered_mints, breaks="(1)"),
    Mutant(
        name="Recovered mints, parent stays",
        scenario=FAILOVER,
        function=rule.recovered_mints_under_the_old_parent,
        breaks="(2)",
    ),
    Mutant(name="no Recovered", scenario=FAILOVER, function=rule.recovered_is_reuse, breaks="(2)"),
    Mutant(name="Rotated keeps the parent", scenario=JAR, function=rule.rotated_keeps_the_parent, breaks="(2)"),
    Mutant(name="Reissued moves the parent", scenario=JAR, function=rule.reissued_moves_the_parent, breaks="(2)"),
    Mutant(name="burnt numbers rotate", scenario=THEFT, function=rule.burnt_numbers_are_welcome, breaks="(3)"),
    Mutant(name="CAS on generation alone", scenario=REVOKE, cas=frozenset({"generation"}), breaks="(4)"),
    Mutant(name="CAS without ended_at", scenario=REVOKE, cas=frozenset({"generation", "parent"}), breaks="(4)"),
    Mutant(name="CAS without generation", scenario=JAR, cas=frozenset({"parent", "ended_at"}), breaks="(5)"),
    Mutant(
        name="CAS without generation (harm)",
        scenario=_only(JAR, "12"),
        cas=frozenset({"parent", "ended_at"}),
        breaks="(2)",
    ),
    Mutant(name="no CAS at all (harm)", scenario=_only(JAR, "12"), cas=frozenset(), breaks="(2)"),
)

TOO_LITTLE: Final = (
    Mutant(name="legs add up to grace", scenario=replace(JAR, grace=2), breaks="(2)"),
    Mutant(
        name="only: round trip below grace",
        scenario=replace(JAR, request_leg=2, reply_leg=2, trip=2),
        breaks="(2)",
    ),
    Mutant(name="legs and skew add up to grace", scenario=replace(JAR, skew=1), breaks="(2)"),
    Mutant(name="presents before it has saved", scenario=replace(OWN, saves_first=False), breaks="(2)"),
    Mutant(
        name="fail-over: a clock reading survives",
        scenario=replace(FAILOVER, survives_failover="clock"),
        breaks="(2)",
    ),
    Mutant(
        name="fail-over: a read survives",
        scenario=_only(replace(FAILOVER, survives_failover="read", grace=4), "12"),
        breaks="(2)",
    ),
    Mutant(
        name="thief: two fail-overs",
        scenario=replace(THEFT, owner_messages=1, failovers=2),
        breaks="(3)",
    ),
    Mutant(name="late_retry=end: a reply is lost", scenario=_only(replace(JAR, late_retry="end"), "1"), breaks="(1)"),
    Mutant(
        name="late_retry=end: a crash",
        scenario=_only(replace(OWN, late_retry="end", loss=False), "1"),
        breaks="(1)",
    ),
)
