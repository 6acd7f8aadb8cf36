"""Clients that are signed in: sessions and tokens made in the database that a server is then started on."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path
from typing import Final, Literal

from frontdesk.core.cookies import CookieSettings, names_in_force
from frontdesk.core.sessions import CredentialKind
from frontdesk.errors import Refusal
from frontdesk.service.desk import Desk
from frontdesk.service.settings import DeskSettings, SigningAlgorithm
from frontdesk.service.sign_in import Grant, Signed, SignInOptions
from frontdesk.wiring import build_desk

HOST: Final = "app.example"
"""What `Host` says: off loopback the cookies have their ordinary names."""

_numbers: Final[Iterator[int]] = count()


def url(database: Path) -> str:
    return f"sqlite:///{database}"


@contextlib.asynccontextmanager
async def desk(store: str, signing: SigningAlgorithm = "ES256", secret: str | None = None) -> AsyncIterator[Desk]:
    """An open desk over the store that the URL names."""
    opened = build_desk(store, secret=secret, settings=DeskSettings(signing=signing))
    await opened.open()
    try:
        yield opened
    finally:
        await opened.close()


async def signed_in(at: Desk, credential: CredentialKind, transport: Literal["cookie", "bearer"] = "bearer") -> Signed:
    """A new subject's sign-in."""
    signed = await at.sign_in(
        Grant(subject=f"subject-{next(_numbers)}", roles=("teller",)),
        options=SignInOptions(credential=credential, transport=transport),
    )
    assert not isinstance(signed, Refusal)
    return signed


async def access_tokens(at: Desk, signed: Signed, number: int) -> list[str]:
    """So many different access tokens of one session; each refresh within grace brings one."""
    tokens = []
    for _ in range(number):
        refreshed = await at.refresh((signed.refresh_token or "").encode(), "body")
        assert not isinstance(refreshed, Refusal)
        tokens.append(refreshed.access_token.text)
    return tokens


def bearer(token: str | None) -> dict[str, str]:
    assert token
    return {"Host": HOST, "Authorization": f"Bearer {token}"}


def session_cookie(token: str | None) -> dict[str, str]:
    assert token
    name = names_in_force("http", HOST.encode(), CookieSettings()).session.decode()
    return {"Host": HOST, "Cookie": f"{name}={token}"}
