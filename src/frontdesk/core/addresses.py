"""Two kinds of addresses that attackers write: of e-mail, and of the machine a request came from. Pure.

E-mail addresses have one canonical form, and it is reached by refusing rather than by mending: ASCII case is the only
thing that is folded. Whatever merely looks like an address is another address or none (Django CVE-2019-19844).

A client's network address is believed from the connection, and from X-Forwarded-For only as far as proxies that are
trusted by their own address vouch for it (OWASP ASVS 5.0 4.1.3, 15.3.4).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final

from frontdesk.core.discretion import without_userinfo
from frontdesk.errors import Refusal

MAX_EMAIL: Final = 254
"""Octets in the canonical form: RFC 5321 section 4.5.3.1.3 (a path of 256, less its brackets)."""

MAX_LOCAL_PART: Final = 64
MAX_DOMAIN: Final = 253

UNKNOWN_ADDRESS: Final = "unknown"
"""The client address where a connection has none (a Unix socket). All such clients share their budgets."""

_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL: Final = re.compile(rf"{_ATOM}(?:\.{_ATOM})*", re.ASCII)
"""Dot-atom, RFC 5321 section 4.1.2. Quoted local parts are refused: nobody has one, and parsers disagree on them."""

_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_REFUSED_CATEGORIES: Final = frozenset({"Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co", "Cn"})
_MAX_HOPS: Final = 32


def canonical_email(text: str) -> str | Refusal:
    """The one form of an address under which an account is stored and found, or `email_invalid`.

    Refused, never trimmed: whitespace, control characters, zero-width and unassigned code points, quoted local
    parts, address literals, domains without a dot. The local part is ASCII and put into lower case (ASCII only);
    dots and `+tags` in it stay. The domain becomes lower-case A-labels by UTS #46, non-transitional, so that `ß`
    and `ss` stay two domains; a domain that only UTS #46's compatibility mappings would turn into another (full-width
    letters, the Kelvin sign, an ideographic full stop) is refused. At most 254 octets, 64 before the @.

    Domains with non-ASCII or `xn--` labels need the package `idna`, which comes with `frontdesk[server]`; without it
    they are refused, and the detail says so.
    """
    if len(text) > MAX_EMAIL:
        return _invalid(f"An address has at most {MAX_EMAIL} characters.")
    local, at, domain = text.rpartition("@")
    if not at or len(local) > MAX_LOCAL_PART or _LOCAL.fullmatch(local) is None:
        return _invalid("An address has a name in ASCII letters, digits and signs, then @, then a domain.")
    canonical_domain = _canonical_domain(domain)
    if isinstance(canonical_domain, Refusal):
        return canonical_domain
    canonical = f"{local.lower()}@{canonical_domain}"
    return canonical if len(canonical) <= MAX_EMAIL else _invalid(f"An address has at most {MAX_EMAIL} characters.")


def _invalid(detail: str) -> Refusal:
    return Refusal("email_invalid", detail)


def _canonical_domain(domain: str) -> str | Refusal:
    lowered = domain.lower() if domain.isascii() else domain
    if not domain.isascii() or lowered.startswith("xn--") or ".xn--" in lowered:
        internationalised = _a_labels(lowered)
        if isinstance(internationalised, Refusal):
            return internationalised
        lowered = internationalised
    labels = lowered.split(".")
    if len(lowered) > MAX_DOMAIN or len(labels) < 2 or not all(_LABEL.fullmatch(label) for label in labels):
        return _invalid("The domain after the @ is not one that mail can be sent to.")
    if labels[-1].isdigit():
        return _invalid("The domain after the @ is a number; mail needs a name.")
    return lowered


def _a_labels(domain: str) -> str | Refusal:
    """The domain in A-labels; refused unless only case and canonical composition have to change (UTS #46, RFC 5891)."""
    try:
        import idna  # noqa: PLC0415 - comes with the extra [server], and its tables are not needed for ASCII
    except ImportError:
        return _invalid(
            "Addresses with an internationalised domain are not taken here"
            " (the package idna is missing; it comes with frontdesk[server])."
        )
    if any(_folds_away(character) for character in domain):
        return _invalid("The domain after the @ contains a character that no domain has.")
    plain = unicodedata.normalize("NFC", unicodedata.normalize("NFC", domain).lower())
    try:
        if idna.uts46_remap(plain, std3_rules=True, transitional=False) != plain:
            return _invalid("The domain after the @ contains a character that stands for another one.")
        encoded = idna.encode(plain, strict=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        return _invalid("The domain after the @ is not a valid internationalised domain.")
    return encoded


def _folds_away(character: str) -> bool:
    """Is it invisible, unassigned, or another character's double, such as the Kelvin sign?"""
    return (
        unicodedata.category(character) in _REFUSED_CATEGORIES or unicodedata.normalize("NFC", character) != character
    )


# --- network addresses --------------------------------------------------------------------------------------------

ProxyNetwork = IPv4Network | IPv6Network


def proxy_networks(texts: Iterable[str]) -> tuple[ProxyNetwork, ...]:
    """The trusted proxies from a setting: addresses or CIDR blocks, host bits zero. Else ValueError.

    A block of everybody (`0.0.0.0/0`, `::/0`) is refused: it would let every client choose its own address.
    """
    texts = tuple(texts)
    for text in texts:
        if "@" in text:  # whoever wrote an address with a password there
            raise ValueError(f"{without_userinfo(text)!r} is no network, such as 10.0.0.0/8")
    networks = tuple(ip_network(text) for text in texts)
    for network in networks:
        if network.prefixlen == 0:
            raise ValueError(f"{network} trusts everybody; name the addresses of your proxies")
    return networks


def client_address(peer: str | None, forwarded_for: Sequence[str], trusted: Sequence[ProxyNetwork]) -> str:
    """The address a request came from, in its shortest form; IPv4 in IPv6 as IPv4; `unknown` where there is none.

    `peer` is the address of the connection, `forwarded_for` the values of all X-Forwarded-For fields in the order
    received. The list is read from its right end, where the nearest proxy writes: as long as the address reached so
    far is a trusted proxy's, its left neighbour is what that proxy saw. What a client puts in front stands left of
    the first untrusted address and is not reached. An entry that is no address ends the walk at the proxy that
    passed it on. At most 32 proxies are followed.
    """
    # The zone of a link-local address names a network card of this machine (RFC 4007 section 11), nobody's address.
    current = _parse(peer.partition("%")[0]) if peer else None
    if current is None:
        return UNKNOWN_ADDRESS
    entries = ",".join(forwarded_for).rsplit(",", _MAX_HOPS)[-_MAX_HOPS:] if forwarded_for else []
    while entries and _is_trusted(current, trusted):
        hop = _parse_entry(entries.pop())
        if hop is None:
            break
        current = hop
    return str(current)


def throttle_network(address: str) -> str:
    """What one attacker holds at least: the /64 of an IPv6 address, else the address itself (`client_address`)."""
    parsed = _parse(address)
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((parsed, 64), strict=False))
    return address if parsed is None else str(parsed)


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address
    # A zone can be any text, which would make one address many: only `client_address` may cut it off.
    return None if address.scope_id else address.ipv4_mapped or address


def _parse_entry(entry: str) -> IPv4Address | IPv6Address | None:
    """One entry of X-Forwarded-For: an address, perhaps with a port, IPv6 then in brackets."""
    text = entry.strip(" \t")
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        return _parse(host) if bracket and ":" in host and _is_port(port) else None
    if text.count(":") == 1:
        host, _, port = text.partition(":")
        return _parse(host) if _is_port(f":{port}") else None
    return _parse(text)


def _is_port(text: str) -> bool:
    """Nothing, or a colon and one to five ASCII digits."""
    return not text or (text[0] == ":" and len(text) in range(2, 7) and text[1:].isascii() and text[1:].isdigit())


def _is_trusted(address: IPv4Address | IPv6Address, trusted: Sequence[ProxyNetwork]) -> bool:
    return any(address.version == network.version and address in network for network in trusted)
