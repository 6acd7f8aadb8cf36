"""The client for browsers comes from the desk itself, below its prefix."""

from __future__ import annotations

from frontdesk.testing import Client
from tests.requirements import ROOT

PATH = "/auth/frontdesk.js"


def test_the_file_that_was_built_is_served_to_everybody_and_may_be_kept(client: Client) -> None:
    answer = client.get(PATH)
    assert answer.status_code == 200
    assert answer.content == (ROOT / "client" / "lib" / "frontdesk.js").read_bytes()
    headers = {name: answer.headers.get(name) for name in ("content-type", "cache-control", "x-content-type-options")}
    assert headers == {
        "content-type": "text/javascript",
        "cache-control": "public, max-age=3600",
        "x-content-type-options": "nosniff",
    }
    assert "set-cookie" not in answer.headers


def test_who_has_the_file_is_told_that_it_is_the_same(client: Client) -> None:
    tag = client.get(PATH).headers["etag"]
    for known in (tag, f'"other", W/{tag}', "*"):
        answer = client.get(PATH, headers={"if-none-match": known})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
    assert client.get(PATH, headers={"if-none-match": '"other"'}).status_code == 200
