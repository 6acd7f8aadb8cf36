"""One desk for this directory, and a proxy in front of it for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.client.serving import LossyProxy, ShiftedDesk, proxying, serving


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShiftedDesk]:
    with serving(tmp_path_factory.mktemp("desk")) as desk:
        yield desk


@pytest.fixture
def proxy(desk: ShiftedDesk) -> Iterator[LossyProxy]:
    with proxying(desk.url) as proxy:
        yield proxy


@pytest.fixture
def email(desk: ShiftedDesk) -> str:
    """The address of an account of this test's own."""
    return desk.register()
