"""What a finding is made of: a stable code, how bad it is, what was seen, what that lets happen, the line to change."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal, get_args

import msgspec

from frontdesk.core.discretion import without_userinfo

Severity = Literal["error", "warning", "note"]
"""`error`: somebody can get in, or what was ended can come back. `warning`: one more thing has to go wrong first.
`note`: it could be better, and may be meant as it is."""

SEVERITIES: Final[tuple[Severity, ...]] = get_args(Severity)
"""Worst first."""

LONGEST: Final = 300
"""Characters of a value that is shown: what others chose is never shown at any length."""


_ADDRESS: Final = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)

QUOTED: Final = "quoted"
"""What is particular to a command, quoted for a shell and never cut short: it is there to be run."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is unsafe in one deployment. Holds no secret.

    seen: what was found, and where. lets: what it lets happen. change: the line, setting, header or command to change.
    page: where the documentation says more.
    """

    code: str
    severity: Severity
    seen: str
    lets: str
    change: str
    page: str


@dataclass(frozen=True, slots=True)
class Kind:
    """A finding before it is found: `seen` and `change` hold {names} for what is particular."""

    code: str
    severity: Severity
    seen: str
    lets: str
    change: str

    @property
    def page(self) -> str:
        """Where the documentation says more: a path inside it, with an anchor."""
        return f"doctor.md#{self.code}"

    def found(self, **values: object) -> Finding:
        """The finding with what is particular to it filled in."""
        shown = {name: str(value) if name == QUOTED else _shown(value) for name, value in values.items()}
        return Finding(
            code=self.code,
            severity=self.severity,
            seen=self.seen.format_map(shown),
            lets=self.lets,
            change=self.change.format_map(shown),
            page=self.page,
        )


_UNITS: Final = (
    ("d", timedelta(days=1)),
    ("h", timedelta(hours=1)),
    ("m", timedelta(minutes=1)),
    ("s", timedelta(seconds=1)),
    ("ms", timedelta(milliseconds=1)),
)


def _written(length: timedelta) -> str:
    """As settings write it: "7d", "90m", "500ms"."""
    for name, unit in _UNITS:
        if length and not length % unit:
            return f"{length // unit}{name}"
    return "0"


def _shown(value: object) -> str:
    text = _written(value) if isinstance(value, timedelta) else str(value)
    if _ADDRESS.match(text):  # settings that no server starts with are looked at, too
        text = without_userinfo(text)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
