"""Records that hold what nobody should read in a log or a traceback."""

from __future__ import annotations

from typing import Any


class Discreet:
    """Shows its kind and nothing that it holds: for what carries a credential, a password or what somebody sent."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"

    def __rich_repr__(self, /) -> list[tuple[str, Any]]:
        # Rich, which frameworks' command lines use for tracebacks, asks msgspec's records for every field otherwise.
        return []
