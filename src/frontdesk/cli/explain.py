"""`frontdesk explain`: why a request passes or fails, asked of the desk; and what a code means."""

from __future__ import annotations

import difflib
import http.client
import json
import os
import re
import socket
import ssl
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import SplitResult, unquote, urlencode, urlsplit

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from frontdesk.cli.cookie_file import cookies_for, read_jar
from frontdesk.cli.opening import JsonOption
from frontdesk.cli.output import note, plain_json, printable, say, show
from frontdesk.clock import SystemClock
from frontdesk.core.causes import REFUSALS, TOKENS, Cause
from frontdesk.core.origin import leads_to_loopback
from frontdesk.endpoints.bodies import Explained, ExplainedFact
from frontdesk.endpoints.explain import SERVICE_HEADER
from frontdesk.endpoints.http import BODY_LIMIT
from frontdesk.errors import CODES
from frontdesk.server.lines import connected
from frontdesk.server.sources import EXPLAIN_VARIABLE

_MISUSE: Final = 2
_PATIENCE: Final = 10.0
_LARGEST_FILE: Final = 64 * 1024
_LARGEST_ANSWER: Final = 1024 * 1024
_HEADER: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*)")

CodeArgument = Annotated[str | None, typer.Argument(metavar="[CODE]", help="A code, to be told what it means.")]
UrlOption = Annotated[str | None, typer.Option(metavar="URL", help="The page, or the desk's own /auth/explain.")]
CookieOption = Annotated[Path | None, typer.Option(metavar="FILE", help="A cookie jar, as curl -c writes it.")]
HeaderOption = Annotated[Path | None, typer.Option(metavar="FILE", help="Headers, one a line, as curl -H @FILE.")]
TokenOption = Annotated[Path | None, typer.Option(metavar="FILE", help="A bearer token; - is standard input.")]
BodyOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The body, as curl --data-binary @FILE; JSON unless a header says else."),
]
MethodOption = Annotated[
    str | None, typer.Option(metavar="METHOD", help="As if the request had this method; else GET, with a body POST.")
]
PrefixOption = Annotated[str, typer.Option(metavar="PATH", help="Where the API is mounted.")]
ServiceOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help=f"A service's credential; else {EXPLAIN_VARIABLE}.")
]

Headers = list[tuple[str, str]]


class _CannotAsk(Exception):  # noqa: N818 - says why, and is told in one sentence
    """Nothing was explained."""


def explain(
    code: CodeArgument = None,
    *,
    url: UrlOption = None,
    method: MethodOption = None,
    cookie_file: CookieOption = None,
    header_file: HeaderOption = None,
    token_file: TokenOption = None,
    body_file: BodyOption = None,
    service_file: ServiceOption = None,
    prefix: PrefixOption = "/auth",
    as_json: JsonOption = False,
) -> None:
    """Why a request passes or fails, as facts and a verdict; or what a CODE means and what to do about it.

    The desk explains and does nothing else. Exit status: 0 the request is allowed, 1 it is refused, 2 not answered.
    """
    if (code is None) == (url is None):
        raise typer.BadParameter("name either a code, or --url and what the request comes with")
    if code is not None:
        _tell_code(code, as_json=as_json)
        return
    assert url is not None
    try:
        parts = _parts_of(url)
        headers = [*_headers(header_file), *_token(token_file), *_service(service_file)]
        body = None if body_file is None else _raw(body_file, BODY_LIMIT)
        target, shown = _target(parts, prefix, method or ("GET" if body is None else "POST"))
        jar = _cookies(cookie_file, parts, target)
        told = _ask(parts, target, [*headers, *jar], body)
    except _CannotAsk as error:
        note(str(error))
        raise typer.Exit(_MISUSE) from None
    if as_json:
        plain_json(msgspec.to_builtins(told))
    else:
        _show(told, f"{shown} at {parts.scheme}://{parts.netloc}")
    if told.code != "allowed":
        raise typer.Exit(1)


# --- asking -------------------------------------------------------------------------------------------------------


