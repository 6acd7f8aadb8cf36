"""What a service without a desk says to access tokens: of its desk, of a foreign issuer, fresh, stale and offline."""

from __future__ import annotations

import asyncio
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from frontdesk.clock import AdjustableClock
from frontdesk.core.sessions import Principal, Transport
from frontdesk.errors import ConfigurationError, OverloadedError, Refusal, StoreError
from frontdesk.jose import jwt
from frontdesk.jose.keys import EcKey, Key, OctKey
from frontdesk.service.settings import DeskSettings
from frontdesk.stores.memory import MemoryStore
from frontdesk.verifier import ASK, Verifier
from frontdesk.verifier.key_sources import GivenKeys
from tests.service.desks import SECRET, TestDesk
from tests.verifier.desk_log import ISSUER, DeskLog, Service, desk_and_service, run, sign_in

NOW = AdjustableClock().now()
CREDENTIAL = "fdk_" + "a" * 43


def who(outcome: object) -> Principal:
    assert isinstance(outcome, Principal), outcome
    return outcome


def code(outcome: object) -> str:
    assert isinstance(outcome, Refusal), outcome
    return outcome.code


# --- a desk's tokens, followed ----------------------------------------------------------------------------------------


def test_a_token_tells_who_signed_in_as_the_desk_would() -> None:
    async def scenario() -> None:
        async with desk_and_service() as service:
            grant: dict[str, Any] = {
                "roles": ("teller",),
                "scope": ("money", "mail"),
                "claims": {"team": "blue"},
                "amr": ("pwd",),
            }
            token, session_id = await sign_in(service.desk, **grant)
            await service.verifier.open()
            asked = service.log.polls
            principal = who(service.verifier.check_now(token))
            assert principal == Principal(
                subject="alice",
                session_id=session_id,
                auth_time=NOW,
                amr=("pwd",),
                scope=frozenset({"money", "mail"}),
                roles=frozenset({"teller"}),
                claims={"team": "blue"},
                credential="jwt",
                realm="default",
            )
            for _ in range(50):
                assert service.verifier.check_now(token.encode()) is principal
            assert service.log.polls <= asked + 1, "the one that waits in the background"
            assert service.verifier.counts.local == 51
            assert (service.verifier.is_ready, service.verifier.lag) == (True, 0.0)

    run(scenario)


def test_a_service_is_not_ready_before_its_first_complete_picture() -> None:
    async def scenario() -> None:
        async with desk_and_service() as service:
            token, _ = await sign_in(service.desk)
            service.log.away = True
            with pytest.raises(StoreError):
                await service.verifier.open()
            assert service.verifier.check_now(token) is ASK
            assert (service.verifier.is_ready, service.verifier.lag) == (False, None)
            with pytest.raises(StoreError):
                await service.verifier.check(token)
            service.log.away = False
            assert who(await service.verifier.check(token)).subject == "alice"
            assert service.verifier.is_ready

    run(scenario)


@pytest.mark.parametrize("how", ["session", "subject", "all"])
def test_what_ended_on_the_desk_is_refused_once_it_was_heard_and_others_are_not(how: str) -> None:
    async def scenario() -> None:
        async with desk_and_service() as service:
            desk, verifier = service.desk, service.verifier
            token, session_id = await sign_in(desk)
            other, _ = await sign_in(desk, "bob")
            await verifier.open()
            who(verifier.check_now(token))
            if how == "session":
                await desk.end(session_id, reason="signed_out")
            elif how == "subject":
                await desk.end_all("alice")
            else:
                await desk.end_everyone()
            await until(lambda: verifier.check_now(token) is not ASK and isinstance(verifier.check_now(token), Refusal))
            assert code(verifier.check_now(token)) == "session_ended"
            assert isinstance(verifier.check_now(other), Refusal) == (how == "all")
            again, _ = await sign_in(desk)
            assert who(verifier.check_now(again)).subject == "alice"

    run(scenario)


async def until(condition: Any) -> None:
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to that")


