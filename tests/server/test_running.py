"""The server as a process: how it starts, what it says, how it stops, and what it says when it cannot start."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from uvicorn.supervisors.multiprocess import SIGNALS

from frontdesk.server import logs, running
from frontdesk.server.bounded import LONGEST_HEAD
from frontdesk.server.settings import ServerSettings
from frontdesk.stores.sqlite import SQLiteStore
from tests.server.processes import PASSWORD, PATIENCE, Server, refused_start, run_cli, visiting

STRONG = "x8TqzN4vKp2Wm7RcJ5hLd9YbGf3AsQeU"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("one")) as server:
        yield server


def connected(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)


def everything(connection: socket.socket) -> bytes:
    """What the server sends until it closes the connection."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def test_the_first_start_makes_private_files_and_says_where_and_the_second_makes_none(tmp_path: Path) -> None:
    with Server(tmp_path) as first:
        assert f"created {tmp_path / 'frontdesk.db'} (mode 0600)" in first.log
        assert f"created {tmp_path / 'frontdesk.db.key'} (mode 0600" in first.log
        for file in tmp_path.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    key = (tmp_path / "frontdesk.db.key").read_text()
    with Server(tmp_path) as second:
        assert "created" not in second.log
    assert (tmp_path / "frontdesk.db.key").read_text() == key
    assert key.strip() not in first.log + second.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_signal_ends_the_server_with_status_0_and_its_store_is_closed(
    tmp_path: Path, workers: str, number: signal.Signals
) -> None:
    server = Server(tmp_path, "--workers", workers)
    with server:
        assert httpx.get(f"{server.url}/healthz", trust_env=False).status_code == 200
        assert server.stop(number) == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == ["frontdesk.db", "frontdesk.db.key"]
    assert "Traceback" not in server.log


@pytest.mark.parametrize(("workers", "starts"), [("1", 5), ("2", 2)])
def test_a_signal_at_the_moment_of_the_announcement_ends_the_server_with_status_0(
    tmp_path: Path, workers: str, starts: int
) -> None:
    for _ in range(starts):
        with Server(tmp_path, "--workers", workers) as server:
            assert server.stop() == 0
        assert "Traceback" not in server.log


@pytest.mark.usefixtures("_handlers_restored")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_signal_while_the_store_is_looked_at_serves_nobody(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    workers: int,
    number: signal.Signals,
) -> None:
    finished: list[bool] = []

    async def interrupted(_settings: ServerSettings) -> None:
        signal.raise_signal(number)
        finished.append(True)

    monkeypatch.setattr(running, "prepare", interrupted)
    monkeypatch.setattr(logs, "configure", lambda *_, **__: None)
    settings = ServerSettings(store=f"sqlite:///{tmp_path / 'desk.db'}", port=0, workers=workers)
    with caplog.at_level("INFO", "frontdesk.server"):
        assert running.run(settings) == 0
    assert finished == [True]
    assert "listening" not in caplog.text


@pytest.mark.parametrize("dev", [True, False])
def test_only_development_mode_migrates_the_store_and_it_does_so_before_opening(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dev: bool
) -> None:
    called: list[str] = []

    class Recording(SQLiteStore):
        async def migrate(self) -> tuple[str, ...]:
            called.append("migrate")
            return await super().migrate()

        async def open(self) -> None:
            called.append("open")
            await super().open()

    monkeypatch.setattr("frontdesk.stores.sqlite.SQLiteStore", Recording)
    asyncio.run(running.prepare(ServerSettings(store=f"sqlite:///{tmp_path / 'desk.db'}", dev=dev)))
    assert called == (["migrate", "open"] if dev else ["open"])


