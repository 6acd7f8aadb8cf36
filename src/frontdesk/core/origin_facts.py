"""The origin decision in words: what it was, why, and the header values that it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from frontdesk.core.explanation import Fact, Value, shown
from frontdesk.core.origin import Allowed, AllowedBy, Denied, DeniedBy

_REASONS: Final[Mapping[AllowedBy | DeniedBy, str]] = MappingProxyType(
    {
        "safe_method": "its method changes nothing",
        "fetch_site_same_origin": "the browser says that a page of this origin sent it",
        "fetch_site_none": "the browser says that the person started it",
        "origin_is_host": "its Origin is this host",
        "origin_trusted": "its Origin is one of those that are trusted by name",
        "not_a_browser": "it says nothing of where it comes from, and no browser sends such a request",
        "fetch_site_repeated": "Sec-Fetch-Site came more than once",
        "fetch_site_unknown": "Sec-Fetch-Site is none of its four words",
        "fetch_site_same_site": "a page of another origin on this site sent it",
        "fetch_site_cross_site": "a page of another site sent it",
        "origin_repeated": "Origin came more than once",
        "origin_null": "its Origin is null",
        "origin_malformed": "its Origin is none that a browser sends",
        "origin_differs": "its Origin is another than this host",
        "origin_missing": "it does not say where it comes from",
        "host_unusable": "its Host header cannot be compared with its Origin",
        "form_without_origin": "it has the form of an old browser's form and does not say where it comes from",
        "content_type_unusable": "its content type cannot be read, and it does not say where it comes from",
    }
)


def origin_fact(verdict: Allowed | Denied, method: str, scheme: str) -> Fact:
    """What was decided of a request that acts with a cookie."""
    sent: dict[str, Value] = {
        name: shown(b", ".join(values)) if values else "(absent)" for name, values in verdict.rests_on
    }
    because = _REASONS[verdict.reason] + "".join(f"; {name}: {value}" for name, value in sent.items())
    allowed = isinstance(verdict, Allowed)
    return Fact(
        code="origin_allowed" if allowed else "origin_denied",
        sentence=f"The request {'may' if allowed else 'may not'} act with a cookie: {because}.",
        values={"reason": verdict.reason, "method": shown(method), "scheme": shown(scheme), **sent},
    )
