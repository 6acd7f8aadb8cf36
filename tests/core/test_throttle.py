from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frontdesk.clock import to_micros
from frontdesk.core.throttle import (
    Admitted,
    AttemptKeys,
    Exhausted,
    Tallies,
    Tally,
    ThrottlePolicy,
    Window,
    account_key,
    admit,
    attempt_keys,
    expiry,
    is_locked,
    pack,
    succeeded,
    unpack,
)

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
POLICY = ThrottlePolicy()
WIDE = (Window(1000, SECOND),)
ACCOUNT_ONLY = ThrottlePolicy(network=WIDE, pair=WIDE)
NETWORK_ONLY = ThrottlePolicy(free_failures=100, pair=WIDE)
PAIR_ONLY = ThrottlePolicy(free_failures=100, network=WIDE)


@dataclass
class Rows:
    """What a store does, in the least code: rows by key, each call one transaction."""

    policy: ThrottlePolicy = POLICY
    rows: dict[bytes, Tally] = field(default_factory=dict)

    def try_at(self, now: datetime, address: str = "alice", network: str = "net") -> Admitted | Exhausted:
        keys = keys_of(address, network)
        outcome = admit(self._read(keys), now, self.policy)
        written = outcome.tallies if isinstance(outcome, Admitted) else outcome.moved
        if written is not None:
            self._write(keys, written)
        return outcome

    def look_at(self, now: datetime) -> Admitted | Exhausted:
        """What an attempt would meet; nothing is stored."""
        return admit(self._read(keys_of("alice", "net")), now, self.policy)

    def succeed(self, admitted_at: datetime, address: str = "alice", network: str = "net") -> None:
        keys = keys_of(address, network)
        self._write(keys, succeeded(self._read(keys), admitted_at))

    def _read(self, keys: AttemptKeys) -> Tallies:
        return Tallies(*(self.rows.get(key) for key in (keys.account, keys.network, keys.pair)))

    def _write(self, keys: AttemptKeys, tallies: Tallies) -> None:
        for key, tally in zip(
            (keys.account, keys.network, keys.pair), (tallies.account, tallies.network, tallies.pair), strict=True
        ):
            if tally is None:
                self.rows.pop(key, None)
            else:
                # What a database keeps of it.
                self.rows[key] = Tally(tally.failures, unpack(pack(tally.moments)), tally.expires_us)


def keys_of(address: str, network: str) -> AttemptKeys:
    return attempt_keys(b"k" * 32, realm="default", address=address, network=network)


def wait_of(outcome: Admitted | Exhausted) -> timedelta:
    assert isinstance(outcome, Exhausted)
    return outcome.wait


def admitted(outcomes: list[Admitted | Exhausted]) -> int:
    return sum(isinstance(outcome, Admitted) for outcome in outcomes)


# --- the account ----------------------------------------------------------------------------------------------------


def test_after_five_free_failures_the_delay_doubles_up_to_fifteen_minutes() -> None:
    rows, now, delays = Rows(ACCOUNT_ONLY), START, []
    for _ in range(20):
        assert isinstance(rows.try_at(now), Admitted)
        outcome = rows.look_at(now)
        wait = outcome.wait if isinstance(outcome, Exhausted) else timedelta(0)
        if wait:
            assert isinstance(rows.look_at(now + wait - MICROSECOND), Exhausted)
        delays.append(wait.total_seconds())
        now += wait
    assert delays == [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900, 900, 900, 900]


def test_the_account_stops_for_good_after_a_hundred_failures() -> None:
    rows, now, counted = Rows(ACCOUNT_ONLY), START, 0
    for _ in range(300):
        outcome = rows.try_at(now)
        counted += isinstance(outcome, Admitted)
        now += outcome.wait if isinstance(outcome, Exhausted) else timedelta(0)
    assert counted == 100
    tally = rows.rows[keys_of("alice", "net").account]
    assert is_locked(tally, ACCOUNT_ONLY)
    assert expiry(tally).year == 9999
    late = rows.try_at(now + timedelta(days=36500), network="elsewhere")
    assert wait_of(late) == timedelta(minutes=15)


