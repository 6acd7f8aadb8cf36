"""The log of a desk over HTTP, from a real server on loopback that answers as it is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from frontdesk.clock import AdjustableClock
from frontdesk.errors import ConfigurationError, StoreError
from frontdesk.stores.protocol import Poll
from frontdesk.verifier.http_source import BYTES_MAX, HttpSource

CREDENTIAL = "fdk_" + "c" * 43
ISSUER = "https://desk.example"
MOMENT = "2026-01-01T12:00:00.250000Z"
WAIT = timedelta(milliseconds=10)


def page(**members: Any) -> dict[str, Any]:
    entries = [entry(number=7), entry(number=8, kind="all", target="", epoch=2)]
    whole: dict[str, Any] = {
        "issuer": ISSUER,
        "realm": "default",
        "history": "h",
        "cursor": 9,
        "head": 9,
        "store_time": MOMENT,
    }
    return whole | {"entries": entries} | members


def entry(**members: Any) -> dict[str, Any]:
    return {"number": 7, "kind": "session", "target": "d" * 32, "epoch": 0, "expires_at": MOMENT} | members


def answer(content: object, status: str = "200 OK", *headers: str) -> bytes:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


class Desk:
    """A server that keeps connections open, counts them and keeps the heads of requests; `gate` holds answers back."""

    def __init__(self) -> None:
        self.reply = answer(page())
        self.heads: list[str] = []
        self.connections = 0
        self.gate, self.asked = asyncio.Event(), asyncio.Event()
        self.gate.set()
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
                self.asked.set()
                await self.gate.wait()
                writer.write(self.reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def source(self, realm: str = "default") -> HttpSource:
        return HttpSource(f"http://127.0.0.1:{self.port}/auth/revocations", CREDENTIAL, realm, issuer=ISSUER)


def play(scenario: Callable[[Desk], Awaitable[None]]) -> None:
    async def run() -> None:
        desk = Desk()
        server = await asyncio.start_server(desk.serve, "127.0.0.1", 0)
        desk.port = server.sockets[0].getsockname()[1]
        try:
            async with asyncio.timeout(20):
                await scenario(desk)
        finally:
            desk.gate.set()
            server.close()
            await server.wait_closed()

    asyncio.run(run())


def polled(reply: bytes, cursor: int = 6) -> Poll:
    found: list[Poll] = []

    async def scenario(desk: Desk) -> None:
        desk.reply = reply
        found.append(await desk.source().poll(cursor))

    play(scenario)
    return found[0]


def test_a_poll_says_what_the_desk_says() -> None:
    async def scenario(desk: Desk) -> None:
        source = desk.source()
        told = await source.poll(6, limit=50, wait=timedelta(seconds=1))
        assert (told.history, told.cursor, told.head, told.complete) == ("h", 9, 9, True)
        assert told.store_time == AdjustableClock().now() + timedelta(hours=12, milliseconds=250)
        assert [(each.number, each.kind, each.target, each.epoch, each.realm) for each in told.entries] == [
            (7, "session", "d" * 32, 0, "default"),
            (8, "all", "", 2, "default"),
        ]
        assert desk.heads[0].startswith("GET /auth/revocations?cursor=6&limit=50&wait=1.000000 HTTP/1.1\r\n")
        assert f"authorization: Bearer {CREDENTIAL}\r\n" in desk.heads[0].lower().replace("bearer fdk", "Bearer fdk")
        await source.close()

    play(scenario)


def test_who_waits_keeps_its_connection_and_who_asks_in_between_makes_one() -> None:
    async def scenario(desk: Desk) -> None:
        source = desk.source()
        for _ in range(5):
            await source.poll(6, wait=WAIT)
            await source.poll(6)
        assert desk.connections == 1 + 5
        await source.close()
        await source.close()
        await source.poll(6, wait=WAIT)
        assert desk.connections == 1 + 5 + 1
        await source.close()

    play(scenario)


def test_who_ends_a_wait_leaves_no_connection_behind() -> None:
    async def scenario(desk: Desk) -> None:
        source = desk.source()
        desk.gate.clear()
        waiting = asyncio.create_task(source.poll(6, wait=timedelta(seconds=30)))
        await desk.asked.wait()
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        assert source._home is None

    play(scenario)


def test_another_event_loop_has_a_client_of_its_own() -> None:
    async def scenario(desk: Desk) -> None:
        source = desk.source()
        await source.poll(6, wait=WAIT)
        told = await asyncio.to_thread(lambda: asyncio.run(source.poll(6)))
        assert told.cursor == 9
        assert desk.connections == 2
        await source.close()

    play(scenario)


def test_a_log_that_went_back_is_told_without_its_entries() -> None:
    told = polled(answer(page(cursor=4, head=4, entries=[])), cursor=6)
    assert (told.head, told.entries) == (4, ())


def test_members_that_are_new_are_passed_over() -> None:
    assert polled(answer(page(region="eu", entries=[entry(reason="signed_out")]))).cursor == 9


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
def test_a_refused_credential_is_a_fault_that_says_what_to_do(status: str) -> None:
    with pytest.raises(StoreError, match="frontdesk services add") as caught:
        polled(answer({"code": "service_unknown"}, status))
    assert CREDENTIAL not in caught.value.message + caught.value.detail


BAD_PAGES: dict[str, dict[str, Any]] = {
    "a kind that is not known": page(entries=[entry(kind="tenant")]),
    "a moment without a time zone": page(store_time="2026-01-01T12:00:00"),
    "numbers that do not rise": page(entries=[entry(number=8), entry(number=8)]),
    "a number that was asked for already": page(entries=[entry(number=6)]),
    "a number above the cursor": page(entries=[entry(number=10)]),
    "a cursor above the head": page(cursor=10),
    "a cursor that goes back": page(cursor=5, entries=[]),
    "a cursor that stands still while there is more": page(cursor=6, head=9, entries=[]),
    "a negative number": page(cursor=-1),
    "no history": page(history=""),
    "another realm": page(realm="other"),
    "another issuer": page(issuer="http://localhost"),
    "too many entries": page(entries=[entry(number=7)] * 5001),
}


@pytest.mark.parametrize("name", BAD_PAGES)
def test_a_page_that_is_not_to_the_letter_is_a_fault(name: str) -> None:
    with pytest.raises(StoreError):
        polled(answer(BAD_PAGES[name]))


@pytest.mark.parametrize("missing", list(page()))
def test_no_member_may_be_missing(missing: str) -> None:
    with pytest.raises(StoreError):
        polled(answer({name: value for name, value in page().items() if name != missing}))


@pytest.mark.parametrize(
    "reply",
    [
        answer(b"{"),
        answer(b"[]"),
        answer(b"null"),
        answer(page(), "500 Internal Server Error"),
        answer(page(), "503 Service Unavailable"),
        answer(page(), "302 Found", "location: http://127.0.0.1:1/"),
        answer(page(), "200 OK", "content-encoding: gzip"),
        answer(b" " * (BYTES_MAX + 1)),
        b"SSH-2.0-OpenSSH\r\n\r\n",
    ],
)
def test_another_answer_is_a_fault(reply: bytes) -> None:
    with pytest.raises(StoreError):
        polled(reply)


def test_an_issuer_that_differs_is_named() -> None:
    with pytest.raises(StoreError, match=r"issuer is 'http://localhost', not 'https://desk\.example'"):
        polled(answer(page(issuer="http://localhost")))


def test_a_realm_that_differs_is_named() -> None:
    async def scenario(desk: Desk) -> None:
        with pytest.raises(StoreError, match="realm is 'default', not 'acme'"):
            await desk.source("acme").poll(6)

    play(scenario)


def test_a_desk_that_does_not_answer_is_waited_for_a_little_longer_than_it_was_asked_to_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("frontdesk.verifier.http_source.SECONDS_MAX", 0.05)

    async def scenario(desk: Desk) -> None:
        desk.gate.clear()
        source = desk.source()
        for wait in (timedelta(0), WAIT):
            with pytest.raises(StoreError, match="cannot be asked"):
                await source.poll(6, wait=wait)
        assert source._home is None

    play(scenario)


def test_nobody_there_is_a_fault() -> None:
    async def scenario(desk: Desk) -> None:
        with pytest.raises(StoreError, match="cannot be asked"):
            await HttpSource("http://127.0.0.1:1/auth/revocations", CREDENTIAL, "default", issuer=ISSUER).poll(0)

    play(scenario)


@pytest.mark.parametrize(
    "url", ["http://desk.example/r", "ftp://desk.example/r", "https://user:pw@desk.example/r", "desk", "https://"]
)
def test_the_credential_goes_over_https_alone(url: str) -> None:
    with pytest.raises(ConfigurationError, match="revocation log"):
        HttpSource(url, CREDENTIAL, "default", issuer=ISSUER)
