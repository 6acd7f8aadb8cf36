"""The conformance suite of `frontdesk.stores.protocol.Store`, for everybody who writes one.

Inherit it in a test module; pytest alone runs it, each rule on a store and in an event loop of its own::

    class TestMyStore(StoreSuite):
        @asynccontextmanager
        async def open_store(self) -> AsyncIterator[Store]:
            store = MyStore(tempfile.mkdtemp())
            await store.open()
            yield store
            await store.close()

        @asynccontextmanager
        async def another(self, store: Store) -> AsyncIterator[Store]:
            ...  # a second MyStore on the same storage

        async def raw_dump(self, store: Store) -> bytes:
            ...  # every byte at rest

        @asynccontextmanager
        async def failing(self, store: Store) -> AsyncIterator[None]:
            ...  # make writes impossible, yield, make them possible again

A pytest fixture reaches these methods as an attribute that an autouse fixture of the class sets. No rule reads a clock,
and no outcome depends on how long anything takes, but for `patience`: what a waiting `poll` should be told at once must
come within it. A rule that fails says what it got and what it expected.
"""

from __future__ import annotations

from frontdesk.testing.suite.account_rules import AccountRules, AttemptRules, OnceRules
from frontdesk.testing.suite.everyone_rules import RealmRules, RemovalRules
from frontdesk.testing.suite.fault_rules import CancellationRules, DumpRules, FaultRules, LifeRules
from frontdesk.testing.suite.history_rules import AgainRules, HistoryRules
from frontdesk.testing.suite.key_rules import KeyRotationRules, KeyRules
from frontdesk.testing.suite.log_rules import LogRules, PurgeRules
from frontdesk.testing.suite.revocation_rules import RevocationRules
from frontdesk.testing.suite.rotation_rules import RotationRules
from frontdesk.testing.suite.service_rules import ServiceRules
from frontdesk.testing.suite.session_rules import SessionRules, TouchRules
from frontdesk.testing.suite.wait_rules import HeadRules, WaitRules


class StoreSuite(
    SessionRules,
    TouchRules,
    RevocationRules,
    RealmRules,
    RemovalRules,
    RotationRules,
    LogRules,
    HeadRules,
    WaitRules,
    HistoryRules,
    AgainRules,
    PurgeRules,
    AccountRules,
    AttemptRules,
    OnceRules,
    KeyRules,
    KeyRotationRules,
    ServiceRules,
    LifeRules,
    FaultRules,
    CancellationRules,
    DumpRules,
):
    """Every rule of the contract. See the module's docstring for what a subclass provides."""