def test_a_key_that_was_given_up_ends_its_tokens_although_it_is_still_held_here() -> None:
    async def scenario() -> None:
        async with desk_and_service() as service:
            token, _ = await sign_in(service.desk)
            await service.verifier.open()
            who(service.verifier.check_now(token))
            await service.desk.give_up_key(service.desk.keys.signing.kid)
            await until(lambda: isinstance(service.verifier.check_now(token), Refusal))
            refusal = service.verifier.check_now(token)
            assert code(refusal) == "credential_invalid"
            assert isinstance(refusal, Refusal)
            assert "given up" in refusal.detail

    run(scenario)


def test_beyond_the_bound_the_desk_is_asked_and_nothing_is_granted_when_it_cannot_be() -> None:
    async def scenario() -> None:
        async with desk_and_service() as service:
            verifier = service.verifier
            token, session_id = await sign_in(service.desk)
            await verifier.open()
            service.boot += 5.0
            who(verifier.check_now(token))
            service.pass_the_bound()
            assert verifier.check_now(token) is ASK
            with pytest.raises(StoreError):
                await verifier.check(token)
            await service.desk.end(session_id, reason="revoked")
            service.log.away = False
            assert code(await verifier.check(token)) == "session_ended"
            service.pass_the_bound()
            # A no needs nobody: what ended never stands again.
            assert code(verifier.check_now(token)) == "session_ended"

    run(scenario)


def test_a_crowd_beyond_the_bound_shares_its_question() -> None:
    async def scenario() -> None:
        async with desk_and_service() as service:
            tokens = [(await sign_in(service.desk, f"s{number}"))[0] for number in range(20)]
            await service.verifier.open()
            service.pass_the_bound()
            service.log.away = False
            service.log.gate = asyncio.Event()
            await asyncio.sleep(0)
            before = service.log.polls
            crowd = [asyncio.create_task(service.verifier.check(token)) for token in tokens]
            for _ in range(10):
                await asyncio.sleep(0)
            service.log.gate.set()
            service.log.gate = None
            assert [who(each).subject for each in await asyncio.gather(*crowd)] == [f"s{n}" for n in range(20)]
            assert service.log.polls <= before + 3
            assert service.verifier.counts.asked == 20

    run(scenario)


def test_trusting_stale_state_is_asked_for_by_name() -> None:
    async def scenario() -> None:
        async with desk_and_service(insecure_trust_stale=True) as service:
            token, _ = await sign_in(service.desk)
            assert service.verifier.check_now(token) is ASK, "not before the first picture"
            await service.verifier.open()
            service.pass_the_bound()
            service.boot += 3600
            who(service.verifier.check_now(token))

    run(scenario)


def test_what_a_log_that_was_put_back_has_forgotten_stays_refused() -> None:
    async def scenario() -> None:
        async with desk_and_service() as service:
            token, session_id = await sign_in(service.desk)
            kept, _ = await sign_in(service.desk, "bob")
            await service.verifier.open()
            await service.desk.end(session_id, reason="signed_out")
            await service.verifier.check(token)
            await until(lambda: isinstance(service.verifier.check_now(token), Refusal))
            service.log.store = MemoryStore()  # an older copy: without the entry, of another history
            await service.log.store.open()
            service.pass_the_bound()
            service.log.away = False
            assert code(await service.verifier.check(token)) == "session_ended"
            assert who(await service.verifier.check(kept)).subject == "bob"
            assert code(service.verifier.check_now(token)) == "session_ended"
            await service.log.store.close()

    run(scenario)


@pytest.mark.parametrize(("made_for", "came_in"), [("bearer", "cookie"), ("cookie", "bearer")])
def test_a_token_is_taken_in_the_envelope_that_it_was_made_for(made_for: Transport, came_in: Transport) -> None:
    async def scenario() -> None:
        async with desk_and_service() as service:
            token, _ = await sign_in(service.desk, transport=made_for)
            await service.verifier.open()
            assert code(service.verifier.check_now(token, came_in)) == "transport_mismatch"
            who(service.verifier.check_now(token, made_for))

    run(scenario)


