"""Tokens beside PyJWT, joserfc, the bare primitive and the least that can be composed by hand; each run in turns."""

from __future__ import annotations

import hmac
import secrets
from binascii import a2b_base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from time import time
from typing import Any, Final

import joserfc.jwe
import joserfc.jwk
import joserfc.jwt
import jwt as pyjwt
import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc.jws import JWSRegistry

from bench.report import heading, machine, median, nanoseconds_each, ratios, repeated, row, spread
from frontdesk.jose import b64, jwe, jws, jwt, strictjson
from frontdesk.jose.encryption_keys import DirectKey
from frontdesk.jose.jwk import KeySet
from frontdesk.jose.keys import EcKey, Key, OctKey, OkpKey, RsaKey
from frontdesk.verifier.access_tokens import AccessClaims

CALLS = 400
ROUNDS = 25
_ISSUER: Final = "https://desk.example"
_TYPE: Final = "at+jwt"
_ECDSA: Final = ec.ECDSA(SHA256())

Work = dict[str, Callable[[], object]]


def _claims() -> dict[str, Any]:
    """Those of an access token of a desk."""
    now = int(time())
    return {
        "iss": _ISSUER, "aud": _ISSUER, "sub": "subject-1", "sid": "hbuoyYHvb1tC0pGMJGrDTA", "jti": "x" * 22,
        "iat": now, "exp": now + 3600, "auth_time": now, "transport": "bearer", "epochs": [0, 0], "roles": ["teller"],
    }  # fmt: skip


class _FloorClaims(msgspec.Struct):
    iss: str
    aud: str
    exp: int


def _decode(part: bytes) -> bytes:
    return a2b_base64(part.translate(bytes.maketrans(b"-_", b"+/")) + b"==")


@dataclass(frozen=True)
class _Subject:
    """An algorithm: our key, and what the others need of it."""

    key: Key
    native: Any
    public: Any

    @property
    def alg(self) -> str:
        return self.key.alg

    def theirs(self) -> Any:
        return joserfc.jwk.import_key(dict(self.key.to_jwk(private=True)))

    def bare_verification(self, token: bytes) -> Callable[[], object]:
        """The primitive on a signature that stands ready, and nothing around it."""
        signed, _, tag = token.rpartition(b".")
        raw, public = _decode(tag), self.public
        if self.alg == "HS256":
            return lambda: hmac.digest(public, signed, "sha256")
        if self.alg == "ES256":
            signature = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
            return lambda: public.verify(signature, signed, _ECDSA)
        if self.alg == "EdDSA":
            return lambda: public.verify(raw, signed)
        scheme, digest = padding.PKCS1v15(), SHA256()
        return lambda: public.verify(raw, signed, scheme, digest)

    def bare_signature(self, token: bytes) -> Callable[[], object]:
        signed, native = token.rpartition(b".")[0], self.native
        if self.alg == "HS256":
            return lambda: hmac.digest(native, signed, "sha256")
        if self.alg == "ES256":
            return lambda: native.sign(signed, _ECDSA)
        if self.alg == "EdDSA":
            return lambda: native.sign(signed)
        scheme, digest = padding.PKCS1v15(), SHA256()
        return lambda: native.sign(signed, scheme, digest)


def _subjects() -> list[_Subject]:
    secret = bytes(range(32))
    elliptic = ec.generate_private_key(ec.SECP256R1())
    edwards = ed25519.Ed25519PrivateKey.generate()
    two_primes = rsa.generate_private_key(65537, 2048)
    return [
        _Subject(OctKey(secret), secret, secret),
        _Subject(EcKey(elliptic), elliptic, elliptic.public_key()),
        _Subject(OkpKey(edwards), edwards, edwards.public_key()),
        _Subject(RsaKey(two_primes, alg="RS256"), two_primes, two_primes.public_key()),
    ]


def _composed(token: bytes, secret: bytes) -> Callable[[], object]:
    """HS256 as the least that can be composed by hand: the primitive, a typed decoder, three comparisons."""
    decode = msgspec.json.Decoder(_FloorClaims).decode

    def check() -> object:
        signed, _, tag = token.rpartition(b".")
        if not hmac.compare_digest(hmac.digest(secret, signed, "sha256"), _decode(tag)):
            raise ValueError
        claims = decode(_decode(signed.partition(b".")[2]))
        if claims.iss != _ISSUER or claims.aud != _ISSUER or claims.exp < time():
            raise ValueError
        return claims

    return check


