"""Sign in, be recognised, refresh, sign out: the operations of the desk over each store."""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from frontdesk.clock import AdjustableClock
from frontdesk.core.keyring import StoredKey
from frontdesk.core.rotation import Outcome
from frontdesk.core.sessions import CredentialKind, SessionPolicy, Transport
from frontdesk.errors import ConfigurationError, Refusal
from frontdesk.service.authenticate import Authenticated
from frontdesk.service.refresh import Refreshed
from frontdesk.service.settings import DeskSettings
from frontdesk.service.sign_in import Grant, Signed, SignInOptions
from frontdesk.stores.protocol import ASK
from tests.service.desks import OTHER_SECRET, SECRET, STORES, TestDesk, make_store, run

ALL: tuple[tuple[CredentialKind, Transport], ...] = (
    ("session", "cookie"),
    ("session", "bearer"),
    ("jwt", "cookie"),
    ("jwt", "bearer"),
    ("jwe", "cookie"),
    ("jwe", "bearer"),
)
GRACE = SessionPolicy().grace


@pytest.fixture(params=STORES)
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> TestDesk:
    return TestDesk(make_store(request.param, tmp_path))


async def signed_in(
    desk: TestDesk, credential: CredentialKind = "session", transport: Transport = "cookie", subject: str = "alice"
) -> Signed:
    signed = await desk.sign_in(
        Grant(subject=subject, roles={"teller"}), options=SignInOptions(credential=credential, transport=transport)
    )
    assert isinstance(signed, Signed)
    return signed


def presented(signed: Signed) -> tuple[bytes, Transport]:
    token = signed.session_token or (signed.access_token.text if signed.access_token else "")
    return token.encode(), signed.session.transport


def refresh_token(signed: Signed) -> bytes:
    assert signed.refresh_token is not None
    return signed.refresh_token.encode()


async def code_of(desk: TestDesk, signed: Signed) -> str:
    result = await desk.authenticate(*presented(signed))
    return result.code if isinstance(result, Refusal) else "signed_in"


@pytest.mark.parametrize(("credential", "transport"), ALL)
def test_every_credential_over_every_transport_is_recognised_until_it_is_signed_out(
    desk: TestDesk, credential: CredentialKind, transport: Transport
) -> None:
    async def scenario(desk: TestDesk) -> None:
        signed = await signed_in(desk, credential, transport)
        result = await desk.authenticate(*presented(signed))
        assert isinstance(result, Authenticated)
        assert result.principal.subject == "alice"
        assert result.principal.roles == {"teller"}
        assert result.principal.credential == credential
        assert await desk.end(signed.session.id, reason="signed_out")
        assert await code_of(desk, signed) == "session_ended"
        assert desk.names() == ["signed_in", "session_ended"]

    run(desk, scenario)


@pytest.mark.parametrize(("credential", "transport"), ALL)
def test_a_credential_is_accepted_in_its_own_envelope_only(
    desk: TestDesk, credential: CredentialKind, transport: Transport
) -> None:
    async def scenario(desk: TestDesk) -> None:
        token, _ = presented(await signed_in(desk, credential, transport))
        other: Transport = "bearer" if transport == "cookie" else "cookie"
        assert await desk.authenticate(token, other) == Refusal("transport_mismatch")

    run(desk, scenario)


def test_the_answer_without_waiting_is_the_same_as_the_one_with(desk: TestDesk) -> None:
    async def scenario(desk: TestDesk) -> None:
        for credential, transport in ALL:
            token = presented(await signed_in(desk, credential, transport))
            at_once = desk.authenticate_now(*token)
            assert at_once is ASK or at_once == await desk.authenticate(*token)

    run(desk, scenario)


@pytest.mark.parametrize(
    ("credential", "code"),
    [
        (b"", "credential_malformed"),
        (b"fds_", "credential_malformed"),
        (b"fdr_" + b"A" * 94, "credential_malformed"),
        (b"a.b.c", "credential_malformed"),
        (b"\xff\xfe", "credential_malformed"),
        (b"x" * 20_000, "credential_malformed"),
        (b"eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9.", "credential_invalid"),
    ],
)
def test_what_was_never_issued_is_refused_with_a_reason(desk: TestDesk, credential: bytes, code: str) -> None:
    async def scenario(desk: TestDesk) -> None:
        for transport in ("cookie", "bearer"):
            result = await desk.authenticate(credential, transport)
            assert isinstance(result, Refusal)
            assert result.code == code

    run(desk, scenario)


