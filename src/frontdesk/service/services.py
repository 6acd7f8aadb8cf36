"""Services: other programs that follow the revocation log, end sessions, read metrics. Each holds one credential.

A credential is 32 random bytes, shown once; the store knows its digest. It is looked up on each call and never
remembered, so that it is refused from the moment on in which its service was removed.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from frontdesk.clock import Clock
from frontdesk.core.events import ServiceAdded, ServiceRemoved
from frontdesk.core.services import (
    CREDENTIAL_BYTES,
    SERVICE_SCOPES,
    Service,
    ServiceScope,
    credential_digest,
    credential_of,
    is_service_name,
)
from frontdesk.errors import Refusal
from frontdesk.service.audit import Audit
from frontdesk.service.keys import TokenBytes
from frontdesk.stores.protocol import Store

_UNKNOWN: Final = Refusal("service_unknown")


class Services:
    """The services of one realm."""

    def __init__(self, store: Store, realm: str, *, clock: Clock, audit: Audit, token_bytes: TokenBytes) -> None:
        self._store = store
        self._realm = realm
        self._clock = clock
        self._audit = audit
        self._token_bytes = token_bytes

    async def add(self, name: str, scopes: Collection[ServiceScope]) -> str | None:
        """Add a service and return its credential, which nobody can read again; None when the name is taken.

        ValueError for a name that `is_service_name` refuses, for no scope and for an unknown one.
        """
        if not is_service_name(name):
            raise ValueError(
                f"a service is not called {name!r}: take 1 to 64 lower-case letters and digits, with dots, dashes and "
                "underscores between them"
            )
        granted = tuple(scope for scope in SERVICE_SCOPES if scope in scopes)
        if isinstance(scopes, str) or not granted or len(granted) < len(set(scopes)):
            raise ValueError(f"scopes are one or more of {', '.join(SERVICE_SCOPES)}")
        credential = credential_of(self._token_bytes(CREDENTIAL_BYTES))
        digest = credential_digest(credential.encode())
        assert digest is not None
        now = self._clock.now()
        service = Service(name=name, realm=self._realm, digest=digest, scopes=granted, created_at=now)
        if not await self._store.add_service(service):
            return None
        self._audit(ServiceAdded(at=now, realm=self._realm, service=name, scopes=granted))
        return credential

    async def list(self) -> tuple[Service, ...]:
        """All services by name."""
        return await self._store.list_services(self._realm)

    async def remove(self, name: str) -> bool:
        """Remove a service: its credential is refused from now on, in every process. False: there is none."""
        removed = await self._store.remove_service(self._realm, name)
        if removed:
            self._audit(ServiceRemoved(at=self._clock.now(), realm=self._realm, service=name))
        return removed

    async def authenticate(self, authorization: bytes | None, scope: ServiceScope) -> Service | Refusal:
        """The service that sent this value of `Authorization`, if it may do `scope`.

        Refuses with `service_unknown` and `service_scope_missing`. Whatever has the form of a credential costs one
        digest and one look-up, known or not; anything else is refused unasked, since the form is no secret.
        """
        digest = credential_digest(_bearer(authorization or b""))
        service = None if digest is None else await self._store.service_by_digest(self._realm, digest)
        if service is None:
            return _UNKNOWN
        if scope not in service.scopes:
            return Refusal("service_scope_missing", f"The service lacks the scope {scope}.")
        return service


def _bearer(authorization: bytes) -> bytes:
    """The token of a Bearer header (RFC 6750 §2.1); empty for any other."""
    scheme, _, token = authorization.partition(b" ")
    return token.strip(b" ") if scheme.lower() == b"bearer" else b""
