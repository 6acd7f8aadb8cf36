"""Faults in a running deployment: a real server, and a real proxy before it that behaves badly in one way."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from frontdesk.server import probing
from frontdesk.server.probing import Probe
from tests.doctor.deployments import HOST, URL, Authority, Headers, Manners, Site, codes, proxying, run, running

HTML = [("Content-Type", "text/html; charset=utf-8")]
STRICT = ("Content-Security-Policy", "default-src 'self'")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Site]:
    with running(tmp_path_factory.mktemp("site"), authority) as begun:
        yield begun


def without(*names: str, instead: Headers | None = None) -> dict[str, Any]:
    return {"drops": frozenset(names), "adds": instead or []}


def page(*headers: tuple[str, str], path: str = "/", content: bytes = b"<!doctype html>") -> dict[str, Any]:
    """An application beside the desk that answers one path by itself."""
    said = [*HTML, ("X-Frame-Options", "DENY"), ("Content-Security-Policy", "default-src 'self'"), *headers]
    return {"pages": {path: (200, said, content)}}


def cookie(line: str) -> dict[str, Any]:
    return page(("Set-Cookie", line))


SOUND = "Secure; HttpOnly; SameSite=Lax; Path=/"

FAULTS: dict[str, dict[str, Any]] = {
    "hsts_missing": without("strict-transport-security"),
    "hsts_short": without(
        "strict-transport-security",
        instead=[("Strict-Transport-Security", "max-age=86400; includeSubDomains")],
    ),
    "hsts_alone": without("strict-transport-security", instead=[("Strict-Transport-Security", "max-age=63072000")]),
    "sniffing": without("x-content-type-options"),
    "framing": without("x-frame-options", "content-security-policy", instead=[STRICT]),
    "csp_missing": without("content-security-policy"),
    "cors_reflected": {"echoes_origin": True},
    "host_unchecked": {"host": HOST},
    "explain_open": {
        "pages": {"/auth/explain": (200, [("Content-Type", "application/json")], json.dumps({"facts": [{}]}).encode())}
    },
    "cookie_name_taken": cookie(f"__Host-Http-session=theirs; {SOUND}"),
    "cookie_public_suffix": cookie(f"basket=1; Domain=example; {SOUND}"),
    "cookie_parent_domain": cookie(f"basket=1; Domain=.{HOST}; {SOUND}"),
    "cookie_not_secure": cookie("basket=1; HttpOnly; SameSite=Lax; Path=/"),
    "cookie_parent_domain of the balancer": {"adds": [("Set-Cookie", f"node=1; Domain={HOST}; {SOUND}")]},
    "cookie_readable": cookie("csrf=1; Secure; SameSite=Lax; Path=/"),
    "cookie_cross_site": cookie("basket=1; Secure; HttpOnly; Path=/"),
}
"""Code → how the proxy behaves."""


@pytest.mark.parametrize("code", FAULTS)
def test_the_fault_is_found_and_nothing_else(code: str, site: Site) -> None:
    assert site.doctor(**FAULTS[code]) == [code.partition(" ")[0]]


def test_a_proxy_that_passes_on_a_host_of_its_own_is_found(site: Site) -> None:
    assert site.doctor(host=f"127.0.0.1:{site.server.port}", status=1) == ["host_lost"]


def test_a_name_that_does_not_lead_to_https_is_found(site: Site) -> None:
    assert site.doctor(plain=Manners(site.server.port), status=1) == ["http_answers"]


def test_a_redirect_to_what_is_no_address_does_not_lead_to_https(site: Site) -> None:
    nowhere = {"/": (302, [("Location", "https://[")], b"")}
    assert site.doctor(plain=Manners(site.server.port, pages=nowhere), status=1) == ["http_answers"]


def test_a_closed_port_for_http_is_fine(site: Site) -> None:
    with proxying(Manners(site.server.port, tls=site.authority.context())) as https, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        ways = ("--connect", f"443=127.0.0.1:{https}", "--connect", f"80=127.0.0.1:{closed.getsockname()[1]}")
        document = run("--url-only", "--url", URL, "--ca-file", str(site.authority.file), *ways, status=0)
    assert codes(document) == []


@pytest.mark.parametrize(
    ("code", "context"),
    [
        ("certificate_expired", {"ends_in": timedelta(days=-1)}),
        ("certificate_ends", {"ends_in": timedelta(days=5)}),
        ("tls_old", {"old": True}),
    ],
)
def test_a_fault_in_tls_is_found(code: str, context: dict[str, Any], site: Site) -> None:
    found = site.doctor(tls=site.authority.context(**context), status=1)
    assert found[0] == code
    assert found[1:] == (["unseen what the deployment answers"] if code == "certificate_expired" else [])


def test_a_certificate_of_somebody_else_is_found_and_nothing_is_asked_behind_it(site: Site, tmp_path: Path) -> None:
    seen = site.server.log
    found = site.doctor(tls=Authority(tmp_path).context(), status=1)
    assert found == ["certificate_untrusted", "unseen what the deployment answers"]
    assert site.server.log == seen


def test_a_deployment_over_plain_http_is_found(site: Site) -> None:
    with proxying(Manners(site.server.port)) as http:
        document = run("--url-only", "--url", f"http://{HOST}", "--connect", f"80=127.0.0.1:{http}", status=1)
    assert codes(document) == ["plain_http"]


def test_a_server_that_does_not_know_of_https_is_found(tmp_path: Path, authority: Authority) -> None:
    settings = {"base_url": None, "hosts": f'["{HOST}"]', "trusted_proxies": None}
    with running(tmp_path, authority, **settings) as site:
        assert site.doctor(status=1) == ["https_unseen"]
        with site.reached() as ways:
            found = run("--url-only", *ways, status=1)["findings"]
    assert [finding["code"] for finding in found] == ["https_unseen", "hsts_missing"]
    assert f"a page of http://{HOST} for one of its own" in found[0]["seen"]


def test_settings_that_name_another_address_are_found(site: Site) -> None:
    assert site.doctor("--set", "base_url=https://other.example", status=1) == ["base_url_differs"]


def test_open_metrics_are_found_from_outside_and_told_once(tmp_path: Path, authority: Authority) -> None:
    with running(tmp_path, authority, open_metrics="true") as site:
        assert site.doctor(status=1) == ["open_metrics"]
        with site.reached() as ways:
            assert codes(run("--url-only", *ways, status=1)) == ["open_metrics"]


def test_development_mode_behind_a_proxy_is_found(tmp_path: Path, authority: Authority) -> None:
    with running(tmp_path, authority, dev="true") as site:
        assert set(site.doctor(status=1)) == {"dev_reachable", "open_metrics", "explain_open"}


def test_a_desk_that_cannot_answer_is_found(tmp_path: Path, authority: Authority) -> None:
    with running(tmp_path, authority) as site, site.reached() as ways:
        site.deployment.database.rename(tmp_path / "elsewhere")
        assert codes(run("--url-only", *ways, status=1)) == ["unhealthy"]


# --- what it does not do ----------------------------------------------------------------------------------------


def test_what_is_no_desk_is_said(site: Site) -> None:
    answer = {"/auth/health": (200, [("Content-Type", "application/json")], b"{}")}
    assert site.doctor(pages=answer, status=2) == ["unseen the desk's API"]


def test_a_desk_below_a_path_is_looked_at_there_and_its_page_where_it_leads(site: Site) -> None:
    health = json.dumps({"status": "ok", "store": "reachable", "ready": True}).encode()
    headers = [("Content-Type", "application/json"), ("X-Content-Type-Options", "nosniff")]
    strict = ("Strict-Transport-Security", "max-age=63072000; includeSubDomains")
    pages = {
        "/below/auth/health": (200, [*headers, strict], health),
        "/below/": (302, [("Location", "/elsewhere?page=1")], b""),
        "/elsewhere?page=1": (200, HTML, b""),
    }
    with site.reached(pages=pages) as ways:
        document = run("--url-only", *(word.replace(URL, f"{URL}/below") for word in ways))
    found = [(finding["code"], finding["seen"].split()[0]) for finding in document["findings"]]
    assert found == [
        ("framing", "/elsewhere?page=1"),
        ("host_unchecked", "the"),
        ("csp_missing", "/elsewhere?page=1"),
    ]


def test_a_redirect_that_names_the_port_of_the_scheme_stays_here(site: Site) -> None:
    pages = {
        "/": (302, [("Location", f"{URL}:443/elsewhere")], b""),
        "/elsewhere": (200, [*HTML, ("X-Frame-Options", "DENY")], b""),
    }
    with site.reached(pages=pages) as ways:
        document = run("--url-only", *ways)
    assert [finding["seen"].split()[0] for finding in document["findings"]] == ["/elsewhere"]


def test_an_api_that_is_mounted_under_another_prefix_is_looked_at_there(site: Site) -> None:
    health = json.dumps({"status": "ok", "store": "reachable", "ready": True}).encode()
    strict = ("Strict-Transport-Security", "max-age=63072000; includeSubDomains")
    pages = {"/api/health": (200, [("Content-Type", "application/json"), strict], health)}
    with site.reached(pages=pages) as ways:
        found = run("--url-only", "--prefix", "/api", *ways, status=1)["findings"]
        assert codes(run("--url-only", "--prefix", "/elsewhere", *ways, status=2)) == ["unseen the desk's API"]
    assert [each["code"] for each in found] == ["sniffing", "host_unchecked"]
    assert f"{URL}/api " in found[0]["seen"]


def test_a_redirect_to_another_host_is_said_and_not_followed(site: Site) -> None:
    away = {"/": (302, [("Location", "https://elsewhere.invalid/")], b"")}
    assert site.doctor(pages=away, status=2) == ["unseen the page for people"]


def test_it_signs_nobody_in_and_sends_no_credential(site: Site) -> None:
    asked: list[str] = []
    with site.reached() as ways:
        before = len(site.server.records("frontdesk.access"))
        run("--config", str(site.deployment.config), *ways, status=0)
        site.server.catch_up()
        asked = [f"{each['method']} {each['path']}" for each in site.server.records("frontdesk.access")[before:]]
    assert {line for line in asked if not line.startswith("GET")} == {"POST /auth/refresh"}
    assert len(asked) < 20
    assert [each for each in site.server.records("frontdesk.audit") if each["event"] == "signed_in"] == []


def test_nobody_there_is_said(site: Site) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        ways = ("--url", URL, "--connect", f"443=127.0.0.1:{closed.getsockname()[1]}")
        document = run("--config", str(site.deployment.config), *ways, status=2)
    assert codes(document) == ["unseen the desk's API"]
    assert document["unseen"][0]["why"] == "Connection refused"


@contextmanager
def dripping() -> Iterator[int]:
    """A deployment that sends a byte of its answer now and then, and never the end of it."""
    gone = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            line, _ = listener.accept()
            with line:
                line.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                while not gone.wait(0.01):
                    try:
                        line.sendall(b"a")
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            gone.set()
            thread.join()


def test_a_deployment_that_never_finishes_its_answer_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "SECONDS", 0.3)
    with dripping() as port:
        site, unseen = Probe(f"http://{HOST}", connect={80: ("127.0.0.1", port)}).look()
    assert site is None
    assert [each.subject for each in unseen] == ["the desk's API"]


def test_an_answer_without_end_is_read_up_to_a_limit(site: Site) -> None:
    endless = {"/": (200, HTML, b"x" * (4 * 1024 * 1024))}
    assert "csp_missing" in site.doctor(pages=endless)


def test_when_the_time_for_everything_is_over_it_says_so(site: Site) -> None:
    moments = iter([0.0, *[probing.ALTOGETHER + 1] * 100])
    with proxying(Manners(site.server.port)) as http:
        found, unseen = Probe(f"http://{HOST}", connect={80: ("127.0.0.1", http)}, timer=lambda: next(moments)).look()
    assert found is None
    assert unseen[0].why == "the time for all requests was over"


PLANTED = frozenset(
    {
        *(code.partition(" ")[0] for code in FAULTS),
        *("host_lost", "http_answers", "certificate_expired", "certificate_ends", "tls_old", "certificate_untrusted"),
        *("plain_http", "https_unseen", "base_url_differs", "open_metrics", "unhealthy"),
    }
)
