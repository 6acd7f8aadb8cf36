"""Encrypted tokens and their keys travel between Frontdesk and joserfc, both ways, in every algorithm."""

from __future__ import annotations

import json
import time
from typing import Any

import joserfc.jwe
import joserfc.jwk
import joserfc.jwt
import pytest
from joserfc.errors import JoseError
from joserfc.jwe import JWERegistry

from frontdesk.jose import b64, encryption_jwk, jwe, jwt
from frontdesk.jose.content import CONTENTS
from tests.jose.minting import AUDIENCE, ISSUER
from tests.jose.minting import key as signature_key
from tests.jose.sealing import DIRECT, KINDS, PUBLIC_KINDS, SECRET_KINDS, decrypt, encs, key, random, seal, sender

PAIRS = [(kind, enc) for kind in KINDS for enc in encs(kind)]
PLAINTEXT = "pläin \U0001f600".encode()
# The peer reads the clock of the machine: the tokens here expire far from now.
FAR = int(time.time()) + 10**6
CLAIMS = {"iss": ISSUER, "aud": AUDIENCE, "sub": "älice", "exp": FAR, "nested": {"list": [1, 2.5, None, True]}}


def _theirs(kind: str, *, private: bool) -> Any:
    members: dict[str, Any] = dict(key(kind).to_jwk(private=private or kind in SECRET_KINDS))
    if kind in DIRECT:
        members["alg"] = "dir"  # joserfc compares it with the header
    return joserfc.jwk.import_key(members)


def _registry(alg: str, enc: str) -> JWERegistry:
    return JWERegistry(algorithms=[alg, enc])


@pytest.mark.parametrize(("kind", "enc"), PAIRS)
def test_joserfc_decrypts_what_we_encrypt(kind: str, enc: str) -> None:
    token = seal(PLAINTEXT, kind, enc, typ="at+jwt")
    found = joserfc.jwe.decrypt_compact(token, _theirs(kind, private=True), registry=_registry(key(kind).alg, enc))
    assert found.plaintext == PLAINTEXT
    header = found.headers()
    assert (header["alg"], header["enc"], header["kid"], header["typ"]) == (key(kind).alg, enc, kind, "at+jwt")


@pytest.mark.parametrize(("kind", "enc"), PAIRS)
def test_we_decrypt_what_joserfc_encrypts(kind: str, enc: str) -> None:
    alg = key(kind).alg
    protected = {"alg": alg, "enc": enc, "kid": kind}
    public = _theirs(kind, private=False)
    token = joserfc.jwe.encrypt_compact(protected, PLAINTEXT, public, registry=_registry(alg, enc))
    assert jwe.decrypt(token, key(kind), enc=enc).plaintext == PLAINTEXT


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.startswith("ECDH")])
def test_the_parties_of_an_agreement_travel_both_ways(kind: str) -> None:
    alg = key(kind).alg
    token = seal(PLAINTEXT, kind, "A256GCM", apu=b"Alice", apv=b"Bob")
    registry = _registry(alg, "A256GCM")
    assert joserfc.jwe.decrypt_compact(token, _theirs(kind, private=True), registry=registry).plaintext == PLAINTEXT
    protected = {"alg": alg, "enc": "A256GCM", "apu": b64.encode(b"A").decode(), "apv": b64.encode(b"B").decode()}
    back = joserfc.jwe.encrypt_compact(protected, PLAINTEXT, _theirs(kind, private=False), registry=registry)
    assert jwe.decrypt(back, key(kind)).plaintext == PLAINTEXT


@pytest.mark.parametrize("kind", KINDS)
def test_keys_of_joserfc_are_taken_and_have_the_same_thumbprint(kind: str) -> None:
    theirs = _theirs(kind, private=True)
    ours = encryption_jwk.from_jwk(
        json.dumps(theirs.as_dict(private=True)), alg=encs(kind)[0] if kind in DIRECT else key(kind).alg
    )
    assert ours.to_jwk(private=True) == key(kind).to_jwk(private=True)
    assert ours.thumbprint() == theirs.thumbprint()


@pytest.mark.parametrize("kind", SECRET_KINDS)
def test_encrypted_claims_travel_both_ways(kind: str) -> None:
    alg, enc = key(kind).alg, encs(kind)[0]
    size = jwe.random_size(key(kind), enc)
    token = jwt.encrypt(CLAIMS, key(kind), typ="JWT", enc=enc, random=random(size))
    found = joserfc.jwt.decode(token, _theirs(kind, private=True), registry=_registry(alg, enc))
    assert found.claims == CLAIMS
    header = {"alg": alg, "enc": enc, "kid": kind, "typ": "JWT"}
    back = joserfc.jwt.encode(header, CLAIMS, _theirs(kind, private=True), registry=_registry(alg, enc))
    claims = decrypt(back, key(kind), typ="JWT", enc=enc)
    assert (claims.sub, claims.exp, claims.extra) == ("älice", FAR, {"nested": CLAIMS["nested"]})


@pytest.mark.parametrize("kind", PUBLIC_KINDS)
def test_nested_tokens_travel_both_ways(kind: str) -> None:
    alg, owner = key(kind).alg, sender(kind)
    signer = signature_key("ES256")
    nested = jwt.encrypt(CLAIMS, owner, typ="at+jwt", random=random(jwe.random_size(owner)), signer=signer)
    registry = _registry(alg, "A256GCM")
    outer = joserfc.jwe.decrypt_compact(nested, _theirs(kind, private=True), registry=registry)
    assert outer.headers()["cty"] == "JWT"
    their_signer: Any = joserfc.jwk.import_key(dict(signer.to_jwk(private=True)))
    assert outer.plaintext is not None
    assert joserfc.jwt.decode(outer.plaintext.decode(), their_signer, algorithms=["ES256"]).claims == CLAIMS
    signed = joserfc.jwt.encode({"alg": "ES256", "typ": "at+jwt"}, CLAIMS, their_signer, algorithms=["ES256"])
    protected = {"alg": alg, "enc": "A256GCM", "cty": "JWT"}
    back = joserfc.jwe.encrypt_compact(protected, signed, _theirs(kind, private=False), registry=registry)
    assert decrypt(back, key(kind), signers=signer.public()).sub == "älice"


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_token_is_taken_by_neither(kind: str) -> None:
    head, encrypted_key, iv, ciphertext, tag = seal(PLAINTEXT, kind).split(".")
    changed = ".".join((head, encrypted_key, iv, ("B" if ciphertext[0] == "A" else "A") + ciphertext[1:], tag))
    enc = json.loads(b64.decode(head.encode()))["enc"]
    with pytest.raises((JoseError, ValueError)):
        joserfc.jwe.decrypt_compact(changed, _theirs(kind, private=True), registry=_registry(key(kind).alg, enc))
    with pytest.raises(Exception, match="cannot be decrypted"):
        jwe.decrypt(changed, key(kind), enc=tuple(CONTENTS))
