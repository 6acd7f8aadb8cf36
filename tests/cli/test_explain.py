"""`frontdesk explain`: which cookies go along, what is never sent, and what is said when nobody answers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner

from frontdesk.cli import explain
from frontdesk.cli.commands import app
from frontdesk.cli.cookie_file import Cookie, cookies_for, read_jar

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER, EARLIER = str(2**31), "1700000000"


def line(
    *, domain: str = "app.example", path: str = "/", secure: str = "TRUE", expires: str = "0", name: str = "a"
) -> str:
    return "\t".join((domain, "FALSE", path, secure, expires, name, "v"))


@pytest.mark.parametrize(
    ("jar", "url", "path", "sent"),
    [
        (line(), "https://app.example", "/auth/explain", "a=v"),
        ("#HttpOnly_" + line(), "https://app.example", "/", "a=v"),
        ("# Netscape HTTP Cookie File\n\n" + line(), "https://app.example", "/", "a=v"),
        (line() + "\r\n" + line(name="b"), "https://app.example", "/", "a=v; b=v"),
        (line(domain="localhost"), "http://localhost:8000", "/", "a=v"),
        (line(domain="127.0.0.1"), "http://127.0.0.1:8000", "/", "a=v"),
        (line(), "http://app.example", "/", ""),
        (line(secure="FALSE"), "http://app.example", "/", "a=v"),
        (line(), "https://other.example", "/", ""),
        (line(), "https://sub.app.example", "/", ""),
        (line(domain=".app.example").replace("FALSE", "TRUE", 1), "https://sub.app.example", "/", "a=v"),
        (line(domain=".app.example").replace("FALSE", "TRUE", 1), "https://evilapp.example", "/", ""),
        (line(domain=".0.0.1").replace("FALSE", "TRUE", 1), "http://127.0.0.1:8000", "/", ""),
        (line(domain="").replace("FALSE", "TRUE", 1), "https://evil.example.", "/", ""),
        (line(path="/auth"), "https://app.example", "/auth/explain", "a=v"),
        (line(path="/au"), "https://app.example", "/auth/explain", ""),
        (line(expires=EARLIER), "https://app.example", "/", ""),
        (line(expires=LATER), "https://app.example", "/", "a=v"),
    ],
)
def test_a_cookie_goes_where_curl_would_send_it(jar: str, url: str, path: str, sent: str) -> None:
    assert cookies_for(read_jar(jar), urlsplit(url), path, NOW) == sent


@pytest.mark.parametrize("text", ["a=b", "one\ttwo", line(expires="soon"), line() + "\textra"])
def test_what_is_no_jar_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(ValueError, match="line 1 is no cookie"):
        read_jar(text)


@pytest.mark.parametrize("char", ["\r", "\0"])
def test_what_would_end_a_header_is_refused_and_not_shown(char: str) -> None:
    with pytest.raises(ValueError, match=r"^line 2 is no cookie") as caught:
        read_jar(f"{line()}\n{line()[:-1]}secret{char}secret")
    assert "secret" not in str(caught.value)


def test_the_repr_of_a_cookie_holds_no_value() -> None:
    assert "secret" not in repr(Cookie("app.example", False, "/", True, 0, "a", "secret"))


def run(*words: str, stdin: str = "") -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["explain", *words], input=stdin, env={"NO_COLOR": "1", "COLUMNS": "80"})
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.stdout, result.stderr


@contextmanager
def answering(*answer: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A server for one connection that says what it is told to, and keeps what it was asked."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)

        def serve() -> None:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(20)
                asked.append(connection.recv(65536))
                connection.sendall(b"".join(answer))

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", asked
        server.close()
        thread.join(20)


def document(status: str, body: bytes) -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["token_expired", "--url", "http://localhost/"],
        ["--url", "localhost:8000"],
        ["--url", "ftp://localhost/"],
        ["--url", "http://alice:secret@localhost/"],
        ["--url", "http://localhost:port/"],
        ["--url", "http://localhost/a b"],
        ["--url", "http://app.example/"],
        ["--url", "http://localhost/", "--cookie-file", "missing"],
        ["--url", "http://localhost/", "--header-file", "bad"],
        ["--url", "http://localhost/", "--cookie-file", "bad"],
        ["--url", "http://localhost/", "--token-file", "empty"],
        ["--url", "http://localhost/", "--service-file", "two"],
        ["--url", "http://localhost/", "--header-file", "large"],
        ["--url", "http://127.0.0.1:1/"],
        ["nonsense"],
    ],
)
def test_what_cannot_be_asked_is_misuse(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, content in (("bad", "no header here"), ("empty", "\n"), ("two", "a b"), ("large", "x" * 70_000)):
        (tmp_path / name).write_text(content)
    status, out, err = run(*words)
    assert (status, out) == (2, "")
    assert err


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (document("200 OK", b"<html>"), "no desk"),
        (document("200 OK", b'{"verdict": "perhaps", "code": "x"}'), "no desk"),
        (document("404 Not Found", b"nothing"), "--prefix"),
        (document("403 Forbidden", b'{"code": "service_scope_missing", "title": "No."}'), "service_scope_missing"),
        (document("302 Found", b""), "302"),
        (document("200 OK", b'{"verdict": "allowed", "code": "allowed", "more": ' + b"[" * 200_000), "no desk"),
        (document("404 Not Found", b"[" * 200_000), "--prefix"),
        (b"nonsense\r\n\r\n", "cannot be asked"),
    ],
)
def test_an_answer_that_is_no_explanation_is_told_in_one_sentence(answer: bytes, said: str) -> None:
    with answering(answer) as (url, _):
        status, out, err = run("--url", url)
    assert (status, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def test_the_request_is_sent_as_it_was_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FRONTDESK_EXPLAIN_CREDENTIAL", "fdk_" + "A" * 43)
    (tmp_path / "headers").write_bytes(b"Origin: https://a.example\nCookie: \xa0x=1\nHost: evil.example\n")
    (tmp_path / "jar").write_text(line(domain="127.0.0.1"))
    explained = document("200 OK", b'{"verdict": "allowed", "code": "allowed"}')
    with answering(explained) as (url, asked):
        page = f"{url}/caf%C3%A9/a%26b?secret=1"
        files = ("--header-file", "headers", "--cookie-file", "jar", "--token-file", "-")
        status, _, _ = run("--url", page, "--method", "post", *files, stdin="the-token\n")
    assert status == 0
    [sent] = asked
    assert sent.startswith(b"GET /auth/explain?path=%2Fcaf%C3%A9%2Fa%26b&method=POST HTTP/1.1\r\n")
    assert b"\r\nOrigin: https://a.example\r\n" in sent
    assert b"\r\nCookie: \xa0x=1\r\n" in sent
    assert b"\r\nCookie: a=v\r\n" in sent
    assert b"\r\nAuthorization: Bearer the-token\r\n" in sent
    assert b"evil.example" not in sent
    assert b"secret=1" not in sent
    assert f"frontdesk-service: fdk_{'A' * 43}".encode() in sent


@pytest.mark.parametrize(
    ("content", "header", "declared"),
    [
        (b'{"email": "\xff"}', "", b"\r\nContent-Type: application/json\r\n"),
        (b"a=b", "content-type: application/x-www-form-urlencoded", b"\r\ncontent-type: application/x-www-form-"),
        (b"", "", b"\r\nContent-Length: 0\r\n"),
        (b"x" * 70_000, "", b"\r\nContent-Length: 65537\r\n"),
    ],
)
def test_a_body_goes_along_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, header: str, declared: bytes
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "headers").write_text(header)
    (tmp_path / "body").write_bytes(content)
    with answering(document("200 OK", b'{"verdict": "allowed", "code": "allowed"}')) as (url, asked):
        status, _, _ = run("--url", f"{url}/auth/login", "--body-file", "body", "--header-file", "headers")
    assert status == 0
    head, _, body = asked[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /auth/explain?path=%2Fauth%2Flogin&method=POST HTTP/1.1\r\n")
    assert declared in head + b"\r\n"
    assert head.lower().count(b"content-type") == (1 if content else 0)
    assert content.startswith(body)


def test_the_endpoint_itself_is_asked_as_it_is_written() -> None:
    with answering(document("200 OK", b'{"verdict": "refused", "code": "not_signed_in"}')) as (url, asked):
        status, out, _ = run("--url", f"{url}/auth/explain?path=/a")
    assert status == 1
    assert "refused: not_signed_in, answered with 401" in out
    assert asked[0].startswith(b"GET /auth/explain?path=/a HTTP/1.1\r\n")


def test_what_a_hostile_desk_says_moves_no_cursor() -> None:
    evil = b'"\\u001b[2J\\u202e"'
    fact = b'{"code":%b,"sentence":%b,"values":{},"link":"x","decided":true}' % (evil, evil)
    body = b'{"verdict":"refused","code":%b,"facts":[%b]}' % (evil, fact)
    with answering(document("200 OK", body)) as (url, _):
        status, out, _ = run("--url", url)
    assert status == 1
    assert "\x1b" not in out
    assert "\u202e" not in out


def test_a_server_that_says_too_much_is_not_read_to_the_end() -> None:
    with answering(document("200 OK", b" " * (2 << 20))) as (url, _):
        status, _, err = run("--url", url)
    assert status == 2
    assert err


def test_a_server_that_never_comes_to_an_end_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explain, "_PATIENCE", 0.5)
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                connection.recv(65536)
                while not over.wait(0.05):  # each byte in time, and no end
                    connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            status, out, err = run("--url", f"http://127.0.0.1:{server.getsockname()[1]}")
        finally:
            over.set()
            thread.join(20)
    assert (status, out) == (2, "")
    assert "no answer within 0.5 seconds" in err
