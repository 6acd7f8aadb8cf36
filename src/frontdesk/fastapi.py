"""A desk for FastAPI: `desk = Frontdesk("sqlite:///app.db").install(app)`, and `User` where a route needs one."""

from frontdesk.adapters.arrival import Signed, SignedOut
from frontdesk.adapters.fastapi import Frontdesk, OptionalUser, User, require
from frontdesk.adapters.starlette import RefusedHTTPError, VerifierMiddleware
from frontdesk.core.sessions import Principal

__all__ = [
    "Frontdesk",
    "OptionalUser",
    "Principal",
    "RefusedHTTPError",
    "Signed",
    "SignedOut",
    "User",
    "VerifierMiddleware",
    "require",
]
