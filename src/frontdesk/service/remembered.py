"""What a node remembers of credentials that the store said yes to, found by their exact bytes. Bounded.

Nothing here is believed by itself: the authenticator consults clock, limits and the revocation index on every hit.
"""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime, timedelta
from typing import Final

from frontdesk.core.revocation import LARGEST_ACCESS_TOKEN
from frontdesk.core.sessions import Epochs, Principal, Session, Transport
from frontdesk.service.authenticate import Authenticated

MOST: Final = 10_000
LONGEST: Final = timedelta(minutes=10)
"""How long a row is remembered. An index forgets an entry after an hour or more; what it ended must be forgotten
before that."""

assert LONGEST < LARGEST_ACCESS_TOKEN


class Remembered:
    """One credential that was good. `session` is None where the claims of an access token were believed.

    `until`: from when on the store must be asked again. `cursor`: how far the log was read before the store was.
    `seen_at`: the use that was last recorded, as far as this node knows. `granted`: the answer that all may share;
    None where somebody who is handed it could change it for the next one, and each gets a copy. `kept`: it is, or was,
    in the memory.
    """

    __slots__ = (
        "cursor", "epochs", "granted", "kept", "principal", "seen_at", "session", "session_id", "subject", "transport",
        "until",
    )  # fmt: skip

    def __init__(
        self,
        principal: Principal,
        session: Session | None,
        *,
        epochs: Epochs,
        transport: Transport,
        until: datetime,
        cursor: int,
        seen_at: datetime,
    ) -> None:
        self.principal = principal
        self.session = session
        self.session_id = principal.session_id
        self.subject = principal.subject
        self.epochs = epochs
        self.transport = transport
        self.until = until
        self.cursor = cursor
        self.seen_at = seen_at
        self.kept = False
        nested = any(isinstance(value, dict | list) for value in principal.claims.values())
        self.granted = None if nested else Authenticated(principal, session)


class Memory:
    """At most `most` credentials, least recently used out first. Belongs to one node."""

    def __init__(self, most: int = MOST) -> None:
        if most < 1:
            raise ValueError("there must be room for one credential at least")
        self._most = most
        self._held: OrderedDict[bytes, Remembered] = OrderedDict()

    def find(self, credential: bytes) -> Remembered | None:
        """What is remembered of these very bytes; it is now the most recent."""
        held = self._held.get(credential)
        if held is not None:
            self._held.move_to_end(credential)
        return held

    def keep(self, credential: bytes, remembered: Remembered) -> None:
        """Remember; the least recent make room."""
        remembered.kept = True
        self._held[credential] = remembered
        self._held.move_to_end(credential)
        while len(self._held) > self._most:
            self._held.popitem(last=False)

    def drop(self, credential: bytes) -> None:
        """Forget one."""
        self._held.pop(credential, None)

    def clear(self) -> None:
        """Forget everything."""
        self._held.clear()

    def __len__(self) -> int:
        return len(self._held)

    def __repr__(self) -> str:
        return f"<Memory of {len(self)} credentials>"
