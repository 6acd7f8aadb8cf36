"""From answers to what is to be configured. The answers must be those that count, all of them (`questions.asked`)."""

from __future__ import annotations

from typing import Literal

import msgspec

from frontdesk.advisor.questions import Answers
from frontdesk.core.sessions import CredentialKind, RefreshEnvelope, Transport

LeafName = Literal[
    "server-rendered", "single-page-cookie", "single-page-memory", "mobile", "microservices", "identity-provider"
]
StoreKind = Literal["none", "sqlite", "postgresql", "redis"]
ServiceKind = Literal["none", "following", "prompt", "trusting", "stateless"]
"""How other services check: `following` the revocation log, `prompt` within one second, `trusting` what they know
while the desk is away, `stateless` by signature and expiry alone."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One configuration, before it is text.

    credential, transport: None where the tokens are a provider's and no desk is there. enters: a provider's token
    begins a session at the desk. sheds: large or secret claims stay out of the token, since what it is must be.
    """

    leaf: LeafName
    credential: CredentialKind | None = None
    transport: Transport | None = None
    refresh_in: RefreshEnvelope | None = None
    store: StoreKind = "none"
    strict: bool = False
    trusts_stale: bool = False
    service: ServiceKind = "none"
    reads_cookies: bool = False
    enters: bool = False
    sheds: bool = False

    @property
    def over_a_network(self) -> bool:
        """Whether the desk asks a store on another machine."""
        return self.store in {"postgresql", "redis"}


def leaf_of(given: Answers) -> LeafName:
    """Where the tree ends."""
    if given["sso"] == "provider":
        return "identity-provider"
    if given["sso"] == "desk" or given["services"] == "many":
        return "microservices"
    if given["client"] == "pages":
        return "server-rendered"
    if given["client"] == "mobile":
        return "mobile"
    return "single-page-memory" if given["script"] == "yes" else "single-page-cookie"


def plan_of(given: Answers) -> Plan:
    """What is to be configured."""
    leaf = leaf_of(given)
    if leaf == "identity-provider" and given["logout"] == "expiry":
        return Plan(leaf=leaf, service="stateless")
    store = _store(given)
    at_once, over_a_network = given.get("logout") == "at-once", store != "sqlite"
    goes_on = given.get("store-down") == "go-on" and not at_once
    services = leaf == "microservices"
    transport, refresh_in = _envelopes(leaf, given["client"])
    credential = _credential(leaf, given, carries=goes_on and over_a_network)
    return Plan(
        leaf=leaf,
        credential=credential,
        transport=transport,
        refresh_in=refresh_in if credential != "session" else None,
        store=store,
        strict=at_once and over_a_network,
        trusts_stale=goes_on and over_a_network and not services,
        service=_service(given, at_once=at_once, goes_on=goes_on) if services else "none",
        reads_cookies=services and transport == "cookie",
        enters=leaf == "identity-provider",
        sheds=_sheds(given, credential, services=services),
    )


def _store(given: Answers) -> StoreKind:
    if given["machines"] == "one":
        return "sqlite"
    return "redis" if given["database"] == "redis" else "postgresql"


def _envelopes(leaf: LeafName, client: str) -> tuple[Transport, RefreshEnvelope | None]:
    if leaf == "single-page-memory" or (leaf == "microservices" and client == "single-page"):
        return "bearer", "cookie"
    return ("bearer" if client == "mobile" else "cookie"), None


def _credential(leaf: LeafName, given: Answers, *, carries: bool) -> CredentialKind:
    """carries: a request must be decided without the store, so the credential holds what that takes."""
    if leaf == "microservices":
        return "jwt"  # services cannot read what only the desk can decrypt
    if leaf in {"server-rendered", "identity-provider"} and not carries:
        return "session"
    if given["claims-size"] == "large" and not carries and leaf != "single-page-memory":
        return "session"
    return "jwe" if given["claims-secrecy"] == "secret" else "jwt"


def _service(given: Answers, *, at_once: bool, goes_on: bool) -> ServiceKind:
    if at_once:
        return "prompt"
    if not goes_on:
        return "following"
    return "stateless" if given["logout"] == "expiry" else "trusting"


def _sheds(given: Answers, credential: CredentialKind, *, services: bool) -> bool:
    too_large = given.get("claims-size") == "large" and credential != "session"
    return too_large or (services and given.get("claims-secrecy") == "secret")