def test_credentials_of_another_deployment_mean_nothing_here(tmp_path: Path) -> None:
    theirs, ours = make_store("memory", tmp_path), make_store("memory", tmp_path)
    stolen: list[tuple[bytes, Transport]] = []

    async def elsewhere(desk: TestDesk) -> None:
        stolen.extend([presented(await signed_in(desk, c, t)) for c, t in ALL])

    async def here(desk: TestDesk) -> None:
        for token in stolen:
            assert isinstance(refused := await desk.authenticate(*token), Refusal)
            assert refused.code == "credential_invalid"

    run(TestDesk(theirs, secrets_=[OTHER_SECRET]), elsewhere)
    run(TestDesk(ours), here)


def test_a_row_alone_is_not_a_credential(desk: TestDesk) -> None:
    """Whoever reads the store has the id and the salt, and mints with the wrong key."""

    async def scenario(desk: TestDesk) -> None:
        signed = await signed_in(desk)
        thief = TestDesk(desk.store, secrets_=[OTHER_SECRET])
        forged = thief._tokens.session_token(signed.session).encode()
        assert await desk.authenticate(forged, "cookie") == Refusal("credential_invalid")

    run(desk, scenario)


def test_a_refresh_token_is_no_access_credential_and_the_other_way_round(desk: TestDesk) -> None:
    async def scenario(desk: TestDesk) -> None:
        signed = await signed_in(desk, "jwt", "bearer")
        refused = await desk.authenticate(refresh_token(signed), "bearer")
        assert isinstance(refused, Refusal)
        assert refused.code == "credential_invalid"
        assert await desk.refresh(presented(signed)[0], "body") == Refusal("credential_malformed")

    run(desk, scenario)


@pytest.mark.parametrize(
    ("moved", "code"),
    [
        (timedelta(days=7) - timedelta(microseconds=1), "signed_in"),
        (timedelta(days=7), "session_idle"),
        (timedelta(days=30), "session_expired"),
    ],
)
def test_idle_and_absolute_limits_end_a_session(desk: TestDesk, moved: timedelta, code: str) -> None:
    async def scenario(desk: TestDesk) -> None:
        signed = await signed_in(desk)
        desk.time.advance(moved)
        assert await code_of(desk, signed) == code

    run(desk, scenario)


def test_use_keeps_a_session_alive_up_to_its_absolute_limit(desk: TestDesk) -> None:
    async def scenario(desk: TestDesk) -> None:
        signed = await signed_in(desk)
        for _ in range(5):
            desk.time.advance(timedelta(days=6) - timedelta(hours=1))
            assert await code_of(desk, signed) == "signed_in"
            await desk._authenticator.settle()
        desk.time.advance(timedelta(hours=5))
        assert await code_of(desk, signed) == "session_expired"

    run(desk, scenario)


def test_use_is_recorded_at_most_once_a_minute(desk: TestDesk) -> None:
    async def scenario(desk: TestDesk) -> None:
        signed = await signed_in(desk)
        start = desk.time.now()
        for seconds, expected in ((59, 0), (1, 60), (59, 60), (1, 120)):
            desk.time.advance(timedelta(seconds=seconds))
            await code_of(desk, signed)
            await desk._authenticator.settle()
            row = await desk.store.read_session("default", signed.session.id)
            assert row is not None
            assert row.last_seen_at == start + timedelta(seconds=expected)

    run(desk, scenario)


def test_an_access_token_expires_and_is_told_apart_from_a_bad_one(desk: TestDesk) -> None:
    async def scenario(desk: TestDesk) -> None:
        signed = await signed_in(desk, "jwt", "bearer")
        desk.time.advance(timedelta(minutes=15))
        assert await code_of(desk, signed) == "token_expired"
        session = await desk.identify(*presented(signed))
        assert not isinstance(session, Refusal)
        assert session.id == signed.session.id

    run(desk, scenario)


