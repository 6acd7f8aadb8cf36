"""No record shows what it holds when it is a password, a credential, or what somebody sent."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

import frontdesk
from frontdesk.core.cookies import CookieAttributes, CookieChanges
from frontdesk.core.discretion import Discreet, without_userinfo
from frontdesk.endpoints.bodies import LoginBody
from frontdesk.endpoints.http import Request

GUARDED = frozenset(
    {
        "password", "secret", "sealed", "salt", "private", "credential", "token", "session_token", "access_token",
        "refresh_token", "refresh", "cookies", "by_name", "headers", "body", "tag", "fields",
    }
)  # fmt: skip

HARMLESS = frozenset(
    {
        "CredentialKind", "CredentialKind | None", "CookieSettings", "timedelta", "type[msgspec.Struct] | None",
        "CookieChanges", "CookieChanges | None", "ParsedToken | None", "tuple[CookieSeen, ...]",
    }
)  # fmt: skip
"""Declarations of fields that are called so and hold a choice, a setting, or a record that is guarded itself."""

CHOICES = frozenset(
    {
        "Me.credential", "Device.credential", "Filled.credential", "DeviceRow.credential", "SignedIn.credential",
        "CookieSettings.refresh", "CookieNames.refresh", "Mistake.headers",
    }
)  # fmt: skip
"""Texts that say which kind or which name, and the headers of a refusal."""


class Shown:
    """Stands for a value; nothing else says it."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def value(self) -> Shown:
        return self

    def __repr__(self) -> str:
        return f"<<{self.name}>>"


def _spelt(hint: object) -> str:
    return str(getattr(hint, "__forward_arg__", hint))  # named tuples wrap what was written


def _fields(kind: type) -> dict[str, str]:
    declared: dict[str, str] = {}
    for one in reversed(kind.__mro__):
        declared.update({name: _spelt(hint) for name, hint in vars(one).get("__annotations__", {}).items()})
    if issubclass(kind, msgspec.Struct):
        names: Any = kind.__struct_fields__
    elif dataclasses.is_dataclass(kind):
        names = [field.name for field in dataclasses.fields(kind)]
    else:
        names = getattr(kind, "_fields", ())
    return {name: declared.get(name, "") for name in names}


def _guarded(kind: type) -> list[str]:
    return [
        name
        for name, declared in _fields(kind).items()
        if name in GUARDED and declared not in HARMLESS and f"{kind.__name__}.{name}" not in CHOICES
    ]


def _filled(kind: type) -> Any:
    """An instance whose every field shows when it is shown."""
    values = {name: Shown(name) for name in _fields(kind)}
    if issubclass(kind, tuple):
        return kind._make(values.values())  # type: ignore[attr-defined]
    if issubclass(kind, msgspec.Struct):
        return kind(**values)
    made = object.__new__(kind)
    for name, value in values.items():
        object.__setattr__(made, name, value)
    return made


def _kinds() -> Iterator[type]:
    for module in pkgutil.walk_packages(frontdesk.__path__, "frontdesk."):
        if module.name.endswith("__main__"):
            continue
        found = importlib.import_module(module.name)
        yield from (kind for kind in vars(found).values() if inspect.isclass(kind) and kind.__module__ == module.name)


KINDS = sorted({kind for kind in _kinds() if _guarded(kind)}, key=lambda kind: (kind.__module__, kind.__qualname__))


def test_those_that_are_known_to_hold_something_are_among_those_looked_at() -> None:
    names = {f"{kind.__module__.partition('.')[2]}.{kind.__qualname__}" for kind in KINDS}
    assert names >= {
        "core.cookies.CookieChanges", "core.envelope.Presented", "core.sessions.Session", "endpoints.bodies.LoginBody",
        "endpoints.bodies.RegisterBody", "endpoints.bodies.RefreshBody", "endpoints.bodies.SignedIn",
        "endpoints.http.Request", "endpoints.http.Response", "pages.accounts.Sent",
    }  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.__module__}.{kind.__qualname__}")
def test_what_a_record_keeps_to_itself_is_not_in_its_repr(kind: type) -> None:
    made = _filled(kind)
    shown = repr(made) + str(made) + f"{made}"
    assert [name for name in _guarded(kind) if f"<<{name}>>" in shown] == []


def test_a_new_record_that_shows_a_password_would_be_noticed() -> None:
    @dataclasses.dataclass
    class Careless:
        password: str

    assert _guarded(Careless) == ["password"]
    assert "<<password>>" in repr(_filled(Careless))


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://desk.example/a", "https://desk.example/a"),
        ("https://desk:hunter2@desk.example/a", "https://[...]@desk.example/a"),
        ("https://desk:hun@t/er://2@desk.example:x", "https://[...]@desk.example:x"),
        ("desk:hunter2@desk.example", "[...]@desk.example"),
        ("desk.example", "desk.example"),
    ],
)
def test_an_address_is_shown_without_the_password_that_stands_in_it(address: str, shown: str) -> None:
    assert without_userinfo(address) == shown


def test_a_discreet_record_says_what_it_is_and_no_more() -> None:
    assert repr(LoginBody("a@example.com", "correct horse")) == "LoginBody(...)"
    assert repr(Request(method="GET", path="/reset/hunter2", headers=[])) == "Request(...)"
    assert repr(CookieChanges().set(b"name", b"value", CookieAttributes())) == "CookieChanges(...)"
    for kind in KINDS:
        if issubclass(kind, Discreet):
            assert list(_filled(kind).__rich_repr__()) == []
