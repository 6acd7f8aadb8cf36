from datetime import timedelta
from typing import Annotated
from fastapi import FastAPI
from frontdesk.fastapi import Frontdesk, Principal, User, require

app = FastAPI()
desk = Frontdesk("sqlite:///app.db").install(app)

@app.get("/dashboard")
async def dashboard(user: User) -> dict[str, str]:
    return {"hello": user.subject}

Teller = Annotated[Principal, require(fresh=timedelta(minutes=5), roles={"teller"})]

@app.post("/transfer")
async def transfer(user: Teller) -> None: ...
