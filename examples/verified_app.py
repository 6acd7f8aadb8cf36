from fastapi import FastAPI
from frontdesk.fastapi import User, VerifierMiddleware
from frontdesk.verifier import Verifier

app = FastAPI()
verifier = Verifier(issuer="https://desk.example", audience="orders")
app.add_middleware(VerifierMiddleware, verifier=verifier)

@app.get("/orders")
async def orders(user: User) -> dict[str, str]:
    return {"orders of": user.subject}
