"""`frontdesk inspect`: a token in words. What it holds may be hostile: nothing of it reaches the terminal unescaped."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from frontdesk.cli.opening import ConfigOption, JsonOption, StoreOption, from_desk
from frontdesk.cli.output import note, plain_json, printable, show, stamp
from frontdesk.clock import SystemClock
from frontdesk.core.durations import span
from frontdesk.errors import FrontdeskError, TokenError
from frontdesk.jose.key_file import KEY_FILE_MAX
from frontdesk.jose.unverified import UNVERIFIED_MAX
from frontdesk.service.desk import Desk
from frontdesk.service.inspection import Finding, Inspection, KeyFile, Verdict, inspect_at_desk, inspect_token

Words = Annotated[
    list[str] | None, typer.Argument(metavar="[TOKEN]", help="The token; without it, standard input is read.")
]
KeyOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Verify with this key: JWK, JWK Set, PEM, or a bare secret.")
]

_NOT_A_TOKEN: Final = 2
_VALUE_MOST: Final = 400
_NAME_MOST: Final = 60
_ALG_MOST: Final = 20
_MEMBERS_MOST: Final = 50
# Readable on dark and on light ground; each also says in words what it means.
_STYLES: Final[Mapping[Verdict, str]] = {"wrong": "bold red", "unknown": "magenta", "good": "green", "note": ""}
_ORDER: Final = tuple(_STYLES)
_KINDS: Final = {
    "signed": "A signed token (JWS)",
    "encrypted": "An encrypted token (JWE)",
    "session": "A session token of Frontdesk",
    "refresh": "A refresh token of Frontdesk",
}
_FAMILIES: Final = {
    "HS": "HMAC with SHA-{}",
    "RS": "RSA PKCS #1 v1.5 with SHA-{}",
    "PS": "RSA-PSS with SHA-{}",
    "ES": "ECDSA with SHA-{}",
}
_ALGORITHMS: Final = {
    "none": "no signature at all",
    "EdDSA": "Ed25519 or Ed448",
    "ES256K": "ECDSA on secp256k1",
    "dir": "a shared secret encrypts the content itself",
    "RSA1_5": "RSA PKCS #1 v1.5, broken by design",
    "PBES2-HS256+A128KW": "a password",
    "PBES2-HS384+A192KW": "a password",
    "PBES2-HS512+A256KW": "a password",
    "ECDH-ES": "key agreement",
    **{f"RSA-OAEP{suffix}": "RSA-OAEP" for suffix in ("", "-256", "-384", "-512")},
    **{f"ECDH-ES+A{bits}KW": "key agreement and AES key wrap" for bits in (128, 192, 256)},
    **{f"A{bits}KW": "AES key wrap" for bits in (128, 192, 256)},
    **{f"A{bits}GCMKW": "AES-GCM key wrap" for bits in (128, 192, 256)},
    **{f"{family}{bits}": words.format(bits) for family, words in _FAMILIES.items() for bits in (256, 384, 512)},
}
_TIMES: Final = {
    "iat": ("issued", "issued"),
    "nbf": ("good since", "good"),
    "exp": ("expired", "expires"),
    "auth_time": ("signed in", "signed in"),
    "created": ("created", "created"),
    "last seen": ("last seen", "last seen"),
    "ended": ("ended", "ends"),
    "unused limit": ("ended", "ends, if unused until then,"),
    "absolute limit": ("ended", "ends"),
}
"""How a moment is told when it is past, and when it is to come."""


def inspect(
    token: Words = None,
    *,
    key: KeyOption = None,
    as_json: JsonOption = False,
    store: StoreOption = None,
    config: ConfigOption = None,
) -> None:
    """Say in words what a token holds, when it ends, who made it and what is wrong with it.

    Given on standard input it stays out of the history of the shell. Exit status: 0 nothing is wrong, although it
    may not have been verified; 1 something is wrong; 2 it is no token.
    """
    if key is not None and (store is not None or config is not None):
        raise typer.BadParameter("name a key or a store, not both")
    now = SystemClock().now()
    try:
        raw = _token(token or [])
        seen = _with_key(raw, key, now) if key is not None else _with_store(raw, now, store, config)
    except TokenError as error:
        note(f"{error.message} ({error.code})")
        raise typer.Exit(_NOT_A_TOKEN) from None
    if as_json:
        plain_json(_members(seen, now))
    else:
        show(_picture(seen, now))
    if seen.is_wrong:
        raise typer.Exit(1)


def _token(words: list[str]) -> bytes:
    """What was given, without the `Bearer` that stands before it in a header and white space around it."""
    given = " ".join(words).encode("utf-8", "replace") if words and words != ["-"] else _from_standard_input()
    raw = given.strip()
    return raw[7:].strip() if raw[:7].lower() == b"bearer " else raw


def _from_standard_input() -> bytes:
    if sys.stdin.isatty():
        return getpass.getpass("Token (not shown): ").encode("utf-8", "replace")
    return sys.stdin.buffer.read(2 * UNVERIFIED_MAX)


def _with_key(token: bytes, key: Path, now: datetime) -> Inspection:
    try:
        with key.open("rb") as file:
            content = file.read(KEY_FILE_MAX + 1)
    except OSError as error:
        raise typer.BadParameter(f"{key} cannot be read: {error.strerror}") from None
    return inspect_token(token, now, source=KeyFile(str(key), content))


def _with_store(token: bytes, now: datetime, store: str | None, config: Path | None) -> Inspection:
    """Held against the store where there is one that opens; a store that was not named need not be there."""
    inspect_token(token, now)  # What is no token opens no store.
    asked_for = store is not None or config is not None

    async def held_against(desk: Desk) -> Inspection:
        return await inspect_at_desk(token, desk, name=store or "the store", asked_for=asked_for)

    try:
        return from_desk(held_against, store=store, config=config)
    except TokenError:
        raise
    except FrontdeskError as error:
        seen = inspect_token(token, now, unchecked=f"{error.message}." if asked_for else _advice(error.message))
        if not asked_for:
            return seen
        fault = Finding("wrong", "The store that was named could not be asked.", error.code)
        return msgspec.structs.replace(seen, findings=(*seen.findings, fault))


def _advice(reason: str) -> str:
    return f"{reason}. A key is named with --key FILE."


# --- for people ---------------------------------------------------------------------------------------------------


def _picture(seen: Inspection, now: datetime) -> RenderableType:
    return Group(*_sections(seen, now))


def _sections(seen: Inspection, now: datetime) -> Iterator[RenderableType]:
    yield Text(_title(seen), style="bold")
    if seen.header:
        yield from _section("HEADER", _values(seen.header))
    if seen.claims is not None:
        doubt = "" if seen.verified else ", not verified: anybody may have written them"
        yield from _section(f"CLAIMS{doubt}", _values(seen.claims))
    if seen.facts:
        yield from _section("KNOWN", [(name, Text(printable(str(value)))) for name, value in seen.facts.items()])
    if seen.times:
        yield from _section("TIMES (UTC)", [(name, _moment(name, at, now)) for name, at in seen.times.items()])
    if seen.findings:
        yield Text()
        yield _findings(seen)
    if seen.inner is not None:
        yield Text()
        yield Text("It holds another:")
        yield from _sections(seen.inner, now)


def _title(seen: Inspection) -> str:
    alg = seen.header.get("alg")
    if not isinstance(alg, str):
        return _KINDS[seen.kind]
    words = _ALGORITHMS.get(alg)
    # Never so long that it wraps: what a stranger wrote must not begin a line.
    return f"{_KINDS[seen.kind]}, {printable(alg)[:_ALG_MOST]}{f': {words}' if words else ''}"


def _section(head: str, rows: Sequence[tuple[str, Text]]) -> Iterator[RenderableType]:
    yield Text()
    yield Text(head, style="bold")
    # The empty column keeps whatever wraps away from the left edge, where only our own words stand.
    table = Table.grid(padding=(0, 2, 0, 0))
    for most in (0, 28, None):
        table.add_column(overflow="fold", max_width=most)
    for name, value in rows:
        table.add_row("", Text(name), value)
    yield table if rows else Text("  none")


def _findings(seen: Inspection) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for each in _ordered(seen):
        table.add_row(Text(each.verdict, style=_STYLES[each.verdict]), _sentence(each))
    return table


def _values(members: Mapping[str, Any]) -> list[tuple[str, Text]]:
    shown = [
        (_cut(printable(name), _NAME_MOST), Text(_cut(printable(json.dumps(value, ensure_ascii=False)), _VALUE_MOST)))
        for name, value in list(members.items())[:_MEMBERS_MOST]
    ]
    if len(members) > _MEMBERS_MOST:
        shown.append(("…", Text(f"and {len(members) - _MEMBERS_MOST} more; --json has them all")))
    return shown


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters; see --json)"


def _moment(name: str, at: datetime, now: datetime) -> Text:
    return Text(f"{stamp(at)}  {_told(name, at, now)}", style="red" if name == "exp" and at <= now else "")


def _told(name: str, at: datetime, now: datetime) -> str:
    past, future = _TIMES[name]
    return f"{past} {span(now - at)} ago" if at <= now else f"{future} in {span(at - now)}"


def _ordered(seen: Inspection) -> list[Finding]:
    return sorted(seen.findings, key=lambda each: _ORDER.index(each.verdict))


def _sentence(finding: Finding) -> Text:
    text = f"{finding.message} ({finding.code})" if finding.code else finding.message
    return Text(_cut(printable(text), _VALUE_MOST))


# --- for programs -------------------------------------------------------------------------------------------------


def _members(seen: Inspection, now: datetime) -> dict[str, object]:
    told: dict[str, object] = {
        "kind": seen.kind,
        "verified": seen.verified,
        "header": seen.header,
        "claims": seen.claims,
        "facts": {name.replace(" ", "_"): value for name, value in seen.facts.items()},
        "times": {
            name.replace(" ", "_"): {"at": at.isoformat().replace("+00:00", "Z"), "words": _told(name, at, now)}
            for name, at in seen.times.items()
        },
        "findings": [
            {"verdict": each.verdict, "code": each.code or None, "message": each.message} for each in _ordered(seen)
        ],
    }
    return told if seen.inner is None else {**told, "inner": _members(seen.inner, now)}
