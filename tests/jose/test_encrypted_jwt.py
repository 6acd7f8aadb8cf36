"""Encrypted claims: the policy of `jwt.verify` on what only holders of a key can read."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdesk.jose import b64, jwe, jwk, jwt
from frontdesk.jose.codes import TOKEN_CODES
from frontdesk.jose.encryption_jwk import DirectKey, EncryptionKeySet, WrapKey
from tests.jose import minting
from tests.jose.minting import AUDIENCE, CLAIMS, ISSUER, NOW, attempted
from tests.jose.sealing import (
    DIRECT,
    KINDS,
    PUBLIC_KINDS,
    SECRET_KINDS,
    craft,
    decrypt,
    encs,
    key,
    random,
    seal,
    sender,
)

GCM = "dir A256GCM"
HEADER = {"alg": "dir", "kid": GCM, "enc": "A256GCM", "typ": "at+jwt"}


def _enc(kind: str) -> str:
    return encs(kind)[0] if kind in DIRECT else "A256GCM"


def _token(kind: str = GCM, /, *, signer: jwk.Key | None = None, typ: str = "at+jwt", **claims: Any) -> str:
    owner, enc = sender(kind), _enc(kind)
    size = jwe.random_size(owner, enc)
    return jwt.encrypt({**CLAIMS, **claims}, owner, typ=typ, enc=enc, random=random(size), signer=signer)


def _refusal(token: str | bytes, keys: Any = None, **policy: Any) -> str:
    return attempted(lambda: decrypt(token, key(GCM) if keys is None else keys, **policy))[1]


@pytest.mark.parametrize("kind", SECRET_KINDS)
def test_what_was_encrypted_comes_back_typed_and_cannot_be_read(kind: str) -> None:
    token = _token(kind, sid="s1", roles=["teller"], epoch=3)
    for keys in (key(kind), EncryptionKeySet([key(kind)]), {kind: key(kind)}.get):
        claims = decrypt(token, keys, enc=_enc(kind))
        assert (claims.iss, claims.sub, claims.aud, claims.sid) == (ISSUER, "alice", AUDIENCE, "s1")
        assert (claims.roles, claims.extra) == (("teller",), {"epoch": 3})
    seen = b"".join(b64.decode(part) for part in token.encode().split(b"."))
    assert not any(secret in seen for secret in (b"alice", b"teller", b"s1", b"desk.example"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("alg", ["HS256", "ES256", "EdDSA"])
def test_a_signed_token_inside_an_encrypted_one_is_verified(kind: str, alg: str) -> None:
    token = _token(kind, signer=minting.key(alg))
    assert decrypt(token, key(kind), enc=_enc(kind), signers=minting.verifying(alg)).sub == "alice"
    wrong = minting.verifying("RS256" if alg != "RS256" else "PS256")
    assert _refusal(token, key(kind), enc=_enc(kind), signers=wrong) == "key_unknown"
    # It is not believed as a token without signature, and the other way round.
    without = "algorithm_not_allowed" if kind in PUBLIC_KINDS else "header_invalid"
    assert _refusal(token, key(kind), enc=_enc(kind)) == without


@pytest.mark.parametrize("kind", PUBLIC_KINDS)
def test_what_anybody_may_have_encrypted_is_not_believed(kind: str) -> None:
    assert attempted(lambda: _token(kind)) == (None, "algorithm_not_allowed")
    forged = seal(json.dumps(dict(CLAIMS)).encode(), kind, "A256GCM", typ="at+jwt")
    assert _refusal(forged, key(kind)) == "algorithm_not_allowed"
    assert _refusal(forged, key(kind), signers=minting.verifying("ES256")) == "header_invalid"
    nested = seal(json.dumps(dict(CLAIMS)).encode(), kind, "A256GCM", cty="JWT")
    assert _refusal(nested, key(kind), signers=minting.verifying("ES256")) == "token_malformed"
    for alg in ("none", "HS256"):
        head = b64.encode(json.dumps({"alg": alg, "typ": "at+jwt"}).encode())
        inner = head + b"." + b64.encode(json.dumps(dict(CLAIMS)).encode()) + b"."
        token = seal(inner, kind, "A256GCM", cty="JWT")
        assert _refusal(token, key(kind), signers=minting.verifying("ES256")) == "algorithm_not_allowed"


def test_nothing_is_nested_deeper() -> None:
    inner = _token(GCM, signer=minting.key("HS256"))
    twice = seal(inner.encode(), GCM, cty="JWT")
    assert _refusal(twice, signers=minting.key("HS256")) == "token_malformed"
    signed = minting.craft(
        {"alg": "HS256", "kid": "HS256", "cty": "JWT"}, minting.token().encode(), minting.key("HS256")
    )
    assert _refusal(seal(signed, GCM, cty="JWT"), signers=minting.key("HS256")) == "header_invalid"


@pytest.mark.parametrize(
    ("claims", "policy", "code"),
    [
        ({}, {}, "accepted"),
        ({}, {"typ": "JWT"}, "type_mismatch"),
        ({}, {"typ": "application/AT+jwt"}, "accepted"),
        ({}, {"issuer": ISSUER + "/"}, "issuer_mismatch"),
        ({}, {"audience": "other"}, "audience_mismatch"),
        ({}, {"audience": ["other", AUDIENCE]}, "accepted"),
        ({}, {"require": ["sid"]}, "claim_missing"),
        ({"sid": "s"}, {"require": ["sid"]}, "accepted"),
        ({}, {"now": NOW + timedelta(seconds=898)}, "accepted"),
        ({}, {"now": NOW + timedelta(seconds=899)}, "token_expired"),
        ({}, {"now": NOW + timedelta(seconds=899), "leeway": timedelta(seconds=1)}, "accepted"),
        ({}, {"now": NOW - timedelta(seconds=60)}, "token_not_yet_valid"),
        ({"nbf": NOW + timedelta(minutes=2)}, {}, "token_not_yet_valid"),
        ({}, {"enc": "A128GCM"}, "algorithm_not_allowed"),
        ({}, {"enc": ["A128GCM", "A256GCM"]}, "accepted"),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_the_policy_is_that_of_signed_tokens(
    claims: dict[str, Any], policy: dict[str, Any], code: str, nested: bool
) -> None:
    token = _token(GCM, signer=minting.key("HS256") if nested else None, **claims)
    signers = minting.key("HS256") if nested else None
    assert _refusal(token, signers=signers, **policy) == code
    if not nested:
        memo = jwt.EncryptedMemo()
        decrypt(token, key(GCM), now=NOW, memo=memo) if "nbf" not in claims else None
        assert _refusal(token, memo=memo, **policy) == code
        assert _refusal(token, memo=memo, **policy) == code


def test_only_expiry_is_ignored_for_a_log_out() -> None:
    late = {"issuer": ISSUER, "audience": AUDIENCE, "typ": "at+jwt", "now": NOW + timedelta(days=400)}
    token = _token()
    assert jwt.decrypt_ignoring_expiry(token, key(GCM), **late).sub == "alice"  # type: ignore[arg-type]
    for change in ({"issuer": "x"}, {"audience": "x"}, {"typ": "JWT"}, {"enc": "A128GCM"}, {"require": ["sid"]}):
        policy: Any = {**late, **change}
        outcome = attempted(lambda: jwt.decrypt_ignoring_expiry(token, key(GCM), **policy))  # noqa: B023
        assert outcome[1] not in ("accepted", "token_expired")
    nested = _token("RSA-OAEP-256", signer=minting.key("ES256"))
    arguments: Any = {**late, "signers": minting.verifying("ES256")}
    assert jwt.decrypt_ignoring_expiry(nested, key("RSA-OAEP-256"), **arguments).sub == "alice"


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"", "token_malformed"),
        (b"[]", "token_malformed"),
        (json.dumps(dict(CLAIMS)).encode("utf-16"), "token_malformed"),
        (json.dumps(dict(CLAIMS)).encode()[:-1] + b',"sub":"admin"}', "token_malformed"),
        (json.dumps({**CLAIMS, "x": float("nan")}).encode(), "token_malformed"),
        (json.dumps({**CLAIMS, "x": "\ud800"}).encode(), "token_malformed"),
        (json.dumps({**CLAIMS, "exp": "1"}).encode(), "claim_invalid"),
        (json.dumps({**CLAIMS, "sub": 7}).encode(), "claim_invalid"),
        (json.dumps({**CLAIMS, "exp": 10**20}).encode(), "claim_invalid"),
        (json.dumps({"iss": ISSUER, "aud": AUDIENCE}).encode(), "claim_missing"),
    ],
)
def test_claims_are_as_strict_as_in_signed_tokens(payload: bytes, code: str) -> None:
    assert _refusal(craft(HEADER, payload)) == code


def test_a_token_without_type_types_nothing_and_another_content_type_is_no_matter() -> None:
    payload = json.dumps(dict(CLAIMS)).encode()
    untyped = {name: value for name, value in HEADER.items() if name != "typ"}
    assert _refusal(craft(untyped, payload)) == "type_mismatch"
    assert _refusal(craft(untyped, payload), typ="JWT") == "accepted"
    assert _refusal(craft({**HEADER, "cty": "json"}, payload)) == "accepted"
    for cty in ("JWT", "jwt", "application/jwt"):
        assert _refusal(craft({**HEADER, "cty": cty}, payload)) == "header_invalid"


# --- signed and encrypted tokens do not take each other's place


def test_a_signed_token_is_not_decrypted_and_an_encrypted_one_not_verified() -> None:
    assert _refusal(minting.token()) == "token_malformed"
    assert minting.refusal(_token()) == "token_malformed"
    assert _refusal(json.dumps({"protected": "", "ciphertext": ""})) == "token_malformed"
    for misuse in (
        lambda: decrypt(_token(), minting.key("HS256")),
        lambda: decrypt(_token(), jwk.KeySet([minting.key("HS256")])),
        lambda: minting.verify(minting.token(), key(GCM)),
        lambda: decrypt(_token(GCM, signer=minting.key("HS256")), key(GCM), signers=key(GCM)),
        lambda: jwt.encrypt(CLAIMS, minting.key("HS256"), typ="JWT", random=b""),  # type: ignore[arg-type]
        lambda: jwt.sign(CLAIMS, key(GCM), typ="JWT"),  # type: ignore[arg-type]
    ):
        with pytest.raises(TypeError):
            misuse()


def test_misuse_is_a_type_or_value_error() -> None:
    misuses: list[tuple[type[Exception], Callable[[], object]]] = [
        (ValueError, lambda: decrypt(_token(), key(GCM), issuer="")),
        (TypeError, lambda: decrypt(_token(), key(GCM), audience=None)),
        (TypeError, lambda: decrypt(_token(), key(GCM), typ=None)),
        (ValueError, lambda: decrypt(_token(), key(GCM), now=NOW.replace(tzinfo=None))),
        (ValueError, lambda: decrypt(_token(), key(GCM), leeway=timedelta(minutes=2))),
        (TypeError, lambda: decrypt(_token(), key(GCM), require="sid")),
        (ValueError, lambda: decrypt(_token(), key(GCM), memo=jwt.EncryptedMemo(), signers=minting.key("HS256"))),
        (ValueError, lambda: jwt.encrypt(CLAIMS, key(GCM), typ="", random=random(12))),
        (ValueError, lambda: jwt.encrypt(CLAIMS, key(GCM), typ="JWT", random=random(11))),
        (TypeError, lambda: jwt.encrypt([], key(GCM), typ="JWT", random=random(12))),  # type: ignore[arg-type]
    ]
    for error, misuse in misuses:
        with pytest.raises(error):
            misuse()
    assert attempted(lambda: _token(exp="1"))[1] == "claim_invalid"


# --- the memo


class _Record(jwt.Claims, frozen=True, kw_only=True):
    epoch: int | None = None


def test_a_remembered_token_is_believed_only_while_everything_still_holds() -> None:
    first, second = WrapKey(random(32), kid="k"), WrapKey(random(32), kid="k")
    enc = "A128CBC-HS256"
    size = jwe.random_size(first, enc)
    token = jwt.encrypt({**CLAIMS, "epoch": 3}, first, typ="at+jwt", enc=enc, random=random(size))
    memo = jwt.EncryptedMemo()
    claims = decrypt(token, first, enc=enc, memo=memo)
    assert decrypt(token.encode(), first, enc=[enc], memo=memo) is claims
    assert decrypt(token, EncryptionKeySet([first]), enc=enc, memo=memo) is claims
    # The content encryption is no longer allowed; the key is gone; another key has its id.
    assert _refusal(token, first, memo=memo) == "algorithm_not_allowed"
    assert _refusal(token, EncryptionKeySet([]), enc=enc, memo=memo) == "key_unknown"
    assert _refusal(token, second, enc=enc, memo=memo) == "decryption_failed"
    assert _refusal(token, lambda _: None, enc=enc, memo=memo) == "key_unknown"
    with pytest.raises(TypeError):
        decrypt(token, None, enc=enc, memo=memo)
    # Its time is over: it is forgotten.
    assert len(memo) == 1
    late = {"now": NOW + timedelta(days=1)}
    assert _refusal(token, first, enc=enc, memo=memo, **late) == "token_expired"
    assert len(memo) == 0


def test_a_remembered_token_is_read_again_for_another_record() -> None:
    memo = jwt.EncryptedMemo()
    token = _token(epoch=3)
    plain = decrypt(token, key(GCM), memo=memo)
    typed = decrypt(token, key(GCM), memo=memo, record=_Record)
    assert isinstance(typed, _Record)
    assert not isinstance(plain, _Record)
    assert typed.epoch == 3
    assert decrypt(token, key(GCM), memo=memo, record=_Record) is typed


def test_what_was_refused_is_not_remembered() -> None:
    memo = jwt.EncryptedMemo()
    owner = DirectKey(random(32), kid="k")
    token = jwt.encrypt(CLAIMS, owner, typ="at+jwt", random=random(12))
    for policy in ({"issuer": "x"}, {"audience": "x"}, {"typ": "x"}, {"now": NOW + timedelta(days=1)}):
        assert _refusal(token, owner, memo=memo, **policy) != "accepted"
        assert len(memo) == 0


def test_every_truncation_and_changed_byte_is_refused_beside_a_memo() -> None:
    token = _token().encode()
    memo = jwt.EncryptedMemo()
    decrypt(token, key(GCM), memo=memo)
    for position in range(len(token)):
        changed = token[:position] + bytes([token[position] ^ 1]) + token[position + 1 :]
        assert _refusal(changed, memo=memo) in TOKEN_CODES
        assert _refusal(token[:position], memo=memo) in TOKEN_CODES
    assert len(memo) == 1


@given(payload=st.binary(max_size=80) | st.dictionaries(st.sampled_from([*CLAIMS, "x"]), st.integers()).map(json.dumps))
def test_any_content_is_refused_with_a_code(payload: bytes | str) -> None:
    content = payload.encode() if isinstance(payload, str) else payload
    assert _refusal(craft(HEADER, content)) in TOKEN_CODES
    assert _refusal(craft({**HEADER, "cty": "JWT"}, content), signers=minting.key("HS256")) in TOKEN_CODES
