"""`frontdesk serve`."""

from __future__ import annotations

from typing import Annotated

import typer

from frontdesk.cli.opening import ConfigOption, StoreOption
from frontdesk.cli.output import faults_told
from frontdesk.errors import ConfigurationError
from frontdesk.server.running import run
from frontdesk.server.settings import READERS
from frontdesk.server.sources import load_settings


def serve(
    *,
    dev: Annotated[bool, typer.Option("--dev", help="Development mode: loopback only, logs for people.")] = False,
    store: StoreOption = None,
    host: Annotated[str | None, typer.Option(help="The address to listen on; default 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="The port; default 8000, 0 for any free one.")] = None,
    workers: Annotated[int | None, typer.Option(help="How many processes; default 1.")] = None,
    base_url: Annotated[str | None, typer.Option(metavar="URL", help="The address that browsers use.")] = None,
    log_format: Annotated[str | None, typer.Option(metavar="auto|json|text", help="How to log.")] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any other setting; may be repeated.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Start the server. The first start creates the database and its key file."""
    with faults_told():
        given: dict[str, object] = assignments(setting or [])
        flags = {
            "dev": dev or None,
            "store": store,
            "host": host,
            "port": port,
            "workers": workers,
            "base_url": base_url,
            "log_format": log_format,
        }
        given |= {name: value for name, value in flags.items() if value is not None}
        status = run(load_settings(given, config=config))
    raise typer.Exit(status)


def assignments(words: list[str]) -> dict[str, object]:
    """The settings that `--set NAME=VALUE` gives."""
    given: dict[str, object] = {}
    for word in words:
        name, equals, value = word.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name.isidentifier():
            # What is no name may be the value of a secret.
            shown = f", not {word!r}" if name in READERS else ""
            raise ConfigurationError(f"--set takes NAME=VALUE, such as --set grace=10s{shown}")
        given[name] = value
    return given