def test_unlocking_removes_one_row_and_the_account_is_free_again() -> None:
    rows = Rows(ACCOUNT_ONLY, {keys_of("alice", "net").account: Tally(100, (to_micros(START),), 2**60)})
    assert isinstance(rows.try_at(START + HOUR), Exhausted)
    del rows.rows[account_key(b"k" * 32, realm="default", address="alice")]
    assert isinstance(rows.try_at(START + HOUR), Admitted)


def test_ninety_nine_failures_are_no_lock() -> None:
    assert not is_locked(Tally(99, (0,), 1), POLICY)
    assert not is_locked(None, POLICY)


def test_a_right_password_clears_the_failures_in_a_row() -> None:
    rows = Rows(ACCOUNT_ONLY)
    for round_ in range(30):
        now = START + round_ * HOUR
        for _ in range(5):
            assert isinstance(rows.try_at(now), Admitted)
        later = now + SECOND
        assert isinstance(rows.try_at(later), Admitted)
        rows.succeed(later)
        assert keys_of("alice", "net").account not in rows.rows


def test_the_right_password_of_the_last_attempt_lifts_what_that_attempt_reserved() -> None:
    rows = Rows(ACCOUNT_ONLY, {keys_of("alice", "net").account: Tally(99, (to_micros(START),), 2**60)})
    now = START + HOUR
    assert isinstance(rows.try_at(now), Admitted)
    assert isinstance(rows.try_at(now + HOUR), Exhausted)
    rows.succeed(now)
    assert isinstance(rows.try_at(now + HOUR), Admitted)


def test_a_tally_that_rests_for_a_year_is_forgotten_and_not_a_moment_sooner() -> None:
    year = timedelta(days=365)
    rows = Rows(ACCOUNT_ONLY, {})
    for _ in range(5):
        rows.try_at(START)
    assert expiry(rows.rows[keys_of("alice", "net").account]) == START + year
    assert isinstance(rows.try_at(START + year - MICROSECOND, network="b"), Admitted)
    assert rows.rows[keys_of("alice", "net").account].failures == 6
    again = START + year - MICROSECOND + year
    rows.try_at(again, network="c")
    assert rows.rows[keys_of("alice", "net").account].failures == 1


def test_a_deployment_may_keep_every_tally_until_a_success() -> None:
    rows = Rows(ThrottlePolicy(forget_after=None))
    rows.try_at(START)
    assert expiry(rows.rows[keys_of("alice", "net").account]).year == 9999


# --- the windows ----------------------------------------------------------------------------------------------------


def test_a_network_has_twenty_failures_a_minute_over_all_accounts() -> None:
    rows = Rows()
    assert admitted([rows.try_at(START + n * SECOND, f"user{n}") for n in range(20)]) == 20
    at = START + 20 * SECOND
    assert wait_of(rows.try_at(at, "another")) == 40 * SECOND
    assert isinstance(rows.try_at(START + MINUTE - MICROSECOND, "another"), Exhausted)
    assert isinstance(rows.try_at(START + MINUTE, "another"), Admitted)
    assert isinstance(rows.try_at(START + MINUTE, "yet another"), Exhausted)
    assert isinstance(rows.try_at(at, "another", network="neighbour"), Admitted)


def test_a_network_has_a_hundred_failures_an_hour() -> None:
    rows = Rows()
    assert admitted([rows.try_at(START + n * 10 * SECOND, f"user{n}") for n in range(100)]) == 100
    outcome = rows.try_at(START + 1000 * SECOND, "another")
    assert wait_of(outcome) == HOUR - 1000 * SECOND
    assert isinstance(rows.try_at(START + HOUR - MICROSECOND, "another"), Exhausted)
    assert isinstance(rows.try_at(START + HOUR, "another"), Admitted)


