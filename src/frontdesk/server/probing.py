"""A running deployment as a stranger meets it: a few requests without credentials, bounded in time and in bytes.

It signs nobody in and follows no redirect to another host. The standard library's client is used: it shows the
certificate, each `Set-Cookie` by itself and what is sent, and asks for nothing to be installed.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urljoin, urlsplit

from publicsuffixlist import PublicSuffixList

from frontdesk.clock import TIMER, Timer
from frontdesk.core.cookies import is_token
from frontdesk.doctor.observed import Certificate, CookieSeen, SiteSeen, Unseen, host_of, origin_of
from frontdesk.errors import ConfigurationError
from frontdesk.server.lines import connected

SECONDS: Final = 5.0
"""How long one request may take, and"""
ALTOGETHER: Final = 60.0
"""how long all of them."""
LARGEST_BODY: Final = 64 * 1024
_HOPS: Final = 5
_PREFIX: Final = re.compile(r"(?:/[A-Za-z0-9._~-]+)+/?")
_COOKIES: Final = 50
_ELSEWHERE: Final = "https://doctor.invalid"
"""An origin and, without its scheme, a host that nobody can own (RFC 2606)."""

Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. Header names are in lower case; of a header that came twice the last value, but every cookie."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    cookies: tuple[str, ...] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def document(self) -> Mapping[str, Any]:
        """The body as a JSON object; empty when it is none."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


class _OverError(Exception):
    """The time for all requests together is over."""


