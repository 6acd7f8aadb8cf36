"""What every answer is held to, and short ways to read one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from frontdesk.adapters.front import Front
from frontdesk.endpoints.http import Request, Response
from frontdesk.endpoints.openapi import Description
from frontdesk.errors import CODES
from frontdesk.testing import Client

EMAIL = "alice@example.com"
PASSWORD = "correct horse battery staple"
SESSION, ACCESS, REFRESH = "__Host-Http-session", "__Host-Http-access", "__Host-Http-refresh"


def code_of(response: Any, *, status: int | None = None) -> str:
    """The code of a problem document, after looking at the rest of it."""
    document = response.json()
    code: str = document["code"]
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert document["status"] == response.status_code == CODES[code].status
    assert document["title"] == CODES[code].title
    assert document["type"] == f"urn:frontdesk:error:{code}"
    assert ("www-authenticate" in response.headers) == (
        response.status_code == 401 or code in {"step_up_required", "scope_missing", "service_scope_missing"}
    )
    if response.status_code == 503:
        assert int(response.headers["retry-after"]) >= 1
    if status is not None:
        assert response.status_code == status
    return code


def undeclared(front: Front, request: Request, response: Response) -> Iterator[str]:
    """What the desk's OpenAPI document does not say of this answer: its status, its media type, or its code."""
    operation = _operation(front, request)
    if operation is None:
        return
    seen = f"{request.method} {request.path}: {response.status}"
    declared = operation["responses"].get(str(response.status))
    if declared is None:
        yield seen
        return
    media_type = dict(response.headers).get(b"content-type", b"").decode()
    if media_type not in declared.get("content", {"": None}):
        yield f"{seen} {media_type}"
    if media_type == "application/problem+json":
        code = json.loads(response.body)["code"]
        if f"`{code}`" not in declared["description"]:
            yield f"{seen} {code}"


def _operation(front: Front, request: Request) -> dict[str, Any] | None:
    """The operation that answers this request; None for what is not there."""
    settings = front.desk.settings
    described = Description(front.gate.settings, credentials=settings.credentials, transports=settings.transports)
    for path, operations in described.paths().items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), request.path):
            method = "get" if request.method == "HEAD" else request.method.lower()
            found: dict[str, Any] | None = operations.get(method)
            return found
    return None


def cookies_set(response: Any) -> dict[str, str]:
    """The Set-Cookie headers by name: at most one of each, and then no cache may keep the answer."""
    values = response.headers.get_list("set-cookie")
    by_name = {value.partition("=")[0]: value.partition("=")[2] for value in values}
    assert len(by_name) == len(values)
    if values:
        assert response.headers.get_list("cache-control") == ["no-store"]
    return by_name


def register(client: Client, email: str = EMAIL, password: str = PASSWORD) -> Any:
    return client.post("/auth/register", json={"email": email, "password": password})


def login(client: Client, email: str = EMAIL, password: str = PASSWORD, **options: Any) -> Any:
    return client.post("/auth/login", json={"email": email, "password": password, **options})
