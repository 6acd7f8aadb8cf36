"""What ships for tests: the conformance suite of stores, a store that takes its time, a clock that obeys, a client.

`Client` needs Starlette (`frontdesk[starlette]`) and what its test client needs; it is imported when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from frontdesk.clock import AdjustableClock
from frontdesk.testing.slow_store import SlowStore
from frontdesk.testing.store_suite import StoreSuite

if TYPE_CHECKING:
    from frontdesk.testing.client import Client

__all__ = ["AdjustableClock", "Client", "SlowStore", "StoreSuite"]


def __getattr__(name: str) -> Any:
    if name != "Client":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from frontdesk.testing.client import Client  # noqa: PLC0415 - whoever tests a store needs no framework

    return Client