def test_what_the_desk_alone_can_check_is_refused_in_words() -> None:
    async def scenario() -> None:
        async with desk_and_service() as service:
            await service.verifier.open()
            encrypted, _ = await sign_in(service.desk, credential="jwe")
            session, _ = await sign_in(service.desk, credential="session")
            for token, expected in (
                (encrypted, "credential_invalid"),
                (session, "credential_malformed"),
                (CREDENTIAL, "credential_malformed"),
            ):
                refusal = service.verifier.check_now(token)
                assert code(refusal) == expected
                assert isinstance(refusal, Refusal)
                assert "desk alone" in refusal.detail

    run(scenario)


def test_a_token_that_is_over_or_of_somebody_else_is_refused_without_asking() -> None:
    async def scenario() -> None:
        async with desk_and_service() as service:
            verifier = service.verifier
            token, _ = await sign_in(service.desk)
            await verifier.open()
            who(verifier.check_now(token))
            service.pass_the_bound()
            for bad in ("", "a.b.c", "x" * 20_000, "ä.ö.ü", "\ud800", token[:-4] + "AAAA"):
                assert code(verifier.check_now(bad)).startswith("credential_")
            service.desk.time.advance(timedelta(minutes=15))
            assert code(verifier.check_now(token)) == "token_expired"
            for issuer, audience in ((ISSUER + "/", ISSUER), (ISSUER, "orders")):
                other = Service(service.desk, issuer=issuer, audience=audience)
                assert code(other.verifier.check_now(token)) == "credential_invalid"

    run(scenario)


def test_an_audience_of_several_is_met_by_one() -> None:
    async def scenario() -> None:
        settings = DeskSettings(issuer=ISSUER, audience="shop")
        async with desk_and_service(settings, audience=("orders", "shop")) as service:
            token, _ = await sign_in(service.desk)
            await service.verifier.open()
            who(service.verifier.check_now(token))

    run(scenario)


def test_nobody_can_change_the_claims_that_the_next_request_sees() -> None:
    async def scenario() -> None:
        async with desk_and_service() as service:
            token, _ = await sign_in(service.desk, claims={"teams": ["blue"], "limits": {"day": 1}})
            await service.verifier.open()
            first = who(service.verifier.check_now(token))
            cast("list[str]", first.claims["teams"]).append("red")
            assert who(service.verifier.check_now(token)).claims["teams"] == ["blue"]

    run(scenario)


def test_a_token_that_no_revocation_could_reach_is_refused_where_the_log_is_followed() -> None:
    async def scenario() -> None:
        key = EcKey.generate(kid="one")
        async with desk_and_service(keys=[key], audience="orders") as service:
            await service.verifier.open()
            whole: dict[str, Any] = {"sid": "s", "epochs": [0, 0], "transport": "bearer"}
            who(service.verifier.check_now(token_of(key, **whole)))
            for missing in whole:
                token = token_of(key, **{name: value for name, value in whole.items() if name != missing})
                assert code(service.verifier.check_now(token)) == "credential_invalid"

    run(scenario)


def test_when_too_many_wait_for_the_desk_the_next_is_told_so() -> None:
    async def scenario() -> None:
        async with desk_and_service() as service:
            token, _ = await sign_in(service.desk)
            assert service.verifier._follower is not None
            service.verifier._follower._flights._most_waiting = 0
            with pytest.raises(OverloadedError):
                await service.verifier.check(token)

    run(scenario)


def test_a_desk_that_answers_too_late_is_one_that_cannot_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frontdesk.verifier.verifier.PATIENCE", 0.05)

    async def scenario() -> None:
        async with desk_and_service() as service:
            token, _ = await sign_in(service.desk)
            service.log.gate = asyncio.Event()
            with pytest.raises(StoreError, match="in time"):
                await service.verifier.check(token)
            service.log.gate.set()
            assert who(await service.verifier.check(token)).subject == "alice"

    run(scenario)


# --- stateless --------------------------------------------------------------------------------------------------------


def token_of(key: Key, typ: str = "at+jwt", **claims: Any) -> str:
    members = {"iss": ISSUER, "aud": "orders", "sub": "alice", "exp": NOW + timedelta(minutes=5), "iat": NOW}
    return jwt.sign({name: value for name, value in (members | claims).items() if value is not None}, key, typ=typ)


