"""Uses a desk over one store in every way, hears what it tells, and keeps the secrets that everybody was given."""

from __future__ import annotations

import asyncio
import json
import secrets as random
import socket
import subprocess
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx
from typer.testing import CliRunner

from frontdesk.cli.commands import app
from frontdesk.client import Credentials, FileStorage, FrontdeskAuth
from tests.requirements import ROOT, find_node
from tests.secrets_of_the_run import Secrets
from tests.server.processes import PASSWORD, PATIENCE, Server, Visitor, visiting
from tests.server.talkative import STUMBLE
from tests.servers.postgresql import PostgreSQL
from tests.servers.redis import RedisServer

EMAIL: Final = "alice@example.com"
WAYS: Final = (
    ("session", "cookie"), ("session", "bearer"), ("jwt", "bearer"), ("jwt", "cookie"), ("jwe", "cookie"),
    ("jwe", "bearer"),
)  # fmt: skip
"""In an order in which two servers that take turns both meet every credential and every transport, as far as may be."""
_QUERIES: Final[tuple[dict[str, str], ...]] = (
    {},
    {"path": "/auth/me"},
    {"path": "/auth/sessions", "method": "DELETE"},
    {"path": "/auth/refresh", "method": "POST"},
)
_TALKATIVE: Final = str(Path(__file__).with_name("talkative.py"))
_BROWSER: Final = str(Path(__file__).with_name("browser_client.mjs"))
_ENVIRON: Final = {"COLUMNS": "80", "NO_COLOR": "1", "PYTHONPATH": str(ROOT)}

