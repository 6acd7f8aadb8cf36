"""What is said of the cookies of one request: which was used, and why each other one was not. Decides nothing.

`core.cookies` and `core.envelope` have decided; this looks at the same bytes again and names what it sees. Values are
never looked at beyond what `read` says of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from frontdesk.core.cookies import LONGEST_HEADER, CookieNames, CookieSettings, Flaw, names_seen, read
from frontdesk.core.envelope import Presented
from frontdesk.core.explanation import Fact, fact, shown

MOST_SHOWN: Final = 40
"""Names of cookies that are told one by one."""

_PREFIXES: Final = ("__host-http-", "__http-", "__host-", "__secure-")  # 6265bis, layered-cookies; longest first


def cookie_facts(headers: Sequence[bytes], presented: Presented, settings: CookieSettings) -> list[Fact]:
    """The facts about the `Cookie` headers of a request, in the order in which the names first came."""
    if not headers:
        return [fact("cookies_absent", "No cookie came along.")]
    size = sum(map(len, headers)) + 2 * (len(headers) - 1)
    if size > LONGEST_HEADER:
        sentence = f"The Cookie header has {size} bytes; beyond {LONGEST_HEADER} nothing of it is read."
        return [fact("cookies_too_large", sentence, bytes=size, most=LONGEST_HEADER)]
    seen = names_seen(headers)
    distinct = tuple(dict.fromkeys(seen))
    if presented.transport == "bearer":
        sentence = "An Authorization header came, so the cookies were not looked at."
        return [fact("cookies_not_read", sentence, cookies=len(seen))]
    if not distinct:
        return [fact("cookies_absent", "A Cookie header came, with no cookie in it.")]
    found = read(headers, presented.names.protected).found
    # Ours are told in any case, however many others there are.
    told = frozenset(sorted(distinct, key=lambda name: name not in found)[:MOST_SHOWN])
    facts = [
        _of_ours(name, found[name], presented, seen.count(name))
        if name in found
        else _of_other(name, presented.names, settings)
        for name in distinct
        if name in told
    ]
    if len(distinct) > len(told):
        more = len(distinct) - len(told)
        facts.append(fact("cookies_not_shown", f"{more} more cookies of others came along.", cookies=more))
    return facts


def _of_ours(name: bytes, value: bytes | Flaw, presented: Presented, times: int) -> Fact:
    named = shown(name)
    if value is Flaw.DUPLICATE:
        sentence = f"{named} came {times} times: order proves nothing about who set which, so none is believed."
        return fact("cookie_duplicate", sentence, name=named, times=times)
    if value is Flaw.MALFORMED:
        sentence = f"{named} is empty or holds bytes that no cookie set here can hold."
        return fact("cookie_value_malformed", sentence, name=named)
    if name == presented.chosen:
        if presented.credential is None:
            sentence = f"{named} carries no credential of the kind that belongs into it."
            return fact("cookie_of_other_kind", sentence, name=named)
        return fact("cookie_used", f"{named} was used: it carries the credential of this request.", name=named)
    if name == presented.names.refresh:
        sentence = f"{named} carries a refresh token: it renews, and signs no request in."
        return fact("cookie_refresh", sentence, name=named)
    sentence = f"{named} was passed over: the session cookie decides where both came along."
    return fact("cookie_passed_over", sentence, name=named)


def _of_other(name: bytes, names: CookieNames, settings: CookieSettings) -> Fact:
    """Why a cookie under this name, which is none of ours, was ignored."""
    if not name:
        return fact("cookie_nameless", "A cookie without a name was ignored: no name of ours stands before its «=».")
    named = shown(name)
    plain = _plainly(name)
    looks_like = next((ours for ours in names.protected if _plainly(ours) == plain), None)
    if looks_like is not None:
        sentence = (
            f"{named} looks like {shown(looks_like)} and is another name: names are compared byte by byte, and the "
            "prefix counts exactly as written."
        )
        return fact("cookie_prefix_impossible", sentence, name=named, expected=shown(looks_like))
    base = _without_prefix(plain)
    for ours, kind in zip(names.protected, (settings.session, settings.access, settings.refresh), strict=True):
        if base == _without_prefix(_plainly(ours)) or base == kind.lower():
            if _has_exactly(name, settings.prefix):
                return _of_elsewhere(named, ours)
            sentence = f"{named} was ignored: the name in force for this host is {shown(ours)}."
            return fact("cookie_wrong_name", sentence, name=named, expected=shown(ours))
        if base.startswith(f"{kind.lower()}-") and _has_exactly(name, settings.prefix):
            return _of_elsewhere(named, ours)
    if plain.startswith(_PREFIXES) and not _has_exactly(name, *_WRITTEN):
        sentence = f"{named} has something like a prefix that no browser keeps under this spelling; it was ignored."
        return fact("cookie_prefix_impossible", sentence, name=named)
    return fact("cookie_foreign", f"{named} belongs to another application; it was ignored.", name=named)


def _of_elsewhere(named: str, ours: bytes) -> Fact:
    sentence = f"{named} belongs to a desk on another port or under another suffix; here the name is {shown(ours)}."
    return fact("cookie_of_another_port", sentence, name=named, expected=shown(ours))


_WRITTEN: Final = ("__Host-Http-", "__Http-", "__Host-", "__Secure-")


def _has_exactly(name: bytes, *prefixes: str) -> bool:
    return name.startswith(tuple(prefix.encode() for prefix in prefixes))


def _plainly(name: bytes) -> str:
    """The name as a careless reader would take it: decoded, stripped of what is no visible ASCII, in lower case."""
    return "".join(char for char in name.decode("latin-1") if "!" <= char <= "~").strip('$"').lower()


def _without_prefix(plain: str) -> str:
    prefix = next((each for each in _PREFIXES if plain.startswith(each)), "")
    return plain.removeprefix(prefix)
