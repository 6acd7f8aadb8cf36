"""`/metrics` as Prometheus asks for it: who may read, what is counted, and what must never stand in it."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import re
import signal
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from frontdesk.clock import AdjustableClock
from frontdesk.core.events import KeyChanged, SignedIn
from frontdesk.core.sessions import CredentialKind
from frontdesk.errors import CODES, StoreBusyError
from frontdesk.server.app import Application
from frontdesk.server.metrics import COLUMNS, Metrics
from frontdesk.server.settings import ServerSettings
from frontdesk.server.tally import Tally
from frontdesk.stores.memory import MemoryStore
from tests.server.processes import PASSWORD, PATIENCE, Server, run_cli, visiting
from tests.server.test_running import children_of
from tests.service.test_counts import GARBAGE, Seconds, decide, remote_desk, signed_in

Scenario = Callable[[httpx.AsyncClient, Application], Awaitable[None]]
LABELS = {"how", "kind", "outcome", "credential", "transport", "code", "worker"}
WHO = {"email": "alice@example.com", "password": PASSWORD}


def play(scenario: Scenario, *, tally: Tally | None = None, **settings: Any) -> None:
    """Open the application over a store in memory, play, close. Figures are open unless the settings say otherwise."""

    async def run() -> None:
        chosen = {"store": "memory:", "hashing": "small", "open_metrics": True, **settings}
        app = Application(ServerSettings(**chosen), clock=AdjustableClock(), tally=tally)
        await app.desk.open()
        transport = httpx.ASGITransport(app, client=("192.0.2.9", 4711))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            await scenario(client, app)
        await app.desk.close()
        await app.metrics.stop()

    asyncio.run(run())


def figures(text: str) -> dict[str, float]:
    """Every sample by its name and the values of its labels: `frontdesk_rotations_total{rotated}`."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            values = ",".join(sample.labels.values())
            found[f"{sample.name}{{{values}}}" if values else sample.name] = sample.value
    return found


async def told(client: httpx.AsyncClient) -> dict[str, float]:
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    return figures(answer.text)


async def grown(client: httpx.AsyncClient, *requests: Awaitable[Any]) -> dict[str, float]:
    """By how much each counter grew while the requests were made, one after the other."""
    before = await told(client)
    for request in requests:
        await request
    after = await told(client)
    assert after.keys() == before.keys()
    changes = {name: value - before[name] for name, value in after.items() if name.partition("{")[0].endswith("_total")}
    return {name: change for name, change in changes.items() if change and not name.startswith("process_")}


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def enter(client: httpx.AsyncClient, credential: str, transport: str) -> dict[str, Any]:
    client.cookies.clear()
    answer = await client.post("/auth/login", json={**WHO, "credential": credential, "transport": transport})
    assert answer.status_code == 200, answer.text
    client.cookies.clear()
    body: dict[str, Any] = answer.json()
    return body


# --- the form ---------------------------------------------------------------------------------------------------------


def test_the_figures_come_in_the_text_format_and_nobody_keeps_them() -> None:
    async def scenario(client: httpx.AsyncClient, app: Application) -> None:
        answer = await client.get("/metrics")
        assert answer.headers.get_list("content-type") == ["text/plain; version=0.0.4; charset=utf-8"]
        assert answer.headers.get_list("cache-control") == ["no-store"]
        assert answer.headers.get_list("x-content-type-options") == ["nosniff"]
        head = await client.head("/metrics")
        assert (head.status_code, head.content) == (200, b"")
        refused = await client.post("/metrics")
        assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")

    play(scenario)


