from __future__ import annotations

import itertools
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdesk.core.origin import (
    Allowed,
    Authority,
    Denied,
    OriginHeaders,
    OriginPolicy,
    check,
    is_loopback,
    is_serialized_origin,
    leads_to_loopback,
    parse_authority,
    serialize_origin,
)

HOST = b"bank.example"
SITES: dict[str, tuple[bytes, ...]] = {
    "absent": (),
    "same-origin": (b"same-origin",),
    "same-site": (b"same-site",),
    "cross-site": (b"cross-site",),
    "none": (b"none",),
    "junk": (b"Same-Origin",),
    "empty": (b"",),
    "folded": (b"same-origin, same-origin",),
    "twice": (b"same-origin", b"same-origin"),
}
ORIGINS: dict[str, tuple[bytes, ...]] = {
    "absent": (),
    "equal": (b"https://bank.example",),
    "port": (b"https://bank.example:8443",),
    "scheme": (b"http://bank.example",),
    "null": (b"null",),
    "userinfo": (b"https://x@bank.example",),
    "upper": (b"https://BANK.example",),
    "dot": (b"https://bank.example.",),
    "twice": (b"https://bank.example", b"https://bank.example"),
}
TYPES: dict[str, tuple[bytes, ...]] = {
    "json": (b"application/json",),
    "form": (b"application/x-www-form-urlencoded",),
    "none": (),
}
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
UNSAFE_METHODS = ("POST", "PUT", "PATCH", "DELETE", "CONNECT", "TRACE", "get", "")

# Rows: Sec-Fetch-Site. Columns: Origin. A allowed, D denied, j allowed unless a form could have sent it.
UNSAFE = """
              absent  equal  port  scheme  null  userinfo  upper  dot  twice
absent        j       A      D     D       D     D         D      D    D
same-origin   A       A      A     A       A     A         A      A    A
same-site     D       D      D     D       D     D         D      D    D
cross-site    D       D      D     D       D     D         D      D    D
none          A       A      A     A       A     A         A      A    A
junk          D       D      D     D       D     D         D      D    D
empty         D       D      D     D       D     D         D      D    D
folded        D       D      D     D       D     D         D      D    D
twice         D       D      D     D       D     D         D      D    D
"""
WEBSOCKET = """
              absent  equal  port  scheme  null  userinfo  upper  dot  twice
absent        D       A      D     D       D     D         D      D    D
same-origin   D       A      D     D       D     D         D      D    D
same-site     D       D      D     D       D     D         D      D    D
cross-site    D       D      D     D       D     D         D      D    D
none          D       A      D     D       D     D         D      D    D
junk          D       D      D     D       D     D         D      D    D
empty         D       D      D     D       D     D         D      D    D
folded        D       D      D     D       D     D         D      D    D
twice         D       D      D     D       D     D         D      D    D
"""
HTTPS = OriginPolicy(scheme="https")
UNKNOWN_SCHEME = OriginPolicy()
STRICT = OriginPolicy(scheme="https", strict=True)


def cells(table: str) -> dict[tuple[str, str], str]:
    head, *rows = (line.split() for line in table.strip().splitlines())
    found = {(row[0], origin): cell for row in rows for origin, cell in zip(head, row[1:], strict=True)}
    assert set(found) == set(itertools.product(SITES, ORIGINS))
    return found


def headers(site: str, origin: str, kind: str = "json") -> OriginHeaders:
    return OriginHeaders(SITES[site], ORIGINS[origin], (HOST,), TYPES[kind])


@pytest.mark.parametrize("method", UNSAFE_METHODS)
@pytest.mark.parametrize("kind", TYPES)
def test_the_full_table_of_unsafe_requests(method: str, kind: str) -> None:
    for (site, origin), cell in cells(UNSAFE).items():
        expected = cell == "A" or (cell == "j" and kind != "form")
        outcome = check(method, headers(site, origin, kind), policy=HTTPS)
        assert isinstance(outcome, Allowed) is expected, (site, origin, outcome)


@pytest.mark.parametrize("method", SAFE_METHODS)
def test_safe_methods_are_allowed_whatever_they_carry(method: str) -> None:
    for site, origin, kind in itertools.product(SITES, ORIGINS, TYPES):
        assert check(method, headers(site, origin, kind), policy=STRICT) == Allowed("safe_method")