def _measured(work: Mapping[str, Callable[[], object]], calls: int = CALLS) -> dict[str, list[float]]:
    return nanoseconds_each({name: repeated(call) for name, call in work.items()}, calls=calls, rounds=ROUNDS)


def _us(nanoseconds: list[float]) -> str:
    return f"{median(nanoseconds) / 1000:.2f}"


def _joserfc_verification(subject: _Subject, text: str) -> Callable[[], object]:
    theirs, registry = subject.theirs(), JWSRegistry(algorithms=[subject.alg])
    wanted = joserfc.jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": _ISSUER}, aud={"essential": True, "value": _ISSUER}, exp={"essential": True}
    )

    def check() -> object:
        found = joserfc.jwt.decode(text, theirs, registry=registry)
        wanted.validate(found.claims)
        return found

    return check


def _verifications(subject: _Subject, now: datetime) -> Work:
    text = jwt.sign(_claims(), subject.key, typ=_TYPE)
    token, key, public, algorithms = text.encode(), subject.key, subject.public, [subject.alg]
    bare = subject.bare_verification(token)
    return {
        "general": lambda: jwt.verify(token, key, issuer=_ISSUER, audience=_ISSUER, typ=_TYPE, now=now),
        "ours": lambda: jwt.verify(
            token, key, issuer=_ISSUER, audience=_ISSUER, typ=_TYPE, now=now, record=AccessClaims
        ),
        "bare": bare,
        "floor": _composed(token, subject.public) if subject.alg == "HS256" else bare,
        "PyJWT": lambda: pyjwt.decode(token, public, algorithms=algorithms, issuer=_ISSUER, audience=_ISSUER),
        "joserfc": _joserfc_verification(subject, text),
    }


def first_check(subjects: list[_Subject], now: datetime) -> None:
    heading(
        "First check",
        *("algorithm", "Frontdesk µs", "without a record µs", "bare µs", "floor µs", "÷ floor"),
        *("PyJWT ÷ Frontdesk", "joserfc ÷ Frontdesk", "budget"),
    )
    budgets = {"HS256": "≤ 2 × floor, PyJWT ≥ 7 ×", "ES256": "≤ 1.15 × bare", "RS256": "≤ 1.3 × bare"}
    for subject in subjects:
        found = _measured(_verifications(subject, now))
        ours = found["ours"]
        row(
            subject.alg,
            *(_us(found[name]) for name in ("ours", "general", "bare", "floor")),
            spread(ratios(ours, found["floor"]), 2),
            *(spread(ratios(found[name], ours)) for name in ("PyJWT", "joserfc")),
            budgets.get(subject.alg, ""),
        )


def repeated_check(subjects: list[_Subject], now: datetime) -> None:
    """The same token again: found by its bytes, its key looked up, policy and times checked."""
    work: Work = {}
    for subject in subjects:
        token, keys, memo = jwt.sign(_claims(), subject.key, typ=_TYPE).encode(), KeySet([subject.key]), jwt.Memo()
        work[subject.alg] = lambda token=token, keys=keys, memo=memo: jwt.verify(  # type: ignore[misc]
            token, keys, issuer=_ISSUER, audience=_ISSUER, typ=_TYPE, now=now, record=AccessClaims, memo=memo
        )
    heading("The same token again", "algorithm", "µs", "budget")
    for name, each in _measured(work, calls=CALLS * 5).items():
        row(name, spread([nanoseconds / 1000 for nanoseconds in each], 2), "≤ 1.5")