def test_names_follow_the_conventions_and_labels_have_few_values_that_are_there_from_the_start() -> None:
    async def scenario(client: httpx.AsyncClient, app: Application) -> None:
        families = list(text_string_to_metric_families((await client.get("/metrics")).text))
        assert len({family.name for family in families}) == len(families)
        for family in families:
            assert re.fullmatch(r"(frontdesk|process)_[a-z_]+", family.name)
            assert family.documentation.endswith(".")
            for sample in family.samples:
                assert sample.name == (f"{family.name}_total" if family.type == "counter" else family.name)
                assert sample.labels.keys() <= LABELS
        counters = {family.name: family for family in families if family.name.startswith("frontdesk_")}
        assert {sample.value for sample in counters["frontdesk_sign_ins"].samples} == {0}
        refusals = {sample.labels["code"] for sample in counters["frontdesk_refusals"].samples}
        assert refusals == {code for code, entry in CODES.items() if entry.status in {401, 403, 429, 500, 503}}

    play(scenario)


def test_the_process_itself_is_among_the_figures() -> None:
    async def scenario(client: httpx.AsyncClient, app: Application) -> None:
        found = await told(client)
        assert found["process_resident_memory_bytes{0}"] > 1_000_000
        assert found["process_cpu_seconds_total{0}"] > 0
        assert found["process_open_fds{0}"] > 2

    play(scenario)


# --- what is counted --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["cookie", "bearer"])
@pytest.mark.parametrize("credential", ["session", "jwt", "jwe"])
def test_sign_ins_are_counted_by_credential_and_transport(credential: str, transport: str) -> None:
    async def scenario(client: httpx.AsyncClient, app: Application) -> None:
        await client.post("/auth/register", json=WHO)
        changes = await grown(client, enter(client, credential, transport))
        assert changes == {f"frontdesk_sign_ins_total{{{credential},{transport}}}": 1}

    play(scenario)


def test_refused_sign_ins_are_counted_by_code_on_the_api_and_on_the_page() -> None:
    async def scenario(client: httpx.AsyncClient, app: Application) -> None:
        await client.post("/auth/register", json=WHO)
        wrong = {**WHO, "password": "another word entirely"}
        form = {"origin": "http://localhost", "sec-fetch-site": "same-origin", "accept": "text/html"}
        changes = await grown(
            client,
            client.post("/auth/login", json=wrong),
            client.post("/signin", data=wrong, headers=form),
            client.post("/signin", data={**wrong, "password": ""}, headers=form),
        )
        assert changes == {
            "frontdesk_sign_ins_refused_total{invalid_credentials}": 2,
            "frontdesk_refusals_total{invalid_credentials}": 2,
        }
        while (await client.post("/auth/login", json=wrong)).status_code == 401:
            pass
        assert await grown(client, client.post("/auth/login", json=wrong)) == {
            "frontdesk_sign_ins_refused_total{too_many_attempts}": 1,
            "frontdesk_refusals_total{too_many_attempts}": 1,
        }

    play(scenario)


def test_rotations_are_counted_by_what_became_of_the_token() -> None:
    async def scenario(client: httpx.AsyncClient, app: Application) -> None:
        def refresh(token: str) -> Awaitable[httpx.Response]:
            return client.post("/auth/refresh", json={"refresh_token": token})

        clock = app.desk.clock
        assert isinstance(clock, AdjustableClock)
        await client.post("/auth/register", json=WHO)
        first = (await enter(client, "jwt", "bearer"))["refresh_token"]
        assert await grown(client, refresh(first)) == {"frontdesk_rotations_total{renewed}": 1}
        clock.advance(timedelta(minutes=1))
        second = (await refresh(first)).json()["refresh_token"]
        clock.advance(timedelta(minutes=1))
        assert await grown(client, refresh(first)) == {"frontdesk_rotations_total{reissued}": 1}
        clock.advance(timedelta(minutes=1))
        assert await grown(client, refresh(second)) == {
            "frontdesk_rotations_total{reused}": 1,
            "frontdesk_revocations_total{session}": 1,
            "frontdesk_refusals_total{refresh_reused}": 1,
        }
        assert await grown(client, refresh(second)) == {
            "frontdesk_rotations_total{ended}": 1,
            "frontdesk_refusals_total{refresh_reused}": 1,
        }
        assert (await told(client))["frontdesk_rotations_total{rotated}"] == 1

    play(scenario)


