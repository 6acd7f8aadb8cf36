"""No link of the documentation leads nowhere, and what looks for such links finds them."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.site.links import anchors, broken_links, faults_of_site, targets
from scripts.site.reference import generate
from tests.requirements import ROOT

DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
    ROOT / "client" / "README.md",
]


def test_no_link_of_the_documentation_is_broken() -> None:
    generated = {ROOT / "docs" / path: text for path, text in generate().items()}
    assert broken_links(ROOT, DOCUMENTS, generated) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(
        "# A\n[good](b.md#two-words) [web](https://example.com/x) [page](c.md) [anchor](b.md#three) [own](#a)"
        "\n`[code](d.md)`"
        "\n```\n[code](e.md)\n```\n[picture](p.svg)\n"
    )
    (tmp_path / "b.md").write_text('# Two words\n<a id="given"></a>\n')
    files = [tmp_path / "a.md", tmp_path / "b.md"]
    assert broken_links(tmp_path, files, {}) == [
        "a.md: c.md: there is no such file",
        "a.md: b.md#three: there is no such anchor",
        "a.md: p.svg: there is no such file",
    ]
    made = {tmp_path / "c.md": "# C", tmp_path / "p.svg": ""}
    assert broken_links(tmp_path, files, made) == ["a.md: b.md#three: there is no such anchor"]


@pytest.mark.parametrize(
    ("markdown", "found"),
    [
        ("# One, two: three!", {"one-two-three"}),
        ('## `late_retry="end"`', {"late_retryend"}),
        ("## [Linked](x.md) words", {"linked-words"}),
        ("## Twice\n## Twice", set()),
        ("## A – dash", set()),  # renderers differ
        ('<a id="token_expired"></a>', {"token_expired"}),
        ("```\n# a comment\n```", set()),
        ("## Named { #so }", {"so"}),
    ],
)
def test_the_anchors_of_a_text(markdown: str, found: set[str]) -> None:
    assert anchors(markdown) == found


def test_links_inside_code_are_none() -> None:
    assert targets("[a](b.md) ``[c](d.md)`` and\n```python\nx = [e](f.md)\n```\n") == ["b.md"]


def test_a_site_with_a_dead_link_or_with_something_from_another_host_is_found_out(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(
        '<p id="top"><a href="other.html#there">good</a><a href="other.html#gone">bad</a><a href="no.html">bad</a>'
        '<a href="https://example.com">elsewhere, but not loaded</a>'
        '<script src="https://cdn.example/x.js"></script><img src="//cdn.example/x.png"><link rel="next" href="o.html">'
    )
    (tmp_path / "other.html").write_text('<p id="there"><link rel="stylesheet" href="https://fonts.example/css">')
    (tmp_path / "a.css").write_text("@font-face { src: url('https://fonts.example/a.woff2') }")
    (tmp_path / "b.css").write_text("p { background: url(data:image/png;base64,xxxx) }")
    assert set(faults_of_site(tmp_path)) == {
        "index.html: other.html#gone: there is no such anchor",
        "index.html: no.html: there is no such page",
        "index.html: https://cdn.example/x.js: loaded from another host",
        "index.html: //cdn.example/x.png: loaded from another host",
        "other.html: https://fonts.example/css: loaded from another host",
        "a.css: loads something from another host",
    }
