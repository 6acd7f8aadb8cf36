"""Taking a token apart without believing it: what is shown of faulty ones, what is named, what is no token at all."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from frontdesk.errors import TokenError
from frontdesk.jose import b64
from frontdesk.jose.codes import TOKEN_CODES
from frontdesk.jose.unverified import UNVERIFIED_MAX, UnverifiedToken, take_apart_unverified
from tests.jose import minting

TUTORIAL = b"eyJhbGciOiJIUzI1NiJ9.eyJ1c2VySWQiOiI0MiJ9.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"
HEADER = b'{"alg":"HS256"}'


def compact(*parts: bytes) -> bytes:
    return b".".join(map(b64.encode, parts))


def signed(payload: bytes, *, header: bytes = HEADER, signature: bytes = bytes(32)) -> UnverifiedToken:
    return take_apart_unverified(compact(header, payload, signature))


def faults_of(token: UnverifiedToken) -> list[tuple[str, str]]:
    return [(fault.code, fault.message) for fault in token.faults]


def refusal(token: bytes) -> TokenError:
    with pytest.raises(TokenError) as caught:
        take_apart_unverified(token)
    return caught.value


def test_the_token_of_every_tutorial_is_read_and_has_no_fault_of_form() -> None:
    token = take_apart_unverified(TUTORIAL)
    assert (token.header, token.claims, token.faults) == ({"alg": "HS256"}, {"userId": "42"}, ())


@pytest.mark.parametrize("alg", minting.ALGORITHMS)
def test_a_token_that_we_sign_has_no_fault(alg: str) -> None:
    token = take_apart_unverified(minting.token(alg).encode())
    assert token.faults == ()
    assert token.claims == minting.CLAIMS


@pytest.mark.parametrize(
    ("given_bytes", "words"),
    [
        (b"", "Nothing came."),
        (b"garbage", "this has one"),
        (b"a.b", "this has 2"),
        (b"." * 9, "this has 10"),
        (b"..", "not the header"),
        (b"W10.e30.", "not the header"),
        (b"e!!.e30.", "not the header"),
        (b'{"payload": "e30"}', "This is JSON"),
        (b"-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----", "in PEM"),
        (TUTORIAL + b" " + TUTORIAL, "white space"),
        (TUTORIAL.replace(b".", b".\n", 1), "white space"),
    ],
)
def test_what_is_no_token_is_told_in_one_sentence(given_bytes: bytes, words: str) -> None:
    error = refusal(given_bytes)
    assert error.code == "token_malformed"
    assert words in error.message


def test_what_is_too_large_is_not_looked_at() -> None:
    assert refusal(b"x" * (UNVERIFIED_MAX + 1)).code == "token_oversize"


def test_a_signed_token_beyond_the_size_that_is_taken_is_shown_and_called_too_large() -> None:
    token = signed(json.dumps({"a": "x" * 20_000}).encode())
    assert token.claims == {"a": "x" * 20_000}
    assert [code for code, _ in faults_of(token)] == ["token_oversize"]


def test_each_duplicate_member_is_named_at_any_depth_and_the_last_is_shown() -> None:
    token = signed(b'{"exp":1,"exp":2,"a":{"b":1,"b":2,"b":3}}')
    assert token.claims == {"exp": 2, "a": {"b": 3}}
    assert [message.split("`")[1] for _, message in faults_of(token)] == ["b", "exp"]


@pytest.mark.parametrize(
    ("payload", "shown", "word"),
    [
        (b'{"a":NaN}', {"a": "NaN"}, "not finite"),
        (b'{"a":-Infinity}', {"a": "-Infinity"}, "not finite"),
        (b'{"a":1e309}', {"a": "1e309"}, "out of range"),
        (b'{"a":1' + b"0" * 30 + b"}", {"a": 10**30}, "out of range"),
        (b'{"a":"\xff"}', {"a": "\ufffd"}, "UTF-8"),
        (b'\xef\xbb\xbf{"a":1}', {"a": 1}, ""),
        (b'{"a":"\\ud800"}', {"a": "\ud800"}, "UTF-8"),
        (b'{"a":' + b"[" * 16 + b"]" * 16 + b"}", None, "deep"),
        (b'{"a":' + b"[" * 3000 + b"]" * 3000 + b"}", None, "deep"),
        (b"[1]", None, "not an object"),
        (b"hello", None, "parsed"),
        (b"", None, "empty"),
    ],
)
def test_what_breaks_the_rules_of_json_is_named_and_shown_where_it_can_be(
    payload: bytes, shown: object, word: str
) -> None:
    token = signed(payload)
    assert token.claims == shown
    [(code, message)] = faults_of(token)
    assert code == "token_malformed"
    assert word in message


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (lambda token: token + b"=", ["signature"]),
        (lambda token: token[:-1] + b"d", ["signature"]),
        (lambda token: token[:-4] + b"????", ["signature"]),
        (lambda token: token.replace(b".ey", b".+y", 1), ["payload", "payload"]),
    ],
)
def test_an_encoding_that_is_not_canonical_is_named_by_its_part(change: object, names: list[str]) -> None:
    token = take_apart_unverified(change(TUTORIAL))  # type: ignore[operator]
    assert all(code == "token_malformed" for code, _ in faults_of(token))
    assert [next(n for n in ("payload", "signature") if n in message) for _, message in faults_of(token)] == names


@pytest.mark.parametrize("alg", ["none", "None", "nOnE"])
def test_a_token_that_nobody_signed_is_called_so(alg: str) -> None:
    token = signed(b"{}", header=json.dumps({"alg": alg}).encode(), signature=b"")
    assert token.is_unsigned
    assert [code for code, _ in faults_of(token)] == ["algorithm_not_allowed"]


@pytest.mark.parametrize(("size", "word"), [(0, "no signature"), (31, "has 31"), (33, "has 33")])
def test_a_signature_of_the_wrong_size_is_noticed_without_a_key(size: int, word: str) -> None:
    [(code, message)] = faults_of(signed(b"{}", signature=bytes(size)))
    assert code == "signature_invalid"
    assert word in message


def test_every_registered_claim_of_a_wrong_type_is_named() -> None:
    token = signed(b'{"exp":"soon","sub":1,"nbf":-1,"aud":null,"iat":true,"scope":""}')
    assert {message.split("`")[1] for _, message in faults_of(token)} == {"exp", "sub", "nbf", "aud", "iat"}
    assert {code for code, _ in faults_of(token)} == {"claim_invalid"}


def test_a_lone_surrogate_in_a_registered_claim_is_a_fault_like_others() -> None:
    token = signed(b'{"exp":"\\ud800"}')
    assert token.claims == {"exp": "\ud800"}
    assert [code for code, _ in faults_of(token)] == ["token_malformed", "claim_invalid"]


@pytest.mark.parametrize("member", ["crit", "b64", "zip", "enc"])
def test_a_header_that_would_be_refused_is_shown_with_the_reason(member: str) -> None:
    token = signed(b"{}", header=json.dumps({"alg": "HS256", member: "x"}).encode())
    assert token.header[member] == "x"
    assert [code for code, _ in faults_of(token)] == ["header_invalid"]


def test_an_encrypted_token_shows_its_header_and_no_claims() -> None:
    token = take_apart_unverified(compact(b'{"alg":"RSA1_5","enc":"A256GCM"}', b"k", bytes(12), b"c", bytes(16)))
    assert (token.encrypted, token.parameter("alg"), token.claims, token.faults) == (True, "RSA1_5", None, ())


_TEXTS = st.binary(max_size=60) | st.recursive(
    st.none() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
).map(lambda value: json.dumps(value).encode())


@given(st.binary(max_size=200) | st.lists(_TEXTS, min_size=3, max_size=5).map(lambda parts: compact(*parts)))
@example(b"eyJhbGciOiJIUzI1NiJ9..")
def test_whatever_comes_is_taken_apart_or_refused_and_what_is_shown_can_be_written_as_json(token: bytes) -> None:
    parts, code = minting.attempted(lambda: take_apart_unverified(token))
    if parts is None:
        assert code in {"token_malformed", "token_oversize"}
    else:
        assert {fault.code for fault in parts.faults} <= TOKEN_CODES.keys()
        json.dumps([parts.header, parts.claims], allow_nan=False)
