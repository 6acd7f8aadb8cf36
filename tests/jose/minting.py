"""Tokens for these tests, well formed and otherwise, under keys that are made once."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final, TypeVar

import pytest

from frontdesk.errors import TokenError
from frontdesk.jose import b64, jwk, jwt

_T = TypeVar("_T")

ISSUER: Final = "https://desk.example"
AUDIENCE: Final = "https://api.example"
ISSUED: Final = 1_790_000_000
NOW: Final = datetime.fromtimestamp(ISSUED + 1, UTC)
SECRET: Final = bytes(range(100, 132))
SYMMETRIC: Final = ("HS256", "HS384", "HS512")
ASYMMETRIC: Final = ("ES256", "ES384", "EdDSA", "RS256", "PS256")
ALGORITHMS: Final = SYMMETRIC + ASYMMETRIC

CLAIMS: Final[Mapping[str, object]] = {
    "iss": ISSUER,
    "sub": "alice",
    "aud": AUDIENCE,
    "exp": ISSUED + 900,
    "iat": ISSUED,
    "jti": "a-token",
}


@cache
def key(alg: str) -> jwk.Key:
    """The private key of these tests for an algorithm; its key id is the algorithm's name."""
    if alg == "HS256":
        return jwk.OctKey(SECRET, kid=alg)
    if alg in SYMMETRIC:
        return jwk.OctKey(SECRET * 2, alg=alg, kid=alg)
    if alg in ("ES256", "ES384"):
        return jwk.EcKey.generate(alg=alg, kid=alg)
    if alg == "EdDSA":
        return jwk.OkpKey.generate(kid=alg)
    return jwk.RsaKey.generate(alg=alg, bits=2048, kid=alg)


def verifying(alg: str) -> jwk.Key:
    """What a verifier holds: the public key where there is one."""
    return key(alg) if alg in SYMMETRIC else key(alg).public()


def craft(header: object, payload: object, signer: jwk.Key) -> bytes:
    """A token with a good signature over anything: bytes as they are, other values as JSON."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
    signing_input = b".".join(b64.encode(part) for part in parts)
    return signing_input + b"." + b64.encode(signer.sign(signing_input))


def header_of(signer: jwk.Key, **members: object) -> dict[str, object]:
    return {"alg": signer.alg, "kid": signer.kid, "typ": "at+jwt", **members}


def token(alg: str = "HS256", /, **claims: Any) -> str:
    """A good access token, with claims replaced or added."""
    return jwt.sign({**CLAIMS, **claims}, key(alg), typ="at+jwt")


def verify(token: str | bytes, keys: Any = None, **policy: Any) -> jwt.Claims:
    """`jwt.verify` with the policy of these tests, parts of it replaced."""
    standard = {"issuer": ISSUER, "audience": AUDIENCE, "typ": "at+jwt", "now": NOW, "leeway": timedelta(0)}
    return jwt.verify(token, verifying("HS256") if keys is None else keys, **{**standard, **policy})


def refusal(token: str | bytes, keys: Any = None, **policy: Any) -> str:
    """The code with which a token is refused, or "accepted"."""
    return attempted(lambda: verify(token, keys, **policy))[1]


def attempted(run: Callable[[], _T]) -> tuple[_T | None, str]:
    """What `run` returns and "accepted", or None and the code of its TokenError; nothing else is caught."""
    try:
        return run(), "accepted"
    except TokenError as error:
        return None, error.code


def key_refusal(document: Any, **arguments: Any) -> str:
    """The code with which a JWK is refused."""
    with pytest.raises(TokenError) as caught:
        jwk.from_jwk(document, **arguments)
    return caught.value.code
