"""Records that hold what nobody should read in a log or a traceback, and texts that may not hold it."""

from __future__ import annotations

import re
from typing import Any, Final

# Nothing logs or shows a credential. Should one stand in a line all the same, inside the text of somebody's exception
# or in the name of a cookie, it goes no further: session and refresh tokens, credentials of services, and anything that
# looks like a JWS or a JWE.
# Possessive, and with a second branch that takes what the first leaves: else a line made of "eyJ" would be searched
# anew from each of them, in time that grows as the square of its length.
_CREDENTIAL: Final = re.compile(
    r"fd[srk]_[A-Za-z0-9_-]{20,}|eyJ(?:[A-Za-z0-9_-]{8,}+(?:\.[A-Za-z0-9_-]*+){2,4}|[A-Za-z0-9_-]{20,}+\.?)"
)


class Discreet:
    """Shows its kind and nothing that it holds: for what carries a credential, a password or what somebody sent."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"

    def __rich_repr__(self, /) -> list[tuple[str, Any]]:
        # Rich, which frameworks' command lines use for tracebacks, asks msgspec's records for every field otherwise.
        return []


def without_credentials(line: str) -> str:
    """The line with whatever looks like a credential taken out. Before the line is cut: half of one looks like none."""
    return _CREDENTIAL.sub("[credential]", line)


def without_userinfo(address: str) -> str:
    """An address that somebody configured, as it may be shown: without the user and password that may stand in it."""
    before, at, host = address.rpartition("@")
    scheme, slashes, _ = before.partition("://")
    return f"{scheme if slashes else ''}{slashes}[...]@{host}" if at else address