def test_revocations_are_counted_by_kind() -> None:
    async def scenario(client: httpx.AsyncClient, app: Application) -> None:
        await client.post("/auth/register", json=WHO)
        signed = [await enter(client, "session", "bearer") for _ in range(4)]
        headers = [bearer(each["access_token"]) for each in signed]
        local = "frontdesk_requests_decided_total{local}"
        ended = "frontdesk_revocations_total{session}"
        assert await grown(client, client.post("/auth/logout", headers=headers[0])) == {ended: 1}
        assert await grown(client, client.delete("/auth/sessions?except=current", headers=headers[1])) == {
            ended: 2,
            local: 1,
        }
        assert await grown(client, client.delete("/auth/sessions", headers=headers[1])) == {
            ended: 1,
            "frontdesk_revocations_total{subject}": 1,
            local: 1,
        }
        assert await grown(client, app.desk.end_everyone()) == {"frontdesk_revocations_total{all}": 1}
        key = app.desk.keys.signing.kid
        assert await grown(client, app.desk.give_up_key(key)) == {"frontdesk_revocations_total{key}": 1}
        assert await grown(client, app.desk.rotate_keys(at_once=True)) == {}
        assert await grown(client, app.desk.accounts.remove(WHO["email"])) == {
            "frontdesk_revocations_total{subject}": 1
        }

    play(scenario)


def test_requests_and_their_refusals_are_counted_pages_and_unknown_paths_among_them() -> None:
    async def scenario(client: httpx.AsyncClient, app: Application) -> None:
        await client.post("/auth/register", json=WHO)
        token = (await enter(client, "jwt", "bearer"))["access_token"]
        local = "frontdesk_requests_decided_total{local}"
        assert await grown(client, *(client.get("/auth/me", headers=bearer(token)) for _ in range(3))) == {local: 3}
        assert await grown(client, client.get("/auth/me", headers=bearer(GARBAGE.decode()))) == {
            local: 1,
            "frontdesk_refusals_total{credential_malformed}": 1,
        }
        assert await grown(client, client.get("/dashboard"), client.get("/auth/me")) == {
            "frontdesk_refusals_total{not_signed_in}": 2
        }
        crossed = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
        assert await grown(client, client.post("/auth/login", json=WHO, headers=crossed)) == {
            "frontdesk_refusals_total{cross_origin}": 1
        }
        assert await grown(client, client.get("/nothing"), client.get("/", headers={"host": "evil.example"})) == {}

    play(scenario)


def test_what_fails_here_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(client: httpx.AsyncClient, app: Application) -> None:
        await client.post("/auth/register", json=WHO)
        token = (await enter(client, "session", "bearer"))["access_token"]

        async def fail(*_: object, **__: object) -> None:
            raise StoreBusyError("locked")

        async def break_(*_: object, **__: object) -> None:
            raise RuntimeError("unforeseen")

        with monkeypatch.context() as patch:
            patch.setattr(app.desk.store, "read_session", fail)
            changes = await grown(client, client.post("/auth/logout", headers=bearer(token)))
        assert changes == {"frontdesk_refusals_total{store_unavailable}": 1}
        with monkeypatch.context() as patch:
            patch.setattr(app.desk.store, "read_session", break_)
            changes = await grown(client, client.post("/auth/logout", headers=bearer(token)))
        assert changes == {"frontdesk_refusals_total{internal_error}": 1}

    play(scenario)


# --- how it stands ----------------------------------------------------------------------------------------------------


def test_where_the_store_is_always_asked_the_lag_is_0_and_no_entries_are_held() -> None:
    async def scenario(client: httpx.AsyncClient, app: Application) -> None:
        found = await told(client)
        assert (found["frontdesk_ready{0}"], found["frontdesk_revocation_lag_seconds{0}"]) == (1, 0)
        assert "frontdesk_revocation_entries{0}" not in found

    play(scenario)


