"""`frontdesk sessions`: who is signed in where, and ending it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from frontdesk.cli.opening import ConfigOption, JsonOption, StoreOption, YesOption, with_desk
from frontdesk.cli.output import confirm, fail, minute, print_json, print_table, say
from frontdesk.core.sessions import Session
from frontdesk.endpoints.api import device_of
from frontdesk.service.desk import Desk

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Sessions: list, revoke.")

_LONGEST_ORIGIN = 60
# Ids are random and some begin with a dash; none of them is an option.
_DASHES = {"ignore_unknown_options": True}

Who = Annotated[str, typer.Argument(metavar="WHO", help="An address, or a subject.")]


@app.command(name="list", context_settings=_DASHES)
def list_sessions(
    who: Who, *, as_json: JsonOption = False, store: StoreOption = None, config: ConfigOption = None
) -> None:
    """List the sessions of one subject, newest first."""

    async def find(desk: Desk) -> tuple[Session, ...] | None:
        subject = await _subject(desk, who)
        return None if subject is None else await desk.sessions(subject)

    found = with_desk(find, store=store, config=config)
    if found is None:
        raise _nobody(who)
    if as_json:
        print_json([_members(session) for session in found])
        return
    rows = [
        [
            each.id,
            f"{each.credential}, {each.transport}",
            minute(each.last_seen_at),
            _origin(each),
        ]
        for each in found
    ]
    print_table(("SESSION", "CREDENTIAL", "SEEN (UTC)", "FROM"), rows, wraps=("FROM",), empty="there are no sessions")


@app.command(context_settings=_DASHES)
def revoke(
    session: Annotated[str | None, typer.Argument(metavar="SESSION", help="The id of one session.")] = None,
    *,
    everything_of: Annotated[
        str | None, typer.Option("--all", metavar="WHO", help="All sessions of an address or subject.")
    ] = None,
    everyone: Annotated[bool, typer.Option("--everyone", help="All sessions of everybody.")] = False,
    yes: YesOption = False,
    store: StoreOption = None,
    config: ConfigOption = None,
) -> None:
    """End one session, all of one subject, or all of everybody.

    Servers on the same store refuse what has ended from the next request on.
    """
    if (session is not None) + (everything_of is not None) + everyone != 1:
        raise typer.BadParameter("name one session, or a subject with --all, or say --everyone")
    if session is not None:
        end_one(session, store=store, config=config)
    elif everything_of is not None:
        end_all(everything_of, store=store, config=config)
    else:
        end_everyone(yes=yes, store=store, config=config)


def end_one(session_id: str, *, store: str | None, config: Path | None) -> None:
    """End one session, and say so."""

    async def end(desk: Desk) -> bool:
        return await desk.end(session_id, reason="revoked")

    if not with_desk(end, store=store, config=config):
        raise fail(f"there is no session {session_id}")
    say(f"ended {session_id}")


def end_all(who: str, *, store: str | None, config: Path | None) -> None:
    """End all sessions of an address or subject, and say how many."""

    async def end(desk: Desk) -> int | None:
        subject = await _subject(desk, who)
        return None if subject is None else await desk.end_all(subject)

    ended = with_desk(end, store=store, config=config)
    if ended is None:
        raise _nobody(who)
    say(f"ended {counted(ended)} of {who}")


def end_everyone(*, yes: bool, store: str | None, config: Path | None) -> None:
    """End all sessions of everybody, after asking, and say how many."""
    confirm("Sign everybody out?", yes=yes)

    async def end(desk: Desk) -> int:
        return await desk.end_everyone()

    say(f"ended {counted(with_desk(end, store=store, config=config))} of everybody")


def counted(sessions: int) -> str:
    """So many sessions, in words."""
    return f"{sessions} {'session' if sessions == 1 else 'sessions'}"


async def _subject(desk: Desk, who: str) -> str | None:
    """The subject that is meant. An application's own subjects may look like addresses, so those are tried as both."""
    if "@" not in who:
        return who
    account = await desk.accounts.by_email(who)
    if account is not None:
        return account.id
    return who if await desk.sessions(who) else None


def _origin(session: Session) -> str:
    shown = f"{session.address} {session.device}".strip()
    return shown if len(shown) <= _LONGEST_ORIGIN else shown[: _LONGEST_ORIGIN - 1] + "…"


def _nobody(who: str) -> typer.Exit:
    return fail(f"no account has the address {who}, and no subject of this name is signed in")


def _members(session: Session) -> dict[str, object]:
    device = msgspec.structs.asdict(device_of(session, current=""))
    del device["current"]
    return {**device, "subject": session.subject}
