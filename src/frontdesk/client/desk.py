"""The desk as a client sees it: which addresses are its own, what it is asked, what its answers mean. No I/O."""

from __future__ import annotations

import re
from collections.abc import Collection, Generator
from dataclasses import replace
from http import HTTPStatus
from itertools import count
from typing import Any, Final, NamedTuple

import httpx
import msgspec

from frontdesk.client.credentials import Credentials, Timers
from frontdesk.client.errors import SignedOutError, SignInError, UnavailableError
from frontdesk.core.discretion import Discreet, without_userinfo
from frontdesk.core.origin import leads_to_loopback
from frontdesk.errors import ConfigurationError

REPLY_SECONDS: Final = 10.0
"""A refresh whose answer takes longer is given up. With what a storage may take it makes 14 s: docs/rotation.md."""
SIGN_IN_SECONDS: Final = 30.0
"""A sign-in may wait in a queue: passwords are hashed."""
ATTEMPTS: Final = 3
"""So often a refresh is sent whose answer does not come, all within `REPLY_SECONDS`."""

OVER: Final = frozenset(
    {"session_ended", "session_expired", "session_idle", "session_replaced", "refresh_reused", "store_rolled_back"}
)
"""The session is over and never comes back: what is kept of it is forgotten."""

REFUSED_TOKEN: Final = frozenset({"credential_invalid", "credential_malformed", "transport_mismatch"})
"""The desk does not take the refresh token. It is kept: a desk that was started with another secret says so, too."""

_ORIGIN_PORTS: Final = {"http": 80, "https": 443}
_CHALLENGE: Final = re.compile(r'error_description="([a-z_]{1,64})"')
_HEADERS: Final = {"accept": "application/json", "accept-encoding": "identity"}

Origin = tuple[str, bytes, int | None]


class _Granted(Discreet, msgspec.Struct, frozen=True):
    """What a sign-in and a refresh answer, as far as a bearer client needs it."""

    access_token: str
    subject: str = ""
    session: str = ""
    expires_in: int = 0
    refresh_token: str = ""


class _Problem(msgspec.Struct, frozen=True):
    """A problem document (RFC 9457), as far as it decides something."""

    code: str
    detail: str = ""
    retry_after: int | None = None


_granted: Final = msgspec.json.Decoder(_Granted).decode
_problem: Final = msgspec.json.Decoder(_Problem).decode


class Renewed(NamedTuple):
    """A refresh that was granted. `minted`: it brought a new refresh token."""

    credentials: Credentials
    minted: bool


class Desk:
    """One desk, and the origins that its access tokens are for.

    ConfigurationError for an address that is not https, unless it is on loopback or `insecure_http` says so.
    """

    def __init__(self, base_url: str, *, prefix: str, origins: Collection[str], insecure_http: bool) -> None:
        if isinstance(origins, str):
            raise TypeError("origins is a collection of addresses, not one text")
        parsed = _address(base_url, insecure_http=insecure_http)
        self.url = str(parsed).rstrip("/")
        self.plain = parsed.scheme == "http"
        self._api = self.url + "/" + prefix.strip("/")
        self._home = _origin_of(parsed)
        others = (_address(origin, insecure_http=insecure_http) for origin in origins)
        self._origins = frozenset({self._home, *map(_origin_of, others)})

    def covers(self, url: httpx.URL) -> bool:
        """Whether an access token may be sent there."""
        return _origin_of(url) in self._origins

    def is_home(self, url: httpx.URL) -> bool:
        """Whether the desk itself answers there, which alone knows that a session is over."""
        return _origin_of(url) == self._home

    def login(self, email: str, password: str, credential: str | None) -> httpx.Request:
        """A sign-in. The deployment chooses the credential where None is asked for."""
        chosen = {} if credential is None else {"credential": credential}
        return self._post("login", {"email": email, "password": password, "transport": "bearer", **chosen})

    def refresh(self, refresh_token: str) -> httpx.Request:
        """A refresh. Without `Authorization`, which would decide."""
        return self._post("refresh", {"refresh_token": refresh_token})

    def logout(self, credentials: Credentials) -> httpx.Request:
        """A sign-out, named by every token that there is: one of them is authentic after keys were changed, too."""
        body = {"refresh_token": credentials.refresh_token} if credentials.refresh_token else {}
        request = self._post("logout", body)
        request.headers["Authorization"] = f"Bearer {credentials.access_token}"
        return request

    def _post(self, name: str, body: dict[str, Any]) -> httpx.Request:
        return httpx.Request("POST", f"{self._api}/{name}", json=body, headers=_HEADERS)


def _address(url: str, *, insecure_http: bool) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError):
        raise ConfigurationError(f"{without_userinfo(str(url))!r} is not the address of an application") from None
    if parsed.userinfo or parsed.query or parsed.fragment:  # a password may stand there: it is not shown
        raise ConfigurationError("the address of an application has no user, query or fragment")
    host = parsed.host
    safe = parsed.scheme == "https" or (parsed.scheme == "http" and (insecure_http or leads_to_loopback(host)))
    if not host or not safe:
        raise ConfigurationError(
            f"{url!r} is not an https address; plain http is for loopback, anywhere else insecure_http=True asks for it"
        )
    return parsed


