"""Explaining a request to the application that it reached."""

from __future__ import annotations

from frontdesk.adapters.arrival import SCOPE_KEY, Arrival
from frontdesk.adapters.front import Front
from frontdesk.adapters.messages import Scope, request_of
from frontdesk.core.explanation import Explanation, fact
from frontdesk.endpoints.explaining import STORE_FAILED, explain_request
from frontdesk.endpoints.gate import unavailable
from frontdesk.endpoints.policy import Asked, Requirement, RoutePolicy
from frontdesk.errors import OverloadedError, StoreError


async def explain(front: Front, scope: Scope, rule: Requirement | None) -> Explanation:
    """`Frontdesk.explain`. `rule`: what the route asks, in place of what can be found out."""
    arrival = scope.get(SCOPE_KEY)
    # The arrival's, since a mounted application sees another root path.
    request = arrival.request if isinstance(arrival, Arrival) else request_of(scope)
    websocket = scope["type"] == "websocket"
    try:
        await front.open()
    except (StoreError, OverloadedError) as error:
        why = fact("store_failed", STORE_FAILED, decided=True)
        return Explanation(code=unavailable(error).code, facts=(why,))
    asked = Asked(
        method=request.method,
        path=request.path,
        root_path=request.root_path,
        host=request.header(b"host") or b"",
        websocket=websocket,
    )
    policy = front.gate.policies(asked)
    if rule is not None:
        policy = RoutePolicy(asks="signed_in", rules=(rule,), protected=policy.protected)
    return (await explain_request(front.gate, request, policy, websocket=websocket)).explanation
