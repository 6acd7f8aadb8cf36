"""Protection by default: which paths anybody may ask for when all others need a signed-in principal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from frontdesk.errors import ConfigurationError

_BELOW: Final = "/*"


class Protection:
    """Admits requests by their path, the very one that is routed: decoded once, below the root path, never mended.

    `public` lists exact paths; `/static/*` stands for what is mounted at `/static`. Nothing is normalised: where
    `/docs` is public, `//docs`, `/docs/`, `/Docs` and `/docs%2f` are not, whatever a router makes of them
    (CVE-2025-47910), and below a mount no path with `//`, a dot segment or a backslash is.
    """

    def __init__(self, *, protect: bool, public: Iterable[str]) -> None:
        if isinstance(public, str):
            raise TypeError("public is a collection of paths, not one string")
        self._protect = protect
        paths = frozenset(public)
        if paths and not protect:
            raise ConfigurationError("public= lists what protect=True leaves open; without it everything is open")
        for path in paths:
            if not path.startswith("/") or "*" in path.removesuffix(_BELOW):
                raise ConfigurationError(f"public paths look like /docs or /static/*; {path!r} does not")
        self._exact = frozenset(path for path in paths if not path.endswith(_BELOW))
        self._below = tuple(path.removesuffix("*") for path in paths if path.endswith(_BELOW))
        if "/" in self._below:
            raise ConfigurationError("/* would leave everything open; turn protect off instead")

    def admits(self, path: str) -> bool:
        """Whether a request that nobody signed may go on to the application."""
        if not self._protect or path in self._exact:
            return True
        return path.startswith(self._below) and _is_plain(path)


def _is_plain(path: str) -> bool:
    segments = path.split("/")[1:]
    return "\\" not in path and not any(segment in {".", ".."} for segment in segments) and "" not in segments[:-1]
