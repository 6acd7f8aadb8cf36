"""The index of live entries: idempotent, indifferent to order, never forgetting too early."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frontdesk.core.revocation import (
    ENTRY_KINDS,
    LARGEST_ACCESS_TOKEN,
    SKEW,
    Entry,
    EntryKind,
    RevocationIndex,
    entry_expiry,
    target_digest,
)
from frontdesk.core.sessions import LARGEST_ABSOLUTE, Epochs, SessionPolicy

T0 = datetime(2026, 1, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)
HOUR = timedelta(hours=1)
replace = msgspec.structs.replace


def entry(
    kind: EntryKind = "session",
    target: str = "s1",
    *,
    epoch: int = 0,
    realm: str = "default",
    number: int = 1,
    at: datetime = T0,
    expires_at: datetime = T0 + HOUR,
) -> Entry:
    return Entry(number=number, realm=realm, kind=kind, target=target, epoch=epoch, at=at, expires_at=expires_at)


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
        (entry("changed", "alice", epoch=3), ("alice", "alice", Epochs(), "alice"), False),
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


def test_the_epoch_of_the_realm_outlives_its_entry() -> None:
    held = index(entry("all", "", epoch=2))
    assert (held.forget(T0 + HOUR - TICK), len(held)) == (0, 1)
    assert (held.forget(T0 + 1000 * HOUR), len(held)) == (1, 0)
    assert held.revoked("s1", "alice", Epochs(1, 0))
    assert list(held.live(T0)) == []
    held.apply([entry("all", "", epoch=1, expires_at=T0 + 2000 * HOUR)])
    assert list(held.live(T0)) == []
    assert held.revoked("s1", "alice", Epochs(1, 0))


def test_an_older_entry_lowers_neither_an_epoch_nor_an_expiry() -> None:
    late, early = T0 + 2 * HOUR, T0 + HOUR
    for kind, target in (("session", "x"), ("key", "x")):
        held = index(entry(kind, target, expires_at=late), entry(kind, target, expires_at=early))  # type: ignore[arg-type]
        assert held.forget(early) == 0
    held = index(entry("subject", "x", epoch=5, expires_at=late), entry("subject", "x", epoch=2, expires_at=early))
    held.apply([entry("all", "", epoch=5, expires_at=late), entry("all", "", epoch=2, expires_at=early)])
    assert held.forget(early) == 0
    assert held.revoked("s", "x", Epochs(5, 4))
    assert held.revoked("s", "y", Epochs(4, 9))


# --- what a store is told again -----------------------------------------------------------------------------------


def test_live_is_every_entry_that_can_still_end_something_until_it_expires() -> None:
    ending = [entry("session", "s"), entry("subject", "u", epoch=2), entry("key", "k"), entry("all", "", epoch=1)]
    held = index(*ending, entry("changed", "u"), entry("session", "elsewhere", realm="other"))
    assert list(held.live(T0 + HOUR - TICK)) == ending
    assert list(held.live(T0 + HOUR)) == []
    assert len(held) == 5, "asking forgets nothing"


def test_of_two_entries_for_one_target_live_tells_what_both_say() -> None:
    first = entry("subject", "u", epoch=5, number=1, expires_at=T0 + HOUR)
    second = entry("subject", "u", epoch=3, number=2, at=T0 + TICK, expires_at=T0 + 2 * HOUR)
    both = entry("subject", "u", epoch=5, number=2, at=T0 + TICK, expires_at=T0 + 2 * HOUR)
    assert list(index(first, second).live(T0)) == list(index(second, first).live(T0)) == [both]


def test_of_two_entries_for_the_realm_live_tells_what_both_say() -> None:
    first = entry("all", "", epoch=5, number=1, expires_at=T0 + HOUR)
    for epoch in (3, 5):
        second = entry("all", "", epoch=epoch, number=2, at=T0 + TICK, expires_at=T0 + 2 * HOUR)
        both = entry("all", "", epoch=5, number=2, at=T0 + TICK, expires_at=T0 + 2 * HOUR)
        assert list(index(first, second).live(T0)) == list(index(second, first).live(T0)) == [both]


def test_live_told_to_another_index_ends_the_same() -> None:
    known = index(entry("session", "a"), entry("subject", "b", epoch=2), entry("key", "c"), entry("all", "", epoch=1))
    assert answers(index(*known.live(T0))) == answers(known)


# --- changed rights, another history ------------------------------------------------------------------------------


def test_a_change_is_known_by_the_number_of_its_newest_entry() -> None:
    held = index(entry("changed", "alice", number=7), entry("changed", "bob", number=9))
    assert [held.changed_at(subject) for subject in ("alice", "bob", "carol")] == [7, 9, 0]
    held.apply([entry("changed", "alice", number=12), entry("changed", "alice", number=10)])
    held.apply([entry("changed", "bob", number=99, realm="other"), entry("subject", "bob", number=98, epoch=1)])
    assert [held.changed_at(subject) for subject in ("alice", "bob")] == [12, 9]
    assert len(held) == 3
    assert (held.forget(T0 + HOUR), held.changed_at("alice")) == (3, 0)


def test_a_change_is_kept_as_long_as_the_newest_of_its_entries() -> None:
    held = index(*(entry("changed", "alice", number=n, expires_at=T0 + n * HOUR) for n in (1, 2, 3)))
    assert [(held.forget(T0 + n * HOUR), held.changed_at("alice")) for n in (1, 2, 3)] == [(0, 3), (0, 3), (1, 0)]


def test_another_history_has_numbers_of_its_own_and_gives_nobody_back() -> None:
    ending = [entry("session", "s"), entry("subject", "u", epoch=2), entry("key", "k"), entry("all", "", epoch=1)]
    held = index(*ending, entry("changed", "alice", number=700), entry("changed", "bob", number=701))
    before = answers(held)
    held.restart()
    assert (answers(held), list(held.live(T0)), len(held)) == (before, ending, 4)
    assert [held.changed_at(subject) for subject in ("alice", "bob")] == [0, 0]
    held.apply([entry("changed", "alice", number=3, expires_at=T0 + 2 * HOUR)])
    assert held.changed_at("alice") == 3
    assert held.forget(T0 + HOUR) == 4
    assert held.changed_at("alice") == 3


# --- what forgetting costs ----------------------------------------------------------------------------------------


class Counted(datetime):
    """A moment that counts how often it was compared."""

    compared = 0

    def __le__(self, other: Any) -> bool:
        Counted.compared += 1
        return super().__le__(other)


def counted(at: datetime) -> datetime:
    return Counted.fromtimestamp(at.timestamp(), UTC)


@pytest.mark.parametrize("kind", ["session", "key", "subject", "changed"])
def test_forgetting_looks_twice_at_what_it_drops_and_at_one_more(kind: EntryKind) -> None:
    held = index(*(entry(kind, f"x{n}", expires_at=counted(T0 + n * HOUR)) for n in range(1, 1001)))
    for now, dropped in ((T0, 0), (T0 + HOUR, 1), (T0 + HOUR, 0), (T0 + 11 * HOUR, 10), (T0 + 10 * HOUR, 0)):
        Counted.compared = 0
        assert held.forget(now) == dropped
        assert Counted.compared <= 2 * dropped + 1
    assert len(held) == 989


def test_an_entry_out_of_order_goes_with_those_before_it_and_none_too_early() -> None:
    hours = (3, 1, 2, 5, 4)
    held = index(*(entry("session", f"s{n}", expires_at=T0 + n * HOUR) for n in hours))
    assert [held.forget(T0 + n * HOUR) for n in (1, 2, 3, 4, 5)] == [0, 0, 3, 0, 2]
    assert len(held) == 0


def test_an_entry_that_was_prolonged_is_kept_for_as_long_as_it_says() -> None:
    held = index(entry("session", "x"), entry("session", "y"), entry("session", "x", expires_at=T0 + 2 * HOUR))
    assert (held.forget(T0 + HOUR), held.revoked("x", "", Epochs())) == (1, True)
    assert (held.forget(T0 + 2 * HOUR), len(held)) == (1, 0)


def test_an_entry_that_comes_again_after_it_was_forgotten_is_forgotten_again() -> None:
    held = index(entry("session", "x"))
    assert held.forget(T0 + HOUR) == 1
    held.apply([entry("session", "x")])
    assert held.revoked("x", "", Epochs())
    assert held.forget(T0 + HOUR) == 1


def test_a_hundred_thousand_entries_end_what_they_name_and_go_in_their_time() -> None:
    held = RevocationIndex("default")
    made = (entry("session", f"s{n}", number=n, expires_at=T0 + n * TICK) for n in range(1, 100_001))
    for _ in range(2):
        held.apply(made)
    held.apply(entry("subject", f"u{n}", epoch=n, expires_at=T0 + HOUR) for n in range(1, 1001))
    assert len(held) == 101_000
    assert [held.revoked(f"s{n}", "", Epochs()) for n in (0, 1, 50_000, 100_000, 100_001)] == [0, 1, 1, 1, 0]
    assert [held.revoked("", "u7", Epochs(0, epoch)) for epoch in (6, 7)] == [True, False]
    assert held.forget(T0 + 60_000 * TICK) == 60_000
    assert [held.revoked(f"s{n}", "", Epochs()) for n in (60_000, 60_001)] == [False, True]
    assert sum(1 for _ in held.live(T0 + 60_000 * TICK)) == 41_000
    assert held.forget(T0 + 2 * HOUR) == 41_000


# --- properties ---------------------------------------------------------------------------------------------------

ENTRIES = st.lists(
    st.builds(
        entry,
        st.sampled_from(get_args(EntryKind)),
        st.sampled_from(["a", "b", "c"]),
        epoch=st.integers(0, 3),
        realm=st.sampled_from(["default", "default", "other"]),
        number=st.integers(1, 20),
        at=st.integers(0, 2).map(lambda ticks: T0 + ticks * TICK),
        expires_at=st.integers(1, 4).map(lambda hours: T0 + hours * HOUR),
    ).map(lambda made: made if made.kind != "all" else replace(made, target="")),
    max_size=12,
)
HOURS = st.integers(0, 5).map(lambda hours: T0 + hours * HOUR)


def answers(held: RevocationIndex) -> list[bool]:
    names = ("a", "b", "c", "d", "s", "u", "k")
    epochs = [Epochs(realm, subject) for realm in range(4) for subject in range(4)]
    return [held.revoked(name, "d", each, "d") for name in names for each in epochs] + [
        held.revoked("d", name, each, key) for name in names for each in epochs for key in (None, *names)
    ]


def changes(held: RevocationIndex) -> list[int]:
    return [held.changed_at(name) for name in ("a", "b", "c", "d")]


def lines(entries: Iterable[Entry]) -> list[tuple[str, str, int, int, datetime, datetime]]:
    return sorted((each.kind, each.target, each.epoch, each.number, each.at, each.expires_at) for each in entries)


@settings(max_examples=300)
@given(ENTRIES.flatmap(lambda each: st.tuples(st.just(each), st.permutations([*each, *each]))), HOURS)
def test_order_and_repetition_change_nothing(orders: tuple[list[Entry], list[Entry]], now: datetime) -> None:
    entries, shuffled = orders
    once, mixed = index(*entries), index()
    for each in shuffled:
        mixed.apply([each])
    assert (answers(mixed), changes(mixed), len(mixed)) == (answers(once), changes(once), len(once))
    assert lines(mixed.live(now)) == lines(once.live(now))
    for held in (once, mixed):
        held.forget(now)
    assert lines(mixed.live(now)) == lines(once.live(now))


@given(ENTRIES, HOURS, HOURS)
def test_forgetting_takes_nothing_that_is_live_and_in_the_end_everything(
    entries: list[Entry], now: datetime, later: datetime
) -> None:
    held = index(*entries)
    kept = {
        each.target for each in entries if each.kind == "changed" and each.realm == "default" and each.expires_at > now
    }
    before, changed = lines(held.live(now)), [held.changed_at(name) for name in sorted(kept)]
    forgotten = held.forget(now)
    assert lines(held.live(now)) == before
    assert [held.changed_at(name) for name in sorted(kept)] == changed
    forgotten += held.forget(later)
    forgotten += held.forget(T0 + 5 * HOUR)
    assert (len(held), forgotten) == (0, len(index(*entries)))


@given(ENTRIES, ENTRIES)
def test_more_entries_never_revoke_less(entries: list[Entry], more: list[Entry]) -> None:
    before, after = answers(index(*entries)), answers(index(*entries, *more))
    assert all(now or not then for then, now in zip(before, after, strict=True))


@given(ENTRIES, HOURS)
def test_what_is_live_ends_all_that_the_index_ends_until_something_expires(entries: list[Entry], now: datetime) -> None:
    lasting = [each for each in entries if each.expires_at > now]
    assert answers(index(*index(*lasting).live(now))) == answers(index(*lasting))


# --- digests ------------------------------------------------------------------------------------------------------


def test_a_digest_is_the_one_that_verifiers_in_other_languages_compute() -> None:
    # printf 'frontdesk/revocation/default\0alice' | sha256sum | cut -c-32
    assert target_digest("default", "alice") == "465c536fd36e0b027551d1d54e314406"
    assert target_digest("default", "\U0001f6ce") == "aa12e091044179bd4394da1e34aa3508"
    assert target_digest("", "") == "a08d8cf9617b719af99f6e094c16068e"


def test_targets_of_different_realms_and_texts_have_different_digests() -> None:
    pairs = [("default", "a"), ("other", "a"), ("default", "b"), ("defaul", "ta"), ("defaulta", ""), ("", "defaulta")]
    pairs += [("default", "A"), ("default", "a "), ("default", "\u00e9"), ("default", "e\u0301")]
    digests = {target_digest(realm, target) for realm, target in pairs}
    assert len(digests) == len(pairs)
    assert {len(digest) for digest in digests} == {32}
    assert all(set(digest) <= set("0123456789abcdef") for digest in digests)


def test_the_kinds_of_entries_are_named_in_one_place() -> None:
    assert get_args(EntryKind) == ENTRY_KINDS == ("session", "subject", "key", "all", "changed")
