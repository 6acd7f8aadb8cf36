"""`frontdesk keys`: the keys that sign and encrypt access tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from frontdesk.cli.opening import ConfigOption, JsonOption, StoreOption, with_desk
from frontdesk.cli.output import day, fail, minute, print_json, print_table, say
from frontdesk.core.keyring import VERIFIES_AFTER, KeyState, Plan, StoredKey, signs_at
from frontdesk.service.desk import Desk

CompromisedOption = Annotated[str | None, typer.Option(metavar="KEY", help="The key that others may know.")]

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Keys of access tokens: list, rotate.")


@app.callback()
def keys() -> None:
    """Keys of access tokens: list, rotate."""


@app.command(name="list")
def list_keys(*, as_json: JsonOption = False, store: StoreOption = None, config: ConfigOption = None) -> None:
    """List the keys of access tokens, oldest first. Secret parts are never shown."""

    async def stored(desk: Desk) -> tuple[StoredKey, ...]:
        return tuple(sorted(desk.keys.stored, key=lambda each: (each.created_at, each.algorithm)))

    found = with_desk(stored, store=store, config=config)
    if as_json:
        print_json([_members(key) for key in found])
        return
    rows = [[each.id, each.algorithm, each.state, day(each.created_at)] for each in found]
    print_table(("KEY", "FOR", "STATE", "CREATED (UTC)"), rows, wraps=("KEY",), empty="there are no keys")


@app.command()
def rotate(*, compromised: CompromisedOption = None, store: StoreOption = None, config: ConfigOption = None) -> None:
    """Begin a rotation, or go on with one: a new key is published for 24 hours and then takes over.

    With --compromised every token of that key is refused from now on, by every process on the store.
    """

    if compromised is not None:
        give_up(compromised, store=store, config=config)
        return

    async def rotated(desk: Desk) -> tuple[Plan, tuple[StoredKey, ...]]:
        return await desk.rotate_keys(at_once=True), desk.keys.stored

    done, held = with_desk(rotated, store=store, config=config)
    for sentence in _told(done, held) or _waiting(held):
        say(sentence)


def give_up(key: str, *, store: str | None, config: Path | None) -> None:
    """Refuse every token of a key from now on, and say what takes its place."""

    async def given_up(desk: Desk) -> tuple[Plan, tuple[StoredKey, ...]]:
        return await desk.give_up_key(key), desk.keys.stored

    done, held = with_desk(given_up, store=store, config=config)
    if not done:
        raise fail(f"no key {key} is in use; `frontdesk keys list` shows them")
    for sentence in _told(done, held):
        say(sentence)


def _told(done: Plan, held: Sequence[StoredKey]) -> list[str]:
    """What was done, a sentence for each key that has another state."""
    moved = {move.id for move in done.moves}
    made = {(make.algorithm, make.state) for make in done.makes}
    changed = [key for key in held if key.id in moved or (key.algorithm, key.state) in made]
    return [_SENTENCES[key.state](key) for key in sorted(changed, key=lambda key: (key.algorithm, _ORDER[key.state]))]


def _waiting(held: Sequence[StoredKey]) -> list[str]:
    coming = sorted((key for key in held if key.state == "next"), key=lambda key: key.algorithm)
    return [_next(key) for key in coming] or ["nothing is due"]


def _next(key: StoredKey) -> str:
    return f"at {minute(signs_at(key))} {key.algorithm} passes to {key.id}"


def _old(key: StoredKey) -> str:
    return f"{key.id} verifies until {minute(key.changed_at + VERIFIES_AFTER)}"


_ORDER: Final[Mapping[KeyState, int]] = {"compromised": 0, "current": 1, "old": 2, "next": 3}
_SENTENCES: Final[Mapping[KeyState, Callable[[StoredKey], str]]] = {
    "compromised": lambda key: f"{key.id} is refused from now on",
    "current": lambda key: f"{key.algorithm} has passed to {key.id}",
    "old": _old,
    "next": _next,
}


def _members(key: StoredKey) -> dict[str, object]:
    return {"id": key.id, "algorithm": key.algorithm, "state": key.state, "created_at": key.created_at}
