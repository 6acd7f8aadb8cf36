"""A server is used in every way; nothing that it explains, logs or counts holds a secret of anybody."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.doctor.deployments import text_of
from tests.secrets_of_the_run import Secrets
from tests.server.processes import PASSWORD, PATIENCE, Server, Visitor, run_cli, visiting

EMAIL = "alice@example.com"
WAYS = [(credential, transport) for credential in ("session", "jwt", "jwe") for transport in ("cookie", "bearer")]


class Ears:
    """Keeps what was told, by where, and the secrets that clients were given."""

    def __init__(self, directory: Path, server: Server) -> None:
        self.directory = directory
        self.server = server
        self.secrets = Secrets()
        self.outputs: dict[str, str] = {}
        self.secrets.add("the password", PASSWORD)

    def hear(self, where: str, text: str) -> None:
        self.outputs[where] = self.outputs.get(where, "") + text + "\n"

    def service(self, name: str, scope: str) -> str:
        (credential,) = run_cli(self.directory, "services", "add", name, "--scope", scope)
        self.secrets.add_token(f"the credential of {name}", credential)
        return credential

    def explain(self, headers: list[tuple[str, str]], who: str, **query: str) -> None:
        answer = httpx.get(
            f"{self.server.url}/auth/explain", params=query, headers=headers, timeout=PATIENCE, trust_env=False
        )
        self.hear(f"explain, told to {who}", f"{answer.text}{answer.headers}")

    def keep(self, visitor: Visitor, refresh_token: str) -> None:
        for name, value in visitor.cookies.items():
            self.secrets.add_token(f"the cookie {name}", value)
        if visitor.bearer:
            self.secrets.add_token("a bearer token", visitor.bearer)
        if refresh_token:
            self.secrets.add_token("a refresh token", refresh_token)


def _headers_of(visitor: Visitor) -> list[tuple[str, str]]:
    return list(visitor.headers().items())


def _careless(headers: list[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    """Requests that carry a credential where none belongs: in names, in origins, twice, cut."""
    value = headers[0][1].rpartition("=")[2] if headers[0][0] == "cookie" else headers[0][1].rpartition(" ")[2]
    yield [("cookie", f"{value}=x; {value}")]
    yield [("cookie", f"session={value}; {headers[0][1]}; {headers[0][1]}")]
    yield [("authorization", value)]
    yield [("authorization", f"Bearer {value[:-1]}")]
    yield [*headers, ("origin", f"https://{value}.example"), ("sec-fetch-site", value)]


QUERIES: tuple[dict[str, str], ...] = (
    {},
    {"path": "/auth/me"},
    {"path": "/auth/sessions", "method": "DELETE"},
    {"path": "/auth/refresh", "method": "POST"},
)


def _use(ears: Ears, credential: str, transport: str, service: str) -> None:
    seeing = ("frontdesk-service", service)
    with visiting(ears.server) as visitor:
        body = visitor.sign_in(EMAIL, credential=credential, transport=transport)
        token = body.get("refresh_token", "")
        ears.keep(visitor, token)
        headers = _headers_of(visitor)
        for query in QUERIES:
            ears.explain(headers, "the holder", **query)
            ears.explain([*headers, seeing], "a service", **query)
        value = headers[0][1].rpartition("=")[2].rpartition(" ")[2]
        for careless in _careless(headers):
            ears.explain([*careless, seeing], "a service", path=f"/reset/{value}", method="POST")
        visitor.ask("GET", f"/reset/{value}?token={value}")
        visitor.ask("POST", "/auth/refresh", {"refresh_token": "fdr_nonsense"})
        visitor.ask("POST", "/auth/refresh", {"refresh_token": token} if token else None)
        visitor.ask("POST", "/auth/logout", keep=False)
        ears.explain(headers, "the holder of what ended", path="/auth/me")
        ears.explain([*headers, seeing], "a service", path="/auth/me")
        if credential == "session":
            _by_command(ears, headers)


def _by_command(ears: Ears, headers: list[tuple[str, str]]) -> None:
    (ears.directory / "headers").write_text("".join(f"{name}: {value}\n" for name, value in headers))
    for extra in ([], ["--json"]):
        words = ["--url", f"{ears.server.url}/auth/health", "--header-file", "headers", "--service-file", "service"]
        ears.hear("frontdesk explain", "\n".join(run_cli(ears.directory, "explain", *words, *extra)))


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_no_output_holds_a_secret_of_the_run(tmp_path: Path, log_format: str) -> None:
    run_cli(tmp_path, "users", "add", EMAIL, stdin=f"{PASSWORD}\n")
    with Server(tmp_path, "--log-format", log_format) as server:
        ears = Ears(tmp_path, server)
        service = ears.service("support", "explain")
        scraper = ears.service("scraper", "metrics")
        (tmp_path / "service").write_text(service)
        for credential, transport in WAYS if log_format == "json" else WAYS[:1]:
            _use(ears, credential, transport, service)
        metrics = httpx.get(
            f"{server.url}/metrics", headers={"authorization": f"Bearer {scraper}"}, timeout=PATIENCE, trust_env=False
        )
        assert metrics.status_code == 200
        ears.hear("metrics", metrics.text)
        store = f"sqlite:///{tmp_path / 'frontdesk.db'}"
        for words in (["--store", store], ["--store", store, "--json"], ["--store", store, "--url", server.url]):
            ears.hear("doctor", text_of(*words)[0])
        server.catch_up()
        ears.hear("log", server.log)
    ears.secrets.read_key_file(tmp_path / "frontdesk.db.key")
    ears.secrets.read_database(tmp_path / "frontdesk.db")
    assert len(ears.secrets) > 50
    assert len(ears.outputs) >= 7
    assert "key_beside_database" in ears.outputs["doctor"]
    assert '"facts"' in ears.outputs["explain, told to the holder"]
    assert '"facts"' in ears.outputs["explain, told to the holder of what ended"]
    assert ears.secrets.told_in(ears.outputs) == []


def test_a_secret_that_is_told_is_found_however_it_is_written() -> None:
    secrets = Secrets()
    secrets.add_bytes("a salt", bytes(range(16)))
    secrets.add_token("a token", "fds_" + "A" * 60 + "the-tag-at-its-end-1")
    written = {
        "log": json.dumps({"salt": bytes(range(16)).hex()}),
        "page": "…the-tag-at-its-end-1",
        "metrics": "nothing",
    }
    assert secrets.told_in(written) == ["a salt in log", "the end of a token in page"]
