"""Frontdesk: authentication for Python. One session behind every credential.

The names here need no framework and no driver. An application takes `Frontdesk`, `User` and `require` from the module
of its framework: `frontdesk.fastapi`, `frontdesk.starlette`, `frontdesk.asgi`.
"""

from frontdesk.clock import AdjustableClock, Clock, SystemClock
from frontdesk.core.sessions import Principal, Session, SessionPolicy
from frontdesk.errors import (
    CODES,
    ConfigurationError,
    FrontdeskError,
    OverloadedError,
    Refusal,
    RefusedError,
    StoreError,
    TokenError,
)

__all__ = [
    "CODES",
    "AdjustableClock",
    "Clock",
    "ConfigurationError",
    "FrontdeskError",
    "OverloadedError",
    "Principal",
    "Refusal",
    "RefusedError",
    "Session",
    "SessionPolicy",
    "StoreError",
    "SystemClock",
    "TokenError",
]
