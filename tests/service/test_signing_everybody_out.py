"""Everybody is signed out, or an account is removed: the next request is refused, whatever it carries."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import datetime
from pathlib import Path

import pytest

from frontdesk.core.accounts import Account
from frontdesk.core.events import AccountRemoved, RealmRevoked
from frontdesk.core.sessions import CredentialKind, Session, Transport
from frontdesk.errors import Refusal
from frontdesk.service.authenticate import Authenticated
from frontdesk.service.refresh import Refreshed
from frontdesk.service.sign_in import Grant, Origin, Signed, SignInOptions
from frontdesk.stores.protocol import Created, NotCreated
from frontdesk.testing import SlowStore
from tests.service.desks import PASSWORD, STORES, TestDesk, make_store, run

ALICE = "alice@example.com"
CREDENTIALS: tuple[CredentialKind, ...] = ("session", "jwt", "jwe")
TRANSPORTS: tuple[Transport, ...] = ("cookie", "bearer")


@pytest.fixture(params=STORES)
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> TestDesk:
    return TestDesk(make_store(request.param, tmp_path))


async def registered(desk: TestDesk) -> Account:
    account = await desk.accounts.register(ALICE, PASSWORD)
    assert isinstance(account, Account)
    return account


async def signed_in(
    desk: TestDesk, credential: CredentialKind, transport: Transport = "cookie", subject: str = "alice"
) -> Signed:
    options = SignInOptions(credential=credential, transport=transport)
    signed = await desk.sign_in(Grant(subject=subject), options=options)
    assert isinstance(signed, Signed)
    return signed


async def asked(desk: TestDesk, signed: Signed) -> str:
    """What the access credential gets on a request."""
    token = signed.session_token or (signed.access_token.text if signed.access_token else "")
    result = await desk.authenticate(token.encode(), signed.session.transport)
    return "signed_in" if isinstance(result, Authenticated) else result.code


async def refreshed(desk: TestDesk, signed: Signed) -> str:
    """What the refresh token gets; a session token has none."""
    if signed.refresh_token is None or signed.session.refresh_in is None:
        return "session_ended"
    result = await desk.refresh(signed.refresh_token.encode(), signed.session.refresh_in)
    return "refreshed" if isinstance(result, Refreshed) else result.code


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("credential", CREDENTIALS)
def test_when_everybody_is_signed_out_every_credential_is_refused_on_its_next_request(
    desk: TestDesk, credential: CredentialKind, transport: Transport
) -> None:
    async def scenario(desk: TestDesk) -> None:
        signed = [await signed_in(desk, credential, transport, subject) for subject in ("alice", "alice", "bob")]
        assert [await asked(desk, each) for each in signed] == ["signed_in"] * 3
        assert await desk.end_everyone() == 3
        assert desk.events[-1] == RealmRevoked(at=desk.time.now(), realm="default", sessions=3, reason="revoked")
        assert desk.names() == ["signed_in"] * 3 + ["realm_revoked"]
        assert [await asked(desk, each) for each in signed] == ["session_ended"] * 3
        assert [await refreshed(desk, each) for each in signed] == ["session_ended"] * 3
        assert await asked(desk, await signed_in(desk, credential, transport)) == "signed_in"
        assert [await asked(desk, each) for each in signed] == ["session_ended"] * 3

    run(desk, scenario)


@pytest.mark.parametrize("credential", CREDENTIALS)
def test_another_process_on_the_file_refuses_from_the_next_request_on(
    tmp_path: Path, credential: CredentialKind
) -> None:
    async def scenario(desk: TestDesk) -> None:
        there = TestDesk(make_store("sqlite", tmp_path), clock=desk.time)
        await there.open()
        first, second = await signed_in(desk, credential), await signed_in(there, credential, subject="bob")
        assert [await asked(there, each) for each in (first, second)] == ["signed_in"] * 2
        assert await desk.end_everyone() == 2
        assert [await asked(there, each) for each in (first, second)] == ["session_ended"] * 2
        await there.close()

    run(TestDesk(make_store("sqlite", tmp_path)), scenario)


@pytest.mark.parametrize("who", ["address", "id"])
@pytest.mark.parametrize("credential", CREDENTIALS)
def test_a_removed_account_is_refused_on_its_next_request_and_signs_in_no_more(
    desk: TestDesk, credential: CredentialKind, who: str
) -> None:
    async def scenario(desk: TestDesk) -> None:
        account = await registered(desk)
        bystander = await signed_in(desk, credential, subject="bob")
        signed = await desk.accounts.sign_in(ALICE, PASSWORD, options=SignInOptions(credential=credential))
        assert isinstance(signed, Signed)
        named = "Alice@Example.com" if who == "address" else account.id
        assert await desk.accounts.remove(named, origin=Origin(address="192.0.2.7")) == account
        now = desk.time.now()
        assert desk.events[-1] == AccountRemoved(at=now, realm="default", address="192.0.2.7", subject=account.id)
        assert (await asked(desk, signed), await refreshed(desk, signed)) == ("session_ended", "session_ended")
        assert await asked(desk, bystander) == "signed_in"
        assert await desk.accounts.by_email(ALICE) is None
        assert await desk.accounts.sign_in(ALICE, PASSWORD) == Refusal("invalid_credentials")
        assert await desk.accounts.remove(named) is None
        assert desk.names().count("account_removed") == 1

    run(desk, scenario)


def test_the_address_of_a_removed_account_registers_anew_as_another_subject(desk: TestDesk) -> None:
    async def scenario(desk: TestDesk) -> None:
        account = await registered(desk)
        await desk.accounts.remove(ALICE)
        again = await registered(desk)
        assert again.id != account.id
        signed = await desk.accounts.sign_in(ALICE, PASSWORD)
        assert isinstance(signed, Signed)
        assert signed.session.subject == again.id

    run(desk, scenario)


def test_what_is_no_account_is_not_removed(desk: TestDesk) -> None:
    async def scenario(desk: TestDesk) -> None:
        signed = await signed_in(desk, "session")
        for who in ("alice", "nobody@example.com", "no@address@at all", "@", ""):
            assert await desk.accounts.remove(who) is None
        assert await asked(desk, signed) == "signed_in"
        assert desk.names() == ["signed_in"]

    run(desk, scenario)


def test_of_many_removals_at_once_one_is_told(desk: TestDesk) -> None:
    async def scenario(desk: TestDesk) -> None:
        account = await registered(desk)
        outcomes = await asyncio.gather(*(desk.accounts.remove(ALICE) for _ in range(10)))
        assert [each for each in outcomes if each is not None] == [account]
        assert desk.names().count("account_removed") == 1

    run(desk, scenario)


class MeetingStore(SlowStore):
    """Between the password and the insertion of the session everybody is signed out, or the account is removed."""

    removes = False

    async def create_session(
        self,
        session: Session,
        *,
        replaces: Collection[str] = (),
        max_sessions: int,
        account_roles: bool = False,
        now: datetime,
    ) -> Created | NotCreated:
        if self.removes:
            assert await self.inner.remove_account(session.realm, session.subject, now=now)
        else:
            assert await self.inner.end_realm(session.realm, reason="revoked", now=now) == 0
        return await self.inner.create_session(
            session, replaces=replaces, max_sessions=max_sessions, account_roles=account_roles, now=now
        )


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@pytest.mark.parametrize("removes", [False, True])
def test_a_sign_in_that_is_under_way_is_refused(tmp_path: Path, kind: str, removes: bool) -> None:
    store = MeetingStore(make_store(kind, tmp_path))
    store.removes = removes

    async def scenario(desk: TestDesk) -> None:
        account = await registered(desk)
        refused = await desk.accounts.sign_in(ALICE, PASSWORD)
        assert isinstance(refused, Refusal)
        assert refused.code == "session_ended"
        assert await desk.sessions(account.id) == ()

    run(TestDesk(store), scenario)
