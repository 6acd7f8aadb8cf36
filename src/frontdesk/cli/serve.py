"""`frontdesk serve`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from frontdesk.errors import FrontdeskError
from frontdesk.server.running import run
from frontdesk.server.sources import load_settings


def serve(
    *,
    store: Annotated[str | None, typer.Option(help="Where everything is kept.")] = None,
    host: Annotated[str | None, typer.Option(help="The address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="The port to listen on.")] = None,
    workers: Annotated[int | None, typer.Option(help="How many processes.")] = None,
    dev: Annotated[bool | None, typer.Option("--dev", help="Development mode.")] = None,
    config: Annotated[Path | None, typer.Option(help="The file of settings.")] = None,
) -> None:
    """Start the server."""
    given = {"store": store, "host": host, "port": port, "workers": workers, "dev": dev}
    try:
        run(load_settings({name: value for name, value in given.items() if value is not None}, config=config))
    except FrontdeskError as error:
        print(f"frontdesk: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
