"""`frontdesk advise`: which credential, envelope and store to take, why, and the configuration to paste."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final

import typer

from frontdesk.advisor import QUESTIONS, Question, Recommendation, asked, recommend
from frontdesk.advisor.arguments import Argument
from frontdesk.cli.opening import JsonOption
from frontdesk.cli.output import fail, note, print_json, say

_WIDEST: Final = 80
_LEFT: Final = "left without a recommendation"
_OPTIONS: Final = {question.name: f"--{question.name}" for question in QUESTIONS}
_HEADINGS: Final[Mapping[str, str]] = {
    "commands": "COMMANDS, where the files below are",
    "frontdesk.toml": "OR THE READY-MADE SERVER: frontdesk.toml",
    "client": "CLIENT",
}


def _option(name: str) -> Any:
    question = next(each for each in QUESTIONS if each.name == name)
    words = "|".join(answer.name for answer in question.answers)
    return typer.Option(_OPTIONS[name], metavar=words, help=question.text, show_default=False)


def advise(
    *,
    sso: Annotated[str | None, _option("sso")] = None,
    services: Annotated[str | None, _option("services")] = None,
    client: Annotated[str | None, _option("client")] = None,
    script: Annotated[str | None, _option("script")] = None,
    logout: Annotated[str | None, _option("logout")] = None,
    machines: Annotated[str | None, _option("machines")] = None,
    database: Annotated[str | None, _option("database")] = None,
    store_down: Annotated[str | None, _option("store-down")] = None,
    claims_size: Annotated[str | None, _option("claims-size")] = None,
    claims_secrecy: Annotated[str | None, _option("claims-secrecy")] = None,
    usual: Annotated[bool, typer.Option("--usual", help="Take the usual answer where none is given.")] = False,
    only: Annotated[
        str | None, typer.Option("--only", metavar="NAME", help="Print one thing to paste alone, such as app.py.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Recommend how to sign people in, with reasons and the configuration to paste. Opens no store.

    At a terminal what is not answered by an option is asked.
    """
    options = {
        "sso": sso,
        "services": services,
        "client": client,
        "script": script,
        "logout": logout,
        "machines": machines,
        "database": database,
        "store-down": store_down,
        "claims-size": claims_size,
        "claims-secrecy": claims_secrecy,
    }
    given = {name: value for name, value in options.items() if value is not None}
    _check(given)
    found = recommend(_complete(given, usual=usual))
    if only is not None:
        sys.stdout.write(_alone(found, only))
    elif as_json:
        print_json(_members(found))
    else:
        for line in _told(found):
            say(line)


# --- answers --------------------------------------------------------------------------------------------------------


def _check(given: Mapping[str, str]) -> None:
    for question in QUESTIONS:
        name = given.get(question.name)
        if name is not None and question.answer(name) is None:
            raise typer.BadParameter(f"{name!r} is none of {_words(question)}", param_hint=_OPTIONS[question.name])


def _complete(given: Mapping[str, str], *, usual: bool) -> dict[str, str]:
    """The answers that count, those that were open asked for or assumed."""
    answers = dict(given)
    if not usual and asked(answers)[1] is not None and not sys.stdin.isatty():
        _tell_missing(given)
        raise typer.Exit(2)
    try:
        while True:
            counted, still_open = asked(answers, assume=usual)
            if still_open is None:
                return counted
            answers[still_open.name] = _ask(still_open)
    except KeyboardInterrupt:  # Ctrl-C, at whatever moment: as shells expect it, with 128 and the number of SIGINT
        _write("\n")
        note(_LEFT)
        raise typer.Exit(130) from None


def _tell_missing(given: Mapping[str, str]) -> None:
    """What is missing as far as it can be known: one answer may bring another question."""
    for name in asked(given, assume=True)[0]:
        if name not in given:
            question = next(each for each in QUESTIONS if each.name == name)
            note(f"{_OPTIONS[name]} is missing: {_words(question)}")
    note("--usual takes the usual answers; at a terminal each is asked for")


def _words(question: Question) -> str:
    *first, last = (answer.name for answer in question.answers)
    return f"{', '.join(first)} or {last}"


def _ask(question: Question) -> str:
    """Ask at the terminal, on stderr, since stdout holds results alone."""
    _write(f"\n{textwrap.fill(question.text, _width())}\n")
    for number, answer in enumerate(question.answers, start=1):
        text = f"{answer.label}. {answer.hint}" if answer.hint else answer.label
        _write(textwrap.fill(text, _width(), initial_indent=f"  {number}  ", subsequent_indent="     ") + "\n")
    while True:
        _write(f"1 to {len(question.answers)}, Enter for 1, q to leave: ")
        line = sys.stdin.readline()  # "" for its end, Ctrl-D
        word = line.strip().lower()
        if not line or word == "q":
            _write("" if line else "\n")
            raise fail(_LEFT)
        chosen = _chosen(question, word)
        if chosen is not None:
            return chosen


def _chosen(question: Question, word: str) -> str | None:
    """An answer by its number or its name; the usual one for nothing."""
    if not word:
        return question.usual.name
    if word.isascii() and word.isdigit() and 1 <= int(word) <= len(question.answers):
        return question.answers[int(word) - 1].name
    answer = question.answer(word)
    return None if answer is None else answer.name


def _write(text: str) -> None:
    typer.echo(text, err=True, nl=False)


# --- telling --------------------------------------------------------------------------------------------------------


def _told(found: Recommendation) -> Iterator[str]:
    yield from _paragraph(found.title)
    yield from _paragraph(found.summary)
    yield f"More: docs/{found.page}, in the source of Frontdesk"
    for heading, arguments in (
        ("BECAUSE", found.reasons),
        ("REJECTED", found.rejected),
        ("WHAT IT COSTS", found.costs),
    ):
        yield from _section(heading, arguments)
    for snippet in found.configuration.snippets():
        yield ""
        yield _HEADINGS.get(snippet.name, f"PASTE INTO {snippet.name}")
        yield ""
        yield from snippet.text.splitlines()


def _section(heading: str, arguments: Sequence[Argument]) -> Iterator[str]:
    if not arguments:
        return
    yield ""
    yield heading
    for argument in arguments:
        yield from textwrap.wrap(
            f"{argument.what}{'' if argument.what.endswith('.') else '.'} {argument.why}",
            _width(),
            initial_indent="  - ",
            subsequent_indent="    ",
        )


def _paragraph(text: str) -> list[str]:
    return textwrap.wrap(text, _width())


def _width() -> int:
    return min(shutil.get_terminal_size((_WIDEST, 24)).columns, _WIDEST)


def _alone(found: Recommendation, name: str) -> str:
    snippets = {snippet.name: snippet.text for snippet in found.configuration.snippets()}
    if name not in snippets:
        raise typer.BadParameter(f"{name!r} is none of {', '.join(snippets)}", param_hint="--only")
    return snippets[name]


def _members(found: Recommendation) -> dict[str, Any]:
    return {
        "leaf": found.leaf,
        "title": found.title,
        "summary": found.summary,
        "page": found.page,
        "answers": found.answers,
        "reasons": found.reasons,
        "rejected": found.rejected,
        "costs": found.costs,
        "configuration": {snippet.name: snippet.text for snippet in found.configuration.snippets()},
    }
