"""One value from a file, a variable or a flag."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdesk.server import reading


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("30s", timedelta(seconds=30)),
        ("15m", timedelta(minutes=15)),
        ("12h", timedelta(hours=12)),
        ("7d", timedelta(days=7)),
        ("250ms", timedelta(milliseconds=250)),
        (" 7d ", timedelta(days=7)),
        ("0s", timedelta(0)),
        ("0", timedelta(0)),
        (0, timedelta(0)),
    ],
)
def test_a_duration_is_a_number_with_a_unit(written: object, meant: timedelta) -> None:
    assert reading.duration(written) == meant


@pytest.mark.parametrize(
    "written",
    [
        "",
        "30",
        30,
        30.0,
        True,
        False,
        "s",
        "-1s",
        "1.5h",
        "1 h",
        "1w",
        "1H",
        "30 s",
        "1h30m",
        "9999999999d",
        "٣٠s",
        None,
        [],
    ],
)
def test_what_has_no_unit_or_a_strange_one_is_no_duration(written: object) -> None:
    with pytest.raises(ValueError, match="is a duration such as 30s, 15m, 12h or 7d"):
        reading.duration(written)


@given(st.integers(0, 10**6), st.sampled_from(["ms", "s", "m", "h"]))
def test_every_duration_is_read_exactly(number: int, unit: str) -> None:
    one = {"ms": timedelta(milliseconds=1), "s": timedelta(seconds=1), "m": timedelta(minutes=1)}
    assert reading.duration(f"{number}{unit}") == number * one.get(unit, timedelta(hours=1))


@pytest.mark.parametrize("written", [True, "true", "True", "yes", "on", "1", " TRUE "])
def test_true_has_these_forms(written: object) -> None:
    assert reading.flag(written) is True


@pytest.mark.parametrize("written", [False, "false", "no", "off", "0"])
def test_false_has_these_forms(written: object) -> None:
    assert reading.flag(written) is False


@pytest.mark.parametrize("written", ["", "maybe", 1, 0, None, "truth"])
def test_anything_else_is_neither_true_nor_false(written: object) -> None:
    with pytest.raises(ValueError, match="is true or false"):
        reading.flag(written)


@pytest.mark.parametrize(("written", "meant"), [(8000, 8000), ("8000", 8000), (" 0 ", 0), (0, 0)])
def test_whole_numbers(written: object, meant: int) -> None:
    assert reading.whole(written) == meant


@pytest.mark.parametrize("written", ["", "eight", "-1", -1, 1.0, "1.0", True, None, "٣", "0x10"])
def test_what_is_no_whole_number_from_zero_on(written: object) -> None:
    with pytest.raises(ValueError, match="is a whole number"):
        reading.whole(written)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (["a", "b"], ("a", "b")),
        ("a, b", ("a", "b")),
        ("a", ("a",)),
        ("", ()),
        ([], ()),
        ("a,,b,", ("a", "b")),
    ],
)
def test_lists_are_lists_or_words_with_commas(written: object, meant: tuple[str, ...]) -> None:
    assert reading.texts(written) == meant


@pytest.mark.parametrize("written", [1, None, {"a": 1}, True])
def test_what_is_no_list(written: object) -> None:
    with pytest.raises(ValueError, match="is a list such as"):
        reading.texts(written)


@pytest.mark.parametrize("written", [["a", 1], [None]])
def test_a_list_holds_strings(written: object) -> None:
    with pytest.raises(ValueError, match="is a string"):
        reading.texts(written)


@pytest.mark.parametrize("written", ["a\nb", "\x1b[31m", "a\x00", "\u202e"])
def test_no_text_holds_control_characters(written: str) -> None:
    with pytest.raises(ValueError, match="cannot be printed"):
        reading.text(written)


def test_one_of_some_words_exactly() -> None:
    read = reading.one_of("Lax", "Strict")
    assert read("Lax") == "Lax"
    for wrong in ("lax", "", "None", None, 1, ["Lax"]):
        with pytest.raises(ValueError, match="is one of Lax, Strict"):
            read(wrong)


def test_some_of_the_words_in_the_order_given() -> None:
    read = reading.some_of("session", "jwt")
    assert read("jwt,session") == ("jwt", "session")
    assert read(["jwt"]) == ("jwt",)
    for wrong in ("", "jwt,jwt", "jwe", ["session", "x"]):
        with pytest.raises(ValueError, match="names session and jwt, each at most once and one at least"):
            read(wrong)


def test_what_is_shown_of_a_wrong_value_is_short() -> None:
    with pytest.raises(ValueError, match=r"not 'x+\.\.\.$"):
        reading.duration("x" * 1000)
