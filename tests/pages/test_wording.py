"""Codes, devices and times in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from frontdesk.errors import CODES, Refusal
from frontdesk.pages import wording

NOW = datetime(2026, 1, 31, 9, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("agent", "name", "kind"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux", "computer"),
        (
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 "
                "Safari/537.36 Edg/140.0"
            ),
            "Edge on Windows",
            "computer",
        ),
        (
            "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Mobile Safari/537.36",
            "Chrome on Android",
            "phone",
        ),
        (
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
                "Version/18.0 Mobile/15E148 Safari/604.1"
            ),
            "Safari on an iPhone",
            "phone",
        ),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/18.0 Safari/605.1.15",
            "Safari on Mac",
            "computer",
        ),
        ("curl/8.14.1", "curl", "terminal"),
        ("python-httpx/0.28", "A Python program", "terminal"),
        ("", "An unknown device", "terminal"),
        ("<b>", "An unknown device", "terminal"),
    ],
)
def test_a_device_is_named_by_its_browser_and_system(agent: str, name: str, kind: str) -> None:
    assert wording.device_name(agent) == (name, kind)


@pytest.mark.parametrize(
    ("seconds", "past", "future"),
    [
        (-5, "just now", "now"),
        (0, "just now", "now"),
        (59, "just now", "now"),
        (60, "1 minute ago", "in 1 minute"),
        (3599, "59 minutes ago", "in 59 minutes"),
        (3600, "1 hour ago", "in 1 hour"),
        (86_399, "23 hours ago", "in 23 hours"),
        (86_400, "1 day ago", "in 1 day"),
        (30 * 86_400, "30 days ago", "in 30 days"),
    ],
)
def test_a_moment_is_told_in_its_largest_unit(seconds: int, past: str, future: str) -> None:
    duration = timedelta(seconds=seconds)
    assert wording.ago(NOW - duration, NOW) == past
    assert wording.ahead(NOW + duration, NOW) == future


def test_a_moment_is_written_out_in_utc() -> None:
    assert wording.stamp(NOW) == "31 January 2026, 09:05 UTC"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(1, "1 second"), (59, "59 seconds"), (60, "1 minute"), (61, "2 minutes"), (900, "15 minutes"), (None, "a while")],
)
def test_waiting_is_rounded_up(seconds: int | None, words: str) -> None:
    members = {} if seconds is None else {"retry_after": seconds}
    assert wording.sentence(Refusal("too_many_attempts", "", members)).endswith(f"Please try again in {words}.")


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_a_sentence(code: str) -> None:
    sentence = wording.sentence(Refusal(code))
    assert sentence.endswith(".")
    assert "_" not in sentence


@pytest.mark.parametrize("code", [code for code, entry in CODES.items() if entry.status == 401])
def test_whoever_is_signed_out_learns_why_unless_there_was_nothing(code: str) -> None:
    # A service is a program and visits no page.
    nobody = {"not_signed_in", "invalid_credentials", "service_unknown"}
    assert bool(wording.notice(Refusal(code))) is (code not in nobody)
