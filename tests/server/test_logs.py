"""Log lines: one per record, whatever the record holds; no credential in any of them."""

from __future__ import annotations

import io
import json
import logging
import sys
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdesk.core.discretion import without_credentials
from frontdesk.server import logs
from frontdesk.server.logs import JsonFormatter, TextFormatter

SERVICE_CREDENTIAL = "fdk_MOfJm6rrWKD9GyD4xbV1ggFDZof8iDUnEsT9vfR8nUx"
SESSION_TOKEN = "fds_AVkElsdkWaIpHUEupU6B07vMIE-plmoITssx_xCX6tILbVSKn3z34S_S5GNVmX1wkmrJFGCPR8PKgvdGeWR3PBBT"
JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"
FORGED = 'x\n{"level": "info", "message": "forged"}\r\x1b[2J\u202e\u2028\x85'


@pytest.fixture
def untouched_logging() -> Iterator[None]:
    """Logging is a global of Python's: put it back as it was."""
    root, ours, theirs = (logging.getLogger(name) for name in (None, "frontdesk", "uvicorn.error"))
    before = root.handlers[:], root.level, ours.level, theirs.filters[:]
    yield
    root.handlers[:], theirs.filters[:] = before[0], before[3]
    root.setLevel(before[1])
    ours.setLevel(before[2])


def record(message: str, *arguments: object, level: int = logging.INFO, **fields: object) -> logging.LogRecord:
    made = logging.LogRecord("frontdesk.access", level, __file__, 1, message, arguments, None)
    made.created = 1_700_000_000.25
    if fields:
        made.frontdesk = fields
    return made


def failed(message: str) -> logging.LogRecord:
    made = record("it failed", level=logging.ERROR)
    try:
        raise RuntimeError(message)
    except RuntimeError:
        made.exc_info = sys.exc_info()
    return made


def test_a_json_line_holds_time_level_message_and_fields() -> None:
    line = JsonFormatter().format(record("request %s", "one", path="/auth/me", status=200))
    assert json.loads(line) == {
        "at": "2023-11-14T22:13:20.250+00:00",
        "level": "info",
        "logger": "frontdesk.access",
        "message": "request one",
        "path": "/auth/me",
        "status": 200,
    }


def test_a_text_line_is_short_and_quotes_what_has_spaces() -> None:
    line = TextFormatter().format(record("request", path="/auth/me", status=200, device="Mozilla 5", event="x", at="y"))
    assert line == '22:13:20 request path=/auth/me status=200 device="Mozilla 5"'
    warned = TextFormatter().format(record("careful", level=logging.WARNING))
    assert warned == "22:13:20 WARNING careful"


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_no_text_forges_a_line_or_moves_the_cursor(formatter: logging.Formatter) -> None:
    line = formatter.format(record(FORGED, path=FORGED))
    assert line.isprintable()
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
@given(text=st.text())
def test_whatever_is_logged_is_one_printable_line(formatter: logging.Formatter, text: str) -> None:
    line = formatter.format(record("%s", text, path=text))
    assert line.isprintable()


def test_an_exception_is_one_json_member_or_indented_lines() -> None:
    assert "RuntimeError: boom" in json.loads(JsonFormatter().format(failed("boom")))["exception"]
    lines = TextFormatter().format(failed("boom\n12:00:00 forged")).splitlines()
    assert lines[0] == "22:13:20 ERROR it failed"
    assert all(line.startswith("    | ") for line in lines[1:])
    assert lines[-1] == "    | 12:00:00 forged"


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
@pytest.mark.parametrize(
    "credential",
    [SESSION_TOKEN, SESSION_TOKEN.replace("fds_", "fdr_"), SERVICE_CREDENTIAL, JWT, JWT + "..x"],
)
def test_a_credential_that_reaches_a_line_is_taken_out(formatter: logging.Formatter, credential: str) -> None:
    for made in (record("got %s!", credential), record("x", path=f"/a/{credential}"), failed(f"bad {credential}")):
        line = formatter.format(made)
        assert "[credential]" in line
        assert credential not in line
        assert credential[-20:] not in line


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_a_credential_that_is_cut_with_a_long_exception_is_taken_out(formatter: logging.Formatter) -> None:
    line = formatter.format(failed(SESSION_TOKEN + "." * (logs._LONGEST - 40)))
    assert len(line) > logs._LONGEST
    assert SESSION_TOKEN[-20:] not in line


def test_public_ids_stay() -> None:
    line = JsonFormatter().format(record("signed_in", session_id="IE-plmoITssx_xCX6tILbQ"))
    assert json.loads(line)["session_id"] == "IE-plmoITssx_xCX6tILbQ"


@pytest.mark.usefixtures("untouched_logging")
@pytest.mark.parametrize(
    ("log_format", "dev", "terminal", "text"),
    [
        ("auto", False, False, False),
        ("auto", True, False, True),
        ("auto", False, True, True),
        ("json", True, True, False),
        ("text", False, False, True),
    ],
)
def test_the_format_follows_the_setting_or_the_place(log_format: str, dev: bool, terminal: bool, text: bool) -> None:
    stream = io.StringIO()
    stream.isatty = lambda: terminal  # type: ignore[method-assign]
    logs.configure(log_format, dev=dev, stream=stream)
    logging.getLogger("frontdesk.server").info("hello")
    assert stream.getvalue().startswith("{") != text


@pytest.mark.usefixtures("untouched_logging")
def test_libraries_only_warn_and_a_refused_handshake_is_no_error() -> None:
    stream = io.StringIO()
    logs.configure("text", stream=stream)
    logging.getLogger("uvicorn.error").info("started")
    logging.getLogger("uvicorn.error").error("ASGI callable returned without completing handshake.")
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    assert stream.getvalue().endswith("WARNING Invalid HTTP request received.\n")
    assert stream.getvalue().count("\n") == 1


@pytest.mark.parametrize(
    "hostile", ["eyJ", "eyJaaaaaaaa.", "eyJaaaaaaaa.eyJ", "eyJ.", "eyJaaaaaaaaaaaaaaaaaaa", "fds_", "fds_a"]
)
def test_a_path_made_to_be_searched_for_ever_is_read_at_once(hostile: str) -> None:
    """Not a figure: milliseconds, where a search that begins anew at each of them takes minutes."""
    begun = time.monotonic()
    without_credentials("/" + hostile * (400_000 // len(hostile)))
    assert time.monotonic() - begun < 10
