"""Findings about a running deployment, as a stranger sees it: TLS, headers, what it tells, and to whom."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from frontdesk.doctor.kinds import Finding, Kind
from frontdesk.doctor.observed import Certificate, Configured, CookieSeen, Observations, SiteSeen, origin_of
from frontdesk.doctor.settings import HTTPS_UNSEEN, OPEN_METRICS, is_https_unseen

SOON: Final = timedelta(days=14)
LEAST_HSTS: Final = 365 * 24 * 3600
"""Seconds (OWASP ASVS 3.4.1)."""

PLAIN_HTTP: Final = Kind(
    "plain_http",
    "error",
    "{url} is plain http",
    "Browsers keep no Secure cookie there, and everybody on the way reads passwords and tokens.",
    "frontdesk doctor --url https://{host}    # once a proxy ends TLS there",
)
CERTIFICATE_UNTRUSTED: Final = Kind(
    "certificate_untrusted",
    "error",
    "the certificate of {host} is not trusted: {why}",
    "Browsers warn, and people who learn to go on do so when somebody else answers in its place.",
    "certbot certonly -d {host}    # or --ca-file FILE for an authority of your own",
)
CERTIFICATE_EXPIRED: Final = Kind(
    "certificate_expired",
    "error",
    "the certificate of {host} has expired",
    "Browsers refuse the site, and with HSTS nobody can go on.",
    "certbot renew",
)
CERTIFICATE_ENDS: Final = Kind(
    "certificate_ends",
    "warning",
    "the certificate of {host} expires on {day}, in {days} days",
    "Renewal has not happened in time; on that day nobody gets in.",
    "certbot renew",
)
TLS_OLD: Final = Kind(
    "tls_old",
    "warning",
    "{host} still speaks {protocol}",
    "Whoever is on the way can make old clients use it, and it is broken.",
    "ssl_protocols TLSv1.2 TLSv1.3;    # nginx",
)
HTTP_ANSWERS: Final = Kind(
    "http_answers",
    "warning",
    "http://{host}/ answers and does not lead to https",
    "Who types the name stays on plain http, and everybody on the way reads and changes what comes.",
    "return 308 https://$host$request_uri;    # nginx, in the server of port 80",
)
HSTS_MISSING: Final = Kind(
    "hsts_missing",
    "warning",
    "{path} comes without Strict-Transport-Security",
    "Each first visit can be kept on plain http by whoever is on the way.",
    'add_header Strict-Transport-Security "max-age=63072000; includeSubDomains" always;    '
    "# nginx; a frontdesk serve whose base_url is https adds it",
)
HSTS_SHORT: Final = Kind(
    "hsts_short",
    "warning",
    "Strict-Transport-Security lasts {seconds} seconds, less than a year",
    "Who comes back later than that can be kept on plain http by whoever is on the way.",
    'add_header Strict-Transport-Security "max-age=63072000; includeSubDomains" always;    # nginx',
)
HSTS_ALONE: Final = Kind(
    "hsts_alone",
    "note",
    "Strict-Transport-Security has no includeSubDomains",
    "A sub-domain over plain http can be made up by whoever is on the way, and may set cookies for this host.",
    'add_header Strict-Transport-Security "max-age=63072000; includeSubDomains" always;    # nginx',
)
SNIFFING: Final = Kind(
    "sniffing",
    "warning",
    "{path} comes without X-Content-Type-Options: nosniff",
    "Browsers may take what a user has uploaded for script.",
    'add_header X-Content-Type-Options "nosniff" always;    # nginx',
)
FRAMING: Final = Kind(
    "framing",
    "warning",
    "{path} may be framed: neither X-Frame-Options nor frame-ancestors",
    "Another site lays it under its own page, and a click there is a click here.",
    "add_header Content-Security-Policy \"frame-ancestors 'none'\" always;    # nginx",
)
CSP_MISSING: Final = Kind(
    "csp_missing",
    "note",
    "{path} comes without a Content-Security-Policy",
    "Script that gets into a page by mistake runs, and acts as whoever looks at it.",
    "add_header Content-Security-Policy \"default-src 'self'; object-src 'none'; base-uri 'none'\" always;    # nginx",
)
CORS_REFLECTED: Final = Kind(
    "cors_reflected",
    "error",
    "the API answers any Origin with Access-Control-Allow-Origin{credentials}",
    "Pages of every site may read what the desk answers to a user's browser.",
    'allow_origins=["https://app.example"]    # in the middleware or proxy that adds the header; the desk adds none',
)
HOST_UNCHECKED: Final = Kind(
    "host_unchecked",
    "warning",
    "the desk answers under a Host that nobody has given it",
    "A site that gives itself this address (DNS rebinding), or a cache in front, makes it speak under another name.",
    'hosts = ["{host}"]    # and server_name {host}; in nginx, with a default server that answers 421',
)
HOST_LOST: Final = Kind(
    "host_lost",
    "error",
    "the proxy passes another Host on than browsers send: a request of this very origin counts as foreign",
    "Browsers without Sec-Fetch-Site cannot sign in, cookies get the names and rules of loopback, and the check of the "
    "origin compares with the wrong host.",
    "proxy_set_header Host $host;    # nginx",
)
EXPLAIN_OPEN: Final = Kind(
    "explain_open",
    "error",
    "{api}/explain tells strangers the facts of a decision",
    "Development mode is on where others reach it: whoever has a token learns why it fails, and mends it.",
    "dev = false",
)
UNHEALTHY: Final = Kind(
    "unhealthy",
    "error",
    "{api}/health says that the desk cannot answer",
    "Requests are answered 503: the store cannot be asked, or the revocation log was never read.",
    "frontdesk serve    # its log says why",
)
COOKIE_NAME_TAKEN: Final = Kind(
    "cookie_name_taken",
    "error",
    "{path} sets {name}, a name of the desk's own",
    "Two applications on one host use one name: they sign each other out, and one may set what the other believes.",
    'cookie_suffix = "desk"    # in one of the two',
)
COOKIE_PUBLIC_SUFFIX: Final = Kind(
    "cookie_public_suffix",
    "error",
    "{path} sets {name} with Domain={domain}, under which anybody may register a name",
    "Browsers that know the public suffix list drop it; every other client sends it to, and takes it from, strangers.",
    "Set-Cookie: __Host-{bare}=…; Path=/; Secure; HttpOnly; SameSite=Lax",
)
COOKIE_PARENT_DOMAIN: Final = Kind(
    "cookie_parent_domain",
    "warning",
    "{path} sets {name} with Domain={domain}",
    "Every sub-domain of that domain reads it, and any of them may plant one.",
    "Set-Cookie: __Host-{bare}=…; Path=/; Secure; HttpOnly; SameSite=Lax",
)
COOKIE_NOT_SECURE: Final = Kind(
    "cookie_not_secure",
    "warning",
    "{path} sets {name} without Secure",
    "It is sent over plain http as well, where everybody on the way reads and replaces it.",
    "Set-Cookie: {name}=…; Secure; HttpOnly; SameSite=Lax",
)
COOKIE_READABLE: Final = Kind(
    "cookie_readable",
    "note",
    "{path} sets {name} without HttpOnly",
    "Script in a page reads it and sends it elsewhere. A token against forged requests may be meant so.",
    "Set-Cookie: {name}=…; Secure; HttpOnly; SameSite=Lax",
)
COOKIE_CROSS_SITE: Final = Kind(
    "cookie_cross_site",
    "note",
    "{path} sets {name} with {same_site}",
    "Other sites' pages send it along; without the attribute, in some browsers, for the first two minutes only.",
    "Set-Cookie: {name}=…; Secure; HttpOnly; SameSite=Lax",
)


def of_site(seen: Observations) -> Iterator[Finding]:
    """What is to be said of a running deployment."""
    site = seen.site
    if site is None:
        return
    if site.certificate is not None:
        yield from _of_certificate(site.certificate, site.host, seen.now)
    yield from _of_transport(site, unseen=is_https_unseen(seen.configured, site))
    yield from _of_headers(site)
    yield from _of_openness(site)
    names = frozenset((seen.configured or Configured()).cookie_names)
    for cookie in site.cookies:
        yield from _of_cookie(cookie, names, https=site.is_https)


def _of_certificate(certificate: Certificate, host: str, now: datetime) -> Iterator[Finding]:
    if certificate.expired:
        yield CERTIFICATE_EXPIRED.found(host=host)
    elif not certificate.trusted:
        yield CERTIFICATE_UNTRUSTED.found(host=host, why=certificate.why_not)
    elif certificate.expires is not None and certificate.expires - now < SOON:
        left = certificate.expires - now
        yield CERTIFICATE_ENDS.found(host=host, day=f"{certificate.expires:%Y-%m-%d}", days=left.days)
    if certificate.old_protocol:
        yield TLS_OLD.found(host=host, protocol=certificate.old_protocol)


def _of_transport(site: SiteSeen, *, unseen: bool) -> Iterator[Finding]:
    if not site.is_https:
        if site.is_public:
            yield PLAIN_HTTP.found(url=site.url, host=site.host)
        return
    if site.takes_plain_origin and site.is_public:
        why = f"it takes a request from a page of http://{site.host} for one of its own"
        yield HTTPS_UNSEEN.found(url=origin_of(site.url), why=why)
    if site.plain_http == "answers":
        yield HTTP_ANSWERS.found(host=site.host)
    if site.api is None:
        return
    policy = site.api.get("strict-transport-security")
    if policy is None:
        # Where the server does not know of https, that is what is to be mended: it says this header by itself then.
        if not (unseen or site.host_is_lost):
            yield HSTS_MISSING.found(path=site.api_url)
        return
    lasts = re.search(r'max-age\s*=\s*"?(\d{1,12})', policy, re.IGNORECASE)
    seconds = int(lasts[1]) if lasts else 0
    if seconds < LEAST_HSTS:
        yield HSTS_SHORT.found(seconds=seconds)
    if "includesubdomains" not in policy.lower():
        yield HSTS_ALONE.found()


def _of_headers(site: SiteSeen) -> Iterator[Finding]:
    if site.api is not None and site.api.get("x-content-type-options", "").lower() != "nosniff":
        yield SNIFFING.found(path=site.api_url)
    page = site.page
    if page is None or "html" not in page.get("content-type", ""):
        return
    policy = page.get("content-security-policy", "")
    if not policy:
        yield CSP_MISSING.found(path=site.page_path)
    if "frame-ancestors" not in policy and "x-frame-options" not in page:
        yield FRAMING.found(path=site.page_path)


def _of_openness(site: SiteSeen) -> Iterator[Finding]:
    if site.reflects_origin:
        credentials = " and credentials" if site.allows_credentials else ""
        yield CORS_REFLECTED.found(credentials=credentials)
    if site.host_is_lost and site.is_https:
        yield HOST_LOST.found()
    elif site.serves_any_host and site.is_public:
        yield HOST_UNCHECKED.found(host=site.host)
    if site.explains_to_strangers and site.is_public:
        yield EXPLAIN_OPEN.found(api=site.api_url)
    if site.open_metrics and site.is_public:
        yield OPEN_METRICS.found(place=f" ({site.url}/metrics)")
    if site.healthy is False:
        yield UNHEALTHY.found(api=site.api_url)


def _of_cookie(cookie: CookieSeen, names: frozenset[str], *, https: bool) -> Iterator[Finding]:
    bare = cookie.name.removeprefix("__Secure-").removeprefix("__Host-")
    told = {"name": cookie.name, "path": cookie.path, "domain": cookie.domain, "bare": bare}
    if cookie.name in names:
        yield COOKIE_NAME_TAKEN.found(**told)
    if cookie.public_suffix:
        yield COOKIE_PUBLIC_SUFFIX.found(**told)
    elif cookie.domain:
        yield COOKIE_PARENT_DOMAIN.found(**told)
    if https and not cookie.secure:
        yield COOKIE_NOT_SECURE.found(**told)
    if not cookie.http_only:
        yield COOKIE_READABLE.found(**told)
    if cookie.same_site.lower() not in {"lax", "strict"}:
        told["same_site"] = f"SameSite={cookie.same_site}" if cookie.same_site else "no SameSite"
        yield COOKIE_CROSS_SITE.found(**told)
