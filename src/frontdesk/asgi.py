"""A desk for plain ASGI: `app = Frontdesk("sqlite:///app.db").wrap(app)`."""

from frontdesk.adapters.arrival import Signed, SignedOut
from frontdesk.adapters.asgi import Frontdesk, principal, require
from frontdesk.adapters.verifying import VerifierMiddleware
from frontdesk.core.sessions import Principal

__all__ = ["Frontdesk", "Principal", "Signed", "SignedOut", "VerifierMiddleware", "principal", "require"]
