"""The headers of every page: what it may load, who may frame it, what a cache may keep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from frontdesk.endpoints.http import NO_STORE, NOSNIFF, Header

_PERMISSIONS: Final = (
    b"publickey-credentials-get=(self), publickey-credentials-create=(self), camera=(), microphone=(), geolocation=()"
)
_FIXED: Final[tuple[Header, ...]] = (
    NOSNIFF,
    (b"x-frame-options", b"DENY"),
    # Not no-referrer: under that, a form of this very origin is sent with `Origin: null`.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", _PERMISSIONS),
    NO_STORE,
)
_TWO_YEARS: Final[Header] = (b"strict-transport-security", b"max-age=63072000; includeSubDomains")


def content_policy(nonce: str, form_action: Sequence[str] = ()) -> str:
    """The Content-Security-Policy of one answer. `nonce` is fresh for each; nothing else of ours may run or style.

    `form_action`: origins that the answer to a form may lead on to. Chromium holds every redirect after a submission
    to this directive, one by way of this origin included.
    """
    targets = " ".join(("'self'", *form_action))
    return (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src 'self' data:; "
        f"connect-src 'self'; form-action {targets}; base-uri 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'"
    )


def page_headers(scheme: str, nonce: str, form_action: Sequence[str] = ()) -> tuple[Header, ...]:
    """The headers of a page or of a redirect between pages. HSTS over https only (RFC 6797 section 7.2)."""
    policy: Header = (b"content-security-policy", content_policy(nonce, form_action).encode())
    transport = (_TWO_YEARS,) if scheme == "https" else ()
    return (policy, *transport, *_FIXED)
