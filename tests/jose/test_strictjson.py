"""JSON with one meaning: what is refused, and that the fast path accepts nothing more than the slow one."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from frontdesk.errors import TokenError
from frontdesk.jose import strictjson
from tests.jose.minting import attempted

REFUSED = {
    "a duplicate member": b'{"a":1,"a":1}',
    "a duplicate member inside": b'{"a":[{"b":{"c":1,"c":2}}]}',
    "a duplicate member through an escape": b'{"a":1,"\\u0061":2}',
    "NaN": b'{"a":NaN}',
    "Infinity": b'{"a":Infinity}',
    "minus Infinity": b'{"a":[-Infinity]}',
    "a number beyond double": b'{"a":1e309}',
    "a number beyond double, spaced": b'{"a": 1e309}',
    "an integer beyond 64 bits": b'{"a":[18446744073709551616]}',
    "an integer beyond 64 bits, spaced": b'{"a": 18446744073709551616}',
    "an integer below 64 bits": b'{"a":{"b":-9223372036854775809}}',
    "an integer of 401 digits": b'{"a":1' + b"0" * 400 + b"}",
    "an integer of 9000 digits": b'{"a":' + b"9" * 9000 + b"}",
    "a lone high surrogate": b'{"a":"\\ud800"}',
    "a lone low surrogate": b'{"a":"\\udc00"}',
    "surrogates in the wrong order": b'{"a":"\\udc00\\ud800"}',
    "a lone surrogate in a name": b'{"\\ud800":1}',
    "a surrogate in UTF-8": b'{"a":"\xed\xa0\x80"}',
    "a byte that is not UTF-8": b'{"a":"\xff"}',
    "an overlong encoding": b'{"a":"\xc0\xaf"}',
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "UTF-16 without a mark": '{"a":1}'.encode("utf-16-le"),
    "UTF-32": '{"a":1}'.encode("utf-32-be"),
    "a byte order mark": b'\xef\xbb\xbf{"a":1}',
    "an array": b"[1]",
    "a string": b'"a"',
    "null": b"null",
    "nothing": b"",
    "something behind": b'{"a":1}x',
    "two objects": b"{}{}",
    "a control character": b'{"a":"\x01"}',
    "a trailing comma": b'{"a":1,}',
    "a comment": b'{"a":1/**/}',
    "single quotes": b"{'a':1}",
    "a leading zero": b'{"a":01}',
    "a plus sign": b'{"a":+1}',
    "depth 17": b'{"a":' + b"[" * 16 + b"]" * 16 + b"}",
    "depth 17, spaced": b'{"a": ' + b"[" * 16 + b"]" * 16 + b"}",
    "depth 6000": b'{"a":' + b"[" * 6000 + b"]" * 6000 + b"}",
    "depth 6000 that never ends": b'{"a":' * 3000,
    "a string that never ends": b'{"a":"' + b'\\"' * 6000,
}


@pytest.mark.parametrize("document", REFUSED.values(), ids=REFUSED.keys())
def test_json_with_two_meanings_or_none_is_refused(document: bytes) -> None:
    with pytest.raises(TokenError) as caught:
        strictjson.parse(document, code="key_invalid")
    assert caught.value.code == "key_invalid"


@pytest.mark.parametrize(
    ("document", "value"),
    [
        (b"{}", {}),
        (b' {"a" : 1e3 }\n', {"a": 1000.0}),
        (b'{"a":"\\ud83d\\ude00"}', {"a": "\U0001f600"}),
        ('{"ä":"ß"}'.encode(), {"ä": "ß"}),
        (b'{"a":"\\u0061\\/"}', {"a": "a/"}),
        (b'{"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]}', {"a": {"a": {"a": 1}}, "b": [{"a": 1}, {"a": 1}]}),
        (b'{"a":18446744073709551615,"b":-9223372036854775808}', {"a": 2**64 - 1, "b": -(2**63)}),
        (b'{"a":"[[[[[[[[[[[[[[[[[[[[["}', {"a": "[" * 21}),
        (b'{ "a":"\\"[[[[[[[[[[[[[[[[[[[[["}', {"a": '"' + "[" * 21}),
        (b'{"a":' + b"[" * 15 + b"]" * 15 + b"}", {"a": [[[[[[[[[[[[[[[]]]]]]]]]]]]]]]}),
        (b'{"a": ' + b"[" * 15 + b"]" * 15 + b"}", {"a": [[[[[[[[[[[[[[[]]]]]]]]]]]]]]]}),
    ],
)
def test_json_with_one_meaning_is_read(document: bytes, value: object) -> None:
    assert strictjson.parse(document) == value


_SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4)
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
_OBJECTS = st.dictionaries(st.text(max_size=3), _VALUES, max_size=4)


def _has_duplicate(document: bytes) -> bool:
    """A second opinion: the standard library's parser, counting members."""
    found = False

    def count(members: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal found
        found = found or len(dict(members)) != len(members)
        return dict(members)

    json.loads(document, object_pairs_hook=count)
    return found


# A dialect in which almost every text is JSON, and duplicates are frequent.
_TEXTS = st.recursive(
    st.sampled_from(['"a"', '"\\u0061"', "1", "-0", "1.0", "1e0", "null", "true", '""', '"é"', '"\\u00e9"']),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]"),
        st.lists(st.tuples(st.sampled_from(['"a"', '"b"', '"\\u0061"', '""']), inner), max_size=3).map(
            lambda pairs: "{" + ",".join(f"{name}:{value}" for name, value in pairs) + "}"
        ),
    ),
    max_leaves=8,
).map(lambda text: f'{{"z":{text}}}'.encode())


