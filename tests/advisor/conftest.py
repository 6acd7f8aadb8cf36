"""An identity provider for whoever asks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.advisor.hosting import Provider


@pytest.fixture(scope="package")
def provider() -> Iterator[Provider]:
    """One that signs by another library, on loopback."""
    with Provider() as running:
        yield running
