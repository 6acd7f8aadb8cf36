"""Protected headers, as far as JWS (RFC 7515 §4.1) and JWE (RFC 7516 §4.1) have them in common."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from frontdesk.errors import TokenError
from frontdesk.jose import b64, strictjson

HEADER_MAX: Final = 4 * 1024
MEMO_MAX: Final = 16
"""How many headers a key or a set remembers. An issuer writes one or two; whoever writes more only loses the memo."""

_STRINGS: Final = ("alg", "kid", "typ", "cty", "jku", "x5u", "x5t", "x5t#S256")


@dataclass(frozen=True, slots=True)
class Header:
    """A protected header whose parameters have the right types."""

    alg: str
    kid: str | None
    typ: str
    """The media type as `media_type` writes it; "jwt" where the header names none."""
    cty: str | None
    """The type of the payload, written likewise."""
    members: Mapping[str, Any]


def media_type(typ: str) -> str:
    """`typ` or `cty` for comparison: lower case, without the `application/` that may be left out (§4.1.9).

    Only ASCII is lowered: the Kelvin sign is no `k`.
    """
    lowered = typ.lower() if typ.isascii() else typ
    short = lowered.removeprefix("application/")
    return lowered if "/" in short else short


def read(head: bytes, *, refused: Collection[str]) -> Header:
    """The header in base64url `head`, checked but NOT authentic: good for finding a key and nothing else.

    Members named in `refused` raise TokenError(`header_invalid`), whatever they hold.
    """
    if len(head) > HEADER_MAX:
        raise TokenError("token_oversize", "The header is larger than 4 KiB.")
    members = strictjson.parse(b64.decode(head))
    for name in refused:
        if name in members:
            raise TokenError("header_invalid", f"The header parameter `{name}` is refused.")
    for name in _STRINGS:
        if name in members and not isinstance(members[name], str):
            raise TokenError("header_invalid", f"The header parameter `{name}` is not a string.")
    for name in ("jku", "x5u"):  # never followed; RFC 7515 §4.1.2 and §4.1.5 ask for TLS
        if not members.get(name, "https://").startswith("https://"):
            raise TokenError("header_invalid", f"The header parameter `{name}` is not the address of a set of keys.")
    if "alg" not in members:
        raise TokenError("header_invalid", "The header names no algorithm.")
    if not isinstance(members.get("jwk", {}), dict):
        raise TokenError("header_invalid", "The header parameter `jwk` is not an object.")
    chain = members.get("x5c", [])
    if not isinstance(chain, list) or not all(isinstance(certificate, str) for certificate in chain):
        raise TokenError("header_invalid", "The header parameter `x5c` is not a list of strings.")
    cty = members.get("cty")
    return Header(
        alg=members["alg"],
        kid=members.get("kid"),
        typ=media_type(members.get("typ", "JWT")),
        cty=None if cty is None else media_type(cty),
        members=members,
    )
