"""A desk is used in every way over every store; nothing that it explains, logs, counts or says holds a secret."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final
from urllib.parse import quote

import pytest

from frontdesk.cli import services
from frontdesk.client import Credentials
from frontdesk.doctor import kinds
from frontdesk.service import inspection
from tests.requirements import find_redis
from tests.server.ears import Ears, in_a_file, in_postgresql, in_redis, listen

LOGS: Final = {"sqlite": ("json", "text"), "postgresql": ("json",), "redis": ("text",)}
"""How the servers over a store log; a second one is in development mode."""

OUTPUTS: Final = {
    "doctor", "explain, told to a service", "explain, told to a stranger", "explain, told to the holder",
    "explain, told to the holder of what ended", "frontdesk explain", "health", "inspect", "lists", "metrics",
    "refusals", "spans", "the Python client", "the browser's client",
}  # fmt: skip

KINDS: Final = {
    "a bearer token", "a master secret", "a refresh token", "a secret that was misspelt", "a session token",
    "a token of the browser", "accounts.password", "attempts.key", "keys.sealed", "services.digest", "sessions.salt",
    "the access token of a program", "the credential of a service", "the key for password-seal",
    "the key for refresh-token", "the key for session-token", "the key for signing-key-seal", "the key for throttle",
    "the last part of a bearer token", "the member d of a key", "the member k of a key",
    "the password of an account", "the refresh token of a program", "the tag of a session token",
}  # fmt: skip


def outputs_of(store: str) -> set[str]:
    logs = {f"log of {form}" for form in LOGS[store]}
    return OUTPUTS | logs | ({"explain, told to a developer"} if len(logs) > 1 else set())


@pytest.fixture(scope="module", params=LOGS)
def heard(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ears]:
    store: str = request.param
    directory = tmp_path_factory.mktemp(store)
    with ExitStack() as stack:
        if store == "postgresql":
            kept = stack.enter_context(in_postgresql(request.getfixturevalue("postgresql")))
        elif store == "redis":
            find_redis()
            kept = stack.enter_context(in_redis(directory))
        else:
            kept = in_a_file(directory)
        ears = listen(directory, kept, logs=LOGS[store])
        assert ears.outputs.keys() == outputs_of(store)
        yield ears


def test_no_output_holds_a_secret_of_the_run(heard: Ears) -> None:
    assert heard.secrets.told_in(heard.outputs) == []


def test_what_could_be_told_was_there(heard: Ears) -> None:
    assert heard.secrets.kinds.keys() >= KINDS
    assert '"facts"' in heard.outputs["explain, told to the holder"]
    assert '"facts"' in heard.outputs["explain, told to a service"]
    assert "content_read" in heard.outputs["explain, told to a service"]
    assert "content_read" in heard.outputs["explain, told to the holder"]
    assert "store_unavailable" in heard.outputs["refusals"]
    assert "internal_error" in heard.outputs["refusals"]
    assert "settings_refused" in heard.outputs["doctor"]
    assert "SignedOutError" in heard.outputs["the Python client"]
    assert "invalid_credentials" in heard.outputs["the browser's client"]
    assert "frontdesk.refresh" in heard.outputs["spans"]


FORMS: Final[tuple[Callable[[bytes], str], ...]] = (
    lambda raw: raw.decode("latin-1"),
    lambda raw: raw[:12].decode("latin-1"),
    lambda raw: raw.hex(),
    lambda raw: raw.hex()[-12:].upper(),
    lambda raw: base64.b64encode(raw).decode(),
    lambda raw: base64.urlsafe_b64encode(b"user:" + raw + b"!").decode(),
    lambda raw: base64.b64encode(b"x" + raw).decode()[4:16],
    lambda raw: json.dumps({"told": raw.decode("latin-1")}),
    lambda raw: f"{raw!r}",
    lambda raw: quote(raw, safe=""),
    lambda raw: f"{raw.hex()[:7]}\n    | {raw.hex()[7:14]}\n",
)


def test_each_kind_is_found_in_each_output_however_it_is_written(heard: Ears) -> None:
    missed = [
        (what, where, number)
        for number, form in enumerate(FORMS)
        for where, text in heard.outputs.items()
        for what, secret in heard.secrets.kinds.items()
        if not heard.secrets.told_in({where: f"{text[-20:]}{form(secret)}{text[:20]}"})
    ]
    assert missed == []


def test_a_desk_that_tells_is_found_out_in_everything_that_it_puts_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_file = tmp_path / "desk.db.key"
    facts = inspection._facts_of
    monkeypatch.setattr(kinds, "_shown", lambda value: f"{value} {key_file.read_text()}")
    monkeypatch.setattr(services, "_members", lambda service: {"digest": service.digest})
    monkeypatch.setattr(inspection, "_facts_of", lambda parsed, realm: {**facts(parsed, realm), "is": parsed.tag.hex()})
    monkeypatch.setattr(Credentials, "__repr__", Credentials.dumps)
    ears = listen(tmp_path, in_a_file(tmp_path), logs=LOGS["sqlite"], leaky=True)
    assert {each.rpartition(" in ")[2] for each in ears.secrets.told_in(ears.outputs)} == outputs_of("sqlite")