@pytest.mark.parametrize("method", UNSAFE_METHODS)
@pytest.mark.parametrize("kind", TYPES)
def test_with_an_unknown_scheme_only_the_scheme_column_changes(method: str, kind: str) -> None:
    for site, origin in cells(UNSAFE):
        known = check(method, headers(site, origin, kind), policy=HTTPS)
        unknown = check(method, headers(site, origin, kind), policy=UNKNOWN_SCHEME)
        if (site, origin) == ("absent", "scheme"):
            assert isinstance(known, Denied)
            assert isinstance(unknown, Allowed)
        else:
            assert unknown == known


@pytest.mark.parametrize("method", UNSAFE_METHODS)
@pytest.mark.parametrize("kind", TYPES)
def test_strict_refuses_a_request_with_neither_header_and_changes_nothing_else(method: str, kind: str) -> None:
    for site, origin in cells(UNSAFE):
        strict = check(method, headers(site, origin, kind), policy=STRICT)
        if (site, origin) == ("absent", "absent"):
            assert isinstance(strict, Denied)
            assert strict.reason == "origin_missing"
        else:
            assert strict == check(method, headers(site, origin, kind), policy=HTTPS)


def test_the_full_table_of_websocket_handshakes() -> None:
    for (site, origin), cell in cells(WEBSOCKET).items():
        outcome = check("GET", headers(site, origin, "none"), policy=HTTPS, websocket=True)
        assert isinstance(outcome, Allowed) is (cell == "A"), (site, origin, outcome)


@pytest.mark.parametrize("method", SAFE_METHODS)
def test_a_safe_method_with_effects_is_judged_and_silence_proves_nothing(method: str) -> None:
    for (site, origin), cell in cells(UNSAFE).items():
        outcome = check(method, headers(site, origin, "none"), policy=HTTPS, effects=True)
        assert isinstance(outcome, Allowed) is (cell == "A"), (site, origin, outcome)


@pytest.mark.parametrize("kind", ["json", "form", "none"])
def test_effects_change_nothing_for_an_unsafe_method(kind: str) -> None:
    for site, origin in cells(UNSAFE):
        request = headers(site, origin, kind)
        assert check("POST", request, policy=HTTPS, effects=True) == check("POST", request, policy=HTTPS)


# --- content types of a request with neither header -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content_type", "reason"),
    [
        ((b"application/json",), "not_a_browser"),
        ((b"Application/JSON ; charset=utf-8",), "not_a_browser"),
        ((b"application/problem+json",), "not_a_browser"),
        ((b"application/octet-stream",), "not_a_browser"),
        ((), "not_a_browser"),
        ((b"application/x-www-form-urlencoded",), "form_without_origin"),
        ((b"\tApplication/X-WWW-Form-Urlencoded ;charset=utf-8",), "form_without_origin"),
        ((b"multipart/form-data; boundary=x",), "form_without_origin"),
        ((b"text/plain",), "form_without_origin"),
        ((b"text/plain; application/json",), "form_without_origin"),
        ((b"text/plain, application/json",), "content_type_unusable"),
        ((b"application/json, text/plain",), "content_type_unusable"),
        ((b"application/json", b"text/plain"), "content_type_unusable"),
        ((b"",), "content_type_unusable"),
        ((b";",), "content_type_unusable"),
        ((b"application",), "content_type_unusable"),
        ((b"/json",), "content_type_unusable"),
        ((b"application/",), "content_type_unusable"),
        ((b"\x0btext/plain",), "content_type_unusable"),
        ((b"text/plain\xa0",), "content_type_unusable"),
        ((b"text/pl ain",), "content_type_unusable"),
    ],
)
def test_without_browser_headers_only_what_no_form_sends_is_allowed(
    content_type: tuple[bytes, ...], reason: str
) -> None:
    outcome = check("POST", OriginHeaders(host=(HOST,), content_type=content_type), policy=HTTPS)
    assert outcome.reason == reason
    assert isinstance(outcome, Allowed) is (reason == "not_a_browser")


