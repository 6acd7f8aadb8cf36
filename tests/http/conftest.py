"""Every test of this suite runs through every adapter."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from frontdesk.testing import Client
from tests.http.sites import ADAPTERS, Site, make_site

MakeSite = Callable[..., Site]


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
