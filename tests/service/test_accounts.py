"""Accounts: register, sign in with a password, guess in vain."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from frontdesk.core.accounts import Account
from frontdesk.core.passwords import HashParameters
from frontdesk.core.sessions import CredentialKind, Epochs, Session
from frontdesk.errors import OverloadedError, Refusal, StoreCorruptError
from frontdesk.service.sign_in import Origin, Signed, SignInOptions
from frontdesk.stores.protocol import Created, NotCreated
from frontdesk.testing import SlowStore
from tests.service.desks import PASSWORD, STORES, TestDesk, make_store, run

ALICE = "alice@example.com"
WRONG = "wrong horse battery staple"


@pytest.fixture(params=STORES)
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> TestDesk:
    return TestDesk(make_store(request.param, tmp_path))


async def registered(desk: TestDesk, email: str = ALICE) -> Account:
    account = await desk.accounts.register(email, PASSWORD)
    assert isinstance(account, Account)
    return account


def test_who_registered_signs_in_and_is_the_account(desk: TestDesk) -> None:
    async def scenario(desk: TestDesk) -> None:
        account = await registered(desk)
        signed = await desk.accounts.sign_in(ALICE, PASSWORD)
        assert isinstance(signed, Signed)
        assert signed.session.subject == account.id
        assert signed.session.amr == ("pwd",)
        assert desk.names() == ["registered", "signed_in"]

    run(desk, scenario)


def test_an_address_is_taken_once(desk: TestDesk) -> None:
    async def scenario(desk: TestDesk) -> None:
        outcomes = await asyncio.gather(
            *(desk.accounts.register(email, PASSWORD) for email in (ALICE, "ALICE@example.com", "alice@EXAMPLE.com"))
        )
        assert sum(isinstance(outcome, Account) for outcome in outcomes) == 1
        assert [o.code for o in outcomes if isinstance(o, Refusal)] == ["email_taken"] * 2

    run(desk, scenario)


@pytest.mark.parametrize(
    ("email", "password", "code"),
    [
        ("alice", PASSWORD, "email_invalid"),
        (" alice@example.com", PASSWORD, "email_invalid"),
        (ALICE, "fourteen chars", "password_too_short"),
        (ALICE, "x" * 1025, "password_too_long"),
        (ALICE, "passwordpassword", "password_common"),
        (ALICE, "alice@example.com", "password_context"),
    ],
)
def test_what_cannot_be_an_account_is_refused_by_name(desk: TestDesk, email: str, password: str, code: str) -> None:
    async def scenario(desk: TestDesk) -> None:
        refused = await desk.accounts.register(email, password)
        assert isinstance(refused, Refusal)
        assert refused.code == code
        assert desk.hasher.hashes == 0

    run(desk, scenario)


@pytest.mark.parametrize(
    ("email", "password"),
    [
        (ALICE, WRONG),
        (ALICE, ""),
        (ALICE, "x" * 10_000),
        ("nobody@example.com", PASSWORD),
        ("nobody@example.com", ""),
        ("not an address", PASSWORD),
        ("", ""),
    ],
)
def test_every_failed_sign_in_costs_one_verification_and_says_the_same(
    desk: TestDesk, email: str, password: str
) -> None:
    async def scenario(desk: TestDesk) -> None:
        await registered(desk)
        assert await desk.accounts.sign_in(email, password) == Refusal("invalid_credentials")
        assert desk.hasher.verifications == 1

    run(desk, scenario)


def test_after_five_failures_the_password_is_not_looked_at(desk: TestDesk) -> None:
    async def scenario(desk: TestDesk) -> None:
        await registered(desk)
        for email in (ALICE, "nobody@example.com"):
            for _ in range(5):
                refused = await desk.accounts.sign_in(email, WRONG, origin=Origin(address="192.0.2.1"))
                assert refused == Refusal("invalid_credentials")
        checked = desk.hasher.verifications
        answers = [await desk.accounts.sign_in(email, PASSWORD) for email in (ALICE, "nobody@example.com")]
        assert answers[0] == answers[1]
        assert isinstance(answers[0], Refusal)
        assert answers[0].code == "too_many_attempts"
        assert answers[0].members == {"retry_after": 1}
        assert desk.hasher.verifications == checked
        desk.time.advance(timedelta(seconds=1))
        assert isinstance(await desk.accounts.sign_in(ALICE, PASSWORD), Signed)
        for _ in range(5):
            assert await desk.accounts.sign_in(ALICE, WRONG) == Refusal("invalid_credentials")

    run(desk, scenario)


def test_parallel_guesses_do_not_slip_under_the_budget(desk: TestDesk) -> None:
    async def scenario(desk: TestDesk) -> None:
        await registered(desk)
        outcomes = await asyncio.gather(*(desk.accounts.sign_in(ALICE, WRONG) for _ in range(20)))
        codes = Counter(outcome.code for outcome in outcomes if isinstance(outcome, Refusal))
        assert codes == {"invalid_credentials": 5, "too_many_attempts": 15}
        assert desk.hasher.verifications == 5

    run(desk, scenario)


def test_parallel_sign_ins_with_the_right_password_all_succeed(desk: TestDesk) -> None:
    async def scenario(desk: TestDesk) -> None:
        await registered(desk)
        outcomes = await asyncio.gather(*(desk.accounts.sign_in(ALICE, PASSWORD) for _ in range(18)))
        assert all(isinstance(outcome, Signed) for outcome in outcomes)

    run(desk, scenario)


def test_a_hundred_failures_lock_until_somebody_unlocks(tmp_path: Path) -> None:
    async def scenario(desk: TestDesk) -> None:
        await registered(desk)
        for _ in range(100):
            refused = await desk.accounts.sign_in(ALICE, WRONG)
            assert refused == Refusal("invalid_credentials")
            desk.time.advance(timedelta(minutes=16))
        desk.time.advance(timedelta(days=300))
        refused = await desk.accounts.sign_in(ALICE, PASSWORD)
        assert isinstance(refused, Refusal)
        assert refused.code == "too_many_attempts"
        assert await desk.accounts.unlock("Alice@example.com")
        assert isinstance(await desk.accounts.sign_in(ALICE, PASSWORD), Signed)
        assert not await desk.accounts.unlock(ALICE)

    run(TestDesk(make_store("memory", tmp_path)), scenario)


def test_a_busy_desk_refuses_without_counting(tmp_path: Path) -> None:
    async def scenario(desk: TestDesk) -> None:
        await registered(desk)
        outcomes = await asyncio.gather(
            *(desk.accounts.sign_in(ALICE, PASSWORD) for _ in range(10)), return_exceptions=True
        )
        assert Counter(type(outcome) for outcome in outcomes) == {Signed: 3, OverloadedError: 7}
        assert desk.hasher.verifications == 3
        assert isinstance(await desk.accounts.sign_in(ALICE, PASSWORD), Signed)

    run(TestDesk(make_store("memory", tmp_path), queue=2), scenario)


def test_a_sign_in_brings_the_hash_up_to_date_once(tmp_path: Path) -> None:
    store = make_store("memory", tmp_path)
    stronger = HashParameters(memory_kib=19456, passes=2, lanes=1)

    async def before(desk: TestDesk) -> None:
        await registered(desk)

    async def after(desk: TestDesk) -> None:
        old = await desk.accounts.by_email(ALICE)
        assert isinstance(await desk.accounts.sign_in(ALICE, PASSWORD), Signed)
        new = await desk.accounts.by_email(ALICE)
        assert old is not None
        assert new is not None
        assert old.password != new.password
        assert isinstance(await desk.accounts.sign_in(ALICE, PASSWORD), Signed)
        assert await desk.accounts.by_email(ALICE) == new

    run(TestDesk(store), before)
    run(TestDesk(store, hashing=stronger), after)


class RevokingStore(SlowStore):
    """Between the password and the insertion of the session somebody revokes the subject."""

    async def create_session(
        self,
        session: Session,
        *,
        replaces: Collection[str] = (),
        max_sessions: int,
        account_roles: bool = False,
        now: datetime,
    ) -> Created | NotCreated:
        await self.inner.end_subject(session.realm, session.subject, reason="revoked", now=now)
        return await self.inner.create_session(
            session, replaces=replaces, max_sessions=max_sessions, account_roles=account_roles, now=now
        )


def test_a_revocation_during_the_sign_in_wins(tmp_path: Path) -> None:
    async def scenario(desk: TestDesk) -> None:
        account = await registered(desk)
        refused = await desk.accounts.sign_in(ALICE, PASSWORD)
        assert isinstance(refused, Refusal)
        assert refused.code == "session_ended"
        assert await desk.sessions(account.id) == ()

    run(TestDesk(RevokingStore(make_store("memory", tmp_path))), scenario)


class ChangingStore(SlowStore):
    """Between the reading of the account and of its epochs the password is changed and the subject revoked."""

    async def epochs(self, realm: str, subject: str) -> Epochs:
        account = await self.inner.account_by_id(realm, subject)
        if account is not None and account.password != "changed":
            await self.inner.replace_password(realm, subject, old=account.password, new="changed")
            await self.inner.end_subject(realm, subject, reason="revoked", now=account.created_at)
        return await self.inner.epochs(realm, subject)


def test_the_old_password_is_never_believed_under_the_new_epochs(tmp_path: Path) -> None:
    async def scenario(desk: TestDesk) -> None:
        account = await registered(desk)
        with pytest.raises(StoreCorruptError):  # "changed" is no sealed hash: the old one was not what was verified
            await desk.accounts.sign_in(ALICE, PASSWORD)
        assert await desk.sessions(account.id) == ()

    run(TestDesk(ChangingStore(make_store("memory", tmp_path))), scenario)


def test_a_sign_in_under_old_epochs_is_refused(desk: TestDesk) -> None:
    async def scenario(desk: TestDesk) -> None:
        account = await registered(desk)
        await desk.end_all(account.id)
        assert await desk.store.epochs("default", account.id) == Epochs(0, 1)
        assert isinstance(await desk.accounts.sign_in(ALICE, PASSWORD), Signed)

    run(desk, scenario)


def test_no_event_and_no_repr_holds_an_address_a_password_or_a_token(desk: TestDesk) -> None:
    async def scenario(desk: TestDesk) -> None:
        account = await registered(desk)
        signed = await desk.accounts.sign_in(ALICE, PASSWORD)
        await desk.accounts.sign_in(ALICE, WRONG)
        assert isinstance(signed, Signed)
        assert signed.session_token is not None
        shown = repr([event.record() for event in desk.events]) + repr(account) + repr(signed) + repr(signed.session)
        for secret in (ALICE, PASSWORD, WRONG, signed.session_token, account.password, repr(signed.session.salt)):
            assert secret not in shown

    run(desk, scenario)


class DemotingStore(SlowStore):
    """Between the password and the insertion of the session somebody takes the account's roles away."""

    async def create_session(
        self,
        session: Session,
        *,
        replaces: Collection[str] = (),
        max_sessions: int,
        account_roles: bool = False,
        now: datetime,
    ) -> Created | NotCreated:
        await self.inner.update_subject(session.realm, session.subject, roles=(), scope=None, claims=None, now=now)
        return await self.inner.create_session(
            session, replaces=replaces, max_sessions=max_sessions, account_roles=account_roles, now=now
        )


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@pytest.mark.parametrize("credential", ["session", "jwt", "jwe"])
def test_a_role_that_is_taken_away_during_a_sign_in_is_not_granted_by_it(
    tmp_path: Path, kind: str, credential: CredentialKind
) -> None:
    async def scenario(desk: TestDesk) -> None:
        await desk.accounts.register(ALICE, PASSWORD, roles=("manager",))
        signed = await desk.accounts.sign_in(ALICE, PASSWORD, options=SignInOptions(credential=credential))
        assert isinstance(signed, Signed)
        assert signed.session.roles == ()
        row = await desk.store.read_session("default", signed.session.id)
        assert row is not None
        assert row.roles == ()
        if signed.access_token is not None:
            claims = desk._tokens.verify_access_token(signed.access_token.text.encode(), desk.time.now())
            assert not isinstance(claims, Refusal)
            assert claims.roles is None

    run(TestDesk(DemotingStore(make_store(kind, tmp_path))), scenario)
