from __future__ import annotations

import sys
from ipaddress import ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from frontdesk.core.addresses import (
    UNKNOWN_ADDRESS,
    canonical_email,
    client_address,
    proxy_networks,
    throttle_network,
)
from frontdesk.errors import Refusal

PROXIES = proxy_networks(["10.0.0.0/8", "192.168.1.7", "2001:db8:ffff::/48"])


# --- e-mail ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("alice@example.com", "alice@example.com"),
        ("Alice@Example.COM", "alice@example.com"),
        ("a.b+c@example.com", "a.b+c@example.com"),
        ("!#$%&'*+/=?^_`{|}~-@example.com", "!#$%&'*+/=?^_`{|}~-@example.com"),
        ("1@2.example", "1@2.example"),
        ("a@r3---sn.example.com", "a@r3---sn.example.com"),
        ("a@münchen.example", "a@xn--mnchen-3ya.example"),
        ("a@MÜNCHEN.example", "a@xn--mnchen-3ya.example"),
        ("a@mu\u0308nchen.example", "a@xn--mnchen-3ya.example"),
        ("a@XN--MNCHEN-3YA.example", "a@xn--mnchen-3ya.example"),
        ("a@straße.example", "a@xn--strae-oqa.example"),
        ("a@παράδειγμα.example", "a@xn--hxajbheg2az3al.example"),
        ("x" * 64 + "@example.com", "x" * 64 + "@example.com"),
        ("a@" + "x" * 63 + ".example", "a@" + "x" * 63 + ".example"),
    ],
)
def test_an_address_has_one_canonical_form(text: str, canonical: str) -> None:
    assert canonical_email(text) == canonical
    assert canonical_email(canonical) == canonical


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "alice",
        "alice@",
        "@example.com",
        "a@b@example.com",
        " alice@example.com",
        "alice@example.com ",
        "alice@example.com\n",
        "alice@example.com\xa0",
        "alice @example.com",
        "alice@exam ple.com",
        "alice@example.com\x00",
        "ali\u200bce@example.com",
        "alice@exam\u200bple.com",
        "alice@exam\u00adple.com",
        "alice@exam\u200dple.com",
        "alice@\ufeffexample.com",
        "alice@exam\u202eple.com",
        "alice@exam\u0378ple.com",
        "alice@\ud800.com",
        "\ud800@example.com",
        "mıke@example.com",
        "mike\u0307@example.com",
        "ａlice@example.com",
        "аlice@example.com",
        '"alice"@example.com',
        '"a b"@example.com',
        ".alice@example.com",
        "alice.@example.com",
        "al..ice@example.com",
        "alice(x)@example.com",
        "alice,bob@example.com",
        "alice@example.com,bob@example.com",
        "<alice@example.com>",
        "alice@localhost",
        "alice@example",
        "alice@example.com.",
        "alice@.example.com",
        "alice@example..com",
        "alice@-example.com",
        "alice@example-.com",
        "alice@exam_ple.com",
        "alice@127.0.0.1",
        "alice@[127.0.0.1]",
        "alice@[IPv6:::1]",
        "alice@example.com:25",
        "alice@example.com/x",
        "alice@exa%6dple.com",
        "alice@ｅxample.com",
        "alice@example。com",
        "alice@example．com",
        "alice@e\u2024xample.com",
        "alice@\u212aelvin.example",
        "alice@xn--a.example",
        "alice@xn--abc-.example",
        "alice@xn--.example",
        "alice@xn--ls8h.example",
        "alice@💩.example",
        "alice@\u0301x.example",
        "alice@ﬁrst.example",
        "x" * 65 + "@example.com",
        "a@" + "x" * 64 + ".example",
        "a@" + ("x" * 60 + ".") * 4 + "examples1",
        "x" * 64 + "@" + ("x" * 60 + ".") * 3 + "examples",
        "a@" + "ü" * 63 + ".example",
        "a" * 100_000 + "@example.com",
        "a@" + "\u0316\u0301" * 50_000,
    ],
)
def test_what_is_no_plain_address_is_refused_and_never_mended(text: str) -> None:
    outcome = canonical_email(text)
    assert isinstance(outcome, Refusal)
    assert outcome.code == "email_invalid"
    assert outcome.detail


