"""The OpenAPI 3.1 description of the API, made from the declarations that requests are routed by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec

from frontdesk.core.cookies import names_in_force
from frontdesk.core.sessions import CredentialKind, Transport
from frontdesk.endpoints import bodies
from frontdesk.endpoints.routes import ROUTES, Route
from frontdesk.endpoints.settings import EdgeSettings
from frontdesk.errors import CODES

TAG: Final = "frontdesk"
PROBLEM_TYPE: Final = "application/problem+json"
_JSON: Final = "application/json"
_REFERENCE: Final = "#/components/schemas/Frontdesk{name}"
_EVERYWHERE: Final = ("body_too_large", "headers_too_large", "internal_error", "overloaded", "store_unavailable")
_REFRESH: Final = "frontdeskRefreshCookie"
_SERVICE: Final = "frontdeskService"

Json = dict[str, Any]


class Description:
    """What one desk says of itself: `document` whole, or in parts for the document of an application around it."""

    def __init__(
        self, settings: EdgeSettings, *, credentials: Sequence[CredentialKind], transports: Sequence[Transport]
    ) -> None:
        self._settings = settings
        self._credentials = credentials
        self._transports = transports
        self._routes = [route for route in ROUTES if settings.accounts or not route.accounts]
        types: set[Any] = {route.body for route in self._routes} | {route.answer for route in self._routes}
        ordered = sorted((types - {None}) | {bodies.Problem}, key=lambda shape: str(shape.__name__))
        shapes, components = msgspec.json.schema_components(ordered, ref_template=_REFERENCE)
        self._shapes = dict(zip(ordered, shapes, strict=True))
        self._components = {f"Frontdesk{name}": shape for name, shape in components.items()}

    def document(self, *, title: str, version: str, server: str = "/") -> Json:
        """A whole OpenAPI document of the API alone."""
        return {
            "openapi": "3.1.0",
            "info": {"title": title, "version": version},
            "servers": [{"url": server}],
            "paths": self.paths(),
            "components": {"schemas": self.schemas(), "securitySchemes": self.security_schemes()},
        }

    def schemas(self) -> Json:
        """The shapes of bodies, by name."""
        return dict(self._components)

    @property
    def _refreshes(self) -> bool:
        """Whether any credential on offer is refreshed."""
        return any(credential != "session" for credential in self._credentials)

    def security_schemes(self) -> Json:
        """One scheme for each way in which a credential may come, the cookie that refreshes, and that of services."""
        schemes = dict(self._credential_schemes())
        schemes[_SERVICE] = {
            "type": "http", "scheme": "bearer", "bearerFormat": "fdk_", "description": "The credential of a service.",
        }  # fmt: skip
        if self._refreshes:
            name = names_in_force("https", None, self._settings.cookies).refresh.decode()
            schemes[_REFRESH] = {"type": "apiKey", "in": "cookie", "name": name, "description": "A refresh token."}
        return schemes

    def security(self, *, optional: bool = False) -> list[Json]:
        """The alternatives of an operation that needs a signed-in principal (or takes one)."""
        alternatives: list[Json] = [{name: []} for name, _ in self._credential_schemes()]
        return [*alternatives, {}] if optional else alternatives

    def problems(self, codes: Iterable[str]) -> Json:
        """The responses that refuse, by status, each naming its codes."""
        by_status: dict[int, list[str]] = {}
        for code in dict.fromkeys(codes):
            by_status.setdefault(CODES[code].status, []).append(code)
        return {
            str(status): {
                "description": f"{HTTPStatus(status).phrase}: " + ", ".join(f"`{code}`" for code in named),
                "content": {PROBLEM_TYPE: {"schema": self._shapes[bodies.Problem]}},
            }
            for status, named in sorted(by_status.items())
        }

    def paths(self) -> Json:
        """The operations, by path and method."""
        paths: Json = {}
        for route in self._routes:
            path = self._settings.prefix + route.path
            paths.setdefault(path, {})[route.method.lower()] = self._operation(route)
        return paths

    def _operation(self, route: Route) -> Json:
        operation: Json = {
            "tags": [TAG],
            "summary": route.summary,
            "operationId": "frontdesk_" + route.method.lower() + route.path.translate(str.maketrans("/.", "__", "{}")),
            "responses": self._responses(route),
            "security": self._route_security(route),
        }
        parameters = _parameters(route)
        if parameters:
            operation["parameters"] = parameters
        if route.body is not None:
            required = route.body_required or any(field.required for field in msgspec.structs.fields(route.body))
            operation["requestBody"] = {
                "required": required,
                "content": {_JSON: {"schema": self._shapes[route.body]}},
            }
        elif route.any_size:
            operation["requestBody"] = {"required": False, "content": {"*/*": {}}}
        return operation

    def _responses(self, route: Route) -> Json:
        success: Json = {"description": HTTPStatus(route.status).phrase}
        if route.answer is not None:
            success["content"] = {route.answer_type: {"schema": self._shapes[route.answer]}}
        elif route.answer_type != _JSON:
            success["content"] = {route.answer_type: {"schema": {"type": "string"}}}
        hosts = ("host_unknown",) if self._settings.hosts else ()
        everywhere = [code for code in _EVERYWHERE if not (route.any_size and code == "body_too_large")]
        responses = {str(route.status): success, **self.problems((*route.refusals, *everywhere, *hosts))}
        for status, shape in route.otherwise.items():
            response = responses.setdefault(str(status), {"description": HTTPStatus(status).phrase})
            if shape is not None:
                content = {route.answer_type: {"schema": self._shapes[shape]}, **response.get("content", {})}
                responses[str(status)] = {**response, "content": content}
        return responses

    def _route_security(self, route: Route) -> list[Json]:
        if route.service is not None:
            return [{_SERVICE: [route.service]}]
        if route.path == "/refresh":
            session: list[Json] = [{name: []} for name, _ in self._credential_schemes() if "Session" in name]
            by_cookie: list[Json] = [{_REFRESH: []}] if self._refreshes else []
            return [*by_cookie, *session, {}]  # a refresh token may stand in the body
        return self.security() if route.signed_in else []

    def _credential_schemes(self) -> Iterable[tuple[str, Json]]:
        names = names_in_force("https", None, self._settings.cookies)
        kinds: Mapping[CredentialKind, tuple[str, bytes, str, str]] = {
            "session": ("Session", names.session, "An opaque session token.", "fds_"),
            "jwt": ("Access", names.access, "A signed access token (RFC 9068).", "JWT"),
            "jwe": ("EncryptedAccess", names.access, "An encrypted access token.", "JWE"),
        }
        for credential in self._credentials:
            kind, cookie, description, form = kinds[credential]
            if "cookie" in self._transports:
                scheme = {"type": "apiKey", "in": "cookie", "name": cookie.decode(), "description": description}
                yield f"frontdesk{kind}Cookie", scheme
            if "bearer" in self._transports:
                scheme = {"type": "http", "scheme": "bearer", "bearerFormat": form, "description": description}
                yield f"frontdesk{kind}Bearer", scheme


def _parameters(route: Route) -> list[Json]:
    parameters: list[Json] = []
    if "{id}" in route.path:
        parameters.append({"name": "id", "in": "path", "required": True, "schema": {"type": "string"}})
    for name, schema in route.query.items():
        parameters.append({"name": name, "in": "query", "required": False, "schema": dict(schema)})
    return parameters
