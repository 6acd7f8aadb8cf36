"""Where printed configurations run: stores, a provider that signs by another library, a desk on a port."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import httpx
import jwt as pyjwt
import uvicorn
from cryptography.hazmat.primitives.asymmetric import ec

PATIENCE = 10.0
"""Seconds until what does not happen is a failure."""

AUDIENCE = "orders"


class Provider:
    """An identity provider: publishes one key, signs with PyJWT, and knows nothing of Frontdesk."""

    def __init__(self) -> None:
        self._kid = 0
        self.change_key()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.issuer = "https://idp.example/realms/shop"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(PATIENCE)
        self._server.server_close()

    @property
    def environ(self) -> dict[str, str]:
        """What the printed module reads."""
        url = f"http://127.0.0.1:{self._server.server_address[1]}/keys"
        return {"IDP_ISSUER": self.issuer, "IDP_JWKS_URL": url, "IDP_AUDIENCE": AUDIENCE}

    def token(
        self, subject: str = "alice", *, lives: timedelta = timedelta(minutes=5), typ: str = "at+jwt", **claims: str
    ) -> str:
        now = datetime.now(UTC)
        members = {"iss": self.issuer, "aud": AUDIENCE, "sub": subject, "iat": now, "exp": now + lives, **claims}
        return pyjwt.encode(members, self._key, algorithm="ES256", headers={"kid": str(self._kid), "typ": typ})

    def change_key(self) -> None:
        """Sign with another key from now on, and publish that one alone."""
        self._kid += 1
        self._key = ec.generate_private_key(ec.SECP256R1())
        public: dict[str, Any] = json.loads(pyjwt.algorithms.ECAlgorithm.to_jwk(self._key.public_key()))
        self._keys = json.dumps({"keys": [{**public, "kid": str(self._kid), "alg": "ES256", "use": "sig"}]}).encode()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(provider._keys)))
                self.end_headers()
                self.wfile.write(provider._keys)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
                """Say nothing."""

        return Handler


@contextmanager
def port() -> Iterator[socket.socket]:
    """A listening socket on a free port of loopback: requests wait there until somebody serves them."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        made.listen(16)
        yield made


@contextmanager
def hosted(app: Any, listening: socket.socket) -> Iterator[None]:
    """An application under uvicorn, in a thread."""
    config = uvicorn.Config(
        app,
        lifespan="on",
        ws="none",
        proxy_headers=False,
        access_log=False,
        log_config=None,
        # A service that follows the log leaves a long poll open.
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
        assert not thread.is_alive()


class Browser:
    """A client of a desk on loopback that keeps Secure cookies, as browsers do there and httpx does not.

    origin: of the page, where that is not the desk's.
    """

    def __init__(self, base: str, *, origin: str = "") -> None:
        self.base = base
        self.origin = origin or base
        self.cookies: dict[str, str] = {}
        self.token = ""

    def headers(self) -> dict[str, str]:
        """What goes along with the next request."""
        headers = {"origin": self.origin}
        if self.cookies:
            headers["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        return headers

    def post(self, path: str, content: Mapping[str, str] | None = None) -> httpx.Response:
        """Send, and keep what comes."""
        url = self.base + path
        response = httpx.post(url, json=content, headers=self.headers(), timeout=PATIENCE, trust_env=False)
        for line in response.headers.get_list("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value
        return response

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.base + path, headers=self.headers(), timeout=PATIENCE, trust_env=False)


def run(coroutine: Any) -> Any:
    """Run to the end in a loop of its own."""
    return asyncio.run(coroutine)
