"""What Redis and the way to it report, as the errors of the store contract.

`detail` names the class and the code of an error, and where a script failed; never the server's text: an unknown
command is answered with its arguments, and one of them may be a password.
"""

from __future__ import annotations

import re
from typing import Final

from redis import exceptions

from frontdesk.errors import StoreError, StoreFullError

_CODE: Final = re.compile(r"[A-Z]{2,}\b")
_PLACE: Final = re.compile(r"user_script:\d+")

_NO_WRITES: Final = frozenset({"MISCONF", "NOREPLICAS"})
_NOT_PRIMARY: Final = frozenset({"READONLY", "MASTERDOWN", "UNBLOCKED"})


def store_error(fault: Exception) -> StoreError:
    """The error to raise for `fault`, an error of redis-py or of the operating system."""
    code = code_of(fault)
    place = _PLACE.search(str(fault))
    detail = " ".join(filter(None, (type(fault).__name__, code, place and place[0])))
    if isinstance(fault, exceptions.OutOfMemoryError):
        return StoreFullError("the Redis server has reached its maxmemory; nothing was written", detail=detail)
    if isinstance(fault, exceptions.BusyLoadingError):
        return StoreError("the Redis server is still loading its data", detail=detail)
    if isinstance(fault, exceptions.AuthenticationError):
        return StoreError("the Redis server does not accept the credentials of this store", detail=detail)
    if isinstance(fault, exceptions.NoPermissionError):
        return StoreError("the Redis user may not do what the store needs", detail=detail)
    if code in _NOT_PRIMARY:
        return StoreError("the Redis server is a replica now; the next call looks for the primary", detail=detail)
    if code in _NO_WRITES:
        return StoreError("the Redis server accepts no writes at the moment", detail=detail)
    if isinstance(fault, (exceptions.ConnectionError, OSError)):
        return StoreError("the Redis server cannot be reached", detail=detail)
    return StoreError("the Redis server reported an error", detail=detail)


def timed_out(seconds: float) -> StoreError:
    """The time limit of an operation has passed. A write may have been done or not."""
    return StoreError("the Redis server did not answer in time", detail=f"no answer within {seconds:g} s")


def leads_nowhere(fault: Exception) -> bool:
    """Whether the other connections to this server are not to be used any more either."""
    return isinstance(fault, (exceptions.ConnectionError, OSError)) or code_of(fault) in _NOT_PRIMARY


def code_of(fault: Exception) -> str:
    """The word in capitals that the server's answer began with; "" for an error that is not the server's."""
    if not isinstance(fault, exceptions.RedisError):
        return ""
    found = _CODE.match(fault.status_code or "") or _CODE.match(str(fault))
    return found[0] if found else ""
