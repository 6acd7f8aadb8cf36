"""`python -m tests.explorer`: explore everything and print it. `--wide` adds the larger bounds."""

from __future__ import annotations

import sys

from tests.explorer.mutants import CAUGHT, TOO_LITTLE
from tests.explorer.scenarios import SCENARIOS, WIDE, run
from tests.explorer.search import Result


def _print(result: Result) -> None:
    sys.stdout.write(result.told() + "\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    """0 when the shipped rule keeps every promise and every mutant is caught."""
    sys.stdout.write("The shipped rule\n\n")
    wrong = 0
    for scenario in SCENARIOS + (WIDE if "--wide" in arguments else ()):
        result = run(scenario)
        wrong += not result.complete
        _print(result)
    sys.stdout.write("\nMutants, each with a shortest trace\n\n")
    for mutant in CAUGHT:
        result = mutant.run()
        wrong += result.complete
        _print(result)
    sys.stdout.write("\nThe shipped rule with one assumption less\n\n")
    for mutant in TOO_LITTLE:
        result = mutant.run()
        wrong += result.complete
        _print(result)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
