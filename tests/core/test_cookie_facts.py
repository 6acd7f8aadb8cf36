"""Why a cookie was used or ignored, name by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdesk.core.cookie_facts import MOST_SHOWN, cookie_facts
from frontdesk.core.cookies import CookieNaming, CookieSettings
from frontdesk.core.envelope import present
from frontdesk.core.explanation import LINKS, LONGEST_SHOWN, Explanation, Fact, shown

SETTINGS = CookieSettings()
SESSION, ACCESS, REFRESH = b"__Host-Http-session", b"__Host-Http-access", b"__Host-Http-refresh"
TOKEN = b"fds_" + b"A" * 88


def told(
    cookie: bytes, *, scheme: str = "https", host: bytes = b"app.example", settings: CookieSettings = SETTINGS
) -> list[Fact]:
    presented = present([(b"host", host), (b"cookie", cookie)], scheme, CookieNaming(settings))
    return cookie_facts([cookie], presented, settings)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        (b"\xa0" + SESSION, "cookie_prefix_impossible"),
        (b"\x85" + SESSION, "cookie_prefix_impossible"),
        (b"\x1f" + SESSION, "cookie_prefix_impossible"),
        (SESSION.lower(), "cookie_prefix_impossible"),
        (SESSION.upper(), "cookie_prefix_impossible"),
        (b"$" + SESSION, "cookie_prefix_impossible"),
        (b'"' + SESSION + b'"', "cookie_prefix_impossible"),
        (b"__HOST-theme", "cookie_prefix_impossible"),
        (b"\xa0__Host-theme", "cookie_prefix_impossible"),
        (b"session", "cookie_wrong_name"),
        (b"__Host-session", "cookie_wrong_name"),
        (b"__Secure-access", "cookie_wrong_name"),
        (SESSION + b"-8000", "cookie_of_another_port"),
        (b"__Host-theme", "cookie_foreign"),
        (b"theme", "cookie_foreign"),
        (b"sessions", "cookie_foreign"),
        (b"", "cookie_nameless"),
    ],
)
def test_another_name_is_told_for_what_it_is(name: bytes, code: str) -> None:
    (fact,) = told(name + b"=" + TOKEN)
    assert fact.code == code


def test_on_loopback_another_port_is_told() -> None:
    (fact,) = told(b"__Host-Http-session-9000=x", scheme="http", host=b"localhost:8000")
    assert fact.code == "cookie_of_another_port"
    assert fact.values["expected"] == "__Host-Http-session-8000"
    (plain,) = told(SESSION + b"=x", scheme="http", host=b"localhost:8000")
    assert plain.code == "cookie_of_another_port"


def test_without_prefixes_the_prefixed_name_is_not_ours() -> None:
    insecure = CookieSettings(insecure=True)
    (fact,) = told(b"__Host-Http-session-8000=x", scheme="http", host=b"localhost:8000", settings=insecure)
    assert fact.code == "cookie_of_another_port"


@pytest.mark.parametrize(
    ("cookie", "codes"),
    [
        (SESSION + b"=" + TOKEN, ["cookie_used"]),
        (SESSION + b"=", ["cookie_value_malformed"]),
        (SESSION + b"=a b", ["cookie_value_malformed"]),
        (SESSION + b"=a; " + SESSION + b"=b", ["cookie_duplicate"]),
        (SESSION + b"=a.b.c", ["cookie_of_other_kind"]),
        (ACCESS + b"=a.b.c; " + SESSION + b"=" + TOKEN, ["cookie_passed_over", "cookie_used"]),
        (ACCESS + b"=a.b.c; " + REFRESH + b"=fdr_x; a=b", ["cookie_used", "cookie_refresh", "cookie_foreign"]),
        (b"naked", ["cookie_nameless"]),
        (b"=" + SESSION + b"=x", ["cookie_nameless"]),
        (b"; ;", ["cookies_absent"]),
        (b"a=" + b"x" * 8192, ["cookies_too_large"]),
    ],
)
def test_each_cookie_is_told_with_its_reason(cookie: bytes, codes: list[str]) -> None:
    assert [fact.code for fact in told(cookie)] == codes


def test_beside_an_authorization_cookies_are_counted_and_not_looked_at() -> None:
    headers = [(b"host", b"app.example"), (b"authorization", b"Bearer x"), (b"cookie", SESSION + b"=a; b=c")]
    presented = present(headers, "https", CookieNaming(SETTINGS))
    (fact,) = cookie_facts([SESSION + b"=a; b=c"], presented, SETTINGS)
    assert (fact.code, fact.values) == ("cookies_not_read", {"cookies": 2})


@given(st.lists(st.binary(max_size=40), max_size=80))
def test_whatever_comes_no_value_is_told_and_what_is_told_is_bounded(parts: list[bytes]) -> None:
    secret = b"Zq7".hex() + "the-value"
    cookie = b"; ".join(part.replace(b";", b"") + b"=" + secret.encode() for part in parts)
    facts = told(cookie)
    assert len(facts) <= MOST_SHOWN + 1
    for fact in facts:
        assert secret not in fact.sentence + str(dict(fact.values))
        assert fact.sentence.isprintable()
        assert len(fact.sentence) < 5 * LONGEST_SHOWN


def test_what_looks_like_a_credential_is_not_shown_as_a_name() -> None:
    assert shown(TOKEN) == "[credential]"
    assert shown(b"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.abc") == "[credential]"
    assert shown(b"\xa0a\x1b[2J") == r"\xa0a\x1b[2J"
    assert len(shown(b"\xff" * 10_000)) == LONGEST_SHOWN


def test_codes_of_facts_and_verdicts_are_known_ones() -> None:
    with pytest.raises(ValueError, match="not the code of a fact"):
        Fact(code="cookie_eaten", sentence="It was eaten.")
    with pytest.raises(ValueError, match="no verdict"):
        Explanation(code="perhaps")
    assert Fact(code="cookie_used", sentence="It was.").link == LINKS["cookie_used"]