@pytest.mark.parametrize("credential", ["session", "jwt"])
def test_a_desk_on_a_remote_store_tells_its_lag_its_entries_and_its_questions(credential: CredentialKind) -> None:
    async def scenario() -> None:
        seconds = Seconds()
        desk, metrics = remote_desk(MemoryStore(), seconds), Metrics()
        metrics.watch(desk)
        found = figures((await metrics.text()).decode())
        assert found["frontdesk_ready{0}"] == 0
        assert "frontdesk_revocation_lag_seconds{0}" not in found

        await desk.open()
        token = await signed_in(desk, credential)
        await desk.end_all("bob")
        for _ in range(4):
            await decide(desk, token)
        seconds.now += 1.5
        found = figures((await metrics.text()).decode())
        assert found["frontdesk_ready{0}"] == 1
        assert found["frontdesk_revocation_lag_seconds{0}"] == 1.5
        assert found["frontdesk_revocation_entries{0}"] == 1
        asked = 1 if credential == "session" else 0
        assert found["frontdesk_requests_decided_total{local}"] == 4 - asked
        assert found["frontdesk_requests_decided_total{asked}"] == asked
        assert found["frontdesk_store_lookups_total"] == asked
        assert found["frontdesk_stale_decisions_total"] == 0

        seconds.now += 60
        await decide(desk, token)
        found = figures((await metrics.text()).decode())
        assert found["frontdesk_revocation_lag_seconds{0}"] == 61.5
        assert found["frontdesk_stale_decisions_total"] == 1
        await metrics.stop()
        await desk.close()

    asyncio.run(scenario())


# --- who may read -----------------------------------------------------------------------------------------------------


def test_a_service_with_the_scope_may_read_them_until_it_is_removed() -> None:
    async def scenario(client: httpx.AsyncClient, app: Application) -> None:
        async def status_and_code(headers: dict[str, str]) -> tuple[int, str]:
            answer = await client.get("/metrics", headers=headers)
            found = answer.json()["code"] if answer.status_code != 200 else ""
            assert ("frontdesk_" in answer.text) == (answer.status_code == 200)
            assert ("www-authenticate" in answer.headers) == (answer.status_code in {401, 403})
            return answer.status_code, found

        services = app.desk.services
        reads, follows = await services.add("prometheus", ["metrics"]), await services.add("orders", ["revocations"])
        assert reads is not None
        assert follows is not None
        assert await status_and_code(bearer(reads)) == (200, "")
        assert await status_and_code({**bearer(reads), "host": "10.0.0.7:8000"}) == (200, "")
        assert await status_and_code(bearer(follows)) == (403, "service_scope_missing")
        await client.post("/auth/register", json=WHO)
        person = (await enter(client, "session", "bearer"))["access_token"]
        for headers in ({}, bearer(""), bearer("fdk_" + "A" * 43), bearer(person), {"authorization": f"Basic {reads}"}):
            assert await status_and_code(headers) == (401, "service_unknown")
        await services.remove("prometheus")
        assert await status_and_code(bearer(reads)) == (401, "service_unknown")

    play(scenario, open_metrics=False)


def test_while_the_store_cannot_be_asked_nobody_is_known_and_503_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(client: httpx.AsyncClient, app: Application) -> None:
        async def fail(*_: object) -> None:
            raise StoreBusyError("locked")

        reads = await app.desk.services.add("prometheus", ["metrics"])
        assert reads is not None
        monkeypatch.setattr(app.desk.store, "service_by_digest", fail)
        answer = await client.get("/metrics", headers=bearer(reads))
        assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")

    play(scenario, open_metrics=False)


def test_in_development_mode_they_are_open_to_this_machine_under_its_own_names() -> None:
    async def scenario(client: httpx.AsyncClient, app: Application) -> None:
        assert (await client.get("/metrics")).status_code == 200
        rebound = await client.get("/metrics", headers={"host": "evil.example"})
        assert (rebound.status_code, rebound.json()["code"]) == (401, "service_unknown")

    play(scenario, dev=True, open_metrics=False)


def test_a_machine_is_asked_by_its_address_whatever_names_it_serves() -> None:
    async def scenario(client: httpx.AsyncClient, app: Application) -> None:
        assert (await client.get("/metrics", headers={"host": "10.0.0.7:8000"})).status_code == 200

    play(scenario)


