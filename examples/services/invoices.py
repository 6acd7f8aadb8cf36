"""The invoices of a shop: protected by default, and who pays has signed in a moment ago."""

import os
from datetime import timedelta
from typing import Annotated

from fastapi import FastAPI

from frontdesk.fastapi import Principal, User, VerifierMiddleware, require
from frontdesk.verifier import Verifier

verifier = Verifier(issuer=os.environ["DESK"], audience="invoices")
app = FastAPI(title="invoices")
app.add_middleware(VerifierMiddleware, verifier=verifier, protect=True, public=["/health"])

Payer = Annotated[Principal, require(fresh=timedelta(minutes=5))]
Accountant = Annotated[Principal, require(roles={"accountant"})]


@app.get("/invoices")
async def invoices(user: User) -> dict[str, object]:
    return {"customer": user.subject, "invoices": {"a lamp": 40, "two chairs": 120}}


@app.post("/pay")
async def pay(user: Payer) -> dict[str, object]:
    return {"paid_by": user.subject}


@app.get("/books")
async def books(user: Accountant) -> dict[str, object]:
    return {"shown_to": user.subject}


@app.get("/health")
async def health() -> dict[str, object]:
    return {"ready": verifier.is_ready, "lag": verifier.lag}
