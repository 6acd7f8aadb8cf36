"""The listening socket and the address that is offered, without a server behind them."""

from __future__ import annotations

import errno

import pytest

from frontdesk.errors import ConfigurationError
from frontdesk.server import running
from frontdesk.server.settings import ServerSettings

PUBLIC = "https://desk.example"


def test_an_address_that_is_not_ours_is_one_sentence() -> None:
    with pytest.raises(ConfigurationError, match=r"^cannot listen on 192\.0\.2\.1: .+; choose another address with --"):
        running.listen(ServerSettings(host="192.0.2.1", port=0, base_url=PUBLIC))


def test_a_port_that_needs_privileges_is_one_sentence() -> None:
    sentence = running._why_not(PermissionError(errno.EACCES, "Permission denied"), ServerSettings(port=80))
    assert sentence == "port 80 is not open to this user; choose one above 1023 with --port"


@pytest.mark.parametrize(
    ("settings", "offered"),
    [
        (ServerSettings(), "http://localhost:8123/"),
        (ServerSettings(host="localhost"), "http://localhost:8123/"),
        (ServerSettings(host="127.0.0.2"), "http://127.0.0.2:8123/"),
        (ServerSettings(host="::1"), "http://[::1]:8123/"),
        (ServerSettings(host="0.0.0.0", base_url=PUBLIC), PUBLIC),
    ],
)
def test_the_address_offered_is_one_that_a_browser_can_open(settings: ServerSettings, offered: str) -> None:
    assert running._address(settings, 8123) == offered
    assert settings.base_url or offered.split("://")[1].rpartition(":")[0] in settings.served_hosts


def test_uvicorn_believes_no_proxy_and_logs_no_request() -> None:
    config = running.uvicorn_config(ServerSettings())
    assert not config.proxy_headers
    assert not config.server_header
    assert not config.access_log
    assert config.limit_concurrency is None
    assert running.uvicorn_config(ServerSettings(limit_concurrency=7)).limit_concurrency == 7
