"""What speaks for a plan, what was rejected and why, and what its wishes cost: rules as data.

A rule holds for some plans and answers, and then says something. What is said is measured by this project or stated
by its documentation; the page is named.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from frontdesk.advisor.plans import Plan
from frontdesk.advisor.questions import Answers

Holds = Callable[[Plan, Answers], bool]


class Argument(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is said. `what`: what it is about, in a few words; `why`: in a sentence; `page`: where the
    documentation says more, a path inside it."""

    what: str
    why: str
    page: str


class Rule(msgspec.Struct, frozen=True):
    """`says` is said where it holds."""

    holds: Holds
    says: Argument


def reasons_of(plan: Plan, given: Answers) -> tuple[Argument, ...]:
    """What speaks for the plan."""
    return _said(REASONS, plan, given)


def rejected_for(plan: Plan, given: Answers) -> tuple[Argument, ...]:
    """What was rejected, and why: never what the plan does itself."""
    return _said(REJECTED, plan, given)


def costs_of(plan: Plan, given: Answers) -> tuple[Argument, ...]:
    """What is given up for a wish, and which wishes exclude each other."""
    return _said(COSTS, plan, given)


def _said(rules: tuple[Rule, ...], plan: Plan, given: Answers) -> tuple[Argument, ...]:
    return tuple(rule.says for rule in rules if rule.holds(plan, given))


# --- conditions -----------------------------------------------------------------------------------------------------


def _desk(plan: Plan, _: Answers) -> bool:
    return plan.transport is not None


def _foreign(plan: Plan, _: Answers) -> bool:
    return plan.transport is None


def _enters(plan: Plan, _: Answers) -> bool:
    return plan.enters


def _session(plan: Plan, _: Answers) -> bool:
    return plan.credential == "session"


def _token(plan: Plan, _: Answers) -> bool:
    return plan.credential in {"jwt", "jwe"}


def _services(plan: Plan, _: Answers) -> bool:
    return plan.service != "none" and plan.transport is not None


def _sqlite(plan: Plan, _: Answers) -> bool:
    return plan.store == "sqlite"


def _networked(plan: Plan, _: Answers) -> bool:
    return plan.over_a_network


def _in_memory(plan: Plan, _: Answers) -> bool:
    return plan.refresh_in == "cookie"


def _wants_both(_: Plan, given: Answers) -> bool:
    return given.get("logout") == "at-once" and given.get("store-down") == "go-on"


# --- reasons --------------------------------------------------------------------------------------------------------