@pytest.fixture
def _handlers_restored() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_request_under_way_is_finished_and_a_new_one_refused(tmp_path: Path) -> None:
    with Server(tmp_path) as server, connected(server) as connection:
        body = b'{"email": "a@example.com", "password": "tall grey wooden ship"}'
        head = (
            f"POST /auth/register HTTP/1.1\r\nhost: localhost:{server.port}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nexpect: 100-continue\r\n\r\n"
        )
        connection.sendall(head.encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 100")
        server.process.send_signal(signal.SIGTERM)
        until_refused(server)
        connection.sendall(body)
        assert everything(connection).startswith(b"HTTP/1.1 201")
        assert server.stop() == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_shutdown_answers_those_who_wait_for_the_revocation_log_and_does_not_wait_for_them(
    tmp_path: Path, workers: str
) -> None:
    with Server(tmp_path, "--workers", workers, "--set", "shutdown_timeout=25s") as server:
        (credential,) = run_cli(tmp_path, "services", "add", "orders", "--scope", "revocations")
        with connected(server) as connection:
            head = (
                f"GET /auth/revocations?cursor=0&wait=30 HTTP/1.1\r\nhost: localhost:{server.port}\r\n"
                f"authorization: Bearer {credential}\r\ncontent-length: 1\r\nexpect: 100-continue\r\n\r\n"
            )
            connection.sendall(head.encode())
            assert connection.recv(65536).startswith(b"HTTP/1.1 100")
            connection.sendall(b" ")
            for _ in range(5):  # meanwhile it has begun to wait; if not, it is not let to any more
                assert httpx.get(f"{server.url}/healthz", trust_env=False).status_code == 200
            server.process.send_signal(signal.SIGTERM)
            answer = everything(connection)
            assert answer.startswith(b"HTTP/1.1 200")
            assert b'"entries":[]' in answer
        assert server.stop() == 0
        assert "exceeded" not in server.log  # uvicorn's word for a shutdown that took too long
        assert credential not in server.log


def until_refused(server: Server) -> None:
    for _ in range(100_000):
        try:
            connected(server).close()
        except OSError:
            return
    raise AssertionError("the server still accepts connections")


def test_several_workers_share_one_file_and_one_key(tmp_path: Path) -> None:
    with Server(tmp_path, "--workers", "2") as server, visiting(server) as visitor:
        visitor.ask("POST", "/auth/register", {"email": "a@example.com", "password": PASSWORD})
        signed = visitor.sign_in("a@example.com", credential="jwt", transport="bearer")
        answers = set()
        for _ in range(40):
            with visiting(server) as other:  # a connection of its own, which either worker may take
                other.bearer = visitor.bearer
                answers.add(other.ask("GET", "/auth/me").json()["session_id"])
        assert answers == {signed["session"]}
        keys = httpx.get(f"{server.url}/.well-known/jwks.json", trust_env=False).json()["keys"]
        assert len(keys) == 1


def test_workers_end_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    with Server(tmp_path, "--workers", "2") as server:
        assert httpx.get(f"{server.url}/healthz", trust_env=False).status_code == 200
        assert server.stop(signal.SIGKILL) == -signal.SIGKILL  # reads the log to its end, which the workers hold open
        until_refused(server)


def test_a_port_in_use_is_one_sentence(server: Server, tmp_path: Path) -> None:
    status, said = refused_start(tmp_path, "--port", str(server.port))
    assert (status, said) == (
        1,
        f"frontdesk: port {server.port} on 127.0.0.1 is in use; end what uses it, or choose another with --port\n",
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "environ", "sentence"),
    [
        ((), {"FRONTDESK_SECRET": "short"}, "the secret has 5 bytes and needs at least 32: make one with"),
        ((), {"FRONTDESK_SECRET": "change-me-" * 4}, "the secret is a sample value: make one with"),
        (("--store", "sqlite:///nowhere/x.db"), {}, "No such file or directory; make the directory"),
        (("--store", "mysql://x"), {}, "no store is called 'mysql'"),
    ],
)
def test_what_cannot_start_says_so_in_one_sentence(
    tmp_path: Path, flags: tuple[str, ...], environ: dict[str, str], sentence: str
) -> None:
    status, said = refused_start(tmp_path, "--port", "0", *flags, environ=environ)
    assert status == 1
    assert sentence in said
    assert said.count("\n") == 1
    assert STRONG not in said


def test_a_database_without_its_key_file_is_not_opened(tmp_path: Path) -> None:
    with Server(tmp_path):
        pass
    (tmp_path / "frontdesk.db.key").unlink()
    status, said = refused_start(tmp_path, "--port", "0")
    assert status == 1
    assert "its key file frontdesk.db.key is missing. Put the file back" in said
    status, said = refused_start(tmp_path, "--port", "0", environ={"FRONTDESK_SECRET": STRONG})
    assert status == 1
    assert "the store was made under another secret" in said


def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    with Server(tmp_path):
        pass
    (tmp_path / "frontdesk.db.key").chmod(0o644)
    status, said = refused_start(tmp_path, "--port", "0")
    assert (status, "run `chmod 600 frontdesk.db.key`" in said) == (1, True)


