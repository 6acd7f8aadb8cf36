from __future__ import annotations

import dataclasses
import itertools
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frontdesk.core.cookies import (
    LONGEST_HEADER,
    CookieAttributes,
    CookieChanges,
    CookieNames,
    CookieNaming,
    CookieSettings,
    Flaw,
    delete_cookie,
    is_token,
    names_in_force,
    names_seen,
    overflow,
    read,
    set_cookie,
)
from frontdesk.errors import CODES

NAME = b"__Host-Http-session"
NAMES = (NAME, b"__Host-Http-access", b"__Host-Http-refresh")
SECURE = CookieAttributes()

# What another program may put around or into a name. Python's str.strip() removes every one of them after latin-1.
STRIPPED_BY_PYTHON = [b"\xa0", b"\x85", b"\x0b", b"\x0c", b"\x1c", b"\x1d", b"\x1e", b"\x1f", b"\r", b"\n"]


# --- reading --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "value"),
    [
        (NAME + b"=good", b"good"),
        (b"theme=dark; " + NAME + b"=good; lang=en", b"good"),
        (b" \t" + NAME + b" \t= \tgood\t ", b"good"),
        (b"theme=dark;" + NAME + b"=good", b"good"),
        (b";;; ;" + NAME + b"=good;;", b"good"),
        (NAME + b"=a=b==", b"a=b=="),
        (NAME + b"=a%20b", b"a%20b"),
        (b'theme="a; ' + NAME + b"=good", b"good"),
        (b"$Version=1; " + NAME + b"=good; $Path=/", b"good"),
        (NAME + b"=" + b"f" * 4000, b"f" * 4000),
    ],
)
def test_a_protected_cookie_is_read_byte_for_byte(header: bytes, value: bytes) -> None:
    assert read([header], NAMES).get(NAME) == value


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b";",
        b"=",
        b"theme=dark",
        NAME,
        NAME + b"; a=b",
        b"=" + NAME + b"=evil",
        b"==" + NAME + b"=evil",
        b" = " + NAME + b"=evil",
        b"__host-http-session=evil",
        b"__HOST-HTTP-SESSION=evil",
        b"__Host-Http-Session=evil",
        b"__Host-session=evil",
        b"__Host-Http-session-8000=evil",
        b"__Host-Http-sessio=evil",
        b'"__Host-Http-session"=evil',
        b"__Host-Http%2Dsession=evil",
        b"__Host-Http-session%20=evil",
        b"%5F_Host-Http-session=evil",
        b"__Host-Http-session\x00=evil",
        b"\xef\xbb\xbf__Host-Http-session=evil",
        b"$Version=1, __Host-Http-session=evil",
        b"a=b, __Host-Http-session=evil",
        b"a b __Host-Http-session=evil",
        "__Host-Http-ſession=evil".encode(),
    ],
)
def test_what_is_not_exactly_the_name_is_not_the_cookie(header: bytes) -> None:
    assert read([header], NAMES) == ({}, False)


@pytest.mark.parametrize("planted", STRIPPED_BY_PYTHON)
@pytest.mark.parametrize("form", [b"%s" + NAME, NAME + b"%s", b" %s\t" + NAME, b"\xc2%s" + NAME, b"%s %s" + NAME])
def test_space_of_other_kinds_never_makes_the_protected_name(planted: bytes, form: bytes) -> None:
    name = form.replace(b"%s", planted)
    assert read([name + b"=evil"], NAMES).get(NAME) is None
    for order in ([name + b"=evil", NAME + b"=good"], [NAME + b"=good", name + b"=evil"]):
        assert read([b"; ".join(order)], NAMES).get(NAME) == b"good"
        assert read(order, NAMES).get(NAME) == b"good"