# --- several workers --------------------------------------------------------------------------------------------------


def other_worker(tally: Tally, timer_at: float, parent: Connection) -> None:
    """A worker that signs somebody in three times and gives up a key."""
    metrics = Metrics(tally, timer=lambda: timer_at)
    moment = AdjustableClock().now()
    for number in range(3):
        metrics.note(
            SignedIn(at=moment, realm="r", subject="bob", session_id=str(number), credential="jwt", transport="bearer")
        )
    metrics.note(KeyChanged(at=moment, realm="r", key_id="k", state="compromised"))
    metrics.note(KeyChanged(at=moment, realm="r", key_id="k", state="retired"))
    metrics.refused("not_signed_in")
    metrics.refused("not_found")
    metrics.refused("")
    parent.send(os.getpid())
    parent.recv()
    asyncio.run(metrics.stop())


@pytest.fixture
def tally() -> Iterator[Tally]:
    with closing(Tally.shared(COLUMNS, rows=3)) as tally:
        yield tally


def test_whoever_is_asked_tells_what_all_workers_counted(tally: Tally) -> None:
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()

    async def scenario(client: httpx.AsyncClient, app: Application) -> None:
        await client.get("/auth/me")
        worker = spawn.Process(target=other_worker, args=(tally, 0.0, theirs))
        worker.start()
        try:
            assert ours.poll(PATIENCE)
            assert ours.recv() == worker.pid
            found = await told(client)
            assert found["frontdesk_sign_ins_total{jwt,bearer}"] == 3
            assert found["frontdesk_revocations_total{key}"] == 1
            assert found["frontdesk_refusals_total{not_signed_in}"] == 2
            assert found["process_open_fds{1}"] > 2
            assert (found["frontdesk_ready{0}"], found["frontdesk_ready{1}"]) == (1, 0)
        finally:
            ours.send("go")
            worker.join(PATIENCE)
            worker.close()
        found = await told(client)
        assert found["frontdesk_sign_ins_total{jwt,bearer}"] == 3
        assert "frontdesk_ready{1}" not in found

    with closing(ours), closing(theirs):
        play(scenario, tally=tally)


def scraped(server: Server) -> dict[str, float]:
    """One scrape, over a connection of its own: any worker may answer."""
    answer = httpx.get(f"{server.url}/metrics", timeout=PATIENCE, trust_env=False)
    assert answer.status_code == 200
    return figures(answer.text)


def until_told(server: Server, expected: Mapping[str, float], *, times: int) -> None:
    """Return when `times` scrapes in a row told these figures."""
    deadline = time.monotonic() + PATIENCE
    right, found = 0, dict(expected)
    while right < times:
        assert time.monotonic() < deadline, found
        everything = scraped(server)
        found = {name: everything.get(name, -1) for name in expected}
        right = right + 1 if found == expected else 0


def sign_in_and_look(server: Server, *, times: int) -> list[str]:
    """A sign-in, and so many looks at who that is, each over its own connection; the tokens."""
    with visiting(server) as visitor:
        visitor.ask("POST", "/auth/register", WHO)
        signed = visitor.sign_in(WHO["email"], credential="jwt", transport="bearer")
    for _ in range(times):
        answer = httpx.get(
            f"{server.url}/auth/me", headers=bearer(signed["access_token"]), timeout=PATIENCE, trust_env=False
        )
        assert answer.status_code == 200
    return [signed["access_token"], signed["refresh_token"]]


def test_two_workers_tell_one_sum_on_every_connection(tmp_path: Path) -> None:
    with Server(tmp_path, "--workers", "2", "--set", "open_metrics=true") as server:
        sign_in_and_look(server, times=30)
        expected = {
            "frontdesk_sign_ins_total{jwt,bearer}": 1,
            "frontdesk_requests_decided_total{local}": 30,
            "frontdesk_refusals_total{not_signed_in}": 0,
            "frontdesk_ready{0}": 1,
            "frontdesk_ready{1}": 1,
        }
        until_told(server, expected, times=12)
        for _ in range(12):
            httpx.get(f"{server.url}/auth/me", timeout=PATIENCE, trust_env=False)
        until_told(server, {**expected, "frontdesk_refusals_total{not_signed_in}": 12}, times=12)


