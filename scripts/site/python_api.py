"""The page on the Python API, from the public names and their docstrings."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import sys
import textwrap
from collections.abc import Collection, Iterator, Mapping
from dataclasses import MISSING
from enum import Enum
from itertools import pairwise
from types import FunctionType, MappingProxyType, ModuleType
from typing import Any, Final

import msgspec

import frontdesk

ALSO: Final = MappingProxyType(
    {
        "errors": (),
        "core.cookies": ("CookieSettings",),
        "core.passwords": ("PasswordPolicy", "HashParameters"),
        "core.events": (),
    }
)
"""Modules without `__all__` of which applications meet some names, or all: what is raised, set and listened to."""

_HIDDEN: Final = frozenset({"cli", "data"})
_LINES: Final = 100
_BOUND: Final = frozenset({"self", "cls"})
_HEAD: Final = """# Python API

Made from the source: every public name with its docstring. A name that several modules offer is described where it
stands first.
"""


def modules() -> Iterator[ModuleType]:
    """The public modules: the package, what lies right below it and says `__all__`, and `ALSO`."""
    yield frontdesk
    for found in pkgutil.iter_modules(frontdesk.__path__):
        if found.name.startswith("_") or found.name in _HIDDEN:
            continue
        module = importlib.import_module(f"frontdesk.{found.name}")
        if hasattr(module, "__all__"):
            yield module
    for name in ALSO:
        yield importlib.import_module(f"frontdesk.{name}")


def names_of(module: ModuleType) -> list[str]:
    """The public names of a module, in order."""
    given = getattr(module, "__all__", None) or ALSO[module.__name__.removeprefix("frontdesk.")]
    if given:
        return sorted(given, key=str.lower)
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]


def page() -> str:
    """The whole page, in Markdown."""
    parts = [_HEAD]
    described: dict[int, str] = {}
    for module in modules():
        parts.append(f"## {module.__name__}\n\n{prose(inspect.getdoc(module) or '')}\n")
        names = names_of(module)
        again = [name for name in names if id(getattr(module, name)) in described]
        parts.extend(_entry(module, name, described) for name in names if name not in again)
        if again:
            parts.append(f"Also here: {', '.join(_described(module, name, described) for name in again)}.\n")
    return "\n".join(parts)


def prose(docstring: str, arguments: Collection[str] = ()) -> str:
    """A docstring as Markdown: pages of the documentation become links, trees keep their form, arguments are a list."""
    text = re.sub(r"docs/([\w/-]+)\.md(#[\w-]+)?", r"[\1](../\1.md\2)", docstring)
    text = re.sub(
        r"::\n\n((?:    .*\n?|\n)+)", lambda tree: f":\n\n```text\n{textwrap.dedent(tree[1]).rstrip()}\n```\n\n", text
    )
    return (_with_list(text, arguments) if arguments else text).strip()


def _with_list(text: str, arguments: Collection[str]) -> str:
    """What our docstrings say as `name: what it is`, sentence after sentence, as a list."""
    name = rf"\b(?:{'|'.join(map(re.escape, arguments))})\b"
    said = re.compile(rf"(?:^|(?<=\n)|(?<=[.;:] )|(?<=[.;:]\n))({name}(?:(?:, | and ){name})*): ")

    def item(found: re.Match[str]) -> str:
        return "\n- " + re.sub(name, lambda each: f"`{each[0]}`", found[1]) + ": "

    first = said.search(text)
    if first is None:
        return text
    items = re.sub(r"\s*\n- `", "\n- `", said.sub(item, text[first.start() :]))
    return f"{text[: first.start()].rstrip()}\n{items}"


def _described(module: ModuleType, name: str, described: Mapping[int, str]) -> str:
    return f'<a id="{module.__name__}.{name}"></a>[`{name}`](#{described[id(getattr(module, name))]})'


def _entry(module: ModuleType, name: str, described: dict[int, str]) -> str:
    value = getattr(module, name)
    anchor = described[id(value)] = f"{module.__name__}.{name}"
    head = f'<a id="{anchor}"></a>\n\n### `{name}`\n'
    if inspect.isclass(value):
        return head + _class(value, described)
    if isinstance(value, FunctionType):
        said = prose(inspect.getdoc(value) or "", _arguments(value))
        return f"{head}\n```python\n{_signature(name, value)}\n```\n\n{said}\n"
    return f"{head}\n{_constant(name, value)}\n"


def _constant(name: str, value: object) -> str:
    """An alias or a value: what the string below its definition says."""
    for place in [module for key, module in sorted(sys.modules.items()) if key.startswith("frontdesk")]:
        if vars(place).get(name) is value and (said := _said_below(place, name)) is not None:
            return prose(said)
    return f"A value of the type `{type(value).__name__}`."


def _said_below(module: ModuleType, name: str) -> str | None:
    body = ast.parse(inspect.getsource(module)).body
    for statement, following in pairwise(body):
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        named = any(isinstance(target, ast.Name) and target.id == name for target in targets)
        if named and isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            return inspect.cleandoc(str(following.value.value))
    return None


def _class(cls: type, described: dict[int, str]) -> str:
    heading = f"class {cls.__name__}(Enum)" if issubclass(cls, Enum) else _signature(cls.__name__, cls)
    parts = [f"\n```python\n{heading}\n```\n\n{prose(_own_doc(cls), _arguments(cls))}\n"]
    elsewhere: dict[str, list[str]] = {}
    for name, member in _members(cls):
        first = described.setdefault(id(member), described[id(cls)])
        if first != described[id(cls)]:
            elsewhere.setdefault(first, []).append(f"`{name}`")
            continue
        doc = prose(inspect.getdoc(member) or "", () if isinstance(member, property) else _arguments(member))
        if isinstance(member, property):
            parts.append(f"**`{name}`**\n\n{doc}\n")
        else:
            parts.append(f"```python\n{_signature(name, member)}\n```\n\n{doc}\n")
    parts.extend(f"As in [`{owner}`](#{owner}): {', '.join(names)}.\n" for owner, names in elsewhere.items())
    return "\n".join(parts)


def _arguments(value: Any) -> list[str]:
    try:
        return [name for name in inspect.signature(value).parameters if name not in _BOUND]
    except (TypeError, ValueError):
        return []


def _own_doc(cls: type) -> str:
    doc = cls.__dict__.get("__doc__") or ""
    return "" if doc.startswith(f"{cls.__name__}(") else inspect.cleandoc(doc)


def _members(cls: type) -> Iterator[tuple[str, Any]]:
    """Public methods and properties that say what they do, those of our own bases included."""
    seen: set[str] = set()
    for owner in cls.__mro__:
        if not owner.__module__.startswith("frontdesk"):
            continue
        for name, raw in vars(owner).items():
            member = raw.__func__ if isinstance(raw, classmethod | staticmethod) else raw
            if name.startswith("_") or name in seen or not isinstance(member, FunctionType | property):
                continue
            seen.add(name)
            if member.__doc__:
                yield name, member


def _signature(name: str, value: Any) -> str:
    """The call as one would write it; in lines of its own where it is long."""
    if getattr(value, "_is_protocol", False):
        return f"class {name}(Protocol)"
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return name
    defaults = _defaults_of_records(value)
    shown = [
        _parameter(parameter, defaults) for parameter in signature.parameters.values() if parameter.name not in _BOUND
    ]
    shown = _with_marks(list(zip(shown, _kinds(signature), strict=True)))
    awaited = "async def " if inspect.iscoroutinefunction(value) else "class " if inspect.isclass(value) else "def "
    returned = (
        ""
        if inspect.isclass(value) or signature.return_annotation is inspect.Signature.empty
        else (f" -> {_annotation(signature.return_annotation)}")
    )
    line = f"{awaited}{name}({', '.join(shown)}){returned}"
    if len(line) <= _LINES:
        return line
    return f"{awaited}{name}(\n" + "".join(f"    {each},\n" for each in shown) + f"){returned}"


def _kinds(signature: inspect.Signature) -> list[inspect._ParameterKind]:
    return [parameter.kind for parameter in signature.parameters.values() if parameter.name not in _BOUND]


def _with_marks(parameters: list[tuple[str, inspect._ParameterKind]]) -> list[str]:
    """With the `*` that says from where on arguments are given by name."""
    shown: list[str] = []
    marked = False
    for text, kind in parameters:
        marked = marked or kind is inspect.Parameter.VAR_POSITIONAL
        if kind is inspect.Parameter.KEYWORD_ONLY and not marked:
            shown.append("*")
            marked = True
        shown.append(text)
    return shown


def _defaults_of_records(value: Any) -> dict[str, str]:
    """What a record puts in where nothing is given, for members whose default is made anew each time."""
    if isinstance(value, type) and issubclass(value, msgspec.Struct):
        return {
            field.name: _default(field.default)
            for field in msgspec.structs.fields(value)
            if field.default is not msgspec.NODEFAULT
        }
    fields = getattr(value, "__dataclass_fields__", {})
    return {
        name: f"{field.default_factory.__name__}()".replace("<lambda>()", "…")
        for name, field in fields.items()
        if field.default_factory is not MISSING
    }


def _parameter(parameter: inspect.Parameter, defaults: dict[str, str]) -> str:
    text = str(parameter).partition(":")[0].partition("=")[0]  # its stars included
    annotated = parameter.annotation is not inspect.Parameter.empty
    if annotated:
        text += f": {_annotation(parameter.annotation)}"
    if parameter.name in defaults:
        default = defaults[parameter.name]
    elif parameter.default is inspect.Parameter.empty:
        return text
    else:
        default = _default(parameter.default)
    return f"{text} = {default}" if annotated else f"{text}={default}"


def _default(value: object) -> str:
    text = repr(value).replace("datetime.timedelta", "timedelta").replace("mappingproxy({})", "{}")
    return "…" if " at 0x" in text or len(text) > 60 else text


def _annotation(value: object) -> str:
    """An annotation without the names of modules; those of this package are strings already."""
    text = value if isinstance(value, str) else str(inspect.formatannotation(value))
    return re.sub(r"\b(?:frontdesk|collections|typing|datetime|starlette|fastapi)\.(?:\w+\.)*(?=\w)", "", text)
