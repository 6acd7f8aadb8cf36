"""The six leaves of the tree: what each recommends, in one line, and the page that goes on from there.

Where further answers have changed the credential, another headline says what is recommended then.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from frontdesk.advisor.plans import LeafName, Plan


class Headline(msgspec.Struct, frozen=True, kw_only=True):
    """What is recommended: in a few words, and in a sentence."""

    title: str
    summary: str


class Leaf(msgspec.Struct, frozen=True, kw_only=True):
    """One leaf. `page`: where the documentation goes on, a path inside it."""

    name: LeafName
    title: str
    summary: str
    page: str


LEAVES: Final[Mapping[LeafName, Leaf]] = MappingProxyType(
    {
        leaf.name: leaf
        for leaf in (
            Leaf(
                name="server-rendered",
                title="A session in an HttpOnly cookie",
                summary="The browser keeps a number that means nothing by itself; the desk keeps the record.",
                page="how-to/server-rendered.md",
            ),
            Leaf(
                name="single-page-cookie",
                title="A JWT in an HttpOnly cookie, with refresh",
                summary="The browser keeps and sends both tokens; no script ever sees one.",
                page="how-to/single-page-cookie.md",
            ),
            Leaf(
                name="single-page-memory",
                title="An access token in memory, with the refresh token in a cookie",
                summary="The script sends the short-lived token itself; what lasts stays out of its reach.",
                page="how-to/single-page-memory.md",
            ),
            Leaf(
                name="mobile",
                title="A short-lived JWT with refresh, as a bearer token",
                summary="The client keeps both tokens in its own storage and refreshes when it is told to.",
                page="how-to/mobile.md",
            ),
            Leaf(
                name="microservices",
                title="A JWT, which every service checks with a Verifier",
                summary="One desk signs in and signs out; services check by themselves and hear of sign-outs.",
                page="how-to/microservices.md",
            ),
            Leaf(
                name="identity-provider",
                title="The identity provider's tokens, checked by a Verifier",
                summary="The provider signs people in; your application checks its tokens against its published keys.",
                page="how-to/identity-provider.md",
            ),
        )
    }
)
"""By name."""

_ENTERS: Final = Headline(
    title="The identity provider signs in, a session of your own goes on",
    summary="Its token is checked once, at the entrance; the desk keeps the session that begins there, and can end it.",
)
_SESSION_BEARER: Final = Headline(
    title="A session, as a bearer token",
    summary="The client keeps one opaque token in its own storage; the desk keeps the record.",
)


def headline_of(plan: Plan) -> Headline:
    """What the plan recommends, in words."""
    if plan.enters:
        return _ENTERS
    if plan.service != "none":
        return _of(plan.leaf)
    if plan.credential == "session":
        return _of("server-rendered") if plan.transport == "cookie" else _SESSION_BEARER
    if plan.refresh_in == "cookie":
        usual = _of("single-page-memory")
    else:
        usual = _of("single-page-cookie" if plan.transport == "cookie" else "mobile")
    return usual if plan.credential == "jwt" else _encrypted(usual)


def _of(name: LeafName) -> Headline:
    return Headline(title=LEAVES[name].title, summary=LEAVES[name].summary)


def _encrypted(usual: Headline) -> Headline:
    title = usual.title.replace("A JWT", "An encrypted JWT").replace("lived JWT", "lived encrypted JWT")
    return Headline(title=title.replace("An access", "An encrypted access"), summary=usual.summary)
