"""What stands under a request, measured inside one process: checks, tokens beside other libraries, rotations."""

from __future__ import annotations

import asyncio
import hmac
import tempfile
from binascii import a2b_base64
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter, time
from typing import Any, Final

import jwt as pyjwt
import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from bench import clients
from bench.report import heading, machine, median, nanoseconds_each, ratios, repeated, row, spread
from frontdesk.core.sessions import SessionPolicy, Transport
from frontdesk.jose import jwt
from frontdesk.jose.keys import EcKey, Key, OctKey
from frontdesk.service.desk import Desk
from frontdesk.stores.protocol import ASK, Store

CALLS = 2000
ROUNDS = 15
ROTATIONS = 4096
_CONCURRENT = 64
_ISSUER: Final = "https://desk.example"
_TYPE: Final = "at+jwt"


@dataclass(frozen=True, slots=True)
class _Check:
    """A question to a desk that is asked without waiting."""

    ask: Callable[[], object]
    wait: Callable[[], Coroutine[Any, Any, object]]
    microseconds: list[float] = field(default_factory=list)

    async def measure(self) -> None:
        answer = None
        began = perf_counter()
        for _ in range(CALLS):
            answer = self.ask()
        elapsed = perf_counter() - began
        if answer is not ASK:
            self.microseconds.append(elapsed / CALLS * 1e6)
            return
        # Somebody took the processor in the middle of a read, so the store went over to its threads: no figure. It
        # answers at once again as soon as some reads there were fast.
        for _ in range(100):
            await self.wait()


def _check(desk: Desk, credential: str | None, transport: Transport) -> _Check:
    token = (credential or "").encode()
    return _Check(lambda: desk.authenticate_now(token, transport), lambda: desk.authenticate(token, transport))


async def checks(directory: Path) -> None:
    """`authenticate_now` and what it rests on, over SQLite, on this thread."""
    async with (
        clients.desk(clients.url(directory / "es256.db")) as es,
        clients.desk(clients.url(directory / "hs256.db"), "HS256") as hs,
    ):
        session = await clients.signed_in(es, "session", "cookie")
        es_jwt, hs_jwt = await clients.signed_in(es, "jwt"), await clients.signed_in(hs, "jwt")
        assert es_jwt.access_token
        assert hs_jwt.access_token
        at = ("default", session.session.id)
        work = {
            "store.peek_session": _Check(lambda: es.store.peek_session(*at), lambda: es.store.read_session(*at)),
            "authenticate_now, session": _check(es, session.session_token, "cookie"),
            "authenticate_now, JWT HS256": _check(hs, hs_jwt.access_token.text, "bearer"),
            "authenticate_now, JWT ES256": _check(es, es_jwt.access_token.text, "bearer"),
        }
        for _ in range(ROUNDS):
            for check in work.values():
                await check.measure()
    heading("Checks over SQLite, in process", "what", "µs")
    for name, check in work.items():
        row(name, spread(check.microseconds))


def _claims() -> dict[str, Any]:
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


def _floor(token: bytes, secret: bytes) -> Callable[[], object]:
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


def _primitive(token: bytes, public: ec.EllipticCurvePublicKey) -> Callable[[], object]:
    """ES256 as `cryptography` does it, for a signature that stands ready."""
    signed, _, tag = token.rpartition(b".")
    raw = _decode(tag)
    signature = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    algorithm = ec.ECDSA(SHA256())
    return lambda: public.verify(signature, signed, algorithm)


def _ours(token: bytes, key: Key) -> Callable[[], object]:
    now = datetime.now(UTC)
    return lambda: jwt.verify(token, key, issuer=_ISSUER, audience=_ISSUER, typ=_TYPE, now=now)


def _theirs(token: bytes, key: Any, algorithm: str) -> Callable[[], object]:
    return lambda: pyjwt.decode(token, key, algorithms=[algorithm], issuer=_ISSUER, audience=_ISSUER)


def tokens() -> None:
    """The first check of a token beside PyJWT and beside the least that is possible."""
    secret, private = bytes(range(32)), ec.generate_private_key(ec.SECP256R1())
    keys = {"HS256": OctKey(secret), "ES256": EcKey(private)}
    theirs: dict[str, Any] = {"HS256": secret, "ES256": private.public_key()}
    work: dict[str, Callable[[int], object]] = {}
    for name, key in keys.items():
        token = jwt.sign(_claims(), key, typ=_TYPE).encode()
        work[f"{name} frontdesk"] = repeated(_ours(token, key))
        work[f"{name} PyJWT"] = repeated(_theirs(token, theirs[name], name))
        least = _floor(token, secret) if name == "HS256" else _primitive(token, private.public_key())
        work[f"{name} floor"] = repeated(least)
    found = nanoseconds_each(work, calls=CALLS // 4, rounds=ROUNDS)
    heading("First check of a JWT", "algorithm", "Frontdesk µs", "floor µs", "÷ floor", "PyJWT µs", "PyJWT ÷", "budget")
    for name, budget in (("HS256", "≤ 2 × floor, ≥ 7 × PyJWT"), ("ES256", "≤ 1.15 × the primitive")):
        ours, floor, other = (found[f"{name} {which}"] for which in ("frontdesk", "floor", "PyJWT"))
        row(
            name,
            f"{median(ours) / 1000:.1f}",
            f"{median(floor) / 1000:.1f}",
            spread(ratios(ours, floor), 2),
            f"{median(other) / 1000:.1f}",
            spread(ratios(other, ours)),
            budget,
        )


async def _rotations(store: Store, sessions: list[str], policy: SessionPolicy, now: datetime) -> float:
    """Rotations per second, each client presenting its newest generation again and again."""
    turns = ROTATIONS // _CONCURRENT

    async def client(session_id: str) -> None:
        for generation in range(turns):
            decision = await store.rotate("default", session_id, generation, now, policy)
            assert decision is not None
            assert decision.outcome.mints

    await asyncio.gather(*map(client, sessions[:1]))
    began = perf_counter()
    await asyncio.gather(*map(client, sessions[1:]))
    return turns * (len(sessions) - 1) / (perf_counter() - began)


async def rotations(directory: Path) -> None:
    """Decisions of the rotation table, each written and acknowledged before its client goes on."""
    policy = SessionPolicy(grace=timedelta(0))
    found: dict[str, list[float]] = {"SQLite, FULL": [], "memory": []}
    async with clients.desk(clients.url(directory / "rotations.db")) as sqlite, clients.desk("memory:") as memory:
        for _ in range(5):
            for name, desk in (("SQLite, FULL", sqlite), ("memory", memory)):
                signed = [await clients.signed_in(desk, "jwt") for _ in range(_CONCURRENT + 1)]
                ids = [each.session.id for each in signed]
                found[name].append(await _rotations(desk.store, ids, policy, datetime.now(UTC)))
    heading(f"Rotations at the store, {_CONCURRENT} at a time", "store", "rotations/s")
    for name, each in found.items():
        row(name, spread(each, 0))


def main() -> None:
    print(machine())
    tokens()
    with tempfile.TemporaryDirectory(prefix="frontdesk-bench-") as directory:
        here: list[Callable[[Path], Coroutine[Any, Any, None]]] = [checks, rotations]
        for part in here:
            asyncio.run(part(Path(directory)))


if __name__ == "__main__":
    main()
