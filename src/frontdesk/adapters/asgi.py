"""A desk for ASGI applications. Starlette's and FastAPI's adapters build on it; plain ASGI uses it as it stands."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, Self, TypeVar

from frontdesk.adapters import explaining, own_users
from frontdesk.adapters.arrival import HasScope, Signed, SignedOut, arrival_of, scope_of
from frontdesk.adapters.front import Front
from frontdesk.adapters.messages import ASGIApp, Scope
from frontdesk.adapters.middleware import Middleware
from frontdesk.adapters.protection import Protection
from frontdesk.clock import Clock
from frontdesk.core.addresses import proxy_networks
from frontdesk.core.cookies import CookieSettings
from frontdesk.core.explanation import Explanation
from frontdesk.core.origin import OriginPolicy
from frontdesk.core.passwords import DEFAULT_PARAMETERS, HashParameters, PasswordPolicy
from frontdesk.core.sessions import CredentialKind, Principal, RefreshEnvelope, SessionPolicy, Transport
from frontdesk.endpoints.policy import Requirement
from frontdesk.endpoints.settings import EdgeSettings
from frontdesk.errors import ConfigurationError
from frontdesk.service.audit import Audit, Listener
from frontdesk.service.desk import Desk
from frontdesk.service.settings import DEVELOPMENT_ISSUER, DeskSettings, SigningAlgorithm
from frontdesk.service.sign_in import Grant, SignInOptions
from frontdesk.verifier.follow import MAX_STALENESS
from frontdesk.wiring import build_desk

T = TypeVar("T", bound=str)


class Frontdesk(Front):
    """One desk around one application.

    url: the store: `sqlite:///app.db`, `postgresql://…`, `redis://…`, or `memory:` for tests.
    secret: the master secret or a list, newest first; else `FRONTDESK_SECRET`, else a key file beside the database.
    credential, transport: the default of a sign-in that names none. credentials, transports: those that are allowed.
    base_url: under which browsers reach the deployment; the issuer of its tokens. audience: theirs, if another, or
    several.
    freshness, max_staleness, insecure_trust_stale: over PostgreSQL and Redis, whether requests are answered from what
    this process holds, and how old that may be (`service.settings`, docs/revocation.md).
    prefix: where the API is mounted. accounts: offer register and login; turn it off for users of your own.
    protect: every path needs a signed-in principal except those in `public` (`adapters.protection`).
    hosts: the host names that are served; empty serves all. trusted_origins: other origins that may act here.
    strict_origin: refuse requests that say nothing of where they come from. trusted_proxies: addresses or CIDR
    blocks whose X-Forwarded-For is believed. listeners: called with each audit event.

    Raises ConfigurationError, ValueError or TypeError for what cannot be. Nothing is opened before the first request,
    or the application's start. Who starts an application without a lifespan, or mounts it, calls `close` at the end.
    """

    def __init__(
        self,
        url: str,
        *,
        secret: str | bytes | Sequence[str | bytes] | None = None,
        credential: CredentialKind | None = None,
        transport: Transport | None = None,
        credentials: Sequence[CredentialKind] = ("session", "jwt", "jwe"),
        transports: Sequence[Transport] = ("cookie", "bearer"),
        base_url: str = DEVELOPMENT_ISSUER,
        audience: str | Sequence[str] = "",
        realm: str = "default",
        signing: SigningAlgorithm = "ES256",
        policy: SessionPolicy | None = None,
        freshness: Literal["bounded", "strict"] = "bounded",
        max_staleness: timedelta = MAX_STALENESS,
        insecure_trust_stale: bool = False,
        passwords: PasswordPolicy | None = None,
        hashing: HashParameters = DEFAULT_PARAMETERS,
        prefix: str = "/auth",
        accounts: bool = True,
        protect: bool = False,
        public: Collection[str] = (),
        cookies: CookieSettings | None = None,
        hosts: Collection[str] = (),
        trusted_origins: Collection[str] = (),
        strict_origin: bool = False,
        trusted_proxies: Collection[str] = (),
        listeners: Sequence[Listener] = (),
        clock: Clock | None = None,
    ) -> None:
        _refuse_text(hosts=hosts, trusted_origins=trusted_origins, trusted_proxies=trusted_proxies)
        edge = EdgeSettings(
            prefix=prefix,
            cookies=cookies or CookieSettings(),
            origins=OriginPolicy(trusted=frozenset(trusted_origins), strict=strict_origin, scheme=_scheme_of(base_url)),
            hosts=frozenset(hosts),
            trusted_proxies=proxy_networks(trusted_proxies),
            accounts=accounts,
        )
        settings = DeskSettings(
            realm=realm,
            issuer=base_url,
            audience=audience if isinstance(audience, str) else tuple(audience),
            credentials=_default_first(credential, credentials, "credential"),
            transports=_default_first(transport, transports, "transport"),
            signing=signing,
            sessions=policy or SessionPolicy(),
            passwords=passwords or PasswordPolicy(),
            freshness=freshness,
            max_staleness=max_staleness,
            insecure_trust_stale=insecure_trust_stale,
        )
        protection = Protection(protect=protect, public=public)
        audit = Audit(tuple(listeners))
        desk = build_desk(url, secret=secret, settings=settings, hashing=hashing, clock=clock, audit=audit)
        super().__init__(desk, edge, protection)

    @classmethod
    def over(cls, desk: Desk, edge: EdgeSettings, *, protect: bool = False, public: Collection[str] = ()) -> Self:
        """Around a desk that was built elsewhere: the server's, or one over a store of your own."""
        self = cls.__new__(cls)
        Front.__init__(self, desk, edge, Protection(protect=protect, public=public))
        return self

    def wrap(self, app: ASGIApp) -> ASGIApp:
        """The application with this desk in front of it."""
        return Middleware(app, self)

    async def purge(self) -> int:
        """Remove what no decision needs any more; returns how many records went. Opens the desk; raises StoreError.

        For applications without a lifespan, every few minutes or hours; with one it is done by itself.
        """
        await self.open()
        return await self.desk.purge()

    # --- for applications with their own users ----------------------------------------------------------------

    async def sign_in(
        self,
        request: HasScope | Scope,
        subject: str,
        *,
        roles: Iterable[str] = (),
        scope: Iterable[str] = (),
        claims: Mapping[str, Any] | None = None,
        amr: Iterable[str] = (),
        credential: CredentialKind | None = None,
        transport: Transport | None = None,
        refresh_in: RefreshEnvelope | None = None,
        remember: bool = True,
    ) -> Signed:
        """Sign in a subject whom the application has just recognised, and end the session that came along.

        Call `apply` of the outcome on the response. Raises the framework's refusal: `cross_origin`,
        `credential_not_allowed`, `claims_too_large`, `session_ended` (signed out everywhere meanwhile), or 503.
        """
        grant = Grant(subject=subject, roles=tuple(roles), scope=tuple(scope), claims=claims or {}, amr=tuple(amr))
        options = SignInOptions(credential=credential, transport=transport, refresh_in=refresh_in, remember=remember)
        return await own_users.sign_in(self, scope_of(request), grant, options)

    async def sign_out(self, request: HasScope | Scope) -> SignedOut:
        """End the session of this request, whichever authentic token of it came along; call `apply` as above.

        Raises the framework's refusal: 401 when nothing authentic came along, 503 when the store failed.
        """
        return await own_users.sign_out(self, scope_of(request))

    async def explain(
        self,
        request: HasScope | Scope,
        *,
        fresh: timedelta | None = None,
        roles: Collection[str] = (),
        scope: Collection[str] = (),
    ) -> Explanation:
        """Why this very request passes or fails: facts and a verdict. Changes nothing, and never raises a refusal.

        The route's own demands are looked up where the framework can be asked for them; `fresh`, `roles` and `scope`
        stand for those of a route that asks inside its code. Whoever sees the facts knows about the session.
        """
        rule = Requirement.of(fresh, roles, scope)
        return await explaining.explain(
            self, scope_of(request), rule if rule.fresh or rule.roles or rule.scope else None
        )

    async def update(
        self,
        subject: str,
        *,
        roles: Iterable[str] | None = None,
        scope: Iterable[str] | None = None,
        claims: Mapping[str, Any] | None = None,
    ) -> int:
        """Change what the subject's standing sessions carry, from the next request on; how many changed.

        What is None stays. Raises the framework's refusal: `claims_too_large`, or 503.
        """
        return await own_users.update(self, subject, roles=roles, scope=scope, claims=claims)