REASONS: Final = (
    Rule(
        lambda plan, _: plan.leaf == "server-rendered" and plan.credential == "session",
        Argument(
            what="A session is enough",
            why="The server that renders the page is the one that asks who is there. What a token would carry for "
            "others to read, it looks up itself.",
            page="concepts/comparison.md#which-one-when",
        ),
    ),
    Rule(
        lambda plan, _: plan.transport == "cookie",
        Argument(
            what="No script reads the cookie",
            why="It is HttpOnly, Secure, SameSite and bound to the host (__Host-Http-). A script that was smuggled in "
            "can act while it runs, but can carry nothing away.",
            page="concepts/browser-storage.md#what-httponly-gives-and-what-not",
        ),
    ),
    Rule(
        lambda plan, _: plan.transport == "cookie" or plan.refresh_in == "cookie",
        Argument(
            what="Other sites cannot act",
            why="A request that changes something and comes with a cookie must come from this origin, by Fetch "
            "Metadata, then Origin. No CSRF token has to be threaded through forms.",
            page="concepts/cross-origin.md#what-a-page-cannot-forge",
        ),
    ),
    Rule(
        lambda plan, _: plan.leaf == "single-page-cookie" and plan.credential != "session",
        Argument(
            what="Tabs may race",
            why="Twenty tabs that refresh at once get twenty answers and one new token; a reply that was lost costs "
            "nothing.",
            page="rotation.md#the-rule",
        ),
    ),
    Rule(
        _in_memory,
        Argument(
            what="What lasts is out of reach",
            why="The script holds an access token that is good for 15 minutes and goes with the tab. The refresh "
            "token, good for days, stays in an HttpOnly cookie.",
            page="concepts/browser-storage.md#the-middle-an-access-token-in-memory",
        ),
    ),
    Rule(
        lambda plan, _: plan.transport == "bearer" and plan.refresh_in is None,
        Argument(
            what="One header for every client",
            why="Authorization: Bearer is what mobile applications, command lines and other programs can send. "
            "Cookies are for browsers.",
            page="concepts/browser-storage.md#not-a-browser",
        ),
    ),
    Rule(
        lambda plan, _: plan.leaf == "mobile" and plan.credential != "session",
        Argument(
            what="A stolen token does not last",
            why="The access token is good for 15 minutes. A refresh token that is used beside its owner's ends the "
            "session.",
            page="rotation.md#the-rule",
        ),
    ),
    Rule(
        _services,
        Argument(
            what="A service needs no store",
            why="It checks the signature by itself, in microseconds and without the network, and asks for the same "
            "User and require as behind a desk.",
            page="verifier.md#three-forms-and-what-each-promises",
        ),
    ),
    Rule(
        lambda plan, _: plan.service in {"following", "prompt", "trusting"},
        Argument(
            what="Sign-outs reach every service",
            why="Each follows the desk's revocation log. Who signed out is refused within milliseconds, usually.",
            page="verifier.md#three-forms-and-what-each-promises",
        ),
    ),
    Rule(
        lambda plan, given: given.get("claims-size") == "large" and plan.credential == "session",
        Argument(
            what="Large claims stay in the record",
            why="A credential has at most 4096 bytes together with its name. A session carries a number alone; the "
            "claims stand in its row, or better in tables of your own.",
            page="http.md#credential-and-transport",
        ),
    ),
    Rule(
        lambda plan, _: plan.credential == "jwe",
        Argument(
            what="The claims are encrypted",
            why="Whoever holds the token, its owner included, cannot read it (JWE, A256GCM). Only the desk has the "
            "key.",
            page="concepts/sessions-cookies-tokens.md#who-can-read-it",
        ),
    ),
    Rule(
        _sqlite,
        Argument(
            what="SQLite, for one machine",
            why="Nothing to operate: a file, asked about each request in microseconds, by any number of processes. "
            "At the desk a sign-out counts on the very next request.",
            page="stores.md#which-one",
        ),
    ),
    Rule(
        lambda plan, _: plan.store == "postgresql",
        Argument(
            what="PostgreSQL, for several machines",
            why="What it acknowledged it keeps; with a synchronous standby a fail-over loses nothing.",
            page="stores.md#which-one",
        ),
    ),
    Rule(
        lambda plan, _: plan.store == "redis",
        Argument(
            what="Redis, since you operate one",
            why="It keeps what its persistence and replicas keep: with appendfsync always nothing acknowledged is "
            "lost in a crash, otherwise up to two seconds.",
            page="stores.md#which-one",
        ),
    ),
    Rule(
        lambda plan, _: plan.over_a_network and not plan.strict and not plan.trusts_stale,
        Argument(
            what="Seconds, and nobody is asked",
            why="A process answers from what it holds and follows the log of revocations. A sign-out elsewhere counts "
            "within milliseconds, and within 5 s whatever happens; else the answer is 503, never yes.",
            page="revocation.md#what-is-promised",
        ),
    ),
    Rule(
        lambda plan, _: plan.strict,
        Argument(
            what="On the very next request",
            why="freshness = strict asks the store about each request at the desk, so a sign-out counts at once in "
            "every process. It costs a round trip to the store each time.",
            page="revocation.md#what-is-promised",
        ),
    ),
    Rule(
        _enters,
        Argument(
            what="A sign-out that acts before expiry",
            why="The provider's token is checked once, at the entrance. From then on it is a session of your desk, "
            "which ends when you end it.",
            page="applications.md#users-of-your-own",
        ),
    ),
    Rule(
        _foreign,
        Argument(
            what="The provider has it all",
            why="Accounts, passwords, second factors and single sign-on are there. Your application needs its public "
            "keys and nothing else: no store, no secret.",
            page="verifier.md#three-forms-and-what-each-promises",
        ),
    ),
    Rule(
        _foreign,
        Argument(
            what="Checked strictly",
            why="Issuer, audience, type, times and signature; keys are fetched and kept, and a key that is new there "
            "is looked for.",
            page="verifier.md#what-is-refused",
        ),
    ),
)
"""In the order in which they are told."""

# --- what was rejected ----------------------------------------------------------------------------------------------