def test_a_sign_in_replaces_the_session_that_came_along(desk: TestDesk) -> None:
    async def scenario(desk: TestDesk) -> None:
        old = await signed_in(desk)
        new = await desk.sign_in(Grant(subject="alice"), replaces=[old.session.id])
        assert isinstance(new, Signed)
        assert new.session.id != old.session.id
        assert await code_of(desk, old) == "session_replaced"
        assert await code_of(desk, new) == "signed_in"

    run(desk, scenario)


def test_the_oldest_session_ends_when_there_are_too_many(tmp_path: Path) -> None:
    async def scenario(desk: TestDesk) -> None:
        devices = []
        for _ in range(4):
            devices.append(await signed_in(desk))
            desk.time.advance(timedelta(seconds=1))
        assert [await code_of(desk, device) for device in devices] == ["session_ended", *["signed_in"] * 3]
        assert len(await desk.sessions("alice")) == 3

    settings = DeskSettings(sessions=SessionPolicy(max_sessions=3))
    run(TestDesk(make_store("memory", tmp_path), settings), scenario)


def test_changed_rights_count_from_the_next_request_on_for_sessions_and_jwts(desk: TestDesk) -> None:
    async def scenario(desk: TestDesk) -> None:
        devices = [await signed_in(desk, credential, transport) for credential, transport in ALL]
        other = await signed_in(desk, subject="bob")
        assert await desk.update("alice", roles={"manager"}, claims={"branch": 7}) == len(ALL)
        for device in devices:
            result = await desk.authenticate(*presented(device))
            assert isinstance(result, Authenticated)
            assert result.principal.roles == {"manager"}
            assert result.principal.claims == {"branch": 7}
        assert await desk.update("alice", scope=["read"]) == len(ALL)
        for device in devices:
            result = await desk.authenticate(*presented(device))
            assert isinstance(result, Authenticated)
            assert result.principal.scope == {"read"}
            assert result.principal.roles == {"manager"}
        assert await desk.update("bob", roles=["teller"]) == 1
        untouched = await desk.authenticate(*presented(other))
        assert isinstance(untouched, Authenticated)
        assert untouched.principal.roles == {"teller"}

    run(desk, scenario)


def test_claims_that_do_not_fit_are_refused_by_name_and_nothing_is_created(desk: TestDesk) -> None:
    async def scenario(desk: TestDesk) -> None:
        large = {"small": 1, "portrait": "x" * 4000}
        for credential, transport in ALL[2:]:
            refused = await desk.sign_in(
                Grant(subject="alice", claims=large),
                options=SignInOptions(credential=credential, transport=transport),
            )
            assert isinstance(refused, Refusal)
            assert refused.code == "claims_too_large"
            assert refused.members["claim"] == "portrait"
        assert await desk.sessions("alice") == ()
        assert isinstance(await desk.sign_in(Grant(subject="alice", claims=large)), Signed)
        huge = await desk.sign_in(Grant(subject="alice", claims={"film": "x" * 70_000}))
        assert isinstance(huge, Refusal)
        assert huge.code == "claims_too_large"

    run(desk, scenario)


def test_an_update_that_would_not_fit_changes_nothing(desk: TestDesk) -> None:
    async def scenario(desk: TestDesk) -> None:
        signed = await signed_in(desk, "jwt", "cookie")
        refused = await desk.update("alice", claims={"portrait": "x" * 4000})
        assert isinstance(refused, Refusal)
        result = await desk.authenticate(*presented(signed))
        assert isinstance(result, Authenticated)
        assert result.principal.claims == {}

    run(desk, scenario)


@pytest.mark.parametrize(
    "grant",
    [
        {"subject": ""},
        {"subject": "x" * 256},
        {"subject": "a\nb"},
        {"subject": "alice", "roles": ["two words"]},
        {"subject": "alice", "roles": [""]},
        {"subject": "alice", "scope": ['quo"te']},
        {"subject": "alice", "claims": {"exp": 1}},
        {"subject": "alice", "claims": {"sub": "bob"}},
        {"subject": "alice", "claims": {"transport": "cookie"}},
    ],
)
def test_a_grant_that_could_never_be_issued_is_misuse(grant: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"subject|roles|scope|claims"):
        Grant(**grant)  # type: ignore[arg-type]


def test_one_string_is_no_collection_of_roles() -> None:
    with pytest.raises(TypeError):
        Grant(subject="alice", roles="teller")


