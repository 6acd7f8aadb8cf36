"""Do the links lead somewhere? Over Markdown as it stands in the repository, and over the pages of a built site."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

_FENCE: Final = re.compile(r"^ *(```|~~~).*?^ *\1", re.MULTILINE | re.DOTALL)
_CODE: Final = re.compile(r"(`+).+?\1", re.DOTALL)
_LINK: Final = re.compile(r"\]\(<?([^)\s>]+)>?\)")
_HEADING: Final = re.compile(r"^#{1,6} +(.+?)(?: *\{ *#([\w-]+) *\})? *#*$", re.MULTILINE)
_ANCHOR: Final = re.compile(r"""<a (?:id|name)=["']([^"']+)["']""")
_OF_ELSEWHERE: Final = re.compile(r"url\(\s*[\"']?(?:https?:)?//|@import\s+[\"'](?:https?:)?//", re.IGNORECASE)

_LOADED: Final = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src",
                  "embed": "src", "object": "data"}  # fmt: skip
"""Elements that fetch something by themselves, and the attribute that says what."""


# --- Markdown -------------------------------------------------------------------------------------------------------


def without_code(markdown: str) -> str:
    """The text without code, in which nothing is a link."""
    return _CODE.sub("", _FENCE.sub("", markdown))


def targets(markdown: str) -> list[str]:
    """Where the text links to, as it is written."""
    return _LINK.findall(without_code(markdown))


def anchors(markdown: str) -> set[str]:
    """The anchors that every renderer gives the text: the site's and those of code hosts.

    A heading whose anchor the two would spell differently has none that may be linked to, nor has one that is there
    twice.
    """
    text = _FENCE.sub("", markdown)
    found = set(_ANCHOR.findall(_CODE.sub("", text)))
    slugs: list[str] = []
    for heading, explicit in _HEADING.findall(text):
        plain = re.sub(r"[`*]|\[([^]]*)\]\([^)]*\)", r"\1", heading)
        if explicit:
            found.add(explicit)
        elif _of_the_site(plain) == _of_code_hosts(plain):
            slugs.append(_of_the_site(plain))
    return found | {slug for slug in slugs if slugs.count(slug) == 1}


def _of_the_site(heading: str) -> str:
    ascii_only = unicodedata.normalize("NFKD", heading).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", ascii_only).strip().lower())


def _of_code_hosts(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def broken_links(root: Path, files: list[Path], generated: Mapping[Path, str]) -> list[str]:
    """One sentence for each link of `files` that leads nowhere.

    `generated` are pages that the build makes, by the path that they would have in the repository.
    """
    texts = {**{file: file.read_text(encoding="utf-8") for file in files}, **generated}
    known = {file: anchors(text) for file, text in texts.items()}
    return [
        f"{file.relative_to(root)}: {target}: {fault}"
        for file, text in texts.items()
        for target in targets(text)
        if (fault := _fault(file, target, known)) is not None
    ]


def _fault(file: Path, target: str, known: Mapping[Path, set[str]]) -> str | None:
    parts = urlsplit(target)
    if parts.scheme or parts.netloc:
        return None
    there = file if not parts.path else (file.parent / unquote(parts.path)).resolve()
    if there not in known and not there.exists():
        return "there is no such file"
    if parts.fragment and parts.fragment not in known.get(there, set()):
        return "there is no such anchor"
    return None


# --- the built site -------------------------------------------------------------------------------------------------


class _Page(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag == "link" and given.get("rel") not in {"prev", "next", "canonical", "alternate"}:
            self.loaded.append(given.get("href", ""))
        if tag in _LOADED and _LOADED[tag] in given:
            self.loaded.append(given[_LOADED[tag]])
        self.loaded += [each.split()[0] for each in given.get("srcset", "").split(",") if each.strip()]


def faults_of_site(site: Path) -> Iterator[str]:
    """One sentence for each link that leads nowhere, and for each thing that a page would load from another host."""
    pages = {path.resolve(): _Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    for path, page in pages.items():
        name = path.relative_to(site.resolve())
        for link in page.links:
            fault = None if path.name == "404.html" else _dead(path, link, pages)
            if fault is not None:
                yield f"{name}: {link}: {fault}"
        for address in page.loaded:
            parts = urlsplit(address)
            if parts.netloc or parts.scheme not in {"", "data"}:
                yield f"{name}: {address}: loaded from another host"
    for sheet in site.rglob("*.css"):
        if _OF_ELSEWHERE.search(sheet.read_text(encoding="utf-8")):
            yield f"{sheet.name}: loads something from another host"


def _dead(path: Path, link: str, pages: Mapping[Path, _Page]) -> str | None:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    there = path if not parts.path else (path.parent / unquote(parts.path)).resolve()
    if there.is_dir():
        there /= "index.html"
    if not there.exists():
        return "there is no such page"
    if parts.fragment and there in pages and unquote(parts.fragment) not in pages[there].ids:
        return "there is no such anchor"
    return None
