"""Every sample of docs/verifier.md is type-checked and run."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from frontdesk.jose import jwt
from frontdesk.jose.keys import OctKey
from frontdesk.testing import Client
from tests.examples.samples import complaints_of_mypy, write_each
from tests.http.answers import code_of
from tests.requirements import ROOT
from tests.service.desks import SECRET

PAGE = (ROOT / "docs" / "verifier.md").read_text()
SAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
FOLLOWING, OFFLINE, FOREIGN = SAMPLES


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a sample; its names."""
    monkeypatch.setenv("FRONTDESK_SERVICE_CREDENTIAL", "fdk_" + "A" * 43)
    monkeypatch.setenv("ORDERS_SECRET", SECRET)

    def execute(sample: str) -> dict[str, Any]:
        names: dict[str, Any] = {"__name__": "sample"}
        exec(compile(sample, "docs/verifier.md", "exec"), names)
        return names

    return execute


def test_the_samples_pass_mypy_strict(tmp_path: Path) -> None:
    assert complaints_of_mypy(write_each(SAMPLES, tmp_path), tmp_path) == ""


def test_the_service_that_follows_asks_who_is_there(run: Any) -> None:
    names = run(FOLLOWING)
    assert names["verifier"].freshness == "bounded"
    client = Client(names["app"])  # without a lifespan: nobody is asked
    assert code_of(client.get("/orders"), status=401) == "not_signed_in"
    assert code_of(client.post("/pay"), status=401) == "not_signed_in"


def test_the_service_that_is_offline_takes_tokens_of_its_secret(run: Any) -> None:
    names = run(OFFLINE)
    assert names["verifier"].freshness == "stateless"
    claims = {"iss": "https://tokens.example", "aud": "orders", "sub": "alice"}
    expiry = datetime.now(UTC) + timedelta(minutes=1)
    token = jwt.sign({**claims, "exp": expiry}, OctKey(SECRET.encode(), alg="HS256"), typ="at+jwt")
    client = Client(names["app"])
    assert client.get("/", headers={"authorization": f"Bearer {token}"}).text == "alice"
    assert code_of(client.get("/"), status=401) == "not_signed_in"


def test_the_service_of_a_foreign_issuer_says_that_it_is_stateless(run: Any) -> None:
    names = run(FOREIGN)
    assert names["verifier"].freshness == "stateless"
    assert code_of(Client(names["app"]).get("/orders"), status=401) == "not_signed_in"


def test_the_numbers_of_the_page_are_those_of_the_code() -> None:
    from frontdesk.verifier.follow import MAX_STALENESS
    from frontdesk.verifier.remote_keys import FRESH_SECONDS
    from frontdesk.verifier.verifier import PATIENCE

    assert timedelta(seconds=5) == MAX_STALENESS
    assert "`max_staleness` (5 s)" in PAGE
    assert (FRESH_SECONDS, "and 15 minutes" in PAGE) == (900, True)
    assert (PATIENCE, "for at most three seconds" in PAGE) == (3.0, True)
