"""Services beside a real desk in a process of its own: signed out, stopped, killed, put back, its key given up."""

from __future__ import annotations

import asyncio
import logging
import shutil
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from frontdesk.core.services import ServiceScope
from frontdesk.core.sessions import Principal
from frontdesk.errors import StoreError
from frontdesk.verifier import Verifier
from frontdesk.wiring import build_desk
from tests.server.processes import PASSWORD, PATIENCE, Server, run_cli, visiting

ISSUER = "http://localhost"
BOUND = timedelta(milliseconds=800)


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


@pytest.fixture
def port() -> int:
    return free_port()


def credential_of(directory: Path, name: str = "orders", scope: ServiceScope = "revocations") -> str:
    """The credential of a new service, added beside the server as a command would."""

    async def added() -> str | None:
        desk = build_desk(f"sqlite:///{directory / 'frontdesk.db'}")
        try:
            await desk.open()
            return await desk.services.add(name, [scope])
        finally:
            await desk.close()

    with ThreadPoolExecutor(1) as thread:  # the test may be running in an event loop
        credential = thread.submit(asyncio.run, added()).result()
    assert credential is not None
    return credential


def signed_in(server: Server, email: str = "alice@example.com") -> str:
    """An access token, of somebody who registered for it."""
    with visiting(server) as visitor:
        visitor.ask("POST", "/auth/register", {"email": email, "password": PASSWORD})
        visitor.sign_in(email, credential="jwt", transport="bearer")
        return visitor.bearer


def sign_out(server: Server, token: str) -> None:
    with visiting(server) as visitor:
        visitor.bearer = token
        assert visitor.ask("POST", "/auth/logout").status_code == 204


def service(port: int, credential: str) -> Verifier:
    return Verifier(issuer=ISSUER, credential=credential, desk_url=f"http://127.0.0.1:{port}/auth", max_staleness=BOUND)


@asynccontextmanager
async def following(*verifiers: Verifier) -> AsyncIterator[None]:
    for verifier in verifiers:
        await verifier.open()
    try:
        yield
    finally:
        for verifier in verifiers:
            await verifier.close()


async def answer(verifier: Verifier, token: str) -> str:
    """`yes`, the code of the refusal, or `503`."""
    try:
        outcome = await verifier.check(token)
    except StoreError:
        return "503"
    return "yes" if isinstance(outcome, Principal) else outcome.code


async def until(verifier: Verifier, token: str, expected: str) -> float:
    """Seconds until the service answers so; AssertionError when it does not at all."""
    began = time.monotonic()
    while (found := await answer(verifier, token)) != expected:
        assert time.monotonic() - began < PATIENCE, f"still {found}, not {expected}"
        await asyncio.sleep(0.01)
    return time.monotonic() - began


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def play() -> None:
        async with asyncio.timeout(2 * PATIENCE):
            await scenario()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(play())


@contextmanager
def stopped(server: Server) -> Iterator[None]:
    server.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.process.send_signal(signal.SIGCONT)


def test_who_signs_out_at_the_desk_is_refused_by_both_services(tmp_path: Path) -> None:
    with Server(tmp_path) as desk:
        token, other = signed_in(desk), signed_in(desk, "bob@example.com")

        async def scenario() -> None:
            services = [service(desk.port, credential_of(tmp_path, name)) for name in ("orders", "invoices")]
            async with following(*services):
                for each in services:
                    assert isinstance(each.check_now(token), Principal)
                await asyncio.to_thread(sign_out, desk, token)
                for each in services:
                    await until(each, token, "session_ended")
                    assert await answer(each, other) == "yes"
                assert all(each.counts.asked == 0 for each in services), "nobody had to ask"

        run(scenario)


def test_a_desk_that_is_stopped_is_503_beyond_the_bound_and_never_yes(tmp_path: Path) -> None:
    with Server(tmp_path) as desk:
        token = signed_in(desk)

        async def scenario() -> None:
            verifier = service(desk.port, credential_of(tmp_path))
            async with following(verifier):
                assert await answer(verifier, token) == "yes"
                with stopped(desk):
                    await until(verifier, token, "503")
                    assert verifier.lag is not None
                    assert verifier.lag > BOUND.total_seconds()
                    assert {await answer(verifier, token) for _ in range(2)} == {"503"}
                await until(verifier, token, "yes")

        run(scenario)


