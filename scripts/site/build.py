"""Builds the site: pages are gathered, those of the reference are made, Zensical renders them, the result is checked.

Pages link to files of the repository that are no pages (`../src/…`). There is no such file beside a site, so in the
copy that is rendered only the words stay of such a link; the documents at the root of the repository become pages.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from scripts.site import links, reference

AT_THE_ROOT: Final = {
    "SECURITY.md": "security.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
"""Documents at the root of the repository, and the names of their pages."""

_LINK: Final = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")


def build(root: Path, into: Path) -> list[str]:
    """Build the site of the repository `root` into the directory `into`, emptied first; what is wrong with it."""
    work = root / ".site"
    gather(root, work / "pages")
    shutil.rmtree(into, ignore_errors=True)
    done = render(root, work)
    if done.returncode != 0:
        return [done.stdout + done.stderr]
    shutil.copytree(work / "html", into)
    return sorted(set(links.faults_of_site(into)))


def gather(root: Path, pages: Path) -> None:
    """Everything that is rendered, in one directory."""
    shutil.rmtree(pages, ignore_errors=True)
    shutil.copytree(root / "docs", pages)
    shutil.copytree(root / "scripts" / "site" / "assets", pages / "assets")
    for name, title in AT_THE_ROOT.items():
        (pages / title).write_text((root / name).read_text(encoding="utf-8"), encoding="utf-8")
    for path, text in reference.generate().items():
        (pages / path).parent.mkdir(parents=True, exist_ok=True)
        (pages / path).write_text(text, encoding="utf-8")
    for page in pages.rglob("*.md"):
        came_from = root if page.name in AT_THE_ROOT.values() and page.parent == pages else root / "docs"
        page.write_text(
            relink(page.read_text(encoding="utf-8"), _mapper(root, pages, page, came_from)), encoding="utf-8"
        )


def relink(markdown: str, mapped: Callable[[str], str | None]) -> str:
    """The text with each target as `mapped` says; None leaves the words alone. Code stays as it is."""
    parts = re.split(r"(^ *```.*?^ *```)", markdown, flags=re.MULTILINE | re.DOTALL)

    def put(found: re.Match[str]) -> str:
        target = mapped(found[2])
        return found[1] if target is None else f"[{found[1]}]({target})"

    return "".join(part if number % 2 else _LINK.sub(put, part) for number, part in enumerate(parts))


def _mapper(root: Path, pages: Path, page: Path, came_from: Path) -> Callable[[str], str | None]:
    """Where a link of `page`, which stood below `came_from`, leads among the pages."""
    stood = came_from / (page.relative_to(pages) if came_from != root else Path("x"))

    def mapped(target: str) -> str | None:
        if "://" in target or target.startswith(("#", "mailto:")):
            return target
        path, _, fragment = target.partition("#")
        there = Path(os.path.normpath(stood.parent / path))
        anchor = f"#{fragment}" if fragment else ""
        if there.is_relative_to(root / "docs"):
            return os.path.relpath(pages / there.relative_to(root / "docs"), page.parent) + anchor
        if there.parent == root and there.name in AT_THE_ROOT:
            return os.path.relpath(pages / AT_THE_ROOT[there.name], page.parent) + anchor
        return None

    return mapped


def render(root: Path, work: Path) -> subprocess.CompletedProcess[str]:
    """Let Zensical make HTML of the pages. Strict: its warnings are failures."""
    shutil.rmtree(work / "html", ignore_errors=True)
    command = [
        str(Path(sys.executable).parent / "zensical"),
        "build",
        "--clean",
        "--strict",
        "--config-file",
        "zensical.toml",
    ]
    return subprocess.run(
        command, cwd=root, capture_output=True, text=True, check=False, env={**os.environ, "NO_COLOR": "1"}
    )
