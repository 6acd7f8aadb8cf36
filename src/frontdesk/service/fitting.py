"""Whether what a session carries fits where it has to go: at rest, into a cookie, into a header."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from frontdesk.core.sessions import Session
from frontdesk.errors import Refusal, TokenError
from frontdesk.jose import strictjson

CREDENTIAL_LIMIT: Final = 4096
"""Octets of a cookie's name and value together that browsers keep (6265bis §5.6)."""

LONGEST_COOKIE_NAME: Final = 64
"""Octets that a cookie's name may take, prefix and suffix included; `endpoints.settings` is held to it. Used where no
request says which name is in force."""

CLAIMS_LIMIT: Final = 65_536
"""Octets of a session's claims at rest, as JSON."""


def too_large(session: Session, access_token_bytes: int, name_bytes: int) -> Refusal | None:
    """`claims_too_large`, naming the largest claim, when a client could not keep or present the credential.

    `access_token_bytes` is 0 for a session token, whose length is fixed; `name_bytes` counts for cookies only.
    """
    stored = len(strictjson.serialise(dict(session.claims)))
    carried = access_token_bytes + (name_bytes if session.transport == "cookie" else 0)
    if stored <= CLAIMS_LIMIT and carried <= CREDENTIAL_LIMIT:
        return None
    claim = _largest_claim(session)
    size, limit = (stored, CLAIMS_LIMIT) if stored > CLAIMS_LIMIT else (carried, CREDENTIAL_LIMIT)
    return Refusal(
        "claims_too_large",
        f"The credential would have {size} bytes of at most {limit}; the largest claim is {claim!r}.",
        {"claim": claim},
    )


def check_members(
    *,
    roles: Iterable[str] | None,
    scope: Iterable[str] | None,
    claims: Mapping[str, Any] | None,
    reserved: frozenset[str],
) -> None:
    """Raise TypeError or ValueError for what could never stand in a credential: misuse by the application."""
    for name, values in (("roles", roles or ()), ("scope", scope or ())):
        check_words(name, values)
    taken = reserved.intersection(claims or {})
    if taken:
        raise ValueError(f"the claims {sorted(taken)} are Frontdesk's own; use roles=, scope= or another name")
    if claims and not _is_plain_json(dict(claims)):
        raise ValueError("claims hold plain JSON values: text, true, false, null, finite numbers, lists, string names")


def check_words(name: str, values: Iterable[str]) -> None:
    """Each of `values` is one word of visible ASCII without quotes (RFC 6749 §3.3)."""
    if isinstance(values, str):
        raise TypeError(f"{name} is a collection of strings, not one string")
    for value in values:
        if not _is_word(value):
            raise ValueError(f"{name} holds {value!r}; each must be visible ASCII without quotes (RFC 6749 §3.3)")


def _is_word(value: object) -> bool:
    if not isinstance(value, str) or not value:
        return False
    return all(0x20 < ord(char) < 0x7F and char not in '"\\' for char in value)


def _is_plain_json(claims: dict[str, Any]) -> bool:
    """Whether the claims come back as they went: sets, NaN, other names than text, surrogates do not."""
    try:
        return bool(strictjson.parse(strictjson.serialise(claims)) == claims)
    except (TypeError, ValueError, OverflowError, RecursionError, TokenError):
        return False


def _largest_claim(session: Session) -> str:
    sizes = {name: len(msgspec.json.encode(value)) for name, value in session.claims.items()}
    sizes["roles"] = len(msgspec.json.encode(session.roles))
    sizes["scope"] = len(" ".join(session.scope))
    return max(sizes, key=lambda name: sizes[name])
