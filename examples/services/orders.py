"""The orders of a shop: a service that knows who asks, keeps no session and holds no store."""

import os

from fastapi import FastAPI

from frontdesk.fastapi import OptionalUser, User, VerifierMiddleware
from frontdesk.verifier import Verifier

# The credential stands in FRONTDESK_SERVICE_CREDENTIAL.
verifier = Verifier(issuer=os.environ["DESK"], audience="orders")
app = FastAPI(title="orders")
app.add_middleware(VerifierMiddleware, verifier=verifier)


@app.get("/orders")
async def orders(user: User) -> dict[str, object]:
    return {"customer": user.subject, "orders": ["a lamp", "two chairs"]}


@app.get("/offers")
async def offers(user: OptionalUser) -> dict[str, object]:
    return {"offers": ["a table"], "for": user.subject if user else "everybody"}


@app.get("/health")
async def health() -> dict[str, object]:
    return {"ready": verifier.is_ready, "lag": verifier.lag}
