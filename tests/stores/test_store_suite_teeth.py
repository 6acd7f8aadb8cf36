"""The suite has teeth, where stores follow a log, are told it again, and know services."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from frontdesk.core.revocation import Entry
from frontdesk.core.services import Service
from frontdesk.core.sessions import evaluate
from frontdesk.errors import StoreError
from frontdesk.stores.memory import _Bell
from frontdesk.stores.protocol import NO_TIME, Poll
from tests.stores.sound import Sound, the_suite_catches

replace = msgspec.structs.replace

# --- the head, and waiting ----------------------------------------------------------------------------------------


class CountsWhatIsLeft(Sound):
    async def poll(self, cursor: int, *, limit: int = 1000, wait: timedelta = NO_TIME) -> Poll:
        page = await super().poll(cursor, limit=limit, wait=wait)
        head = max(self._log, default=0)
        return replace(page, head=head, cursor=min(page.cursor, head))


class KeepsTheCursorOfAnEmptyPage(Sound):
    async def poll(self, cursor: int, *, limit: int = 1000, wait: timedelta = NO_TIME) -> Poll:
        page = await super().poll(cursor, limit=limit, wait=wait)
        return page if page.entries else replace(page, cursor=cursor)


class SaysThatThePageIsTheEnd(Sound):
    async def poll(self, cursor: int, *, limit: int = 1000, wait: timedelta = NO_TIME) -> Poll:
        page = await super().poll(cursor, limit=limit, wait=wait)
        return replace(page, head=page.cursor)


class NeverGoesBack(Sound):
    async def poll(self, cursor: int, *, limit: int = 1000, wait: timedelta = NO_TIME) -> Poll:
        page = await super().poll(cursor, limit=limit, wait=wait)
        return replace(page, head=max(page.head, cursor))


class DoesNotWait(Sound):
    async def poll(self, cursor: int, *, limit: int = 1000, wait: timedelta = NO_TIME) -> Poll:
        return await super().poll(cursor, limit=limit)


class WaitsToTheEnd(Sound):
    async def poll(self, cursor: int, *, limit: int = 1000, wait: timedelta = NO_TIME) -> Poll:
        page = await super().poll(cursor, limit=limit)
        if not page.entries:
            await asyncio.sleep(wait.total_seconds())
        return await super().poll(cursor, limit=limit)


class WaitsFirst(Sound):
    async def poll(self, cursor: int, *, limit: int = 1000, wait: timedelta = NO_TIME) -> Poll:
        await super().poll(self._last_number, wait=wait)
        return await super().poll(cursor, limit=limit)


class AnswersWhatItSawBefore(Sound):
    async def poll(self, cursor: int, *, limit: int = 1000, wait: timedelta = NO_TIME) -> Poll:
        before = await super().poll(cursor, limit=limit)
        if not before.entries:
            await super().poll(cursor, limit=limit, wait=wait)
        return before


class WakesOnlyOne(Sound):
    class Bell(_Bell):
        def ring(self) -> None:
            for loop, rung in list(self._waiting)[:1]:
                loop.call_soon_threadsafe(rung.set)

    def __init__(self) -> None:
        super().__init__()
        self._bell = self.Bell()


class WakesForEndingsOnly(Sound):
    def _commit(self, changes: Iterable[Any], entries: Iterable[Entry] = ()) -> None:
        told = tuple(entries)
        bell = self._bell
        self._bell = bell if all(entry.kind != "changed" for entry in told) else _Bell()
        super()._commit(changes, told)
        self._bell = bell


class ClosesAroundWhoWaits(Sound):
    async def close(self) -> None:
        self._open = False


class TellsLocalTime(Sound):
    async def poll(self, cursor: int, *, limit: int = 1000, wait: timedelta = NO_TIME) -> Poll:
        page = await super().poll(cursor, limit=limit, wait=wait)
        return replace(page, store_time=datetime(2026, 1, 1))  # noqa: DTZ001 - that is what is wrong with it


class IsFarAndAnswersAtOnce(Sound):
    is_remote = True


class MigratesAgain(Sound):
    async def migrate(self) -> tuple[str, ...]:
        return ("0001_everything",)


# --- histories ----------------------------------------------------------------------------------------------------


class KeepsItsHistory(Sound):
    async def renew_history(self) -> str:
        return secrets.token_hex(16)


class RenewsAnEmptyLog(Sound):
    async def renew_history(self) -> str:
        self._log.clear()
        return await super().renew_history()


class AppendsWhatItKnows(Sound):
    async def append_again(self, entries: Sequence[Entry], now: datetime) -> int:
        await super().append_again(entries, now)
        lost = [entry for entry in entries if entry.kind != "changed" and entry.expires_at > now]
        self._commit((), [entry for entry in lost if entry.number not in self._log])
        return len(lost)


class AppendsInTwoSteps(Sound):
    async def append_again(self, entries: Sequence[Entry], now: datetime) -> int:
        known = {(entry.realm, entry.kind, entry.target) for entry in self._log.values()}
        lost = [entry for entry in entries if (entry.realm, entry.kind, entry.target) not in known]
        await asyncio.sleep(0)
        self._commit((), lost)
        await super().append_again(entries, now)
        return len(lost)


class AppendsAndThenMakesGood(Sound):
    async def append_again(self, entries: Sequence[Entry], now: datetime) -> int:
        before = dict(self._sessions)
        appended = await super().append_again(entries, now)
        after = dict(self._sessions)
        self._commit(self._session_changes(before.values()))
        await asyncio.sleep(0)
        self._commit(self._session_changes(after.values()))
        return appended


class AppendsAlone(Sound):
    async def append_again(self, entries: Sequence[Entry], now: datetime) -> int:
        return await super().append_again([replace(entry, target=f"{entry.target}?") for entry in entries], now)


class MakesGoodOnlyWhatItAppends(Sound):
    async def append_again(self, entries: Sequence[Entry], now: datetime) -> int:
        known = {(entry.realm, entry.kind, entry.target, entry.epoch) for entry in self._log.values()}
        lacking = [each for each in entries if (each.realm, each.kind, each.target, each.epoch) not in known]
        return await super().append_again(lacking, now)


class BelievesTheExpired(Sound):
    async def append_again(self, entries: Sequence[Entry], now: datetime) -> int:
        later = max((entry.expires_at for entry in entries), default=now) + timedelta(hours=1)
        return await super().append_again([replace(entry, expires_at=later) for entry in entries], now)


class TrustsWhatHasExpired(Sound):
    async def append_again(self, entries: Sequence[Entry], now: datetime) -> int:
        before = self._log
        self._log = {number: replace(held, expires_at=now + timedelta(days=1)) for number, held in before.items()}
        appended = await super().append_again(entries, now)
        self._log |= before
        return appended


class DatesEntriesAnew(Sound):
    async def append_again(self, entries: Sequence[Entry], now: datetime) -> int:
        return await super().append_again([replace(entry, at=now) for entry in entries], now)


class SetsTheEpoch(Sound):
    async def append_again(self, entries: Sequence[Entry], now: datetime) -> int:
        appended = await super().append_again(entries, now)
        for entry in entries:
            if entry.kind == "subject":
                self._subject_epochs[entry.realm, entry.target] = entry.epoch
        return appended


class KeepsTheEpochsItHas(Sound):
    async def append_again(self, entries: Sequence[Entry], now: datetime) -> int:
        before = dict(self._subject_epochs), dict(self._realm_epochs)
        appended = await super().append_again(entries, now)
        self._subject_epochs, self._realm_epochs = before
        return appended


class EndsUnderEveryEpoch(Sound):
    async def append_again(self, entries: Sequence[Entry], now: datetime) -> int:
        appended = await super().append_again(entries, now)
        of_subjects = [entry for entry in entries if entry.kind == "subject"]
        rows = [row for entry in of_subjects for row in self._sessions_of(entry.realm, entry.target)]
        ended = [replace(row, ended_at=now, end_reason="revoked") for row in rows if row.ended_at is None]
        self._commit(self._session_changes(ended))
        return appended


class EndsOnlyWhatStands(Sound):
    async def append_again(self, entries: Sequence[Entry], now: datetime) -> int:
        spared = [row for row in self._sessions.values() if evaluate(row, now) is not None]
        appended = await super().append_again(entries, now)
        self._commit(self._session_changes(spared))
        return appended


class EndsAgainWhatItIsTold(Sound):
    async def append_again(self, entries: Sequence[Entry], now: datetime) -> int:
        for entry in entries:
            row = self._sessions.get((entry.realm, entry.target))
            if row is not None and entry.kind == "session" and entry.expires_at > now:
                self._commit(self._session_changes((replace(row, ended_at=None, end_reason=None),)))
        return await super().append_again(entries, now)


class GivesUpKeysQuietly(Sound):
    async def append_again(self, entries: Sequence[Entry], now: datetime) -> int:
        versions = dict(self._keys_versions)
        appended = await super().append_again(entries, now)
        self._keys_versions = versions
        return appended


# --- touching many, changed rights --------------------------------------------------------------------------------


class TouchesWhatIsNear(Sound):
    async def touch_sessions(self, realm: str, seen: Mapping[str, datetime], *, every: timedelta) -> int:
        return await super().touch_sessions(realm, seen, every=timedelta(0))


class TouchesManyBack(Sound):
    async def touch_sessions(self, realm: str, seen: Mapping[str, datetime], *, every: timedelta) -> int:
        rows = [self._sessions[realm, each] for each in seen if (realm, each) in self._sessions]
        moved = [replace(row, last_seen_at=seen[row.id]) for row in rows if evaluate(row, seen[row.id]) is None]
        self._commit(self._session_changes(moved))
        return len(moved)


class TouchesManyInTwoSteps(Sound):
    async def touch_sessions(self, realm: str, seen: Mapping[str, datetime], *, every: timedelta) -> int:
        rows = [self._sessions[realm, each] for each in seen if (realm, each) in self._sessions]
        moved = [
            row for row in rows if evaluate(row, seen[row.id]) is None and seen[row.id] - row.last_seen_at >= every
        ]
        await asyncio.sleep(0)
        self._commit(self._session_changes(replace(row, last_seen_at=seen[row.id]) for row in moved))
        return len(moved)


class CountsAllThatWereSeen(Sound):
    async def touch_sessions(self, realm: str, seen: Mapping[str, datetime], *, every: timedelta) -> int:
        await super().touch_sessions(realm, seen, every=every)
        return len(seen)


class ChangesQuietly(Sound):
    async def update_subject(self, realm: str, subject: str, **changes: Any) -> int:
        before = dict(self._log)
        changed = await super().update_subject(realm, subject, **changes)
        self._log = before
        return changed


class TellsOfEveryChange(Sound):
    async def update_subject(self, realm: str, subject: str, **changes: Any) -> int:
        before = self._last_number
        changed = await super().update_subject(realm, subject, **changes)
        if self._last_number == before:
            now = changes["now"]
            entry = Entry(number=0, realm=realm, kind="changed", target=subject, epoch=0, at=now, expires_at=now)
            self._commit((), [entry])
        return changed


class TellsOfWhatStands(Sound):
    async def update_subject(self, realm: str, subject: str, **changes: Any) -> int:
        before = dict(self._log)
        changed = await super().update_subject(realm, subject, **changes)
        if changed == 0:
            self._log = before
        return changed


# --- services -----------------------------------------------------------------------------------------------------


class KnowsServicesOfAllRealms(Sound):
    async def service_by_digest(self, realm: str, digest: bytes) -> Service | None:
        return next((held for held in self._services.values() if held.digest == digest), None)


class ListsServicesAsTheyCame(Sound):
    async def list_services(self, realm: str) -> tuple[Service, ...]:
        return tuple(held for held in self._services.values() if held.realm == realm)


class TakesADigestOnceInARealm(Sound):
    async def add_service(self, service: Service) -> bool:
        elsewhere = {key: held for key, held in self._services.items() if held.realm != service.realm}
        for key in elsewhere:
            del self._services[key]
        added = await super().add_service(service)
        self._services |= elsewhere
        return added


class ReplacesServices(Sound):
    async def add_service(self, service: Service) -> bool:
        self._services.pop((service.realm, service.name), None)
        return await super().add_service(service)


class AddsServicesInTwoSteps(Sound):
    async def add_service(self, service: Service) -> bool:
        taken = any(held.digest == service.digest for held in self._services.values())
        taken = taken or (service.realm, service.name) in self._services
        await asyncio.sleep(0)
        if not taken:
            self._commit([(self._services, (service.realm, service.name), service)])
        return not taken


class SortsScopes(Sound):
    async def add_service(self, service: Service) -> bool:
        return await super().add_service(replace(service, scopes=tuple(sorted(service.scopes))))


class RemovesServicesEverywhere(Sound):
    async def remove_service(self, realm: str, name: str) -> bool:
        named = [key for key in self._services if key[1] == name]
        self._commit([(self._services, key, None) for key in named])
        return bool(named)


class PurgesServices(Sound):
    async def purge(self, now: datetime, *, limit: int = 500) -> int:
        gone = [key for key, held in self._services.items() if held.created_at + timedelta(days=1000) < now]
        self._commit([(self._services, key, None) for key in gone])
        return await super().purge(now, limit=limit)


class AddsServicesBravely(Sound):
    async def add_service(self, service: Service) -> bool:
        try:
            return await super().add_service(service)
        except StoreError:
            return False


CAUGHT: tuple[tuple[type[Sound], str], ...] = (
    (CountsWhatIsLeft, "test_the_cursor_reaches_the_head_also_when_the_end_of_the_log_was_cleaned_up"),
    (
        KeepsTheCursorOfAnEmptyPage,
        "test_the_cursor_reaches_the_head_also_when_the_end_of_the_log_was_cleaned_up",
    ),
    (SaysThatThePageIsTheEnd, "test_the_head_is_the_highest_number_and_a_page_that_reaches_it_is_complete"),
    (NeverGoesBack, "test_who_asks_beyond_the_head_is_told_the_head"),
    (DoesNotWait, "test_a_waiting_poll_is_woken_by_an_entry_of_another_store"),
    (WaitsToTheEnd, "test_a_waiting_poll_is_woken_by_an_entry_of_another_store"),
    (WaitsToTheEnd, "test_who_follows_by_waiting_misses_nothing_of_what_many_append"),
    (WaitsFirst, "test_what_is_there_already_is_told_without_waiting"),
    (AnswersWhatItSawBefore, "test_a_waiting_poll_is_woken_by_an_entry_of_another_store"),
    (WakesOnlyOne, "test_one_entry_wakes_all_who_wait_on_whatever_store"),
    (WakesForEndingsOnly, "test_every_kind_of_entry_wakes_a_waiting_poll"),
    (ClosesAroundWhoWaits, "test_closing_a_store_ends_the_polls_that_wait"),
    (TellsLocalTime, "test_a_store_that_tells_its_time_tells_it_in_utc"),
    (IsFarAndAnswersAtOnce, "test_a_store_behind_a_network_answers_no_peek"),
    (MigratesAgain, "test_storage_that_is_up_to_date_takes_no_step_whether_open_or_closed"),
    (KeepsItsHistory, "test_a_renewed_history_has_another_name_on_every_store_and_the_same_entries"),
    (KeepsItsHistory, "test_histories_renewed_at_once_leave_one_name_for_all"),
    (RenewsAnEmptyLog, "test_a_renewed_history_has_another_name_on_every_store_and_the_same_entries"),
    (AppendsWhatItKnows, "test_what_the_log_lacks_is_appended_with_its_own_moments_and_a_number_of_this_store"),
    (AppendsWhatItKnows, "test_an_entry_is_appended_once_however_often_it_is_given"),
    (AppendsInTwoSteps, "test_fifty_who_tell_the_same_history_append_it_once"),
    (AppendsAndThenMakesGood, "test_a_cancelled_telling_is_done_with_its_effects_or_not_at_all"),
    (AppendsAlone, "test_a_session_that_came_back_is_revoked_and_one_that_ended_stays_as_it_ended"),
    (AppendsAlone, "test_a_copy_of_before_that_is_told_the_log_ends_what_the_store_had_ended"),
    (MakesGoodOnlyWhatItAppends, "test_an_effect_is_made_good_also_where_the_log_tells_of_it"),
    (BelievesTheExpired, "test_what_has_expired_or_ends_nothing_is_passed_over"),
    (TrustsWhatHasExpired, "test_only_a_live_equal_that_says_as_much_stands_for_an_entry"),
    (DatesEntriesAnew, "test_what_the_log_lacks_is_appended_with_its_own_moments_and_a_number_of_this_store"),
    (SetsTheEpoch, "test_epochs_only_grow_and_what_stands_under_a_higher_one_stands"),
    (KeepsTheEpochsItHas, "test_an_entry_of_a_subject_moves_its_epoch_and_ends_what_was_made_under_a_lower_one"),
    (KeepsTheEpochsItHas, "test_an_entry_of_a_realm_moves_its_epoch_and_ends_what_was_made_under_a_lower_one"),
    (KeepsTheEpochsItHas, "test_a_history_told_while_people_sign_in_leaves_no_session_of_before"),
    (EndsUnderEveryEpoch, "test_an_entry_of_a_subject_moves_its_epoch_and_ends_what_was_made_under_a_lower_one"),
    (EndsOnlyWhatStands, "test_an_entry_of_a_realm_moves_its_epoch_and_ends_what_was_made_under_a_lower_one"),
    (EndsAgainWhatItIsTold, "test_a_session_that_came_back_is_revoked_and_one_that_ended_stays_as_it_ended"),
    (GivesUpKeysQuietly, "test_a_key_that_came_back_is_given_up_again_and_once"),
    (TouchesWhatIsNear, "test_what_was_seen_more_lately_than_every_is_left_alone"),
    (TouchesManyBack, "test_touching_many_never_moves_a_last_use_back"),
    (TouchesManyInTwoSteps, "test_touches_of_many_that_meet_an_ending_and_refreshes_undo_nothing"),
    (TouchesManyInTwoSteps, "test_of_fifty_nodes_that_saw_the_same_each_session_moves_once"),
    (CountsAllThatWereSeen, "test_many_sessions_are_touched_as_each_would_be_by_itself"),
    (ChangesQuietly, "test_an_update_writes_one_entry_that_ends_nothing"),
    (TellsOfEveryChange, "test_an_update_that_no_session_could_tell_of_writes_no_entry"),
    (TellsOfWhatStands, "test_an_update_reaching_only_what_looks_expired_here_is_told_all_the_same"),
    (KnowsServicesOfAllRealms, "test_a_service_is_known_in_its_own_realm_alone"),
    (ListsServicesAsTheyCame, "test_services_are_listed_by_name_in_the_order_of_its_characters"),
    (TakesADigestOnceInARealm, "test_a_name_is_taken_once_in_a_realm_and_a_digest_once_anywhere"),
    (ReplacesServices, "test_a_name_is_taken_once_in_a_realm_and_a_digest_once_anywhere"),
    (AddsServicesInTwoSteps, "test_of_fifty_additions_of_one_name_exactly_one_succeeds"),
    (AddsServicesInTwoSteps, "test_of_fifty_additions_of_one_digest_in_any_realm_exactly_one_succeeds"),
    (SortsScopes, "test_every_field_of_a_service_comes_back_as_it_was_written"),
    (RemovesServicesEverywhere, "test_a_service_is_known_in_its_own_realm_alone"),
    (PurgesServices, "test_services_outlive_clean_up_revocations_and_closing"),
    (AddsServicesBravely, "test_a_fault_raises_and_leaves_everything_as_it_was"),
)


@pytest.mark.parametrize(("broken", "rule"), CAUGHT, ids=[f"{broken.__name__}-{rule}" for broken, rule in CAUGHT])
def test_a_broken_store_is_caught_and_the_sound_one_is_not(broken: type[Sound], rule: str) -> None:
    the_suite_catches(broken, rule)