def test_only_what_the_deployment_offers_can_be_asked_for(tmp_path: Path) -> None:
    async def scenario(desk: TestDesk) -> None:
        for options in (
            SignInOptions(credential="session"),
            SignInOptions(transport="bearer"),
            SignInOptions(refresh_in="body"),
        ):
            refused = await desk.sign_in(Grant(subject="alice"), options=options)
            assert isinstance(refused, Refusal)
            assert refused.code == "credential_not_allowed"
        signed = await desk.sign_in(Grant(subject="alice"))
        assert isinstance(signed, Signed)
        assert (signed.session.credential, signed.session.transport) == ("jwt", "cookie")

    settings = DeskSettings(credentials=("jwt",), transports=("cookie",))
    run(TestDesk(make_store("memory", tmp_path), settings), scenario)


def test_an_encrypted_access_token_shows_nothing_of_its_claims(desk: TestDesk) -> None:
    async def scenario(desk: TestDesk) -> None:
        signed = await desk.sign_in(
            Grant(subject="alice-in-the-open", claims={"secret": "in-the-open"}),
            options=SignInOptions(credential="jwe", transport="bearer"),
        )
        assert isinstance(signed, Signed)
        token, transport = presented(signed)
        parts = [base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4)) for part in token.split(b".")]
        assert len(parts) == 5
        assert not any(b"in-the-open" in part or signed.session.id.encode() in part for part in parts)
        result = await desk.authenticate(token, transport)
        assert isinstance(result, Authenticated)
        assert result.principal.claims == {"secret": "in-the-open"}
        again = await desk.authenticate(token, transport)
        assert again == result
        for place in range(0, len(token), 7):
            bent = token[:place] + (b"A" if token[place : place + 1] != b"A" else b"B") + token[place + 1 :]
            assert isinstance(await desk.authenticate(bent, transport), Refusal)

    run(desk, scenario)


def test_each_session_takes_the_kind_of_access_token_that_was_issued_for_it(desk: TestDesk) -> None:
    async def scenario(desk: TestDesk) -> None:
        for credential, other in (("jwt", "jwe"), ("jwe", "jwt")):
            signed = await signed_in(desk, credential, "bearer")  # type: ignore[arg-type]
            swapped = msgspec.structs.replace(signed.session, credential=other)
            token = desk._tokens.access_token(swapped, desk.time.now()).text.encode()
            assert await desk.authenticate(token, "bearer", strict=True) == Refusal("credential_invalid")

    run(desk, scenario)


@pytest.mark.parametrize("signing", ["ES256", "EdDSA", "RS256", "HS256"])
@pytest.mark.parametrize("credential", ["jwt", "jwe"])
def test_the_length_of_an_access_token_is_known_before_it_is_made(
    tmp_path: Path, signing: str, credential: CredentialKind
) -> None:
    async def scenario(desk: TestDesk) -> None:
        signed = await desk.sign_in(
            Grant(subject="ålice", roles=["a", "b"], scope=["x"], claims={"name": "Zoë", "n": [1, 2.5, None]}),
            options=SignInOptions(credential=credential, transport="bearer"),
        )
        assert isinstance(signed, Signed)
        assert signed.access_token is not None
        length = desk._tokens.access_token_length(signed.session, desk.time.now())
        assert length == len(signed.access_token.text)

    run(TestDesk(make_store("memory", tmp_path), msgspec.convert({"signing": signing}, DeskSettings)), scenario)


# --- refreshing -----------------------------------------------------------------------------------------------------


async def refreshed(desk: TestDesk, token: bytes) -> Refreshed:
    outcome = await desk.refresh(token, "body")
    assert isinstance(outcome, Refreshed)
    return outcome


def test_inside_grace_a_refresh_brings_an_access_token_and_after_it_a_new_refresh_token(desk: TestDesk) -> None:
    async def scenario(desk: TestDesk) -> None:
        signed = await signed_in(desk, "jwt", "bearer")
        early = await refreshed(desk, refresh_token(signed))
        assert early.refresh_token is None
        desk.time.advance(GRACE)
        late = await refreshed(desk, refresh_token(signed))
        assert late.refresh_token is not None
        assert late.refresh_token.encode() != refresh_token(signed)
        for outcome in (early, late):
            token = outcome.access_token.text.encode()
            assert isinstance(await desk.authenticate(token, "bearer"), Authenticated)

    run(desk, scenario)


