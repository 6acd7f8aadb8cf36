"""`frontdesk keys`: the keys that sign access tokens."""

from __future__ import annotations

import typer

from frontdesk.cli.opening import ConfigOption, JsonOption, StoreOption, with_desk
from frontdesk.cli.output import day, print_json, print_table
from frontdesk.core.keyring import StoredKey
from frontdesk.service.desk import Desk

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Signing keys: list.")


@app.callback()
def keys() -> None:
    """Signing keys: list."""


@app.command(name="list")
def list_keys(*, as_json: JsonOption = False, store: StoreOption = None, config: ConfigOption = None) -> None:
    """List the signing keys, oldest first. Private parts are never shown."""

    async def stored(desk: Desk) -> tuple[StoredKey, ...]:
        return desk.keys.stored

    found = with_desk(stored, store=store, config=config)
    if as_json:
        print_json([_members(key) for key in found])
        return
    rows = [[each.id, each.algorithm, each.state, day(each.created_at)] for each in found]
    print_table(("KEY", "FOR", "STATE", "CREATED (UTC)"), rows, wraps=("KEY",), empty="there are no keys")


def _members(key: StoredKey) -> dict[str, object]:
    return {"id": key.id, "algorithm": key.algorithm, "state": key.state, "created_at": key.created_at}
