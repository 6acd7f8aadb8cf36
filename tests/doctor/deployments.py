"""The recommended deployment of docs/deployment.md, for real: its settings, a server, a proxy that ends TLS."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import secrets
import shutil
import ssl
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from typer.testing import CliRunner

from frontdesk.cli.commands import app
from frontdesk.clock import AdjustableClock
from frontdesk.server.app import build_server_desk
from frontdesk.server.settings import ServerSettings
from tests.cli.transcript import ENVIRON
from tests.requirements import ROOT
from tests.server.processes import Server
from tests.servers.spawning import free_port

HOST = "desk.example"
URL = f"https://{HOST}"

_PAGE = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
_SETTINGS = re.compile(r"```toml\n(# /etc/frontdesk/frontdesk.toml\n.*?)```", re.DOTALL)

Headers = list[tuple[str, str]]


def documented_settings() -> str:
    """The settings as the page prints them."""
    found = _SETTINGS.search(_PAGE)
    assert found is not None
    return found.group(1)


class Deployment:
    """Directories with the modes that the page gives them, its settings, and a store that was made just now."""

    def __init__(self, directory: Path, *, template: Path | None = None) -> None:
        self.etc, self.var = directory / "etc", directory / "var"
        for each in (self.etc, self.var):
            each.mkdir(mode=0o700)
        self.secret = secrets.token_urlsafe(32)
        self.config = self.etc / "frontdesk.toml"
        self.database = self.var / "desk.db"
        text = documented_settings()
        assert "/var/lib/frontdesk" in text
        assert "THE SECRET" in text
        self.write(text.replace("/var/lib/frontdesk", str(self.var)).replace("THE SECRET", self.secret))
        if template is not None:
            shutil.copy(template, self.database)
            self.database.chmod(0o600)

    def write(self, text: str) -> None:
        self.config.write_text(text)
        self.config.chmod(0o600)

    def set(self, **changed: str | None) -> None:
        """Settings as TOML writes their values; None takes one out."""
        lines = [line for line in self.config.read_text().splitlines() if line.partition(" ")[0] not in changed]
        lines += [f"{name} = {value}" for name, value in changed.items() if value is not None]
        self.write("\n".join(lines) + "\n")

    def make_store(self, *, clock: AdjustableClock | None = None, secret: str = "") -> None:
        """Open and close the store, by default under a secret of the test's own, with keys as old as the clock says."""
        settings = ServerSettings(
            store=f"sqlite:///{self.database}",
            secret=(secret or secrets.token_urlsafe(32),),
            hashing="small",
        )
        desk = build_server_desk(settings, clock=clock)

        async def begin() -> None:
            await desk.open()
            await desk.close()

        asyncio.run(begin())

    def doctor(self, *words: str, status: int | None = None) -> list[str]:
        """The codes of what `frontdesk doctor` finds, and of what it cannot look at the subjects."""
        return codes(run("--config", str(self.config), *words, status=status))


