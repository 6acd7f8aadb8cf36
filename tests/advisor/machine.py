"""An empty machine: what is printed is typed into its shells, and nothing is there but what its `pip` brought."""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.advisor.installing import write_script
from tests.requirements import ROOT
from tests.servers.spawning import PATIENCE, spawn

_PIP: Final = """\
#!{python}
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.advisor.installing import install
assert sys.argv[1] == "install"
install(sys.argv[2:], Path({environment!r}))
"""


class Machine:
    """A directory to paste into, and a Python of its own."""

    def __init__(self, directory: Path) -> None:
        self.files = directory / "files"
        self.files.mkdir()
        self.environment = directory / "env"
        venv.create(self.environment, symlinks=True)
        pip = _PIP.format(python=sys.executable, root=str(ROOT), environment=str(self.environment))
        write_script(self.environment / "bin" / "pip", pip)

    def shell(self, **variables: str) -> Shell:
        """A shell as it is when somebody has just opened it, with these variables beside."""
        path = f"{self.environment / 'bin'}:/usr/bin:/bin"
        return Shell(self.files, {"PATH": path, "HOME": str(self.files), "LANG": "C.UTF-8", **variables})

    def log(self) -> str:
        """What the servers said."""
        return "".join(path.read_text() for path in sorted(self.files.parent.glob("*.log")))


class Shell:
    """One shell: each line sees what the lines before it did to the environment."""

    def __init__(self, directory: Path, environ: Mapping[str, str]) -> None:
        self._directory = directory
        self._environ = dict(environ)

    def run(self, line: str) -> str:
        """Type a line, wait for its end; what it printed. A line that fails fails the test."""
        told = self._directory.parent / "environ"
        done = subprocess.run(
            ["sh", "-ec", f"{line}\nenv -0 >'{told}'"],
            cwd=self._directory,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        pairs = (each.partition("=") for each in told.read_text().split("\0") if each)
        self._environ = {name: value for name, _, value in pairs}
        return done.stdout.strip()

    def start(self, line: str, name: str) -> subprocess.Popen[bytes]:
        """Type a line that goes on until it is stopped: the shell gives way to it, so that its id is known."""
        log = self._directory.parent / f"{name}.log"
        return spawn(["sh", "-c", f"exec {line}"], log=log, cwd=self._directory, environ=self._environ)
