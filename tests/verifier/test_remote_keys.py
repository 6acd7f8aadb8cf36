"""Keys of another issuer, from a real server on loopback that answers as it is told; time is passed in."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from frontdesk.errors import ConfigurationError
from frontdesk.jose import jwt
from frontdesk.jose.keys import EcKey, OctKey
from frontdesk.verifier.remote_keys import (
    BYTES_MAX,
    PAUSE_SECONDS,
    SHORT_PAUSE_SECONDS,
    RemoteKeys,
    RemoteKeysError,
)

ONE, TWO = EcKey.generate(kid="one"), EcKey.generate(kid="two")


def jwks(*keys: EcKey) -> bytes:
    return json.dumps({"keys": [key.to_jwk() for key in keys]}).encode()


def answer(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


class Issuer:
    """A server: counts requests, keeps their heads, says what `reply` holds once `gate` is open."""

    def __init__(self) -> None:
        self.reply = answer(jwks(ONE))
        self.heads: list[str] = []
        self.asked, self.gate = asyncio.Event(), asyncio.Event()
        self.gate.set()
        self.now = 1000.0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        self.asked.set()
        await self.gate.wait()
        writer.write(self.reply)
        writer.close()

    def keys(self, host: str = "127.0.0.1", pause: float = PAUSE_SECONDS) -> RemoteKeys:
        return RemoteKeys(f"http://{host}:{self.port}/jwks.json", timer=lambda: self.now, pause=pause)


def play(scenario: Callable[[Issuer], Awaitable[None]]) -> None:
    async def run() -> None:
        issuer = Issuer()
        server = await asyncio.start_server(issuer.serve, "127.0.0.1", 0)
        issuer.port = server.sockets[0].getsockname()[1]
        try:
            await scenario(issuer)
        finally:
            server.close()
            await server.wait_closed()

    asyncio.run(run())


async def kids(keys: RemoteKeys, kid: str | None = None) -> list[str]:
    return [key.kid for key in await keys.for_kid(kid)]


def test_of_many_callers_one_fetches() -> None:
    async def scenario(issuer: Issuer) -> None:
        keys = issuer.keys()
        issuer.gate.clear()
        callers = [asyncio.create_task(kids(keys, "one")) for _ in range(20)]
        await issuer.asked.wait()
        callers[0].cancel()
        issuer.gate.set()
        assert await asyncio.gather(*callers[1:]) == [["one"]] * 19
        assert len(issuer.heads) == 1

    play(scenario)


def test_an_unknown_kid_is_looked_for_once_a_minute() -> None:
    async def scenario(issuer: Issuer) -> None:
        keys = issuer.keys()
        await keys.for_kid("one")
        issuer.reply = answer(jwks(ONE, TWO))
        assert await kids(keys, "two") == ["one"]
        issuer.now += 59.9
        assert await kids(keys, "two") == ["one"]
        issuer.now += 0.1
        assert await kids(keys, "two") == ["one", "two"]
        for _ in range(20):
            await keys.for_kid("nobody's")
        assert len(issuer.heads) == 2

    play(scenario)


def test_an_unknown_kid_is_looked_for_at_ones_own_desk_every_five_seconds() -> None:
    async def scenario(issuer: Issuer) -> None:
        keys = issuer.keys(pause=SHORT_PAUSE_SECONDS)
        await keys.for_kid("one")
        issuer.reply = answer(jwks(ONE, TWO))
        issuer.now += 4.9
        assert await kids(keys, "two") == ["one"]
        issuer.now += 0.1
        assert await kids(keys, "two") == ["one", "two"]

    play(scenario)


def test_a_token_of_a_key_that_is_new_at_the_issuer_is_verified() -> None:
    async def scenario(issuer: Issuer) -> None:
        keys, now = issuer.keys(), datetime(2026, 3, 1, tzinfo=UTC)
        await keys.for_kid("one")
        issuer.reply = answer(jwks(ONE, TWO))
        issuer.now += 60
        token = jwt.sign({"iss": "https://a.example", "aud": "b", "exp": now + timedelta(minutes=1)}, TWO, typ="at+jwt")
        claims = jwt.verify(
            token, await keys.for_token(token), issuer="https://a.example", audience="b", typ="at+jwt", now=now
        )
        assert claims.iss == "https://a.example"
        for garbage in (b"", b"...", b"\xff.x.y", "ä.b.c", b"e30.e30.", b"A" * 100_000, b"eyJraWQiOjF9.x.y"):
            assert [key.kid for key in await keys.for_token(garbage)] == ["one", "two"]
        assert len(issuer.heads) == 2

    play(scenario)


def test_a_set_is_asked_for_again_after_a_quarter_of_an_hour() -> None:
    async def scenario(issuer: Issuer) -> None:
        keys = issuer.keys()
        await keys.for_kid(None)
        issuer.reply = answer(jwks(TWO))
        issuer.now += 899
        assert await kids(keys) == ["one"]
        issuer.now += 1
        assert await kids(keys) == ["two"]

    play(scenario)


BAD = {
    "fault": answer(b"", "500 Internal Server Error"),
    "redirect": answer(b"", "302 Found", "location: http://127.0.0.1:1/"),
    "no JSON": answer(b"<html>"),
    "no set": answer(b'{"keys": 1}'),
    "too large": answer(b" " * (BYTES_MAX + 1) + jwks(TWO)),
    "too many": answer(json.dumps({"keys": [TWO.to_jwk() | {"kid": str(each)} for each in range(101)]}).encode()),
    "compressed": answer(jwks(TWO), "200 OK", "content-encoding: gzip"),
    "symmetric": answer(json.dumps({"keys": [OctKey(bytes(range(32))).to_jwk(private=True)]}).encode()),
    "mixed": answer(json.dumps({"keys": [TWO.to_jwk(), OctKey(bytes(range(32))).to_jwk(private=True)]}).encode()),
    "cut short": answer(jwks(TWO))[:-5],
    "no HTTP": b"hello\r\n\r\n",
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_the_last_good_set_outlives_a_bad_answer_and_without_one_there_are_no_keys(bad: bytes) -> None:
    async def scenario(issuer: Issuer) -> None:
        keys, fresh = issuer.keys(), issuer.keys()
        await keys.for_kid("one")
        issuer.reply = bad
        issuer.now += 10_000
        assert await kids(keys, "one") == ["one"]
        asked = len(issuer.heads)
        assert await kids(keys, "one") == ["one"]
        with pytest.raises(RemoteKeysError):  # who knows whether there is such a key by now?
            await keys.for_kid("two")
        assert len(issuer.heads) == asked
        for _ in range(3):
            with pytest.raises(RemoteKeysError):
                await fresh.for_kid("one")
        assert len(issuer.heads) == asked + 1
        issuer.reply = answer(jwks(TWO))
        issuer.now += 5
        assert await kids(keys, "two") == await kids(fresh, "two") == ["two"]

    play(scenario)


def test_an_issuer_that_is_too_slow_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(issuer: Issuer) -> None:
        monkeypatch.setattr("frontdesk.verifier.remote_keys.SECONDS_MAX", 0.05)
        issuer.gate.clear()
        with pytest.raises(RemoteKeysError) as caught:
            await issuer.keys().for_kid(None)
        assert "TimeoutError" in caught.value.detail
        issuer.gate.set()

    play(scenario)


def test_the_connection_goes_to_the_address_that_was_looked_at_under_the_name_of_the_host() -> None:
    async def scenario(issuer: Issuer) -> None:
        asked: list[str] = []

        async def resolve(host: str, port: int) -> Sequence[str]:
            asked.append(host)
            return ("127.0.0.1",)

        url = f"http://localhost:{issuer.port}/jwks.json"
        assert await kids(RemoteKeys(url, resolve=resolve)) == ["one"]
        assert asked == ["localhost"]
        assert f"host: localhost:{issuer.port}" in issuer.heads[0].lower()

    play(scenario)


PRIVATE = (
    *("10.0.0.1", "172.16.0.1", "192.168.1.1", "127.0.0.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "224.0.0.1"),
    *("::1", "::", "fe80::1", "fc00::1", "ff02::1", "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::a9fe:a9fe"),
    *("240.0.0.1", "255.255.255.255", "fe80::1%eth0", "2001:db8::1"),
    *("fec0::1", "64:ff9b:1:808:a9fe:a9fe:808:808", "3fff::1", "192.0.0.8", "192.88.99.1"),
)


@pytest.mark.parametrize("address", PRIVATE)
@pytest.mark.parametrize("beside", [(), ("93.184.215.14",)])
def test_a_name_with_a_private_address_is_never_connected_to(address: str, beside: tuple[str, ...]) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return (*beside, address)

    async def scenario() -> None:
        with pytest.raises(RemoteKeysError) as caught:
            await RemoteKeys("https://desk.example/jwks.json", resolve=resolve).for_kid(None)
        assert "is not a public address" in caught.value.detail

    asyncio.run(scenario())


OWN = ("10.0.0.1", "172.16.0.1", "192.168.1.1", "127.0.0.1", "100.64.0.1", "::1", "fc00::1", "::ffff:10.0.0.1")


@pytest.mark.parametrize("address", PRIVATE)
def test_ones_own_issuer_may_stand_in_a_private_network_and_nowhere_else(address: str) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return (address,)

    async def scenario() -> None:
        remote = RemoteKeys("https://desk.internal:1/jwks.json", private_network=True, resolve=resolve)
        if address in OWN:
            assert await remote._address() == address
            return
        with pytest.raises(RemoteKeysError, match="is not a public address"):
            await remote._address()

    asyncio.run(scenario())


def test_keys_that_are_known_to_have_changed_are_asked_for_at_once() -> None:
    async def scenario(issuer: Issuer) -> None:
        keys = issuer.keys()
        assert keys.current() is None
        await keys.for_kid("one")
        held = keys.current()
        assert held is not None
        issuer.reply = answer(jwks(TWO))
        keys.expire()
        assert keys.current() is None
        assert await kids(keys, "two") == ["two"]
        issuer.reply = answer(b"", "500 Internal Server Error")
        keys.expire()
        assert await kids(keys, "two") == ["two"], "the last good set stays"
        assert keys.current() is not None, "and nobody is asked again so soon"

    play(scenario)


def test_a_fetch_that_was_left_in_an_event_loop_that_is_gone_holds_nobody_up() -> None:
    async def scenario(issuer: Issuer) -> None:
        keys = issuer.keys()
        issuer.gate.clear()

        async def give_up() -> None:
            fetch = asyncio.create_task(keys.for_kid("one"))
            await asyncio.sleep(0)
            fetch.cancel()

        await asyncio.to_thread(lambda: asyncio.run(give_up()))
        issuer.gate.set()
        issuer.now += 60
        assert await kids(keys, "one") == ["one"]

    play(scenario)


def test_loopback_means_loopback() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return ("93.184.215.14",)

    async def scenario() -> None:
        with pytest.raises(RemoteKeysError) as caught:
            await RemoteKeys("http://localhost/jwks.json", resolve=resolve).for_kid(None)
        assert "is not on loopback" in caught.value.detail

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "url",
    [
        "",
        "desk.example",
        "http://desk.example/",
        "ftp://127.0.0.1/",
        "https://",
        "https://a:b@desk.example/",
        "file:///x",
    ],
)
def test_an_address_that_is_not_https_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        RemoteKeys(url)


def certificate(directory: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context with a certificate for `name`, and a client's that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, SHA256())
    )
    pem = directory / "server.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem.write_bytes(private + built.public_bytes(Encoding.PEM))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    return server, ssl.create_default_context(cadata=built.public_bytes(Encoding.PEM).decode())


@pytest.mark.parametrize(("name", "good"), [("localhost", True), ("other.example", False)])
def test_a_certificate_counts_for_the_name_of_the_host_and_not_for_its_address(
    tmp_path: Path, name: str, good: bool
) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return ("127.0.0.1",)

    async def scenario() -> None:
        issuer = Issuer()
        serving, trusting = certificate(tmp_path, name)
        server = await asyncio.start_server(issuer.serve, "127.0.0.1", 0, ssl=serving)
        url = f"https://localhost:{server.sockets[0].getsockname()[1]}/"
        remote = RemoteKeys(url, resolve=resolve, tls=trusting)
        try:
            if good:
                assert await kids(remote) == ["one"]
            else:
                with pytest.raises(RemoteKeysError) as caught:
                    await remote.for_kid(None)
                assert "CERTIFICATE_VERIFY_FAILED" in caught.value.detail
                assert issuer.heads == []
        finally:
            server.close()
            await server.wait_closed()

    asyncio.run(scenario())
