"""JSON objects, UTF-8 only, with one meaning (RFC 8259, RFC 7493, RFC 8725 §3.7).

Refused: duplicate members at any depth, NaN and Infinity, numbers beyond double or 64-bit integer range, lone
surrogates, a byte order mark, invalid UTF-8, nesting deeper than 16, and whatever is no object.

msgspec refuses whatever RFC 8259 does not allow, but takes of a duplicate the last member and says nothing. Three
ways to see that there is none, the quickest first; each proves it or leaves the document to the next.

1. Counting (`is_plain`), for a document without a backslash, without tabs and line ends, with no space before a
   colon, and with no `{` but its first byte. Without a backslash the quotes of a document are the ends of its
   strings and nothing else, there are no surrogates, and equal names have equal bytes. The outermost object is the
   only one. Each of its m members brings a `":` of its own, the end of its name and its colon, which no white space
   parts; a string that begins with a colon may bring one more. So m ≤ count of `":`. The decoded dict has d members,
   one for each distinct name: d ≤ m. When d equals the count, d = m: no name came twice.
2. Encoding the decoded dict again. When the result equals the input byte for byte, the input *is* the
   serialisation of a dict, which writes every member of every dict once.
3. The parser of the standard library with a hook on every object.

All three return equal values.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from frontdesk.errors import TokenError

MAX_DEPTH: Final = 16
INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**64 - 1

_BACKSLASH, _TAB, _LINE_FEED, _CARRIAGE_RETURN, _SPACE = b"\\\t\n\r "

_decode: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.Encoder().encode
# One pass, without backtracking: a string (also one that never ends) or one bracket.
_STRUCTURE: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


class _RefusedError(ValueError):
    """Raised inside the hooks; its text is the sentence of the TokenError."""


def parse(document: bytes, *, code: str = "token_malformed") -> dict[str, Any]:
    """The object that `document` holds. TokenError(`code`) for everything the module refuses."""
    value = decode(document, code=code)
    refuse_beyond_limits(value.values(), code=code)
    return value


def decode(document: bytes, *, code: str = "token_malformed") -> dict[str, Any]:
    """As `parse`, but the caller sees to `refuse_beyond_limits` for the members whose type leaves room for it."""
    try:
        value = _decode(document)
        if type(value) is dict and (is_plain(document, len(value)) or _encode(value) == document):
            return value
    except (ValueError, RecursionError):
        pass  # The other path decides, and finds the words.
    try:
        return _decode_slowly(document)
    except _RefusedError as refused:
        raise TokenError(code, str(refused)) from None
    except UnicodeError:
        raise TokenError(code, "The JSON is not valid UTF-8.") from None
    except (ValueError, RecursionError):
        raise TokenError(code, "The JSON cannot be parsed.") from None


def is_plain(document: bytes, members: int) -> bool:
    """Whether counting proves that `document`, of which `members` members were decoded, holds these and no others.

    `document` is a JSON object by the judgement of msgspec. False proves nothing.
    """
    # An int on the left of `in` is searched with memchr; bytes of length one cost eight times as much.
    return (
        document.rfind(b"{") == 0
        and document.count(b'":') == members
        and _BACKSLASH not in document
        and _TAB not in document
        and _LINE_FEED not in document
        and _CARRIAGE_RETURN not in document
        and (_SPACE not in document or b" :" not in document)
    )


def refuse_beyond_limits(values: Iterable[Any], *, code: str = "token_malformed", depth: int = 1) -> None:
    """TokenError(`code`) when a number or the nesting in `values`, of an object at `depth`, exceeds the limits."""
    for value in values:
        if type(value) is str:
            continue
        kind = type(value)
        if kind is int:
            if not INT_MIN <= value <= INT_MAX:
                raise TokenError(code, "The JSON holds a number that is out of range.")
        elif kind is dict or kind is list:
            if depth == MAX_DEPTH:
                raise TokenError(code, "The JSON is nested too deeply.")
            inner = value.values() if kind is dict else value
            refuse_beyond_limits(inner, code=code, depth=depth + 1)


def serialise(value: object) -> bytes:
    """Compact JSON in UTF-8. `value` consists of plain JSON types (`frontdesk.jose.jwt` sees to it)."""
    return _encode(value)


def _decode_slowly(document: bytes) -> dict[str, Any]:
    if _depth(document) > MAX_DEPTH:
        raise _RefusedError("The JSON is nested too deeply.")
    text = document.decode("utf-8")
    value = json.loads(
        text,
        object_pairs_hook=_object,
        parse_constant=_constant,
        parse_float=_float,
    )
    if not isinstance(value, dict):
        raise _RefusedError("The JSON is not an object.")
    if "\\u" in text:
        # Only an escape can bring a lone surrogate in; encoding the whole value finds it, in keys too.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


def _depth(document: bytes) -> int:
    """The deepest nesting; exact for valid JSON, and any number for the rest, which the parser refuses."""
    deepest = depth = 0
    for match in _STRUCTURE.finditer(document):
        token = match[0]
        if token in (b"{", b"["):
            depth += 1
            deepest = max(deepest, depth)
        elif token in (b"}", b"]"):
            depth -= 1
    return deepest


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(members)
    if len(value) != len(members):
        raise _RefusedError("The JSON holds a member twice.")
    return value


def _constant(_name: str) -> object:
    raise _RefusedError("The JSON holds a number that is not finite.")


def _float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise _RefusedError("The JSON holds a number that is out of range.")
    return number
