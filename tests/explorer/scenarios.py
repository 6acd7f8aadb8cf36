"""What is explored, and how far. Each scenario is explored completely for itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from tests.explorer.model import SHIPPED_CAS, CasField, Scenario, World
from tests.explorer.rule import Decide, Rule
from tests.explorer.search import Result, explore

JAR: Final = Scenario(
    name="jar",
    says="three tabs on one cookie jar: four messages in flight, retries, loss, delay, reorder",
)
OWN: Final = Scenario(
    name="own storage",
    says="a client that may crash at any moment, before the new token is saved too; three messages in flight",
    owner_messages=3,
    crash=True,
)
THEFT: Final = Scenario(
    name="thief",
    says="a thief copies the storage, or takes a reply off the wire, at any moment; both go on, now or later",
    owner_messages=2,
    thief_messages=1,
    thefts=1,
    row_span=4,
)
REVOKE: Final = Scenario(
    name="revoke",
    says="the session is revoked at any moment, between the read and the write of a refresh too",
    revoke=True,
)
FAILOVER: Final = Scenario(
    name="fail-over",
    says="two fail-overs, each losing the last write; three messages in flight",
    owner_messages=3,
    failovers=2,
)

SCENARIOS: Final = (
    JAR,
    replace(
        JAR, name="jar, nothing lost", says="the same; no message is lost: the jar ends with the newest", loss=False
    ),
    replace(
        JAR,
        name="jar, finer clock",
        says="grace of five ticks, legs of up to two",
        grace=5,
        request_leg=2,
        reply_leg=2,
        row_span=3,
    ),
    replace(
        JAR, name="jar, two clocks", says="three messages; nodes whose clocks differ", owner_messages=3, grace=4, skew=1
    ),
    OWN,
    THEFT,
    replace(THEFT, name="thief, twice", says="a second theft starts the count anew", owner_messages=1, thefts=2),
    replace(THEFT, name="thief and fail-over", says="a thief, and one fail-over", owner_messages=1, failovers=1),
    replace(THEFT, name="thief, late_retry=end", says="a thief under the strict setting", late_retry="end"),
    REVOKE,
    FAILOVER,
    replace(FAILOVER, name="fail-over and crash", says="two messages in flight", owner_messages=2, crash=True),
    replace(FAILOVER, name="fail-over, two clocks", says="two messages in flight", owner_messages=2, grace=4, skew=1),
    replace(
        FAILOVER,
        name="fail-over, late clock",
        says="a clock reading survives the fail-over; grace of four",
        grace=4,
        survives_failover="clock",
    ),
    replace(
        REVOKE, name="revoke and fail-over", says="the fail-over may lose the revocation", owner_messages=2, failovers=2
    ),
    replace(REVOKE, name="revoke and crash", says="a client with its own storage", owner_messages=2, crash=True),
    replace(
        JAR,
        name="late_retry=end, nothing lost",
        says="the strict setting, as long as no message is lost",
        late_retry="end",
        loss=False,
    ),
)

WIDE: Final = (
    replace(JAR, name="wide: jar, finer clock", says="and seven in a row", grace=5, request_leg=2, reply_leg=2),
    replace(JAR, name="wide: jar, two clocks", says="four messages", grace=4, skew=1),
    replace(THEFT, name="wide: thief", says="seven in a row", row_span=7),
    replace(THEFT, name="wide: thief, two each", says="two messages each", thief_messages=2),
    replace(FAILOVER, name="wide: fail-over", says="four messages", owner_messages=4),
    replace(FAILOVER, name="wide: fail-over and crash", says="three messages", crash=True),
    replace(FAILOVER, name="wide: fail-over, two clocks", says="three messages", grace=4, skew=1),
)


def run(scenario: Scenario, *, function: Decide | None = None, cas: frozenset[CasField] = SHIPPED_CAS) -> Result:
    """Explore a scenario with the shipped rule, or with a mutant of it or of the compare-and-set."""
    rule = Rule(scenario.grace, late_retry=scenario.late_retry)
    if function is not None:
        rule = Rule(scenario.grace, late_retry=scenario.late_retry, function=function)
    return explore(World(scenario, rule, cas))