@pytest.mark.parametrize(
    "headers",
    [
        [NAME + b"=good; " + NAME + b"=evil"],
        [NAME + b"=good", NAME + b"=evil"],
        [NAME + b"=same; " + NAME + b"=same"],
        [NAME + b"=good; a=b; \t" + NAME + b"\t=evil; c=d"],
        [NAME + b"=; " + NAME + b"=good"],
        [NAME + b"=good; " + NAME + b"="],
        [NAME + b'="x"; ' + NAME + b"=good"],
        [NAME + b"=1; " + NAME + b"=2; " + NAME + b"=3"],
        [b"a=b", NAME + b"=good", b"c=d", NAME + b"=evil"],
    ],
)
def test_a_duplicate_name_means_no_session(headers: list[bytes]) -> None:
    assert read(headers, NAMES).get(NAME) is Flaw.DUPLICATE


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"  ",
        b'"quoted"',
        b'"',
        b"a b",
        b"a\tb",
        b"a,b",
        b"a\\b",
        b"\xa0a",
        b"a\xa0",
        b"a\x00",
        b"a\x0b",
        b"\x0ca",
        b"\xff",
    ],
)
def test_a_value_that_was_never_set_here_is_malformed(value: bytes) -> None:
    assert read([NAME + b"=" + value], NAMES).get(NAME) is Flaw.MALFORMED


def test_three_names_are_looked_up_at_once_and_do_not_disturb_each_other() -> None:
    header = b"__Host-Http-access=a; __Host-Http-refresh=r; __Host-Http-refresh=s; x=y"
    reading = read([header], NAMES)
    assert [reading.get(name) for name in NAMES] == [None, b"a", Flaw.DUPLICATE]


def test_several_cookie_headers_are_joined_before_anything_is_decided() -> None:
    parts = [b"a=b", NAME + b"=good", b"c=d"]
    readings = {read(list(order), NAMES).get(NAME) for order in itertools.permutations(parts)}
    assert readings == {b"good"}


def test_no_cookie_header_is_no_cookie() -> None:
    assert read([], NAMES) == ({}, False)


@pytest.mark.parametrize("split", [False, True])
def test_the_header_has_8192_bytes_at_most_however_it_is_split(split: bool) -> None:
    def headers(size: int) -> list[bytes]:
        first = NAME + b"=good"
        rest = b"x" * (size - len(first) - 2)
        return [first, rest] if split else [first + b"; " + rest]

    assert read(headers(LONGEST_HEADER), NAMES) == ({NAME: b"good"}, False)
    beyond = read(headers(LONGEST_HEADER + 1), NAMES)
    assert (beyond.too_large, beyond.get(NAME)) == (True, None)
    assert read([b";" * 16384], NAMES).too_large


def test_every_flaw_is_a_refusal_code() -> None:
    assert {CODES[flaw.value].status for flaw in Flaw} == {401}


header_bytes = st.lists(
    st.one_of(
        st.sampled_from([NAME, b"=", b"; ", b";", b" ", b"\t", b'"', b",", *STRIPPED_BY_PYTHON]),
        st.binary(max_size=6),
    ),
    max_size=24,
).map(b"".join)


@given(st.lists(header_bytes, max_size=3))
@settings(max_examples=300)
def test_the_reading_agrees_with_the_definition(headers: list[bytes]) -> None:
    pairs = [pair.split(b"=", 1) for pair in b"; ".join(headers).split(b";")]
    values = [pair[1].strip(b" \t") for pair in pairs if len(pair) == 2 and pair[0].strip(b" \t") == NAME]
    got = read(headers, NAMES).get(NAME)
    if len(values) != 1:
        assert got is (Flaw.DUPLICATE if values else None)
    elif isinstance(got, bytes):
        assert got == values[0]
        assert got
        assert all(0x21 <= byte <= 0x7E and byte not in b'",;\\' for byte in got)
    else:
        assert got is Flaw.MALFORMED
        assert not values[0] or any(not 0x21 <= byte <= 0x7E or byte in b'",;\\' for byte in values[0])


@given(header_bytes, header_bytes)
def test_strangers_cookies_around_it_never_change_the_value_read(before: bytes, after: bytes) -> None:
    reading = read([before + b";" + NAME + b"=good;" + after], NAMES).get(NAME)
    assert reading in {b"good", Flaw.DUPLICATE}


@given(st.lists(header_bytes, max_size=3))
def test_names_seen_tells_names_and_never_a_value(headers: list[bytes]) -> None:
    names = names_seen(headers)
    assert all(b"=" not in name and b";" not in name for name in names)
    reading = read(headers, NAMES).get(NAME)
    assert names.count(NAME) == 0 if reading is None else names.count(NAME) >= 1


