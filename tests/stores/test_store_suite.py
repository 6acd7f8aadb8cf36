"""The suite has teeth: each broken store is caught by the rule that is about it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from frontdesk.core.accounts import Account
from frontdesk.core.credentials import MacKey, mint_session_token
from frontdesk.core.revocation import Entry
from frontdesk.core.rotation import Decision, decide
from frontdesk.core.sessions import EndReason, Epochs, Session, SessionPolicy, evaluate
from frontdesk.core.throttle import AttemptKeys, ThrottlePolicy
from frontdesk.errors import Refusal, StoreError
from frontdesk.stores.memory import MemoryStore
from frontdesk.stores.protocol import NO_TIME, Created, Ended, NotCreated, Poll
from frontdesk.testing import StoreSuite
from frontdesk.testing.suite.fault_rules import DUMP_CREDENTIAL, DUMP_SALT, DUMP_SECRET
from frontdesk.testing.suite.harness import REALM, a_session, expect, sid
from tests.stores.sound import Sound, SuiteOf, the_suite_catches

replace = msgspec.structs.replace
LATER = timedelta(days=1)


class RotatesInTwoSteps(Sound):
    async def rotate(
        self, realm: str, session_id: str, presented: int, now: datetime, policy: SessionPolicy
    ) -> Decision | None:
        row = await self.read_session(realm, session_id)
        await asyncio.sleep(0)
        decision = decide(row, presented, now, policy) if row is not None else None
        if decision is not None and decision.writes:
            self._commit(self._session_changes((decision.session,)))
        return decision


class ComparesTheGenerationAlone(Sound):
    async def rotate(
        self, realm: str, session_id: str, presented: int, now: datetime, policy: SessionPolicy
    ) -> Decision | None:
        row = await self.read_session(realm, session_id)
        await asyncio.sleep(0)
        current = await self.read_session(realm, session_id)
        if row is None or current is None or current.generation != row.generation:
            return await super().rotate(realm, session_id, presented, now, policy)
        decision = decide(row, presented, now, policy)
        if decision.writes:
            self._commit(self._session_changes((decision.session,)))
        return decision


class RotatesWithoutEntry(Sound):
    async def rotate(
        self, realm: str, session_id: str, presented: int, now: datetime, policy: SessionPolicy
    ) -> Decision | None:
        row = await self.read_session(realm, session_id)
        if row is None:
            return None
        decision = decide(row, presented, now, policy)
        self._commit(self._session_changes((decision.session,)))
        return decision


class TouchInserts(Sound):
    async def touch_session(self, realm: str, session_id: str, seen_at: datetime) -> bool:
        row = await self.read_session(realm, session_id)
        await asyncio.sleep(0)
        if row is None or evaluate(row, seen_at) is not None or seen_at <= row.last_seen_at:
            return False
        self._commit(self._session_changes((replace(row, last_seen_at=seen_at),)))
        return True


class TouchMovesBack(Sound):
    async def touch_session(self, realm: str, session_id: str, seen_at: datetime) -> bool:
        row = await self.read_session(realm, session_id)
        if row is None or evaluate(row, seen_at) is not None:
            return False
        self._commit(self._session_changes((replace(row, last_seen_at=seen_at),)))
        return True


class EndsWithoutEntry(Sound):
    async def end_session(
        self, realm: str, session_id: str, *, reason: EndReason, now: datetime, subject: str | None = None
    ) -> Ended | None:
        outcome = await super().end_session(realm, session_id, reason=reason, now=now, subject=subject)
        if outcome is not None and outcome.now:
            self._commit([(self._log, self._last_number, None)])
        return outcome


class EndsAgain(Sound):
    async def end_session(
        self, realm: str, session_id: str, *, reason: EndReason, now: datetime, subject: str | None = None
    ) -> Ended | None:
        row = await self.read_session(realm, session_id)
        if row is not None:
            self._commit(self._session_changes((replace(row, ended_at=None, end_reason=None),)))
        return await super().end_session(realm, session_id, reason=reason, now=now, subject=subject)


class EndsForAnybody(Sound):
    async def end_session(
        self, realm: str, session_id: str, *, reason: EndReason, now: datetime, subject: str | None = None
    ) -> Ended | None:
        return await super().end_session(realm, session_id, reason=reason, now=now)


class LogsOutBravely(Sound):
    async def end_session(
        self, realm: str, session_id: str, *, reason: EndReason, now: datetime, subject: str | None = None
    ) -> Ended | None:
        try:
            return await super().end_session(realm, session_id, reason=reason, now=now, subject=subject)
        except StoreError:
            return None


class KeepsTheEpoch(Sound):
    async def end_subject(
        self, realm: str, subject: str, *, reason: EndReason, now: datetime, keep: str | None = None
    ) -> tuple[Session, ...]:
        return await super().end_subject(realm, subject, reason=reason, now=now, keep=keep or "nobody")


class SparesTheExpired(Sound):
    async def end_subject(
        self, realm: str, subject: str, *, reason: EndReason, now: datetime, keep: str | None = None
    ) -> tuple[Session, ...]:
        rows = self._sessions_of(realm, subject)
        ended = await super().end_subject(realm, subject, reason=reason, now=now, keep=keep)
        self._commit(self._session_changes(row for row in rows if evaluate(row, now) is not None))
        return ended


class KeepsTheRealmEpoch(Sound):
    async def end_realm(self, realm: str, *, reason: EndReason, now: datetime) -> int:
        before = self._realm_epochs.get(realm, 0)
        ended = await super().end_realm(realm, reason=reason, now=now)
        self._realm_epochs[realm] = before
        return ended


class EndsWhatStandsInTheRealm(Sound):
    async def end_realm(self, realm: str, *, reason: EndReason, now: datetime) -> int:
        spared = [row for row in self._sessions.values() if evaluate(row, now) is not None]
        ended = await super().end_realm(realm, reason=reason, now=now)
        self._commit(self._session_changes(spared))
        return ended


class EndsTheRealmOneByOne(Sound):
    async def end_realm(self, realm: str, *, reason: EndReason, now: datetime) -> int:
        rows = [row for row in self._sessions.values() if row.realm == realm and row.ended_at is None]
        for row in rows:
            await self.end_session(realm, row.id, reason=reason, now=now)
        await asyncio.sleep(0)
        self._realm_epochs[realm] = self._realm_epochs.get(realm, 0) + 1
        return len(rows)


class EndsEveryRealm(Sound):
    async def end_realm(self, realm: str, *, reason: EndReason, now: datetime) -> int:
        for other in {row.realm for row in self._sessions.values()} - {realm}:
            await super().end_realm(other, reason=reason, now=now)
        return await super().end_realm(realm, reason=reason, now=now)


class RemovesTheAccountAlone(Sound):
    async def remove_account(self, realm: str, account_id: str, *, now: datetime) -> bool:
        account = self._accounts.get((realm, account_id))
        if account is None:
            return False
        self._commit(self._account_change(account, remove=True))
        return True


class RemovesAndThenEnds(RemovesTheAccountAlone):
    async def remove_account(self, realm: str, account_id: str, *, now: datetime) -> bool:
        rows = await self.list_sessions(realm, account_id, now)
        await asyncio.sleep(0)
        for row in rows:
            await self.end_session(realm, row.id, reason="revoked", now=now)
        return await super().remove_account(realm, account_id, now=now)


class RemovesAnySubject(Sound):
    async def remove_account(self, realm: str, account_id: str, *, now: datetime) -> bool:
        await self.end_subject(realm, account_id, reason="revoked", now=now)
        return await super().remove_account(realm, account_id, now=now)


class KeepsTheAddress(Sound):
    async def remove_account(self, realm: str, account_id: str, *, now: datetime) -> bool:
        account = self._accounts.get((realm, account_id))
        removed = await super().remove_account(realm, account_id, now=now)
        if account is not None:
            self._commit([(self._account_ids, (realm, account.email), account_id)])
        return removed


class CreatesUnderAnyEpoch(Sound):
    def _epochs_of(self, realm: str, subject: str) -> Epochs:
        return Epochs()


class _Creating(Sound):
    """Stores whose insertion is broken override this."""

    async def insert(self, session: Session) -> None: ...

    async def create_session(
        self,
        session: Session,
        *,
        replaces: Collection[str] = (),
        max_sessions: int,
        account_roles: bool = False,
        now: datetime,
    ) -> Created | NotCreated:
        await self.insert(session)
        return await super().create_session(
            session, replaces=replaces, max_sessions=max_sessions, account_roles=account_roles, now=now
        )


class CreatesOverWhatWas(_Creating):
    async def insert(self, session: Session) -> None:
        self._sessions.pop((session.realm, session.id), None)


class CreatesOverWhatEnded(_Creating):
    async def insert(self, session: Session) -> None:
        row = self._sessions.get((session.realm, session.id))
        if row is not None and row.ended_at is not None:
            self._sessions.pop((session.realm, session.id))


class DisplacesBeforeItCreates(_Creating):
    async def insert(self, session: Session) -> None:
        for row in self._sessions_of(session.realm, session.subject)[:1]:
            if row.ended_at is None and row.id != session.id:
                ended = replace(row, ended_at=session.created_at, end_reason="evicted")
                self._commit(self._session_changes((ended,)))
        await asyncio.sleep(0)


class LosesMicroseconds(Sound):
    async def create_session(
        self,
        session: Session,
        *,
        replaces: Collection[str] = (),
        max_sessions: int,
        account_roles: bool = False,
        now: datetime,
    ) -> Created | NotCreated:
        coarse = replace(session, expires_at=session.expires_at.replace(microsecond=0))
        return await super().create_session(
            coarse, replaces=replaces, max_sessions=max_sessions, account_roles=account_roles, now=now
        )


class DisplacesNobody(Sound):
    async def create_session(
        self,
        session: Session,
        *,
        replaces: Collection[str] = (),
        max_sessions: int,
        account_roles: bool = False,
        now: datetime,
    ) -> Created | NotCreated:
        return await super().create_session(
            session, replaces=replaces, max_sessions=10_000, account_roles=account_roles, now=now
        )


class IgnoresTheRealm(Sound):
    def peek_session(self, realm: str, session_id: str) -> Session | None:
        return next((row for row in self._sessions.values() if row.id == session_id), None)


class SharesItsRecords(Sound):
    def peek_session(self, realm: str, session_id: str) -> Session | None:
        return self._sessions.get((realm, session_id))


class ListsAtTheLimit(Sound):
    async def list_sessions(self, realm: str, subject: str, now: datetime) -> tuple[Session, ...]:
        return await super().list_sessions(realm, subject, now - timedelta(microseconds=1))


class ConsumesInTwoSteps(Sound):
    async def consume(self, realm: str, purpose: str, key: bytes, now: datetime) -> bytes | None:
        held = self._values.get((realm, purpose, key))
        await asyncio.sleep(0)
        await super().consume(realm, purpose, key, now)
        return held.value if held is not None and now < held.expires_at else None


class FreesConsumedKeys(Sound):
    async def consume(self, realm: str, purpose: str, key: bytes, now: datetime) -> bytes | None:
        value = await super().consume(realm, purpose, key, now)
        if value is not None:
            self._commit([(self._values, (realm, purpose, key), None)])
        return value


class CountsAfterAnswering(Sound):
    async def admit_attempt(
        self, realm: str, keys: AttemptKeys, now: datetime, policy: ThrottlePolicy
    ) -> Refusal | None:
        before = self._tallies_of(realm, keys)
        refusal = await super().admit_attempt(realm, keys, now, policy)
        after = self._tallies_of(realm, keys)
        self._commit(self._tally_changes(realm, keys, before))
        await asyncio.sleep(0)
        self._commit(self._tally_changes(realm, keys, after))
        return refusal


class ReplacesAnyPassword(Sound):
    async def replace_password(self, realm: str, account_id: str, *, old: str, new: str) -> bool:
        account = await self.account_by_id(realm, account_id)
        return account is not None and await super().replace_password(realm, account_id, old=account.password, new=new)


class ReplacesPasswordsInTwoSteps(Sound):
    async def replace_password(self, realm: str, account_id: str, *, old: str, new: str) -> bool:
        account = await self.account_by_id(realm, account_id)
        await asyncio.sleep(0)
        if account is None or account.password != old:
            return False
        self._commit(self._account_change(replace(account, password=new)))
        return True


class UpdatesInTwoSteps(Sound):
    async def update_subject(
        self,
        realm: str,
        subject: str,
        *,
        roles: Sequence[str] | None,
        scope: Sequence[str] | None,
        claims: Mapping[str, Any] | None,
        now: datetime,
    ) -> int:
        rows = await self.list_sessions(realm, subject, now)
        await asyncio.sleep(0)
        self._commit(self._session_changes(replace(row, roles=tuple(roles or ())) for row in rows))
        return len(rows)


class FoldsAddresses(Sound):
    async def create_account(self, account: Account) -> bool:
        return await super().create_account(replace(account, email=account.email.casefold()))


class NumbersEntriesAnew(Sound):
    async def purge(self, now: datetime, *, limit: int = 500) -> int:
        gone = await super().purge(now, limit=limit)
        self._last_number = max(self._log, default=0)
        return gone


class PurgesWithoutLimit(Sound):
    async def purge(self, now: datetime, *, limit: int = 500) -> int:
        return await super().purge(now, limit=10_000)


class PurgesADayEarly(Sound):
    async def purge(self, now: datetime, *, limit: int = 500) -> int:
        return await super().purge(now + LATER, limit=limit)


class PollsBackwards(Sound):
    async def poll(self, cursor: int, *, limit: int = 1000, wait: timedelta = NO_TIME) -> Poll:
        poll = await super().poll(cursor, limit=limit, wait=wait)
        return replace(poll, entries=poll.entries[::-1])


class CommitsHalf(Sound):
    def _commit(self, changes: Iterable[Any], entries: Iterable[Entry] = ()) -> None:
        MemoryStore._commit(self, changes)
        super()._commit((), entries)


class ForgetsWhenClosed(Sound):
    async def close(self) -> None:
        await super().close()
        self._sessions.clear()


class AnswersWhenClosed(Sound):
    async def close(self) -> None:
        return


CAUGHT: tuple[tuple[type[Sound], str], ...] = (
    (RotatesInTwoSteps, "test_fifty_refreshes_at_once_rotate_once_and_all_are_granted"),
    (RotatesInTwoSteps, "test_fifty_late_retries_at_once_reissue_once"),
    (RotatesInTwoSteps, "test_reuse_shown_fifty_times_at_once_ends_the_session_with_one_entry"),
    (ComparesTheGenerationAlone, "test_a_revocation_that_meets_refreshes_and_touches_wins"),
    (RotatesWithoutEntry, "test_every_line_of_the_table_is_decided_and_written_as_the_core_says"),
    (TouchInserts, "test_a_revocation_that_meets_refreshes_and_touches_wins"),
    (TouchInserts, "test_an_update_a_refresh_and_a_touch_that_meet_are_all_kept"),
    (TouchMovesBack, "test_touching_moves_the_last_use_forward_only_and_nothing_else"),
    (EndsWithoutEntry, "test_a_session_ends_once_with_its_first_reason_and_one_entry"),
    (EndsAgain, "test_a_session_ends_once_with_its_first_reason_and_one_entry"),
    (EndsForAnybody, "test_a_session_is_not_ended_for_another_subject"),
    (LogsOutBravely, "test_a_fault_raises_and_leaves_everything_as_it_was"),
    (KeepsTheEpoch, "test_a_revocation_that_meets_sign_ins_leaves_no_session_of_before"),
    (KeepsTheEpoch, "test_ending_a_subject_without_sessions_still_refuses_the_sign_in_in_flight"),
    (SparesTheExpired, "test_ending_a_subject_reaches_sessions_that_look_expired_here"),
    (KeepsTheRealmEpoch, "test_ending_a_realm_without_sessions_still_refuses_every_sign_in_in_flight"),
    (KeepsTheRealmEpoch, "test_the_end_of_a_realm_that_meets_sign_ins_of_many_leaves_no_session_of_before"),
    (EndsWhatStandsInTheRealm, "test_ending_a_realm_ends_every_session_moves_its_epoch_and_writes_one_entry"),
    (EndsTheRealmOneByOne, "test_the_end_of_a_realm_that_meets_sign_ins_of_many_leaves_no_session_of_before"),
    (EndsTheRealmOneByOne, "test_a_cancelled_end_of_a_realm_is_whole_or_not_at_all"),
    (EndsEveryRealm, "test_ending_a_realm_ends_every_session_moves_its_epoch_and_writes_one_entry"),
    (RemovesTheAccountAlone, "test_a_removed_account_is_gone_and_so_are_the_sessions_of_its_subject"),
    (RemovesAndThenEnds, "test_a_removal_that_meets_sign_ins_leaves_no_session"),
    (RemovesAnySubject, "test_removing_what_is_no_account_ends_nobody"),
    (RemovesAnySubject, "test_of_fifty_removals_of_one_account_exactly_one_succeeds"),
    (KeepsTheAddress, "test_the_address_and_the_id_of_a_removed_account_are_free_again"),
    (CreatesUnderAnyEpoch, "test_a_sign_in_under_an_old_epoch_changes_nothing_and_under_the_new_one_succeeds"),
    (CreatesOverWhatWas, "test_of_fifty_creations_with_one_id_exactly_one_succeeds"),
    (CreatesOverWhatEnded, "test_an_id_is_used_once_whether_its_session_stands_expired_or_ended"),
    (DisplacesBeforeItCreates, "test_a_cancelled_creation_is_done_with_all_it_displaced_or_not_at_all"),
    (LosesMicroseconds, "test_every_field_of_a_session_comes_back_as_it_was_written"),
    (DisplacesNobody, "test_fifty_sign_ins_at_once_leave_as_many_sessions_as_are_allowed"),
    (IgnoresTheRealm, "test_one_id_in_two_realms_is_two_sessions"),
    (SharesItsRecords, "test_a_session_does_not_share_its_claims_with_the_caller"),
    (ListsAtTheLimit, "test_a_session_is_listed_until_the_microsecond_before_its_limits"),
    (ConsumesInTwoSteps, "test_of_fifty_consumers_exactly_one_gets_the_value"),
    (FreesConsumedKeys, "test_a_key_stays_taken_whether_waiting_or_consumed"),
    (CountsAfterAnswering, "test_fifty_attempts_at_once_never_exceed_an_accounts_budget"),
    (ReplacesAnyPassword, "test_a_password_is_replaced_only_if_it_still_is_the_old_one"),
    (ReplacesPasswordsInTwoSteps, "test_of_fifty_replacements_of_one_password_exactly_one_succeeds"),
    (UpdatesInTwoSteps, "test_an_update_a_refresh_and_a_touch_that_meet_are_all_kept"),
    (FoldsAddresses, "test_addresses_are_compared_byte_by_byte"),
    (NumbersEntriesAnew, "test_an_entry_is_kept_until_it_expires_and_its_number_is_not_used_again"),
    (PurgesWithoutLimit, "test_a_clean_up_removes_no_more_than_it_may_and_comes_to_an_end"),
    (PurgesADayEarly, "test_a_session_goes_one_day_after_its_limit_or_seven_after_it_ended"),
    (PollsBackwards, "test_entries_are_polled_in_order_without_gaps_from_any_cursor"),
    (CommitsHalf, "test_a_fault_raises_and_leaves_everything_as_it_was"),
    (ForgetsWhenClosed, "test_what_was_written_is_there_after_closing_and_opening"),
    (AnswersWhenClosed, "test_a_closed_store_raises_on_every_call"),
)


@pytest.mark.parametrize(("broken", "rule"), CAUGHT, ids=[f"{broken.__name__}-{rule}" for broken, rule in CAUGHT])
def test_a_broken_store_is_caught_and_the_sound_one_is_not(broken: type[Sound], rule: str) -> None:
    the_suite_catches(broken, rule)


def test_a_failure_shows_the_field_that_differs() -> None:
    with pytest.raises(AssertionError, match=r"(?s)got .*'generation': 2.*expected .*'generation': 3"):
        expect((a_session(generation=2),), (a_session(generation=3),))
    with pytest.raises(AssertionError, match="…"):
        expect("x" * 2000, "")


def test_a_token_in_a_dump_is_caught() -> None:
    rule = "test_a_dump_holds_the_records_and_nothing_that_could_be_presented"
    getattr(SuiteOf(Sound), rule)()
    token = mint_session_token(MacKey.from_secret(DUMP_SECRET), REALM, sid(1), DUMP_SALT)
    with pytest.raises(AssertionError, match="holds a token"):
        getattr(SuiteOf(Sound, token.encode()), rule)()


def test_a_credential_of_a_service_in_a_dump_is_caught() -> None:
    rule = "test_a_dump_holds_the_names_of_services_and_no_credential"
    getattr(SuiteOf(Sound), rule)()
    with pytest.raises(AssertionError, match="holds the credential"):
        getattr(SuiteOf(Sound, DUMP_CREDENTIAL.encode()), rule)()


def test_every_rule_runs_by_itself_and_none_waits_for_somebody_to_await_it() -> None:
    rules = [name for name in dir(StoreSuite) if name.startswith("test_")]
    assert len(rules) > 80
    for name in rules:
        rule = getattr(StoreSuite, name)
        assert not inspect.iscoroutinefunction(rule), name
        assert list(inspect.signature(rule).parameters) == ["self"], name


def test_a_suite_without_its_three_answers_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="open_store"):
        StoreSuite()  # type: ignore[abstract]