def _origin_of(url: httpx.URL) -> Origin:
    return url.scheme, url.raw_host.lower(), url.port or _ORIGIN_PORTS.get(url.scheme)


def challenge_of(response: httpx.Response) -> str:
    """The code of a 401, as `WWW-Authenticate` tells it; "" for every other answer. The body is not looked at."""
    if response.status_code != HTTPStatus.UNAUTHORIZED:
        return ""
    found = _CHALLENGE.search(response.headers.get("www-authenticate", ""))
    return found[1] if found else ""


def read_sign_in(desk: Desk, answer: httpx.Response, issued_at: float) -> Credentials:
    """The credentials that a sign-in brought. SignInError for a refusal, UnavailableError for what settles nothing."""
    if answer.status_code == HTTPStatus.OK:
        return _credentials(desk.url, answer, issued_at)
    problem = _problem_of(answer)
    if problem is None or not HTTPStatus.BAD_REQUEST <= answer.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
        raise _unavailable(answer, problem)
    raise SignInError(problem.code, problem.detail, retry_after=problem.retry_after)


def read_sign_out(answer: httpx.Response) -> None:
    """Return when the session is over: it was ended, or nothing that we hold is known. Else UnavailableError."""
    if answer.status_code == HTTPStatus.NO_CONTENT:
        return
    problem = _problem_of(answer)
    if problem is None or answer.status_code != HTTPStatus.UNAUTHORIZED:
        raise _unavailable(answer, problem)


def renewal(
    desk: Desk, held: Credentials, timers: Timers
) -> Generator[httpx.Request, httpx.Response | httpx.HTTPError, Renewed]:
    """A refresh: yields requests, is sent the answer to each, or the fault in its stead, and returns what was granted.

    A refresh whose answer is lost is repeated with the same token, at once: at most `ATTEMPTS` times, within
    `REPLY_SECONDS`. Raises SignedOutError when the desk takes the token no longer, UnavailableError when nothing was
    settled. Whether the answer came too late is for whoever keeps it to say.
    """
    begun = timers.boot()
    for attempt in count(1):
        request = desk.refresh(held.refresh_token)
        left = REPLY_SECONDS - (timers.boot() - begun)
        request.extensions["timeout"] = httpx.Timeout(max(left, 0.1)).as_dict()
        issued_at = timers.wall()
        answer = yield request
        if isinstance(answer, httpx.Response):
            return _read_renewal(desk, held, answer, issued_at)
        late = timers.boot() - begun > REPLY_SECONDS
        if late or attempt == ATTEMPTS or isinstance(answer, httpx.ConnectError | httpx.ConnectTimeout):
            raise UnavailableError("the desk did not answer a refresh", detail=type(answer).__name__)
    raise AssertionError  # pragma: no cover - it counts for ever


def _read_renewal(desk: Desk, held: Credentials, answer: httpx.Response, issued_at: float) -> Renewed:
    if answer.status_code == HTTPStatus.OK:
        fresh = _credentials(desk.url, answer, issued_at)
        # Within grace no refresh token comes: the one that we have stays.
        kept = replace(fresh, refresh_token=fresh.refresh_token or held.refresh_token)
        return Renewed(kept, bool(fresh.refresh_token))
    problem = _problem_of(answer)
    if problem is not None and answer.status_code == HTTPStatus.UNAUTHORIZED and problem.code in OVER | REFUSED_TOKEN:
        raise SignedOutError(problem.code)
    raise _unavailable(answer, problem)


def _credentials(desk: str, answer: httpx.Response, issued_at: float) -> Credentials:
    try:
        granted = _granted(answer.content)
        return Credentials(
            desk=desk,
            access_token=granted.access_token,
            refresh_token=granted.refresh_token,
            expires_in=granted.expires_in,
            issued_at=issued_at,
            subject=granted.subject,
            session=granted.session,
        )
    except (msgspec.DecodeError, ValueError):
        raise UnavailableError("the answer is not one of a desk; is the address right?") from None


def _problem_of(answer: httpx.Response) -> _Problem | None:
    """The problem document of an answer, if it is one: others may answer, too, such as a proxy that finds no desk."""
    media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/problem+json":
        return None
    try:
        return _problem(answer.content)
    except (msgspec.DecodeError, UnicodeError):
        return None


def _unavailable(answer: httpx.Response, problem: _Problem | None) -> UnavailableError:
    code = "unavailable" if problem is None else problem.code
    told = answer.headers.get("retry-after", "")
    retry_after = int(told) if re.fullmatch(r"[0-9]{1,6}", told) else None
    said = f"the desk answered {answer.status_code}" + ("" if problem is None else f" {problem.code}")
    return UnavailableError(said, code=code, retry_after=retry_after)
