"""What the storage of a store is like, looked at without opening the store: for those who judge a deployment."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

import msgspec

from frontdesk.core.keyring import StoredKey
from frontdesk.core.services import Service

Engine = Literal["sqlite", "postgresql", "redis"]


class StoreCondition(msgspec.Struct, frozen=True, kw_only=True):
    """One look at a storage. Holds no secret, and nothing of its URL but what may be shown.

    name: the storage as it may be shown. schema: the version of its tables, 0 for none, of `newest` that there are.
    facts: what engine and server say about their own settings. remote: the way to it leaves this machine; then
    encrypted: over TLS, verified: to the server that was meant, has_password: we had to prove who we are.
    store_time: the server's own clock. unasked: facts that the server does not tell us, each as a sentence.
    """

    engine: Engine
    name: str
    schema: int
    newest: int
    facts: Mapping[str, str]
    remote: bool = False
    encrypted: bool = True
    verified: bool = True
    has_password: bool = True
    store_time: datetime | None = None
    keys: tuple[StoredKey, ...] = ()
    services: tuple[Service, ...] = ()
    unasked: tuple[str, ...] = ()