def test_one_network_has_ten_failures_at_one_account_in_fifteen_minutes() -> None:
    rows = Rows(PAIR_ONLY)
    assert admitted([rows.try_at(START + n * SECOND) for n in range(11)]) == 10
    assert isinstance(rows.try_at(START + 15 * MINUTE - MICROSECOND), Exhausted)
    assert isinstance(rows.try_at(START + 15 * MINUTE), Admitted)
    assert isinstance(rows.try_at(START + 10 * SECOND, network="elsewhere"), Admitted)


def test_the_longest_wait_of_all_budgets_is_the_one_told() -> None:
    rows = Rows()
    for n in range(5):
        rows.try_at(START, "alice")
        rows.try_at(START, f"user{n}")
    for n in range(10):
        rows.try_at(START, f"more{n}")
    assert wait_of(rows.try_at(START, "alice")) == MINUTE
    assert wait_of(rows.try_at(START, "alice", network="elsewhere")) == SECOND


@pytest.mark.parametrize(
    ("policy", "admissions"),
    [(ACCOUNT_ONLY, 5), (PAIR_ONLY, 10), (NETWORK_ONLY, 20), (POLICY, 5)],
)
def test_fifty_parallel_guesses_stay_within_the_budget(policy: ThrottlePolicy, admissions: int) -> None:
    rows = Rows(policy)
    assert admitted([rows.try_at(START) for _ in range(50)]) == admissions


def test_a_refused_attempt_changes_nothing_and_prolongs_nothing() -> None:
    rows = Rows()
    for _ in range(5):
        rows.try_at(START)
    before = dict(rows.rows)
    outcomes = [rows.try_at(START + n * MICROSECOND) for n in range(200)]
    assert admitted(outcomes) == 0
    assert all(isinstance(outcome, Exhausted) and outcome.moved is None for outcome in outcomes)
    assert rows.rows == before
    assert isinstance(rows.try_at(START + SECOND), Admitted)


# --- a success costs nothing ----------------------------------------------------------------------------------------


def test_right_passwords_cost_nothing_however_many() -> None:
    rows = Rows()
    for n in range(500):
        assert isinstance(rows.try_at(START, f"user{n % 7}"), Admitted)
        rows.succeed(START, f"user{n % 7}")
    assert rows.rows == {}


def test_a_success_gives_back_its_own_reservation_and_no_failure_of_others() -> None:
    rows = Rows()
    for n in range(19):
        rows.try_at(START + n * SECOND, f"victim{n}")
    for n in range(50):
        now = START + 19 * SECOND + n * MICROSECOND
        assert isinstance(rows.try_at(now, "mallory"), Admitted)
        rows.succeed(now, "mallory")
    assert isinstance(rows.try_at(START + 20 * SECOND, "last"), Admitted)
    assert isinstance(rows.try_at(START + 20 * SECOND, "one too many"), Exhausted)


def test_an_early_reservation_is_given_back_from_among_later_failures() -> None:
    rows = Rows()
    rows.try_at(START, "slow")
    for n in range(3):
        rows.try_at(START + (n + 1) * SECOND, f"user{n}")
    rows.succeed(START, "slow")
    network = rows.rows[keys_of("slow", "net").network]
    assert network.moments == tuple(to_micros(START + n * SECOND) for n in (1, 2, 3))


def test_a_reservation_that_left_the_window_long_ago_gives_nothing_back() -> None:
    rows = Rows()
    rows.try_at(START, "slow")
    rows.try_at(START + 2 * HOUR, "other")
    rows.succeed(START, "slow")
    assert rows.rows[keys_of("slow", "net").network].moments == (to_micros(START + 2 * HOUR),)


def test_a_success_finds_its_reservation_though_the_clock_stepped_back_meanwhile() -> None:
    rows = Rows()
    rows.try_at(START, "slow")
    rows.try_at(START - HOUR, "other")
    rows.succeed(START, "slow")
    assert rows.rows[keys_of("slow", "net").network].moments == (to_micros(START - HOUR),)


