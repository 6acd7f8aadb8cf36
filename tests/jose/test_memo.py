"""What is remembered of verified tokens: bounded, and never believed further than a new token would be."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdesk.jose import jwk, jwt
from frontdesk.jose.memo import TokenMemo
from tests.jose.minting import CLAIMS, ISSUED, NOW, SECRET, craft, header_of, key, refusal, token, verify


class _Own(jwt.Claims, frozen=True, kw_only=True):
    """A record of an issuer with two claims of its own."""

    epoch: int | None = None
    colours: tuple[str, ...] | None = None


def _counting(signer: jwk.Key, calls: list[bytes]) -> jwk.Key:
    """A key like `signer` that writes down what it verifies."""

    class Counting(jwk.OctKey):
        __slots__ = ()

        def verifies(self, data: bytes, signature: bytes) -> bool:
            calls.append(data)
            return super().verifies(data, signature)

    return Counting(SECRET, kid=signer.kid)


def test_a_token_that_comes_again_is_not_verified_again() -> None:
    calls: list[bytes] = []
    signer, memo = _counting(key("HS256"), calls), jwt.Memo()
    first = verify(token(), signer, memo=memo)
    assert verify(token().encode(), jwk.KeySet([signer]), memo=memo) is first
    assert verify(token(), lambda _: signer, memo=memo) is first
    assert len(calls) == 1
    assert (len(memo), memo.size) == (1, len(token()))


def test_other_bytes_are_another_token() -> None:
    memo = jwt.Memo()
    whole = token().encode()
    verify(whole, memo=memo)
    for place in range(len(whole)):
        assert refusal(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :], memo=memo) != "accepted"
    assert len(memo) == 1


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"typ": "JWT"}, "type_mismatch"),
        ({"issuer": "https://other.example"}, "issuer_mismatch"),
        ({"audience": "https://other.example"}, "audience_mismatch"),
        ({"now": NOW - timedelta(seconds=32)}, "token_not_yet_valid"),
        ({"now": NOW + timedelta(seconds=899)}, "token_expired"),
        ({"require": ["sid"]}, "claim_missing"),
        ({"keys": jwk.OctKey(SECRET, kid="other")}, "key_unknown"),
        ({"keys": jwk.OctKey(SECRET[::-1], kid="HS256")}, "signature_invalid"),
        ({"keys": jwk.KeySet([])}, "key_unknown"),
        ({"keys": lambda _: None}, "key_unknown"),
    ],
)
def test_a_remembered_token_meets_the_whole_policy(change: dict[str, Any], code: str) -> None:
    memo = jwt.Memo()
    assert refusal(token(), memo=memo) == "accepted"
    assert refusal(token(), memo=memo, **change) == refusal(token(), **change) == code
    assert refusal(token(), memo=memo) == "accepted"


def test_keys_of_another_python_type_are_misuse_of_a_remembered_token_too() -> None:
    memo = jwt.Memo()
    verify(token(), memo=memo)
    with pytest.raises(TypeError):
        verify(token(), "secret", memo=memo)


def test_a_token_whose_time_is_over_is_forgotten() -> None:
    memo = jwt.Memo()
    verify(token(), memo=memo)
    assert refusal(token(), memo=memo, now=NOW + timedelta(seconds=899)) == "token_expired"
    assert len(memo) == 0


def test_nothing_is_kept_of_a_token_that_is_refused() -> None:
    memo = jwt.Memo()
    stranger = jwk.OctKey(SECRET[::-1], kid="HS256")
    for refused in (
        "garbage",
        craft(header_of(stranger), dict(CLAIMS), stranger),
        token(aud="https://other.example"),
        token(exp=ISSUED),
        token(nbf=ISSUED + 500),
        b"A" * 20_000,
    ):
        assert refusal(refused, memo=memo) != "accepted"
    assert len(memo) == 0


def test_a_larger_token_is_refused_before_it_is_looked_for() -> None:
    class Untouched(TokenMemo[Any]):
        __slots__ = ()

        def find(self, token: bytes) -> Any:
            raise AssertionError("it was looked for")

    assert refusal(b"A" * 16_385, memo=Untouched()) == "token_oversize"


def test_another_record_is_decoded_anew() -> None:
    memo = jwt.Memo()
    own = verify(token(epoch=3), memo=memo, record=_Own)
    assert isinstance(own, _Own)
    assert own.epoch == 3
    assert verify(token(epoch=3), memo=memo).extra == {"epoch": 3}


def test_the_least_recent_make_room() -> None:
    memo: TokenMemo[int] = TokenMemo(entries=3)
    for number, name in enumerate((b"a", b"b", b"c")):
        memo.keep(name, "k", number)
    assert memo.find(b"a") == 0
    memo.keep(b"d", "k", 3)
    assert [memo.find(name) for name in (b"a", b"b", b"c", b"d")] == [0, None, 2, 3]


def test_all_tokens_of_a_key_go_together() -> None:
    memo: TokenMemo[int] = TokenMemo()
    for number in range(10):
        memo.keep(b"%d" % number, "even" if number % 2 == 0 else "odd", number)
    assert memo.drop_key("even") == 5
    assert memo.drop_key("even") == 0
    assert [memo.find(b"%d" % number) for number in range(4)] == [None, 1, None, 3]
    assert (len(memo), memo.size) == (5, 5)
    memo.clear()
    assert (len(memo), memo.size, memo.find(b"1")) == (0, 0, None)


_ACTIONS = st.lists(st.tuples(st.sampled_from("kfdx"), st.binary(min_size=1, max_size=6)), max_size=60)


@given(_ACTIONS, st.integers(1, 5), st.integers(1, 12))
def test_the_bounds_hold_whatever_happens(actions: list[tuple[str, bytes]], entries: int, size: int) -> None:
    memo: TokenMemo[bytes] = TokenMemo(entries=entries, size=size)
    for action, name in actions:
        if action == "k":
            memo.keep(name, name[:1].hex(), name)
            assert (memo.find(name) == name) == (len(name) <= size)
        elif action == "f":
            assert memo.find(name) in (None, name)
        elif action == "d":
            memo.drop(name)
            assert memo.find(name) is None
        else:
            memo.drop_key(name[:1].hex())
        assert len(memo) <= entries
        assert memo.size <= size
        assert (memo.size == 0) == (len(memo) == 0)


@pytest.mark.parametrize("bounds", [{"entries": 0}, {"size": 0}, {"entries": -1}])
def test_a_memo_without_room_is_misuse(bounds: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="room"):
        TokenMemo(**bounds)


def test_its_description_shows_no_token() -> None:
    memo = jwt.Memo()
    verify(token(), memo=memo)
    assert repr(memo) == f"<TokenMemo of 1 tokens, {len(token())} bytes>"


# --- records of an issuer's own

_PAYLOADS = {
    "nothing else": "",
    "both": '"epoch":1,"colours":["red"],',
    "another claim": '"epoch":1,"other":[1,{"a":null}],',
    "spaced": '"epoch" : 1 ,',
    "a colon at the start of a string": '"sid":":",',
    "an escape": '"sid":"\\u0061",',
    "the inner name of the rest": '"(extra)":{"sub":"mallory"},',
    "a brace in a string": '"sid":"{",',
    "null": '"epoch":null,',
}


@pytest.mark.parametrize("added", _PAYLOADS.values(), ids=_PAYLOADS.keys())
def test_a_record_holds_what_the_general_claims_hold(added: str) -> None:
    members = '"iss":"https://desk.example","aud":"https://api.example","exp":1790000900}'
    payload = craft(header_of(key("HS256")), f"{{{added}{members}".encode(), key("HS256"))
    own, general = verify(payload, record=_Own), verify(payload)
    assert isinstance(own, _Own)
    found = {"epoch": own.epoch, "colours": None if own.colours is None else list(own.colours)}
    together = {**own.extra, **{name: value for name, value in found.items() if value is not None}}
    assert together == {name: value for name, value in general.extra.items() if value is not None}
    assert (own.iss, own.sub, own.sid, own.exp) == (general.iss, general.sub, general.sid, general.exp)


@pytest.mark.parametrize(
    ("added", "code"),
    [
        ('"epoch":1,"epoch":1,', "token_malformed"),
        ('"epoch":1,"epoch" :1,', "token_malformed"),
        ('"epoch":1,"epoch"\t:1,', "token_malformed"),
        ('"epoch":1,"epoch"\n:1,', "token_malformed"),
        ('"epoch":1,"epoch"\r:1,', "token_malformed"),
        ('"epoch":1,"\\u0065poch":1,', "token_malformed"),
        ('"iss":"https://desk.example",', "token_malformed"),
        ('"other":1,"other":1,', "token_malformed"),
        ('"other":{"a":1,"a":1},', "token_malformed"),
        ('"other":NaN,', "token_malformed"),
        ('"other":1e999,', "token_malformed"),
        ('"other":"\\ud800",', "token_malformed"),
        ('"other":18446744073709551616,', "token_malformed"),
        (f'"other":{"[" * 16}{"]" * 16},', "token_malformed"),
        ('"epoch":"1",', "claim_invalid"),
        ('"epoch":true,', "claim_invalid"),
        ('"colours":[1],', "claim_invalid"),
        ('"sub":null,', "claim_invalid"),
    ],
)
def test_a_record_refuses_what_the_general_claims_refuse(added: str, code: str) -> None:
    members = '"iss":"https://desk.example","aud":"https://api.example","exp":1790000900}'
    payload = f"{{{added}{members}".encode()
    assert refusal(craft(header_of(key("HS256")), payload, key("HS256")), record=_Own) == code
    invalid_utf8 = payload.replace(b"desk", b"de\xffk")
    assert refusal(craft(header_of(key("HS256")), invalid_utf8, key("HS256")), record=_Own) == "token_malformed"


def test_claims_that_a_receiver_could_change_are_not_remembered() -> None:
    memo = jwt.Memo()
    nested = token(perm={"read": []})
    first = verify(nested, memo=memo)
    first.extra["perm"]["read"].append("everything")
    assert verify(nested, memo=memo).extra["perm"] == {"read": []}
