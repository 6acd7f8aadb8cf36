"""Access tokens of an identity provider that is no desk, with its key set on loopback."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from frontdesk.core.sessions import Principal
from frontdesk.errors import ConfigurationError, Refusal, StoreError
from frontdesk.jose import jwt
from frontdesk.jose.keys import EcKey
from frontdesk.verifier import ASK, Verifier
from tests.verifier.test_remote_keys import ONE, TWO, Issuer, answer, jwks, play

IDP = "https://idp.example/realms/shop"


def token_of(key: EcKey, typ: str = "at+jwt", **claims: Any) -> str:
    now = datetime.now(UTC)
    members = {"iss": IDP, "aud": ["account", "orders"], "sub": "alice", "exp": now + timedelta(minutes=5), "iat": now}
    return jwt.sign(members | claims, key, typ=typ)


def verifier_of(issuer: Issuer, **options: Any) -> Verifier:
    url = f"http://127.0.0.1:{issuer.port}/keys"
    return Verifier(**({"issuer": IDP, "audience": "orders", "jwks_url": url} | options))


def test_a_foreign_issuers_access_token_is_taken_statelessly() -> None:
    async def scenario(issuer: Issuer) -> None:
        verifier = verifier_of(issuer)
        assert verifier.freshness == "stateless"
        token = token_of(ONE, scope="mail money", email="a@idp.example", sid="theirs")
        assert verifier.check_now(token) is ASK
        principal = await verifier.check(token)
        assert isinstance(principal, Principal)
        assert (principal.subject, principal.scope) == ("alice", frozenset({"mail", "money"}))
        assert principal.claims == {"email": "a@idp.example"}
        assert verifier.check_now(token) is principal
        assert len(issuer.heads) == 1
        assert "authorization" not in issuer.heads[0].lower()
        await verifier.close()

    play(scenario)


def test_a_key_that_is_new_there_is_looked_for_and_one_that_is_nobodys_refused() -> None:
    async def scenario(issuer: Issuer) -> None:
        verifier = verifier_of(issuer)
        remote: Any = verifier._keys
        remote._remote._timer = lambda: issuer.now  # from the beginning: the machine's own shows how long it is up
        await verifier.open()
        issuer.reply = answer(jwks(ONE, TWO))
        issuer.now += 10_000
        assert isinstance(await verifier.check(token_of(TWO)), Principal)
        for _ in range(3):
            nobodys = await verifier.check(token_of(EcKey.generate(kid="three")))
            assert isinstance(nobodys, Refusal)
            assert nobodys.code == "credential_invalid"
        assert len(issuer.heads) == 2

    play(scenario)


def test_an_issuer_whose_keys_cannot_be_had_is_503_and_never_yes() -> None:
    async def scenario(issuer: Issuer) -> None:
        issuer.reply = answer(b"", "500 Internal Server Error")
        verifier = verifier_of(issuer)
        with pytest.raises(StoreError):
            await verifier.open()
        with pytest.raises(StoreError, match="keys of the issuer"):
            await verifier.check(token_of(ONE))

    play(scenario)


def test_a_plain_jwt_is_taken_only_where_that_is_said() -> None:
    async def scenario(issuer: Issuer) -> None:
        plain = token_of(ONE, "JWT")
        strict, lenient = verifier_of(issuer), verifier_of(issuer, token_types=["JWT"])
        refused = await strict.check(plain)
        assert isinstance(refused, Refusal)
        assert refused.detail == "The token is of another type."
        assert isinstance(await lenient.check(plain), Principal)

    play(scenario)


def test_a_foreign_issuer_in_a_private_network_is_asked_only_where_that_is_said() -> None:
    for said in (False, True):
        remote: Any = Verifier(
            issuer=IDP, audience="orders", jwks_url="https://idp.internal/keys", private_network=said or None
        )._keys
        assert remote._remote._private_network is said
    with pytest.raises(ConfigurationError, match="audience"):
        Verifier(issuer=IDP, jwks_url="https://idp.internal/keys")
