"""Claims and policy: tables over every claim, every type and every byte of a token."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdesk.errors import TokenError
from frontdesk.jose import codes, jwk, jwt
from tests.jose.minting import (
    ALGORITHMS,
    AUDIENCE,
    CLAIMS,
    ISSUED,
    ISSUER,
    NOW,
    attempted,
    craft,
    header_of,
    key,
    refusal,
    token,
    verify,
    verifying,
)

EXP = ISSUED + 900


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(seconds=seconds)


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_what_was_signed_comes_back_typed(alg: str) -> None:
    signed = token(
        alg,
        sid="s1",
        auth_time=ISSUED - 5,
        amr=["pwd", "otp"],
        roles=["teller"],
        scope="a b",
        client_id="c",
        nbf=ISSUED,
        epoch=3,
        nested={"a": [1, None, "ü"]},
    )
    claims = verify(signed, verifying(alg))
    assert (claims.iss, claims.sub, claims.aud, claims.exp) == (ISSUER, "alice", AUDIENCE, EXP)
    assert (claims.iat, claims.nbf, claims.auth_time) == (ISSUED, ISSUED, ISSUED - 5)
    assert (claims.jti, claims.sid, claims.client_id) == ("a-token", "s1", "c")
    assert (claims.amr, claims.roles, claims.scope) == (("pwd", "otp"), ("teller",), "a b")
    assert claims.extra == {"epoch": 3, "nested": {"a": [1, None, "ü"]}}
    assert (claims.expires_at, claims.issued_at) == (_at(EXP), _at(ISSUED))


def test_absent_claims_are_none_and_nothing_is_extra() -> None:
    claims = verify(jwt.sign({"iss": ISSUER, "aud": AUDIENCE, "exp": EXP}, key("HS256"), typ="at+jwt"))
    absent = ("sub", "iat", "nbf", "jti", "sid", "auth_time", "amr", "roles", "scope", "client_id", "issued_at")
    assert [getattr(claims, name) for name in absent] == [None] * len(absent)
    assert claims.extra == {}


def test_claims_cannot_be_changed() -> None:
    claims: Any = verify(token(epoch=3))
    with pytest.raises(AttributeError):
        claims.sub = "mallory"
    with pytest.raises(TypeError):
        claims.extra["epoch"] = 4


@pytest.mark.parametrize("name", ["extra", "(extra)", "members", "__class__", "expires_at"])
def test_a_claim_named_like_something_inside_is_an_extra_claim(name: str) -> None:
    for payload in ({**CLAIMS, name: {"sub": "mallory"}}, {name: {"sub": "mallory"}, **CLAIMS}):
        claims = verify(craft(header_of(key("HS256")), payload, key("HS256")))
        assert claims.extra == {name: {"sub": "mallory"}}
        assert claims.sub == "alice"


# --- the claim table

_TIMES = ("exp", "nbf", "iat", "auth_time")
_NAMES = ("sub", "jti", "sid", "client_id")
_LISTS = ("amr", "roles")
_VALUES = {
    "missing": "",
    "null": "null",
    "true": "true",
    "empty": '""',
    "digit": '"1"',
    "1e309": "1e309",
    "NaN": "NaN",
    "minus one": "-1",
    "10^400": "1" + "0" * 400,
    "list": "[]",
    "object": "{}",
    "list of numbers": "[1]",
    "list of null": '["a",null]',
    "beyond 9999": "253402300800",
}


def _expected(name: str, value: str) -> str:
    if value in ("1e309", "NaN"):
        return "token_malformed"
    if value == "":
        return "claim_missing" if name in ("iss", "aud", "exp") else "accepted"
    if name == "iss":
        return "issuer_mismatch" if value == '"1"' else "claim_invalid"
    if name == "aud":
        return "audience_mismatch" if value in ('""', '"1"', "[]") else "claim_invalid"
    fits = (
        (name in _NAMES and value == '"1"')
        or (name == "scope" and value in ('""', '"1"'))
        or (name in _LISTS and value == "[]")
    )
    return "accepted" if fits else "claim_invalid"


@pytest.mark.parametrize("name", ["iss", "aud", *_TIMES, *_NAMES, *_LISTS, "scope"])
@pytest.mark.parametrize("value", _VALUES.values(), ids=_VALUES.keys())
@pytest.mark.parametrize("separator", [":", " : "])
def test_each_claim_with_each_odd_value(name: str, value: str, separator: str) -> None:
    members = {member: json.dumps(content) for member, content in CLAIMS.items()}
    members[name] = value
    text = ",".join(f'"{member}"{separator}{content}' for member, content in members.items() if content)
    odd = craft(header_of(key("HS256")), f"{{{text}}}".encode(), key("HS256"))
    assert refusal(odd) == _expected(name, value)


@pytest.mark.parametrize("name", [*CLAIMS, "amr", "other"])
def test_a_claim_that_comes_twice_is_refused(name: str) -> None:
    good = json.dumps(dict(CLAIMS), separators=(",", ":"))
    same = json.dumps(CLAIMS.get(name, ["x"]))
    for duplicate in (f'"{name}":{same},"{name}":{same},', f'"{name}":"admin","{name}":{same},'):
        payload = "{" + duplicate + good[1:]
        assert refusal(craft(header_of(key("HS256")), payload.encode(), key("HS256"))) == "token_malformed"


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"null",
        b'"alice"',
        b"1",
        json.dumps(dict(CLAIMS)).encode("utf-16"),
        b"\xef\xbb\xbf" + json.dumps(dict(CLAIMS)).encode(),
        json.dumps({**CLAIMS, "x": "\ud800"}).encode(),
        json.dumps({**CLAIMS, "x": float("inf")}).encode(),
        json.dumps({**CLAIMS, "x": 10**400}).encode(),
        json.dumps({**CLAIMS, "x": 10**400}, separators=(",", ":")).encode(),
        json.dumps({**CLAIMS, "x": [[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]}).encode(),
        json.dumps({**CLAIMS, "x": [[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]}, separators=(",", ":")).encode(),
    ],
)
def test_a_payload_that_is_no_strict_json_object_is_refused(payload: bytes) -> None:
    assert refusal(craft(header_of(key("HS256")), payload, key("HS256"))) == "token_malformed"


# --- policy

_TYPS = ("JWT", "at+jwt", "application/at+jwt", "logout+jwt", "dpop+jwt", "application/AT+JWT")


@pytest.mark.parametrize("actual", [*_TYPS, None])
@pytest.mark.parametrize("expected", _TYPS)
def test_only_the_expected_type_is_taken(actual: str | None, expected: str) -> None:
    classes = {"application/at+jwt": "at+jwt", "application/AT+JWT": "at+jwt", None: "JWT"}
    header = {"alg": "HS256", "kid": "HS256"} if actual is None else header_of(key("HS256"), typ=actual)
    same = classes.get(actual, actual) == classes.get(expected, expected)
    outcome = refusal(craft(header, dict(CLAIMS), key("HS256")), typ=expected)
    assert outcome == ("accepted" if same else "type_mismatch")


@pytest.mark.parametrize(
    "issuer", [ISSUER + "/", ISSUER[:-1], ISSUER.upper(), ISSUER + "b", "https://desk", "http://desk.example"]
)
def test_the_issuer_is_compared_exactly(issuer: str) -> None:
    assert refusal(token(), issuer=issuer) == "issuer_mismatch"
    assert refusal(token(iss=issuer)) == "issuer_mismatch"


@pytest.mark.parametrize(
    ("named", "wanted", "outcome"),
    [
        (AUDIENCE, AUDIENCE, "accepted"),
        ([AUDIENCE], AUDIENCE, "accepted"),
        (["https://other.example", AUDIENCE], AUDIENCE, "accepted"),
        (AUDIENCE, ["x", AUDIENCE], "accepted"),
        (AUDIENCE, frozenset({AUDIENCE}), "accepted"),
        (["x", "y"], ("y", "z"), "accepted"),
        ([], AUDIENCE, "audience_mismatch"),
        (["https://other.example"], AUDIENCE, "audience_mismatch"),
        (AUDIENCE + "b", AUDIENCE, "audience_mismatch"),
        ("b", AUDIENCE, "audience_mismatch"),
        (AUDIENCE, AUDIENCE + "b", "audience_mismatch"),
        (list("https"), "https", "audience_mismatch"),
    ],
)
def test_one_audience_must_be_one_of_ours(named: object, wanted: Any, outcome: str) -> None:
    assert refusal(token(aud=named), audience=wanted) == outcome


@pytest.mark.parametrize(
    ("now", "leeway", "outcome"),
    [
        (EXP - 0.000001, 0, "accepted"),
        (EXP, 0, "token_expired"),
        (EXP + 29.999999, 30, "accepted"),
        (EXP + 30, 30, "token_expired"),
        (EXP + 59.999999, 60, "accepted"),
        (EXP + 60, 60, "token_expired"),
        (253402300799, 0, "token_expired"),
    ],
)
def test_a_token_expires_to_the_microsecond(now: float, leeway: float, outcome: str) -> None:
    assert refusal(token(), now=_at(now), leeway=timedelta(seconds=leeway)) == outcome


@pytest.mark.parametrize("claim", ["nbf", "iat"])
@pytest.mark.parametrize(
    ("ahead", "leeway", "outcome"),
    [
        (0, 0, "accepted"),
        (30, 0, "accepted"),
        (30.000001, 0, "token_not_yet_valid"),
        (30, 5, "accepted"),
        (31, 30, "token_not_yet_valid"),
        (60, 60, "accepted"),
        (61, 60, "token_not_yet_valid"),
    ],
)
def test_the_future_is_believed_for_thirty_seconds_or_the_leeway(
    claim: str, ahead: float, leeway: float, outcome: str
) -> None:
    now = _at(ISSUED + 100)
    early = token(**{claim: ISSUED + 100 + ahead})
    assert refusal(early, now=now, leeway=timedelta(seconds=leeway)) == outcome


def test_times_may_have_fractions_and_other_time_zones_mean_the_same() -> None:
    assert refusal(token(exp=EXP + 0.5), now=_at(EXP + 0.4)) == "accepted"
    assert refusal(token(exp=EXP + 0.5), now=_at(EXP + 0.5)) == "token_expired"
    east = timezone(timedelta(hours=9))
    assert refusal(token(), now=_at(EXP - 1).astimezone(east)) == "accepted"
    assert refusal(token(), now=_at(EXP).astimezone(east)) == "token_expired"


def test_expiry_is_decided_last() -> None:
    late = _at(EXP + 1)
    assert refusal(token(), now=late) == "token_expired"
    signature = token()[:-3] + ("AAA" if not token().endswith("AAA") else "BBB")
    assert refusal(signature, now=late) == "signature_invalid"
    assert refusal(token(), now=late, typ="logout+jwt") == "type_mismatch"
    assert refusal(token(), now=late, issuer="https://other.example") == "issuer_mismatch"
    assert refusal(token(), now=late, audience="https://other.example") == "audience_mismatch"
    assert refusal(token(nbf=EXP + 100), now=late) == "token_not_yet_valid"
    assert refusal(token(), now=late, require=["sid"]) == "claim_missing"


def test_expiry_alone_can_be_ignored() -> None:
    policy: dict[str, Any] = {"issuer": ISSUER, "audience": AUDIENCE, "typ": "at+jwt", "now": _at(EXP + 10**6)}
    assert jwt.verify_ignoring_expiry(token(), key("HS256"), **policy).sub == "alice"
    for change, code in (
        ({"issuer": "https://other.example"}, "issuer_mismatch"),
        ({"audience": "https://other.example"}, "audience_mismatch"),
        ({"typ": "JWT"}, "type_mismatch"),
        ({"now": _at(ISSUED - 1000)}, "token_not_yet_valid"),
        ({"require": ["sid"]}, "claim_missing"),
    ):
        with pytest.raises(TokenError) as caught:
            jwt.verify_ignoring_expiry(token(), key("HS256"), **{**policy, **change})
        assert caught.value.code == code
    with pytest.raises(TokenError) as caught:
        jwt.verify_ignoring_expiry(token("ES256"), key("HS256"), **policy)
    assert caught.value.code == "key_unknown"


def test_required_claims_must_be_there() -> None:
    assert refusal(token(), require=("sub", "iat", "jti")) == "accepted"
    for name in ("sub", "iat", "jti", "sid", "epoch"):
        members = {member: value for member, value in CLAIMS.items() if member != name}
        signed = jwt.sign(members, key("HS256"), typ="at+jwt")
        assert refusal(signed, require=[name]) == "claim_missing"


def test_keys_belong_to_their_issuer() -> None:
    other = jwk.EcKey.generate(kid="ES256")
    forged = jwt.sign(dict(CLAIMS), other, typ="at+jwt")
    assert refusal(forged, verifying("ES256")) == "signature_invalid"
    assert refusal(forged, other.public()) == "accepted"
    assert refusal(jwt.sign({**CLAIMS, "iss": "https://own.example"}, other, typ="at+jwt"), other.public()) == (
        "issuer_mismatch"
    )


def test_a_nested_token_is_not_opened() -> None:
    for cty in ("JWT", "jwt", "application/JWT"):
        nested = craft(header_of(key("HS256"), cty=cty), token().encode(), key("HS256"))
        assert refusal(nested) == "header_invalid"


# --- every byte counts


@pytest.mark.parametrize("alg", ["HS256", "ES256"])
def test_every_truncation_is_refused(alg: str) -> None:
    whole = token(alg).encode()
    assert refusal(whole, verifying(alg)) == "accepted"
    for end in range(len(whole)):
        assert refusal(whole[:end], verifying(alg)) in codes.TOKEN_CODES
        assert refusal(whole[end + 1 :], verifying(alg)) in codes.TOKEN_CODES


@pytest.mark.parametrize(("alg", "replacements"), [("HS256", b"A_-.=+/ \n\x00\x80\xff"), ("ES256", b"A_.")])
def test_every_change_of_one_byte_is_refused(alg: str, replacements: bytes) -> None:
    whole = token(alg).encode()
    for place, byte in enumerate(whole):
        for replacement in {*replacements, byte ^ 1, byte ^ 0x20} - {byte}:
            changed = whole[:place] + bytes([replacement]) + whole[place + 1 :]
            assert refusal(changed, verifying(alg)) in codes.TOKEN_CODES, (place, replacement)


@pytest.mark.parametrize("added", [b" ", b"\n", b"=", b".", b"A", b"\x00", b"\xc2\xa0"])
def test_nothing_may_stand_around_or_inside_a_token(added: bytes) -> None:
    whole = token().encode()
    for place in range(len(whole) + 1):
        assert refusal(whole[:place] + added + whole[place:]) in codes.TOKEN_CODES


# --- signing


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("exp", -1),
        ("exp", True),
        ("exp", "1"),
        ("exp", None),
        ("exp", 253402300800),
        ("exp", float("nan")),
        ("iat", float("inf")),
        ("nbf", 10**400),
        ("sub", 1),
        ("sub", ""),
        ("sub", None),
        ("sub", "\ud800"),
        ("aud", 1),
        ("aud", [1]),
        ("amr", "pwd"),
        ("roles", {"a": 1}),
        ("other", float("nan")),
        ("other", {"a": [float("-inf")]}),
        ("other", 2**64),
        ("other", ["\udc00"]),
        ("other", [[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]),
        ("\ud800", 1),
    ],
)
def test_nothing_is_signed_that_would_not_be_verified(claim: str, value: object) -> None:
    with pytest.raises(TokenError) as caught:
        token(**{claim: value})
    assert caught.value.code == "claim_invalid"


def test_aware_datetimes_become_whole_seconds() -> None:
    moment = datetime(2026, 10, 1, 12, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=2)))
    claims = verify(token(exp=moment, iat=moment - timedelta(hours=1)), now=moment - timedelta(minutes=1))
    assert claims.expires_at == moment.replace(microsecond=0)
    assert claims.issued_at == moment.replace(microsecond=0) - timedelta(hours=1)


def test_a_token_too_large_to_be_verified_is_not_signed() -> None:
    with pytest.raises(TokenError) as caught:
        token(other="x" * 13_000)
    assert caught.value.code == "token_oversize"


MISUSES: dict[str, tuple[type[Exception], Callable[[], object]]] = {
    "no key": (TypeError, lambda: jwt.sign(dict(CLAIMS), None, typ="JWT")),  # type: ignore[arg-type]
    "claims as text": (TypeError, lambda: jwt.sign("{}", key("HS256"), typ="JWT")),  # type: ignore[arg-type]
    "bytes in a claim": (TypeError, lambda: token(other=b"x")),
    "a set in a claim": (TypeError, lambda: token(other={"x"})),
    "a datetime in another claim": (TypeError, lambda: token(other=NOW)),
    "a number as a name": (TypeError, lambda: token(other={1: 2})),
    "typ missing when signing": (ValueError, lambda: jwt.sign(dict(CLAIMS), key("HS256"), typ="")),
    "typ None when signing": (TypeError, lambda: jwt.sign(dict(CLAIMS), key("HS256"), typ=None)),  # type: ignore[arg-type]
    "a naive datetime in a claim": (ValueError, lambda: token(exp=datetime(2030, 1, 1))),  # noqa: DTZ001
    "keys None": (TypeError, lambda: jwt.verify(token(), None, issuer="a", audience="b", typ="c", now=NOW)),  # type: ignore[arg-type]
    "issuer None": (TypeError, lambda: verify(token(), issuer=None)),
    "issuer empty": (ValueError, lambda: verify(token(), issuer="")),
    "issuer a list": (TypeError, lambda: verify(token(), issuer=[ISSUER])),
    "audience None": (TypeError, lambda: verify(token(), audience=None)),
    "audience empty": (ValueError, lambda: verify(token(), audience="")),
    "audience of nothing": (ValueError, lambda: verify(token(), audience=[])),
    "audience with an empty one": (ValueError, lambda: verify(token(), audience=[AUDIENCE, ""])),
    "audience of numbers": (TypeError, lambda: verify(token(), audience=[1])),
    "misuse with a bad token": (TypeError, lambda: verify("garbage", issuer=None)),
    "audience bytes": (TypeError, lambda: verify(token(), audience=b"x")),
    "typ None": (TypeError, lambda: verify(token(), typ=None)),
    "typ empty": (ValueError, lambda: verify(token(), typ="")),
    "now None": (TypeError, lambda: verify(token(), now=None)),
    "now a number": (TypeError, lambda: verify(token(), now=ISSUED)),
    "now naive": (ValueError, lambda: verify(token(), now=datetime(2026, 1, 1))),  # noqa: DTZ001
    "leeway negative": (ValueError, lambda: verify(token(), leeway=timedelta(seconds=-1))),
    "leeway beyond a minute": (ValueError, lambda: verify(token(), leeway=timedelta(seconds=61))),
    "leeway a number": (TypeError, lambda: verify(token(), leeway=30)),
    "require a string": (TypeError, lambda: verify(token(), require="sub")),
}


@pytest.mark.parametrize(("error", "misuse"), MISUSES.values(), ids=MISUSES.keys())
def test_misuse_is_a_type_error_or_a_value_error(error: type[Exception], misuse: Callable[[], object]) -> None:
    with pytest.raises(error):
        misuse()


@pytest.mark.parametrize("missing", ["issuer", "audience", "typ", "now"])
def test_no_part_of_the_policy_can_be_left_out(missing: str) -> None:
    policy: dict[str, Any] = {"issuer": ISSUER, "audience": AUDIENCE, "typ": "at+jwt", "now": NOW}
    del policy[missing]
    with pytest.raises(TypeError, match=missing):
        jwt.verify(token(), key("HS256"), **policy)


# --- anything at all

_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
_MEMBER = st.sampled_from([*jwt.REGISTERED, "alg", "kid", "typ", "crit", "jwk", "x"])


@given(st.binary(max_size=60) | st.text(max_size=60) | st.text("ey.JA-_=", max_size=40))
def test_any_text_is_refused_with_a_code(anything: str | bytes) -> None:
    assert refusal(anything) in codes.TOKEN_CODES


@given(st.dictionaries(_MEMBER, _JSON, max_size=4), st.dictionaries(_MEMBER, _JSON, max_size=4))
def test_any_json_under_a_good_signature_is_accepted_or_refused_with_a_code(
    header: dict[str, Any], payload: dict[str, Any]
) -> None:
    crafted = craft({**header_of(key("HS256")), **header}, {**CLAIMS, **payload}, key("HS256"))
    outcome = refusal(crafted)
    assert outcome == "accepted" or outcome in codes.TOKEN_CODES


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_any_bytes_under_a_good_signature_are_refused_with_a_code(header: bytes, payload: bytes) -> None:
    assert refusal(craft(header, payload, key("HS256"))) in codes.TOKEN_CODES
    assert refusal(craft(header_of(key("HS256")), payload, key("HS256"))) in codes.TOKEN_CODES


@given(st.dictionaries(st.text(max_size=4).filter(lambda name: name not in jwt.REGISTERED), _JSON, max_size=4))
def test_whatever_can_be_signed_comes_back_the_same(extra: dict[str, Any]) -> None:
    signed, code = attempted(lambda: token(**extra))
    assert code == ("claim_invalid" if signed is None else "accepted")
    assert signed is None or dict(verify(signed).extra) == extra


def test_a_record_whose_fields_are_not_told_from_absent_ones_is_misuse() -> None:
    class Careless(jwt.Claims, frozen=True, kw_only=True):
        level: int = 0

    with pytest.raises(TypeError, match="None by default"):
        verify(token(), record=Careless)
