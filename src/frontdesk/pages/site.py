"""The pages of a desk: which path is answered by what."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from frontdesk.endpoints.gate import Gate, unavailable
from frontdesk.endpoints.http import Header, Request, Response
from frontdesk.errors import OverloadedError, Refusal, StoreError
from frontdesk.pages import accounts, advise, dashboard
from frontdesk.pages.rendering import Renderer

Handler = Callable[[Gate, Renderer, Request], Awaitable[Response]]

_PAGES: Final[Mapping[str, Mapping[str, Handler]]] = MappingProxyType(
    {
        "/": {"GET": dashboard.home},
        "/dashboard": {"GET": dashboard.show},
        "/signout": {"POST": dashboard.sign_out},
        "/dashboard/sessions/{id}/end": {"POST": dashboard.end_device},
        "/dashboard/sessions/end-others": {"POST": dashboard.end_others},
    }
)
_ACCOUNT_PAGES: Final[Mapping[str, Mapping[str, Handler]]] = MappingProxyType(
    {
        "/signup": {"GET": accounts.show_sign_up, "POST": accounts.sign_up},
        "/signin": {"GET": accounts.show_sign_in, "POST": accounts.sign_in},
    }
)
_ADVICE_PAGES: Final[Mapping[str, Mapping[str, Handler]]] = MappingProxyType({"/advise": {"GET": advise.show}})


class Pages:
    """Answers `/`, `/signup`, `/signin`, `/signout`, `/dashboard` and what is below that.

    title: the name of the service, shown on every page. dev: say on every page that this is a development server.
    form_action: other origins that a form's answer may lead on to, each as a browser serializes it; needed where a
    `next` leads to a page that redirects there. Where `EdgeSettings.accounts` is off there is no `/signup` and no
    `/signin`, and a stranger on the dashboard is answered 401. advises: answer `/advise`, too; off unless asked for,
    since it is for whoever sets a desk up, and not for the visitors of an application.
    """

    def __init__(
        self,
        gate: Gate,
        *,
        title: str = "Frontdesk",
        dev: bool = False,
        form_action: Sequence[str] = (),
        advises: bool = False,
        token_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.gate = gate
        offered = gate.settings.accounts
        self._routes = {**_PAGES, **(_ACCOUNT_PAGES if offered else {}), **(_ADVICE_PAGES if advises else {})}
        self._render = Renderer(
            title=title,
            dev=dev,
            accounts=offered,
            advises=advises,
            form_action=form_action,
            token_bytes=token_bytes,
        )

    def owns(self, path: str) -> bool:
        """Whether `path` (root path taken away) is one of ours to answer, if only with 404."""
        return path in self._routes or path.startswith("/dashboard/")

    async def answer(self, request: Request) -> Response:
        """Answer a request that `owns` said is ours. Never raises for a fault of the store: 503."""
        methods = self._routes.get(_pattern(request.path))
        if methods is None:
            return self.problem(request, Refusal("not_found"))
        handler = methods.get("GET" if request.method == "HEAD" else request.method)
        if handler is None:
            allowed = ", ".join(sorted({*methods, "HEAD"} if "GET" in methods else methods))
            return self.problem(request, Refusal("method_not_allowed"), (b"allow", allowed.encode()))
        try:
            return await handler(self.gate, self._render, request)
        except (StoreError, OverloadedError) as error:
            return self.problem(request, unavailable(error))

    def problem(self, request: Request, refusal: Refusal, *headers: Header) -> Response:
        """The answer to a refusal: a page for whoever asks for HTML, a problem document for everybody else.

        For any path of the application, not only for those that `owns` names.
        """
        return self._render.problem(request, refusal, *headers)


def _pattern(path: str) -> str:
    parts = path.split("/")
    if len(parts) == 5 and parts[:3] == ["", "dashboard", "sessions"] and parts[3] and parts[4] == "end":
        return "/dashboard/sessions/{id}/end"
    return path