class Probe:
    """Looks at one base URL. ConfigurationError for a URL that is none.

    prefix: where the API is mounted below it. ca_file: an authority to trust beside those of the system. connect: port
    → where to connect instead of to the host of the URL, for a deployment that its name does not lead to yet.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "/auth",
        ca_file: Path | None = None,
        connect: Mapping[int, Place] | None = None,
        timer: Timer = TIMER,
    ) -> None:
        self._origin = origin_of(url)
        parts = urlsplit(url if self._origin else "")
        if parts.scheme not in {"http", "https"} or parts.query or parts.fragment or not parts.path.isascii():
            raise ConfigurationError("--url is the address that browsers use, such as https://desk.example, in ASCII")
        if _PREFIX.fullmatch(prefix) is None:
            raise ConfigurationError("--prefix is where the API is mounted, such as /auth")
        self._path, self._prefix = parts.path.rstrip("/"), prefix.rstrip("/")
        self._api = self._path + self._prefix
        self._base = self._origin + self._path
        self._host, self._https = host_of(url).strip("[]"), parts.scheme == "https"
        self._port = parts.port or (443 if self._https else 80)
        self._authority = urlsplit(self._origin).netloc
        self._connect = dict(connect or {})
        self._context = _context(ca_file)
        self._ends_at = timer() + ALTOGETHER
        self._timer = timer
        self._unseen: list[Unseen] = []
        self._suffixes = PublicSuffixList()

    def look(self) -> tuple[SiteSeen | None, tuple[Unseen, ...]]:
        """What was seen, and what could not be. Blocks for as long as the deployment takes, a minute at most."""
        certificate = self._certificate() if self._https else None
        begun = SiteSeen(url=self._base, prefix=self._prefix, certificate=certificate)
        if certificate is not None and not certificate.trusted:
            # The certificate is the finding; behind it nothing is asked for whom nobody vouches.
            self._miss("what the deployment answers", "its certificate is not trusted")
            return begun, tuple(self._unseen)
        health = self._try("the desk's API", lambda: self._ask("GET", self._api + "/health"))
        if health is None:
            return None, tuple(self._unseen)
        if "ready" not in health.document:
            said = f"{begun.api_url}/health is not answered by a desk ({health.status}); --prefix says where its API is"
            self._miss("the desk's API", said)
            return self._of_page(begun), tuple(self._unseen)
        reflects, allows = self._cross_origin()
        site = replace(
            begun,
            api=health.headers,
            healthy=health.document.get("ready") is True,
            cookies=tuple(self._cookies(self._api + "/health", health)),
            plain_http=self._plain_http(),
            serves_any_host=self._serves_any_host(),
            host_is_lost=self._loses_host(),
            takes_plain_origin=self._takes_plain_origin(),
            explains_to_strangers=self._explains(),
            open_metrics=self._tells_metrics(),
            reflects_origin=reflects,
            allows_credentials=allows,
        )
        return self._of_page(site), tuple(self._unseen)

    # --- what is asked ----------------------------------------------------------------------------------------

    def _of_page(self, site: SiteSeen) -> SiteSeen:
        """With the page for people and the cookies that it sets."""
        found = self._try("the page for people", self._page)
        if found is None:
            return site
        path, answer, cookies = found
        seen = {each.name: each for each in (*cookies, *site.cookies)}
        return replace(site, page=answer.headers, page_path=path, cookies=tuple(seen.values())[:_COOKIES])

    def _page(self) -> tuple[str, Answer, list[CookieSeen]]:
        """The first page, behind redirects that stay on this origin; and every cookie set on the way."""
        path = self._path + "/"
        cookies: list[CookieSeen] = []
        for _ in range(_HOPS):
            answer = self._ask("GET", path, {"accept": "text/html"})
            cookies += self._cookies(path, answer)
            target = urljoin(self._origin + path, answer.headers.get("location", ""))
            if answer.status not in {301, 302, 303, 307, 308} or "location" not in answer.headers:
                break
            if origin_of(target) != self._origin:
                self._miss("the page for people", f"{path} leads to another host, which is not asked")
                break
            path = urlsplit(target)._replace(scheme="", netloc="", fragment="").geturl() or "/"
        return path, answer, cookies

    def _serves_any_host(self) -> bool | None:
        host = urlsplit(_ELSEWHERE).netloc
        answer = self._try("an unknown Host", lambda: self._ask("GET", self._api + "/health", {"host": host}))
        return None if answer is None else "ready" in answer.document

    def _loses_host(self) -> bool | None:
        """Whether a request of this very origin counts as foreign: then another Host arrived than was sent. It carries
        no credential and is refused in either case."""
        ask = partial(self._ask, "POST", self._api + "/refresh", {"origin": self._origin})
        answer = self._try("a request of its own origin", ask)
        return None if answer is None else answer.document.get("code") == "cross_origin"

    def _takes_plain_origin(self) -> bool | None:
        """Whether a request from this host over plain http counts as one of its own: the desk refuses it where it knows
        that browsers come by https. It carries no credential and is refused in either case."""
        if not self._https:
            return None
        ask = partial(self._ask, "POST", self._api + "/refresh", {"origin": f"http://{self._authority}"})
        answer = self._try("a request of its own origin over http", ask)
        return None if answer is None else answer.document.get("code") == "not_signed_in"

    def _explains(self) -> bool | None:
        answer = self._try(f"{self._prefix}/explain", lambda: self._ask("GET", self._api + "/explain"))
        return None if answer is None else answer.status == 200 and bool(answer.document.get("facts"))

    def _tells_metrics(self) -> bool | None:
        answer = self._try("/metrics", lambda: self._ask("GET", self._path + "/metrics"))
        return None if answer is None else answer.status == 200 and b"frontdesk_" in answer.body

    def _cross_origin(self) -> tuple[bool | None, bool]:
        """Whether pages of any origin may read an answer, and one to their user's credentials."""
        reflects, allows = None, False
        for origin in (_ELSEWHERE, "null"):
            answer = self._try("another origin", partial(self._ask, "GET", self._api + "/me", {"origin": origin}))
            if answer is not None:
                let = answer.headers.get("access-control-allow-origin") in {origin, "*"}
                reflects = reflects or let
                allows = allows or (let and answer.headers.get("access-control-allow-credentials") == "true")
        return reflects, allows

    def _plain_http(self) -> Literal["closed", "redirects", "answers"] | None:
        """What http says under the same name, where https has its own port."""
        if not self._https or self._port != 443:
            return None
        try:
            answer = self._ask("GET", "/", over=(False, 80))
        except _OverError:
            self._miss("http under the same name", "the time for all requests was over")
            return None
        except (OSError, HTTPException):
            return "closed"
        try:
            leads = urljoin(f"http://{self._host}/", answer.headers.get("location", ""))
        except ValueError:  # it names no address
            return "answers"
        return "redirects" if answer.status in {301, 302, 307, 308} and leads.startswith("https://") else "answers"

    # --- TLS --------------------------------------------------------------------------------------------------

    def _certificate(self) -> Certificate | None:
        try:
            with (
                self._connected(self._port) as plain,
                self._context.wrap_socket(plain, server_hostname=self._host) as line,
            ):
                expires = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(_certificate_of(line)["notAfter"])), UTC)
        except ssl.SSLCertVerificationError as error:
            return Certificate(trusted=False, why_not=error.verify_message, expired=error.verify_code == _EXPIRED)
        except (OSError, _OverError):
            return None  # the requests that follow say why
        return Certificate(trusted=True, expires=expires, old_protocol=self._old_protocol())

    def _old_protocol(self) -> str:
        """The protocol before TLS 1.2 that the deployment agrees to, "" when it does not."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # what is asked is whether these are still spoken
                context.set_ciphers("ALL:@SECLEVEL=0")
                context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        except (ValueError, ssl.SSLError):
            self._miss("protocols before TLS 1.2", "this Python cannot speak them")
            return ""
        try:
            with self._connected(self._port) as plain, context.wrap_socket(plain, server_hostname=self._host) as line:
                return line.version() or ""
        except (OSError, _OverError):
            return ""

    # --- a request --------------------------------------------------------------------------------------------

    def _try(self, subject: str, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except _OverError:
            self._miss(subject, "the time for all requests was over")
        except (OSError, HTTPException, ValueError) as error:
            self._miss(subject, _reason(error))
        return None

    def _miss(self, subject: str, why: str) -> None:
        self._unseen.append(Unseen(subject, why))

    def _ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, over: tuple[bool, int] | None = None
    ) -> Answer:
        """One request on a connection of its own."""
        https, port = over or (self._https, self._port)
        usual = {"host": self._authority, "accept": "application/json", "user-agent": "frontdesk-doctor"}
        with self._connected(port) as plain:
            line = self._context.wrap_socket(plain, server_hostname=self._host) if https else plain
            with line:
                connection = http.client.HTTPConnection(self._host, port)
                connection.sock = line
                connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
                for name, value in {**usual, **(headers or {}), "connection": "close"}.items():
                    connection.putheader(name, value)
                connection.endheaders()
                with connection.getresponse() as response:
                    return _answer(response)

    @contextmanager
    def _connected(self, port: int) -> Iterator[socket.socket]:
        """A connection within the time that is left. TimeoutError when its own is over."""
        left = min(SECONDS, self._ends_at - self._timer())
        if left <= 0:
            raise _OverError
        with connected(self._connect.get(port, (self._host, port)), left) as line:
            yield line

    def _cookies(self, path: str, answer: Answer) -> Iterator[CookieSeen]:
        for line in answer.cookies:
            name, equals, _ = line.partition(";")[0].partition("=")
            name = name.strip()
            if not equals or not is_token(name):
                continue
            said = _attributes(line)
            domain = said.get("domain", "").lstrip(".").lower()
            yield CookieSeen(
                name=name,
                path=path,
                domain=domain,
                public_suffix=bool(domain) and self._suffixes.is_public(domain),
                secure="secure" in said,
                http_only="httponly" in said,
                same_site=said.get("samesite", ""),
            )


_EXPIRED: Final = 10
"""X509_V_ERR_CERT_HAS_EXPIRED of OpenSSL."""


def _context(ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except (OSError, ssl.SSLError):
            raise ConfigurationError(f"{ca_file} holds no certificates in PEM that could be read") from None
    return context


def _certificate_of(line: ssl.SSLSocket) -> Mapping[str, Any]:
    return line.getpeercert() or {}


def _answer(response: HTTPResponse) -> Answer:
    return Answer(
        status=response.status,
        headers={name.lower(): value for name, value in response.getheaders()},
        cookies=tuple(response.headers.get_all("set-cookie") or ()),
        body=response.read(LARGEST_BODY),
    )


def _attributes(line: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in line.split(";")[1:])
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _reason(error: Exception) -> str:
    """Why a request failed, in words of the system's and not of the deployment's."""
    if isinstance(error, TimeoutError):
        return f"no answer within {SECONDS:g} seconds"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason or 'unknown'})"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return f"the answer is no HTTP ({type(error).__name__})"
