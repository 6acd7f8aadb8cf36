"""All checks at once: what they find, worst first, and what that means to whoever runs them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from types import MappingProxyType, ModuleType
from typing import Final

import msgspec

from frontdesk.doctor import files, secret, settings, site, storage
from frontdesk.doctor.kinds import SEVERITIES, Finding, Kind, Severity
from frontdesk.doctor.observed import Observations, Unseen

_ROOMS: Final[tuple[ModuleType, ...]] = (secret, settings, files, storage, site)

CATALOGUE: Final[Mapping[str, Kind]] = MappingProxyType(
    {kind.code: kind for room in _ROOMS for kind in vars(room).values() if isinstance(kind, Kind)}
)
"""Every finding that there is, by its code. docs/doctor.md has a row for each."""


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of this machine that passwords are judged by. None: not measured, and said in `unseen`."""

    cores: int
    memory_bytes: int
    hash_seconds: float | None
    sign_ins_per_second: float | None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was found, worst first, what could not be looked at, and what was measured."""

    findings: tuple[Finding, ...]
    unseen: tuple[Unseen, ...]
    measured: Measured | None = None

    def count(self, severity: Severity) -> int:
        """How many findings are of this severity."""
        return sum(finding.severity == severity for finding in self.findings)

    def status(self, fail_on: Severity) -> int:
        """The exit status: 1 for a finding at least as bad as `fail_on`, else 2 if something that is needed
        could not be looked at, else 0."""
        bad = SEVERITIES[: SEVERITIES.index(fail_on) + 1]
        if any(finding.severity in bad for finding in self.findings):
            return 1
        return 2 if any(each.is_needed for each in self.unseen) else 0


def examine(seen: Observations) -> Report:
    """Every check on what was seen. The same finding is told once, however many checks come to it."""
    checks = (secret.of_secrets, settings.of_settings, files.of_files, storage.of_store, site.of_site)
    found: dict[tuple[str, str], Finding] = {}
    for check in checks:
        for finding in check(seen):
            key = (finding.code, "" if finding.code in _ONCE else finding.seen)
            found.setdefault(key, _aimed(finding, seen.config))
    ordered = sorted(found.values(), key=lambda finding: SEVERITIES.index(finding.severity))
    return Report(findings=tuple(ordered), unseen=seen.unseen, measured=_measured(seen))


_OURS: Final = re.compile(r"^frontdesk (?!doctor).*?(?=    # |$)", re.MULTILINE)


def _aimed(finding: Finding, config: str) -> Finding:
    """The finding whose commands read the same file of settings: without it they would change another store."""
    if not config:
        return finding
    aimed = _OURS.sub(lambda found: f"{found[0]} --config {shlex.quote(config)}", finding.change)
    return msgspec.structs.replace(finding, change=aimed)


def _measured(seen: Observations) -> Measured | None:
    machine, settings = seen.machine, seen.configured
    if machine is None or settings is None:
        return None
    return Measured(
        cores=machine.cores,
        memory_bytes=machine.memory_bytes,
        hash_seconds=_rounded(machine.hash_seconds),
        sign_ins_per_second=_rounded(machine.sign_ins_per_second(settings.workers)),
    )


def _rounded(figure: float | None) -> float | None:
    return None if figure is None else round(figure, 3)


_ONCE: Final = frozenset({settings.OPEN_METRICS.code, settings.HTTPS_UNSEEN.code})
"""Settings and probe both come to it."""
