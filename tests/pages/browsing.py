"""A visitor of the pages without a browser: keeps cookies, follows what a page says, sends forms as browsers do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urlencode

import msgspec

from frontdesk.core.accounts import Account
from frontdesk.core.sessions import Session
from frontdesk.endpoints.gate import Gate
from frontdesk.endpoints.http import Header, Request, Response
from frontdesk.endpoints.settings import EdgeSettings
from frontdesk.pages import Pages
from tests.service.desks import PASSWORD, TestDesk, make_store

ALICE = "alice@example.com"
BOB = "bob@example.com"
FORM = (b"content-type", b"application/x-www-form-urlencoded")
SAME_ORIGIN = (b"sec-fetch-site", b"same-origin")
HTML = (b"accept", b"text/html,application/xhtml+xml,*/*;q=0.8")
NAVIGATION = ((b"sec-fetch-mode", b"navigate"), (b"sec-fetch-dest", b"document"))


class Visitor:
    """One browser profile. `jar` is its cookies by name."""

    def __init__(self, pages: Pages, *, scheme: str = "http", host: str = "localhost:8000", root: str = "") -> None:
        self.pages = pages
        self.jar: dict[str, str] = {}
        self.scheme = scheme
        self.host = host
        self.root = root
        self.agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

    async def get(self, target: str, *headers: Header) -> Response:
        return await self._send("GET", target, (HTML, SAME_ORIGIN, *NAVIGATION, *headers), b"")

    async def post(self, target: str, fields: Mapping[str, str] | None = None, *headers: Header) -> Response:
        body = urlencode(fields or {}).encode()
        sent = headers or (SAME_ORIGIN,)
        return await self._send("POST", target, (HTML, FORM, *NAVIGATION, *sent), body)

    async def post_body(self, target: str, body: bytes, *headers: Header) -> Response:
        return await self._send("POST", target, (HTML, SAME_ORIGIN, *headers), body)

    async def sign_up(self, email: str = ALICE, password: str = PASSWORD) -> Response:
        return await self.post("/signup", {"email": email, "password": password})

    async def sign_in(self, email: str = ALICE, password: str = PASSWORD, **fields: str) -> Response:
        return await self.post("/signin", {"email": email, "password": password, **fields})

    async def _send(self, method: str, target: str, headers: tuple[Header, ...], body: bytes) -> Response:
        path, _, query = target.partition("?")
        cookie = "; ".join(f"{name}={value}" for name, value in self.jar.items())
        own = [(b"host", self.host.encode()), (b"user-agent", self.agent.encode())]
        if cookie:
            own.append((b"cookie", cookie.encode()))
        answer = await self.pages.answer(
            Request(
                method=method,
                path=path,
                query=query,
                headers=(*own, *headers),
                scheme=self.scheme,
                root_path=self.root,
                peer="198.51.100.7",
                body=body,
            )
        )
        self._keep(answer)
        return answer

    def _keep(self, answer: Response) -> None:
        for value in headers_of(answer, "set-cookie"):
            name, morsel = next(iter(SimpleCookie(value).items()))
            self.jar.pop(name, None)
            if morsel["max-age"] != "0":
                self.jar[name] = morsel.value


class Element(msgspec.Struct, frozen=True):
    tag: str
    attributes: Mapping[str, str | None]

    def __getitem__(self, name: str) -> str | None:
        return self.attributes.get(name)


_IN_A_LINE = {"a", "b", "code", "span", "strong", "time", "wbr"}


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self.words: list[str] = []
        self._hidden = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"<{tag}> has an attribute twice: {names}"
        self.elements.append(Element(tag, dict(attrs)))
        self._hidden = tag in {"style", "script"}
        if tag not in _IN_A_LINE:
            self.words.append(" ")

    def handle_endtag(self, tag: str) -> None:
        self._hidden = False

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words.append(data)


def elements_of(page: Response, tag: str = "") -> list[Element]:
    """The elements of a page, or those of one kind."""
    reader = _Reader()
    reader.feed(page.body.decode())
    return [element for element in reader.elements if not tag or element.tag == tag]


def text_of(page: Response) -> str:
    """What a reader sees, in one line."""
    reader = _Reader()
    reader.feed(page.body.decode())
    return " ".join("".join(reader.words).split())


def header_of(answer: Response, name: str) -> str | None:
    values = headers_of(answer, name)
    assert len(values) <= 1, f"{name} came {len(values)} times"
    return values[0] if values else None


def headers_of(answer: Response, name: str) -> list[str]:
    return [value.decode("latin-1") for key, value in answer.header_list() if key == name.encode()]


class House:
    """A desk with its pages, over a store in memory."""

    def __init__(self, edge: EdgeSettings | None = None, *, desk: TestDesk | None = None) -> None:
        self.desk = desk or TestDesk(make_store("memory", Path()))
        self.pages = Pages(Gate(self.desk, edge or EdgeSettings()), advises=True)

    def visitor(self, *, scheme: str = "http", host: str = "localhost:8000", root: str = "") -> Visitor:
        return Visitor(self.pages, scheme=scheme, host=host, root=root)

    async def sessions(self, email: str = ALICE) -> tuple[Session, ...]:
        """The standing sessions of an account."""
        return await self.desk.sessions((await self.account(email)).id)

    async def account(self, email: str = ALICE) -> Account:
        account = await self.desk.accounts.by_email(email)
        assert account is not None
        return account


def play(scenario: Callable[[House], Awaitable[None]], house: House | None = None) -> None:
    """Open, play, close."""
    inside = house or House()

    async def run() -> None:
        await inside.desk.open()
        try:
            await scenario(inside)
        finally:
            await inside.desk.close()

    asyncio.run(run())