def test_a_desk_that_was_killed_is_503_until_another_runs(
    tmp_path: Path, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        with Server(tmp_path, "--port", str(port)) as desk:
            token, credential = signed_in(desk), credential_of(tmp_path)
            verifier = service(port, credential)
            await verifier.open()
            desk.stop(signal.SIGKILL)
        await until(verifier, token, "503")
        with Server(tmp_path, "--port", str(port)):
            await until(verifier, token, "yes")
            await verifier.close()
        assert credential not in caplog.text
        assert token not in caplog.text

    with caplog.at_level(logging.DEBUG, logger="frontdesk"):
        run(scenario)


@pytest.mark.parametrize("said", [False, True], ids=["head went back", "history renewed"])
def test_a_desk_that_was_put_back_forgets_and_its_services_do_not(tmp_path: Path, port: int, said: bool) -> None:
    home, copy = tmp_path / "home", tmp_path / "copy"
    home.mkdir()

    async def scenario() -> None:
        with Server(home, "--port", str(port)) as desk:
            token, kept = signed_in(desk), signed_in(desk, "bob@example.com")
            credential = credential_of(home)
        shutil.copytree(home, copy)
        verifier = service(port, credential)
        with Server(home, "--port", str(port)) as desk:
            await verifier.open()
            await asyncio.to_thread(sign_out, desk, token)
            await until(verifier, token, "session_ended")
        shutil.rmtree(home)
        shutil.copytree(copy, home)
        if said:
            run_cli(home, "restore", "--keep-sessions", "--yes")
        with Server(home, "--port", str(port)):
            await until(verifier, kept, "yes")
            assert await answer(verifier, token) == "session_ended"
            await verifier.close()

    run(scenario)


def test_a_compromised_key_is_refused_and_tokens_of_its_successor_are_good_at_once(tmp_path: Path) -> None:
    with Server(tmp_path) as desk:
        token = signed_in(desk)

        async def scenario() -> None:
            verifier = service(desk.port, credential_of(tmp_path))
            async with following(verifier):
                assert await answer(verifier, token) == "yes"
                keys = await asyncio.to_thread(run_cli, tmp_path, "keys", "list")
                current = next(line.split()[0] for line in keys if "ES256" in line and "current" in line)
                await asyncio.to_thread(run_cli, tmp_path, "keys", "rotate", "--compromised", current)
                await until(verifier, token, "credential_invalid")
                successor = await asyncio.to_thread(signed_in, desk)
                assert await answer(verifier, successor) == "yes"

        run(scenario)


def test_tokens_of_a_key_that_took_over_are_good_at_a_service_that_has_not_heard_of_it(tmp_path: Path) -> None:
    with Server(tmp_path) as desk:
        token = signed_in(desk)

        async def scenario() -> None:
            verifier = service(desk.port, credential_of(tmp_path))
            async with following(verifier):
                assert await answer(verifier, token) == "yes"
                assert verifier._follower is not None
                await verifier._follower.stop()
                keys = await asyncio.to_thread(run_cli, tmp_path, "keys", "list")
                current = next(line.split()[0] for line in keys if "ES256" in line and "current" in line)
                await asyncio.to_thread(run_cli, tmp_path, "keys", "rotate", "--compromised", current)
                successor = await asyncio.to_thread(signed_in, desk)
                assert await answer(verifier, successor) == "yes"

        run(scenario)


@pytest.mark.parametrize("scope", ["revoke", None])
def test_a_credential_that_the_desk_refuses_is_503_and_says_so(tmp_path: Path, scope: ServiceScope | None) -> None:
    with Server(tmp_path) as desk:
        token = signed_in(desk)
        credential = credential_of(tmp_path, scope=scope) if scope else "fdk_" + "A" * 43

        async def scenario() -> None:
            verifier = service(desk.port, credential)
            with pytest.raises(StoreError, match="refuses the service credential"):
                await verifier.open()
            assert await answer(verifier, token) == "503"
            await verifier.close()

        run(scenario)


def test_without_a_credential_a_desk_is_believed_until_its_tokens_expire(tmp_path: Path) -> None:
    with Server(tmp_path) as desk:
        token = signed_in(desk)
        sign_out(desk, token)

        async def scenario() -> None:
            url = f"http://127.0.0.1:{desk.port}/auth"
            verifier = Verifier(issuer=ISSUER, desk_url=url, freshness="stateless")
            async with following(verifier):
                assert isinstance(verifier.check_now(token), Principal)

        run(scenario)