# --- Origin against Host ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "host", "scheme", "reason"),
    [
        (b"https://bank.example", b"bank.example", "https", "origin_is_host"),
        (b" https://bank.example\t", b"bank.example", "https", "origin_is_host"),
        (b"https://bank.example", b"Bank.Example", "https", "origin_is_host"),
        (b"https://bank.example", b"bank.example:443", "https", "origin_is_host"),
        (b"http://bank.example", b"bank.example:80", None, "origin_is_host"),
        (b"http://localhost:8000", b"localhost:8000", "http", "origin_is_host"),
        (b"http://127.0.0.1:8000", b"127.0.0.1:8000", None, "origin_is_host"),
        (b"http://[::1]:8000", b"[::1]:8000", None, "origin_is_host"),
        (b"https://xn--bnk-0na.example", b"xn--bnk-0na.example", None, "origin_is_host"),
        (b"https://bank.example:443", b"bank.example:443", "https", "origin_malformed"),
        (b"https://bank.example:443", b"bank.example", "https", "origin_malformed"),
        (b"https://bank.example:80", b"bank.example", "https", "origin_differs"),
        (b"https://bank.example", b"bank.example:80", None, "origin_differs"),
        (b"http://localhost:8001", b"localhost:8000", None, "origin_differs"),
        (b"http://localhost:8000", b"127.0.0.1:8000", None, "origin_differs"),
        (b"https://evil.example", b"bank.example", None, "origin_differs"),
        (b"https://www.bank.example", b"bank.example", None, "origin_differs"),
        (b"https://bank.example.evil.example", b"bank.example", None, "origin_differs"),
        (b"https://evilbank.example", b"bank.example", None, "origin_differs"),
        (b"ftp://bank.example", b"bank.example", None, "origin_differs"),
        (b"chrome-extension://bank.example", b"bank.example", None, "origin_differs"),
        (b"https://x@bank.example", b"x@bank.example", None, "origin_malformed"),
        (b"https://bank.example/", b"bank.example", None, "origin_malformed"),
        (b"https://evil.example#@bank.example", b"bank.example", None, "origin_malformed"),
        (b"https://evil.example\\@bank.example", b"bank.example", None, "origin_malformed"),
        (b"https://bank.example https://evil.example", b"bank.example", None, "origin_malformed"),
        (b"https://bank.example, https://bank.example", b"bank.example", None, "origin_malformed"),
        (b"https://bank.example.", b"bank.example.", None, "origin_malformed"),
        (b"HTTPS://bank.example", b"bank.example", None, "origin_malformed"),
        (b"https://b\xc3\xa4nk.example", b"b\xc3\xa4nk.example", None, "origin_malformed"),
        (b"//bank.example", b"bank.example", None, "origin_malformed"),
        (b"bank.example", b"bank.example", None, "origin_malformed"),
        (b"", b"bank.example", None, "origin_malformed"),
        (b"https://", b"", None, "origin_malformed"),
        (b"https://bank.example\n", b"bank.example", None, "origin_malformed"),
        (b"NULL", b"bank.example", None, "origin_malformed"),
        (b"null", b"null", None, "origin_null"),
        (b"https://null", b"null", None, "origin_is_host"),
        (b"https://bank.example", b"", None, "host_unusable"),
        (b"https://bank.example", b"bank.example.", None, "host_unusable"),
        (b"https://bank.example", b"bank.example, bank.example", None, "host_unusable"),
        (b"https://bank.example", b"evil@bank.example", None, "host_unusable"),
    ],
)
def test_an_origin_counts_only_as_the_whole_string_a_browser_writes(
    origin: bytes, host: bytes, scheme: Literal["http", "https"] | None, reason: str
) -> None:
    request = OriginHeaders(origin=(origin,), host=(host,))
    expected = (Allowed if reason == "origin_is_host" else Denied, reason)
    for websocket in (False, True):
        outcome = check("POST", request, policy=OriginPolicy(scheme=scheme), websocket=websocket)
        assert (type(outcome), outcome.reason) == expected


@pytest.mark.parametrize("hosts", [(), (HOST, HOST)])
def test_a_host_that_is_absent_or_sent_twice_equals_nothing(hosts: tuple[bytes, ...]) -> None:
    outcome = check("POST", OriginHeaders(origin=ORIGINS["equal"], host=hosts), policy=HTTPS)
    assert outcome.reason == "host_unusable"


