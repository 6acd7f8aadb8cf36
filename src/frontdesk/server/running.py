"""Running the server: the socket, the first look at the store, uvicorn with one process or several."""

from __future__ import annotations

import asyncio
import errno
import functools
import os
import signal
import socket
from types import FrameType
from typing import Final, NoReturn

import uvicorn
from uvicorn.supervisors import Multiprocess

from frontdesk.errors import ConfigurationError
from frontdesk.server.app import Application, build_server_desk
from frontdesk.server.settings import ServerSettings

_BACKLOG: Final = 2048


def run(settings: ServerSettings) -> None:
    """Serve until SIGTERM or SIGINT. ConfigurationError or StoreError when it cannot start."""
    with listen(settings) as listener:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _leave)
        asyncio.run(prepare(settings))
        config = uvicorn_config(settings)
        if settings.workers > 1:
            Multiprocess(config, sockets=[listener]).run()
        else:
            uvicorn.Server(config).run(sockets=[listener])


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    # uvicorn raises the signal again once it has shut down; a shutdown that went well is exit status 0.
    raise SystemExit(0)


async def prepare(settings: ServerSettings) -> None:
    """Open the store once before anybody is served: creates file and key, finds what is wrong while it can be told."""
    desk = build_server_desk(settings)
    try:
        await desk.open()
    finally:
        await desk.close()


def listen(settings: ServerSettings) -> socket.socket:
    """The listening socket, which several workers share."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        # Two sockets may bind one free port; only one of them may listen.
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigurationError(_why_not(error, settings)) from None
    listener.set_inheritable(True)
    return listener


def _why_not(error: OSError, settings: ServerSettings) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {settings.port} on {settings.host} is in use; end what uses it or choose another with --port"
    if error.errno == errno.EACCES:
        return f"port {settings.port} is not open to this user; choose one above 1023 with --port"
    reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
    return f"cannot listen on {settings.host}: {reason}; choose another with --host"


def uvicorn_config(settings: ServerSettings) -> uvicorn.Config:
    """How uvicorn is run. It trusts no X-Forwarded header: `trusted_proxies` decides, and only about addresses."""
    return uvicorn.Config(
        functools.partial(Application, settings),
        factory=True,
        workers=settings.workers,
        lifespan="on",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        limit_concurrency=settings.limit_concurrency or None,
        timeout_graceful_shutdown=int(settings.shutdown_timeout.total_seconds()),
        backlog=_BACKLOG,
    )
