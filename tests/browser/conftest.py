"""One Chromium for each module, and the server that it visits: over plain http on loopback, and over TLS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from frontdesk.clock import AdjustableClock
from tests.browser.serving import Certificate, Elsewhere, Served
from tests.browser.sites import LosingProxy, Site, application

_ARGUMENTS = (
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * 127.0.0.1",
)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A throw-away certificate for the names that the tests use."""
    return Certificate.make(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def browser(chromium: Path, certificate: Certificate) -> Iterator[Browser]:
    """Chromium, in which every name leads to this machine and that one certificate is believed."""
    believed = f"--ignore-certificate-errors-spki-list={certificate.fingerprint}"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=[*_ARGUMENTS, believed])
        yield started
        started.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """The server on loopback, over plain http."""
    with Served(tmp_path) as running:
        yield running


@pytest.fixture
def served_by_tls(tmp_path: Path, certificate: Certificate) -> Iterator[Served]:
    """The server under https://desk.test."""
    with Served(tmp_path, certificate=certificate, host="desk.test") as running:
        yield running


@pytest.fixture
def elsewhere(certificate: Certificate) -> Iterator[Elsewhere]:
    """Somebody else's server, under every other name."""
    with Elsewhere(certificate) as running:
        yield running


@pytest.fixture
def clock() -> AdjustableClock:
    """The clock of the application, moved by hand."""
    return AdjustableClock()


@pytest.fixture
def site(tmp_path: Path, clock: AdjustableClock) -> Iterator[Site]:
    """An application with a desk, whose pages load the client."""
    with Site(application(tmp_path, clock)) as running:
        yield running


@pytest.fixture
def proxy(site: Site) -> Iterator[LosingProxy]:
    """In front of it, on the way."""
    with LosingProxy(site) as running:
        yield running