@given(_TEXTS)
@example(b'{"z":{"a":1,"a":1}}')
def test_a_duplicate_is_found_exactly_when_there_is_one(document: bytes) -> None:
    if _has_duplicate(document):
        with pytest.raises(TokenError):
            strictjson.parse(document)
    else:
        assert strictjson.parse(document) == json.loads(document)


@given(_OBJECTS, st.booleans())
def test_fast_and_slow_path_read_the_same(value: dict[str, Any], ascii_only: bool) -> None:
    compact = strictjson.serialise(value)
    spaced = json.dumps(value, ensure_ascii=ascii_only).encode()
    quick, slow = (attempted(lambda: strictjson.parse(document)) for document in (compact, spaced))  # noqa: B023
    assert quick == slow
    if not any(isinstance(leaf, int) and not -(2**63) <= leaf < 2**64 for leaf in _leaves(value)):
        assert quick == (value, "accepted")


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [leaf for item in value for leaf in _leaves(item)]
    return [value]


@given(st.binary(max_size=40) | st.text('{}[]":,\\u0aed8 1-.eE', max_size=40).map(str.encode))
def test_nothing_but_a_token_error_comes_out(document: bytes) -> None:
    value, code = attempted(lambda: strictjson.parse(document))
    assert code == ("token_malformed" if value is None else "accepted")
    assert all(not isinstance(leaf, float) or math.isfinite(leaf) for leaf in _leaves(value))


# --- what the fast paths rest on: the decoder refuses whatever RFC 8259 does not allow

_PIECES = {
    "structure": [b"{", b"}", b"[", b"]", b",", b":", b'"a"', b"1", b" "],
    "numbers": [b"0", b"1", b"-", b"+", b".", b"e", b"E"],
    "words": [b"true", b"null", b"NaN", b"Infinity", b"-", b"t", b"nul", b"'"],
    "strings": [b'"', b"a", b":", b"\t", b"\x00", b"\x1f", b"\x7f", b"\xff", b"\xc3", b"\xa9", b"\xed\xa0\x80"],
    "white space": [b" ", b"\t", b"\n", b"\r", b"\x0b", b"\x0c", b"\xc2\xa0", b"1", b"\xef\xbb\xbf", b"\x00"],
}


def _standard(document: bytes) -> Any:
    """What the parser of the standard library reads; None where it, or UTF-8, has something against it."""
    try:
        return json.loads(document.decode("utf-8"), parse_constant=lambda _: 1 / 0)
    except (ValueError, ZeroDivisionError):
        return None


@pytest.mark.parametrize("pieces", _PIECES.values(), ids=_PIECES.keys())
def test_the_decoder_takes_no_short_document_that_the_standard_library_refuses(pieces: list[bytes]) -> None:
    wrapping = b"%b" if b"{" in pieces else b'{"a":"%b"}' if b'"' in pieces else b'{"a":%b}'
    taken = 0
    for length in range(6 if b"{" in pieces else 5):
        for chosen in itertools.product(pieces, repeat=length):
            document = wrapping % b"".join(chosen)
            value, _ = attempted(lambda: strictjson.decode(document))  # noqa: B023
            assert value is None or value == _standard(document), document
            taken += value is not None
    assert taken > 1


_NAMES = [b'"a"', b'"b"', b'"a" ', b'"a"\t', b'"\\u0061"', b'"a\\""', b'":"', b'" :"', b'"{"']
_PLAIN_VALUES = [b"1", b'"a"', b'":"', b'":a"', b'"a:"', b'" :"', b"[]", b'["a","a"]', b'{"a":1}', b'"\\":"']


def test_counting_never_overlooks_a_duplicate() -> None:
    plain = 0
    for first, second in itertools.product(itertools.product(_NAMES, _PLAIN_VALUES), repeat=2):
        document = b"{" + b",".join(b"%b:%b" % member for member in (first, second)) + b"}"
        value = _standard(document)
        assert isinstance(value, dict)
        if strictjson.is_plain(document, len(value)):
            plain += 1
            assert not _has_duplicate(document), document
    assert plain > 40
