"""The index of live entries: idempotent, indifferent to order, never forgetting too early."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdesk.core.revocation import (
    LARGEST_ACCESS_TOKEN,
    SKEW,
    Entry,
    EntryKind,
    RevocationIndex,
    entry_expiry,
)
from frontdesk.core.sessions import LARGEST_ABSOLUTE, Epochs, SessionPolicy

T0 = datetime(2026, 1, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)
HOUR = timedelta(hours=1)


def entry(
    kind: EntryKind = "session",
    target: str = "s1",
    *,
    epoch: int = 0,
    realm: str = "default",
    expires_at: datetime = T0 + HOUR,
) -> Entry:
    return Entry(number=1, realm=realm, kind=kind, target=target, epoch=epoch, at=T0, expires_at=expires_at)


def index(*entries: Entry) -> RevocationIndex:
    made = RevocationIndex("default")
    made.apply(entries)
    return made


Presented = tuple[str, str, Epochs, str | None]


@pytest.mark.parametrize(
    ("applied", "presented", "revoked"),
    [
        (entry("session", "s1"), ("s1", "alice", Epochs(), None), True),
        (entry("session", "s1"), ("s2", "alice", Epochs(), None), False),
        (entry("session", "s1"), ("s2", "s1", Epochs(), "s1"), False),
        (entry("session", "s1", realm="other"), ("s1", "alice", Epochs(), None), False),
        (entry("key", "k1"), ("s1", "alice", Epochs(), "k1"), True),
        (entry("key", "k1"), ("s1", "alice", Epochs(), "k2"), False),
        (entry("key", "k1"), ("k1", "k1", Epochs(), None), False),
        (entry("key", "k1", realm="other"), ("s1", "alice", Epochs(), "k1"), False),
        (entry("subject", "alice", epoch=3), ("s1", "alice", Epochs(0, 2), None), True),
        (entry("subject", "alice", epoch=3), ("s1", "alice", Epochs(0, 3), None), False),
        (entry("subject", "alice", epoch=3), ("s1", "alice", Epochs(9, 2), None), True),
        (entry("subject", "alice", epoch=3), ("alice", "bob", Epochs(0, 2), "alice"), False),
        (entry("subject", "alice", epoch=3, realm="other"), ("s1", "alice", Epochs(), None), False),
        (entry("all", "", epoch=3), ("s1", "alice", Epochs(2, 9), None), True),
        (entry("all", "", epoch=3), ("s1", "alice", Epochs(3, 0), None), False),
        (entry("all", "", epoch=3, realm="other"), ("s1", "alice", Epochs(), None), False),
    ],
)
def test_an_entry_ends_what_it_names_and_nothing_else(applied: Entry, presented: Presented, revoked: bool) -> None:
    assert index(applied).revoked(*presented) is revoked


def test_an_index_without_entries_revokes_nothing() -> None:
    assert len(index()) == 0
    assert not index().revoked("s1", "alice", Epochs(), "k1")


@pytest.mark.parametrize("kind", get_args(EntryKind))
def test_an_entry_outlives_whatever_it_can_end(kind: EntryKind) -> None:
    expires_at = entry_expiry(T0, kind)
    assert expires_at >= T0 + LARGEST_ACCESS_TOKEN + SKEW
    if kind not in {"session", "changed"}:
        assert expires_at == T0 + LARGEST_ABSOLUTE + SKEW


def test_the_largest_lifetimes_are_those_that_the_documents_name() -> None:
    assert (timedelta(minutes=60), timedelta(minutes=2)) == (LARGEST_ACCESS_TOKEN, SKEW)
    assert timedelta(days=400) == LARGEST_ABSOLUTE


def test_no_policy_lets_an_access_token_outlive_its_entry() -> None:
    SessionPolicy(access_token=LARGEST_ACCESS_TOKEN)
    with pytest.raises(ValueError, match="access_token"):
        SessionPolicy(access_token=LARGEST_ACCESS_TOKEN + TICK)


@pytest.mark.parametrize("kind", ["session", "key", "subject"])
def test_an_entry_is_forgotten_at_its_expiry_and_not_a_microsecond_before(kind: EntryKind) -> None:
    held = index(entry(kind, "x", epoch=1))
    assert (held.forget(T0 + HOUR - TICK), len(held)) == (0, 1)
    assert held.revoked("x", "x", Epochs(), "x")
    assert (held.forget(T0 + HOUR), len(held)) == (1, 0)
    assert not held.revoked("x", "x", Epochs(), "x")


def test_the_epoch_of_the_realm_is_never_forgotten() -> None:
    held = index(entry("all", "", epoch=2))
    assert held.forget(T0 + 1000 * HOUR) == 0
    assert held.revoked("s1", "alice", Epochs(1, 0))


def test_an_older_entry_lowers_neither_an_epoch_nor_an_expiry() -> None:
    late, early = T0 + 2 * HOUR, T0 + HOUR
    for kind, target in (("session", "x"), ("key", "x")):
        held = index(entry(kind, target, expires_at=late), entry(kind, target, expires_at=early))  # type: ignore[arg-type]
        assert held.forget(early) == 0
    held = index(entry("subject", "x", epoch=5, expires_at=late), entry("subject", "x", epoch=2, expires_at=early))
    held.apply([entry("all", "", epoch=5), entry("all", "", epoch=2)])
    assert held.forget(early) == 0
    assert held.revoked("s", "x", Epochs(5, 4))
    assert held.revoked("s", "y", Epochs(4, 9))


ENTRIES = st.lists(
    st.builds(
        entry,
        st.sampled_from(get_args(EntryKind)),
        st.sampled_from(["a", "b", "c"]),
        epoch=st.integers(0, 3),
        realm=st.sampled_from(["default", "default", "other"]),
        expires_at=st.integers(1, 4).map(lambda hours: T0 + hours * HOUR),
    ),
    max_size=12,
)


def answers(held: RevocationIndex) -> list[bool]:
    names = ("a", "b", "c", "d")
    epochs = [Epochs(realm, subject) for realm in range(4) for subject in range(4)]
    return [held.revoked(name, "d", each, "d") for name in names for each in epochs] + [
        held.revoked("d", name, each, key) for name in names for each in epochs for key in (None, *names)
    ]


@given(ENTRIES, st.randoms(use_true_random=False), st.integers(0, 5))
def test_order_and_repetition_change_nothing(entries: list[Entry], random: object, hours: int) -> None:
    once, mixed = index(*entries), index()
    shuffled = [*entries, *entries]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    for each in shuffled:
        mixed.apply([each])
    assert (answers(mixed), len(mixed)) == (answers(once), len(once))
    assert once.forget(T0 + hours * HOUR) == mixed.forget(T0 + hours * HOUR)
    assert answers(mixed) == answers(once)


@given(ENTRIES, ENTRIES)
def test_more_entries_never_revoke_less(entries: list[Entry], more: list[Entry]) -> None:
    before, after = answers(index(*entries)), answers(index(*entries, *more))
    assert all(now or not then for then, now in zip(before, after, strict=True))
