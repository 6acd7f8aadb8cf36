"""What is said of a token that is held against keys or a desk: which verdicts, and never a secret."""

from __future__ import annotations

import json
from datetime import timedelta

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import x25519

from frontdesk.core.sessions import CredentialKind, Transport
from frontdesk.errors import TokenError
from frontdesk.jose import jwe, jwt
from frontdesk.jose.encryption_keys import DirectKey, X25519Key
from frontdesk.jose.jwk import EcKey
from frontdesk.service.inspection import Inspection, KeyFile, inspect_at_desk, inspect_token
from frontdesk.service.settings import DeskSettings
from frontdesk.service.sign_in import Grant, Signed, SignInOptions
from frontdesk.stores.memory import MemoryStore
from tests.jose import minting
from tests.jose.minting import NOW
from tests.service.desks import OTHER_SECRET, TestDesk, run

LATER = NOW + timedelta(days=3)


def codes(seen: Inspection, verdict: str = "wrong") -> list[str]:
    return [each.code for each in seen.findings if each.verdict == verdict]


def key_file(alg: str) -> KeyFile:
    return KeyFile("key.jwk", json.dumps(minting.key(alg).to_jwk(private=True)).encode())


@pytest.mark.parametrize("alg", minting.ALGORITHMS)
def test_a_good_token_is_verified_with_the_key_that_was_named(alg: str) -> None:
    seen = inspect_token(minting.token(alg).encode(), NOW, source=key_file(alg))
    assert (seen.verified, seen.is_wrong) == (True, False)
    assert seen.claims == minting.CLAIMS


def test_an_expired_token_is_wrong_and_its_signature_still_told() -> None:
    seen = inspect_token(minting.token().encode(), LATER, source=key_file("HS256"))
    assert (seen.verified, codes(seen), codes(seen, "good")) == (True, ["token_expired"], [""])


def test_without_keys_nothing_is_verified_and_the_reason_is_told() -> None:
    seen = inspect_token(minting.token().encode(), NOW, unchecked="because.")
    assert (seen.verified, seen.is_wrong) == (None, False)
    assert [each.message for each in seen.findings] == ["The signature was not checked: because."]


@pytest.mark.parametrize("time", ["nbf", "iat"])
def test_a_time_in_the_future_is_wrong_beyond_what_clocks_may_differ_by(time: str) -> None:
    near, far = int(NOW.timestamp()) + 30, int(NOW.timestamp()) + 31
    assert codes(inspect_token(minting.token(**{time: near}).encode(), NOW)) == []
    assert codes(inspect_token(minting.token(**{time: far}).encode(), NOW)) == ["token_not_yet_valid"]


def test_a_token_that_was_changed_is_not_verified() -> None:
    head, payload, signature = minting.token("ES256").split(".")
    token = f"{head}.{payload}.{signature[:-8]}AAAAAAAA".encode()
    seen = inspect_token(token, NOW, source=key_file("ES256"))
    assert (seen.verified, codes(seen)) == (False, ["signature_invalid"])


def test_the_key_of_another_is_not_called_a_bad_signature() -> None:
    seen = inspect_token(minting.token("ES256").encode(), NOW, source=key_file("EdDSA"))
    assert (seen.verified, codes(seen)) == (None, ["key_unknown"])


def test_a_token_that_nobody_signed_is_never_verified() -> None:
    token = minting.craft({"alg": "none"}, {"sub": "a"}, minting.key("HS256")).rpartition(b".")[0] + b"."
    seen = inspect_token(token, NOW, source=key_file("HS256"))
    assert (seen.verified, codes(seen)) == (False, ["algorithm_not_allowed"])


def test_one_fault_that_is_met_twice_is_told_once() -> None:
    signer = minting.key("HS256")
    token = minting.craft(minting.header_of(signer, crit=["x"]), dict(minting.CLAIMS), signer)
    assert codes(inspect_token(token, NOW, source=key_file("HS256"))) == ["header_invalid"]


def test_neither_signature_nor_key_material_is_told() -> None:
    signer = minting.key("ES256")
    private = signer.to_jwk(private=True)
    header = minting.header_of(signer, jwk=private, x5c=["MIIsecret"])
    token = minting.craft(header, {**minting.CLAIMS, "cnf": {"jwk": private}, "list": [private]}, signer)
    told = msgspec.json.encode(inspect_token(token, NOW, source=key_file("ES256"))).decode()
    assert private["kid"] in told
    for secret in (private["d"], private["x"], "MIIsecret", token.rpartition(b".")[2].decode(), token.decode()):
        assert secret not in told


def sealed(key: DirectKey | X25519Key, plaintext: bytes, cty: str | None = None) -> bytes:
    return jwe.encrypt(plaintext, key, random=bytes(range(jwe.random_size(key))), cty=cty).encode()


SHARED = DirectKey(bytes(range(32)), kid="shared")
PAIR = X25519Key(x25519.X25519PrivateKey.generate(), alg="ECDH-ES", kid="pair")


