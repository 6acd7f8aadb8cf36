"""`frontdesk revoke`: whatever has to end, by hand."""

from __future__ import annotations

from typing import Annotated

import typer

from frontdesk.cli import keys, sessions
from frontdesk.cli.opening import ConfigOption, StoreOption, YesOption


def revoke(
    *,
    session: Annotated[str | None, typer.Option(metavar="ID", help="One session.")] = None,
    subject: Annotated[str | None, typer.Option(metavar="WHO", help="All sessions of a subject or address.")] = None,
    key: Annotated[str | None, typer.Option(metavar="KEY", help="All access tokens of a key.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All sessions of everybody.")] = False,
    yes: YesOption = False,
    store: StoreOption = None,
    config: ConfigOption = None,
) -> None:
    """End a session, all of a subject, the tokens of a key, or everything.

    It counts from the next request on wherever the store is asked, and for who follows its log within their bound.
    """
    if (session is not None) + (subject is not None) + (key is not None) + everything != 1:
        raise typer.BadParameter("name exactly one: --session, --subject, --key or --all")
    if session is not None:
        sessions.end_one(session, store=store, config=config)
    elif subject is not None:
        sessions.end_all(subject, store=store, config=config)
    elif key is not None:
        keys.give_up(key, store=store, config=config)
    else:
        sessions.end_everyone(yes=yes, store=store, config=config)