def run(*words: str, status: int | None = None, environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The document that `frontdesk doctor --json` prints."""
    result = CliRunner().invoke(app, ["doctor", "--json", *words], env={**_BARE, **(environ or {})})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert status in {None, result.exit_code}, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def text_of(*words: str) -> tuple[str, int]:
    """What `frontdesk doctor` prints for people, and its exit status."""
    result = CliRunner().invoke(app, ["doctor", *words], env=_BARE)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout + result.stderr, result.exit_code


def codes(document: Mapping[str, Any]) -> list[str]:
    """What was found, and what could not be looked at."""
    missed = [f"unseen {each['subject']}" for each in document["unseen"]]
    return [each["code"] for each in document["findings"]] + missed


_BARE = {name: value for name, value in ENVIRON.items() if not name.startswith("FRONTDESK_")}


# --- TLS ------------------------------------------------------------------------------------------------------------


class Authority:
    """A certificate authority of the test's own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "An authority of the tests")])
        now = datetime.now(UTC)
        certificate = (
            self._begun(self._name, self._key.public_key(), now - timedelta(days=900), now + timedelta(days=900))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.file = directory / "authority.pem"
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def context(self, *, ends_in: timedelta = timedelta(days=90), old: bool = False) -> ssl.SSLContext:
        """The server's side of TLS for desk.example. old: it speaks what came before TLS 1.2 as well."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.issued(ends_in))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if old:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                context.set_ciphers("ALL:@SECLEVEL=0")
                context.minimum_version = ssl.TLSVersion.TLSv1
        return context

    def issued(self, ends_in: timedelta = timedelta(days=90)) -> Path:
        """A file with a new key, of mode 0600, and a certificate for desk.example."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
        certificate = (
            self._begun(name, key.public_key(), now + ends_in - timedelta(days=90), now + ends_in)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        file = self._directory / f"{secrets.token_hex(4)}.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        file.chmod(0o600)
        return file

    def _begun(
        self, name: x509.Name, key: ec.EllipticCurvePublicKey, begins: datetime, ends: datetime
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(ends)
        )


# --- the proxy ------------------------------------------------------------------------------------------------------


@dataclass
class Manners:
    """How a proxy behaves. The defaults are what docs/deployment.md asks of one.

    host: what it passes on as Host, None for what came. drops and adds: headers of answers. pages: paths that it
    answers by itself: status, headers, body. echoes_origin: it answers each Origin with permission. tls: None for http.
    redirects: it leads everything to https.
    """

    upstream: int
    tls: ssl.SSLContext | None = None
    redirects: bool = False
    host: str | None = None
    drops: frozenset[str] = frozenset()
    adds: Headers = field(default_factory=list)
    pages: Mapping[str, tuple[int, Headers, bytes]] = field(default_factory=dict)
    echoes_origin: bool = False


@contextmanager
def proxying(manners: Manners) -> Iterator[int]:
    """A proxy on a free port of 127.0.0.1, which is given."""
    server = _Proxy(("127.0.0.1", 0), _handler(manners))
    server.tls = manners.tls
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Proxy(ThreadingHTTPServer):
    daemon_threads = False
    tls: ssl.SSLContext | None = None

    def finish_request(self, request: Any, client_address: Any) -> None:
        # The handshake belongs to the thread of the connection: a silent client must not keep others waiting.
        request.settimeout(30)
        if self.tls is None:
            super().finish_request(request, client_address)
            return
        try:
            line = self.tls.wrap_socket(request, server_side=True)
        except OSError:
            return  # a client that does not trust us, or speaks only what is too old
        try:
            super().finish_request(line, client_address)
        finally:
            line.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is not worth a word."""


def _handler(manners: Manners) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"

        def do_GET(self) -> None:
            if manners.redirects:
                self._send(308, [("Location", f"https://{self.headers['Host']}{self.path}")], b"")
            elif self.path in manners.pages:
                self._send(*manners.pages[self.path])
            else:
                self._pass_on()

        def do_POST(self) -> None:
            self.do_GET()

        def _pass_on(self) -> None:
            connection = http.client.HTTPConnection("127.0.0.1", manners.upstream, timeout=30)
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            headers |= {"connection": "close", "x-forwarded-for": self.client_address[0]}
            if manners.host is not None:
                headers["host"] = manners.host
            try:
                connection.request(self.command, self.path, body or None, headers)
                with connection.getresponse() as response:
                    content = response.read()
                    kept = [pair for pair in response.getheaders() if pair[0].lower() not in {*_HOP, *manners.drops}]
                self._send(response.status, kept, content)
            finally:
                connection.close()

        def _send(self, status: int, headers: Sequence[tuple[str, str]], content: bytes) -> None:
            self.send_response_only(status)
            for name, value in (*headers, *manners.adds, *self._permission()):
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _permission(self) -> Headers:
            origin = self.headers.get("origin")
            if origin is None or not manners.echoes_origin:
                return []
            return [("Access-Control-Allow-Origin", origin), ("Access-Control-Allow-Credentials", "true")]

        def log_message(self, *args: Any) -> None:
            """Nobody reads it."""

    return Handler


_HOP = frozenset({"content-length", "connection", "transfer-encoding"})


# --- all of it ------------------------------------------------------------------------------------------------------


@dataclass
class Site:
    """A deployment whose server runs."""

    deployment: Deployment
    server: Server
    authority: Authority

    def doctor(self, *words: str, status: int | None = None, plain: Manners | None = None, **manners: Any) -> list[str]:
        """The codes of what the doctor finds behind a proxy with these manners. plain: how the one for http behaves."""
        return codes(self.document(*words, status=status, plain=plain, **manners))

    def document(
        self, *words: str, status: int | None = None, plain: Manners | None = None, **manners: Any
    ) -> dict[str, Any]:
        with self.reached(plain, **manners) as ways:
            return run("--config", str(self.deployment.config), *ways, *words, status=status)

    @contextmanager
    def reached(self, plain: Manners | None = None, **manners: Any) -> Iterator[Sequence[str]]:
        """The words of the command that lead to the deployment."""
        secure = Manners(**{"upstream": self.server.port, "tls": self.authority.context(), **manners})
        with ExitStack() as stack:
            https = stack.enter_context(proxying(secure))
            http = stack.enter_context(proxying(plain or Manners(self.server.port, redirects=True)))
            yield (
                *("--url", URL, "--ca-file", str(self.authority.file)),
                *("--connect", f"443=127.0.0.1:{https}", "--connect", f"80=127.0.0.1:{http}"),
            )


@contextmanager
def running(directory: Path, authority: Authority, *flags: str, **settings: str | None) -> Iterator[Site]:
    """The recommended deployment with its server started, and these settings changed."""
    deployment = Deployment(directory)
    deployment.set(**settings)
    with _Listening(deployment.var, "--config", str(deployment.config), *flags) as server:
        yield Site(deployment, server, authority)


class _Listening(Server):
    """A server with a base URL announces that; its port is what the tests have chosen."""

    def __init__(self, directory: Path, *flags: str) -> None:
        self._chosen = free_port()
        super().__init__(directory, *flags, "--port", str(self._chosen))

    def __enter__(self) -> Self:
        super().__enter__()
        self.url = f"http://127.0.0.1:{self._chosen}"
        return self