def file_of(*keys: DirectKey | X25519Key | EcKey) -> KeyFile:
    return KeyFile("keys.jwks", json.dumps({"keys": [key.to_jwk(private=True) for key in keys]}).encode())


def test_an_encrypted_token_is_decrypted_and_believed_under_a_shared_key() -> None:
    seen = inspect_token(sealed(SHARED, json.dumps(dict(minting.CLAIMS)).encode()), NOW, source=file_of(SHARED))
    assert (seen.verified, seen.is_wrong, seen.claims) == (True, False, minting.CLAIMS)


def test_what_anybody_could_have_encrypted_is_read_and_not_believed() -> None:
    seen = inspect_token(sealed(PAIR, b'{"sub":"a"}'), NOW, source=file_of(PAIR))
    assert (seen.verified, codes(seen), seen.claims) == (None, ["algorithm_not_allowed"], {"sub": "a"})


def test_the_signed_token_inside_an_encrypted_one_is_looked_at_with_the_same_file() -> None:
    signer = minting.key("ES256")
    assert isinstance(signer, EcKey)
    token = sealed(PAIR, minting.token("ES256").encode(), cty="JWT")
    seen = inspect_token(token, NOW, source=file_of(PAIR, signer))
    assert seen.inner is not None
    assert (seen.verified, seen.is_wrong, seen.inner.claims) == (True, False, minting.CLAIMS)
    assert inspect_token(token, LATER, source=file_of(PAIR, signer)).is_wrong


@pytest.mark.parametrize(("plaintext", "code"), [(b"garbage", "token_malformed"), (b"e30.a.b.c.d", "header_invalid")])
def test_what_is_inside_may_be_no_token_either(plaintext: bytes, code: str) -> None:
    assert codes(inspect_token(sealed(SHARED, plaintext, cty="JWT"), NOW, source=file_of(SHARED))) == [code]


def test_a_token_that_another_key_encrypted_tells_nothing() -> None:
    other = DirectKey(bytes(range(1, 33)), kid="shared")
    seen = inspect_token(sealed(SHARED, b'{"sub":"a"}'), NOW, source=file_of(other))
    assert (seen.verified, seen.claims, codes(seen)) == (False, None, ["decryption_failed"])


@pytest.mark.parametrize("token", [b"fds_x", b"fdr_x", b"fds_" + b"!" * 88, b"fds_" + b"_" * 88, b"garbage"])
def test_what_is_no_token_is_no_token(token: bytes) -> None:
    with pytest.raises(TokenError) as caught:
        inspect_token(token, NOW)
    assert caught.value.code == "token_malformed"


# --- at a desk ----------------------------------------------------------------------------------------------------


async def signed_in(desk: TestDesk, credential: CredentialKind, transport: Transport = "bearer") -> Signed:
    options = SignInOptions(credential=credential, transport=transport)
    signed = await desk.sign_in(Grant(subject="alice"), options=options)
    assert isinstance(signed, Signed)
    return signed


def token_of(signed: Signed) -> bytes:
    return (signed.session_token or (signed.access_token.text if signed.access_token else "")).encode()


async def looked_at(desk: TestDesk, token: bytes, *, asked_for: bool = True) -> Inspection:
    before = [*desk.events]
    seen = await inspect_at_desk(token, desk, name="the store", asked_for=asked_for)
    assert desk.events == before
    return seen


@pytest.mark.parametrize("credential", ["session", "jwt", "jwe"])
@pytest.mark.parametrize("transport", ["cookie", "bearer"])
def test_at_its_desk_every_credential_is_verified_until_its_session_ends(
    credential: CredentialKind, transport: Transport
) -> None:
    async def scenario(desk: TestDesk) -> None:
        signed = await signed_in(desk, credential, transport)
        seen = await looked_at(desk, token_of(signed))
        assert (seen.verified, seen.is_wrong) == (True, False)
        await desk.end(signed.session.id, reason="signed_out")
        seen = await looked_at(desk, token_of(signed))
        assert (seen.verified, codes(seen)) == (True, ["session_ended"])

    run(TestDesk(MemoryStore()), scenario)


def test_a_look_does_not_count_as_a_use() -> None:
    async def scenario(desk: TestDesk) -> None:
        signed = await signed_in(desk, "session")
        desk.time.advance(timedelta(hours=1))
        await looked_at(desk, token_of(signed))
        session = await desk.store.read_session("default", signed.session.id)
        assert session is not None
        assert session.last_seen_at == signed.session.last_seen_at

    run(TestDesk(MemoryStore()), scenario)


def test_an_old_access_token_is_expired_while_its_session_stands() -> None:
    async def scenario(desk: TestDesk) -> None:
        signed = await signed_in(desk, "jwt")
        desk.time.advance(timedelta(minutes=15))
        seen = await looked_at(desk, token_of(signed))
        assert (seen.verified, codes(seen)) == (True, ["token_expired"])
        assert "Its session stands." in [each.message for each in seen.findings]

    run(TestDesk(MemoryStore()), scenario)