def _parts_of(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and "@" not in parts.netloc
        _ = parts.port
    except ValueError:
        usable = False
    if not usable or not url.isascii() or not url.isprintable() or " " in url:
        raise _CannotAsk("--url is an address such as https://app.example/page, without a name or password in it")
    if parts.scheme == "http" and not leads_to_loopback(parts.hostname or ""):
        raise _CannotAsk("a credential is not sent over plain http to another machine; write https://")
    return parts


def _target(parts: SplitResult, prefix: str, method: str) -> tuple[str, str]:
    """What is asked for, and what it is about."""
    endpoint = f"{prefix.rstrip('/')}/explain"
    if parts.path == endpoint:
        about = f"{endpoint}?{parts.query}" if parts.query else endpoint
        return about, about
    query = {"path": unquote(parts.path) or "/", "method": method.upper()}
    return f"{endpoint}?{urlencode(query)}", f"{query['method']} {parts.path or '/'}"


def _ask(parts: SplitResult, target: str, headers: Headers, body: bytes | None) -> Explained:
    about = _about_body(headers, body)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with connected((host, port), _PATIENCE) as plain, _secured(plain, parts) as line:
            connection = http.client.HTTPConnection(host, port)
            connection.sock = line
            how = "GET" if body is None else "POST"
            connection.putrequest(how, target, skip_host=True, skip_accept_encoding=True)
            for name, value in [("Host", _authority(parts)), *headers, *about, ("Connection", "close")]:
                connection.putheader(name, value.encode("latin-1"))
            connection.endheaders(body)
            with connection.getresponse() as response:
                status, answer = response.status, response.read(_LARGEST_ANSWER)
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        raise _CannotAsk(f"{parts.netloc} cannot be asked: {error}") from None
    return _read(status, answer)


def _about_body(headers: Headers, body: bytes | None) -> Headers:
    if body is None:
        return []
    declared = any(name.lower() == "content-type" for name, _ in headers) or not body
    kind = [] if declared else [("Content-Type", "application/json")]
    return [*kind, ("Content-Length", str(len(body)))]


def _secured(plain: socket.socket, parts: SplitResult) -> socket.socket:
    if parts.scheme == "http":
        return plain
    return ssl.create_default_context().wrap_socket(plain, server_hostname=parts.hostname)


def _authority(parts: SplitResult) -> str:
    """As browsers write it, without the port that the scheme has anyway."""
    return parts.netloc.lower().removesuffix(":443" if parts.scheme == "https" else ":80").rstrip(":")


def _read(status: int, body: bytes) -> Explained:
    if status == 200:
        try:
            return msgspec.json.decode(body, type=Explained)
        except (msgspec.DecodeError, msgspec.ValidationError, UnicodeError, RecursionError):
            raise _CannotAsk("what answers there is no desk: this is no explanation") from None
    try:
        problem = json.loads(body)
        sentence = f"{problem['detail'] if 'detail' in problem else problem['title']} ({problem['code']})"
    except (ValueError, KeyError, TypeError, RecursionError):
        sentence = "is a desk mounted there? --prefix says where"
    raise _CannotAsk(f"the answer was {status}: {sentence}")


# --- what the request comes with ----------------------------------------------------------------------------------


def _content(file: Path, what: str) -> str:
    """What a file holds, byte for byte: a header may hold what is no text."""
    raw = _raw(file, _LARGEST_FILE)
    if len(raw) > _LARGEST_FILE:
        raise _CannotAsk(f"{file} is too large for {what}")
    return raw.decode("latin-1")


def _raw(file: Path, most: int) -> bytes:
    """The first of what a file holds: one octet more than `most` where there is more."""
    try:
        if str(file) == "-":
            return sys.stdin.buffer.read(most + 1)
        with file.open("rb") as opened:
            return opened.read(most + 1)
    except OSError as error:
        raise _CannotAsk(f"{file} cannot be read: {error.strerror}") from None


def _cookies(file: Path | None, parts: SplitResult, target: str) -> Headers:
    if file is None:
        return []
    try:
        jar = read_jar(_content(file, "a cookie jar"))
    except ValueError as error:
        raise _CannotAsk(f"{file}: {error}") from None
    header = cookies_for(jar, parts, target.partition("?")[0], SystemClock().now())
    if not header:
        note(f"{file} holds no cookie for {parts.netloc}")
    return [("Cookie", header)] if header else []


def _headers(file: Path | None) -> Headers:
    return [] if file is None else list(_lines_of(file, _content(file, "headers")))


def _lines_of(file: Path, text: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        match = _HEADER.fullmatch(line.rstrip("\r \t"))
        if match is None:
            raise _CannotAsk(f"{file}: line {number} is no header; write Name: value")
        if match[1].lower() not in {"host", "connection", "content-length", "transfer-encoding"}:
            yield match[1], match[2]


def _token(file: Path | None) -> Headers:
    return [] if file is None else [("Authorization", f"Bearer {_word(_content(file, 'a token'), file)}")]


def _service(file: Path | None) -> Headers:
    given = os.environ.get(EXPLAIN_VARIABLE, "").strip() if file is None else _word(_content(file, "it"), file)
    if given and not given.isprintable():
        raise _CannotAsk(f"{EXPLAIN_VARIABLE} is no credential of a service")
    return [(SERVICE_HEADER.decode(), given)] if given else []


def _word(text: str, file: Path) -> str:
    word = text.strip().removeprefix("Bearer ")
    if not word or not word.isascii() or not word.isprintable() or " " in word:
        raise _CannotAsk(f"{file} holds no credential alone on its first line")
    return word


# --- telling ------------------------------------------------------------------------------------------------------


def _show(told: Explained, about: str) -> None:
    say(printable(about))
    say("")
    if isinstance(told.facts, tuple):
        show(_table(told.facts))
        say("")
    say(_verdict(told.code))
    cause = REFUSALS.get(told.code)
    if cause is not None:
        rows = [("says", CODES[told.code].title), ("do", cause.advice)]
        show(_pairs([*rows, *(("more", f"docs/{link}") for link in _links(told))]))
    if isinstance(told.facts, tuple):
        say("each fact: docs/explain.md#the-facts")
    if not isinstance(told.facts, tuple):
        note("the facts are told to the session's holder, or to a service with the scope explain (--service-file)")


def _links(told: Explained) -> Iterator[str]:
    """Where the documentation has more: of the code, and of the fact that decided."""
    yield f"errors.md#{told.code}"
    for each in told.facts if isinstance(told.facts, tuple) else ():
        if each.decided and each.link != f"errors.md#{told.code}":
            yield printable(each.link)


def _table(facts: Sequence[ExplainedFact]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for each in facts:
        style = "bold" if each.decided else ""
        mark = ">" if each.decided else " "
        table.add_row(Text(mark, style), Text(printable(each.code), style), Text(printable(each.sentence), style))
    return table


def _verdict(code: str) -> str:
    if code == "allowed":
        return "allowed"
    known = CODES.get(code)
    return f"refused: {printable(code)}" if known is None else f"refused: {code}, answered with {known.status}"


def _pairs(rows: Sequence[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(Text(f"  {name}"), Text(value))
    return table


# --- codes --------------------------------------------------------------------------------------------------------


def _tell_code(code: str, *, as_json: bool) -> None:
    found = list(_meanings(code))
    if not found:
        near = difflib.get_close_matches(code, [*REFUSALS, *TOKENS], n=1)
        hint = f"; do you mean {near[0]}?" if near else "; docs/errors.md lists them"
        note(f"{code} is none of the codes{hint}")
        raise typer.Exit(_MISUSE)
    if as_json:
        plain_json(found)
        return
    for place, meaning in enumerate(found):
        if place:
            say("")
        status = f"answered with {meaning['status']}" if "status" in meaning else "of a token"
        say(f"{code}, {status}")
        rows = [(name, str(meaning[name])) for name in ("says", "when", "do") if name in meaning]
        show(_pairs([*rows, ("more", f"docs/{meaning['docs']}")]))


def _meanings(code: str) -> Iterator[dict[str, Any]]:
    """Of a refusal over HTTP, and of a token, which may have the same code."""
    if code in REFUSALS:
        known = CODES[code]
        yield {"code": code, "status": known.status, "says": known.title, **_told(REFUSALS[code], code)}
    if code in TOKENS:
        yield {"code": code, **_told(TOKENS[code], code)}


def _told(cause: Cause, code: str) -> Mapping[str, str]:
    return {"when": cause.when, "do": cause.advice, "docs": f"errors.md#{code}"}