def test_a_success_without_any_row_is_no_error() -> None:
    assert succeeded(Tallies(), START) == Tallies()
    assert succeeded(Tallies(network=Tally(0, (), 0)), START) == Tallies()


# --- properties -----------------------------------------------------------------------------------------------------

SMALL = ThrottlePolicy(
    free_failures=3,
    first_delay=SECOND,
    longest_delay=8 * SECOND,
    network=(Window(4, 10 * SECOND), Window(7, 40 * SECOND)),
    pair=(Window(3, 20 * SECOND),),
    forget_after=timedelta(days=1),
)
GAPS = st.integers(0, 6_000_000).map(lambda us: timedelta(microseconds=us)) | st.just(timedelta(0))
STEPS_BACK = st.just(timedelta(0)) | st.integers(0, 90).map(lambda seconds: timedelta(seconds=seconds))
GUESSES = st.lists(st.tuples(GAPS, STEPS_BACK, st.sampled_from("abcdef")), min_size=1, max_size=120)


def _most_within(moments: list[datetime], span: timedelta) -> int:
    return max((sum(start <= moment < start + span for moment in moments) for start in moments), default=0)


@given(GUESSES)
@settings(max_examples=60)
def test_no_window_ever_sees_more_checks_than_its_limit_even_if_the_clock_steps_back(
    guesses: list[tuple[timedelta, timedelta, str]],
) -> None:
    rows, real, behind = Rows(SMALL), START, timedelta(0)
    checks: list[tuple[datetime, str]] = []
    for gap, step_back, address in guesses:
        real, behind = real + gap, behind + step_back
        if isinstance(rows.try_at(real - behind, address), Admitted):
            checks.append((real, address))
    assert _most_within([moment for moment, _ in checks], 10 * SECOND) <= 4
    assert _most_within([moment for moment, _ in checks], 40 * SECOND) <= 7
    for address in "abcdef":
        mine = [moment for moment, who in checks if who == address]
        assert _most_within(mine, 20 * SECOND) <= 3
        for failures, (before, after) in enumerate(pairwise(mine), start=1):
            if failures >= SMALL.free_failures:
                assert after - before >= min(SECOND * 2 ** (failures - 3), 8 * SECOND)


@given(GUESSES, st.integers(-(10**14), 10**14))
@settings(max_examples=60)
def test_whoever_waits_as_long_as_told_is_admitted_and_not_a_microsecond_sooner(
    guesses: list[tuple[timedelta, timedelta, str]], leap: int
) -> None:
    rows, now = Rows(SMALL), START
    for gap, step_back, address in guesses:
        now += gap - step_back
        rows.try_at(now, address)
    # Ahead by years or behind by years: no budget is freed early and none is lost for ever.
    now += timedelta(microseconds=leap)
    outcome = rows.try_at(now, "a")
    if isinstance(outcome, Exhausted):
        assert timedelta(0) < outcome.wait <= 40 * SECOND
        assert isinstance(rows.try_at(now + outcome.wait - MICROSECOND, "a"), Exhausted)
        assert isinstance(rows.try_at(now + outcome.wait, "a"), Admitted)


@given(GUESSES)
@settings(max_examples=60)
def test_a_success_leaves_what_others_may_do_as_if_it_had_never_been(
    guesses: list[tuple[timedelta, timedelta, str]],
) -> None:
    with_successes, without, now = Rows(SMALL), Rows(SMALL), START
    for gap, _, address in guesses:
        now += gap
        assert type(with_successes.try_at(now, address)) is type(without.try_at(now, address))
        if isinstance(with_successes.try_at(now, "owner"), Admitted):
            with_successes.succeed(now, "owner")


def test_a_clock_that_was_years_ahead_locks_for_one_span_and_not_for_years() -> None:
    rows, ahead = Rows(), START + timedelta(days=3650)
    for n in range(20):
        rows.try_at(ahead, f"user{n}")
    outcome = rows.try_at(START, "user0")
    assert isinstance(outcome, Exhausted)
    assert outcome.moved is not None
    assert outcome.wait == MINUTE
    assert isinstance(rows.try_at(START + MINUTE - MICROSECOND, "user0"), Exhausted)
    assert isinstance(rows.try_at(START + MINUTE, "user0"), Admitted)


