"""Two server processes on two ports and one file: whatever one decides, the other knows by the next request."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import apsw
import httpx
import pytest

from tests.server.processes import PASSWORD, PATIENCE, Server, Visitor, run_cli, visiting

LONG = 60 * 1_000_000
"""Microseconds, longer than grace."""

SUFFIX = "shared"
_NUMBERS = count()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    directory = tmp_path_factory.mktemp("pair")
    flags = ("--set", f"cookie_suffix={SUFFIX}")
    with Server(directory, *flags) as first, Server(directory, *flags) as second:
        yield first, second


@pytest.fixture
def visitor(pair: tuple[Server, Server]) -> Iterator[Visitor]:
    with visiting(*pair) as visitor:
        email = f"visitor-{next(_NUMBERS)}@example.com"
        visitor.ask("POST", "/auth/register", {"email": email, "password": PASSWORD})
        visitor.email = email
        yield visitor


def database_of(server: Server) -> Path:
    created = next(record for record in server.records("frontdesk.server") if "frontdesk.db " in record["message"])
    return Path(str(created["message"]).split()[1])


def pass_grace(visitor: Visitor, session: str) -> None:
    """Move the last mint of the session into the past, in the file that both servers read, instead of waiting."""
    with closing(apsw.Connection(str(database_of(visitor.servers[0])))) as connection:
        connection.set_busy_timeout(5000)
        connection.execute("UPDATE sessions SET minted_at = minted_at - ? WHERE id = ?", (LONG, session)).fetchall()


def row_of(visitor: Visitor, session: str) -> Any:
    """Generation and parent, as they stand in the file."""
    with closing(apsw.Connection(str(database_of(visitor.servers[0])))) as connection:
        rows = connection.execute("SELECT generation, parent FROM sessions WHERE id = ?", (session,)).fetchall()
    return rows[0]


@pytest.mark.parametrize("transport", ["cookie", "bearer"])
@pytest.mark.parametrize("credential", ["session", "jwt", "jwe"])
def test_what_one_server_accepts_and_ends_the_other_does_too(visitor: Visitor, credential: str, transport: str) -> None:
    signed = visitor.sign_in(visitor.email, credential=credential, transport=transport)
    for at in (0, 1):
        me = visitor.ask("GET", "/auth/me", at=at)
        assert (me.status_code, me.json()["session_id"]) == (200, signed["session"])
    assert all(name.endswith(f"-{SUFFIX}") for name in visitor.cookies)

    out = visitor.ask("POST", "/auth/logout", at=0, keep=False)
    refused = visitor.ask("GET", "/auth/me", at=1)
    assert out.status_code == 204
    assert (refused.status_code, refused.json()["code"]) == (401, "session_ended")


def test_a_command_beside_the_servers_ends_a_session_for_the_next_request(
    visitor: Visitor, tmp_path: Path, pair: tuple[Server, Server]
) -> None:
    signed = visitor.sign_in(visitor.email, credential="jwt")
    assert visitor.ask("GET", "/auth/me", at=1).status_code == 200
    database = database_of(pair[0])
    run_cli(tmp_path, "sessions", "revoke", signed["session"], "--store", f"sqlite:///{database}")
    for at in (0, 1):
        assert visitor.ask("GET", "/auth/me", at=at).json()["code"] == "session_ended"


def refresh_everywhere(visitor: Visitor, token: str, *, times: int) -> list[httpx.Response]:
    """The same refresh token, presented `times` times at once and to both servers in turn."""

    with httpx.Client(timeout=PATIENCE, trust_env=False) as client, ThreadPoolExecutor(times) as threads:

        def refresh(number: int) -> httpx.Response:
            url = visitor.servers[number % 2].url
            return client.post(f"{url}/auth/refresh", json={"refresh_token": token})

        return list(threads.map(refresh, range(times)))


def test_twenty_refreshes_at_once_converge_on_one_new_token(visitor: Visitor) -> None:
    signed = visitor.sign_in(visitor.email, credential="jwt", transport="bearer")
    pass_grace(visitor, signed["session"])
    answers = refresh_everywhere(visitor, signed["refresh_token"], times=20)
    assert [answer.status_code for answer in answers] == [200] * 20

    minted = [answer.json()["refresh_token"] for answer in answers if "refresh_token" in answer.json()]
    assert len(minted) == 1
    for number, answer in enumerate(answers):
        visitor.bearer = answer.json()["access_token"]
        assert visitor.ask("GET", "/auth/me", at=number % 2).status_code == 200

    assert row_of(visitor, signed["session"]) == (1, 0)
    outcomes = outcomes_of(visitor, signed["session"])
    assert outcomes.count("rotated") == 1
    assert set(outcomes) <= {"rotated", "renewed"}

    pass_grace(visitor, signed["session"])
    again = visitor.ask("POST", "/auth/refresh", {"refresh_token": minted[0]}, at=1)
    assert again.status_code == 200
    assert "refresh_token" in again.json()


def outcomes_of(visitor: Visitor, session: str) -> list[str]:
    """What the audit logs of both servers say about the refreshes of a session."""
    for server in visitor.servers:
        server.catch_up()
    records: list[dict[str, Any]] = [
        record for server in visitor.servers for record in server.records("frontdesk.audit")
    ]
    return [record["outcome"] for record in records if record.get("session_id") == session and "outcome" in record]


def test_a_refresh_token_two_rotations_old_ends_the_session(visitor: Visitor) -> None:
    signed = visitor.sign_in(visitor.email, credential="jwt", transport="bearer")
    tokens = [signed["refresh_token"]]
    for at in (0, 1):
        pass_grace(visitor, signed["session"])
        answer = visitor.ask("POST", "/auth/refresh", {"refresh_token": tokens[-1]}, at=at).json()
        tokens.append(answer["refresh_token"])
        visitor.bearer = answer["access_token"]

    pass_grace(visitor, signed["session"])
    reused = visitor.ask("POST", "/auth/refresh", {"refresh_token": tokens[0]}, at=0)
    assert (reused.status_code, reused.json()["code"]) == (401, "refresh_reused")
    for at in (0, 1):
        assert visitor.ask("GET", "/auth/me", at=at).json()["code"] == "refresh_reused"
        newest = visitor.ask("POST", "/auth/refresh", {"refresh_token": tokens[-1]}, at=at)
        assert (newest.status_code, newest.json()["code"]) == (401, "refresh_reused")
