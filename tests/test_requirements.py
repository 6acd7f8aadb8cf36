"""A missing browser or vector set is a skip on a desk and a failure where it is demanded."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.requirements import Need, demanded, find_vectors, missing


@pytest.mark.parametrize(
    ("value", "needs"),
    [
        ("", set()),
        ("browser", {Need.BROWSER}),
        (" browser , vectors,", {Need.BROWSER, Need.VECTORS}),
        ("all", set(Need)),
        ("vectors,all", set(Need)),
    ],
)
def test_the_variable_lists_what_must_be_there(value: str, needs: set[Need]) -> None:
    assert demanded({"FRONTDESK_REQUIRE": value}) == needs


def test_nothing_is_demanded_when_the_variable_is_not_set() -> None:
    assert demanded({}) == set()


def test_a_misspelt_need_is_refused() -> None:
    with pytest.raises(ValueError, match="browsr"):
        demanded({"FRONTDESK_REQUIRE": "browsr"})


def test_what_is_missing_and_not_demanded_is_skipped() -> None:
    with pytest.raises(pytest.skip.Exception, match="no such thing"):
        missing(Need.BROWSER, "no such thing", {"FRONTDESK_REQUIRE": "vectors"})


def test_what_is_missing_and_demanded_fails() -> None:
    with pytest.raises(pytest.fail.Exception, match="demands browser: no such thing"):
        missing(Need.BROWSER, "no such thing", {"FRONTDESK_REQUIRE": "all"})


def test_the_vectors_are_found_where_the_variable_says(tmp_path: Path) -> None:
    assert find_vectors({"FRONTDESK_VECTORS": str(tmp_path)}) == tmp_path


def test_an_absent_directory_of_vectors_is_reported(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match="FRONTDESK_VECTORS names it"):
        find_vectors({"FRONTDESK_VECTORS": str(tmp_path / "absent"), "FRONTDESK_REQUIRE": "vectors"})
