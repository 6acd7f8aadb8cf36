"""The command line, one file per noun."""

from __future__ import annotations

import typer

from frontdesk.cli import serve

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.command()(serve.serve)


@app.callback()
def _frontdesk() -> None:
    """Authentication for Python applications."""


def main() -> None:
    """The entry point of `frontdesk`."""
    app()
