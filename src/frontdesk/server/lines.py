"""Connections to servers that nobody vouches for: whatever they send, and however slowly, it ends in time."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException


@contextmanager
def connected(place: tuple[str, int], seconds: float) -> Iterator[socket.socket]:
    """A connection that ends when its time is over, whatever still arrives: the limit of a socket begins anew with each
    byte. TimeoutError then."""
    line = socket.create_connection(place, timeout=seconds)
    over = threading.Event()
    # TLS takes the socket over; this one stays ours, and ends the same connection.
    with line, line.dup() as handle:
        timer = threading.Timer(seconds, _hang_up, (handle, over))
        timer.daemon = True
        timer.start()
        try:
            yield line
        except (OSError, HTTPException):
            if not over.is_set():
                raise
        finally:
            timer.cancel()
            timer.join()
    if over.is_set():  # what has arrived by then may look like an answer
        raise TimeoutError(f"no answer within {seconds:g} seconds")


def _hang_up(line: socket.socket, over: threading.Event) -> None:
    over.set()
    with suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)
