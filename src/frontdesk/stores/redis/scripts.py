"""The Lua scripts: one for each decision that writes, and for reads of several keys in one step.

A file of `scripts/` begins with the line that tells Redis what the script may do. Without a flag, Redis refuses to
start it on a replica, with too few replicas, on a failing disk and above `maxmemory`, so that no fault of this kind
finds it half done. `no-writes`: it reads, and runs in all of these cases. `allow-oom`: it ends or removes something,
which must be possible in a server that is full.

A second line `-- with: …` names the parts that are put before the script. No script writes before its last check.
"""

from __future__ import annotations

import hashlib
import re
from importlib import resources
from typing import Final

import msgspec

from frontdesk.stores.redis.rows import SESSION_FIELDS

_FLAGS: Final = re.compile(r"#!lua(?: flags=([a-z-]+))?\n")
_PARTS: Final = re.compile(r"-- with: ([a-z ]+)\n")
_ROW: Final = "local function row(session)\n  return redis.call('HMGET', session, {})\nend\n"


class Script(msgspec.Struct, frozen=True):
    """A script as the server is given it."""

    name: str
    text: str
    sha: str
    writes: bool

    def __repr__(self) -> str:
        return f"Script({self.name})"


def _read(name: str) -> str:
    return resources.files(__package__).joinpath("scripts", f"{name}.lua").read_text("utf-8")


def _part(name: str) -> str:
    if name == "row":
        return _ROW.format(", ".join(f"'{field}'" for field in SESSION_FIELDS))
    return _read(name)


def load(name: str) -> Script:
    """The script of this name with its parts."""
    source = _read(name)
    first = _FLAGS.match(source)
    if first is None:
        raise ValueError(f"{name}.lua does not say what it may do")
    parts = _PARTS.match(source, first.end())
    before = "".join(map(_part, parts[1].split())) if parts else ""
    text = first[0] + before + source[first.end() :]
    sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    return Script(name, text, sha, first[1] != "no-writes")
