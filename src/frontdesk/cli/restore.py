"""`frontdesk restore`: what must happen after a backup was put back."""

from __future__ import annotations

from typing import Annotated

import typer

from frontdesk.cli.opening import ConfigOption, StoreOption, YesOption, with_desk
from frontdesk.cli.output import confirm, say
from frontdesk.cli.sessions import counted
from frontdesk.service.desk import Desk


def restore(
    *,
    keep_sessions: Annotated[
        bool, typer.Option("--keep-sessions", help="Sign nobody out: what had ended since the backup stands again.")
    ] = False,
    yes: YesOption = False,
    store: StoreOption = None,
    config: ConfigOption = None,
) -> None:
    """Tell a store that it is a restored backup, and sign everybody out. Run it once the copy is in place.

    The history of its log gets another name: every server and service that follows the log reads it from the
    beginning, and tells the store what was revoked since the backup as far as they know it.
    """
    question = "Renew the history of a restored store"
    confirm(f"{question}, and keep its sessions?" if keep_sessions else f"{question} and sign everybody out?", yes=yes)

    async def renew(desk: Desk) -> int | None:
        # First the name: an entry that is written under the old one may have a number that a reader has passed.
        await desk.store.renew_history()
        return None if keep_sessions else await desk.end_everyone()

    ended = with_desk(renew, store=store, config=config)
    say("renewed the history of the revocation log")
    say("kept the sessions of the copy" if ended is None else f"ended {counted(ended)} of everybody")