def test_an_address_of_254_octets_is_the_longest() -> None:
    domain = ".".join(["x" * 60, "x" * 60, "x" * 60, "example"])
    longest = "a" * (254 - 1 - len(domain)) + "@" + domain
    assert canonical_email(longest) == longest
    assert isinstance(canonical_email("a" + longest), Refusal)


def test_the_octets_of_the_canonical_form_are_counted_not_those_sent() -> None:
    labels = ".".join(["ü" * 40] * 5)
    assert len("a@" + labels + ".example") < 254
    assert isinstance(canonical_email("a" * 64 + "@" + labels), Refusal)


@pytest.mark.parametrize(
    "look_alikes",
    [
        ("mike@example.com", "mıke@example.com", "mİke@example.com", "ｍike@example.com"),
        ("a@strasse.example", "a@straße.example"),
        ("a@example.com", "a@ехаmple.com", "a@examp1e.com", "a@ẹxample.com", "a@xn--xample-9uf.com"),
        ("a@istanbul.example", "a@ıstanbul.example", "a@İstanbul.example"),
        ("a.b@example.com", "ab@example.com", "a.b+c@example.com"),
        ("a@example.com", "a@example.com\u200b", "a@example.com.", "a@www.example.com"),
        ("a@kelvin.example", "a@\u212aelvin.example"),
    ],
)
def test_look_alikes_never_become_one_account(look_alikes: tuple[str, ...]) -> None:
    forms = [form for form in map(canonical_email, look_alikes) if isinstance(form, str)]
    assert forms[0] == look_alikes[0]
    assert len(set(forms)) == len(forms)


@given(st.text(max_size=40), st.text(max_size=40))
@example("a", "xn--.example")
@example("a", "\u0130.\u0345")
def test_whatever_is_taken_is_short_lower_case_ascii_and_stays_as_it_is(local: str, domain: str) -> None:
    outcome = canonical_email(f"{local}@{domain}.example")
    if isinstance(outcome, str):
        assert outcome.isascii()
        assert outcome == outcome.lower()
        assert not any(character.isspace() for character in outcome)
        assert len(outcome) <= 254
        assert canonical_email(outcome) == outcome


@given(st.from_regex(r"[a-zA-Z0-9+-]{1,20}@[a-zA-Zäöüß]{1,20}\.[a-z]{2,6}", fullmatch=True))
def test_case_is_the_only_thing_that_is_folded(text: str) -> None:
    assert canonical_email(text) == canonical_email(text.lower())
    assert isinstance(canonical_email(text), str)


@pytest.mark.parametrize("text", ["a@münchen.example", "a@xn--mnchen-3ya.example", "a@www.XN--MNCHEN-3YA.example"])
def test_without_idna_only_internationalised_domains_are_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setitem(sys.modules, "idna", None)
    outcome = canonical_email(text)
    assert isinstance(outcome, Refusal)
    assert "frontdesk[server]" in outcome.detail
    assert canonical_email("Alice@Example.com") == "alice@example.com"


