"""Accounts, attempts at their passwords, and values that are good once."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from frontdesk.core.throttle import Admitted, Tallies, ThrottlePolicy, admit
from frontdesk.stores.protocol import Store
from frontdesk.testing.suite.harness import (
    REALM,
    T0,
    TICK,
    StoreHarness,
    an_account,
    attempt,
    count,
    crowd,
    expect,
    with_store,
)

THROTTLE = ThrottlePolicy()
SOON = T0 + timedelta(minutes=10)


class AccountRules(StoreHarness):
    """Accounts."""

    @with_store
    async def test_every_field_of_an_account_comes_back_as_it_was_written(self, store: Store) -> None:
        accounts = (
            an_account(1),
            an_account(2, id="\U0001f6ce", email="\U0001f6ce@\U00010348.example", roles=("b", "a", "\U0001f6ce")),
            an_account(3, password="", created_at=T0 + TICK),
            an_account(4, password="'\"\\%" * 1000),
        )
        for account in accounts:
            expect(await store.create_account(account), True)
            expect(await store.account_by_id(REALM, account.id), account)
            expect(await store.account_by_email(REALM, account.email), account)
        expect(await store.account_by_id(REALM, "nobody"), None)
        expect(await store.account_by_email(REALM, "nobody@example.com"), None)

    @with_store
    async def test_an_id_and_an_address_are_taken_once_in_a_realm(self, store: Store) -> None:
        account = an_account(1)
        await store.create_account(account)
        expect(await store.create_account(an_account(2, id=account.id)), False)
        expect(await store.create_account(an_account(2, email=account.email)), False)
        expect(await store.account_by_id(REALM, "subject-2"), None)
        expect(await store.account_by_email(REALM, "2@example.com"), None)
        expect(await store.account_by_id(REALM, account.id), account)
        elsewhere = an_account(2, realm="other", id=account.id, email=account.email)
        expect(await store.create_account(elsewhere), True)
        expect(await store.account_by_email("other", account.email), elsewhere)
        expect(await store.account_by_email(REALM, account.email), account)
        expect(await store.list_accounts("other"), (elsewhere,))

    @with_store
    async def test_addresses_are_compared_byte_by_byte(self, store: Store) -> None:
        # Composed and decomposed, both cases, sharp s, a trailing space, full width, dotless i.
        spellings = (
            *("\u00e9@x.example", "e\u0301@x.example", "e@x.example", "E@x.example", "e@x.example "),
            *("stra\u00dfe@x.example", "strasse@x.example", "\uff45@x.example", "i@x.example", "\u0131@x.example"),
        )
        for number, email in enumerate(spellings):
            expect(await store.create_account(an_account(number, email=email)), True)
        for number, email in enumerate(spellings):
            expect(await store.account_by_email(REALM, email), an_account(number, email=email))

    @with_store
    async def test_of_fifty_registrations_of_one_address_exactly_one_succeeds(self, store: Store) -> None:
        async with self.another(store) as other:
            outcomes = await crowd(
                lambda number: (store, other)[number % 2].create_account(an_account(number, email="one@example.com"))
            )
        expect(count(outcomes, True), 1)
        winner = an_account(outcomes.index(True), email="one@example.com")
        expect(await store.account_by_email(REALM, "one@example.com"), winner)
        expect(await store.list_accounts(REALM), (winner,))

    @with_store
    async def test_accounts_are_listed_by_address_in_pages(self, store: Store) -> None:
        for number, letter in enumerate("dbeac"):
            await store.create_account(an_account(number, email=f"{letter}@example.com"))
        await store.create_account(an_account(9, realm="other"))
        seen: list[str] = []
        for _ in range(4):
            page = await store.list_accounts(REALM, after=seen[-1] if seen else "", limit=2)
            seen += [account.email for account in page]
        expect(seen, [f"{letter}@example.com" for letter in "abcde"])
        expect(await store.list_accounts("empty"), ())

    @with_store
    async def test_a_password_is_replaced_only_if_it_still_is_the_old_one(self, store: Store) -> None:
        account = an_account(1)
        await store.create_account(account)
        for realm, subject, old in ((REALM, account.id, "wrong"), (REALM, "nobody", "sealed-1"), ("o", account.id, "")):
            expect(await store.replace_password(realm, subject, old=old, new="new"), False)
        expect(await store.account_by_id(REALM, account.id), account)
        sealed = "sealed-\U0001f6ce"
        expect(await store.replace_password(REALM, account.id, old="sealed-1", new=sealed), True)
        expected = msgspec.structs.replace(account, password=sealed)
        expect(await store.account_by_id(REALM, account.id), expected)
        expect(await store.account_by_email(REALM, account.email), expected)

    @with_store
    async def test_of_fifty_replacements_of_one_password_exactly_one_succeeds(self, store: Store) -> None:
        await store.create_account(an_account(1))
        outcomes = await crowd(
            lambda number: store.replace_password(REALM, "subject-1", old="sealed-1", new=f"new-{number}")
        )
        expect(count(outcomes, True), 1)
        account = await store.account_by_id(REALM, "subject-1")
        assert account is not None
        expect(account.password, f"new-{outcomes.index(True)}")


class AttemptRules(StoreHarness):
    """The tallies of `core.throttle`, read and written in one step."""

    @with_store
    async def test_fifty_attempts_at_once_never_exceed_an_accounts_budget(self, store: Store) -> None:
        async with self.another(store) as other:
            outcomes = await crowd(
                lambda number: (store, other)[number % 2].admit_attempt(REALM, attempt(1, number), T0, THROTTLE)
            )
        expect(count(outcomes, None), THROTTLE.free_failures)
        expect({outcome.code for outcome in outcomes if outcome is not None}, {"too_many_attempts"})

    @with_store
    async def test_fifty_attempts_at_once_never_exceed_a_networks_budget(self, store: Store) -> None:
        outcomes = await crowd(lambda number: store.admit_attempt(REALM, attempt(number, 1), T0, THROTTLE))
        expect(count(outcomes, None), THROTTLE.network[0].limit)

    @with_store
    async def test_a_refused_attempt_counts_nowhere(self, store: Store) -> None:
        for number in range(THROTTLE.free_failures):
            expect(await store.admit_attempt(REALM, attempt(1, number), T0, THROTTLE), None)
        for _ in range(60):
            refusal = await store.admit_attempt(REALM, attempt(1, 200), T0, THROTTLE)
            assert refusal is not None
        allowed = [await store.admit_attempt(REALM, attempt(n, 200), T0, THROTTLE) for n in range(10, 60)]
        expect(count(allowed, None), THROTTLE.network[0].limit)

    @with_store
    async def test_the_counters_can_be_read_and_reading_reserves_nothing(self, store: Store) -> None:
        expect(await store.read_attempts(REALM, attempt(1, 1)), Tallies())
        tallies = Tallies()
        for number in range(THROTTLE.free_failures):
            outcome = admit(tallies, T0 + number * TICK, THROTTLE)
            assert isinstance(outcome, Admitted)
            tallies = outcome.tallies
            expect(await store.admit_attempt(REALM, attempt(1, 1), T0 + number * TICK, THROTTLE), None)
            for _ in range(3):
                expect(await store.read_attempts(REALM, attempt(1, 1)), tallies)
        expect((await store.read_attempts(REALM, attempt(1, 2))).pair, None)
        expect(await store.read_attempts("other", attempt(1, 1)), Tallies())

    @with_store
    async def test_a_success_costs_nothing_and_clears_the_account(self, store: Store) -> None:
        for number in range(60):
            now = T0 + number * TICK
            expect(await store.admit_attempt(REALM, attempt(1, 1), now, THROTTLE), None)
            await store.attempt_succeeded(REALM, attempt(1, 1), now)
        for number in range(THROTTLE.free_failures):
            expect(await store.admit_attempt(REALM, attempt(1, number), SOON, THROTTLE), None)
        assert await store.admit_attempt(REALM, attempt(1, 9), SOON, THROTTLE) is not None

    @with_store
    async def test_a_success_does_not_forgive_the_failures_of_others_on_the_network(self, store: Store) -> None:
        for number in range(THROTTLE.network[0].limit - 1):
            expect(await store.admit_attempt(REALM, attempt(number + 1, 1), T0, THROTTLE), None)
        expect(await store.admit_attempt(REALM, attempt(100, 1), T0 + TICK, THROTTLE), None)
        await store.attempt_succeeded(REALM, attempt(100, 1), T0 + TICK)
        expect(await store.admit_attempt(REALM, attempt(101, 1), T0 + TICK, THROTTLE), None)
        assert await store.admit_attempt(REALM, attempt(102, 1), T0 + TICK, THROTTLE) is not None

    @with_store
    async def test_attempts_in_one_realm_cost_nothing_in_another(self, store: Store) -> None:
        for number in range(10):
            await store.admit_attempt("other", attempt(1, number), T0, THROTTLE)
        expect(await store.admit_attempt(REALM, attempt(1, 1), T0, THROTTLE), None)
        expect(await store.clear_attempts("third", attempt(1).account), False)
        assert await store.admit_attempt("other", attempt(1, 99), T0, THROTTLE) is not None

    @with_store
    async def test_a_cleared_tally_starts_anew(self, store: Store) -> None:
        for number in range(10):
            await store.admit_attempt(REALM, attempt(1, number), T0, THROTTLE)
        assert await store.admit_attempt(REALM, attempt(1, 99), T0, THROTTLE) is not None
        expect(await store.clear_attempts(REALM, attempt(1).account), True)
        expect(await store.clear_attempts(REALM, attempt(1).account), False)
        expect(await store.admit_attempt(REALM, attempt(1, 99), T0, THROTTLE), None)

    @with_store
    async def test_the_clock_stepping_back_neither_frees_a_budget_nor_holds_it_for_long(self, store: Store) -> None:
        for number in range(THROTTLE.free_failures):
            await store.admit_attempt(REALM, attempt(1, number), T0, THROTTLE)
        back = T0 - timedelta(days=30)
        assert await store.admit_attempt(REALM, attempt(1, 99), back, THROTTLE) is not None
        expect(await store.admit_attempt(REALM, attempt(1, 99), back + THROTTLE.longest_delay, THROTTLE), None)


class OnceRules(StoreHarness):
    """Values that are good once."""

    @with_store
    async def test_a_value_is_given_to_the_first_who_asks_and_to_nobody_after(self, store: Store) -> None:
        for key, value in ((b"\x00\xff", b"\x00value\xff"), (b"", b""), (b"large", b"x" * 65_536)):
            expect(await store.put_once(REALM, "state", key, value, expires_at=SOON), True)
            expect(await store.consume(REALM, "state", key, T0), value)
            expect(await store.consume(REALM, "state", key, T0), None)
            expect(await store.consume(REALM, "state", key, T0 - timedelta(days=1)), None)
        expect(await store.consume(REALM, "state", b"unknown", T0), None)

    @with_store
    async def test_of_fifty_consumers_exactly_one_gets_the_value(self, store: Store) -> None:
        await store.put_once(REALM, "state", b"k", b"v", expires_at=SOON)
        async with self.another(store) as other:
            got = await crowd(lambda number: (store, other)[number % 2].consume(REALM, "state", b"k", T0))
        expect((count(got, b"v"), count(got, None)), (1, 49))

    @with_store
    async def test_of_fifty_who_put_one_key_exactly_one_succeeds(self, store: Store) -> None:
        values = [bytes((number,)) for number in range(50)]
        async with self.another(store) as other:
            outcomes = await crowd(
                lambda number: (store, other)[number % 2].put_once(REALM, "p", b"k", values[number], expires_at=SOON)
            )
        expect(count(outcomes, True), 1)
        expect(await store.consume(REALM, "p", b"k", T0), values[outcomes.index(True)])

    @with_store
    async def test_a_value_is_good_until_the_microsecond_before_it_expires(self, store: Store) -> None:
        await store.put_once(REALM, "state", b"k", b"v", expires_at=SOON)
        expect(await store.consume(REALM, "state", b"k", SOON + TICK), None)
        expect(await store.consume(REALM, "state", b"k", SOON), None)
        expect(await store.consume(REALM, "state", b"k", SOON - TICK), b"v")

    @with_store
    async def test_a_key_stays_taken_whether_waiting_or_consumed(self, store: Store) -> None:
        await store.put_once(REALM, "state", b"k", b"v", expires_at=SOON)
        expect(await store.put_once(REALM, "state", b"k", b"other", expires_at=SOON), False)
        expect(await store.consume(REALM, "state", b"k", T0), b"v")
        expect(await store.put_once(REALM, "state", b"k", b"other", expires_at=SOON), False)
        expect(await store.consume(REALM, "state", b"k", T0), None)

    @with_store
    async def test_one_key_in_two_realms_or_for_two_purposes_is_two_values(self, store: Store) -> None:
        places = ((REALM, "state"), (REALM, "reset"), ("other", "state"))
        for number, (realm, purpose) in enumerate(places):
            expect(await store.put_once(realm, purpose, b"k", bytes((number,)), expires_at=SOON), True)
        for number, (realm, purpose) in enumerate(places):
            expect(await store.consume(realm, purpose, b"k", T0), bytes((number,)))
