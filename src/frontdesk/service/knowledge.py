"""What this node knows of revocations, beside what the store says at the moment."""

from __future__ import annotations

import logging

from frontdesk.core.sessions import Epochs, Session
from frontdesk.errors import OverloadedError, StoreError
from frontdesk.verifier.follow import Follower

_logger = logging.getLogger("frontdesk")


class Knowledge:
    """The revocation log as this node follows it. Over a store that is asked about each request there is none, and
    the store's word is the last one."""

    def __init__(self, follower: Follower | None) -> None:
        self._follower = follower

    async def hear(self) -> None:
        """After this node ended something and before it says so: its own next request is to know of it.

        What was ended stays so whatever happens here; other nodes hear of it in their own time.
        """
        if self._follower is None:
            return
        try:
            await self._follower.catch_up()
        except (StoreError, OverloadedError) as error:
            _logger.warning("the revocation log cannot be read after a revocation: %s", error)

    def has_ended(self, session: Session) -> bool:
        """Whether the log has ended a session that the store shows. It has lost that, and will be told again."""
        if self._follower is None or session.ended_at is not None:
            return False
        return self._follower.index.revoked(session.id, session.subject, session.epochs)

    def refuse_lost(self, subject: str, epochs: Epochs) -> None:
        """StoreError when `epochs`, as the store says, are behind those that the log has told: a sign-in under them
        would be granted and ended at once, when the store is told again."""
        if self._follower is None:
            return
        known = self._follower.index.epochs(subject)
        if epochs.realm < known.realm or epochs.subject < known.subject:
            raise StoreError("the store has lost a revocation and is told of it again; try again in a moment")