_HANDSHAKE: Final = (
    "connection: upgrade\r\nupgrade: websocket\r\n"
    "sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)

Headers = Sequence[tuple[str, str]]


# --- stores -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A store of the test's own. `settings` are those of the file; `astray` are URLs by which nobody gets in.

    read: tell `Secrets` what it holds. hurt: from now on the desk gets no answer from it, or none that can be used.
    """

    url: str
    settings: dict[str, str] = field(default_factory=dict)
    passwords: tuple[str, ...] = ()
    astray: tuple[str, ...] = ()
    read: Callable[[Secrets], None]
    hurt: Callable[[], None]


def in_a_file(directory: Path) -> Kept:
    """SQLite and its key file. It is hurt by writing over it."""
    file = directory / "desk.db"

    def read(secrets: Secrets) -> None:
        secrets.read_key_file(file.with_name("desk.db.key"))
        secrets.read_database(file)

    def hurt() -> None:
        file.with_name("desk.db-wal").unlink(missing_ok=True)
        file.write_bytes(b"SQLite format 3\0" + random.token_bytes(file.stat().st_size))

    return Kept(url=f"sqlite:///{file}", astray=(f"sqlite:///{directory}",), read=read, hurt=hurt)


@contextmanager
def in_postgresql(server: PostgreSQL) -> Iterator[Kept]:
    """A database of a role of its own, over TCP. It is hurt by giving the role another password and hanging up."""
    role, password, secret = (
        f"told_{random.token_hex(6)}",
        f"{random.token_urlsafe(12)}:/@ ?#",
        random.token_urlsafe(32),
    )
    port, name = server.port, role
    url = f"postgresql://{role}:{quote(password, safe='')}@127.0.0.1:{port}/{name}"

    def run(*statements: str) -> None:
        for statement in statements:
            asyncio.run(server.execute(statement))

    def read(secrets: Secrets) -> None:
        secrets.add_master(secret)
        asyncio.run(secrets.read_postgresql(url))

    def hurt() -> None:
        run(f"ALTER ROLE {role} PASSWORD '{random.token_hex(8)}'")
        asyncio.run(server.disconnect(url))

    run(f"CREATE ROLE {role} LOGIN PASSWORD '{password}'", f"CREATE DATABASE {name} OWNER {role}")
    try:
        yield Kept(
            url=url,
            settings={"secret": secret},
            passwords=(password,),
            astray=(
                url.replace(f"{port}/{name}", f"{port}/no_such_database"),
                url.replace(f":{port}/", ":1/"),
                url.replace("@127", "wrong@127"),
                f"{url}?sslmode=verify-full&timeout=1",
                f"{url}?timeout=never",
                url.replace(quote(password, safe=""), password),
                url.replace("postgresql://", "postgres+asyncpg://"),
                url.replace("postgresql://", ""),
            ),
            read=read,
            hurt=hurt,
        )
    finally:
        run(f"DROP DATABASE {name} WITH (FORCE)", f"DROP ROLE {role}")


@contextmanager
def in_redis(directory: Path) -> Iterator[Kept]:
    """A Redis that asks for a password. It is hurt by killing it."""
    password, secret = random.token_urlsafe(16), random.token_urlsafe(32)
    with RedisServer(directory, options={"requirepass": password}) as server:
        url = f"redis://:{password}@127.0.0.1:{server.port}/0"

        def read(secrets: Secrets) -> None:
            secrets.add_master(secret)
            secrets.read_redis(server)

        yield Kept(
            url=url,
            settings={"secret": secret},
            passwords=(password,),
            astray=(
                url.replace(":1", ":2"),
                url.replace(f":{password}", f":{password}wrong"),
                url.replace(f":{password}", password),
                url.replace("/0", "/zero"),
                f"{url}?timeout=never",
                f"{url}?{password}=1",
                url.replace("redis://:", "redis+sentinel://:").replace("/0", "/desk"),
                url.replace("redis://", "redis//"),
            ),
            read=read,
            hurt=server.kill,
        )


# --- listening --------------------------------------------------------------------------------------------------------


class Ears:
    """Keeps what was told, by where, and the secrets that clients were given."""

    def __init__(self, directory: Path, kept: Kept) -> None:
        self.directory = directory
        self.kept = kept
        self.secrets = Secrets()
        self.outputs: dict[str, str] = {}
        self.config = directory / "frontdesk.toml"
        self.secrets.add("the password of an account", PASSWORD)
        for password in kept.passwords:
            self.secrets.add("the password of the store", password)
        settings = {"store": kept.url, "hashing": "small", **kept.settings}
        self.config.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items()))
        self.config.chmod(0o600)

    def hear(self, where: str, text: str) -> None:
        self.outputs[where] = self.outputs.get(where, "") + text + "\n"

    def command(self, where: str, *words: str, stdin: str = "", config: bool = True) -> str:
        """Run a command, and hear what it prints and how it fails; its standard output."""
        configured = ["--config", str(self.config)] if config and "--config" not in words else []
        result = CliRunner().invoke(app, [*words, *configured], input=stdin, env=_ENVIRON)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            self.hear(where, "".join(traceback.format_exception(result.exception)))
        self.hear(where, result.stdout + result.stderr)
        return result.stdout

    def service(self, name: str, scope: str) -> str:
        """The credential of a new service, which is told to nobody else."""
        words = ("services", "add", name, "--scope", scope, "--config", str(self.config))
        credential = CliRunner().invoke(app, words, env=_ENVIRON).stdout.strip()
        self.secrets.add_token("the credential of a service", credential)
        return credential

    def keep(self, visitor: Visitor, refresh_token: str = "") -> None:
        """Know what a visitor was given."""
        for name, value in visitor.cookies.items():
            self.secrets.add_token(f"the cookie {name}", value)
        if visitor.bearer:
            self.secrets.add_token("a bearer token", visitor.bearer)
        if refresh_token:
            self.secrets.add_token("a refresh token in a body", refresh_token)

    def failing(self, where: str, act: Callable[[], object]) -> None:
        """Hear how something fails: the traceback, the exception and what hangs on it."""
        try:
            self.hear(where, repr(act()))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is heard
            told = [*traceback.format_exception(error), repr(error), repr(vars(error))]
            request = getattr(error, "_request", None)
            if request is not None:
                told += [repr(request.headers.raw), repr(request.read())]
            self.hear(where, "\n".join(told))


class Listener:
    """Talks to the servers on one store, and hears them. Who asks the second one is a developer."""

    def __init__(self, ears: Ears, http: httpx.Client, servers: Sequence[Server]) -> None:
        self.ears = ears
        self.servers = servers
        self._http = http
        self.service = ears.service("support", "explain")
        self.scraper = ears.service("scraper", "metrics")
        (ears.directory / "service").write_text(self.service)

    def ask(self, where: str, server: Server, path: str, headers: Headers = (), **how: Any) -> None:
        """One request whose answer is heard, and not what it sets: that is for the client alone."""
        answer = self._http.request(how.pop("method", "GET"), server.url + path, headers=[*headers], **how)
        told = [(name, value) for name, value in answer.headers.multi_items() if name != "set-cookie"]
        self.ears.hear(where, f"{answer.text}{told}")

    def explain(self, who: str, server: Server, headers: Headers, *, body: str = "", **query: str) -> None:
        name = who if server is self.servers[0] else "a developer"
        how = {"method": "POST", "content": body} if body else {}
        self.ask(f"explain, told to {name}", server, "/auth/explain", headers, params=query, **how)

    def explain_bodies(self, server: Server, headers: Headers, token: str) -> None:
        """Bodies that hold a password or a token where it belongs, where it does not, or in what is no JSON."""
        sent = {"email": EMAIL, "password": PASSWORD, "refresh_token": token}
        asked = (
            ("/auth/login", sent),
            ("/auth/register", {**sent, "email": "bob@example.com", "password": f"{PASSWORD[:9]}{EMAIL}{token}"}),
            ("/auth/login", {"email": token, "password": [token], token: PASSWORD, "credential": token}),
            ("/auth/register", {"email": PASSWORD, "password": PASSWORD, "remember": token}),
            ("/auth/refresh", {"refresh_token": token}),
            ("/auth/refresh", {"refresh_token": f"{token}="}),
            ("/auth/logout", {"refresh_token": _value_of(headers)}),
            ("/auth/revocations", {"session": token, "subject": _value_of(headers)}),
            ("/auth/revocations", {"session": token}),
            ("/auth/revocations", {"key": token}),
        )
        json_of = ("content-type", "application/json")
        for path, content in asked:
            for body, kind in ((json.dumps(content), json_of), (json.dumps(content)[:-2], ("content-type", token))):
                query = {"body": body, "path": path, "method": "POST"}
                self.explain("a stranger", server, [kind], **query)
                self.explain("the holder", server, [*headers, kind], **query)
                self.explain("a service", server, [("frontdesk-service", self.service), kind], **query)
        file = self.ears.directory / "body"
        file.write_text(json.dumps(sent))
        words = ("--url", f"{server.url}/auth/login", "--body-file", str(file))
        for extra in ([], ["--json", "--service-file", str(self.ears.directory / "service")]):
            self.ears.command("frontdesk explain", "explain", *words, *extra, config=False)

    def use(self, server: Server, credential: str, transport: str) -> None:
        """Sign in, ask, be careless, refresh, sign out."""
        seeing = ("frontdesk-service", self.service)
        with visiting(server) as visitor:
            token = visitor.sign_in(EMAIL, credential=credential, transport=transport).get("refresh_token", "")
            self.ears.keep(visitor, token)
            headers = list(visitor.headers().items())
            for query in _QUERIES:
                self.explain("the holder", server, headers, **query)
                self.explain("a service", server, [*headers, seeing], **query)
            self.explain("a stranger", server, [], path="/auth/me")
            if token:
                self.explain_bodies(server, headers, token)
            for careless in _careless(headers):
                value = _value_of(headers)
                self.explain("the holder", server, careless, path="/auth/me")
                self.explain("a service", server, [*careless, seeing], path=f"/reset/{value}", method="POST")
                self.ask(
                    "refusals", server, f"/reset/{value}?token={value}", [("accept", "application/json"), *careless]
                )
            self.ask("refusals", server, f"/{quote(_value_of(headers)[:3])}%5F{_value_of(headers)[4:]}", headers)
            self.ask("refusals", server, "/auth/me", [*headers, (STUMBLE, "1")])
            self._inspect(headers, token)
            self._explain_by_command(server, headers)
            visitor.ask("POST", "/auth/refresh", {"refresh_token": "fdr_nonsense"})
            visitor.ask("POST", "/auth/refresh", {"refresh_token": token} if token else None)
            self.ears.keep(visitor)
            visitor.ask("POST", "/auth/logout", keep=False)
            self.explain("the holder of what ended", server, headers, path="/auth/me")
            self.explain("a service", server, [*headers, seeing], path="/auth/me")

    def _inspect(self, headers: Headers, refresh_token: str) -> None:
        for token in filter(None, (_value_of(headers), refresh_token)):
            for extra in ([], ["--json"]):
                self.ears.command("inspect", "inspect", *extra, stdin=token)

    def _explain_by_command(self, server: Server, headers: Headers) -> None:
        """As the holder and as a service, for people and for programs."""
        (self.ears.directory / "headers").write_text("".join(f"{name}: {value}\n" for name, value in headers))
        file, service = str(self.ears.directory / "headers"), str(self.ears.directory / "service")
        for extra in ([], ["--json", "--service-file", service]):
            words = ("--url", f"{server.url}/auth/health", "--header-file", file, *extra)
            self.ears.command("frontdesk explain", "explain", *words, config=False)

    def guess(self, server: Server) -> None:
        """Sign-ins that fail, whose password is another's or is no text; and bodies that are none."""
        for content in (
            json.dumps({"email": EMAIL, "password": f"{PASSWORD}!"}),
            json.dumps({"email": PASSWORD, "password": PASSWORD}),
            json.dumps({"email": EMAIL, "password": [PASSWORD]}),
            json.dumps({"email": EMAIL, PASSWORD: PASSWORD})[:-1],
            f"email={EMAIL}&password={quote(PASSWORD)}",
        ):
            self.ask("refusals", server, "/auth/login", method="POST", content=content)
        self.ask("refusals", server, "/login", method="POST", data={"email": EMAIL, "password": f"{PASSWORD}!"})

    def break_off(self, server: Server, headers: Headers) -> None:
        """Requests that are no HTTP, too large, or left half way; and a handshake that nobody answers."""
        carried = "".join(f"{name}: {value}\r\n" for name, value in headers)
        value = _value_of(headers)
        for sent in (
            f"{value} {value}\r\n\r\n",
            f"GET /{value} HTTP/9.{value}\r\n{carried}\r\n",
            f"GET /auth/me HTTP/1.1\r\nhost: localhost\r\n{carried}{value}\x00: {value}\r\n\r\n",
            f"GET /auth/me HTTP/1.1\r\nhost: localhost\r\n{carried}x: {value * 900}\r\n\r\n",
            f"POST /auth/login HTTP/1.1\r\nhost: localhost\r\n{carried}content-length: 99\r\n\r\n{PASSWORD}",
            f"POST /auth/login HTTP/1.1\r\nhost: localhost\r\n{carried}content-length: {value}\r\n\r\n",
            f"POST /auth/login HTTP/1.1\r\nhost: localhost\r\n{carried}transfer-encoding: chunked\r\n\r\n{value}\r\n",
            f"GET /{value} HTTP/1.1\r\nhost: localhost\r\n{carried}{_HANDSHAKE}\r\n",
        ):
            with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as line, suppress(OSError):
                line.sendall(sent.encode())
                line.shutdown(socket.SHUT_WR)
                while received := line.recv(65536):
                    self.ears.hear("refusals", received.decode("latin-1"))

    def look(self) -> None:
        """Figures, health, and the commands that only look."""
        for server in self.servers:
            self.ask("metrics", server, "/metrics", [("authorization", f"Bearer {self.scraper}")])
            self.ask("health", server, "/auth/health")
            self.ask("health", server, "/healthz")
        for words in (["users", "list"], ["sessions", "list", EMAIL], ["services", "list"], ["keys", "list"]):
            for extra in ([], ["--json"]):
                self.ears.command("lists", *words, *extra)
        self.doctor("--url", self.servers[0].url)

    def doctor(self, *words: str) -> None:
        for extra in ([], ["--json"]):
            self.ears.command("doctor", "doctor", *extra, *words)

    def go_astray(self) -> None:
        """Look for the store where it is not, or as somebody who is not let in."""
        for url in self.ears.kept.astray:
            self.ears.command("doctor", "doctor", "--json", "--store", url)
            self.ears.command("lists", "users", "list", "--store", url)

    def misspell(self) -> None:
        """Settings that cannot be read, or cannot be, with a secret in what is wrong with them."""
        url, secret = self.ears.kept.url, random.token_urlsafe(32)
        self.ears.secrets.add("a secret that was misspelt", secret)
        wrong = self.ears.directory / "wrong.toml"
        for text in (
            f'store = ["{url}"]',
            f'store = {{ url = "{url}" }}',
            f'secret = {{ one = "{secret}" }}',
            f'secret = "{secret}',
            f'secret = "{secret}"\nsecret = "{secret}"',
            f'secret = "{secret[:31]}"',
            f'secret = ["{secret}", 1]',
            f'secret = "{secret}"\nbase_url = "https://desk:{secret}@desk.example"',
            f'secret = "{secret}"\nbase_url = "https://desk:{secret}@desk.example:x"',
            f'secret = "{secret}"\ntrusted_origins = ["https://desk:{secret}@desk.example"]',
            f'secret = "{secret}"\nhosts = ["desk:{secret}@desk.example"]',
        ):
            store = "" if text.startswith("store") else f"store = {json.dumps(url)}\n"
            wrong.write_text(f'hashing = "small"\n{store}{text}\n')
            wrong.chmod(0o600)
            for words in (["doctor", "--json"], ["users", "list"]):
                self.ears.command("doctor" if words[0] == "doctor" else "lists", *words, "--config", str(wrong))
        for words in (["--set", f"secret={secret}"], ["--set", f"secret {secret}"], ["--set", url], ["--url", url]):
            self.ears.command("doctor", "doctor", *words)

    def by_program(self, server: Server) -> None:
        """The Python client: signs in, is refused, loses its file, meets a desk that is gone."""
        where, file = "the Python client", self.ears.directory / "credentials"
        storage = FileStorage(file)
        with httpx.Client(trust_env=False, timeout=PATIENCE) as sender:
            auth = FrontdeskAuth(server.url, storage=storage, client=sender)
            self.ears.failing(where, lambda: auth.sign_in(EMAIL, f"{PASSWORD}!"))
            self.ears.failing(where, lambda: auth.sign_in(EMAIL, PASSWORD, credential="jwt"))
            held = storage.load()
            assert held is not None
            self.ears.secrets.add_token("the access token of a program", held.access_token)
            self.ears.secrets.add_token("the refresh token of a program", held.refresh_token)
            self.ears.hear(where, f"{auth!r} {storage!r} {held!r} {held} {vars(auth)} {vars(storage)}")
            self.ears.failing(where, lambda: sender.get(f"{server.url}/auth/me", auth=auth))
            for content in (file.read_text()[:-9], file.read_text().replace('"access_token":"', '"access_token":" ')):
                file.write_text(content)
                self.ears.failing(where, storage.load)
                self.ears.failing(where, lambda: Credentials.loads(file.read_text()))
            file.chmod(0o644)
            self.ears.failing(where, storage.load)
            file.unlink()
            storage.save(held)
            self.ears.failing(where, lambda: FrontdeskAuth.from_tokens(server.url, f"{held.access_token} x"))
            self.ears.failing(where, lambda: FrontdeskAuth(f"https://{held.access_token}@desk.example"))
            self.ears.failing(where, lambda: FrontdeskAuth(f"https://:{PASSWORD}@desk.example:port"))
            gone = FrontdeskAuth.from_tokens("http://127.0.0.1:1", held.access_token, held.refresh_token, 1)
            self.ears.failing(where, lambda: gone.sign_in(EMAIL, PASSWORD))
            self.ears.failing(where, gone.sign_out)
            self.ears.failing(where, auth.sign_out)
            self.ears.failing(where, lambda: sender.get(f"{server.url}/auth/me", auth=auth))

    def by_browser(self, server: Server, *, leaky: bool) -> None:
        """The client for browsers, in Node: what it prints, throws and holds. Its cookies come on standard error."""
        order = {"url": server.url, "email": EMAIL, "password": PASSWORD, "leaky": leaky}
        done = subprocess.run(
            [find_node(), _BROWSER],
            input=json.dumps(order),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        for token in filter(None, done.stderr.split()):
            self.ears.secrets.add_token("a token of the browser", token)
        self.ears.hear("the browser's client", done.stdout)

    def meet_the_fault(self) -> None:
        """The store is gone: requests, commands and the doctor meet that."""
        with visiting(self.servers[0]) as visitor:
            session = visitor.sign_in(EMAIL, credential="session", transport="cookie")
            jwt = Visitor(*self.servers)
            jwt_token = jwt.sign_in(EMAIL, credential="jwt", transport="bearer")["refresh_token"]
            jwt.close()
            assert session
            for each in (visitor, jwt):
                self.ears.keep(each, jwt_token)
            self.ears.kept.read(self.ears.secrets)
            self.ears.kept.hurt()
            for server in self.servers:
                for headers in (list(visitor.headers().items()), list(jwt.headers().items())):
                    self.ask("refusals", server, "/auth/me", headers)
                    self.ask("refusals", server, "/auth/sessions", headers, method="DELETE")
                    self.explain("the holder", server, headers, path="/auth/me")
                    self.explain("a service", server, [*headers, ("frontdesk-service", self.service)])
                body = {"refresh_token": jwt_token}
                self.ask("refusals", server, "/auth/refresh", method="POST", json=body)
                self.guess(server)
        self.ask("metrics", self.servers[0], "/metrics", [("authorization", f"Bearer {self.scraper}")])
        self.ask("health", self.servers[0], "/auth/health")
        self.doctor()
        self.ears.command("lists", "users", "list")
        self.ears.command("inspect", "inspect", stdin=_value_of(list(visitor.headers().items())))


def listen(directory: Path, kept: Kept, *, logs: Sequence[str], leaky: bool = False) -> Ears:
    """Everything that a desk over this store tells anybody, and every secret of the run.

    logs: how its servers log, one each; the second one is in development mode. leaky: they are made to tell secrets.
    """
    ears = Ears(directory, kept)
    ears.command("lists", "migrate")
    ears.command("lists", "users", "add", EMAIL, stdin=f"{PASSWORD}\n")
    spans = directory / "spans"
    program = (_TALKATIVE, *(["--leaky"] if leaky else []), str(spans))
    with ExitStack() as stack:
        begun = [
            Server(directory, "--log-format", form, *(["--dev"] if number else []), program=program, environ=_ENVIRON)
            for number, form in enumerate(logs)
        ]
        servers = [stack.enter_context(server) for server in begun]
        http = stack.enter_context(httpx.Client(timeout=PATIENCE, trust_env=False))
        listener = Listener(ears, http, servers)
        for (credential, transport), server in zip(WAYS, cycle(servers), strict=False):
            listener.use(server, credential, transport)
        for server in servers:
            listener.guess(server)
            with visiting(server) as visitor:
                visitor.sign_in(EMAIL, credential="session", transport="cookie")
                ears.keep(visitor)
                listener.break_off(server, list(visitor.headers().items()))
        listener.by_program(servers[0])
        listener.by_browser(servers[0], leaky=leaky)
        listener.look()
        listener.go_astray()
        listener.misspell()
        listener.meet_the_fault()
        for server in servers:
            server.catch_up()
    for form, server in zip(logs, servers, strict=True):
        ears.hear(f"log of {form}", server.log)
    ears.hear("spans", spans.read_text())
    return ears


def _value_of(headers: Headers) -> str:
    value = headers[0][1]
    return value.partition(";")[0].partition("=")[2] if headers[0][0] == "cookie" else value.rpartition(" ")[2]


def _careless(headers: Headers) -> Iterator[Headers]:
    """Requests that carry a credential where none belongs: in names, in origins, twice, cut, spelt otherwise."""
    value = _value_of(headers)
    yield [("cookie", f"{value}=x; {value}")]
    yield [("cookie", f"session={value}; {headers[0][1]}; {headers[0][1]}")]
    yield [("cookie", f"x={value}={value}; {value}")]
    yield [("authorization", value)]
    yield [("authorization", f"Bearer {value[:-1]}")]
    yield [("authorization", f"{value} {value}"), *headers]
    yield [*headers, ("origin", f"https://{value}.example"), ("sec-fetch-site", value)]
    yield [*headers, ("user-agent", value), ("x-forwarded-for", value), ("referer", f"https://a.example/{value}")]