def test_a_secret_from_the_environment_makes_no_key_file(tmp_path: Path) -> None:
    with Server(tmp_path, environ={"FRONTDESK_SECRET": STRONG}) as server:
        assert STRONG not in server.log
    assert not (tmp_path / "frontdesk.db.key").exists()


# --- requests that uvicorn would answer otherwise -------------------------------------------------------------------


def test_a_cookie_header_of_20_kb_is_answered_by_us_with_431(server: Server) -> None:
    answer = httpx.get(f"{server.url}/auth/me", headers={"cookie": "a=" + "x" * 20_000}, trust_env=False)
    assert (answer.status_code, answer.json()["code"]) == (431, "headers_too_large")


def test_headers_without_end_are_cut_off(server: Server) -> None:
    with connected(server) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\nx-long: ")
        answer = b""
        for _ in range(LONGEST_HEAD // 1024 + 8):
            try:
                connection.sendall(b"x" * 1024)
            except OSError:
                break
        answer = everything_or_reset(connection)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431")


def test_trailers_without_end_are_cut_off(server: Server) -> None:
    with connected(server) as connection:
        connection.sendall(
            b"POST /auth/login HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx-trailer: "
        )
        with pytest.raises(OSError, match=r"reset|[Bb]roken"):
            send_without_end(connection)


def send_without_end(connection: socket.socket) -> None:
    for _ in range(100_000):
        connection.sendall(b"x" * 1024)


def everything_or_reset(connection: socket.socket) -> bytes:
    try:
        return everything(connection)
    except ConnectionResetError:
        return b""  # what we had sent beyond the limit was unread: the reset may overtake the answer


def test_a_head_of_70_kb_that_comes_slowly_is_answered_with_431(server: Server) -> None:
    with connected(server) as connection:
        sent = connection.send(b"GET / HTTP/1.1\r\nhost: localhost\r\nx-long: ")
        while sent + 64 <= LONGEST_HEAD:  # stops short of the limit, so that nothing is left unread beyond it
            sent += connection.send(b"x" * 64)
        connection.sendall(b"x" * 128)
        assert b"headers_too_large" in everything(connection)


def test_the_answer_names_no_server_and_no_address_is_believed_without_a_trusted_proxy(server: Server) -> None:
    answer = httpx.get(f"{server.url}/proxied", headers={"x-forwarded-for": "203.0.113.7"}, trust_env=False)
    assert "server" not in answer.headers
    server.catch_up()
    record = next(record for record in server.records("frontdesk.access") if record["path"] == "/proxied")
    assert record["address"] == "127.0.0.1"


def test_a_websocket_is_refused_with_a_problem_document(server: Server) -> None:
    with connected(server) as connection:
        connection.sendall(
            f"GET /ws HTTP/1.1\r\nhost: localhost:{server.port}\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
            "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n".encode()
        )
        answer = everything(connection)
    assert answer.startswith(b"HTTP/1.1 404")
    assert b'"code":"not_found"' in answer
    server.catch_up()
    assert "error" not in {record["level"] for record in server.records("uvicorn.error")}


def test_no_log_of_a_whole_visit_holds_a_secret(tmp_path: Path) -> None:
    with Server(tmp_path) as server, visiting(server) as visitor:
        visitor.ask("POST", "/auth/register", {"email": "someone@example.com", "password": PASSWORD})
        secrets = [PASSWORD]
        for credential in ("session", "jwt", "jwe"):
            for transport in ("cookie", "bearer"):
                body = visitor.sign_in("someone@example.com", credential=credential, transport=transport)
                visitor.ask("GET", "/auth/me?token=" + (visitor.bearer or "query-value"))
                refreshed = visitor.ask("POST", "/auth/refresh", {"refresh_token": body.get("refresh_token")})
                secrets += [str(value) for key, value in {**body, **refreshed.json()}.items() if "token" in key]
                secrets += visitor.cookies.values()
                visitor.ask("POST", "/auth/logout")
                visitor.cookies.clear()
        visitor.ask("GET", "/auth/me", keep=False)
        server.catch_up()
        log = server.log
    hidden = [secret for secret in secrets if secret not in {"Bearer", ""}]
    assert len(hidden) > 6
    assert [secret for secret in hidden if secret in log] == []
    assert "someone@example.com" not in log
    assert re.search(r"query-value|token=", log) is None
    assert {"registered", "signed_in", "session_ended"} <= {r["event"] for r in server.records("frontdesk.audit")}


def test_its_port_is_free_again_when_a_server_has_ended(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        port = server.port
    with closing(socket.create_server(("127.0.0.1", port))) as taken:
        assert taken.getsockname()[1] == port


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /%ff%00%0d%0a HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET http://localhost/auth/me HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET //localhost/auth/me?\xff HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET /auth/me HTTP/1.0\r\n\r\n",
        b"GET /auth/me HTTP/1.1\r\nhost: \xff\r\n\r\n",
        b"GET /auth/me HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\n\r\n",
        b"GET /auth/me HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer \xff\xfe\r\n\r\n",
        b"GET /auth/me HTTP/1.1\r\nhost: localhost\r\ncookie: \xa0__Host-Http-session-80=x\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"CONNECT localhost:443 HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"BREW /auth/login HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"TRACE /auth/me HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"POST /auth/login HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
        b"POST /auth/login HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
        b"POST /auth/login HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999999999999999999\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"\r\n\r\n\r\nnonsense\r\n\r\n",
    ],
)
def test_no_strange_request_is_a_fault_of_ours(server: Server, request_: bytes) -> None:
    with connected(server) as connection:
        connection.sendall(request_)
        connection.shutdown(socket.SHUT_WR)
        answer = everything(connection)
    assert re.match(rb"HTTP/1.1 4\d\d ", answer) or answer == b"", answer
    assert httpx.get(f"{server.url}/healthz", trust_env=False).status_code == 200
    server.catch_up()
    assert "Traceback" not in server.log


