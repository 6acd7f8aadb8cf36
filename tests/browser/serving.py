"""The real server in a thread, with a clock that is moved by hand; and a server that belongs to somebody else."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import html
import socket
import ssl
import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import msgspec
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from frontdesk.adapters.messages import Receive, Scope, Send
from frontdesk.clock import AdjustableClock
from frontdesk.server.app import Application
from frontdesk.server.settings import ServerSettings

NAMES = ("desk.test", "sub.desk.test", "evil.test")
_STOPPING = 10.0  # seconds until a thread that does not end is a failure


class Certificate(msgspec.Struct, frozen=True):
    """A key and a certificate that last as long as the tests. `fingerprint` is the SHA-256 of the public key."""

    file: Path
    fingerprint: str

    @classmethod
    def make(cls, directory: Path) -> Certificate:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAMES[0])])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in NAMES]), critical=False)
            .sign(key, hashes.SHA256())
        )
        file = directory / "desk.pem"
        pem = serialization.Encoding.PEM
        private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        file.write_bytes(private + certificate.public_bytes(pem))
        public = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return cls(file, base64.b64encode(hashlib.sha256(public).digest()).decode())


class Served:
    """The server over SQLite, from the moment it is entered. Requests wait in the socket until it has started."""

    def __init__(self, directory: Path, *, certificate: Certificate | None = None, host: str = "localhost") -> None:
        self.clock = AdjustableClock()
        self.cookie_headers: list[bytes] = []
        """Every Cookie header that arrived, as it arrived."""
        self._socket = _listening()
        self.port = int(self._socket.getsockname()[1])
        scheme = "https" if certificate else "http"
        self.origin = f"{scheme}://{host}:{self.port}"
        settings = ServerSettings(
            store=f"sqlite:///{directory / 'desk.db'}",
            base_url=self.origin if certificate else "",
            hosts=(host,),
            hashing="small",
        )
        self._application = Application(settings, clock=self.clock)
        self._server = uvicorn.Server(
            uvicorn.Config(
                self._listen_in,
                interface="asgi3",
                lifespan="on",
                ws="none",
                proxy_headers=False,
                server_header=False,
                access_log=False,
                log_config=None,
                timeout_graceful_shutdown=2,
                ssl_certfile=certificate.file if certificate else None,
            )
        )
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(_STOPPING)
        self._socket.close()
        assert not self._thread.is_alive()

    def devices_of(self, email: str) -> int:
        """On how many devices an account is signed in, by the record."""
        loop = self._loop
        assert loop is not None
        return asyncio.run_coroutine_threadsafe(self._count(email), loop).result(_STOPPING)

    async def _count(self, email: str) -> int:
        account = await self._application.desk.accounts.by_email(email)
        assert account is not None
        return len(await self._application.desk.sessions(account.id))

    async def _listen_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._loop = asyncio.get_running_loop()
        self.cookie_headers += [value for name, value in scope.get("headers", ()) if name == b"cookie"]
        await self._application(scope, receive, send)


class Elsewhere:
    """A server under whatever name, whose pages the tests write: `planted` headers, and a form to another place."""

    def __init__(self, certificate: Certificate) -> None:
        self.planted: list[bytes] = []
        """Values of the Set-Cookie headers of every answer, sent byte for byte."""
        self.page = b""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.port = int(self._server.server_address[1])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.file)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(_STOPPING)
        self._server.server_close()
        assert not self._thread.is_alive()

    def address(self, host: str) -> str:
        return f"https://{host}:{self.port}/"

    def offer_form(self, action: str, fields: Mapping[str, str]) -> None:
        """From now on every page holds this form, and a button that sends it."""
        inputs = "".join(
            f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
            for name, value in fields.items()
        )
        self.page = f'<form method="post" action="{html.escape(action)}">{inputs}<button>Win</button></form>'.encode()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        elsewhere = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                cookies = b"".join(b"Set-Cookie: " + value + b"\r\n" for value in elsewhere.planted)
                head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: %d\r\n"
                self.close_connection = True
                self.wfile.write(head % len(elsewhere.page) + cookies + b"\r\n" + elsewhere.page)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
                """Say nothing."""

        return Handler


def _listening() -> socket.socket:
    made = socket.create_server(("127.0.0.1", 0))
    made.listen(64)
    return made