# --- trusted origins --------------------------------------------------------------------------------------------------

TRUSTING = OriginPolicy(trusted=frozenset({"https://app.example", "capacitor://localhost"}), scheme="https")


@pytest.mark.parametrize("site", ["absent", "same-site", "cross-site"])
@pytest.mark.parametrize("origin", [b"https://app.example", b"capacitor://localhost"])
@pytest.mark.parametrize("websocket", [False, True])
def test_a_trusted_origin_may_act_from_elsewhere(site: str, origin: bytes, websocket: bool) -> None:
    request = OriginHeaders(SITES[site], (origin,), (HOST,))
    outcome = check("POST", request, policy=TRUSTING, websocket=websocket)
    assert (type(outcome), outcome.reason) == (Allowed, "origin_trusted")


@pytest.mark.parametrize("site", ["junk", "empty", "folded", "twice"])
@pytest.mark.parametrize("websocket", [False, True])
def test_a_fetch_site_that_no_browser_sends_is_denied_even_to_a_trusted_origin(site: str, websocket: bool) -> None:
    request = OriginHeaders(SITES[site], (b"https://app.example",), (HOST,))
    assert isinstance(check("POST", request, policy=TRUSTING, websocket=websocket), Denied)


@pytest.mark.parametrize("site", ["absent", "same-site", "cross-site"])
@pytest.mark.parametrize(
    "origin",
    [
        (b"http://app.example",),
        (b"https://app.example:8443",),
        (b"https://app.example.evil.example",),
        (b"https://x@app.example",),
        (b"https://app.example/",),
        (b"https://APP.example",),
        (b"null",),
        (b"https://app.example", b"https://app.example"),
    ],
)
def test_a_trusted_origin_is_compared_whole(site: str, origin: tuple[bytes, ...]) -> None:
    assert isinstance(check("POST", OriginHeaders(SITES[site], origin, (HOST,)), policy=TRUSTING), Denied)


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "null",
        "",
        "app.example",
        "https://*.app.example",
        "https://app.example/",
        "https://app.example:443",
        "http://app.example:80",
        "https://app.example:0",
        "https://app.example:65536",
        "https://app.example:08443",
        "https://App.example",
        "https://x@app.example",
        "https://app.example.",
        "https://bänk.example",
        "https://" + "a" * 400,
    ],
)
def test_a_trusted_origin_that_no_browser_sends_is_refused_when_built(origin: str) -> None:
    assert not is_serialized_origin(origin)
    with pytest.raises(ValueError, match="origin"):
        OriginPolicy(trusted=frozenset({origin}))


def test_one_string_is_no_set_of_origins_and_wss_is_no_scheme_of_pages() -> None:
    with pytest.raises(ValueError):
        OriginPolicy(trusted="https://app.example")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="scheme"):
        OriginPolicy(scheme="wss")  # type: ignore[arg-type]


# --- what the outcome tells -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_headers", "reason", "rests_on"),
    [
        (headers("same-origin", "null"), "fetch_site_same_origin", (("sec-fetch-site", (b"same-origin",)),)),
        (headers("none", "absent"), "fetch_site_none", (("sec-fetch-site", (b"none",)),)),
        (
            headers("same-site", "port"),
            "fetch_site_same_site",
            (("sec-fetch-site", (b"same-site",)), ("origin", ORIGINS["port"])),
        ),
        (
            headers("cross-site", "absent"),
            "fetch_site_cross_site",
            (("sec-fetch-site", (b"cross-site",)), ("origin", ())),
        ),
        (headers("twice", "equal"), "fetch_site_repeated", (("sec-fetch-site", SITES["twice"]),)),
        (headers("junk", "equal"), "fetch_site_unknown", (("sec-fetch-site", SITES["junk"]),)),
        (headers("absent", "equal"), "origin_is_host", (("origin", ORIGINS["equal"]), ("host", (HOST,)))),
        (headers("absent", "twice"), "origin_repeated", (("origin", ORIGINS["twice"]), ("host", (HOST,)))),
        (
            headers("absent", "absent", "form"),
            "form_without_origin",
            (("sec-fetch-site", ()), ("origin", ()), ("content-type", TYPES["form"])),
        ),
    ],
)
def test_the_outcome_names_the_headers_it_rests_on(
    request_headers: OriginHeaders, reason: str, rests_on: tuple[object, ...]
) -> None:
    outcome = check("POST", request_headers, policy=HTTPS)
    assert (outcome.reason, outcome.rests_on) == (reason, rests_on)


