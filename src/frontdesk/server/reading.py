"""Reading one setting from what a file, the environment or a flag holds. Each reader raises ValueError with advice."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Final

Reader = Callable[[object], object]

_UNITS: Final = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DURATION: Final = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)")
_TRUE: Final = frozenset({"true", "yes", "on", "1"})
_FALSE: Final = frozenset({"false", "no", "off", "0"})


def text(value: object) -> str:
    """A string without control characters."""
    if not isinstance(value, str):
        raise ValueError(f"is a string; write it in quotes, not {_shown(value)}")  # noqa: TRY004 - a wrong value
    if not value.isprintable():
        raise ValueError("holds a character that cannot be printed; remove it")
    return value.strip()


def flag(value: object) -> bool:
    """true or false."""
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else ""
    if word not in _TRUE | _FALSE:
        raise ValueError(f"is true or false, not {_shown(value)}")
    return word in _TRUE


def whole(value: object) -> int:
    """A whole number, zero or above."""
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
        value = int(value.strip()[:19])
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"is a whole number, not {_shown(value)}")
    return value


def duration(value: object) -> timedelta:
    """`30s`, `15m`, `12h`, `7d`, `500ms`. A bare number says nothing about its unit and is refused, zero excepted."""
    if value == "0" or (type(value) is int and value == 0):
        return timedelta(0)
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"is a duration such as 30s, 15m, 12h or 7d, not {_shown(value)}")
    number, unit = match.groups()
    return timedelta(**{_UNITS[unit]: int(number)})


def texts(value: object) -> tuple[str, ...]:
    """A list of strings, or one string in which commas separate them. Empty: none."""
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple):
        raise ValueError(f'is a list such as ["a", "b"], not {_shown(value)}')  # noqa: TRY004 - a wrong value
    return tuple(item for item in map(text, items) if item)


def one_of(*choices: str) -> Reader:
    """Exactly one of the words."""

    def read(value: object) -> str:
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"is one of {', '.join(choices)}, not {_shown(value)}")
        return value

    return read


def some_of(*choices: str) -> Reader:
    """At least one of the words, each at most once; the first is the default."""

    def read(value: object) -> tuple[str, ...]:
        words = texts(value)
        if not words or len(set(words)) != len(words) or not set(words) <= set(choices):
            raise ValueError(f"names {' and '.join(choices)}, each at most once and one at least")
        return words

    return read


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
