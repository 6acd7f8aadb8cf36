"""The pages under reference/, made from the source each time the site is built."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import typer

from frontdesk.cli.commands import app
from frontdesk.endpoints.openapi import Description
from frontdesk.endpoints.routes import ROUTES
from frontdesk.endpoints.settings import EdgeSettings
from frontdesk.errors import CODES
from frontdesk.jose.codes import TOKEN_CODES
from frontdesk.server.settings import ServerSettings
from scripts.site import python_api
from scripts.site.links import anchors

_LIB: Final = Path(__file__).resolve().parents[2] / "client" / "lib"
_TYPES: Final = tuple(_LIB / f"{name}.d.ts" for name in ("client", "server", "errors", "types"))
_EXPORTED: Final = re.compile(r"^export (?:type )?\{(.*?)\}", re.MULTILINE | re.DOTALL)
_DECLARATION: Final = re.compile(
    r"^(?:/\*\*(?:(?!\*/).)*\*/\n)?export (?:declare )?(?:function|class|interface|type|const) (?P<name>\w+)"
    r".*?(?=^/\*\*|^export |^import |\Z)",
    re.MULTILINE | re.DOTALL,
)
_MADE: Final = "Made from the source."
_ERRORS: Final = Path(__file__).resolve().parents[2] / "docs" / "errors.md"


def cli() -> str:
    """Each command with what its `--help` prints."""
    parts = [
        f"# Command line\n\n{_MADE} What the commands are for, and what they print: [the command line](../cli.md).\n"
    ]
    for path, text in _commands(typer.main.get_command(app), "frontdesk", None):
        parts.append(f"## {path}\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


def _commands(command: Any, name: str, parent: Any) -> Iterator[tuple[str, str]]:
    context = typer.Context(command, info_name=name, parent=parent, terminal_width=100, max_content_width=100)
    yield context.command_path, context.get_help().rstrip()
    for below, each in getattr(command, "commands", {}).items():
        yield from _commands(each, below, context)


def browser_client() -> str:
    """Each name that `@frontdesk/client` exports, as its declarations have it."""
    head = f"# The client for browsers: its types\n\n{_MADE} How to use it: [its page](../browser-client.md).\n"
    declared = {match["name"]: match[0].strip() for file in _TYPES for match in _DECLARATION.finditer(file.read_text())}
    lists = _EXPORTED.findall((_LIB / "index.d.ts").read_text())
    names = {each.strip().removeprefix("type ") for names in lists for each in names.split(",")} - {""}
    return "\n".join([head, *(f"### `{name}`\n\n```ts\n{declared[name]}\n```\n" for name in sorted(names))])


def settings() -> str:
    """Each setting of the server with its variable, its type and its default."""
    head = (
        f"# Settings\n\n{_MADE} What each one means: [the page on settings](../settings.md).\n\n"
        "| setting | environment | type | default |\n|---|---|---|---|\n"
    )
    empty = ServerSettings()
    rows = [
        f'| <a id="{each.name}"></a>`{each.name}` | `FRONTDESK_{each.name.upper()}` | `{_type(str(each.type))}` '
        f"| {_shown(getattr(empty, each.name))} |"
        for each in fields(ServerSettings)
    ]
    return head + "\n".join(rows) + "\n"


def _type(name: str) -> str:
    return name.replace("|", "\\|")


def _shown(value: object) -> str:
    if isinstance(value, timedelta):
        return f"`{_duration(value)}`"
    if isinstance(value, tuple):
        return f"`{','.join(value)}`" if value else ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`" if value != "" else ""


def _duration(value: timedelta) -> str:
    seconds = int(value.total_seconds())
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds and seconds % length == 0:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def codes() -> str:
    """Each code with its status, its sentence and the operations that answer with it."""
    said = {code: [f"`{route.method} {route.path}`" for route in ROUTES if code in route.refusals] for code in CODES}
    explained = anchors(_ERRORS.read_text(encoding="utf-8"))
    rows = [
        f"| [`{code}`](../errors.md{f'#{code}' if code in explained else ''}) | {entry.status} | {entry.title} "
        f"| {', '.join(said[code])} |"
        for code, entry in CODES.items()
    ]
    tokens = ", ".join(f"`{code}`" for code in sorted(TOKEN_CODES))
    head = (
        f"# Error codes\n\n{_MADE} When each one comes, and what to do: [errors](../errors.md). Operations below "
        "`/auth` that name a code for themselves stand beside it; your own routes may answer with any of 401 and "
        "403.\n\n"
        "| code | status | sentence | operations |\n|---|---|---|---|\n"
    )
    return head + "\n".join(rows) + f"\n\nCodes of `TokenError`: {tokens}.\n"


def http_api() -> str:
    """Each operation of the API, from the declarations that requests are routed by."""
    description = Description(
        EdgeSettings(), credentials=("session", "jwt", "jwe"), transports=("cookie", "bearer")
    ).document(title="Frontdesk", version="")
    head = (
        f"# HTTP API\n\n{_MADE} The same declarations make the OpenAPI document: `/openapi.json` of "
        "`frontdesk serve --dev`, or that of your FastAPI application. How the operations belong together: "
        "[the HTTP API](../http.md).\n"
    )
    parts = [head]
    for path, operations in description["paths"].items():
        parts.extend(_operation(f"{method.upper()} {path}", operation) for method, operation in operations.items())
    parts.append("## Shapes\n")
    parts.extend(_shape(name, schema) for name, schema in description["components"]["schemas"].items())
    return "\n".join(parts)


def _operation(title: str, operation: Mapping[str, Any]) -> str:
    lines = [f"## {title}\n", f"{operation['summary']}.\n"]
    lines.extend(
        f"- `{parameter['name']}` in the {parameter['in']}: {_schema(parameter['schema'])}"
        for parameter in operation.get("parameters", ())
    )
    body = operation.get("requestBody")
    if body is not None:
        need = "" if body["required"] else ", may be left out"
        lines.append(f"- body{need}: {_content(body)}")
    named = sorted({name for way in operation["security"] for name in way})
    if named:
        lines.append(f"- credential: {', '.join(f'`{name}`' for name in named)}")
    lines.append("\n| status | |\n|---|---|")
    for status, response in operation["responses"].items():
        shape = _content(response) if not response["description"].count("`") else ""
        lines.append(f"| {status} | {response['description']}{f': {shape}' if shape else ''} |")
    return "\n".join(lines) + "\n"


def _content(holder: Mapping[str, Any]) -> str:
    """The shapes of a body or an answer; of any type where none is declared."""
    return ", ".join(_schema(media["schema"]) if media else "anything" for media in holder.get("content", {}).values())


def _shape(name: str, schema: Mapping[str, Any]) -> str:
    rows = [
        f"| `{member}` | {'yes' if member in schema.get('required', ()) else ''} | {_schema(each)} |"
        for member, each in schema.get("properties", {}).items()
    ]
    said = f"{schema['description']}\n\n" if "description" in schema else ""
    return (
        f'<a id="{name}"></a>\n\n### {name}\n\n{said}| member | required | |\n|---|---|---|\n' + "\n".join(rows) + "\n"
    )


def _schema(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name})"
    if "anyOf" in schema:
        return " or ".join(_schema(each) for each in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_schema(schema.get('items', {}))}"
    known = [
        f"`{schema.get('type', 'any')}`",
        *(f"{key} {schema[key]}" for key in ("format", "minimum", "maximum", "default") if key in schema),
    ]
    return ", ".join(known)


PAGES: Final[Mapping[str, Callable[[], str]]] = MappingProxyType(
    {
        "reference/python.md": python_api.page,
        "reference/http.md": http_api,
        "reference/browser-client.md": browser_client,
        "reference/settings.md": settings,
        "reference/cli.md": cli,
        "reference/codes.md": codes,
    }
)
"""The generated pages, by their path below docs/."""


def generate() -> dict[str, str]:
    """Every generated page."""
    return {path: make() for path, make in PAGES.items()}
