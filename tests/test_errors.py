"""The codes are a promise: what the source can say and what docs/errors.md says are the same."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from frontdesk.core.causes import REFUSALS, TOKENS, Cause
from frontdesk.core.sessions import END_REASONS
from frontdesk.errors import CODES, Refusal
from frontdesk.jose.codes import TOKEN_CODES
from tests.requirements import ROOT

_DOCUMENT = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
_HTTP, _TOKENS = _DOCUMENT.split("## Why a token is refused")
_ROW = re.compile(r"^\| (?:<a id=\"\w+\"></a>)?`(\w+)` \| (?:(\d{3}) \| )?", re.MULTILINE)


def _sources() -> list[Path]:
    return sorted((ROOT / "src" / "frontdesk").rglob("*.py"))


def test_the_document_lists_every_code_with_its_status_in_the_order_of_the_table() -> None:
    documented = [(code, int(status)) for code, status in _ROW.findall(_HTTP)]
    assert documented == [(code, entry.status) for code, entry in CODES.items()]


def test_the_document_lists_every_token_code() -> None:
    assert {code for code, _ in _ROW.findall(_TOKENS)} == set(TOKEN_CODES)


@pytest.mark.parametrize(("part", "causes"), [(_HTTP, REFUSALS), (_TOKENS, TOKENS)], ids=["refusals", "tokens"])
def test_what_a_code_means_is_told_in_the_same_words_everywhere(part: str, causes: Mapping[str, Cause]) -> None:
    rows = re.findall(r"^\| (?:<a id=\"\w+\"></a>)?`(\w+)` \| (?:\d{3} \| )?(.+?) \| (.+?) \|$", part, re.MULTILINE)
    assert [(code, Cause(when, advice)) for code, when, advice in rows] == list(causes.items())


def test_every_code_has_an_anchor_to_link_to() -> None:
    anchors = re.findall(r"<a id=\"(\w+)\"></a>`(\w+)`", _DOCUMENT)
    assert all(anchor == code for anchor, code in anchors)
    assert sorted(code for code, _ in anchors) == sorted({*CODES, *TOKEN_CODES})


def test_every_code_is_said_somewhere_and_no_other_is() -> None:
    said: set[str] = set()
    for source in _sources():
        if source.name in {"errors.py", "causes.py"}:
            continue
        said |= set(re.findall(r'"([a-z]+(?:_[a-z]+)+|overloaded)"', source.read_text(encoding="utf-8")))
    # Said by the edge itself for what nobody foresaw.
    assert {code for code in CODES if code not in said} == set()


def test_a_refusal_with_an_unknown_code_cannot_be_built() -> None:
    with pytest.raises(ValueError, match="not a refusal code"):
        Refusal("no_such_code")


@pytest.mark.parametrize("code", CODES)
def test_titles_are_sentences(code: str) -> None:
    title = CODES[code].title
    assert title[0].isupper()
    assert title.endswith(".")


def test_every_way_to_end_is_known() -> None:
    assert set(END_REASONS) == {"signed_out", "revoked", "replaced", "reused", "rolled_back", "evicted"}
