"""A stand-in for `pip`: it fetches nothing, and links distributions from the Python that runs it.

What the requirements bring is linked and nothing else, so that an extra which a printed line forgets is missed.
"""

from __future__ import annotations

import sysconfig
from collections.abc import Sequence
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_SCRIPT: Final = """\
#!{python}
import sys
from {module} import {name}
sys.exit({name}())
"""


def install(requirements: Sequence[str], environment: Path) -> None:
    """Link what these requirements bring, and its commands, into an environment of Python."""
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(environment)}))
    for each in brought(requirements):
        for entry in _entries(each):
            place = packages / entry
            if not place.exists():
                place.symlink_to(Path(str(each.locate_file(entry))))
        for command in each.entry_points.select(group="console_scripts"):
            text = _SCRIPT.format(python=environment / "bin" / "python", module=command.module, name=command.attr)
            write_script(environment / "bin" / command.name, text)


def brought(requirements: Sequence[str]) -> list[Distribution]:
    """The distributions that pip would install for these requirements, once each. AssertionError: an unknown extra."""
    open_ = [Requirement(each) for each in requirements]
    seen: set[tuple[str, str]] = set()
    found: dict[str, Distribution] = {}
    while open_:
        wanted = open_.pop()
        name = canonicalize_name(wanted.name)
        each = found.setdefault(name, distribution(name))
        unknown = wanted.extras - set(each.metadata.get_all("Provides-Extra") or ())
        assert not unknown, f"{wanted.name} has no extra {unknown}"
        for extra in {"", *wanted.extras} - {extra for known, extra in seen if known == name}:
            seen.add((name, extra))
            inner = [Requirement(line) for line in each.requires or ()]
            open_ += [one for one in inner if one.marker is None or one.marker.evaluate({"extra": extra})]
    return list(found.values())


def write_script(path: Path, text: str) -> None:
    """Write a program that can be run by its name."""
    path.write_text(text)
    path.chmod(0o755)


def _entries(each: Distribution) -> set[str]:
    """What a distribution has put into the directory of packages."""
    names = {Path(file).parts[0] for file in each.files or ()}
    return names - {"..", "__pycache__"}
