"""A service without a desk, as a process that nodes start: `python service.py`, told by its environment.

It answers checks like a desk, at the same path, so that the same clients come to both.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import MutableMapping
from datetime import timedelta
from typing import Any

import uvicorn

from frontdesk.asgi import VerifierMiddleware, principal
from frontdesk.verifier import Verifier


async def answer(send: Any, status: int, body: object) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})


def application(bound: timedelta) -> Any:
    verifier = Verifier(
        issuer=os.environ["ISSUER"],
        desk_url=os.environ["DESK_URL"],
        credential=os.environ["CREDENTIAL"],
        max_staleness=bound,
    )

    async def serve(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["path"] == "/healthz":
            lag = verifier.lag
            well = lag is not None and lag <= bound.total_seconds()
            await answer(send, 200 if well else 503, {"lag": lag})
        else:
            await answer(send, 200, {"subject": principal(scope).subject})

    return VerifierMiddleware(serve, verifier=verifier)


async def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    bound = timedelta(seconds=float(os.environ["BOUND"]))
    config = uvicorn.Config(
        application(bound), host=os.environ["HOST"], port=int(os.environ["PORT"]), log_config=None, access_log=False
    )
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    asyncio.run(main())
