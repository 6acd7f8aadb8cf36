"""The samples of a page, written out as the modules that the page calls them, type-checked and imported."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from tests.requirements import ROOT


def samples(page: str, language: str = "python") -> list[str]:
    """The code of one language on a page below docs/, in order."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    found: list[str] = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    return found


def write(
    pages: Mapping[str, Sequence[str]], directory: Path, addresses: Mapping[str, str] | None = None
) -> list[Path]:
    """Write each sample of each page as the module that it is called there; AssertionError for one without a name.

    addresses: what stands in the place of addresses that the page makes up; nothing else of a sample is ever changed.
    """
    written: list[Path] = []
    for page, names in pages.items():
        found = samples(page)
        assert len(found) == len(names), page
        for name, sample in zip(names, found, strict=True):
            written.append(directory / f"{name}.py")
            written[-1].write_text(_moved(sample, addresses or {}), encoding="utf-8")
    return written


def _moved(sample: str, addresses: Mapping[str, str]) -> str:
    for made_up, real in addresses.items():
        sample = sample.replace(f'"{made_up}"', f'"{real}"')
    return sample


def write_each(texts: Sequence[str], directory: Path) -> list[Path]:
    """Write each text as a module that nothing imports."""
    written = [directory / f"sample_{number}.py" for number in range(len(texts))]
    for file, text in zip(written, texts, strict=True):
        file.write_text(text, encoding="utf-8")
    return written


def complaints_of_mypy(files: Sequence[Path], directory: Path) -> str:
    """What `mypy --strict` says of the files, as an application would run it; nothing when it is content."""
    cache = str(ROOT / ".mypy_cache" / "samples")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", os.devnull, "--cache-dir", cache]
    checked = subprocess.run(
        [*command, *(file.name for file in files)],
        cwd=directory,
        env={**os.environ, "MYPYPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if checked.stdout.startswith("Success") else checked.stdout + checked.stderr


@contextmanager
def imported(files: Sequence[Path]) -> Iterator[dict[str, ModuleType]]:
    """The modules by name; forgotten at the end, so that another test imports them anew."""
    directory = str(files[0].parent)
    sys.path.insert(0, directory)
    try:
        yield {file.stem: importlib.import_module(file.stem) for file in files}
    finally:
        sys.path.remove(directory)
        for file in files:
            sys.modules.pop(file.stem, None)