def test_headers_are_picked_from_a_raw_list_with_every_value_they_came_with() -> None:
    raw = [
        (b"host", HOST),
        (b"cookie", b"a=b"),
        (b"origin", b"https://bank.example"),
        (b"sec-fetch-site", b"none"),
        (b"origin", b"null"),
        (b"content-type", b"application/json"),
    ]
    assert OriginHeaders.pick(raw) == OriginHeaders(
        (b"none",), (b"https://bank.example", b"null"), (HOST,), (b"application/json",)
    )
    assert OriginHeaders.pick([]) == OriginHeaders()


# --- the parts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "authority"),
    [
        (b"bank.example", Authority("bank.example", None)),
        (b"Bank.Example:8443", Authority("bank.example", 8443)),
        (b"bank.example:", Authority("bank.example", None)),
        (b"[::1]:8000", Authority("[::1]", 8000)),
        (b"a_b.example:080", Authority("a_b.example", 80)),
        (b"bank.example:0", None),
        (b"bank.example:65536", None),
        (b"bank.example:-1", None),
        (b"bank..example", None),
        (b".example", None),
        (b"::1", None),
        (b"bank.example/", None),
        (b"bank.example\n", None),
        (b"bank%2eexample", None),
    ],
)
def test_a_host_header_is_taken_apart_or_refused(host: bytes, authority: Authority | None) -> None:
    assert parse_authority(host) == authority


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("a.b.localhost", True),
        ("127.0.0.1", True),
        ("127.255.255.254", True),
        ("[::1]", True),
        ("localhost.", False),
        ("localhost.example", False),
        ("notlocalhost", False),
        ("127.0.0", False),
        ("127.0.0.1.1", False),
        ("127.0.0.１", False),
        ("127.0.0.", False),
        ("10.0.0.1", False),
        ("0.0.0.0", False),
        ("[::]", False),
        ("::1", False),
        ("", False),
    ],
)
def test_loopback_is_what_only_this_machine_answers(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("::1", True), ("LocalHost", True), ("127.0.0.1", True), ("::2", False), ("::", False), ("", False)],
)
def test_a_host_as_urls_are_read_is_spelled_like_an_authority_first(host: str, loopback: bool) -> None:
    assert leads_to_loopback(host) is loopback


labels = st.text(st.sampled_from("abcxyz019-"), min_size=1, max_size=8)
authorities = st.builds(
    Authority,
    st.lists(labels, min_size=1, max_size=3).map(".".join),
    st.one_of(st.none(), st.sampled_from([80, 443, 8000]), st.integers(1, 65535)),
)


@given(st.sampled_from(["http", "https"]), authorities, authorities)
def test_two_hosts_share_an_origin_only_if_host_and_effective_port_are_equal(
    scheme: Literal["http", "https"], here: Authority, there: Authority
) -> None:
    default = {"http": 80, "https": 443}[scheme]
    origin = serialize_origin(scheme, there)
    assert is_serialized_origin(origin)
    sent = here.host if here.port is None else f"{here.host}:{here.port}"
    request = OriginHeaders(origin=(origin.encode(),), host=(sent.encode(),))
    outcome = check("POST", request, policy=OriginPolicy(scheme=scheme))
    same = (here.host, here.port or default) == (there.host, there.port or default)
    assert isinstance(outcome, Allowed) is same


@given(st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=40))
def test_no_bytes_make_the_decision_raise(origin: bytes, host: bytes, content_type: bytes) -> None:
    for request in (
        OriginHeaders(origin=(origin,), host=(host,)),
        OriginHeaders(sec_fetch_site=(origin,), origin=(host,)),
        OriginHeaders(content_type=(content_type,)),
    ):
        assert isinstance(check("POST", request, policy=UNKNOWN_SCHEME), Allowed | Denied)