REJECTED: Final = (
    Rule(
        lambda plan, _: plan.leaf == "server-rendered" and plan.credential == "session",
        Argument(
            what="A JWT in a cookie",
            why="It is longer, has to be refreshed, and tells the browser what it need not know. It pays where "
            "somebody else has to read it, or where the store may be away.",
            page="concepts/comparison.md#which-one-when",
        ),
    ),
    Rule(
        lambda plan, given: _token(plan, given) and plan.leaf in {"server-rendered", "identity-provider"},
        Argument(
            what="A session",
            why="It is looked up in the store, and requests are to be answered while the store is away.",
            page="revocation.md#what-is-promised",
        ),
    ),
    Rule(
        lambda plan, given: _token(plan, given) and plan.leaf in {"single-page-cookie", "mobile"},
        Argument(
            what="A session",
            why='It works as well and is never refreshed: credentials=["session"]. A JWT can be shown to other '
            "services, too, now or later.",
            page="http.md#credential-and-transport",
        ),
    ),
    Rule(
        lambda plan, given: given.get("claims-size") == "large" and plan.credential == "session",
        Argument(
            what="A JWT",
            why="The claims would not fit: what is longer than 4096 bytes with its name is refused at sign-in "
            "(claims_too_large), since browsers drop such a cookie without a word.",
            page="errors.md#refusals-over-http",
        ),
    ),
    Rule(
        lambda _, given: given.get("client") == "single-page",
        Argument(
            what="Tokens in localStorage",
            why="Every script on the page reads it, also one that was smuggled in, and what it carries away works "
            "elsewhere for days.",
            page="concepts/browser-storage.md#why-not-localstorage",
        ),
    ),
    Rule(
        lambda plan, _: plan.leaf == "single-page-cookie",
        Argument(
            what="An access token in memory",
            why="The script would have to keep it, send it and fetch a new one after each reload. It pays only where "
            "the token has to be sent to another host.",
            page="concepts/browser-storage.md#the-middle-an-access-token-in-memory",
        ),
    ),
    Rule(
        lambda plan, _: plan.leaf == "single-page-memory",
        Argument(
            what="The access token in a cookie",
            why="A cookie goes to the host that set it and to no other (__Host-Http-), so another host would never "
            "see it.",
            page="http.md#credential-and-transport",
        ),
    ),
    Rule(
        lambda plan, given: given.get("client") == "mobile" and plan.transport == "bearer",
        Argument(
            what="Cookies",
            why="Programs that are no browsers keep no jar by themselves, and what protects cookies against other "
            "sites, such as Fetch Metadata, only browsers send.",
            page="concepts/browser-storage.md#not-a-browser",
        ),
    ),
    Rule(
        lambda plan, _: plan.leaf == "mobile",
        Argument(
            what="A token that lives for months",
            why="What is stolen once would be good for as long. A short token with refresh is as comfortable, and "
            "its theft is noticed.",
            page="concepts/refresh.md#rotation-and-what-it-is-for",
        ),
    ),
    Rule(
        _services,
        Argument(
            what="A session for the services",
            why="A session token means nothing without the desk's store: each service would have to reach it, or ask "
            "the desk about each request.",
            page="verifier.md#what-is-refused",
        ),
    ),
    Rule(
        lambda plan, _: plan.service in {"following", "prompt", "trusting"},
        Argument(
            what="A JWT that nobody can end",
            why='freshness="stateless" needs no credential and no connection to the desk, but lets who signed out in '
            "until the token expires, 15 minutes by default.",
            page="verifier.md#three-forms-and-what-each-promises",
        ),
    ),
    Rule(
        lambda plan, _: plan.service == "stateless" and plan.transport is not None,
        Argument(
            what="Following the revocation log",
            why="It would refuse who signed out within milliseconds; beyond 5 s without the desk it answers 503, and "
            "you want services to go on.",
            page="verifier.md#three-forms-and-what-each-promises",
        ),
    ),
    Rule(
        lambda plan, _: plan.leaf == "microservices",
        Argument(
            what="An identity provider",
            why="Nothing speaks against one that you have. Without one it is another service to run, and its tokens "
            "cannot be ended before they expire.",
            page="verifier.md#three-forms-and-what-each-promises",
        ),
    ),
    Rule(
        _foreign,
        Argument(
            what="A desk of your own behind it",
            why="You accept that a sign-out waits for the token's expiry. Where it must act at once, answer so: then "
            "the provider's token begins a session at your desk.",
            page="applications.md#users-of-your-own",
        ),
    ),
    Rule(
        _enters,
        Argument(
            what="The provider's token on each request",
            why="A service cannot end it. Who signed out is let in until it expires, however often that is checked.",
            page="verifier.md#three-forms-and-what-each-promises",
        ),
    ),
    Rule(
        _sqlite,
        Argument(
            what="PostgreSQL or Redis",
            why="Another server to run, for one machine. Later it is another URL; accounts and sessions do not move "
            "by themselves.",
            page="stores.md#which-one",
        ),
    ),
    Rule(
        _networked,
        Argument(
            what="SQLite",
            why="It is a file of one machine: several machines cannot share it safely.",
            page="stores.md#which-one",
        ),
    ),
)
"""In the order in which they are told."""