def test_names_seen_keeps_the_order_and_the_bytes_as_sent() -> None:
    headers = [b"a=1; \xa0" + NAME + b"=2;; secret-without-a-name", b" b =3; =x=y; a=4"]
    assert names_seen(headers) == (b"a", b"\xa0" + NAME, b"", b"b", b"", b"a")
    assert names_seen([]) == ()
    assert names_seen([b"a=1; " * 4096]) == ()


# --- names in force -------------------------------------------------------------------------------------------------

PLAIN = CookieSettings()
SUFFIXED = CookieSettings(suffix="app")
INSECURE = CookieSettings(insecure=True)
INSECURE_SUFFIXED = CookieSettings(insecure=True, suffix="app")


@pytest.mark.parametrize(
    ("scheme", "host", "chosen", "session", "secure"),
    [
        ("https", b"example.com", PLAIN, b"__Host-Http-session", True),
        ("https", b"localhost:8000", PLAIN, b"__Host-Http-session", True),
        ("wss", b"localhost:8000", PLAIN, b"__Host-Http-session", True),
        ("http", b"example.com", PLAIN, b"__Host-Http-session", True),
        ("http", b"example.com:8000", PLAIN, b"__Host-Http-session", True),
        ("http", None, PLAIN, b"__Host-Http-session", True),
        ("http", b"localhost:8000", PLAIN, b"__Host-Http-session-8000", True),
        ("ws", b"localhost:8000", PLAIN, b"__Host-Http-session-8000", True),
        ("http", b"LOCALHOST:8000", PLAIN, b"__Host-Http-session-8000", True),
        ("http", b"bank.localhost:8000", PLAIN, b"__Host-Http-session-8000", True),
        ("http", b"127.0.0.1:9", PLAIN, b"__Host-Http-session-9", True),
        ("http", b"127.255.0.255:65535", PLAIN, b"__Host-Http-session-65535", True),
        ("http", b"[::1]:8000", PLAIN, b"__Host-Http-session-8000", True),
        ("http", b"localhost", PLAIN, b"__Host-Http-session-80", True),
        ("http", b"localhost:", PLAIN, b"__Host-Http-session-80", True),
        ("https", b"example.com", SUFFIXED, b"__Host-Http-session-app", True),
        ("http", b"localhost:8000", SUFFIXED, b"__Host-Http-session-app", True),
        ("http", b"localhost:8000", INSECURE, b"session-8000", False),
        ("http", b"localhost:8000", INSECURE_SUFFIXED, b"session-app", False),
        ("https", b"localhost:8000", INSECURE, b"__Host-Http-session", True),
        ("http", b"example.com", INSECURE, b"__Host-Http-session", True),
        ("http", None, INSECURE, b"__Host-Http-session", True),
        ("http", b"localhost:8000", CookieSettings(prefix="__Host-"), b"__Host-session-8000", True),
    ],
)
def test_the_names_in_force(
    scheme: str, host: bytes | None, chosen: CookieSettings, session: bytes, secure: bool
) -> None:
    for names in (names_in_force(scheme, host, chosen), CookieNaming(chosen).names(scheme, host)):
        assert (names.session, names.attributes.secure) == (session, secure)
        assert names.access == session.replace(b"session", b"access")
        assert names.refresh == session.replace(b"session", b"refresh")
        assert set(names.protected) == {names.session, names.access, names.refresh}


@pytest.mark.parametrize(
    "host",
    [
        b"localhost.evil.example:8000",
        b"evil-localhost:8000",
        b"127.0.0.1.evil.example",
        b"128.0.0.1",
        b"127.0.0.256",
        b"127.1",
        b"127.0.0.01",
        b"[::2]",
        b"[::ffff:127.0.0.1]",
        b"localhost@evil.example",
        b"evil.example\\@localhost",
        b"localhost:0",
        b"localhost:65536",
        b"localhost:80000000",
        b"localhost:8000:8000",
        b"localhost:80 00",
        b"localhost\xa0",
        b"localhost, localhost",
        b"localhost" * 100,
        b"",
    ],
)
def test_insecure_cookies_are_refused_off_loopback(host: bytes) -> None:
    assert names_in_force("http", host, INSECURE) == names_in_force("https", b"example.com", PLAIN)


