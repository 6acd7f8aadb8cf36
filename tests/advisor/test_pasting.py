"""What is printed is pasted: files into an empty directory, commands into a shell, each line as it stands.

Replaced are addresses, ports, secrets and the provider, where the text has a stand-in for them, and nothing else.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from frontdesk.advisor import Configuration, Recommendation
from tests.advisor.hosting import PATIENCE, Browser, Provider, run
from tests.advisor.machine import Machine, Shell
from tests.advisor.paths import configurations
from tests.http.answers import EMAIL, PASSWORD, code_of
from tests.servers.postgresql import PostgreSQL
from tests.servers.redis import RedisServer
from tests.servers.spawning import end, free_port, wait_until

EVERY = configurations()
PAGE = "https://www.app.example"
ACCOUNT = {"email": EMAIL, "password": PASSWORD}
SECOND_SHELL = "# The service, in a shell of its own:"

Features = Callable[[Recommendation], set[str]]


# --- what is chosen -------------------------------------------------------------------------------------------------


def typed(configuration: Configuration) -> tuple[list[str], list[str]]:
    """The lines to type beside app.py, and those for the shell of the service."""
    desk, _, service = configuration.commands.text.partition(f"{SECOND_SHELL}\n")
    return desk.splitlines(), service.splitlines()


def typed_instead(configuration: Configuration) -> list[str]:
    """The lines to type for the ready-made server: the remarks at the head of its file."""
    lines = [] if configuration.settings is None else configuration.settings.text.splitlines()
    first = next((place for place, line in enumerate(lines) if not line.startswith("# ")), 0)
    return [line.removeprefix("# ") for line in lines[:first]]


def stands_for(each: Recommendation) -> set[str]:
    """What a configuration shows of all that there is: its lines, its leaf, how its services check."""
    printed = each.configuration
    texts = [printed.commands, printed.environment, printed.service_environment]
    lines = {line for text in texts if text is not None for line in text.text.splitlines()}
    return {*lines, f"{each.leaf}, {each.plan.service}", f"in a {each.plan.transport}"}


def served_instead(each: Recommendation) -> set[str]:
    """The same for the ready-made server: its commands, and that services follow it."""
    lines = typed_instead(each.configuration)
    return {*lines, f"followed: {each.plan.service == 'following'}"} if lines else set()


def covering(features: Features) -> list[str]:
    """Configurations that together show every feature; each is the one that adds most to those before it."""
    left = {feature for each in EVERY.values() for feature in features(each)}
    chosen = []
    while left:
        best = max(EVERY, key=lambda name: len(features(EVERY[name]) & left))
        chosen.append(best)
        left -= features(EVERY[best])
    return sorted(chosen)


CASES = covering(stands_for)
INSTEAD = covering(served_instead)


def test_every_line_that_can_be_printed_is_typed_here() -> None:
    def lines(names: list[str]) -> set[str]:
        both = [typed(EVERY[name].configuration) for name in names]
        return {line for desk, service in both for line in (*desk, *service)}

    def lines_instead(names: list[str]) -> set[str]:
        return {line for name in names for line in typed_instead(EVERY[name].configuration)}

    assert lines(CASES) == lines(list(EVERY))
    assert lines_instead(INSTEAD) == lines_instead(list(EVERY))
    assert {EVERY[name].leaf for name in CASES} == {each.leaf for each in EVERY.values()}
    assert {EVERY[name].plan.store for name in INSTEAD} == {"sqlite", "postgresql", "redis"}


# --- typing ---------------------------------------------------------------------------------------------------------


class Desk:
    """One configuration on its machine, from the empty directory to a server that listens."""

    def __init__(self, each: Recommendation, machine: Machine, values: Mapping[str, str]) -> None:
        self.each = each
        self.machine = machine
        self.port = free_port()
        self.base = f"http://localhost:{self.port}"
        self._values = {"FRONTDESK_BASE_URL": self.base, "PAGE_ORIGIN": PAGE, **values}

    def write_files(self, machine: Machine) -> None:
        """Paste what belongs into files as it stands."""
        for snippet in self.each.configuration.snippets():
            if snippet.name.endswith((".py", ".toml")):
                (machine.files / snippet.name).write_text(snippet.text)

    def type_in(self, lines: list[str], machine: Machine, port: int) -> tuple[Shell, str]:
        """Type lines up to the one that serves; that one, and the shell for it."""
        shell = machine.shell(UVICORN_PORT=str(port), FRONTDESK_PORT=str(port))
        for line in lines:
            if line.startswith(("uvicorn ", "frontdesk serve")):
                return shell, line
            if line.startswith("set -a"):
                self._write_variables(machine, line)
            said = shell.run(line)
            if line.startswith("python3 -c"):
                self._values["FRONTDESK_SECRET"] = said
            if line.startswith("frontdesk services add"):
                self._values["FRONTDESK_SERVICE_CREDENTIAL"] = said
        raise AssertionError("no line serves")

    def _write_variables(self, machine: Machine, line: str) -> None:
        """Paste and fill in the file that this line reads."""
        printed = self.each.configuration
        for snippet in (printed.environment, printed.service_environment):
            if snippet is not None and f"./{snippet.name};" in line:
                text = "\n".join(self._with_value(variable) for variable in snippet.text.splitlines())
                (machine.files / snippet.name).write_text(f"{text}\n")

    def _with_value(self, line: str) -> str:
        """A variable with a value in place of what stands for it, quoted where that is."""
        if line.startswith("#"):
            return line
        name, _, stand_in = line.partition("=")
        return f"{name}='{self._values[name]}'" if stand_in.startswith("'") else f"{name}={self._values[name]}"

    @contextmanager
    def serves(self) -> Iterator[None]:
        """What is printed beside app.py has been typed; the last line runs until this ends."""
        self.write_files(self.machine)
        shell, line = self.type_in(typed(self.each.configuration)[0], self.machine, self.port)
        with running(shell, line, self.port, self.machine):
            yield

    @contextmanager
    def serves_ready_made(self) -> Iterator[None]:
        """The same with the ready-made server, which has a `pip` and a last line of its own."""
        self.write_files(self.machine)
        install, *serve = typed_instead(self.each.configuration)
        before = [line for line in typed(self.each.configuration)[0] if not line.startswith(("pip ", "uvicorn "))]
        shell, line = self.type_in([install, *before, *serve], self.machine, self.port)
        with running(shell, line, self.port, self.machine):
            yield

    @contextmanager
    def service(self, machine: Machine) -> Iterator[int]:
        """The service on this machine, which may be another one; the port where it listens."""
        port = free_port()
        lines = typed(self.each.configuration)[1]
        if machine is not self.machine:
            self.write_files(machine)
            lines = [typed(self.each.configuration)[0][0], *lines]
        shell, line = self.type_in(lines, machine, port)
        with running(shell, line.replace("8001", str(port)), port, machine):
            yield port


@contextmanager
def running(shell: Shell, line: str, port: int, machine: Machine) -> Iterator[None]:
    """A line that serves, from when it listens; stopped in the end."""
    process = shell.start(line, f"{port}")
    try:
        wait_until(lambda: listens(port) or process.poll() is not None, line)
        assert process.poll() is None, machine.log()
        yield
    finally:
        status = end(process)
    assert status in {0, -signal.SIGTERM}, machine.log()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def values(request: pytest.FixtureRequest, provider: Provider) -> Callable[[Recommendation], dict[str, str]]:
    """What a person would fill in: the provider, and a new and empty store of the kind that is recommended."""

    def of(each: Recommendation) -> dict[str, str]:
        store = {}
        if each.plan.store == "postgresql":
            server: PostgreSQL = request.getfixturevalue("postgresql")
            url = run(server.new_database(migrated=False))
            request.addfinalizer(lambda: run(server.drop_database(url)))
            store["FRONTDESK_STORE"] = url
        if each.plan.store == "redis":
            redis: RedisServer = request.getfixturevalue("redis_server")
            store["FRONTDESK_STORE"] = f"{redis.url}?prefix=pasted-{free_port()}"
        return {**provider.environ, **store}

    return of


Values = Callable[[Recommendation], dict[str, str]]


# --- signing in -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_what_is_typed_signs_in_and_out(name: str, values: Values, provider: Provider, tmp_path: Path) -> None:
    each = EVERY[name]
    desk = Desk(each, Machine(tmp_path), values(each))
    with ExitStack() as stack:
        stack.enter_context(desk.serves())
        if each.plan.transport is None:
            knows_the_provider(desk, provider)
            return
        browser = entered(desk, provider) if each.plan.enters else signed_in(desk, "/dashboard")
        if each.configuration.service is None:
            signs_out(browser, "/dashboard")
        else:
            port = stack.enter_context(desk.service(desk.machine))
            signs_out_of_the_service(browser, port, hears=each.plan.service != "stateless")


@pytest.mark.parametrize("name", INSTEAD)
def test_the_ready_made_server_is_typed_instead(name: str, values: Values, tmp_path: Path) -> None:
    each = EVERY[name]
    for place in ("desk", "service"):
        (tmp_path / place).mkdir()
    desk = Desk(each, Machine(tmp_path / "desk"), values(each))
    with ExitStack() as stack:
        stack.enter_context(desk.serves_ready_made())
        browser = signed_in(desk, "/auth/me")
        if each.configuration.service is None:
            signs_out(browser, "/auth/me")
        else:
            port = stack.enter_context(desk.service(Machine(tmp_path / "service")))
            signs_out_of_the_service(browser, port, hears=True)


def signed_in(desk: Desk, path: str) -> Browser:
    """Whoever has made an account, and signed in as the printed client does; nobody before."""
    crosses = desk.each.leaf == "single-page-memory"
    browser = Browser(desk.base, origin=PAGE if crosses and path == "/dashboard" else "")
    assert code_of(browser.get(path), status=401) == "not_signed_in"
    made = browser.post("/auth/register", ACCOUNT)
    assert made.status_code == 201, made.text
    signed = browser.post("/auth/login", {**ACCOUNT, **desk.each.configuration.login})
    return keeps(browser, signed, path, made.json()["subject"])


def entered(desk: Desk, provider: Provider) -> Browser:
    """Whoever came in with a token of the provider."""
    browser = Browser(desk.base)
    assert code_of(browser.get("/dashboard"), status=401) == "not_signed_in"
    return keeps(browser, browser.post("/enter", {"token": provider.token("alice")}), "/dashboard", "alice")


def keeps(browser: Browser, signed: httpx.Response, path: str, subject: str) -> Browser:
    """The browser with what it was given, which opens the protected route."""
    assert signed.status_code == 200, signed.text
    browser.token = signed.json().get("access_token", "")
    shown = browser.get(path)
    assert subject in {shown.json().get("hello"), shown.json().get("subject")}, shown.text
    return browser


def signs_out(browser: Browser, path: str) -> dict[str, str]:
    """Sign out; who still shows what was held until then is refused. What was held."""
    held = browser.headers()
    assert browser.post("/auth/logout").status_code == 204
    again = httpx.get(browser.base + path, headers=held, timeout=PATIENCE, trust_env=False)
    assert code_of(again, status=401) == "session_ended"
    return held


def signs_out_of_the_service(browser: Browser, port: int, *, hears: bool) -> None:
    """The service lets in who is signed in at the desk, and who signed out only where it hears of no sign-out."""
    host = browser.base.removeprefix("http://")

    def ask(headers: Mapping[str, str]) -> httpx.Response:
        # As a proxy in front of both, which the advice wants for cookies, hands on the name that a browser asked for.
        url = f"http://127.0.0.1:{port}/orders"
        return httpx.get(url, headers={**headers, "host": host}, timeout=PATIENCE, trust_env=False)

    assert code_of(ask({}), status=401) == "not_signed_in"
    assert set(ask(browser.headers()).json()) == {"orders of"}
    held = signs_out(browser, "/auth/me")
    if hears:
        wait_until(lambda: ask(held).status_code != 200, "the service hears of the sign-out")
        assert code_of(ask(held), status=401) == "session_ended"
    else:
        assert ask(held).status_code == 200


def knows_the_provider(desk: Desk, provider: Provider) -> None:
    """A provider's token is let in while it lasts; nobody can end it."""

    def ask(token: str) -> httpx.Response:
        browser = Browser(desk.base)
        browser.token = token
        return browser.get("/dashboard")

    assert code_of(ask(""), status=401) == "not_signed_in"
    assert ask(provider.token()).json() == {"hello": "alice"}
    assert code_of(ask(provider.token(iss="https://evil.example")), status=401) == "credential_invalid"
    assert code_of(ask(provider.token(lives=timedelta(seconds=-1))), status=401) == "token_expired"