def offline(*keys: str | bytes | Key, **options: Any) -> Verifier:
    settings: dict[str, Any] = {"issuer": ISSUER, "audience": "orders", "freshness": "stateless"}
    return Verifier(keys=list(keys), clock=AdjustableClock(), **(settings | options))


def test_offline_a_secret_is_all_that_is_needed_and_nothing_is_said_of_revocations() -> None:
    verifier = offline(SECRET)
    principal = who(verifier.check_now(token_of(OctKey(SECRET.encode(), alg="HS256"), roles=["teller"])))
    assert (principal.subject, principal.roles, principal.session_id) == ("alice", frozenset({"teller"}), "")
    assert (verifier.freshness, verifier.lag, verifier.is_ready) == ("stateless", None, True)
    asyncio.run(verifier.open())
    asyncio.run(verifier.close())


def test_a_secret_takes_tokens_whatever_key_id_they_name_and_several_are_tried() -> None:
    old, new = SECRET, secrets.token_urlsafe(32)
    verifier = offline(new, old)
    for secret in (old, new):
        token = token_of(OctKey(secret.encode(), alg="HS256", kid="of its maker"))
        assert who(verifier.check_now(token)) is verifier.check_now(token)
    other = token_of(OctKey(secrets.token_bytes(32), alg="HS256"))
    assert code(verifier.check_now(other)) == "credential_invalid"


def test_a_token_of_another_algorithm_than_the_key_is_refused() -> None:
    key = EcKey.generate(kid="one")
    assert code(offline(SECRET).check_now(token_of(key))) == "credential_invalid"
    assert (
        code(offline(key).check_now(token_of(OctKey(SECRET.encode(), alg="HS256", kid="one")))) == "credential_invalid"
    )


def test_a_private_key_is_kept_without_its_private_part() -> None:
    key = EcKey.generate(kid="one")
    (held,) = GivenKeys([key]).current()
    assert [each.is_private for each in cast("list[Key]", held)] == [False]
    assert who(offline(key).check_now(token_of(key))).subject == "alice"


def test_an_unknown_key_is_final_where_keys_were_given() -> None:
    verifier = offline(EcKey.generate(kid="one"))
    assert code(verifier.check_now(token_of(EcKey.generate(kid="two")))) == "credential_invalid"


def test_the_types_of_tokens_are_those_that_were_named() -> None:
    key = EcKey.generate(kid="one")
    plain, typed, identity = token_of(key, "JWT"), token_of(key), token_of(key, "id+jwt")
    for types, good in (((), (typed,)), (("JWT",), (plain,)), (("at+jwt", "JWT"), (plain, typed))):
        verifier = offline(key, **({"token_types": types} if types else {}))
        for token in (plain, typed, identity):
            for _ in range(2):
                assert isinstance(verifier.check_now(token), Principal) == (token in good)


def test_a_token_without_a_subject_names_nobody() -> None:
    key = EcKey.generate(kid="one")
    assert code(offline(key).check_now(token_of(key, sub=None))) == "credential_invalid"


def test_a_token_that_names_no_envelope_is_taken_as_bearer_alone() -> None:
    key = EcKey.generate(kid="one")
    assert code(offline(key).check_now(token_of(key), "cookie")) == "transport_mismatch"


def test_the_clock_of_a_foreign_issuer_may_be_allowed_for() -> None:
    key = EcKey.generate(kid="one")
    token = token_of(key, exp=NOW - timedelta(seconds=5))
    assert code(offline(key).check_now(token)) == "token_expired"
    who(offline(key, leeway=timedelta(seconds=30)).check_now(token))


def test_stateless_a_signed_out_token_is_good_until_it_expires() -> None:
    async def scenario() -> None:
        async with desk_and_service(source=None, freshness="stateless") as service:
            token, session_id = await sign_in(service.desk)
            await service.desk.end(session_id, reason="signed_out")
            assert who(await service.verifier.check(token)).subject == "alice"
            service.desk.time.advance(timedelta(minutes=15))
            assert code(await service.verifier.check(token)) == "token_expired"

    run(scenario)