def principal(request: HasScope | Scope) -> Principal:
    """Who is signed in. Raises RefusedError otherwise, which the desk answers with a problem document."""
    return arrival_of(scope_of(request)).principal()


def require(
    request: HasScope | Scope,
    *,
    fresh: timedelta | None = None,
    roles: Collection[str] = (),
    scope: Collection[str] = (),
) -> Principal:
    """Who is signed in, if the sign-in is not older than `fresh` and all of `roles` and `scope` are held.

    Raises RefusedError otherwise: 401, or 403 `step_up_required`, `role_missing`, `scope_missing`.
    """
    return arrival_of(scope_of(request)).require(Requirement.of(fresh, roles, scope))


def _refuse_text(**collections: Collection[str]) -> None:
    for name, value in collections.items():
        if isinstance(value, str):
            raise TypeError(f"{name} is a collection of strings, not one string")


def _scheme_of(base_url: str) -> Literal["http", "https"] | None:
    """The scheme under which browsers reach a deployment that says where it is; None for one that does not."""
    if base_url == DEVELOPMENT_ISSUER:
        return None
    return "https" if base_url.lower().startswith("https:") else "http"


def _default_first(default: T | None, allowed: Sequence[T], name: str) -> tuple[T, ...]:
    if isinstance(allowed, str):
        raise TypeError(f"{name}s is a list, not one string")
    if default is None:
        return tuple(allowed)
    if default not in allowed:
        raise ConfigurationError(f"{name}={default!r} is not one of {name}s={list(allowed)}")
    return (default, *(other for other in allowed if other != default))
