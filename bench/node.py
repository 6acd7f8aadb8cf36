"""One of several processes that serve: a whole ASGI application with a desk or a verifier in front, told what to do by
lines of JSON on its standard input. `bench.revocation` starts eight of them.

Requests are made to the application inside the process, through all that a request passes behind the web server, so
that eight processes fit on two cores and a refusal is seen by the one that makes it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, Final

from frontdesk.asgi import Frontdesk, principal
from frontdesk.core.passwords import PROFILES
from frontdesk.service.authenticate import Authenticated
from frontdesk.service.sign_in import Grant, Signed, SignInOptions

PAUSE_SECONDS: Final = 0.003
"""Between two looks: less than this is added to the time until a node is seen to refuse. Shorter, eight nodes that look
would keep both cores busy by themselves."""
_LOOKS: Final = 20_000


async def answering(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
    """An application that asks who is there."""
    principal(scope)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


class Node:
    """The application, and what it is told to do."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def status(self, token: str, method: str = "GET", path: str = "/") -> int:
        """The status of one request with a bearer token."""
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [(b"host", b"localhost"), (b"authorization", b"Bearer " + token.encode())],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        found: list[int] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                found.append(message["status"])

        await self.app(scope, receive, send)
        return found[0]

    async def watch(self, token: str) -> dict[str, Any]:
        """Ask until refused; when the request that was refused began, and how many were let in before."""
        for looks in range(_LOOKS):
            began = time.monotonic()
            status = await self.status(token)
            if status == 401:
                return {"refused": began, "answered": time.monotonic(), "looks": looks}
            if status != 200:
                return {"failed": status}
            await asyncio.sleep(PAUSE_SECONDS)
        return {"failed": "never refused"}

    async def revoke(self, token: str) -> dict[str, Any]:
        """Sign out by the API; when that began and when it was acknowledged."""
        began = time.monotonic()
        status = await self.status(token, "POST", "/auth/logout")
        return {"began": began, "acknowledged": time.monotonic(), "status": status}

    async def check_cost(self, token: str) -> dict[str, Any]:
        """Microseconds of one request that is answered from what the process holds: the best of some rounds."""
        await self.status(token)
        best = float("inf")
        for _ in range(7):
            began = time.perf_counter()
            for _ in range(2000):
                await self.status(token)
            best = min(best, time.perf_counter() - began)
        return {"microseconds": best / 2000 * 1e6}


def resident_kib() -> int:
    """Resident memory of this process."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


async def _obey(node: Node, front: Frontdesk | None, command: dict[str, Any]) -> dict[str, Any]:
    what, token = command["do"], command.get("token", "")
    if what == "watch":
        return await node.watch(token)
    if what == "revoke":
        return await node.revoke(token)
    if what == "cost":
        return await node.check_cost(token)
    if what == "see":
        return {"status": await node.status(token)}
    if what == "memory":
        return {"kib": resident_kib()}
    assert front is not None
    if what == "decide":
        began = time.perf_counter()
        for _ in range(20_000):
            assert isinstance(front.desk.authenticate_now(token.encode(), "bearer"), Authenticated)
        return {"microseconds": (time.perf_counter() - began) / 20_000 * 1e6}
    options = SignInOptions(credential=command["credential"], transport="bearer")
    signed = await front.desk.sign_in(Grant(subject=command["subject"]), options=options)
    assert isinstance(signed, Signed)
    text = signed.session_token or (signed.access_token.text if signed.access_token else "")
    return {"token": text, "session": signed.session.id}


def _build(options: argparse.Namespace) -> tuple[Any, Frontdesk | None]:
    if options.store:
        front = Frontdesk(options.store, secret=options.secret, hashing=PROFILES["small"], base_url=options.issuer)
        return front.wrap(answering), front
    from frontdesk.asgi import VerifierMiddleware  # noqa: PLC0415 - not where a desk is measured
    from frontdesk.verifier import Verifier  # noqa: PLC0415

    verifier = Verifier(issuer=options.issuer, credential=options.credential)
    return VerifierMiddleware(answering, verifier=verifier), None


async def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("store", "secret", "issuer", "credential"):
        parser.add_argument(f"--{name}", default="")
    app, front = _build(parser.parse_args())
    node = Node(app)
    if front is not None:
        await front.open()
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(await _obey(node, front, json.loads(line))), flush=True)
    if front is not None:
        await front.close()


if __name__ == "__main__":
    asyncio.run(main())
