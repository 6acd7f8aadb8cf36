"""Frontdesk, PyJWT and joserfc on the same token: what we accept they accept, and why they accept what we refuse.

`judge` raises AssertionError when a peer refuses, or reads otherwise, what we accept; and when a peer accepts what we
refuse for a reason that is not listed in `CLASSES`. Each class is recognised in the token by itself, with the
standard library alone, so that a refusal of ours without such a reason shows.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import joserfc.jwk
import joserfc.jwt
import jwt as pyjwt
from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry

from frontdesk.errors import TokenError
from frontdesk.jose import b64, jwk, jwt
from tests.jose.minting import AUDIENCE, ISSUER, NOW, SECRET

KEY: Final = jwk.OctKey(SECRET, kid="HS256")
_THEIRS: Final = joserfc.jwk.OctKey.import_key(SECRET)
_REGISTRY: Final = JWSRegistry(algorithms=["HS256"], strict_check_header=False)
_UNTIMED: Final[Any] = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}
_CANONICAL: Final = re.compile(rb"[A-Za-z0-9_-]*\Z")
_TIME_MAX: Final = 253402300799
_TEXTS: Final = ("iss", "sub", "jti", "sid", "client_id")
_LISTS: Final = ("amr", "roles")
_TIMES: Final = ("exp", "nbf", "iat", "auth_time")


class Record(jwt.Claims, frozen=True, kw_only=True):
    """A record of an issuer's own, which is decoded on the quick path."""

    x: str | None = None


def signed(head: bytes, payload: bytes) -> bytes:
    """A token under `KEY` over two parts that are already in (some kind of) base64url."""
    signing_input = head + b"." + payload
    return signing_input + b"." + b64.encode(KEY.sign(signing_input))


@dataclass(frozen=True)
class Seen:
    """A token as a lenient reader sees it."""

    whole: bytes
    parts: list[bytes]
    raw: list[bytes]
    header: Any
    claims: Any
    duplicate: bool


def seen(token: bytes) -> Seen:
    parts = token.split(b".")
    raw = [base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4)) if _spelled(part) else b"" for part in parts]
    duplicates: list[bool] = []

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        duplicates.append(len(dict(pairs)) != len(pairs))
        return dict(pairs)

    def read(document: bytes) -> Any:
        try:
            return json.loads(document, object_pairs_hook=members)
        except (ValueError, RecursionError):
            return None

    header, claims = (read(raw[place]) if len(raw) > place else None for place in (0, 1))
    return Seen(token, parts, raw, header, claims, any(duplicates))


def _spelled(part: bytes) -> bool:
    return len(part.rstrip(b"=")) % 4 != 1


def _is_canonical(part: bytes) -> bool:
    if not _CANONICAL.match(part) or not _spelled(part):
        return False
    return base64.urlsafe_b64encode(base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))).rstrip(b"=") == part


def _leaves(value: Any, depth: int = 1) -> list[tuple[Any, int]]:
    if isinstance(value, dict):
        names = [(name, depth) for name in value]
        return names + [leaf for inner in value.values() for leaf in _leaves(inner, depth + 1)] + [(None, depth)]
    if isinstance(value, list):
        return [leaf for inner in value for leaf in _leaves(inner, depth + 1)] + [(None, depth)]
    return [(value, depth - 1)]


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_time(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, int | float) and 0 <= value <= _TIME_MAX


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _odd_claim(claims: Mapping[str, Any]) -> bool:
    fits: list[tuple[str, Callable[[Any], bool]]] = [
        *((name, _is_text) for name in _TEXTS),
        *((name, _is_time) for name in _TIMES),
        *((name, _are_texts) for name in _LISTS),
        ("scope", lambda value: isinstance(value, str)),
        ("aud", lambda value: isinstance(value, str) or _are_texts(value)),
    ]
    return any(name in claims and not fit(claims[name]) for name, fit in fits)


def _odd_number(value: Any) -> bool:
    if isinstance(value, float):
        return value != value or value in (float("inf"), float("-inf"))  # noqa: PLR0124 - NaN
    return isinstance(value, int) and not -(2**63) <= value < 2**64


def _is_surrogate(value: Any) -> bool:
    return isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value)


def _any_leaf(found: Seen, test: Callable[[Any], bool]) -> bool:
    return any(test(value) for part in (found.header, found.claims) for value, _ in _leaves(part))


def _is_utf8(document: bytes) -> bool:
    try:
        document.decode("utf-8")
        return json.detect_encoding(document) == "utf-8"
    except UnicodeError:
        return False


def _header(found: Seen) -> dict[str, Any]:
    return found.header if isinstance(found.header, dict) else {}


def _claims(found: Seen) -> dict[str, Any]:
    return found.claims if isinstance(found.claims, dict) else {}


def _typ(found: Seen) -> str:
    typ = _header(found).get("typ", "JWT")
    return typ.lower().removeprefix("application/") if isinstance(typ, str) else ""


def _audiences(found: Seen) -> list[Any]:
    named = _claims(found).get("aud")
    return named if isinstance(named, list) else [named]


_HEADER_TEXTS: Final = ("alg", "kid", "typ", "cty", "jku", "x5u", "x5t", "x5t#S256")


