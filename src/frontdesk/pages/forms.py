"""Reading what a form sent: `application/x-www-form-urlencoded`, strictly, or a refusal that says what was wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from frontdesk.endpoints.http import BODY_LIMIT, Request
from frontdesk.errors import Refusal

MOST_FIELDS: Final = 100

_TYPE: Final = "application/x-www-form-urlencoded"
_TOO_LARGE: Final = Refusal("body_too_large")
_NOT_A_FORM: Final = Refusal("content_type_unsupported", f"A form is sent as {_TYPE}.")
_UNREADABLE: Final = Refusal("body_not_parseable")
_TWICE: Final = Refusal("body_invalid", "A field of the form came twice; none of them is believed.")


def read_form(request: Request) -> Mapping[str, str] | Refusal:
    """The fields by name. 413 over 64 KiB, 415 another type, 400 not a form or over 100 fields, 422 a field twice.

    Values are exactly what was typed: nothing is trimmed. Fields that nobody asks for are ignored, since browser
    extensions add some.
    """
    if len(request.body) > BODY_LIMIT:
        return _TOO_LARGE
    if request.media_type != _TYPE:
        # A body without content needs no type: the buttons of the dashboard send none.
        return {} if not request.body and not request.media_type else _NOT_A_FORM
    try:
        pairs = _pairs(request.body.decode("ascii"))
    except ValueError:
        return _UNREADABLE
    fields = dict(pairs)
    return fields if len(fields) == len(pairs) else _TWICE


def query_value(request: Request, name: str) -> str | None:
    """The value of a query parameter that came exactly once; None otherwise."""
    try:
        values = [value for key, value in _pairs(request.query) if key == name]
    except ValueError:
        return None
    return values[0] if len(values) == 1 else None


def _pairs(text: str) -> list[tuple[str, str]]:
    return parse_qsl(text, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=MOST_FIELDS)
