"""The OpenAPI document: of the API alone, and merged into FastAPI's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from fastapi import FastAPI

from frontdesk.core.cookies import CookieSettings
from frontdesk.endpoints.openapi import Description
from frontdesk.endpoints.routes import ROUTES
from frontdesk.endpoints.settings import EdgeSettings
from frontdesk.errors import CODES
from frontdesk.fastapi import Frontdesk, OptionalUser, Principal, User, require
from frontdesk.testing import Client

Teller = Annotated[Principal, require(roles={"teller"})]


def description(**settings: Any) -> Description:
    return Description(EdgeSettings(**settings), credentials=("session", "jwt", "jwe"), transports=("cookie", "bearer"))


def document() -> dict[str, Any]:
    return description().document(title="Frontdesk", version="1")


def every(node: Any, key: str) -> Iterator[Any]:
    """Each value of a member of this name, anywhere below."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == key:
                yield value
            yield from every(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from every(value, key)


def operations(whole: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in whole["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", operation


def test_every_route_is_described_and_nothing_else() -> None:
    assert {name for name, _ in operations(document())} == {f"{route.method} /auth{route.path}" for route in ROUTES}


def test_every_reference_leads_somewhere_and_every_schema_is_referred_to() -> None:
    whole = document()
    references = set(every(whole, "$ref"))
    assert references == {f"#/components/schemas/{name}" for name in whole["components"]["schemas"]}


def test_operation_ids_are_unique_identifiers() -> None:
    ids = [operation["operationId"] for _, operation in operations(document())]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z_]+", name) for name in ids)


def test_every_parameter_of_a_path_is_declared() -> None:
    for name, operation in operations(document()):
        in_path = {parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "path"}
        assert set(re.findall(r"\{(\w+)\}", name)) == in_path


def test_every_refusal_is_documented_under_its_status() -> None:
    responses = {name: operation["responses"] for name, operation in operations(document())}
    for route in ROUTES:
        documented = responses[f"{route.method} /auth{route.path}"]
        assert str(route.status) in documented
        for code in (*route.refusals, "store_unavailable"):
            assert f"`{code}`" in documented[str(CODES[code].status)]["description"]
            assert "application/problem+json" in documented[str(CODES[code].status)]["content"]


def test_what_ends_a_session_or_refuses_its_renewal_is_declared_wherever_one_is_asked_for() -> None:
    responses = {name: operation["responses"] for name, operation in operations(document())}
    for name in ("GET /auth/me", "GET /auth/sessions", "DELETE /auth/sessions", "POST /auth/refresh"):
        for code in ("refresh_reused", "store_rolled_back", "session_replaced"):
            assert f"`{code}`" in responses[name]["401"]["description"]
    for name in ("GET /auth/me", "GET /auth/sessions", "POST /auth/refresh"):
        assert "`claims_too_large`" in responses[name]["422"]["description"]


def test_health_and_keys_declare_their_answers_that_are_no_refusals() -> None:
    responses = {name: operation["responses"] for name, operation in operations(document())}
    failing = responses["GET /auth/health"]["503"]["content"]
    assert failing["application/json"] == responses["GET /auth/health"]["200"]["content"]["application/json"]
    assert "application/problem+json" in failing  # while the desk has not been opened
    assert responses["GET /auth/jwks.json"]["304"] == {"description": "Not Modified"}
    script = responses["GET /auth/frontdesk.js"]
    assert script["200"]["content"] == {"text/javascript": {"schema": {"type": "string"}}}
    assert script["304"] == {"description": "Not Modified"}


def test_each_credential_in_each_envelope_has_a_security_scheme() -> None:
    whole = document()
    schemes = whole["components"]["securitySchemes"]
    told = {name: (scheme["type"], scheme.get("name") or scheme["bearerFormat"]) for name, scheme in schemes.items()}
    assert told == {
        "frontdeskSessionCookie": ("apiKey", "__Host-Http-session"),
        "frontdeskSessionBearer": ("http", "fds_"),
        "frontdeskAccessCookie": ("apiKey", "__Host-Http-access"),
        "frontdeskAccessBearer": ("http", "JWT"),
        "frontdeskEncryptedAccessCookie": ("apiKey", "__Host-Http-access"),
        "frontdeskEncryptedAccessBearer": ("http", "JWE"),
        "frontdeskRefreshCookie": ("apiKey", "__Host-Http-refresh"),
        "frontdeskService": ("http", "fdk_"),
    }  # fmt: skip
    used = {name for _, operation in operations(whole) for alternative in operation["security"] for name in alternative}
    assert used == set(schemes)


def test_what_services_ask_for_takes_their_credential_alone_and_says_which_scope() -> None:
    described = dict(operations(document()))
    read, revoke = described["GET /auth/revocations"], described["POST /auth/revocations"]
    assert (read["security"], revoke["security"]) == (
        [{"frontdeskService": ["revocations"]}],
        [{"frontdeskService": ["revoke"]}],
    )
    assert [parameter["name"] for parameter in read["parameters"]] == ["cursor", "limit", "wait"]
    assert not any(parameter["required"] for parameter in read["parameters"])
    assert revoke["requestBody"]["required"] is True
    assert "`cross_origin`" not in revoke["responses"]["403"]["description"]


def test_what_is_not_offered_is_not_described() -> None:
    small = Description(
        EdgeSettings(accounts=False, prefix="/desk", cookies=CookieSettings(suffix="a")),
        credentials=("session",),
        transports=("cookie",),
    )
    assert list(small.security_schemes()) == ["frontdeskSessionCookie", "frontdeskService"]
    assert small.security_schemes()["frontdeskSessionCookie"]["name"] == "__Host-Http-session-a"
    assert "/desk/login" not in small.paths()
    assert "/desk/me" in small.paths()
    assert "FrontdeskLoginBody" not in small.schemas()


def test_bodies_and_answers_have_the_members_of_the_api() -> None:
    schemas = document()["components"]["schemas"]
    assert set(schemas["FrontdeskLoginBody"]["required"]) == {"email", "password"}
    assert schemas["FrontdeskLoginBody"]["additionalProperties"] is False
    assert set(schemas["FrontdeskSignedIn"]["required"]) == {"subject", "session"}
    assert document()["paths"]["/auth/login"]["post"]["requestBody"]["required"] is True
    assert document()["paths"]["/auth/logout"]["post"]["requestBody"]["required"] is False


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI(title="Bank")

    @app.get("/open")
    async def open_() -> None: ...

    @app.get("/maybe")
    async def maybe(user: OptionalUser) -> None: ...

    @app.get("/mine")
    async def mine(user: User, teller: Teller) -> None: ...

    return app


def test_a_fastapi_document_holds_the_api_and_says_which_operations_ask(app: FastAPI) -> None:
    Frontdesk("memory:").install(app)
    whole = Client(app).get("/openapi.json").json()
    assert whole["info"]["title"] == "Bank"
    assert whole["openapi"].startswith("3.1")
    alone = document()
    assert {path: whole["paths"][path] for path in alone["paths"]} == alone["paths"]
    assert set(whole["components"]["securitySchemes"]) == set(alone["components"]["securitySchemes"])
    others = {"frontdeskRefreshCookie", "frontdeskService"}
    credentials = [name for name in whole["components"]["securitySchemes"] if name not in others]
    assert "security" not in whole["paths"]["/open"]["get"]
    assert whole["paths"]["/mine"]["get"]["security"] == [{name: []} for name in credentials]
    assert whole["paths"]["/maybe"]["get"]["security"] == [*({name: []} for name in credentials), {}]
    assert {"401", "403", "503"} <= set(whole["paths"]["/mine"]["get"]["responses"])
    assert "401" not in whole["paths"]["/maybe"]["get"]["responses"]
    assert {reference.rpartition("/")[2] for reference in every(whole, "$ref")} <= set(whole["components"]["schemas"])


def test_routes_that_come_later_are_in_the_document_and_it_is_made_once(app: FastAPI) -> None:
    Frontdesk("memory:").install(app)
    first = app.openapi()
    assert app.openapi() is first
    app.add_api_route("/late", lambda: None)
    assert "/late" in app.openapi()["paths"]
    assert "/auth/me" in app.openapi()["paths"]


def test_other_security_schemes_of_the_application_stay(app: FastAPI) -> None:
    from fastapi import Depends
    from fastapi.security import APIKeyHeader

    key = APIKeyHeader(name="x-key", scheme_name="key")

    async def both(user: User, key: str = Depends(key)) -> None: ...

    app.add_api_route("/both", both)
    Frontdesk("memory:").install(app)
    whole = app.openapi()
    assert "key" in whole["components"]["securitySchemes"]
    assert {"key": []} in whole["paths"]["/both"]["get"]["security"]