def test_twenty_parallel_refreshes_are_one_rotation_and_twenty_access_tokens(desk: TestDesk) -> None:
    async def scenario(desk: TestDesk) -> None:
        signed = await signed_in(desk, "jwt", "bearer")
        desk.time.advance(GRACE)
        outcomes = await asyncio.gather(*(refreshed(desk, refresh_token(signed)) for _ in range(20)))
        assert Counter(outcome.outcome for outcome in outcomes) == {Outcome.ROTATED: 1, Outcome.RENEWED: 19}
        assert sum(outcome.refresh_token is not None for outcome in outcomes) == 1
        for outcome in outcomes:
            token = outcome.access_token.text.encode()
            assert isinstance(await desk.authenticate(token, "bearer"), Authenticated)

    run(desk, scenario)


def test_a_token_two_rotations_old_ends_the_session(desk: TestDesk) -> None:
    async def scenario(desk: TestDesk) -> None:
        signed = await signed_in(desk, "jwt", "bearer")
        token = refresh_token(signed)
        for _ in range(2):
            desk.time.advance(GRACE)
            token = ((await refreshed(desk, token)).refresh_token or "").encode()
        refused = await desk.refresh(refresh_token(signed), "body")
        assert isinstance(refused, Refusal)
        assert refused.code == "refresh_reused"
        assert isinstance(await desk.refresh(token, "body"), Refusal)
        assert desk.names()[-3:] == ["refreshed", "session_ended", "refreshed"]
        entries = (await desk.store.poll(0)).entries
        assert [entry.target for entry in entries] == [signed.session.id]

    run(desk, scenario)


def test_a_refresh_token_is_good_in_its_own_envelope_only(desk: TestDesk) -> None:
    async def scenario(desk: TestDesk) -> None:
        for transport, refresh_in, wrong in (("cookie", "cookie", "body"), ("bearer", "cookie", "body")):
            options = msgspec.convert(
                {"credential": "jwt", "transport": transport, "refresh_in": refresh_in}, SignInOptions
            )
            signed = await desk.sign_in(Grant(subject="alice"), options=options)
            assert isinstance(signed, Signed)
            refused = await desk.refresh(refresh_token(signed), "body")
            assert isinstance(refused, Refusal)
            assert refused.code == "transport_mismatch"
            assert wrong == "body"
            assert isinstance(await desk.refresh(refresh_token(signed), "cookie"), Refreshed)

    run(desk, scenario)


def test_garbage_ends_nobodys_session(desk: TestDesk) -> None:
    async def scenario(desk: TestDesk) -> None:
        signed = await signed_in(desk, "jwt", "bearer")
        good = refresh_token(signed)
        for place in range(len(good)):
            bent = good[:place] + (b"A" if good[place : place + 1] != b"A" else b"B") + good[place + 1 :]
            assert isinstance(await desk.refresh(bent, "body"), Refusal)
        assert await code_of(desk, signed) == "signed_in"
        assert isinstance(await desk.refresh(good, "body"), Refreshed)

    run(desk, scenario)


def test_after_sign_out_no_refresh_brings_the_session_back(desk: TestDesk) -> None:
    async def scenario(desk: TestDesk) -> None:
        signed = await signed_in(desk, "jwt", "bearer")
        desk.time.advance(GRACE)
        outcomes = await asyncio.gather(
            *(desk.refresh(refresh_token(signed), "body") for _ in range(5)),
            desk.end(signed.session.id, reason="signed_out"),
            *(desk.refresh(refresh_token(signed), "body") for _ in range(5)),
        )
        for outcome in outcomes:
            if isinstance(outcome, Refreshed):
                assert isinstance(await desk.authenticate(outcome.access_token.text.encode(), "bearer"), Refusal)
        assert await desk.refresh(refresh_token(signed), "body") == Refusal("session_ended")

    run(desk, scenario)


# --- ending many ----------------------------------------------------------------------------------------------------


