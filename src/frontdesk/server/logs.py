"""Structured logs: one line per record, as JSON or for people, to stderr. Never a secret, never a forged line.

Requests are logged by `frontdesk.access` without their query, sign-ins and what ends them by `frontdesk.audit`, faults
by `frontdesk`. Fields stand in `extra={"frontdesk": {...}}`.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, TextIO

from frontdesk.core.discretion import without_credentials

_LONGEST: Final = 16_384
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.:/@+-]+")


class JsonFormatter(logging.Formatter):
    """A record as one JSON object. Everything beyond printable ASCII is escaped."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": _moment(record).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = without_credentials(self.formatException(record.exc_info))[-_LONGEST:]
        return without_credentials(json.dumps(line, default=str))


class TextFormatter(logging.Formatter):
    """A record for people: time, level, message, fields. An exception follows, each of its lines indented."""

    def format(self, record: logging.LogRecord) -> str:
        moment = _moment(record).strftime("%H:%M:%S")
        level = "" if record.levelno == logging.INFO else f"{record.levelname} "
        pairs = [f"{key}={_quoted(value)}" for key, value in _fields(record).items() if key not in {"at", "event"}]
        lines = [" ".join([f"{moment} {level}{escaped(record.getMessage())}", *pairs])]
        if record.exc_info:
            trace = without_credentials(self.formatException(record.exc_info))[-_LONGEST:]
            lines += [f"    | {escaped(line)}" for line in trace.splitlines()]
        return without_credentials("\n".join(lines))


def configure(log_format: str, *, dev: bool = False, stream: TextIO | None = None) -> None:
    """Send all logs of this process to stderr (or `stream`). `auto` is text for a terminal and in development."""
    target = stream or sys.stderr
    text = log_format == "text" or (log_format == "auto" and (dev or target.isatty()))
    handler = logging.StreamHandler(target)
    handler.setFormatter(TextFormatter() if text else JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("frontdesk").setLevel(logging.INFO)
    logging.getLogger("uvicorn.error").addFilter(_not_a_refused_handshake)


def escaped(text: str) -> str:
    """The text with everything that is not printable escaped: no line break, no terminal sequence, no bidi mark."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _not_a_refused_handshake(record: logging.LogRecord) -> bool:
    # uvicorn takes a WebSocket handshake that was answered with a denial response for one that was not answered, and
    # says so as an error. Anybody could fill the log with that.
    return record.msg != "ASGI callable returned without completing handshake."


def _moment(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _fields(record: logging.LogRecord) -> Mapping[str, object]:
    fields = getattr(record, "frontdesk", None)
    return fields if isinstance(fields, Mapping) else {}


def _quoted(value: object) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