def test_what_a_refresh_token_would_do_is_told_and_not_done() -> None:
    async def scenario(desk: TestDesk) -> None:
        signed = await signed_in(desk, "jwt")
        assert signed.refresh_token is not None
        token = signed.refresh_token.encode()
        told = []
        for _ in range(2):
            desk.time.advance(timedelta(seconds=31))
            seen = await looked_at(desk, token)
            told.append([each.message for each in seen.findings if each.verdict == "note"])
        assert told[0] == told[1]
        assert "the next refresh token" in told[0][0]
        newest = token
        for _ in range(2):
            desk.time.advance(timedelta(seconds=31))
            refreshed = await desk.refresh(newest, "body")
            newest = refreshed.refresh_token.encode()  # type: ignore[union-attr]
        desk.time.advance(timedelta(seconds=31))
        seen = await looked_at(desk, token)
        assert (seen.verified, codes(seen)) == (True, ["refresh_reused"])
        assert not (await looked_at(desk, newest)).is_wrong

    run(TestDesk(MemoryStore()), scenario)


def test_a_session_token_that_was_changed_or_made_elsewhere_is_not_authentic() -> None:
    async def scenario(desk: TestDesk) -> None:
        signed = await signed_in(desk, "session")
        good = token_of(signed)
        changed = good[:-4] + (b"AAAA" if good[-4:] != b"AAAA" else b"BBBB")
        seen = await looked_at(desk, changed)
        assert (seen.verified, codes(seen)) == (False, ["credential_invalid"])
        other = TestDesk(desk.store, secrets_=[OTHER_SECRET], clock=desk.time)
        seen = await inspect_at_desk(good, other, name="the store", asked_for=True)
        assert (seen.verified, codes(seen)) == (False, ["credential_invalid"])

    run(TestDesk(MemoryStore()), scenario)


def test_a_session_of_another_realm_or_of_no_store_is_told_apart() -> None:
    async def scenario(desk: TestDesk) -> None:
        token = token_of(await signed_in(desk, "session"))
        elsewhere = TestDesk(desk.store, DeskSettings(realm="elsewhere"))
        seen = await inspect_at_desk(token, elsewhere, name="the store", asked_for=True)
        assert (seen.facts["realm"], codes(seen)) == ("another than elsewhere", ["credential_invalid"])
        empty = TestDesk(MemoryStore())
        await empty.open()
        seen = await inspect_at_desk(token, empty, name="the store", asked_for=True)
        assert (seen.verified, codes(seen)) == (None, ["credential_invalid"])
        await empty.close()

    run(TestDesk(MemoryStore()), scenario)


def test_a_token_of_a_desk_with_another_name_is_verified_and_refused() -> None:
    async def scenario(desk: TestDesk) -> None:
        token = token_of(await signed_in(desk, "jwt"))
        renamed = TestDesk(desk.store, DeskSettings(issuer="https://desk.example"), clock=desk.time)
        await renamed.open()
        seen = await inspect_at_desk(token, renamed, name="the store", asked_for=True)
        assert (seen.verified, codes(seen)) == (True, ["issuer_mismatch"])

    run(TestDesk(MemoryStore()), scenario)


@pytest.mark.parametrize(("asked_for", "verdict"), [(True, "wrong"), (False, "unknown")])
def test_a_foreign_token_is_wrong_only_for_a_store_that_was_named(asked_for: bool, verdict: str) -> None:
    async def scenario(desk: TestDesk) -> None:
        seen = await looked_at(desk, minting.token(exp=2**33).encode(), asked_for=asked_for)
        assert seen.verified is None
        assert "key_unknown" in codes(seen, verdict)

    run(TestDesk(MemoryStore()), scenario)


def test_a_signed_token_of_ours_without_our_claims_is_refused() -> None:
    async def scenario(desk: TestDesk) -> None:
        token = jwt.sign({"iss": "http://localhost", "aud": "http://localhost"}, desk.keys.signing, typ="at+jwt")
        seen = await looked_at(desk, token.encode())
        assert (seen.verified, codes(seen)) == (True, ["claim_missing"])

    run(TestDesk(MemoryStore()), scenario)


@pytest.mark.parametrize("credential", ["jwt", "jwe"])
@pytest.mark.parametrize("asked_for", [True, False])
def test_a_token_of_a_key_that_was_given_up_is_called_so(credential: CredentialKind, asked_for: bool) -> None:
    async def scenario(desk: TestDesk) -> None:
        token = token_of(await signed_in(desk, credential))
        key = desk.keys.signing if credential == "jwt" else desk.keys.encrypting
        await desk.keys.give_up(key.kid, desk.time.now())
        seen = await looked_at(desk, token, asked_for=asked_for)
        assert (seen.verified, codes(seen)) == (None, ["key_unknown"])
        assert "compromised" in seen.findings[0].message
        assert "compromised" in str(seen.facts["key"])

    run(TestDesk(MemoryStore()), scenario)