# --- what wishes cost -----------------------------------------------------------------------------------------------

COSTS: Final = (
    Rule(
        lambda plan, given: _wants_both(plan, given) and plan.service == "none",
        Argument(
            what="At once, and while the store is away: not both",
            why="Who asks nobody cannot know of a sign-out elsewhere. Here the sign-out wins: without the store the "
            "answer is 503. For the other, answer that seconds will do: then whoever was signed out meanwhile is let "
            "in.",
            page="revocation.md#what-is-promised",
        ),
    ),
    Rule(
        lambda plan, given: _wants_both(plan, given) and plan.service == "prompt",
        Argument(
            what="At once, and while the desk is away: not both",
            why="Here the sign-out wins: a service that has not heard from the desk for a second asks it, and where "
            "it cannot answers 503. For the other, answer that seconds will do: then whoever was signed out "
            "meanwhile is let in.",
            page="verifier.md#three-forms-and-what-each-promises",
        ),
    ),
    Rule(
        lambda plan, _: plan.service == "prompt",
        Argument(
            what="At once, to the letter, is for the desk alone",
            why="A service has no form that asks on each request. It hears within milliseconds, and is never more "
            "than one second behind. A route that needs it to the letter belongs to the desk.",
            page="verifier.md#three-forms-and-what-each-promises",
        ),
    ),
    Rule(
        lambda plan, _: plan.trusts_stale,
        Argument(
            what="Going on without the store costs revocation",
            why="While the store is away, whoever was signed out elsewhere is let in, and nobody can sign in, sign "
            "out or refresh: so it goes on for as long as the access token lives, 15 minutes by default.",
            page="revocation.md#what-is-promised",
        ),
    ),
    Rule(
        lambda plan, _: plan.service == "trusting",
        Argument(
            what="Going on without the desk costs revocation",
            why="While the desk is away a service believes what it knew. Whoever signed out meanwhile is let in, "
            "until the access token expires; nobody can sign in or refresh.",
            page="verifier.md#three-forms-and-what-each-promises",
        ),
    ),
    Rule(
        lambda plan, _: plan.service == "stateless" and plan.transport is not None,
        Argument(
            what="Services hear of no sign-out",
            why="Whoever signed out is let in by every service until the access token expires, 15 minutes by "
            "default. The desk itself refuses the token at once.",
            page="verifier.md#three-forms-and-what-each-promises",
        ),
    ),
    Rule(
        _foreign,
        Argument(
            what="A sign-out waits for expiry",
            why="Whoever signed out at the provider is let in until the token expires. Ask the provider for short "
            "tokens; minutes are usual.",
            page="verifier.md#three-forms-and-what-each-promises",
        ),
    ),
    Rule(
        _enters,
        Argument(
            what="The provider's token can enter again",
            why="A sign-out here ends the session, not the provider's token: whoever still holds that begins another "
            "until it expires, and each counts as a sign-in of that moment, so that `fresh=` asks for nothing here. "
            "Sign out at the provider as well, and give the entrance an audience of its own.",
            page="applications.md#users-of-your-own",
        ),
    ),
    Rule(
        lambda plan, given: plan.sheds and given.get("claims-size") == "large",
        Argument(
            what="Large claims do not fit into a token",
            why="It has at most 4096 bytes together with its name, and here it must be a token. Keep what is large "
            "in tables of your own, under the subject; let the token carry roles and a tenant.",
            page="concepts/sessions-cookies-tokens.md#how-large-they-are",
        ),
    ),
    Rule(
        lambda plan, given: plan.service != "none" and given.get("claims-secrecy") == "secret",
        Argument(
            what="Services cannot read what is encrypted",
            why="Only the desk has that key. So the token is signed and can be read: let it carry nothing secret, "
            "and let the service that needs a secret look it up by the subject.",
            page="verifier.md#what-is-refused",
        ),
    ),
    Rule(
        lambda plan, _: plan.reads_cookies,
        Argument(
            what="One host name for everything",
            why="A cookie goes to one host alone. Put desk and services under one name behind one proxy. Pages under "
            "several names need a redirect to a provider, which Frontdesk is not.",
            page="verifier.md#around-the-application",
        ),
    ),
    Rule(
        _in_memory,
        Argument(
            what="A reload asks for a new token",
            why="Memory goes with the page: the script begins with POST /auth/refresh. The desk must be reached under "
            "the same site as the page, or the browser keeps the refresh cookie back.",
            page="http.md#rules-worth-knowing",
        ),
    ),
)
"""In the order in which they are told."""
