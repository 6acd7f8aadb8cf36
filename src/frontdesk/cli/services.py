"""`frontdesk services`: other programs and the credentials that they hold."""

from __future__ import annotations

from typing import Annotated, get_args

import typer

from frontdesk.cli.opening import ConfigOption, JsonOption, StoreOption, with_desk
from frontdesk.cli.output import fail, minute, note, print_json, print_table, say
from frontdesk.core.services import SERVICE_SCOPES, Service, ServiceScope, is_service_name
from frontdesk.service.desk import Desk

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Services: add, list, remove.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="What the service is called.")]


@app.callback()
def services() -> None:
    """Services: add, list, remove."""


@app.command()
def add(
    name: Name,
    *,
    scope: Annotated[
        list[str],
        typer.Option(metavar="SCOPE", help="What it may do: revocations, revoke, metrics or explain; may be repeated."),
    ],
    store: StoreOption = None,
    config: ConfigOption = None,
) -> None:
    """Give a program a credential, which is printed this once. The store cannot say it again."""
    scopes: list[ServiceScope] = [known for known in SERVICE_SCOPES if known in scope]
    if len(scopes) < len(set(scope)):
        raise typer.BadParameter(f"a scope is one of {', '.join(get_args(ServiceScope))}")
    if not is_service_name(name):
        raise fail(
            f"{name!r} cannot be the name of a service; take 1 to 64 lower-case letters and digits, with dots, dashes "
            "and underscores between them"
        )

    async def added(desk: Desk) -> str | None:
        return await desk.services.add(name, scopes)

    credential = with_desk(added, store=store, config=config, creates=True)
    if credential is None:
        raise fail(f"there is a service {name}; remove it first, or take another name")
    say(credential)
    note(f"the credential of {name}, good for {', '.join(scopes)}; it is shown this once")


@app.command(name="list")
def list_services(*, as_json: JsonOption = False, store: StoreOption = None, config: ConfigOption = None) -> None:
    """List the services by name. Credentials are never shown."""

    async def all_of(desk: Desk) -> tuple[Service, ...]:
        return await desk.services.list()

    found = with_desk(all_of, store=store, config=config)
    if as_json:
        print_json([_members(each) for each in found])
        return
    rows = [[each.name, ", ".join(each.scopes), minute(each.created_at)] for each in found]
    print_table(("SERVICE", "SCOPES", "CREATED (UTC)"), rows, wraps=("SERVICE",), empty="there are no services")


@app.command()
def remove(name: Name, *, store: StoreOption = None, config: ConfigOption = None) -> None:
    """Refuse the credential of a service from now on."""

    async def removed(desk: Desk) -> bool:
        return await desk.services.remove(name)

    if not with_desk(removed, store=store, config=config):
        raise fail(f"there is no service {name}")
    say(f"removed {name}")


def _members(service: Service) -> dict[str, object]:
    return {"name": service.name, "scopes": list(service.scopes), "created_at": service.created_at}