def signing(subjects: list[_Subject]) -> None:
    heading("Signing", "algorithm", "Frontdesk µs", "bare µs", "÷ bare", "PyJWT ÷ Frontdesk", "joserfc ÷ Frontdesk")
    for subject in subjects:
        claims, key, native, alg = _claims(), subject.key, subject.native, subject.alg
        theirs, registry = subject.theirs(), JWSRegistry(algorithms=[alg])
        header = {"alg": alg, "kid": key.kid, "typ": _TYPE}
        extra = {"kid": key.kid, "typ": _TYPE}
        work: Work = {
            "ours": lambda: jwt.sign(claims, key, typ=_TYPE),  # noqa: B023 - called within this turn
            "bare": subject.bare_signature(jwt.sign(claims, key, typ=_TYPE).encode()),
            "PyJWT": lambda: pyjwt.encode(claims, native, algorithm=alg, headers=extra),  # noqa: B023
            "joserfc": lambda: joserfc.jwt.encode(header, claims, theirs, registry=registry),  # noqa: B023
        }
        found = _measured(work, calls=CALLS // 4)
        row(
            alg,
            _us(found["ours"]),
            _us(found["bare"]),
            spread(ratios(found["ours"], found["bare"]), 2),
            *(spread(ratios(found[name], found["ours"])) for name in ("PyJWT", "joserfc")),
        )


def encryption(now: datetime) -> None:
    """`dir` with A256GCM, sealed and opened; bare is AES-GCM alone."""
    secret, iv = bytes(range(32)), bytes(12)
    key, aes, payload = DirectKey(secret), AESGCM(secret), msgspec.json.encode(_claims())
    theirs: Any = joserfc.jwk.OctKey.import_key(secret)
    registry = joserfc.jwe.JWERegistry(algorithms=["dir", "A256GCM"])
    header = {"alg": "dir", "enc": "A256GCM", "kid": key.kid, "typ": _TYPE}
    text = jwt.encrypt(_claims(), key, typ=_TYPE, random=secrets.token_bytes(jwe.random_size(key)))
    sealed, head = aes.encrypt(iv, payload, b"head"), b"head"
    claims, token = _claims(), text.encode()
    policy: Any = {"issuer": _ISSUER, "audience": _ISSUER, "typ": _TYPE, "now": now, "record": AccessClaims}
    work: Work = {
        "seal ours": lambda: jwt.encrypt(claims, key, typ=_TYPE, random=secrets.token_bytes(12)),
        "seal bare": lambda: aes.encrypt(secrets.token_bytes(12), payload, head),
        "seal joserfc": lambda: joserfc.jwt.encode(header, claims, theirs, registry=registry),
        "open ours": lambda: jwt.decrypt(token, key, **policy),
        "open bare": lambda: aes.decrypt(iv, sealed, head),
        "open joserfc": lambda: joserfc.jwt.decode(text, theirs, registry=registry),
    }
    found = _measured(work)
    heading("JWE, dir with A256GCM", "what", "Frontdesk µs", "bare µs", "joserfc ÷ Frontdesk", "budget")
    for what, budget in (("seal", ""), ("open", "joserfc ≥ 4 ×")):
        ours, bare, other = (found[f"{what} {which}"] for which in ("ours", "bare", "joserfc"))
        row(what, _us(ours), _us(bare), spread(ratios(other, ours)), budget)


def steps(subject: _Subject) -> None:
    """What a first check consists of, each step alone. The steps that calls consist of are counted in them, too."""
    token, key = jwt.sign(_claims(), subject.key, typ=_TYPE).encode(), subject.key
    signed, _, tag = token.rpartition(b".")
    payload = signed.partition(b".")[2]
    document = b64.decode(payload)
    members = len(msgspec.json.decode(document))
    decode, generic = msgspec.json.Decoder(AccessClaims).decode, msgspec.json.Decoder().decode
    encode = msgspec.json.Encoder().encode
    strict, padded = payload.translate(bytes.maketrans(b"-_", b"+/")), b"=" * (-len(payload) % 4)
    work: Work = {
        "split, header from memory, signature": lambda: jws.authenticate(token, key),
        "– of which the MAC": lambda: key.verifies(signed, tag),
        "payload out of base64url": lambda: b64.decode(payload),
        "– with binascii, strict": lambda: a2b_base64(strict + padded, strict_mode=True),
        "claims into the record": lambda: decode(document),
        "– into a dict": lambda: generic(document),
        "proof that nothing came twice": lambda: strictjson.is_plain(document, members),
        "– by encoding again": lambda: encode(generic(document)) == document,
    }
    heading(f"The steps of a first check, {subject.alg}", "step", "µs")
    for name, each in _measured(work, calls=CALLS * 5).items():
        row(name, spread([nanoseconds / 1000 for nanoseconds in each], 2))


def main() -> None:
    print(machine())
    now, subjects = datetime.now(UTC), _subjects()
    first_check(subjects, now)
    steps(subjects[0])
    repeated_check(subjects, now)
    signing(subjects)
    encryption(now)


if __name__ == "__main__":
    main()