def test_my_other_devices_can_be_ended_and_all_of_them(desk: TestDesk) -> None:
    async def scenario(desk: TestDesk) -> None:
        mine = [await signed_in(desk, credential, transport) for credential, transport in ALL]
        bob = await signed_in(desk, subject="bob")
        assert await desk.end_all("alice", keep=mine[0].session.id) == 5
        assert [await code_of(desk, device) for device in mine] == ["signed_in", *["session_ended"] * 5]
        assert await desk.end_all("alice") == 1
        assert await code_of(desk, mine[0]) == "session_ended"
        assert await code_of(desk, bob) == "signed_in"
        assert await code_of(desk, await signed_in(desk)) == "signed_in"

    run(desk, scenario)


def test_nobody_ends_a_session_of_somebody_else(desk: TestDesk) -> None:
    async def scenario(desk: TestDesk) -> None:
        alice = await signed_in(desk)
        assert not await desk.end(alice.session.id, reason="revoked", subject="bob")
        assert await code_of(desk, alice) == "signed_in"

    run(desk, scenario)


def test_realms_on_one_store_do_not_know_each_other(tmp_path: Path) -> None:
    store = make_store("memory", tmp_path)
    north, south = (TestDesk(store, DeskSettings(realm=realm)) for realm in ("north", "south"))

    async def scenario(desk: TestDesk) -> None:
        await south.open()
        for credential, transport in ALL:
            signed = await signed_in(north, credential, transport)
            assert isinstance(await south.authenticate(*presented(signed)), Refusal)
            assert not await south.end(signed.session.id, reason="revoked")
            assert await code_of(north, signed) == "signed_in"

    run(north, scenario)


def test_a_refresh_whose_token_would_not_fit_mints_nothing(tmp_path: Path) -> None:
    async def scenario(desk: TestDesk) -> None:
        signed = await signed_in(desk, "jwt", "cookie")
        # Two changes that meet may each fit and not both; the store takes what it is given.
        await desk.store.update_subject(
            "default", "alice", roles=None, scope=None, claims={"portrait": "x" * 4000}, now=desk.time.now()
        )
        desk.time.advance(GRACE)
        refused = await desk.refresh(refresh_token(signed), "cookie")
        assert isinstance(refused, Refusal)
        assert refused.code == "claims_too_large"
        row = await desk.store.read_session("default", signed.session.id)
        assert row is not None
        assert row.generation == 0
        assert await desk.update("alice", claims={}) == 1
        assert isinstance(await desk.refresh(refresh_token(signed), "cookie"), Refreshed)

    run(TestDesk(make_store("memory", tmp_path)), scenario)


@pytest.mark.parametrize(
    "claims",
    [{"a": float("nan")}, {"a": {1, 2}}, {"a": {1: 2}}, {"a": "\ud800"}, {"a": (1, 2)}, {"a": object()}, {"a": 10**30}],
)
def test_claims_that_are_no_plain_json_are_misuse_for_every_credential(tmp_path: Path, claims: dict[str, Any]) -> None:
    async def scenario(desk: TestDesk) -> None:
        await signed_in(desk)
        with pytest.raises(ValueError, match="plain JSON"):
            await desk.update("alice", claims=claims)

    with pytest.raises(ValueError, match="plain JSON"):
        Grant(subject="alice", claims=claims)
    run(TestDesk(make_store("memory", tmp_path)), scenario)


def test_amr_is_a_collection_of_words() -> None:
    with pytest.raises(TypeError):
        Grant(subject="alice", amr="pwd")


def test_a_credential_that_is_no_longer_offered_is_no_longer_accepted(tmp_path: Path) -> None:
    store, clock = make_store("memory", tmp_path), AdjustableClock()
    kept: list[Signed] = []

    async def before(desk: TestDesk) -> None:
        kept.extend([await signed_in(desk, credential, transport) for credential, transport in ALL])

    async def after(desk: TestDesk) -> None:
        codes = [await code_of(desk, signed) for signed in kept]
        assert codes == ["signed_in" if pair == ("jwt", "cookie") else "credential_invalid" for pair in ALL]
        assert isinstance(await desk.refresh(refresh_token(kept[3]), "body"), Refusal)
        assert isinstance(await desk.refresh(refresh_token(kept[2]), "cookie"), Refreshed)

    run(TestDesk(store, clock=clock), before)
    run(TestDesk(store, DeskSettings(credentials=("jwt",), transports=("cookie",)), clock=clock), after)


