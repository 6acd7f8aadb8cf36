"""A desk for Starlette: `desk = Frontdesk("sqlite:///app.db").install(app)`."""

from frontdesk.adapters.arrival import Signed, SignedOut
from frontdesk.adapters.asgi import principal
from frontdesk.adapters.starlette import Frontdesk, RefusedHTTPError, VerifierMiddleware, optional_principal, require
from frontdesk.core.sessions import Principal

__all__ = [
    "Frontdesk",
    "Principal",
    "RefusedHTTPError",
    "Signed",
    "SignedOut",
    "VerifierMiddleware",
    "optional_principal",
    "principal",
    "require",
]
