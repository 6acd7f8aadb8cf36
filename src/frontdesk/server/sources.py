"""Where settings come from: flags over environment over file over default. An unknown name is refused everywhere."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, NamedTuple

from frontdesk.errors import ConfigurationError
from frontdesk.server.settings import READERS, ServerSettings
from frontdesk.verifier.verifier import CREDENTIAL_VARIABLE

FILE_NAME: Final = "frontdesk.toml"
VARIABLE_PREFIX: Final = "FRONTDESK_"
CONFIG_VARIABLE: Final = "FRONTDESK_CONFIG"
EXPLAIN_VARIABLE: Final = "FRONTDESK_EXPLAIN_CREDENTIAL"
"""Where `frontdesk explain` finds the credential of a service that may see the facts."""

_NOT_SETTINGS: Final = frozenset(
    {CONFIG_VARIABLE, CREDENTIAL_VARIABLE, EXPLAIN_VARIABLE, "FRONTDESK_REQUIRE", "FRONTDESK_VECTORS"}
)
"""Variables with our prefix that are no settings: the name of the file, the credentials of a service and of
`frontdesk explain` that run in the same environment, and what the tests demand."""


_NOT_SHOWN: Final[Mapping[str, str]] = {
    "secret": "is a string or a list of strings",
    "store": "is a URL in quotes, without a character that cannot be printed",
}
"""What is said of a value that must not be told."""


class Given(NamedTuple):
    """A setting that was given, and where it stands."""

    value: Any
    where: str


def load_settings(
    flags: Mapping[str, object] | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    config: Path | None = None,
) -> ServerSettings:
    """The settings of a server. ConfigurationError names the setting, where it stands and what to do.

    `flags`: settings by name, without those that were not given. `config`: the file; by default `FRONTDESK_CONFIG`,
    else `frontdesk.toml` in the working directory, which may be absent.
    """
    given = given_settings(flags or {}, environ=environ, config=config_file(config, environ))
    return ServerSettings(**{name: value for name, (value, _) in given.items()})


def given_settings(
    flags: Mapping[str, object], *, environ: Mapping[str, str], config: Path | None, guarded: bool = True
) -> dict[str, Given]:
    """The settings that are not left at their default, read one by one, whether or not a server would start with them.

    ConfigurationError for one that cannot be read. config: the file, None for none. guarded: refuse a file that holds
    the secret and that others may read.
    """
    given: dict[str, Given] = {}
    given.update(_from_file(config, guarded=guarded))
    given.update(_from_environment(environ))
    given.update(_from_flags(flags))
    return {name: Given(_read(name, value, where), where) for name, (value, where) in given.items()}


def _read(name: str, value: object, where: str) -> Any:
    try:
        return READERS[name](value)
    except ValueError as error:
        # The value of a secret must not be told, whatever is wrong with it, nor a store whose URL holds a password.
        said = _NOT_SHOWN.get(name) or str(error)
        raise ConfigurationError(f"{where}: {name} {said}") from None


def config_file(config: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The file of settings: the one that is named, else `frontdesk.toml` if there is one."""
    named = config or (Path(environ[CONFIG_VARIABLE]) if environ.get(CONFIG_VARIABLE) else None)
    if named is not None:
        return named
    default = Path(FILE_NAME)
    return default if default.exists() else None


def _from_file(path: Path | None, *, guarded: bool) -> dict[str, Given]:
    if path is None:
        return {}
    try:
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}; name another file or none") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from None
    if guarded and "secret" in document and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise ConfigurationError(f"{path} holds the secret and others may read it; run `chmod 600 {path}`")
    given = {}
    for key, value in document.items():
        where = f"{path}, line {_line_of(key, text)}"
        _known(key, where, key, READERS)
        given[key] = Given(value, where)
    return given


def _line_of(key: str, text: str) -> int:
    """The line on which a top-level key or table stands; tomllib does not tell."""
    pattern = re.compile(rf"\s*\[*\s*[\"']?{re.escape(key)}[\"']?\s*[\].=]")
    lines = enumerate(text.splitlines(), start=1)
    return next((number for number, line in lines if pattern.match(line)), 1)


def _from_environment(environ: Mapping[str, str]) -> dict[str, Given]:
    given = {}
    variables = {VARIABLE_PREFIX + name.upper(): name for name in READERS}
    for variable, value in environ.items():
        # An empty variable is how many tools write «not set».
        if variable.startswith(VARIABLE_PREFIX) and variable not in _NOT_SETTINGS and value:
            _known(variable, "environment", variable, variables)
            given[variables[variable]] = Given(value, f"environment, {variable}")
    return given


def _from_flags(flags: Mapping[str, object]) -> dict[str, Given]:
    given = {}
    for name, value in flags.items():
        near = get_close_matches(name, READERS, n=1, cutoff=0.5)
        _known(name, "--set", name if near else "of this name", READERS)  # else it may be half of a secret
        if name == "secret":
            raise ConfigurationError(
                "--set: the secret is never a flag, others see the flags of a process; set FRONTDESK_SECRET"
            )
        given[name] = Given(value, f"--{name.replace('_', '-')}")
    return given


def _known(name: str, where: str, shown: str, known: Mapping[str, object]) -> None:
    if name in known:
        return
    nearest = get_close_matches(name, known, n=1, cutoff=0.5)
    advice = f"did you mean {nearest[0]}?" if nearest else "docs/settings.md lists them all"
    raise ConfigurationError(f"{where}: there is no setting {shown}; {advice}")
