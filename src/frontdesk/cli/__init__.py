"""The command line. `commands` puts it together from one file per noun."""

from __future__ import annotations

import sys


def main() -> None:
    """The entry point of `frontdesk` and of `python -m frontdesk`."""
    try:
        from frontdesk.cli.commands import app  # noqa: PLC0415 - what it imports is an extra and may be missing
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing == "frontdesk":
            raise
        sys.exit(f"frontdesk: the package {missing} is missing; run `pip install 'frontdesk[server]'`")
    app()
