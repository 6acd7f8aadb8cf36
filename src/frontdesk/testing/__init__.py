"""What ships for tests: the conformance suite of stores, a store that takes its time, a clock that obeys."""

from __future__ import annotations

from frontdesk.clock import AdjustableClock
from frontdesk.testing.slow_store import SlowStore
from frontdesk.testing.store_suite import StoreSuite

__all__ = ["AdjustableClock", "SlowStore", "StoreSuite"]