def test_a_row_never_grows_beyond_its_largest_window() -> None:
    rows = Rows(ThrottlePolicy(network=(Window(3, SECOND), Window(5, MINUTE)), pair=WIDE))
    for n in range(100):
        rows.try_at(START + n * 11 * SECOND, f"user{n}")
        assert len(rows.rows[keys_of("x", "net").network].moments) <= 5


def test_a_limit_that_was_lowered_holds_at_once() -> None:
    rows = Rows(NETWORK_ONLY)
    for n in range(20):
        rows.try_at(START + n * SECOND)
    rows.policy = ThrottlePolicy(free_failures=100, network=(Window(2, MINUTE),), pair=WIDE)
    assert wait_of(rows.try_at(START + 20 * SECOND)) == 58 * SECOND


# --- the answer, the keys, the columns ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wait", "seconds"),
    [(MICROSECOND, 1), (SECOND, 1), (SECOND + MICROSECOND, 2), (15 * MINUTE, 900), (HOUR - MICROSECOND, 3600)],
)
def test_the_refusal_tells_whole_seconds_rounded_up(wait: timedelta, seconds: int) -> None:
    refusal = Exhausted(wait).refusal()
    assert (refusal.code, refusal.status) == ("too_many_attempts", 429)
    assert refusal.members == {"retry_after": seconds}


def test_keys_are_digests_that_differ_in_every_part() -> None:
    def made(secret: bytes = b"s", realm: str = "r", address: str = "a@x", network: str = "n") -> AttemptKeys:
        return attempt_keys(secret, realm=realm, address=address, network=network)

    one = made()
    assert made() == one
    assert one.account == account_key(b"s", realm="r", address="a@x")
    assert {len(key) for key in (one.account, one.network, one.pair)} == {32}
    for other in (made(secret=b"t"), made(realm="q")):
        assert not {one.account, one.network, one.pair} & {other.account, other.network, other.pair}
    assert made(address="b@x").network == one.network
    assert made(address="b@x").account != one.account
    assert made(network="m").account == one.account
    assert made(network="m").network != one.network
    assert len({one.pair, made(address="b@x").pair, made(network="m").pair}) == 3
    assert made(realm="ra", address="@x").account != made(realm="r", address="a@x").account


def test_text_that_is_no_address_at_all_still_has_a_key() -> None:
    assert len(account_key(b"s", realm="r", address="\ud800" * 1000)) == 32


def test_the_three_keys_of_an_attempt_must_differ() -> None:
    with pytest.raises(ValueError):
        AttemptKeys(b"a", b"b", b"a")


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=100))
def test_moments_survive_their_column(moments: list[int]) -> None:
    assert unpack(pack(tuple(moments))) == tuple(moments)


@pytest.mark.parametrize("size", [1, 7, 9])
def test_octets_that_are_no_moments_are_refused(size: int) -> None:
    with pytest.raises(ValueError):
        unpack(b"\0" * size)


@pytest.mark.parametrize(
    "wrong",
    [
        {"free_failures": 0},
        {"free_failures": 6, "most_failures": 5},
        {"most_failures": 101},
        {"first_delay": timedelta(0)},
        {"first_delay": MINUTE, "longest_delay": SECOND},
        {"longest_delay": timedelta(days=2)},
        {"network": ()},
        {"pair": ()},
        {"forget_after": MINUTE},
    ],
)
def test_a_policy_that_would_not_hold_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        ThrottlePolicy(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(("limit", "span"), [(0, SECOND), (1001, SECOND), (1, timedelta(0)), (1, timedelta(days=2))])
def test_a_window_without_bounds_is_refused(limit: int, span: timedelta) -> None:
    with pytest.raises(ValueError):
        Window(limit, span)
