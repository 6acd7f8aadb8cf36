"""Measurements beside each other. `make bench` runs them all; docs/performance.md says what they mean."""
