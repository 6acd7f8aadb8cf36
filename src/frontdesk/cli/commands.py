"""All commands. Exit status: 0 done, 1 not done (one sentence on stderr says why), 2 not understood."""

from __future__ import annotations

from typing import Annotated

import typer

from frontdesk.cli import (
    advise,
    doctor,
    explain,
    inspect,
    keys,
    migrate,
    restore,
    revoke,
    serve,
    services,
    sessions,
    users,
)
from frontdesk.cli.output import say, version_number

# Plain help: it reads the same in a terminal, in a pipe and in docs/cli.md.
app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
app.command()(serve.serve)
app.command()(inspect.inspect)
app.command()(advise.advise)
app.command()(doctor.doctor)
app.command()(explain.explain)
app.command()(revoke.revoke)
app.command()(migrate.migrate)
app.command()(restore.restore)
app.add_typer(users.app, name="users")
app.add_typer(sessions.app, name="sessions")
app.add_typer(keys.app, name="keys")
app.add_typer(services.app, name="services")


def _print_version(wanted: bool) -> None:
    if wanted:
        say(f"frontdesk {version_number()}")
        raise typer.Exit


@app.callback()
def frontdesk(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Authentication for Python applications: a server and its accounts, sessions, keys and services.

    Settings come from flags, FRONTDESK_* variables and frontdesk.toml, in this order (docs/settings.md).
    """
