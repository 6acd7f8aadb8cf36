"""Every test of this suite runs through every adapter."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from frontdesk.adapters.messages import Receive
from frontdesk.adapters.middleware import Middleware
from frontdesk.endpoints.http import Request, Response
from frontdesk.testing import Client
from tests.http.answers import undeclared
from tests.http.sites import ADAPTERS, Site, make_site

MakeSite = Callable[..., Site]


@pytest.fixture(autouse=True)
def _every_answer_of_the_api_is_declared(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What any test of this suite gets from the API stands in the OpenAPI document of that very desk."""
    found: list[str] = []
    answer = Middleware._api

    async def watched(self: Middleware, request: Request, receive: Receive) -> Response:
        response = await answer(self, request, receive)
        found.extend(undeclared(self.front, request, response))
        return response

    monkeypatch.setattr(Middleware, "_api", watched)
    yield
    assert found == []


@pytest.fixture(params=ADAPTERS)
def adapter(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def site(adapter: str) -> Site:
    return make_site(adapter)


@pytest.fixture
def client(site: Site) -> Iterator[Client]:
    with site.client() as client:
        yield client
