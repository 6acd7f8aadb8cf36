"""Where audit events go: the structured log, and whoever else wants them."""

from __future__ import annotations

import logging
from collections.abc import Callable

from frontdesk.core.events import Event

Listener = Callable[[Event], None]

_logger = logging.getLogger("frontdesk.audit")


class Audit:
    """Hands every event to the log and to the listeners. A listener that fails is logged and harms nobody."""

    def __init__(self, listeners: tuple[Listener, ...] = ()) -> None:
        self._listeners = listeners

    def __call__(self, event: Event) -> None:
        _logger.info(event.name, extra={"frontdesk": event.record()})
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:
                _logger.exception("an audit listener failed on %s", event.name)
