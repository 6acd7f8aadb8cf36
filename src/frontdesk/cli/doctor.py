"""`frontdesk doctor`: what is unsafe in a deployment."""

from __future__ import annotations

import asyncio
import re
import textwrap
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.text import Text

from frontdesk.cli.opening import ConfigOption, JsonOption, StoreOption
from frontdesk.cli.output import note, plain_json, printable, say, show
from frontdesk.cli.serve import assignments
from frontdesk.clock import SystemClock
from frontdesk.doctor.kinds import SEVERITIES, Finding, Severity
from frontdesk.doctor.observed import Observations
from frontdesk.doctor.report import Measured, Report, examine
from frontdesk.errors import ConfigurationError, FrontdeskError
from frontdesk.server.examining import Examination
from frontdesk.server.probing import Place, Probe

_WIDTH: Final = 80
_FEW: Final = 10
"""Of a figure below that, a decimal is told."""
_COLOURS: Final = {"error": "bold red", "warning": "bold yellow", "note": "bold"}
_CONNECT: Final = re.compile(r"(\d{1,5})=(\[[0-9A-Fa-f:.]+\]|[^\[\]:=\s]+):(\d{1,5})")


def doctor(
    *,
    url: Annotated[
        str | None, typer.Option("--url", metavar="URL", help="A running deployment to look at as well.")
    ] = None,
    url_only: Annotated[bool, typer.Option("--url-only", help="Look at nothing but --url.")] = False,
    prefix: Annotated[str, typer.Option("--prefix", metavar="PATH", help="Where the API is mounted.")] = "/auth",
    ca_file: Annotated[
        Path | None, typer.Option("--ca-file", metavar="FILE", help="Certificates to trust beside the system's.")
    ] = None,
    connect: Annotated[
        list[str] | None,
        typer.Option("--connect", metavar="PORT=HOST:PORT", help="Connect elsewhere for a port; may be repeated."),
    ] = None,
    fail_on: Annotated[
        str, typer.Option("--fail-on", metavar="|".join(SEVERITIES), help="The least that ends in status 1.")
    ] = "warning",
    as_json: JsonOption = False,
    store: StoreOption = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="As for serve; may be repeated.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Say what is unsafe in this deployment and what to change. Changes nothing itself.

    Looks at settings, files and store as the server would read them, and with --url at what the deployment answers.
    Exit status: 0 nothing worse than a note, 1 findings, 2 something could not be looked at.
    """
    try:
        if fail_on not in SEVERITIES:
            raise ConfigurationError(f"--fail-on is one of {', '.join(SEVERITIES)}, not {fail_on!r}")
        if url_only and url is None:
            raise ConfigurationError("--url-only looks at nothing but --url, and that is not given")
        probe = None if url is None else Probe(url, prefix=prefix, ca_file=ca_file, connect=_places(connect or []))
        given = assignments(setting or []) | ({} if store is None else {"store": store})
        seen = _look(None if url_only else Examination(given, config=config), probe)
    except FrontdeskError as error:
        note(error.message)
        raise typer.Exit(2) from None
    report = examine(seen)
    if as_json:
        plain_json(_document(report))
    else:
        _tell(report)
    raise typer.Exit(report.status(_severity(fail_on)))


def _look(examination: Examination | None, probe: Probe | None) -> Observations:
    site, unseen = (None, ()) if probe is None else probe.look()
    if examination is None:
        return Observations(now=SystemClock().now(), site=site, unseen=unseen)
    return asyncio.run(examination.observe(site, unseen))


def _places(words: list[str]) -> dict[int, Place]:
    places = {}
    for word in words:
        found = _CONNECT.fullmatch(word)
        if found is None:
            raise ConfigurationError(f"--connect takes PORT=HOST:PORT, such as 443=127.0.0.1:8443, not {word!r}")
        port, host, other = int(found[1]), found[2].strip("[]"), int(found[3])
        if not 0 < port <= 65535 or not 0 < other <= 65535:
            raise ConfigurationError(f"--connect takes ports up to 65535, not {word!r}")
        places[port] = (host, other)
    return places


def _document(report: Report) -> dict[str, object]:
    """The shape of --json. Members are added to it, and none is renamed or taken away."""
    return {
        "findings": [
            {name: getattr(finding, name) for name in ("code", "severity", "seen", "lets", "change", "page")}
            for finding in report.findings
        ],
        "unseen": [{"subject": each.subject, "why": each.why} for each in report.unseen],
        "measured": None if report.measured is None else msgspec.structs.asdict(report.measured),
        "counts": {severity: report.count(severity) for severity in SEVERITIES},
    }


def _tell(report: Report) -> None:
    for finding in report.findings:
        _tell_finding(finding)
    for unseen in report.unseen:
        show(Text("not looked at", style="bold"))
        _tell_paragraph(f"{unseen.subject}: {unseen.why}")
        say("")
    _tell_cost(report.measured)
    counts = [f"{report.count(severity)} {severity}{_s(report.count(severity))}" for severity in SEVERITIES]
    missed = f"; {len(report.unseen)} not looked at" if report.unseen else ""
    say(", ".join(counts) + missed if report.findings or missed else "nothing was found")


def _tell_finding(finding: Finding) -> None:
    show(Text(f"{finding.severity}: {finding.code}", style=_COLOURS[finding.severity]))
    _tell_paragraph(finding.seen)
    _tell_paragraph(finding.lets)
    # Never broken into lines, whatever its length: it is there to be copied.
    for line in map(printable, finding.change.splitlines()):
        say(f"    {line}" if len(line) <= _WIDTH - 4 else _with_remark_above(line))
    say(f"  docs/{finding.page}")
    say("")


def _with_remark_above(line: str) -> str:
    """A long line with what is only said about it on a line before."""
    what, remark, why = line.partition("    # ")
    return f"    # {why}\n    {what}" if remark else f"    {line}"


def _tell_cost(measured: Measured | None) -> None:
    if measured is None or measured.hash_seconds is None or measured.sign_ins_per_second is None:
        return
    rate = measured.sign_ins_per_second
    shown = f"{rate:.1f}" if rate < _FEW else f"{rate:.0f}"
    say(f"a password takes {measured.hash_seconds:.2f} seconds to hash here: at most {shown} sign-ins a second")


def _tell_paragraph(text: str) -> None:
    for line in textwrap.wrap(printable(text), _WIDTH - 2, break_on_hyphens=False):
        say(f"  {line}")


def _s(count: int) -> str:
    return "" if count == 1 else "s"


def _severity(word: str) -> Severity:
    return next(severity for severity in SEVERITIES if severity == word)
