"""Fuzzing guided by coverage (atheris), bounded in time. `make fuzz` runs it; `make test` does not need it."""
