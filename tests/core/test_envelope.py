"""What came along with a request: who waits for a page may be renewed."""

from __future__ import annotations

import pytest

from frontdesk.core.envelope import is_navigation

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