def test_on_loopback_the_plain_name_and_another_port_are_not_read() -> None:
    header = b"__Host-Http-session=plain; __Host-Http-session-8001=other; session-8000=insecure"
    names = names_in_force("http", b"localhost:8000", PLAIN)
    assert read([header], names.protected) == ({}, False)
    assert read([header + b"; __Host-Http-session-8000=own"], names.protected).get(names.session) == b"own"


def test_naming_remembers_a_bounded_number_of_hosts() -> None:
    naming = CookieNaming(PLAIN)
    for port in range(1, 300):
        assert naming.names("http", b"localhost:%d" % port).session == b"__Host-Http-session-%d" % port
    assert naming._by_host.cache_info().currsize <= 64


@pytest.mark.parametrize(
    "change",
    [
        {"prefix": ""},
        {"prefix": "__Secure-"},
        {"prefix": "__host-"},
        {"session": ""},
        {"session": "a b"},
        {"session": "a=b"},
        {"session": "a;b"},
        {"session": "é"},
        {"session": "__Host-session"},
        {"session": "s" * 65},
        {"access": "session"},
        {"refresh": "Session"},
        {"suffix": ""},
        {"suffix": "a b"},
        {"same_site": "None"},
        {"same_site": "lax"},
    ],
)
def test_settings_that_make_no_safe_cookie_are_refused_when_built(change: dict[str, str]) -> None:
    with pytest.raises(ValueError):
        dataclasses.replace(PLAIN, **change)  # type: ignore[arg-type]


# --- writing --------------------------------------------------------------------------------------------------------


def attributes_of(header: bytes) -> list[str]:
    return header.decode("ascii").split("; ")[1:]


@pytest.mark.parametrize(
    ("chosen", "host", "expected"),
    [
        (PLAIN, b"example.com", "__Host-Http-session=v; Path=/; Secure; HttpOnly; SameSite=Lax"),
        (
            CookieSettings(same_site="Strict"),
            b"localhost:8000",
            "__Host-Http-session-8000=v; Path=/; Secure; HttpOnly; SameSite=Strict",
        ),
        (INSECURE, b"localhost:8000", "session-8000=v; Path=/; HttpOnly; SameSite=Lax"),
    ],
)
def test_a_cookie_is_set_with_every_attribute_spelled_out(chosen: CookieSettings, host: bytes, expected: str) -> None:
    names: CookieNames = names_in_force("http", host, chosen)
    assert set_cookie(names.session, "v", names.attributes).decode() == expected
    assert set_cookie(names.session, b"v", names.attributes).decode() == expected


@pytest.mark.parametrize(
    ("max_age", "seconds"),
    [
        (timedelta(seconds=1), 1),
        (timedelta(days=30), 2592000),
        (timedelta(seconds=9, microseconds=999999), 9),
        (timedelta(days=400), 34560000),
        (timedelta(days=401), 34560000),
        (timedelta.max, 34560000),
    ],
)
def test_max_age_comes_in_whole_seconds_and_ends_at_400_days(max_age: timedelta, seconds: int) -> None:
    assert attributes_of(set_cookie(NAME, "v", SECURE, max_age=max_age))[-1] == f"Max-Age={seconds}"


@pytest.mark.parametrize("max_age", [timedelta(0), timedelta(microseconds=999999), timedelta(seconds=-1)])
def test_a_max_age_that_would_delete_is_misuse(max_age: timedelta) -> None:
    with pytest.raises(ValueError, match="delete_cookie"):
        set_cookie(NAME, "v", SECURE, max_age=max_age)


def test_deletion_repeats_name_path_and_attributes_and_expires_twice() -> None:
    deleted = delete_cookie(NAME, SECURE)
    assert deleted.startswith(NAME + b"=;")
    was_set = attributes_of(set_cookie(NAME, "v", SECURE))
    assert attributes_of(deleted) == [*was_set, "Max-Age=0", "Expires=Thu, 01 Jan 1970 00:00:00 GMT"]


