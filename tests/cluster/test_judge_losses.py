"""The judge and a store that may lose its last writes: what is excused, and the very moments where that ends."""

from __future__ import annotations

import pytest

from tests.cluster.judge import Promise
from tests.cluster.stories import CALM, MS, Story

NANO = 1 / MS
"""A nanosecond in milliseconds."""


def failing_over() -> Story:
    """The store may lose what it acknowledges from 1,000 to 2,000."""
    story = Story(bound=100)
    story.mark("loss_from", 1000)
    story.mark("loss_until", 2000)
    return story


def test_a_lost_revocation_is_effective_again_when_the_nodes_have_recovered() -> None:
    def told(started: float) -> set[Promise]:
        story = failing_over()
        story.sign_in("s", 0)
        story.revoke("session", "s", 999, took=2)
        story.refused("s", 1500)
        story.check("s", started)
        return story.end(ended=("s",)).broken

    assert told(2500) == set()
    assert told(12_000) == set()
    assert told(12_000 + NANO) == {Promise.REVOKED}


@pytest.mark.parametrize(("at", "broken"), [(999, set()), (999 - NANO, {Promise.REVOKED}), (2000, set())])
def test_a_revocation_outside_the_window_is_not_lost(at: float, broken: set[Promise]) -> None:
    story = failing_over()
    story.sign_in("s", 0)
    story.revoke("session", "s", at)
    story.check("s", 2500)
    assert story.end(ended=("s",)).broken == broken


@pytest.mark.parametrize("at", [999, 1500, 2000])
def test_a_sign_in_inside_the_window_may_be_gone(at: float) -> None:
    story = failing_over()
    story.sign_in("s", at)
    story.refused("s", 2500)
    assert story.end().broken == set()


@pytest.mark.parametrize("at", [999 - NANO, 2000 + NANO])
def test_a_sign_in_outside_the_window_may_not_be_gone(at: float) -> None:
    story = failing_over()
    story.sign_in("s", at)
    story.refused("s", 2500)
    assert Promise.SIGNED_IN in story.end().broken


def test_a_generation_inside_the_window_may_leave_again_and_signs_nobody_out() -> None:
    story = failing_over()
    story.sign_in("s", 0, minted=0)
    story.refresh("s", 1500, 0, minted=1)
    story.refresh("s", 2500, 0, minted=1)
    story.end(stands=("s",)).refresh("s", CALM + 20, 1)
    assert story.broken == set()
    story.refresh("s", CALM + 30, 1, status=401, code="refresh_reused")
    assert Promise.SIGNED_IN in story.broken


@pytest.mark.parametrize(
    ("given_up", "seen", "refused", "broken"),
    [
        (1500, 1600, 12_000, set()),
        (1500, 1600, 12_000 + NANO, {Promise.SIGNED_IN}),  # the nodes have had the time to make another
        (1500, 1000 - NANO, 3000, {Promise.SIGNED_IN}),  # it was there before
        (1500, 1000, 3000, set()),
        (998, 1600, 3000, {Promise.SIGNED_IN}),  # nothing was given up whose place it could have taken
        (2000 + NANO, 2100, 3000, {Promise.SIGNED_IN}),
        (999, 1600, 3000, set()),
        (2000, 2100, 3000, set()),
    ],
)
def test_a_key_that_took_the_place_of_another_inside_the_window_may_be_lost(
    given_up: float, seen: float, refused: float, broken: set[Promise]
) -> None:
    story = failing_over()
    story.sign_in("s", 0)
    story.revoke("key", "old", given_up)
    story.check("s", seen, key="new")
    story.refused("s", refused, "credential_invalid", key="new")
    assert story.end(stands=("s",)).broken == broken