# --- keys -----------------------------------------------------------------------------------------------------------


def test_a_new_secret_in_front_keeps_everybody_signed_in(tmp_path: Path) -> None:
    store, clock = make_store("memory", tmp_path), AdjustableClock()
    kept: list[Signed] = []

    async def before(desk: TestDesk) -> None:
        kept.extend([await signed_in(desk, credential, transport) for credential, transport in ALL])

    async def after(desk: TestDesk) -> None:
        for signed in kept:
            assert await code_of(desk, signed) == "signed_in"

    run(TestDesk(store, clock=clock), before)
    run(TestDesk(store, clock=clock, secrets_=[OTHER_SECRET, SECRET]), after)


def test_a_lost_secret_stops_the_desk_with_a_sentence(tmp_path: Path) -> None:
    store = make_store("memory", tmp_path)

    async def nothing(desk: TestDesk) -> None:
        assert desk.keys.signing.alg == "ES256"

    run(TestDesk(store), nothing)
    with pytest.raises(ConfigurationError, match="made under another secret"):
        run(TestDesk(store, secrets_=[OTHER_SECRET]), nothing)


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "RS256", "PS256", "HS256"])
def test_access_tokens_can_be_signed_with_each_algorithm(tmp_path: Path, algorithm: str) -> None:
    async def scenario(desk: TestDesk) -> None:
        assert await code_of(desk, await signed_in(desk, "jwt", "bearer")) == "signed_in"
        assert len(desk.keys.public()) == (0 if algorithm == "HS256" else 1)
        assert not any('"d"' in key or '"k"' in key for key in desk.keys.public())

    settings = msgspec.convert({"signing": algorithm}, DeskSettings)
    run(TestDesk(make_store("memory", tmp_path), settings), scenario)


def test_changing_the_algorithm_leaves_tokens_of_the_old_one_good(tmp_path: Path) -> None:
    store, clock = make_store("memory", tmp_path), AdjustableClock()
    kept: list[Signed] = []

    async def before(desk: TestDesk) -> None:
        kept.append(await signed_in(desk, "jwt", "bearer"))

    async def after(desk: TestDesk) -> None:
        assert await code_of(desk, kept[0]) == "signed_in"
        assert await code_of(desk, await signed_in(desk, "jwt", "bearer")) == "signed_in"

    run(TestDesk(store, DeskSettings(signing="HS256"), clock=clock), before)
    run(TestDesk(store, DeskSettings(signing="ES256"), clock=clock), after)


def test_desks_that_start_together_sign_with_one_key(tmp_path: Path) -> None:
    stores = [make_store("sqlite", tmp_path) for _ in range(6)]
    desks = [TestDesk(store) for store in stores]

    async def play() -> None:
        await asyncio.gather(*(desk.open() for desk in desks))
        assert len({desk.keys.signing.kid for desk in desks}) == 1
        signed = await signed_in(desks[0], "jwt", "bearer")
        assert [await code_of(desk, signed) for desk in desks] == ["signed_in"] * len(desks)
        await asyncio.gather(*(desk.close() for desk in desks))

    asyncio.run(play())


def test_a_key_that_another_process_made_is_found_when_a_token_names_it(tmp_path: Path) -> None:
    async def play() -> None:
        old, new = (TestDesk(make_store("sqlite", tmp_path), DeskSettings(signing=a)) for a in ("ES256", "EdDSA"))
        await old.open()
        await new.open()
        signed = await signed_in(new, "jwt", "bearer")
        assert old.authenticate_now(*presented(signed)) is ASK
        assert await code_of(old, signed) == "signed_in"
        header, _, rest = presented(signed)[0].partition(b".")
        assert header
        unknown = b"eyJhbGciOiJFUzI1NiIsImtpZCI6Im5vYm9keSdzIn0." + rest
        reads = 0

        async def counted(realm: str) -> tuple[StoredKey, ...]:
            nonlocal reads
            reads += 1
            return ()

        old.store.list_keys = counted  # type: ignore[method-assign]
        for _ in range(20):
            assert isinstance(await old.authenticate(unknown, "bearer"), Refusal)
        assert reads == 0
        await old.close()
        await new.close()

    asyncio.run(play())
