"""Running the server: the socket, a first look at the store, uvicorn with one process or several."""

from __future__ import annotations

import asyncio
import errno
import functools
import logging
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import closing
from types import FrameType
from typing import Final

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from frontdesk.errors import ConfigurationError
from frontdesk.server import logs
from frontdesk.server.app import Application, build_server_desk
from frontdesk.server.bounded import BoundedHttp
from frontdesk.server.files import StoreFiles
from frontdesk.server.metrics import COLUMNS
from frontdesk.server.settings import ServerSettings
from frontdesk.server.tally import Tally

_BACKLOG: Final = 2048
_LEAVING: Final = (signal.SIGTERM, signal.SIGINT)

_logger = logging.getLogger("frontdesk.server")


class _Server(uvicorn.Server):
    """uvicorn's server, which speaks up once connections are accepted and SIGTERM is its own to handle."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            self._announce()


class _Supervisor(Multiprocess):
    """uvicorn's supervisor; its handlers of signals, which only write them down, are in place from the beginning."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket], announce: Callable[[], None]) -> None:
        super().__init__(config, sockets)
        self._announce = announce

    @property
    def is_told_to_leave(self) -> bool:
        """Whether a signal to leave has come in and waits to be handled."""
        return any(number in self.signal_queue for number in _LEAVING)

    def init_processes(self) -> None:
        # The socket listens already: connections wait in its queue until the first worker takes them.
        super().init_processes()
        self._announce()

    def keep_subprocess_alive(self) -> None:
        # Held by its worker alone, the far end of a pipe closes with it. Else a worker that ends when it was just asked
        # whether it lives is waited for as long as one that is starved, and signals with it.
        for process in self.processes:
            process.child_conn.close()
        super().keep_subprocess_alive()


def run(settings: ServerSettings) -> int:
    """Serve until SIGTERM or SIGINT; the exit status. ConfigurationError or StoreError when it cannot start."""
    logs.configure(settings.log_format, dev=settings.dev)
    with listen(settings) as listener:
        announce = functools.partial(_announce, settings, listener, StoreFiles(settings))
        if settings.workers == 1:
            return _run_alone(settings, _Server(uvicorn_config(settings), announce), listener)
        with closing(Tally.shared(COLUMNS)) as tally:
            config = uvicorn_config(settings, tally)
            return _run_workers(settings, _Supervisor(config, [listener], announce))


def _run_alone(settings: ServerSettings, server: _Server, listener: socket.socket) -> int:
    def leave(_number: int, _frame: FrameType | None) -> None:
        # Nothing is raised: that would come up wherever the main thread happens to be, in the event loop too.
        server.should_exit = True

    # uvicorn puts handlers of its own in their place and, when it has shut down, raises the signal once more for
    # these. A shutdown that went well is exit status 0.
    for number in _LEAVING:
        signal.signal(number, leave)
    asyncio.run(prepare(settings))
    if not server.should_exit:
        server.run(sockets=[listener])
    return 0


def _run_workers(settings: ServerSettings, supervisor: _Supervisor) -> int:
    asyncio.run(prepare(settings))
    if supervisor.is_told_to_leave:
        return 0
    supervisor.run()
    return 1 if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes) else 0


async def prepare(settings: ServerSettings) -> None:
    """Open the store once before anybody is served; in development mode it is brought up to date first.

    Creates database and key file, so that workers meet them complete, and finds what is wrong while one sentence can
    still say it. Closed again: what is open must not pass to another process.
    """
    desk = build_server_desk(settings)
    try:
        if settings.dev:
            steps = await desk.store.migrate()
            if steps:
                _logger.info("the store was brought up to date: %s", ", ".join(steps))
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
        # Two sockets may be bound to one port as long as neither listens; only one of them may.
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigurationError(_why_not(error, settings)) from None
    listener.set_inheritable(True)
    return listener


def _why_not(error: OSError, settings: ServerSettings) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {settings.port} on {settings.host} is in use; end what uses it, or choose another with --port"
    if error.errno == errno.EACCES:
        return f"port {settings.port} is not open to this user; choose one above 1023 with --port"
    return f"cannot listen on {settings.host}: {error.strerror}; choose another address with --host"


def uvicorn_config(settings: ServerSettings, tally: Tally | None = None) -> uvicorn.Config:
    """How uvicorn is run. It trusts no X-Forwarded header: `trusted_proxies` decides, and only about addresses.

    tally: where its workers count, if there are several.
    """
    return uvicorn.Config(
        functools.partial(_application, settings, tally),
        factory=True,
        workers=settings.workers,
        http=BoundedHttp,
        ws="websockets-sansio",
        lifespan="on",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        limit_concurrency=settings.limit_concurrency or None,
        # A worker that is still importing, or starved on a busy machine, is not a dead one.
        timeout_worker_healthcheck=60,
        timeout_graceful_shutdown=int(settings.shutdown_timeout.total_seconds()),
        backlog=_BACKLOG,
    )


def _application(settings: ServerSettings, tally: Tally | None) -> Application:
    """The application of this process, which may be a worker: then logs are its own, and it ends with its parent."""
    logs.configure(settings.log_format, dev=settings.dev)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), name="frontdesk-parent", daemon=True).start()
    return Application(settings, tally=tally)


def _end_with(parent: multiprocessing.process.BaseProcess) -> None:
    # A parent that was killed tells nobody; without this its workers would keep the port for ever.
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _announce(settings: ServerSettings, listener: socket.socket, files: StoreFiles) -> None:
    """Say what was created and where to go."""
    for sentence in files.created():
        _logger.info("%s", sentence)
    if settings.dev:
        _logger.info("development mode: reachable from this machine only")
    _logger.info("listening: open %s", _address(settings, listener.getsockname()[1]))


def _address(settings: ServerSettings, port: int) -> str:
    if settings.base_url:
        return settings.base_url
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    # Browsers keep the cookies of 127.0.0.1 and of localhost apart; one name is offered.
    host = "localhost" if host == "127.0.0.1" else host
    return f"http://{host}:{port}/"