def _odd_header(found: Seen) -> bool:
    header = _header(found)
    chain = header.get("x5c", [])
    return (
        any(name in header and not isinstance(header[name], str) for name in _HEADER_TEXTS)
        or any(not str(header.get(name, "https://")).startswith("https://") for name in ("jku", "x5u"))
        or not isinstance(header.get("jwk", {}), dict)
        or not _are_texts(chain)
    )


CLASSES: Final[Mapping[str, tuple[frozenset[str], Callable[[Seen], bool]]]] = {
    name: (frozenset(codes.split()), recognise)
    for name, codes, recognise in (
        ("too large", "token_oversize", lambda f: len(f.whole) > 16384 or len(f.parts[0]) > 4096),
        (
            "another spelling of base64url (RFC 7515 §2)",
            "token_malformed signature_invalid",
            lambda f: not all(_is_canonical(part) for part in f.parts),
        ),
        ("a member twice (RFC 8725 §2.4)", "token_malformed", lambda f: f.duplicate),
        ("a lone surrogate (RFC 7493 §2.1)", "token_malformed", lambda f: _any_leaf(f, _is_surrogate)),
        ("not UTF-8 (RFC 8725 §3.7)", "token_malformed", lambda f: not all(map(_is_utf8, f.raw[:2]))),
        ("no number of JSON or beyond 64 bits", "token_malformed", lambda f: _any_leaf(f, _odd_number)),
        (
            "nested deeper than 16",
            "token_malformed",
            lambda f: any(depth > 16 for part in (f.header, f.claims) for _, depth in _leaves(part)),
        ),
        (
            "an extension, compression or encryption asked for",
            "header_invalid",
            lambda f: not {"crit", "b64", "zip", "enc"}.isdisjoint(_header(f)),
        ),
        ("a header parameter of another type or form", "header_invalid", _odd_header),
        (
            "a token inside the token",
            "header_invalid",
            lambda f: str(_header(f).get("cty", "")).lower() in ("jwt", "application/jwt"),
        ),
        ("another key named", "key_unknown", lambda f: _header(f).get("kid", "HS256") != "HS256"),
        (
            "a required claim missing",
            "claim_missing",
            lambda f: not {"iss", "aud", "exp"}.issubset(_claims(f)),
        ),
        ("a claim of another type or range", "claim_invalid", lambda f: _odd_claim(_claims(f))),
        ("another type of token (RFC 8725 §3.11)", "type_mismatch", lambda f: _typ(f) != "at+jwt"),
        ("another issuer", "issuer_mismatch", lambda f: _claims(f).get("iss") != ISSUER),
        ("another audience", "audience_mismatch", lambda f: AUDIENCE not in _audiences(f)),
        (
            "not at this time",
            "token_expired token_not_yet_valid",
            lambda f: _untimely(_claims(f)),
        ),
    )
}
"""Why a peer accepts what we refuse: name → our codes, and how the reason is recognised in the token."""


def _untimely(claims: Mapping[str, Any]) -> bool:
    now = NOW.timestamp()
    ahead = [claims[name] for name in ("nbf", "iat") if name in claims]
    return claims.get("exp", now) <= now or any(moment > now + 30 for moment in ahead)


def ours(token: bytes, now: datetime = NOW, record: type[jwt.Claims] = jwt.Claims) -> tuple[dict[str, Any] | None, str]:
    """The claims that we read, as JSON has them, or None and the code of the refusal."""
    try:
        claims = jwt.verify(
            token, KEY, issuer=ISSUER, audience=AUDIENCE, typ="at+jwt", now=now, leeway=timedelta(0), record=record
        )
    except TokenError as error:
        return None, error.code
    named = {name: getattr(claims, name) for name in claims.__struct_fields__ if name != "extra"}
    lists = {name: list(value) if isinstance(value, tuple) else value for name, value in named.items()}
    return {name: value for name, value in lists.items() if value is not None} | dict(claims.extra), "accepted"


def by_pyjwt(token: bytes) -> dict[str, Any] | None:
    try:
        return pyjwt.decode(token, SECRET, algorithms=["HS256"], issuer=ISSUER, audience=AUDIENCE, options=_UNTIMED)
    except Exception:  # noqa: BLE001 - what escapes from a peer is a refusal, too
        return None


def by_joserfc(token: bytes) -> dict[str, Any] | None:
    """Signature and JSON; policy is a second call there."""
    try:
        return joserfc.jwt.decode(token, _THEIRS, registry=_REGISTRY).claims
    except JoseError:
        return None
    except Exception:  # noqa: BLE001
        return None


def judge(token: bytes) -> str:
    """Our code for the token, or the class in which a peer accepts it nevertheless."""
    claims, code = ours(token)
    as_record, _ = ours(token, record=Record)
    if as_record is not None:
        assert claims is not None, f"the record is accepted, and general claims are not: {token!r}"
        assert as_record == {name: value for name, value in claims.items() if name != "x" or value is not None}
    peers = {"PyJWT": by_pyjwt(token), "joserfc": by_joserfc(token)}
    if claims is not None:
        for peer, read in peers.items():
            assert read == claims, f"{peer} reads {read!r} where we read {claims!r}: {token!r}"
        return code
    accepting = [peer for peer, read in peers.items() if read is not None]
    if not accepting:
        return code
    found = seen(token)
    reasons = [name for name, (codes, recognise) in CLASSES.items() if code in codes and recognise(found)]
    assert reasons, f"{accepting} accept what we refuse as {code}: {token!r}"
    return reasons[0]
