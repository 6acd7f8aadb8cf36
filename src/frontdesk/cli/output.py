"""What the commands print: tables for people, JSON for programs, one sentence for what went wrong."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib.metadata import version
from typing import Any, Final, Literal

import msgspec
import typer
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from frontdesk.errors import FrontdeskError, Refusal

_BLANKS_AT_THE_END: Final = re.compile(" +$", re.MULTILINE)


def say(sentence: str) -> None:
    """One line on stdout."""
    typer.echo(sentence)


def note(sentence: str) -> None:
    """One line on stderr, beside the result."""
    typer.echo(f"frontdesk: {printable(sentence)}", err=True)


def fail(sentence: str) -> typer.Exit:
    """One line on stderr; raise what comes back."""
    note(sentence)
    return typer.Exit(1)


def refused(refusal: Refusal) -> typer.Exit:
    """Say why a refusal was given; raise what comes back."""
    return fail(f"{refusal.detail or refusal.title} ({refusal.code})")


def confirm(question: str, *, yes: bool) -> None:
    """At a terminal, ask before what cannot be undone, unless `yes`; anything but a yes ends the command.

    Without a terminal nobody could answer, and whoever wrote the script has decided.
    """
    if yes or not sys.stdin.isatty():
        return
    # Not typer.confirm: it writes on stdout too, which holds results alone.
    typer.echo(f"{question} [y/N] ", err=True, nl=False)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise fail("nothing was changed")


@contextmanager
def faults_told() -> Iterator[None]:
    """A fault ends the command with one sentence and status 1, never with a traceback."""
    try:
        yield
    except FrontdeskError as error:
        detail = f" ({error.detail})" if error.detail else ""
        raise fail(f"{error.message}{detail}") from None


def print_json(value: Any) -> None:
    """`value` as indented JSON on stdout."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def plain_json(value: Any) -> None:
    """As `print_json`, in visible ASCII alone, for what strangers wrote: a terminal shows it and obeys none of it."""
    sys.stdout.write(json.dumps(value, indent=2, allow_nan=False).replace("\x7f", "\\u007f") + "\n")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, wraps: Sequence[str], empty: str) -> None:
    """Rows under their heads; `empty` where there are none. At most as wide as the terminal, 80 columns without one.

    wraps: the columns whose cells are broken where the width does not suffice.
    """
    if not rows:
        say(empty)
        return
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column not in wraps)
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    show(table)


def show(picture: RenderableType) -> None:
    """Print on stdout what rich draws, in colour where a terminal has it."""
    # Under NO_COLOR rich would still write bold; whoever asks for no colour wants no escape sequences.
    colours: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"
    console = Console(color_system=colours, highlight=False)
    with console.capture() as drawn:
        console.print(picture)
    # The cells of a table are filled up to the width of their column, the last one too.
    sys.stdout.write(_BLANKS_AT_THE_END.sub("", drawn.get()))


def printable(text: str) -> str:
    """The text with its control characters escaped: what others wrote moves no cursor here."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def minute(moment: datetime) -> str:
    """A moment to the minute, in UTC."""
    return moment.strftime("%Y-%m-%d %H:%M")


def stamp(moment: datetime) -> str:
    """A moment to the second, in UTC."""
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def day(moment: datetime) -> str:
    """A moment to the day, in UTC."""
    return moment.strftime("%Y-%m-%d")


def version_number() -> str:
    """Of the installed distribution."""
    return version("frontdesk")