def test_a_database_that_is_gone_is_a_503_that_grants_nothing(tmp_path: Path) -> None:
    with Server(tmp_path) as server, visiting(server) as visitor:
        visitor.ask("POST", "/auth/register", {"email": "a@example.com", "password": PASSWORD})
        visitor.sign_in("a@example.com")
        for file in tmp_path.glob("frontdesk.db*"):
            file.rename(file.with_name(f"away.{file.name}"))
        answers = [visitor.ask(*what, keep=False) for what in (("GET", "/auth/me"), ("POST", "/auth/logout"))]
        assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(503, "store_unavailable")] * 2
        assert visitor.ask("GET", "/healthz").status_code == 503
        assert server.stop() == 0
        assert "Traceback" not in server.log


def test_a_worker_that_is_killed_when_it_was_just_asked_whether_it_lives_has_a_successor(tmp_path: Path) -> None:
    with Server(tmp_path, "--workers", "2") as server:
        deadline = time.monotonic() + PATIENCE
        while len(children_of(server)) < 2:
            assert time.monotonic() < deadline
        worker = min(children_of(server))
        os.kill(worker, signal.SIGSTOP)
        time.sleep(1.5)  # it is asked every half second, and does not answer
        os.kill(worker, signal.SIGKILL)
        deadline = time.monotonic() + PATIENCE
        while worker in children_of(server) or len(children_of(server)) < 2:
            assert time.monotonic() < deadline
        assert server.stop() == 0


def children_of(server: Server) -> set[int]:
    """The workers, which are the children that listen; multiprocessing's own helper is none."""
    listed = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    return {pid for pid in map(int, listed) if "spawn_main" in command_of(pid)}


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""  # it ended meanwhile


@pytest.mark.faults
def test_a_worker_that_was_killed_is_replaced_and_nobody_is_signed_out(tmp_path: Path) -> None:
    with Server(tmp_path, "--workers", "2") as server, visiting(server) as visitor:
        visitor.ask("POST", "/auth/register", {"email": "a@example.com", "password": PASSWORD})
        signed = visitor.sign_in("a@example.com", credential="jwt", transport="bearer")
        before = children_of(server)
        assert len(before) == 2
        killed = min(before)
        os.kill(killed, signal.SIGKILL)
        after = before
        for _ in range(20_000):
            httpx.get(f"{server.url}/healthz", timeout=PATIENCE, trust_env=False)
            after = children_of(server)
            if killed not in after and len(after) == 2:
                break
        assert before - after == {killed}
        for _ in range(20):
            with visiting(server) as other:
                other.bearer = visitor.bearer
                assert other.ask("GET", "/auth/me").json()["session_id"] == signed["session"]