# --- configuration ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "frontdesk services add"),
        ({"credential": ""}, "frontdesk services add"),
        ({"jwks_url": "https://idp.example/keys", "credential": ""}, "frontdesk services add"),
        ({"keys": [SECRET]}, "stateless"),
        ({"credential": "fdk_short"}, "copied whole"),
        ({"credential": CREDENTIAL, "freshness": "stateless"}, "leave credential"),
        ({"credential": CREDENTIAL, "freshness": "strict"}, "has none"),
        ({"credential": CREDENTIAL, "keys": [SECRET], "jwks_url": "https://a.example/k"}, "take one"),
        ({"jwks_url": "https://idp.example/keys"}, "audience= is missing"),
        ({"jwks_url": "http://idp.example/keys", "audience": "orders"}, "https"),
        ({"credential": CREDENTIAL, "issuer": "http://desk.example"}, "https"),
        ({"credential": CREDENTIAL, "desk_url": "http://desk.internal/auth"}, "https"),
        ({"credential": CREDENTIAL, "issuer": ""}, "whose tokens"),
        ({"credential": CREDENTIAL, "realm": ""}, "realm"),
        ({"credential": CREDENTIAL, "max_staleness": timedelta(0)}, "max_staleness"),
        ({"credential": CREDENTIAL, "leeway": timedelta(minutes=2)}, "leeway"),
        ({"freshness": "stateless", "keys": []}, "empty"),
        ({"freshness": "stateless", "keys": ["short"]}, "needs at least 32"),
        ({"freshness": "stateless", "keys": ["-----BEGIN PUBLIC KEY-----" + SECRET]}, "is none"),
        ({"freshness": "stateless", "keys": [SECRET, EcKey.generate(kid="one")]}, "mixes"),
        ({"freshness": "stateless", "keys": [EcKey.generate(kid="one"), EcKey.generate(kid="one")]}, "twice"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_do(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence) as caught:
        Verifier(**({"issuer": ISSUER} | options))
    assert SECRET not in caught.value.message
    assert "fdk_" + "a" not in caught.value.message


@pytest.mark.parametrize(
    "options",
    [
        {"keys": SECRET},
        {"keys": [1]},
        {"issuer": 1},
        {"token_types": "JWT"},
        {"token_types": ()},
        {"audience": [""]},
    ],
)
def test_misuse_is_a_type_error(options: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        Verifier(**({"issuer": ISSUER, "keys": [SECRET], "freshness": "stateless"} | options))


def test_the_credential_may_stand_in_the_environment_and_no_foreign_issuer_gets_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FRONTDESK_SERVICE_CREDENTIAL", CREDENTIAL + "\n")
    desk = Verifier(issuer=ISSUER)
    assert desk.freshness == "bounded"
    assert CREDENTIAL in str(vars(cast("Any", desk._source)))
    foreign = Verifier(issuer="https://idp.example", jwks_url="https://idp.example/keys", audience="orders")
    assert foreign.freshness == "stateless"
    assert foreign._source is None
    assert Verifier(issuer=ISSUER, freshness="stateless")._source is None


def test_the_time_is_that_of_the_log_unless_a_clock_is_given() -> None:
    async def scenario() -> None:
        desk = TestDesk(MemoryStore(), DeskSettings(issuer=ISSUER))
        await desk.open()
        ahead = datetime.now(UTC) + timedelta(days=3)

        class Told(DeskLog):
            async def poll(self, *args: Any, **options: Any) -> Any:
                page = await super().poll(*args, **options)
                page = type(page)(page.entries, page.cursor, page.history, page.head, ahead)
                await asyncio.sleep(0)
                return page

        verifier = Verifier(issuer=ISSUER, keys=[SECRET], source=Told(desk.store))
        await verifier._catch_up(verifier._follower)  # type: ignore[arg-type]
        assert abs(verifier.clock.now() - ahead) < timedelta(seconds=10)
        await verifier.close()
        await desk.close()

    run(scenario)
