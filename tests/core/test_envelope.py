"""What came along with a request: each cookie carries its own kind, and who waits for a page may be renewed."""

from __future__ import annotations

import pytest

from frontdesk.core.cookies import CookieNaming, CookieSettings
from frontdesk.core.envelope import Presented, is_navigation, present

SESSION, ACCESS = b"__Host-Http-session", b"__Host-Http-access"
OPAQUE, REFRESH, JWT = b"fds_AAAA", b"fdr_AAAA", b"eyJhbGciOiJFUzI1NiJ9.e30.AAAA"


def presented(*pairs: tuple[bytes, bytes]) -> Presented:
    cookie = b"; ".join(name + b"=" + value for name, value in pairs)
    return present([(b"host", b"desk.example"), (b"cookie", cookie)], "https", CookieNaming(CookieSettings()))


@pytest.mark.parametrize(("name", "value"), [(SESSION, OPAQUE), (ACCESS, JWT)])
def test_a_cookie_presents_its_own_kind(name: bytes, value: bytes) -> None:
    assert presented((name, value)).credential == value


@pytest.mark.parametrize(("name", "value"), [(SESSION, JWT), (SESSION, b"x"), (ACCESS, OPAQUE)])
def test_a_cookie_with_a_credential_of_another_kind_presents_nothing(name: bytes, value: bytes) -> None:
    found = presented((name, value))
    assert found.credential is None
    assert found.flaw.code == "credential_malformed"
    assert found.by_cookie


def test_a_session_cookie_of_another_kind_does_not_make_room_for_the_access_cookie() -> None:
    found = presented((SESSION, JWT), (ACCESS, JWT))
    assert found.credential is None
    assert found.flaw.code == "credential_malformed"


@pytest.mark.parametrize("name", [SESSION, ACCESS])
def test_a_refresh_token_in_the_place_of_a_credential_is_left_to_be_named_by_who_checks_it(name: bytes) -> None:
    assert presented((name, REFRESH)).credential == REFRESH


PAGE = [(b"sec-fetch-mode", b"navigate"), (b"sec-fetch-dest", b"document")]


def test_a_browser_that_fetches_a_page_for_its_window_navigates() -> None:
    assert is_navigation("GET", PAGE)
    assert not is_navigation("POST", PAGE)
    assert not is_navigation("GET", PAGE[:1])
    assert not is_navigation("GET", [(b"sec-fetch-mode", b"navigate"), (b"sec-fetch-dest", b"iframe")])


@pytest.mark.parametrize(
    "hint",
    [
        (b"sec-purpose", b"prefetch"),
        (b"sec-purpose", b"prefetch;prerender"),
        (b"sec-purpose", b"prefetch;anonymous-client-ip"),
        (b"purpose", b"prefetch"),
    ],
)
def test_a_page_fetched_on_speculation_is_no_navigation(hint: tuple[bytes, bytes]) -> None:
    assert not is_navigation("GET", [*PAGE, hint])
