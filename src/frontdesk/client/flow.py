"""What happens to one request, as a generator that does no I/O: it yields what it needs and what is to be sent."""

from __future__ import annotations

from collections.abc import Generator
from typing import Final, NamedTuple

import httpx

from frontdesk.client.credentials import Held
from frontdesk.client.desk import OVER, Desk, challenge_of
from frontdesk.core.origin import SAFE_METHODS

TOKEN_EXPIRED: Final = "token_expired"  # noqa: S105 - a code


class Need(NamedTuple):
    """Credentials are needed, other than those that were `refused` with `code`. Who cannot give any raises."""

    refused: Held | None = None
    code: str = ""


Answer = Held | httpx.Response


def steps(request: httpx.Request, desk: Desk) -> Generator[Need | httpx.Request, Answer, None]:
    """Send `request` with an access token, and once more with another when the first has expired.

    Yields `Need`, and is sent `Held`; yields the request, and is sent its answer. The answer that came last is the
    caller's. A request to any other origin goes out as it is. One whose body cannot be sent twice is not repeated: its
    401 is the answer, and new credentials are there for whoever sends it again. Nor is one that was done: then the 401
    is that of a page which its answer led to, and the next request finds out for itself. None is repeated as somebody
    else, who has signed in meanwhile.
    """
    if not desk.covers(request.url):
        yield request
        return
    held = yield from _credentials(Need())
    answer = yield from _sent(request, held)
    code = _code(answer, held, desk)
    if (code != TOKEN_EXPIRED and code not in OVER) or was_done(request, answer):
        return
    fresh = yield from _credentials(Need(held, code))
    if not can_be_repeated(request) or _is_anothers(fresh, held):
        return
    answer = yield from _sent(request, fresh)
    code = _code(answer, fresh, desk)
    if code in OVER and not was_done(request, answer):
        yield from _credentials(Need(fresh, code))


def can_be_repeated(request: httpx.Request) -> bool:
    """Whether the body is in memory whole. A file or a generator stands at its end after the first time."""
    return isinstance(request.stream, httpx.ByteStream)


def was_done(request: httpx.Request, answer: httpx.Response) -> bool:
    """Whether the request may have changed something before `answer` came: it was answered with a redirect, and what
    that led to is what was refused."""
    redirected = any(each.is_redirect for each in answer.history)
    return redirected and request.method not in SAFE_METHODS


def _is_anothers(fresh: Held, held: Held) -> bool:
    """Whether these are another subject's, as far as both are known."""
    before, now = held.credentials.subject, fresh.credentials.subject
    return before != now and "" not in {before, now}


def _credentials(need: Need) -> Generator[Need, Answer, Held]:
    answer = yield need
    assert isinstance(answer, Held)
    return answer


def _sent(request: httpx.Request, held: Held) -> Generator[httpx.Request, Answer, httpx.Response]:
    request.headers["Authorization"] = f"Bearer {held.credentials.access_token}"
    answer = yield request
    assert isinstance(answer, httpx.Response)
    return answer


def _code(answer: httpx.Response, held: Held, desk: Desk) -> str:
    """The code of a 401 that decides something. One that somebody else gave after redirects does not, and no service
    has a session forgotten: what it says is a reason to ask the desk, where a refresh can."""
    url = answer.request.url
    code = challenge_of(answer) if desk.covers(url) else ""
    if desk.is_home(url) or (code != TOKEN_EXPIRED and code not in OVER):
        return code
    return TOKEN_EXPIRED if held.credentials.refresh_token else ""
