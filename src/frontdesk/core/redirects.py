"""May this `next` be followed after a sign-in? Only to a path of this very origin.

A list of what is dangerous is never complete, so the rule is a grammar: an absolute path of visible ASCII characters
that a URL may contain (RFC 3986), without anything that a browser, a proxy or a server, normalising it once more, could
turn into another host.
"""

from __future__ import annotations

import re
from typing import Final

LONGEST: Final = 2048
"""Characters of a `next` that are looked at; a longer one is not followed."""

_URL_CHARACTERS: Final = re.compile(r"(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})*")
_PATH_END: Final = re.compile(r"[?#]")
_ENCODED_CONTROL: Final = re.compile(r"%(?:[01][0-9a-f]|7f)")
_ENCODED_DOT: Final = re.compile(r"%2e")
_RISKY_FIRST: Final = re.compile(r"(?:@|%40|[^/]*%(?:2f|5c|25[0-9a-f]{2}))")


def safe_next(value: str | None, *, default: str = "/") -> str:
    """`value` if it leads to a path of this origin, otherwise `default`.

    `value` is the parameter as received, after the query or form was decoded once. `default` is the caller's own
    constant and is not examined. The result is returned unchanged, never repaired: it is safe as a `Location` header
    value and, escaped, in HTML.

    Refused: anything not starting with exactly one slash, a scheme, a host, backslashes, control and other characters
    that do not belong into a URL, percent-encoded control characters in the path, a slash, backslash or percent sign
    hidden by encoding in the first segment, a first segment that starts with `@`, empty and dot segments (a server that
    merges slashes could redirect again to `//host`), and more than `LONGEST` characters.
    """
    return value if value is not None and _is_path_here(value) else default


def _is_path_here(value: str) -> bool:
    if len(value) > LONGEST or not value.startswith("/") or not _URL_CHARACTERS.fullmatch(value):
        return False
    path = _PATH_END.split(value, maxsplit=1)[0].lower()
    if _ENCODED_CONTROL.search(path):
        return False
    segments = path[1:].split("/")
    if any(_is_empty_or_dots(segment) for segment in segments[:-1]) or _is_dots(segments[-1]):
        return False
    return not _RISKY_FIRST.match(segments[0])


def _is_empty_or_dots(segment: str) -> bool:
    return not segment or _is_dots(segment)


def _is_dots(segment: str) -> bool:
    return _ENCODED_DOT.sub(".", segment) in {".", ".."}
