"""`frontdesk users`: the accounts."""

from __future__ import annotations

import getpass
import sys
from typing import Annotated

import typer

from frontdesk.cli.opening import ConfigOption, JsonOption, StoreOption, YesOption, with_desk
from frontdesk.cli.output import confirm, fail, minute, print_json, print_table, printable, refused, say
from frontdesk.core.accounts import Account
from frontdesk.errors import Refusal
from frontdesk.service.desk import Desk
from frontdesk.service.fitting import check_words

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Accounts: add, list, unlock, remove.")

_PAGE = 500


@app.command()
def add(
    email: Annotated[str, typer.Argument(help="The address to sign in with.")],
    *,
    role: Annotated[list[str] | None, typer.Option(help="A role; may be repeated.")] = None,
    store: StoreOption = None,
    config: ConfigOption = None,
) -> None:
    """Create an account. The password is asked for, or read from the first line of standard input."""
    roles = tuple(sorted(set(role or [])))
    try:
        check_words("roles", roles)
    except ValueError as error:
        raise fail(str(error)) from None
    password = _password()

    async def register(desk: Desk) -> Account | Refusal:
        return await desk.accounts.register(email, password, roles=roles)

    account = with_desk(register, store=store, config=config, creates=True)
    if isinstance(account, Refusal):
        raise refused(account)
    say(f"added {account.email} as {account.id}")


@app.command(name="list")
def list_accounts(*, as_json: JsonOption = False, store: StoreOption = None, config: ConfigOption = None) -> None:
    """List all accounts by address."""
    accounts = with_desk(_all, store=store, config=config)
    if as_json:
        print_json([_members(account) for account in accounts])
        return
    rows = [[each.email, each.id, ", ".join(each.roles), minute(each.created_at)] for each in accounts]
    print_table(
        ("ADDRESS", "SUBJECT", "ROLES", "CREATED (UTC)"),
        rows,
        wraps=("ADDRESS", "ROLES"),
        empty="there are no accounts",
    )


@app.command()
def unlock(
    email: Annotated[str, typer.Argument(help="The address of the account.")],
    *,
    store: StoreOption = None,
    config: ConfigOption = None,
) -> None:
    """Forget the failed sign-ins of an account, so that it may be tried again at once."""

    async def forget(desk: Desk) -> bool:
        return await desk.accounts.unlock(email)

    if with_desk(forget, store=store, config=config):
        say(f"unlocked {email}")
    else:
        say(f"no failed sign-ins are counted for {email}")


# Somebody may name the subject, and some begin with a dash: that is no address, and no option either.
@app.command(context_settings={"ignore_unknown_options": True})
def remove(
    email: Annotated[str, typer.Argument(help="The address of the account.")],
    *,
    yes: YesOption = False,
    store: StoreOption = None,
    config: ConfigOption = None,
) -> None:
    """Delete an account and end all its sessions. It cannot be brought back."""
    confirm(f"Remove {printable(email)} and sign it out everywhere?", yes=yes)

    async def delete(desk: Desk) -> Account | None:
        return await desk.accounts.remove(email) if "@" in email else None

    account = with_desk(delete, store=store, config=config)
    if account is None:
        raise fail(f"no account has the address {email}")
    say(f"removed {account.email}, who was {account.id}")


async def _all(desk: Desk) -> list[Account]:
    accounts: list[Account] = []
    while True:
        page = await desk.accounts.list(after=accounts[-1].email if accounts else "", limit=_PAGE)
        accounts.extend(page)
        if len(page) < _PAGE:
            return accounts


def _members(account: Account) -> dict[str, object]:
    return {
        "email": account.email,
        "subject": account.id,
        "roles": list(account.roles),
        "created_at": account.created_at,
    }


def _password() -> str:
    """From a prompt, twice, or from standard input. Never an argument: others see the arguments of a process."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != password:
        raise fail("the two passwords differ; try again")
    return password
