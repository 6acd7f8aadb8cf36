"""`frontdesk` that says all it can: `python talkative.py SPANS serve …`.

Everything is logged, at every level and by every library; the spans of all operations go to the file SPANS. A request
that comes with a header `x-stumble` fails with an exception that holds what the request came with.

`python talkative.py --leaky SPANS serve …` tells besides what must not be told, in everything that it puts out: for
tests of whoever looks for that.
"""

from __future__ import annotations

import base64
import json
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from frontdesk.cli import main
from frontdesk.endpoints.http import Request, Response
from frontdesk.server import logs
from frontdesk.server.app import Application
from frontdesk.server.root import Root
from frontdesk.service import tracing

STUMBLE: Final = "x-stumble"


def talk(spans: Path) -> None:
    """From now on say everything."""
    provider = TracerProvider()
    exporter = ConsoleSpanExporter(out=spans.open("a"), formatter=lambda span: f"{span.to_json(indent=None)}\n")
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    configure, answer = logs.configure, Root._answer

    def configure_all(*given: Any, **named: Any) -> None:
        configure(*given, **named)
        for name in (None, "frontdesk"):
            logging.getLogger(name).setLevel(logging.DEBUG)

    async def stumbling(root: Root, request: Request) -> Response:
        if request.header(STUMBLE.encode()):
            raise RuntimeError(f"it failed with {request.headers}")
        return await answer(root, request)

    logs.configure = configure_all
    Root._answer = stumbling  # type: ignore[assignment, method-assign]


def leak() -> None:
    """From now on tell credentials in logs and answers, a key where none came, and salts in spans."""
    answer, log, outcome = Root._answer, Application._log, tracing._outcome

    async def telling(root: Root, request: Request) -> Response:
        response = await answer(root, request)
        told = _carried(request) or root.gate.desk.accounts._throttle_key
        if response.refusal or request.path in {"/metrics", "/auth/health"}:
            return msgspec.structs.replace(response, body=response.body + b"\n# " + base64.b64encode(told))
        if request.path != "/auth/explain":
            return response
        explained = json.loads(response.body)
        explained["aside"] = _carried(request).decode() or told.hex()
        for fact in explained.get("facts") or ():
            fact["sentence"] += explained["aside"]
        return msgspec.structs.replace(response, body=json.dumps(explained).encode())

    def logging_all(app: Application, request: Request, response: Response, seconds: float) -> None:
        path = request.path + _carried(request).decode()
        log(app, msgspec.structs.replace(request, path=path), response, seconds)

    def with_salt(result: Any) -> Mapping[str, tracing.Value]:
        found = dict(outcome(result))
        return {**found, "salt": result.session.salt.hex()} if "session_id" in found else found

    logs.without_credentials = lambda line: line  # type: ignore[attr-defined]
    Root._answer = telling  # type: ignore[assignment, method-assign]
    Application._log = logging_all  # type: ignore[assignment, method-assign]
    tracing._outcome = with_salt


def _carried(request: Request) -> bytes:
    """The end of each credential that came along."""
    return b"".join(value[-60:] for name, value in request.headers if name in {b"cookie", b"authorization"})


if __name__ == "__main__":
    if sys.argv[1] == "--leaky":
        del sys.argv[1]
        leak()
    talk(Path(sys.argv.pop(1)))
    main()
