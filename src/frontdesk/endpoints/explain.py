"""`/auth/explain`: why this request passes or fails, or another one that came like it; by POST with its body.

A stranger is told the verdict and its code, as the request itself would have told. The facts are for the holder of the
session, for a service with the scope `explain`, and on loopback in development for everybody.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final, NamedTuple
from urllib.parse import parse_qsl

import msgspec

from frontdesk.core.explanation import Explanation, fact, shown
from frontdesk.endpoints.explaining import explain_request
from frontdesk.endpoints.gate import Gate, unavailable
from frontdesk.endpoints.http import Request, Response, json_response, path_below_root, problem
from frontdesk.endpoints.policy import Asked, RoutePolicy
from frontdesk.errors import OverloadedError, Refusal, StoreError

SERVICE_HEADER: Final = b"frontdesk-service"
"""Where a service shows its credential to see the facts: not in `Authorization`, which is what is explained."""

LONGEST_PATH: Final = 2048
QUERY: Final[Mapping[str, Mapping[str, object]]] = {
    "method": {"type": "string", "pattern": "^[A-Z]{1,16}$", "description": "As if the request had this method."},
    "path": {
        "type": "string",
        "maxLength": LONGEST_PATH,
        "pattern": "^/",
        "description": "As if the request had gone to this path.",
    },
}
_METHOD: Final = re.compile(r"[A-Z]{1,16}")
_BAD_QUERY: Final = Refusal(
    "body_invalid",
    f"The query takes method, in capitals, and path, from a slash on and at most {LONGEST_PATH} long, each once.",
)


async def explain(gate: Gate, request: Request) -> Response:
    """Explain the request that came, as if it had gone where the query says."""
    asked = _asked(request)
    if isinstance(asked, Refusal):
        return problem(asked)
    sees = await _sees_all(gate, request)
    if isinstance(sees, Refusal):
        return problem(sees)
    told = await explain_request(
        gate, asked.request, _policy(gate, asked), has_body=request.method == "POST", sees_all=sees
    )
    if not (sees or told.is_holder):
        return json_response(200, told.explanation.for_strangers())
    return json_response(200, _with_question(told.explanation, asked).members())


class _Question(NamedTuple):
    """The request as it is explained, and whether a path was named for it."""

    request: Request
    names_path: bool


def _asked(request: Request) -> _Question | Refusal:
    try:
        pairs = parse_qsl(
            request.query, keep_blank_values=True, strict_parsing=bool(request.query), max_num_fields=len(QUERY)
        )
    except ValueError:
        return _BAD_QUERY
    given = dict(pairs)
    if len(given) < len(pairs) or not given.keys() <= QUERY.keys():
        return _BAD_QUERY
    method, path = given.get("method", request.method), given.get("path")
    if _METHOD.fullmatch(method) is None or (path is not None and not _is_path(path)):
        return _BAD_QUERY
    below = request.path if path is None else path_below_root(path, request.root_path)
    return _Question(msgspec.structs.replace(request, method=method, path=below), path is not None)


def _is_path(path: str) -> bool:
    return path.startswith("/") and len(path) <= LONGEST_PATH


def _policy(gate: Gate, asked: _Question) -> RoutePolicy:
    request = asked.request
    if not asked.names_path:
        return RoutePolicy()
    host = request.header(b"host") or b""
    return gate.policies(Asked(method=request.method, path=request.path, root_path=request.root_path, host=host))


def _with_question(explanation: Explanation, asked: _Question) -> Explanation:
    method, path = shown(asked.request.method), shown(asked.request.path)
    where = f"{method} {path}" if asked.names_path else f"{method}, for no path in particular"
    first = fact("request_as_asked", f"The request is explained as {where}.", method=method)
    if asked.names_path:
        first = fact("request_as_asked", f"The request is explained as {where}.", method=method, path=path)
    return msgspec.structs.replace(explanation, facts=(first, *explanation.facts))


async def _sees_all(gate: Gate, request: Request) -> bool | Refusal:
    """Whether whoever asks may see the facts about anybody. A credential of a service that is not good is refused."""
    if any(name == SERVICE_HEADER for name, _ in request.headers):
        shows = request.header(SERVICE_HEADER)
        try:
            service = await gate.desk.services.authenticate(b"Bearer " + (shows or b"").strip(b" \t"), "explain")
        except (StoreError, OverloadedError) as error:
            unavailable(error)
            return False  # nothing is known of who asks: a stranger
        return service if isinstance(service, Refusal) else True
    # A site that has given itself the address of this machine must see nothing of it: the name counts, too.
    return gate.open_explain and _is_this_machine(gate, request) and gate.settings.serves(request.header(b"host"))


def _is_this_machine(gate: Gate, request: Request) -> bool:
    """Whether the connection comes from here, and whom a trusted proxy names as well."""
    try:
        return all(ip_address(each).is_loopback for each in (request.peer or "", gate.settings.address_of(request)))
    except ValueError:
        return False
