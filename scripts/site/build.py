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


def build(root: Path, work: Path, into: Path) -> list[str]:
    """Build the site of the repository `root` into the directory `into`, emptied first; what is wrong with it.

    `work` is a directory of this function, where it leaves what it gathered.
    """
    shutil.rmtree(work, ignore_errors=True)
    gather(root, work)
    shutil.rmtree(into, ignore_errors=True)
    done = render(work)
    if done.returncode != 0:
        return complaints(done.stdout + done.stderr)
    shutil.copytree(work / "html", into)
    return sorted(set(links.faults_of_site(into)))


def complaints(printed: str) -> list[str]:
    """What Zensical warned of, a line each; everything that it printed where that is not understood."""
    plain = re.sub(r"\x1b\[[\d;]*m", "", printed)
    warned = re.findall(r"^Warning: (.*)\n.*?\[ (\S+) \]", plain, re.MULTILINE)
    return [f"{where}: {what}" for what, where in warned] or [plain]


def gather(root: Path, work: Path) -> None:
    """Everything that is rendered, and how, in one directory."""
    pages, ours = work / "pages", root / "scripts" / "site"
    shutil.copytree(root / "docs", pages)
    shutil.copytree(ours / "assets", pages / "assets")
    shutil.copytree(ours / "theme", work / "theme")
    shutil.copy(ours / "zensical.toml", work)
    for name, page in AT_THE_ROOT.items():
        shutil.copy(root / name, pages / page)
    for path, text in reference.generate().items():
        (pages / path).parent.mkdir(parents=True, exist_ok=True)
        (pages / path).write_text(text, encoding="utf-8")
    for file in pages.rglob("*.md"):
        at_the_root = file.parent == pages and file.name in AT_THE_ROOT.values()
        stood = root / file.name if at_the_root else root / "docs" / file.relative_to(pages)
        mapped = _mapper(root, pages, file, stood)
        file.write_text(relink(file.read_text(encoding="utf-8"), mapped), encoding="utf-8")


def relink(markdown: str, mapped: Callable[[str], str | None]) -> str:
    """The text with each target as `mapped` says; None leaves the words alone. Code stays as it is."""
    parts = re.split(r"(^ *```.*?^ *```)", markdown, flags=re.MULTILINE | re.DOTALL)

    def put(found: re.Match[str]) -> str:
        target = mapped(found[2])
        return found[1] if target is None else f"[{found[1]}]({target})"

    return "".join(part if number % 2 else _LINK.sub(put, part) for number, part in enumerate(parts))


def _mapper(root: Path, pages: Path, file: Path, stood: Path) -> Callable[[str], str | None]:
    """Where a link of the page `file`, which stood at `stood` in the repository, leads among the pages."""

    def mapped(target: str) -> str | None:
        if "://" in target or target.startswith(("#", "mailto:")):
            return target
        path, _, fragment = target.partition("#")
        there = Path(os.path.normpath(stood.parent / path))
        anchor = f"#{fragment}" if fragment else ""
        if there.is_relative_to(root / "docs"):
            return os.path.relpath(pages / there.relative_to(root / "docs"), file.parent) + anchor
        if there.parent == root and there.name in AT_THE_ROOT:
            return os.path.relpath(pages / AT_THE_ROOT[there.name], file.parent) + anchor
        return None

    return mapped


def render(work: Path) -> subprocess.CompletedProcess[str]:
    """Let Zensical make HTML of what was gathered. Strict: its warnings are failures."""
    zensical = Path(sys.executable).parent / "zensical"
    command = [str(zensical), "build", "--clean", "--strict", "--config-file", "zensical.toml"]
    return subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