# --- network addresses ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        # Nobody vouches: what the client says is not heard.
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("203.0.113.9", ["10.0.0.1"], "203.0.113.9"),
        ("192.168.1.8", ["198.51.100.1"], "192.168.1.8"),
        # One proxy, and a list that the client began.
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["198.51.100.1, 203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["10.0.0.2, 203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["garbage, 203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", [" \t203.0.113.9\t "], "203.0.113.9"),
        # A chain of proxies.
        ("10.0.0.1", ["198.51.100.1, 203.0.113.9, 10.0.0.3, 192.168.1.7"], "203.0.113.9"),
        ("10.0.0.1", ["10.0.0.4, 10.0.0.3"], "10.0.0.4"),
        # Several fields are one list.
        ("10.0.0.1", ["198.51.100.1", "203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["203.0.113.9", "10.0.0.3"], "203.0.113.9"),
        # What is no address ends the walk.
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9,"], "10.0.0.1"),
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9, _hidden, 10.0.0.3"], "10.0.0.3"),
        ("10.0.0.1", ["203.0.113.9; 10.0.0.3"], "10.0.0.1"),
        ("10.0.0.1", ['"203.0.113.9"'], "10.0.0.1"),
        ("10.0.0.1", ["for=203.0.113.9"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.009"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113"], "10.0.0.1"),
        ("10.0.0.1", ["3405803785"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9/32"], "10.0.0.1"),
        ("10.0.0.1", ["２03.0.113.9"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9\xa0"], "10.0.0.1"),
        ("10.0.0.1", ["fe80::1%eth0"], "10.0.0.1"),
        # Ports.
        ("10.0.0.1", ["203.0.113.9:4711"], "203.0.113.9"),
        ("10.0.0.1", ["[2001:db8::1]:4711"], "2001:db8::1"),
        ("10.0.0.1", ["[2001:db8::1]"], "2001:db8::1"),
        ("10.0.0.1", ["203.0.113.9:"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9:x"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9:123456"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9:٣"], "10.0.0.1"),
        ("10.0.0.1", ["[203.0.113.9]:1"], "10.0.0.1"),
        ("10.0.0.1", ["[2001:db8::1"], "10.0.0.1"),
        ("10.0.0.1", ["[2001:db8::1]x"], "10.0.0.1"),
        # IPv6, and IPv4 inside it.
        ("2001:DB8:FFFF:0::1", ["2001:DB8:0:0::9"], "2001:db8::9"),
        ("2001:db8:fffe::1", ["198.51.100.1"], "2001:db8:fffe::1"),
        ("::ffff:10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("::ffff:203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("10.0.0.1", ["198.51.100.1, ::ffff:203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["203.0.113.9, [::ffff:10.0.0.3]:80"], "203.0.113.9"),
        ("fe80::1%eth0", ["198.51.100.1"], "fe80::1"),
        # No address at all: a Unix socket, a test client.
        (None, ["198.51.100.1"], UNKNOWN_ADDRESS),
        ("", ["198.51.100.1"], UNKNOWN_ADDRESS),
        ("testclient", ["198.51.100.1"], UNKNOWN_ADDRESS),
    ],
)
def test_a_forwarded_address_is_believed_as_far_as_trusted_proxies_reach(
    peer: str | None, forwarded: list[str], address: str
) -> None:
    assert client_address(peer, forwarded, PROXIES) == address


def test_without_trusted_proxies_only_the_connection_counts() -> None:
    assert client_address("10.0.0.1", ["203.0.113.9"], ()) == "10.0.0.1"


def test_at_most_32_proxies_are_followed() -> None:
    chain = ["203.0.113.9", *(f"10.0.1.{number}" for number in range(31))]
    assert client_address("10.0.0.1", [", ".join(chain)], PROXIES) == "203.0.113.9"
    chain = ["203.0.113.9", *(f"10.0.1.{number}" for number in range(32))]
    assert client_address("10.0.0.1", [", ".join(chain)], PROXIES) == "10.0.1.0"


@given(st.lists(st.text(max_size=60), max_size=5))
def test_no_header_changes_the_address_of_a_client_that_nobody_vouches_for(forwarded: list[str]) -> None:
    assert client_address("203.0.113.9", forwarded, PROXIES) == "203.0.113.9"
    assert client_address("10.0.0.1", [*forwarded, "203.0.113.9"], PROXIES) == "203.0.113.9"


@given(st.lists(st.text("0123456789abcdef.:[], ", max_size=60), max_size=5))
def test_every_header_gives_an_address_that_reads_back_as_itself(forwarded: list[str]) -> None:
    address = client_address("10.0.0.1", forwarded, PROXIES)
    assert client_address(address, [], ()) == address


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("::1", "::/64"),
        (UNKNOWN_ADDRESS, UNKNOWN_ADDRESS),
    ],
)
def test_one_ipv6_customer_has_one_budget(address: str, network: str) -> None:
    assert throttle_network(address) == network


def test_trusted_proxies_are_addresses_or_blocks() -> None:
    assert proxy_networks(["127.0.0.1", "10.0.0.0/8", "::1"]) == (
        ip_network("127.0.0.1/32"),
        ip_network("10.0.0.0/8"),
        ip_network("::1/128"),
    )


@pytest.mark.parametrize("text", ["10.0.0.1/8", "proxy.example", "", "*", "0.0.0.0/0", "::/0", "10.0.0.0/33"])
def test_a_setting_that_is_no_block_or_trusts_everybody_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        proxy_networks([text])
