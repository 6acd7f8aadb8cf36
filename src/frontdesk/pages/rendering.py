"""From a template and values to a `Response`: links under the root path, a nonce for each answer, redirects."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from datetime import datetime
from importlib import resources
from typing import Any, Final
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from frontdesk.core.cookies import CookieChanges
from frontdesk.core.origin import is_serialized_origin
from frontdesk.endpoints.http import Header, Request, Response, problem, problem_headers
from frontdesk.errors import ConfigurationError, Refusal
from frontdesk.pages import wording
from frontdesk.pages.headers import page_headers

NONCE_BYTES: Final = 16

_HTML: Final[Header] = (b"content-type", b"text/html; charset=utf-8")


class Renderer:
    """Makes the answers of the pages.

    title: the name of the service. form_action: other origins that the answer to a form may lead on to
    (`headers.content_policy`). accounts: whether there is a page to sign up and in; advises: and one that advises.
    """

    def __init__(
        self,
        *,
        title: str,
        dev: bool,
        accounts: bool,
        advises: bool,
        form_action: Sequence[str],
        token_bytes: Callable[[int], bytes],
    ) -> None:
        for origin in form_action:
            if not is_serialized_origin(origin):
                raise ConfigurationError(f"form_action takes origins such as 'https://app.example', not {origin!r}")
        self._form_action = tuple(form_action)
        self._token_bytes = token_bytes
        self._templates = Environment(
            loader=PackageLoader("frontdesk.pages"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(day=wording.day, stamp=wording.stamp, iso=_iso)
        self._templates.globals.update(
            title=title,
            dev=dev,
            accounts=accounts,
            advises=advises,
            credential=wording.credential,
            style=_asset("style.css"),
            script=_asset("script.js"),
        )

    def page(
        self,
        request: Request,
        template: str,
        *,
        status: int = 200,
        headers: tuple[Header, ...] = (),
        cookies: CookieChanges | None = None,
        code: str = "",
        **values: Any,
    ) -> Response:
        """A page. `values` are escaped where they are shown. `code` is that of the refusal that it tells."""
        nonce = self._nonce()
        text = self._templates.get_template(template).render(
            nonce=nonce, root=root_of(request), path=request.path, **values
        )
        return Response(
            status=status,
            headers=(_HTML, *page_headers(request.scheme, nonce, self._form_action), *headers),
            body=text.encode(),
            cookies=cookies or CookieChanges(),
            refusal=code,
        )

    def redirect(self, request: Request, target: str, *, cookies: CookieChanges | None = None) -> Response:
        """303, the only redirect there is: whatever the method was, the next request is a GET without the form.

        `target` is a path of this origin, root path included: from `at` or from `core.redirects.safe_next`.
        """
        return Response(
            status=303,
            headers=((b"location", target.encode("ascii")), *page_headers(request.scheme, self._nonce())),
            cookies=cookies or CookieChanges(),
        )

    def problem(self, request: Request, refusal: Refusal, *headers: Header) -> Response:
        """What went wrong and where to go on: a page for whoever asks for HTML, else a problem document (RFC 9457)."""
        if not accepts_html(request):
            return problem(refusal).with_headers(*headers)
        return self.page(
            request,
            "problem.html",
            status=refusal.status,
            headers=(*problem_headers(refusal), *headers),
            code=refusal.code,
            refusal=refusal,
            sentence=wording.sentence(refusal),
        )

    def _nonce(self) -> str:
        return base64.urlsafe_b64encode(self._token_bytes(NONCE_BYTES)).rstrip(b"=").decode()


def root_of(request: Request) -> str:
    """The root path as it stands in links: quoted, and never the beginning of another host's address."""
    root = quote(request.root_path.strip("/"), safe="/-._~")
    return f"/{root}" if root else ""


def at(request: Request, path: str) -> str:
    """The link to one of our own paths."""
    return root_of(request) + path


def accepts_html(request: Request) -> bool:
    """Whether the client names HTML among what it accepts, as browsers do. `*/*` alone is not naming it."""
    accepted = b",".join(value for name, value in request.headers if name == b"accept").lower()
    ranges = (item.split(b";") for item in accepted.split(b","))
    return any(
        kind.strip() in {b"text/html", b"application/xhtml+xml"} and b"q=0" not in (part.strip() for part in parameters)
        for kind, *parameters in ranges
    )


def _asset(name: str) -> str:
    """A file of ours as it is to stand in a page: base.html does not escape it, so no request has a word in it."""
    return resources.files("frontdesk.pages").joinpath("assets", name).read_text(encoding="utf-8")


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
