"""What an application sends after the desk has refused: nothing overtakes the start of the answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from frontdesk.adapters.arrival import arrival_of
from frontdesk.asgi import Frontdesk
from frontdesk.errors import RefusedError
from tests.adapters.asgi_server import Message, exchange, http_scope

START: Message = {"type": "http.response.start", "status": 401, "headers": [(b"content-type", b"text/html")]}
BODY: Message = {"type": "http.response.body", "body": b"own page"}


def answering(*messages: Message) -> Any:
    """An application that asks who is there, is refused, and answers the refusal with these messages."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        with pytest.raises(RefusedError):
            arrival_of(scope).principal()
        for message in messages:
            await send(message)

    return Frontdesk("memory:").wrap(application)


@pytest.mark.parametrize(
    "message",
    [
        {"type": "http.response.pathsend", "path": "/srv/refused.html"},
        {"type": "http.response.zerocopysend", "file": 3},
        {"type": "http.response.trailers", "headers": []},
        {"type": "http.response.early_hint", "links": []},
        {"type": "http.response.debug", "info": {}},
    ],
)
def test_the_start_of_an_own_answer_goes_before_whatever_follows_it(message: Message) -> None:
    sent = exchange(answering(START, message, BODY), http_scope())
    assert [each["type"] for each in sent] == [START["type"], message["type"], BODY["type"]]
    assert sent[1:] == [message, BODY]
    assert sent[0]["headers"] == START["headers"]


def test_an_empty_chunk_before_a_file_holds_nothing_back() -> None:
    file: Message = {"type": "http.response.pathsend", "path": "/srv/refused.html"}
    sent = exchange(
        answering(START, {"type": "http.response.body", "body": b"", "more_body": True}, file), http_scope()
    )
    assert [each["type"] for each in sent] == [START["type"], file["type"]]


def test_the_default_answer_alone_is_replaced() -> None:
    default: Message = {"type": "http.response.body", "body": b"No credential came along."}
    start, body = exchange(answering(START, default), http_scope())
    assert dict(start["headers"])[b"content-type"] == b"application/problem+json"
    assert json.loads(body["body"])["code"] == "not_signed_in"
    assert exchange(answering(START, BODY), http_scope()) == [START, BODY]
