"""Tokens and keys travel between Frontdesk and npm's jose, both ways, in every algorithm."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from frontdesk.jose import encryption_jwk, jwe, jwk, jwt
from tests.jose import sealing
from tests.jose.minting import ALGORITHMS, AUDIENCE, CLAIMS, ISSUER, NOW, SYMMETRIC, key, token, verify, verifying
from tests.requirements import find_npm_jose

Ask = Callable[..., Any]

PAIRS = [(kind, enc) for kind in sealing.KINDS for enc in sealing.encs(kind)]
ODD = {**CLAIMS, "sub": "älice", "nested": {"list": [1, 2.5, None, True, "\U0001f600"]}}
POLICY = {"issuer": ISSUER, "audience": AUDIENCE, "typ": "at+jwt", "now": NOW.isoformat()}
TEXT = '{"sub":"älice \U0001f600"}'


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    """A question to npm's jose in a Node that serves this module: what it did, or the code of its refusal."""
    node, modules = find_npm_jose()
    script = Path(__file__).parent / "npm" / "peer.mjs"
    with subprocess.Popen([node, script, modules], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as peer:
        assert peer.stdin is not None
        assert peer.stdout is not None
        to_peer, from_peer = peer.stdin, peer.stdout

        def question(do: str, **members: Any) -> Any:
            to_peer.write(json.dumps({"do": do, **members}) + "\n")
            to_peer.flush()
            answer = json.loads(from_peer.readline())
            return answer.get("done", answer.get("refused"))

        yield question
        to_peer.close()
        assert peer.wait(20) == 0


def _jwk(alg: str, *, private: bool) -> dict[str, str]:
    return key(alg).to_jwk(private=private or alg in SYMMETRIC)


def _encryption_jwk(kind: str, *, private: bool) -> dict[str, str]:
    return sealing.key(kind).to_jwk(private=private or kind in sealing.SECRET_KINDS)


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_npm_jose_verifies_what_we_sign(ask: Ask, alg: str) -> None:
    signed = jwt.sign(ODD, key(alg), typ="at+jwt")
    found = ask("verify", token=signed, key=_jwk(alg, private=False), alg=alg, **POLICY)
    assert found == {"header": {"alg": alg, "kid": alg, "typ": "at+jwt"}, "claims": ODD}


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_we_verify_what_npm_jose_signs(ask: Ask, alg: str) -> None:
    header = {"alg": alg, "kid": alg, "typ": "at+jwt"}
    signed = ask("sign", header=header, claims=ODD, key=_jwk(alg, private=True))
    claims = verify(signed, verifying(alg))
    assert (claims.iss, claims.sub, claims.exp) == (ISSUER, "älice", CLAIMS["exp"])
    assert claims.extra == {"nested": ODD["nested"]}


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_neither_takes_what_was_changed_on_the_way(ask: Ask, alg: str) -> None:
    head, payload, signature = token(alg).split(".")
    changed = f"{head}.{payload[:-4]}{'AAAA' if payload[-4:] != 'AAAA' else 'BBBB'}.{signature}"
    refused = ask("verify", token=changed, key=_jwk(alg, private=False), alg=alg, **POLICY)
    assert refused == "ERR_JWS_SIGNATURE_VERIFICATION_FAILED"


def test_the_newer_name_of_eddsa_travels_both_ways(ask: Ask) -> None:
    ours = jwk.from_jwk({**key("EdDSA").to_jwk(private=True), "alg": "Ed25519"})
    signed = jwt.sign(ODD, ours, typ="at+jwt")
    assert ask("verify", token=signed, key=ours.to_jwk(), alg="Ed25519", **POLICY)["claims"] == ODD
    header = {"alg": "Ed25519", "kid": ours.kid, "typ": "at+jwt"}
    assert verify(ask("sign", header=header, claims=ODD, key=ours.to_jwk(private=True)), ours.public()).sub == "älice"


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_both_write_the_same_thumbprint(ask: Ask, alg: str) -> None:
    assert ask("thumbprint", key=_jwk(alg, private=False)) == key(alg).thumbprint()


@pytest.mark.parametrize(("kind", "enc"), PAIRS)
def test_npm_jose_decrypts_what_we_encrypt(ask: Ask, kind: str, enc: str) -> None:
    sealed = sealing.seal(TEXT.encode(), kind, enc, typ="at+jwt")
    alg = sealing.key(kind).alg
    found = ask("decrypt", token=sealed, key={**_encryption_jwk(kind, private=True), "alg": alg}, alg=alg)
    assert found["plaintext"] == TEXT
    assert (found["header"]["alg"], found["header"]["enc"], found["header"]["kid"]) == (alg, enc, kind)


@pytest.mark.parametrize(("kind", "enc"), PAIRS)
def test_we_decrypt_what_npm_jose_encrypts(ask: Ask, kind: str, enc: str) -> None:
    alg = sealing.key(kind).alg
    header = {"alg": alg, "enc": enc, "kid": kind, "typ": "at+jwt"}
    sealed = ask("encrypt", header=header, plaintext=TEXT, key={**_encryption_jwk(kind, private=False), "alg": alg})
    assert jwe.decrypt(sealed, sealing.key(kind), enc=enc).plaintext.decode() == TEXT


@pytest.mark.parametrize("kind", sealing.PUBLIC_KINDS)
def test_encryption_keys_have_the_same_thumbprint_on_both_sides(ask: Ask, kind: str) -> None:
    document = _encryption_jwk(kind, private=False)
    assert ask("thumbprint", key=document) == encryption_jwk.from_jwk(document).thumbprint()
