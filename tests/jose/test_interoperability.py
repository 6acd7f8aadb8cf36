"""Tokens and keys travel between Frontdesk, PyJWT and joserfc, both ways, in every algorithm."""

from __future__ import annotations

import json
import time
from typing import Any

import joserfc.jwk
import joserfc.jwt
import jwt as pyjwt
import pytest
from joserfc.jws import JWSRegistry

from frontdesk.jose import jwk, jwt
from tests.jose.minting import ALGORITHMS, ASYMMETRIC, AUDIENCE, ISSUER, SYMMETRIC, key, token, verify, verifying

# The peers read the clock of the machine: the tokens here expire far from now.
FAR = int(time.time()) + 10**6
# joserfc warns of the name that RFC 9864 replaces; we take and write both.
_EITHER_NAME = pytest.mark.filterwarnings("ignore:EdDSA is deprecated via RFC 9864")
CLAIMS = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "sub": "älice",
    "exp": FAR,
    "nested": {"list": [1, 2.5, None, True, "\U0001f600"]},
}


def _pyjwt_key(alg: str, *, private: bool) -> Any:
    document = key(alg).to_jwk(private=private or alg in SYMMETRIC)
    return pyjwt.PyJWK.from_dict(document).key


def _joserfc_key(alg: str, *, private: bool) -> Any:
    return joserfc.jwk.import_key(dict(key(alg).to_jwk(private=private or alg in SYMMETRIC)))


def _assert_same(claims: jwt.Claims) -> None:
    assert (claims.iss, claims.aud, claims.sub, claims.exp) == (ISSUER, AUDIENCE, "älice", FAR)
    assert claims.extra == {"nested": CLAIMS["nested"]}


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_pyjwt_verifies_what_we_sign(alg: str) -> None:
    signed = jwt.sign(CLAIMS, key(alg), typ="at+jwt")
    public = _pyjwt_key(alg, private=False)
    assert pyjwt.decode(signed, public, algorithms=[alg], audience=AUDIENCE, issuer=ISSUER) == CLAIMS
    assert pyjwt.get_unverified_header(signed) == {"alg": alg, "kid": alg, "typ": "at+jwt"}


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_we_verify_what_pyjwt_signs(alg: str) -> None:
    signed = pyjwt.encode(CLAIMS, _pyjwt_key(alg, private=True), algorithm=alg, headers={"kid": alg})
    _assert_same(verify(signed, verifying(alg), typ="JWT"))
    _assert_same(verify(signed.encode(), jwk.KeySet([verifying(alg)]), typ="JWT"))


@_EITHER_NAME
@pytest.mark.parametrize("alg", ALGORITHMS)
def test_joserfc_verifies_what_we_sign(alg: str) -> None:
    signed = jwt.sign(CLAIMS, key(alg), typ="at+jwt")
    registry = JWSRegistry(algorithms=[alg])
    found = joserfc.jwt.decode(signed, _joserfc_key(alg, private=False), registry=registry)
    assert found.claims == CLAIMS
    assert found.header == {"alg": alg, "kid": alg, "typ": "at+jwt"}


@_EITHER_NAME
@pytest.mark.parametrize("alg", ALGORITHMS)
def test_we_verify_what_joserfc_signs(alg: str) -> None:
    registry = JWSRegistry(algorithms=[alg])
    signed = joserfc.jwt.encode({"alg": alg, "kid": alg}, CLAIMS, _joserfc_key(alg, private=True), registry=registry)
    _assert_same(verify(signed, verifying(alg), typ="JWT"))


def test_the_newer_name_of_eddsa_travels_both_ways() -> None:
    ours = jwk.from_jwk({**key("EdDSA").to_jwk(private=True), "alg": "Ed25519"})
    theirs: Any = joserfc.jwk.import_key(dict(ours.to_jwk(private=True)))
    registry = JWSRegistry(algorithms=["Ed25519"])
    signed = jwt.sign(CLAIMS, ours, typ="JWT")
    assert joserfc.jwt.decode(signed, theirs, registry=registry).claims == CLAIMS
    back = joserfc.jwt.encode({"alg": "Ed25519", "kid": ours.kid}, CLAIMS, theirs, registry=registry)
    for taker in (ours, ours.public(), verifying("EdDSA")):
        _assert_same(verify(back, taker, typ="JWT"))


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_keys_of_joserfc_are_taken_and_have_the_same_thumbprint(alg: str) -> None:
    theirs = _joserfc_key(alg, private=True)
    ours = jwk.from_jwk(json.dumps(theirs.as_dict(private=True)), alg=alg)
    assert ours.to_jwk(private=True) == key(alg).to_jwk(private=True)
    assert ours.thumbprint() == theirs.thumbprint()


def test_a_published_set_is_read_by_both() -> None:
    document = jwk.KeySet(key(alg) for alg in ASYMMETRIC).to_jwks()
    assert [found.key_id for found in pyjwt.PyJWKSet.from_dict(document).keys] == list(ASYMMETRIC)
    theirs: Any = json.loads(json.dumps(document))
    assert {found.kid for found in joserfc.jwk.KeySet.import_key_set(theirs).keys} == set(ASYMMETRIC)


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_token_from_one_side_is_not_taken_after_a_change_on_the_other(alg: str) -> None:
    head, payload, signature = token(alg, exp=FAR).split(".")
    changed = f"{head}.{payload[:-4]}{'AAAA' if payload[-4:] != 'AAAA' else 'BBBB'}.{signature}"
    with pytest.raises(pyjwt.InvalidTokenError):
        pyjwt.decode(changed, _pyjwt_key(alg, private=False), algorithms=[alg], audience=AUDIENCE)
