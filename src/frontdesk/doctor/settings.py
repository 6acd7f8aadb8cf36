"""Findings in the settings: where the server listens, what it is called, how long things last, what is switched on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from ipaddress import ip_network
from typing import Final

from frontdesk.core.discretion import without_userinfo
from frontdesk.core.passwords import PROFILES
from frontdesk.core.revocation import LARGEST_ACCESS_TOKEN
from frontdesk.core.sessions import LARGEST_ABSOLUTE
from frontdesk.doctor.kinds import Finding, Kind
from frontdesk.doctor.observed import Configured, Machine, Observations, SiteSeen, is_local, origin_of

POLL_INTERVAL: Final = timedelta(seconds=1)
"""How long a poll of the revocation log waits for news at most; under a short bound it waits a quarter of that."""

SETTINGS_REFUSED: Final = Kind(
    "settings_refused",
    "error",
    "the server does not start: {why}{place}",
    "Nobody is served, and what was meant is not in force.",
    "{setting} = …    # docs/settings.md says what it may be",
)
BASE_URL_MISSING: Final = Kind(
    "base_url_missing",
    "error",
    "host is {host}{place}, which others can reach, and base_url is not set",
    "The server does not start: it would not know under which name and scheme browsers reach it, so any Host would be "
    "served and tokens of any deployment would look alike.",
    'base_url = "https://desk.example"',
)
BASE_URL_PLAIN: Final = Kind(
    "base_url_plain",
    "error",
    "base_url is plain http{place}",
    "Browsers keep no Secure cookie there, and everybody on the way reads passwords and tokens.",
    'base_url = "https://{name}"',
)
BASE_URL_DIFFERS: Final = Kind(
    "base_url_differs",
    "error",
    "base_url says {base_url}{place} and the deployment was reached at {url}",
    "Requests under the other name are refused as host_unknown, and services that check tokens expect another issuer.",
    'base_url = "{url}"',
)
HTTPS_UNSEEN: Final = Kind(
    "https_unseen",
    "error",
    "browsers come by {url}, and the server does not know it: {why}",
    "The server takes requests for plain http: no Strict-Transport-Security, and pages of the same host over http may "
    "act as if they were this site.",
    'base_url = "{url}"',
)
DEV_REACHABLE: Final = Kind(
    "dev_reachable",
    "error",
    "dev is on{place} in a deployment that others reach",
    "Development mode explains every decision to strangers, describes the API and opens the metrics.",
    "dev = false",
)
INSECURE_COOKIES: Final = Kind(
    "insecure_cookies",
    "error",
    "insecure_cookies is on{place}",
    "On plain http the cookies have no Secure and no __Host- prefix: a sub-domain or another program on this host can "
    "plant a session, and everybody on the way can read one.",
    "insecure_cookies = false",
)
INSECURE_TRUST_STALE: Final = Kind(
    "insecure_trust_stale",
    "warning",
    "insecure_trust_stale is on{place}",
    "While the store cannot be asked, sessions that were signed out or revoked meanwhile are let in, however long.",
    "insecure_trust_stale = false",
)
OPEN_METRICS: Final = Kind(
    "open_metrics",
    "warning",
    "/metrics is told to whoever asks{place}",
    "Strangers watch how many sign in, fail and are refused, and see when a guess was counted.",
    "open_metrics = false    # and dev = false; then: frontdesk services add prometheus --scope metrics",
)
PROXIES_UNTRUSTED: Final = Kind(
    "proxies_untrusted",
    "warning",
    "a proxy ends TLS in front (base_url is {base_url}) and trusted_proxies is empty",
    "Every client has the address of the proxy: one who guesses passwords uses up the attempts of everybody.",
    'trusted_proxies = ["127.0.0.1"]    # the addresses of the proxy',
)
PROXIES_EVERYBODY: Final = Kind(
    "proxies_everybody",
    "error",
    "trusted_proxies holds {network}{place}, nearly every address there is",
    "Whoever connects says of himself which address he has: limits on guessing passwords do not bind him, and the "
    "audit log holds what he wrote.",
    'trusted_proxies = ["10.0.0.0/8"]    # the addresses of the proxy alone',
)
PLAIN_PORT_OPEN: Final = Kind(
    "plain_port_open",
    "note",
    "host is {host}{place}: the port speaks plain http to every network of this machine",
    "Whoever reaches it goes around the proxy, its TLS and its limits. In a container that only the proxy reaches it "
    "is meant so.",
    'host = "127.0.0.1"    # or the address that the proxy reaches',
)
LIMITS_OUT_OF_ORDER: Final = Kind(
    "limits_out_of_order",
    "error",
    "session_idle is {idle} and session_absolute {absolute}{place}",
    "The server does not start: idle must be above zero and at most absolute, and absolute at most 400 days.",
    'session_idle = "7d"\nsession_absolute = "30d"',
)
ACCESS_TOKEN_TOO_LONG: Final = Kind(
    "access_token_too_long",
    "error",
    "access_token is {length}{place}, more than 60 minutes",
    "The server does not start: a stolen token would be good for so long wherever the revocation log is not followed.",
    'access_token = "15m"',
)
STALENESS_EXCEEDS_TOKEN: Final = Kind(
    "staleness_exceeds_token",
    "warning",
    "max_staleness is {staleness}{place} and access_token {token}",
    "A process may believe what it holds for longer than a token lives: following the revocation log ends no token.",
    'max_staleness = "5s"',
)
STALENESS_BELOW_POLL: Final = Kind(
    "staleness_below_poll",
    "warning",
    "max_staleness is {staleness}{place}, and a poll of the revocation log usually waits for 1 second",
    "Each process asks for news every quarter of that; when the store is slow for so long it is asked about each "
    "request as well, and gets slower.",
    'max_staleness = "5s"    # or: freshness = "strict"',
)
KEY_ROTATION_OFF: Final = Kind(
    "key_rotation_off",
    "warning",
    "key_rotation is 0{place}: keys of access tokens are never replaced",
    "Whoever has got hold of a key once forges tokens until somebody notices, and keys of encryption wear out.",
    'key_rotation = "30d"',
)
SUFFIX_IS_PORT: Final = Kind(
    "suffix_is_port",
    "warning",
    "cookie_suffix is {suffix}{place}, which reads like a port",
    "A desk on that port of the same host ends the names of its cookies in the port, so they are the same: the two "
    "sign each other out.",
    'cookie_suffix = "desk"',
)
PREFIX_READABLE: Final = Kind(
    "prefix_readable",
    "note",
    "cookie_prefix is __Host-{place}",
    "Script on a page of this host may set a cookie of the desk's names; __Host-Http- keeps it from that.",
    'cookie_prefix = "__Host-Http-"',
)
ORIGIN_CROSS_SITE: Final = Kind(
    "origin_cross_site",
    "warning",
    "trusted_origins holds {origin}{place}, on another site than {base_url}; cookies are SameSite={same_site}",
    "Browsers send the desk's cookies from there with no request but a navigation: pages of that origin are never "
    "signed in.",
    'trusted_origins = []    # serve it below the same site, or use transports = "bearer" for it',
)
ORIGIN_PLAIN: Final = Kind(
    "origin_plain",
    "error",
    "trusted_origins holds {origin}{place}, over plain http",
    "Whoever is on the way between a user and that origin puts script into its pages, and that may act here.",
    'trusted_origins = ["https://{name}"]',
)
HASHING_SMALL: Final = Kind(
    "hashing_small",
    "note",
    "hashing is small{place} (19 MiB, 2 passes) on a machine with {memory} MiB",
    "Whoever copies database and secret tries passwords several times as fast as against the default profile.",
    'hashing = "default"',
)
HASHING_MEMORY: Final = Kind(
    "hashing_memory",
    "warning",
    "sign-ins may take {needed} MiB at once ({workers} workers, {at_once} hashes each), of {memory} MiB",
    "Many sign-ins at the same moment fill the machine: processes are killed, and everybody is signed in nowhere.",
    'hashing = "small"    # or fewer workers',
)
HASHING_SLOW: Final = Kind(
    "hashing_slow",
    "warning",
    "a password takes {seconds} seconds to hash here (hashing is {hashing}{place}): at most {rate} sign-ins a second",
    "A handful of strangers who send wrong passwords keep everybody else from signing in.",
    'hashing = "small"    # if it is that already: a faster machine, since nothing cheaper is safe',
)
WORKERS_MANY: Final = Kind(
    "workers_many",
    "note",
    "workers is {workers}{place} on a machine with {cores} cores",
    "More processes than cores take turns: no request is answered sooner, and each holds its own memory.",
    "workers = {cores}",
)
STATELESS_VERIFIERS: Final = Kind(
    "stateless_verifiers",
    "warning",
    "audience names {audience}{place}, and no service holds the scope revocations",
    "Those services cannot follow the revocation log: freshness is stateless there, and who signed out is let in until "
    "the token expires.",
    "frontdesk services add NAME --scope revocations    # for each of them",
)


def of_settings(seen: Observations) -> Iterator[Finding]:
    """What is to be said of the settings."""
    settings = seen.configured
    if settings is None:
        return
    told = [*_of_names(settings), *_of_limits(settings), *_of_switches(settings), *_of_reach(settings, seen)]
    yield from told
    if settings.refused and not any(finding.code in _REFUSED_FOR for finding in told):
        by = settings.refused_by
        yield SETTINGS_REFUSED.found(why=settings.refused, setting=by or "SETTING", place=settings.place(by))
    yield from _of_origins(settings, seen.sites)
    yield from _of_names_of_cookies(settings)
    if seen.machine is not None:
        yield from _of_cost(settings, seen.machine)
    yield from _of_verifiers(settings, seen)


_REFUSED_FOR: Final = frozenset(
    kind.code
    for kind in (
        *(BASE_URL_MISSING, BASE_URL_PLAIN, LIMITS_OUT_OF_ORDER, ACCESS_TOKEN_TOO_LONG),
        *(DEV_REACHABLE, INSECURE_COOKIES, PROXIES_EVERYBODY),
    )
)
"""Findings for which a server may not start: they say so better than the sentence that it would end with."""


def _of_names(settings: Configured) -> Iterator[Finding]:
    if not settings.base_url and not settings.on_loopback:
        yield BASE_URL_MISSING.found(host=without_userinfo(settings.host), place=settings.place("host"))
    if settings.base_url.lower().startswith("http://") and not is_local(settings.base_url):
        name = settings.base_url[len("http://") :].rstrip("/")
        yield BASE_URL_PLAIN.found(name=without_userinfo(name), place=settings.place("base_url"))


def _of_limits(settings: Configured) -> Iterator[Finding]:
    idle, absolute = settings.session_idle, settings.session_absolute
    if not timedelta(0) < idle <= absolute <= LARGEST_ABSOLUTE:
        place = settings.place("session_idle") or settings.place("session_absolute")
        yield LIMITS_OUT_OF_ORDER.found(idle=idle, absolute=absolute, place=place)
    if settings.access_token > LARGEST_ACCESS_TOKEN:
        yield ACCESS_TOKEN_TOO_LONG.found(length=settings.access_token, place=settings.place("access_token"))
    if not settings.key_rotation:
        yield KEY_ROTATION_OFF.found(place=settings.place("key_rotation"))
    if not settings.store_is_remote or settings.freshness != "bounded":
        return
    staleness, place = settings.max_staleness, settings.place("max_staleness")
    if staleness >= settings.access_token:
        yield STALENESS_EXCEEDS_TOKEN.found(staleness=staleness, token=settings.access_token, place=place)
    if staleness <= POLL_INTERVAL:
        yield STALENESS_BELOW_POLL.found(staleness=staleness, place=place)


def _of_switches(settings: Configured) -> Iterator[Finding]:
    if settings.dev and settings.is_public:
        yield DEV_REACHABLE.found(place=settings.place("dev"))
    if settings.insecure_cookies:
        yield INSECURE_COOKIES.found(place=settings.place("insecure_cookies"))
    if settings.insecure_trust_stale:
        yield INSECURE_TRUST_STALE.found(place=settings.place("insecure_trust_stale"))
    if settings.open_metrics and settings.is_public:
        yield OPEN_METRICS.found(place=settings.place("open_metrics"))


def _of_reach(settings: Configured, seen: Observations) -> Iterator[Finding]:
    yield from _of_proxies(settings)
    site = seen.site
    if site is None or not site.is_https or not site.is_public:
        return
    url = origin_of(site.url)
    base_url, place = settings.base_url or "not set", settings.place("base_url")
    if is_https_unseen(settings, site):
        yield HTTPS_UNSEEN.found(url=url, why=f"base_url is {base_url}{place}")
    elif origin_of(settings.base_url) != url and site.host not in settings.hosts:
        yield BASE_URL_DIFFERS.found(url=url, base_url=base_url, place=place)


def is_https_unseen(settings: Configured | None, site: SiteSeen) -> bool:
    """Whether browsers come by https and the settings of the server do not say so."""
    return settings is not None and site.is_https and not settings.base_url.lower().startswith("https://")


def _of_proxies(settings: Configured) -> Iterator[Finding]:
    if settings.behind_proxy and not settings.trusted_proxies:
        yield PROXIES_UNTRUSTED.found(base_url=settings.base_url)
    if settings.behind_proxy and not settings.on_loopback:
        yield PLAIN_PORT_OPEN.found(host=without_userinfo(settings.host), place=settings.place("host"))
    for network in settings.trusted_proxies:
        if _is_nearly_everybody(network):
            yield PROXIES_EVERYBODY.found(network=network, place=settings.place("trusted_proxies"))


def _is_nearly_everybody(network: str) -> bool:
    try:
        found = ip_network(network, strict=False)
    except ValueError:  # `settings_refused` says so
        return False
    return found.prefixlen < _WIDEST[found.version]


_WIDEST: Final = {4: 8, 6: 7}
"""The prefixes of 10.0.0.0/8 and fc00::/7, the widest networks that one owner has."""


def _of_origins(settings: Configured, sites: Mapping[str, str]) -> Iterator[Finding]:
    place = settings.place("trusted_origins")
    for origin in settings.trusted_origins:
        if origin.startswith("http://") and not is_local(origin):
            name = without_userinfo(origin.removeprefix("http://"))
            yield ORIGIN_PLAIN.found(origin=origin, name=name, place=place)
        elif settings.base_url and sites.get(origin) != sites.get(settings.base_url):
            yield ORIGIN_CROSS_SITE.found(
                origin=origin, base_url=settings.base_url, same_site=settings.cookie_same_site, place=place
            )


def _of_names_of_cookies(settings: Configured) -> Iterator[Finding]:
    if settings.cookie_suffix.isdigit():
        yield SUFFIX_IS_PORT.found(suffix=settings.cookie_suffix, place=settings.place("cookie_suffix"))
    if settings.cookie_prefix == "__Host-":
        yield PREFIX_READABLE.found(place=settings.place("cookie_prefix"))


_MEBIBYTE: Final = 1024 * 1024
_ROOMY: Final = 1024
"""MiB of memory, from which on a machine affords the default profile."""
SLOW_HASH: Final = 2.0
"""Seconds. OWASP asks for less than one (Password Storage Cheat Sheet, work factors); only twice that is a finding,
since no two measurements are the same."""


def _of_cost(settings: Configured, machine: Machine) -> Iterator[Finding]:
    memory = machine.memory_bytes // _MEBIBYTE
    if settings.hashing == "small" and memory >= _ROOMY and _affords_default(settings, machine):
        yield HASHING_SMALL.found(memory=memory, place=settings.place("hashing"))
    if machine.hash_seconds is not None and machine.hash_seconds > SLOW_HASH:
        yield HASHING_SLOW.found(
            seconds=f"{machine.hash_seconds:.1f}",
            rate=f"{machine.sign_ins_per_second(settings.workers):.1f}",
            hashing=settings.hashing,
            place=settings.place("hashing"),
        )
    needed = _hashing_bytes(settings, machine, machine.hash_bytes)
    if needed > machine.memory_bytes // 2:
        yield HASHING_MEMORY.found(
            needed=needed // _MEBIBYTE, workers=settings.workers, at_once=machine.hashing_at_once, memory=memory
        )
    if settings.workers > machine.cores:
        yield WORKERS_MANY.found(workers=settings.workers, cores=machine.cores, place=settings.place("workers"))


def _hashing_bytes(settings: Configured, machine: Machine, hash_bytes: int) -> int:
    return settings.workers * machine.hashing_at_once * hash_bytes


def _affords_default(settings: Configured, machine: Machine) -> bool:
    """Whether the default profile, in place of the small one, would be no finding by itself."""
    default, small = PROFILES["default"], PROFILES["small"]
    if _hashing_bytes(settings, machine, default.memory_kib * 1024) > machine.memory_bytes // 2:
        return False
    # As if its lanes took turns, as they do on one core: then who changes to "small" is never asked to change back.
    dearer = (default.memory_kib * default.passes) / (small.memory_kib * small.passes)
    return machine.hash_seconds is None or machine.hash_seconds * dearer <= SLOW_HASH


def _of_verifiers(settings: Configured, seen: Observations) -> Iterator[Finding]:
    others = [name for name in settings.audience if name != settings.base_url.rstrip("/")]
    if seen.store is None or not others:
        return
    if not any("revocations" in service.scopes for service in seen.store.condition.services):
        yield STATELESS_VERIFIERS.found(audience=others[0], place=settings.place("audience"))
