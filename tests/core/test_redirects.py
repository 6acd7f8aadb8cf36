from __future__ import annotations

import re
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from frontdesk.core.redirects import LONGEST, safe_next

BASE = "https://a.example/auth/signin"
REFUSED = "/refused"


@pytest.mark.parametrize(
    "value",
    [
        "/",
        "/dashboard",
        "/dashboard/",
        "/a/b/c.html",
        "/search?q=a+b%20c&next=//evil.example",
        "/?to=https://evil.example/",
        "/?q=%0A%2f%5c",
        "/page#part",
        "/page?x[]=1#a/..//b",
        "/caf%C3%A9",
        "/100%25",
        "/100%25/x",
        "/people/@alice",
        "/alice@bank.example",
        "/files/a%2Fb",
        "/.well-known/x",
        "/...",
        "/a:b",
        "/~alice/(x);v=1,2'!*$&+=",
        "/" + "a" * (LONGEST - 1),
    ],
)
def test_a_path_of_this_origin_is_followed_unchanged(value: str) -> None:
    assert safe_next(value, default=REFUSED) == value


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "dashboard",
        "?x=1",
        "#x",
        "./x",
        "../x",
        # another host
        "//e",
        "///e",
        "////e",
        "/\\e",
        "\\/e",
        "\\\\e",
        "\\e",
        "//e@a.example/",
        "https:e",
        "https:/e",
        "https://e",
        "https:\\\\e",
        "https://a.example/",
        "http:///e",
        "HTTPS://e",
        # another scheme
        "data:text/html,x",
        "javascript:alert(1)",
        "java\tscript:alert(1)",
        "vbscript:x",
        "mailto:x@e",
        # userinfo, should somebody put the host in front by hand
        "/@e",
        "/%40e",
        "@e",
        ":80@e",
        # what browsers drop before they parse
        "/\t/e",
        "/\n/e",
        "/\r/e",
        "\t//e",
        " //e",
        " /x",
        "/x ",
        "\x00//e",
        "\x01/x",
        "/x\x00",
        "/x\x7f",
        "/x\r\nSet-Cookie: a=b",
        "/x\n",
        "\ufeff//e",
        "\u00a0//e",
        # what one more decoding brings out
        "/%09/e",
        "/%0a/e",
        "/%0D%0ASet-Cookie:a=b",
        "/x/%00",
        "/x/%7F",
        "/%2fe",
        "/%2Fe",
        "/%2f%2fe",
        "/%5ce",
        "/%5C%5Ce",
        "/a%2f%2fe",
        "/%252fe",
        "/%2509/e",
        "/%255ce",
        "/%2540e",
        "/%25252fe",
        # what normalising brings out
        "/.//e",
        "/..//e",
        "/a/..//e",
        "/a/../../e",
        "/%2e//e",
        "/%2E%2e//e",
        "/.%2e/e",
        "/./x",
        "/x/.",
        "/x/..",
        "/x/%2e%2e",
        "/..",
        "/a//e",
        # no part of a URL
        "/x\\y",
        "/a b",
        "/a%",
        "/a%2",
        "/a%zz",
        "/a%u002f",
        "/café",
        "/／e",
        "/\u2028",
        "/\ud800",
        '/"onload=x',
        "/<script>",
        "/`",
        "/{x}",
        "/a|b",
        "/a^b",
        "/" + "a" * LONGEST,
    ],
)
def test_anything_else_leads_to_the_default(value: str | None) -> None:
    assert safe_next(value, default=REFUSED) == REFUSED
    assert safe_next(value) == "/"


# --- properties -------------------------------------------------------------------------------------------------------

PIECES = [
    *(
        "/",
        "//",
        "\\",
        ".",
        "..",
        "@",
        ":",
        "?",
        "#",
        "%",
        ";",
        "&",
        "=",
        "[",
        "]",
        " ",
        "\t",
        "\n",
        "\r",
        "\x00",
        "\x7f",
    ),
    *("%2f", "%2F", "%5c", "%09", "%0a", "%0d", "%00", "%2e", "%2E", "%25", "%252f", "%40", "%", "%c3%a9", "é", "／"),
    *("https:", "http:", "data:", "javascript:", "e", "evil.example", "a.example", "user", "[::1]", "1", "-", "_", "~"),
]
urls = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=12).map("".join),
    st.lists(st.sampled_from(PIECES), max_size=12).map(lambda pieces: "/" + "".join(pieces)),
    st.text(max_size=30),
)


def host_in_a_browser(reference: str) -> str:
    """The host to which a browser on `https://a.example` goes: the WHATWG URL parser as far as it decides that.

    It strips C0 controls and spaces at both ends, drops tab and newline anywhere, and reads a backslash as a slash.
    """
    text = re.sub(r"[\t\n\r]", "", reference.strip("".join(map(chr, range(0x21))))).replace("\\", "/")
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):", text)
    if scheme is not None:
        if scheme.group(1).lower() not in {"http", "https", "ws", "wss", "ftp"}:
            return scheme.group(0)  # an opaque address: certainly not this host
        if scheme.group(1).lower() != "https" or text[scheme.end() :].startswith("/"):
            return re.split(r"[/?#]", text[scheme.end() :].lstrip("/"), maxsplit=1)[0].rpartition("@")[2]
        text = text[scheme.end() :]
    if text.startswith("//"):
        return re.split(r"[/?#]", text.lstrip("/"), maxsplit=1)[0].rpartition("@")[2]
    return "a.example"


@pytest.mark.parametrize(
    ("reference", "host"),
    [
        ("/x", "a.example"),
        ("//e", "e"),
        ("/\\e", "e"),
        ("/\t/e", "e"),
        (" \\\n\\u@e/x", "e"),
        ("///e?x", "e"),
        ("https:///e", "e"),
        ("https:e", "a.example"),
        ("http:e", "e"),
        ("data:x", "data:"),
    ],
)
def test_the_browser_of_these_tests_is_fooled_as_real_ones_are(reference: str, host: str) -> None:
    assert host_in_a_browser(reference) == host


@given(urls)
@settings(max_examples=500)
@example("/%09/e")
@example("/.//e")
@example("/%252fe")
def test_whatever_is_followed_stays_on_this_host(value: str) -> None:
    target = safe_next(value)
    joined = urlsplit(urljoin(BASE, target))
    assert (joined.scheme, joined.netloc) == ("https", "a.example")
    path = urlsplit(target).path
    # As it is; and as a server would send it on that decodes the path, once or twice, and redirects again.
    for reference in (target, unquote(path), unquote(unquote(path)), joined.path):
        assert host_in_a_browser(reference) == "a.example"
        assert urlsplit(urljoin(BASE, re.sub(r"[\t\n\r]", "", reference).replace("\\", "/"))).netloc == "a.example"


@given(urls)
@settings(max_examples=300)
def test_whatever_is_followed_is_a_header_value_and_stays_behind_a_host_put_in_front(value: str) -> None:
    target = safe_next(value)
    assert re.fullmatch(r"/[!#-;=?-\[\]_a-z~]*", target)
    assert len(target) <= LONGEST
    assert urlsplit("https://a.example" + target).netloc == "a.example"
    assert target in {value, "/"}


@given(st.lists(st.text(st.sampled_from("abcXYZ019-_~"), min_size=1, max_size=6), max_size=5))
def test_every_ordinary_path_is_followed(segments: list[str]) -> None:
    path = "/" + "/".join(segments)
    assert safe_next(path, default=REFUSED) == path
