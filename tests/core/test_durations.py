"""Durations in words."""

from __future__ import annotations

from datetime import timedelta

import pytest

from frontdesk.core.durations import span


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0 seconds"),
        (0, "0 seconds"),
        (1, "1 second"),
        (119, "119 seconds"),
        (120, "2 minutes"),
        (2 * 3600 - 1, "119 minutes"),
        (2 * 3600, "2 hours"),
        (48 * 3600, "2 days"),
        (729 * 86400, "729 days"),
        (730 * 86400, "2 years"),
    ],
)
def test_a_duration_is_told_in_the_largest_unit_of_which_it_has_two(seconds: int, words: str) -> None:
    assert span(timedelta(seconds=seconds)) == words