@pytest.mark.parametrize("name", [b"", b"a b", b"a=b", b"a;b", b"a\r\nb", b"\xa0a", b"\xe9", b'"a"', b"a,b", b"a/b"])
def test_a_name_that_is_no_token_is_misuse(name: bytes) -> None:
    assert not is_token(name.decode("latin-1"))
    with pytest.raises(ValueError):
        set_cookie(name, "v", SECURE)
    with pytest.raises(ValueError):
        delete_cookie(name, SECURE)


@pytest.mark.parametrize(
    "value", ["", "a b", "a;b", "a,b", 'a"b', "a\\b", "a\r\nSet-Cookie: x=y", "a\x00", "é", b"\xff", b"a\x7f"]
)
def test_a_value_that_is_no_run_of_cookie_octets_is_misuse(value: str | bytes) -> None:
    with pytest.raises(ValueError):
        set_cookie(NAME, value, SECURE)


@pytest.mark.parametrize("name", [NAME, b"__Secure-x", b"__host-x"])
def test_a_prefixed_name_is_never_set_without_secure(name: bytes) -> None:
    with pytest.raises(ValueError, match="Secure"):
        set_cookie(name, "v", CookieAttributes(secure=False))


@pytest.mark.parametrize(("size", "over"), [(1, 0), (4096, 0), (4097, 1), (5000, 904)])
def test_name_and_value_have_4096_bytes_together(size: int, over: int) -> None:
    value = "v" * (size - len(NAME))
    if size > len(NAME):
        assert overflow(NAME, value) == over
        assert overflow(NAME, value.encode()) == over
    if over:
        with pytest.raises(ValueError, match="4096"):
            set_cookie(NAME, value, SECURE)
    else:
        assert overflow(NAME, "") == 0


def test_the_longest_cookie_that_may_be_set_can_be_read_back() -> None:
    value = b"v" * (4096 - len(NAME))
    pair = set_cookie(NAME, value, SECURE).partition(b";")[0]
    assert read([pair], NAMES).get(NAME) == value


cookie_octets = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters='",;\\'), min_size=1)
any_text = st.text(max_size=40)


@given(any_text, any_text)
@settings(max_examples=300)
def test_whatever_is_set_is_one_cookie_with_no_attribute_smuggled_in(name: str, value: str) -> None:
    try:
        header = set_cookie(name.encode(), value, SECURE)
    except ValueError:
        return
    assert attributes_of(header) == ["Path=/", "Secure", "HttpOnly", "SameSite=Lax"]
    assert all(0x20 <= byte <= 0x7E for byte in header)
    assert read([header.partition(b";")[0]], [name.encode()]).get(name.encode()) == value.encode()


@given(cookie_octets)
def test_every_run_of_cookie_octets_survives_the_round_trip(value: str) -> None:
    pair = set_cookie(NAME, value, SECURE).partition(b";")[0]
    assert read([pair], NAMES).get(NAME) == value.encode()


def test_one_answer_has_one_set_cookie_per_name_and_the_last_change_counts() -> None:
    nothing = CookieChanges()
    changes = (
        nothing.set(NAME, "old", SECURE, max_age=timedelta(days=1))
        .set(b"__Host-Http-access", "a", SECURE)
        .delete(NAME, SECURE)
        .set(NAME, "new", SECURE)
    )
    assert changes.headers() == (
        (b"set-cookie", set_cookie(NAME, "new", SECURE)),
        (b"set-cookie", set_cookie(b"__Host-Http-access", "a", SECURE)),
    )
    assert (nothing.headers(), bool(nothing), bool(changes)) == ((), False, True)


def test_merged_changes_still_have_one_set_cookie_per_name() -> None:
    renewed = CookieChanges().set(NAME, "renewed", SECURE)
    signed_out = CookieChanges().delete(NAME, SECURE)
    assert renewed.merge(signed_out).headers() == ((b"set-cookie", delete_cookie(NAME, SECURE)),)
    assert signed_out.merge(renewed).headers() == ((b"set-cookie", set_cookie(NAME, "renewed", SECURE)),)
    assert renewed.headers() == ((b"set-cookie", set_cookie(NAME, "renewed", SECURE)),)
