"""Spans for the operations that wait, where OpenTelemetry is installed (`frontdesk[otel]`); nothing where it is not.

A request that is decided from what a node holds has no span: it takes microseconds. A span tells what came of the
operation and the public id of the session, which logs tell too. It never tells a credential, an address or a subject:
applications choose subjects, and some take e-mail addresses. The text of an exception is not recorded either.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Final, ParamSpec, Self, TypeVar

from frontdesk.errors import FrontdeskError, Refusal
from frontdesk.service.refresh import Refreshed
from frontdesk.service.sign_in import Signed

try:
    from opentelemetry import trace
except ImportError:
    _tracer = None
else:
    _tracer = trace.get_tracer("frontdesk")

P = ParamSpec("P")
T = TypeVar("T")
Operation = Callable[P, Coroutine[Any, Any, T]]
Value = str | bool | int | float


class Silent:
    """A span that nobody records."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        return None

    def tell(self, **attributes: Value) -> None:
        """Add attributes; each gets the prefix `frontdesk.`."""


class Recorded(Silent):
    """A span that the tracer of the application records, if it has one."""

    __slots__ = ("_current", "_span")

    def __init__(self, tracer: trace.Tracer, name: str, attributes: Mapping[str, Value]) -> None:
        self._current: AbstractContextManager[trace.Span] = tracer.start_as_current_span(
            name, attributes=_named(attributes), record_exception=False, set_status_on_exception=False
        )

    def __enter__(self) -> Self:
        self._span = self._current.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is not None:
            self._span.set_status(trace.StatusCode.ERROR)
            self._span.set_attribute("error.type", _type_of(error))
        self._current.__exit__(None, None, None)

    def tell(self, **attributes: Value) -> None:
        self._span.set_attributes(_named(attributes))


_SILENT: Final = Silent()


def span(name: str, **attributes: Value) -> Silent:
    """A span around a `with` block, the child of whatever span is current."""
    return _SILENT if _tracer is None else Recorded(_tracer, name, attributes)


def traced(name: str, **attributes: Value) -> Callable[[Operation[P, T]], Operation[P, T]]:
    """Around an operation: a span that tells what came of it.

    `frontdesk.outcome` is refused (then `frontdesk.code` says why), granted, one of `core.rotation.Outcome`, done, or
    none where there was nothing to do.
    """

    def around(operation: Operation[P, T]) -> Operation[P, T]:
        if _tracer is None:
            return operation

        @functools.wraps(operation)
        async def waiting(*args: P.args, **kwargs: P.kwargs) -> T:
            with span(name, **attributes) as told:
                result = await operation(*args, **kwargs)
                told.tell(**_outcome(result))
                return result

        return waiting

    return around


def _outcome(result: object) -> Mapping[str, Value]:
    if isinstance(result, Refusal):
        return {"outcome": "refused", "code": result.code}
    if isinstance(result, Signed | Refreshed):
        session = result.session
        return {
            "outcome": result.outcome.value if isinstance(result, Refreshed) else "granted",
            "credential": session.credential,
            "transport": session.transport,
            "session_id": session.id,
        }
    if isinstance(result, int) and not isinstance(result, bool):
        return {"outcome": "done", "sessions": result}
    return {"outcome": "done" if result else "none"}


def _type_of(error: BaseException) -> str:
    return error.code if isinstance(error, FrontdeskError) else type(error).__qualname__


def _named(attributes: Mapping[str, Value]) -> dict[str, Value]:
    return {f"frontdesk.{name}": value for name, value in attributes.items()}
