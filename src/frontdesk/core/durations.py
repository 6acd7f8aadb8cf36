"""Durations in words, for whoever is told how long ago or how far ahead something is."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

_UNITS: Final = (
    ("year", timedelta(days=365)),
    ("day", timedelta(days=1)),
    ("hour", timedelta(hours=1)),
    ("minute", timedelta(minutes=1)),
)


def span(length: timedelta) -> str:
    """In the largest unit of which it has two: "90 minutes", "3 days"; "0 seconds" for what is below zero."""
    for name, unit in _UNITS:
        if length >= 2 * unit:
            return f"{length // unit} {name}s"
    seconds = max(0, length // timedelta(seconds=1))
    return f"{seconds} second{'' if seconds == 1 else 's'}"
