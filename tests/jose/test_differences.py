"""Differential fuzzing: tokens with a good signature over all kinds of content, read by us and by our peers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from frontdesk.jose import b64
from tests.jose.differences import CLASSES, judge, ours, signed
from tests.jose.minting import AUDIENCE, CLAIMS, ISSUED, ISSUER

HEADER = {"alg": "HS256", "kid": "HS256", "typ": "at+jwt"}
_GOOD = {name: json.dumps(value) for name, value in CLAIMS.items()}
_GOOD_HEADER = {name: json.dumps(value) for name, value in HEADER.items()}

_ODD_VALUES = ["null", "true", '""', '"1"', "1", "-1", "-0", "1.5", "1E3", "1e309", "NaN", "-Infinity", "[]", "{}"]
_ODD_VALUES += ["[1]", '["a"]', '"\\ud800"', '"\\u0061"', '":"', '"{"', '"\\\\"', '"a\\":"', '{"a":1}', '{"a":1,"a":2}']
_ODD_VALUES += ['[{"b":{}}]', "18446744073709551615", "18446744073709551616", "253402300800"]
_ODD_VALUES += [f"{'[' * 15}{']' * 15}", f"{'[' * 16}{']' * 16}", '" :"', f'"{ISSUER}"', f'"{AUDIENCE}"']
_ODD_VALUES += [f'["x","{AUDIENCE}"]', f"{ISSUED}", f"{ISSUED + 900}", f"{ISSUED + 900}.5"]
_ODD = st.sampled_from(_ODD_VALUES)
_CLAIM = st.sampled_from(
    [*CLAIMS, "nbf", "auth_time", "amr", "roles", "scope", "sid", "client_id", "x", "(extra)", "é"]
)
_PARAMETER = st.sampled_from(
    [*HEADER, "crit", "b64", "zip", "enc", "cty", "jwk", "jku", "x5c", "x5u", "x5t", "x5t#S256", "x"]
)
_PARAMETER_VALUE = _ODD | st.sampled_from(
    [
        '"HS256"',
        '"none"',
        '"JWT"',
        '"at+jwt"',
        '"application/AT+JWT"',
        '["b64"]',
        '["x"]',
        "false",
        '"https://keys.example"',
        '"http://keys.example"',
    ]
)
_SPACE = st.sampled_from(["", "", "", " ", "\n", "\t"])
_CHANGES = st.lists(st.tuples(_CLAIM, _ODD, st.booleans()), max_size=3)
_HEADER_CHANGES = st.lists(st.tuples(_PARAMETER, _PARAMETER_VALUE, st.booleans()), max_size=2)
_SPELLING = st.sampled_from(["same", "same", "same", "same", "padded", "stray bits", "white space", "plus"])
_ENCODING = st.sampled_from(["utf-8"] * 6 + ["utf-8-sig", "utf-16", "utf-16-le", "utf-32-be", "latin-1"])


def _document(good: dict[str, str], changes: list[tuple[str, str, bool]], space: str, encoding: str) -> bytes:
    """JSON text: members replaced, or with a true flag added once more."""
    members = list(good.items())
    for name, value, again in changes:
        if not again:
            members = [member for member in members if member[0] != name]
        members.append((name, value))
    text = ",".join(f'{space}"{name}"{space}:{value}' for name, value in members)
    return f"{{{text}}}{space}".encode(encoding, "replace")


def _spell(document: bytes, spelling: str) -> bytes:
    part = b64.encode(document)
    if spelling == "padded":
        return part + b"=" * (-len(part) % 4)
    if spelling == "stray bits" and len(part) % 4:
        return part[:-1] + bytes([part[-1] + 1])
    if spelling == "white space":
        return part[:9] + b"\n" + part[9:]
    return part.replace(b"-", b"+").replace(b"_", b"/") if spelling == "plus" else part


@st.composite
def _tokens(draw: st.DrawFn) -> bytes:
    head = _document(_GOOD_HEADER, draw(_HEADER_CHANGES), draw(_SPACE), draw(_ENCODING))
    payload = _document(_GOOD, draw(_CHANGES), draw(_SPACE), draw(_ENCODING))
    whole = signed(_spell(head, draw(_SPELLING)), _spell(payload, draw(_SPELLING)))
    change = draw(st.sampled_from(["none"] * 6 + ["padded signature", "stray bits", "cut", "flipped"]))
    if change == "padded signature":
        return whole + b"="
    if change == "stray bits":
        return whole[:-1] + bytes([whole[-1] + 1])
    place = draw(st.integers(0, len(whole) - 1))
    if change == "cut":
        return whole[:place]
    return whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :] if change == "flipped" else whole


@given(_tokens())
@example(signed(b64.encode(json.dumps(HEADER).encode()), b64.encode(json.dumps(dict(CLAIMS)).encode())))
def test_peers_agree_with_what_we_accept_and_differ_for_listed_reasons_only(token: bytes) -> None:
    judge(token)


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_peers_agree_on_signed_noise(head: bytes, payload: bytes) -> None:
    judge(signed(b64.encode(head), b64.encode(payload)))


def _with(payload: bytes | None = None, header: bytes | None = None) -> bytes:
    good = json.dumps(dict(CLAIMS), separators=(",", ":")).encode()
    head = json.dumps(HEADER).encode() if header is None else header
    return signed(b64.encode(head), b64.encode(good if payload is None else payload))


def _claims(**changes: Any) -> bytes:
    return json.dumps({name: value for name, value in {**CLAIMS, **changes}.items() if value is not None}).encode()


def _header(**changes: Any) -> bytes:
    return json.dumps({**HEADER, **changes}).encode()


_SAMPLES = {
    "too large": _with(_claims(x="x" * 16_000)),
    "another spelling of base64url (RFC 7515 §2)": _with() + b"=",
    "a member twice (RFC 8725 §2.4)": _with(_claims()[:-1] + b',"sub":"mallory"}'),
    "a lone surrogate (RFC 7493 §2.1)": _with(_claims(x="\ud800")),
    "not UTF-8 (RFC 8725 §3.7)": _with(json.dumps(dict(CLAIMS)).encode("utf-16")),
    "no number of JSON or beyond 64 bits": _with(_claims(x=float("nan"))),
    "nested deeper than 16": _with(_claims(x=[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]])),
    "an extension, compression or encryption asked for": _with(header=_header(zip="DEF")),
    "a header parameter of another type or form": _with(header=_header(x5t=1)),
    "a token inside the token": _with(header=_header(cty="JWT")),
    "another key named": _with(header=_header(kid="other")),
    "a required claim missing": _with(_claims(exp=None)),
    "a claim of another type or range": _with(_claims(roles="admin")),
    "another type of token (RFC 8725 §3.11)": _with(header=_header(typ="JWT")),
    "another issuer": _with(_claims(iss="https://other.example")),
    "another audience": _with(_claims(aud="https://other.example")),
    "not at this time": _with(_claims(exp=ISSUED)),
}


@pytest.mark.parametrize("name", CLASSES)
def test_in_each_listed_class_a_peer_accepts_what_we_refuse(name: str) -> None:
    assert judge(_SAMPLES[name]) == name
    assert ours(_SAMPLES[name])[1] in CLASSES[name][0]


def test_a_difference_that_is_not_listed_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.jose.differences.ours", lambda *_, **__: (None, "signature_invalid"))
    with pytest.raises(AssertionError, match="accept what we refuse"):
        judge(_with())
    monkeypatch.setattr("tests.jose.differences.ours", lambda *_, **__: ({"sub": "mallory"}, "accepted"))
    with pytest.raises(AssertionError, match="PyJWT reads"):
        judge(_with())