@contextmanager
def paused(worker: int) -> Iterator[None]:
    """A process that is stopped, and seen to be, and goes on afterwards."""
    os.kill(worker, signal.SIGSTOP)
    try:
        deadline = time.monotonic() + PATIENCE
        while Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            assert time.monotonic() < deadline
        yield
    finally:
        os.kill(worker, signal.SIGCONT)


@pytest.mark.faults
def test_the_sum_is_right_whichever_worker_counted_and_whichever_tells_and_when_one_was_killed(tmp_path: Path) -> None:
    both = {"frontdesk_ready{0}": 1, "frontdesk_ready{1}": 1}
    expected = {"frontdesk_requests_decided_total{local}": 5, "frontdesk_sign_ins_total{jwt,bearer}": 1}
    with Server(tmp_path, "--workers", "2", "--set", "open_metrics=true") as server:
        until_told(server, both, times=1)
        first, second = sorted(children_of(server))
        with paused(second):
            sign_in_and_look(server, times=5)
            until_told(server, expected, times=3)
        with paused(first):
            until_told(server, expected, times=3)
            httpx.get(f"{server.url}/auth/me", timeout=PATIENCE, trust_env=False)
            expected["frontdesk_refusals_total{not_signed_in}"] = 1
            until_told(server, expected, times=3)
        with paused(second):
            until_told(server, expected, times=3)
        with paused(first):
            # The one that is killed is awake: uvicorn waits a minute for what it asked a worker that stood still.
            until_told(server, expected, times=3)
        os.kill(second, signal.SIGKILL)
        deadline = time.monotonic() + PATIENCE
        while second in children_of(server) or len(children_of(server)) < 2:
            assert time.monotonic() < deadline
            assert scraped(server)["frontdesk_refusals_total{not_signed_in}"] == 1
        until_told(server, {**expected, **both}, times=12)


# --- secrets ----------------------------------------------------------------------------------------------------------


def test_no_credential_no_id_and_no_address_of_the_run_is_in_the_figures(tmp_path: Path) -> None:
    with Server(tmp_path) as server, visiting(server) as visitor:
        [credential_of_service] = run_cli(tmp_path, "services", "add", "prometheus", "--scope", "metrics")
        seen = [*WHO.values(), "127.0.0.1", str(tmp_path), credential_of_service, "prometheus"]
        visitor.ask("POST", "/auth/register", WHO)
        for credential in ("session", "jwt", "jwe"):
            for transport in ("cookie", "bearer"):
                body = visitor.sign_in(WHO["email"], credential=credential, transport=transport)
                seen += [value for name, value in body.items() if name not in {"token_type", "expires_in"}]
                seen += visitor.cookies.values()
                assert visitor.ask("GET", "/auth/me").status_code == 200
                content = {"refresh_token": body["refresh_token"]} if "refresh_token" in body else None
                visitor.ask("POST", "/auth/refresh", content)
                visitor.ask("POST", "/auth/logout")
                assert visitor.ask("GET", "/auth/me", keep=False).status_code == 401
                visitor.bearer = ""
        visitor.ask("POST", "/auth/login", {**WHO, "password": "a-wrong-one"})
        keys = httpx.get(f"{server.url}/auth/jwks.json", trust_env=False).json()["keys"]
        seen += ["a-wrong-one", (tmp_path / "frontdesk.db.key").read_text().strip(), *(key["kid"] for key in keys)]
        text = httpx.get(f"{server.url}/metrics", headers=bearer(credential_of_service), trust_env=False).text
    assert len(seen) > 20
    assert [word for word in seen if word in text] == []
    assert sum(figures(text)[f"frontdesk_sign_ins_total{{{kind},cookie}}"] for kind in ("session", "jwt", "jwe")) == 3
