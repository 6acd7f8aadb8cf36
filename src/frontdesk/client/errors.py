"""What the client raises::

    FrontdeskError
    ├── SignedOutError      nobody is signed in: sign in again; `code` says why
    ├── SignInError         the desk refused a sign-in: a wrong password, too many attempts …
    ├── StorageError        the credentials cannot be kept or read: others may read the file, the disk is full …
    └── UnavailableError    the desk could not be asked, or not now: try again later. Also a `httpx.TransportError`

Only the first means that somebody has to sign in. No message holds a credential or a password.
"""

from __future__ import annotations

from typing import Final, Self

import httpx

from frontdesk.errors import CODES, FrontdeskError

_OWN_WORDS: Final = {
    "not_signed_in": "Nobody is signed in.",
    "token_expired": "The access token has expired, and there is nothing to renew it with.",
}


def sentence_of(code: str) -> str:
    """The sentence that belongs to a code of docs/errors.md; for one that is newer than this client, the code."""
    known = CODES.get(code)
    return f"The desk says {code}." if known is None else known.title


class SignedOutError(FrontdeskError):
    """Nobody is signed in. `code` is one of docs/errors.md, such as `not_signed_in` or `session_ended`."""

    def __init__(self, code: str) -> None:
        super().__init__(_OWN_WORDS.get(code) or sentence_of(code))
        self.code = code


class SignInError(FrontdeskError):
    """The desk refused a sign-in. `code` says why; `retry_after`, in seconds, how long to wait where it said so."""

    def __init__(self, code: str, detail: str = "", *, retry_after: int | None = None) -> None:
        super().__init__(detail or sentence_of(code))
        self.code = code
        self.retry_after = retry_after


class StorageError(FrontdeskError):
    """The credentials could not be read or kept. Nothing was lost that the desk would not give again."""

    code = "storage_failed"


class UnavailableError(FrontdeskError, httpx.TransportError):
    """The desk could not be asked, or answered what settles nothing: a network fault, a 503. Nobody was signed out.

    `code` is that of the desk where it gave one (`store_unavailable`, `overloaded`), else `unavailable`; `retry_after`,
    in seconds, is what it asked for. The request that was being made is `request`; it was not sent, or it was refused
    for the age of its token and did nothing.
    """

    def __init__(
        self, message: str, *, code: str = "unavailable", retry_after: int | None = None, detail: str = ""
    ) -> None:
        super().__init__(message, detail=detail)
        self.code = code
        self.retry_after = retry_after

    def about(self, request: httpx.Request) -> Self:
        """The same about one request, of which nothing secret is kept: several may wait for one refresh."""
        told = type(self)(self.message, code=self.code, retry_after=self.retry_after, detail=self.detail)
        told.request = httpx.Request(request.method, request.url)
        return told
